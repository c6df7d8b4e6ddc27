"""Drawings for networks of photographs: how a class activation map is added up, and values beside their chance level.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = weighted_sum(np.zeros((8, 8, 3)), np.ones((2, 2, 3)), [2.0, -1.0, 0.5], np.ones((2, 2)))
>>> [axis.get_title() for axis in figure.axes[2:7:2]]
['2.00 x', '-1.00 x', '0.50 x']
>>> figure = against_chance({"first": ([0.7, 0.5], 0.4, 0.6, 0.8)})
>>> [text.get_text() for text in figure.axes[0].texts][:2]
['first', 'shuffled']
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import picture, sign, strip
from interp_helpers.plots.style import ACCENT, INK, MUTED, PALE, WIDTH


def weighted_sum(photograph, maps, weights, total, name="the class"):
    """Draw a class activation map as what it is: the maps of some channels, each times its weight, summed.

    Parameters
    ----------
    photograph : ndarray, shape (height, width, 3)
        In [0, 1].
    maps : ndarray, shape (rows, columns, n)
        The maps of n channels, which are drawn times their weights, on one scale.
    weights : sequence of n floats
    total : ndarray, shape (rows, columns)
        The sum over all channels of the layer, of which the n are a part; on a scale of its own.
    name : str
        Of the class, above the total.
    """
    parts = np.asarray(maps) * np.asarray(weights)
    figure, axes = strip([1, 0.22] + [1, 0.22] * len(weights) + [0.28, 1], height=1.9)
    axes[0].imshow(photograph)
    axes[0].set_title("picture")
    signs = ["→"] + ["+"] * (len(weights) - 1)
    for k, (axis, weight) in enumerate(zip(axes[2:-2:2], weights, strict=True)):
        picture(axis, parts[..., k], f"{weight:.2f} x", signed=True, bound=np.abs(parts).max())
        sign(axes[1 + 2 * k], signs[k], fontsize=20)
    sign(axes[-3], "+ …", fontsize=18)
    sign(axes[-2], "=", fontsize=22)
    picture(axes[-1], total, name, signed=True)
    for axis in axes:
        axis.title.set_fontsize(18)
    return figure


def against_chance(rows, xlabel="PCACE", start=0.2):
    """Draw the values of channels as dots, a line for each layer, on the band that shuffled scores reach.

    Parameters
    ----------
    rows : dict of str to (values, low, high, picture)
        For each line its name, the values of the channels (NaN is left out), the ends of the band of shuffled scores,
        and the value of the picture itself, or None.
    xlabel : str
    start : float
        Where the axis begins; it ends at 1.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.7 + 1.25 * len(rows)))
    for y, (name, (values, low, high, rival)) in enumerate(rows.items()):
        values = np.sort(np.asarray(values, float)[~np.isnan(values)])
        lift = 0.16 * np.sin(2.4 * np.arange(len(values)))  # so that dots of the same value can be told apart
        axis.barh(y, high - low, 0.62, left=low, color=PALE, linewidth=0)
        axis.plot(values, y + lift, "o", color=INK, markersize=6, alpha=0.75, markeredgewidth=0)
        axis.text(start, y, name, va="center", fontsize=18)
        axis.text((low + high) / 2, y + 0.44, "shuffled", ha="center", va="center", fontsize=16, color=MUTED)
        if rival is not None:
            axis.plot(rival, y, "D", color=ACCENT, markersize=10)
            axis.text(rival, y + 0.44, "picture", ha="center", va="center", fontsize=16, color=ACCENT)
    axis.set(xlim=(start, 1), ylim=(len(rows) - 0.4, -0.5), yticks=[])
    axis.set_xlabel(xlabel, fontsize=18)
    axis.tick_params(labelsize=16)
    axis.spines["left"].set_visible(False)
    return figure


def lined_up(real, shuffled, n):
    """Draw how well the transformed maps of a channel line up with n transformed scores, real and shuffled.

    Parameters
    ----------
    real, shuffled : (ndarray, ndarray), each of shape (n,)
        The transform of the scores, and the sum of the transforms of the channel's components.
    n : int
        Number of pictures, for the title.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.9), sharex=True, sharey=True)
    panels = {"real": (real, INK), "shuffled": (shuffled, MUTED)}
    for axis, (name, ((theta, phi), colour)) in zip(axes, panels.items(), strict=True):
        axis.plot([-3, 3], [-3, 3], color=PALE, linewidth=2)
        axis.plot(phi, theta, "o", color=colour, markersize=5, alpha=0.7, markeredgewidth=0)
        axis.set_title(f"{n} {name} scores: {np.corrcoef(theta, phi)[0, 1]:.2f}", fontsize=17)
        axis.set(xlim=(-3, 3), ylim=(-3, 3), xlabel="from the maps")
    axes[0].set_ylabel("score, bent")
    return figure
