"""Compare importance measures of channels: how alike they rank, and what happens when channels are removed by them.

Rankings come as tables of values, a row for each channel and a column for each ranking; a larger value means a more
important channel, and a channel without a value (NaN, as PCACE gives a dead one) is the least important.

>>> table = pd.DataFrame({"kill": [4, 1, 3, 2, 6, 5.0], "norm": [5, 2, 1, 3, 6, 4.0]})
>>> rank_correlations(table)[["first", "second", "correlation"]].round(2).to_numpy().tolist()
[['kill', 'norm', 0.77]]
"""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.stats import hypergeom

from interp_helpers.engine.checks import check_array, check_count, check_images, check_labels, check_model, check_table
from interp_helpers.engine.gradients import map_gradients
from interp_helpers.engine.graph import (
    channel_kernels,
    find_layer,
    kernel_before,
    logits_model,
    n_outputs,
    spatial_layer,
)
from interp_helpers.engine.hooks import activations, batches, forward, to_numpy
from interp_helpers.engine.statistics import area_under_curve, correlation_matrices, permutation_p_value, resampled
from interp_helpers.variation import vary_channel, without_channels


def rank_correlations(table, method="spearman", n_bootstrap=1000, n_permutations=1000, seed=0):
    """Correlate every pair of rankings over the channels, with an interval and a chance level.

    Correlated are the *values* of the two rankings, channel by channel ("spearman" or "pearson"); never lists of
    channel numbers sorted by value, whose correlation depends on how the channels happen to be numbered. Channels
    without a value in some column are left out of all; at least six must be left.

    Returns a DataFrame, one row for each pair: first, second (columns of `table`), correlation, low, high (95 %
    interval over bootstrap samples of channels), chance (95 % of the absolute correlations under permutation lie
    below), p (two-sided), n (channels). A ranking that gives all channels the same value has no correlation: NaN.
    """
    table = _checked_table(table).dropna()
    n, n_rankings = table.shape
    if n_rankings < 2 or n < 6:
        raise ValueError(f"table: {n_rankings} rankings of {n} channels with all values; give two or more, and six")
    statistic = partial(correlation_matrices, method=method)
    found = resampled(statistic, table.to_numpy(), n_bootstrap, n_permutations, seed)
    pairs = np.triu_indices(n_rankings, 1)
    rows = dict(zip(("first", "second"), (table.columns[pair] for pair in pairs), strict=True))
    rows["correlation"] = found.pop("value")[pairs]
    return pd.DataFrame(rows | {name: values[pairs] for name, values in found.items()} | {"n": n})


def enrichment(table, members, k=5, n_permutations=10_000, seed=0):
    """Test whether members of a group are more frequent among the top k of rankings than in a random draw.

    The table has shape (n_channels, n_rankings); larger is better, equal values are put in a random order, and each
    ranking has values for k channels or more. `members` are truth values, one for each channel. For one ranking the
    number of members in a random top k is hypergeometric. Several rankings of the same channels are no independent
    draws: there the membership is permuted over the channels, which keeps the rankings as they are.

    Returns a DataFrame, one row for each ranking, and a last one named "all": ranking, found (members in the top k),
    expected, at_least_one (probability of one or more in a random top k; NaN for all), p (probability of as many or
    more).
    """
    table = _checked_table(table, "all")
    n_channels, members = len(table), check_array("members", members, (len(table),))
    if members.dtype != bool:
        raise ValueError(f"members: got {members.dtype}; give {n_channels} truth values")
    k, n_permutations = check_count("k", k, 1, n_channels), check_count("n_permutations", n_permutations)
    if (table.notna().sum() < k).any():
        raise ValueError(f"k: got {k}; ranking {table.notna().sum().idxmin()!r} has values for fewer channels")
    rng = np.random.default_rng(check_count("seed", seed, 0))
    top = np.zeros(table.shape, int)
    for column, values in zip(top.T, table.to_numpy().T, strict=True):
        column[np.lexsort((rng.random(n_channels), -values))[:k]] = 1
    found, chance = members @ top, hypergeom(n_channels, members.sum(), k)
    rows = pd.DataFrame({"ranking": table.columns, "found": found, "expected": chance.mean()})
    rows = rows.assign(at_least_one=chance.sf(0), p=chance.sf(found - 1))
    null = rng.permuted(np.tile(members, (n_permutations, 1)), axis=1) @ top.sum(axis=1)
    p = permutation_p_value(found.sum(), null, two_sided=False)
    rows.loc[len(rows)] = ["all", found.sum(), chance.mean() * table.shape[1], np.nan, p]
    return rows.astype({"found": int})


