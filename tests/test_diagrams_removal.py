import numpy as np
import pytest

from interp_helpers.plots.diagrams.removal import removal, removal_so_far

pytestmark = pytest.mark.usefixtures("no_screen")


def test_maps_stand_in_the_order_of_the_ranking_and_those_cut_off_are_crossed_out():
    maps = np.ones((3, 3, 4)) * np.arange(1, 5)
    figure = removal(maps, [3, 1, 0, 2], {"best first": ([3, 1], 0.5), "worst first": ([2], 0.75)}, n_columns=2)
    first, second = (axis for axis in figure.axes if axis.images)
    tiles = first.images[0].get_array().filled(np.nan)
    assert tiles.shape == (10, 10)
    assert np.isnan(tiles[:5]).all()  # the first row of the ranking is gone
    assert np.unique(tiles[6:9, 1:4]) == 1
    assert np.unique(tiles[6:9, 6:9]) == 3
    assert [len(axis.lines) for axis in (first, second)] == [2, 1]
    assert {axis.images[0].get_clim() for axis in (first, second)} == {(0, 4)}
    bars = [axis for axis in figure.axes if axis.patches and not axis.images]
    assert [axis.patches[0].get_width() for axis in bars] == [0.5, 0.75]
    assert [axis.texts[0].get_text() for axis in bars] == ["50 %", "75 %"]


def test_what_is_gone_so_far_and_what_is_left():
    falls = {"best first": ([0, 1, 2], [1, 0.6, 0.3, 0.1]), "worst first": ([2, 1, 0], [1, 1, 0.9, 0.1])}
    figure = removal_so_far(falls, 2, band=([1, 0.5, 0.2, 0.1], [1, 1, 0.8, 0.1]))
    places, axis = figure.axes
    kept = [np.asarray(dots.get_offsets()).tolist() for dots in places.collections[::2]]
    assert kept == [[[2, 0]], [[0, 1]]]
    assert [line.get_ydata().tolist() for line in axis.lines[::2]] == [[1, 0.6, 0.3], [1, 1, 0.9]]
    assert [text.get_text() for text in places.texts] == ["best first", "30 %", "worst first", "90 %"]
    assert {tuple(figure.get_size_inches()) for figure in (removal_so_far(falls, n) for n in (0, 3))} == {(8, 5)}
