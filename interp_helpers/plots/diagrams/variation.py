"""Drawings of ways to vary a channel, and of how they rank channels.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = ways_to_vary({"as it is": np.eye(3), "kill": np.zeros((3, 3))}, {"kill": -0.5})
>>> [text.get_text() for text in figure.axes[-2].texts]
['\N{MINUS SIGN}0.50']
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata

from interp_helpers.plots.style import ACCENT, INK, MUTED, PALE, WIDTH


def ways_to_vary(maps, changes, ylabel="change of the score"):
    """Draw a feature map, what each way of varying it makes of it, and below it how the score changes.

    Parameters
    ----------
    maps : dict of str to ndarray, shape (height, width)
        The map as it is first, then each way; all on one scale.
    changes : dict of str to float
        For each way, the score with the varied map minus the score before.
    ylabel : str

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each map, then one with a bar below each way.
    """
    unknown = set(changes) - set(maps)
    if unknown:
        raise ValueError(f"changes: there is no map of {', '.join(sorted(unknown))}")
    figure = plt.figure(figsize=(WIDTH, 4.4))
    grid = figure.add_gridspec(2, len(maps), height_ratios=[1.15, 1])
    low, high = min(np.min(of) for of in maps.values()), max(np.max(of) for of in maps.values())
    for column, (name, values) in enumerate(maps.items()):
        axis = figure.add_subplot(grid[0, column])
        picture = axis.imshow(values, vmin=low, vmax=high)
        axis.set_title(name, fontsize=14)
        axis.axis("off")
    below = figure.add_subplot(grid[1, :])
    places = [list(maps).index(name) for name in changes]
    values = np.array(list(changes.values()), float)
    below.bar(places, values, 0.45, color=[ACCENT if value < 0 else INK for value in values])
    below.axhline(0, color="black", linewidth=1)
    extent = np.abs(values).max() or 1
    for place, value in zip(places, values, strict=True):
        text = f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
        end = {"ha": "center", "va": "top" if value < 0 else "bottom", "fontsize": 14}
        below.annotate(text, (place, value), (0, -4 if value < 0 else 4), textcoords="offset points", **end)
    below.set(xlim=(-0.5, len(maps) - 0.5), ylabel=ylabel, xticks=[])
    room = 0.3 * extent
    below.set_ylim(min(values.min() - room, -0.05 * extent), max(values.max() + room, 0.05 * extent))
    below.spines["bottom"].set_visible(False)
    figure.colorbar(picture, ax=figure.axes, label="activation", aspect=25)
    return figure


def ranks(columns, highlight):
    """Draw the ranks of channels in several rankings as lines that cross, the largest value at the top.

    Parameters
    ----------
    columns : dict of str to ndarray, shape (n_channels,)
        For each ranking its name and the value of every channel.
    highlight : int
        The channel in the accent colour, with its rank in each column.
    """
    places = np.array([rankdata(-np.asarray(values), method="ordinal") for values in columns.values()])
    figure, axis = plt.subplots(figsize=(WIDTH, 4.8))
    for channel, line in enumerate(places.T):
        if channel != highlight:
            axis.plot(line, color=PALE, linewidth=1.5, marker="o", markersize=5)
    marked = places[:, highlight]
    axis.plot(marked, color=ACCENT, linewidth=3.5, marker="o", markersize=11)
    for column, rank in enumerate(marked):
        axis.annotate(f"{rank}", (column, rank), (11, 7), textcoords="offset points", fontsize=16, color=ACCENT)
    n_channels = places.shape[1]
    axis.annotate(
        f"channel {highlight}",
        (0, marked[0]),
        (-12, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=14,
        color=ACCENT,
    )
    axis.set_xticks(range(len(columns)), columns, fontsize=14)
    axis.set(xlim=(-0.6, len(columns) - 0.6), ylim=(n_channels + 1, 0), yticks=[1, n_channels])
    axis.set_yticklabels(["first", "last"], color=MUTED)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure
