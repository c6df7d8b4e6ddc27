"""Drawings of removal: channels are cut off in the order of a ranking, and the accuracy says what they were worth.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = removal(np.ones((5, 5, 4)), [2, 0, 1, 3], {"best first": ([2, 0], 0.25), "worst first": ([3, 1], 0.5)})
>>> [axis.texts[0].get_text() for axis in figure.axes[1::2]]
['25 %', '50 %']
>>> figure = removal_so_far({"best first": ([0, 1], [1, 0.5, 0.1])}, 1)
>>> [text.get_text() for text in figure.axes[0].texts]
['best first', '50 %']
"""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.style import ACCENT, INK, MUTED, PALE, WIDTH

COLOURS = (ACCENT, INK, MUTED)


def removal(maps, order, cuts, n_columns=16):
    """Draw the feature maps of an image in the order of a ranking, some of them cut off, and the accuracy that is left.

    Parameters
    ----------
    maps : ndarray, shape (height, width, n_channels)
    order : sequence of int
        All channels, from the first of the ranking to the last; they are drawn in rows from left to right.
    cuts : dict of str to (sequence of int, float)
        For each row of the drawing its name, the channels that are cut off, and the accuracy without them.
    n_columns : int
        Maps in a row.
    """
    maps = np.asarray(maps, float)
    figure, axes = plt.subplots(
        len(cuts), 2, figsize=(WIDTH, 1.42 * len(cuts)), width_ratios=[6, 1.5], squeeze=False, sharex="col"
    )
    for (name, (cut, left)), (pictures, bar), colour in zip(cuts.items(), axes, COLOURS, strict=False):
        cut, n_rows = set(cut), -(-len(order) // n_columns)
        height, width = np.array(maps.shape[:2]) + 2
        tiles = np.full((n_rows * height, n_columns * width), np.nan)
        for place, channel in enumerate(order):
            row, column = divmod(place, n_columns)
            top, left_edge = row * height + 1, column * width + 1
            if channel in cut:
                middle = left_edge + width / 2 - 1.5, top + height / 2 - 1.5
                pictures.plot(*middle, "x", color=ACCENT, markersize=9, markeredgewidth=1.8)
                corner, extent = (left_edge - 0.5, top - 0.5), (width - 2, height - 2)
                pictures.add_patch(mpl.patches.Rectangle(corner, *extent, fill=False, edgecolor=PALE))
            else:
                tiles[top : top + height - 2, left_edge : left_edge + width - 2] = maps[..., channel]
        pictures.imshow(tiles, vmin=0, vmax=maps.max() or 1)
        pictures.set_title(name, fontsize=13, loc="left", color=colour)
        pictures.axis("off")
        bar.barh([0], [left], color=colour, height=0.5)
        bar.barh([0], [1], color="none", edgecolor=PALE, height=0.5)
        bar.text(0, -0.55, f"{100 * left:.0f} %", fontsize=14, color=colour)
        bar.set(xlim=(0, 1), ylim=(0.5, -1))
        bar.axis("off")
    axes[0, 1].set_title("still right", fontsize=13, loc="left")
    return figure


def removal_so_far(curves, n_removed, band=None):
    """Draw which places of a ranking are cut off so far, and the accuracy on the way there.

    Parameters
    ----------
    curves : dict of str to (sequence of int, sequence of float)
        For each way to cut its name, the places in the ranking (from 0) in the order in which they go, and the
        accuracies with none, one, ..., all of them gone.
    n_removed : int
    band : (sequence of float, sequence of float), optional
        Where random orders lie: lowest and highest accuracy for each number of channels.
    """
    n = len(next(iter(curves.values()))[0])
    figure, (places, axis) = plt.subplots(2, 1, figsize=(WIDTH, 5), height_ratios=[0.42 * len(curves), 3])
    if band is not None:
        axis.fill_between(range(n + 1), *band, color="#e8e8e8", linewidth=0)
    for row, ((name, (order, accuracy)), colour) in enumerate(zip(curves.items(), COLOURS, strict=False)):
        gone = np.isin(np.arange(n), order[:n_removed])
        places.scatter(np.flatnonzero(~gone), np.full((~gone).sum(), row), marker="s", s=60, color=colour)
        places.scatter(np.flatnonzero(gone), np.full(gone.sum(), row), marker="x", s=32, color=PALE)
        places.text(-1, row, name, ha="right", va="center", fontsize=13, color=colour)
        left = f"{100 * accuracy[n_removed]:.0f} %"
        places.text(n, row, left, ha="left", va="center", fontsize=14, color=colour)
        axis.plot(accuracy[: n_removed + 1], color=colour, linewidth=2.5)
        axis.plot(n_removed, accuracy[n_removed], "o", color=colour, markersize=9)
    places.set(xlim=(-0.28 * n, 1.12 * n), ylim=(len(curves) - 0.4, -0.6))
    places.axis("off")
    axis.set(xlim=(0, n), ylim=(0, 1.03), xlabel="channels cut off", ylabel="accuracy")
    return figure
