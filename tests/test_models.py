import hashlib
import json
import random
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from keras import layers

from interp_helpers import data, models
from interp_helpers.attribution import class_activation_map, grad_cam
from interp_helpers.data import NotAvailable, files, load_digits, street_scenes, stroke_shape
from interp_helpers.engine.graph import last_conv_layer
from interp_helpers.engine.hooks import activations
from interp_helpers.models import (
    checkpoint_card,
    checkpoints,
    imagenet,
    ink_cnn,
    load_checkpoint,
    load_network,
    logits_model,
    mnist_cnn,
    street_resnet,
    torch_weights,
)
from interp_helpers.pcace import rank_channels
from interp_helpers.variation import vary_channel

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


def test_initial_weights_are_those_of_the_stored_run():
    stored = json.loads((ROOT / "book" / "results" / "mnist_seeds.json").read_text())
    for run in stored["runs"]:
        model = mnist_cnn(run["seed"])
        for name, means in run["mean_weights"]["before"].items():
            kernel = model.get_layer(name).get_weights()[0]
            np.testing.assert_allclose(kernel.mean(axis=(0, 1, 2)), means, atol=2e-6)


def test_the_floors_are_of_the_networks_of_the_other_stored_run():
    seeds, floors = (
        json.loads((ROOT / "book" / "results" / f"mnist_{name}.json").read_text()) for name in ("seeds", "floors")
    )
    assert [of["images"] for of in floors["nearest"]["wrong"]] == [len(run["wrong"]) for run in seeds["runs"]]
    assert floors["test_images"] == seeds["test_images"]
    means = [np.mean(values) for values in floors["accuracy"].values()]  # from what cannot know the task to our network
    assert max(means[:3]) < 0.2 < min(means[3:])
    assert means[3:] == sorted(means[3:])
    assert len(floors["distances"]) == 45


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
def test_logits_are_what_goes_into_the_softmax(build):
    model, x = build(), np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    kernel, bias = model.get_weights()
    before = model.predict(x, verbose=0)
    np.testing.assert_allclose(logits_model(model).predict(x, verbose=0), x @ kernel + bias, atol=1e-5)
    np.testing.assert_allclose(softmax(x @ kernel + bias), before, atol=1e-5)
    assert np.array_equal(model.predict(x, verbose=0), before), "the model has changed"


def test_logits_of_a_binary_network_go_into_its_sigmoid():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation="sigmoid")])
    z = logits_model(model).predict(np.eye(4, dtype="float32"), verbose=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-z)), model.predict(np.eye(4, dtype="float32"), verbose=0), atol=1e-6)


@pytest.mark.parametrize("build", [softmax_layer, softmax_in_dense])
def test_logits_share_the_weights(build):
    model = build()
    logits = logits_model(model)
    model.set_weights([np.zeros((4, 3)), np.array([1.0, 2.0, 3.0])])
    assert logits.predict(np.ones((1, 4)), verbose=0).tolist() == [[1.0, 2.0, 3.0]]


def test_logits_of_a_linear_model_are_the_model():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    assert logits_model(model) is model


def test_logits_refuse_what_they_cannot_take_off():
    with pytest.raises(ValueError, match=r"ends in 'last' \(Dense\), from which no logits can be read"):
        logits_model(keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="tanh", name="last")]))


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (layers.Reshape((3, 1)), "so it has no logits"),
        (layers.Dense(2), "so it has no logits"),
        (keras.ops.log, "no logits can be read"),
    ],
)
def test_logits_are_refused_if_something_follows_the_softmax(after, message):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, after(layers.Dense(3, activation="softmax")(inputs)))
    with pytest.raises(ValueError, match=message):
        logits_model(model)


@pytest.mark.parametrize("after", [layers.Activation("linear", dtype="float32"), layers.Dropout(0.5)])
def test_logits_are_found_before_what_changes_nothing(after):
    inputs, dense = keras.Input((4,)), layers.Dense(3, activation="softmax")
    model = keras.Model(inputs, after(dense(inputs)))
    kernel, bias = dense.get_weights()
    x = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    np.testing.assert_allclose(logits_model(model).predict(x, verbose=0), x @ kernel + bias, atol=1e-5)


def test_logits_of_a_layer_that_is_called_twice():
    inputs, dense = keras.Input((3,)), layers.Dense(3, activation="softmax")
    twice = keras.Model(inputs, dense(dense(inputs)))
    x = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    kernel, bias = dense.get_weights()
    expected = softmax(x @ kernel + bias) @ kernel + bias
    np.testing.assert_allclose(logits_model(twice).predict(x, verbose=0), expected, atol=1e-5)


