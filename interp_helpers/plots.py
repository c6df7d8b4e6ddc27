"""Draw what the other modules compute. Every function takes arrays and returns the Matplotlib figure or axes."""

import keras
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.patches import Rectangle

INK, ACCENT, AMBER, MUTED, PALE = "#31688e", "#d1495b", "#e8a33d", "#6f6f6f", "#b9c6d2"
WIDTH = 8  # inches: wider figures become unreadable on a page or a phone


def use_book_style():
    """Set the look of all figures: opaque background (for dark pages), fonts for a projector, viridis for values."""
    mpl.rcParams.update(
        {
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "savefig.bbox": "tight",
            "figure.constrained_layout.use": True,
            "font.size": 14,
            "axes.titlesize": 14,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.cmap": "viridis",
            "image.interpolation": "nearest",
            "axes.prop_cycle": mpl.cycler(color=[INK, ACCENT, "#35b779", AMBER, "#6a4c93"]),
        }
    )


def image_grid(images, titles=None, n_columns=10, size=WIDTH / 10):
    """Draw grey images in [0, 1] in a grid on one scale, black for 0 and white for 1.

    Parameters
    ----------
    images : ndarray, shape (N, height, width) or (N, height, width, 1)
    titles : sequence of str, optional
        One above each image.
    n_columns : int
    size : float
        Width of one image in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no image, if `images` has another shape, or if the number of titles is another.
    """
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 or len(images) == 0:
        raise ValueError(f"images: got shape {images.shape}; give (N, height, width) or (N, height, width, 1), N > 0")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles: got {len(titles)} for {len(images)} images; give one for each")
    n_columns = min(n_columns, len(images))
    height = size * images.shape[1] / images.shape[2] + (0.25 * (titles[0].count("\n") + 1) if titles else 0)
    figure, axes = _panels(len(images), n_columns, size * n_columns, height)
    for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        if titles:
            axis.set_title(titles[i], fontsize=12)
    return figure


def predictions(data, probabilities, chosen, n_columns=6):
    """Draw chosen images with their true class, the predicted class and its probability.

    Parameters
    ----------
    data : LabelledImages
    probabilities : ndarray, shape (N, n_classes)
        What the network says of all N images.
    chosen : sequence of int
        Which images to draw.

    Returns
    -------
    matplotlib.figure.Figure
    """
    titles = [f"true {data.labels[i]}\nread {probabilities[i].argmax()} ({probabilities[i].max():.2f})" for i in chosen]
    return image_grid(data.images[chosen], titles, n_columns=n_columns, size=WIDTH / 6)


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


