"""Points, lines and bands."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.images import _dots
from interp_helpers.plots.style import ACCENT, AMBER, INK, MUTED, PALE, WIDTH, _grid


def accuracy_curves(curves, chance, panels=None, label="distance", bands="interval"):
    """Draw how the accuracy falls as the weights of each layer move: a line for each layer, dark for the first.

    Parameters
    ----------
    curves : pandas.DataFrame
        Rows of `perturbation.perturb_layer`; of several seeds, the line is their mean.
    chance : float
        Accuracy of guessing, drawn as a dashed line.
    panels : str, optional
        Column of `curves` with a panel for each of its values, for example ``"direction"``.
    label : str
        What the horizontal axis shows.
    bands : "interval" or "seeds"
        95 % interval of each accuracy, or smallest to largest over the seeds.

    Returns
    -------
    matplotlib.figure.Figure
    """
    groups = list(curves.groupby(panels, sort=False)) if panels else [("", curves)]
    names = list(curves["layer"].unique())
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.88, len(names)))
    figure, axes = plt.subplots(1, len(groups), figsize=(WIDTH, 4), sharey=True, squeeze=False)
    for axis, (title, group) in zip(axes[0], groups, strict=True):
        for name, colour in zip(names, colours, strict=True):
            by_distance = group[group["layer"] == name].groupby("distance")
            mean = by_distance["accuracy"].mean()
            low, high = (
                (by_distance["low"].min(), by_distance["high"].max())
                if bands == "interval"
                else (by_distance["accuracy"].min(), by_distance["accuracy"].max())
            )
            axis.plot(mean.index, mean, color=colour, linewidth=2.5, label=name)
            axis.fill_between(mean.index, low, high, color=colour, alpha=0.25, linewidth=0)
        axis.axhline(chance, color=MUTED, linestyle="--", label="chance")
        axis.set(title=title, xlabel=label, ylim=(0, 1))
    axes[0, 0].set_ylabel("accuracy")
    lines, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, texts, frameon=False, fontsize=12, ncols=min(len(texts), 7), loc="outside upper center")
    return figure


def ranking(tables, marked=()):
    """Draw the channels of a ranking from the highest value to the lowest, above what permuted scores give.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        For each panel its title and rows of `pcace.rank_channels`, of one layer and one statistic, with permutations.
    marked : sequence of int
        Channels in the accent colour.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a table has several rows for a channel, or no chance level.
    """
    for title, table in tables.items():
        if table["channel"].duplicated().any() or table["null_low"].isna().all():
            raise ValueError(f"tables: {title!r} has several rows for a channel, or no permutations")
    figure, axes = _grid(len(tables), 1, 2.6, sharey=True)
    for axis, (title, table) in zip(axes.flat, tables.items(), strict=True):
        rows = table.dropna(subset="pcace").sort_values("pcace", ascending=False)
        places = np.arange(len(rows))
        colours = [ACCENT if c in marked else INK for c in rows["channel"]]
        band = {"color": PALE, "linewidth": 0, "step": "mid", "label": "permuted scores, 5 to 95 %"}
        axis.fill_between(places, rows["null_low"], rows["null_high"], **band)
        axis.scatter(places, rows["pcace"], c=colours, s=36, zorder=3)
        axis.set(title=title, xticks=places, ylabel="PCACE", xlim=(-0.7, len(rows) - 0.3))
        axis.set_xticklabels(rows["channel"], fontsize=10 if len(rows) < 40 else 6)
        for text, colour in zip(axis.get_xticklabels(), colours, strict=True):
            text.set_color(colour)
        axis.tick_params(axis="y", labelsize=11)
    axes[0, 0].legend(frameon=False, fontsize=11, loc="lower left")
    figure.supxlabel("channel, from the highest value to the lowest", fontsize=13)
    return figure


def sorted_values(panels, label="PCACE"):
    """Draw the values of each layer from the highest to the lowest, and at the left the chance band of each layer.

    Parameters
    ----------
    panels : dict of str to sequence of (values, chance)
        Title, then for each layer, first to last, the values of its channels (NaN is left out) and two numbers, the
        median and the 95 % quantile of permuted scores.
    label : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a panel has no layer.
    """
    _check_layers(panels)
    figure, axes = _grid(len(panels), min(2, len(panels)), 3.1, sharex=True, sharey=True)
    for axis, (title, layers) in zip(axes.flat, panels.items(), strict=False):
        colours = mpl.colormaps["viridis"](np.linspace(0, 1, len(layers)))
        low, high = np.transpose([chance for _, chance in layers])
        axis.axhspan(low.min(), high.max(), color=PALE, alpha=0.5, linewidth=0)
        axis.vlines(np.linspace(-16, -4, len(layers)), low, high, colors=colours, linewidth=2.5)
        for colour, (values, _) in zip(colours, layers, strict=True):
            ordered = np.sort(_known(values))[::-1]
            axis.plot(np.linspace(0, 100, len(ordered)), ordered, color=colour, linewidth=1.3)
        axis.set_title(title, fontsize=13)
        axis.set_xticks([-10, 20, 60, 100], ["chance", "20", "60", "100"])
        axis.tick_params(labelsize=11)
    figure.supxlabel("channels of a layer, from the highest value, in per cent", fontsize=13)
    figure.supylabel(label, fontsize=13)
    bar = figure.colorbar(mpl.cm.ScalarMappable(cmap="viridis"), ax=axes, aspect=30, ticks=[0, 1])
    bar.set_ticklabels(["first\nlayer", "last"], fontsize=11)
    return figure


def layer_histograms(panels, names, lines=None, label="PCACE", n_bins=40):
    """Draw a histogram of values for each layer, as a column of colours, with the chance band of each.

    Parameters
    ----------
    panels : dict of str to sequence of (values, chance)
        As for `sorted_values`, all with the same layers.
    names : sequence of str
        Of the layers.
    lines : dict of str to ndarray, shape (n_layers,), optional
        Other values for each layer, drawn as lines in each panel.
    label : str
    n_bins : int

    Returns
    -------
    matplotlib.figure.Figure
        All shares above a quarter of a layer's channels have the same colour.

    Raises
    ------
    ValueError
        If a panel has no layer, or another number of layers than there are names.
    """
    _check_layers(panels, len(names))
    lines, places = lines or {}, np.arange(len(names))
    everything = [_known(values) for layers in panels.values() for pair in layers for values in pair]
    edges = np.histogram_bin_edges(np.concatenate([*everything, *lines.values()]), n_bins)
    row_height = 4.4 if len(panels) == 1 else 2.9
    figure, axes = _grid(len(panels), min(2, len(panels)), row_height, 0.6, sharex=True, sharey=True)
    step = -(-len(names) // (18 if len(panels) == 1 else 10))
    for axis, (title, layers) in zip(axes.flat, panels.items(), strict=False):
        counts = np.stack([np.histogram(_known(values), edges)[0] for values, _ in layers], axis=1)
        shares = counts / np.maximum(counts.sum(axis=0), 1)
        shares = np.where(shares > 0, shares, np.nan)
        picture = axis.pcolormesh(np.arange(len(names) + 1) - 0.5, edges, shares, vmin=0, vmax=0.25, cmap="viridis")
        low, high = np.transpose([chance for _, chance in layers])
        axis.plot(places, low, color=ACCENT, linewidth=1.5, label="permuted scores: median, 95 %")
        axis.plot(places, high, color=ACCENT, linewidth=1.5)
        axis.fill_between(places, low, high, color=ACCENT, alpha=0.15, linewidth=0)
        for style, (name, line) in zip(("k-", "k--", "k:"), lines.items(), strict=False):
            axis.plot(places, line, style, linewidth=1.8, label=name)
        axis.set_title(title, fontsize=13)
        axis.set_xticks(places[::step], names[::step], rotation=90)
        axis.tick_params(labelsize=11)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), fontsize=11, loc="outside upper center", ncols=3)
    figure.supylabel(label, fontsize=13)
    figure.colorbar(picture, ax=axes, aspect=30, extend="max", label="share of the layer's channels")
    return figure


def mean_dots(rows, lines=None, marked=(), label="mean activation", n_columns=2):
    """Draw the mean activation of each channel, a panel for each kind of input, with the line of the nearly dead.

    Parameters
    ----------
    rows : dict of str to ndarray, shape (n, n_channels)
        For each kind n images or classes: small points; their mean is a large one.
    lines : dict of str to float, optional
        One for each kind; NaN draws none.
    marked : sequence of int
        Channels drawn in the accent colour.
    label : str
    n_columns : int
        Panels in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no kind, or if one is not two-dimensional.
    """
    if not rows or any(np.ndim(values) != 2 for values in rows.values()):
        raise ValueError(
            f"rows: got { ({k: np.shape(v) for k, v in rows.items()}) }; give (n, n_channels) for each kind"
        )
    figure, axes = _grid(len(rows), n_columns, 1.55, 0.5, sharex=True, sharey=True)
    for axis, (name, values) in zip(axes.flat, rows.items(), strict=False):
        _dots(axis, np.asarray(values), (lines or {}).get(name, np.nan), marked)
        axis.set_title(name, fontsize=12, pad=3)
        axis.set_xlabel("")
        axis.tick_params(labelsize=11)
    figure.supxlabel("channel", fontsize=13)
    figure.supylabel(label, fontsize=13)
    return figure


def channel_scatter(panels, xlabel, ylabel, marked=(), n_columns=2, sharex=True, numbers=True):
    """Draw one property of the channels against another, with the numbers of the channels, a panel for each case.

    Parameters
    ----------
    panels : dict of str to (ndarray, ndarray), each of shape (n_channels,)
        Title, then what goes across and what goes up.
    xlabel, ylabel : str
    marked : sequence of int, or dict of str to sequence of int
        Channels in the accent colour, in all panels or for each panel.
    n_columns : int
    sharex : bool
        All panels have the same horizontal axis.
    numbers : bool
        Write the channel's number beside its point.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no panel, or if the two properties of one have different lengths.
    """
    if not panels or any(np.shape(x) != np.shape(y) for x, y in panels.values()):
        raise ValueError("panels: give two arrays of one length for each title, and at least one title")
    n_columns = min(n_columns, len(panels))
    heights = (2.5, 0.5) if len(panels) > n_columns else (4.2, 0)
    figure, axes = _grid(len(panels), n_columns, *heights, sharex=sharex, sharey=True)
    for axis, (title, (x, y)) in zip(axes.flat, panels.items(), strict=False):
        red = marked[title] if isinstance(marked, dict) else marked
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


def transforms(panels, known=None, n_columns=3, names=("found", "known"), row_height=2.3):
    """Draw transforms of variables as points, on one vertical scale, and known ones as lines behind them.

    Parameters
    ----------
    panels : dict of str to (ndarray, ndarray), each of shape (m,)
        Title, then the values of a variable and their transform.
    known : dict of str to ndarray, shape (m,), optional
        What the transform of some of the panels should be, at the same values.
    n_columns : int
    names : (str, str)
        What points and lines are, for the legend; there is one if there are lines.
    row_height : float
        In inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no panel, if values and transform have different lengths, or if a known transform has no panel.
    """
    known = known or {}
    if not panels or any(np.shape(values) != np.shape(transform) for values, transform in panels.values()):
        raise ValueError("panels: give two arrays of one length for each title, and at least one title")
    for title, line in known.items():
        if title not in panels or np.shape(line) != np.shape(panels[title][0]):
            raise ValueError(f"known: {title!r} is no panel, or has another length; panels are {', '.join(panels)}")
    figure, axes = _grid(len(panels), min(n_columns, len(panels)), row_height, 0.4, sharey=True)
    for axis, (title, (values, transform)) in zip(axes.flat, panels.items(), strict=False):
        order = np.argsort(values, kind="stable")
        if title in known:
            axis.plot(values[order], known[title][order], color=ACCENT, linewidth=3, label=names[1])
        axis.plot(values[order], transform[order], ".", color=INK, markersize=4, label=names[0])
        axis.set_title(title, fontsize=13)
        axis.tick_params(labelsize=11)
        axis.locator_params(axis="x", nbins=4)
    if known:
        handles = axes.flat[list(panels).index(next(iter(known)))].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, fontsize=12)
    return figure


def correlation_intervals(groups, chance):
    """Draw correlations with their intervals, a row for each name, groups beside each other in colours.

    Parameters
    ----------
    groups : dict of str to pandas.DataFrame
        Legend to a table with the columns name, correlation, low and high; the same names in all.
    chance : float
        Correlations of unrelated rankings stay between minus and plus this 95 times in 100: drawn as a grey band.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(next(iter(groups.values()))["name"])
    figure, axis = plt.subplots(figsize=(WIDTH, 0.3 * len(names) + 1))
    axis.axvspan(-chance, chance, color="#eeeeee", zorder=0)
    axis.axvline(0, color="black", linewidth=0.8)
    spread = np.linspace(-0.22, 0.22, len(groups)) if len(groups) > 1 else [0]
    for shift, colour, (title, rows) in zip(spread, (INK, ACCENT, AMBER), groups.items(), strict=False):
        y = [names.index(name) + shift for name in rows["name"]]
        axis.hlines(y, rows["low"], rows["high"], color=colour, linewidth=2)
        axis.plot(rows["correlation"], y, "o", color=colour, label=title, markersize=6)
    axis.set(xlim=(-1, 1), ylim=(len(names) - 0.4, -0.6), xlabel="rank correlation (band: chance)")
    axis.set_yticks(range(len(names)), names, fontsize=12)
    axis.legend(frameon=False, fontsize=12, loc="upper center", bbox_to_anchor=(0.45, 1.13), ncols=len(groups))
    return figure


