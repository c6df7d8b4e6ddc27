"""Drawings of a network."""

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from interp_helpers.plots.images import _tiled
from interp_helpers.plots.style import ACCENT, INK, MUTED, PALE, WIDTH


def architecture(model):
    """Draw the layers of a Sequential network with the shape that each puts out and its number of parameters.

    Parameters
    ----------
    model : keras.Sequential
        Built, with images (height, width, channels) as input.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the model is not built, or if its input are not images.
    """
    if not model.built or len(model.input_shape) != 4:
        raise ValueError("model: give a built network whose input is (N, height, width, channels)")
    steps = [("input", tuple(model.input_shape[1:]), 0)]
    steps += [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
    tallest = max(shape[0] for _, shape, _ in steps if len(shape) == 3)
    figure, axis = plt.subplots(figsize=(WIDTH, 0.44 * (len(steps) + 1)))
    for x, heading in ((2.1, "layer"), (8.4, "shape"), (11.4, "parameters")):
        axis.text(x, -1, heading, ha="right", va="center", color=MUTED)
    for row, (name, shape, parameters) in enumerate(steps):
        colour = INK if parameters else PALE
        if len(shape) == 3:
            _draw_maps(axis, 4.2, row, side=0.8 * shape[0] / tallest, channels=shape[2], colour=colour)
        else:
            width = 0.2 * np.log2(shape[0])
            axis.add_patch(Rectangle((4.2 - width / 2, row - 0.14), width, 0.28, facecolor=colour))
        axis.text(2.1, row, name, ha="right", va="center")
        axis.text(8.4, row, " x ".join(f"{length:,}" for length in shape), ha="right", va="center")
        axis.text(11.4, row, f"{parameters:,}", ha="right", va="center", color=INK if parameters else MUTED)
    axis.set(xlim=(-0.4, 11.6), ylim=(len(steps) - 0.4, -1.5))
    axis.axis("off")
    return figure


def network_overview(model, image, layers=("conv1", "conv2")):
    """Draw an image, what every channel of some layers makes of it after the ReLU, and the class scores.

    Parameters
    ----------
    model : keras.Model
        With named layers; its output are probabilities or scores.
    image : ndarray, shape (height, width, 1)
    layers : sequence of str
        Convolutional layers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the image has another shape than the input of the model, or if there is no layer of one of the names.
    """
    from interp_helpers.models import named_layer, scores

    if np.shape(image) != tuple(model.input_shape[1:]):
        raise ValueError(f"image: got shape {np.shape(image)}; the model takes {tuple(model.input_shape[1:])}")
    outputs = [named_layer(model, name).output for name in layers] + scores(model).outputs
    *maps, logits = keras.Model(model.inputs, outputs).predict(image[None], verbose=0)
    figure = plt.figure(figsize=(WIDTH, 2.75 * len(layers)))
    left, right = figure.subfigures(1, 2, width_ratios=[2.1, 5.9])
    digit, bars = left.subplots(2, 1)
    digit.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    digit.set_title("a digit")
    digit.axis("off")
    colours = [ACCENT if k == logits[0].argmax() else INK for k in range(len(logits[0]))]
    bars.barh(range(len(logits[0])), logits[0], color=colours)
    bars.axvline(0, color="black", linewidth=0.8)
    bars.set(yticks=range(len(logits[0])), title="class scores")
    bars.tick_params(labelsize=11)
    bars.invert_yaxis()
    for axis, name, stack in zip(right.subplots(len(layers), 1), layers, maps, strict=True):
        picture = axis.imshow(_tiled(np.maximum(stack[0], 0)))
        right.colorbar(picture, ax=axis, aspect=14, label="activation")
        axis.set_title(f"{name}, after the ReLU: {stack.shape[-1]} channels")
        axis.axis("off")
    return figure


def _draw_maps(axis, x, y, side, channels, colour):
    """Draw a stack of maps as overlapping squares, more of them for more channels."""
    n = 1 + int(np.log2(channels))
    for k in range(n):
        corner = (x - side / 2 + 0.22 * (k - (n - 1) / 2), y - side / 2)
        axis.add_patch(Rectangle(corner, side, side, facecolor=colour, edgecolor="white", linewidth=0.8))
