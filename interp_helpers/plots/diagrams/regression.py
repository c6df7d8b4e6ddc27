"""Drawings for networks that predict a number: where the number comes from, and what a detector does.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> share = {"tree": np.eye(2), "road": 1 - np.eye(2)}
>>> figure = number_map(np.zeros((4, 4, 3)), np.array([[-4.0, 2.0], [2.0, -4.0]]), share, bias=30.0)
>>> [text.get_text() for text in figure.axes[2].texts]
['30.0', '-2.0', '+1.0', '29.0']
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import picture
from interp_helpers.plots.style import ACCENT, INK, MUTED, PALE, WIDTH


def number_map(image, total, shares, bias, unit=""):
    """Draw a predicted number as what it is: a bias, and the mean of a map, here added up object by object.

    Parameters
    ----------
    image : ndarray, shape (height, width, 3)
        In [0, 1].
    total : ndarray, shape (rows, columns)
        The class activation map: its mean plus the bias is the number.
    shares : dict of str to ndarray, shape (rows, columns)
        Which part of each place belongs to which object; they add up to 1.
    bias : float
    unit : str
    """
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 9.2), height_ratios=[1.5, 1.5, 1.7])
    axes[0].imshow(image)
    axes[0].set_title("picture")
    picture(axes[1], total, "map of the number", signed=True)
    for axis in axes[:2]:
        axis.axis("off")
    steps = {"bias": bias} | {name: float((total * share).mean()) for name, share in shares.items()}
    at = 0.0
    for y, (name, step) in enumerate(steps.items()):
        colour = MUTED if name == "bias" else ACCENT if step > 0 else INK
        axes[2].barh(y, step, left=at, color=colour)
        at += step
        text = f"{step:.1f}" if name == "bias" else f"{step:+.1f}"
        axes[2].text(max(at, at - step) + 0.7, y, text, va="center", fontsize=16)
    axes[2].barh(len(steps), at, color="black")
    axes[2].text(at + 0.7, len(steps), f"{at:.1f}", va="center", fontsize=16)
    axes[2].set_yticks(range(len(steps) + 1), [*steps, "prediction"], fontsize=17)
    axes[2].invert_yaxis()
    axes[2].set(xlim=(0, 1.25 * max(at, bias)), xlabel=unit)
    return figure


def on_and_off(values, mask, name):
    """Draw the values of a map on an object and elsewhere, and how often one on it is the larger of two.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Of the places of a map.
    mask : ndarray of bool, shape (n,)
        Which of them are on the object.
    name : str
        Of the object.
    """
    on, off = values[mask], values[~mask]
    edges = np.linspace(values.min(), np.quantile(values, 0.995), 30)
    larger = np.searchsorted(np.sort(off), on).mean() / len(off)
    figure, axis = plt.subplots(figsize=(WIDTH, 4))
    axis.hist(off, edges, density=True, color=PALE)
    heights, _, _ = axis.hist(on, edges, density=True, color=ACCENT, alpha=0.75)
    top = 2 * heights.max()  # places elsewhere are mostly dark: their tall bar is cut off
    axis.text(edges[2], 0.9 * top, "elsewhere", color=MUTED, fontsize=18)
    axis.text(edges[heights.argmax()], 1.05 * heights.max(), f"on a {name}", color=ACCENT, fontsize=18)
    axis.set(xlabel="activation", yticks=[], ylim=(0, top))
    axis.set_title(f"larger on the {name} in {100 * larger:.0f} of 100 pairs", fontsize=17)
    axis.spines["left"].set_visible(False)
    return figure


def kept_part(x, y, kept, title, xlabel, ylabel):
    """Draw pairs of numbers, those that are kept dark and the others pale; whole numbers of x are spread a little.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    kept : sequence of int
        Indices.
    """
    spread = np.asarray(x) + 0.25 * np.sin(2.4 * np.arange(len(x)))
    figure, axis = plt.subplots(figsize=(WIDTH, 4.4))
    axis.plot(spread, y, "o", color=PALE, markersize=4)
    axis.plot(spread[kept], y[kept], "o", color=INK, markersize=5)
    axis.set_title(title, fontsize=17)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    return figure
