"""Feature visualization: images made by gradient ascent, for classes, channels and whole layers.

>>> from interp_helpers.models import load_checkpoint
>>> made = maximize(load_checkpoint("mnist_cnn"), [3], n_steps=5)
>>> made.images.shape, bool(made.values[0] > made.history[0, 0])
((1, 28, 28, 1), True)
"""

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

from interp_helpers.engine.checks import check_count, check_images, check_model, check_number, first_few
from interp_helpers.engine.gradients import backprop_replacements, check_request, forward_function, target_values
from interp_helpers.engine.images import gaussian_blur
from interp_helpers.models.checkpoints import load_checkpoint


@dataclass(frozen=True)
class Maximized:
    """Images made by `maximize`."""

    images: np.ndarray  #: shape (N, height, width, channels), float32
    values: np.ndarray  #: shape (N,), what the target gives for these images, without any penalty
    history: np.ndarray  #: shape (n_steps, N), the target before every step


def maximize(
    model, target, layer=None, *, n_steps=200, step_size=0.05, l2=0.0, lp_norm=0.0, total_variation=0.0, blur=0.0,
    jitter=0, fourier=False, pixel_range=(0.0, 1.0), rule=None, pool="sum", start=None, seed=0,
):  # fmt: skip
    """Change images by gradient ascent to make a target large (Erhan et al. 2009; Simonyan et al. 2014): a `Maximized`.

    One image for each target, in one batch. Each gradient is divided by its root mean square; RMSprop does the rest.

    Parameters
    ----------
    target : int, sequence of N ints, or callable
        Classes, or with `layer` channels of that layer; or a function as in `attribution.saliency`. None, with `layer`:
        the mean square of all that the layer outputs (DeepDream, Mordvintsev et al. 2015).
    l2, lp_norm, total_variation : float
        Weights of the penalties: ||x||^2; ||x||_6 and the sum of squared differences of neighbours, both divided by the
        number of values of an image (as in keras-vis, whose weights are 10 and 10, with its border).
    blur, jitter : float, int
        Pixels: standard deviation of a blur after every step; largest random shift before each gradient.
    fourier : bool
        Change the spectrum, each frequency scaled by its wavelength, not the pixels (Olah et al. 2017).
    pixel_range : (float, float) or None; pixels are kept inside
    rule, pool : as in `attribution.saliency`
    start : ndarray, optional; images to begin with; by default random pixels over `pixel_range`
    """
    model = check_model(model)
    if target is None and layer is None:
        raise ValueError("target: None means a whole layer; name it by layer")
    if target is None:
        target = lambda outputs: tf.reduce_mean(outputs**2, axis=tuple(range(1, len(outputs.shape))))  # noqa: E731
    check_count("n_steps", n_steps)
    check_count("jitter", jitter, 0)
    check_number("step_size", step_size, 0, open_low=True)
    for name, number in {"l2": l2, "lp_norm": lp_norm, "total_variation": total_variation, "blur": blur}.items():
        check_number(name, number, 0)
    if blur and (fourier or 3 * blur > min(n or np.inf for n in model.input_shape[1:3])):
        raise ValueError(f"blur: got {blur}; give less than a third of the image's side, and not with fourier")
    if pixel_range is not None and not pixel_range[0] < pixel_range[1]:
        raise ValueError(f"pixel_range: got {pixel_range}; give (low, high) with low < high, or None")
    rng = np.random.default_rng(check_count("seed", seed, 0))
    images = _beginning(model, target, start, pixel_range, rng)
    target = check_request(model, target, layer, rule, pool, len(images))
    run, replace = forward_function(model, layer), backprop_replacements(model, rule)
    values_of = lambda images: target_values(run(images, replace)[0], target, pool)  # noqa: E731
    size = float(np.prod(images.shape[1:]))
    penalty = partial(_penalty, l2=l2, lp_norm=lp_norm / size, total_variation=total_variation / size)
    shifts = [tf.constant(rng.integers(-jitter, jitter + 1, 2), tf.int32) for _ in range(n_steps)]
    images, history = _ascend(images, values_of, penalty, shifts, step_size, blur, fourier, pixel_range)
    final = values_of(images).numpy()
    stuck = np.flatnonzero((history == final).all(axis=0))
    if len(stuck):
        reason = "before it there is a ReLU that is off"
        warnings.warn(f"target {first_few(stuck)} never reacted to its image: {reason}", stacklevel=2)
    return Maximized(images.numpy(), final, history)


def load_ideal_digits():
    """Return the ten ideal digits of the shipped network: images (10, 28, 28, 1) in [0, 1], image k for class k.

    They are made at the first call in a session, in a few seconds, the same way each time: chapter 4 explains how.
    """
    if not _IDEAL_DIGITS:
        _IDEAL_DIGITS.append(maximize(load_checkpoint("mnist_cnn"), range(10), **IDEAL_DIGITS).images)
    return _IDEAL_DIGITS[0].copy()


