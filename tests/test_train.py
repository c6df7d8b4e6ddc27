import json
from functools import partial

import keras
import numpy as np
import pytest

from interp_helpers import models, train
from interp_helpers.data import LabelledImages, Split, load_digits
from interp_helpers.models import checkpoints
from interp_helpers.train import RECIPES, Recipe, release, train_network


@pytest.fixture
def few_digits():
    digits = load_digits()
    return digits.subset(slice(0, 5000, 50))  # 10 of each class


@pytest.fixture
def few_mnist(monkeypatch, few_digits):
    monkeypatch.setattr(train, "full_mnist", lambda *_: Split(few_digits, few_digits, "a few digits"))
    monkeypatch.setattr(train.data, "load_digits", lambda: few_digits)


@pytest.fixture
def few_photographs(monkeypatch):
    few = LabelledImages(np.random.default_rng(0).random((8, 32, 32, 3)).astype(np.float32), np.arange(8), "made here")
    monkeypatch.setattr(train.data, "load_cifar10", lambda: Split(few, few, "made here"))
    return few


def same_weights(first, again):
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))


def test_same_seed_same_network(few_digits):
    first, again, other = (
        train_network(RECIPES["mnist_cnn"], few_digits.images, few_digits.labels, seed) for seed in (4, 4, 5)
    )
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_two_trainings_give_the_same_card_and_file(few_mnist, tmp_path):
    cards = [release("mnist_cnn", tmp_path / name) for name in ("first", "second")]
    assert cards[0] == cards[1]
    assert json.loads((tmp_path / "first" / "mnist_cnn.json").read_text()) == cards[0]


def test_every_network_that_ships_has_a_recipe_and_a_card_of_the_same_form():
    shipped = {path.stem for path in models.CHECKPOINTS.glob("*.json")} - {"efficientnet_lite0"}
    assert set(RECIPES) == shipped
    for name, recipe in RECIPES.items():
        card = models.checkpoint_card(name)
        assert card["made_by"] == f"python -m interp_helpers.train {name} --seed 0"
        assert card["training"] == train._training(recipe)


