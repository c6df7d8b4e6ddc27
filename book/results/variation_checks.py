"""What changes a ranking of channels: the number of digits, the step, the draw, the network behind it (chapter 9).

Run by ``make results``, about three minutes on two cores; needs no data from elsewhere. Writes
``variation_checks.json`` beside it.
"""

from itertools import combinations

import numpy as np

from interp_helpers.data import load_digits
from interp_helpers.engine.gradients import map_gradients
from interp_helpers.engine.resume import resume_after
from interp_helpers.layers import activations
from interp_helpers.metrics import randomize_layers
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run
from interp_helpers.variation import vary_channel

METHODS, PLACES = ("gradient", "kill", "noise"), {"activations": "relu1", "weights": "conv1"}
SIZES = (0.01, 0.1, 0.3, 1, 3, 10)
SEEDS = range(3)


def main():
    model, digits = load_checkpoint("mnist_cnn"), load_digits()
    few = digits.subset(slice(0, 5000, 50))  # 10 of each class
    parts = (sizes_of_all, listing, steps, noise, shuffled, interactions)
    print(store_run(__file__, digits=len(few), **{part.__name__: part(model, few) for part in parts}))


def varied(model, digits, method, on="activations", of_size=None, seed=0):
    """Return the change of the true class's score, shape (32, N)."""
    rows = vary_channel(model, PLACES[on], digits.images, digits.labels, method, on, of_size, seed)
    return rows["change"].to_numpy().reshape(32, -1)


def size(*args, **options):
    return np.abs(varied(*args, **options)).mean(axis=1)


def numbers(values):
    return [round(float(value), 5) for value in values]


def sizes_of_all(model, digits):
    """Return the mean absolute change for each method, place and channel."""
    return {
        f"{method}, {on}": numbers(size(model, digits, method, on))
        for on in PLACES
        for method in METHODS
        if (method, on) != ("noise", "weights")  # of which `noise` has three draws
    }


def listing(model, digits):
    """Return the same for the tutorial's listing, which moves weights by a tenth of the sd of the activations."""
    of_maps = activations(model, digits.images, "relu1").std(axis=(1, 2))
    of_kernels = model.get_layer("conv1").get_weights()[0].std(axis=(0, 1, 2))
    return numbers(size(model, digits, "gradient", "weights", 0.1 * of_maps / of_kernels))


def steps(model, digits):
    """Return the effect of steps of several sizes, each divided by its size, and how far it is from the gradient's."""
    of_maps = activations(model, digits.images, "relu1").std(axis=(1, 2))
    first_order = (map_gradients(model, digits.images, digits.labels, "relu1")[1].sum(axis=(1, 2)) * of_maps).T
    rows = []
    for on in PLACES:
        for of_size in SIZES:
            step = varied(model, digits, "gradient", on, of_size) / of_size
            off = float(np.abs(step - first_order).mean() / np.abs(first_order).mean()) if on == "activations" else None
            rows.append({"on": on, "size": of_size, "per_size": numbers(np.abs(step).mean(axis=1)), "error": off})
    return rows


def noise(model, digits):
    """Return the effects of noise and of its two parts, of several draws and sizes."""
    return {
        "shift_of_weights": numbers(size(model, digits, "shift", "weights")),
        "noise_of_weights": [numbers(size(model, digits, "noise", "weights", seed=seed)) for seed in SEEDS],
        "shakes": {on: [numbers(size(model, digits, "shake", on, seed=seed)) for seed in SEEDS] for on in PLACES},
        "small_and_large_shake": [numbers(size(model, digits, "shake", "activations", s)) for s in (0.3, 3)],
    }


def shuffled(model, digits):
    """Return the effects in three networks whose weights after the layer are shuffled."""
    others = [randomize_layers(model, ["conv2", "dense1", "logits"], seed) for seed in SEEDS]
    return {method: [numbers(size(other, digits, method)) for other in others] for method in METHODS}


def interactions(model, digits):
    """Return what each pair of channels costs, and how much more than the sum of both: mean, sd, mean size."""
    start, _, rest = resume_after(model, model.get_layer("relu1"), digits.images)

    def without(*channels):
        keep = np.ones(32, "float32")
        keep[list(channels)] = 0
        return np.array(rest(start * keep))[np.arange(len(digits)), digits.labels]

    pairs, before = list(combinations(range(32), 2)), without()
    alone = np.array([before - without(c) for c in range(32)])
    together = np.array([before - without(*pair) for pair in pairs])
    excess = together - np.array([alone[a] + alone[b] for a, b in pairs])
    found = {"excess": excess.mean(axis=1), "excess_sd": excess.std(axis=1), "excess_size": np.abs(excess).mean(axis=1)}
    return {"together": numbers(together.mean(axis=1)), **{name: numbers(values) for name, values in found.items()}}


if __name__ == "__main__":
    main()
