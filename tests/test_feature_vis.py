import keras
import numpy as np
import pytest
from keras import layers as kl

from interp_helpers.data import load_digits
from interp_helpers.feature_vis import load_ideal_digits, maximize
from interp_helpers.models import load_checkpoint, logits_model


def linear(weights):
    model = keras.Sequential([keras.Input((4, 4, 1)), kl.Flatten(), kl.Dense(weights.shape[1])])
    model.set_weights([weights, np.zeros(weights.shape[1])])
    return model


def small_cnn():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            kl.Conv2D(4, 3, activation="relu", name="conv", bias_initializer="ones"),
            kl.Flatten(),
            kl.Dense(3, activation="softmax", name="head"),
        ]
    )


WEIGHTS = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")


def test_the_best_image_of_a_linear_model_is_the_sign_of_its_weights():
    made = maximize(linear(WEIGHTS), [0, 1, 2], n_steps=60)
    assert np.array_equal(made.images.reshape(3, 16), (WEIGHTS.T > 0).astype("float32"))
    np.testing.assert_allclose(made.values, np.maximum(WEIGHTS, 0).sum(axis=0), rtol=1e-5)


def test_l2_leads_to_the_weights_themselves():
    """s(x) - l2 ||x||^2 is largest at x = w / (2 l2)."""
    made = maximize(linear(WEIGHTS), [1], l2=0.5, pixel_range=None, n_steps=1000, step_size=0.003)
    np.testing.assert_allclose(made.images.ravel(), WEIGHTS[:, 1], atol=0.02)


def test_total_variation_makes_neighbours_alike():
    rough, smooth = (maximize(small_cnn(), [0], total_variation=weight).images[0, ..., 0] for weight in (0.0, 100.0))
    variation = lambda image: np.abs(np.diff(image)).mean()  # noqa: E731
    assert variation(smooth) < 0.5 * variation(rough)


@pytest.mark.parametrize(
    "options",
    [{}, {"blur": 0.5}, {"fourier": True}, {"lp_norm": 1.0}, {"l2": 0.01, "total_variation": 1.0}],
)
def test_every_option_climbs_and_keeps_the_range(options):
    made = maximize(small_cnn(), [0, 1, 2], n_steps=40, **options)
    assert (made.values > made.history[0]).all()
    assert made.history.shape == (40, 3)
    assert made.images.min() >= 0
    assert made.images.max() <= 1


def test_jitter_makes_images_that_stand_a_shift():
    model = load_checkpoint("mnist_cnn")
    shifts = [(-2, 0), (2, 0), (0, -2), (0, 2)]

    def mean_score_when_shifted(image):
        moved = np.stack([np.roll(image, shift, axis=(0, 1)) for shift in shifts])
        return logits_model(model).predict(moved, verbose=0)[:, 3].mean()

    plain, steady = (maximize(model, [3], n_steps=80, jitter=jitter).images[0] for jitter in (0, 2))
    assert mean_score_when_shifted(steady) > mean_score_when_shifted(plain)


def test_fourier_starts_from_the_given_image():
    start = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
    made = maximize(small_cnn(), [0, 1], fourier=True, start=start, n_steps=1, step_size=1e-6)
    np.testing.assert_allclose(made.images, start, atol=2e-3)


def test_the_same_seed_gives_the_same_images():
    first, second, other = (maximize(small_cnn(), [0], n_steps=5, jitter=1, seed=seed).images for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_images_of_a_batch_do_not_influence_each_other():
    start = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
    options = {"n_steps": 20, "l2": 0.01, "lp_norm": 1.0, "total_variation": 1.0}
    both = maximize(small_cnn(), [0, 2], start=start, **options)
    one = maximize(small_cnn(), [2], start=start[1:], **options)
    np.testing.assert_allclose(both.images[1], one.images[0], atol=1e-4)


def test_channels_and_whole_layers_can_be_maximized():
    model = small_cnn()
    channel = maximize(model, [0, 3], layer="conv", n_steps=60)
    kernels = model.get_layer("conv").get_weights()[0][:, :, 0, [0, 3]]
    assert (channel.values > channel.history[0]).all()
    # where the kernel is positive on the whole, a white image fires its channel most; where negative, a black one
    assert np.array_equal(channel.images.mean(axis=(1, 2, 3)) > 0.5, kernels.mean(axis=(0, 1)) > 0)
    dream = maximize(model, None, layer="conv", n_steps=30)
    assert dream.values[0] > dream.history[0, 0]


def test_the_model_comes_back_unchanged():
    model = small_cnn()
    config, weights = model.to_json(), model.get_weights()
    maximize(model, [0], n_steps=3, rule="guided")
    assert model.to_json() == config
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_a_dead_target_warns():
    model = small_cnn()
    conv = model.get_layer("conv")
    conv.set_weights([conv.get_weights()[0], np.array([1, 1, -100, 1])])
    with pytest.warns(UserWarning, match="target 1 never reacted"):
        maximize(model, [0, 2, 3], layer="conv", n_steps=3)


def test_a_black_image_has_no_nan_penalty():
    start = np.zeros((1, 8, 8, 1), "float32")
    assert np.isfinite(maximize(small_cnn(), [0], lp_norm=1.0, start=start, n_steps=2).images).all()


def test_ideal_digits_beat_most_real_ones():
    ideal, digits = load_ideal_digits(), load_digits()
    model = load_checkpoint("mnist_cnn")
    assert ideal.shape == (10, 28, 28, 1)
    assert ideal.min() >= 0
    assert ideal.max() <= 1
    real = logits_model(model).predict(digits.images, batch_size=250, verbose=0)
    made = np.diag(logits_model(model).predict(ideal, verbose=0))
    assert (made > [np.median(real[digits.labels == k, k]) for k in range(10)]).all()
    assert (np.diag(model.predict(ideal, verbose=0)) > 0.99).all()
    ideal[:] = 0
    assert load_ideal_digits().max() > 0.5  # what a caller does to its copy stays there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": [3]}, "target: got"),
        ({"target": [0.5]}, "target: got"),
        ({"target": None}, "name it by layer"),
        ({"target": [0], "layer": "conv9"}, "no layer 'conv9'"),
        ({"target": [0], "n_steps": 0}, "n_steps"),
        ({"target": [0], "step_size": -1}, "step_size"),
        ({"target": [0], "l2": -1}, "l2: got"),
        ({"target": [0], "blur": float("nan")}, "blur: got"),
        ({"target": [0], "blur": 10.0}, "blur: got"),
        ({"target": [0], "blur": 0.5, "fourier": True}, "blur: got"),
        ({"target": [0], "l2": float("inf")}, "l2: got"),
        ({"target": [0], "rule": "relu"}, "rule: got"),
        ({"target": [0], "pool": "median"}, "pool: got"),
        ({"target": [0], "start": np.zeros((1, 8, 8, 1), np.uint8)}, "uint8"),
        ({"target": [0], "start": np.zeros((1, 9, 8, 1))}, "got shape"),
        ({"target": [0], "pixel_range": (1.0, 0.0)}, "pixel_range"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        maximize(small_cnn(), **arguments)