def test_logits_of_two_models_that_share_their_softmax():
    softmax_of_both, x = layers.Softmax(), np.eye(4, dtype="float32")
    for _ in range(2):
        inputs, dense = keras.Input((4,)), layers.Dense(3)
        model = keras.Model(inputs, softmax_of_both(dense(inputs)))
        np.testing.assert_allclose(logits_model(model).predict(x, verbose=0), x @ dense.get_weights()[0], atol=1e-5)


def test_logits_refuse_an_unbuilt_model():
    with pytest.raises(ValueError, match="has no weights yet"):
        logits_model(keras.Sequential([layers.Dense(3)]))


def test_logits_refuse_two_outputs():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    with pytest.raises(ValueError, match="has 1 inputs and 2 outputs"):
        logits_model(model)


def test_shipped_network_is_as_good_as_its_card_says():
    card, digits = checkpoint_card("mnist_cnn"), load_digits()
    answers = load_checkpoint("mnist_cnn").predict(digits.images, batch_size=500, verbose=0).argmax(axis=1)
    # another machine may add floats in another order and tip a digit that stands on the edge
    assert (answers == digits.labels).mean() == pytest.approx(card["accuracy"]["embedded_digits"], abs=2 / 5000)
    assert card["accuracy"]["test"] >= 0.98
    assert card["accuracy"]["test"] == card["accuracy"]["test_before_rounding_to_half_precision"]
    assert card["data"]["training_images"] == 55_000


def test_unknown_checkpoint_lists_what_there_is():
    with pytest.raises(ValueError, match=r"name: got 'nonesuch'; give one of .*'mnist_cnn'"):
        load_checkpoint("nonesuch")


def test_altered_checkpoint_is_refused(monkeypatch, tmp_path):
    shutil.copytree(models.CHECKPOINTS, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "mnist_cnn.keras").open("ab") as file:
        file.write(b"more")
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path)
    with pytest.raises(ValueError, match="not the file its card describes"):
        load_checkpoint("mnist_cnn")


def test_every_call_loads_another_model_and_a_changed_file_is_read_again(monkeypatch, tmp_path):
    first, second = load_checkpoint("ink"), load_checkpoint("ink")
    kept = second.get_weights()
    first.set_weights([np.zeros_like(weight) for weight in kept])
    third = load_checkpoint("ink")
    assert all(np.array_equal(a, b) for a, b in zip(kept, third.get_weights(), strict=True))
    for ending in ("json", "keras"):
        shutil.copy(models.CHECKPOINTS / f"ink.{ending}", tmp_path)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path)
    assert load_checkpoint("ink").count_params() == 18_882
    checkpoints.save_checkpoint(ink_cnn(seed=5), tmp_path / "ink.keras", lambda saved: {})
    expected = [weight.astype(np.float16) for weight in ink_cnn(seed=5).get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(expected, load_checkpoint("ink").get_weights(), strict=True))
    (tmp_path / "ink.keras").unlink()
    with pytest.raises(ValueError, match="is missing"):
        load_checkpoint("ink")


@pytest.mark.parametrize("name", ["mnist_cnn", "street"])
def test_what_is_loaded_is_what_the_file_holds(name):
    """As Keras loads it, which seeds the dropout layers by Python's random state."""
    ours, of_keras = load_checkpoint(name), keras.models.load_model(models.CHECKPOINTS / f"{name}.keras")
    assert [layer.name for layer in ours.layers] == [layer.name for layer in of_keras.layers]
    for a, b in zip(ours.variables, of_keras.variables, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


def test_every_checkpoint_has_a_card_and_is_light():
    files = sorted(models.CHECKPOINTS.glob("*.keras"))
    assert files
    for path in files:
        assert json.loads(path.with_suffix(".json").read_text())["name"] == path.stem
        assert path.stat().st_size < 9_000_000


def test_cats_and_dogs_network_is_the_seminars():
    model = models.cats_dogs_cnn()
    assert model.count_params() == 3_453_121
    assert [model.get_layer(f"conv{i}").output.shape[1:] for i in (1, 2, 3, 4)] == [
        (148, 148, 32), (72, 72, 64), (34, 34, 128), (15, 15, 128),
    ]  # fmt: skip
    assert model.output_shape == (None, 1)


@pytest.mark.parametrize("activation", models.ACTIVATIONS)
def test_activation_functions_begin_with_the_same_weights(activation):
    model, relu = mnist_cnn(seed=3, activation=activation), mnist_cnn(seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), relu.get_weights(), strict=True))
    assert [f"{activation}{n}" for n in (1, 2, 3)] == [x.name for x in model.layers if x.name[:-1] == activation]
    with pytest.raises(ValueError, match="activation: got 'swoosh'; give one of 'relu', 'tanh'"):
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
    assert logits_model(model) is model  # its output is linear
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
    measured = stroke_shape(digits.images)[["width", "slant"]].to_numpy()
    predicted = load_checkpoint("ink").predict(digits.images, verbose=0)
    r_squared = 1 - ((predicted - measured) ** 2).mean(axis=0) / measured.var(axis=0)
    np.testing.assert_allclose(r_squared, list(checkpoint_card("ink")["r_squared"]["test"].values()), atol=0.05)


