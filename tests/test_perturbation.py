"""Networks with known answers: a channel that alone feeds class 3, a dead channel, a channel that is only a bias."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from scipy.stats import binomtest

from interp_helpers import perturbation, variation
from interp_helpers.data import load_digits
from interp_helpers.engine.resume import resume_after
from interp_helpers.models import load_checkpoint, logits_model
from interp_helpers.perturbation import DIRECTIONS, move_weights, perturb_layer, rank_layers
from interp_helpers.variation import vary_channel, without_channels


def branched():
    """A network with a skip connection around one convolution, a model inside it, and activations within layers."""
    keras.utils.set_random_seed(2)
    inner = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(3, 3, padding="same", name="inside")], name="inner")
    inputs = keras.Input((6, 6, 1))
    first = layers.Conv2D(3, 3, padding="same", activation="relu", name="first")(inputs)
    second = layers.DepthwiseConv2D(3, padding="same", activation="tanh", name="deep")(first)
    added = layers.Add(name="add")([first, second, inner(first)])
    flat = layers.Flatten()(layers.BatchNormalization()(added))
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="answers")(flat))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layer", ["first", "deep", "inside", "answers"])
def test_steps_are_those_of_setting_weights(layer, direction):
    model = branched()
    images = np.random.default_rng(1).random((40, 6, 6, 1)).astype(np.float32)
    labels = model.predict(images, verbose=0).argmax(axis=1)
    curve = perturb_layer(model, layer, images, labels, 6, 0.5, direction, seed=5, batch_size=16)
    by_hand = []
    for step in range(7):
        moved = move_weights(model, layer, 0.5 * step, direction, seed=5)
        by_hand.append((moved.predict(images, verbose=0).argmax(axis=1) == labels).mean())
    assert by_hand[0] == 1
    np.testing.assert_allclose(curve["accuracy"], by_hand)
    if (layer, direction) != ("answers", "constant"):
        assert min(by_hand) < 1


def test_steps_and_intervals_of_the_shipped_network():
    model, digits = load_checkpoint("mnist_cnn"), load_digits().subset(slice(0, 5000, 50))
    before = model.get_weights()
    curve = perturb_layer(model, "conv2", digits.images, digits.labels, 5, 0.05, relative=False)
    assert curve["distance"].tolist() == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25])
    for step, row in curve.iterrows():
        layer = model.get_layer("conv2")
        layer.set_weights([w + 0.05 * step for w in before[2:4]])
        n_right = (model.predict(digits.images, verbose=0).argmax(axis=1) == digits.labels).sum()
        layer.set_weights(before[2:4])
        assert row["accuracy"] == n_right / 100
        interval = binomtest(int(n_right), 100).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == (interval.low, interval.high)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_constant_in_the_last_layer_changes_no_answer():
    model, digits = load_checkpoint("mnist_cnn"), load_digits().subset(slice(0, 5000, 50))
    curve = perturb_layer(model, "logits", digits.images, digits.labels, 50, 0.005, relative=False)
    assert curve["accuracy"].nunique() == 1
    assert perturb_layer(model, "logits", digits.images, digits.labels, 5, 2, "sign")["accuracy"].nunique() > 1


def test_relative_steps_do_not_see_the_scale_of_the_weights():
    """A ReLU passes positive factors on: ten times conv1 and a tenth of conv2's kernel is the same function."""
    model, same = load_checkpoint("mnist_cnn"), load_checkpoint("mnist_cnn")
    digits = load_digits().subset(slice(0, 5000, 50))
    for name, factors in (("conv1", (10, 10)), ("conv2", (0.1, 1))):
        layer = same.get_layer(name)
        layer.set_weights([w * f for w, f in zip(layer.get_weights(), factors, strict=True)])
    options = {"steps": 4, "size": 0.4, "direction": "sign"}
    curves = [perturb_layer(one, "conv1", digits.images, digits.labels, **options) for one in (model, same)]
    np.testing.assert_allclose(curves[0]["accuracy"], curves[1]["accuracy"], atol=0.011)


def test_directions_have_the_same_length_per_weight(planted):
    for direction in DIRECTIONS:
        line = perturbation._direction(load_checkpoint("mnist_cnn").get_layer("dense1"), direction, 0, relative=False)
        assert np.sqrt((line["kernel"] ** 2).mean()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("layer", ["Conv1", "block_6_depthwise", "predictions"])
def test_scores_of_a_network_of_keras_applications(layer):
    """Its answers are ties, as its weights are random; so the scores behind them are compared."""
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=5)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    found = model.get_layer(layer)
    line = perturbation._direction(found, "gaussian", 0, relative=True)
    start, along, rest = resume_after(model, found, images, line)
    one_pass = [rest(start), rest(start + 2 * along)]
    for distance, reached in zip((0, 2), one_pass, strict=True):
        expected = logits_model(move_weights(model, layer, distance, "gaussian")).predict(images, verbose=0)
        np.testing.assert_allclose(reached, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert np.abs(one_pass[1] - one_pass[0]).max() > 0.1 * np.abs(one_pass[0]).max()


def test_one_output_is_the_score_of_class_1():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten(), layers.Dense(1, "sigmoid", name="yes")])
    images = np.random.default_rng(0).normal(size=(50, 2, 2, 1)).astype(np.float32)
    labels = (model.predict(images, verbose=0)[:, 0] > 0.5).astype(int)
    curve = perturb_layer(model, "yes", images, labels, 3, -1.0)
    assert curve["accuracy"][0] == 1
    assert curve["accuracy"][3] < 1


