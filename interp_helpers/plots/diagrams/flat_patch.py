"""Drawing of what a channel of a first layer does on a patch of one grey value: b + S v, then the ReLU.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = flat_patch(-np.ones((2, 2)), 1, values=(0, 0.5))
>>> [text.get_text().split("\\n")[-1] for text in figure.axes[0].texts[-1:]]
['b = 1.00']
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import numbers, sign
from interp_helpers.plots.style import ACCENT, INK, WIDTH


def flat_patch(kernel, bias, values=(0, 0.5, 1), names=("black", "grey", "white"), title="kernel"):
    """Draw a kernel, flat patches of some grey values below their names, and what the channel makes of each.

    Parameters
    ----------
    kernel : ndarray, shape (height, width)
        Of a layer with one input channel.
    bias : float
    values : sequence of float
        Grey values from 0 to 1; all pixels of a patch have one of them.
    names : sequence of str
        One for each value.
    title : str
        Above the kernel.

    Returns
    -------
    matplotlib.figure.Figure
        The kernel first, then for each value its patch, its sum and its output.
    """
    kernel, total = np.asarray(kernel, float), float(np.sum(kernel))
    figure = plt.figure(figsize=(WIDTH, 4.7))
    grid = figure.add_gridspec(3, len(values) + 1, width_ratios=[1.35] + [1] * len(values), height_ratios=[4, 2, 2])
    axis = figure.add_subplot(grid[:2, 0])
    axis.axis("off")
    numbers(axis, kernel, title, "{:.2f}", fontsize=14)
    below = f"S = sum of weights = {_signed(total)}\nb = {_signed(bias)}"
    axis.text(0.5, -0.1, below, ha="center", va="top", fontsize=14, linespacing=1.6, transform=axis.transAxes)
    for column, (value, name) in enumerate(zip(values, names, strict=False), 1):
        _patch(figure.add_subplot(grid[0, column]), value, kernel.shape, f"{name}, v = {value:g}")
        before = float(bias) + total * value
        steps = f"b + S v\n= {_signed(bias)} {'-' if total < 0 else '+'} {abs(total) * value:.2f}\n= {_signed(before)}"
        sign(figure.add_subplot(grid[1, column]), steps.replace("-", "\N{MINUS SIGN}"), fontsize=14)
        _output(figure.add_subplot(grid[2, column]), max(0.0, before))
    return figure


def _signed(value):
    """Return a number with two decimals, with a minus sign and without one before zero."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "\N{MINUS SIGN}")


def _patch(axis, value, shape, title):
    """Draw a patch of one grey value, with the value in each pixel."""
    axis.imshow(np.full(shape, value), cmap="gray", vmin=0, vmax=1)
    for row, column in np.ndindex(shape):
        colour = "white" if value < 0.45 else "black"
        axis.text(column, row, f"{value:g}", ha="center", va="center", fontsize=13, color=colour)
    axis.set_title(title, fontsize=14)
    axis.set(xticks=np.arange(0.5, shape[1] - 1), yticks=np.arange(0.5, shape[0] - 1), xticklabels=[], yticklabels=[])
    axis.grid(color="#999999", linewidth=0.8)
    axis.tick_params(length=0)
    axis.spines[:].set(visible=True, color="#999999")


def _output(axis, value):
    """Write what the ReLU passes, in the colour of a lit or of a silent channel."""
    lit = value > 0
    axis.axis("off")
    axis.annotate(
        f"{value:.2f}\n{'lit' if lit else 'silent'}",
        (0.5, 0.05),
        ha="center",
        va="bottom",
        fontsize=16,
        fontweight="bold",
        color=INK if lit else ACCENT,
        xycoords="axes fraction",
    )
    axis.annotate(
        "",
        (0.5, 0.75),
        (0.5, 1.1),
        xycoords="axes fraction",
        arrowprops={"arrowstyle": "->", "color": "black", "linewidth": 1.5},
    )
    axis.text(0.56, 0.93, "ReLU", ha="left", va="center", fontsize=12, transform=axis.transAxes)
