"""Reverse channels: planted groups, zones by hand, statistics at their level, and the kinds of input."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from scipy.stats import mannwhitneyu, spearmanr

from interp_helpers.data import LabelledImages, load_digits
from interp_helpers.layers import activations
from interp_helpers.models import mnist_cnn
from interp_helpers.probing import receptive_field
from interp_helpers.reverse_channels import (
    _zones,
    constant_input_response,
    correlate_with_mean_weight,
    ink_zones,
    input_kinds,
    mean_digits,
    nearly_dead,
    position_dependence,
)


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


def test_constant_input_response_is_what_a_constant_picture_gives():
    model, values = mnist_cnn(seed=3), [0.0, 0.25, 1.0]
    model.get_layer("conv1").bias.assign(np.linspace(-1, 1, 32))
    flat = np.ones((3, 28, 28, 1), "float32") * np.reshape(values, (3, 1, 1, 1)).astype("float32")
    expected = constant_input_response(model, "conv1", values)
    assert expected.shape == (3, 32)
    np.testing.assert_allclose(activations(model, flat, "conv1")[:, 5, 5], expected, atol=1e-5)
    np.testing.assert_allclose(expected[0], np.linspace(-1, 1, 32), atol=1e-6)


def test_constant_input_response_of_a_layer_with_many_inputs():
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
    """After two convolutions and pooling, cell by cell with the field's own window."""
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
        on_ink = all(0 <= position < 15 for position in middle) and is_ink[image][tuple(middle)]
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


def test_nearly_even_means_with_one_gap_have_a_probability():
    """512 channels, of which 256 gaps count: the terms of the sum are as large as 10^70, and cancel."""
    means = np.linspace(0, 1, 512)
    means[100:] += 0.001
    assert nearly_dead(means[None])["p"].item() == pytest.approx(1, abs=1e-6)


def test_constant_input_response_of_layers_of_other_kinds():
    """Depthwise and transposed convolutions have their channels on other axes; with a stride the latter has none."""
    for layer in (kl.DepthwiseConv2D(2, depth_multiplier=2, name="it"), kl.Conv2DTranspose(4, 2, name="it")):
        model = keras.Sequential([keras.Input((4, 4, 3)), layer])
        constant = np.full((1, 4, 4, 3), 0.5, "float32")
        found = constant_input_response(model, "it", [0.5])[0]
        np.testing.assert_allclose(activations(model, constant, "it")[0, 1, 1], found, atol=1e-6)
    strided = keras.Sequential([keras.Input((4, 4, 3)), kl.Conv2DTranspose(4, 3, strides=2, name="it")])
    with pytest.raises(ValueError, match="layer: 'it' is a transposed convolution with a stride"):
        constant_input_response(strided, "it", [0.5])


