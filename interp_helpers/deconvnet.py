"""The way back: transposed convolution, unpooling, and the DeconvNet that is made of them."""

import keras
import numpy as np
import tensorflow as tf

from interp_helpers.engine.checks import check_images, check_model
from interp_helpers.engine.graph import layers_before, spatial_layer
from interp_helpers.engine.hooks import forward


def output_length(length, kernel, stride=1, padding=0):
    """Return how many values a convolution puts out: floor((length + 2 padding - kernel) / stride) + 1.

    Raises
    ------
    ValueError
        If the kernel is longer than the padded input, or if a number makes no sense.
    """
    if min(length, kernel, stride) < 1 or padding < 0 or kernel > length + 2 * padding:
        raise ValueError(f"length={length}, kernel={kernel}, stride={stride}, padding={padding}: no window fits")
    return (length + 2 * padding - kernel) // stride + 1


def convolution_matrix(kernel, length, stride=1):
    """Write a one-dimensional convolution without padding as a matrix: y = W x.

    Parameters
    ----------
    kernel : sequence of float
    length : int
        Of x, padding included.
    stride : int

    Returns
    -------
    ndarray, shape (output_length(length, len(kernel), stride), length)
        Row i holds the kernel, shifted by i times the stride.
    """
    kernel = np.asarray(kernel, float)
    matrix = np.zeros((output_length(length, len(kernel), stride), length))
    for i, row in enumerate(matrix):
        row[i * stride : i * stride + len(kernel)] = kernel
    return matrix


def transposed_by_subpixels(values, kernel, stride=1):
    """Multiply by W^T without a matrix: zeros between the values, and the flipped kernel with stride 1.

    Parameters
    ----------
    values : ndarray, shape (n,)
    kernel : sequence of float
    stride : int

    Returns
    -------
    ndarray, shape ((n - 1) * stride + len(kernel),)
    """
    values, kernel = np.asarray(values, float), np.asarray(kernel, float)
    spread = np.zeros((len(values) - 1) * stride + 1)
    spread[::stride] = values
    padded = np.pad(spread, len(kernel) - 1)
    return np.correlate(padded, kernel[::-1], mode="valid")


def max_pool_with_switches(maps, size=2):
    """Max-pool without overlap, and remember where each maximum was.

    Parameters
    ----------
    maps : ndarray or tensor, shape (N, height, width, channels)
    size : int

    Returns
    -------
    pooled : tensor, shape (N, height // size, width // size, channels)
    switches : tensor of int64, same shape
        Flat place of each maximum in (height, width, channels) of its image.
    """
    return tf.nn.max_pool_with_argmax(maps, size, size, "VALID")


def unpool(values, switches, shape):
    """Put values back where the switches point, and zeros everywhere else.

    Parameters
    ----------
    values, switches : tensor, shape (N, height, width, channels)
        As `max_pool_with_switches` returns them.
    shape : (int, int, int)
        Height, width and channels of the maps before pooling.

    Returns
    -------
    tensor, shape (N, *shape)
    """
    n = values.shape[0]
    flat = tf.reshape(switches, (n, -1))
    images = tf.broadcast_to(tf.range(n, dtype=flat.dtype)[:, None], flat.shape)
    places = tf.reshape(tf.stack([images, flat], axis=-1), (-1, 2))
    size = tf.constant([n, int(np.prod(shape))], flat.dtype)
    return tf.reshape(tf.scatter_nd(places, tf.reshape(values, (-1,)), size), (n, *shape))


def deconvnet(model, images, layer, channel, keep="max"):
    """Project the activation of a channel back to the pixels (Zeiler and Fergus 2014, section 2.1).

    All values of the layer are set to zero but those of the channel (only the largest one of its map, by default).
    Then each layer is walked back: unpooling with switches, rectification, transposed convolution.

    Parameters
    ----------
    model : keras.Model
        A chain of convolutions, ReLUs, max-pooling without overlap and dropout up to the layer; comes back unchanged.
    images : ndarray, shape (N, height, width, channels), float
    layer : str
        A layer with maps, after its ReLU.
    channel : int
    keep : "max" or "all"

    Returns
    -------
    ndarray, shape of `images`, float32

    Raises
    ------
    ValueError
        For an unknown layer or channel, images that do not fit, or a layer on the way that has no way back here.

    Notes
    -----
    With ``keep="max"`` this is the value of the activation times `attribution.saliency` of the channel's maximum with
    ``rule="deconvnet"``: the same walk back, begun with 1 instead of the activation.
    """
    model = check_model(model)
    images = check_images(model, images)
    found = spatial_layer(model, layer)
    chain = layers_before(found)
    n_channels = found.output.shape[-1]
    if isinstance(channel, bool) or not isinstance(channel, int | np.integer) or not 0 <= channel < n_channels:
        raise ValueError(f"channel: got {channel}; {layer!r} has {n_channels}, counted from 0")
    if keep not in ("max", "all"):
        raise ValueError(f"keep: got {keep!r}; give 'max' or 'all'")
    for step in chain:
        _check_way_back(step)
    _, recorded = forward(model, images, chain, whole=False)
    outputs = [tf.constant(images), *(recorded[step] for step in chain)]
    signal = _only(outputs[-1], channel, keep)
    for step, inputs in zip(reversed(chain), reversed(outputs[:-1]), strict=True):
        signal = _back(step, signal, inputs)
    return signal.numpy()


def _only(maps, channel, keep):
    """Return the maps with everything set to zero but one channel, or its largest value."""
    chosen = maps[..., channel]
    if keep == "max":
        flat = tf.reshape(chosen, (chosen.shape[0], -1))
        first = tf.one_hot(tf.argmax(flat, axis=1), flat.shape[1])
        chosen = tf.reshape(flat * first, chosen.shape)
    return chosen[..., None] * tf.one_hot(channel, maps.shape[-1])


def _back(layer, signal, inputs):
    """Walk one layer back; `inputs` is what went into it on the way forward."""
    if isinstance(layer, keras.layers.MaxPooling2D):
        _, switches = max_pool_with_switches(inputs, layer.pool_size[0])
        return unpool(signal, switches, inputs.shape[1:])
    if isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is keras.activations.relu:
        signal = tf.nn.relu(signal)
    if isinstance(layer, keras.layers.Conv2D):
        signal = tf.nn.conv2d_transpose(
            signal, layer.kernel, inputs.shape, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate
        )
    return signal


def _check_way_back(layer):
    """Refuse a layer that `_back` would get wrong."""
    pool = isinstance(layer, keras.layers.MaxPooling2D)
    overlaps = pool and (layer.pool_size != layer.strides or len(set(layer.pool_size)) > 1 or layer.padding != "valid")
    activation = getattr(layer, "activation", keras.activations.linear)
    odd = activation not in (keras.activations.linear, keras.activations.relu)
    odd = odd or (isinstance(layer, keras.layers.ReLU) and (layer.negative_slope or layer.max_value is not None))
    if overlaps or odd or not isinstance(layer, _WAY_BACK) or getattr(layer, "groups", 1) != 1:
        raise ValueError(f"layer: {layer.name!r} ({type(layer).__name__}) on the way has no way back here")


_WAY_BACK = (
    keras.layers.Conv2D,
    keras.layers.ReLU,
    keras.layers.Activation,
    keras.layers.MaxPooling2D,
    keras.layers.Dropout,
)
