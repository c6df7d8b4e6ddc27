import json

import numpy as np
import pytest

from interp_helpers import models, regression, train
from interp_helpers.data import LabelledImages, Split, load_digits
from interp_helpers.models import checkpoints


@pytest.fixture
def few_digits():
    digits = load_digits()
    return digits.subset(slice(0, 5000, 25))  # 20 of each class


def test_same_seed_same_network(few_digits):
    first, again = (train.fit_mnist_cnn(few_digits, seed=4).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_two_trainings_give_the_same_card_and_file(monkeypatch, tmp_path, few_digits):
    monkeypatch.setattr(train, "full_mnist", lambda *_: Split(few_digits, few_digits, "a few digits"))
    cards = [train.ship_mnist_cnn(tmp_path / name, seed=0) for name in ("first", "second")]
    assert cards[0] == cards[1]
    assert json.loads((tmp_path / "first" / "mnist_cnn.json").read_text()) == cards[0]


def test_what_ships_is_trained_on_the_full_set_only(no_mnist):
    with pytest.raises(ValueError, match=r"needs the full MNIST, and load_mnist\(\) found: the embedded digits"):
        train.full_mnist()


def test_command_says_in_one_line_what_is_missing(no_mnist, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["mnist", "--out", str(tmp_path)])
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("error: this needs the full MNIST")
    assert not list(tmp_path.iterdir())


def test_command_refuses_an_unknown_network(capsys):
    with pytest.raises(SystemExit):
        train.main(["alexnet"])
    assert "invalid choice" in capsys.readouterr().err


def test_half_precision_file_holds_rounded_weights_and_no_date(tmp_path):
    model = models.mnist_cnn(seed=0)
    checkpoints.save_half_precision(model, tmp_path / "net.keras")
    loaded = train.keras.models.load_model(tmp_path / "net.keras", safe_mode=True)
    for kept, weight in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert kept.dtype == np.float32
        assert np.array_equal(kept, weight.astype(np.float16))
    assert (tmp_path / "net.keras").stat().st_size < 1_500_000
    assert b"date_saved" not in (tmp_path / "net.keras").read_bytes()


def test_n_correct_counts():
    model = models.load_checkpoint("mnist_cnn")
    digits = load_digits().subset(slice(None, None, 100))
    wrong_labels = LabelledImages(digits.images, (digits.labels + 1) % 10, "labels off by one")
    assert train.n_correct(model, digits) >= 45
    assert train.n_correct(model, wrong_labels) <= 5


def test_cats_and_dogs_are_chosen_by_class():
    photographs = LabelledImages(
        np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1), np.array([3, 5, 0, 5]), "made here"
    )
    chosen = train.cats_and_dogs(photographs)
    assert chosen.labels.tolist() == [0, 1, 1]
    assert chosen.images.ravel().tolist() == [0, 1, 3]


