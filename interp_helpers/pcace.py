"""PCACE: principal components of a channel's maps, then the maximal correlation of the class score with them.

For each channel the maps of m images are standardized pixel by pixel and reduced to a few principal components (PCA);
alternating conditional expectations (ACE, `interp_helpers.ace`) then look for the transforms of the score and of the
components that correlate most. What comes out is the strength of the relation between channel and score, from 0 to 1,
and how much of it permuted scores would have given.

Casacuberta Puig, S. (2019). Interpretability of convolutional neural networks (tutorial), section 5.2.
Casacuberta, S., Suel, E. and Flaxman, S. (2021). PCACE: a statistical approach to ranking neurons for CNN
interpretability. arXiv:2112.15571.
"""

from concurrent.futures import ThreadPoolExecutor
from math import prod

import keras
import numba
import numpy as np
import pandas as pd
from scipy.linalg import eigh
from scipy.stats import false_discovery_control
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from interp_helpers.ace import MIN_OBSERVATIONS, ace, ace_many
from interp_helpers.layers import batches_of, kernel_behind, only_output, recorded
from interp_helpers.models import check_images, named_layer, scores

STATISTICS = ("multiple", "first", "first_absolute")
MIN_EIGENVALUE = 1e-12  # share of the largest: what is below is rounding


def pcace(
    activations,
    scores,
    n_components=10,
    statistic="multiple",
    n_permutations=0,
    n_bootstrap=0,
    held_out=False,
    seed=0,
    n_jobs=None,
):
    """Measure how strongly each channel of a layer is related to a score.

    Parameters
    ----------
    activations : array_like, shape (m, height, width, channels), or (m, channels) for channels of one number
        What the layer put out for m images, from any framework, channels last.
    scores : array_like, shape (m,)
        What the channels are to explain: the score of a class, a predicted value.
    n_components : int or "half"
        Principal components: at most m - 1, and at most height * width. The tutorial takes 10; "half" is the rule of
        the paper, half of the smaller of m and height * width. Channels of lower rank use what they have.
    statistic : "multiple", "first" or "first_absolute", or a sequence of these
        Multiple: corr(theta(y), sum of phi), the maximal multiple correlation. First: corr(theta(y), phi_1), the
        correlation with the transform of the first component alone, which is what the tutorial's code computes; its
        absolute value is what the paper's does. For several, there are the rows of each.
    n_permutations : int
        How often the scores are permuted for the chance level; the same permutations serve all channels.
    n_bootstrap : int
        How often the images are drawn anew, with replacement, for the interval of the rank. The components stay.
    held_out : bool
        Find components and transforms on one half of the images, correlate on the other; then the halves change
        places, and the mean is taken. Without relation the expectation is 0, not the null median.
    seed : int
        For permutations, bootstrap and halves.
    n_jobs : int, optional
        Threads; by default as many as numba has (``NUMBA_NUM_THREADS``). The numbers do not depend on it.

    Returns
    -------
    pandas.DataFrame
        One row for each statistic and channel: statistic, channel, pcace, null_median, null_high (median and 95 %
        quantile over the permutations), p_value ((1 + number of permutations that reach the value) / (1 + number of
        permutations)), q_value (Benjamini and Hochberg's, over the channels), rank (1 for the highest value), rank_low,
        rank_high (95 % interval), dead (all maps the same: no value). NaN where something was not asked for, or dead.

    Raises
    ------
    ValueError
        If there are fewer than 10 images, lengths differ, values are not finite or not real, the scores are constant
        or too many components are asked for; if a statistic is unknown; if bootstrap and held-out values are wanted
        together (the same image would be in both halves).

    Notes
    -----
    The value is fitted to the images it is computed on, so noise has a high one, too: compare with `null_high`, or take
    `held_out`. Where there is a relation, a monotone transform of the scores changes the value little, as it should for
    a maximal correlation; where there is none, ACE ends in another of the many transforms that fit the noise.
    """
    maps = _by_channel(activations)
    _check_options(maps.shape[1], statistic, n_permutations, n_bootstrap, held_out, n_jobs)
    y = _checked_scores(scores, maps.shape[1])
    reduced = _reduced(maps, n_components, held_out, seed, n_jobs)
    table = _related(reduced, y, statistic, n_permutations, n_bootstrap, seed, n_jobs)
    return table.rename(columns={"item": "channel"})


