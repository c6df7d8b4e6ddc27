"""Compare notions of a channel's importance: how alike they rank, and what happens when one prunes by them.

Rankings come as tables of values, a row for each channel and a column for each ranking; a larger value means a more
important channel, and a channel without a value (NaN, as PCACE gives a dead one) is the least important.
"""

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.integrate import trapezoid
from scipy.stats import hypergeom, rankdata

from interp_helpers.engine.checks import check_labels
from interp_helpers.engine.gradients import map_gradients
from interp_helpers.engine.graph import (
    channel_kernels,
    find_layer,
    kernel_before,
    kernel_layer,
    logits_model,
    n_outputs,
    spatial_layer,
)
from interp_helpers.engine.hooks import activations, batches
from interp_helpers.variation import vary_channel, without_channels


def rank_correlations(table, method="spearman", n_bootstrap=1000, n_permutations=1000, seed=0):
    """Correlate every pair of rankings over the channels, with an interval and a chance level.

    The channels are the sample. Both coefficients are taken between the *values* of the two rankings, channel by
    channel; never between lists of channel numbers sorted by value, whose correlation depends on how the channels
    happen to be numbered.

    Parameters
    ----------
    table : pandas.DataFrame, shape (n_channels, n_rankings)
        Channels without a value in some column are left out of all.
    method : "spearman" or "pearson"
    n_bootstrap : int
        Samples of channels for the interval.
    n_permutations : int
        Random assignments of one ranking's values to the channels.
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row for each pair: first, second (columns of `table`), correlation, low, high (95 % interval, bootstrap
        percentiles), chance (95 % of the absolute correlations under permutation lie below), p (two-sided), n
        (channels). A ranking that gives all channels the same value has no correlation: NaN.

    Raises
    ------
    ValueError
        If the method is unknown, if there are fewer than two rankings, two of one name, something that is no number,
        or fewer than six channels with all values; if a number of draws is not positive.
    """
    if method not in ("spearman", "pearson"):
        raise ValueError(f"method: got {method!r}; give 'spearman' or 'pearson'")
    _check_counts(n_bootstrap=n_bootstrap, n_permutations=n_permutations)
    table = _checked_table(table).dropna()
    n, n_rankings = table.shape
    if n_rankings < 2 or n < 6:
        raise ValueError(f"table: {n_rankings} rankings of {n} channels with all values; give two or more, and six")
    values, rng = table.to_numpy(), np.random.default_rng(seed)
    measured = _correlations(values[None], method)[0]
    samples = _correlations(values[rng.integers(0, n, (n_bootstrap, n))], method)
    samples[:, np.isnan(measured)] = 0  # what has no correlation gets no interval, below
    low, high = np.nanpercentile(samples, [2.5, 97.5], axis=0)
    dealt = rng.permuted(np.tile(values, (n_permutations, 1, 1)), axis=1)  # every column in an order of its own
    null = np.abs(_correlations(dealt, method))
    p = (1 + (null >= np.abs(measured) - 1e-12).sum(axis=0)) / (n_permutations + 1)
    chance = np.percentile(null, 95, axis=0)
    rows = []
    for i, j in zip(*np.triu_indices(n_rankings, 1), strict=True):
        known = np.isfinite(measured[i, j])
        limits = (low[i, j], high[i, j], chance[i, j], p[i, j]) if known else (np.nan,) * 4
        rows.append((table.columns[i], table.columns[j], measured[i, j], *limits, n))
    columns = ["first", "second", "correlation", "low", "high", "chance", "p", "n"]
    return pd.DataFrame(rows, columns=columns)


