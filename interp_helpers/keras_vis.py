"""The calls of keras-vis on today's Keras, for the tutorial and for old notebooks; new code should call ours directly.

keras-vis 0.4.1 (Kotikalapudi 2017) does not run on Keras 3. Its names and arguments are kept here; what they do is
done by `attribution` and `feature_vis`. Its raw gradients and ours agree to 1e-5 (``tests/oracles``).

One habit of keras-vis is kept because old results depend on it: with a backprop modifier it made *every* activation a
ReLU, the linear output layer included, so the guided map of a class with a negative score is blank. (It did so to the
linear layers in the middle as well, and to tanh: there we differ, because that is another network.)

>>> from interp_helpers.models import load_checkpoint
>>> find_layer_idx(load_checkpoint("mnist_cnn"), "logits")
10
"""

import warnings

import keras
import numpy as np
import tensorflow as tf
from matplotlib import colormaps
from scipy.ndimage import zoom

from interp_helpers.attribution import saliency
from interp_helpers.engine.checks import check_count, check_images, check_model, check_number
from interp_helpers.engine.gradients import map_gradients
from interp_helpers.feature_vis import maximize


def find_layer_idx(model, layer_name):
    """Return the position of a layer in ``model.layers``."""
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        raise ValueError(f"layer_name: the model has no layer {layer_name!r}; it has {', '.join(names)}")
    return names.index(layer_name)


def apply_modifications(model):
    """Return a copy of a model in which what was assigned to ``layer.activation`` (also of a Softmax) holds."""

    def rebuilt(layer):
        if isinstance(layer, keras.layers.Softmax) and getattr(layer, "activation", None) is keras.activations.linear:
            return keras.layers.Activation("linear", name=layer.name)
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=rebuilt)
    copy.set_weights(model.get_weights())
    return copy


def visualize_saliency(
    model, layer_idx, filter_indices, seed_input,
    backprop_modifier=None, grad_modifier="absolute", keepdims=False, colorize=False,
):  # fmt: skip
    """Return the saliency map of a layer's outputs for one image, as keras-vis did.

    Returns an ndarray, shape (height, width), scaled to [0, 1] over this map, as the last version of keras-vis on
    GitHub did.

    Parameters
    ----------
    layer_idx : int; position in ``model.layers``; see `find_layer_idx`
    filter_indices : int or sequence of int
        Outputs or channels; the mean of each over its map is taken, and the sum of the means is differentiated.
    seed_input : ndarray, shape (height, width, channels) or (1, height, width, channels)
        Channels first is understood too; integers are taken as they are, as floats.
    backprop_modifier : None, "guided", "relu", "rectified" or "deconv"; the last three are the same
    grad_modifier : None, "absolute", "negate", "invert", "relu", "small_values" or callable, applied to the gradient
    keepdims : bool; keep the axis of the colour channels instead of taking their maximum
    colorize : bool; return the uint8 picture (height, width, 3) in Matplotlib's jet, as keras-vis 0.4.1 did
    """
    gradient = _input_gradient(model, layer_idx, filter_indices, seed_input, backprop_modifier)
    gradient = _grad_modifier(grad_modifier)(gradient)[0]
    return _finished(gradient if keepdims else gradient.max(axis=-1), colorize)


def visualize_cam(
    model, layer_idx, filter_indices, seed_input,
    penultimate_layer_idx=None, backprop_modifier=None, grad_modifier=None, colorize=False,
):  # fmt: skip
    """Return the Grad-CAM of a layer's outputs for one image, as keras-vis did.

    Returns an ndarray, shape (height, width), stretched to the size of the image by cubic splines
    (``scipy.ndimage.zoom``) and scaled to [0, 1]. The layer whose maps are weighted (at ``penultimate_layer_idx``) is
    by default the last convolution or pooling before `layer_idx`, and the `grad_modifier` is applied to the gradient
    there. The rest is as in `visualize_saliency`.
    """
    found, image = _prepared(model, layer_idx, seed_input)
    penultimate = _penultimate_layer(model, layer_idx, penultimate_layer_idx)
    target, rule = _mean_of(found, filter_indices, backprop_modifier), _modifier(backprop_modifier)
    maps, gradients = map_gradients(model, image, target, penultimate.name, found.name, rule)
    alpha = _grad_modifier(grad_modifier)(gradients).mean(axis=(1, 2))
    cam = tf.nn.relu(np.einsum("nhwk,nk->nhw", maps, alpha / (np.abs(gradients).max() + _EPSILON)))
    factors = np.array(image.shape[1:3]) / cam.shape[1:3]
    return _finished(zoom(cam[0].numpy(), factors), colorize)


