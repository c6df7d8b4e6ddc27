"""Intervals and chance levels: each computation of the book has its one home here."""

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid
from scipy.stats import binomtest, rankdata

LEVEL = [2.5, 97.5]  # of a 95 % interval


def wilson_interval(successes, n):
    """Return shares with their 95 % intervals (Wilson), as a table: share, low, high, a row for each count."""
    counts = np.atleast_1d(successes).astype(int)
    intervals = [binomtest(int(count), n).proportion_ci(method="wilson") for count in counts]
    low, high = ([getattr(interval, end) for interval in intervals] for end in ("low", "high"))
    return pd.DataFrame({"share": counts / n, "low": low, "high": high})


def area_under_curve(x, y):
    """Return the area under a curve divided by the length of x: the mean height, by trapezoids."""
    return trapezoid(y, x) / (x[-1] - x[0])


def percentile_interval(samples, axis=0):
    """Return the ends of the middle 95 % of samples (bootstrap percentiles), NaN left out."""
    return np.nanpercentile(samples, LEVEL, axis=axis)


def permutation_p_value(value, null, two_sided=True, axis=0):
    """Return (1 + number of permutations at least as far from 0 as a value) / (1 + number of permutations)."""
    value, null = (np.abs(value), np.abs(null)) if two_sided else (np.asarray(value), np.asarray(null))
    return (1 + (null >= value - 1e-12).sum(axis=axis)) / (1 + null.shape[axis])


def correlation_matrices(samples, method="spearman"):
    """Return the correlations between the columns of each sample.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n, n_columns)
    method : "spearman" or "pearson"

    Returns
    -------
    ndarray, shape (n_samples, n_columns, n_columns)
        NaN where a column is constant.
    """
    values = rankdata(samples, axis=1) if method == "spearman" else samples
    centred = values - values.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    constant = size <= 1e-12 * np.abs(values).max(axis=1, keepdims=True)
    unit = centred / np.where(constant, np.nan, size)
    return np.einsum("sni,snj->sij", unit, unit)
