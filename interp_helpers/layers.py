"""What a trained layer holds: its kernels, channel by channel, and what it makes of images."""

from contextlib import contextmanager
from functools import wraps
from math import comb

import keras
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from interp_helpers.models import check_images, layer_with_kernel, named_layer


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
    found = layer_with_kernel(model, layer)
    weights = weights_of(found)
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


def weights_of(layer):
    """Return the kernel of a layer as a table, shape (weights of a channel, channels), in double precision."""
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype(float)
    return kernel.reshape(-1, kernel.shape[-1])


def kernel_behind(layer):
    """Find the layer whose kernel makes the channels that a layer puts out: for ``relu1``, ``conv1``.

    Parameters
    ----------
    layer : keras.layers.Layer
        Of a functional model.

    Returns
    -------
    keras.layers.Layer or None
        The layer itself if it has a kernel with an axis of channels; otherwise the nearest one before it, as long as
        nothing on the way mixes channels or joins branches; None if there is none.
    """
    n_channels = layer.output.shape[-1]
    while layer.output.shape[-1] == n_channels:
        if hasattr(layer, "kernel"):
            return layer if layer.kernel.shape[-1] == n_channels else None
        operation, node, _ = layer.output._keras_history
        inputs = operation._inbound_nodes[node].input_tensors
        if len(inputs) != 1:
            return None
        layer = inputs[0]._keras_history.operation
    return None


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
        for part in batches_of(len(images), batch_size):
            model(images[part], training=False)
            batches.append([keras.ops.convert_to_numpy(only_output(layer, outputs)) for layer in found])
            outputs.clear()
    values = [np.concatenate(parts).astype(np.float32, copy=False) for parts in zip(*batches, strict=True)]
    return values[0] if isinstance(layers, str) else dict(zip(names, values, strict=True))


def batches_of(n, size):
    """Return the slices that cut n images into batches.

    Parameters
    ----------
    n, size : int
        The last batch may be smaller than `size`.

    Returns
    -------
    list of slice

    Raises
    ------
    ValueError
        If `size` is not a positive whole number.
    """
    if not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"batch_size: got {size}; give a positive whole number")
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


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


def flat_response(model, layer, values):
    """Compute what the channels of a layer put out where the input is flat: b + S v, before any activation function.

    S is the sum of a channel's weights, b its bias and v the one value that all inputs of the patch have.

    Parameters
    ----------
    model : keras.Model
    layer : str
        Name of a layer with a kernel.
    values : sequence of float
        Values v.

    Returns
    -------
    ndarray, shape (n_values, n_channels)

    Raises
    ------
    ValueError
        If there is no such layer, if it has no kernel, or if `values` is not one-dimensional.
    """
    if np.ndim(values) != 1:
        raise ValueError(f"values: got shape {np.shape(values)}; give a sequence of numbers")
    table = channel_weights(model, layer, n_bootstrap=1)
    n_weights = named_layer(model, layer).kernel.shape[:-1].num_elements()
    return table["bias"].to_numpy() + np.outer(values, n_weights * table["mean_weight"])


