"""Find the layers of a model, and make models of parts of it. The model itself never changes.

>>> from interp_helpers.models import load_checkpoint
>>> model = load_checkpoint("mnist_cnn")
>>> last_conv_layer(model), kernel_before(find_layer(model, "relu1")).name, logits_model(model).layers[-1].name
('pool', 'conv1', 'logits')
"""

from threading import RLock
from weakref import WeakKeyDictionary

import keras
import numpy as np
from keras import layers

from interp_helpers.engine.checks import check_model


def all_layers(model):
    """Return the layers of a model and of the models inside it, in order, by name (``"inner/name"`` inside one)."""
    found = {}
    for layer in model.layers:
        found[layer.name] = layer
        if isinstance(layer, keras.Model):
            found |= {f"{layer.name}/{name}": inner for name, inner in all_layers(layer).items()}
    return found


def find_layer(model, name):
    """Return the layer of a name, also from a model inside the model; ``"inner/conv1"`` where two have the name."""
    by_name = all_layers(model)
    if not isinstance(name, str):
        raise ValueError(f"layer: got {name!r}; give the name of a layer: {', '.join(by_name)}")
    if name in by_name:
        return by_name[name]
    inner = [path for path in by_name if path.endswith(f"/{name}")]
    if len(inner) != 1:
        what = f"several layers {name!r}" if inner else f"no layer {name!r}"
        raise ValueError(f"layer: the model has {what}; it has {', '.join(inner or by_name)}")
    return by_name[inner[0]]


def spatial_layer(model, name):
    """Return the layer of a name, which must output feature maps (N, height, width, channels), channels last."""
    layer = find_layer(model, name)
    if len(layer.output.shape) != 4:
        raise ValueError(f"layer: {name!r} outputs shape {tuple(layer.output.shape)}; give a layer with feature maps")
    check_channels_last([layer])
    return layer


def kernel_layer(model, name):
    """Return the layer of a name, which must have a kernel with an axis of output channels (`channel_kernels`)."""
    layer = find_layer(model, name)
    channel_kernels(layer)
    return layer


def linear_layer(model, name, channels_last_in_kernel=False):
    """Return the layer of a name, which must be linear in its kernel and bias: a convolution or dense layer."""
    layer, kinds = find_layer(model, name), _KERNELS if channels_last_in_kernel else _KERNEL_AXES
    if not isinstance(layer, kinds):
        known = [path for path, one in all_layers(model).items() if isinstance(one, kinds)]
        kind = type(layer).__name__
        raise ValueError(f"layer: {name!r} is a {kind}; give a convolution or dense layer: {', '.join(known)}")
    return layer


def check_channels_last(layers):
    """Refuse layers that keep their channels first: every method here takes the last axis for the channels."""
    first = [layer.name for layer in layers if getattr(layer, "data_format", None) == "channels_first"]
    if first:
        raise ValueError(f"model: {first[0]!r} has its channels first; give a model with channels last")


def last_conv_layer(model):
    """Name the last layer with feature maps larger than one cell: what Grad-CAM weights (dropout does not count)."""
    for name, layer in reversed(all_layers(model).items()):
        shape = getattr(getattr(layer, "output", None), "shape", ())
        passes_on = isinstance(layer, keras.Model | layers.Dropout | layers.InputLayer)
        if len(shape) == 4 and shape[1:3] != (1, 1) and not passes_on:
            return name
    raise ValueError(f"model: {model.name!r} has no layer with feature maps (no convolution); Grad-CAM needs one")


def inputs_of(tensor):
    """Return the operation that made a symbolic tensor, and the tensors that went into that call of it."""
    operation, node, _ = tensor._keras_history
    return operation, operation._inbound_nodes[node].input_tensors


def layers_before(layer):
    """Return the layers from the input to a layer, in order; refuse branches."""
    chain, tensor = [], layer.output
    while True:
        operation, inputs = inputs_of(tensor)
        if not inputs:
            return chain[::-1]
        if len(inputs) > 1:
            raise ValueError(f"layer: {layer.name!r} comes after {operation.name!r}, where branches meet")
        chain.append(operation)
        tensor = inputs[0]


def kernel_before(layer):
    """Return the layer whose kernel makes the channels of a layer (for ``relu1``, ``conv1``); None if there is none.

    That is the layer itself, or the nearest one before it, as long as all on the way treat each channel alone.
    """
    while not _has_channel_kernels(layer):
        if not isinstance(layer, _CHANNEL_BY_CHANNEL):
            return None
        inputs = inputs_of(layer.output)[1]
        if len(inputs) != 1:
            return None
        layer = inputs_of(inputs[0])[0]
    return layer


def _has_channel_kernels(layer):
    """Tell whether each output channel of a layer has a kernel of its own, on a known axis."""
    return isinstance(layer, _KERNEL_AXES) and getattr(layer, "data_format", "channels_last") == "channels_last"


