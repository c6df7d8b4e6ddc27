"""Metrics of maps, randomized networks, detectors: each against an answer that is known."""

from itertools import permutations

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers as kl

from interp_helpers import metrics
from interp_helpers.metrics import (
    cascading_randomization,
    deletion_insertion,
    detector_auc,
    iou,
    randomize_layers,
    rank_agreement,
)


def small_cnn(form="layers", channels=1, seed=6):
    """Two convolutions and a dense layer, with ReLUs written in each of the ways that Keras has."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6, 6, channels))
    inside = {"inside": "relu", "nested": "relu", "tensorflow": tf.nn.relu}.get(form)
    x = kl.Conv2D(3, 3, activation=inside, name="conv1", bias_initializer="random_normal")(inputs)
    x = {"layers": kl.ReLU(), "activations": kl.Activation("relu"), "operations": keras.ops.relu}.get(form, _same)(x)
    x = kl.Conv2D(5, 2, activation=inside, name="conv2")(x)
    x = {"layers": kl.ReLU(), "activations": kl.Activation("relu"), "operations": keras.ops.relu}.get(form, _same)(x)
    if form == "nested":
        body = keras.Model(inputs, x, name="body")
        head = keras.Sequential([kl.Flatten(), kl.Dense(4, name="logits"), kl.Softmax()], name="head")
        return keras.Sequential([keras.Input((6, 6, channels)), body, head])
    x = kl.Dense(4, name="logits")(kl.Flatten()(x))
    return keras.Model(inputs, kl.Softmax(name="probabilities")(x))


def _same(x):
    return x


def test_randomized_shuffles_what_it_names_and_nothing_else():
    model = small_cnn()
    copy = randomize_layers(model, ["logits"], seed=1)
    for layer in ("conv1", "conv2"):
        assert np.array_equal(copy.get_layer(layer).get_weights()[0], model.get_layer(layer).get_weights()[0])
    old, new = (network.get_layer("logits").get_weights()[0] for network in (model, copy))
    assert not np.array_equal(old, new)
    assert np.array_equal(np.sort(old, axis=None), np.sort(new, axis=None))


def test_cascade_goes_from_the_output_down():
    steps = cascading_randomization(small_cnn("nested"))
    assert [name for name, _ in steps] == ["head/logits", "body/conv2", "body/conv1"]


def test_rank_agreement_does_not_depend_on_scale():
    maps = np.random.default_rng(0).random((3, 5, 5))
    np.testing.assert_allclose(rank_agreement(maps, np.exp(3 * maps)), 1)
    np.testing.assert_allclose(rank_agreement(maps, -maps), -1)
    assert np.isnan(rank_agreement(maps, np.ones_like(maps))).all()


def test_iou_counts_pixels():
    truth = np.zeros((1, 4, 4), bool)
    truth[0, 0] = True
    maps = np.zeros((1, 4, 4))
    maps[0, 0, :2] = 1
    maps[0, 3, :2] = 2
    assert iou(truth.astype(float), truth)[0] == 1
    assert iou(maps, truth)[0] == pytest.approx(2 / 6)
    assert np.isnan(iou(maps, ~np.ones_like(truth))[0])
    assert np.isnan(iou(np.zeros_like(maps), truth)[0])


def patch_detector(side=2, at=(3, 1), size=9):
    """A network whose one score is the sum of the pixels of a square, its other score nothing."""
    weights = np.zeros((size, size, 2), "float32")
    weights[at[0] : at[0] + side, at[1] : at[1] + side, 0] = 1
    model = keras.Sequential([keras.Input((size, size, 1)), kl.Flatten(), kl.Dense(2), kl.Softmax()])
    model.set_weights([weights.reshape(-1, 2), np.zeros(2)])
    return model


def test_deletion_and_insertion_of_a_known_order():
    """The map that names the pixels of the square: the probability falls at once, and comes back at once."""
    image = np.ones((1, 9, 9, 1), "float32")
    model, right = patch_detector(), np.zeros((1, 9, 9))
    right[0, 3:5, 1:3] = 1
    deletion, insertion = deletion_insertion(model, image, 0, right, n_steps=81)
    np.testing.assert_allclose(deletion[0, 4:], 0.5, atol=1e-6)
    np.testing.assert_allclose(insertion[0, 4:], 1 / (1 + np.exp(-4)), atol=1e-6)
    wrong_deletion, wrong_insertion = deletion_insertion(model, image, 0, -right, n_steps=81)
    assert wrong_deletion.mean() > deletion.mean()
    assert wrong_insertion.mean() < insertion.mean()
    assert deletion.shape == (1, 82)


def test_top_k_mask_marks_exactly_so_many_positions():
    maps = np.array([[[0.0, 3.0], [2.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]]])
    assert metrics.top_k_mask(maps, 2).tolist() == [[[False, True], [True, False]], [[True, True], [False, False]]]
    with pytest.raises(ValueError, match="k: got"):
        metrics.top_k_mask(maps, 5)


def test_inside_ratio_of_maps_whose_answer_is_known():
    """1 for an even map, places over region for one that is nowhere else, 0 outside, NaN for a silent one."""
    region = metrics.top_k_mask(np.random.default_rng(0).random((3, 7, 7)), 10)
    inside = np.repeat(np.repeat(region, 4, axis=1), 4, axis=2)
    maps = np.stack([np.ones_like(inside, float), inside, ~inside, 0 * inside, np.where(inside, 3.0, -9)], axis=-1)
    found = metrics.inside_ratio(maps, region)
    np.testing.assert_allclose(found, np.tile([1, 4.9, 0, np.nan, 4.9], (3, 1)))


def test_inside_ratio_on_random_regions_is_one_on_average():
    rng = np.random.default_rng(1)
    maps = np.repeat(rng.random((1, 6, 6, 2)), 4000, axis=0)
    found = metrics.inside_ratio(maps, metrics.top_k_mask(rng.random((4000, 3, 3)), 2))
    np.testing.assert_allclose(found.mean(axis=0), 1, atol=0.01)


@pytest.mark.parametrize("shape", [(2, 7, 7), (3, 5, 7), (3, 7, 5)])
def test_inside_ratio_refuses_regions_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="region: got"):
        metrics.inside_ratio(np.ones((3, 14, 14, 4)), np.ones(shape, bool))


def pairs_won(values, mask):
    on, off = values[mask], values[~mask]
    return (on[:, None] > off).mean() + 0.5 * (on[:, None] == off).mean()


def test_detector_auc_counts_pairs_of_pixels():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 4, (3, 2, 3, 2)).astype(float)  # with many ties
    masks = {"thing": rng.random((3, 4, 6)) < 0.3, "other": rng.random((3, 4, 6)) < 0.6}
    table = detector_auc(maps, masks, n_permutations=5)
    enlarged = maps.repeat(2, axis=1).repeat(2, axis=2)
    for row in table.itertuples():
        expected = pairs_won(enlarged[..., row.channel], masks[row.object])
        assert row.auc == pytest.approx(expected)
        assert row.strength == pytest.approx(abs(2 * expected - 1))


def test_detector_auc_of_the_object_itself_its_negative_and_a_place():
    rng = np.random.default_rng(1)
    mask = np.zeros((40, 8, 8), bool)
    mask[:, 4:] = rng.random((40, 4, 8)) < 0.5  # only ever in the lower half
    lower = np.zeros((40, 8, 8))
    lower[:, 4:] = 1
    maps = np.stack([mask, -1.0 * mask, lower, np.ones((40, 8, 8)), rng.random((40, 8, 8))], axis=3)
    table = detector_auc(maps, {"thing": mask}, n_permutations=99).set_index("channel")
    assert table["auc"][0] == 1
    assert table["auc"][1] == 0
    assert table["strength"][0] == table["strength"][1] == 1
    assert table["p_value"][:2].tolist() == [0.01, 0.01]
    assert table["auc"][2] == pytest.approx(table["position"][2])  # knows the place, and nothing of the picture
    assert table["p_value"][2] == 1
    assert table.loc[3, ["auc", "position", "p_value", "strength"]].isna().all()
    assert table["p_value"][4] > 0.01


def test_the_place_alone_is_the_mean_over_all_ways_to_deal_the_masks_out():
    rng = np.random.default_rng(3)
    maps, mask = rng.random((4, 2, 2, 2)), rng.random((4, 2, 2)) < 0.5
    ways = [detector_auc(maps, {"thing": mask[list(order)]}, 0)["auc"] for order in permutations(range(4))]
    table = detector_auc(maps, {"thing": mask}, 0)
    np.testing.assert_allclose(table["position"], np.mean(ways, axis=0))
    assert table["p_value"].isna().all()


def test_detector_auc_is_the_same_for_a_monotone_transform_of_the_channel():
    rng = np.random.default_rng(2)
    maps, mask = rng.random((6, 4, 4, 3)), rng.random((6, 8, 8)) < 0.4
    first, again = (detector_auc(m, {"thing": mask}, 9) for m in (maps, np.exp(3 * maps)))
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.zeros((2, 4, 4)), {"thing": np.ones((2, 4, 4), bool)}, "maps: got float64 of shape"),
        (np.full((2, 4, 4, 1), np.nan), {"thing": np.ones((2, 4, 4), bool)}, "finite"),
        (np.zeros((2, 4, 4, 1)), {}, "masks: is empty"),
        (np.zeros((2, 4, 4, 1)), {"thing": np.ones((2, 6, 4), bool)}, "multiples"),
        (np.zeros((2, 4, 4, 1)), {"thing": np.ones((2, 4, 4))}, "'thing' is float64"),
        (np.zeros((2, 4, 4, 1)), {"thing": np.zeros((2, 4, 4), bool)}, "every pixel or in none"),
    ],
)
def test_detector_auc_refuses(maps, masks, message):
    with pytest.raises(ValueError, match=message):
        detector_auc(maps, masks)
