"""PCACE: principal components of a channel's maps, then the maximal correlation of the class score with them.

For each channel the maps of m images are standardized pixel by pixel and reduced to a few principal components (PCA);
alternating conditional expectations (ACE, `interp_helpers.ace`) then look for the transforms of the score and of the
components that correlate most. What comes out is the strength of the relation between channel and score, from 0 to 1,
and how much of it permuted scores would have given.

Casacuberta Puig, S. (2019). Interpretability of convolutional neural networks (tutorial), section 5.2.
Casacuberta, S., Suel, E. and Flaxman, S. (2021). PCACE: a statistical approach to ranking neurons for CNN
interpretability. arXiv:2112.15571.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import joblib
import keras
import numba
import numpy as np
import pandas as pd
from scipy.linalg import eigh
from scipy.stats import false_discovery_control
from threadpoolctl import ThreadpoolController
from tqdm.auto import tqdm

from interp_helpers.ace import MIN_OBSERVATIONS, ace, ace_many
from interp_helpers.engine.checks import check_images, check_model
from interp_helpers.engine.graph import channel_kernels, find_layer, kernel_before, logits_model
from interp_helpers.engine.hooks import batches, forward, memory_passes, to_numpy

STATISTICS = ("multiple", "first", "first_absolute")


MIN_EIGENVALUE = 1e-12  # share of the largest: what is below is rounding


MIN_VARIATION = 1e-6  # standard deviation of a pixel, as a share of its largest value: what is below is rounding


CACHE_LINE = 16  # numbers that a processor reads at once


BLOCK = 1024  # pixels standardized at a time: they stay in the processor's cache


def pcace(
    activations,
    logits_model,
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
        the paper as we read it, half of the smaller of m and height * width. Channels of lower rank use what they have.
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
        Channels worked on at once. By default threads, as many as numba has (``NUMBA_NUM_THREADS``); inside
        ``joblib.parallel_config`` whatever that says, the workers of a Dask cluster, say. The numbers do not depend
        on it.

    Returns
    -------
    pandas.DataFrame
        One row for each statistic and channel: statistic, channel, pcace, null_low, null_median, null_high (quantiles
        of 5, 50 and 95 % over the permutations), p_value ((1 + number of permutations that reach the value) / (1 +
        number of permutations)), q_value (Benjamini and Hochberg's, over the channels), rank (1 for the highest value),
        rank_low, rank_high (95 % interval), dead (all maps the same: no value). NaN where something was not asked for,
        or dead.

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

    The smallest p-value is 1 / (1 + n_permutations), so one channel of many has a q-value below 0.05 only if there are
    more than 20 permutations for each channel. Images have to be different ones: each given twice makes noise look like
    a relation. For the same reason the values of bootstrap samples are too high; only their ranks are used.
    """
    maps = _by_channel(activations)
    _check_options(maps.shape[1], statistic, n_permutations, n_bootstrap, held_out, seed, n_jobs)
    y = _checked_scores(logits_model, maps.shape[1])
    p = _n_components(n_components, *maps.shape[1:], held_out)
    work = Work(y, p, n_permutations, n_bootstrap, held_out, seed)
    return _table(_measured(maps, work, n_jobs), statistic)


