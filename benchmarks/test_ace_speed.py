"""How long ACE takes: `make bench`. The aim on two cores: at most 4 ms for one solve of 500 x 10 in one thread.

R's acepack, the original Fortran, takes about 4 ms for that, the ace package about a second. Compiling is not timed.
"""

import numpy as np
import pytest

from interp_helpers.ace import ace, ace_many, supersmoother

M, P, CHANNELS, CLASSES = 500, 10, 32, 10


@pytest.fixture(scope="module")
def stacks():
    """Predictors like principal components (falling spreads), and scores that partly depend on them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((CHANNELS * CLASSES, M, P)) / np.sqrt(1 + np.arange(P))
    y = x[:, :, 0] ** 2 + x[:, :, 1] + rng.standard_normal((CHANNELS * CLASSES, M))
    ace_many(x[:2], y[:2, None])
    supersmoother(x[0, :, 0], y[0])
    return x, y


def test_one_solve(benchmark, stacks):
    x, y = stacks
    benchmark(ace, x[0], y[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_all_channels_of_a_layer_for_ten_classes(benchmark, stacks, threads):
    x, y = stacks
    benchmark.pedantic(ace_many, (x, y[:, None]), {"threads": threads}, rounds=5)


def test_one_channel_with_100_permuted_scores(benchmark, stacks):
    x, y = stacks
    permuted = np.random.default_rng(1).permuted(np.tile(y[0], (100, 1)), axis=1)
    benchmark.pedantic(ace_many, (x[:1], permuted), {"threads": 1}, rounds=5)


def test_half_as_many_columns_as_images(benchmark):
    rng = np.random.default_rng(0)
    benchmark.pedantic(ace, (rng.standard_normal((300, 150)), rng.standard_normal(300)), rounds=5)


def test_supersmoother(benchmark, stacks):
    x, y = stacks
    benchmark(supersmoother, x[0, :, 0], y[0])


def test_reference_engine(benchmark, stacks):
    x, y = stacks
    benchmark.pedantic(ace, (x[0], y[0], "reference"), rounds=2)