# --- networks trained on ImageNet ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lite0():
    return load_network("efficientnet_lite0")


@pytest.fixture(scope="module")
def squares(lite0):
    """Four pictures that every machine makes alike, as the network takes them."""
    rng = np.random.default_rng(0)
    return lite0.prepare(np.kron(rng.random((4, 28, 28, 3)), np.ones((1, 8, 8, 1))))


@pytest.fixture
def resnet18_by_seed(monkeypatch, tmp_path):
    """A data folder with a safetensors file of a ResNet-18 with random weights, which passes for the published one."""
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "resnet18" / "model.safetensors"
    path.parent.mkdir()
    network = models.resnet18(seed=5)
    arrays = {"bn1.num_batches_tracked": np.array(7)}
    for layer in network.layers:
        if layer.weights:
            names = torch_weights._TORCH_NAMES[type(layer)]
            for name, array in zip(names, layer.get_weights(), strict=True):
                axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim)  # the way back, by hand
                original = torch_weights._torch_layer("resnet18", layer.name)
                arrays[f"{original}.{name}"] = np.ascontiguousarray(array.transpose(axes) if axes else array)
    safetensors.save_file(arrays, path)
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(imagenet, "_RESNET18_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path, network, arrays


def test_efficientnet_lite0_is_named_and_counted():
    model = models.efficientnet_lite0()
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == 4_652_008
    names = [layer.name for layer in model.layers]
    assert names[:4] == ["photograph", "stem_conv", "stem_norm", "stem_relu"]
    assert names[-5:] == ["head_relu", "average", "dropout", "logits", "probabilities"]
    assert sum(name.endswith("_conv") for name in names) == 49
    assert sum(name.endswith("_add") for name in names) == 9
    # a channel's map can be had before and after its activation
    assert all(model.get_layer(name).activation is keras.activations.linear for name in names if name.endswith("_conv"))
    assert {model.get_layer(name).max_value for name in names if name.endswith("_relu")} == {6.0}


def test_resnet18_is_named_and_counted():
    model = models.resnet18()
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == 11_689_512  # as torchvision counts
    names = [layer.name for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert len(names) == 20
    assert {name for name in names if "shortcut" in name} == {f"block{k}_shortcut_conv" for k in (3, 5, 7)}
    assert [model.get_layer(f"block{k}_relu2").output.shape[1:] for k in (2, 4, 6, 8)] == [
        (56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512),
    ]  # fmt: skip


def test_efficientnet_lite0_ships(no_mnist, lite0):
    """Without a network and without a data folder."""
    network = load_network("EfficientNet_Lite0")
    assert (network.name, network.size, len(network.labels), len(network.wordnet_ids)) == (
        "efficientnet_lite0", 224, 1000, 1000,
    )  # fmt: skip
    assert network.card["accuracy"]["test"] >= 0.70
    assert network.card["accuracy"]["test"] == network.card["accuracy"]["test_before_rounding_to_half_precision"]
    assert "Apache-2.0" in network.card["licence"]
    assert (models.CHECKPOINTS / "NOTICE").exists()
    assert (models.CHECKPOINTS / "LICENSE-APACHE-2.0").exists()
    assert network.model.count_params() == network.card["parameters"]


def test_efficientnet_lite0_sees_what_there_is(lite0):
    pytest.importorskip("skimage")
    photos = data.load_photos()
    found = models.top_classes(lite0, lite0.prepare(photos.images), k=3)
    best = dict(zip(photos.names, found[found["rank"] == 1].label, strict=True))
    assert "cat" in best["chelsea"]
    assert (best["coffee"], best["rocket"], best["flower"]) == ("espresso", "missile", "daisy")
    assert found.probability.between(0, 1).all()
    assert found.groupby("image").score.is_monotonic_decreasing.all()


def test_efficientnet_lite0_on_imagenette(lite0):
    """Where the photographs are: 10 of each class, of which chance gets 0.001 right."""
    if not files.data_path("imagenette/val"):
        pytest.skip("Imagenette is not here")
    photos = data.load_photos("imagenette/val", n_per_class=10)
    answers = logits_model(lite0.model).predict(lite0.prepare(photos.images), batch_size=50, verbose=0).argmax(axis=1)
    assert (answers == photos.labels).mean() > 0.52  # 0.70 of all, less four standard errors of 100


def test_cam_is_exact_on_efficientnet_lite0(lite0, squares):
    logits = logits_model(lite0.model).predict(squares, verbose=0)
    k = int(logits[0].argmax())
    maps = class_activation_map(lite0.model, squares, k, upsample=False)
    bias = lite0.model.get_layer("logits").get_weights()[1][k]
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + bias, logits[:, k], atol=1e-4)
    assert last_conv_layer(lite0.model) == "head_relu"
    np.testing.assert_allclose(
        grad_cam(lite0.model, squares, k, upsample=False), np.maximum(maps, 0) / 49, atol=1e-5
    )  # fmt: skip


def test_every_method_takes_the_network_whole(lite0):
    inputs = np.random.default_rng(1).normal(size=(12, 224, 224, 3)).astype(np.float32)
    assert np.array_equal(
        activations(lite0, inputs[:2], "head_relu"), activations(lite0.model, inputs[:2], "head_relu")
    )
    assert np.array_equal(grad_cam(lite0, inputs[:2], 497), grad_cam(lite0.model, inputs[:2], 497))
    table = rank_channels(lite0, "block16_project_norm", inputs, 497, n_components=3, n_permutations=0)
    assert len(table) == 320


def test_channels_of_efficientnet_lite0(lite0, squares):
    maps = activations(lite0.model, squares, ["stem_norm", "stem_relu", "block3_add"])
    np.testing.assert_allclose(maps["stem_relu"], np.clip(maps["stem_norm"], 0, 6), atol=1e-6)
    assert maps["block3_add"].shape == (4, 56, 56, 24)
    # after the last map everything is linear: a channel set to zero takes its mean times its weight away
    changes = vary_channel(lite0.model, "head_relu", squares, 7, channels=[0, 5])
    head = activations(lite0.model, squares, "head_relu").mean(axis=(1, 2))
    kernel = lite0.model.get_layer("logits").get_weights()[0]
    for channel, found in changes.groupby("channel"):
        np.testing.assert_allclose(found.change, -head[:, channel] * kernel[channel, 7], atol=1e-4)


def test_prepare_takes_what_photographs_are(lite0):
    rng = np.random.default_rng(0)
    photographs = rng.integers(0, 256, (2, 224, 224, 3), np.uint8)
    inputs = lite0.prepare(photographs)
    np.testing.assert_allclose(inputs, (photographs.astype(float) - 127) / 128, atol=1e-6)
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(lite0.prepare(photographs / 255), inputs, atol=1e-6)
    np.testing.assert_allclose(lite0.photographs(inputs), photographs / 255, atol=1e-6)
    several = [rng.random((300, 400, 3)), rng.integers(0, 256, (256, 256, 3), np.uint8)]
    assert lite0.prepare(several).shape == (2, 224, 224, 3)
    assert np.array_equal(lite0.prepare(several)[:1], lite0.prepare(several[:1]))


@pytest.mark.parametrize(
    ("photographs", "message"),
    [
        (np.zeros((224, 224, 3)), r"give \(N, height, width, 3\)"),
        (np.zeros((0, 224, 224, 3)), r"give \(N, height, width, 3\), N > 0"),
        (np.zeros((1, 224, 224, 1)), r"of shape \(224, 224, 1\)"),
        (np.full((1, 224, 224, 3), 200.0), "from 200 to 200; give floats in"),
        (np.full((1, 224, 224, 3), -0.5), "from -0.5"),
        (np.full((1, 224, 224, 3), np.nan), "NaN or infinite"),
        (np.zeros((1, 224, 224, 3), int), "got int64 from 0 to 0"),
    ],
)
def test_prepare_refuses_the_rest(lite0, photographs, message):
    with pytest.raises(ValueError, match=message):
        lite0.prepare(photographs)


def test_classes_by_name_and_number(lite0):
    assert lite0.index("church") == lite0.index("n03028079") == 497
    assert lite0.labels[160] == "Afghan hound"
    with pytest.raises(ValueError, match=r"no class 'terrier'; it has .*toy terrier"):
        lite0.index("terrier")
    with pytest.raises(ValueError, match="no class 'qqqq'; it has nothing like it"):
        lite0.index("qqqq")
    assert len(set(lite0.labels)) == len(set(lite0.wordnet_ids)) == 1000
    with pytest.raises(ValueError, match="k: got 0"):
        models.top_classes(lite0, lite0.prepare(np.zeros((1, 224, 224, 3))), k=0)


def test_resnet18_is_read_from_safetensors(resnet18_by_seed, squares):
    path, expected, _ = resnet18_by_seed
    for network in (load_network("resnet18"), load_network("ResNet18", weights=path)):
        assert np.array_equal(network.model.predict(squares, verbose=0), expected.predict(squares, verbose=0))
        assert network.size == 224
    white = network.prepare(np.ones((1, 224, 224, 3)))[0, 0, 0]
    np.testing.assert_allclose(white, [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], rtol=1e-5)


def test_what_is_not_the_published_file_does_not_pass_for_it(resnet18_by_seed, monkeypatch, capsys):
    path, _, _ = resnet18_by_seed
    monkeypatch.setattr(imagenet, "_RESNET18_SHA256", "0" * 64)
    with pytest.raises(NotAvailable, match="is not the file that was published"):
        load_network("resnet18")
    assert load_network("resnet18", optional=True) is None
    assert capsys.readouterr().out.count("\n") == 1
    assert load_network("resnet18", weights=path).card["weights"] == "your own file"


@pytest.mark.parametrize("harm", ["truncated", "another", "missing", "extra", "reshaped", "not finite"])
def test_damaged_weights_are_refused(resnet18_by_seed, tmp_path, harm):
    from safetensors.numpy import save_file

    path, _, arrays = resnet18_by_seed
    if harm == "truncated":
        path.write_bytes(path.read_bytes()[:-5000])
    elif harm == "another":
        path.write_bytes(b"no such format, and long enough to hold a header")
    else:
        if harm == "missing":
            del arrays["layer2.0.downsample.1.bias"]
        elif harm == "extra":
            arrays["layer2.2.conv1.weight"] = np.zeros((2, 2), np.float32)
        elif harm == "reshaped":
            arrays["fc.weight"] = arrays["fc.weight"].T.copy()
        else:
            arrays["bn1.running_var"][3] = np.inf
        save_file(arrays, path)
    refusals = "not a whole safetensors file", "not the weights of resnet18", "give real numbers of shape", "NaN"
    with pytest.raises(ValueError, match="|".join(refusals)):
        load_network("resnet18", weights=path)


def test_loading_and_saving_move_no_seed(resnet18_by_seed, tmp_path):
    def states():
        return random.random(), np.random.random(), tf.random.uniform(()).numpy(), keras.random.uniform(()).numpy()  # noqa: NPY002

    keras.utils.set_random_seed(3)
    expected = states()
    model = mnist_cnn(seed=1)
    for act in (
        lambda: load_checkpoint("mnist_cnn"),
        lambda: load_network("efficientnet_lite0"),
        lambda: load_network("resnet18"),
        lambda: checkpoints.save_checkpoint(model, tmp_path / "net.keras", lambda saved: {}),
    ):
        keras.utils.set_random_seed(3)
        act()
        assert states() == expected


def test_a_refused_array_leaves_the_network_as_it_was():
    model = models.resnet18()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"misses 'conv1\.weight'"):
        models.set_torch_weights(model, {"bn1.weight": np.zeros(64)})
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_offline_no_network_comes_with_random_weights(no_mnist, monkeypatch, capsys):
    hub = pytest.importorskip("huggingface_hub")

    def fail(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda **where: None)
    monkeypatch.setattr(hub, "get_hf_file_metadata", fail)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    for name, said in (("resnet18", "resnet18: its ImageNet"), ("MobileNetV2", "MobileNetV2: its ImageNet")):
        with pytest.raises(NotAvailable, match=r"weights could not be had .* go online"):
            load_network(name)
        assert load_network(name, optional=True) is None
        out = capsys.readouterr().out
        assert out.startswith(said)
        assert out.count("\n") == 1


