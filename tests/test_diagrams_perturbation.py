import numpy as np
import pytest

from interp_helpers.plots.diagrams.perturbation import pushed_layer, running_sums

pytestmark = pytest.mark.usefixtures("no_screen")


def test_the_same_number_is_added_to_every_weight_and_bars_are_accuracies():
    kernel = np.array([[0.1, -0.2], [0.3, 0]])
    figure = pushed_layer(["conv1", "conv2"], "conv2", kernel, {0: 0.98, 0.1: 0.7, 0.2: 0.11})
    pictures = [axis for axis in figure.axes if axis.images]
    for added, axis in zip((0, 0.1, 0.2), pictures, strict=True):
        np.testing.assert_allclose(axis.images[0].get_array(), kernel + added)
    assert len({axis.images[0].get_clim() for axis in pictures}) == 1
    assert [text.get_text() for text in pictures[1].texts] == [".20", "-.10", ".40", ".10"]
    bars = [axis for axis in figure.axes if axis.patches and not axis.images]
    assert [axis.patches[1].get_height() for axis in bars] == [0.98, 0.7, 0.11]
    assert [axis.texts[0].get_text() for axis in bars] == ["98 %", "70 %", "11 %"]


def test_sums_add_up_in_step_and_cancel_out_of_step():
    inputs, signs = np.array([1, 2, 3, 4]), np.array([1, -1, -1, 1])
    in_step, out_of_step = running_sums(inputs, signs).axes[0].lines
    assert in_step.get_ydata().tolist() == [1, 3, 6, 10]
    assert out_of_step.get_ydata().tolist() == [1, -1, -4, 0]
