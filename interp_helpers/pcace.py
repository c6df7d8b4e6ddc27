"""PCACE: principal components of a channel's feature maps, then the maximal correlation of the class score with them.

For each channel the maps of m images are standardized pixel by pixel and reduced to a few principal components (PCA);
alternating conditional expectations (ACE, `interp_helpers.ace`) then look for the transforms of the score and of the
components that correlate most. The result, from 0 to 1, is compared with what permuted scores give.

Casacuberta Puig, S. (2019). Interpretability of convolutional neural networks (tutorial), section 5.2.
Casacuberta, S., Suel, E. and Flaxman, S. (2021). PCACE: a statistical approach to ranking neurons for CNN
interpretability. arXiv:2112.15571.

>>> import numpy as np
>>> shown = np.random.default_rng(0).normal(size=(50, 2))  # one number for each of 50 images and two channels
>>> table = pcace(shown, scores=shown[:, 1] ** 2)
>>> table["pcace"].round(2).tolist(), table["rank"].tolist()
([0.65, 1.0], [2.0, 1.0])
"""

import hashlib
import io
import json
import os
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from math import prod
from urllib.parse import quote
from uuid import uuid4

import joblib
import numba
import numpy as np
import pandas as pd
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackError, eigsh
from scipy.stats import false_discovery_control
from threadpoolctl import ThreadpoolController
from tqdm.auto import tqdm

from interp_helpers.ace import MIN_OBSERVATIONS, ace, ace_many
from interp_helpers.engine.checks import (
    check_array,
    check_channels,
    check_choice,
    check_count,
    check_folder,
    check_images,
    check_labels,
    check_model,
    check_number,
)
from interp_helpers.engine.graph import (
    all_layers,
    channel_kernels,
    check_channels_last,
    find_layer,
    kernel_before,
    logits_model,
    n_outputs,
)
from interp_helpers.engine.hooks import batches, forward, memory_passes, to_numpy
from interp_helpers.engine.statistics import permutation_p_value

_STATISTICS = ("multiple", "first", "first_absolute")
_MIN_EIGENVALUE = 1e-12  # share of the largest: what is below is rounding
_MIN_VARIATION = 1e-6  # standard deviation of a pixel, as a share of its largest value: what is below is rounding
_CACHE_LINE = 16  # numbers that a processor reads at once
_BLOCK = 1024  # pixels standardized at a time
_MOST = 1 - 1e-9  # a correlation of 1 has no finite Fisher transform
_CLEAR = 1.645  # standard errors by which a channel is clearly higher than another: one-sided, 5 %


def pcace(
    activations, scores,
    n_components=10, statistic="multiple", n_permutations=0, n_splits=0, held_out=False, seed=0, n_jobs=None,
):  # fmt: skip
    """Measure how strongly each channel of a layer is related to a score.

    Returns a DataFrame, one row for each statistic and channel: statistic, channel, pcace, null_low, null_median,
    null_high (quantiles of 5, 50 and 95 % over the permutations), p_value, q_value (Benjamini and Hochberg's, over the
    channels), rank (1 for the highest value), rank_low, rank_high (95 % interval), dead (all maps the same: no value).
    NaN where something was not asked for, or dead.

    The value is fitted to the images it is computed on, so noise has a high one, too: compare with `null_high`, or take
    `held_out`. Where there is a relation, a monotone transform of the scores changes the value little. Images have to
    be different ones: each given twice makes noise look like a relation. The smallest p-value is 1 / (1 +
    n_permutations), so one channel of many has a q-value below 0.05 only if there are more than 20 permutations for
    each channel.

    Parameters
    ----------
    activations : array_like, shape (m, height, width, channels), or (m, channels) for channels of one number
        What the layer outputs for m images (at least 10), from any framework, channels last.
    scores : array_like, shape (m,); what the channels are to explain: the logit of a class, a predicted value
    n_components : int or "half"
        Principal components: at most m - 1, and at most height * width. The tutorial takes 10; "half" is the rule of
        the paper as we read it, half of the smaller of m and height * width. Channels of lower rank use what they have.
    statistic : "multiple", "first" or "first_absolute", or a sequence of these
        Multiple: corr(theta(y), sum of phi), the maximal multiple correlation. First: corr(theta(y), phi_1), which is
        what the tutorial's code computes; its absolute value is what the paper's does.
    n_permutations : int; how often the scores are permuted for the chance level, in the same ways for all channels
    n_splits : int; how often the images are split into halves for the interval of the rank; 50 will do
    held_out : bool
        Find components and transforms on one half of the images, correlate on the other, and the other way round; the
        mean is taken. Without relation the expectation is 0, not the null median.
    n_jobs : int, optional
        Channels worked on at once. By default threads, as many as numba has (``NUMBA_NUM_THREADS``); inside
        ``joblib.parallel_config`` whatever that says (the workers of a Dask cluster). The numbers do not depend on it.
    """
    options = n_components, statistic, n_permutations, n_splits, held_out, seed, n_jobs
    maps, work = _checked(activations, scores, options)
    return _table(_measured(maps, work), work)


