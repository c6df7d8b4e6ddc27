"""Tables as coloured squares.

>>> import matplotlib as mpl
>>> mpl.use("agg")
>>> figure = confusion_matrices({"": np.eye(3, dtype=int)})
>>> figure.axes[0].get_xlabel()
'predicted class'
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from interp_helpers.engine.checks import check_array
from interp_helpers.plots.style import WIDTH, _grid, _number_style


def confusion_matrices(matrices, classes=None):
    """Draw confusion matrices, true class in rows, predicted class in columns.

    One matrix shows its counts, and in colour the errors only; several, beside each other, shares of each true class.

    Parameters
    ----------
    matrices : dict of str to ndarray of int, shape (n_classes, n_classes); title to counts
    classes : sequence, optional; names of the classes; 0, 1, 2, ... by default
    """
    matrices = {title: check_array(f"matrices[{title!r}]", m, (len(m),) * 2) for title, m in matrices.items()}
    if len(matrices) == 1:
        return _annotated(*matrices.items(), classes)
    n_columns = min(3, max(2, -(-len(matrices) // 2)))
    figure, axes = _grid(len(matrices), n_columns, 0.95 * WIDTH / n_columns, 0.35)
    for axis, (title, matrix) in zip(axes.flat, matrices.items(), strict=False):
        picture = axis.imshow(matrix / matrix.sum(axis=1, keepdims=True), vmin=0, vmax=1)
        names = range(len(matrix)) if classes is None else classes
        axis.set_xticks(range(len(matrix)), names, fontsize=10, rotation=0 if classes is None else 90)
        axis.set_yticks(range(len(matrix)), names, fontsize=10)
        axis.set_title(title)
    figure.supxlabel("predicted class", fontsize=14)
    figure.supylabel("true class", fontsize=14)
    figure.colorbar(picture, ax=axes, aspect=40, label="share of the true class")
    return figure


def channel_heatmap(table, highlight=(), label="change", signed=True):
    """Draw a table of classes by channels as a heat map; NaN is grey.

    Parameters
    ----------
    table : pandas.DataFrame, shape (n_classes, n_channels)
    highlight : sequence of int; channels whose number is drawn in the accent colour
    label : str; of the colour bar
    signed : bool; a diverging scale centred at 0; otherwise viridis, from the lowest value to the highest
    """
    bound = np.nanmax(np.abs(table.to_numpy())) or 1
    scale = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound} if signed else {}
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    axis.set_facecolor("lightgrey")
    picture = axis.imshow(table, aspect="auto", **scale)
    axis.set(xlabel="channel", ylabel="class")
    axis.set_yticks(range(len(table)), table.index, fontsize=11)
    axis.set_xticks(range(table.shape[1]), table.columns, fontsize=9)
    for channel, text in zip(table.columns, axis.get_xticklabels(), strict=True):
        text.set(**_number_style(channel, highlight))
    figure.colorbar(picture, ax=axis, aspect=20, label=label)
    return figure


def _annotated(titled, classes):
    """Draw one confusion matrix with its counts; the diagonal is grey, so that colour shows the errors."""
    title, matrix = titled
    figure, axis = plt.subplots(figsize=(WIDTH, 6.6), subplot_kw={"facecolor": "#e6e6e6"})
    bar = {"label": "images confused"}
    correct = np.eye(len(matrix), dtype=bool)
    sns.heatmap(matrix, vmin=0, cmap="mako_r", annot=True, fmt="d", linewidths=0.5, mask=correct, ax=axis, cbar_kws=bar)
    for i, count in enumerate(np.diag(matrix)):
        axis.text(i + 0.5, i + 0.5, count, ha="center", va="center", fontsize=12)
    axis.set(title=title, xlabel="predicted class", ylabel="true class")
    if classes is not None:
        axis.set(xticklabels=classes, yticklabels=classes)
    axis.tick_params(rotation=0)
    return figure
