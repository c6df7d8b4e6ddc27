import keras
import numpy as np
import pytest
from keras import layers as kl
from scipy.ndimage import zoom
from test_oracles import GOLDEN, MODELS, agree, cases, golden, networks, one_image

from interp_helpers import keras_vis
from interp_helpers.attribution import magnitude, saliency
from interp_helpers.data import load_digits
from interp_helpers.keras_vis import (
    apply_modifications,
    find_layer_idx,
    visualize_activation,
    visualize_cam,
    visualize_saliency,
)
from interp_helpers.models import load_checkpoint, mnist_cnn

KERAS_VIS = "keras_vis_041"
MODIFIER = {"none": None, "guided": "guided", "relu": "relu"}


@pytest.fixture(scope="module")
def model():
    return load_checkpoint("mnist_cnn")


@pytest.fixture(scope="module")
def digit():
    return load_digits().images[1100]


def logits(network):
    return find_layer_idx(network, "logits")


# --- parity with keras-vis 0.4.1 -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the map")
def test_raw_gradients_agree_with_keras_vis():
    """Also the blank guided maps of negative scores; not the residual network, of which keras-vis makes another one."""
    compared = blank = 0
    for network, kind, modifier, image, k in cases(KERAS_VIS, "saliency"):
        if modifier not in MODIFIER or (network == "residual" and modifier != "none"):
            continue
        model, expected = MODELS[network], golden(KERAS_VIS, network, kind, modifier, image, k)
        found = keras_vis._input_gradient(
            model, logits(model), int(k[5:]), one_image(network, image), MODIFIER[modifier]
        )
        agree(found[0], expected)
        compared, blank = compared + 1, blank + (not expected.any())
    assert compared >= 40
    assert 0 < blank < compared


@pytest.mark.filterwarnings("ignore:the map")
def test_scaled_maps_agree_with_keras_vis():
    compared = 0
    for network, _, modifier, image, k in cases(KERAS_VIS, "saliency_normalized"):
        if modifier not in MODIFIER or (network == "residual" and modifier != "none"):
            continue
        model = MODELS[network]
        arguments = (model, logits(model), int(k[5:]), one_image(network, image)[0], MODIFIER[modifier])
        agree(
            visualize_saliency(*arguments),
            golden(KERAS_VIS, network, "saliency_normalized", modifier, image, k),
        )
        compared += 1
    assert compared >= 6


@pytest.mark.filterwarnings("ignore:the map")
@pytest.mark.parametrize("network", ["digits", "colour"])
def test_cam_is_that_of_keras_vis_stretched_by_cubic_splines(network):
    model, image = MODELS[network], "image0"
    for modifier, name in MODIFIER.items():
        for k in networks.CLASSES[network]:
            expected = golden(KERAS_VIS, network, "cam/heatmap", modifier, image, f"class{k}")
            expected = zoom(expected, np.array(GOLDEN["inputs"][f"{network}/images"].shape[1:3]) / expected.shape)
            expected = (expected - expected.min()) / (np.ptp(expected) + 1e-7)
            found = visualize_cam(model, logits(model), k, one_image(network, image), backprop_modifier=name)
            np.testing.assert_allclose(found, expected, atol=1e-3)  # a heatmap of 1e-4 meets the 1e-7 of the scaling


@pytest.mark.parametrize("k", [1, 3, 5])
def test_activation_maximization_agrees_with_keras_vis(k):
    model, start = MODELS["digits"], GOLDEN["inputs"]["digits/activation_seed"]
    found = visualize_activation(model, logits(model), k, seed_input=start, input_range=(0.0, 1.0), max_iter=10)
    agree(found, golden(KERAS_VIS, "digits/activation/image/steps10", f"class{k}"))


# --- the calls of the tutorial ---------------------------------------------------------------------------------------


def test_the_listing_of_the_tutorial_runs(model, digit):
    """Section 3.3: find the last layer, make it linear, draw; the softmax is a layer of its own here."""
    index = find_layer_idx(model, "probabilities")
    model.layers[index].activation = keras.activations.linear
    linear = apply_modifications(model)
    del model.layers[index].activation
    for modifier in (None, "guided", "relu"):
        for draw in (visualize_saliency, visualize_cam):
            seen = draw(linear, index, filter_indices=2, seed_input=digit, backprop_modifier=modifier)
            assert seen.shape == (28, 28)
            assert seen.min() == 0
            assert seen.max() == pytest.approx(1, abs=1e-4)
    expected = magnitude(saliency(model, digit[None], 2))[0]
    seen = visualize_saliency(linear, index, filter_indices=2, seed_input=digit)
    np.testing.assert_allclose(seen, (expected - expected.min()) / np.ptp(expected), atol=1e-5)


def test_apply_modifications_of_an_activation_inside_a_layer():
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3, activation="softmax", name="head")])
    model.layers[-1].activation = keras.activations.linear
    linear = apply_modifications(model)
    assert linear.layers[-1].activation is keras.activations.linear
    assert linear is not model
    x = np.ones((1, 4), "float32")
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(linear(x), x @ kernel + bias, rtol=1e-6)