# how the ideal digits of the book are made
IDEAL_DIGITS = {"n_steps": 200, "l2": 0.1, "total_variation": 100.0}
_IDEAL_DIGITS = []
_DECAY, _EPSILON = 0.95, 1e-7  # as in keras-vis


def _ascend(images, values_of, penalty, shifts, step_size, blur, fourier, pixel_range):
    """Climb, one step for each shift; return the images, and the values of the target before every step."""
    from_values = _from_spectrum(images.shape[1:], pixel_range) if fourier else tf.identity
    values = _spectrum(images, pixel_range) if fourier else images
    cache, history = tf.zeros_like(values), []

    @tf.function
    def step(values, cache, shift):
        with tf.GradientTape() as tape:
            tape.watch(values)
            images = from_values(values)
            wanted = values_of(tf.roll(images, shift, axis=(1, 2)))
            aim = wanted - penalty(images)
        gradient = tape.gradient(aim, values, unconnected_gradients="zero")
        gradient /= tf.sqrt(tf.reduce_mean(gradient**2, axis=(1, 2, 3), keepdims=True)) + _EPSILON
        cache = _DECAY * cache + (1 - _DECAY) * gradient**2
        values += step_size * gradient / tf.sqrt(cache + _EPSILON)
        if blur and not fourier:
            values = gaussian_blur(values, blur)
        if pixel_range is not None and not fourier:
            values = tf.clip_by_value(values, *pixel_range)
        return values, cache, wanted

    for shift in shifts:
        values, cache, wanted = step(values, cache, shift)
        history.append(wanted.numpy())
    return from_values(values), np.array(history)


def _beginning(model, target, start, pixel_range, rng):
    """Return the images to begin with: the given ones, or noise over the range."""
    if start is None:
        if None in model.input_shape[1:]:
            raise ValueError(f"start: the model takes images of shape {model.input_shape[1:]}; give some to begin with")
        low, high = pixel_range or (0.0, 1.0)
        n = 1 if callable(target) or np.ndim(target) == 0 else len(target)
        start = rng.uniform(low, high, (n, *model.input_shape[1:])).astype(np.float32)
    return tf.constant(check_images(model, start, "start"))


def _penalty(images, l2, lp_norm, total_variation, p=6):
    """Return the weighted penalties of each image; terms of weight 0 are left out (their gradient may be NaN)."""
    penalty = tf.zeros(images.shape[0])
    if l2:
        penalty += l2 * tf.reduce_sum(images**2, axis=(1, 2, 3))
    if lp_norm:
        total = tf.maximum(tf.reduce_sum(tf.abs(images) ** p, axis=(1, 2, 3)), 1e-30)  # a root has no slope at 0
        penalty += lp_norm * total ** (1 / p)
    if total_variation:
        down = images[:, 1:, :-1] - images[:, :-1, :-1]
        right = images[:, :-1, 1:] - images[:, :-1, :-1]
        penalty += total_variation * tf.reduce_sum(down**2 + right**2, axis=(1, 2, 3))
    return penalty


def _spectrum(images, pixel_range):
    """Return the scaled spectrum from which `_from_spectrum` makes these images: (N, height, width, channels) real."""
    if pixel_range is not None:
        low, high = pixel_range
        share = tf.clip_by_value((images - low) / (high - low), 1e-3, 1 - 1e-3)
        images = tf.math.log(share / (1 - share))
    return _hartley(images) * _frequency(images.shape[1:])


def _from_spectrum(shape, pixel_range):
    """Return the function from scaled spectra to images, squeezed into the range by a sigmoid."""
    scale = _frequency(shape)

    def images(spectrum):
        values = _hartley(spectrum / scale)
        if pixel_range is None:
            return values
        low, high = pixel_range
        return low + (high - low) * tf.sigmoid(values)

    return images


def _hartley(values):
    """Transform (N, height, width, channels) to its spectrum, real to real; the transform is its own inverse."""
    moved = tf.transpose(values, (0, 3, 1, 2))
    whole = tf.signal.fft2d(tf.complex(moved, tf.zeros_like(moved))) / np.sqrt(np.prod(values.shape[1:3]))
    return tf.transpose(tf.math.real(whole) - tf.math.imag(whole), (0, 2, 3, 1))


def _frequency(shape):
    """Return the frequency of each entry of a spectrum in cycles per pixel, the constant one as the lowest other."""
    rows, columns = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1])
    frequency = np.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)
    return np.maximum(frequency, 1 / max(shape[:2]))[..., None].astype(np.float32)