def architecture(model):
    """Draw the layers of a Sequential network with the shape that each puts out and its number of parameters.

    Parameters
    ----------
    model : keras.Sequential
        Built, with images (height, width, channels) as input.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the model is not built, or if its input are not images.
    """
    if not model.built or len(model.input_shape) != 4:
        raise ValueError("model: give a built network whose input is (N, height, width, channels)")
    steps = [("input", tuple(model.input_shape[1:]), 0)]
    steps += [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
    tallest = max(shape[0] for _, shape, _ in steps if len(shape) == 3)
    figure, axis = plt.subplots(figsize=(WIDTH, 0.44 * (len(steps) + 1)))
    for x, heading in ((2.1, "layer"), (8.4, "shape"), (11.4, "parameters")):
        axis.text(x, -1, heading, ha="right", va="center", color=MUTED)
    for row, (name, shape, parameters) in enumerate(steps):
        colour = INK if parameters else PALE
        if len(shape) == 3:
            _draw_maps(axis, 4.2, row, side=0.8 * shape[0] / tallest, channels=shape[2], colour=colour)
        else:
            width = 0.2 * np.log2(shape[0])
            axis.add_patch(Rectangle((4.2 - width / 2, row - 0.14), width, 0.28, facecolor=colour))
        axis.text(2.1, row, name, ha="right", va="center")
        axis.text(8.4, row, " x ".join(f"{length:,}" for length in shape), ha="right", va="center")
        axis.text(11.4, row, f"{parameters:,}", ha="right", va="center", color=INK if parameters else MUTED)
    axis.set(xlim=(-0.4, 11.6), ylim=(len(steps) - 0.4, -1.5))
    axis.axis("off")
    return figure


def channels(stack, signed=False, marked=(), label="activation", n_columns=8):
    """Draw the channels of a stack of maps or kernels as one figure, with their numbers, on one colour scale.

    Parameters
    ----------
    stack : ndarray, shape (height, width, n_channels)
    signed : bool
        Values have a sign: a diverging colour map centred at 0 instead of viridis.
    marked : sequence of int
        Channels whose number is drawn in the accent colour.
    label : str
        What the colour bar shows.
    n_columns : int

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If `stack` has another shape.
    """
    stack = np.asarray(stack)
    if stack.ndim != 3:
        raise ValueError(f"stack: got shape {stack.shape}; give (height, width, n_channels)")
    figure, axes = _panels(stack.shape[2], n_columns, WIDTH, WIDTH / (n_columns + 0.9) + 0.17)
    bound = np.nanmax(np.abs(stack)) or 1
    scale = {"vmin": -bound if signed else min(0, stack.min()), "vmax": bound, "cmap": "RdBu_r" if signed else None}
    for c, axis in zip(range(stack.shape[2]), axes.flat, strict=False):
        picture = axis.imshow(stack[..., c], **scale)
        colour, weight = (ACCENT, "bold") if c in marked else ("black", "normal")
        axis.set_title(str(c), fontsize=11, color=colour, fontweight=weight, pad=2)
    figure.colorbar(picture, ax=axes, aspect=30, label=label)
    return figure


def map_table(columns, titles=None, shared=(), pictures=("image",), size=None):
    """Draw maps in a table: a row for each image, a column for each method, the name of the method above.

    Parameters
    ----------
    columns : dict of str to ndarray, shape (N, height, width), (N, height, width, 1) or (N, height, width, 3)
        Maps with negative values get a diverging colour map centred at 0, others viridis from 0; each panel reaches to
        the largest absolute value of its own map. With three channels: pictures, drawn in their own colours.
    titles : sequence of str, optional
        One at the left of each row.
    shared : sequence of str
        Columns whose panels all share one scale, so that rows and these columns can be compared.
    pictures : sequence of str
        Columns drawn in grey from 0 to 1.
    size : float, optional
        Width of one panel in inches; by default as wide as the page allows, at most 1.6.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no column, if the columns have different numbers of maps, or if the number of titles is another.
    """
    columns = {
        name: np.asarray(maps) if np.shape(maps)[3:] == (3,) else np.reshape(maps, np.shape(maps)[:3])
        for name, maps in columns.items()
    }
    lengths = {len(maps) for maps in columns.values()}
    if len(lengths) != 1 or (titles is not None and {len(titles)} != lengths):
        raise ValueError(
            f"columns: got {sorted(lengths)} maps and {titles and len(titles)} titles; give one for each row"
        )
    margin = 0.11 * max(len(line) for title in titles for line in title.split("\n")) if titles is not None else 0
    size = size or min(1.6, (WIDTH - margin) / len(columns))
    n_rows, (height, width) = lengths.pop(), next(iter(columns.values())).shape[1:3]
    extent = (size * len(columns) + margin, (size * height / width + 0.06) * n_rows + 0.3)
    figure, axes = plt.subplots(n_rows, len(columns), figsize=extent, squeeze=False)
    alike = np.array([maps for name, maps in columns.items() if name in shared])
    for column, (name, maps) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(name, fontsize=12)
        for axis, values in zip(column, maps, strict=True):
            bound = np.nanmax(np.abs(alike if name in shared else values)) or 1
            signed = (alike if name in shared else maps).min() < 0
            low, high, colours = (-bound, bound, "RdBu_r") if signed else (0, bound, "viridis")
            if name in pictures:
                low, high, colours = 0, 1, "gray"
            axis.imshow(values, vmin=low, vmax=high, cmap=colours)  # leaves pictures in colour as they are
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    for axis, title in zip(axes[:, 0], titles or [], strict=False):
        axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=12)
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


