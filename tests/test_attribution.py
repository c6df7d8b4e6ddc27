import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from interp_helpers import attribution
from interp_helpers.attribution import METHODS as METHODS_BY_NAME
from interp_helpers.attribution import (
    class_activation_map,
    edges,
    explain,
    grad_cam,
    guided_grad_cam,
    integrated_gradients,
    magnitude,
    occlusion_map,
    random_map,
    saliency,
    smoothgrad,
)
from interp_helpers.engine import gradients
from interp_helpers.engine.gradients import RULES, map_gradients
from interp_helpers.engine.graph import last_conv_layer
from interp_helpers.metrics import deletion_insertion, randomize_layers
from interp_helpers.models import load_checkpoint, logits_model

IMAGES = np.random.default_rng(0).random((3, 6, 6, 1)).astype("float32")
METHODS = [saliency, grad_cam, guided_grad_cam, smoothgrad, integrated_gradients]


def linear():
    return keras.Sequential([keras.Input((6, 6, 1)), kl.Flatten(), kl.Dense(4, name="scores")])


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


FORMS = ["layers", "activations", "operations", "inside", "tensorflow", "nested"]


# --- saliency --------------------------------------------------------------------------------------------------------


def test_saliency_of_a_linear_model_is_its_weight_row():
    model = linear()
    kernel = model.get_weights()[0]
    for target in range(4):
        expected = np.broadcast_to(kernel[:, target].reshape(1, 6, 6, 1), IMAGES.shape)
        np.testing.assert_allclose(saliency(model, IMAGES, target), expected, rtol=1e-6)


