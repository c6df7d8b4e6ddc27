import keras
import numpy as np
import pytest
from keras import layers as kl

from interp_helpers.engine.hooks import batches
from interp_helpers.layers import activations, channel_weights, sparsity
from interp_helpers.models import load_checkpoint, mnist_cnn
from interp_helpers.probing import receptive_field
from interp_helpers.reverse_channels import (
    _zones,
    constant_input_response,
    correlate_with_mean_weight,
    ink_zones,
    nearly_dead,
    position_dependence,
)


def hand_made():
    """A convolution with three channels: identity, a constant, and one that is always below 0; then a ReLU."""
    model = keras.Sequential([keras.Input((5, 5, 1)), kl.Conv2D(3, 3, name="conv"), kl.ReLU(name="relu")])
    kernel = np.zeros((3, 3, 1, 3), "float32")
    kernel[1, 1, 0, 0] = 1
    model.set_weights([kernel, np.array([0, 2, -5], "float32")])
    return model


IMAGES = np.random.default_rng(0).random((4, 5, 5, 1)).astype("float32")


def test_activations_of_a_hand_made_layer():
    values = activations(hand_made(), IMAGES, ["conv", "relu"])
    np.testing.assert_allclose(values["conv"][..., 0], IMAGES[:, 1:-1, 1:-1, 0], atol=1e-6)
    assert (values["conv"][..., 1] == 2).all()
    assert (values["conv"][..., 2] == -5).all()
    assert np.array_equal(values["relu"], np.maximum(values["conv"], 0))


def test_one_name_gives_an_array():
    model = hand_made()
    assert np.array_equal(activations(model, IMAGES, "relu"), activations(model, IMAGES, ["relu"])["relu"])


def test_activations_do_not_depend_on_the_batches():
    model = hand_made()
    whole, parts = activations(model, IMAGES, "conv"), activations(model, IMAGES, "conv", batch_size=1)
    np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_sparsity_of_a_hand_made_layer():
    table = sparsity(hand_made(), IMAGES, ["conv", "relu"]).set_index("layer")
    assert table.loc["relu", "zeros"] == pytest.approx(1 / 3)
    assert table.loc["relu", "dead"] == 1
    assert table.loc["conv", "dead"] == 0
    assert table.loc["conv", "channels"] == 3


def test_channel_weights_of_known_kernels():
    model = keras.Sequential([keras.Input((5, 5, 1)), kl.Conv2D(3, 3, name="conv")])
    kernel = np.full((3, 3, 1, 3), 0.5)
    kernel[..., 1] = -0.5
    kernel[..., 2] = np.array([1, -1, 1, -1, 0, 1, -1, 1, -1]).reshape(3, 3, 1)
    model.set_weights([kernel, np.array([0.1, 0.2, 0.3])])
    table = channel_weights(model, "conv")
    assert table["mean_weight"].tolist() == pytest.approx([0.5, -0.5, 0])
    assert table["sd_weight"].tolist() == pytest.approx([0, 0, np.sqrt(8 / 9)])
    assert table["reverse"].tolist() == [False, True, False]
    assert table["unsure"].tolist() == [False, False, True]
    assert table["bias"].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_channel_weights_interval_is_that_of_the_mean():
    """For 288 weights the bootstrap interval is close to the normal one."""
    table = channel_weights(load_checkpoint("mnist_cnn"), "conv2")
    expected = 2 * 1.96 * table["sd_weight"] / np.sqrt(288)
    np.testing.assert_allclose(table["high"] - table["low"], expected, rtol=0.1)


def test_channel_weights_same_seed_same_table():
    model = mnist_cnn()
    assert channel_weights(model, "conv1", seed=1).equals(channel_weights(model, "conv1", seed=1))
    assert not channel_weights(model, "conv1", seed=1).equals(channel_weights(model, "conv1", seed=2))


def test_layer_without_bias():
    model = keras.Sequential([keras.Input((4,)), kl.Dense(2, use_bias=False, name="dense")])
    assert channel_weights(model, "dense")["bias"].tolist() == [0, 0]