def group_pcace(
    activations,
    scores,
    groups,
    n_components=10,
    statistic="multiple",
    n_permutations=0,
    n_bootstrap=0,
    held_out=False,
    seed=0,
    n_jobs=None,
):
    """Measure how strongly each group of channels, taken together, is related to a score.

    The maps of a group's channels are laid side by side before the principal components are taken.

    Parameters
    ----------
    activations, scores
        As in `pcace`.
    groups : dict of str to sequence of int
        Name and channels of each group.
    n_components, statistic, n_permutations, n_bootstrap, held_out, seed, n_jobs
        As in `pcace`; a large group deserves more components.

    Returns
    -------
    pandas.DataFrame
        As of `pcace`, with the columns group (name) and channels (tuple) in the place of channel.

    Raises
    ------
    ValueError
        As in `pcace`; if there is no group, or if one is empty, names a channel that is not there, or names one twice.
    """
    maps = _by_channel(activations)
    _check_options(maps.shape[1], statistic, n_permutations, n_bootstrap, held_out, n_jobs)
    y = _checked_scores(scores, maps.shape[1])
    groups = {name: tuple(channels) for name, channels in dict(groups).items()}
    if not groups:
        raise ValueError("groups: is empty; give names with the channels of each")
    for name, channels in groups.items():
        known = all(isinstance(c, int | np.integer) and 0 <= c < len(maps) for c in channels)
        if not channels or not known or len(set(channels)) < len(channels):
            raise ValueError(f"groups: {name!r} is {channels}; give different channels of 0 to {len(maps) - 1}")
    together = [np.moveaxis(maps[list(channels)], 1, 0).reshape(1, len(y), -1) for channels in groups.values()]
    parts = [_reduced(side_by_side, n_components, held_out, seed, n_jobs) for side_by_side in together]
    table = _related(_joined(parts), y, statistic, n_permutations, n_bootstrap, seed, n_jobs)
    table.insert(1, "group", [list(groups)[item] for item in table["item"]])
    table.insert(2, "channels", [groups[name] for name in table["group"]])
    return table.drop(columns="item")


