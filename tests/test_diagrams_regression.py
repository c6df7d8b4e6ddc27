"""Drawings of a predicted number: the parts add up to it, and the share of pairs is the area under the ROC curve."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from interp_helpers.plots.diagrams.regression import kept_part, number_map, on_and_off

pytestmark = pytest.mark.usefixtures("no_screen")
RNG = np.random.default_rng(0)


def test_the_parts_of_the_objects_add_up_to_the_prediction():
    total, share = RNG.normal(size=(4, 6)), RNG.random((4, 6))
    bars = number_map(RNG.random((8, 12, 3)), total, {"tree": share, "rest": 1 - share}, bias=20.0).axes[2].patches
    widths = [bar.get_width() for bar in bars]
    np.testing.assert_allclose(widths[-1], 20 + total.mean())
    np.testing.assert_allclose(sum(widths[:-1]), widths[-1])
    np.testing.assert_allclose(widths[1], (total * share).mean())


def test_the_share_of_pairs_is_the_area_under_the_curve():
    mask = RNG.random(400) < 0.3
    values = RNG.normal(size=400) + mask
    title = on_and_off(values, mask, "tree").axes[0].get_title()
    assert title == f"larger on the tree in {100 * roc_auc_score(mask, values):.0f} of 100 pairs"


def test_the_kept_pairs_are_drawn_where_all_are():
    everything, kept = kept_part(np.arange(9), np.arange(9.0), [2, 5], "two", "x", "y").axes[0].lines
    assert kept.get_ydata().tolist() == [2, 5]
    np.testing.assert_allclose(everything.get_xdata()[[2, 5]], kept.get_xdata())
