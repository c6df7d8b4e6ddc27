"""What a trained layer holds: its kernels, channel by channel, and what it makes of images."""

from contextlib import contextmanager
from functools import wraps

import keras
import numpy as np
import pandas as pd

from interp_helpers.models import check_images, named_layer


def channel_weights(model, layer, n_bootstrap=2000, seed=0):
    """Describe the kernel of each channel of a layer by its mean weight and how sure the sign of that mean is.

    A channel is called *reverse* if its mean weight is negative (Casacuberta Puig 2019, section 3.2). The interval is
    a bootstrap over the weights of the kernel: would the mean have the same sign if the kernel had been another sample
    of such weights?

    Parameters
    ----------
    model : keras.Model
    layer : str
        Name of a layer with a kernel whose last axis are the channels (convolution or dense).
    n_bootstrap : int
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row for each channel: channel, mean_weight, sd_weight, low, high (95 % interval of the mean), bias,
        reverse (mean below 0), unsure (0 inside the interval).

    Raises
    ------
    ValueError
        If there is no such layer, or if it has no kernel.
    """
    found = named_layer(model, layer)
    if not hasattr(found, "kernel"):
        raise ValueError(f"layer: {layer!r} has no kernel; give a convolution or dense layer")
    kernel = keras.ops.convert_to_numpy(found.kernel).astype(float)
    weights = kernel.reshape(-1, kernel.shape[-1])
    drawn = np.random.default_rng(seed).integers(0, len(weights), (n_bootstrap, len(weights)))
    low, high = np.percentile(np.stack([weights[rows].mean(axis=0) for rows in drawn]), [2.5, 97.5], axis=0)
    mean = weights.mean(axis=0)
    bias = np.zeros(len(mean)) if found.bias is None else keras.ops.convert_to_numpy(found.bias).astype(float)
    return pd.DataFrame(
        {
            "channel": np.arange(len(mean)),
            "mean_weight": mean,
            "sd_weight": weights.std(axis=0),
            "low": low,
            "high": high,
            "bias": bias,
            "reverse": mean < 0,
            "unsure": (low <= 0) & (high >= 0),
        }
    )


def activations(model, images, layers, batch_size=250):
    """Compute what some layers put out for some images, all in one pass over the images.

    Parameters
    ----------
    model : keras.Model
        Built; also with models inside it.
    images : ndarray, shape (N, height, width, channels), float
    layers : str or sequence of str
        Names of layers.
    batch_size : int

    Returns
    -------
    ndarray, or dict of str to ndarray for several layers
        Shape (N, ...) as the layer has it, channels last, float32.

    Raises
    ------
    ValueError
        If there is no such layer, or if the images do not fit the model.
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    found = [named_layer(model, name) for name in names]
    check_images(model, images)
    batches = []
    with recorded(found) as outputs:
        for start in range(0, len(images), batch_size):
            model(images[start : start + batch_size], training=False)
            batches.append([keras.ops.convert_to_numpy(only_output(layer, outputs)) for layer in found])
            outputs.clear()
    values = [np.concatenate(parts).astype(np.float32, copy=False) for parts in zip(*batches, strict=True)]
    return values[0] if isinstance(layers, str) else dict(zip(names, values, strict=True))


@contextmanager
def recorded(layers):
    """Record what some layers put out whenever the model is called, as a hook does; nothing of the model changes.

    The recorded tensors are those of the forward pass, so a ``tf.GradientTape`` can differentiate with respect to
    them. The model must be called as a function (``model(images)``), not by ``predict``, which compiles.

    Parameters
    ----------
    layers : sequence of keras.layers.Layer

    Yields
    ------
    dict
        From layer (its ``id``) to the list of its outputs, one for each call.
    """
    outputs = {}

    def remember(layer, value):
        outputs.setdefault(id(layer), []).append(value)
        return value

    with replaced_calls({layer: _followed_by(remember, layer) for layer in layers}):
        yield outputs


def only_output(layer, outputs):
    """Return the one output that `recorded` noted for a layer.

    Raises
    ------
    ValueError
        If the layer was not called, or several times, as a layer is that two branches share.
    """
    found = outputs.get(id(layer), [])
    if len(found) != 1:
        raise ValueError(f"layer: {layer.name!r} is called {len(found)} times in one pass; give a layer called once")
    return found[0]


@contextmanager
def replaced_calls(calls):
    """Replace the ``call`` of some layers while inside, and put back the old ones, also after an exception.

    Parameters
    ----------
    calls : dict of keras.layers.Layer to callable
    """
    # in the instance's own dictionary: Keras's attribute tracking would take a callable for part of the model
    before = {layer: layer.__dict__.get("call") for layer in calls}
    for layer, call in calls.items():
        layer.__dict__["call"] = call
    try:
        yield
    finally:
        for layer, call in before.items():
            if call is None:
                del layer.__dict__["call"]
            else:  # a layer whose call is replaced twice, from the inside out
                layer.__dict__["call"] = call


def _followed_by(function, layer):
    """Return the call of a layer, followed by ``function(layer, output)``."""
    call = layer.call

    @wraps(call)
    def longer(*arguments, **options):
        return function(layer, call(*arguments, **options))

    return longer


def sparsity(model, images, layers):
    """Count the zeros that some layers put out for some images.

    Parameters
    ----------
    model, images, layers
        As in `activations`.

    Returns
    -------
    pandas.DataFrame
        One row for each layer: layer, zeros (share of values that are 0, mean over images), low and high (the middle
        95 % of the images), dead (number of channels that are 0 everywhere in all images), channels.
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    rows = []
    for name, values in activations(model, images, names).items():
        by_image = (values == 0).reshape(len(values), -1).mean(axis=1)
        low, high = np.percentile(by_image, [2.5, 97.5])
        dead = int((values == 0).reshape(-1, values.shape[-1]).all(axis=0).sum())
        rows.append((name, by_image.mean(), low, high, dead, values.shape[-1]))
    return pd.DataFrame(rows, columns=["layer", "zeros", "low", "high", "dead", "channels"])