def test_channels_first_and_batched_images_are_understood(model, digit):
    index = logits(model)
    maps = [visualize_saliency(model, index, 2, seed) for seed in (digit, digit[None], digit.transpose(2, 0, 1))]
    assert np.array_equal(maps[0], maps[1])
    assert np.array_equal(maps[0], maps[2])


def test_several_filters_are_summed(model, digit):
    index = logits(model)
    two = keras_vis._input_gradient(model, index, [2, 3], digit, None)
    each = [keras_vis._input_gradient(model, index, k, digit, None) for k in (2, 3)]
    np.testing.assert_allclose(two, sum(each), atol=1e-6)


def test_filters_of_a_convolution_are_averaged_over_their_map(model, digit):
    found = keras_vis._input_gradient(model, find_layer_idx(model, "conv2"), 7, digit, None)
    np.testing.assert_allclose(found, saliency(model, digit[None], 7, "conv2", pool="mean"), atol=1e-7)


def test_gradient_modifiers(model, digit):
    index = logits(model)
    raw = keras_vis._input_gradient(model, index, 2, digit, None)[0, ..., 0]
    scaled = lambda a: (a - a.min()) / np.ptp(a)  # noqa: E731
    for name, expected in {None: raw, "negate": -raw, "relu": np.maximum(raw, 0)}.items():
        seen = visualize_saliency(model, index, 2, digit, grad_modifier=name)
        np.testing.assert_allclose(seen, scaled(expected), atol=1e-5)
    seen = visualize_saliency(model, index, 2, digit, grad_modifier=np.square)
    np.testing.assert_allclose(seen, scaled(raw**2), atol=1e-5)


def test_colorize_gives_the_picture_of_0_4_1(model, digit):
    for draw in (visualize_saliency, visualize_cam):
        picture = draw(model, logits(model), 2, digit, colorize=True)
        assert picture.shape == (28, 28, 3)
        assert picture.dtype == np.uint8


def test_activation_comes_in_the_range_that_was_asked_for(model):
    index = logits(model)
    as_bytes = visualize_activation(model, index, 3, max_iter=3)
    assert as_bytes.dtype == np.uint8
    as_floats = visualize_activation(model, index, 3, input_range=(0.0, 1.0), max_iter=3)
    assert as_floats.shape == (28, 28, 1)
    assert 0 <= as_floats.min() <= as_floats.max() <= 1
    again = visualize_activation(model, index, 3, input_range=(0.0, 1.0), max_iter=3)
    assert np.array_equal(as_floats, again)


def test_the_model_comes_back_unchanged(digit):
    model = mnist_cnn()
    config, weights = model.to_json(), model.get_weights()
    visualize_saliency(model, logits(model), 2, digit, "guided")
    visualize_cam(model, logits(model), 2, digit, backprop_modifier="relu")
    visualize_activation(model, logits(model), 2, max_iter=2)
    apply_modifications(model)
    assert model.to_json() == config
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: find_layer_idx(m, "conv9"), "no layer 'conv9'; it has"),
        (lambda m, x: visualize_saliency(m, 99, 0, x), "layer_idx: got 99"),
        (lambda m, x: visualize_saliency(m, logits(m), 10, x), "filter_indices: got 10"),
        (lambda m, x: visualize_saliency(m, logits(m), 0, x[:20]), "images: got shape"),
        (lambda m, x: visualize_saliency(m, logits(m), 0, x * np.nan), "NaN"),
        (lambda m, x: visualize_saliency(m, logits(m), 0, x, "deconvnet"), "backprop_modifier: got"),
        (lambda m, x: visualize_saliency(m, logits(m), 0, x, grad_modifier="abs"), "grad_modifier: got"),
        (lambda m, x: visualize_saliency(m, logits(m), 0, np.stack([x, x])), "seed_input: got 2 images"),
        (lambda m, x: visualize_activation(m, logits(m), 0, input_range=(0, 1)), "give floats"),
        (lambda m, x: visualize_cam(m, 0, 0, x), "no convolution or pooling before"),
        (lambda m, x: visualize_cam(m, 3, 0, x, penultimate_layer_idx=5), "penultimate_layer_idx: got"),
        (lambda m, x: visualize_activation(m, logits(m), 0, input_range=(1, 0)), "low < high"),
        (lambda m, x: visualize_activation(m, logits(m), 0, act_max_weight=0), "act_max_weight"),
        (lambda m, x: visualize_activation(m, logits(m), 0, grad_modifier="relu"), "grad_modifier"),
    ],
)
def test_bad_input_is_refused(model, digit, call, message):
    with pytest.raises(ValueError, match=message):
        call(model, digit)


def test_a_blank_map_warns_and_says_why(model, digit):
    index = logits(model)
    negative = int(model.get_layer("logits").output.shape[-1] - 1)
    with pytest.warns(UserWarning, match="blanks every class whose score is negative"):
        visualize_saliency(model, index, negative, digit, "guided")