def test_ranking_numbers_of_a_straight_line():
    line = pd.DataFrame({"layer": "a", "direction": "sign", "seed": 0, "distance": [0.0, 1.0, 2.0, 4.0]})
    falling = rank_layers(line.assign(accuracy=[0.9, 0.7, 0.5, 0.1]), chance=0.1)
    assert falling["area"].item() == pytest.approx(0.5)
    assert falling["half"].item() == pytest.approx(2)
    between = rank_layers(line.assign(accuracy=[0.9, 0.6, 0.4, 0.1]), chance=0.1)
    assert between["half"].item() == pytest.approx(1.5)
    level = rank_layers(line.assign(accuracy=0.9), chance=0.1)
    assert level["area"].item() == pytest.approx(0.9)
    assert level["half"].item() == np.inf
    backwards = line.assign(distance=-line["distance"], accuracy=[0.9, 0.6, 0.4, 0.1])
    assert rank_layers(backwards, chance=0.1)["half"].item() == pytest.approx(-1.5)


@pytest.mark.parametrize("call", ["perturb_layer", "vary_channel", "without_channels"])
def test_the_network_is_unchanged_after_an_exception(planted, pixels, unchanged, monkeypatch, call):
    def fail(*arguments, **options):
        raise RuntimeError("in the middle")

    labels = np.zeros(6, int)
    monkeypatch.setattr(perturbation, "predicted_class", fail)
    monkeypatch.setattr(variation, "predicted_class", fail)
    monkeypatch.setattr(np, "take_along_axis", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        {
            "perturb_layer": lambda: perturb_layer(planted, "conv", pixels, labels),
            "vary_channel": lambda: vary_channel(planted, "conv", pixels, on="weights"),
            "without_channels": lambda: without_channels(planted, "relu", pixels, labels),
        }[call]()


def test_moved_weights_are_those_of_a_copy(planted, unchanged):
    assert move_weights(planted, "conv", 1.0).get_layer("conv").get_weights()[0].ravel()[0] > 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x, y: perturb_layer(m, "nonesuch", x, y), "no layer 'nonesuch'; it has conv, relu"),
        (lambda m, x, y: perturb_layer(m, "relu", x, y), "'relu' is a ReLU; give a convolution or dense layer: conv"),
        (lambda m, x, y: perturb_layer(m, "conv", x[:, :3], y), "images: got shape"),
        (lambda m, x, y: perturb_layer(m, "conv", x, y[:2]), r"labels: got int64 of shape \(2,\); give 6 integers"),
        (lambda m, x, y: perturb_layer(m, "conv", x, y + 5), "labels: got 5 to 5; the model has classes 0 to 4"),
        (lambda m, x, y: perturb_layer(m, "conv", x, y, direction="up"), "direction: got 'up'; give one of 'constant'"),
        (lambda m, x, y: perturb_layer(m, "conv", x, y, steps=0), "steps: got 0"),
        (lambda m, x, y: perturb_layer(m, "conv", x, y, size=np.nan), "size: got nan"),
        (lambda m, x, y: move_weights(m, "average", 1.0), "'average' is a GlobalAveragePooling2D"),
        (lambda m, x, y: vary_channel(m, "relu", x, on="weights"), "'relu' is a ReLU"),
        (lambda m, x, y: vary_channel(m, "relu", x, method="explode"), "method: got 'explode'; give one"),
        (lambda m, x, y: vary_channel(m, "relu", x, on="biases"), "on: got 'biases'"),
        (lambda m, x, y: vary_channel(m, "relu", x, channels=[4]), r"channels: got \[4\]; there are channels 0 to 3"),
        (lambda m, x, y: vary_channel(m, "relu", x, target=5), "target: got 5; the model has 5 outputs"),
        (lambda m, x, y: vary_channel(m, "relu", x, target=[1, 2]), "give an integer, 6 integers"),
        (lambda m, x, y: vary_channel(m, "relu", x, size=[1.0, 2.0]), r"size: got shape \(2,\)"),
        (lambda m, x, y: vary_channel(m, "average", x, method="shake"), "'shake' needs a standard deviation"),
        (lambda m, x, y: vary_channel(m, "conv", x, method="shake", on="weights"), "a channel of 'conv' is one number"),
        (lambda m, x, y: vary_channel(m, "relu", x, channels=[]), r"channels: got \[\]"),
        (lambda m, x, y: vary_channel(m, "relu", x, batch_size=-1), "batch_size: got -1"),
        (lambda m, x, y: without_channels(m, "relu", x, y, [(0, 7)]), r"groups: got \(0, 7\)"),
        (lambda m, x, y: without_channels(m, "relu", x, y, [1]), r"groups: got \[1\]"),
        (lambda m, x, y: perturb_layer(m, "conv", x, y, size=0), "size: got 0"),
        (lambda m, x, y: perturb_layer(m, "conv", x, y, size=1e38, relative=False), "size: the logits are not finite"),
        (lambda m, x, y: rank_layers(pd.DataFrame({"layer": []}), 0.1), "curves: has no column direction"),
        (lambda m, x, y: rank_layers(pd.concat([perturb_layer(m, "conv", x, y)] * 2), 0.1), "do not go one way"),
        (lambda m, x, y: vary_channel(branched(), "deep", x, on="weights"), "'deep' is a DepthwiseConv2D; .* first, i"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(planted, pixels, unchanged, call, message):
    with pytest.raises(ValueError, match=message):
        call(planted, pixels, np.zeros(6, np.int64))


def test_a_layer_called_twice_is_refused():
    shared = layers.Conv2D(1, 1, name="shared")
    inputs = keras.Input((3, 3, 1))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(shared(shared(inputs)))))
    with pytest.raises(ValueError, match="'shared' is called 2 times"):
        perturb_layer(model, "shared", np.zeros((2, 3, 3, 1), np.float32), np.zeros(2, int), relative=False)


