"""What the drawings of PCACE show, against arrays whose answer is known."""

import numpy as np
import pytest

from interp_helpers.plots.diagrams.pcace import component_images, cut_channels, maps_by_score, pcace_pipeline

pytestmark = pytest.mark.usefixtures("no_screen")


@pytest.fixture
def one_channel():
    """Return 60 maps of 5 by 4, four components of which the second matters most, and their transforms."""
    rng = np.random.default_rng(0)
    maps = rng.random((60, 5, 4))
    x = rng.standard_normal((60, 4))
    return maps, x, x * [0.3, 2, 0.1, 1], rng.standard_normal(60)


def test_a_pattern_is_the_correlation_of_every_place_with_the_component(one_channel):
    maps, x, _, _ = one_channel
    maps[:, 0, 0] = 3
    images = component_images(maps, x)
    assert images.shape == (4, 5, 4)
    assert images[1, 2, 3] == pytest.approx(np.corrcoef(maps[:, 2, 3], x[:, 1])[0, 1])
    assert not images[:, 0, 0].any()


def test_the_pipeline_shows_the_three_that_matter_most_and_the_value(one_channel):
    maps, x, phi, theta = one_channel
    figure = pcace_pipeline(maps, x, phi, theta, theta, np.full(20, 0.4), marked=7)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[6:9] == ["pattern 1", "pattern 2", "pattern 4"]
    value = np.corrcoef(theta, phi.sum(axis=1))[0, 1]
    assert titles[-2] == f"correlation {value:.2f}"
    assert figure.axes[-1].lines[0].get_xdata()[0] == pytest.approx(value)
    assert sum(bar.get_height() for bar in figure.axes[-1].patches) == 20
    marked = figure.axes[-2].lines[1]
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == (phi[7].sum(), theta[7])


def test_maps_stand_in_the_order_of_the_scores(one_channel):
    maps, _, _, score = one_channel
    figure = maps_by_score({"digits": maps, "a channel": maps}, score, n=3)
    assert len(figure.axes) == 6
    assert (figure.axes[0].images[0].get_array() == maps[score.argmin()]).all()
    assert (figure.axes[5].images[0].get_array() == maps[score.argmax()]).all()


def test_points_before_and_rings_after_the_cut():
    maps = {"channel 1": np.eye(3), "channel 2": np.eye(3)}
    figure = cut_channels(maps, before=[0.9, 0.7], after=[0.8, 0.6], chance=(0.3, 0.5))
    points, rings = figure.axes[-1].collections
    assert points.get_offsets()[:, 0].tolist() == [0.9, 0.7]
    assert rings.get_offsets()[:, 0].tolist() == [0.8, 0.6]
    assert points.get_offsets()[0, 1] > points.get_offsets()[1, 1]  # the first at the top
