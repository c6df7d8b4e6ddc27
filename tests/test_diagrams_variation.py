"""The drawings of ways to vary a channel show the maps, changes and ranks that they are given."""

import numpy as np
import pytest

from interp_helpers.plots.diagrams.variation import ranks, ways_to_vary

MAPS = {"as it is": np.eye(3), "nudge": np.eye(3) + 0.1, "kill": np.zeros((3, 3))}


pytestmark = pytest.mark.usefixtures("no_screen")


def test_the_maps_share_one_scale_and_bars_have_the_changes():
    figure = ways_to_vary(MAPS, {"nudge": 0.25, "kill": -0.5})
    pictures = [axis.images[0] for axis in figure.axes[:3]]
    assert [picture.get_clim() for picture in pictures] == [(0, 1.1)] * 3
    np.testing.assert_array_equal(pictures[1].get_array(), MAPS["nudge"])
    below = figure.axes[-2]  # the last is the colour bar
    assert [bar.get_height() for bar in below.patches] == [0.25, -0.5]
    assert [bar.get_x() + bar.get_width() / 2 for bar in below.patches] == [1, 2]
    assert [text.get_text() for text in below.texts] == ["+0.25", "\N{MINUS SIGN}0.50"]


def test_a_change_without_a_map_is_refused():
    with pytest.raises(ValueError, match="no map of noise"):
        ways_to_vary(MAPS, {"noise": 1})


def test_ranks_begin_with_the_largest_value():
    axis = ranks({"a": [3, 1, 2], "b": [1, 2, 3]}, highlight=0).axes[0]
    assert axis.lines[-1].get_ydata().tolist() == [1, 3]
    assert [text.get_text() for text in axis.texts] == ["1", "3", "channel 0"]
    assert len(axis.lines) == 3
