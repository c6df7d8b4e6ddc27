"""Look inside a network while it runs: forward passes in which layers are recorded, or replaced by something else.

A hook belongs to one pass and not to the layer: nothing that others share is patched, so several threads may look into
one model at once, and a pass that is interrupted leaves the model as it was.

>>> from interp_helpers.models import load_checkpoint
>>> model, blank = load_checkpoint("mnist_cnn"), np.zeros((1, 28, 28, 1), np.float32)
>>> without_relu = {find_layer(model, "relu1"): lambda inputs: inputs}
>>> _, recorded = forward(model, blank, [find_layer(model, "conv2")], without_relu)
>>> [tuple(output.shape) for output in recorded.values()]
[(1, 24, 24, 32)]
"""

from functools import lru_cache, partial
from inspect import signature
from itertools import chain
from math import prod

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils import gen_batches

from interp_helpers.engine.checks import check_count, check_images, check_model
from interp_helpers.engine.graph import WithoutActivation, check_channels_last, find_layer


def forward(model, images, record=(), replace=None, whole=True):
    """Run a (checked) model, not training, and record what some of its layers output.

    Instead of a layer, what `replace` has for it is called, with the layer's arguments; usually a `graph.view` of it.
    With ``whole=False`` the pass stops as soon as all layers are recorded, and the output is None. Returns the output,
    and the recorded outputs by layer, in the order in which they ran. They are tensors of the pass, so a
    ``tf.GradientTape`` around the call can differentiate with respect to them.
    """
    record, replace, recorded = set(record), replace or {}, {}
    for layer in record:
        n = n_calls(model, layer)
        if n != 1:
            raise ValueError(f"layer: {layer.name!r} is called {n} times in one pass; give a layer called once")

    def in_place_of(operation):
        layer = stands_for(operation)
        call = replace.get(layer, operation)
        if call is operation:
            if hasattr(operation, "_run_through_graph") or getattr(operation, "_functional", None) is not None:
                call = partial(_run, operation, in_place_of)
            elif _takes_training(type(operation)):
                call = partial(operation, training=False)
        return partial(noted, layer, call) if layer in record else call

    def noted(layer, call, *arguments, **options):
        recorded[layer] = output = call(*arguments, **options)
        if not whole and len(recorded) == len(record):
            raise _Enough
        return output

    try:
        return _run(model, in_place_of, images), recorded
    except _Enough:
        return None, recorded


def n_calls(model, layer):
    """Count the calls of a layer in one pass of a model."""
    calls = 0
    for node in chain.from_iterable(_graph(model)._nodes_by_depth.values()):
        calls += stands_for(node.operation) is layer
        if isinstance(node.operation, keras.Model) and node.operation is not layer:
            calls += n_calls(node.operation, layer)
    return calls


def stands_for(operation):
    """Return the layer that an operation of a graph is: in a logits model, the last one without its activation."""
    return operation.layer if isinstance(operation, WithoutActivation) else operation


def record_outputs(model, images, layers, batch_size=250):
    """Yield what some layers (not names) output for the next images (checked), as a list of ndarrays."""
    for part in batches(len(images), batch_size):
        _, recorded = forward(model, images[part], layers, whole=False)
        yield [to_numpy(recorded[layer]) for layer in layers]


def activations(model, images, layers, batch_size=250):
    """Compute what some layers output for some images, all in one pass over the images.

    Returns an ndarray, or a dict of ndarrays for a sequence of names: shape (N, ...) as the layer has it, float32.
    """
    model, names = check_model(model), [layers] if isinstance(layers, str) else list(layers)
    found = [find_layer(model, name) for name in names]
    check_channels_last(found)
    images = check_images(model, images)
    values = [np.concatenate(parts) for parts in zip(*record_outputs(model, images, found, batch_size), strict=True)]
    return values[0] if isinstance(layers, str) else dict(zip(names, values, strict=True))


def to_numpy(tensor):
    """Return a tensor as float32, or refuse values that are not finite: weights are NaN, or numbers overflowed."""
    values = tf.cast(tensor, tf.float32).numpy()
    if not np.isfinite(values).all():
        raise ValueError("model: its outputs or gradients are not finite; are there weights that are NaN or too large?")
    return values


def batches(n, batch_size):
    """Return the slices that cut n images into batches."""
    return list(gen_batches(n, check_count("batch_size", batch_size)))


def memory_passes(shapes, n, gigabytes):
    """Cut layers into blocks of channels, and sort the blocks into passes over n images that fit into memory.

    The shapes, by name, are what each layer outputs for one image, channels last; the gigabytes are what the recorded
    float32 activations of a pass may take, but one channel is taken at least. Returns for each pass a list of layers
    and their channels (str, slice).
    """
    passes, room = [], 0
    for name, shape in shapes.items():
        of_channel = 4 * n * prod(shape[:-1]) / 1e9
        start = 0
        while start < shape[-1]:
            if room < of_channel:
                passes.append([])
                room = max(gigabytes, of_channel)
            stop = min(shape[-1], start + int(room / of_channel))
            passes[-1].append((name, slice(start, stop)))
            room -= (stop - start) * of_channel
            start = stop
    return passes


class _Enough(Exception):
    """All that was to be recorded is there."""


def _graph(model):
    """Return the functional model that runs: a Sequential one keeps it inside."""
    return getattr(model, "_functional", None) or model


def _run(model, in_place_of, images, **options):
    """Run the graph of a model, each operation by what `in_place_of` returns for it; as ``Functional.call`` does."""
    graph = _graph(model)
    images = keras.ops.convert_to_tensor(keras.tree.flatten(images)[0], dtype=graph.inputs[0].dtype)
    outputs = keras.tree.flatten(graph._run_through_graph([images], operation_fn=in_place_of))
    return outputs[0] if len(outputs) == 1 else outputs


@lru_cache
def _takes_training(kind):
    return "training" in signature(kind.call).parameters