def importance(model, layer, images, labels, ideal=None, seed=0, batch_size=100):
    """Compute the cheap importance measures of the channels of a layer, for every class from the images of that class.

    ========================  ========================================================================================
    kill, gradient, noise     mean absolute change of the true class's logit (`variation.vary_channel`, on activations;
                              Casacuberta Puig 2019, section 4.2)
    removal                   share of the images that turn wrong without the channel, minus share that turn right
                              (Bau et al. 2020)
    gradient x activation     mean absolute value of the sum over the map of activation times slope of the logit
    Taylor                    first-order change of the loss (cross-entropy): mean absolute value of the mean over the
                              map of activation times slope of the loss (Molchanov et al. 2017)
    selectivity               (m - r) / (m + r), m the mean activation on the class and r the mean of those on the
                              others (Morcos et al. 2018, section 2.3); NaN for a channel that is 0 everywhere, and
                              with a warning for a layer with negative activations
    kernel norm               sum of the absolute weights of the kernel that makes the channel, for ``relu1`` that of
                              ``conv1`` (Li et al. 2017); the same for all classes; NaN if there is none
    mean activation           over the map and the images
    ideal mean, ideal max     of the map on the ideal image of the class (Casacuberta et al. 2021, section 5)
    ========================  ========================================================================================

    Returns a DataFrame, one row for each class and channel: class, channel, and a column for each measure. With equally
    many images of each class, means over the classes are over all images; Morcos et al. (2018) take the largest
    selectivity. The ideal images, one for each class that occurs, in order of class, may be left out; then the last two
    columns are missing. The rest is as in `variation.without_channels`, with two classes or more.
    """
    if n_outputs(model := check_model(model)) < 2:
        raise ValueError(f"model: {model.name!r} has one logit; give a network with a logit for each class")
    images = check_images(model, images)
    labels = check_labels(labels, len(images), n_outputs(model))
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"labels: all images are of class {classes[0]}; give images of two or more")
    found, of_ideal = spatial_layer(model, layer), _on_ideal(model, layer, ideal, (len(classes), *images.shape[1:]))
    maps, by_image = _by_image(model, layer, images, labels, seed, batch_size)
    columns = {name: [values[:, labels == k].mean(axis=1) for k in classes] for name, values in by_image.items()}
    columns["selectivity"], makes = _class_selectivity(maps, labels), kernel_before(found)
    norms = np.nan if makes is None else np.abs(channel_kernels(makes)).sum(axis=0)
    shape = len(classes), maps.shape[-1]
    columns |= {"kernel norm": np.broadcast_to(norms, shape), **of_ideal}
    rows = {"class": np.repeat(classes, shape[1]), "channel": np.tile(np.arange(shape[1]), shape[0])}
    return pd.DataFrame(rows | {name: np.ravel(values) for name, values in columns.items()})


