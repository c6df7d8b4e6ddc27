"""Variation of one channel after another, where the answer is known."""

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import DEAD, FEEDS_0, FEEDS_3, N_CLASSES, ONLY_BIAS
from keras import layers
from scipy.stats import binomtest

from interp_helpers.models import logits_model
from interp_helpers.variation import METHODS, PLACES, vary_channel, without_channels


def table(changes):
    """Return changes as an array (channel, image, class)."""
    shape = [changes[name].nunique() for name in ("channel", "image", "class")]
    return changes.sort_values(["channel", "image", "class"])["change"].to_numpy().reshape(shape)


def test_killing_activations_takes_away_what_the_channel_gave(planted, pixels, unchanged):
    change = table(vary_channel(planted, "relu", pixels, method="kill"))
    mean = pixels.mean(axis=(1, 2, 3))
    expected = np.zeros((4, 6, N_CLASSES))
    expected[FEEDS_3, :, 3], expected[FEEDS_0, :, 0] = -3 * 2 * mean, -mean
    expected[ONLY_BIAS, :, 1], expected[ONLY_BIAS, :, 2] = -3, 1
    np.testing.assert_allclose(change, expected, atol=1e-5)


def test_killing_weights_leaves_the_bias(planted, pixels, unchanged):
    weights = table(vary_channel(planted, "conv", pixels, method="kill", on="weights"))
    both = table(vary_channel(planted, "conv", pixels, method="kill", on="weights and bias"))
    activations = table(vary_channel(planted, "relu", pixels, method="kill"))
    assert not weights[ONLY_BIAS].any()
    np.testing.assert_allclose(both, activations, atol=1e-6)
    np.testing.assert_allclose(weights[[FEEDS_0, FEEDS_3]], activations[[FEEDS_0, FEEDS_3]], atol=1e-6)


def test_gradient_adds_a_tenth_of_the_standard_deviation(planted, pixels, unchanged):
    change = table(vary_channel(planted, "relu", pixels, method="gradient"))
    sd = pixels.std(axis=(1, 2, 3))
    np.testing.assert_allclose(change[FEEDS_3, :, 3], 0.1 * 2 * sd * 3, rtol=1e-4)
    assert not change[DEAD].any()
    assert not change[ONLY_BIAS].any()  # a constant map has no standard deviation


def test_gradient_on_weights_uses_the_standard_deviation_of_the_kernel(unchanged, pixels):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(3, 2, name="conv"), layers.Flatten()])
    model.add(layers.Dense(2, name="logits"))
    kernel, bias = model.get_layer("conv").get_weights()
    before = logits_model(model).predict(pixels, verbose=0)
    change = table(vary_channel(model, "conv", pixels, method="gradient", on="weights", size=0.3))
    for c in range(3):
        moved = kernel.copy()
        moved[..., c] += 0.3 * kernel[..., c].std()
        model.get_layer("conv").set_weights([moved, bias])
        np.testing.assert_allclose(change[c], logits_model(model).predict(pixels, verbose=0) - before, atol=1e-5)
        model.get_layer("conv").set_weights([kernel, bias])


def test_noise_is_a_shift_and_a_shake(planted, pixels, unchanged):
    """In the planted network every score is linear in what the ReLU puts out, so the parts add up."""
    parts = {m: table(vary_channel(planted, "relu", pixels, method=m, seed=3)) for m in ("noise", "shift", "shake")}
    np.testing.assert_allclose(parts["noise"], parts["shift"] + parts["shake"], atol=1e-4)
    np.testing.assert_allclose(parts["shift"][FEEDS_3, :, 3], 6 * pixels.mean(axis=(1, 2, 3)), rtol=1e-4)
    assert np.abs(parts["shake"][FEEDS_3, :, 3]).max() > 0.01


def test_every_image_may_have_a_size_of_its_own(planted, pixels, unchanged):
    alone = table(vary_channel(planted, "relu", pixels, method="kill", size=0.5))
    sizes = np.array([0.5, 0, 0, 0, 0, 1])
    change = table(vary_channel(planted, "relu", pixels, method="kill", size=sizes, batch_size=4))
    np.testing.assert_allclose(change[:, 0], alone[:, 0], atol=1e-6)
    assert not change[:, 1:5].any()
    by_channel = np.zeros((6, 4))
    by_channel[:, FEEDS_3] = 1
    change = table(vary_channel(planted, "relu", pixels, method="kill", size=by_channel))
    assert change[FEEDS_3].any()
    assert not change[FEEDS_0].any()


def test_a_target_picks_the_class(planted, pixels, unchanged):
    every = table(vary_channel(planted, "relu", pixels))
    third = vary_channel(planted, "relu", pixels, target=3)
    assert set(third["class"]) == {3}
    np.testing.assert_allclose(third["change"], every[:, :, 3].ravel())
    own = np.array([0, 1, 2, 3, 4, 0])
    mixed = vary_channel(planted, "relu", pixels, target=own, channels=[FEEDS_3, ONLY_BIAS])
    assert mixed["channel"].tolist() == [FEEDS_3] * 6 + [ONLY_BIAS] * 6
    assert mixed["class"].tolist() == own.tolist() * 2
    np.testing.assert_allclose(mixed["change"][6:], every[ONLY_BIAS, np.arange(6), own])


@pytest.mark.parametrize("on", PLACES)
@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_table_whatever_the_channels(planted, pixels, unchanged, method, on):
    layer = "relu" if on == "activations" else "logits"  # a channel of conv has one weight
    first, again = (vary_channel(planted, layer, pixels, method=method, on=on, seed=1) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    one = vary_channel(planted, layer, pixels, method=method, on=on, seed=1, channels=[FEEDS_3])
    np.testing.assert_allclose(one["change"], first[first["channel"] == FEEDS_3]["change"], atol=1e-6)


def test_dense_layers_can_be_killed(planted, pixels, unchanged):
    change = table(vary_channel(planted, "average", pixels))
    np.testing.assert_allclose(change, table(vary_channel(planted, "relu", pixels)), atol=1e-5)


def test_accuracy_without_channels(planted, pixels, unchanged):
    labels = np.full(6, 3)
    without = without_channels(planted, "relu", pixels, labels, [(FEEDS_3,), (DEAD,), (ONLY_BIAS, FEEDS_0)])
    assert without["channels"].tolist() == [(), (FEEDS_3,), (DEAD,), (ONLY_BIAS, FEEDS_0)]
    own = 6 * pixels.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(without["score"], [own.mean(), 0, own.mean(), own.mean()], rtol=1e-5)
    np.testing.assert_allclose(without["accuracy"], [(own > 3).mean(), 0, (own > 3).mean(), 1])
    interval = binomtest(0, 6).proportion_ci(method="wilson")
    assert (without["low"][1], without["high"][1]) == (interval.low, interval.high)
    assert without["newly_wrong"].tolist() == [0, (own > 3).sum(), 0, 0]
    assert without["newly_right"].tolist() == [0, 0, 0, (own <= 3).sum()]
    assert len(without_channels(planted, "relu", pixels, labels)) == 5
