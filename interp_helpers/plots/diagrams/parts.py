"""What drawings of mechanisms are made of: small arrays with their numbers, pictures, signs and arrows between them.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure, axes = strip([1, 0.4, 1])
>>> numbers(axes[0], np.eye(2), "a kernel")
>>> sign(axes[1], "=")
>>> [text.get_text() for text in axes[0].texts]
['1', '0', '0', '1']
"""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.style import ACCENT, INK, MUTED, WIDTH


def strip(widths, height=1.9):
    """Return a figure and axes without frames, side by side, of relative widths: pictures, with signs between them."""
    figure, axes = plt.subplots(1, len(widths), figsize=(WIDTH, height), width_ratios=widths)
    for axis in axes:
        axis.axis("off")
    return figure, axes


def numbers(axis, values, title="", form="{:g}", bound=None, fontsize=13):
    """Draw a small array (height, width) as coloured squares with its numbers; negative is red, positive is blue.

    Parameters
    ----------
    form : str
        How a number is written.
    bound : float, optional
        The value with the darkest colour; the largest by default.
    """
    values = np.asarray(values, float)
    bound = bound or np.abs(values).max() or 1
    # half of the scale, so that black numbers can be read on all of it
    axis.imshow(values, cmap="RdBu", vmin=-2 * bound, vmax=2 * bound)
    for (row, column), value in np.ndenumerate(values):
        axis.text(column, row, form.format(value), ha="center", va="center", fontsize=fontsize)
    for edge in np.arange(-0.5, max(values.shape)):
        if edge <= values.shape[0]:
            axis.axhline(edge, color="white", linewidth=1.5)
        if edge <= values.shape[1]:
            axis.axvline(edge, color="white", linewidth=1.5)
    axis.set_title(title, fontsize=13)


def picture(axis, values, title="", signed=False, bound=None):
    """Draw an image or a map (height, width): grey from 0 to 1, or signed with a diverging scale centred at 0."""
    values = np.asarray(values)
    bound = bound or np.abs(values).max() or 1
    scale = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound} if signed else {"cmap": "gray", "vmin": 0, "vmax": bound}
    axis.imshow(values, **scale)
    axis.set_title(title, fontsize=13)


def sign(axis, text, below="", fontsize=26):
    """Write a sign between two pictures (``"="``, ``"+"``, an arrow), and a word or two below it."""
    axis.axis("off")
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=fontsize, color=INK, transform=axis.transAxes)
    axis.text(0.5, 0.12, below, ha="center", va="center", fontsize=12, color=MUTED, transform=axis.transAxes)


def weighted_maps(figure, grid, columns, maps, weights, channels, name):
    """Draw the maps of some channels in one column of a grid, and beside each a bar, its weight.

    Parameters
    ----------
    columns : (int, int); those of the maps and of the bars
    maps : ndarray, shape (rows, columns, n_channels); one colour scale for all that are drawn
    weights : ndarray, shape (n_channels,); positive ones in the accent colour
    name : str; what the weights are called
    """
    reach, brightest = np.abs(weights).max(), maps[..., list(channels)].max()
    for row, c in enumerate(channels):
        of_map, bar = (figure.add_subplot(grid[row, column]) for column in columns)
        of_map.imshow(maps[..., c], vmin=0, vmax=brightest)
        bar.barh([0], [weights[c]], height=0.5, color=ACCENT if weights[c] > 0 else INK)
        bar.plot([0, 0], [-0.45, 0.45], color="black", linewidth=1)
        bar.set(xlim=(-1.05 * reach, 1.05 * reach), ylim=(-1.2, 1.2))
        bar.text(0, 0.8, f"channel {c}", ha="center", va="center", fontsize=13, color=MUTED)
        if row == 0:
            of_map.set_title("maps", fontsize=13)
            bar.set_title(f"times {name}", fontsize=13)
        of_map.axis("off")
        bar.axis("off")


def box(axis, row, column, size=1, colour="black"):
    """Frame a square of a picture, whose upper left pixel is given."""
    corner = (column - 0.5, row - 0.5)
    axis.add_patch(mpl.patches.Rectangle(corner, size, size, fill=False, edgecolor=colour, linewidth=2.5))