def shapley_values(value, n_players, n_permutations=50, seed=0):
    """Estimate Shapley values by sampling permutations: what a player adds, on average, to those that came before.

    Every permutation is used a second time backwards (antithetic sampling), so the number of permutations is even, and
    at least 4. Contributions add up to value(all) - value(none) along each, so the estimates do as well (Shapley 1953;
    for channels Ghorbani and Zou 2020).

    The value function takes sets of players as truth values, shape (n_sets, n_players), and returns their values, shape
    (n_sets,), or (n_sets, q) for q values at once. Every set is asked for once. Returned are the estimates, shape
    (n_players,) or (n_players, q), and their standard errors from the scatter of the pairs of permutations; the error
    of sampling images is not in them.
    """
    n_players = check_count("n_players", n_players)
    if check_count("n_permutations", n_permutations, 4) % 2:
        raise ValueError(f"n_permutations: got {n_permutations}; give an even number, at least 4")
    rng = np.random.default_rng(check_count("seed", seed, 0))
    forwards = np.stack([rng.permutation(n_players) for _ in range(n_permutations // 2)])
    orders = np.stack([forwards, forwards[:, ::-1]])  # (2, pairs, players)
    step = orders.argsort(axis=-1)  # at which each player comes
    kept = step[..., None, :] < np.arange(n_players + 1)[:, None]  # (2, pairs, players + 1, players)
    sets, where = np.unique(kept.reshape(-1, n_players), axis=0, return_inverse=True)
    values = np.asarray(value(sets), float)
    if values.shape[:1] != (len(sets),) or values.ndim > 2 or not np.isfinite(values).all():
        raise ValueError(f"value: got shape {values.shape} for {len(sets)} sets; return a finite number for each")
    along = values[where.ravel()].reshape(*kept.shape[:3], -1)
    added = np.take_along_axis(np.diff(along, axis=2), step[..., None], axis=2)  # (2, pairs, players, q)
    pairs = added.mean(axis=0)
    shape = (n_players, *values.shape[1:])
    error = pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))
    return pairs.mean(axis=0).reshape(shape), error.reshape(shape)


def value_of_channels(model, layer, images, labels, batch_size=100):
    """Return the value function of `shapley_values` for channels: what a network does with only some of them kept.

    It takes truth values (n_sets, channels) and returns (n_sets, 2): accuracy, and mean logit of the true class. The
    arguments are those of `variation.without_channels`.
    """
    n_channels = find_layer(check_model(model), layer).output.shape[-1]

    def value(kept):
        kept = check_array("kept", kept, ("n_sets", n_channels)).astype(bool)
        removed = [tuple(np.flatnonzero(~row).tolist()) for row in kept]
        return _without(model, layer, images, labels, removed, batch_size)[["accuracy", "score"]].to_numpy()

    return value


def removal_curves(model, layer, images, labels, table, n_random=20, seed=0, batch_size=100):
    """Remove the channels of a layer one after another in the order of each ranking, and measure what is left.

    The arguments are those of `variation.without_channels`, and a table of shape (channels, n_rankings): larger is
    better, equal values in order of the rows. `n_random` random orders are there to compare with.

    Returns a DataFrame, one row for each ranking, order and number of channels removed: ranking ("random" for the
    random orders), order ("best first", "worst first", or the number of the random order), removed (0 to all),
    accuracy, low, high (95 % interval, Wilson), score (mean logit of the true class).
    """
    table, n_channels = _checked_table(table, "random"), find_layer(check_model(model), layer).output.shape[-1]
    if len(table) != n_channels:
        raise ValueError(f"table: {len(table)} rows; {layer!r} has {n_channels} channels")
    rng, lines = np.random.default_rng(check_count("seed", seed, 0)), []
    best_first = np.argsort(-table.to_numpy(), axis=0, kind="stable")  # NaN comes last
    for name, order in zip(table.columns, best_first.T, strict=True):
        lines += [(name, "best first", order), (name, "worst first", order[::-1])]
    lines += [("random", str(i), rng.permutation(n_channels)) for i in range(check_count("n_random", n_random, 0))]
    removed = [tuple(sorted(order[:n].tolist())) for _, _, order in lines for n in range(n_channels + 1)]
    rows = _without(model, layer, images, labels, removed, batch_size)
    named = [(name, end, n) for name, end, _ in lines for n in range(n_channels + 1)]
    return pd.DataFrame(named, columns=["ranking", "order", "removed"]).join(rows[["accuracy", "low", "high", "score"]])


def removal_areas(curves):
    """Sum up each removal curve by the area under it, and say where it lies among those of the random orders.

    Takes whole curves of `removal_curves`, with random orders. Returns a DataFrame, one row for each ranking and order,
    the random ones left out: ranking, order; for accuracy and score each the area (mean over the steps, trapezoids;
    named as the measure) and `below_...` (share of the random orders whose area is smaller: near 0 for "best first" and
    near 1 for "worst first" if the ranking knows what matters).
    """
    check_table(curves, ["ranking", "order", "removed", "accuracy", "score"], "curves")
    if not (curves["ranking"] == "random").any():
        raise ValueError("curves: there are no random orders; give rows of removal_curves with n_random above 0")
    groups = curves.sort_values("removed").groupby(["ranking", "order"], sort=False)
    if groups["removed"].agg(tuple).nunique() != 1:
        raise ValueError("curves: they have different steps; give whole curves, each once")
    steps = np.unique(curves["removed"])
    if curves[["removed", "accuracy", "score"]].isna().any(axis=None) or len(steps) < 2:
        raise ValueError("curves: a value is missing, or there is one step only; give whole curves")
    areas = groups[["accuracy", "score"]].agg(lambda heights: area_under_curve(steps, heights)).reset_index()
    is_random = areas["ranking"] == "random"
    chance, rows = areas[is_random], areas[~is_random].reset_index(drop=True)
    for measure in ("accuracy", "score"):
        rows[f"below_{measure}"] = [(chance[measure] < area).mean() for area in rows[measure]]
    return rows


def _by_image(model, layer, images, labels, seed, batch_size):
    """Return the feature maps of a layer, and the measures that are means over images: (channels, N) for each."""
    parts = batches(len(images), batch_size)
    before = np.concatenate([to_numpy(forward(logits_model(model), images[part])[0]) for part in parts])
    every = vary_channel(model, layer, images, None, "kill", batch_size=batch_size)["change"].to_numpy()
    every = every.reshape(-1, *before.shape)
    right, left = before.argmax(axis=1) == labels, (before + every).argmax(axis=2) == labels
    by_image = {"kill": np.abs(every[:, np.arange(len(labels)), labels]), "removal": right.astype(float) - left}
    for method in ("gradient", "noise"):
        change = vary_channel(model, layer, images, labels, method, seed=seed, batch_size=batch_size)["change"]
        by_image[method] = np.abs(change.to_numpy().reshape(len(every), -1))
    maps, slopes = map_gradients(model, images, labels, layer, batch_size=batch_size)
    by_image["gradient x activation"] = np.abs((maps * slopes).sum(axis=(1, 2))).T
    by_image["Taylor"] = _taylor_scores(model, layer, images, labels, batch_size).T
    return maps, by_image | {"mean activation": maps.mean(axis=(1, 2)).T}


def _taylor_scores(model, layer, images, labels, batch_size):
    """Return how much the loss changes without a channel, to first order, as a mean over the map: (N, channels)."""
    scores = []
    for part in batches(len(images), batch_size):
        loss = partial(tf.nn.sparse_softmax_cross_entropy_with_logits, labels[part])
        maps, slopes = map_gradients(model, images[part], loss, layer, batch_size=batch_size)
        scores.append(np.abs((maps * slopes).mean(axis=(1, 2))))
    return np.concatenate(scores)


def _class_selectivity(maps, labels):
    """Return the selectivity of each channel for each class, (classes, channels); NaN if there are negative values."""
    if maps.min() < 0:
        warnings.warn("selectivity: NaN, because it is not defined for negative activations", stacklevel=3)
        return np.full((len(np.unique(labels)), maps.shape[-1]), np.nan)
    level = maps.reshape(len(maps), -1, maps.shape[-1]).mean(axis=1, dtype=float)
    own = np.stack([level[labels == k].mean(axis=0) for k in np.unique(labels)])
    others = (own.sum(axis=0) - own) / (len(own) - 1)
    with np.errstate(invalid="ignore"):
        return (own - others) / (own + others)


def _on_ideal(model, layer, ideal, shape):
    """Return mean and maximum of the maps on ideal images, (classes, channels) for each."""
    if ideal is None:
        return {}
    if (ideal := check_images(model, ideal, "ideal")).shape != shape:
        raise ValueError(f"ideal: got shape {ideal.shape}; give {shape}, an image for each class")
    maps = activations(model, ideal, layer)
    return {"ideal mean": [m.mean(axis=(0, 1)) for m in maps], "ideal max": [m.max(axis=(0, 1)) for m in maps]}


def _without(model, layer, images, labels, removed, batch_size):
    """Measure accuracy and score for sets of removed channels (tuples in order), each set once; one row for each."""
    sets = sorted(set(removed) - {()}) or [()]
    rows = without_channels(model, layer, images, labels, sets, batch_size)
    row_of = {group: row for row, group in enumerate([(), *sets])}
    return rows.iloc[[row_of[group] for group in removed]].reset_index(drop=True)


def _checked_table(table, reserved=None):
    """Return a table of rankings as floats; refuse a name that the result needs for a row of its own."""
    wrong = [str(name) for name in check_table(table).columns if table[name].dtype.kind not in "iuf"]
    if wrong or np.isinf(table.to_numpy(float)).any():
        raise ValueError(f"table: {', '.join(wrong) or 'a value'} is not numeric or not finite; give finite numbers")
    if reserved in table.columns:
        raise ValueError(f"table: {reserved!r} names other rows of the result; give the ranking another name")
    return table.astype(float)
