"""Intervals and chance levels against SciPy, scikit-learn, simulation, and counting."""

import numpy as np
import pytest
from scipy.stats import norm, pearsonr, spearmanr
from sklearn.metrics import roc_auc_score

from interp_helpers.engine.statistics import (
    area_under_curve,
    area_under_roc,
    correlation_matrices,
    largest_gap_p_value,
    percentile_interval,
    permutation_p_value,
    resampled,
    wilson_interval,
)

PAIRS = np.random.default_rng(0).normal(size=(5, 20, 2)).round(1)  # with ties


def test_wilson_by_its_formula():
    z, n, share = norm.ppf(0.975), 50, np.array([0, 0.2, 0.9])
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    table = wilson_interval(share * n, n)
    np.testing.assert_allclose(table, np.stack([share, middle - half, middle + half], axis=1), atol=1e-12)


def test_one_count_is_one_row():
    assert wilson_interval(3, 4)["share"].tolist() == [0.75]


def test_area_is_the_mean_height_also_for_uneven_steps():
    assert area_under_curve(np.array([1, 2, 4, 9]), np.array([2, 4, 8, 18])) == pytest.approx(10)
    assert area_under_curve(np.array([3, 1]), np.array([1, 0])) == 0.5


def test_percentiles_leave_nan_out():
    samples = np.append(np.arange(101.0), np.nan)
    assert percentile_interval(samples).tolist() == [2.5, 97.5]
    assert percentile_interval(np.stack([samples, samples]), axis=1).shape == (2, 2)


def test_p_value_by_counting():
    null = np.array([-3.0, -2, 0, 1, 2, 2 - 1e-15])
    assert permutation_p_value(2.0, null) == 5 / 7
    assert permutation_p_value(2.0, null, two_sided=False) == 3 / 7
    assert permutation_p_value(-9.0, null) == 1 / 7
    several = np.stack([null, 10 * null], axis=1)
    assert permutation_p_value(np.array([2.0, 2.0]), several).tolist() == [5 / 7, 6 / 7]
    assert permutation_p_value(np.array([2.0, 2.0])[:, None], several.T, axis=1).shape == (2,)


@pytest.mark.parametrize(("method", "other"), [("spearman", spearmanr), ("pearson", pearsonr)])
def test_correlations_are_those_of_scipy(method, other):
    found = correlation_matrices(PAIRS, method)
    for matrix, sample in zip(found, PAIRS, strict=True):
        assert matrix[0, 1] == matrix[1, 0] == pytest.approx(other(*sample.T).statistic)


def test_a_constant_has_no_correlation():
    samples = np.stack([np.arange(6.0), np.full(6, 0.1)], axis=1)[None]
    for method in ("spearman", "pearson"):
        assert np.isnan(correlation_matrices(samples, method)[0, 0, 1])
    with pytest.raises(ValueError, match="method: got 'kendall'"):
        correlation_matrices(samples, "kendall")


def correlation(samples):
    return correlation_matrices(samples)[:, 0, 1]


def test_resampled_by_hand():
    """The rows are drawn with replacement; for chance only the second column moves."""
    values, rng = PAIRS[0], np.random.default_rng(3)
    drawn = [spearmanr(*values[rng.integers(0, 20, 20)].T).statistic for _ in range(200)]
    mixed = [spearmanr(values[:, 0], rng.permuted(values[:, 1])).statistic for _ in range(100)]
    found = resampled(correlation, values, 200, 100, seed=3, permuted=slice(1, 2))
    assert found["value"] == pytest.approx(spearmanr(*values.T).statistic)
    assert [found["low"], found["high"]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert found["chance"] == pytest.approx(np.percentile(np.abs(mixed), 95))
    assert found["p"] == pytest.approx(permutation_p_value(found["value"], np.array(mixed)))


def test_what_has_no_value_has_no_interval():
    values = np.stack([np.arange(8.0), np.ones(8)], axis=1)
    assert all(np.isnan(number) for number in resampled(correlation, values, 20, 20).values())


def test_the_p_value_is_even_without_a_relation():
    rng = np.random.default_rng(0)
    p = [resampled(correlation, rng.normal(size=(12, 2)), 1, 99, seed)["p"] for seed in range(200)]
    np.testing.assert_allclose(np.percentile(p, [10, 50, 90]), [0.1, 0.5, 0.9], atol=0.08)


@pytest.mark.parametrize(
    ("name", "options"), [("n_bootstrap", (0, 5, 0)), ("n_permutations", (5, 0, 0)), ("seed", (5, 5, -1))]
)
def test_counts_are_checked(name, options):
    with pytest.raises(ValueError, match=f"{name}: got"):
        resampled(correlation, PAIRS[0], *options)


def test_area_under_roc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    values, members = rng.integers(0, 8, 40), rng.random(40) < 0.4
    ranks = (values[:, None] > values).sum(axis=1) + (values[:, None] == values).sum(axis=1) / 2
    found = area_under_roc(ranks[members].sum(), members.sum(), 40)
    assert found == pytest.approx(roc_auc_score(members, values))
    assert np.isnan(area_under_roc(np.float64(0), np.int64(0), 40))


def test_largest_of_two_gaps():
    """One random value between two ends: a gap is wider than x > 1/2 with probability 2 (1 - x)."""
    for x in (0.5, 0.6, 0.9, 1.0):
        assert largest_gap_p_value(x, 2) == pytest.approx(2 * (1 - x))


def test_largest_gap_by_simulation_also_of_many():
    rng = np.random.default_rng(0)
    for n in (9, 256):
        ends = np.concatenate(
            [np.zeros((4000, 1)), np.sort(rng.random((4000, n - 1)), axis=1), np.ones((4000, 1))], axis=1
        )
        largest = np.diff(ends, axis=1).max(axis=1)
        for x in np.percentile(largest, [1, 30, 90]):
            assert largest_gap_p_value(x, n) == pytest.approx((largest >= x).mean(), abs=0.03)


def test_largest_gap_of_even_values_is_certain():
    """The terms of the sum are as large as 10^70 here, and cancel."""
    assert largest_gap_p_value(1 / 256, 256) == pytest.approx(1, abs=1e-9)
    assert largest_gap_p_value(1.3 / 256, 256) == pytest.approx(1, abs=1e-9)
