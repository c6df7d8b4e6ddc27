"""Run a network once, then again and again from one layer on: for experiments that vary what that layer outputs.

>>> from interp_helpers.models import load_checkpoint
>>> model = load_checkpoint("mnist_cnn")
>>> output, _, rest = resume_after(model, model.get_layer("relu1"), np.zeros((2, 28, 28, 1), np.float32))
>>> rest(output * 0).shape  # the logits when all channels of relu1 are silent
(2, 10)
"""

import keras
import numpy as np

from interp_helpers.engine.graph import all_layers, check_channels_last, inputs_of, logits_model, without_activation
from interp_helpers.engine.hooks import forward, n_calls, stands_for


def resume_after(model, layer, images, weight_change=None):
    """Run a (checked) network on some images, and return how it goes on after a layer that is called once in a pass.

    What was computed before the layer is remembered; the layers of parallel branches that ran later run again. Returned
    are what the layer outputs, None, and a function from another output of the layer to the logits, (n, n_outputs).
    With a change of its ``"kernel"`` and ``"bias"``, in which the layer must be linear: the output before the
    activation that is part of the layer, how that moves if the weights move by so much, and the function.
    """
    leaves = [one for one in all_layers(model).values() if not isinstance(one, keras.Model)]
    check_channels_last(leaves)
    run, entered = logits_model(model), []
    as_it_runs = without_activation(layer) if _ends_in(run, layer) else layer

    def noting_its_input(inputs, *arguments, **options):
        entered.append(inputs)
        return as_it_runs(inputs, *arguments, **options)

    once = [one for one in leaves if one is layer or n_calls(run, one) == 1]
    _, outputs = forward(run, images, once, {layer: noting_its_input})
    start, along = keras.ops.cast(outputs[layer], "float32"), None
    if weight_change is not None:
        own = {id(variable) for variable in layer.weights}
        shared = [one.name for one in leaves if one is not layer and own & {id(variable) for variable in one.weights}]
        if shared:
            raise ValueError(f"layer: {layer.name!r} shares its weights with {', '.join(shared)}")
        start, along = _linear_in_weights(layer, entered[0], weight_change)
    order = list(outputs)
    known = {one: _returning(outputs[one]) for one in order[: order.index(layer)]}

    def rest(output):
        output = keras.ops.cast(output, layer.compute_dtype)
        output = output if weight_change is None else as_it_runs.activation(output)
        logits, _ = forward(run, images, replace=known | {layer: _returning(output)})
        logits = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
        if not np.isfinite(logits).all():
            raise ValueError(f"size: the logits are not finite any more after so large a change of {layer.name!r}")
        return logits

    return start, along, rest


def predicted_class(logits):
    """Return the predicted class of each image from logits (n, n_outputs); one logit is that of class 1."""
    return logits.argmax(axis=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(int)


def kept_channels(groups, n_channels):
    """Return a factor for each channel, shape (n_groups, n_channels): 0 for those of the group, 1 for the others."""
    kept = np.ones((len(groups), n_channels), np.float32)
    for row, group in zip(kept, groups, strict=True):
        row[list(group)] = 0
    return kept


def layer_weights(layer):
    """Return copies of the kernel and, if there is one, the bias of a layer, by name."""
    names = ("kernel", "bias") if layer.use_bias else ("kernel",)
    return {name: np.array(keras.ops.convert_to_numpy(getattr(layer, name))) for name in names}


def _ends_in(logits, layer):
    """Tell whether the last layer of a logits model is a layer whose activation was left out."""
    last = inputs_of(logits.outputs[0])[0]
    while isinstance(last, keras.Model):
        last = inputs_of(last.outputs[0])[0]
    return stands_for(last) is layer and last is not layer


def _returning(value):
    return lambda *arguments, **options: value


def _linear_in_weights(layer, inputs, change):
    """Return what a layer outputs before its activation, and how that moves as kernel and bias move."""
    bare, weights = without_activation(layer), layer_weights(layer)

    def with_weights(values, inputs):
        """Keras's way to call a layer with other weights: in this thread only, and nothing is assigned."""
        pairs = [(getattr(layer, name), keras.ops.convert_to_tensor(value)) for name, value in values.items()]
        with keras.StatelessScope(state_mapping=pairs):
            return keras.ops.cast(bare(inputs), "float32")

    start, along = keras.ops.cast(bare(inputs), "float32"), with_weights(change, inputs)
    moved = with_weights({name: value + change[name] for name, value in weights.items()}, inputs[:1])
    tolerance = 0.05 if layer.compute_dtype != "float32" else 1e-3
    moved, expected = (keras.ops.convert_to_numpy(values) for values in (moved, start[:1] + along[:1]))
    if not np.allclose(moved, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()):
        raise ValueError(f"layer: what {layer.name!r} outputs is not linear in its kernel and bias")
    return start, along