def test_command_lists_the_networks(capsys):
    with pytest.raises(SystemExit) as stop:
        train._main(["--list"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.split() == list(RECIPES)


def test_what_ships_is_trained_on_the_full_set_only(no_mnist):
    with pytest.raises(ValueError, match=r"needs the full MNIST, and load_mnist\(\) found: the embedded digits"):
        train.full_mnist()


def test_command_says_in_one_line_what_is_missing(no_mnist, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        train._main(["mnist_cnn", "--out", str(tmp_path)])
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("error: this needs the full MNIST")
    assert not list(tmp_path.iterdir())


def test_command_refuses_an_unknown_network(capsys):
    with pytest.raises(SystemExit):
        train._main(["alexnet"])
    assert "invalid choice" in capsys.readouterr().err
    with pytest.raises(ValueError, match="name: got 'alexnet'; give one of 'mnist_cnn'"):
        release("alexnet", ".")


def test_half_precision_file_holds_rounded_weights_and_no_date(tmp_path):
    model = models.mnist_cnn(seed=0)
    checkpoints.save_checkpoint(model, tmp_path / "net.keras", lambda saved: {})
    loaded = keras.models.load_model(tmp_path / "net.keras", safe_mode=True)
    for kept, weight in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert kept.dtype == np.float32
        assert np.array_equal(kept, weight.astype(np.float16))
    assert (tmp_path / "net.keras").stat().st_size < 1_500_000
    assert b"date_saved" not in (tmp_path / "net.keras").read_bytes()


def test_accuracy_is_the_share_of_right_answers():
    model = models.load_checkpoint("mnist_cnn")
    digits = load_digits().subset(slice(None, None, 100))
    score = partial(train._score, RECIPES["mnist_cnn"], (), model, digits.images)
    assert score(digits.labels) >= 0.9
    assert score((digits.labels + 1) % 10) <= 0.1


def test_cats_and_dogs_are_chosen_by_class(few_photographs):
    examples = RECIPES["cats_dogs"].examples(0)
    assert examples.train[1].tolist() == examples.test[1].tolist() == [0, 1]  # classes 3 and 5
    assert np.array_equal(examples.train[0], few_photographs.images[[3, 5]])
    assert examples.test[0].shape == (2, 150, 150, 3)


@pytest.mark.parametrize(("name", "n_parameters"), [("cats_dogs", 3_453_121), ("cifar10", 1_250_858)])
def test_training_on_photographs_is_reproducible(monkeypatch, tmp_path, few_photographs, name, n_parameters):
    monkeypatch.setitem(RECIPES, name, RECIPES[name]._replace(epochs=1))
    card = release(name, tmp_path)
    again = train_network(RECIPES[name], *RECIPES[name].examples(0).train)
    saved = keras.models.load_model(tmp_path / f"{name}.keras")
    for kept, weight in zip(saved.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(kept, weight.astype(np.float16))
    assert card["parameters"] == n_parameters
    assert "mixed_bfloat16" in card["training"]["optimizer"]
    assert keras.config.dtype_policy().name == "float32"


def test_other_activations_ship_under_their_names(few_mnist, tmp_path):
    card = release("mnist_tanh", tmp_path)
    assert card["name"] == "mnist_tanh"
    assert set(card["accuracy"]) == {"test", "test_before_rounding_to_half_precision", "embedded_digits"}
    assert (tmp_path / "mnist_tanh.keras").exists()


def test_the_localizer_trains_its_last_layer_first(monkeypatch, few_mnist, few_digits, tmp_path):
    monkeypatch.setitem(RECIPES, "mnist_gap", RECIPES["mnist_gap"]._replace(epochs=1))
    card = release("mnist_gap", tmp_path)
    assert card["training"]["epochs"] == "2 of the last layer alone, then 1 of all layers"
    assert "test_with_only_the_last_layer_trained" in card["accuracy"]
    head = train_network(RECIPES["mnist_gap"]._replace(epochs=0), few_digits.images, few_digits.labels)
    shipped = models.load_checkpoint("mnist_cnn")
    for name in ("conv1", "conv2"):
        assert same_weights(head.get_layer(name), shipped.get_layer(name))
    assert all(layer.trainable for layer in head.layers)


def test_squares_are_drawn_on_half_of_the_digits(few_mnist, few_digits):
    examples = RECIPES["mnist_cnn_cutout"].examples(0)
    changed = (examples.train[0] != few_digits.images).any(axis=(1, 2, 3))
    assert 0.3 < changed.mean() < 0.7
    assert np.array_equal(examples.train[0], examples.more_tests["test_with_squares"][0])
    assert np.array_equal(examples.test[0], few_digits.images)


def tiny_regression(seed, n=2, activation=None):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    stack = [layers.Flatten(), layers.Dense(8, "relu"), layers.Dense(n, activation, name="values")]
    return keras.Sequential([keras.Input((4, 4, 1)), *stack])


def test_a_regression_predicts_in_the_units_of_its_values():
    images = np.random.default_rng(0).random((400, 4, 4, 1)).astype(np.float32)
    values = np.stack([1000 + 50 * images[:, 0, 0, 0], -3 - 0.01 * images[:, 2, 1, 0]], axis=1)
    recipe = Recipe(tiny_regression, "mse", epochs=60, batch_size=50, learning_rate=0.02)
    first, again = (train_network(recipe, images, values, seed=1) for _ in range(2))
    assert same_weights(first, again)
    predicted = first.predict(images, verbose=0)
    residual = ((values - predicted) ** 2).mean(axis=0)
    assert (1 - residual / values.var(axis=0)).min() > 0.9
    np.testing.assert_allclose(predicted.mean(axis=0), values.mean(axis=0), rtol=0.01)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((9, 2)), "targets: got shape .9, 2. for 10 images"),
        (np.full((10, 2), np.nan), "finite"),
        (np.ones((10, 2)), "that vary"),
        (np.arange(10), "targets: got 1 values for each image; the network has 2 outputs"),
    ],
)
def test_values_that_cannot_be_learned_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        train_network(Recipe(tiny_regression, "mse"), np.zeros((10, 4, 4, 1), np.float32), values)


def test_only_a_network_that_ends_in_a_bare_dense_layer_learns_values():
    recipe = Recipe(partial(tiny_regression, n=1, activation="sigmoid"), "mse")
    with pytest.raises(ValueError, match="recipe: the network ends in 'values'"):
        train_network(recipe, np.zeros((10, 4, 4, 1), np.float32), np.arange(10))


def test_labels_and_images_that_do_not_fit_are_refused(few_digits):
    for images, labels, message in (
        (few_digits.images, few_digits.labels[:-1], "targets: got"),
        (few_digits.images, few_digits.labels + 1, "targets: got 1 to 10; the model has classes 0 to 9"),
        (few_digits.images[0], few_digits.labels, "images: got"),
    ):
        with pytest.raises(ValueError, match=message):
            train_network(RECIPES["mnist_cnn"], images, labels)


def test_a_street_network_ships_with_what_was_possible(monkeypatch, tmp_path):
    recipe = RECIPES["street"]
    few = partial(recipe.examples, n_train=60, n_test=40)
    monkeypatch.setitem(RECIPES, "street", recipe._replace(epochs=1, batch_size=20, examples=few))
    card = release("street", tmp_path, seed=2)
    assert json.loads((tmp_path / "street.json").read_text()) == card
    assert card["architecture"] == "street_resnet"
    assert card["data"]["effects"] == {"vehicles": 2.0, "canyon": 12.0, "trees": -2.0}
    before = "test_before_rounding_to_half_precision"
    assert set(card["r_squared"]) == {"test", before, "test_without_noise", "possible"}
    assert 0.7 < card["r_squared"]["possible"] < 1
    assert abs(card["r_squared"]["test"] - card["r_squared"][before]) < 0.05


def test_the_ink_network_ships_with_both_values(monkeypatch, few_mnist, tmp_path):
    monkeypatch.setitem(RECIPES, "ink", RECIPES["ink"]._replace(epochs=1))
    card = release("ink", tmp_path)
    assert set(card["r_squared"]["test"]) == {"width", "slant"}
    assert models.ink_cnn().count_params() == card["parameters"]