def rank_channels(
    model,
    layers,
    images,
    target,
    n_components=10,
    statistic="multiple",
    n_permutations=100,
    n_bootstrap=0,
    held_out=False,
    seed=0,
    n_jobs=None,
    max_memory=1.0,
    batch_size=100,
):
    """Rank the channels of layers of a network by how strongly they are related to a class score.

    Parameters
    ----------
    model : keras.Model
    layers : str or sequence of str
        Names of layers with channels last: (N, height, width, channels), or (N, channels).
    images : ndarray, shape (N, height, width, channels), float
        At least 10; several hundred, usually of one class.
    target : int, sequence or dict
        The score that is to be explained: that of a class; of each image's own class (N ints: a mixed set); the mean
        score of some classes (a list shorter than N), or a weighted mean (dict from class to weight); or N other
        values, floats, one for each image (regression).
    n_components, statistic, n_permutations, n_bootstrap, held_out, seed, n_jobs
        As in `pcace`.
    max_memory : float
        Gigabytes that the recorded activations may take (what the network itself needs for a batch is not counted). If
        the layers put out more, the network runs several times, each time for some of the channels.
    batch_size : int

    Returns
    -------
    pandas.DataFrame
        The columns of `pcace` after layer, and before mean_weight and reverse (of the kernel that makes the channel:
        for ``relu1`` that of ``conv1``; NaN if there is none). Ranks and q-values are those within the layer.

    Raises
    ------
    ValueError
        As in `pcace`; if there is no such layer, class or target; if the images do not fit.
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    found = {name: named_layer(model, name) for name in names}
    check_images(model, images)
    _check_options(len(images), statistic, n_permutations, n_bootstrap, held_out, n_jobs)
    scoring, wanted = _score_wanted(model, target, len(images))
    if not max_memory > 0 or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise ValueError(f"max_memory={max_memory}, batch_size={batch_size}: give positive numbers")
    shapes = {name: _shape(name, layer, scoring, images[:1]) for name, layer in found.items()}
    _n_components(n_components, len(images), 1, held_out)
    reduced, y = {name: [] for name in names}, None
    for parts in _passes(shapes, len(images), max_memory):
        blocks, reached = _read(scoring, found, shapes, parts, images, batch_size)
        if y is None:
            y = _checked_scores(wanted if wanted.ndim == 1 else (reached * wanted).sum(axis=1), len(images))
        for (name, _), maps in zip(parts, blocks, strict=True):
            reduced[name].append(_reduced(maps, n_components, held_out, seed, n_jobs))
    tables = []
    for name in names:
        table = _related(_joined(reduced[name]), y, statistic, n_permutations, n_bootstrap, seed, n_jobs)
        table = table.rename(columns={"item": "channel"})
        tables.append(table.merge(_kernels(found[name], shapes[name][-1]), on="channel", validate="many_to_one"))
        tables[-1].insert(0, "layer", name)
    return pd.concat(tables, ignore_index=True)


def components(activations, n_components=10, n_jobs=None):
    """Compute the leading principal components of the standardized maps of each channel.

    Parameters
    ----------
    activations : array_like, shape (m, height, width, channels) or (m, channels)
    n_components : int or "half"
    n_jobs : int, optional
        As in `pcace`.

    Returns
    -------
    ndarray, shape (channels, m, n_components)
        Scores of the images on the components, the one of largest variance first; zero beyond the rank of a channel.
        The sign of each is such that the score of largest magnitude is positive.

    Raises
    ------
    ValueError
        As in `pcace`.

    Notes
    -----
    Each pixel is centred and divided by its standard deviation over the images; a constant one becomes 0. The
    components come from the eigenvectors of the smaller of the two Gram matrices, images by images or pixels by pixels,
    in double precision, a channel at a time.
    """
    ((x, _),) = _reduced(_by_channel(activations), n_components, False, 0, n_jobs)
    return x


# --- from components to the table ------------------------------------------------------------------------------------


def _related(reduced, y, statistic, n_permutations, n_bootstrap, seed, n_jobs):
    """Return the table of `pcace` for items whose components are given; the column is called item, not channel.

    Parameters
    ----------
    reduced : sequence of (ndarray, ndarray)
        What `_reduced` returns: one pair, or two for held-out values.
    """
    rng = np.random.default_rng(seed)
    ys = np.stack([y, *(rng.permutation(y) for _ in range(n_permutations))])
    drawn = None
    if len(reduced) == 1:
        x = reduced[0][0]
        found = _solved(x, ys, n_jobs)
        if n_bootstrap:
            redrawn = [_draw(y, rng) for _ in range(n_bootstrap)]
            drawn = [_solved(x[:, rows], y[None, rows], n_jobs) for rows in tqdm(redrawn, leave=False, delay=2)]
    else:
        found = _transferred(reduced, ys, _halves(len(y), seed), n_jobs)
    dead = np.any([(np.ptp(x, axis=1) == 0).all(axis=1) for x, _ in reduced], axis=0)
    tables = []
    for name in _names(statistic):
        values = _statistic(found, name)
        table = _with_chance(values[:, 0], values[:, 1:])
        table["rank"] = table["pcace"].rank(ascending=False)
        ranks = [pd.Series(_statistic(again, name)[:, 0]).rank(ascending=False) for again in drawn or []]
        table["rank_low"], table["rank_high"] = np.percentile(ranks, [2.5, 97.5], axis=0) if ranks else (np.nan, np.nan)
        table["dead"] = dead
        table.insert(0, "statistic", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _with_chance(value, null):
    """Return values (items,) beside what permuted scores gave (items, permutations)."""
    table = pd.DataFrame({"item": np.arange(len(value)), "pcace": value})
    none = np.full(len(value), np.nan)
    n = null.shape[1]
    low, high = np.quantile(null, [0.5, 0.95], axis=1) if n else (none, none)
    as_high = (~(null < value[:, None])).sum(axis=1)
    p_value = np.where(np.isnan(value), np.nan, (1 + as_high) / (1 + n)) if n else none
    q_value, known = none.copy(), ~np.isnan(p_value)
    if known.any():
        q_value[known] = false_discovery_control(p_value[known])
    return table.assign(null_median=low, null_high=high, p_value=p_value, q_value=q_value)


def _solved(x, ys, n_jobs):
    """Solve ACE for components (items, m, p) and responses (k, m); return multiple and first, each (items, k)."""
    batch = ace_many(x, ys, threads=_threads(n_jobs))
    return {"multiple": batch.multiple, "first": batch.first}


def _transferred(reduced, ys, halves, n_jobs):
    """Find transforms on one half, correlate them on the other, both ways round; return the means as `_solved` does."""
    both = []
    for (x_fit, x_new), (fit, new) in zip(reduced, (halves, halves[::-1]), strict=True):
        if np.ptp(ys[0, fit]) == 0 or np.ptp(ys[0, new]) == 0:
            raise ValueError("held_out: the scores of one half are all the same; give another seed or more images")
        tasks = [(x_fit[item], x_new[item], y[fit], y[new]) for item in range(len(x_fit)) for y in ys]
        with ThreadPoolExecutor(_threads(n_jobs)) as pool:
            found = list(tqdm(pool.map(_transfer, tasks), total=len(tasks), desc="ACE", leave=False, delay=2))
        both.append(np.reshape(found, (len(x_fit), len(ys), 2)))
    multiple, first = np.moveaxis(np.mean(both, axis=0), -1, 0)
    return {"multiple": multiple, "first": first}


def _transfer(task):
    """Find the transforms of one half; return both correlations on the other, NaN where there is nothing."""
    x_fit, x_new, y_fit, y_new = task
    varies = np.ptp(x_fit, axis=0) > 0
    if not varies.any() or np.ptp(y_fit) == 0:
        return np.nan, np.nan
    found = ace(x_fit[:, varies], y_fit)
    theta = _interpolated(y_new, y_fit, found.theta)
    columns = zip(x_new[:, varies].T, x_fit[:, varies].T, found.phi.T, strict=True)
    phi = np.stack([_interpolated(*column) for column in columns])
    return _correlation(theta, phi.sum(axis=0)), _correlation(theta, phi[0]) if varies[0] else np.nan


def _interpolated(new, x, values):
    """Interpolate a transform, known at x, at new places; beyond its ends it stays what it is there."""
    x, first = np.unique(x, return_index=True)  # tied values have one value of the transform
    return np.interp(new, x, values[first])


def _correlation(a, b):
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    return np.corrcoef(a, b)[0, 1]


def _statistic(found, name):
    return np.abs(found["first"]) if name == "first_absolute" else found[name]


def _draw(y, rng):
    """Draw as many images with replacement, until not all of their scores are the same."""
    while True:
        rows = rng.integers(0, len(y), len(y))
        if np.ptp(y[rows]) > 0:
            return rows


# --- from maps to components -----------------------------------------------------------------------------------------


def _reduced(maps, n_components, held_out, seed, n_jobs):
    """Reduce maps (items, m, pixels) to their principal components.

    Returns
    -------
    list of (ndarray, ndarray)
        One pair: the components (items, m, p), twice. Held out, two pairs: the components of one half, and what the
        other half has on the same axes; then the halves the other way round.
    """
    n_items, n, n_pixels = maps.shape
    p = _n_components(n_components, n, n_pixels, held_out)
    if not np.isfinite(maps).all():
        images = np.flatnonzero(~np.isfinite(maps).all(axis=(0, 2)))
        raise ValueError(f"activations: values that are not finite, in {len(images)} images (first: image {images[0]})")
    halves = _halves(n, seed)
    folds = (halves, halves[::-1]) if held_out else [(slice(None), None)]
    tasks = [(item, fit, new) for fit, new in folds for item in range(n_items)]

    def reduce(task):
        item, fit, new = task
        return _principal(maps[item, fit], p, None if new is None else maps[item, new])

    # one thread of BLAS for each of ours: the same sums in the same order, however many of ours there are
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(_threads(n_jobs)) as pool:
        found = list(tqdm(pool.map(reduce, tasks), total=len(tasks), desc="PCA", leave=False, delay=2))
    return [
        tuple(np.stack(x) for x in zip(*found[start : start + n_items], strict=True))
        for start in range(0, len(found), n_items)
    ]


def _joined(parts):
    """Join what `_reduced` returned for several blocks of items; fewer components are filled up with zeros."""
    p = max(fold[0].shape[2] for part in parts for fold in part)
    return [
        tuple(
            np.concatenate([np.pad(x, ((0, 0), (0, 0), (0, p - x.shape[2]))) for x in same])
            for same in zip(*fold, strict=True)
        )
        for fold in zip(*parts, strict=True)
    ]


def _principal(maps, p, new=None):
    """Return the leading components of standardized maps (m, pixels), and those of new maps on the same axes."""
    maps = maps.astype(float)
    mean, varies = maps.mean(axis=0), np.ptp(maps, axis=0) > 0
    scale = np.divide(1, maps.std(axis=0), out=np.zeros(len(mean)), where=varies)
    standardized = (maps - mean) * scale
    wide = len(maps) <= len(mean)
    gram = standardized @ standardized.T if wide else standardized.T @ standardized
    values, vectors = eigh(gram, subset_by_index=(len(gram) - p, len(gram) - 1), overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    spread = np.sqrt(np.where(values > MIN_EIGENVALUE * max(values[0], 0), values, 0))
    axes = vectors if not wide else standardized.T @ np.divide(vectors, spread, out=0 * vectors, where=spread > 0)
    x = vectors * spread if wide else standardized @ (axes * (spread > 0))
    sign = np.sign(np.take_along_axis(x, np.abs(x).argmax(axis=0)[None], axis=0))
    return x * sign, x * sign if new is None else ((new - mean) * scale) @ (axes * (spread > 0)) * sign


def _halves(n, seed):
    """Divide n images into halves; the one image too many of an odd number is left out."""
    order = np.random.default_rng([seed, 1]).permutation(n)
    return order[: n // 2], order[n // 2 : 2 * (n // 2)]


# --- from the network to maps ----------------------------------------------------------------------------------------


def _score_wanted(model, target, n):
    """Return the model to run and what to make of its output: values (n,), or weights (n, n_scores) of the scores."""
    values = None if isinstance(target, dict) else np.asarray(target)
    if values is not None and values.dtype.kind == "f":
        if values.shape != (n,):
            raise ValueError(f"target: got floats of shape {values.shape}; give one value for each of the {n} images")
        return model, values
    scoring = scores(model)
    n_scores = scoring.output_shape[-1]
    weights = np.zeros((n, n_scores))
    chosen = np.array(list(target)) if values is None else values
    if len(scoring.output_shape) != 2:
        raise ValueError(f"model: its scores have shape {scoring.output_shape}; give values of your own as target")
    if chosen.dtype.kind not in "iu" or chosen.ndim > 1 or not chosen.size:
        raise ValueError(f"target: got {target!r}; give a class, {n} classes or values, or classes with weights")
    if chosen.min() < 0 or chosen.max() >= n_scores:
        raise ValueError(f"target: got {target!r}; the model has scores 0 to {n_scores - 1}")
    if values is None:
        share = np.array(list(target.values()), float)
        if not np.isfinite(share).all():
            raise ValueError(f"target: got {target!r}; give finite weights")
        weights[:, chosen] = share / np.abs(share).sum() if share.any() else 0
    elif chosen.shape == (n,):
        weights[np.arange(n), chosen] = 1
    elif len(set(chosen.ravel())) < chosen.size:
        raise ValueError(
            f"target: got {chosen.size} classes, some twice; give {n} (one for each image) or different ones"
        )
    else:
        weights[:, chosen] = 1 / chosen.size
    return scoring, weights


def _passes(shapes, n, max_memory):
    """Cut layers into blocks of channels, and sort the blocks into passes over the images that fit into memory.

    Returns
    -------
    list of list of (str, slice)
        For each pass, the layers and their channels.
    """
    passes, room = [], 0
    for name, shape in shapes.items():
        of_channel = 4 * n * prod(shape[:-1]) / 1e9
        start = 0
        while start < shape[-1]:
            if room < of_channel:
                passes.append([])
                room = max(max_memory, of_channel)  # one channel at least
            stop = min(shape[-1], start + int(room / of_channel))
            passes[-1].append((name, slice(start, stop)))
            room -= (stop - start) * of_channel
            start = stop
    return passes


def _read(scoring, found, shapes, parts, images, batch_size):
    """Run the network over the images; return the maps of each part (channels, N, pixels) and the network's output."""
    blocks = [
        np.empty((channels.stop - channels.start, len(images), prod(shapes[name][:-1])), np.float32)
        for name, channels in parts
    ]
    reached = []
    with recorded([found[name] for name, _ in dict(parts).items()]) as outputs:
        for batch in tqdm(batches_of(len(images), batch_size), desc="activations", leave=False, delay=2):
            reached.append(keras.ops.convert_to_numpy(scoring(images[batch], training=False)))
            for block, (name, channels) in zip(blocks, parts, strict=True):
                values = only_output(found[name], outputs)[..., channels]
                values = keras.ops.convert_to_numpy(values).reshape(len(reached[-1]), -1, len(block))
                block[:, batch] = np.moveaxis(values, -1, 0)
            outputs.clear()
    return blocks, np.concatenate(reached)