def enrichment(table, marked, k=5, n_permutations=10_000, seed=0):
    """Test whether marked channels are more frequent among the top k of rankings than a random draw would have them.

    For one ranking the number of marked channels in a random top k is hypergeometric. For several rankings of the
    same channels together it is no sum of independent draws, because rankings that resemble each other count the same
    channels again: there the marks are dealt out to the channels at random, which keeps the rankings as they are.

    Parameters
    ----------
    table : pandas.DataFrame, shape (n_channels, n_rankings)
        Larger is better; equal values are put in a random order.
    marked : ndarray of bool, shape (n_channels,)
    k : int
    n_permutations : int
        For the row of all rankings.
    seed : int
        For the permutations, and for equal values.

    Returns
    -------
    pandas.DataFrame
        One row for each ranking, and a last one named "all": ranking, found (marked channels in the top k), expected,
        at_least_one (probability of one or more in a random top k; NaN for all), p (probability of as many or more).

    Raises
    ------
    ValueError
        If `marked` does not have one truth value for each channel, or if k is not between 1 and their number; if a
        ranking is named "all", or has values for fewer than k channels.
    """
    table = _checked_table(table)
    n_channels, marked = len(table), np.asarray(marked)
    if marked.dtype != bool or marked.shape != (n_channels,):
        raise ValueError(f"marked: got {marked.dtype} of shape {marked.shape}; give {n_channels} truth values")
    if not isinstance(k, int | np.integer) or not 1 <= k <= n_channels:
        raise ValueError(f"k: got {k}; give a whole number from 1 to {n_channels}")
    _check_counts(n_permutations=n_permutations)
    if "all" in table.columns:
        raise ValueError("table: 'all' is the name of the row of all rankings; give the ranking another one")
    if (table.notna().sum() < k).any():
        raise ValueError(f"k: got {k}; ranking {table.notna().sum().idxmin()!r} has values for fewer channels")
    rng = np.random.default_rng(seed)
    top = np.zeros(table.shape, int)
    for column, values in zip(top.T, table.to_numpy(float).T, strict=True):
        column[np.lexsort((rng.random(n_channels), -values))[:k]] = 1
    found, chance = marked @ top, hypergeom(n_channels, marked.sum(), k)
    rows = pd.DataFrame({"ranking": table.columns, "found": found, "expected": chance.mean()})
    rows = rows.assign(at_least_one=chance.sf(0), p=chance.sf(found - 1))
    dealt = rng.permuted(np.tile(marked, (n_permutations, 1)), axis=1) @ top.sum(axis=1)
    p = (1 + (dealt >= found.sum()).sum()) / (n_permutations + 1)
    rows.loc[len(rows)] = ["all", found.sum(), chance.mean() * table.shape[1], np.nan, p]
    return rows.astype({"found": int})


