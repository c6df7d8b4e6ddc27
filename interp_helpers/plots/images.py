"""Images, feature maps and kernels in grids."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.plots.style import ACCENT, INK, WIDTH, _panels


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


def _tiled(maps, n_columns=8, gap=(2, 2)):
    """Lay the channels of (height, width, channels) out in one picture on one scale, with gaps of NaN between them."""
    height, width, channels = maps.shape
    n_rows = -(-channels // n_columns)
    picture = np.full((n_rows * (height + gap[0]) - gap[0], n_columns * (width + gap[1]) - gap[1]), np.nan)
    for c in range(channels):
        top, left = (c // n_columns) * (height + gap[0]), (c % n_columns) * (width + gap[1])
        picture[top : top + height, left : left + width] = maps[..., c]
    return picture
