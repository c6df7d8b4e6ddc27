"""Drawings of weighted sums and of chance levels show the numbers that they are given."""

import numpy as np
import pytest

from interp_helpers.plots.diagrams.imagenet import against_chance, lined_up, weighted_sum

pytestmark = pytest.mark.usefixtures("no_screen")
RNG = np.random.default_rng(0)


def test_a_weighted_sum_shows_the_parts_and_the_whole_on_scales_centred_at_0():
    maps, weights = RNG.random((4, 4, 3)), [0.5, -2.0, 1.0]
    total = (maps * weights).sum(axis=-1)
    figure = weighted_sum(RNG.random((8, 8, 3)), maps, weights, total, "cat")
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == 5
    parts = np.stack([image.get_array() for image in images[1:4]])
    np.testing.assert_allclose(parts.sum(axis=0), images[4].get_array())
    assert {image.get_clim() for image in images[1:4]} == {(-np.abs(parts).max(), np.abs(parts).max())}
    assert figure.axes[-1].get_title() == "cat"


def test_values_are_dots_on_the_band_of_their_layer():
    rows = {"first": ([0.5, np.nan, 0.7], 0.45, 0.65, 0.8), "last": ([0.9], 0.4, 0.6, None)}
    axis = against_chance(rows).axes[0]
    bands = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches]
    np.testing.assert_allclose(bands, [(0.45, 0.65), (0.4, 0.6)])
    dots, rival, last = (line.get_xdata() for line in axis.lines)
    np.testing.assert_allclose(dots, [0.5, 0.7])
    np.testing.assert_allclose(np.ravel(rival), 0.8)
    np.testing.assert_allclose(last, 0.9)


def test_the_titles_have_the_correlations_of_what_is_drawn():
    theta = RNG.standard_normal(30)
    figure = lined_up((theta, theta / 2), (theta, -theta), 30)
    assert [axis.get_title() for axis in figure.axes] == ["30 real scores: 1.00", "30 shuffled scores: -1.00"]
