"""Drawings of PCACE: from the maps of one channel to one number, and what a cut leaves of that number.

PCACE takes principal components of a channel's maps and relates them to a score by alternating conditional expectations
(ACE).

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = cut_channels({"a": np.eye(3)}, before=[0.9], after=[0.8], chance=(0.3, 0.5))
>>> [text.get_text() for text in figure.axes[-1].texts][-1]
'permuted scores'
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import picture
from interp_helpers.plots.style import ACCENT, INK, MUTED, PALE, WIDTH


def pcace_pipeline(maps, x, phi, theta, score, permuted, marked=None):
    """Draw PCACE of one channel in four rows: maps, patterns, curves, and the value on its permutation histogram.

    Parameters
    ----------
    maps : ndarray, shape (m, height, width)
        Feature maps of the channel.
    x, phi : ndarray, shape (m, p)
        Scores of the images on the components, and their transforms; the three that vary most are drawn.
    theta, score : ndarray, shape (m,)
    permuted : ndarray, shape (n_permutations,)
        Values for permuted scores.
    marked : int, optional
        An image to be drawn in the accent colour, in all rows.
    """
    maps, x, phi = np.asarray(maps, float), np.asarray(x), np.asarray(phi)
    figure = plt.figure(figsize=(WIDTH, 11))
    rows = figure.subfigures(4, 1, height_ratios=[2.1, 2.4, 2.7, 3.8])
    titles = [
        f"1  Look: {len(maps)} maps of one channel",
        f"2  Summarize: {x.shape[1]} patterns, here the three that matter most",
        "3  Bend: how much of a pattern, and what it says about the score",
        "4  Compare: is the agreement more than chance?",
    ]
    for row, title in zip(rows, titles, strict=True):
        row.suptitle(title, x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK)
    _draw_maps(rows[0], maps, score, marked)
    most = np.sort(np.argsort(-phi.var(axis=0))[:3])
    _draw_components(rows[1], component_images(maps, x), most)
    _draw_curves(rows[2], x, phi, most, marked)
    _draw_agreement(rows[3], theta, phi.sum(axis=1), permuted, marked)
    return figure


def component_images(maps, x):
    """Return for each component the correlation of every place of the maps with it: shape (p, height, width).

    Parameters
    ----------
    maps : ndarray, shape (m, height, width)
    x : ndarray, shape (m, p)

    A place that never changes has 0.
    """
    flat = np.asarray(maps, float).reshape(len(maps), -1)
    standard = [(v - v.mean(axis=0)) / np.where(v.std(axis=0) > 0, v.std(axis=0), 1) for v in (flat, np.asarray(x))]
    return (standard[1].T @ standard[0] / len(flat)).reshape(-1, *maps.shape[1:])


def maps_by_score(stacks, score, n=6):
    """Draw images and maps of the same inputs, one kind a row, from the lowest score at the left to the highest.

    Parameters
    ----------
    stacks : dict of str to ndarray, shape (m, height, width)
        What is written above each row, and its pictures, on one scale for each row.
    score : ndarray, shape (m,)
    n : int
        Columns: inputs at equal distances in the order of their scores.
    """
    score = np.asarray(score)
    shown = np.argsort(score)[np.linspace(0, len(score) - 1, n).round().astype(int)]
    figure = plt.figure(figsize=(WIDTH, 1.95 * len(stacks)))
    for row, (title, stack) in zip(figure.subfigures(len(stacks), 1, squeeze=False).flat, stacks.items(), strict=True):
        row.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
        scale = {"vmin": 0, "vmax": np.max(stack[shown]), "cmap": "gray" if row is figure.subfigs[0] else "viridis"}
        for axis, one in zip(row.subplots(1, n), shown, strict=True):
            axis.imshow(stack[one], **scale)
            axis.axis("off")
            if row is figure.subfigs[0]:
                axis.set_title(f"score {score[one]:.0f}", fontsize=13)
    return figure


def cut_channels(maps, before, after, chance):
    """Draw one map of some channels, and their values connected (points) and cut off (rings), over a band of chance.

    Parameters
    ----------
    maps : dict of str to ndarray, shape (height, width)
        Name of each channel and one of its maps.
    before, after : sequence of float
        Values of the channels, in the network and cut off from it.
    chance : (float, float)
        The ends of the band of permuted scores.
    """
    figure = plt.figure(figsize=(WIDTH, 1.35 * len(maps) + 0.9))
    left, right = figure.subfigures(1, 2, width_ratios=[3.4, 4.6])
    for (name, one), (axis, wire) in zip(maps.items(), left.subplots(len(maps), 2, squeeze=False), strict=True):
        _picture_of_map(axis, one, name)
        wire.plot([0, 0.38], [0.5, 0.5], color=INK, linewidth=3)
        wire.plot([0.62, 1], [0.5, 0.5], color=INK, linewidth=3)
        wire.text(0.5, 0.5, "\N{BLACK SCISSORS}", ha="center", va="center", fontsize=26, color=ACCENT)
        wire.set(xlim=(0, 1), ylim=(0, 1))
        wire.axis("off")
    axis = right.subplots()
    rows = np.arange(len(maps))[::-1]
    axis.axvspan(*chance, color=PALE, linewidth=0)
    axis.scatter(before, rows + 0.12, s=110, color=INK, zorder=3)
    axis.scatter(after, rows - 0.12, s=110, facecolor="white", edgecolor=ACCENT, linewidth=2.5, zorder=3)
    axis.set(xlim=(0, 1), ylim=(-0.6, len(maps) - 0.35), yticks=[], xlabel="PCACE: how well it tells the score")
    axis.spines["left"].set_visible(False)
    for value, row, text, colour in ((before[0], 0.12, "connected", INK), (after[0], -0.12, "cut off", ACCENT)):
        axis.text(value - 0.04, rows[0] + row, text, ha="right", va="center", fontsize=13, color=colour)
    axis.text(np.mean(chance), -0.5, "permuted scores", ha="center", va="center", fontsize=12, color=MUTED)
    return figure


def _picture_of_map(axis, values, title):
    """Draw one map in viridis, without axes, its name above it."""
    axis.imshow(values, vmin=0)
    axis.set_title(title, fontsize=13)
    axis.axis("off")


def _draw_maps(figure, maps, score, marked, n=6):
    order = np.argsort(score)
    shown = order[np.linspace(0, len(order) - 1, n).round().astype(int)]
    if marked is not None:
        shown[0] = marked
    axes = figure.subplots(1, n)
    for axis, one in zip(axes, shown, strict=True):
        colour = ACCENT if one == marked else "black"
        _picture_of_map(axis, maps[one], "")
        axis.set_title(f"score {score[one]:.0f}", fontsize=13, color=colour)


def _draw_components(figure, images, most):
    for axis, one in zip(figure.subplots(1, 3), most, strict=True):
        picture(axis, images[one], f"pattern {one + 1}", signed=True, bound=1)
        axis.axis("off")


def _draw_curves(figure, x, phi, most, marked):
    axes = figure.subplots(1, 3, sharey=True)
    for axis, one in zip(axes, most, strict=True):
        order = np.argsort(x[:, one])
        axis.plot(x[order, one], phi[order, one], color=INK, linewidth=3)
        axis.axhline(0, color=MUTED, linewidth=0.8)
        if marked is not None:
            axis.plot(x[marked, one], phi[marked, one], "o", color=ACCENT, markersize=9)
        axis.set_xlabel(f"how much of pattern {one + 1}", fontsize=13)
        axis.tick_params(labelsize=12)
    axes[0].set_ylabel(r"$\phi$", fontsize=15)


def _draw_agreement(figure, theta, total, permuted, marked):
    value = np.corrcoef(theta, total)[0, 1]
    left, right = figure.subplots(1, 2)
    left.plot(total, theta, ".", color=INK, markersize=5, alpha=0.6)
    if marked is not None:
        left.plot(total[marked], theta[marked], "o", color=ACCENT, markersize=9)
    left.set_xlabel(r"what the maps say: sum of all $\phi$", fontsize=13)
    left.set_ylabel(r"bent score $\theta$", fontsize=13)
    left.set_title(f"correlation {value:.2f}", fontsize=14)
    right.hist(permuted, bins=np.linspace(0, 1, 41), color=PALE)
    right.axvline(value, color=ACCENT, linewidth=3)
    right.text(value - 0.02, 0.97, "value", color=ACCENT, fontsize=13, ha="right", va="top", transform=_across(right))
    right.text(
        np.median(permuted), 0.97, "permuted", color=MUTED, fontsize=13, ha="center", va="top", transform=_across(right)
    )
    right.set(xlim=(0, 1), yticks=[], xlabel="PCACE")
    right.margins(y=0.15)
    right.spines["left"].set_visible(False)
    for axis in (left, right):
        axis.tick_params(labelsize=12)


def _across(axis):
    """Return the transform of data across and of the axis, 0 to 1, upwards."""
    return axis.get_xaxis_transform()
