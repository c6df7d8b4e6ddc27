"""Vary one channel after another - gradient step, killing, noise - and measure how the logits change.

The methods are those of Casacuberta Puig (2019, section 4.2); removal of whole groups follows the same way.

>>> from interp_helpers.data import load_digits
>>> from interp_helpers.models import load_checkpoint
>>> twos, model = load_digits().images[1000:1010], load_checkpoint("mnist_cnn")
>>> vary_channel(model, "relu1", twos, target=2, method="kill", channels=[3])["change"].size
10
"""

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from interp_helpers.engine.checks import (
    check_channels,
    check_choice,
    check_count,
    check_groups,
    check_images,
    check_labels,
    check_model,
    check_target,
)
from interp_helpers.engine.graph import find_layer, linear_layer, n_outputs
from interp_helpers.engine.hooks import batches
from interp_helpers.engine.resume import kept_channels, layer_weights, predicted_class, resume_after
from interp_helpers.engine.statistics import wilson_interval

METHODS = {"gradient": 0.1, "kill": 1.0, "noise": 1.0, "shift": 1.0, "shake": 1.0}  # with their usual sizes
PLACES = ("activations", "weights", "weights and bias")


def vary_channel(
    model, layer, images, target=None, method="kill", on="activations", size=None, seed=0, channels=None, batch_size=500
):
    """Vary one channel of a layer after another, and measure how the logits change.

    With m the map of the channel (or its kernel), and its own mean and standard deviation (sd):

    ==========  ===================================================================================
    gradient    m + size * sd
    kill        m - size * m
    noise       m + size * (mean + sd * noise), the noise standard normal: the source's noise
    shift       m + size * mean, the part of it that moves the channel
    shake       m + size * sd * noise, the part that shakes it
    ==========  ===================================================================================

    Returns a DataFrame, one row for each channel, image and class: channel, image (number), class, change (new logit
    minus old).

    Parameters
    ----------
    layer : str
        Name of the layer whose output is varied (``on="activations"``: ``"relu1"`` is what the source varies), or of
        the convolution or dense layer whose kernel is.
    target : int or ndarray of N ints, optional
        Class whose logit is looked at, one for all images or one for each; by default all classes.
    on : "activations", "weights" or "weights and bias"
        Whose mean and standard deviation are taken: of the channel's map, image by image, or of its kernel. With
        "weights" the bias stays, as it does in the source.
    size : float, or ndarray of shape (N,) or (N, channels), optional
        Default 0.1 for the gradient, 1 for the others. With an array every image (and channel) has a size of its own.
    seed : int; for the noise: the same for every channel and call
    """
    check_choice("method", method, METHODS)
    check_choice("on", on, PLACES)
    model = check_model(model)
    found = _varied_layer(model, layer, method, on)
    images, n_channels = check_images(model, images), found.output.shape[-1]
    channels = check_channels(range(n_channels) if channels is None else channels, n_channels)
    sizes = _checked_sizes(METHODS[method] if size is None else size, len(images), n_channels)
    classes = _checked_classes(target, len(images), n_outputs(model))
    rng = np.random.default_rng(check_count("seed", seed, 0))
    line = None if on == "activations" else _kernel_change(found, method, on == "weights and bias", rng)
    one_hot, parts = np.eye(n_channels, dtype=np.float32), batches(len(images), batch_size)
    changes = np.empty((len(channels), len(images), classes.shape[1]), np.float32)
    with tqdm(total=len(parts) * len(channels), desc=f"{method}, {on}", leave=False) as bar:
        for part in parts:
            start, step, rest = resume_after(model, found, images[part], line)
            if line is None:  # each map changes by its own statistics
                maps, axes = start.numpy(), tuple(range(1, len(start.shape) - 1))
                step = _change(maps, maps.mean(axes, keepdims=True), maps.std(axes, keepdims=True), method, rng)
                step = step.astype(np.float32)
            step = step * sizes[part].reshape(-1, *[1] * (len(start.shape) - 2), n_channels)
            before = rest(start)
            for row, channel in enumerate(channels):
                varied = start + step * one_hot[channel]
                changes[row, part] = np.take_along_axis(rest(varied) - before, classes[part], axis=1)
                bar.update()
    index = pd.MultiIndex.from_product([channels, range(len(images)), range(classes.shape[1])])
    rows = pd.DataFrame({"channel": index.get_level_values(0), "image": index.get_level_values(1)})
    return rows.assign(**{"class": np.tile(classes.ravel(), len(channels)), "change": changes.ravel()})