def test_cats_and_dogs_training_is_reproducible(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    few = LabelledImages(rng.random((8, 32, 32, 3)).astype(np.float32), np.array([3, 5] * 4), "made here")
    monkeypatch.setattr(train.data, "load_cifar10", lambda: Split(few, few, "made here"))
    cards = [train.ship_cats_dogs(tmp_path / name, epochs=1) for name in ("first", "second")]
    assert cards[0] == cards[1]
    assert cards[0]["parameters"] == 3_453_121
    assert cards[0]["data"]["training_images"] == 8


def test_cifar10_training_is_reproducible(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    few = LabelledImages(rng.random((20, 32, 32, 3)).astype(np.float32), np.arange(20) % 10, "made here")
    monkeypatch.setattr(train.data, "load_cifar10", lambda: Split(few, few, "made here"))
    cards = [train.ship_cifar10(tmp_path / name, epochs=1) for name in ("first", "second")]
    assert cards[0] == cards[1]
    assert cards[0]["parameters"] == 1_250_858


def test_other_activations_ship_under_their_names(monkeypatch, tmp_path, few_digits):
    monkeypatch.setattr(train, "full_mnist", lambda *_: Split(few_digits, few_digits, "a few digits"))
    card = train.SHIP["mnist_tanh"](tmp_path)
    assert card["name"] == "mnist_tanh"
    assert card["made_by"] == "python -m interp_helpers.train mnist_tanh --seed 0"
    assert (tmp_path / "mnist_tanh.keras").exists()


def tiny_regression(seed):
    train.keras.utils.set_random_seed(seed)
    layers = train.keras.layers
    return train.keras.Sequential(
        [train.keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(8, "relu"), layers.Dense(2, name="values")]
    )


def test_a_regression_predicts_in_the_units_of_its_values():
    images = np.random.default_rng(0).random((400, 4, 4, 1)).astype(np.float32)
    values = np.stack([1000 + 50 * images[:, 0, 0, 0], -3 - 0.01 * images[:, 2, 1, 0]], axis=1)
    options = {"epochs": 60, "learning_rate": 0.02, "batch_size": 50, "seed": 1}
    first, again = (regression.fit_regression(tiny_regression, images, values, **options) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    predicted = first.predict(images, verbose=0)
    assert regression.r_squared_of(predicted, values).min() > 0.9
    np.testing.assert_allclose(predicted.mean(axis=0), values.mean(axis=0), rtol=0.01)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((9, 2)), "values: got shape .9, 2. for 10 images"),
        (np.full((10, 2), np.nan), "finite"),
        (np.ones((10, 2)), "that vary"),
        (np.arange(10), "2 outputs for 1 values"),
    ],
)
def test_values_that_cannot_be_learned_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        regression.fit_regression(tiny_regression, np.zeros((10, 4, 4, 1), np.float32), values, 1, 0.1, 5)


def test_only_a_network_that_ends_in_a_bare_dense_layer_learns_values():
    def squashed(seed):
        layers = train.keras.layers
        return train.keras.Sequential([train.keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(1, "sigmoid")])

    with pytest.raises(ValueError, match="ends in 'dense"):
        regression.fit_regression(squashed, np.zeros((10, 4, 4, 1), np.float32), np.arange(10), 1, 0.1, 5)


def test_r_squared_is_one_for_the_values_and_zero_for_their_mean():
    values = np.random.default_rng(0).normal(5, [1, 10], (50, 2))
    np.testing.assert_allclose(regression.r_squared_of(values, values), 1)
    np.testing.assert_allclose(regression.r_squared_of(values.mean(axis=0), values), 0, atol=1e-12)
    noise = np.random.default_rng(1).normal(0, 0.5, 50)
    by_hand = 1 - (noise**2).sum() / ((values[:, 0] - values[:, 0].mean()) ** 2).sum()
    np.testing.assert_allclose(regression.r_squared_of(values[:, :1] + noise[:, None], values[:, :1]), by_hand)


def test_a_street_network_ships_with_what_was_possible(monkeypatch, tmp_path):
    monkeypatch.setattr(train, "N_SCENES", {"train": 60, "test": 40})
    monkeypatch.setitem(train.REGRESSION, "street", (1, 1e-3, 20))
    card = train.ship_street(tmp_path, seed=2)
    assert json.loads((tmp_path / "street.json").read_text()) == card
    assert card["data"]["effects"] == {"vehicles": 2.0, "canyon": 12.0, "trees": -2.0}
    assert set(card["r_squared"]) == {
        "test",
        "test_before_rounding_to_half_precision",
        "test_without_noise",
        "possible",
    }
    assert 0.7 < card["r_squared"]["possible"] < 1
    assert abs(card["r_squared"]["test"] - card["r_squared"]["test_before_rounding_to_half_precision"]) < 0.05


def test_the_ink_network_ships_with_both_values(monkeypatch, tmp_path, few_digits):
    monkeypatch.setattr(train, "full_mnist", lambda *_: Split(few_digits, few_digits, "a few digits"))
    monkeypatch.setitem(train.REGRESSION, "ink", (1, 1e-3, 50))
    card = train.ship_ink(tmp_path)
    assert set(card["r_squared"]["test"]) == {"width", "slant"}
    assert models.ink_cnn().count_params() == card["parameters"]
