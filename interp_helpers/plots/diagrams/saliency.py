"""Drawings of saliency: a weight image, what a ReLU sends back, and Grad-CAM from maps to heat.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> seen, blocked = np.array([[2.0, -1.0]]), np.array([[3.0, 3.0]])
>>> figure = relu_rules(seen, blocked)
>>> [text.get_text() for text in figure.axes[2].texts]  # the gradient passes where the ReLU was on
['3', '0']
"""

import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.diagrams.parts import box, numbers, picture, sign, strip, weighted_maps
from interp_helpers.plots.style import ACCENT, INK, MUTED, WIDTH

RULES = {
    "gradient": lambda z, g: g * (z > 0),
    "guided": lambda z, g: g * (z > 0) * (g > 0),
    "deconvnet": lambda z, g: g * (g > 0),
}


def weight_image(image, weights, bias, pixel, step=0.5):
    """Draw the score of a linear model, pixels times weights, and what one brighter pixel does to it.

    Parameters
    ----------
    image, weights : ndarray, shape (height, width)
        A picture in [0, 1], and the weights of one class.
    bias : float
    pixel : (int, int)
        Row and column of the pixel that is framed.
    step : float
        By how much it is made brighter.
    """
    score, weight = float((image * weights).sum() + bias), float(weights[pixel])
    figure, (left, times, middle, equals, right) = strip([1, 0.2, 1, 0.2, 1.15], height=2.9)
    picture(left, image, "picture $x$", bound=1)
    picture(middle, weights, "weights $w$ of the class", signed=True)
    for axis in (left, middle):
        box(axis, pixel[0] - 1, pixel[1] - 1, 3, ACCENT)
    sign(times, "\N{MULTIPLICATION SIGN}")
    sign(equals, "=")
    lines = [
        ("sum, plus bias", MUTED),
        (f"score {score:.2f}", INK),
        ("", MUTED),
        (f"framed pixel + {step:g}", ACCENT),
        (f"score {step * weight:+.3f}", ACCENT),
        (f"= {step:g} \N{MULTIPLICATION SIGN} {weight:.3f}".replace("-", "\N{MINUS SIGN}"), MUTED),
    ]
    for line, (text, colour) in enumerate(lines):
        size = 20 if text.startswith("score") else 15
        right.text(
            0, 0.92 - 0.165 * line, text.replace("-", "\N{MINUS SIGN}"), color=colour, fontsize=size, va="center"
        )
    right.set(xlim=(0, 1), ylim=(0, 1))
    return figure


def relu_rules(forward, upstream):
    """Draw what went into a ReLU, what comes back to it, and what three rules let through; blocked cells are crossed.

    Parameters
    ----------
    forward, upstream : ndarray, shape (height, width)
        The input z of the ReLU, and the signal g that comes back.
    """
    forward, upstream = np.asarray(forward, float), np.asarray(upstream, float)
    bound = max(np.abs(forward).max(), np.abs(upstream).max())
    figure, axes = plt.subplots(2, 6, figsize=(WIDTH, 5.4), gridspec_kw={"hspace": 0.08})
    for axis in axes.flat:
        axis.remove()
    grid = axes[0, 0].get_gridspec()
    went_in, came_back = figure.add_subplot(grid[0, 1:3]), figure.add_subplot(grid[0, 3:5])
    numbers(went_in, forward, "goes in: z", bound=bound, fontsize=16)
    numbers(came_back, upstream, "comes back: g", bound=bound, fontsize=16)
    says = {"gradient": "where z > 0", "guided": "where z > 0 and g > 0", "deconvnet": "where g > 0"}
    for k, (name, rule) in enumerate(RULES.items()):
        axis = figure.add_subplot(grid[1, 2 * k : 2 * k + 2])
        passed = rule(forward, upstream)
        numbers(axis, passed + 0.0, f"{name}:\n{says[name]}", bound=bound, fontsize=16)
        for row, column in zip(*np.nonzero((passed == 0) & (upstream != 0)), strict=True):
            axis.plot([column - 0.4, column + 0.4], [row + 0.4, row - 0.4], color=MUTED, linewidth=1.5)
    for axis in figure.axes:
        axis.images[0].set_cmap("RdBu_r")  # red raises the score, as in the maps of the page
        axis.axis("off")
    return figure


def grad_cam_strip(image, maps, alpha, channels):
    """Draw Grad-CAM as a strip: maps, bars of alpha, the weighted sum of all maps, its positive part, and the picture.

    Parameters
    ----------
    image : ndarray, shape (height, width)
    maps : ndarray, shape (rows, columns, n_channels)
        Feature maps of a layer.
    alpha : ndarray, shape (n_channels,)
        The mean gradient of each map.
    channels : sequence of int
        Which maps are drawn; all are added.
    """
    total = maps @ alpha
    figure = plt.figure(figsize=(WIDTH, 4.2))
    grid = figure.add_gridspec(len(channels), 5, width_ratios=[0.55, 0.62, 1.2, 1.2, 1.2])
    weighted_maps(figure, grid, (0, 1), maps, alpha, channels, "$\\alpha$")
    panels = [figure.add_subplot(grid[:, column]) for column in (2, 3, 4)]
    bound = np.abs(total).max()
    panels[0].imshow(total, cmap="RdBu_r", vmin=-bound, vmax=bound)
    panels[1].imshow(np.maximum(total, 0), vmin=0)
    panels[2].imshow(image, cmap="gray", vmin=0, vmax=1)
    height, width = image.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    heat = np.maximum(total, 0) / (np.maximum(total, 0).max() or 1)
    panels[2].imshow(heat, extent=extent, interpolation="bilinear", alpha=0.75 * heat**0.5)
    titles = (f"sum of all {len(alpha)}", "max(0, sum)", "stretched over\nthe picture")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize=13)
        panel.axis("off")
    return figure
