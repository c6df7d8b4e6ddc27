"""What the drawing of ACE's turns shows: each curve, through the points that the other one makes."""

import numpy as np
import pytest

from interp_helpers.plots.diagrams.ace import turn
from interp_helpers.plots.style import ACCENT

pytestmark = pytest.mark.usefixtures("no_screen")


@pytest.mark.parametrize(("moving", "side"), [("phi", 0), ("theta", 1)])
def test_each_curve_goes_through_the_points_of_the_other(moving, side):
    rng = np.random.default_rng(0)
    x, y, phi, theta = rng.standard_normal((4, 30))
    figure = turn(x, y, phi, theta, moving)
    left, right = figure.axes
    for axis, across, curve, points in ((left, x, phi, theta), (right, y, theta, phi)):
        dots, line = axis.lines
        np.testing.assert_array_equal(dots.get_xydata(), np.stack([across, points], axis=1))
        np.testing.assert_array_equal(line.get_ydata(), curve[np.argsort(across)])
    assert [axis.lines[1].get_color() == ACCENT for axis in figure.axes] == [side == 0, side == 1]
    value = np.corrcoef(phi, theta)[0, 1]
    assert figure.axes[side].get_title() == f"bend {'xy'[side]}: correlation {value:.2f}"


def test_at_the_start_there_is_no_correlation_yet():
    x = np.linspace(0, 1, 20)
    assert turn(x, x, 0 * x, x).axes[0].get_title() == "phi is still flat"
    assert len(turn(x, x, x, x, marked=3).axes[0].lines) == 3