def channel_kernels(layer):
    """Return the kernels of the output channels of a layer, shape (weights of a channel, channels), float64."""
    if not _has_channel_kernels(layer):
        what = f"{layer.name!r} ({type(layer).__name__}) has no kernel for each channel"
        raise ValueError(f"layer: {what}; give a convolution or dense layer, channels last")
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype(float)
    if isinstance(layer, layers.DepthwiseConv2D):  # (height, width, inputs, multiplier): channel by channel
        return kernel.reshape(-1, kernel.shape[2] * kernel.shape[3])
    if isinstance(layer, layers.Conv2DTranspose):  # (height, width, outputs, inputs)
        kernel = np.moveaxis(kernel, 2, 3)
    return kernel.reshape(-1, kernel.shape[-1])


def logits_model(model):
    """Return the model that outputs the logits: what goes into the final softmax or sigmoid (also of an inner model).

    The two models share their weights; it is made once for each model and kept. A model whose output is linear already
    is returned as it is. Refused is a model whose outputs are made from probabilities (a softmax followed by a dense
    layer or by pooling), because it has no logits.
    """
    model = check_model(model)
    last = inputs_of(model.outputs[0])[0]
    key = getattr(last, "activation", None)  # who changes the last activation gets another model
    with _LOCK:
        known = _LOGITS.get(model)
        if known is None or known[0] is not key:
            made = _logits_output(model)
            whole = None if made is None else keras.Model(model.inputs[0], made, name=f"{model.name}_logits")
            _LOGITS[model] = known = (key, whole)
    return model if known[1] is None else known[1]


def n_outputs(model):
    """Return how many logits a network has for an image; refuse one whose logits are not of shape (N, classes)."""
    shape = logits_model(model).output_shape
    if len(shape) != 2:
        raise ValueError(f"model: its logits have shape {shape}; give a network with logits (N, classes)")
    return shape[-1]


def view(layer, **attributes):
    """Return a second view of a layer: the same weights, other attributes (``activation=...``, ``call=...``).

    Nothing of the layer changes, so other threads may use it meanwhile, and nothing has to be put back.
    """
    other = object.__new__(type(layer))
    other.__dict__.update(layer.__dict__, _inbound_nodes=[], _outbound_nodes=[], **attributes)
    return other


def without_activation(layer):
    """Return a view of a layer that leaves out the activation that is part of it."""
    return view(layer, activation=keras.activations.linear)


def _logits_output(model):
    """Return the symbolic tensor of the logits, None if the model outputs them; refuse a model that has none."""
    tensor, passed = model.outputs[0], []
    while True:
        operation, inputs = inputs_of(tensor)
        activation = getattr(operation, "activation", None)
        squashes = activation in _SQUASHING
        if isinstance(operation, keras.Model) and len(inputs) == 1 and not passed:
            inner = logits_model(operation)
            return None if inner is operation else inner(inputs)
        if isinstance(operation, layers.Softmax) or squashes:
            break
        if len(inputs) != 1 or not isinstance(operation, _LINEAR) or activation not in (None, _IDENTITY):
            _check_end(model, passed or [operation])
            return None
        passed.append(operation)
        tensor = inputs[0]
    weighted = [one for one in passed if not isinstance(one, _SHAPERS)]
    if weighted and (activation is keras.activations.sigmoid and any(one.weights for one in weighted)):
        _check_end(model, passed)
        return None  # a hidden layer of sigmoids, whose outputs are no probabilities
    if any(not isinstance(one, _IDENTICAL) for one in passed):
        how = f"makes its outputs from the probabilities of {operation.name!r} (by {passed[0].name!r})"
        raise ValueError(
            f"model: {model.name!r} {how}, so it has no logits; end it in the softmax or in a linear layer"
        )
    if isinstance(operation, layers.Softmax | layers.Activation) or len(inputs) != 1:
        return inputs[0]
    return WithoutActivation(operation)(inputs[0])


def _check_end(model, passed):
    """Refuse a model that ends in something other than a linear layer or pooling."""
    last = passed[0]
    activation = getattr(last, "activation", None)
    if activation is not _IDENTITY and not (activation is None and isinstance(last, _LINEAR)):
        raise ValueError(
            f"model: {model.name!r} ends in {last.name!r} ({type(last).__name__}), from which no logits can be read; "
            "it must end in a softmax, a sigmoid, or a layer with linear activation"
        )


class WithoutActivation(layers.Layer):
    """Stands in a logits model for a layer whose activation is left out; the weights are the layer's."""

    def __init__(self, layer):
        super().__init__(name=f"{layer.name}_linear", dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs):
        return without_activation(self.layer)(inputs)


_LOGITS, _LOCK = WeakKeyDictionary(), RLock()
_IDENTITY = keras.activations.linear
_SQUASHING = (keras.activations.softmax, keras.activations.sigmoid)
_KERNELS = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense)
_KERNEL_AXES = (*_KERNELS, layers.Conv2DTranspose, layers.DepthwiseConv2D)
_POOLING = (layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D, layers.AveragePooling2D)
_IDENTICAL = (layers.Activation, layers.Dropout, layers.Identity)
_SHAPERS = (*_IDENTICAL, layers.Flatten, layers.Reshape)
_LINEAR = (*_SHAPERS, *_POOLING, *_KERNEL_AXES)
_CHANNEL_BY_CHANNEL = (
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.BatchNormalization),
    *(layers.Dropout, layers.SpatialDropout2D, layers.MaxPooling2D, *_POOLING),
    *(layers.ZeroPadding2D, layers.Cropping2D, layers.UpSampling2D),
)
