"""A convolution at one position: a patch times a kernel, summed, plus a bias, and the ReLU.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = convolution(np.eye(4), np.ones((3, 3)), -1, 0, 1)
>>> [text.get_text() for text in figure.axes[7].texts]
['sum', '+2.00', 'bias', '-1.00', 'together', '+1.00', 'ReLU', '+1.00']
"""

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from interp_helpers.plots.diagrams.parts import box, sign
from interp_helpers.plots.style import ACCENT, INK, WIDTH


def convolution(image, kernel, bias, row, column):
    """Draw how one value of a feature map comes about, with the numbers of a network.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        Grey, in [0, 1].
    kernel : ndarray, shape (k, k)
    bias : float
    row, column : int
        The position in the map; the patch has its upper left pixel there.

    Returns
    -------
    matplotlib.figure.Figure
    """
    image, kernel = np.asarray(image, float), np.asarray(kernel, float)
    patches = sliding_window_view(image, kernel.shape)
    maps = np.maximum(0, (patches * kernel).sum(axis=(2, 3)) + bias)
    patch = patches[row, column]
    figure, axes = plt.subplots(2, 5, figsize=(WIDTH, 5.6), width_ratios=[3, 0.55, 3, 0.55, 3])
    for axis in axes.flat:
        axis.axis("off")
    (digit, arrow, pixels, times, weights), (products, equals, steps, becomes, result) = axes

    digit.imshow(image, cmap="gray", vmin=0, vmax=1)
    digit.set_title("the picture", fontsize=16)
    box(digit, row, column, len(kernel), ACCENT)
    sign(arrow, "$\\rightarrow$")
    pixels.imshow(patch, cmap="gray", vmin=0, vmax=1)
    _write(pixels, patch, "{:.2f}", "its patch", ["white" if value < 0.5 else "black" for value in patch.flat])
    sign(times, "$\\times$")
    bound = np.abs(kernel).max()
    _signed(weights, kernel, bound, "the kernel")

    _signed(products, patch * kernel, bound, "= nine products")
    sign(equals, "$\\rightarrow$")
    _add_up(steps, (patch * kernel).sum(), bias)
    sign(becomes, "$\\rightarrow$")
    result.imshow(maps, vmin=0)
    result.set_title("a value of the map", fontsize=16)
    box(result, row - 1, column - 1, 3, ACCENT)
    return figure


def _signed(axis, values, bound, title):
    # half of the scale, so that black numbers can be read on all of it; red is positive, as in the figures of kernels
    axis.imshow(values, cmap="RdBu_r", vmin=-2 * bound, vmax=2 * bound)
    _write(axis, values, "{:+.2f}", title, ["black"] * values.size)


def _write(axis, values, form, title, colours):
    """Write numbers into the squares of a small picture; a zero without sign and decimals."""
    for ((row, column), value), colour in zip(np.ndenumerate(values), colours, strict=True):
        text = form.format(value) if round(value, 2) else "0"
        axis.text(column, row, text, ha="center", va="center", fontsize=16, color=colour)
    axis.set_title(title, fontsize=16)


def _add_up(axis, total, bias):
    """Write the sum of the products, the bias, what they make together, and what the ReLU leaves of it."""
    lines = [("sum", total, INK), ("bias", bias, INK), ("together", total + bias, INK)]
    lines.append(("ReLU", max(0, total + bias), ACCENT))
    for y, (word, value, colour) in zip((0.9, 0.68, 0.42, 0.16), lines, strict=True):
        for x, text, side in ((0, word, "left"), (1, f"{value:+.2f}" if round(value, 2) else "0", "right")):
            axis.text(x, y, text, ha=side, va="center", fontsize=17, color=colour, transform=axis.transAxes)
    axis.plot([0, 1], [0.55, 0.55], color=INK, linewidth=1.5, transform=axis.transAxes)
