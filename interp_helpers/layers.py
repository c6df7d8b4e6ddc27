"""What a trained layer holds: its kernels, channel by channel, and what it makes of images."""

import keras
import numpy as np
import pandas as pd

from interp_helpers.engine.graph import channel_kernels, kernel_layer
from interp_helpers.engine.hooks import activations


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
    found = kernel_layer(model, layer)
    weights = channel_kernels(found)
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