def test_resnet18_comes_from_the_hub(resnet18_by_seed, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    path, _, _ = resnet18_by_seed
    monkeypatch.delenv("INTERP_DATA_DIR")
    asked = []
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda **where: None)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url, timeout: asked.append(url))
    monkeypatch.setattr(hub, "hf_hub_download", lambda **where: str(path))
    assert "hub" in load_network("resnet18").card["weights"]
    assert asked[0].endswith(
        "/timm/resnet18.tv_in1k/resolve/bbd144b3e5565108aad885f145491d11bc6ce807/model.safetensors"
    )


def test_a_network_of_keras_applications(tmp_path, no_mnist):
    """Weights from a file of your own; preprocessing as Keras does it."""
    options = {"input_shape": (32, 32, 3), "alpha": 0.35}
    built = keras.applications.MobileNetV2(weights=None, **options)
    path = str(tmp_path / "own.weights.h5")
    built.save_weights(path)
    network = load_network("mobilenet_v2", weights=path, **options)
    photographs = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    inputs = network.prepare(photographs)
    np.testing.assert_allclose(
        inputs, keras.applications.mobilenet_v2.preprocess_input(photographs.astype(np.float32)), atol=1e-5
    )  # fmt: skip
    np.testing.assert_allclose(network.model.predict(inputs, verbose=0), built.predict(inputs, verbose=0), atol=1e-6)
    assert network.card["weights"] == "your own file"
    with pytest.raises(ValueError, match="cannot be loaded into MobileNetV2"):
        load_network("mobilenet_v2", weights=path, input_shape=(32, 32, 3), alpha=0.5)
    with pytest.raises(ValueError, match="cannot be loaded into MobileNetV2"):
        load_network("mobilenet_v2", weights=str(tmp_path / "nowhere.weights.h5"), **options)
    with pytest.raises(ValueError, match="give a square input_shape, and leave the 1,000 classes"):
        load_network("mobilenet_v2", weights=path, input_shape=(32, 32, 3), alpha=0.35, include_top=False)


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "DenseNet121", "InceptionV3", "EfficientNetB0"])
def test_preprocessing_is_that_of_keras(name, monkeypatch):
    """Caffe's, torch's, TensorFlow's and none: all of them are linear in the pixels."""
    small = keras.Sequential([keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D(), layers.Dense(1000)])
    real = getattr(keras.applications, name)

    def build(weights):
        return small

    build.__module__ = real.__module__
    monkeypatch.setattr(keras.applications, name, build)
    network = load_network(name)
    photographs = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    preprocess = __import__("inspect").getmodule(real).preprocess_input
    np.testing.assert_allclose(network.prepare(photographs), preprocess(photographs.astype(np.float32)), atol=2e-5)
    np.testing.assert_allclose(network.photographs(network.prepare(photographs)), photographs / 255, atol=1e-5)