def test_nothing_changes_the_model():
    model = hand_made()
    before = [weight.copy() for weight in model.get_weights()]
    activations(model, IMAGES, "conv")
    sparsity(model, IMAGES, "relu")
    channel_weights(model, "conv")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 5, 5, 1)), r"images: got shape \(0, 5, 5, 1\)"),
        (np.zeros((2, 5, 5)), r"the model takes \(N, 5, 5, 1\)"),
        (np.zeros((2, 6, 5, 1)), "the model takes"),
        (np.zeros((2, 5, 5, 1), np.uint8), "images: got uint8; give floats"),
        (np.full((2, 5, 5, 1), np.nan), "NaN or infinite"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        activations(hand_made(), images, "conv")


def test_unknown_layer_lists_the_names():
    with pytest.raises(ValueError, match="no layer 'conv9'; it has conv, relu"):
        activations(hand_made(), IMAGES, "conv9")
    with pytest.raises(ValueError, match="'relu' has no kernel"):
        channel_weights(hand_made(), "relu")


# --- reverse channels ------------------------------------------------------------------------------------------------


def planted():
    """Four channels with known answers on black and white: the picture, its negative, a constant, and nothing."""
    model = keras.Sequential([keras.Input((None, None, 1)), kl.Conv2D(4, 3, name="conv"), kl.ReLU(name="relu")])
    kernel = np.zeros((3, 3, 1, 4), "float32")
    kernel[1, 1, 0, :2] = 1, -1
    model.set_weights([kernel, np.array([0, 1, 2, -1], "float32")])
    return model


def dot():
    """A picture of 7 by 7, black but for one white pixel in the middle."""
    picture = np.zeros((1, 7, 7, 1), "float32")
    picture[0, 3, 3] = 1
    return picture


def test_flat_response_is_what_a_flat_picture_gives():
    model, values = mnist_cnn(seed=3), [0.0, 0.25, 1.0]
    model.get_layer("conv1").bias.assign(np.linspace(-1, 1, 32))
    flat = np.ones((3, 28, 28, 1), "float32") * np.reshape(values, (3, 1, 1, 1)).astype("float32")
    expected = constant_input_response(model, "conv1", values)
    assert expected.shape == (3, 32)
    np.testing.assert_allclose(activations(model, flat, "conv1")[:, 5, 5], expected, atol=1e-5)
    np.testing.assert_allclose(expected[0], np.linspace(-1, 1, 32), atol=1e-6)


def test_flat_response_of_a_layer_with_many_inputs():
    model = keras.Sequential([keras.Input((4, 4, 3)), kl.Conv2D(2, 2, name="conv")])
    flat = np.full((1, 4, 4, 3), 0.5, "float32")
    np.testing.assert_allclose(
        activations(model, flat, "conv")[0, 0, 0], constant_input_response(model, "conv", [0.5])[0], atol=1e-6
    )


def test_ink_zones_of_a_dot_by_hand():
    """The map is 5 by 5: one cell is ink, the eight around it see the dot, and sixteen see nothing."""
    table = ink_zones(planted(), dot(), "relu")
    assert table["ink"].tolist() == [1, 0, 2, 0]
    assert table["edge"].tolist() == [0, 1, 2, 0]
    assert table["background"].tolist() == [0, 1, 2, 0]
    assert table["area"].tolist() == pytest.approx([24 / 25] * 4)
    assert table["outside"].tolist()[:3] == pytest.approx([0, 1, 24 / 25])
    assert np.isnan(table["outside"][3])  # 0 everywhere: there is nothing to share


def test_ink_zones_give_no_share_where_values_are_negative():
    assert ink_zones(planted(), dot(), "conv")["outside"].isna().tolist() == [False, False, False, True]


def test_ink_zones_do_not_depend_on_the_batches():
    images = np.random.default_rng(0).random((7, 9, 9, 1)).astype("float32")
    whole, parts = (ink_zones(planted(), images, "relu", batch_size=size) for size in (7, 2))
    np.testing.assert_allclose(whole, parts, rtol=1e-6)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_zones_follow_the_receptive_field(padding):
    """Behind two convolutions and pooling, cell by cell with the field's own window."""
    model = keras.Sequential(
        [
            keras.Input((15, 15, 1)),
            kl.Conv2D(1, 3, padding=padding),
            kl.MaxPooling2D(2),
            kl.Conv2D(1, 3, padding=padding, name="second"),
        ]
    )
    field, extent = receptive_field(model, "second"), model.output_shape[1:3]
    is_ink = np.random.default_rng(1).random((3, 15, 15)) > 0.97
    zones = _zones(is_ink, field, extent)
    for image, row, column in np.ndindex(zones.shape):
        middle = [
            field.offset[axis] + cell * field.stride[axis] + field.size[axis] // 2
            for axis, cell in enumerate((row, column))
        ]
        on_ink = all(0 <= place < 15 for place in middle) and is_ink[image][tuple(middle)]
        touched = is_ink[image][field.window(row, column, (15, 15))].any()
        assert zones[image, row, column] == (0 if on_ink else 1 if touched else 2)
    assert set(zones.ravel()) == {0, 1, 2}


def test_nearly_dead_finds_a_planted_group():
    means = np.array([0, 0.01, 0.02, 0.5, 0.52, 0.55, 0.6, 0.61, 0.7, 0.8])
    found = nearly_dead(np.stack([means, means[::-1]]))
    assert found["line"].tolist() == pytest.approx([0.26, 0.26])
    assert found["below"].tolist() == [3, 3]
    assert (found["p"] < 0.01).all()
    assert found["gap"][0] == pytest.approx(0.48 / 0.55)  # the sixth of ten is the median


def test_nearly_dead_looks_below_the_median_only():
    """One channel far above the others does not make the others dead."""
    found = nearly_dead(np.array([[*np.linspace(1, 2, 9), 50]]))
    assert found["line"][0] < 2
    assert found["p"][0] > 0.5


def test_nearly_dead_has_no_line_where_all_is_one_value():
    found = nearly_dead(np.zeros((1, 8)))
    assert np.isnan(found["line"][0])
    assert found["below"][0] == 0


def test_the_chance_of_the_largest_gap():
    """For values spread evenly over the range p is uniform, also by simulation of the formula."""
    rng = np.random.default_rng(0)
    lower = np.sort(rng.random((2000, 17)), axis=1)
    lower = (lower - lower[:, :1]) / (lower[:, -1:] - lower[:, :1])
    p = nearly_dead(np.hstack([lower, np.full((2000, 15), 2.0)]))["p"]
    np.testing.assert_allclose(np.percentile(p, [10, 50, 90]), [0.1, 0.5, 0.9], atol=0.04)


def noise_maps(n=200):
    """Maps of noise by a convolution without padding."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12, 12, 1)), kl.Conv2D(12, 3, activation="relu", name="conv")])
    return activations(model, np.random.default_rng(0).random((n, 12, 12, 1)).astype("float32"), "conv")


def test_place_effect_is_at_chance_for_a_convolution():
    table = position_dependence(noise_maps())
    known = table.dropna()
    assert len(known) >= 6
    assert known["ratio"].median() == pytest.approx(1, abs=0.2)
    assert (known["p"] < 0.05).sum() <= 3


def test_place_effect_keeps_its_level():
    """p is uniform over many independent sets of smooth noise, although neighbours depend on each other."""
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((100, 8, 8, 300))
    smooth = (raw + np.roll(raw, 1, axis=1) + np.roll(raw, 1, axis=2))[:, 1:, 1:]
    p = position_dependence(smooth, n_signs=200)["p"]
    assert 0.02 < (p < 0.05).mean() < 0.09
    assert 0.4 < p.mean() < 0.6


def test_place_effect_finds_a_locally_weighted_layer():
    maps = noise_maps()
    maps[:, :4, :4] *= 3
    assert (position_dependence(maps)["p"].dropna() < 0.01).all()


def test_place_effect_of_a_dead_channel_is_unknown():
    maps = np.concatenate([noise_maps()[..., :1] + 0, np.zeros((200, 10, 10, 1))], axis=-1)
    assert np.isnan(position_dependence(maps).loc[1, ["ratio", "p"]]).all()


def test_against_weight_of_a_perfect_relation():
    weight = np.linspace(-1, 1.2, 12)
    table = correlate_with_mean_weight(-(weight**3), weight)
    assert table["value"].tolist() == [-1, 1]
    assert (table["p"] < 0.01).all()
    assert (table["chance"] < 0.8).all()
    assert table["n"].tolist() == [12, 12]


def test_against_weight_agrees_with_scipy():
    from scipy.stats import mannwhitneyu, spearmanr

    rng = np.random.default_rng(0)
    weight, values = rng.standard_normal(32), rng.integers(0, 6, 32).astype(float)  # with ties
    table = correlate_with_mean_weight(values, weight)
    assert table.loc["correlation", "value"] == pytest.approx(spearmanr(values, weight).statistic)
    pairs = mannwhitneyu(values[weight < 0], values[weight >= 0]).statistic
    assert table.loc["effect", "value"] == pytest.approx(
        2 * pairs / ((weight < 0).sum() * (weight >= 0).sum()) - 1, abs=1e-12
    )


def test_against_weight_is_at_chance_for_noise():
    rng = np.random.default_rng(0)
    p = [correlate_with_mean_weight(rng.standard_normal(32), rng.standard_normal(32), 200)["p"] for _ in range(200)]
    below = (np.array(p) < 0.05).mean(axis=0)
    assert ((below > 0.01) & (below < 0.1)).all()


def test_against_weight_without_two_groups_has_no_effect():
    table = correlate_with_mean_weight(np.arange(8.0), -1 - np.arange(8.0))
    assert table.loc["correlation", "value"] == -1
    assert table.loc["effect", ["value", "low", "high", "p"]].isna().all()


def test_against_weight_leaves_unknown_channels_out():
    values = np.array([1.0, 2, 3, 4, 5, 6, np.nan])
    assert correlate_with_mean_weight(values, np.arange(-3.0, 4))["n"].tolist() == [6, 6]


def test_same_seed_same_result():
    weight, values = np.random.default_rng(0).standard_normal((2, 20))
    assert correlate_with_mean_weight(values, weight, seed=1).equals(correlate_with_mean_weight(values, weight, seed=1))
    assert position_dependence(noise_maps(), seed=1).equals(position_dependence(noise_maps(), seed=1))


def test_reverse_channels_leave_the_model_alone_also_after_an_exception(monkeypatch):
    model = planted()
    before = [weight.copy() for weight in model.get_weights()]
    ink_zones(model, dot(), "relu")
    constant_input_response(model, "conv", [0.5])

    def fail(*arguments):
        raise RuntimeError("stopped in the middle")

    monkeypatch.setattr("interp_helpers.layers._zones", fail)
    with pytest.raises(RuntimeError):
        ink_zones(model, dot(), "relu")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert "call" not in model.get_layer("relu").__dict__


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constant_input_response(planted(), "conv", 0.5), r"values: got shape \(\)"),
        (lambda: constant_input_response(planted(), "relu", [0.5]), "'relu' has no kernel"),
        (lambda: nearly_dead(np.zeros(32)), r"means: got shape \(32,\)"),
        (lambda: nearly_dead(np.zeros((1, 5))), "6 channels or more"),
        (lambda: nearly_dead(np.full((1, 8), np.nan)), "without NaN"),
        (lambda: ink_zones(planted(), dot(), "relu9"), "it has conv, relu"),
        (lambda: ink_zones(planted(), dot()[..., 0], "relu"), "images: got shape"),
        (lambda: ink_zones(planted(), dot() * 0, "relu"), "ink: every pixel or none is at least 0.5"),
        (lambda: ink_zones(planted(), dot(), "relu", ink=0), "ink: every pixel or none"),
        (lambda: ink_zones(mnist_cnn(), np.zeros((1, 28, 28, 1)), "dense1"), "give a layer with maps"),
        (lambda: position_dependence(np.zeros((5, 4, 4, 2))), r"maps: got shape \(5, 4, 4, 2\)"),
        (lambda: position_dependence(np.zeros((50, 4, 4))), "maps: got shape"),
        (lambda: correlate_with_mean_weight(np.zeros(8), np.zeros(7)), r"values: got shape \(8,\) beside \(7,\)"),
        (lambda: correlate_with_mean_weight(np.full(8, np.nan), np.zeros(8)), "0 of them known"),
    ],
)
def test_bad_requests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_batches_cover_everything_once():
    assert [list(range(7))[part] for part in batches(7, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    with pytest.raises(ValueError, match="batch_size: got 0; give a positive whole number"):
        batches(7, 0)
