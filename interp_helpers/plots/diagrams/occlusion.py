"""Drawings of occlusion: a square slides over a digit, and what the score loses becomes a pixel of the map.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = sliding_square(np.ones((8, 8)), 2.0, np.eye(8), places=[(1, 1), (4, 4), (6, 6)], patch=3)
>>> figure.axes[0].get_title()[:9]
'score 1.0'
"""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import box, picture
from interp_helpers.plots.style import ACCENT, INK, MUTED, WIDTH


def sliding_square(image, score, drops, places, patch):
    """Draw three covered copies of a digit with their scores, and which pixel of the map each of them becomes.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        Grey, in [0, 1]; the squares are black.
    score : float
        Of the whole image.
    drops : ndarray, shape (height, width)
        By how much the score falls if the square around each pixel is covered.
    places : sequence of three (row, column)
        Centres of the squares.
    patch : int
        Side of the squares, odd.
    """
    if len(places) != 3:
        raise ValueError(f"places: got {len(places)}; give three")
    figure = plt.figure(figsize=(WIDTH, 6.6))
    grid = figure.add_gridspec(2, 6, height_ratios=[1, 1.25])
    axes = [figure.add_subplot(grid[0, 2 * i : 2 * i + 2]) for i in range(3)]
    whole, below = figure.add_subplot(grid[1, :2]), figure.add_subplot(grid[1, 2:])
    picture(whole, image, bound=1)
    whole.set_title(f"whole: score {score:.1f}", fontsize=17, y=-0.13)
    picture(below, drops, signed=True)
    below.set_title("the map: by how much it fell", fontsize=17, y=-0.13)
    for axis, (row, column) in zip(axes, places, strict=True):
        top, left = row - patch // 2, column - patch // 2
        picture(axis, _covered(image, top, left, patch), bound=1)
        box(axis, top, left, patch, ACCENT)
        drop = drops[row, column] + 0.0
        axis.set_title(f"score {score - drop:.1f} ({_signed(-drop)})", fontsize=17)
        box(below, row, column, 1, "black")
        arrow = mpl.patches.ConnectionPatch(
            (0.5, -0.02), (column, row), "axes fraction", "data", axesA=axis, axesB=below, arrowstyle="-|>", color=INK,
            linewidth=1.8, mutation_scale=18, shrinkB=7,
        )  # fmt: skip
        figure.add_artist(arrow)
    for axis in (*axes, whole, below):
        axis.axis("off")
    return figure


def tiles_so_far(image, scores, after, n, names=("first", "second")):
    """Draw a digit covered by its n-th tile, the map as far as it is made, and two scores before and after.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        Grey, in [0, 1].
    scores : sequence of two floats
        Two scores of the whole image; the map is of the first.
    after : ndarray, shape (n_rows, n_columns, 2)
        The same two when a tile is covered; the tiles fill the image.
    n : int
        Which tile is covered, counted along the rows from 0.
    names : sequence of two str
        What the two scores are called.
    """
    after, scores = np.asarray(after, float), np.asarray(scores, float)
    n_rows, n_columns = after.shape[:2]
    row, column = divmod(n, n_columns)
    high, wide = image.shape[0] // n_rows, image.shape[1] // n_columns
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.1), width_ratios=[1, 1, 0.85], layout="none")
    figure.subplots_adjust(0.01, 0.2, 0.98, 0.88, 0.16)  # fixed, and quick for many of them
    hidden = np.array(image)
    hidden[row * high : (row + 1) * high, column * wide : (column + 1) * wide] = 0
    picture(axes[0], hidden, "covered here", bound=1)
    axes[0].add_patch(
        mpl.patches.Rectangle((column * wide - 0.5, row * high - 0.5), wide, high, fill=False, ec=ACCENT, lw=3)
    )
    drops = scores[0] - after[..., 0]
    seen = np.where(np.arange(drops.size).reshape(drops.shape) <= n, drops, np.nan)
    axes[1].set_facecolor("0.85")
    axes[1].imshow(seen, cmap="RdBu_r", vmin=-np.abs(drops).max(), vmax=np.abs(drops).max())
    axes[1].set_title(f"drop of {names[0]}: {_signed(drops[row, column])}", fontsize=13)
    box(axes[1], row, column, 1, ACCENT)
    for axis in axes[:2]:
        axis.set(xticks=[], yticks=[])
    axes[2].barh([1, 0], after[row, column], color=[INK, ACCENT], height=0.6)
    axes[2].vlines(scores, [0.6, -0.4], [1.4, 0.4], color="black", linewidth=2)
    reach = [*after.ravel(), *scores, 0]
    axes[2].set(yticks=[1, 0], yticklabels=names, xlim=(min(reach) - 0.3, max(reach) + 0.3), xlabel="score")
    axes[2].set_title("line: not covered", fontsize=13, color=MUTED)
    axes[2].axvline(0, color="black", linewidth=0.8)
    return figure


def _covered(image, top, left, patch):
    """Return a copy of an image (height, width) with a black square, cut at the border."""
    copy = np.array(image)
    copy[max(top, 0) : top + patch, max(left, 0) : left + patch] = 0
    return copy


def _signed(number):
    """Write a number with its sign and one decimal; nothing that rounds to zero has a sign."""
    rounded = round(float(number), 1)
    return "0.0" if rounded == 0 else f"{rounded:+.1f}".replace("-", "\N{MINUS SIGN}")