def importance(model, layer, images, labels, ideal=None, seed=0, batch_size=100):
    """Compute the cheap notions of a channel's importance, for every class from the images of that class.

    ========================  ========================================================================================
    kill, gradient, noise     mean absolute change of the true class's score (`perturbation.vary_channel`, on
                              activations; Casacuberta Puig 2019, section 4.2)
    removal                   share of the images that turn wrong without the channel, minus share that turn right
                              (Bau et al. 2020)
    gradient x activation     mean absolute value of the sum over the map of activation times slope of the score
    Taylor                    the same with the slope of the loss, as a mean over the map (`taylor_scores`)
    selectivity               mean activation on the class against that on the others (`class_selectivity`)
    kernel norm               sum of the absolute weights of the kernel that makes the channel, for ``relu1`` that of
                              ``conv1`` (`kernel_norms`); the same for all classes; NaN if there is none
    mean activation           over the map and the images
    ideal mean, ideal max     of the map on the ideal image of the class (Casacuberta et al. 2021, section 5)
    ========================  ========================================================================================

    Parameters
    ----------
    model : keras.Model
    layer : str
        Name of the layer with the maps, for example ``"relu1"``.
    images : ndarray, shape (N, height, width, channels), float
    labels : ndarray of N ints
        At least two classes.
    ideal : ndarray, shape (n_classes, height, width, channels), optional
        An ideal image for each class that occurs, in order of class; without it the last two columns are missing.
    seed : int
        For the noise.
    batch_size : int

    Returns
    -------
    pandas.DataFrame
        One row for each class and channel: class, channel, and a column for each notion. The mean over the classes is
        the notion over all images if all classes have equally many; for the selectivity of Morcos et al. (2018), take
        the maximum over the classes.

    Raises
    ------
    ValueError
        If there is no such layer, or if images, labels or ideal images do not fit.
    """
    labels = _checked_labels(model, images, labels)
    classes = _two_classes(labels)
    found = spatial_layer(model, layer)
    n_channels, behind = found.output.shape[-1], kernel_before(found)
    if ideal is not None and np.shape(ideal) != (len(classes), *np.shape(images)[1:]):
        expected = (len(classes), *np.shape(images)[1:])
        raise ValueError(f"ideal: got shape {np.shape(ideal)}; give {expected}, an image for each class")
    before = np.concatenate([logits_model(model)(images[p], training=False) for p in batches(len(images), batch_size)])
    every = vary_channel(model, layer, images, None, "kill", batch_size=batch_size)["change"].to_numpy()
    every = every.reshape(n_channels, *before.shape)
    right, left = before.argmax(axis=1) == labels, (before + every).argmax(axis=2) == labels
    own = np.arange(len(labels))
    by_image = {"kill": np.abs(every[:, own, labels]), "removal": right.astype(float) - left}
    for method in ("gradient", "noise"):
        change = vary_channel(model, layer, images, labels, method, seed=seed, batch_size=batch_size)["change"]
        by_image[method] = np.abs(change.to_numpy().reshape(n_channels, -1))
    maps, slopes = map_gradients(model, images, labels, layer)
    by_image["gradient x activation"] = np.abs((maps * slopes).sum(axis=(1, 2))).T
    by_image["Taylor"] = taylor_scores(model, layer, images, labels, batch_size).T
    by_image["mean activation"] = maps.mean(axis=(1, 2)).T
    ideal_maps = None if ideal is None else activations(model, ideal, layer)
    tables = []
    for i, k in enumerate(classes):
        table = {name: values[:, labels == k].mean(axis=1) for name, values in by_image.items()}
        table["selectivity"] = class_selectivity(maps, labels, k)["selectivity"]
        table["kernel norm"] = np.nan if behind is None else _norms(behind)
        if ideal is not None:
            table["ideal mean"], table["ideal max"] = ideal_maps[i].mean(axis=(0, 1)), ideal_maps[i].max(axis=(0, 1))
        tables.append(pd.DataFrame({"class": k, "channel": np.arange(n_channels), **table}))
    return pd.concat(tables, ignore_index=True)


def class_selectivity(maps, labels, target=None):
    """Compare each channel's mean activation on the class that it prefers with that on the other classes.

    The index is (m - r) / (m + r), with m the mean activation on the class and r the mean of those on the others: 1 for
    a channel that answers one class only, 0 for one that treats it as the others (Morcos et al. 2018, section 2.3).

    Parameters
    ----------
    maps : ndarray, shape (N, ..., channels)
        Not negative, as after a ReLU.
    labels : ndarray of N ints
        Of at least two classes.
    target : int, optional
        The class; by default the one with the largest mean activation, for each channel.

    Returns
    -------
    pandas.DataFrame
        One row for each channel: channel, class, selectivity (NaN for a channel that is 0 everywhere).

    Raises
    ------
    ValueError
        If there are images of one class only, if `target` is not among the classes, if an activation is negative, or
        if the lengths differ.
    """
    maps, labels = np.asarray(maps), np.asarray(labels)
    if maps.ndim < 2 or labels.shape != maps.shape[:1]:
        raise ValueError(f"labels: got shape {labels.shape} for maps of shape {maps.shape}; give one for each image")
    classes = _two_classes(labels)
    if target is not None and target not in classes:
        raise ValueError(f"target: got {target}; there are images of {', '.join(map(str, classes))}")
    if not maps.min() >= 0:
        raise ValueError(f"maps: the lowest value is {maps.min()}; give activations that are not negative")
    level = maps.reshape(len(maps), -1, maps.shape[-1]).mean(axis=1, dtype=float)
    means = np.stack([level[labels == k].mean(axis=0) for k in classes])
    chosen = means.argmax(axis=0) if target is None else np.full(means.shape[1], list(classes).index(target))
    own = means[chosen, np.arange(means.shape[1])]
    others = (means.sum(axis=0) - own) / (len(classes) - 1)
    with np.errstate(invalid="ignore"):
        index = (own - others) / (own + others)
    return pd.DataFrame({"channel": np.arange(len(own)), "class": classes[chosen], "selectivity": index})


