"""Reverse channels, whose mean weight is negative, and what follows from it (Casacuberta Puig 2019, section 4.1).

>>> means = [[0, 0.01, 0.02, 0.5, 0.52, 0.55, 0.6, 0.61, 0.7, 0.8]]
>>> nearly_dead(means)[["line", "below"]].round(2).to_numpy().tolist()
[[0.26, 3.0]]
"""

import keras
import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import rankdata

from interp_helpers.data.images import LabelledImages
from interp_helpers.engine.checks import check_array, check_count, check_images, check_model, check_number
from interp_helpers.engine.graph import channel_kernels, kernel_layer
from interp_helpers.engine.hooks import activations, batches
from interp_helpers.engine.resume import layer_weights
from interp_helpers.engine.statistics import (
    area_under_roc,
    correlation_matrices,
    largest_gap_p_value,
    permutation_p_value,
    resampled,
)
from interp_helpers.probing import receptive_field


def constant_input_response(model, layer, values):
    """Compute what the channels of a layer output where the input is constant: b + S v, before any activation function.

    S is the sum of a channel's weights, b its bias, and v one of the values: what all inputs of the patch are. Returns
    an ndarray, shape (n_values, n_channels).
    """
    found, values = kernel_layer(check_model(model), layer), check_array("values", values, ("n_values",))
    if isinstance(found, keras.layers.Conv2DTranspose) and max(found.strides) > 1:
        raise ValueError(f"layer: {layer!r} is a transposed convolution with a stride, whose output is not constant")
    return layer_weights(found).get("bias", 0.0) + np.outer(values, channel_kernels(found).sum(axis=0))


