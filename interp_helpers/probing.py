"""Probe channels with data: their receptive fields, their pooled responses, the images that excite them most.

>>> from interp_helpers.models import load_checkpoint
>>> receptive_field(load_checkpoint("mnist_cnn"), "relu2").size
(5, 5)
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from keras import layers

from interp_helpers.engine.checks import check_channels, check_choice, check_count, check_images, check_model
from interp_helpers.engine.graph import check_channels_last, find_layer, layers_before, spatial_layer
from interp_helpers.engine.hooks import activations, record_outputs


@dataclass(frozen=True)
class ReceptiveField:
    """Which pixels the cells of a layer can see; each attribute is (rows, columns)."""

    size: tuple  #: pixels that one cell sees
    stride: tuple  #: by how many pixels the fields of neighbouring cells are apart
    offset: tuple  #: first row and column of the field of cell (0, 0); negative if it begins in the padding

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
    """Compute the receptive field of the cells of a layer, exactly, as a `ReceptiveField`.

    Going forward: a window of k cells adds (k - 1) times the stride so far to the size, and multiplies the stride by
    its own; padding moves the offset (Araujo, Norris and Sim 2019). Branches between the input and the layer are
    refused. Height and width of the images (`input_shape`) are needed if the model takes any size and pads ("same").
    """
    model = check_model(model)
    chain = layers_before(spatial_layer(model, layer))
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
    """Reduce maps to their maximum or "mean", shape (N, channels); what a layer without maps outputs stays."""
    check_choice("pool", pool, ("max", "mean"))
    model = check_model(model)
    images, found = check_images(model, images), find_layer(model, layer)
    check_channels_last([found])
    parts = []
    for (values,) in record_outputs(model, images, [found], batch_size):
        positions = tuple(range(1, values.ndim - 1))
        parts.append(getattr(values, pool)(axis=positions) if positions else values)
    return np.concatenate(parts)


def maximally_activating(model, images, layer, channel, k=9, pool="max"):
    """Find the k images that a channel responds to most, and the k that it responds to least.

    Parameters as in `pooled`; several channels take one pass over the images. Returns a DataFrame, 2 k rows for each
    channel, the highest first: channel, image (its index), value, group ("high" or "low"), row and column (the cell of
    the map where the channel is largest; -1 for a layer without maps).
    """
    model = check_model(model)
    images = check_images(model, images)
    channels = check_channels(channel, find_layer(model, layer).output.shape[-1], "channel")
    check_count("k", k, 1, len(images) // 2)
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
        table = {"channel": c, "image": chosen[:, c], "value": values[chosen[:, c], c]}
        tables.append(pd.DataFrame(table | {"group": ["high"] * k + ["low"] * k, "row": rows, "column": columns}))
    return pd.concat(tables, ignore_index=True)


def _geometry(layer, extent):
    """Return window, stride, padding before and padding after of a layer, each (rows, columns)."""
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if kernel is not None and isinstance(layer, _WINDOWS):
        dilation = getattr(layer, "dilation_rate", (1, 1))
        window = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        before, after = (0, 0), (0, 0)
        if layer.padding == "same":
            before, after = zip(*map(_same, extent, window, layer.strides), strict=True)
        return window, layer.strides, before, after
    if isinstance(layer, layers.ZeroPadding2D | layers.Cropping2D):
        amounts = layer.padding if isinstance(layer, layers.ZeroPadding2D) else -np.array(layer.cropping)
        (top, bottom), (left, right) = ((int(a), int(b)) for a, b in amounts)
        return (1, 1), (1, 1), (top, left), (bottom, right)
    if isinstance(layer, _POSITION_BY_POSITION):
        return (1, 1), (1, 1), (0, 0), (0, 0)
    raise ValueError(f"layer: the receptive field of {layer.name!r} ({type(layer).__name__}) on the way is not known")


def _same(length, window, stride):
    """Return the padding that "same" means: it depends on the length of the input if there is a stride."""
    if length is None:
        if stride > 1:
            raise ValueError("input_shape: give height and width, because padding 'same' with a stride depends on them")
        length = window  # any will do
    total = max((-(-length // stride) - 1) * stride + window - length, 0)
    return total // 2, total - total // 2


_WINDOWS = (
    layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.MaxPooling2D, layers.AveragePooling2D,
)  # fmt: skip
_POSITION_BY_POSITION = (
    layers.ReLU, layers.Activation, layers.LeakyReLU, layers.ELU, layers.BatchNormalization, layers.Dropout,
    layers.SpatialDropout2D, layers.Rescaling,
)  # fmt: skip
