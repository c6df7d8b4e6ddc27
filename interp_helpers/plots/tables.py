"""Tables as coloured squares."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.patches import Rectangle

from interp_helpers.plots.style import ACCENT, PALE, WIDTH, _grid


def confusion_heatmap(matrix, classes=None):
    """Draw a confusion matrix, true class in rows, predicted class in columns; colour shows the errors only.

    Parameters
    ----------
    matrix : ndarray, shape (n_classes, n_classes)
        Counts; the diagonal holds the correct ones.
    classes : sequence, optional
        Names of the classes; 0, 1, 2, ... by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If `matrix` is not square.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix: got shape {matrix.shape}; give (n_classes, n_classes)")
    classes = range(len(matrix)) if classes is None else classes
    diagonal = np.eye(len(matrix), dtype=bool)
    _, axis = plt.subplots(figsize=(WIDTH, 6.6))
    sns.heatmap(
        np.ma.masked_array(matrix, diagonal).filled(0),
        mask=diagonal,
        annot=matrix,
        fmt="d",
        cmap="mako_r",
        linewidths=0.5,
        linecolor="white",
        xticklabels=classes,
        yticklabels=classes,
        cbar_kws={"label": "images confused"},
        ax=axis,
    )
    for i, count in enumerate(np.diag(matrix)):
        axis.add_patch(Rectangle((i, i), 1, 1, facecolor="#e6e6e6", edgecolor="white"))
        axis.text(i + 0.5, i + 0.5, f"{count}", ha="center", va="center", fontsize=12, color="black")
    axis.set(xlabel="predicted class", ylabel="true class")
    axis.tick_params(rotation=0)
    return axis


def confusions(matrices, classes=None):
    """Draw several confusion matrices beside each other, true class in rows, as shares of each row.

    Parameters
    ----------
    matrices : dict of str to ndarray, shape (n_classes, n_classes)
        Counts; the key becomes the title.
    classes : sequence, optional
        Names of the classes; 0, 1, 2, ... by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_columns = min(3, -(-len(matrices) // 2))
    figure, axes = _grid(len(matrices), n_columns, 0.95 * WIDTH / n_columns, 0.35)
    for axis, (title, matrix) in zip(axes.flat, matrices.items(), strict=False):
        shares = np.asarray(matrix) / np.sum(matrix, axis=1, keepdims=True)
        picture = axis.imshow(shares, vmin=0, vmax=1)
        names = range(len(shares)) if classes is None else classes
        axis.set(title=title, xticks=range(len(shares)), yticks=range(len(shares)))
        axis.set_xticklabels(names, fontsize=10, rotation=90 if classes is not None else 0)
        axis.set_yticklabels(names, fontsize=10)
    figure.supxlabel("predicted class", fontsize=14)
    figure.supylabel("true class", fontsize=14)
    figure.colorbar(picture, ax=axes, aspect=40, label="share of the true class")
    return figure


def channel_heatmap(table, marked=(), label="change", signed=True):
    """Draw a table of classes by channels as a heat map.

    Parameters
    ----------
    table : pandas.DataFrame
        Classes in rows, channels in columns.
    marked : sequence of int
        Channels whose number is drawn in the accent colour.
    label : str
        What the colour bar shows.
    signed : bool
        A diverging scale centred at 0; otherwise viridis, from the lowest value to the highest. NaN is grey.

    Returns
    -------
    matplotlib.figure.Figure
    """
    bound = np.nanmax(np.abs(table.to_numpy())) or 1
    scale = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound} if signed else {}
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    axis.set_facecolor("lightgrey")
    picture = axis.imshow(table, aspect="auto", **scale)
    axis.set(xlabel="channel", ylabel="class", yticks=range(len(table)), xticks=range(table.shape[1]))
    axis.set_yticklabels(table.index, fontsize=11)
    axis.set_xticklabels(table.columns, fontsize=9)
    for channel, text in zip(table.columns, axis.get_xticklabels(), strict=True):
        if channel in marked:
            text.set(color=ACCENT, fontweight="bold")
    figure.colorbar(picture, ax=axis, aspect=20, label=label)
    return figure


def rank_table(table, marked=(), k=5):
    """Draw the order of the channels in each ranking, best first, as a table of channel numbers with the top k framed.

    Parameters
    ----------
    table : pandas.DataFrame, shape (n_channels, n_rankings)
        Larger is better.
    marked : sequence of int
        Channels drawn in the accent colour.
    k : int
        Each ranking's first k are framed.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_channels, n_rankings = table.shape
    size = WIDTH / (n_channels + 3)
    figure, axis = plt.subplots(figsize=(WIDTH, size * 1.2 * n_rankings + 0.55))
    for row, name in enumerate(table.columns):
        for place, channel in enumerate(table[name].sort_values(ascending=False, kind="stable").index):
            red = channel in marked
            axis.add_patch(Rectangle((place, row), 1, 1, facecolor=ACCENT if red else PALE, edgecolor="white"))
            colour, weight = ("white", "bold") if red else ("black", "normal")
            text = {"ha": "center", "va": "center_baseline", "fontsize": 9.5}
            axis.text(place + 0.5, row + 0.5, channel, color=colour, fontweight=weight, **text)
        axis.add_patch(Rectangle((0, row), k, 1, fill=False, edgecolor="black", linewidth=2, zorder=3))
    axis.set(xlim=(-0.1, n_channels), ylim=(n_rankings, -0.1), xlabel="rank, from the highest value")
    axis.set_xticks([i + 0.5 for i in (0, 4, 9, 19, n_channels - 1)], [1, 5, 10, 20, n_channels], fontsize=11)
    axis.set_yticks([i + 0.5 for i in range(n_rankings)], table.columns, fontsize=12)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


def correlations(panels, bold=None):
    """Draw square tables of correlations with their numbers, on a diverging scale from -1 to 1; the diagonal is blank.

    Parameters
    ----------
    panels : dict of str to pandas.DataFrame
        Title to correlations of rows with columns; NaN stays blank.
    bold : dict of str to ndarray of bool, optional
        Title to the cells whose number is drawn bold.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(next(iter(panels.values())).index)
    named = max(len(str(name)) for name in names) > 2
    side = WIDTH / len(panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, side + (-2 if named else 0.15)), squeeze=False)
    for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
        values = table.to_numpy(float).copy()
        np.fill_diagonal(values, np.nan)
        picture = axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto" if named else "equal")
        for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True):
            strong = bold is not None and bold[title][i, j]
            text = f"{values[i, j]:.1f}".replace("0.", ".").replace("-.0", ".0")
            look = {
                "fontweight": "bold" if strong else "normal",
                "color": "white" if abs(values[i, j]) > 0.6 else "black",
            }
            axis.text(j, i, text, ha="center", va="center", fontsize=10 if strong or bold is None else 9, **look)
        axis.set_title(title, fontsize=13)
        axis.set_xticks(range(len(names)), table.columns, fontsize=11, rotation=45 if named else 0)
        axis.set_yticks(range(len(names)), names, fontsize=11)
        if named:
            plt.setp(axis.get_xticklabels(), ha="right", rotation_mode="anchor")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, aspect=30, shrink=0.8, label="correlation")
    return figure
