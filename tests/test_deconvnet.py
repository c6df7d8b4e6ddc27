import keras
import numpy as np
import pytest
from keras import layers as kl
from scipy.linalg import convolution_matrix

from interp_helpers.attribution import saliency
from interp_helpers.data import load_digits
from interp_helpers.deconvnet import deconvnet, max_pool_with_switches, unpool
from interp_helpers.layers import activations
from interp_helpers.models import load_checkpoint, mnist_cnn

RNG = np.random.default_rng(0)


def test_the_edge_detector_has_orthogonal_rows():
    edge, other = (convolution_matrix(kernel, 12, "valid")[::2] for kernel in ([1, 0, 0, -1], [4, 3, 2, 1]))
    np.testing.assert_array_equal(edge @ edge.T, 2 * np.eye(5))
    assert np.abs(other @ other.T - np.diag(np.diag(other @ other.T))).max() > 1


# --- unpooling -------------------------------------------------------------------------------------------------------


def test_unpooling_puts_every_maximum_back():
    maps = RNG.normal(size=(2, 6, 4, 3)).astype("float32")
    pooled, switches = max_pool_with_switches(maps)
    back = unpool(pooled, switches, maps.shape[1:]).numpy()
    np.testing.assert_array_equal(back[back != 0], maps[back != 0])
    assert (back != 0).sum() == maps.size / 4
    np.testing.assert_array_equal(max_pool_with_switches(np.where(back == 0, -9, back))[0], pooled)


# --- the DeconvNet ---------------------------------------------------------------------------------------------------


def chain(seed=0, **options):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((12, 12, 2)),
            kl.Conv2D(4, 3, name="conv1", bias_initializer="random_normal", **options),
            kl.ReLU(name="relu1"),
            kl.MaxPooling2D(2, name="pool"),
            kl.Dropout(0.5),
            kl.Conv2D(3, 2, activation="relu", name="conv2"),
        ]
    )


@pytest.mark.parametrize("layer", ["relu1", "pool", "conv2"])
@pytest.mark.parametrize("options", [{}, {"padding": "same"}, {"strides": 2, "padding": "same"}])
def test_deconvnet_is_rectified_saliency_times_the_activation(layer, options):
    model = chain(**options)
    images = RNG.random((3, 12, 12, 2)).astype("float32")
    for channel in range(3):
        value = activations(model, images, layer)[..., channel].max(axis=(1, 2))
        expected = saliency(model, images, channel, layer=layer, rule="deconvnet")
        np.testing.assert_allclose(
            deconvnet(model, images, layer, channel), value[:, None, None, None] * expected, atol=1e-5
        )


def test_deconvnet_of_the_shipped_network():
    model, images = load_checkpoint("mnist_cnn"), load_digits().images[::1000]
    value = activations(model, images, "relu2")[..., 7].max(axis=(1, 2))
    expected = saliency(model, images, 7, layer="relu2", rule="deconvnet") * value[:, None, None, None]
    np.testing.assert_allclose(deconvnet(model, images, "relu2", 7), expected, atol=1e-5)


def test_identity_filters_bring_the_brightest_pixel_back():
    model = keras.Sequential([keras.Input((6, 6, 1)), kl.Conv2D(1, 3, padding="same", name="c"), kl.ReLU(name="r")])
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    model.set_weights([kernel, np.zeros(1)])
    image = np.full((1, 6, 6, 1), 0.2, "float32")
    image[0, 2, 4] = 0.9
    back = deconvnet(model, image, "r", 0)
    assert back[0, 2, 4, 0] == pytest.approx(0.9)
    assert np.count_nonzero(back) == 1
    np.testing.assert_allclose(deconvnet(model, image, "r", 0, keep="all"), image, rtol=1e-6)


def test_a_linear_activation_is_walked_back_unchanged():
    plain = keras.Sequential([keras.Input((8, 8, 1)), kl.Conv2D(3, 3, name="c"), kl.Conv2D(2, 3), kl.ReLU(name="r")])
    layers = [kl.Conv2D(3, 3, name="c"), kl.Activation("linear"), kl.Conv2D(2, 3), kl.ReLU(name="r")]
    written_out = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    written_out.set_weights(plain.get_weights())
    image = RNG.random((1, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(deconvnet(plain, image, "r", 0), deconvnet(written_out, image, "r", 0), atol=1e-6)


def test_a_shifted_picture_has_a_shifted_reconstruction():
    model = keras.Sequential(
        [keras.Input((16, 16, 1)), kl.Conv2D(4, 3, name="c"), kl.ReLU(), kl.Conv2D(2, 3), kl.ReLU(name="r")]
    )
    image = np.zeros((1, 16, 16, 1), "float32")
    image[0, 5:8, 5:8, 0] = RNG.random((3, 3))
    moved = np.roll(image, (2, 3), axis=(1, 2))
    back = [deconvnet(model, picture, "r", 1) for picture in (image, moved)]
    np.testing.assert_allclose(np.roll(back[0], (2, 3), axis=(1, 2)), back[1], atol=1e-6)


def test_weights_above_the_layer_do_not_matter():
    model, images = mnist_cnn(), load_digits().images[:2]
    before = deconvnet(model, images, "relu2", 3)
    model.get_layer("dense1").set_weights([w * 0 for w in model.get_layer("dense1").get_weights()])
    np.testing.assert_array_equal(deconvnet(model, images, "relu2", 3), before)


def test_the_model_comes_back_unchanged():
    model = chain()
    config, weights = model.to_json(), model.get_weights()
    deconvnet(model, RNG.random((1, 12, 12, 2)).astype("float32"), "conv2", 0)
    assert model.to_json() == config
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("conv9", 0), "no layer 'conv9'"),
        (("conv2", 3), "channel: got 3"),
        (("conv2", 1.5), "channel: got 1.5"),
        (("conv2", 0, "some"), "keep: got 'some'"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        deconvnet(chain(), np.zeros((1, 12, 12, 2), "float32"), *arguments)


def test_layers_without_a_way_back_are_refused():
    for layer in (kl.AveragePooling2D(2), kl.BatchNormalization(), kl.MaxPooling2D(3, strides=2), kl.LeakyReLU()):
        model = keras.Sequential([keras.Input((8, 8, 1)), layer, kl.Conv2D(2, 3, name="c")])
        with pytest.raises(ValueError, match="cannot be inverted"):
            deconvnet(model, np.zeros((1, 8, 8, 1), "float32"), "c", 0)
