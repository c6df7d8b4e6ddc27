"""Reverse channels, whose mean weight is negative, and what follows from it (Casacuberta Puig 2019, section 4.1)."""

from math import comb

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from interp_helpers.data.images import LabelledImages
from interp_helpers.engine.checks import check_images, check_model
from interp_helpers.engine.graph import find_layer
from interp_helpers.engine.hooks import activations, batches
from interp_helpers.layers import channel_weights


def constant_input_response(model, layer, values):
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
    n_weights = find_layer(model, layer).kernel.shape[:-1].num_elements()
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
    model = check_model(model)
    images = check_images(model, images)
    is_ink = np.asarray(images).max(axis=-1) >= ink
    if is_ink.all() or not is_ink.any():
        raise ValueError(f"ink: every pixel or none is at least {ink}; give a value between background and ink")
    total, cells, lowest = np.zeros((3, 1)), np.zeros(3), np.inf
    for part in batches(len(images), batch_size):  # all maps at once would be large
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


def position_dependence(maps, n_signs=500, seed=0):
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


def correlate_with_mean_weight(values, mean_weight, n_resamples=4000, seed=0):
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


def mean_digits(digits):
    """Return the mean image of each class (Casacuberta Puig 2019, section 4.1.2).

    Parameters
    ----------
    digits : LabelledImages

    Returns
    -------
    LabelledImages
        One image for each class that occurs, in order of class.

    Raises
    ------
    ValueError
        If there is no image.
    """
    if len(digits) == 0:
        raise ValueError("digits: there is no image; give at least one")
    classes = np.unique(digits.labels)
    means = np.stack([digits.images[digits.labels == k].mean(axis=0) for k in classes])
    return LabelledImages(means, classes, f"{digits.source}, mean of each class")


def input_kinds(digits, ideal, index=0, seed=0):
    """Return the kinds of input that the tutorial feeds to the hidden channels, one image of each class for each kind.

    Parameters
    ----------
    digits : LabelledImages
        Pixels in [0, 1].
    ideal : ndarray, shape (n_classes, height, width, channels)
        The ideal digit of each class, in order of class.
    index : int
        Which digit of each class stands for it; the tutorial takes the first.
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to ndarray, each of the shape of `ideal`, float32
        "digit"; "mean", the mean image; "ideal"; "uniform noise", in [0, 1], another draw for each class; "digit +
        source's noise", Gaussian noise that has the mean and the standard deviation of the image's own pixels;
        "digit + zero-mean noise", the same draws without the mean. Pixels of the last two leave [0, 1].

    Raises
    ------
    ValueError
        If `ideal` does not have one image for each class, or if a class has no digit of that index.

    Notes
    -----
    Casacuberta Puig (2019), section 4.1. Its noise comes in rows, all of one mean and standard deviation; here at once.
    """
    classes = np.unique(digits.labels)
    expected = (len(classes), *digits.images.shape[1:])
    if np.shape(ideal) != expected:
        raise ValueError(f"ideal: got shape {np.shape(ideal)}; give {expected}, an image for each class")
    fewest = min(np.sum(digits.labels == k) for k in classes)
    if not 0 <= index < fewest:
        raise ValueError(f"index: got {index}; every class has a digit from 0 to {fewest - 1}")
    rng = np.random.default_rng(seed)
    digit = np.stack([digits.images[digits.labels == k][index] for k in classes])
    level, spread = digit.mean(axis=(1, 2, 3), keepdims=True), digit.std(axis=(1, 2, 3), keepdims=True)
    shake = spread * rng.standard_normal(expected)
    kinds = {
        "digit": digit,
        "mean": mean_digits(digits).images,
        "ideal": np.array(ideal),
        "uniform noise": rng.random(expected),
        "digit + source's noise": digit + level + shake,
        "digit + zero-mean noise": digit + shake,
    }
    return {name: images.astype(np.float32) for name, images in kinds.items()}