def visualize_activation(
    model, layer_idx, filter_indices=None, seed_input=None, input_range=(0, 255),
    backprop_modifier=None, grad_modifier=None, act_max_weight=1, lp_norm_weight=10, tv_weight=10, max_iter=200, seed=0,
):  # fmt: skip
    """Return an image (height, width, channels) that a layer's outputs respond to strongly, as keras-vis did.

    The pixels go wherever the ascent takes them. At the end the image is standardized to mean 0.5 and standard
    deviation 0.1, clipped to [0, 1] and stretched to `input_range`: it looks good, but it is not the image whose score
    was maximized (chapter 4). `feature_vis.maximize` keeps the pixels in range instead. The rest is as in
    `visualize_saliency`.

    Parameters
    ----------
    filter_indices : int or sequence of int, optional; by default all
    seed_input : ndarray, optional; by default noise around the middle of `input_range`, fixed by `seed`
    input_range : (number, number); if both are int, the image comes back as uint8
    act_max_weight, lp_norm_weight, tv_weight : float; weights of the activation and of the two penalties
    """
    if grad_modifier is not None:
        raise ValueError(f"grad_modifier: got {grad_modifier!r}; only None is supported in activation maximization")
    check_number("act_max_weight", act_max_weight, 0, open_low=True)
    low, high = input_range
    as_bytes = isinstance(low, int) and isinstance(high, int)
    if not low < high or (as_bytes and (low < 0 or high - low < 10)):
        raise ValueError(f"input_range: got {input_range}; give low < high; two ints mean bytes, else give floats")
    if seed_input is None:
        noise = np.random.default_rng(seed).random((1, *model.input_shape[1:]))
        seed_input = (noise - noise.mean()) / noise.std() * 0.05 * (high - low) + (low + high) / 2
    found, start = _prepared(model, layer_idx, seed_input)
    penalties = {"lp_norm": lp_norm_weight, "total_variation": tv_weight}
    penalties = {name: (weight or 0) / act_max_weight for name, weight in penalties.items()}
    options = {"n_steps": max_iter, "step_size": 1.0, "pixel_range": None, "rule": _modifier(backprop_modifier)}
    target = _mean_of(found, filter_indices, backprop_modifier)
    made = maximize(model, target, found.name, **options, **penalties, start=start)
    image = made.images[0] - made.images[0].mean()
    image = np.clip(image / (image.std() + _EPSILON) * 0.1 + 0.5, 0, 1) * (high - low) + low
    return image.astype(np.uint8) if as_bytes else image


def _input_gradient(model, layer_idx, filter_indices, seed_input, backprop_modifier):
    """Return the raw gradient that keras-vis computes, shape (1, height, width, channels)."""
    found, image = _prepared(model, layer_idx, seed_input)
    target = _mean_of(found, filter_indices, backprop_modifier)
    return saliency(model, image, target, found.name, _modifier(backprop_modifier))


def _prepared(model, layer_idx, seed_input):
    """Return the layer and the image as a batch of one, channels last, float32."""
    model = check_model(model)
    check_count("layer_idx", layer_idx, -len(model.layers), len(model.layers) - 1)
    image = np.asarray(seed_input)
    if image.ndim == len(model.input_shape) - 1:
        image = image[None]
    moved = np.moveaxis(image, 1, -1) if image.ndim == len(model.input_shape) else image
    if image.shape[1:] != model.input_shape[1:] and moved.shape[1:] == model.input_shape[1:]:
        image = moved
    image = check_images(model, image.astype(np.float32))
    if len(image) != 1:
        raise ValueError(f"seed_input: got {len(image)} images; give one (attribution.saliency takes many)")
    return model.layers[layer_idx], image


def _mean_of(layer, filter_indices, backprop_modifier):
    """Return the function from a layer's output to the sum of the means of some of its channels."""
    n_channels = layer.output.shape[-1]
    indices = np.atleast_1d(range(n_channels) if filter_indices is None else filter_indices)
    if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= n_channels:
        raise ValueError(f"filter_indices: got {filter_indices!r}; {layer.name!r} has {n_channels} outputs, from 0")

    def mean(outputs):
        chosen = tf.gather(outputs, indices, axis=-1)
        if _modifier(backprop_modifier) == "guided":
            chosen = tf.nn.relu(chosen)  # keras-vis makes the output layer a ReLU too
        places = tuple(range(1, len(chosen.shape) - 1))
        return tf.reduce_sum(tf.reduce_mean(chosen, axis=places), axis=-1)

    return mean


def _penultimate_layer(model, layer_idx, penultimate_layer_idx):
    layers = model.layers[: layer_idx % len(model.layers)]
    if penultimate_layer_idx is not None:
        index = penultimate_layer_idx % len(model.layers)
        if index >= len(layers):
            raise ValueError(f"penultimate_layer_idx: got {penultimate_layer_idx}; it must come before layer_idx")
        return model.layers[index]
    for layer in reversed(layers):
        if type(layer).__name__.startswith(_WITH_MAPS) and len(layer.output.shape) == 4:
            return layer
    raise ValueError(f"layer_idx: there is no convolution or pooling before layer {layer_idx}; Grad-CAM needs one")


def _modifier(name):
    names = {None: None, "guided": "guided", "relu": "deconvnet", "rectified": "deconvnet", "deconv": "deconvnet"}
    if name not in names:
        raise ValueError(f"backprop_modifier: got {name!r}; give one of {', '.join(map(repr, names))}")
    return names[name]


def _grad_modifier(name):
    if callable(name):
        return name
    if name not in _GRAD_MODIFIERS:
        raise ValueError(f"grad_modifier: got {name!r}; give one of {', '.join(map(repr, _GRAD_MODIFIERS))}")
    return _GRAD_MODIFIERS[name]


def _finished(values, colorize):
    if values.min() == values.max():
        warnings.warn(
            "the map is constant: the target does not react to this image. With backprop_modifier='guided' keras-vis "
            "blanks every class whose score is negative; attribution.saliency does not",
            stacklevel=3,
        )
    values = (values - values.min()) / (values.max() - values.min() + _EPSILON)
    if not colorize:
        return values
    return np.uint8(colormaps["jet"](values)[..., :3] * 255)


_EPSILON = 1e-7  # what Keras 2 adds to denominators
_WITH_MAPS = ("Conv", "DepthwiseConv", "SeparableConv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
_GRAD_MODIFIERS = {
    None: lambda gradient: gradient,
    "absolute": np.abs,
    "negate": np.negative,
    "invert": lambda gradient: 1 / (gradient + _EPSILON),
    "relu": lambda gradient: np.maximum(gradient, 0),
    "small_values": lambda gradient: np.abs(1 / (gradient + _EPSILON)),
}
