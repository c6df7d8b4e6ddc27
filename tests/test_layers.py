import keras
import numpy as np
import pytest
from keras import layers as kl

from interp_helpers.engine.hooks import batches
from interp_helpers.layers import activations, channel_weights, sparsity
from interp_helpers.models import load_checkpoint, mnist_cnn


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
    assert table["contains_zero"].tolist() == [False, False, True]
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
    with pytest.raises(ValueError, match=r"'relu' \(ReLU\) has no kernel"):
        channel_weights(hand_made(), "relu")


def test_a_transposed_convolution_has_its_outputs_on_the_axis_before_the_last():
    """Three channels from two: the sums of what a single 1 in one input channel spreads to each of them."""
    model = keras.Sequential([keras.Input((3, 3, 2)), kl.Conv2DTranspose(3, 2, name="up")])
    pixel = np.zeros((2, 3, 3, 2), np.float32)
    pixel[[0, 1], 1, 1, [0, 1]] = 1
    expected = activations(model, pixel, "up").sum(axis=(0, 1, 2)) / 8
    assert channel_weights(model, "up")["mean_weight"].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_depthwise_convolution_has_a_kernel_for_each_channel_and_multiplier():
    model = keras.Sequential([keras.Input((5, 5, 3)), kl.DepthwiseConv2D(2, depth_multiplier=2, name="depth")])
    flat = np.ones((1, 5, 5, 3), np.float32)
    table = channel_weights(model, "depth")
    assert table["mean_weight"].tolist() == pytest.approx((activations(model, flat, "depth")[0, 0, 0] / 4).tolist())
    assert table["reverse"].tolist() == (table["mean_weight"] < 0).tolist()


@pytest.mark.parametrize(
    "layer",
    [
        kl.SeparableConv2D(4, 3, name="it"),
        kl.Permute((3, 1, 2), name="it"),
        kl.Lambda(lambda values: values[..., ::-1], output_shape=(3, 3, 4), name="it"),
    ],
)
def test_layers_without_a_kernel_for_each_channel_are_refused(layer):
    """Also where a convolution comes before: its kernels are not those of these channels."""
    model = keras.Sequential([keras.Input((5, 5, 1)), kl.Conv2D(4, 3, name="conv"), layer])
    with pytest.raises(ValueError, match=r"layer: 'it' .* has no kernel for each channel"):
        channel_weights(model, "it")


def test_counts_and_seeds_are_checked():
    with pytest.raises(ValueError, match="n_bootstrap: got 0"):
        channel_weights(hand_made(), "conv", n_bootstrap=0)
    with pytest.raises(ValueError, match="seed: got -1"):
        channel_weights(hand_made(), "conv", seed=-1)


def test_batches_cover_everything_once():
    assert [list(range(7))[part] for part in batches(7, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    with pytest.raises(ValueError, match="batch_size: got 0; give a whole number, 1 or more"):
        batches(7, 0)