def kernel_norms(model, layer):
    """Return the sum of the absolute weights of each channel's kernel, the pruning criterion of Li et al. (2017).

    Parameters
    ----------
    model : keras.Model
    layer : str
        Name of a layer with a kernel whose last axis are the channels.

    Returns
    -------
    ndarray, shape (channels,)

    Raises
    ------
    ValueError
        If there is no such layer, or if it has no kernel.
    """
    return _norms(kernel_layer(model, layer))


def taylor_scores(model, layer, images, labels, batch_size=100):
    """Foretell by the gradient how much the loss changes when a channel is removed (Molchanov et al. 2017).

    For every image the absolute value of the mean, over the map, of activation times slope of the loss (cross-entropy).

    Parameters
    ----------
    model : keras.Model
        With two or more scores.
    layer : str
        A layer with maps.
    images : ndarray, shape (N, height, width, channels), float
    labels : ndarray of N ints
    batch_size : int

    Returns
    -------
    ndarray, shape (N, channels)
        The criterion is the mean over the images.

    Raises
    ------
    ValueError
        If there is no such layer, or if images or labels do not fit the model or each other.
    """
    labels = _checked_labels(model, images, labels)
    spatial_layer(model, layer)

    def loss(part):
        return lambda reached: tf.nn.sparse_softmax_cross_entropy_with_logits(labels[part], reached)

    parts = []
    for part in batches(len(images), batch_size):
        maps, slopes = map_gradients(model, images[part], loss(part), layer, batch_size=batch_size)
        parts.append(np.abs((maps * slopes).mean(axis=(1, 2))))
    return np.concatenate(parts)


