"""Compute PCACE values for ten digits, and how they depend on components, images, layers and the network.

Run by ``make results``, about ten minutes on two cores; needs no data from elsewhere. Writes ``pcace_checks.json``
beside it. (PCACE: principal components, then alternating conditional expectations.)
"""

import numpy as np
import pandas as pd

from interp_helpers.ace import ace
from interp_helpers.data import load_digits, stroke_shape
from interp_helpers.layers import activations
from interp_helpers.models import load_checkpoint, logits_model
from interp_helpers.notebook import store_run
from interp_helpers.pcace import components, pcace, rank_channels
from interp_helpers.variation import vary_channel

LAYER, STATISTICS, PERMUTATIONS = "relu1", ["multiple", "first"], 20
CHECKED = (0, 2, 6)  # digits for what takes long
COMPONENTS, IMAGES, DRAWS = (2, 3, 5, 10, 20, 40, 150), (50, 100, 250), 2


def main():
    model, digits = load_checkpoint("mnist_cnn"), load_digits()
    seen = load_checkpoint("mnist_all")  # the same beginning, but trained on these digits, too
    of = [digits.images[digits.labels == k] for k in range(10)]
    path = store_run(
        __file__,
        layer=LAYER,
        images_per_class=500,
        n_permutations=PERMUTATIONS,
        digits=[one_digit(model, images, k) for k, images in enumerate(of)],
        cut={str(k): cut(model, of[k], k) for k in CHECKED},
        trained_on_them=[ranked(seen, of[k], k) for k in range(10)],
        before_relu=[ranked(model, of[k], k, "conv1") for k in range(10)],
        components=by_components(*shown(model, of[2], 2)),
        half=half(*shown(model, of[2], 2)),
        split={str(k): by_images(*shown(model, of[k], k)) for k in CHECKED},
        layers=by_layer(model, of[2], 2),
        all_classes={
            "mixed set": ranked(model, digits.images[::2], digits.labels[::2]),
            "mixed scores": ranked(model, digits.images[::2], dict.fromkeys(range(10), 1)),
        },
    )
    print(path)


def shown(model, images, digit):
    """Return the maps of all channels for the images, and the score of their class."""
    return activations(model, images, LAYER), logits_model(model).predict(images, verbose=0)[:, digit]


def ranked(model, images, target, layer=LAYER):
    return short(rank_channels(model, layer, images, target, n_permutations=0)["pcace"])


def one_digit(model, images, digit):
    """Return for one digit the values by both statistics beside permuted scores, and what the components are."""
    maps, y = shown(model, images, digit)
    table = pcace(maps, y, statistic=STATISTICS, n_permutations=PERMUTATIONS)
    columns = ["pcace", "null_low", "null_median", "null_high"]
    found = {name: {c: short(rows[c]) for c in columns} for name, rows in table.groupby("statistic")}
    x = components(maps)
    phi = np.array([ace(channel, y).phi.var(axis=0) for channel in x])
    of_maps, lean = x.var(axis=1), stroke_shape(images)["slant"]
    return found | {
        "held_out": short(pcace(maps, y, held_out=True)["pcace"]),
        "share_of_transforms": short((phi / phi.sum(axis=1, keepdims=True)).mean(axis=0)),
        "share_of_maps": short((of_maps / of_maps.sum(axis=1, keepdims=True)).mean(axis=0)),
        "slant": short(pd.DataFrame(x[:, :, 0].T).corrwith(lean, method="spearman").abs()),
    }


def cut(model, images, digit):
    """Return the value of each channel when the score is computed without it."""
    maps, y = shown(model, images, digit)
    change = vary_channel(model, LAYER, images, digit, method="kill")["change"].to_numpy().reshape(-1, len(images))
    return short(pcace(maps[..., [c]], y + change[c])["pcace"].item() for c in range(len(change)))


def by_components(maps, y):
    rows = []
    for p in COMPONENTS:
        fitted = pcace(maps, y, p, n_permutations=2 if p <= 40 else 1)
        held = pcace(maps, y, p, held_out=True)["pcace"]
        rows.append({"p": p, "fitted": fitted["pcace"], "permuted": fitted["null_median"], "held out": held})
    chance = pcace(maps, y, held_out=True, n_permutations=6)["null_median"]
    return {"rows": [short_dict(row) for row in rows], "held_out_permuted": short(chance)}


def half(maps, y):
    """Return the paper's case as we read it: 300 images, half as many components."""
    table = pcace(maps[:300], y[:300], "half", n_permutations=1)
    return {"fitted": short(table["pcace"], 5), "permuted": short(table["null_median"], 5)}


def by_images(maps, y):
    """Return rank correlations of rankings by two disjoint sets of images: fitted, first component, held out."""
    rows = []
    for n in IMAGES:
        for draw in range(DRAWS):
            order = np.random.default_rng(draw).permutation(len(y))
            parts = order[:n], order[n : 2 * n]
            row = {"images": n}
            for name in STATISTICS:
                row[name] = alike(*(pcace(maps[part], y[part], statistic=name)["pcace"] for part in parts))
            row["held out"] = alike(*(pcace(maps[part], y[part], held_out=True)["pcace"] for part in parts))
            rows.append(row)
    return rows


def alike(first, second):
    return round(first.corr(second, method="spearman"), 4)


def by_layer(model, images, digit):
    names = ["conv1", "relu1", "conv2", "relu2", "pool"]
    table = rank_channels(model, names, images, digit, n_permutations=19)
    rows = {name: {c: short(part[c]) for c in ("pcace", "null_high")} for name, part in table.groupby("layer")}
    zeros = (activations(model, images, "relu2") == 0).mean(axis=(0, 1, 2))
    return {"names": names, "rows": rows, "zeros_of_relu2": short(zeros)}


def short(values, digits=4):
    """Return numbers as a list for JSON, NaN as None."""
    return [None if np.isnan(value) else round(float(value), digits) for value in values]


def short_dict(row):
    return {name: value if isinstance(value, int) else short(value) for name, value in row.items()}


if __name__ == "__main__":
    main()
