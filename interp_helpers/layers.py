"""What a trained layer holds: its kernels, channel by channel, and how many of its outputs are 0.

>>> from interp_helpers.models import load_checkpoint
>>> table = channel_weights(load_checkpoint("mnist_cnn"), "conv1")
>>> print(table["reverse"].sum(), table["contains_zero"].sum())
11 30
"""

import numpy as np
import pandas as pd

from interp_helpers.engine.checks import check_count, check_model
from interp_helpers.engine.graph import channel_kernels, kernel_layer
from interp_helpers.engine.hooks import activations
from interp_helpers.engine.resume import layer_weights
from interp_helpers.engine.statistics import percentile_interval

__all__ = ["activations", "channel_weights", "sparsity"]


def channel_weights(model, layer, n_bootstrap=2000, seed=0):
    """Describe the kernel of each channel of a layer by its mean weight, and how sure the sign of that mean is.

    A channel is called *reverse* if its mean weight is negative (Casacuberta Puig 2019, section 3.2). The interval is a
    bootstrap over the weights of the kernel: would another sample of such weights have a mean of the same sign?

    Returns a DataFrame, one row for each channel of the convolution (also transposed or depthwise) or dense layer:
    channel, mean_weight, sd_weight, low, high (95 % interval of the mean), bias, reverse (mean below 0), contains_zero
    (the interval contains 0).
    """
    found = kernel_layer(check_model(model), layer)
    n_bootstrap, rng = check_count("n_bootstrap", n_bootstrap), np.random.default_rng(check_count("seed", seed, 0))
    weights = channel_kernels(found)
    drawn = rng.integers(0, len(weights), (n_bootstrap, len(weights)))
    low, high = percentile_interval([weights[rows].mean(axis=0) for rows in drawn])
    mean = weights.mean(axis=0)
    columns = {"channel": np.arange(len(mean)), "mean_weight": mean, "sd_weight": weights.std(axis=0)}
    columns |= {"low": low, "high": high}
    columns["bias"] = layer_weights(found).get("bias", np.zeros(len(mean))).astype(float)
    return pd.DataFrame(columns | {"reverse": mean < 0, "contains_zero": (low <= 0) & (high >= 0)})


def sparsity(model, images, layers):
    """Count the zeros that some layers output for some images; arguments as in `activations`.

    Returns a DataFrame, one row for each layer: layer, zeros (share of values that are 0, mean over images), low and
    high (the middle 95 % of the images), dead (number of channels that are 0 everywhere in all images), channels.
    """
    names, rows = [layers] if isinstance(layers, str) else list(layers), []
    for name, values in activations(model, images, names).items():
        zero = values == 0
        by_image = zero.reshape(len(values), -1).mean(axis=1)
        dead = int(zero.reshape(-1, values.shape[-1]).all(axis=0).sum())
        rows.append((name, by_image.mean(), *percentile_interval(by_image), dead, values.shape[-1]))
    return pd.DataFrame(rows, columns=["layer", "zeros", "low", "high", "dead", "channels"])