def test_logits_of_a_network_in_mixed_precision(monkeypatch):
    """Keras advises a softmax in float32, or a linear activation in float32 after it."""
    for ending in ([], [layers.Activation("linear", dtype="float32")]):
        stack = [layers.Conv2D(4, 3, dtype="mixed_bfloat16"), layers.GlobalAveragePooling2D(), layers.Dense(1000)]
        model = keras.Sequential([keras.Input((8, 8, 3)), *stack, layers.Softmax(), *ending])

        def build(weights, model=model):
            return model

        build.__module__ = keras.applications.VGG16.__module__
        monkeypatch.setattr(keras.applications, "VGG16", build)
        network = load_network("vgg16")
        inputs = network.prepare(np.random.default_rng(0).random((2, 8, 8, 3)))
        logits = logits_model(network.model).predict(inputs, verbose=0)
        np.testing.assert_allclose(softmax(logits), model.predict(inputs, verbose=0), rtol=1e-3)
        assert models.top_classes(network, inputs, k=2)["score"].max() == pytest.approx(logits.max())


def test_bad_names_and_options():
    with pytest.raises(ValueError, match=r"name: got 'LeNet'; give one of efficientnet_lite0, resnet18, .*VGG16"):
        load_network("LeNet")
    with pytest.raises(ValueError, match="alpha: resnet18 takes no options"):
        load_network("resnet18", alpha=1)
    with pytest.raises(ValueError, match="comes with its weights"):
        load_network("efficientnet_lite0", weights="own.h5")
    with pytest.raises(ValueError, match=r"'nowhere\.safetensors' is not a file"):
        load_network("resnet18", weights="nowhere.safetensors")
