"""Weights and images by rule: PyTorch and Keras both make them from this file, so that none has to be stored."""

import zlib

import numpy as np


def images(n=4, size=224):
    """Return n pictures (n, size, size, 3), float32 in [0, 1]: random squares of three sizes, on top of one another."""
    rng = np.random.default_rng(0)
    coarse = (np.kron(rng.random((n, k, k, 3)), np.ones((1, size // k, size // k, 1))) for k in (4, 28, 112))
    return (sum(coarse) / 3).astype(np.float32)


def weights(shapes):
    """Return an array for each name of a state dict; which numbers depends on the name alone.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        By PyTorch's names and in its order of axes.
    """
    return {name: _array(name, shape) for name, shape in shapes.items()}


def _array(name, shape):
    uniform = np.random.default_rng(zlib.crc32(name.encode())).random(shape)
    if name.endswith("running_var"):
        array = 0.5 + uniform
    elif name.endswith(("running_mean", "bias")):
        array = 0.2 * (uniform - 0.5)
    elif len(shape) == 1:  # the factor of a batch normalization
        array = (0.8 + 0.4 * uniform) * (0.3 if ".bn2." in name else 1)  # or ResNet's branches would add up to 300
    else:  # a kernel, as He et al. (2015) scale it
        array = (uniform - 0.5) * np.sqrt(12 * 2 / np.prod(shape[1:]))
    return array.astype(np.float32)
