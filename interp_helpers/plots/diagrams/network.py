"""Drawings of a network.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = network_overview(np.zeros((4, 4, 1)), {"relu1": np.ones((2, 2, 3))}, np.arange(5.0))
>>> len(figure.axes) > 2
True
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from interp_helpers.engine.checks import check_array, check_model
from interp_helpers.plots.images import _tile
from interp_helpers.plots.style import ACCENT, INK, MUTED, PALE, WIDTH


def architecture(model):
    """Draw the layers of a Sequential network with the shape of their outputs and their number of parameters.

    Parameters
    ----------
    model : keras.Sequential
        Built, with images (height, width, channels) as input.
    """
    model = check_model(model)
    if len(model.input_shape) != 4:
        raise ValueError("model: give a network whose input is (N, height, width, channels)")
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


def network_overview(image, maps, logits):
    """Draw an image, the feature maps that some layers make of it, and its logits, the highest in the accent colour.

    Parameters
    ----------
    image : ndarray, shape (height, width, 1)
        Grey, in [0, 1].
    maps : dict of str to ndarray, shape (height, width, n_channels)
        Title to activations, drawn on one scale for each layer.
    logits : ndarray, shape (n_classes,)
    """
    image = check_array("image", image, ("height", "width", 1))
    logits = check_array("logits", logits, ("n_classes",))
    figure = plt.figure(figsize=(WIDTH, 2.75 * len(maps)))
    left, right = figure.subfigures(1, 2, width_ratios=[2.1, 5.9])
    digit, bars = left.subplots(2, 1)
    digit.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    digit.set_title("a digit")
    digit.axis("off")
    bars.barh(range(len(logits)), logits, color=[ACCENT if k == logits.argmax() else INK for k in range(len(logits))])
    bars.axvline(0, color="black", linewidth=0.8)
    bars.set(yticks=range(len(logits)), title="class scores")
    bars.tick_params(labelsize=11)
    bars.invert_yaxis()
    for axis, (name, stack) in zip(right.subplots(len(maps), 1, squeeze=False).flat, maps.items(), strict=True):
        picture = axis.imshow(_tile(stack, 8, 2))
        right.colorbar(picture, ax=axis, aspect=14, label="activation")
        axis.set_title(f"{name}: {stack.shape[-1]} channels")
        axis.axis("off")
    return figure


def _draw_maps(axis, x, y, side, channels, colour):
    """Draw feature maps as a stack of overlapping squares, more of them for more channels."""
    n = 1 + int(np.log2(channels))
    for k in range(n):
        corner = (x - side / 2 + 0.22 * (k - (n - 1) / 2), y - side / 2)
        axis.add_patch(Rectangle(corner, side, side, facecolor=colour, edgecolor="white", linewidth=0.8))