def group_pcace(
    activations,
    logits_model,
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
    _check_options(maps.shape[1], statistic, n_permutations, n_bootstrap, held_out, seed, n_jobs)
    y = _checked_scores(logits_model, maps.shape[1])
    groups = {name: tuple(channels) for name, channels in dict(groups).items()}
    if not groups:
        raise ValueError("groups: is empty; give names with the channels of each")
    for name, channels in groups.items():
        known = all(_is_whole(c) and c < len(maps) for c in channels)
        if not channels or not known or len(set(channels)) < len(channels):
            raise ValueError(f"groups: {name!r} is {channels}; give different channels of 0 to {len(maps) - 1}")
    measured = []
    for channels in groups.values():
        together = np.moveaxis(maps[list(channels)], 1, 0).reshape(1, len(y), -1)
        p = _n_components(n_components, *together.shape[1:], held_out)
        work = Work(y, p, n_permutations, n_bootstrap, held_out, seed)
        measured += _measured(together, work, n_jobs)
    table = _table(measured, statistic).rename(columns={"channel": "group"})
    table.insert(2, "channels", [list(groups.values())[item] for item in table["group"]])
    return table.assign(group=[list(groups)[item] for item in table["group"]])


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
    folder=None,
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
        values, floats, one for each image (regression; whole numbers would be classes).
    n_components, statistic, n_permutations, n_bootstrap, held_out, seed, n_jobs
        As in `pcace`.
    max_memory : float
        Gigabytes that the recorded activations may take (what the network itself needs for a batch is not counted). If
        the layers put out more, the network runs several times, each time for some of the channels.
    batch_size : int
    folder : path, optional
        Where to keep the result of each layer, as Parquet, as soon as it is there (needs pyarrow). Called again with
        the same folder, an interrupted run goes on with the first layer that is missing.

    Returns
    -------
    pandas.DataFrame
        The columns of `pcace` after layer, and before mean_weight and reverse (of the kernel that makes the channel:
        for ``relu1`` that of ``conv1``; NaN if there is none). Ranks and q-values are those within the layer.

    Raises
    ------
    ValueError
        As in `pcace`; if there is no such layer, class or target; if the images do not fit; if the folder holds
        results of another network, other images, another target or other settings.
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"layers: got {names}; give the names of different layers, at least one")
    model = check_model(model)
    found = {name: find_layer(model, name) for name in names}
    images = check_images(model, images)
    _check_options(len(images), statistic, n_permutations, n_bootstrap, held_out, seed, n_jobs)
    scoring, wanted = _score_wanted(model, target, len(images))
    if not max_memory > 0:
        raise ValueError(f"max_memory: got {max_memory}; give a positive number of gigabytes")
    shapes = _shapes(found, scoring, images[:1])
    p = {name: _n_components(n_components, len(images), prod(shapes[name][:-1]), held_out) for name in names}
    options = n_permutations, n_bootstrap, held_out, seed
    if folder is not None:
        settings = {"n_components": n_components, "statistic": _names(statistic), "options": options}
        network = [np.frombuffer(model.to_json().encode(), np.uint8), *model.get_weights()]
        _claim(folder, {"network": network, "images": images, "target": wanted}, settings)
    tables = {name: _read_table(folder, name) for name in names}
    missing = {name: shapes[name] for name in names if tables[name] is None}
    measured = {name: [] for name in missing}
    y = _checked_scores(wanted, len(images)) if wanted.ndim == 1 else None
    for parts in memory_passes(missing, len(images), max_memory):
        blocks, reached = _read(scoring, found, shapes, parts, images, batch_size, with_scores=y is None)
        if y is None:
            y = _checked_scores((reached * wanted).sum(axis=1), len(images))
        for name, channels in parts:
            measured[name] += _measured(blocks.pop(0), Work(y, p[name], *options), n_jobs, desc=name)
            if channels.stop == shapes[name][-1]:
                table = _table(measured.pop(name), statistic)
                kernels = _kernels(found[name], shapes[name][-1])
                tables[name] = table.merge(kernels, on="channel", validate="many_to_one")
                tables[name].insert(0, "layer", name)
                _write_table(folder, name, tables[name])
    return pd.concat([tables[name] for name in names], ignore_index=True)


