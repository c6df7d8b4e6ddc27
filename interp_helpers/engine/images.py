"""Blur images, and stretch maps to their size.

>>> resize_maps(np.float32([[[0, 1]]]), (1, 4)).tolist()
[[[0.0, 0.25, 0.75, 1.0]]]
"""

import numpy as np
import tensorflow as tf


def gaussian_blur(images, sd):
    """Blur images (N, height, width, channels) by a Gaussian of `sd` pixels, mirrored at the border; a tensor."""
    reach = int(np.ceil(3 * sd))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sd**2))
    line = tf.constant(weights / weights.sum(), tf.float32)
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        kernel = tf.tile(tf.reshape(line, shape), (1, 1, images.shape[-1], 1))
        pad = [(0, 0), *((reach, reach) if length == -1 else (0, 0) for length in shape[:2]), (0, 0)]
        images = tf.nn.depthwise_conv2d(tf.pad(images, pad, "SYMMETRIC"), kernel, (1, 1, 1, 1), "VALID")
    return images


def resize_maps(maps, shape):
    """Stretch maps (N, height, width) to a shape (height, width), bilinearly, border to border."""
    return tf.image.resize(maps[..., None], shape)[..., 0].numpy()
