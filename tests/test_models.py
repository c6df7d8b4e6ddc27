import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers

from interp_helpers import models
from interp_helpers.attribution import class_activation_map
from interp_helpers.data import load_digits
from interp_helpers.models import checkpoint_card, ink_cnn, load_checkpoint, mnist_cnn, scores, street_resnet
from interp_helpers.probing import ink_shape
from interp_helpers.scenes import street_scenes

IMAGES = np.random.default_rng(0).random((5, 28, 28, 1)).astype("float32")


def test_architecture_is_the_tutorials():
    model = mnist_cnn()
    assert model.count_params() == 600_810
    assert model.input_shape == (None, 28, 28, 1)
    assert [layer.name for layer in model.layers] == [
        "conv1", "relu1", "conv2", "relu2", "pool", "dropout1", "flatten", "dense1", "relu3", "dropout2", "logits",
        "probabilities",
    ]  # fmt: skip
    assert [model.get_layer(name).rate for name in ("dropout1", "dropout2")] == [0.25, 0.5]


def test_same_seed_same_weights_other_seed_other_weights():
    first, again, other = (mnist_cnn(seed).get_weights()[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_layer():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Softmax()])


def softmax_activation_layer():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Activation("softmax")])


def softmax_in_dense():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])


def functional_softmax():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(inputs))


@pytest.mark.parametrize("build", [softmax_layer, softmax_activation_layer, softmax_in_dense, functional_softmax])
def test_scores_are_what_goes_into_the_softmax(build):
    model, x = build(), np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    kernel, bias = model.get_weights()
    before = model.predict(x, verbose=0)
    np.testing.assert_allclose(scores(model).predict(x, verbose=0), x @ kernel + bias, atol=1e-5)
    np.testing.assert_allclose(softmax(x @ kernel + bias), before, atol=1e-5)
    assert np.array_equal(model.predict(x, verbose=0), before), "the model has changed"


def test_scores_of_a_binary_network_go_into_its_sigmoid():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation="sigmoid")])
    z = scores(model).predict(np.eye(4, dtype="float32"), verbose=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-z)), model.predict(np.eye(4, dtype="float32"), verbose=0), atol=1e-6)


@pytest.mark.parametrize("build", [softmax_layer, softmax_in_dense])
def test_scores_share_the_weights(build):
    model = build()
    logits = scores(model)
    model.set_weights([np.zeros((4, 3)), np.array([1.0, 2.0, 3.0])])
    assert logits.predict(np.ones((1, 4)), verbose=0).tolist() == [[1.0, 2.0, 3.0]]


def test_scores_of_a_linear_model_are_the_model():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    assert scores(model) is model


def test_scores_refuse_what_they_cannot_take_off():
    with pytest.raises(ValueError, match=r"ends in 'last' \(Dense\), from which no scores can be read"):
        scores(keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="tanh", name="last")]))


@pytest.mark.parametrize("after", [layers.Reshape((3, 1)), layers.Dropout(0.5), keras.ops.log])
def test_scores_refuse_a_softmax_that_is_hidden_behind_something(after):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, after(layers.Dense(3, activation="softmax")(inputs)))
    with pytest.raises(ValueError, match="no scores can be read"):
        scores(model)


def test_scores_of_a_layer_that_is_called_twice():
    inputs, dense = keras.Input((3,)), layers.Dense(3, activation="softmax")
    twice = keras.Model(inputs, dense(dense(inputs)))
    x = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    kernel, bias = dense.get_weights()
    expected = softmax(x @ kernel + bias) @ kernel + bias
    np.testing.assert_allclose(scores(twice).predict(x, verbose=0), expected, atol=1e-5)


def test_scores_of_two_models_that_share_their_softmax():
    softmax_of_both, x = layers.Softmax(), np.eye(4, dtype="float32")
    for _ in range(2):
        inputs, dense = keras.Input((4,)), layers.Dense(3)
        model = keras.Model(inputs, softmax_of_both(dense(inputs)))
        np.testing.assert_allclose(scores(model).predict(x, verbose=0), x @ dense.get_weights()[0], atol=1e-5)


def test_scores_refuse_an_unbuilt_model():
    with pytest.raises(ValueError, match="has no input shape yet"):
        scores(keras.Sequential([layers.Dense(3)]))


def test_scores_refuse_two_outputs():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    with pytest.raises(ValueError, match="has 2 outputs"):
        scores(model)


def test_shipped_network_is_as_good_as_its_card_says():
    card, digits = checkpoint_card("mnist_cnn"), load_digits()
    answers = load_checkpoint("mnist_cnn").predict(digits.images, batch_size=500, verbose=0).argmax(axis=1)
    # another machine may add floats in another order and tip a digit that stands on the edge
    assert (answers == digits.labels).mean() == pytest.approx(card["accuracy"]["embedded_digits"], abs=2 / 5000)
    assert card["accuracy"]["test"] >= 0.98
    assert card["accuracy"]["test"] == card["accuracy"]["test_before_rounding_to_half_precision"]
    assert card["data"]["training_images"] == 55_000


