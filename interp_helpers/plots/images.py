"""Images, feature maps and kernels in grids.

>>> mpl.use("agg")
>>> len(image_grid(np.zeros((3, 4, 4)), ["a", "b", "c"]).axes)
3
"""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from interp_helpers.engine.checks import check_array
from interp_helpers.plots.style import WIDTH, _grid, _number_style


def image_grid(images, titles=None, n_columns=10, size=None):
    """Draw grey images in [0, 1] in a grid on one scale, black for 0 and white for 1.

    Parameters
    ----------
    images : ndarray, shape (N, height, width) or (N, height, width, 1)
    titles : sequence of str, optional; one above each image
    size : float, optional; width of one image in inches; by default a row is as wide as the page
    """
    images = check_array("images", _squeeze_grey(images), ("N", "height", "width"))
    titles = [""] * len(images) if titles is None else titles
    size, n_columns = size or WIDTH / n_columns, min(n_columns, len(images))
    height = size * images.shape[1] / images.shape[2] + (0.25 * (titles[0].count("\n") + 1) if any(titles) else 0)
    figure, axes = _grid(len(images), n_columns, height, width=size * n_columns, frames=False)
    for i, (image, title) in enumerate(zip(images, titles, strict=True)):
        axes.flat[i].imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.flat[i].set_title(title, fontsize=12)
    return figure


def channels(stack, signed=False, highlight=(), label="activation", n_columns=8):
    """Draw feature maps or kernels with the numbers of their channels, on one colour scale.

    Parameters
    ----------
    stack : ndarray, shape (height, width, n_channels)
    signed : bool; a diverging colour map centred at 0 instead of viridis
    highlight : sequence of int; channels whose number is drawn in the accent colour
    label : str; of the colour bar
    """
    stack = check_array("stack", stack, ("height", "width", "n_channels"), finite=False)
    figure, axes = _grid(stack.shape[2], n_columns, WIDTH / (n_columns + 0.9) + 0.17, frames=False)
    bound = np.nanmax(np.abs(stack)) or 1
    scale = {"vmin": -bound if signed else min(0, stack.min()), "vmax": bound, "cmap": "RdBu_r" if signed else None}
    for c in range(stack.shape[2]):
        picture = axes.flat[c].imshow(stack[..., c], **scale)
        axes.flat[c].set_title(str(c), fontsize=11, pad=2, **_number_style(c, highlight))
    figure.colorbar(picture, ax=axes, aspect=30, label=label)
    return figure


def map_table(columns, titles=None, shared=(), pictures=("image",), size=None):
    """Draw a row for each image and a column for each method. Signed maps get a diverging scale, others viridis from 0.

    Parameters
    ----------
    columns : dict of str to ndarray, shape (N, height, width), or (N, height, width, 1 or 3); three: in colour
    titles : sequence of str, optional; one at the left of each row
    shared, pictures : sequence of str
        Columns whose panels share one scale (others: one for each panel), and columns drawn in grey from 0 to 1.
    size : float, optional; width of one panel in inches; by default as wide as the page allows, at most 1.6
    """
    columns = {name: _squeeze_grey(maps) for name, maps in columns.items()}
    n_rows, height, width = next(iter(columns.values())).shape[:3]
    titles = [""] * n_rows if titles is None else titles
    margin = 0.11 * max(len(line) for title in titles for line in title.split("\n"))
    size = size or min(1.6, (WIDTH - margin) / len(columns))
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
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=12)
    return figure


def patches(seen, slopes, n_columns=4):
    """Draw, for each channel, what it saw and the saliency of its response, as blocks of three by three tiles.

    The layout is that of the figures of Zeiler and Fergus (2014).

    Parameters
    ----------
    seen : ndarray, shape (n_channels, 9, height, width); grey patches in [0, 1]
    slopes : ndarray of the same shape; signed; each channel has a scale of its own, centred at 0
    """
    seen = check_array("seen", seen, ("n_channels", 9, "height", "width"))
    slopes = check_array("slopes", slopes, seen.shape)
    figure, axes = _grid(len(seen), n_columns, 1.2, frames=False)
    for c, (grey, signed) in enumerate(zip(seen, slopes, strict=True)):
        bound = np.abs(signed).max() or 1
        blocks = mpl.colormaps["gray"](grey), mpl.colormaps["RdBu_r"](signed / bound / 2 + 0.5)
        tiles = [_tile(block[..., :3].transpose(1, 2, 3, 0), 3, 1, fill=1) for block in blocks]
        between = np.ones((len(tiles[0]), 2, 3))
        axes.flat[c].imshow(np.hstack([tiles[0], between, tiles[1]]))
        axes.flat[c].set_title(str(c), fontsize=11, pad=2)
    return figure


def _squeeze_grey(images):
    """Return images (N, height, width, 1) as (N, height, width), others as they are."""
    images = np.asarray(images)
    return images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images


def _tile(stack, n_columns, gap, fill=np.nan):
    """Lay the last axis of (height, width, ..., n) out as rows of tiles, with `gap` pixels below and beside each."""
    free = -stack.shape[-1] % n_columns
    pad = [(0, gap), (0, gap), *[(0, 0)] * (stack.ndim - 3), (0, free)]
    framed = np.moveaxis(np.pad(stack, pad, constant_values=fill), -1, 0)
    rows = [np.hstack(framed[i : i + n_columns]) for i in range(0, len(framed), n_columns)]
    return np.vstack(rows)
