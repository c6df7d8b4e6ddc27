"""The drawings of the way back show what they say: sums, switches and scores."""

import numpy as np

from interp_helpers.plots.diagrams.deconvnet import class_activation, spread_out, switches

VALUES = np.array([[1, 3, 0, 2], [0, 2, 4, 1], [5, 1, 1, 0], [2, 0, 2, 3]])


def test_the_mean_of_the_map_and_the_bias_are_the_score():
    rng = np.random.default_rng(0)
    maps, weights = rng.random((3, 3, 4)), np.array([1.0, -1.0, 0.5, 2.0])
    figure = class_activation(np.ones((6, 6)), maps, weights, 0.25, [0, 1])
    said = [text.get_text() for text in figure.axes[-1].texts]
    assert said[-1] == f"{(maps.mean(axis=(0, 1)) @ weights + 0.25):.2f}"


def test_spread_out_is_the_transpose_of_the_convolution():
    values, kernel = np.array([1.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0, 4.0])
    W = np.zeros((3, 8))
    for row in range(3):
        W[row, 2 * row : 2 * row + 4] = kernel
    figure = spread_out(values, kernel, stride=2)
    last = [float(text.get_text()) for text in figure.axes[0].texts][-8:]
    assert last == (W.T @ values).tolist()


def test_switches_point_at_the_maxima():
    figure = switches(VALUES, np.array([[1, 2], [3, 4]]))
    drawn = [np.array([float(t.get_text()) for t in figure.axes[k].texts]) for k in (0, 2, 6)]
    assert drawn[1].tolist() == [3, 4, 5, 3]
    unpooled = drawn[2].reshape(4, 4)
    assert sorted(VALUES[unpooled > 0].tolist()) == [3, 3, 4, 5]
    assert unpooled.sum() == 10
