import numpy as np
import pytest

from interp_helpers.plots.diagrams.ascent import ascent_step

pytestmark = pytest.mark.usefixtures("no_screen")


def test_a_step_is_drawn_at_its_place_on_the_curve():
    image, gradient = np.full((4, 4), 0.25), np.linspace(-2, 1, 16).reshape(4, 4)
    figure = ascent_step(image, gradient, image + 0.1, [1.0, 3.0, 4.0], 1, level=2.5, level_name="best real 3")
    before, slope, after = (axis for axis in figure.axes if axis.images)
    assert np.allclose(after.images[0].get_array() - before.images[0].get_array(), 0.1)
    assert slope.images[0].get_clim() == (-2, 2)  # centred at 0
    assert before.images[0].get_clim() == after.images[0].get_clim() == (0, 1)
    curve = figure.axes[-1]
    line, dot, level = curve.lines
    assert line.get_ydata().tolist() == [1, 3, 4]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (1, 3)
    assert level.get_ydata()[0] == 2.5
    assert {"3.0", "best real 3"} <= {text.get_text() for text in curve.texts}


def test_the_last_score_has_no_step():
    with pytest.raises(ValueError, match="step: got 2; there are 2"):
        ascent_step(np.zeros((4, 4)), np.eye(4), np.zeros((4, 4)), [1.0, 2.0, 3.0], 2)
