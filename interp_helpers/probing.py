"""Ask the data: which images make a channel respond most, where does it look, and what are those images like?"""

from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt
from scipy.stats import rankdata

from interp_helpers.layers import activations, batches_of
from interp_helpers.models import check_images, layer_with_maps, named_layer


@dataclass(frozen=True)
class ReceptiveField:
    """Which pixels the cells of a layer can see; each attribute is (rows, columns).

    Attributes
    ----------
    size : (int, int)
        Pixels that one cell sees.
    stride : (int, int)
        By how many pixels the fields of neighbouring cells are apart.
    offset : (int, int)
        First row and first column of the field of cell (0, 0); negative if it begins in the padding.
    """

    size: tuple
    stride: tuple
    offset: tuple

    def window(self, row, column, shape=None):
        """Return the slices of the pixels that cell (row, column) sees, cut at the border of an image of `shape`."""
        slices = []
        for axis, cell in enumerate((row, column)):
            start = self.offset[axis] + cell * self.stride[axis]
            stop = start + self.size[axis]
            limit = shape[axis] if shape is not None else stop
            slices.append(slice(max(start, 0), max(min(stop, limit), 0)))
        return tuple(slices)


def receptive_field(model, layer, input_shape=None):
    """Compute the receptive field of the cells of a layer, exactly.

    Parameters
    ----------
    model : keras.Model
        Sequential, or functional without branches between the input and the layer.
    layer : str
        A layer with maps.
    input_shape : (int, int), optional
        Height and width of the images; needed if the model takes any size and pads ("same").

    Returns
    -------
    ReceptiveField

    Raises
    ------
    ValueError
        If there is no such layer, if it has no maps, if it lies behind branches, or behind a layer of a kind that is
        not a convolution, pooling, padding, cropping or something that treats each place alone.

    Notes
    -----
    Going forward: a window of k cells adds (k - 1) times the stride so far to the size, and multiplies the stride by
    its own; padding moves the offset (Araujo, Norris and Sim 2019).
    """
    chain = chain_of_layers(layer_with_maps(model, layer))
    extent = list(input_shape or model.input_shape[1:3])
    size, stride, offset = [1, 1], [1, 1], [0, 0]
    for step in chain:
        window, own_stride, before, after = _geometry(step, extent)
        for axis in (0, 1):
            size[axis] += (window[axis] - 1) * stride[axis]
            offset[axis] -= before[axis] * stride[axis]
            stride[axis] *= own_stride[axis]
            if extent[axis] is not None:
                padded = extent[axis] + before[axis] + after[axis]
                extent[axis] = (padded - window[axis]) // own_stride[axis] + 1
    return ReceptiveField(tuple(size), tuple(stride), tuple(offset))


def pooled(model, images, layer, pool="max", batch_size=250):
    """Reduce the map of every channel to one number for every image.

    Parameters
    ----------
    model : keras.Model
    images : ndarray, shape (N, height, width, channels), float
    layer : str
    pool : "max" or "mean"
        Global max-pooling, or the mean of the map. A layer without maps is taken as it is.
    batch_size : int

    Returns
    -------
    ndarray, shape (N, channels)

    Raises
    ------
    ValueError
        For an unknown layer or pooling, or images that do not fit.
    """
    if pool not in ("max", "mean"):
        raise ValueError(f"pool: got {pool!r}; give 'max' or 'mean'")
    parts = []
    check_images(model, images)
    for part in batches_of(len(images), batch_size):
        values = activations(model, images[part], layer)
        places = tuple(range(1, values.ndim - 1))
        parts.append(getattr(values, pool)(axis=places) if places else values)
    return np.concatenate(parts)