def test_saliency_agrees_with_finite_differences():
    model = keras.Sequential([keras.Input((6, 6, 1)), kl.Conv2D(3, 3, activation="tanh"), kl.Flatten(), kl.Dense(2)])
    gradient = saliency(model, IMAGES[:1], 1)[0, :, :, 0]
    for row, column in [(0, 0), (2, 3), (5, 5)]:
        changed = np.repeat(IMAGES[:1], 2, axis=0)
        changed[0, row, column] -= 1e-2
        changed[1, row, column] += 1e-2
        low, high = model(changed).numpy()[:, 1]
        assert gradient[row, column] == pytest.approx((high - low) / 2e-2, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_rules_by_hand(rule):
    """One hidden layer: backwards by hand, with the definition of each rule."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6, 6, 1)), kl.Flatten(), kl.Dense(20, activation="relu"), kl.Dense(3)])
    first, _, second, _ = model.get_weights()
    hidden = np.maximum(IMAGES.reshape(3, 36) @ first, 0)
    upstream = np.maximum(second[:, 2], 0)
    passed = upstream * (hidden > 0) if rule == "guided" else np.broadcast_to(upstream, hidden.shape)
    expected = (passed @ first.T).reshape(IMAGES.shape)
    np.testing.assert_allclose(saliency(model, IMAGES, 2, rule=rule), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("form", FORMS)
def test_every_way_to_write_a_relu_gives_the_same_map(form, rule):
    reference, model = small_cnn("layers"), small_cnn(form)
    model.set_weights(reference.get_weights())
    expected = saliency(reference, IMAGES, [0, 1, 2], rule=rule)
    np.testing.assert_allclose(saliency(model, IMAGES, [0, 1, 2], rule=rule), expected, rtol=1e-5, atol=1e-7)


def test_guided_backpropagation_respects_the_upper_bound_of_a_relu6():
    model = keras.Sequential([keras.Input((6, 6, 1)), kl.Flatten(), kl.Dense(1, activation="relu6"), kl.Dense(1)])
    model.set_weights([np.ones((36, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    dim, bright = np.full((1, 6, 6, 1), 0.1, "float32"), np.ones((1, 6, 6, 1), "float32")
    assert (saliency(model, dim, 0, rule="guided") == 1).all()
    with pytest.warns(UserWarning, match="zero everywhere"):
        assert (saliency(model, bright, 0, rule="guided") == 0).all()
    assert (saliency(model, bright, 0, rule="deconvnet") == 1).all()


@pytest.mark.parametrize("rule", [None, "guided"])
def test_the_graph_of_the_model_does_not_grow(rule):
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), kl.Conv2D(2, 3, activation="relu"), kl.Flatten(), kl.Dense(3, activation="softmax")]
    )
    saliency(model, IMAGES, 0, rule=rule)
    nodes = [len(layer._outbound_nodes) for layer in model.layers]
    for _ in range(3):
        saliency(model, IMAGES, 0, rule=rule)
    assert [len(layer._outbound_nodes) for layer in model.layers] == nodes


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", METHODS)
def test_models_come_back_unchanged(form, method):
    model = small_cnn(form)
    config, weights = model.to_json(), model.get_weights()
    before = model(IMAGES).numpy()
    method(model, IMAGES, 1)
    saliency(model, IMAGES, 1, rule="guided")
    assert model.to_json() == config
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    assert np.array_equal(model(IMAGES).numpy(), before)
    assert not any("call" in layer.__dict__ for layer in attribution.all_layers(model).values())


def test_models_come_back_unchanged_after_an_exception():
    model = small_cnn("inside")
    with pytest.raises(ZeroDivisionError):
        saliency(model, IMAGES, lambda outputs: 1 / 0, layer="conv1", rule="guided")
    conv = model.get_layer("conv1")
    assert conv.activation is keras.activations.relu
    assert "call" not in conv.__dict__


def test_the_score_is_explained_not_the_probability():
    model = small_cnn()
    expected = saliency(keras.Model(model.inputs, model.get_layer("logits").output), IMAGES, 2)
    np.testing.assert_allclose(saliency(model, IMAGES, 2), expected, rtol=1e-6)
    assert not np.allclose(saliency(model, IMAGES, 2, layer="probabilities"), expected)


def test_inner_channels_are_pooled():
    model = small_cnn()
    maps = lambda pool: saliency(model, IMAGES, 1, layer="conv1", pool=pool)  # noqa: E731
    np.testing.assert_allclose(maps("sum"), 16 * maps("mean"), rtol=1e-4, atol=1e-6)
    kernel = model.get_layer("conv1").get_weights()[0][..., 0, 1]
    one = maps("max")[0, :, :, 0]
    rows, columns = np.nonzero(one)
    np.testing.assert_allclose(one[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], kernel, rtol=1e-5)


def test_a_layer_of_an_inner_model_can_be_the_target():
    model = small_cnn("nested")
    assert saliency(model, IMAGES, 1, layer="body/conv1").shape == IMAGES.shape
    assert np.array_equal(saliency(model, IMAGES, 1, layer="conv1"), saliency(model, IMAGES, 1, layer="body/conv1"))


def test_target_may_be_one_for_each_image_or_a_function():
    model = small_cnn()
    each = saliency(model, IMAGES, [3, 0, 1])
    for i, target in enumerate([3, 0, 1]):
        np.testing.assert_allclose(each[i], saliency(model, IMAGES[i : i + 1], target)[0], rtol=1e-5, atol=1e-7)
    contrast = saliency(model, IMAGES, lambda outputs: outputs[:, 3] - outputs[:, 1])
    np.testing.assert_allclose(contrast, saliency(model, IMAGES, 3) - saliency(model, IMAGES, 1), rtol=1e-4, atol=1e-6)


def test_batches_do_not_matter():
    model = small_cnn()
    for method in (saliency, grad_cam, guided_grad_cam):
        whole, parts = method(model, IMAGES, [0, 1, 2]), method(model, IMAGES, [0, 1, 2], batch_size=2)
        np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-7)


def test_colour_images_and_their_magnitude():
    images = np.random.default_rng(1).random((2, 6, 6, 3)).astype("float32")
    gradients = saliency(small_cnn(channels=3), images, 0)
    assert gradients.shape == images.shape
    assert np.array_equal(magnitude(gradients), np.abs(gradients).max(-1))


def test_mixed_precision_agrees_with_single():
    reference = small_cnn("inside")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small_cnn("inside")
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(reference.get_weights())
    for method in (saliency, grad_cam):
        expected, found = method(reference, IMAGES, 1), method(model, IMAGES, 1)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


# --- Grad-CAM --------------------------------------------------------------------------------------------------------


def test_grad_cam_by_its_formula():
    model = small_cnn()
    maps, gradients = map_gradients(model, IMAGES, 2, "conv2")
    kernel = model.get_layer("logits").get_weights()[0][:, 2].reshape(3, 3, 5)
    active = maps > 0
    np.testing.assert_allclose(gradients, kernel * active, rtol=1e-5, atol=1e-6)
    expected = np.maximum((maps * (kernel * active).mean(axis=(1, 2), keepdims=True)).sum(-1), 0)
    np.testing.assert_allclose(grad_cam(model, IMAGES, 2, "conv2", upsample=False), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_grad_cam_of_a_relu_layer_with_a_modifier(rule):
    """The layer whose map is recorded is also one whose backward pass is changed."""
    reference, model = small_cnn("activations"), small_cnn("layers")
    model.set_weights(reference.get_weights())
    cams = [grad_cam(network, IMAGES, 1, network.layers[4].name, rule=rule) for network in (reference, model)]
    assert cams[0].any()
    np.testing.assert_allclose(cams[0], cams[1], rtol=1e-5, atol=1e-7)
    assert "call" not in model.layers[4].__dict__


def test_grad_cam_finds_a_planted_pattern():
    """A channel that is the bright pixel itself, weighted by 1: the map must peak there."""
    model = keras.Sequential(
        [keras.Input((9, 9, 1)), kl.Conv2D(1, 1, name="copy"), kl.GlobalAveragePooling2D(), kl.Dense(1)]
    )
    model.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    image = np.zeros((1, 9, 9, 1), "float32")
    image[0, 2, 6] = 1
    assert np.unravel_index(grad_cam(model, image, 0)[0].argmax(), (9, 9)) == (2, 6)


def test_grad_cam_takes_the_last_layer_with_maps():
    assert last_conv_layer(load_checkpoint("mnist_cnn")) == "pool"
    assert last_conv_layer(small_cnn("nested")) == "body/conv2"


def test_guided_grad_cam_is_the_product():
    model = small_cnn()
    assert (grad_cam(model, IMAGES, 1) > 0).any(axis=(1, 2)).all()
    product = saliency(model, IMAGES, 1, rule="guided") * grad_cam(model, IMAGES, 1)[..., None]
    np.testing.assert_allclose(guided_grad_cam(model, IMAGES, 1), product)


def test_cam_equals_grad_cam_up_to_the_number_of_places():
    model = load_checkpoint("mnist_gap")
    images = np.random.default_rng(0).random((3, 40, 30, 1)).astype("float32")
    cam = class_activation_map(model, images, [0, 4, 9], upsample=False)
    grad = grad_cam(model, images, [0, 4, 9], "pool", upsample=False)
    np.testing.assert_allclose(grad, np.maximum(cam, 0) / cam[0].size, rtol=1e-5, atol=1e-5 * grad.max())
    bias = model.get_layer("logits").get_weights()[1]
    values = logits_model(model).predict(images, verbose=0)[range(3), [0, 4, 9]]
    np.testing.assert_allclose(cam.mean(axis=(1, 2)) + bias[[0, 4, 9]], values, rtol=1e-4)
    assert class_activation_map(model, images, 1).shape == (3, 40, 30)


def test_cam_needs_global_average_pooling():
    with pytest.raises(ValueError, match="CAM needs that"):
        class_activation_map(small_cnn(), IMAGES, 0)
    layers = [kl.Conv2D(2, 3), kl.GlobalAveragePooling2D(), kl.Rescaling(10), kl.Dense(3)]
    with pytest.raises(ValueError, match="CAM needs that"):
        class_activation_map(keras.Sequential([keras.Input((6, 6, 1)), *layers]), IMAGES, 0)
    with pytest.raises(ValueError, match="not a function"):
        class_activation_map(load_checkpoint("mnist_gap"), IMAGES, lambda outputs: outputs[:, 0])


# --- averages of gradients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", [kl.Activation("tanh"), kl.ReLU(), kl.Dense(3, activation="relu")])
def test_cam_is_refused_where_the_weights_of_the_last_layer_are_not_all(between):
    ends = [kl.GlobalAveragePooling2D(), between, kl.Dense(2)]
    model = keras.Sequential([keras.Input((6, 6, 1)), kl.Conv2D(3, 3), *ends])
    with pytest.raises(ValueError, match="does not end in global average pooling and one dense layer"):
        class_activation_map(model, np.zeros((1, 6, 6, 1), np.float32), 0)


def test_smoothgrad_without_noise_is_saliency():
    model = small_cnn()
    np.testing.assert_allclose(
        smoothgrad(model, IMAGES, 1, noise=0.0, n_samples=2), saliency(model, IMAGES, 1), rtol=1e-6
    )


def test_smoothgrad_repeats_with_its_seed():
    model = small_cnn()
    first, second, other = (smoothgrad(model, IMAGES, 1, n_samples=3, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_integrated_gradients_add_up_to_the_difference_of_scores():
    model, target = small_cnn(), [0, 3, 1]
    added = integrated_gradients(model, IMAGES, target, n_steps=300).sum(axis=(1, 2, 3))
    values = logits_model(model).predict(np.concatenate([IMAGES, np.zeros_like(IMAGES[:1])]), verbose=0)
    np.testing.assert_allclose(added, values[range(3), target] - values[3, target], atol=2e-3)


def test_integrated_gradients_of_a_linear_model_are_exact_with_one_step():
    model = linear()
    expected = saliency(model, IMAGES, 1) * (IMAGES - 0.5)
    np.testing.assert_allclose(integrated_gradients(model, IMAGES, 1, 0.5, n_steps=1), expected, rtol=1e-5)


# --- floors, copies and measures -------------------------------------------------------------------------------------


def test_edges_are_where_the_picture_changes():
    image = np.zeros((1, 8, 8, 1), "float32")
    image[:, :, 4:] = 1
    found = edges(image)
    assert found.shape == (1, 8, 8)
    assert set(np.nonzero(found[0])[1]) == {3, 4}


def test_random_maps_repeat_with_their_seed():
    assert np.array_equal(random_map(IMAGES, 3), random_map(IMAGES, 3))
    assert not np.array_equal(random_map(IMAGES, 3), random_map(IMAGES, 4))


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((IMAGES * 255).astype(np.uint8), "uint8"),
        (np.where(IMAGES > 0.9, np.nan, IMAGES), "NaN"),
        (IMAGES[:0], "N > 0"),
        (IMAGES[0], "the model takes"),
    ],
)
def test_bad_images_are_refused(method, images, message):
    with pytest.raises(ValueError, match=message):
        method(small_cnn(), images, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [4, -1, 1.5, [0, 1], "three"])
def test_bad_targets_are_refused(method, target):
    with pytest.raises(ValueError, match="target: got"):
        method(small_cnn(), IMAGES, target)


def test_other_bad_arguments_are_refused():
    model = small_cnn()
    with pytest.raises(ValueError, match="no layer 'conv9'; it has"):
        saliency(model, IMAGES, 0, layer="conv9")
    with pytest.raises(ValueError, match="rule: got 'relu'"):
        saliency(model, IMAGES, 0, rule="relu")
    with pytest.raises(ValueError, match="pool: got"):
        saliency(model, IMAGES, 0, layer="conv1", pool="median")
    with pytest.raises(ValueError, match="no ReLU"):
        saliency(linear(), IMAGES, 0, rule="guided")
    with pytest.raises(ValueError, match="no layer with feature maps"):
        grad_cam(linear(), IMAGES, 0)
    with pytest.raises(ValueError, match="give a layer with feature maps"):
        grad_cam(model, IMAGES, 0, layer="logits")
    with pytest.raises(ValueError, match="the function returned shape"):
        saliency(model, IMAGES, lambda outputs: outputs)
    with pytest.raises(ValueError, match="no weights to shuffle"):
        randomize_layers(model, [model.layers[2].name])
    with pytest.raises(ValueError, match="n_steps"):
        integrated_gradients(model, IMAGES, 0, n_steps=0)
    with pytest.raises(ValueError, match="n_samples"):
        smoothgrad(model, IMAGES, 0, n_samples=0)


def test_a_model_that_was_never_called():
    built = keras.Sequential([keras.Input((6, 6, 1)), kl.Conv2D(2, 3), kl.ReLU(), kl.Flatten(), kl.Dense(3)])
    assert saliency(built, IMAGES, 0).shape == IMAGES.shape
    without_shape = keras.Sequential([kl.Conv2D(2, 3), kl.ReLU(), kl.Flatten(), kl.Dense(3)])
    with pytest.raises(ValueError, match="no weights yet"):
        saliency(without_shape, IMAGES, 0)


def test_blank_maps_warn():
    model = keras.Sequential([keras.Input((6, 6, 1)), kl.Conv2D(2, 3), kl.ReLU(), kl.Flatten(), kl.Dense(3)])
    model.set_weights([np.ones((3, 3, 1, 2)), np.full(2, -100), np.ones((32, 3)), np.zeros(3)])
    with pytest.warns(UserWarning, match=r"image 0, 1, 2 is zero everywhere.*dead"):
        saliency(model, IMAGES, 0)
    with pytest.warns(UserWarning, match="nothing positive"):
        grad_cam(model, IMAGES, 0)


def test_a_saturated_softmax_warns():
    model = small_cnn()
    model.get_layer("logits").set_weights([w * 1000 for w in model.get_layer("logits").get_weights()])
    with pytest.warns(UserWarning, match="saturated"):
        saliency(model, IMAGES, 0, layer="probabilities")


def test_breaking_guided_backpropagation_is_noticed(monkeypatch):
    """The tests above would fail for a rule that does nothing."""
    monkeypatch.setattr(gradients, "_with_rule", lambda relu, rule: tf.nn.relu)
    with pytest.raises(AssertionError):
        test_rules_by_hand("guided")


# --- occlusion, one call for every map, deletion and insertion -------------------------------------------------------


def patch_detector(side=2, at=(3, 1), size=9):
    """A network whose one score is the sum of the pixels of a square, its other score nothing."""
    weights = np.zeros((size, size, 2), "float32")
    weights[at[0] : at[0] + side, at[1] : at[1] + side, 0] = 1
    model = keras.Sequential([keras.Input((size, size, 1)), kl.Flatten(), kl.Dense(2), kl.Softmax()])
    model.set_weights([weights.reshape(-1, 2), np.zeros(2)])
    return model


def test_occlusion_finds_the_square_that_alone_drives_the_network():
    image = np.ones((1, 9, 9, 1), "float32")
    drop = occlusion_map(patch_detector(), image, 0, patch=1)[0]
    expected = np.zeros((9, 9))
    expected[3:5, 1:3] = 1
    np.testing.assert_allclose(drop, expected, atol=1e-6)
    assert not occlusion_map(patch_detector(), image, 1, patch=3).any()


def test_occlusion_by_hand():
    """Every place by a call of its own."""
    model, patch = small_cnn(), 3
    found = occlusion_map(model, IMAGES[:1], 2, patch=patch, fill=0.3, batch_size=7)[0]
    to_scores = logits_model(model)
    whole = to_scores.predict(IMAGES[:1], verbose=0)[0, 2]
    for row, column in [(0, 0), (2, 4), (5, 5)]:
        covered = IMAGES[:1].copy()
        covered[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 0.3
        assert found[row, column] == pytest.approx(whole - to_scores.predict(covered, verbose=0)[0, 2], abs=1e-5)


def test_occlusion_with_strides_repeats_its_places():
    model = small_cnn()
    fine, coarse = occlusion_map(model, IMAGES, 0, patch=3), occlusion_map(model, IMAGES, 0, patch=3, stride=3)
    assert coarse.shape == (3, 6, 6)
    np.testing.assert_allclose(coarse[:, 1::3, 1::3], fine[:, 1::3, 1::3], atol=1e-6)
    assert np.array_equal(coarse[:, 0], coarse[:, 2])
    assert occlusion_map(model, IMAGES, 0, patch=3, stride=4).shape == (3, 6, 6)


def test_fills():
    flat = np.full((1, 9, 9, 1), 0.4, "float32")
    model = patch_detector()
    for fill in (0.4, "local", "blur", flat, flat[0]):
        np.testing.assert_allclose(occlusion_map(model, flat, 0, patch=3, fill=fill), 0, atol=1e-5)
    assert occlusion_map(model, flat, 0, patch=3, fill=1.0).min() < -1


def test_occlusion_of_probabilities_and_of_inner_channels():
    model = small_cnn()
    left = occlusion_map(model, IMAGES, [0, 1, 2], patch=3, output="probability")
    assert ((left >= 0) & (left <= 1)).all()
    inner = occlusion_map(model, IMAGES, 1, patch=6, layer="conv1", pool="mean")
    assert inner.shape == (3, 6, 6)


def test_explain_has_one_shape_for_every_method():
    images = np.random.default_rng(0).random((2, 6, 6, 3)).astype("float32")
    model = small_cnn(channels=3)
    for method in METHODS_BY_NAME:
        found = explain(model, images, [0, 1], method)
        assert found.shape == (2, 6, 6), method
        assert found.dtype == np.float32, method
    np.testing.assert_array_equal(explain(model, images, 1, "saliency"), magnitude(saliency(model, images, 1)))
    fine = explain(model, images, 1, "occlusion", patch=2)
    np.testing.assert_array_equal(fine, occlusion_map(model, images, 1, patch=2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: occlusion_map(m, IMAGES, 0, patch=0), "patch: got 0"),
        (lambda m: occlusion_map(m, IMAGES, 0, patch=7), "patch: got 7"),
        (lambda m: occlusion_map(m, IMAGES, 0, stride=0), "stride: got 0"),
        (lambda m: occlusion_map(m, IMAGES, 0, patch=2.5), "patch: got 2.5"),
        (lambda m: occlusion_map(logits_model(m), IMAGES, 0, output="probability"), "outputs logits"),
        (lambda m: deletion_insertion(logits_model(m), IMAGES, 0, np.zeros((3, 6, 6))), "outputs logits"),
        (lambda m: deletion_insertion(m, IMAGES, 0, np.full((3, 6, 6), np.nan)), "maps: there are values"),
        (lambda m: occlusion_map(m, IMAGES, 0, fill="white"), "fill: got 'white'"),
        (lambda m: occlusion_map(m, IMAGES, 0, fill=np.nan), "fill: there are values"),
        (lambda m: occlusion_map(m, IMAGES, 0, fill=np.ones((5, 5, 1))), "fill: got shape"),
        (lambda m: occlusion_map(m, IMAGES, 0, output="logit"), "output: got 'logit'"),
        (
            lambda m: occlusion_map(m, IMAGES, 0, output="probability", layer="conv1"),
            "output: 'probability' is that",
        ),
        (lambda m: occlusion_map(m, IMAGES, 9), "target: got 9"),
        (lambda m: explain(m, IMAGES, 0, "lime"), "method: got 'lime'; give one of 'saliency'"),
        (lambda m: explain(m, IMAGES[0], 0, "edges"), "images: got shape"),
        (lambda m: deletion_insertion(m, IMAGES, 0, np.zeros((3, 5, 6))), "maps: got float64 of shape"),
        (lambda m: deletion_insertion(m, IMAGES, 0, np.zeros((3, 6, 6)), n_steps=0), "n_steps: got 0"),
    ],
)
def test_bad_requests_for_occlusion_and_its_like_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(small_cnn())