def nearly_dead(means):
    """Find the line below which channels are nearly dead: the middle of the largest gap below the median.

    The tutorial (section 4.1.3) draws such a line by hand. The channels are sorted by their mean activation; *nearly
    dead* are by definition fewer than half, so the gap is looked for between the lowest channel and the median one.
    There always is a largest gap: a large `p` says that the line is arbitrary.

    The means have shape (n_rows, n_channels), six channels or more; the rows are inputs, and each has a line of its
    own. Returns a DataFrame, one row for each: line, below (number of channels below it), gap (its width as a share of
    the range from the lowest to the median), p (probability that the largest gap between as many values, spread evenly
    over that range, is as wide). NaN, and nothing below, where the lower half of the channels has one value.
    """
    means = check_array("means", means, ("n_rows", "n_channels")).astype(float)
    if means.shape[1] < 6:
        raise ValueError(f"means: got {means.shape[1]} channels; give 6 or more")
    rows = []
    for row in means:
        lower = np.sort(row)[: len(row) // 2 + 1]
        gaps, extent = np.diff(lower), lower[-1] - lower[0]
        if extent == 0:
            rows.append((np.nan, 0, np.nan, np.nan))
            continue
        at = gaps.argmax()
        gap = gaps[at] / extent
        rows.append(((lower[at] + lower[at + 1]) / 2, at + 1, gap, largest_gap_p_value(gap, len(gaps))))
    return pd.DataFrame(rows, columns=["line", "below", "gap", "p"])


def ink_zones(model, images, layer, ink=0.5, batch_size=250):
    """Compare what each channel of a layer outputs on the ink, around it, and on the background.

    A cell of a map belongs to the *ink* if the pixel in the middle of its receptive field is ink (from the grey value
    `ink` on), to the *edge* if only other pixels of the field are, and to the *background* if it sees no ink at all.

    Returns a DataFrame, one row for each channel: channel; ink, edge, background (mean activation over the cells of
    each zone, in all images); outside (share of all activation that lies on edge or background; NaN for a channel that
    is 0 everywhere, or negative anywhere); area (share of the cells that lie there: `outside` for a constant map).
    """
    model = check_model(model)
    images = check_images(model, images)
    field = receptive_field(model, layer, images.shape[1:3])
    is_ink = images.max(axis=-1) >= check_number("ink", ink)
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
        means = dict(zip(("ink", "edge", "background"), total / cells[:, None], strict=True))
    shares = {"outside": (total[1] + total[2]) / whole, "area": (cells[1] + cells[2]) / cells.sum()}
    return pd.DataFrame({"channel": np.arange(total.shape[1]), **means, **shares})


def position_dependence(maps, n_signs=500, seed=0):
    """Test whether the mean map of each channel depends on the position, for images of noise that is alike everywhere.

    Under translation invariance the mean map of N images varies over positions as much as the noise of N images lets
    it: `ratio` is about 1. Neighbouring positions share pixels, so the distribution of the ratio comes from giving each
    image's deviation from the overall mean a random sign, which keeps that dependence.

    The maps have shape (N, height, width, n_channels), of ten independent images or more. Returns a DataFrame, one row
    for each channel: channel, ratio (N times the variance of the mean map over positions, divided by the variance over
    images), chance (95 % of the ratios under random signs lie below), p. NaN for a constant channel.
    """
    maps = check_array("maps", maps, ("N", "height", "width", "n_channels")).astype(np.float32, copy=False)
    (n, _, _, n_channels), n_signs = maps.shape, check_count("n_signs", n_signs)
    if n < 10:
        raise ValueError(f"maps: got those of {n} images; give ten or more")
    deviation = (maps - maps.mean(axis=(0, 1, 2))).reshape(n, -1)
    noise = (maps.var(axis=0) / n).mean(axis=(0, 1))
    signs = np.random.default_rng(check_count("seed", seed, 0)).choice(np.float32([-1, 1]), (n_signs, n))
    signs = np.concatenate([np.ones((1, n), np.float32), signs])  # the first row is the measurement itself
    means = (signs @ deviation / n).reshape(n_signs + 1, -1, n_channels)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(noise > 0, means.var(axis=1) / noise, np.nan)
    p = np.where(noise > 0, permutation_p_value(ratios[0], ratios[1:]), np.nan)
    chance = np.percentile(ratios[1:], 95, axis=0)
    return pd.DataFrame({"channel": np.arange(n_channels), "ratio": ratios[0], "chance": chance, "p": p})


def correlate_with_mean_weight(values, mean_weight, n_resamples=4000, seed=0):
    """Relate a property of channels to their mean weight: as a rank correlation, and reverse channels against others.

    Values and mean weights have shape (n_channels,); channels for which one is NaN are left out, and six must be left.
    A mean weight below 0 is reverse. `n_resamples` bootstrap samples of channels are drawn, and as many permutations.

    Returns a DataFrame of two rows: "correlation" (Spearman's) and "effect" (Cliff's delta: the probability that a
    reverse channel has the larger value, minus that of the opposite). Columns: value, low, high, chance, p, as in
    `compare.rank_correlations`; n. The effect is NaN if all channels or none are reverse.
    """
    values = check_array("values", values, ("n_channels",), finite=False)
    both = np.stack([values, check_array("mean_weight", mean_weight, values.shape, finite=False)], axis=1).astype(float)
    both = both[np.isfinite(both).all(axis=1)]
    if len(both) < 6:
        raise ValueError(f"values: {len(both)} channels have both values; give at least six")
    found = resampled(_relations, both, check_count("n_resamples", n_resamples), n_resamples, seed, slice(1, 2))
    return pd.DataFrame(found | {"n": len(both)}, index=["correlation", "effect"])


def mean_digits(digits):
    """Return the mean image of each class that occurs, as `data.LabelledImages` (Casacuberta Puig 2019, 4.1.2)."""
    if len(digits) == 0:
        raise ValueError("digits: there is no image; give at least one")
    classes = np.unique(digits.labels)
    means = np.stack([digits.images[digits.labels == k].mean(axis=0) for k in classes])
    return LabelledImages(means, classes, f"{digits.source}, mean of each class")


def input_kinds(digits, ideal, index=0, seed=0):
    """Return the kinds of input that the tutorial feeds to the hidden channels, one image of each class for each kind.

    Takes the ideal digit of each class, in order of class, and returns a dict of arrays of that shape: "digit" (the one
    of number `index` in each class; the tutorial takes the first), "mean", "ideal", "uniform noise" (in [0, 1]), "digit
    + source's noise" (Gaussian noise of the mean and standard deviation of the image's own pixels) and "digit +
    zero-mean noise" (the same draws without the mean). Casacuberta Puig (2019), section 4.1; its noise came in rows.
    """
    mean = mean_digits(digits)
    ideal = check_array("ideal", ideal, mean.images.shape)
    index = check_count("index", index, 0, min(np.sum(digits.labels == k) for k in mean.labels) - 1)
    rng = np.random.default_rng(check_count("seed", seed, 0))
    digit = np.stack([digits.images[digits.labels == k][index] for k in mean.labels])
    level, spread = digit.mean(axis=(1, 2, 3), keepdims=True), digit.std(axis=(1, 2, 3), keepdims=True)
    shake = spread * rng.standard_normal(ideal.shape)
    kinds = {
        "digit": digit,
        "mean": mean.images,
        "ideal": ideal,
        "uniform noise": rng.random(ideal.shape),
        "digit + source's noise": digit + level + shake,
        "digit + zero-mean noise": digit + shake,
    }
    return {name: images.astype(np.float32) for name, images in kinds.items()}


def _relations(samples):
    """Return the rank correlation and Cliff's delta of pairs (n_samples, n, 2), shape (n_samples, 2)."""
    ranks, reverse = rankdata(samples[..., 0], axis=1) - 0.5, samples[..., 1] < 0
    above = area_under_roc((ranks * reverse).sum(axis=1), reverse.sum(axis=1), reverse.shape[1])
    return np.stack([correlation_matrices(samples)[:, 0, 1], 2 * above - 1], axis=1)


def _zones(is_ink, field, extent):
    """Return the zone of each cell of a map: 0 for ink, 1 for edge, 2 for background; shape (N, height, width)."""
    pads, cells = [(0, 0)], [slice(None)]
    for axis, n in enumerate(extent):
        offset, stride, before = field.offset[axis], field.stride[axis], max(0, -field.offset[axis])
        stop = offset + (n - 1) * stride + field.size[axis]
        pads.append((before, max(0, stop - is_ink.shape[axis + 1])))
        cells.append(slice(before + offset, before + offset + (n - 1) * stride + 1, stride))
    seen = sliding_window_view(np.pad(is_ink, pads), field.size, axis=(1, 2))[tuple(cells)]
    on_ink = seen[..., field.size[0] // 2, field.size[1] // 2]
    return np.where(on_ink, 0, np.where(seen.any(axis=(3, 4)), 1, 2))