def patches(seen, slopes, n_columns=4):
    """Draw, for each channel, what it saw and the saliency of its response, as blocks of three by three tiles.

    The layout is that of the figures of Zeiler and Fergus (2014).

    Parameters
    ----------
    seen : ndarray, shape (channels, 9, height, width)
        Grey patches in [0, 1].
    slopes : ndarray of the same shape
        Signed; each channel has a scale of its own, centred at 0.
    n_columns : int
        Channels in a row.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shapes differ or there are not nine patches for each channel.
    """
    if np.shape(seen) != np.shape(slopes) or np.ndim(seen) != 4 or np.shape(seen)[1] != 9:
        raise ValueError(
            f"slopes: got shape {np.shape(slopes)} beside {np.shape(seen)}; give (channels, 9, h, w) twice"
        )
    figure, axes = _panels(len(seen), n_columns, WIDTH, 1.2)
    for c, (axis, grey, signed) in enumerate(zip(axes.flat, seen, slopes, strict=False)):
        bound = np.abs(signed).max() or 1
        coloured = _block(mpl.colormaps["RdBu_r"](signed / bound / 2 + 0.5)[..., :3])
        axis.imshow(np.hstack([_block(mpl.colormaps["gray"](grey)[..., :3]), coloured]))
        axis.set_title(str(c), fontsize=11, pad=2)
    return figure


def opened_network(model, image, layers=("conv1", "conv2")):
    """Draw an image, what every channel of some layers makes of it after the ReLU, and the class scores.

    Parameters
    ----------
    model : keras.Model
        With named layers; its output are probabilities or scores.
    image : ndarray, shape (height, width, 1)
    layers : sequence of str
        Convolutional layers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the image has another shape than the input of the model, or if there is no layer of one of the names.
    """
    from interp_helpers.models import named_layer, scores

    if np.shape(image) != tuple(model.input_shape[1:]):
        raise ValueError(f"image: got shape {np.shape(image)}; the model takes {tuple(model.input_shape[1:])}")
    outputs = [named_layer(model, name).output for name in layers] + scores(model).outputs
    *maps, logits = keras.Model(model.inputs, outputs).predict(image[None], verbose=0)
    figure = plt.figure(figsize=(WIDTH, 2.75 * len(layers)))
    left, right = figure.subfigures(1, 2, width_ratios=[2.1, 5.9])
    digit, bars = left.subplots(2, 1)
    digit.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    digit.set_title("a digit")
    digit.axis("off")
    colours = [ACCENT if k == logits[0].argmax() else INK for k in range(len(logits[0]))]
    bars.barh(range(len(logits[0])), logits[0], color=colours)
    bars.axvline(0, color="black", linewidth=0.8)
    bars.set(yticks=range(len(logits[0])), title="class scores")
    bars.tick_params(labelsize=11)
    bars.invert_yaxis()
    for axis, name, stack in zip(right.subplots(len(layers), 1), layers, maps, strict=True):
        picture = axis.imshow(_tiled(np.maximum(stack[0], 0)))
        right.colorbar(picture, ax=axis, aspect=14, label="activation")
        axis.set_title(f"{name}, after the ReLU: {stack.shape[-1]} channels")
        axis.axis("off")
    return figure


