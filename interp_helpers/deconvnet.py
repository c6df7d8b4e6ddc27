"""The DeconvNet: unpooling with switches, rectification, transposed convolution (Zeiler and Fergus 2014).

>>> import numpy as np
>>> maps = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
>>> unpool(*max_pool_with_switches(maps), (4, 4, 1)).numpy()[0, 3, :, 0].tolist()
[0.0, 13.0, 0.0, 15.0]
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from interp_helpers.engine.checks import check_choice, check_count, check_images, check_model
from interp_helpers.engine.graph import layers_before, spatial_layer
from interp_helpers.engine.hooks import forward


def max_pool_with_switches(maps, size=2):
    """Max-pool maps (N, height, width, channels) without overlap, and remember where each maximum was.

    Returns the pooled maps and the switches: the flat position of each maximum in (height, width, channels) of its
    image.
    """
    return tf.nn.max_pool_with_argmax(maps, size, size, "VALID")


def unpool(values, switches, shape):
    """Put values back where the switches of `max_pool_with_switches` point, and zeros everywhere else.

    The shape is height, width and channels of the maps before pooling.
    """
    n = values.shape[0]
    flat = tf.reshape(switches, (n, -1))
    images = tf.broadcast_to(tf.range(n, dtype=flat.dtype)[:, None], flat.shape)
    positions = tf.reshape(tf.stack([images, flat], axis=-1), (-1, 2))
    size = tf.constant([n, int(np.prod(shape))], flat.dtype)
    return tf.reshape(tf.scatter_nd(positions, tf.reshape(values, (-1,)), size), (n, *shape))


def deconvnet(model, images, layer, channel, keep="max"):
    """Project the activation of a channel back to the pixels (Zeiler and Fergus 2014, section 2.1).

    All values of the layer are set to zero but those of the channel (only the largest one of its map, unless
    ``keep="all"``). Then each layer is inverted: unpooling with switches, rectification, transposed convolution. Up to
    the layer the model is a chain of convolutions, ReLUs, max-pooling without overlap and dropout. The result has the
    shape of `images`.

    With ``keep="max"`` this is the value of the activation times `attribution.saliency` of the channel's maximum with
    ``rule="deconvnet"``: the same backward pass, begun with 1 instead of the activation.
    """
    model = check_model(model)
    images = check_images(model, images)
    found = spatial_layer(model, layer)
    chain = layers_before(found)
    n_channels = found.output.shape[-1]
    check_count("channel", channel, 0, n_channels - 1)
    check_choice("keep", keep, ("max", "all"))
    for step in chain:
        _check_invertible(step)
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
    """Invert one layer; `inputs` is what went into it in the forward pass."""
    if isinstance(layer, layers.MaxPooling2D):
        _, switches = max_pool_with_switches(inputs, layer.pool_size[0])
        return unpool(signal, switches, inputs.shape[1:])
    if isinstance(layer, layers.ReLU) or getattr(layer, "activation", None) is keras.activations.relu:
        signal = tf.nn.relu(signal)
    if isinstance(layer, layers.Conv2D):
        signal = tf.nn.conv2d_transpose(
            signal, layer.kernel, inputs.shape, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate
        )
    return signal


def _check_invertible(layer):
    """Refuse a layer that `_back` would get wrong."""
    pool = isinstance(layer, layers.MaxPooling2D)
    overlaps = pool and (layer.pool_size != layer.strides or len(set(layer.pool_size)) > 1 or layer.padding != "valid")
    activation = getattr(layer, "activation", keras.activations.linear)
    odd = activation not in (keras.activations.linear, keras.activations.relu)
    odd = odd or (isinstance(layer, layers.ReLU) and (layer.negative_slope or layer.max_value is not None))
    if overlaps or odd or not isinstance(layer, _INVERTIBLE) or getattr(layer, "groups", 1) != 1:
        raise ValueError(f"layer: {layer.name!r} ({type(layer).__name__}) on the way cannot be inverted here")


_INVERTIBLE = (layers.Conv2D, layers.ReLU, layers.Activation, layers.MaxPooling2D, layers.Dropout)