def group_pcace(
    activations, scores, groups,
    n_components=10, statistic="multiple", n_permutations=0, n_splits=0, held_out=False, seed=0, n_jobs=None,
):  # fmt: skip
    """Measure how strongly each group of channels, taken together, is related to a score.

    The maps of a group's channels are laid side by side before the principal components are taken, so a large group
    deserves more components. The groups are a dict from names to channels, at least one and each once; the rest is as
    in `pcace`, and in its table the columns group (name) and channels (tuple) take the place of channel.
    """
    options = n_components, statistic, n_permutations, n_splits, held_out, seed, n_jobs
    maps, work = _checked(activations, scores, options)
    if not isinstance(groups, dict) or not groups:
        raise ValueError(f"groups: got {groups!r}; give a dict from names to the channels of each")
    groups = {name: tuple(check_channels(list(one), len(maps), "groups")) for name, one in groups.items()}
    if any(len(set(one)) < len(one) for one in groups.values()):
        raise ValueError(f"groups: got {groups}; give each channel of a group once")
    together = (np.moveaxis(maps[list(one)], 1, 0).reshape(1, work.n_images, -1) for one in groups.values())
    table = _table([one for group in together for one in _measured(group, work)], work)
    names, channels = (dict(enumerate(part)) for part in (groups, groups.values()))
    table.insert(2, "channels", table["channel"].map(channels))
    return table.assign(channel=table["channel"].map(names)).rename(columns={"channel": "group"})


def rank_channels(
    model, layers, images, target,
    n_components=10, statistic="multiple", n_permutations=100, n_splits=0, held_out=False, seed=0, n_jobs=None,
    max_memory=1.0, batch_size=100, folder=None,
):  # fmt: skip
    """Rank the channels of layers of a network by how strongly they are related to a class score.

    Returns a DataFrame: the columns of `pcace` after layer, and before mean_weight and reverse (of the kernel that
    makes the channel; NaN if there is none). Ranks and q-values are those within the layer.

    Parameters
    ----------
    layers : str or sequence of str; with channels last, (N, height, width, channels) or (N, channels)
    images : ndarray, shape (N, height, width, channels), float; several hundred, usually of one class
    target : int, sequence or dict
        The score to be explained: of a class; of each image's own class (N ints: a mixed set); the mean of some classes
        (a list shorter than N) or a weighted mean (dict from class to weight); N values of your own (floats).
    n_components, statistic, n_permutations, n_splits, held_out, seed, n_jobs : as in `pcace`
    max_memory : float; gigabytes that the activations may take, else the network runs several times
    folder : path, optional
        Where to keep the result of each layer, as Parquet (needs pyarrow): an interrupted run goes on with the first
        layer that is missing. A folder of another network, other images or settings, or an altered file, is refused.
    """
    model, names = check_model(model), [layers] if isinstance(layers, str) else list(layers)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"layers: got {names}; give the names of different layers, at least one")
    found = {name: find_layer(model, name) for name in names}
    check_channels_last(all_layers(model).values())
    images = check_images(model, images)
    work = _Work(len(images), n_components, statistic, n_permutations, n_splits, held_out, seed, n_jobs)
    scoring, wanted = _score_wanted(model, target, len(images))
    check_number("max_memory", max_memory, 0, open_low=True)
    shapes = _shapes(found, scoring, images[:1])
    for shape in shapes.values():
        work.components_of(prod(shape[:-1]))  # refuses too many of them
    keep = None if folder is None else _claimed(folder, model, images, wanted, work)
    tables = {name: _read_table(keep, name) for name in names}
    missing = {name: shapes[name] for name in names if tables[name] is None}
    for name, rows in _ranked(scoring, wanted, found, missing, images, batch_size, max_memory, work):
        kernels = _kernels(found[name], shapes[name][-1])
        tables[name] = rows.merge(kernels, on="channel", validate="many_to_one")
        tables[name].insert(0, "layer", name)
        _write_table(keep, name, tables[name])
    return pd.concat([tables[name] for name in names], ignore_index=True)