def nearly_dead(means):
    """Find the line below which channels are nearly dead: the middle of the largest gap below the median.

    The tutorial (section 4.1.3) draws such a line by hand. The channels are sorted by their mean activation; *nearly
    dead* are by definition fewer than half, so the gap is looked for between the lowest channel and the median one.
    There always is a largest gap: `p` says how often values without any groups have one as large.

    Parameters
    ----------
    means : ndarray, shape (n_rows, n_channels)
        Mean activation of each channel; the rows are inputs, and each has a line of its own.

    Returns
    -------
    pandas.DataFrame
        One row for each row of `means`: line, below (number of channels below it), gap (its width as a share of the
        range from the lowest to the median), p (probability that the largest of the gaps between as many values,
        spread evenly over that range, is at least as wide; a large one says that the line is arbitrary). NaN, and
        nothing below, where the lower half of the channels has one value.

    Raises
    ------
    ValueError
        If `means` is not two-dimensional, has fewer than six channels, or holds NaN.

    Notes
    -----
    The distribution of the largest of n gaps between uniform values is that of Stevens (1939):
    P(largest > x) = sum over j > 0 of (-1)^(j + 1) C(n, j) max(0, 1 - j x)^(n - 1).
    """
    means = np.asarray(means, dtype=float)
    if means.ndim != 2 or means.shape[1] < 6 or np.isnan(means).any():
        raise ValueError(f"means: got shape {means.shape}; give (rows, 6 channels or more), without NaN")
    rows = []
    for row in means:
        lower = np.sort(row)[: len(row) // 2 + 1]
        gaps, extent = np.diff(lower), lower[-1] - lower[0]
        if extent == 0:
            rows.append((np.nan, 0, np.nan, np.nan))
            continue
        at = gaps.argmax()
        x, n = gaps[at] / extent, len(gaps)
        terms = [(-1) ** (j + 1) * comb(n, j) * max(0, 1 - j * x) ** (n - 1) for j in range(1, n + 1)]
        rows.append(((lower[at] + lower[at + 1]) / 2, at + 1, x, min(1, sum(terms))))
    return pd.DataFrame(rows, columns=["line", "below", "gap", "p"])


def ink_zones(model, images, layer, ink=0.5, batch_size=250):
    """Compare what each channel puts out on the ink, around it, and on the background.

    A cell of a map belongs to the *ink* if the pixel in the middle of its receptive field is ink, to the *edge* if
    only other pixels of the field are, and to the *background* if it sees no ink at all.

    Parameters
    ----------
    model : keras.Model
    images : ndarray, shape (N, height, width, channels), float
    layer : str
        A layer with maps.
    ink : float
        The grey value from which a pixel is ink.
    batch_size : int

    Returns
    -------
    pandas.DataFrame
        One row for each channel: channel; ink, edge, background (mean activation over the cells of each zone, in all
        images); outside (share of the sum of all activation that lies on edge or background; NaN for a channel that
        is 0 everywhere, or negative anywhere, because then it is no share); area (share of the cells that lie there:
        the value of `outside` for a constant map).

    Raises
    ------
    ValueError
        If there is no such layer, if it has no maps, if the images do not fit, or if no pixel, or every one, is ink.
    """
    from interp_helpers.probing import receptive_field  # here, because that module needs this one

    field = receptive_field(model, layer, np.shape(images)[1:3])
    check_images(model, images)
    is_ink = np.asarray(images).max(axis=-1) >= ink
    if is_ink.all() or not is_ink.any():
        raise ValueError(f"ink: every pixel or none is at least {ink}; give a value between background and ink")
    total, cells, lowest = np.zeros((3, 1)), np.zeros(3), np.inf
    for part in batches_of(len(images), batch_size):  # all maps at once would be large
        maps = activations(model, images[part], layer)
        zone = _zones(is_ink[part], field, maps.shape[1:3])
        total = total + [maps[zone == number].sum(axis=0, dtype=float) for number in range(3)]
        cells = cells + np.bincount(zone.ravel(), minlength=3)
        lowest = np.minimum(lowest, maps.reshape(-1, maps.shape[-1]).min(axis=0))
    whole = np.where((lowest >= 0) & (total.sum(axis=0) > 0), total.sum(axis=0), np.nan)
    with np.errstate(invalid="ignore"):  # a zone without cells has no mean
        means = total / cells[:, None]
    return pd.DataFrame(
        {
            "channel": np.arange(total.shape[1]),
            "ink": means[0],
            "edge": means[1],
            "background": means[2],
            "outside": (total[1] + total[2]) / whole,
            "area": (cells[1] + cells[2]) / cells.sum(),
        }
    )


def place_effect(maps, n_signs=500, seed=0):
    """Test whether the mean map of each channel depends on the place, for images that are the same noise everywhere.

    Under location invariance every place has the same expected value, and the mean map of N images varies over places
    as much as the noise of N images lets it: `ratio` is about 1. Neighbouring places share pixels, so the ratio itself
    scatters more than that of independent values; its distribution comes from giving each image's deviation from the
    overall mean a random sign, which keeps that dependence.

    Parameters
    ----------
    maps : ndarray, shape (N, height, width, n_channels)
        Of independent images of stationary noise.
    n_signs : int
        Random draws of signs.
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row for each channel: channel, ratio (N times the variance of the mean map over places, divided by the
        variance over images), chance (95 % of the ratios under random signs lie below), p. NaN for a constant channel.

    Raises
    ------
    ValueError
        If `maps` has another shape, or fewer than ten images.
    """
    maps = np.asarray(maps, np.float32)
    if maps.ndim != 4 or len(maps) < 10:
        raise ValueError(f"maps: got shape {maps.shape}; give (N, height, width, n_channels), N of at least 10")
    n, _, _, n_channels = maps.shape
    deviation = (maps - maps.mean(axis=(0, 1, 2))).reshape(n, -1)
    noise = (maps.var(axis=0) / n).mean(axis=(0, 1))
    signs = np.random.default_rng(seed).choice(np.float32([-1, 1]), (n_signs, n))
    signs = np.concatenate([np.ones((1, n), np.float32), signs])  # the first row is the measurement itself
    means = (signs @ deviation / n).reshape(n_signs + 1, -1, n_channels)
    with np.errstate(invalid="ignore"):
        ratios = np.where(noise > 0, means.var(axis=1) / noise, np.nan)
    p = (1 + (ratios[1:] >= ratios[0]).sum(axis=0)) / (n_signs + 1)
    return pd.DataFrame(
        {
            "channel": np.arange(n_channels),
            "ratio": ratios[0],
            "chance": np.percentile(ratios[1:], 95, axis=0),
            "p": np.where(noise > 0, p, np.nan),
        }
    )


def against_weight(values, mean_weight, n_resamples=4000, seed=0):
    """Relate a property of channels to their mean weight: as a rank correlation, and reverse channels against others.

    The channels are the sample: intervals are bootstraps over channels, and chance is what remains when the mean
    weights are dealt out to the channels at random.

    Parameters
    ----------
    values : ndarray, shape (n_channels,)
        Channels for which it is NaN are left out.
    mean_weight : ndarray, shape (n_channels,)
        A channel below 0 is reverse.
    n_resamples : int
        Bootstrap samples, and permutations.
    seed : int

    Returns
    -------
    pandas.DataFrame
        Two rows: "correlation" (Spearman's) and "effect" (Cliff's delta: the probability that a reverse channel has
        the larger value, minus that of the opposite; 1 if all reverse channels lie above all others). Columns: value,
        low and high (95 % interval), chance (95 % of the absolute values under permutation lie below), p (two-sided),
        n (channels). The effect is NaN if all channels or none are reverse; a constant gives no correlation.

    Raises
    ------
    ValueError
        If the lengths differ, or fewer than six channels are left.
    """
    values, mean_weight = np.asarray(values, float), np.asarray(mean_weight, float)
    known = np.isfinite(values) & np.isfinite(mean_weight) if values.shape == mean_weight.shape else np.zeros(0, bool)
    if values.ndim != 1 or known.sum() < 6:
        raise ValueError(
            f"values: got shape {values.shape} beside {mean_weight.shape} mean weights, {known.sum()} of them known; "
            "give one for each channel, at least six that are not NaN"
        )
    values, mean_weight = values[known], mean_weight[known]
    rng, n = np.random.default_rng(seed), len(values)
    measured = _related(values[None], mean_weight[None])
    drawn = rng.integers(0, n, (n_resamples, n))
    dealt = _related(np.tile(values, (n_resamples, 1)), rng.permuted(np.tile(mean_weight, (n_resamples, 1)), axis=1))
    rows = []
    for found, sample, chance in zip(measured, _related(values[drawn], mean_weight[drawn]), dealt, strict=True):
        low, high = np.nanpercentile(sample, [2.5, 97.5]) if np.isfinite(found[0]) else (np.nan, np.nan)
        p = (1 + (np.abs(chance) >= abs(found[0]) - 1e-12).sum()) / (n_resamples + 1)
        rows.append((found[0], low, high, np.percentile(np.abs(chance), 95), p if np.isfinite(found[0]) else np.nan, n))
    return pd.DataFrame(
        rows, columns=["value", "low", "high", "chance", "p", "n"], index=["correlation", "effect"]
    ).astype({"n": int})


def _related(values, mean_weight):
    """Return the rank correlation and Cliff's delta of each row, shape (2, n_rows)."""
    ranks, others = rankdata(values, axis=1), rankdata(mean_weight, axis=1)
    a, b = ranks - ranks.mean(axis=1, keepdims=True), others - others.mean(axis=1, keepdims=True)
    reverse = mean_weight < 0
    n_reverse, n = reverse.sum(axis=1), values.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
        above = ((ranks * reverse).sum(axis=1) - n_reverse * (n_reverse + 1) / 2) / (n_reverse * (n - n_reverse))
    return np.stack([correlation, 2 * above - 1])  # the mean rank counts pairs (Mann and Whitney)


def _zones(is_ink, field, extent):
    """Return the zone of each cell of a map: 0 for ink, 1 for edge, 2 for background; shape (N, height, width)."""
    padded, starts = is_ink, []
    for axis, cells in enumerate(extent):
        before = max(0, -field.offset[axis])
        last = field.offset[axis] + (cells - 1) * field.stride[axis] + field.size[axis]
        pads = [(0, 0)] * 3
        pads[axis + 1] = (before, max(0, last - is_ink.shape[axis + 1]))
        padded = np.pad(padded, pads)
        starts.append(before + field.offset[axis])

    def pixel(row, column):
        """The pixel at that place of every cell's field."""
        at = [
            slice(start + shift, start + shift + (cells - 1) * stride + 1, stride)
            for start, shift, cells, stride in zip(starts, (row, column), extent, field.stride, strict=True)
        ]
        return padded[:, at[0], at[1]]

    middle = pixel(field.size[0] // 2, field.size[1] // 2)
    touched = np.zeros_like(middle)
    for row, column in np.ndindex(*field.size):
        touched |= pixel(row, column)
    return np.where(middle, 0, np.where(touched, 1, 2))
