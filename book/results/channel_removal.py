"""Shapley values of the channels of the first layer, and removal of channels in the order of each ranking (chapter 12).

Run by ``make results``, about fifteen minutes on two cores; needs no data from elsewhere. Writes
``channel_removal.json`` beside it. Rankings are made with four digits of five, Shapley values with some of these; the
curves are measured on half of the fifth that is left.
"""

import numpy as np
import pandas as pd

from interp_helpers import compare, data
from interp_helpers.feature_vis import load_ideal_digits
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run
from interp_helpers.pcace import rank_channels

LAYER, N_PERMUTATIONS, N_RANDOM = "relu1", 100, 100
STATISTICS = {"multiple": "PCACE", "first": "PCACE first", "first_absolute": "PCACE |first|"}
MEASURES = ["accuracy", "score"]


def main():
    digits, model = data.load_digits(), load_checkpoint("mnist_cnn")
    places = np.arange(len(digits))
    ranked, judged = digits.subset(places % 5 != 0), digits.subset(places % 10 == 0)
    players = digits.subset(places % 10 == 1)
    by_class = measures(model, ranked)
    value = compare.value_of_channels(model, LAYER, players.images, players.labels)
    shapley, error = compare.shapley_values(value, 32, N_PERMUTATIONS)
    overall = over_classes(by_class).assign(**{f"Shapley {name}": shapley[:, i] for i, name in enumerate(MEASURES)})
    curves = removed(model, judged, by_class, overall)
    path = store_run(
        __file__,
        ranked=len(ranked),
        players=len(players),
        permutations=N_PERMUTATIONS,
        judged=len(judged),
        shapley={name: shapley[:, i].round(5).tolist() for i, name in enumerate(MEASURES)},
        error={name: error[:, i].round(5).tolist() for i, name in enumerate(MEASURES)},
        measures=overall.round(6).to_dict(orient="list"),
        curves={name: rows.round(4).to_dict(orient="list") for name, rows in curves.items()},
    )
    print(path)


def measures(model, digits):
    """Return all importance measures but Shapley values, a row for each class and channel."""
    table = compare.importance(model, LAYER, digits.images, digits.labels, load_ideal_digits())
    parts = []
    for k in range(10):
        images = digits.images[digits.labels == k]
        rows = rank_channels(model, LAYER, images, k, statistic=list(STATISTICS), n_permutations=0)
        wide = rows.pivot(index="channel", columns="statistic", values="pcace")[list(STATISTICS)]
        parts.append(wide.rename(columns=STATISTICS).reset_index().assign(**{"class": k}))
    return pd.concat(parts).merge(table, on=["class", "channel"])


def over_classes(table):
    """Return the measures over all classes: means, and the largest selectivity."""
    groups = table.groupby("channel")
    return groups.mean().drop(columns="class").assign(selectivity=groups["selectivity"].max())


def own(table, k):
    return table[table["class"] == k].set_index("channel").drop(columns=["class", "kernel norm"])


def removed(model, digits, by_class, overall):
    """Return removal curves as means over the classes: by one ranking for all, and by that of each class.

    In the first every random order is the same for all classes, as a ranking is; in the second each class has one of
    its own.
    """
    parts = []
    for k in range(10):
        chosen = digits.subset(digits.labels == k)
        for name, table, n in (("one for all", overall, N_RANDOM), ("own", own(by_class, k), 0)):
            rows = compare.removal_curves(model, LAYER, chosen.images, chosen.labels, table, n)
            parts.append(rows.assign(run=name, digit=k))
    whole = pd.concat(parts)
    random = whole[whole["ranking"] == "random"]
    rng, mixed = np.random.default_rng(0), []
    for _, rows in random.groupby("digit"):
        permuted = {str(i): str(to) for i, to in enumerate(rng.permutation(N_RANDOM))}
        mixed.append(rows.assign(order=rows["order"].map(permuted), run="own"))
    whole = pd.concat([whole, *mixed])
    keys = ["ranking", "order", "removed"]
    return {
        name: rows.groupby(keys, sort=False)[MEASURES].mean().reset_index()
        for name, rows in whole.groupby("run", sort=False)
    }


if __name__ == "__main__":
    main()
