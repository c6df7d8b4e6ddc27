"""The drawing of a flat patch shows the numbers of the algebra."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from interp_helpers.plots.diagrams.flat_patch import flat_patch


def written(figure):
    return [text.get_text().replace("\N{MINUS SIGN}", "-") for axis in figure.axes for text in axis.texts]


@pytest.fixture
def drawn():
    figure = flat_patch([[-0.25, -0.5], [0.25, 0]], 0.1, values=(0, 0.1, 1), names=("black", "dark", "white"))
    yield figure
    plt.close(figure)


def test_the_sum_of_the_weights_and_the_bias_are_written(drawn):
    texts = written(drawn)
    assert texts[:4] == ["-0.25", "-0.50", "0.25", "0.00"]
    assert "S = sum of weights = -0.50\nb = 0.10" in texts


def test_each_patch_has_its_sum_and_what_the_relu_leaves(drawn):
    texts = written(drawn)
    sums = [text for text in texts if text.startswith("b + S v")]
    assert sums == [
        "b + S v\n= 0.10 - 0.00\n= 0.10",
        "b + S v\n= 0.10 - 0.05\n= 0.05",
        "b + S v\n= 0.10 - 0.50\n= -0.40",
    ]
    assert [text for text in texts if text.endswith(("lit", "silent"))] == ["0.10\nlit", "0.05\nlit", "0.00\nsilent"]


def test_the_patches_are_flat(drawn):
    patches = [axis.images[0].get_array() for axis in drawn.axes if axis.images][1:]
    assert [np.unique(patch).tolist() for patch in patches] == [[0], [0.1], [1]]