def components(activations, n_components=10):
    """Compute the leading principal components of the standardized maps of each channel.

    Parameters
    ----------
    activations : array_like, shape (m, height, width, channels) or (m, channels)
    n_components : int or "half"
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
    maps = _by_channel(activations)
    p = _n_components(n_components, *maps.shape[1:], held_out=False)
    _check_finite(maps)
    tasks = (joblib.delayed(_principal)(channel, p) for channel in _one_by_one(maps))
    with _one_blas_thread():
        return np.stack([x for x, _ in joblib.Parallel(numba.config.NUMBA_NUM_THREADS, require="sharedmem")(tasks)])


@dataclass(frozen=True)
class Work:
    """What is to be done with the maps of every channel; small, so that it can be sent to another machine."""

    y: np.ndarray
    n_components: int
    n_permutations: int
    n_bootstrap: int
    held_out: bool
    seed: int


def _measured(maps, work, n_jobs, desc="PCACE"):
    """Measure every channel of maps (channels, m, pixels) in parallel; return what `_measure` does, in order."""
    _check_finite(maps)
    if work.held_out:
        fit, new = _halves(len(work.y), work.seed)
        if np.ptp(work.y[fit]) == 0 or np.ptp(work.y[new]) == 0:
            raise ValueError("held_out: the scores of one half are all the same; give another seed or more images")
    # a tuple: joblib would scatter a bare array to one worker of a cluster, and lose it with that worker
    tasks = (joblib.delayed(_measure)((channel, work)) for channel in _one_by_one(maps))
    # one thread of BLAS in each of ours: the same sums in the same order, however many of ours there are
    with _one_blas_thread():
        found = joblib.Parallel(_n_jobs(n_jobs), prefer="threads", return_as="generator")(tasks)
        return list(tqdm(found, total=len(maps), desc=desc, leave=False, delay=2, mininterval=0.5))


def _one_by_one(maps):
    """Yield the maps of each channel (m, pixels), contiguous: where channels come last, to read one is to read all."""
    if maps.flags.c_contiguous:
        yield from maps
        return
    for start in range(0, len(maps), CACHE_LINE):
        together = np.empty((len(maps[start : start + CACHE_LINE]), *maps.shape[1:]), maps.dtype)
        for image in range(maps.shape[1]):  # small enough for the processor's cache
            together[:, image] = maps[start : start + CACHE_LINE, image]
        yield from together


def _one_blas_thread():
    """Limit the linear algebra of NumPy and SciPy to one thread while inside."""
    return _blas().limit(limits=1, user_api="blas")


@cache
def _blas():
    return ThreadpoolController()  # looking for the libraries takes a millisecond, setting them does not


def _measure(task):
    """Reduce the maps of one channel and relate them to the scores.

    Returns
    -------
    dict
        multiple and first: ndarray, shape (1 + n_permutations,), the first with the scores as they are; drawn_multiple
        and drawn_first, shape (n_bootstrap,); dead.
    """
    maps, work = task
    rng = np.random.default_rng(work.seed)
    ys = np.stack([work.y, *(rng.permutation(work.y) for _ in range(work.n_permutations))])
    drawn = [_draw(work.y, rng) for _ in range(work.n_bootstrap)]
    with _one_blas_thread():
        if work.held_out:
            return _measure_held_out(maps, ys, work)
        x, _ = _principal(maps, work.n_components)
    found = ace_many(x[None], ys, threads=1)
    measured = {"multiple": found.multiple[0], "first": found.first[0], "dead": not x.any()}
    if drawn:
        again = ace_many(x[drawn], work.y[drawn][:, None], threads=1)
        measured |= {"drawn_multiple": again.multiple[:, 0], "drawn_first": again.first[:, 0]}
    return measured


def _measure_held_out(maps, ys, work):
    """Find components and transforms on one half, correlate on the other, both ways round; return the means."""
    halves = _halves(len(work.y), work.seed)
    values = []
    for fit, new in (halves, halves[::-1]):
        x_fit, x_new = _principal(maps[fit], work.n_components, maps[new])
        values.append([_transfer(x_fit, x_new, y[fit], y[new]) for y in ys])
    multiple, first = np.mean(values, axis=0).T
    return {"multiple": multiple, "first": first, "dead": not np.ptp(maps, axis=0).any()}


def _transfer(x_fit, x_new, y_fit, y_new):
    """Find the transforms of one half; return both correlations on the other, NaN where there is nothing."""
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


def _principal(maps, p, new=None):
    """Return the leading components of standardized maps (m, pixels), and those of new maps on the same axes."""
    n, n_pixels = maps.shape
    every = maps if new is None else np.concatenate([maps, new])
    blocks = (_standardized(every[:, start : start + BLOCK], n) for start in range(0, n_pixels, BLOCK))
    if n <= n_pixels:
        products = sum(block @ block[:n].T for block in blocks)
        values, vectors = _leading(products[:n], p)
        spread = np.sqrt(values)
        x = vectors * spread
        x_new = products[n:] @ np.divide(vectors, spread, out=0 * vectors, where=spread > 0)
    else:
        table = np.concatenate(list(blocks), axis=1)
        values, axes = _leading(table[:n].T @ table[:n], p)
        x, x_new = np.split(table @ (axes * (values > 0)), [n])
    sign = np.sign(np.take_along_axis(x, np.abs(x).argmax(axis=0)[None], axis=0))
    return x * sign, x_new * sign


def _standardized(maps, n):
    """Centre every pixel and divide by its standard deviation, both of the first n maps; a constant one becomes 0."""
    maps = maps.astype(float)
    largest = np.abs(maps[:n]).max(axis=0)
    maps /= np.where(largest > 0, largest, 1)  # squares of what is left neither overflow nor vanish
    maps -= maps[:n].mean(axis=0)
    sd = maps[:n].std(axis=0)
    maps *= np.divide(1, sd, out=np.zeros(len(sd)), where=sd > MIN_VARIATION)
    return maps


def _leading(gram, p):
    """Return the largest p eigenvalues, 0 for what is rounding, and their vectors."""
    values, vectors = eigh(gram, subset_by_index=(len(gram) - p, len(gram) - 1), overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    return np.where(values > MIN_EIGENVALUE * max(values[0], 0), values, 0), vectors


def _halves(n, seed):
    """Divide n images into halves; the one image too many of an odd number is left out."""
    order = np.random.default_rng([seed, 1]).permutation(n)
    return order[: n // 2], order[n // 2 : 2 * (n // 2)]


def _draw(y, rng):
    """Draw as many images with replacement, until not all of their scores are the same."""
    while True:
        rows = rng.integers(0, len(y), len(y))
        if np.ptp(y[rows]) > 0:
            return rows


def _table(measured, statistic):
    """Return the table of `pcace` for what `_measure` found of each channel."""
    tables = []
    for name in _names(statistic):
        values = _statistic(measured, name)
        table = _with_chance(values[:, 0], values[:, 1:])
        table["rank"] = table["pcace"].rank(ascending=False)
        table["rank_low"] = table["rank_high"] = np.nan
        if "drawn_first" in measured[0]:
            ranks = pd.DataFrame(_statistic(measured, name, "drawn_")).rank(ascending=False)
            table["rank_low"], table["rank_high"] = np.percentile(ranks, [2.5, 97.5], axis=1)
        table["dead"] = [bool(channel["dead"]) for channel in measured]
        table.insert(0, "statistic", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _statistic(measured, name, drawn=""):
    values = np.stack([channel[drawn + name.removesuffix("_absolute")] for channel in measured])
    return np.abs(values) if name == "first_absolute" else values


def _with_chance(value, null):
    """Return values (channels,) beside what permuted scores gave (channels, permutations)."""
    table = pd.DataFrame({"channel": np.arange(len(value)), "pcace": value})
    none = np.full(len(value), np.nan)
    n = null.shape[1]
    # the quantile of "weibull" is that which a further permutation exceeds with the probability that it names
    low, middle, high = np.quantile(null, [0.05, 0.5, 0.95], axis=1, method="weibull") if n else (none, none, none)
    as_high = (~(null < value[:, None])).sum(axis=1)
    p_value = np.where(np.isnan(value), np.nan, (1 + as_high) / (1 + n)) if n else none
    q_value, known = none.copy(), ~np.isnan(p_value)
    if known.any():
        q_value[known] = false_discovery_control(p_value[known])
    return table.assign(null_low=low, null_median=middle, null_high=high, p_value=p_value, q_value=q_value)


def _score_wanted(model, target, n):
    """Return the model to run and what to make of its output: values (n,), or weights (n, n_scores) of the scores."""
    values = None if isinstance(target, dict) else np.asarray(target)
    if values is not None and values.dtype.kind == "f":
        if values.shape != (n,):
            raise ValueError(f"target: got floats of shape {values.shape}; give one value for each of the {n} images")
        return model, values
    scoring = logits_model(model)
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


def _read(scoring, found, shapes, parts, images, batch_size, with_scores):
    """Run the network over the images, as far as needed.

    Returns
    -------
    blocks : list of ndarray, shape (channels, N, pixels)
        For each part.
    reached : ndarray, shape (N, ...), or None
        What the network put out, if the scores are wanted.
    """
    blocks = [
        np.empty((channels.stop - channels.start, len(images), prod(shapes[name][:-1])), np.float32)
        for name, channels in parts
    ]
    wanted, reached = [found[name] for name in dict(parts)], []
    for batch in tqdm(batches(len(images), batch_size), desc="activations", leave=False, delay=2):
        output, recorded = forward(scoring, images[batch], wanted, whole=with_scores)
        if with_scores:
            reached.append(keras.ops.convert_to_numpy(output))
        for block, (name, channels) in zip(blocks, parts, strict=True):
            values = to_numpy(recorded[found[name]][..., channels])
            block[:, batch] = np.moveaxis(values.reshape(len(values), -1, len(block)), -1, 0)
    return blocks, np.concatenate(reached) if with_scores else None


def _shapes(found, scoring, image):
    """Return the shape of what each layer puts out for one image, by name."""
    _, recorded = forward(scoring, image, found.values(), whole=False)
    shapes = {name: tuple(recorded[layer].shape[1:]) for name, layer in found.items()}
    for name, shape in shapes.items():
        if len(shape) not in (1, 3):
            raise ValueError(
                f"layers: {name!r} puts out shape {shape} for an image; give (height, width, channels), or (n,)"
            )
    return shapes


def _kernels(layer, n_channels):
    """Return channel, mean_weight and reverse of the kernel that makes the channels of a layer."""
    table = pd.DataFrame({"channel": np.arange(n_channels), "mean_weight": np.nan, "reverse": pd.NA})
    made_by = kernel_before(layer)
    if made_by is not None:
        table["mean_weight"] = channel_kernels(made_by).mean(axis=0)
        table["reverse"] = table["mean_weight"] < 0
    return table.astype({"reverse": "boolean"})


def _claim(folder, data, settings):
    """Note in a folder what its results are of; refuse the folder if it holds others."""
    claim = {name: _digest(values) for name, values in data.items()} | json.loads(json.dumps(settings, default=int))
    path = Path(folder) / "ranking.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, lambda new: new.write_text(json.dumps(claim, indent=2) + "\n"))
    before = json.loads(path.read_text())
    differs = [name for name in claim if before.get(name) != claim[name]]
    if differs:
        raise ValueError(f"folder: {folder} holds results with other {' and '.join(differs)}; give another folder")


def _digest(arrays):
    """Return the SHA-256 of an array, or of a list of arrays."""
    sha256 = hashlib.sha256()
    for array in arrays if isinstance(arrays, list) else [arrays]:
        sha256.update(f"{array.dtype} {array.shape}".encode())
        sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def _read_table(folder, name):
    path = None if folder is None else _layer_file(folder, name)
    return pd.read_parquet(path) if path is not None and path.exists() else None


def _write_table(folder, name, table):
    if folder is not None:
        _replace(_layer_file(folder, name), table.to_parquet)


def _layer_file(folder, name):
    return Path(folder) / f"{name.replace('/', '--')}.parquet"


def _replace(path, write):
    """Write a file beside its place, then move it there: an interrupted run leaves no half of a file."""
    beside = path.with_name(path.name + ".part")
    write(beside)
    os.replace(beside, path)


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


def _check_options(n, statistic, n_permutations, n_bootstrap, held_out, seed, n_jobs):
    least = MIN_OBSERVATIONS * (2 if held_out else 1)
    if n < least:
        raise ValueError(f"images: got {n}; ACE smooths, give at least {least}{' (two halves)' if held_out else ''}")
    _names(statistic)
    for name, value in {"n_permutations": n_permutations, "n_bootstrap": n_bootstrap, "seed": seed}.items():
        if not _is_whole(value):
            raise ValueError(f"{name}: got {value}; give 0 or a positive whole number")
    if held_out and n_bootstrap:
        raise ValueError("n_bootstrap: an image drawn twice could be in both halves; give 0 with held_out=True")
    if n_jobs is not None and not (_is_whole(n_jobs) and n_jobs > 0):
        raise ValueError(f"n_jobs: got {n_jobs}; give a positive whole number, or None")


def _n_components(n_components, n, n_pixels, held_out):
    """Return how many components to take, or refuse the number."""
    n = n // 2 if held_out else n
    if n_components == "half":
        return max(1, min(n, n_pixels) // 2)
    if not _is_whole(n_components) or not 1 <= n_components < n:
        raise ValueError(
            f"n_components: got {n_components!r}; {n} images{' in each half' if held_out else ''} allow 1 to {n - 1}, "
            'or "half"'
        )
    return min(n_components, n_pixels)


def _is_whole(value):
    """Tell whether a value is a whole number, and not negative."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0


def _check_finite(maps):
    if not np.isfinite(maps).all():
        images = np.flatnonzero(~np.isfinite(maps).all(axis=(0, 2)))
        raise ValueError(f"activations: values that are not finite, in {len(images)} images (first: image {images[0]})")


def _names(statistic):
    names = [statistic] if isinstance(statistic, str) else list(statistic)
    if not names or any(name not in STATISTICS for name in names) or len(set(names)) < len(names):
        raise ValueError(f"statistic: got {statistic!r}; give one or some of {', '.join(STATISTICS)}")
    return names


def _n_jobs(n_jobs):
    """Return the number of jobs for joblib: None where its context decides."""
    if n_jobs is not None:
        return n_jobs
    backend, n = joblib.parallel.get_active_backend(prefer="threads")
    chosen = n not in (None, 1) or not isinstance(backend, joblib.parallel.ThreadingBackend)
    return None if chosen else numba.config.NUMBA_NUM_THREADS