def maximally_activating(model, images, layer, channel, k=9, pool="max"):
    """Find the images that a channel responds to most, and those that it responds to least.

    Parameters
    ----------
    model, images, layer, pool
        As in `pooled`.
    channel : int or sequence of int
        Several channels take one pass over the images.
    k : int
        How many of each.

    Returns
    -------
    pandas.DataFrame
        2 k rows for each channel, the highest first: channel, image (its index), value, group ("high" or "low"), row
        and column (the cell of the map where the channel is largest; -1 for a layer without maps).

    Raises
    ------
    ValueError
        As in `pooled`; if there is no such channel, or if there are fewer than 2 k images.
    """
    n_channels = named_layer(model, layer).output.shape[-1]
    channels = np.atleast_1d(channel)
    if channels.dtype.kind not in "iu" or channels.min() < 0 or channels.max() >= n_channels:
        raise ValueError(f"channel: got {channel}; {layer!r} has {n_channels}, counted from 0")
    if not isinstance(k, int | np.integer) or not 0 < 2 * k <= len(images):
        raise ValueError(f"k: got {k}; give 1 to {len(images) // 2} for {len(images)} images")
    values = pooled(model, images, layer, pool)
    order = np.argsort(-values, axis=0, kind="stable")
    chosen = np.concatenate([order[:k], order[-k:]])
    needed = np.unique(chosen[:, channels])
    maps = activations(model, images[needed], layer)
    tables = []
    for c in channels:
        of_channel = maps[np.searchsorted(needed, chosen[:, c]), ..., c]
        rows = columns = np.full(2 * k, -1)
        if of_channel.ndim == 3:
            rows, columns = np.unravel_index(of_channel.reshape(2 * k, -1).argmax(axis=1), of_channel.shape[1:])
        tables.append(
            pd.DataFrame(
                {
                    "channel": c,
                    "image": chosen[:, c],
                    "value": values[chosen[:, c], c],
                    "group": ["high"] * k + ["low"] * k,
                    "row": rows,
                    "column": columns,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def ink_shape(images, threshold=0.5):
    """Measure what a pen stroke is like: how much ink, how thick, how slanted.

    Parameters
    ----------
    images : ndarray, shape (N, height, width, 1), white on black
    threshold : float
        Pixels above it are ink, for the stroke width.

    Returns
    -------
    pandas.DataFrame
        One row for each image: ink (mean pixel); width (stroke width in pixels: four times the mean distance of ink
        from its border, as for a long bar); slant (degrees from upright, positive to the right: from the second
        moments of the ink, atan(-mu_xy / mu_yy) with rows counted downwards); height and breadth (extent of the ink
        in pixels).

    Raises
    ------
    ValueError
        For another shape, or if an image has no ink.
    """
    grey = _grey(images)
    ink = grey > threshold
    if not ink.any(axis=(1, 2)).all():
        blank = np.flatnonzero(~ink.any(axis=(1, 2)))[:5]
        raise ValueError(f"images: there is no pixel above {threshold} in image {', '.join(map(str, blank))}")
    framed = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    # to the border, which is half a pixel nearer than the centre of the first black pixel
    depth = [distance_transform_edt(mask)[mask].mean() - 0.5 for mask in framed]
    rows, columns = np.mgrid[: grey.shape[1], : grey.shape[2]]
    mass = grey.sum(axis=(1, 2))
    mean = [(grey * place).sum(axis=(1, 2)) / mass for place in (rows, columns)]
    down, right = (place - centre[:, None, None] for place, centre in zip((rows, columns), mean, strict=True))
    mu_yy, mu_xy = (grey * down**2).sum(axis=(1, 2)), (grey * down * right).sum(axis=(1, 2))
    extent = [np.array([np.ptp(np.flatnonzero(i.any(axis=axis))) + 1 for i in ink]) for axis in (1, 0)]
    return pd.DataFrame(
        {
            "ink": grey.mean(axis=(1, 2)),
            "width": 4 * np.array(depth),
            "slant": np.degrees(np.arctan2(-mu_xy, mu_yy)),
            "height": extent[0],
            "breadth": extent[1],
        }
    )


def detector_quality(maps, masks, n_shuffles=100, seed=0):
    """Measure how well each channel tells the pixels of an object from all others, in all images together.

    Parameters
    ----------
    maps : ndarray, shape (N, height, width, channels)
        What a layer put out for N images; each pixel of an image has the value of its cell.
    masks : dict of str to ndarray of bool, each of shape (N, rows, columns)
        Where each object is; rows and columns are multiples of those of the maps.
    n_shuffles : int
        How often the masks are dealt out to other images, for the p-value; 0: none (NaN).
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row for each channel and object: channel, object, auc (probability that a pixel on the object has a larger
        value than one elsewhere; equal values count half; 1/2 means no relation, 0 a channel that is dark on the object
        only), place (the same with the mean mask of all images instead of each image's own: what a channel reaches that
        knows the place alone, and the mean over all ways to deal the masks out), p_value (two-sided: how often
        dealt-out masks are as far from `place`), strength (``|2 auc - 1|``, from 0 to 1: how well the channel, or its
        negative, finds the object).
        NaN where a channel is constant.

    Raises
    ------
    ValueError
        If shapes do not fit, if values are not finite, or if an object is in no pixel or in all.

    Notes
    -----
    The area under the ROC curve from ranks: with s the share of the object in each of P cells, S their sum and r the
    mean ranks of the values minus 1/2, (sum of s r - S^2 / 2) / (S (P - S)); for cells of one pixel that is the
    statistic of Mann and Whitney.
    """
    maps = np.asarray(maps)
    if maps.ndim != 4 or not maps.size or not np.isfinite(maps).all():
        raise ValueError(f"maps: got shape {maps.shape}; give (N, height, width, channels), finite")
    if not masks or not isinstance(n_shuffles, int | np.integer) or n_shuffles < 0:
        raise ValueError(f"masks, n_shuffles: got {list(masks)}, {n_shuffles!r}; give a mask, and a number from 0")
    shares = np.stack([_share_of_cells(name, mask, maps.shape) for name, mask in masks.items()])  # (objects, N, cells)
    n, n_cells = shares.shape[1:]
    flat = np.moveaxis(maps, 3, 0).reshape(maps.shape[3], -1)
    ranks = np.stack([rankdata(values) - 0.5 for values in flat]).reshape(len(flat), n, n_cells)
    area, p = shares.sum(axis=(1, 2)), n * n_cells

    def auc(won):
        return (won - area**2 / 2) / (area * (p - area))  # (channels, objects)

    def dealt(order):
        return auc(np.tensordot(ranks, shares[:, order], axes=([1, 2], [1, 2])))

    rng = np.random.default_rng(seed)
    measured, place = dealt(slice(None)), auc(ranks.sum(axis=1) @ shares.mean(axis=1).T)
    far = np.abs(measured - place) - 1e-12
    as_far = np.sum([np.abs(dealt(rng.permutation(n)) - place) >= far for _ in range(n_shuffles)], axis=0)
    p_value = (1 + as_far) / (1 + n_shuffles) if n_shuffles else np.full(measured.shape, np.nan)
    table = pd.DataFrame(
        {
            "channel": np.repeat(np.arange(len(flat)), len(masks)),
            "object": list(masks) * len(flat),
            "auc": measured.ravel(),
            "place": place.ravel(),
            "p_value": p_value.ravel(),
            "strength": np.abs(2 * measured - 1).ravel(),
        }
    )
    constant = np.repeat(np.ptp(flat, axis=1) == 0, len(masks))
    table.loc[constant, ["auc", "place", "p_value", "strength"]] = np.nan
    return table


def orientation_energy(images):
    """Measure how much edge of which direction an image has.

    Parameters
    ----------
    images : ndarray, shape (N, height, width, 1)

    Returns
    -------
    pandas.DataFrame
        One row for each image: edges (mean squared gradient), and the mean squared derivative across four directions
        of *stroke*: horizontal, rising, vertical, falling. Horizontal and vertical add up to edges, and so do rising
        and falling.

    Raises
    ------
    ValueError
        For another shape.
    """
    grey = _grey(images)
    down = (grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]) / 2
    right = (grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]) / 2
    mean_square = lambda difference: (difference**2).mean(axis=(1, 2))  # noqa: E731
    return pd.DataFrame(
        {
            "edges": mean_square(down) + mean_square(right),
            "horizontal": mean_square(down),
            "rising": mean_square(down + right) / 2,
            "vertical": mean_square(right),
            "falling": mean_square(down - right) / 2,
        }
    )


def chain_of_layers(layer):
    """Return the layers from the input to `layer`, in order; refuse branches.

    Raises
    ------
    ValueError
        If branches meet on the way.
    """
    chain, tensor = [], layer.output
    while True:
        operation, node, _ = tensor._keras_history
        inputs = operation._inbound_nodes[node].input_tensors
        if not inputs:
            return chain[::-1]
        if len(inputs) > 1:
            raise ValueError(f"layer: {layer.name!r} lies behind {operation.name!r}, where branches meet")
        chain.append(operation)
        tensor = inputs[0]


def _grey(images):
    """Return images (N, height, width, 1) without their last axis, as float64."""
    if np.ndim(images) != 4 or np.shape(images)[3] != 1:
        raise ValueError(f"images: got shape {np.shape(images)}; give (N, height, width, 1)")
    return np.asarray(images, np.float64)[..., 0]


def _share_of_cells(name, mask, shape):
    """Return the share of an object in each cell of maps of a shape, (N, cells)."""
    mask = np.asarray(mask)
    fits = mask.ndim == 3 and len(mask) == shape[0] and not mask.shape[1] % shape[1] and not mask.shape[2] % shape[2]
    if mask.dtype != bool or not fits:
        raise ValueError(
            f"masks: {name!r} is {mask.dtype} of shape {mask.shape} beside maps of {shape[:3]}; give bool, (N, rows, "
            "columns), multiples of the maps'"
        )
    if mask.all() or not mask.any():
        raise ValueError(f"masks: {name!r} is in every pixel or in none; there is nothing to tell apart")
    rows, columns = mask.shape[1] // shape[1], mask.shape[2] // shape[2]
    cells = mask.reshape(shape[0], shape[1], rows, shape[2], columns)
    return cells.mean(axis=(2, 4)).reshape(shape[0], -1)


def _geometry(layer, extent):
    """Return window, stride, padding before and padding after of a layer, each (rows, columns)."""
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if kernel is not None and isinstance(layer, _WINDOWS):
        dilation = getattr(layer, "dilation_rate", (1, 1))
        window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        before, after = (0, 0), (0, 0)
        if layer.padding == "same":
            before, after = zip(
                *[_same(*axis) for axis in zip(extent, window, layer.strides, strict=True)], strict=True
            )
        return window, layer.strides, before, after
    if isinstance(layer, keras.layers.ZeroPadding2D | keras.layers.Cropping2D):
        amounts = layer.padding if isinstance(layer, keras.layers.ZeroPadding2D) else -np.array(layer.cropping)
        (top, bottom), (left, right) = ((int(a), int(b)) for a, b in amounts)
        return (1, 1), (1, 1), (top, left), (bottom, right)
    if isinstance(layer, _PLACE_BY_PLACE):
        return (1, 1), (1, 1), (0, 0), (0, 0)
    raise ValueError(f"layer: there is {layer.name!r} ({type(layer).__name__}) on the way, of which no field is known")


def _same(length, window, stride):
    """Return the padding that "same" means: it depends on the length of the input if there is a stride."""
    if length is None:
        if stride > 1:
            raise ValueError("input_shape: give height and width, because padding 'same' with a stride depends on them")
        length = window  # any will do
    total = max((-(-length // stride) - 1) * stride + window - length, 0)
    return total // 2, total - total // 2


_WINDOWS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)
_PLACE_BY_PLACE = (
    keras.layers.ReLU,
    keras.layers.Activation,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.Rescaling,
)