def channel_report(image, maps, line=np.nan, marked=(), top=None, top_mean=None):
    """Draw an image, what all channels make of it, and the mean of each map above or below the nearly dead.

    Parameters
    ----------
    image : ndarray, shape (height, width) or (height, width, 1)
        Grey, from 0 to 1; what leaves that range is drawn as black or white.
    maps : ndarray, shape (height, width, n_channels)
        Activations, on one scale that begins at 0.
    line : float
        Where `interp_helpers.layers.nearly_dead` draws its line; NaN draws none.
    marked : sequence of int
        Channels whose number and point are drawn in the accent colour.
    top : float, optional
        End of the colour scale, to share it between figures; the largest activation by default.
    top_mean : float, optional
        End of the scale of the means.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If `image` or `maps` has another shape.
    """
    image, maps = np.asarray(image), np.asarray(maps)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim != 2 or maps.ndim != 3:
        raise ValueError(
            f"maps: got shape {maps.shape} for an image of {image.shape}; give (h, w, n_channels), (h, w) or (h, w, 1)"
        )
    figure = plt.figure(figsize=(WIDTH, 6))
    figure.set_layout_engine("none")  # fixed places, so that one can flip through such figures
    left, right, bar, lower = (
        figure.add_axes(place)
        for place in ([0, 0.56, 0.15, 0.26], [0.17, 0.4, 0.69, 0.54], [0.88, 0.42, 0.02, 0.5], [0.13, 0.1, 0.85, 0.25])
    )
    left.imshow(image, cmap="gray", vmin=0, vmax=1)
    left.set_title("input")
    height, width, gap, n_columns = *maps.shape[:2], (8, 2), 8
    picture = right.imshow(_tiled(maps, n_columns, gap), vmin=0, vmax=top)
    for c in range(maps.shape[2]):
        colour, weight = (ACCENT, "bold") if c in marked else ("black", "normal")
        x, y = (c % n_columns + 0.5) * (width + gap[1]), (c // n_columns) * (height + gap[0]) - 1
        right.text(x, y, str(c), color=colour, fontweight=weight, fontsize=10, ha="center", va="bottom")
    figure.colorbar(picture, cax=bar, label="activation")
    for axis in (left, right):
        axis.axis("off")
    _dots(lower, maps.mean(axis=(0, 1))[None], line, marked, "mean activation")
    if top_mean is not None:
        lower.set_ylim(-top_mean / 20, top_mean)
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


def top_channels(pictures, maps, top, marked=(), title="digit"):
    """Draw the best channels of some classes, each seen with several inputs, on one colour scale.

    A block for each class, a column in it for each kind of input, a row for each rank; above the columns the input.

    Parameters
    ----------
    pictures : dict of str to ndarray, shape (n_classes, height, width, 1)
        Kind of input to an image of each class, grey in [0, 1].
    maps : dict of str to ndarray, shape (n_classes, height, width, n_channels)
        What the channels make of them.
    top : dict of int to sequence of int
        Class to its best channels, best first; the same number for each.
    marked : sequence of int
        Channels whose number is drawn in the accent colour.
    title : str
        What a class is called.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the kinds differ, or if the classes have different numbers of channels.
    """
    depths = {len(channels) for channels in top.values()}
    if list(pictures) != list(maps) or len(depths) != 1:
        raise ValueError(f"maps: of {list(maps)} beside {list(pictures)}, {sorted(depths)} channels; give the same")
    n_kinds, n_rows = len(pictures), depths.pop() + 1
    gap = 0.55  # of a panel, for the channel number at the left of each block
    size = (WIDTH - 0.7) / (len(top) * (n_kinds + gap))
    figure = plt.figure(figsize=(WIDTH, size * n_rows * 1.03 + 0.46))
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    bound = max(stack[k][..., list(channels)].max() for stack in maps.values() for k, channels in top.items()) or 1
    for block, (k, channels) in enumerate(top.items()):
        left = block * (n_kinds + gap) * size
        figure.text((left + (gap + n_kinds / 2) * size) / width, 1, f"{title} {k}", ha="center", va="top", fontsize=13)
        for column, kind in enumerate(pictures):
            for row in range(n_rows):
                corner = (left + (gap + column) * size, height - 0.44 - (row + 1) * size * 1.03)
                axis = figure.add_axes(
                    [corner[0] / width, corner[1] / height, 0.96 * size / width, 0.96 * size / height]
                )
                axis.axis("off")
                if row == 0:
                    axis.imshow(pictures[kind][k][..., 0], cmap="gray", vmin=0, vmax=1)
                    axis.set_title(kind, fontsize=10, pad=2)
                    continue
                channel = channels[row - 1]
                picture = axis.imshow(maps[kind][k][..., channel], vmin=0, vmax=bound)
                if column == 0:
                    colour, weight = (ACCENT, "bold") if channel in marked else ("black", "normal")
                    place = {"ha": "right", "va": "center", "transform": axis.transAxes}
                    axis.text(-0.06, 0.5, channel, fontsize=12, color=colour, fontweight=weight, **place)
    bar = figure.add_axes([1 - 0.58 / width, 0.12, 0.12 / width, 0.6])
    figure.colorbar(picture, cax=bar).ax.tick_params(labelsize=10)
    bar.set_ylabel("activation", fontsize=11, labelpad=2)
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


def few_colours(picture, n=40):
    """Reduce a drawn figure to the colours of this book, which makes its file small.

    Parameters
    ----------
    picture : PIL.Image.Image
    n : int
        Steps of viridis; greys and the two line colours take 52 more.

    Returns
    -------
    PIL.Image.Image
        With a palette.
    """
    from PIL import Image

    ramp = np.linspace(0, 1, 10)[:, None]
    tints = [1 - ramp * (1 - np.array(mpl.colors.to_rgb(colour))) for colour in (INK, ACCENT)]
    colours = [mpl.colormaps["viridis"](np.linspace(0, 1, n))[:, :3], np.linspace(0, 1, 32)[:, None].repeat(3, axis=1)]
    palette = Image.new("P", (1, 1))
    palette.putpalette((np.concatenate(colours + tints) * 255).round().astype(np.uint8).ravel().tolist())
    return picture.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)