def same_kernels():
    """A convolution whose weights are all the same."""
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3, kernel_initializer="ones", name="flat")])
    model.add(layers.GlobalAveragePooling2D())
    return model


class Normalized(layers.Conv2D):
    """A convolution that divides its kernel by its own standard deviation, as weight standardization does."""

    def call(self, inputs):
        kernel = self.kernel / (keras.ops.std(self.kernel) + 1e-6)
        return keras.ops.conv(inputs, kernel, padding="valid")


def normalized():
    model = keras.Sequential([keras.Input((4, 4, 1)), Normalized(2, 3, name="own")])
    model.add(layers.GlobalAveragePooling2D())
    return model


def channels_first():
    model = keras.Sequential([keras.Input((1, 4, 4)), layers.Conv2D(2, 3, data_format="channels_first", name="conv")])
    model.add(layers.Flatten(data_format="channels_first"))
    model.add(layers.Dense(2))
    return model


class Tied(layers.Conv2D):
    """A convolution with the kernel of another one."""

    def build(self, input_shape):
        self.shared = self.other._kernel
        self.built = True

    def call(self, inputs):
        return keras.ops.conv(inputs, self.shared, padding="same")


def tied():
    inputs = keras.Input((4, 4, 1))
    first, second = layers.Conv2D(1, 3, padding="same", name="first"), Tied(1, 3, padding="same", name="second")
    between = first(inputs)
    second.other = first
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(second(between))))


@pytest.mark.parametrize(
    ("model", "layer", "message"),
    [
        (same_kernels, "flat", "all weights of 'flat' are the same"),
        (normalized, "own", "'own' outputs is not linear in its kernel"),
        (channels_first, "conv", "'conv' has its channels first"),
        (tied, "first", "'first' shares its weights with second"),
    ],
)
def test_layers_that_would_give_wrong_numbers_are_refused(model, layer, message):
    keras.utils.set_random_seed(0)
    model = model()
    images = np.ones((3, *model.input_shape[1:]), np.float32)
    with pytest.raises(ValueError, match=message):
        perturb_layer(model, layer, images, np.zeros(3, int))


def test_half_precision_networks_are_perturbed_in_full():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = branched()
    finally:
        keras.config.set_dtype_policy("float32")
    images = np.random.default_rng(1).random((40, 6, 6, 1)).astype(np.float32)
    reached = logits_model(model).predict(images, verbose=0)
    curve = perturb_layer(model, "first", images, reached.argmax(axis=1), 3, 0.5, "sign")
    assert curve["accuracy"][0] >= 0.95  # bfloat16 has three digits
    assert curve["accuracy"][3] < 1


def test_curves_over_different_distances_are_not_compared():
    line = pd.DataFrame({"direction": "sign", "seed": 0, "distance": [0.0, 1.0], "accuracy": [0.1, 0.1]})
    both = pd.concat([line.assign(layer="a"), line.assign(layer="b", distance=[0.0, 2.0])])
    with pytest.raises(ValueError, match=r"go over distances of \[1.0, 2.0\]"):
        rank_layers(both, chance=0.1)
    assert np.isnan(rank_layers(line.assign(layer="a"), chance=0.1)["half"].item())