def _shape(name, layer, scoring, image):
    """Return the shape of what a layer puts out for one image."""
    with recorded([layer]) as outputs:
        scoring(image, training=False)
        shape = tuple(only_output(layer, outputs).shape[1:])
    if len(shape) not in (1, 3):
        raise ValueError(
            f"layers: {name!r} puts out shape {shape} for an image; give (height, width, channels), or (n,)"
        )
    return shape


def _kernels(layer, n_channels):
    """Return channel, mean_weight and reverse of the kernel that makes the channels of a layer."""
    table = pd.DataFrame({"channel": np.arange(n_channels), "mean_weight": np.nan, "reverse": pd.NA})
    made_by = kernel_behind(layer)
    if made_by is not None:
        table["mean_weight"] = keras.ops.convert_to_numpy(made_by.kernel).reshape(-1, n_channels).mean(axis=0)
        table["reverse"] = table["mean_weight"] < 0
    return table.astype({"reverse": "boolean"})


# --- what is accepted ------------------------------------------------------------------------------------------------


def _by_channel(activations):
    """Return activations as (channels, m, pixels), or refuse them."""
    activations = np.asarray(activations)
    if activations.dtype.kind not in "biuf":
        raise ValueError(f"activations: have values of type {activations.dtype}; give real numbers")
    if activations.ndim not in (2, 4) or 0 in activations.shape:
        raise ValueError(
            f"activations: got shape {activations.shape}; give (images, height, width, channels), or (images, channels)"
        )
    return np.moveaxis(activations.reshape(len(activations), -1, activations.shape[-1]), -1, 0)


