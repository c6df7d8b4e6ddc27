"""Rank the channels of the first layer by every notion of importance, whole, halved and with half of them cut off.

For chapter 12. Run by ``make results``, about five minutes on one core; needs no data from elsewhere. Writes
``channel_importance.json`` beside it.
"""

import numpy as np
import pandas as pd

from interp_helpers import compare, data
from interp_helpers.feature_vis import load_ideal_digits
from interp_helpers.layers import activations
from interp_helpers.metrics import randomize_layers
from interp_helpers.models import load_checkpoint, logits_model
from interp_helpers.notebook import store_run
from interp_helpers.pcace import rank_channels
from interp_helpers.variation import vary_channel, without_channels

STATISTICS, LEVELS = ["multiple", "first"], ["pcace", "null_median", "null_high"]
HALVED = ["PCACE", "PCACE first", "kill", "gradient x activation"]


def main():
    model, digits = load_checkpoint("mnist_cnn"), data.load_digits()
    few, tiny = digits.subset(slice(0, 5000, 10)), digits.subset(slice(0, 5000, 50))
    whole = ranked(model, "relu1", digits, 20)
    importance = compare.importance(model, "relu1", few.images, few.labels, load_ideal_digits())
    overall = importance.groupby("channel").mean()[HALVED[2:]]
    for name, statistic in zip(HALVED, STATISTICS, strict=False):
        overall[name] = np.mean([row["pcace"] for row in whole[statistic]], axis=0)
    path = store_run(
        __file__,
        images_per_class=500,
        permutations=20,
        pcace=whole,
        pcace_of_halves=[ranked(model, "relu1", digits.subset(slice(i, None, 2)), 0) for i in (0, 1)],
        pcace_before_relu=ranked(model, "conv1", digits, 0),
        importance=importance.round(6).to_dict(orient="list"),
        halves=halves(model, tiny, overall[HALVED]),
        cut=cut_off(model, digits, few, tiny),
    )
    print(path)


def ranked(model, layer, digits, n_permutations):
    """Return PCACE by statistic, digit and channel, and with permutations what permuted scores reach."""
    found = {statistic: [] for statistic in STATISTICS}
    for k in np.unique(digits.labels):
        images = digits.images[digits.labels == k]
        table = rank_channels(model, layer, images, k, n_permutations=n_permutations, statistic=STATISTICS)
        for statistic, rows in table.groupby("statistic"):
            rows = rows.sort_values("channel")[LEVELS if n_permutations else LEVELS[:1]]
            found[statistic].append({"digit": int(k), **rows.round(6).to_dict(orient="list")})
    return found


def halves(model, digits, rankings):
    """Remove 200 random halves of the layer, then the upper and the lower half of each ranking; see what is left."""
    rng = np.random.default_rng(0)
    groups = [tuple(rng.permutation(32)[:16].tolist()) for _ in range(200)]
    best_first = [rankings[name].sort_values().index[::-1] for name in rankings]
    groups += [tuple(order[half].tolist()) for order in best_first for half in np.split(np.arange(32), 2)]
    left = without_channels(model, "relu1", digits.images, digits.labels, groups, batch_size=100)["accuracy"][1:]
    effect = vary_channel(model, "relu1", digits.images, batch_size=100)
    effect = effect.groupby(["channel", "class"])["change"].mean().unstack()
    alike = np.corrcoef(activations(model, digits.images, "relu1").reshape(-1, 32), rowvar=False) - np.eye(32)
    names = ["random"] * 200 + [f"{name}, {half}" for name in rankings for half in ("upper", "lower")]
    table = pd.DataFrame({"half": names, "accuracy": left.to_numpy()})
    table["imbalance"] = [effect.loc[list(group)].sum().std(ddof=0) for group in groups]
    table["similarity"] = [alike[np.ix_(group, group)].sum() / 240 for group in groups]
    return table.round(5).to_dict(orient="list")


def cut_off(model, digits, few, tiny):
    """Set what conv2 reads from half of the channels to zero, and measure all of them again."""
    cut = randomize_layers(model, [], seed=0)  # a copy
    kernel, bias = cut.get_layer("conv2").get_weights()
    unread = np.random.default_rng(1).permutation(32) < 16
    kernel[:, :, unread] = 0
    cut.get_layer("conv2").set_weights([kernel, bias])
    answers = logits_model(cut).predict(few.images, verbose=0).argmax(axis=1)
    measures = compare.importance(cut, "relu1", tiny.images, tiny.labels)
    measures = measures.groupby("channel").mean().drop(columns="class")
    return {
        "unread": unread.tolist(),
        "accuracy": float((answers == few.labels).mean()),
        "pcace": ranked(cut, "relu1", digits.subset(np.isin(digits.labels, [0, 4, 7])), 20),
        "importance": measures.round(6).to_dict(orient="list"),
    }


if __name__ == "__main__":
    main()
