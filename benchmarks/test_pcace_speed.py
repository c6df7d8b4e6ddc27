"""How long a whole ranking takes: `make bench`. The aims on two cores, after import and compilation:

the tutorial's ranking, 32 channels x 10 digits x 500 images from images to table, at most 3 s (its own listing would
take more than 3 hours); the same with 200 permutations, at most 5 minutes.
"""

import pytest

from interp_helpers.data import load_digits
from interp_helpers.models import load_checkpoint
from interp_helpers.pcace import rank_channels


@pytest.fixture(scope="module")
def ten_classes():
    model, digits = load_checkpoint("mnist_cnn"), load_digits()
    classes = [(k, digits.images[digits.labels == k]) for k in range(10)]
    rank_channels(model, "relu1", classes[0][1], 0, n_permutations=1)  # compiles
    return model, classes


def rank_all(model, classes, **options):
    return [rank_channels(model, "relu1", images, k, **options) for k, images in classes]


def test_ten_rankings(benchmark, ten_classes):
    benchmark.pedantic(rank_all, ten_classes, {"n_permutations": 0}, rounds=3)


def test_ten_rankings_with_200_permutations(benchmark, ten_classes):
    benchmark.pedantic(rank_all, ten_classes, {"n_permutations": 200}, rounds=1)


def test_one_ranking_held_out(benchmark, ten_classes):
    model, classes = ten_classes
    benchmark.pedantic(rank_all, (model, classes[:1]), {"n_permutations": 0, "held_out": True}, rounds=3)