def _dots(axis, values, line, marked, label=""):
    """Draw a row of values for each channel as small points, their mean as a large one, and a line across."""
    for c, column in enumerate(values.T):
        colour = ACCENT if c in marked else INK
        if len(column) > 1:
            axis.plot(np.full(len(column), c), column, ".", color=colour, markersize=3, alpha=0.5)
        axis.plot(c, column.mean(), "o", color=colour, markersize=5)
    if np.isfinite(line):
        axis.axhline(line, color="black", linewidth=1, linestyle="--")
    axis.set(xlabel="channel", ylabel=label, xticks=range(0, values.shape[1], 4))


def _block(tiles):
    """Lay nine coloured tiles out as three by three, with white gaps."""
    framed = np.pad(tiles, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1)
    rows = [np.hstack(framed[i : i + 3]) for i in (0, 3, 6)]
    return np.pad(np.vstack(rows), ((0, 0), (0, 2), (0, 0)), constant_values=1)


def _panels(n, n_columns, width, row_height):
    """Return a figure and a grid of axes without frames, of the given width, for n pictures."""
    figure, axes = _grid(n, n_columns, row_height, width=width)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes


def _grid(n, n_columns, row_height, margin=0, width=WIDTH, **shared):
    """Return a figure and a grid of axes for n panels; those left over in the last row are hidden."""
    n_rows = -(-n // n_columns)
    extent = (width, row_height * n_rows + margin)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=extent, squeeze=False, **shared)
    for axis in axes.flat[n:]:
        axis.axis("off")
    return figure, axes


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


def _draw_maps(axis, x, y, side, channels, colour):
    """Draw a stack of maps as overlapping squares, more of them for more channels."""
    n = 1 + int(np.log2(channels))
    for k in range(n):
        corner = (x - side / 2 + 0.22 * (k - (n - 1) / 2), y - side / 2)
        axis.add_patch(Rectangle(corner, side, side, facecolor=colour, edgecolor="white", linewidth=0.8))


def _tiled(maps, n_columns=8, gap=(2, 2)):
    """Lay the channels of (height, width, channels) out in one picture on one scale, with gaps of NaN between them."""
    height, width, channels = maps.shape
    n_rows = -(-channels // n_columns)
    picture = np.full((n_rows * (height + gap[0]) - gap[0], n_columns * (width + gap[1]) - gap[1]), np.nan)
    for c in range(channels):
        top, left = (c // n_columns) * (height + gap[0]), (c % n_columns) * (width + gap[1])
        picture[top : top + height, left : left + width] = maps[..., c]
    return picture