def noise_maps(n=200):
    """Maps of noise by a convolution without padding."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12, 12, 1)), kl.Conv2D(12, 3, activation="relu", name="conv")])
    return activations(model, np.random.default_rng(0).random((n, 12, 12, 1)).astype("float32"), "conv")


def test_position_dependence_is_at_chance_for_a_convolution():
    table = position_dependence(noise_maps())
    known = table.dropna()
    assert len(known) >= 6
    assert known["ratio"].median() == pytest.approx(1, abs=0.2)
    assert (known["p"] < 0.05).sum() <= 3


def test_position_dependence_keeps_its_level():
    """p is uniform over many independent sets of smooth noise, although neighbours depend on each other."""
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((100, 8, 8, 300))
    smooth = (raw + np.roll(raw, 1, axis=1) + np.roll(raw, 1, axis=2))[:, 1:, 1:]
    p = position_dependence(smooth, n_signs=200)["p"]
    assert 0.02 < (p < 0.05).mean() < 0.09
    assert 0.4 < p.mean() < 0.6


def test_position_dependence_finds_a_locally_weighted_layer():
    maps = noise_maps()
    maps[:, :4, :4] *= 3
    assert (position_dependence(maps)["p"].dropna() < 0.01).all()


def test_position_dependence_of_a_dead_channel_is_unknown():
    maps = np.concatenate([noise_maps()[..., :1] + 0, np.zeros((200, 10, 10, 1))], axis=-1)
    assert np.isnan(position_dependence(maps).loc[1, ["ratio", "p"]]).all()


def test_correlation_with_mean_weight_of_a_perfect_relation():
    weight = np.linspace(-1, 1.2, 12)
    table = correlate_with_mean_weight(-(weight**3), weight)
    assert table["value"].tolist() == [-1, 1]
    assert (table["p"] < 0.01).all()
    assert (table["chance"] < 0.8).all()
    assert table["n"].tolist() == [12, 12]


def test_correlation_with_mean_weight_agrees_with_scipy():
    rng = np.random.default_rng(0)
    weight, values = rng.standard_normal(32), rng.integers(0, 6, 32).astype(float)  # with ties
    table = correlate_with_mean_weight(values, weight)
    assert table.loc["correlation", "value"] == pytest.approx(spearmanr(values, weight).statistic)
    pairs = mannwhitneyu(values[weight < 0], values[weight >= 0]).statistic
    assert table.loc["effect", "value"] == pytest.approx(
        2 * pairs / ((weight < 0).sum() * (weight >= 0).sum()) - 1, abs=1e-12
    )


def test_correlation_with_mean_weight_is_at_chance_for_noise():
    rng = np.random.default_rng(0)
    p = [correlate_with_mean_weight(rng.standard_normal(32), rng.standard_normal(32), 100)["p"] for _ in range(200)]
    below = (np.array(p) < 0.05).mean(axis=0)
    assert ((below > 0.01) & (below < 0.1)).all()


def test_correlation_with_mean_weight_without_two_groups_has_no_effect():
    table = correlate_with_mean_weight(np.arange(8.0), -1 - np.arange(8.0))
    assert table.loc["correlation", "value"] == pytest.approx(-1)
    assert table.loc["effect", ["value", "low", "high", "p"]].isna().all()


def test_correlation_with_mean_weight_leaves_unknown_channels_out():
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

    monkeypatch.setattr("interp_helpers.reverse_channels._zones", fail)
    with pytest.raises(RuntimeError):
        ink_zones(model, dot(), "relu")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert "call" not in model.get_layer("relu").__dict__


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constant_input_response(planted(), "conv", 0.5), r"values: got float64 of shape \(\)"),
        (lambda: constant_input_response(planted(), "relu", [0.5]), r"'relu' \(ReLU\) has no kernel"),
        (lambda: nearly_dead(np.zeros(32)), r"means: got float64 of shape \(32,\)"),
        (lambda: nearly_dead(np.zeros((1, 5))), "means: got 5 channels; give 6 or more"),
        (lambda: nearly_dead(np.full((1, 8), np.nan)), "means: there are values that are NaN"),
        (lambda: ink_zones(planted(), dot(), "relu9"), "it has conv, relu"),
        (lambda: ink_zones(planted(), dot()[..., 0], "relu"), "images: got shape"),
        (lambda: ink_zones(planted(), dot() * 0, "relu"), "ink: every pixel or none is at least 0.5"),
        (lambda: ink_zones(planted(), dot(), "relu", ink=0), "ink: every pixel or none"),
        (lambda: ink_zones(mnist_cnn(), np.zeros((1, 28, 28, 1)), "dense1"), "give a layer with feature maps"),
        (lambda: position_dependence(np.zeros((5, 4, 4, 2))), "maps: got those of 5 images"),
        (lambda: position_dependence(np.zeros((50, 4, 4))), "maps: got float64 of shape"),
        (lambda: correlate_with_mean_weight(np.zeros(8), np.zeros(7)), r"mean_weight: got float64 of shape \(7,\)"),
        (lambda: correlate_with_mean_weight(np.full(8, np.nan), np.zeros(8)), "values: 0 channels have both values"),
    ],
)
def test_bad_requests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- kinds of input --------------------------------------------------------------------------------------------------


def two_classes():
    """Three pictures of each of two classes, mixed: class 4 is 0, 0.1, 0.2 everywhere, class 7 is 0.6, 0.7, 0.8."""
    levels = np.array([0.6, 0.0, 0.1, 0.7, 0.2, 0.8], np.float32)
    images = np.ones((6, 5, 5, 1), np.float32) * levels.reshape(6, 1, 1, 1)
    return LabelledImages(images, np.array([7, 4, 4, 7, 4, 7]), "made here")


def test_mean_digits_by_hand():
    means = mean_digits(two_classes())
    assert means.labels.tolist() == [4, 7]
    assert means.images.shape == (2, 5, 5, 1)
    assert means.images[:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.7])


def test_mean_digits_are_those_of_500():
    digits = load_digits()
    means = mean_digits(digits)
    assert_means = np.stack([digits.images[500 * k : 500 * (k + 1)].mean(axis=0) for k in range(10)])
    np.testing.assert_allclose(means.images, assert_means, rtol=1e-5)  # float32 sums in another order
    assert means.labels.tolist() == list(range(10))


def test_input_kinds_by_hand():
    ideal = np.zeros((2, 5, 5, 1), np.float32)
    kinds = input_kinds(two_classes(), ideal, index=1)
    assert list(kinds) == [
        "digit", "mean", "ideal", "uniform noise", "digit + source's noise", "digit + zero-mean noise"
    ]  # fmt: skip
    assert all(images.shape == (2, 5, 5, 1) and images.dtype == np.float32 for images in kinds.values())
    assert kinds["digit"][:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.7])
    assert kinds["mean"][:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.7])
    assert np.array_equal(kinds["ideal"], ideal)
    assert 0 <= kinds["uniform noise"].min() < kinds["uniform noise"].max() <= 1
    assert not np.array_equal(*kinds["uniform noise"])
    # flat pictures have no spread: the source's noise doubles them, and without its mean nothing is left
    np.testing.assert_allclose(kinds["digit + source's noise"], 2 * kinds["digit"], atol=1e-6)
    np.testing.assert_allclose(kinds["digit + zero-mean noise"], kinds["digit"], atol=1e-6)


def test_noise_has_the_mean_and_spread_of_the_image():
    digits = load_digits()
    kinds = input_kinds(digits, np.zeros((10, 28, 28, 1)))
    noise = kinds["digit + source's noise"] - kinds["digit"]
    level, spread = kinds["digit"].mean(axis=(1, 2, 3)), kinds["digit"].std(axis=(1, 2, 3))
    np.testing.assert_allclose(noise.mean(axis=(1, 2, 3)), level, atol=0.05)
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), spread, rtol=0.1)
    centred = kinds["digit + zero-mean noise"] - kinds["digit"]
    np.testing.assert_allclose(noise - centred, np.ones_like(noise) * level.reshape(10, 1, 1, 1), atol=1e-5)


def test_input_kinds_same_seed_same_noise_and_the_digits_stay():
    digits = load_digits()
    before = digits.images.copy()
    ideal = np.zeros((10, 28, 28, 1))
    one, same, other = (input_kinds(digits, ideal, seed=seed)["uniform noise"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(digits.images, before)


@pytest.mark.parametrize(
    ("ideal", "index", "message"),
    [
        (
            np.zeros((3, 5, 5, 1)),
            0,
            r"ideal: got float64 of shape \(3, 5, 5, 1\); give real numbers of shape \(2, 5, 5, 1\)",
        ),
        (np.zeros((2, 5, 5, 1)), 3, "index: got 3; give a whole number, 0 to 2"),
        (np.zeros((2, 5, 5, 1)), -1, "index: got -1"),
    ],
)
def test_bad_kinds_are_refused(ideal, index, message):
    with pytest.raises(ValueError, match=message):
        input_kinds(two_classes(), ideal, index)


def test_no_mean_of_nothing():
    with pytest.raises(ValueError, match="digits: there is no image"):
        mean_digits(two_classes().subset(slice(0)))
