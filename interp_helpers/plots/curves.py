"""Channels as points: one property against another, and one value from the highest to the lowest.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = channel_scatter({"two channels": (np.arange(2), np.arange(2))}, "across", "up")
>>> len(figure.axes)
1
"""

import numpy as np

from interp_helpers.engine.checks import check_table
from interp_helpers.plots.style import ACCENT, INK, PALE, _grid


def channel_scatter(panels, xlabel, ylabel, highlight=(), n_columns=2, sharex=True, numbers=True):
    """Draw one property of the channels against another, a panel for each case.

    Parameters
    ----------
    panels : dict of str to (ndarray, ndarray), each of shape (n_channels,); title to what goes across and what goes up
    highlight : sequence of int, or dict of str to sequence of int; channels in red, in all panels or for each panel
    sharex, numbers : bool; all panels have the same horizontal axis; points have the numbers of their channels
    """
    n_columns = min(n_columns, len(panels))
    heights = (2.5, 0.5) if len(panels) > n_columns else (4.2, 0)
    figure, axes = _grid(len(panels), n_columns, *heights, sharex=sharex, sharey=True)
    for axis, (title, (x, y)) in zip(axes.flat, panels.items(), strict=False):
        red = highlight[title] if isinstance(highlight, dict) else highlight
        colours = [ACCENT if c in red else INK for c in range(len(x))]
        axis.scatter(x, y, c=colours, s=22)
        for c, (across, up) in enumerate(zip(x, y, strict=True) if numbers else []):
            axis.annotate(str(c), (across, up), (3, 2), textcoords="offset points", fontsize=9, color=colours[c])
        axis.set_title(title, fontsize=13)
        axis.tick_params(labelsize=11)
        axis.locator_params(axis="x", nbins=4)
    figure.supxlabel(xlabel, fontsize=13)
    figure.supylabel(ylabel, fontsize=13)
    return figure


def ranking(tables, highlight=()):
    """Draw the channels of a ranking from the highest value to the lowest, above what permuted scores give.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        For each panel its title and a row for each channel: `channel`, `pcace` (NaN is left out), and `null_low` and
        `null_high`, the ends of the band of permuted scores, as ``pcace.rank_channels`` returns them.
    highlight : sequence of int; channels in the accent colour
    """
    for title, table in tables.items():
        check_table(table, ("channel", "pcace", "null_low", "null_high"), f"tables[{title!r}]")
        if table["channel"].duplicated().any() or table["null_low"].isna().all():
            raise ValueError(f"tables: {title!r} has several rows for a channel, or no permutations")
    figure, axes = _grid(len(tables), 1, 2.6, sharey=True)
    for axis, (title, table) in zip(axes.flat, tables.items(), strict=True):
        rows = table.dropna(subset="pcace").sort_values("pcace", ascending=False)
        positions = np.arange(len(rows))
        colours = [ACCENT if c in highlight else INK for c in rows["channel"]]
        band = {"color": PALE, "linewidth": 0, "step": "mid", "label": "permuted scores, 5 to 95 %"}
        axis.fill_between(positions, rows["null_low"], rows["null_high"], **band)
        axis.scatter(positions, rows["pcace"], c=colours, s=36, zorder=3)
        axis.set(title=title, xticks=positions, ylabel="PCACE", xlim=(-0.7, len(rows) - 0.3))
        axis.set_xticklabels(rows["channel"], fontsize=10 if len(rows) < 40 else 6)
        for text, colour in zip(axis.get_xticklabels(), colours, strict=True):
            text.set_color(colour)
        axis.tick_params(axis="y", labelsize=11)
    axes[0, 0].legend(frameon=False, fontsize=11, loc="lower left")
    figure.supxlabel("channel, from the highest value to the lowest", fontsize=13)
    return figure
