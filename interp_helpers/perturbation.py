"""Perturb the weights of one layer step by step, and measure the accuracy (Casacuberta Puig 2019, section 3.5).

>>> from interp_helpers.data import load_digits
>>> from interp_helpers.models import load_checkpoint
>>> digits, model = load_digits().subset(slice(0, 5000, 50)), load_checkpoint("mnist_cnn")
>>> curve = perturb_layer(model, "logits", digits.images, digits.labels, steps=2, size=0.1)
>>> curve[["step", "distance"]].values.tolist()
[[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]]
"""

import keras
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_helpers.engine.checks import (
    check_choice,
    check_count,
    check_images,
    check_labels,
    check_model,
    check_number,
    check_table,
)
from interp_helpers.engine.graph import find_layer, linear_layer, n_outputs
from interp_helpers.engine.hooks import batches
from interp_helpers.engine.resume import layer_weights, predicted_class, resume_after
from interp_helpers.engine.statistics import area_under_curve, wilson_interval

DIRECTIONS = ("constant", "sign", "gaussian")


def perturb_layer(
    model, layer, images, labels, steps=50, size=0.1, direction="constant", seed=0, relative=True, batch_size=500
):
    """Move all weights and biases of one layer in steps along a straight line; measure the accuracy after each.

    The source adds 0.005 to every weight and bias 50 times (``size=0.005, relative=False``). A convolution or dense
    layer is linear in its weights, so its output moves on a straight line, too: the layer and what comes before it are
    computed once (and kept for a batch), what comes after it at every step.

    A step is `size` standard deviations of the layer's kernel, or `size` itself with ``relative=False``; for random
    directions, in the root mean square over the weights. The direction is "constant" (the same number for every
    weight), "sign" (with a random sign) or "gaussian". One output of the model is the logit of class 1.

    Returns a DataFrame, one row for each step from 0 to `steps`: layer, direction, seed, step, distance (step times
    `size`), accuracy, low, high (95 % interval, Wilson).
    """
    found = linear_layer(model := check_model(model), layer)
    images = check_images(model, images)
    labels = check_labels(labels, len(images), max(2, n_outputs(model)))
    steps = check_count("steps", steps)
    if check_number("size", size) == 0:
        raise ValueError(f"size: got {size}; give a number other than 0")
    line = _direction(found, direction, seed, relative)
    n_right = np.zeros(steps + 1, int)
    with tqdm(total=len(batches(len(images), batch_size)) * (steps + 1), desc=layer, leave=False) as bar:
        for part in batches(len(images), batch_size):
            start, along, rest = resume_after(model, found, images[part], line)
            for step in range(steps + 1):
                n_right[step] += (predicted_class(rest(start + step * size * along)) == labels[part]).sum()
                bar.update()
    rows = pd.DataFrame({"layer": layer, "direction": direction, "seed": seed, "step": np.arange(steps + 1)})
    rows["distance"] = rows["step"] * size
    return rows.join(wilson_interval(n_right, len(images)).rename(columns={"share": "accuracy"}))


def move_weights(model, layer, distance, direction="constant", seed=0, relative=True):
    """Return a copy of a model in which the weights and biases of one layer are moved, as in `perturb_layer`."""
    found = linear_layer(model := check_model(model), layer)
    line = _direction(found, direction, seed, relative)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    moved = find_layer(copy, layer)
    for name, weights in layer_weights(found).items():
        getattr(moved, name).assign(weights + check_number("distance", distance) * line[name])
    return copy


def rank_layers(curves, chance):
    """Sum up how fast the accuracy falls as the weights of each layer move: the numbers to rank layers by.

    Takes rows of `perturb_layer`, of one network, and the accuracy of guessing (0.1 for ten equal classes). Returns a
    DataFrame, one row for each curve: layer, direction, seed, area (under the curve, as a mean accuracy over the
    distance), half (the distance at which the accuracy is first halfway between its start and chance, interpolated
    between two steps; infinite if it never is, NaN if it begins there).
    """
    check_number("chance", chance, 0, 1)
    rows, ends, key_columns = [], set(), ["layer", "direction", "seed"]
    curves = check_table(curves, [*key_columns, "distance", "accuracy"], "curves")
    for key, curve in curves.groupby(key_columns, sort=False):
        distance, accuracy = curve["distance"].to_numpy(), curve["accuracy"].to_numpy()
        if len(curve) < 2 or len(set(np.sign(np.diff(distance)))) != 1 or distance[1] == distance[0]:
            raise ValueError(f"curves: the distances of {key} do not go one way; give one curve for each of them")
        half = _first_below(distance, accuracy, (accuracy[0] + chance) / 2) if accuracy[0] > chance else np.nan
        rows.append((*key, area_under_curve(distance, accuracy), half))
        ends.add(round(float(abs(distance[-1] - distance[0])), 9))
    if len(ends) > 1:
        raise ValueError(f"curves: they go over distances of {sorted(ends)}; areas compare over the same distance only")
    return pd.DataFrame(rows, columns=[*key_columns, "area", "half"])


def _direction(layer, direction, seed, relative):
    """Return how kernel and bias move per unit of distance."""
    check_choice("direction", direction, DIRECTIONS)
    rng, weights = np.random.default_rng(check_count("seed", seed, 0)), layer_weights(layer)
    scale = weights["kernel"].std() if relative else 1.0
    if scale == 0:
        raise ValueError(f"relative: all weights of {layer.name!r} are the same; give relative=False")
    draws = (np.ones, lambda shape: rng.choice([-1.0, 1.0], shape), rng.standard_normal)
    draw = dict(zip(DIRECTIONS, draws, strict=True))[direction]
    return {name: (scale * draw(values.shape)).astype(np.float32) for name, values in weights.items()}


def _first_below(distance, accuracy, level):
    """Return the distance at which a curve first reaches a level from above, interpolated; infinite if never."""
    below = np.flatnonzero(accuracy <= level)
    if len(below) == 0 or below[0] == 0:
        return np.inf
    i = below[0]
    share = (accuracy[i - 1] - level) / (accuracy[i - 1] - accuracy[i])
    return distance[i - 1] + share * (distance[i] - distance[i - 1])