def removal_curves(panels, measure="accuracy", colours=None):
    """Draw what is left as channels are removed in the order of each ranking, over the band of the random orders.

    Parameters
    ----------
    panels : dict of str to pandas.DataFrame
        Title to rows of `compare.removal_curves`, random orders among them. Solid lines: best first; dashed: worst
        first; band: the middle 95 % of the random orders, with their median.
    measure : "accuracy" or "score"
    colours : dict of str to str, optional
        Rankings to draw, with their colours; by default all, in the colours of the style.

    Returns
    -------
    matplotlib.figure.Figure
    """
    cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    names = [name for rows in panels.values() for name in rows["ranking"].unique() if name != "random"]
    colours = colours or {name: cycle[i % len(cycle)] for i, name in enumerate(dict.fromkeys(names))}
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 4), sharey=True, squeeze=False)
    for axis, (title, rows) in zip(axes[0], panels.items(), strict=True):
        random = rows[rows["ranking"] == "random"].groupby("removed")[measure]
        low, middle, high = (random.quantile(q) for q in (0.025, 0.5, 0.975))
        axis.fill_between(middle.index, low, high, color="#e2e2e2", linewidth=0, label="random")
        axis.plot(middle.index, middle, color=MUTED, linewidth=1.5)
        for name, colour in colours.items():
            for end, style in (("best first", "-"), ("worst first", "--")):
                curve = rows[(rows["ranking"] == name) & (rows["order"] == end)].sort_values("removed")
                label = name if end == "best first" else None
                axis.plot(curve["removed"], curve[measure], style, color=colour, linewidth=2.2, label=label)
        axis.set(title=title, xlabel="channels removed", xlim=(0, rows["removed"].max()))
    axes[0, 0].set_ylabel(measure)
    lines, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, texts, frameon=False, fontsize=12, ncols=min(len(texts), 5), loc="outside upper center")
    return figure


def _check_layers(panels, n_layers=None):
    """Refuse panels without layers, or with another number of them than is wanted."""
    found = [len(layers) for layers in panels.values()]
    if not found or not all(found) or (n_layers is not None and set(found) != {n_layers}):
        wanted = "at least one" if n_layers is None else f"{n_layers}, one for each name,"
        raise ValueError(f"panels: got {found} layers; give at least one panel, with {wanted} in each")


def _known(values):
    """Return values without NaN (or None)."""
    values = np.asarray(values, float)
    return values[~np.isnan(values)]
