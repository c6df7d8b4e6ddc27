"""Drawings of the way forward to a class score and of the way back: class activation maps, unpooling, transposes.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = spread_out([1, 2], [1, 0, 1], stride=1)
>>> [text.get_text() for text in figure.axes[0].texts][-4:]  # the sum of the shifted kernels
['1', '2', '1', '2']
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import box, numbers, sign, strip, weighted_maps
from interp_helpers.plots.style import ACCENT, INK, MUTED, WIDTH


def class_activation(image, maps, weights, bias, channels):
    """Draw CAM: maps times the weights of a class, added to a signed map, whose mean plus the bias is the score.

    Parameters
    ----------
    image : ndarray, shape (height, width)
    maps : ndarray, shape (rows, columns, n_channels)
        What goes into global average pooling.
    weights : ndarray, shape (n_channels,)
        Of the class, in the last layer.
    bias : float
    channels : sequence of int
        Which maps are drawn; all are added.
    """
    cam = maps @ weights
    figure = plt.figure(figsize=(WIDTH, 4.2))
    grid = figure.add_gridspec(len(channels), 5, width_ratios=[1.2, 0.55, 0.62, 1.4, 0.95])
    weighted_maps(figure, grid, (1, 2), maps, weights, channels, "weight")
    picture, total, words = (figure.add_subplot(grid[:, column]) for column in (0, 3, 4))
    picture.imshow(image, cmap="gray", vmin=0, vmax=1)
    picture.set_title("picture", fontsize=13)
    bound = np.abs(cam).max()
    total.imshow(cam, cmap="RdBu_r", vmin=-bound, vmax=bound)
    total.set_title(f"sum of all {len(weights)}: CAM", fontsize=13)
    lines = [("mean of CAM", f"{cam.mean():.2f}", INK), ("plus bias", f"{bias:.2f}", MUTED)]
    lines += [("= score", f"{cam.mean() + bias:.2f}", ACCENT)]
    for line, (name, value, colour) in enumerate(lines):
        words.text(0.02, 0.82 - 0.27 * line, name, fontsize=13, color=MUTED)
        words.text(0.02, 0.73 - 0.27 * line, value.replace("-", "\N{MINUS SIGN}"), fontsize=17, color=colour)
    for axis in figure.axes:
        axis.axis("off")
    return figure


def spread_out(values, kernel, stride):
    """Draw a transposed convolution: each value writes the kernel, times itself, one stride further; then all is added.

    Parameters
    ----------
    values, kernel : sequence of numbers
    stride : int
    """
    values, kernel = np.asarray(values, float), np.asarray(kernel, float)
    length = stride * (len(values) - 1) + len(kernel)
    rows = np.zeros((len(values), length))
    for row, value in enumerate(values):
        rows[row, row * stride : row * stride + len(kernel)] = value * kernel
    table = np.vstack([rows, rows.sum(axis=0)])
    figure, axis = plt.subplots(figsize=(WIDTH, 0.75 * len(table) + 0.7))
    bound = 1.6 * np.abs(table).max()
    axis.imshow(table, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto")
    for row, line in enumerate(table):
        written = range(length) if row == len(values) else range(row * stride, row * stride + len(kernel))
        for column in written:
            axis.text(column, row, f"{line[column]:g}", ha="center", va="center", fontsize=16)
    for edge in np.arange(-0.5, length):
        axis.axvline(edge, color="white", linewidth=2)
    for edge in np.arange(-0.5, len(values)):
        axis.axhline(edge, color="white", linewidth=2)
    axis.axhline(len(values) - 0.5, color="black", linewidth=1.5)
    labels = [f"{value:g} times\nthe kernel" for value in values] + ["sum"]
    axis.set_yticks(range(len(table)), labels, fontsize=13)
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(f"kernel {' '.join(f'{k:g}' for k in kernel)}, {stride} further for each value", fontsize=13)
    return figure


def switches(values, back):
    """Draw max-pooling of 2 by 2 with its switches, and unpooling, which sets values back to where the maxima were.

    Parameters
    ----------
    values : ndarray, shape (4, 4)
        What goes into max-pooling; no two largest values in a square.
    back : ndarray, shape (2, 2)
        What comes back to it.
    """
    values, back = np.asarray(values, float), np.asarray(back, float)
    blocks = values.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(2, 2, 4)
    winner = blocks.argmax(axis=2)
    figure, axes = strip([1, 0.34, 0.62, 0.3, 0.62, 0.34, 1], height=2.6)
    bound = max(np.abs(values).max(), np.abs(back).max())
    unpooled = np.zeros((4, 4))
    places = []
    for (row, column), k in np.ndenumerate(winner):
        place = 2 * row + k // 2, 2 * column + k % 2
        unpooled[place] = back[row, column]
        places.append(place)
    drawn = {
        0: (values, "goes in"),
        2: (blocks.max(axis=2), "maxima"),
        4: (back, "comes back"),
        6: (unpooled, "unpooled"),
    }
    for k, (array, title) in drawn.items():
        numbers(axes[k], array, title, bound=bound, fontsize=14)
        axes[k].images[0].set_cmap("RdBu_r")
    for axis in (axes[0], axes[6]):
        for place in places:
            box(axis, *place, colour=ACCENT)
            axis.patches[-1].set(zorder=5, linewidth=3)  # above the lines between the cells
        axis.plot([1.5, 1.5], [-0.5, 3.5], color=MUTED, linewidth=2)
        axis.plot([-0.5, 3.5], [1.5, 1.5], color=MUTED, linewidth=2)
    for k, (text, above) in {1: ("→", "pool"), 3: ("…", ""), 5: ("→", "unpool")}.items():
        sign(axes[k], text)
        axes[k].text(0.5, 0.6, above, ha="center", fontsize=12, color=MUTED, transform=axes[k].transAxes)
    return figure