def components(activations, n_components=10):
    """Compute the leading principal components of the standardized maps of each channel; parameters as in `pcace`.

    Returns an ndarray, shape (channels, m, n_components): scores of the images on the components, the one of largest
    variance first; zero beyond the rank of a channel. The sign of each is such that the score of largest magnitude is
    positive.

    Each pixel is centred and divided by its standard deviation over the images; a constant one becomes 0. The
    components come from the eigenvectors of the smaller of the two Gram matrices, images by images or pixels by pixels.
    """
    maps = _by_channel(activations)
    p = _checked_components(n_components, maps.shape[1], maps.shape[2])
    tasks = (joblib.delayed(_principal)(channel, p) for channel in _one_by_one(maps))
    with _one_blas_thread():
        return np.stack([x for x, _ in joblib.Parallel(numba.config.NUMBA_NUM_THREADS, require="sharedmem")(tasks)])


@dataclass(frozen=True)
class _Work:
    """What is to be done with the maps of every channel, checked; small, so that it can be sent to another machine."""

    n_images: int
    n_components: int | str
    statistic: str | tuple
    n_permutations: int
    n_splits: int
    held_out: bool
    seed: int
    n_jobs: int | None
    y: np.ndarray | None = None

    def __post_init__(self):
        for name in ("n_permutations", "n_splits", "seed"):
            check_count(name, getattr(self, name), least=0)
        if self.n_jobs is not None:
            check_count("n_jobs", self.n_jobs)
        check_choice("held_out", self.held_out, (False, True))
        if self.held_out and self.n_splits:
            raise ValueError("n_splits: halves of a half are too few; give 0 with held_out=True")
        least, why = (2 * MIN_OBSERVATIONS, " (two halves)") if self.halved else (MIN_OBSERVATIONS, "")
        if self.n_images < least:
            raise ValueError(f"images: got {self.n_images}; ACE smooths, give at least {least}{why}")
        if not self.statistics or len(set(self.statistics)) < len(self.statistics):
            raise ValueError(f"statistic: got {self.statistic!r}; give one or some of {', '.join(_STATISTICS)}")
        for name in self.statistics:
            check_choice("statistic", name, _STATISTICS)

    @property
    def statistics(self):
        return list(self.statistic) if isinstance(self.statistic, tuple | list) else [self.statistic]

    @property
    def halved(self):
        return bool(self.held_out or self.n_splits)

    def components_of(self, n_pixels):
        """Return how many components a channel is reduced to."""
        if self.n_components == "half" and self.n_splits:
            raise ValueError('n_components: got "half"; too many for half of the images, give a smaller whole number')
        return _checked_components(self.n_components, self.n_images, n_pixels, self.halved)


def _checked(activations, scores, options):
    """Return activations as (channels, m, pixels) and the work that is to be done with them."""
    maps = _by_channel(activations)
    work = _Work(maps.shape[1], *options)
    work.components_of(maps.shape[2])
    return maps, replace(work, y=_checked_scores(scores, maps.shape[1]))


def _by_channel(activations):
    shape = ("images", "channels") if np.ndim(activations) == 2 else ("images", "height", "width", "channels")
    activations = check_array("activations", activations, shape)
    return np.moveaxis(activations.reshape(len(activations), -1, activations.shape[-1]), -1, 0)


