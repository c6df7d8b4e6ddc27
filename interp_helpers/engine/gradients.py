"""One forward pass, one backward pass: gradients of a target, with the backprop rule for ReLUs that one asks for.

The *target* is a class, whose logit is explained, or with ``layer=`` a channel of that layer: one number for all images
or one for each. It may also be a function of the logits, or of what the layer outputs, to one number for each image:
``lambda logits: logits[:, 4] - logits[:, 9]``.

>>> from interp_helpers.models import load_checkpoint
>>> _, slopes = gradients(load_checkpoint("mnist_cnn"), np.zeros((2, 28, 28, 1), np.float32), target=3)
>>> slopes.shape
(2, 28, 28, 1)
"""

import warnings

import keras
import numpy as np
import tensorflow as tf

from interp_helpers.engine.checks import check_choice, check_images, check_model, check_target
from interp_helpers.engine.graph import all_layers, find_layer, logits_model, spatial_layer, view
from interp_helpers.engine.hooks import batches, forward, to_numpy

RULES = (None, "guided", "deconvnet")
POOLS = ("max", "mean", "sum")


def map_gradients(model, images, target, maps, layer=None, rule=None, batch_size=100):
    """Compute the maps of the layer `maps`, and the slope of the target there: both (N, height, width, channels).

    The rest as in `attribution.saliency`.
    """
    return gradients(model, images, target, layer, rule, "mean", batch_size, maps)


def gradients(model, images, target, layer=None, rule=None, pool="max", batch_size=100, maps=None):
    """Differentiate a target with respect to the pixels, or to the feature maps of the layer `maps`.

    Returns the images or the feature maps, and the slope of the target at each of their positions; ndarrays, float32.
    """
    model = check_model(model)
    images = check_images(model, images)
    return gradient_function(model, len(images), target, layer, rule, pool, batch_size, maps)(images)


def gradient_function(model, n_images, target, layer=None, rule=None, pool="max", batch_size=100, maps=None):
    """Return the function from images to what `gradients` returns: prepared once, for many versions of the images.

    The model is checked (`checks.check_model`), and so are the images that the function takes.
    """
    target = check_request(model, target, layer, rule, pool, n_images)
    inner = [] if maps is None else [spatial_layer(model, maps)]
    run, replace = forward_function(model, layer), backprop_replacements(model, rule)
    parts = batches(n_images, batch_size)

    def of(images):
        pairs = []
        for part in parts:
            pixels = tf.convert_to_tensor(images[part])
            with tf.GradientTape() as tape:
                tape.watch(pixels)
                outputs, recorded = run(pixels, replace, inner)
                values = target_values(outputs, of_part(target, part), pool)
            variable = recorded[inner[0]] if inner else pixels
            gradient = tape.gradient(values, variable, unconnected_gradients="zero")
            pairs.append((to_numpy(variable), to_numpy(gradient)))
        return tuple(np.concatenate(both) for both in zip(*pairs, strict=True))

    return of


def check_request(model, target, layer, rule, pool, n_images):
    """Return a target checked against what it is a target of; refuse an unknown layer, rule or pooling."""
    check_choice("rule", rule, RULES)
    check_choice("pool", pool, POOLS)
    n_channels = logits_model(model).output_shape[-1] if layer is None else find_layer(model, layer).output.shape[-1]
    return check_target(target, n_images, n_channels, "the model" if layer is None else repr(layer))


def forward_function(model, layer=None):
    """Return the function from a tensor of images to the logits (N, classes), or to what a layer outputs (N, ...).

    It takes ``(images, replace, record)`` and returns the outputs and what was recorded, as `hooks.forward`.
    """
    if layer is None:
        return lambda images, replace=None, record=(): forward(logits_model(model), images, record, replace)
    found = find_layer(model, layer)
    softmax = isinstance(found, keras.layers.Softmax) or getattr(found, "activation", None) is _SOFTMAX

    def run(images, replace=None, record=()):
        _, recorded = forward(model, images, [found, *record], replace, whole=False)
        output = recorded[found]
        if softmax and tf.executing_eagerly():  # a compiled function has no values to look at
            _warn_if_saturated(found, output)
        return output, recorded

    return run


def target_values(outputs, target, pool):
    """Return one number for each image: of a channel, pooled over its map, or of a function of the outputs."""
    outputs = tf.cast(outputs, tf.float32)  # sums in half precision would overflow
    if callable(target):
        values = target(outputs)
        if tuple(getattr(values, "shape", ())) != (outputs.shape[0],):
            shape = tuple(getattr(values, "shape", ()))
            raise ValueError(f"target: the function returned shape {shape}; return ({outputs.shape[0]},)")
        return values
    channels = np.broadcast_to(target, outputs.shape[0])
    chosen = tf.gather(outputs, channels, axis=-1, batch_dims=1)
    positions = tuple(range(1, len(chosen.shape)))
    return {"max": tf.reduce_max, "mean": tf.reduce_mean, "sum": tf.reduce_sum}[pool](chosen, axis=positions)


def check_probabilities(model, images):
    """Refuse a model that outputs logits where probabilities are needed."""
    values = to_numpy(forward(model, images[:1])[0])
    if values.min() < 0 or values.max() > 1 or logits_model(model) is model:
        raise ValueError(f"model: {model.name!r} outputs logits; give a model that outputs probabilities")


def of_part(target, part):
    """Return the target of one image (a number) or of some (a slice)."""
    return target if callable(target) or np.ndim(target) == 0 else np.asarray(target)[part]


def backprop_replacements(model, rule):
    """Return what to call in place of each ReLU of a model, so that it sends back what a rule lets through.

    The dict is for `hooks.forward`; the forward pass stays as it is. A ReLU is found as a layer, as an operation of a
    functional model, or as the activation of another layer; not inside a Lambda or a layer's own code.
    """
    if rule is None:
        return {}
    layers = list(all_layers(model).values())
    operations = {*layers, *(found for part in (model, *layers) for found in getattr(part, "operations", ()))}
    replace = {}
    for found in operations:
        if _is_relu(found):
            replace[found] = view(found, call=_with_rule(found.call, rule))
        elif getattr(found, "activation", None) in _RELUS or _is_relu(getattr(found, "activation", None)):
            replace[found] = view(found, activation=_with_rule(found.activation, rule))
    if not replace:
        raise ValueError(f"rule: {rule!r} changes how ReLUs pass gradients back, and the model has no ReLU")
    return replace


def _is_relu(found):
    return type(found).__name__ in ("ReLU", "Relu", "Relu6") and not getattr(found, "negative_slope", 0)


def _with_rule(relu, rule):
    """Return a ReLU with the backward pass of guided backpropagation or of the deconvolution."""

    @tf.custom_gradient
    def changed(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            active = relu(values)

        def backward(upstream):
            positive = tf.nn.relu(upstream)
            return tape.gradient(active, values, positive) if rule == "guided" else positive

        return active, backward

    return changed


def _warn_if_saturated(layer, probabilities):
    largest = to_numpy(tf.reduce_max(probabilities, axis=-1))
    if (largest > 0.999).any():  # a convention: p(1 - p) is below a thousandth of a unit there
        warnings.warn(
            f"{layer.name!r} is a softmax that has saturated (a probability of {largest.max():.6f}): its gradients "
            "are close to 0 and depend on all classes. Explain the logit instead: leave out layer",
            stacklevel=5,
        )


_SOFTMAX = keras.activations.softmax
_RELUS = (keras.activations.relu, keras.activations.relu6)
_RELUS += (keras.ops.relu, keras.ops.relu6, tf.nn.relu, tf.nn.relu6)
