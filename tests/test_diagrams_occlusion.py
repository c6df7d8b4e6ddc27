import numpy as np
import pytest

from interp_helpers.plots.diagrams.occlusion import sliding_square, tiles_so_far

pytestmark = pytest.mark.usefixtures("no_screen")


def test_scores_and_drops_under_three_squares_add_up_to_the_score_of_the_whole():
    drops = np.arange(64).reshape(8, 8) / 10 - 1
    figure = sliding_square(np.ones((8, 8)), 4.0, drops, [(1, 1), (4, 4), (6, 6)], 3)
    for axis, place in zip(figure.axes[:3], [(1, 1), (4, 4), (6, 6)], strict=True):
        numbers = axis.get_title().replace("\N{MINUS SIGN}", "-").split()[1:]
        left, change = (float(number.strip("()")) for number in numbers)
        assert left - change == pytest.approx(4.0, abs=0.06)
        assert change == pytest.approx(-drops[place], abs=0.05)
        drawn = axis.images[0].get_array()
        assert (drawn == 0).sum() == 9
        assert drawn[place] == 0
    with pytest.raises(ValueError, match="places: got 2"):
        sliding_square(np.ones((8, 8)), 4.0, drops, [(1, 1), (4, 4)], 3)


def test_tiles_after_the_one_that_is_covered_are_not_drawn_yet():
    after = np.arange(8.0).reshape(2, 2, 2)
    figure = tiles_so_far(np.ones((6, 6)), (5, 1), after, 2, names=("7", "2"))
    digit, made, scores = figure.axes
    assert np.array_equal(np.argwhere(digit.images[0].get_array() == 0), [(r, c) for r in (3, 4, 5) for c in (0, 1, 2)])
    assert np.ma.filled(made.images[0].get_array(), np.nan).ravel()[:3].tolist() == [5, 3, 1]
    assert np.ma.filled(made.images[0].get_array(), np.nan)[1, 1] != 5 - 6  # left blank
    assert made.get_title() == "drop of 7: +1.0"
    assert [bar.get_width() for bar in scores.patches] == [4, 5]


def test_a_square_is_cut_at_the_border_and_the_image_stays():
    image = np.ones((8, 8))
    figure = sliding_square(image, 4.0, np.zeros((8, 8)), [(0, 0), (0, 4), (7, 7)], 3)
    assert [(axis.images[0].get_array() == 0).sum() for axis in figure.axes[:3]] == [4, 6, 4]
    assert image.all()