def shapley_values(value, n_players, n_permutations=50, seed=0):
    """Estimate Shapley values by sampling permutations: what a player adds, on average, to those that came before.

    Every permutation is used a second time backwards (antithetic sampling). Along each one the contributions add up to
    value(all) - value(none) exactly, so the estimates do as well (Shapley 1953; for channels Ghorbani and Zou 2020).

    Parameters
    ----------
    value : callable
        Takes sets of players as truth values, shape (n_sets, n_players), and returns their values, shape (n_sets,), or
        (n_sets, q) for q values at once. Every set is asked for once.
    n_players : int
    n_permutations : int
        Even, at least 4.
    seed : int

    Returns
    -------
    shapley, error : ndarray, shape (n_players,) or (n_players, q)
        Estimates, and their standard errors from the scatter of the pairs of permutations. The error is that of
        sampling permutations, not that of the images behind the values.

    Raises
    ------
    ValueError
        If a number is too small, or if the values have another shape or are not finite.
    """
    _check_counts(n_players=n_players)
    if not isinstance(n_permutations, int | np.integer) or n_permutations < 4 or n_permutations % 2:
        raise ValueError(f"n_permutations: got {n_permutations}; give an even number, at least 4")
    rng = np.random.default_rng(seed)
    forward = np.stack([rng.permutation(n_players) for _ in range(n_permutations // 2)])
    orders = np.stack([forward, forward[:, ::-1]])  # (2, pairs, players)
    came = orders.argsort(axis=-1)  # when each player comes
    kept = came[..., None, :] < np.arange(n_players + 1)[:, None]  # (2, pairs, players + 1, players)
    sets, where = np.unique(kept.reshape(-1, n_players), axis=0, return_inverse=True)
    values = np.asarray(value(sets), float)
    if values.shape[:1] != (len(sets),) or values.ndim > 2 or not np.isfinite(values).all():
        raise ValueError(f"value: got shape {values.shape} for {len(sets)} sets; return a finite number for each")
    along = values[where.ravel()].reshape(*kept.shape[:3], -1)
    added = np.take_along_axis(np.diff(along, axis=2), came[..., None], axis=2)  # (2, pairs, players, q)
    pairs = added.mean(axis=0)
    shape = (n_players,) if values.ndim == 1 else (n_players, values.shape[1])
    error = pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))
    return pairs.mean(axis=0).reshape(shape), error.reshape(shape)


def value_of_channels(model, layer, images, labels, batch_size=100):
    """Return the value function of `shapley_values` for channels: accuracy and score with only some of them kept.

    Parameters
    ----------
    model, layer, images, labels, batch_size
        As in `perturbation.without_channels`.

    Returns
    -------
    callable
        From truth values (n_sets, channels) to (n_sets, 2): accuracy, and mean score of the true class.

    Raises
    ------
    ValueError
        As in `perturbation.without_channels`, when it is called.
    """

    def value(kept):
        removed = [tuple(np.flatnonzero(~row).tolist()) for row in np.asarray(kept, bool)]
        return _measured(model, layer, images, labels, removed, batch_size)[["accuracy", "score"]].to_numpy()

    return value


def removal_curves(model, layer, images, labels, table, n_random=20, seed=0, batch_size=100):
    """Remove the channels of a layer one after another in the order of each ranking, and measure what is left.

    Parameters
    ----------
    model : keras.Model
    layer : str
        Name of the layer whose channels are set to zero, for example ``"relu1"``.
    images : ndarray, shape (N, height, width, channels), float
    labels : ndarray of N ints
    table : pandas.DataFrame, shape (channels, n_rankings)
        Larger is better; equal values in order of the rows.
    n_random : int
        Random orders, to compare with; the same for the same seed.
    seed : int
    batch_size : int

    Returns
    -------
    pandas.DataFrame
        One row for each ranking, order and number of channels removed: ranking ("random" for the random orders), order
        ("best first", "worst first", or the number of the random order), removed (0 to all), accuracy, low, high (95 %
        interval, Wilson), score (mean score of the true class).

    Raises
    ------
    ValueError
        If the table does not have a row for each channel, or as `perturbation.without_channels`.
    """
    table = _checked_table(table)
    n_channels = find_layer(model, layer).output.shape[-1]
    if len(table) != n_channels:
        raise ValueError(f"table: {len(table)} rows; {layer!r} has {n_channels} channels")
    if "random" in table.columns:
        raise ValueError("table: 'random' is the name of the random orders; give the ranking another one")
    if not isinstance(n_random, int | np.integer) or n_random < 0:
        raise ValueError(f"n_random: got {n_random}; give a whole number, 0 or more")
    rng, lines = np.random.default_rng(seed), []
    for name, order in zip(table.columns, _best_first(table).T, strict=True):
        lines += [(name, "best first", order), (name, "worst first", order[::-1])]
    lines += [("random", str(i), rng.permutation(n_channels)) for i in range(n_random)]
    steps = [tuple(sorted(order[:n].tolist())) for _, _, order in lines for n in range(n_channels + 1)]
    rows = _measured(model, layer, images, labels, steps, batch_size)
    named = [(name, end, n) for name, end, _ in lines for n in range(n_channels + 1)]
    named = pd.DataFrame(named, columns=["ranking", "order", "removed"])
    return named.join(rows[["accuracy", "low", "high", "score"]])


def removal_areas(curves):
    """Sum up each removal curve by the area under it, and say where it lies among those of the random orders.

    Parameters
    ----------
    curves : pandas.DataFrame
        Rows of `removal_curves`, with random orders.

    Returns
    -------
    pandas.DataFrame
        One row for each ranking and order, the random ones left out: ranking, order; for accuracy and score each the
        area (mean over the steps, trapezoids; named as the measure) and `below_...` (share of the random orders whose
        area is smaller: near 0 for "best first" and near 1 for "worst first" if the ranking knows what matters).

    Raises
    ------
    ValueError
        If a column or a value is missing, if there is no random order, if curves have different lengths or one step.
    """
    missing = {"ranking", "order", "removed", "accuracy", "score"} - set(curves.columns)
    if missing or not (curves["ranking"] == "random").any():
        raise ValueError(f"curves lacks {sorted(missing) or 'random orders'}; give rows of removal_curves")
    groups = curves.sort_values("removed").groupby(["ranking", "order"], sort=False)
    if groups["removed"].agg(tuple).nunique() != 1:
        raise ValueError("curves: they have different steps; give whole curves, each once")
    if curves[["removed", "accuracy", "score"]].isna().any(axis=None) or curves["removed"].nunique() < 2:
        raise ValueError("curves: a value is missing, or there is one step only; give whole curves")
    areas = groups[["accuracy", "score"]].agg(lambda y: trapezoid(y) / (len(y) - 1))
    areas = areas.reset_index()
    is_random = areas["ranking"] == "random"
    chance, rows = areas[is_random], areas[~is_random].reset_index(drop=True)
    for measure in ("accuracy", "score"):
        rows[f"below_{measure}"] = [(chance[measure] < area).mean() for area in rows[measure]]
    return rows


def _norms(layer):
    return np.abs(channel_kernels(layer)).sum(axis=0)


def _correlations(values, method):
    """Return the matrix of correlations of each sample, shape (n_samples, n_rankings, n_rankings)."""
    if method == "spearman":
        values = rankdata(values, axis=1)
    centred = values - values.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    constant = size <= 1e-12 * np.abs(values).max(axis=1, keepdims=True)
    unit = centred / np.where(constant, np.nan, size)
    return np.einsum("sni,snj->sij", unit, unit)


def _best_first(table):
    """Return the order of the channels of each ranking, best first, shape (channels, n_rankings); NaN comes last."""
    return np.argsort(-table.to_numpy(), axis=0, kind="stable")


def _measured(model, layer, images, labels, removed, batch_size):
    """Measure accuracy and score for sets of removed channels (tuples in order), each set once; one row for each."""
    sets = sorted(set(removed) - {()})
    rows = without_channels(model, layer, images, labels, sets, batch_size)
    place = {group: row for row, group in enumerate([(), *sets])}
    return rows.iloc[[place[group] for group in removed]].reset_index(drop=True)


def _checked_table(table):
    if not isinstance(table, pd.DataFrame) or table.empty or table.columns.duplicated().any():
        raise ValueError("table: give a DataFrame with a row for each channel and a named column for each ranking")
    wrong = [str(name) for name in table.columns if table[name].dtype.kind not in "iuf"]
    if wrong or np.isinf(table.to_numpy(float)).any():
        raise ValueError(f"table: {', '.join(wrong) or 'a value'} is not numeric or not finite; give finite numbers")
    return table.astype(float)


def _checked_labels(model, images, labels):
    if n_outputs(model) < 2:
        raise ValueError(f"model: {model.name!r} has one score; give a network with a score for each class")
    return check_labels(labels, len(images), n_outputs(model))


def _two_classes(labels):
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"labels: all images are of class {', '.join(map(str, classes))}; give images of two or more")
    return classes


def _check_counts(**counts):
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"{name}: got {count}; give a positive whole number")
