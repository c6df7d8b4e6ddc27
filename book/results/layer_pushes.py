"""Push the layers of the MNIST network in many directions, by equal outputs, and in a rescaled copy (chapter 7).

Run by ``make results``, about five minutes on one core; needs no data from elsewhere. Writes ``layer_pushes.json``
beside it. All on 500 digits that the network has not seen, 50 of each class.
"""

import keras
import numpy as np
import pandas as pd

from interp_helpers.data import load_digits
from interp_helpers.layers import activations
from interp_helpers.metrics import randomize_layers
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run
from interp_helpers.perturbation import move_weights, perturb_layer, rank_layers

LAYERS = ["conv1", "conv2", "dense1", "logits"]
DRAWS = {"constant": range(2), "sign": range(5), "gaussian": range(5)}


def main():
    model, digits = load_checkpoint("mnist_cnn"), load_digits()
    few = digits.subset(slice(0, 5000, 10))
    moves = output_moves(model, few.images)
    signs = moves[moves["direction"] == "sign"].groupby("layer")["moved by"].mean()
    path = store_run(
        __file__,
        digits=len(few),
        output_moves=as_lists(moves, 5),
        directions=as_lists(directions(model, few)),
        fair=as_lists(fair(model, few, signs)),
        checks=checks(model, few),
    )
    print(path)


def output_moves(model, images):
    """Return how far a tenth of a standard deviation moves the output of each layer.

    In standard deviations of that output from image to image.
    """
    rows = []
    for name in LAYERS:
        before = activations(model, images, name)
        usual = np.sqrt(before.var(axis=0).mean())
        for kind, seeds in {"constant": range(1), "sign": range(3), "gaussian": range(3)}.items():
            for seed in seeds:
                change = activations(move_weights(model, name, 0.1, kind, seed), images, name) - before
                rows.append((name, kind, seed, np.sqrt((change**2).mean()) / usual))
    return pd.DataFrame(rows, columns=["layer", "direction", "seed", "moved by"])


def directions(model, digits):
    """Move by up to six standard deviations of each layer's kernel; the second draw of the constant is subtracted."""
    curves = []
    for kind, seeds in DRAWS.items():
        for seed in seeds:
            size = -0.5 if (kind, seed) == ("constant", 1) else 0.5
            for name in LAYERS:
                rows = perturb_layer(model, name, digits.images, digits.labels, 12, size, kind, seed)
                curves.append(rows.assign(distance=rows["distance"].abs()))
    return pd.concat(curves)


def fair(model, digits, signs):
    """Move each layer by random signs until its output has moved by the same amount, up to two standard deviations."""
    curves = []
    for name in LAYERS:
        for seed in range(3):
            size = 0.1 * 0.25 / signs[name]
            rows = perturb_layer(model, name, digits.images, digits.labels, 8, size, "sign", seed)
            curves.append(rows.assign(distance=0.25 * rows["step"]))
    return pd.concat(curves)


def checks(model, digits):
    """Return areas of conv1 and conv2: of the network, of one that computes the same, and where nothing is learned."""
    same = keras.models.clone_model(model)
    same.set_weights(model.get_weights())
    for name, factors in (("conv1", (0.1, 0.1)), ("conv2", (10, 1))):
        pairs = zip(same.get_layer(name).get_weights(), factors, strict=True)
        same.get_layer(name).set_weights([weights * factor for weights, factor in pairs])
    guesses = randomize_layers(model, LAYERS, seed=0)
    mixed = np.random.default_rng(0).permutation(digits.labels)
    absolute, in_sd = {"size": 0.0125, "relative": False}, {"size": 0.1}
    cases = {
        "0.0125 added": (model, digits.labels, absolute),
        "the same, rescaled network": (same, digits.labels, absolute),
        "0.1 sd added": (model, digits.labels, in_sd),
        "0.1 sd added, rescaled network": (same, digits.labels, in_sd),
        "weights shuffled": (guesses, digits.labels, in_sd),
        "labels shuffled": (model, mixed, in_sd),
    }
    curves, areas = [], {name: {} for name in ("conv1", "conv2")}
    for case, (network, labels, step) in cases.items():
        for name in areas:
            curve = perturb_layer(network, name, digits.images, labels, steps=20, **step)
            areas[name][case] = round(rank_layers(curve, chance=0.1)["area"].item(), 4)
            curves.append(curve.assign(case=case))
    return {"areas": areas, "curves": as_lists(pd.concat(curves)[["case", "layer", "distance", "accuracy"]])}


def as_lists(table, digits=4):
    return table.round(digits).to_dict(orient="list")


if __name__ == "__main__":
    main()
