"""Move the weights of a layer, or vary one channel, and see what the network answers. Models come back unchanged."""

from contextlib import contextmanager

import keras
import numpy as np
import pandas as pd
from scipy.stats import binomtest
from tqdm.auto import tqdm

from interp_helpers.layers import activations, batches_of, only_output, recorded, replaced_calls
from interp_helpers.models import (
    all_layers,
    check_images,
    check_labels,
    n_scores,
    named_layer,
    scores,
    without_activation,
)

DIRECTIONS = ("constant", "sign", "gaussian")
METHODS = {"gradient": 0.1, "kill": 1.0, "noise": 1.0, "shift": 1.0, "shake": 1.0}  # with their usual sizes
PLACES = ("activations", "weights", "weights and bias")


def perturb_layer(
    model,
    layer,
    images,
    labels,
    steps=50,
    size=0.1,
    direction="constant",
    seed=0,
    relative=True,
    batch_size=500,
):
    """Move all weights and biases of one layer in steps along a straight line; measure the accuracy after each.

    The method is that of Casacuberta Puig (2019, section 3.5), who adds 0.005 to every weight and bias 50 times
    (``size=0.005, relative=False``). A convolution or dense layer is linear in its weights, so what it puts out moves
    on a straight line, too: the layer and what lies before it are computed once, what lies behind it at every step.

    Parameters
    ----------
    model : keras.Model
        Built; its output are class probabilities or scores (one output: the score of class 1).
    layer : str
        Name of a convolution or dense layer.
    images : ndarray, shape (N, height, width, channels), float
    labels : ndarray of N ints
    steps : int
    size : float
        How far each weight moves in one step: in standard deviations of the layer's kernel, or as it is with
        ``relative=False``. For random directions, the root mean square over the weights.
    direction : "constant", "sign" or "gaussian"
        The same number for every weight; the same number with a random sign; Gaussian numbers.
    seed : int
        For the random directions.
    relative : bool
    batch_size : int
        Everything that lies before the layer is kept for so many images; smaller for large images.

    Returns
    -------
    pandas.DataFrame
        One row for each step from 0 to `steps`: layer, direction, seed, step, distance (step times `size`), accuracy,
        low, high (95 % interval, Wilson).

    Raises
    ------
    ValueError
        If there is no such layer, or if it is not linear in a kernel of its own; if the direction is unknown, `steps`
        not positive, `size` 0 or not finite; if all weights are the same and the steps are relative; if images or
        labels do not fit the model or each other; if a score is not finite any more.
    """
    found = _with_kernel(model, layer)
    labels = check_labels(model, images, labels)
    if not (isinstance(steps, int | np.integer) and steps > 0) or not np.isfinite(size) or size == 0:
        raise ValueError(f"steps={steps}, size={size}: give a positive number of steps, and a finite size other than 0")
    line = _direction(found, direction, seed, relative)
    n_right = np.zeros(steps + 1, int)
    bar = tqdm(total=-(-len(images) // batch_size) * (steps + 1), desc=layer, leave=False)
    for part in batches_of(len(images), batch_size):
        with _resumed(model, found, images[part], line) as (start, along, rest):
            for step in range(steps + 1):
                n_right[step] += (_answers(rest(start + step * size * along)) == labels[part]).sum()
                bar.update()
    bar.close()
    rows = pd.DataFrame({"layer": layer, "direction": direction, "seed": seed, "step": np.arange(steps + 1)})
    rows["distance"] = rows["step"] * size
    return rows.join(_with_interval(n_right, len(images)))


@contextmanager
def moved_weights(model, layer, distance, direction="constant", seed=0, relative=True):
    """Move all weights and biases of one layer while inside; put back the old ones, also after an exception.

    Parameters
    ----------
    model, layer, direction, seed, relative
        As in `perturb_layer`.
    distance : float
        Steps times size.

    Yields
    ------
    keras.Model
        `model` itself.

    Raises
    ------
    ValueError
        As in `perturb_layer`.
    """
    found = _with_kernel(model, layer)
    line = _direction(found, direction, seed, relative)
    moved = {name: weights + distance * line[name] for name, weights in _weights(found).items()}
    with _replaced_weights(found, moved):
        yield model


def rank_layers(curves, chance):
    """Sum up how fast the accuracy falls as the weights of each layer move: the numbers to rank layers by.

    Parameters
    ----------
    curves : pandas.DataFrame
        Rows of `perturb_layer`, of one or several layers, directions and seeds.
    chance : float
        Accuracy of guessing, for example 0.1 for ten equal classes.

    Returns
    -------
    pandas.DataFrame
        One row for each curve: layer, direction, seed, area (under the curve, as a mean accuracy over the distance:
        trapezoids), half (the distance at which the accuracy is first halfway between its start and chance, between
        two steps by linear interpolation; infinite if it never is, NaN if it begins there).

    Raises
    ------
    ValueError
        If `curves` lacks a column, if rows of several curves are mixed (of several networks, say: call it for each),
        if the curves go over different distances, or if `chance` is no share.
    """
    missing = {"layer", "direction", "seed", "distance", "accuracy"} - set(curves.columns)
    if missing or not 0 <= chance < 1:
        raise ValueError(f"curves lacks {sorted(missing) or 'nothing'}, chance={chance}: give rows of perturb_layer")
    rows, ends = [], set()
    for key, curve in curves.groupby(["layer", "direction", "seed"], sort=False):
        distance, accuracy = curve["distance"].to_numpy(), curve["accuracy"].to_numpy()
        if len(curve) < 2 or len(set(np.sign(np.diff(distance)))) != 1 or distance[1] == distance[0]:
            raise ValueError(f"curves: the distances of {key} do not go one way; give one curve for each of them")
        area = ((accuracy[1:] + accuracy[:-1]) / 2 * np.diff(distance)).sum() / (distance[-1] - distance[0])
        half = _first_below(distance, accuracy, (accuracy[0] + chance) / 2) if accuracy[0] > chance else np.nan
        rows.append((*key, area, half))
        ends.add(round(float(abs(distance[-1] - distance[0])), 9))
    if len(ends) > 1:
        raise ValueError(f"curves: they go over distances of {sorted(ends)}; areas compare over the same distance only")
    return pd.DataFrame(rows, columns=["layer", "direction", "seed", "area", "half"])


def vary_channel(
    model,
    layer,
    images,
    target=None,
    method="kill",
    on="activations",
    size=None,
    seed=0,
    channels=None,
    batch_size=500,
):
    """Vary one channel of a layer after another, and measure how the class scores change.

    The methods are those of Casacuberta Puig (2019, section 4.2); m is the map of the channel (or its kernel), with
    its own mean and standard deviation:

    ==========  ======================================================================================
    gradient    m + size * sd
    kill        m - size * m
    noise       m + size * (mean + sd * noise), the noise standard normal: the tutorial's noise
    shift       m + size * mean, the part of it that moves the channel
    shake       m + size * sd * noise, the part that shakes it
    ==========  ======================================================================================

    Parameters
    ----------
    model : keras.Model
    layer : str
        Name of the layer whose output is varied (``on="activations"``: ``"relu1"`` is what the tutorial varies), or of
        the convolution or dense layer whose kernel is.
    images : ndarray, shape (N, height, width, channels), float
    target : int or ndarray of N ints, optional
        Class whose score is looked at, one for all images or one for each; by default all classes.
    method : "gradient", "kill", "noise", "shift" or "shake"
    on : "activations", "weights" or "weights and bias"
        Activations: mean and standard deviation of the channel's map, image by image. Weights: of its kernel; with
        "weights" the bias stays, as it does in the tutorial.
    size : float, or ndarray of shape (N,) or (N, channels), optional
        Default 0.1 for the gradient, 1 for the others. With an array every image (and channel) has a size of its own.
    seed : int
        For the noise: the same for every channel and call.
    channels : sequence of int, optional
        By default all.
    batch_size : int

    Returns
    -------
    pandas.DataFrame
        One row for each channel, image and class: channel, image (number), class, change (new score minus old).

    Raises
    ------
    ValueError
        If there is no such layer, method, place, channel or class, if the images do not fit the model, if the layer
        is not linear in a kernel with a last axis of channels (weights), or if the method needs a standard deviation
        and a channel is a single number.
    """
    if method not in METHODS or on not in PLACES:
        raise ValueError(
            f"method={method!r}, on={on!r}: give one of {', '.join(METHODS)}, and one of {', '.join(PLACES)}"
        )
    found = named_layer(model, layer) if on == "activations" else _with_kernel(model, layer, _KERNEL_BY_CHANNEL)
    check_images(model, images)
    varying = found.output.shape[1:-1] if on == "activations" else found.kernel.shape[:-1]
    if method not in ("kill", "shift") and None not in varying and np.prod(varying) == 1:
        raise ValueError(f"method: {method!r} needs a standard deviation, and a channel of {layer!r} is one number")
    channels = _checked_channels(found, range(found.output.shape[-1]) if channels is None else channels)
    sizes = _checked_sizes(METHODS[method] if size is None else size, len(images), found.output.shape[-1])
    classes = _checked_target(model, target, len(images))
    rng = np.random.default_rng(seed)
    line = None if on == "activations" else _kernel_change(found, method, on == "weights and bias", rng)
    one_hot = np.eye(found.output.shape[-1], dtype=np.float32)
    changes = np.empty((len(channels), len(images), classes.shape[1]), np.float32)
    bar = tqdm(total=-(-len(images) // batch_size) * len(channels), desc=f"{method}, {on}", leave=False)
    for part in batches_of(len(images), batch_size):
        with _resumed(model, found, images[part], line) as (start, step, rest):
            if line is None:
                step = _map_change(start, method, rng)
            step = step * sizes[part].reshape(-1, *[1] * (len(start.shape) - 2), one_hot.shape[0])
            before = rest(start)
            for row, channel in enumerate(channels):
                varied = start + step * one_hot[channel]
                changes[row, part] = np.take_along_axis(rest(varied) - before, classes[part], axis=1)
                bar.update()
    bar.close()
    shape = changes.shape
    return pd.DataFrame(
        {
            "channel": np.repeat(channels, shape[1] * shape[2]),
            "image": np.tile(np.repeat(np.arange(shape[1]), shape[2]), shape[0]),
            "class": np.tile(classes.ravel(), shape[0]),
            "change": changes.ravel(),
        }
    )


def without_channels(model, layer, images, labels, groups=None, batch_size=500):
    """Set channels of a layer to zero, a group at a time, and measure accuracy and scores.

    Parameters
    ----------
    model : keras.Model
    layer : str
        Name of the layer whose output is set to zero, for example ``"relu1"``.
    images : ndarray, shape (N, height, width, channels), float
    labels : ndarray of N ints
    groups : sequence of sequences of int, optional
        Channels to set to zero together; by default each channel alone.
    batch_size : int

    Returns
    -------
    pandas.DataFrame
        One row for each group, after a first one with no channel set to zero: channels (tuple), accuracy, low, high
        (95 % interval, Wilson), lost and won (images that the whole network gets right and the group's absence wrong,
        and the opposite), score (mean score of the true class).

    Raises
    ------
    ValueError
        If there is no such layer or channel, or if images or labels do not fit the model or each other.
    """
    found = named_layer(model, layer)
    labels = check_labels(model, images, labels)
    n_channels = found.output.shape[-1]
    groups = [(c,) for c in range(n_channels)] if groups is None else list(groups)
    if not all(isinstance(group, tuple | list) for group in groups):
        raise ValueError(f"groups: got {groups}; give a sequence of sequences of channels, as [(3,), (3, 5)]")
    groups = [tuple(_checked_channels(found, group)) for group in groups]
    groups = [(), *groups]
    kept = np.ones((len(groups), n_channels), np.float32)
    for row, group in zip(kept, groups, strict=True):
        row[list(group)] = 0
    right, total = np.zeros((len(groups), len(images)), bool), np.zeros(len(groups))
    bar = tqdm(total=-(-len(images) // batch_size) * len(groups), desc=f"{layer} without", leave=False)
    for part in batches_of(len(images), batch_size):
        with _resumed(model, found, images[part]) as (start, _, rest):
            for row, keep in enumerate(kept):
                reached = rest(start * keep)
                right[row, part] = _answers(reached) == labels[part]
                total[row] += _of_class(reached, labels[part]).sum()
                bar.update()
    bar.close()
    rows = pd.DataFrame({"channels": groups}).join(_with_interval(right.sum(axis=1), len(images)))
    lost, won = (right[0] & ~right).sum(axis=1), (~right[0] & right).sum(axis=1)
    return rows.assign(lost=lost, won=won, score=total / len(images))


def predict_without(model, layer, images, groups, fill="mean", batch_size=500):
    """Replace channels of a layer by something that does not depend on the image, and predict.

    Parameters
    ----------
    model : keras.Model
    layer : str
    images : ndarray, shape (N, height, width, channels), float
    groups : sequence of sequences of int
        Channels to replace together; an empty group gives the predictions of the whole network.
    fill : "mean" or "zero"
        The mean map of the channel over these images, or zeros, which may be a value that the layers behind never see.
    batch_size : int

    Returns
    -------
    ndarray, shape (n_groups, N, n_outputs)
        Scores, or predicted values of a network that ends in a dense layer without activation.

    Raises
    ------
    ValueError
        If there is no such layer, channel or filling, if there is no group, or if the images do not fit.
    """
    found = named_layer(model, layer)
    check_images(model, images)
    if fill not in ("mean", "zero"):
        raise ValueError(f"fill: got {fill!r}; give 'mean' or 'zero'")
    if not groups or not all(isinstance(group, tuple | list) for group in groups):
        raise ValueError(f"groups: got {groups}; give a sequence of sequences of channels, as [(), (3,), (3, 5)]")
    kept = np.ones((len(groups), found.output.shape[-1]), np.float32)
    for row, group in zip(kept, groups, strict=True):
        row[_checked_channels(found, group) if group else []] = 0
    instead = np.float32(0)
    if fill == "mean":
        parts = [activations(model, images[part], layer).sum(axis=0) for part in batches_of(len(images), batch_size)]
        instead = np.sum(parts, axis=0) / np.float32(len(images))
    predicted = []
    bar = tqdm(total=-(-len(images) // batch_size) * len(groups), desc=f"{layer} without", leave=False, delay=2)
    for part in batches_of(len(images), batch_size):
        with _resumed(model, found, images[part]) as (start, _, rest):
            reached = []
            for keep in kept:
                reached.append(rest(start * keep + instead * (1 - keep)))
                bar.update()
            predicted.append(np.stack(reached))
    bar.close()
    return np.concatenate(predicted, axis=1)


# --- running a network from the middle -------------------------------------------------------------------------------


@contextmanager
def _resumed(model, layer, images, line=None):
    """Run the network once on some images; then let it run again from one layer on.

    Whatever was computed before that layer is remembered: while inside, earlier layers give what they gave. Layers of
    parallel branches that ran later run again. The layer must be called once in a pass.

    Parameters
    ----------
    line : dict of str to ndarray, optional
        A change of kernel and bias.

    Yields
    ------
    start : tensor
        What the layer put out; with `line`, before the activation that is part of the layer.
    along : tensor or None
        With `line`, how that moves if the weights move by `line`.
    rest : callable
        From another output of the layer, of the same shape, to the scores, ndarray (n, n_scores).
    """
    leaves = [one for one in all_layers(model).values() if not isinstance(one, keras.Model)]
    _check_layers(leaves, layer if line else None)
    scoring = scores(model)
    entered = []

    def remember(inputs, *arguments, **options):
        entered.append(inputs)
        return call(inputs, *arguments, **options)

    call = layer.call
    with replaced_calls({layer: remember}), recorded(leaves) as outputs:
        scoring(images, training=False)
    start, along = keras.ops.cast(only_output(layer, outputs), "float32"), None
    if line:
        with without_activation(layer):
            start = keras.ops.cast(layer(entered[0]), "float32")
            with _replaced_weights(layer, line):
                along = keras.ops.cast(layer(entered[0]), "float32")
            _check_linear(layer, entered[0][:1], start[:1] + along[:1], line)
    order = list(outputs)  # layers in the order in which they were done
    earlier = set(order[: order.index(id(layer))])
    known = {one: _constant(outputs[id(one)][0]) for one in leaves if id(one) in earlier and len(outputs[id(one)]) == 1}
    outputs.clear()  # later layers need not be kept
    given = [start]

    def put_out(*arguments, **options):
        output = keras.ops.cast(given[0], layer.compute_dtype)
        return layer.activation(output) if line else output

    def rest(output):
        given[0] = output
        reached = keras.ops.convert_to_numpy(keras.ops.cast(scoring(images, training=False), "float32"))
        if not np.isfinite(reached).all():
            raise ValueError(f"size: the scores are not finite any more after so large a change of {layer.name!r}")
        return reached

    with replaced_calls(known | {layer: put_out}):
        yield start, along, rest


def _check_layers(leaves, weighted):
    """Refuse channels that come first, and a layer whose weights another layer uses, too."""
    first = [one.name for one in leaves if getattr(one, "data_format", None) == "channels_first"]
    if first:
        raise ValueError(f"model: {first[0]!r} has its channels first; give a model with channels last")
    if weighted is not None:
        own = {id(variable) for variable in weighted.weights}
        shared = [
            one.name for one in leaves if one is not weighted and own & {id(variable) for variable in one.weights}
        ]
        if shared:
            raise ValueError(f"layer: {weighted.name!r} shares its weights with {', '.join(shared)}")


def _check_linear(layer, inputs, expected, line):
    """Refuse a layer that makes something of its own of its kernel, as one with normalized weights does."""
    moved = {name: weights + line[name] for name, weights in _weights(layer).items()}
    with _replaced_weights(layer, moved):
        reached = keras.ops.convert_to_numpy(keras.ops.cast(layer(inputs), "float32"))
    tolerance = 0.05 if layer.compute_dtype != "float32" else 1e-3
    expected = keras.ops.convert_to_numpy(expected)
    if not np.allclose(reached, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()):
        raise ValueError(f"layer: what {layer.name!r} puts out is not linear in its kernel and bias")


def _constant(value):
    return lambda *arguments, **options: value


# --- weights ---------------------------------------------------------------------------------------------------------

_KERNEL_BY_CHANNEL = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)
_LINEAR = (*_KERNEL_BY_CHANNEL, keras.layers.Conv2DTranspose, keras.layers.DepthwiseConv2D)


def _with_kernel(model, name, kinds=_LINEAR):
    """Return the layer of that name, which must be linear in its kernel and bias, and of one of these kinds."""
    layer = named_layer(model, name)
    if not isinstance(layer, kinds):
        known = [path for path, one in all_layers(model).items() if isinstance(one, kinds)]
        raise ValueError(
            f"layer: {name!r} is a {type(layer).__name__}; give a convolution or dense layer: {', '.join(known)}"
        )
    return layer


def _weights(layer):
    """Return copies of the kernel and, if there is one, the bias of a layer."""
    names = ("kernel", "bias") if layer.use_bias else ("kernel",)
    return {name: np.array(keras.ops.convert_to_numpy(getattr(layer, name))) for name in names}


@contextmanager
def _replaced_weights(layer, values):
    """Give a layer other weights while inside; put back the old ones bit by bit, also after an exception."""
    before = _weights(layer)
    try:
        for name, value in values.items():
            getattr(layer, name).assign(value)
        yield
    finally:
        for name, value in before.items():
            getattr(layer, name).assign(value)


def _direction(layer, direction, seed, relative):
    """Return how kernel and bias move per unit of distance."""
    if direction not in DIRECTIONS:
        raise ValueError(f"direction: got {direction!r}; give one of {', '.join(DIRECTIONS)}")
    rng, weights = np.random.default_rng(seed), _weights(layer)
    scale = weights["kernel"].std() if relative else 1.0
    if scale == 0:
        raise ValueError(f"relative: all weights of {layer.name!r} are the same; give relative=False")
    draw = {
        "constant": np.ones,
        "sign": lambda shape: rng.choice([-1.0, 1.0], shape),
        "gaussian": rng.standard_normal,
    }[direction]
    return {name: (scale * draw(values.shape)).astype(np.float32) for name, values in weights.items()}


def _kernel_change(layer, method, with_bias, rng):
    """Return how kernels and biases of all channels change by a method of size 1."""
    weights = _weights(layer)
    kernel = weights["kernel"]
    axes = tuple(range(kernel.ndim - 1))
    change = _change(kernel, kernel.mean(axes, keepdims=True), kernel.std(axes, keepdims=True), method, rng)
    line = {"kernel": change.astype(np.float32)}
    if "bias" in weights:
        bias, mean, sd = weights["bias"], kernel.mean(axes), kernel.std(axes)
        line["bias"] = with_bias * _change(bias, mean, sd, method, rng).astype(np.float32)
    return line


def _map_change(maps, method, rng):
    """Return how maps (n, ..., channels) change by a method of size 1, each map by its own statistics."""
    maps = keras.ops.convert_to_numpy(maps)
    axes = tuple(range(1, maps.ndim - 1))
    change = _change(maps, maps.mean(axes, keepdims=True), maps.std(axes, keepdims=True), method, rng)
    return np.broadcast_to(change, maps.shape).astype(np.float32)


def _change(values, mean, sd, method, rng):
    if method == "gradient":
        return np.broadcast_to(sd, values.shape)
    if method == "kill":
        return -values
    if method == "shift":
        return np.broadcast_to(mean, values.shape)
    shake = sd * rng.standard_normal(values.shape)
    return shake if method == "shake" else mean + shake


# --- small things ----------------------------------------------------------------------------------------------------


def _answers(reached):
    """Return the predicted class of each image; one score is that of class 1."""
    return reached.argmax(axis=1) if reached.shape[1] > 1 else (reached[:, 0] > 0).astype(int)


def _of_class(reached, labels):
    """Return the score of the true class; with one score, its sign turned for class 0."""
    if reached.shape[1] > 1:
        return reached[np.arange(len(labels)), labels]
    return np.where(labels == 1, reached[:, 0], -reached[:, 0])


def _with_interval(n_right, n):
    """Return accuracies with their 95 % intervals as a table."""
    intervals = [binomtest(int(right), n).proportion_ci(method="wilson") for right in n_right]
    return pd.DataFrame(
        {
            "accuracy": np.asarray(n_right) / n,
            "low": [interval.low for interval in intervals],
            "high": [interval.high for interval in intervals],
        }
    )


def _first_below(distance, accuracy, level):
    """Return the distance at which a curve first reaches a level from above, interpolated; infinite if never."""
    below = np.flatnonzero(accuracy <= level)
    if len(below) == 0 or below[0] == 0:
        return np.inf
    i = below[0]
    share = (accuracy[i - 1] - level) / (accuracy[i - 1] - accuracy[i])
    return distance[i - 1] + share * (distance[i] - distance[i - 1])


def _checked_channels(layer, channels):
    channels, n_channels = list(channels), layer.output.shape[-1]
    if not channels or not all(isinstance(c, int | np.integer) and 0 <= c < n_channels for c in channels):
        raise ValueError(f"channels: got {channels}; {layer.name!r} has channels 0 to {n_channels - 1}")
    return channels


def _checked_target(model, target, n):
    """Return the classes to look at, shape (n, number of classes)."""
    n_classes = n_scores(model)
    classes = np.arange(n_classes) if target is None else np.asarray(target)
    if target is not None and (classes.dtype.kind not in "iu" or classes.shape not in ((), (n,))):
        raise ValueError(f"target: got {target!r}; give None, a class, or {n} classes")
    if classes.min() < 0 or classes.max() >= n_classes:
        raise ValueError(f"target: got {target!r}; the model has scores 0 to {n_classes - 1}")
    return np.broadcast_to(
        classes if target is None else classes.reshape(-1, 1), (n, n_classes if target is None else 1)
    )


def _checked_sizes(size, n, n_channels):
    """Return the sizes as (n, n_channels)."""
    sizes = np.asarray(size, np.float32)
    if sizes.shape not in ((), (n,), (n, n_channels)) or not np.isfinite(sizes).all():
        raise ValueError(f"size: got shape {sizes.shape}; give a finite number, or shape ({n},) or ({n}, {n_channels})")
    return np.broadcast_to(sizes.reshape(n, -1) if sizes.ndim else sizes, (n, n_channels))
