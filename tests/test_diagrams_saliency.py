"""The drawings of saliency show what they say: numbers, sums and positive parts."""

import numpy as np
import pytest

from interp_helpers.plots.diagrams.saliency import RULES, grad_cam_strip, relu_rules, weight_image

FORWARD = np.array([[2, -1, 0], [3, 1, -2], [-1, 2, 4]])
UPSTREAM = np.array([[1, 2, -3], [-2, 4, 1], [-1, 3, -1]])


def test_a_weight_image_gives_the_score_and_its_change():
    image, weights = np.full((5, 5), 0.5), np.zeros((5, 5))
    weights[2, 3], weights[1, 1] = 4.0, 2.0
    figure = weight_image(image, weights, bias=1.0, pixel=(2, 3), step=0.25)
    drawn = [text.get_text() for text in figure.axes[-1].texts]
    assert "score 4.00" in drawn
    assert "score +1.000" in drawn


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_drawn_with_its_numbers(rule):
    axis = next(axis for axis in relu_rules(FORWARD, UPSTREAM).axes if axis.get_title().startswith(rule))
    expected = RULES[rule](FORWARD, UPSTREAM)
    assert [float(text.get_text()) for text in axis.texts] == expected.ravel().tolist()
    assert (
        len(axis.lines) - len(relu_rules(FORWARD, UPSTREAM).axes[0].lines) == ((expected == 0) & (UPSTREAM != 0)).sum()
    )


def test_guided_is_what_both_other_rules_let_through():
    gradient, guided, deconvnet = (RULES[name](FORWARD, UPSTREAM) for name in ("gradient", "guided", "deconvnet"))
    assert np.array_equal(guided != 0, (gradient != 0) & (deconvnet != 0))


def test_the_strip_adds_all_maps_and_keeps_what_is_positive():
    rng = np.random.default_rng(0)
    maps, alpha = rng.random((4, 4, 3)), np.array([1.0, -2.0, 0.5])
    total, positive = (
        axis.images[0].get_array() for axis in grad_cam_strip(np.ones((8, 8)), maps, alpha, [0, 1]).axes[-3:-1]
    )
    np.testing.assert_allclose(total, maps @ alpha)
    np.testing.assert_allclose(positive, np.maximum(maps @ alpha, 0))