def without_channels(model, layer, images, labels, groups=None, batch_size=500):
    """Set channels of a layer to zero, a group (by default one channel) at a time; measure accuracy and logits.

    Returns a DataFrame, one row for each group, after a first one with no channel set to zero: channels (tuple),
    accuracy, low, high (95 % interval, Wilson), newly_wrong and newly_right (images that the whole network gets right
    and the group's absence wrong, and the opposite), score (mean logit of the true class). The groups are a sequence of
    sequences of channels.
    """
    model = check_model(model)
    found, images = find_layer(model, layer), check_images(model, images)
    labels = check_labels(labels, len(images), max(2, n_outputs(model)))
    n_channels = found.output.shape[-1]
    groups = [(), *check_groups([(c,) for c in range(n_channels)] if groups is None else groups, n_channels)]
    right, total = np.zeros((len(groups), len(images)), bool), np.zeros(len(groups))
    parts = batches(len(images), batch_size)
    with tqdm(total=len(parts) * len(groups), desc=f"{layer} without", leave=False) as bar:
        for part in parts:
            start, _, rest = resume_after(model, found, images[part])
            for row, keep in enumerate(kept_channels(groups, n_channels)):
                logits = rest(start * keep)
                right[row, part] = predicted_class(logits) == labels[part]
                if logits.shape[1] > 1:
                    total[row] += logits[np.arange(len(logits)), labels[part]].sum()
                else:  # the logit of class 1: its sign is turned for class 0
                    total[row] += np.where(labels[part] == 1, logits[:, 0], -logits[:, 0]).sum()
                bar.update()
    rows = wilson_interval(right.sum(axis=1), len(images)).rename(columns={"share": "accuracy"})
    rows.insert(0, "channels", groups)
    newly_wrong, newly_right = (right[0] & ~right).sum(axis=1), (~right[0] & right).sum(axis=1)
    return rows.assign(newly_wrong=newly_wrong, newly_right=newly_right, score=total / len(images))


def _varied_layer(model, layer, method, on):
    """Return the layer to vary, which must have several values in a channel if a standard deviation is needed."""
    found = find_layer(model, layer) if on == "activations" else linear_layer(model, layer, True)
    varying = found.output.shape[1:-1] if on == "activations" else found.kernel.shape[:-1]
    if method not in ("kill", "shift") and None not in varying and np.prod(varying) == 1:
        raise ValueError(f"method: {method!r} needs a standard deviation, and a channel of {layer!r} is one number")
    return found


def _kernel_change(layer, method, with_bias, rng):
    """Return how kernels and biases of all channels change by a method of size 1."""
    weights = layer_weights(layer)
    kernel = weights["kernel"]
    axes = tuple(range(kernel.ndim - 1))
    change = _change(kernel, kernel.mean(axes, keepdims=True), kernel.std(axes, keepdims=True), method, rng)
    line = {"kernel": change.astype(np.float32)}
    if "bias" in weights:
        bias, mean, sd = weights["bias"], kernel.mean(axes), kernel.std(axes)
        line["bias"] = with_bias * _change(bias, mean, sd, method, rng).astype(np.float32)
    return line


def _change(values, mean, sd, method, rng):
    if method in ("gradient", "shift"):
        return np.broadcast_to(sd if method == "gradient" else mean, values.shape)
    if method == "kill":
        return -values
    shake = sd * rng.standard_normal(values.shape)
    return shake if method == "shake" else mean + shake


def _checked_classes(target, n_images, n_classes):
    """Return the classes to look at, shape (n_images, number of classes)."""
    if target is None:
        return np.broadcast_to(np.arange(n_classes), (n_images, n_classes))
    if callable(target):
        raise ValueError("target: got a function; give None, a class, or a class for each image")
    classes = check_target(target, n_images, n_classes)
    return np.broadcast_to(classes.reshape(-1, 1), (n_images, 1))


def _checked_sizes(size, n, n_channels):
    """Return the sizes as (n, n_channels)."""
    sizes = np.asarray(size, np.float32)
    if sizes.shape not in ((), (n,), (n, n_channels)) or not np.isfinite(sizes).all():
        raise ValueError(f"size: got shape {sizes.shape}; give a finite number, or shape ({n},) or ({n}, {n_channels})")
    return np.broadcast_to(sizes.reshape(n, -1) if sizes.ndim else sizes, (n, n_channels))