def test_unknown_checkpoint_lists_what_there_is():
    with pytest.raises(ValueError, match=r"no trained network 'nonesuch' ships with the package; there is .*mnist_cnn"):
        load_checkpoint("nonesuch")


def test_altered_checkpoint_is_refused(monkeypatch, tmp_path):
    shutil.copytree(models.CHECKPOINTS, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "mnist_cnn.keras").open("ab") as file:
        file.write(b"more")
    monkeypatch.setattr(models, "CHECKPOINTS", tmp_path)
    with pytest.raises(ValueError, match="not the file its card describes"):
        load_checkpoint("mnist_cnn")


def test_every_checkpoint_has_a_card_and_is_light():
    files = sorted(models.CHECKPOINTS.glob("*.keras"))
    assert files
    for path in files:
        assert json.loads(path.with_suffix(".json").read_text())["name"] == path.stem
        assert path.stat().st_size < 8_000_000


def test_cats_and_dogs_network_is_the_seminars():
    model = models.cats_dogs_cnn()
    assert model.count_params() == 3_453_121
    assert [model.get_layer(f"conv{i}").output.shape[1:] for i in (1, 2, 3, 4)] == [
        (148, 148, 32), (72, 72, 64), (34, 34, 128), (15, 15, 128),
    ]  # fmt: skip
    assert model.output_shape == (None, 1)


def test_without_a_network_the_weights_are_random_and_it_says_so(no_mnist, capsys):
    model, trained = models.imagenet_network("MobileNetV2", (96, 96, 3), alpha=0.35)
    assert not trained
    assert model.output_shape == (None, 1000)
    assert "these are RANDOM" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no network 'LeNet'"):
        models.imagenet_network("LeNet")


@pytest.mark.parametrize("activation", models.ACTIVATIONS)
def test_activation_functions_begin_with_the_same_weights(activation):
    model, relu = mnist_cnn(seed=3, activation=activation), mnist_cnn(seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), relu.get_weights(), strict=True))
    assert [f"{activation}{n}" for n in (1, 2, 3)] == [x.name for x in model.layers if x.name[:-1] == activation]
    with pytest.raises(ValueError, match="activation: got 'swoosh'; give one of relu, tanh"):
        mnist_cnn(activation="swoosh")


@pytest.mark.parametrize("name", [f"mnist_{activation}" for activation in models.ACTIVATIONS[1:]])
def test_networks_with_other_activations_are_as_good_as_their_cards_say(name):
    card, digits = checkpoint_card(name), load_digits()
    answers = load_checkpoint(name).predict(digits.images, batch_size=500, verbose=0).argmax(axis=1)
    assert (answers == digits.labels).mean() == pytest.approx(card["accuracy"]["embedded_digits"], abs=2 / 5000)
    assert card["accuracy"]["test"] >= 0.97


def test_cifar10_network_is_the_example_of_keras():
    model = models.cifar10_cnn()
    assert model.count_params() == 1_250_858
    assert [x.name for x in model.layers if x.count_params()] == "conv1 conv2 conv3 conv4 dense1 logits".split()
    card = checkpoint_card("cifar10")
    assert card["accuracy"]["test"] >= 0.75
    assert card["data"]["training_images"] == 50_000
    assert load_checkpoint("cifar10").count_params() == card["parameters"] == 1_250_858


@pytest.mark.parametrize(("build", "n_parameters"), [(ink_cnn, 18_882), (street_resnet, 126_881)])
def test_networks_that_predict_numbers(build, n_parameters):
    model = build(seed=3)
    assert model.count_params() == n_parameters
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), build(seed=3).get_weights(), strict=True))
    assert scores(model) is model  # its output is linear
    images = np.random.default_rng(0).random((4, *model.input_shape[1:])).astype(np.float32)
    bias = model.layers[-1].get_weights()[1]
    for value in range(model.output_shape[-1]):  # global average pooling: CAM is exact
        cams = class_activation_map(model, images, value, upsample=False)
        np.testing.assert_allclose(
            cams.mean(axis=(1, 2)) + bias[value], model.predict(images, verbose=0)[:, value], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("name", ["street", "street_bare"])
def test_shipped_street_networks_predict_as_their_cards_say(name):
    card, model = checkpoint_card(name), load_checkpoint(name)
    scenes = street_scenes(300, seed=1001, effects=card["data"]["effects"])  # the first 300 of its test set
    predicted = model.predict(scenes.images, verbose=0)[:, 0]
    assert 1 - np.mean((predicted - scenes.values) ** 2) / scenes.values.var() == pytest.approx(
        card["r_squared"]["test"], abs=0.05
    )


def test_the_shipped_ink_network_measures_unseen_digits():
    digits = load_digits().subset(slice(0, 5000, 10))
    measured = ink_shape(digits.images)[["width", "slant"]].to_numpy()
    predicted = load_checkpoint("ink").predict(digits.images, verbose=0)
    r_squared = 1 - ((predicted - measured) ** 2).mean(axis=0) / measured.var(axis=0)
    np.testing.assert_allclose(r_squared, list(checkpoint_card("ink")["r_squared"]["test"].values()), atol=0.05)