def _checked_scores(scores, n):
    y = check_array("scores", scores, (n,)).astype(float)
    if np.ptp(y) == 0:
        raise ValueError(f"scores: all are {y[0]:g}; there is nothing to explain")
    return y


def _checked_components(n_components, n, n_pixels, halved=False):
    n = n // 2 if halved else n
    if isinstance(n_components, str) and n_components == "half":
        return max(1, min(n, n_pixels) // 2)
    return min(check_count('n_components (or "half")', n_components, most=n - 1), n_pixels)


def _measured(maps, work, desc="PCACE"):
    """Measure every channel of maps (channels, m, pixels) in parallel; return what `_measure` does, in order."""
    if work.held_out:
        fit, new = _halves(work.n_images, work.seed)
        if np.ptp(work.y[fit]) == 0 or np.ptp(work.y[new]) == 0:
            raise ValueError("held_out: the scores of one half are all the same; give another seed or more images")
    # a tuple: joblib would scatter a bare array to one worker of a cluster, and lose it with that worker
    tasks = (joblib.delayed(_measure)((channel, work)) for channel in _one_by_one(maps))
    # one thread of BLAS in each of ours: the same sums in the same order, however many of ours there are
    with _one_blas_thread():
        n_jobs, (backend, n) = work.n_jobs, joblib.parallel.get_active_backend(prefer="threads")
        if n_jobs is None and n in (None, 1) and isinstance(backend, joblib.parallel.ThreadingBackend):
            n_jobs = numba.config.NUMBA_NUM_THREADS  # else joblib's context has chosen
        found = joblib.Parallel(n_jobs, prefer="threads", return_as="generator")(tasks)
        return list(tqdm(found, total=len(maps), desc=desc, leave=False, delay=2, mininterval=0.5))


def _one_by_one(maps):
    """Yield the maps of each channel (m, pixels), contiguous: where channels come last, to read one is to read all."""
    if maps.flags.c_contiguous:
        yield from maps
        return
    for start in range(0, len(maps), _CACHE_LINE):
        together = np.empty((len(maps[start : start + _CACHE_LINE]), *maps.shape[1:]), maps.dtype)
        for image in range(maps.shape[1]):  # small enough for the processor's cache
            together[:, image] = maps[start : start + _CACHE_LINE, image]
        yield from together


_blas = cache(ThreadpoolController)  # looking for the libraries takes a millisecond, setting them does not


def _one_blas_thread():
    """Limit the linear algebra of NumPy and SciPy to one thread while inside."""
    return _blas().limit(limits=1, user_api="blas")


def _measure(task):
    """Reduce the maps of one channel and relate them to the scores.

    Return a dict: multiple and first, shape (1 + n_permutations,), the first with the scores as they are;
    halves_multiple and halves_first, shape (2 * n_splits,), two halves beside each other; dead.
    """
    maps, work = task
    rng = np.random.default_rng(work.seed)
    ys = np.stack([work.y, *(rng.permutation(work.y) for _ in range(work.n_permutations))])
    halves = [half for _ in range(work.n_splits) for half in _split(work.y, rng)]
    with _one_blas_thread():
        if work.held_out:
            return _measure_held_out(maps, ys, work)
        x, _ = _principal(maps, work.components_of(maps.shape[1]))
    found = ace_many(x[None], ys, threads=1)
    measured = {"multiple": found.multiple[0], "first": found.first[0], "dead": not x.any()}
    if halves:
        again = ace_many(x[halves], work.y[halves][:, None], threads=1)
        for name in ("multiple", "first"):
            measured[f"halves_{name}"] = getattr(again, name)[:, 0]
    return measured


def _measure_held_out(maps, ys, work):
    """Find components and transforms on one half, correlate on the other, both ways round; return the means."""
    halves, p = _halves(work.n_images, work.seed), work.components_of(maps.shape[1])
    values = []
    for fit, new in (halves, halves[::-1]):
        x_fit, x_new = _principal(maps[fit], p, maps[new])
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
    blocks = (_standardized(every[:, start : start + _BLOCK], n) for start in range(0, n_pixels, _BLOCK))
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
    maps *= np.divide(1, sd, out=np.zeros(len(sd)), where=sd > _MIN_VARIATION)
    return maps


def _leading(gram, p):
    """Return the largest p eigenvalues, 0 for what is rounding, and their vectors."""
    n = len(gram)
    size = np.sort(np.diag(gram))
    alike = (np.diff(size) <= 1e-12 * size[1:]).any()  # images with equal maps: LAPACK's rounding decides their order
    found = None if alike or n < max(200, 20 * p) else _lanczos(gram, p)
    values, vectors = found or eigh(gram, subset_by_index=(n - p, n - 1), overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    return np.where(values > _MIN_EIGENVALUE * max(values[0], 0), values, 0), vectors


def _lanczos(gram, p):
    """Return the largest p eigenvalues, ascending, and their vectors, by ARPACK's Lanczos method; None if in doubt.

    A third of the time of LAPACK. It may miss one of several equal eigenvalues; whether it did, Cholesky's
    decomposition of what is left of the matrix tells (single precision is enough for that).
    """
    start = np.random.default_rng(0).standard_normal(len(gram))
    try:  # one more: where two are equal, the vectors are LAPACK's choice
        values, vectors = eigsh(gram, p + 1, which="LA", v0=start, ncv=4 * p)
        if np.diff(values).min() < 1e-6 * values[-1]:
            return None
        values, vectors = values[1:], vectors[:, 1:]
        rest = ((vectors * values) @ vectors.T - gram).astype(np.float32)
        rest[np.diag_indices_from(rest)] += values[0] + 1e-5 * values[-1]
        np.linalg.cholesky(rest)
    except (ArpackError, np.linalg.LinAlgError):
        return None
    return values, vectors


def _halves(n, seed):
    """Divide n images into halves; the one image too many of an odd number is left out."""
    order = np.random.default_rng([seed, 1]).permutation(n)
    return order[: n // 2], order[n // 2 : 2 * (n // 2)]


def _split(y, rng):
    """Draw two halves of the images, until not all scores of one are the same."""
    for _ in range(1000):
        rows = rng.permutation(len(y))[: 2 * (len(y) // 2)].reshape(2, -1)
        if np.ptp(y[rows], axis=1).all():
            return rows
    raise ValueError("n_splits: the scores are all the same in one half or the other; give 0")


def _table(measured, work):
    """Return the table of `pcace` for what `_measure` found of each channel."""
    tables = []
    for name in work.statistics:
        values = _statistic(measured, name)
        table = _with_chance(values[:, 0], values[:, 1:])
        table["rank"] = table["pcace"].rank(ascending=False)
        table["rank_low"] = table["rank_high"] = np.nan
        if work.n_splits:
            table["rank_low"], table["rank_high"] = _rank_interval(values[:, 0], _statistic(measured, name, "halves_"))
        table["dead"] = [bool(channel["dead"]) for channel in measured]
        table.insert(0, "statistic", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _statistic(measured, name, prefix=""):
    values = np.stack([channel[prefix + name.removesuffix("_absolute")] for channel in measured])
    return np.abs(values) if name == "first_absolute" else values


def _rank_interval(value, halves):
    """Return the lowest and the highest rank of values (channels,), from those of halves (channels, 2 * n_splits).

    The interval leaves out the channels that are clearly higher or lower: by more than 1.645 standard errors of the
    difference, on Fisher's scale (arctanh). Two halves of the images are independent, so half of what their values
    differ by varies as the value of all images does. Percentiles of ranks in bootstrap samples would say nothing:
    images drawn twice make all values high and nearly equal.
    """
    value, halves = (np.arctanh(np.clip(values, -_MOST, _MOST)) for values in (value, halves))
    apart = pd.DataFrame((halves[:, ::2] - halves[:, 1::2]).T / 2)  # varies as the value of all images does
    n = apart.notna().astype(float)
    products = apart.fillna(0).T @ apart.fillna(0) / (n.T @ n)
    products = products.to_numpy()
    variance = np.diag(products)[:, None] + np.diag(products) - 2 * products
    margin = _CLEAR * np.sqrt(np.maximum(variance, 0)) + 1e-12
    known, higher = ~np.isnan(value), value - value[:, None]  # the channel of the column less that of the row
    low, high = 1 + (higher > margin).sum(axis=1), known.sum() - (higher < -margin).sum(axis=1)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def _with_chance(value, null):
    """Return values (channels,) beside what permuted scores gave (channels, permutations)."""
    table = pd.DataFrame({"channel": np.arange(len(value)), "pcace": value})
    none = np.full(len(value), np.nan)
    n = null.shape[1]
    # the quantile of "weibull" is that which a further permutation exceeds with the probability that it names
    low, middle, high = np.quantile(null, [0.05, 0.5, 0.95], axis=1, method="weibull") if n else (none, none, none)
    p_value, q_value = none, none.copy()
    if n:
        reaching = np.where(np.isnan(null), np.inf, null)  # what could not be computed counts against the channel
        p_value = permutation_p_value(value, reaching.T, two_sided=False)
        p_value = np.where(np.isnan(value), np.nan, p_value)
    known = ~np.isnan(p_value)
    if known.any():
        q_value[known] = false_discovery_control(p_value[known])
    return table.assign(null_low=low, null_median=middle, null_high=high, p_value=p_value, q_value=q_value)


def _score_wanted(model, target, n):
    """Return the model to run and what to make of its output: values (n,), or weights (n, n_logits) of the logits."""
    values = None if isinstance(target, dict) else np.asarray(target)
    if values is not None and values.dtype.kind == "f":
        return model, check_array("target", values, (n,))
    n_logits = n_outputs(model)
    weights = np.zeros((n, n_logits))
    if values is not None and values.shape == (n,):
        weights[np.arange(n), check_labels(values, n, n_logits, "target")] = 1
        return logits_model(model), weights
    if np.ndim(list(target) if values is None else values) > 1:
        raise ValueError(f"target: got {target!r}; give a class, {n} classes or values, or classes with weights")
    chosen = check_channels(list(target) if values is None else values.tolist(), n_logits, "target")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"target: got {target!r}; give different classes, or {n} (one for each image)")
    share = np.full(len(chosen), 1.0)
    if values is None:
        share = check_array("target", list(target.values()), (len(chosen),)).astype(float)
    weights[:, chosen] = share / np.abs(share).sum() if share.any() else 0
    return logits_model(model), weights


def _read(scoring, found, shapes, parts, images, batch_size, with_logits):
    """Run the network as far as needed; return a block (channels, N, pixels) for each part, and the logits."""
    sizes = [(part.stop - part.start, len(images), prod(shapes[name][:-1])) for name, part in parts]
    blocks = [np.empty(size, np.float32) for size in sizes]
    wanted, logits = [found[name] for name in dict(parts)], []
    for batch in tqdm(batches(len(images), batch_size), desc="activations", leave=False, delay=2):
        output, recorded = forward(scoring, images[batch], wanted, whole=with_logits)
        if with_logits:
            logits.append(to_numpy(output))
        for block, (name, channels) in zip(blocks, parts, strict=True):
            values = to_numpy(recorded[found[name]][..., channels])
            for row, image in enumerate(values.reshape(len(values), -1, len(block)), batch.start):
                block[:, row] = image.T  # image by image: small enough for the processor's cache
    return blocks, np.concatenate(logits) if with_logits else None


def _ranked(scoring, wanted, found, shapes, images, batch_size, max_memory, work):
    """Yield the name and the table of each layer as soon as all of its channels are measured."""
    measured = {name: [] for name in shapes}
    y = _checked_scores(wanted, len(images)) if wanted.ndim == 1 else None
    for parts in memory_passes(shapes, len(images), max_memory):
        blocks, logits = _read(scoring, found, shapes, parts, images, batch_size, with_logits=y is None)
        if y is None:
            y = _checked_scores((logits * wanted).sum(axis=1), len(images))
        for name, channels in parts:
            measured[name] += _measured(blocks.pop(0), replace(work, y=y), desc=name)
            if channels.stop == shapes[name][-1]:
                yield name, _table(measured.pop(name), work)


def _shapes(found, scoring, image):
    """Return the shape of what each layer outputs for one image, by name."""
    _, recorded = forward(scoring, image, found.values(), whole=False)
    shapes = {name: tuple(recorded[layer].shape[1:]) for name, layer in found.items()}
    for name, shape in shapes.items():
        if len(shape) not in (1, 3):
            raise ValueError(f"layers: {name!r} outputs shape {shape}; give (height, width, channels), or (channels,)")
    return shapes


def _kernels(layer, n_channels):
    """Return channel, mean_weight and reverse of the kernel that makes the channels of a layer."""
    table = pd.DataFrame({"channel": np.arange(n_channels), "mean_weight": np.nan, "reverse": pd.NA})
    made_by = kernel_before(layer)
    if made_by is not None:
        table["mean_weight"] = channel_kernels(made_by).mean(axis=0)
        table["reverse"] = table["mean_weight"] < 0
    return table.astype({"reverse": "boolean"})


def _claimed(folder, model, images, wanted, work):
    """Note in a folder what its results are of; refuse the folder if it holds others. Return the path and the note."""
    folder = check_folder(folder, exists=False)
    if find_spec("pyarrow") is None:
        raise ImportError("folder: tables are kept as Parquet, which needs pyarrow: pip install pyarrow")
    names = ("n_components", "statistic", "n_permutations", "n_splits", "held_out", "seed")
    settings = {name: getattr(work, name) for name in names} | {"statistic": work.statistics}
    architecture = json.dumps(_architecture(json.loads(model.to_json())), sort_keys=True)
    data = {"network": [architecture, *model.get_weights()], "images": [images], "target": [wanted]}
    claim = {name: _digest(*values) for name, values in data.items()} | settings
    claim = json.loads(json.dumps(claim, default=int))
    path = folder / "ranking.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _replace(path, (json.dumps(claim, indent=2) + "\n").encode())
    try:
        before = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"folder: {path} is damaged; delete it, and the folder is that of the next ranking") from error
    differs = [name for name in claim if before.get(name) != claim[name]]
    if differs:
        raise ValueError(f"folder: {folder} holds results with other {' and '.join(differs)}; give another folder")
    return folder, json.dumps(claim, sort_keys=True)


def _architecture(config):
    """Return the configuration of a model without what training alone needs: whether it is compiled, or frozen."""
    if isinstance(config, dict):
        skipped = ("compile_config", "trainable", "keras_version")
        return {key: _architecture(value) for key, value in config.items() if key not in skipped}
    return [_architecture(value) for value in config] if isinstance(config, list) else config


def _digest(*parts):
    """Return the SHA-256 of texts, bytes and arrays, each with its kind and length."""
    sha256 = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else part
        kind = len(part) if isinstance(part, bytes) else f"{part.dtype} {part.shape}"
        sha256.update(f"{kind} ".encode())
        sha256.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return sha256.hexdigest()


def _files(folder, name):
    """Return the paths of a layer's table and of its hash; different layers have different ones."""
    stem = quote(name, safe=" ")
    return folder / f"{stem}.parquet", folder / f"{stem}.sha256"


def _read_table(keep, name):
    """Return the table of a layer, None if there is none; refuse one that is not what was written for this ranking."""
    if keep is None or not (path := _files(keep[0], name)[0]).exists():
        return None
    content, hash_path = path.read_bytes(), _files(keep[0], name)[1]
    if not hash_path.exists() or hash_path.read_bytes().strip() != _digest(keep[1], name, content).encode():
        raise ValueError(f"folder: {path} is damaged, or of another ranking; delete it, and its layer is ranked again")
    return pd.read_parquet(io.BytesIO(content))


def _write_table(keep, name, table):
    """Write a table after its hash, which covers the layer's name and the note of the folder, too."""
    if keep is not None:
        path, hash_path = _files(keep[0], name)
        content = table.to_parquet()
        _replace(hash_path, f"{_digest(keep[1], name, content)}\n".encode())
        _replace(path, content)


def _replace(path, content):
    """Write a file beside its place, under a name of its own, then move it there: nobody reads half of a file."""
    beside = path.with_name(f".{uuid4().hex}.part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
