"""Occlude with six fills and in eight networks, and judge all maps by deletion and insertion (audit of chapter 5).

Run by ``make results``, about five minutes on one core; needs no data from elsewhere. Writes ``occlusion_checks.json``
beside it.
"""

import time
import warnings

import numpy as np
import tensorflow as tf

from interp_helpers import attribution, data, metrics
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run

NETWORKS = ("cnn", "cnn_cutout", "all", "gap", "elu", "gelu", "leaky_relu", "tanh")
BASELINES = ("edges", "ink", "random")


def main():
    digits, model = data.load_digits(), load_checkpoint("mnist_cnn")
    fills = {"black": 0.0, "grey": 0.5, "white": 1.0, "local mean": "local", "blur": "blur"}
    fills["mean image"] = digits.images.mean(axis=0)
    some = digits.images[::100], digits.labels[::100]
    path = store_run(
        __file__,
        digits=len(some[0]),
        by_fill={name: presence(model, *some, fill) for name, fill in fills.items()},
        white_by_network={name: presence(load_checkpoint(f"mnist_{name}"), *some, 1.0) for name in NETWORKS},
        compared=len(digits.images[::200]),
        methods=judged(model, digits.images[::200], digits.labels[::200]),
        maps_of_an_8=drawn(model, digits.images[4100:4101], 8),
    )
    print(path)


def presence(network, images, labels, fill):
    """Sum the size of the score change over squares that hide no ink, and over those that hide some, image by image.

    Squares of 5 by 5 pixels at every second place; their numbers are given, too.
    """
    changes = np.abs(attribution.occlusion_map(network, images, labels, stride=2, fill=fill))[:, 1::2, 1::2]
    bare = tf.nn.max_pool2d(images, 5, 1, "SAME").numpy()[:, 1::2, 1::2, 0] < 0.05
    return {
        kind: {
            "sum": np.where(where, changes, 0).sum(axis=(1, 2)).round(4).tolist(),
            "squares": where.sum(axis=(1, 2)).tolist(),
        }
        for kind, where in (("hides nothing", bare), ("hides ink", ~bare))
    }


def judged(model, images, labels):
    """Return for each method its areas, its agreement with itself after shuffling the last layer, and with others."""
    shuffled, ink = metrics.randomize_layers(model, ["logits"]), images[..., 0]
    maps, found = {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a blank map is a map
        for method in (*(name for name in attribution.METHODS if name not in BASELINES), *BASELINES):
            begin = time.perf_counter()
            if method == "ink":
                maps[method] = again = ink
            else:
                maps[method] = attribution.explain(model, images, labels, method)
                again = attribution.explain(shuffled, images, labels, method)
            seconds = (time.perf_counter() - begin) / 2 / len(images)
            curves = metrics.deletion_insertion(model, images, labels, maps[method])
            found[method] = {
                "milliseconds": round(1000 * seconds, 1),
                "deletion": curves[0].mean(axis=1).round(4).tolist(),
                "insertion": curves[1].mean(axis=1).round(4).tolist(),
                "after shuffling": agreement(maps[method], again, ink > 0.5),
            }
    for method, result in found.items():
        result["with others"] = {name: agreement(maps[method], maps[name]) for name in maps if name != method}
    return found


def drawn(model, image, label):
    """Return the map of each method for one image, in percent of its largest size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maps = {method: attribution.explain(model, image, label, method)[0] for method in attribution.METHODS}
    return {name: (100 * m / (np.abs(m).max() or 1)).round().astype(int).tolist() for name, m in maps.items()}


def agreement(maps, others, where=None):
    return round(float(np.nanmean(metrics.rank_agreement(maps, others, where))), 4)


if __name__ == "__main__":
    main()
