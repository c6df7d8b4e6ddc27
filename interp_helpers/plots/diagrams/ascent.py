"""Drawings of an ascent: an image, the gradient of its score, a step along it, and the score that climbs.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = ascent_step(np.zeros((4, 4)), np.eye(4), np.eye(4) / 10, [0.0, 1.5, 2.0], 1)
>>> [axis.get_title() for axis in figure.axes if axis.images]
['image after 1 step', 'gradient', 'after 1 more']
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import picture, sign
from interp_helpers.plots.style import ACCENT, INK, MUTED, WIDTH


def ascent_step(image, gradient, after, scores, step, level=None, level_name=""):
    """Draw one step of an ascent above the curve of all scores, with a dot where it starts.

    Parameters
    ----------
    image, after : ndarray, shape (height, width)
        The image before and after the step, grey, in [0, 1].
    gradient : ndarray, shape (height, width)
        Of the score with respect to the image; red where the pixel should become brighter.
    scores : sequence of float
        The score before each step, and after the last.
    step : int
        Which step is drawn; ``scores[step]`` is the score of `image`.
    level : float, optional
        A score to compare with, drawn as a line.
    level_name : str
        What is written at that line.
    """
    scores = np.asarray(scores, float)
    if not 0 <= step < len(scores) - 1:
        raise ValueError(f"step: got {step}; there are {len(scores) - 1}, counted from 0")
    figure = plt.figure(figsize=(WIDTH, 5.4), layout="none")  # fixed places, and quick for many of them
    grid = figure.add_gridspec(2, 5, width_ratios=[1, 0.22, 1, 0.22, 1], height_ratios=[1.25, 1])
    figure.subplots_adjust(0.1, 0.12, 0.98, 0.93, 0.04, 0.14)
    first, plus, slope, equals, second = (figure.add_subplot(grid[0, i]) for i in range(5))
    picture(first, image, bound=1)
    first.set_title(f"image after {step} step{'' if step == 1 else 's'}", fontsize=14)
    sign(plus, "+", "a little")
    picture(slope, gradient, signed=True)
    slope.set_title("gradient", fontsize=14)
    sign(equals, "=")
    picture(second, after, bound=1)
    second.set_title("after 1 more", fontsize=14)
    for axis in (first, slope, second):
        axis.set(xticks=[], yticks=[])
    curve = figure.add_subplot(grid[1, :])
    curve.plot(scores, color=INK, linewidth=2)
    curve.plot(step, scores[step], "o", color=ACCENT, markersize=12)
    curve.annotate(f"{scores[step]:.1f}", (step, scores[step]), (8, -20), textcoords="offset points", color=ACCENT)
    if level is not None:
        curve.axhline(level, color=MUTED, linestyle="--")
        curve.text(len(scores) - 1, level, level_name, ha="right", va="bottom", color=MUTED)
    low = min(scores.min(), 0)
    curve.set(xlabel="steps", ylabel="score", ylim=(low - 0.25 * (scores.max() - low), 1.08 * scores.max()))
    return figure
