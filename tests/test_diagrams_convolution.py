"""The drawing of a convolution at one position shows the numbers of the network, and they add up."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from interp_helpers.plots.diagrams.convolution import convolution
from interp_helpers.plots.style import ACCENT

KERNEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]) / 4


@pytest.fixture
def drawn():
    yield convolution(np.tile([0, 0.5, 1, 1, 0], (5, 1)), KERNEL, 0.25, row=1, column=2)
    plt.close("all")


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_patch_kernel_and_products_are_written(drawn):
    patch, kernel, products = (drawn.axes[i] for i in (2, 4, 5))
    assert texts(patch) == ["1.00", "1.00", "0"] * 3
    assert texts(kernel) == ["+0.25", "0", "-0.25", "+0.50", "0", "-0.50", "+0.25", "0", "-0.25"]
    assert texts(products) == ["+0.25", "0", "0", "+0.50", "0", "0", "+0.25", "0", "0"]


def test_products_and_bias_add_up_to_the_value_of_the_map(drawn):
    products, steps, result = (drawn.axes[i] for i in (5, 7, 9))
    total = sum(map(float, texts(products)))
    assert texts(steps)[1::2] == [f"{total:+.2f}", "+0.25", f"{total + 0.25:+.2f}", f"{total + 0.25:+.2f}"]
    assert result.images[0].get_array()[1, 2] == total + 0.25


def test_the_relu_leaves_nothing_of_a_negative_sum():
    figure = convolution(np.ones((4, 4)), -(KERNEL**2), 0, 0, 0)
    assert texts(figure.axes[7])[-1] == "0"
    assert not figure.axes[9].images[0].get_array().any()
    plt.close("all")


def test_the_patch_and_its_place_in_the_map_are_framed(drawn):
    in_picture, in_map = (drawn.axes[i].patches[0] for i in (0, 9))
    assert in_picture.get_xy() == (1.5, 0.5)
    assert in_map.get_xy() == (0.5, -0.5)
    assert to_hex(in_picture.get_edgecolor()) == ACCENT