def _checked_scores(y, n):
    """Return scores as floats, or refuse them."""
    y = np.asarray(y)
    if y.shape != (n,) or y.dtype.kind not in "biuf":
        raise ValueError(f"scores: got {y.dtype} of shape {y.shape}; give {n} numbers, one for each image")
    y = y.astype(float)
    if not np.isfinite(y).all():
        raise ValueError(f"scores: {np.sum(~np.isfinite(y))} of {n} are not finite")
    if np.ptp(y) == 0:
        raise ValueError(f"scores: all are {y[0]:g}; there is nothing to explain")
    return y


def _check_options(n, statistic, n_permutations, n_bootstrap, held_out, n_jobs):
    least = MIN_OBSERVATIONS * (2 if held_out else 1)
    if n < least:
        raise ValueError(f"images: got {n}; ACE smooths, give at least {least}{' (two halves)' if held_out else ''}")
    _names(statistic)
    for name, value in {"n_permutations": n_permutations, "n_bootstrap": n_bootstrap}.items():
        if not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"{name}: got {value}; give 0 or a positive whole number")
    if held_out and n_bootstrap:
        raise ValueError("n_bootstrap: an image drawn twice could be in both halves; give 0 with held_out=True")
    _threads(n_jobs)


def _n_components(n_components, n, n_pixels, held_out):
    """Return how many components to take, or refuse the number."""
    n = n // 2 if held_out else n
    if n_components == "half":
        return max(1, min(n, n_pixels) // 2)
    if not isinstance(n_components, int | np.integer) or not 1 <= n_components < n:
        raise ValueError(
            f"n_components: got {n_components!r}; {n} images{' in each half' if held_out else ''} allow 1 to {n - 1}, "
            'or "half"'
        )
    return min(n_components, n_pixels)


def _names(statistic):
    names = [statistic] if isinstance(statistic, str) else list(statistic)
    if not names or any(name not in STATISTICS for name in names) or len(set(names)) < len(names):
        raise ValueError(f"statistic: got {statistic!r}; give one or some of {', '.join(STATISTICS)}")
    return names


def _threads(n_jobs):
    if n_jobs is None:
        return numba.config.NUMBA_NUM_THREADS
    if not isinstance(n_jobs, int | np.integer) or n_jobs < 1:
        raise ValueError(f"n_jobs: got {n_jobs}; give a positive number of threads")
    return int(n_jobs)
