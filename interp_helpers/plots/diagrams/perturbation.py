"""Drawings of perturbation: the weights of one layer are pushed, and sums of inputs walk in step or out of step.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = pushed_layer(["conv1", "logits"], "conv1", np.eye(2), {0: 0.98, 0.1: 0.5})
>>> [axis.texts[0].get_text() for axis in figure.axes[7:9]]
['98 %', '50 %']
>>> figure = running_sums(np.ones(4), np.array([1, -1, 1, -1]))
>>> [float(line.get_ydata()[-1]) for line in figure.axes[0].lines]
[4.0, 0.0]
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import sign
from interp_helpers.plots.style import ACCENT, INK, MUTED, PALE, WIDTH


def pushed_layer(layers, chosen, kernel, accuracy):
    """Draw a network with one layer marked, a kernel of this layer after each push, and the accuracy that is left.

    Parameters
    ----------
    layers : sequence of str
        Names, from the input to the output.
    chosen : str
        The layer that is pushed.
    kernel : ndarray, shape (height, width)
        Its weights before the push; the same number is added to all of them.
    accuracy : dict of float to float
        Number added to each weight, from 0 on: accuracy.
    """
    kernel = np.asarray(kernel, float)
    bound = np.abs(kernel).max() + max(accuracy)
    figure, axes = plt.subplots(
        3,
        len(accuracy) + 1,
        figsize=(WIDTH, 5),
        height_ratios=[0.8, 1.6, 1.2],
        width_ratios=[0.75] + [1] * len(accuracy),
    )
    for axis in axes.flat:
        axis.axis("off")
    network = figure.add_subplot(axes[0, 0].get_gridspec()[0, :])
    network.set(xlim=(-1, len(layers)), ylim=(-1, 1))
    network.axis("off")
    for place, name in enumerate(layers):
        colour = ACCENT if name == chosen else MUTED
        box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": colour, "linewidth": 2.5}
        network.text(place, 0, name, ha="center", va="center", fontsize=14, color=colour, bbox=box)
    network.text(-0.62, 0, "digit", ha="center", va="center", fontsize=14)
    network.text(len(layers) - 0.38, 0, "answer", ha="center", va="center", fontsize=14)
    sign(axes[1, 0], "W + ", "the same number", fontsize=18)
    sign(axes[2, 0], "", "still right", fontsize=18)
    for (added, left), picture, bar in zip(accuracy.items(), axes[1, 1:], axes[2, 1:], strict=True):
        picture.imshow(kernel + added, cmap="RdBu_r", vmin=-bound, vmax=bound)
        for (row, column), weight in np.ndenumerate(kernel + added):
            dark = abs(weight) > 0.65 * bound
            look = {"ha": "center", "va": "center", "fontsize": 12, "color": "white" if dark else "black"}
            picture.text(column, row, f"{weight:.2f}".replace("0.", "."), **look)
        picture.set_title(f"+ {added:g}" if added else "as trained", fontsize=14, color=ACCENT if added else MUTED)
        bar.bar([0], [1], width=0.5, color="none", edgecolor=PALE)
        bar.bar([0], [left], width=0.5, color=ACCENT if added else MUTED)
        bar.text(0, left + 0.05, f"{100 * left:.0f} %", ha="center", fontsize=14)
        bar.set(xlim=(-1, 1), ylim=(0, 1.35))
    return figure


def running_sums(inputs, signs):
    """Draw what a push adds to a sum of inputs, input by input: in step, with one sign, and out of step.

    Parameters
    ----------
    inputs : ndarray, shape (n,)
        What one unit of a layer sums for one image, not negative after a ReLU.
    signs : ndarray, shape (n,)
        The sign of the push of each weight, 1 or -1.
    """
    inputs = np.asarray(inputs, float)
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    lines = {"in step: the same sign everywhere": (inputs, ACCENT), "out of step: random signs": (inputs * signs, INK)}
    for name, (steps, colour) in lines.items():
        total = steps.cumsum()
        axis.plot(np.arange(1, len(inputs) + 1), total, color=colour, linewidth=2.5)
        axis.annotate(
            name, (len(inputs), total[-1]), (-8, 8), textcoords="offset points", ha="right", color=colour, fontsize=14
        )
    top = inputs.sum()
    axis.set(xlim=(0, len(inputs)), ylim=(-0.15 * top - 0.01, 1.15 * top + 0.01))
    axis.set(xlabel="inputs summed so far", ylabel="sum, times the push")
    return figure
