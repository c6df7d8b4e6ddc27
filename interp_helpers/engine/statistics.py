"""Intervals and chance levels: each computation of the book has its one home here.

>>> wilson_interval([0, 45], 50).round(3).to_numpy().tolist()
[[0.0, 0.0, 0.071], [0.9, 0.786, 0.957]]
"""

from math import comb

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid
from scipy.stats import binomtest, rankdata

from interp_helpers.engine.checks import check_choice, check_count

LEVEL = [2.5, 97.5]  # of a 95 % interval


def wilson_interval(successes, n):
    """Return shares with their 95 % intervals (Wilson), as a table: share, low, high, a row for each count."""
    counts = np.atleast_1d(successes).astype(int)
    intervals = [binomtest(int(count), int(n)).proportion_ci(method="wilson") for count in counts]
    low, high = ([getattr(interval, end) for interval in intervals] for end in ("low", "high"))
    return pd.DataFrame({"share": counts / n, "low": low, "high": high})


def area_under_curve(x, y):
    """Return the area under a curve divided by the length of x: the mean height, by trapezoids."""
    return trapezoid(y, x) / (x[-1] - x[0])


def percentile_interval(samples, axis=0):
    """Return the ends of the middle 95 % of samples (bootstrap percentiles), NaN left out."""
    return np.nanpercentile(samples, LEVEL, axis=axis)


def permutation_p_value(value, null, two_sided=True, axis=0):
    """Return (1 + number of permutations at least as far from 0 as a value) / (1 + number of permutations).

    The null holds the values of the permutations, along `axis`; one-sided, those at least as large as the value count.
    """
    value, null = (np.abs(value), np.abs(null)) if two_sided else (np.asarray(value), np.asarray(null))
    return (1 + (null >= value - 1e-12).sum(axis=axis)) / (1 + null.shape[axis])


def resampled(statistic, values, n_bootstrap, n_permutations, seed=0, permuted=slice(None)):
    """Compute a statistic with an interval from bootstrap samples, and a chance level from permutations.

    The statistic takes samples (n_samples, n, n_columns) of the values (n, n_columns), whose rows are the sample, to
    numbers (n_samples, ...); NaN where a sample has none. The columns `permuted` are permuted, each in an order of its
    own.

    Returns a dict of arrays: value; low and high (95 % interval, bootstrap percentiles); chance (95 % of the absolute
    values under permutation lie below); p (two-sided). All NaN where the value is.
    """
    values, rng = np.asarray(values), np.random.default_rng(check_count("seed", seed, 0))
    n, n_bootstrap = len(values), check_count("n_bootstrap", n_bootstrap)
    null = np.tile(values, (check_count("n_permutations", n_permutations), 1, 1))
    value = statistic(values[None])[0]
    samples = statistic(values[rng.integers(0, n, (n_bootstrap, n))])
    null[..., permuted] = rng.permuted(null[..., permuted], axis=1)
    null, unknown = statistic(null), np.isnan(value)
    samples[:, unknown] = 0  # would warn otherwise; is NaN below
    low, high = percentile_interval(samples)
    limits = {"low": low, "high": high, "chance": np.percentile(np.abs(null), 95, axis=0)}
    limits["p"] = permutation_p_value(value, null)
    return {"value": value} | {name: np.where(unknown, np.nan, limit) for name, limit in limits.items()}


def correlation_matrices(samples, method="spearman"):
    """Return the correlations, "spearman" or "pearson", between the columns of each sample (n_samples, n, n_columns).

    They have shape (n_samples, n_columns, n_columns), and are NaN where a column is constant.
    """
    check_choice("method", method, ("spearman", "pearson"))
    values = rankdata(samples, axis=1) if method == "spearman" else samples
    centred = values - values.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    constant = size <= 1e-12 * np.abs(values).max(axis=1, keepdims=True)
    unit = centred / np.where(constant, np.nan, size)
    return np.einsum("sni,snj->sij", unit, unit)


def area_under_roc(rank_sum, size, n):
    """Return the probability that a member of a group has a larger value than another one; equal values count half.

    The sum of the ranks of the members is counted from 1/2 (Mann and Whitney); n are members and others together. Of
    cells that belong to the group in part, the size is the sum of the parts.
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where all or none are members
        return (rank_sum - size**2 / 2) / (size * (n - size))


def largest_gap_p_value(gap, n):
    """Return the probability that the largest of n gaps between random values is as wide as a share of their range.

    Stevens (1939): the sum over j > 0 of (-1)^(j + 1) C(n, j) max(0, 1 - j gap)^(n - 1). Its terms may be huge and
    cancel, so the sum is taken in whole numbers.
    """
    wide, whole = float(gap).as_integer_ratio()
    terms = ((-1) ** (j + 1) * comb(n, j) * max(0, whole - j * wide) ** (n - 1) for j in range(1, n + 1))
    return min(1.0, sum(terms) / whole ** (n - 1))
