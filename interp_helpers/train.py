"""Train the networks that ship with the package: ``python -m interp_helpers.train mnist_cnn`` (``--list`` names all).

One table, ``RECIPES``, says how each of them is trained; a network of your own takes a recipe of its own.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import accuracy_score, r2_score

from interp_helpers import data, models
from interp_helpers.data.scenes import EFFECTS
from interp_helpers.engine.checks import check_array, check_choice, check_count, check_folder, check_labels
from interp_helpers.engine.hooks import batches
from interp_helpers.models.checkpoints import save_checkpoint

FEW_CLASSES, TWO_CLASSES, VALUES = "sparse_categorical_crossentropy", "binary_crossentropy", "mse"


class Recipe(NamedTuple):
    """How a network is trained, with Adam."""

    build: Callable  # from a seed to an untrained network; one for values ends in a dense layer without activation
    loss: str = FEW_CLASSES  # "mse" for values
    epochs: int = 1
    batch_size: int = 32
    learning_rate: float | None = None  # falls to 0 as a cosine; by default it is Adam's own, and stays
    head_epochs: int = 0  # so many at first, for the last layer alone, at a learning rate of 0.01
    augmentation: Callable | None = None  # from a seed to layers that change the images at random
    mixed_precision: bool = False  # bfloat16, half the time where the processor knows it; the weights stay float32
    examples: Callable | None = None  # from a seed to what a network that ships is trained and tested on
    card: dict | None = None  # what its card says of the training besides


class _Examples(NamedTuple):
    """What a network that ships is trained and tested on; images come in pairs with their classes or values."""

    training_set: str
    train: tuple
    test: tuple
    more_tests: dict  # by name
    facts: dict  # what the card says of them besides
    names: tuple  # of the values


def train_network(recipe, images, targets, seed=0, verbose=0):
    """Train a network by a recipe and return it: the same seed, the same network (TensorFlow is deterministic then).

    Targets are classes, shape (N,), or values, (N,) or (N, n_values): these are standardized for training, and their
    mean and standard deviation are then put into the weights of the last layer, so that the output is in their units.
    The seed fixes the initial weights, the order of the images, the augmentation and the dropout masks.
    """
    tf.config.experimental.enable_op_determinism()
    images = check_array("images", images, ("N", "height", "width", "channels"))
    model = trained = recipe.build(check_count("seed", seed, 0))
    if recipe.loss == VALUES:
        targets, mean, sd = _standardized(model, images, targets)
    else:
        targets = check_labels(targets, len(images), max(2, model.output_shape[-1]), "targets")
    if recipe.mixed_precision:
        trained = _in_bfloat16(recipe.build, seed)
    steps = max(1, recipe.epochs * len(batches(len(images), recipe.batch_size)))
    falling = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps) if recipe.learning_rate else 0.001
    body = [layer for layer in trained.layers[:-2] if layer.trainable] if recipe.head_epochs else []
    for epochs, rate, whole in ((recipe.head_epochs, 0.01, False), (recipe.epochs, falling, True)):
        for layer in body:
            layer.trainable = whole
        if epochs:
            _fit(recipe, trained, images, targets, seed, verbose, epochs, rate)
    model.set_weights(trained.get_weights())
    if recipe.loss == VALUES:
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([kernel * sd, bias * sd + mean])
    return model


def release(name, folder, seed=0, verbose=0):
    """Train one of the networks that ship, save it with its card in a folder, and return the card."""
    recipe, folder = RECIPES[check_choice("name", name, RECIPES)], check_folder(folder, exists=False)
    examples = recipe.examples(seed)
    model = train_network(recipe, *examples.train, seed, verbose)
    score = partial(_score, recipe, examples.names)

    def describe(saved):
        scores = {"test": score(saved, *examples.test)}
        scores["test_before_rounding_to_half_precision"] = score(model, *examples.test)
        scores |= {key: score(saved, *test) for key, test in examples.more_tests.items()}
        if recipe.head_epochs:
            head = train_network(recipe._replace(epochs=0), *examples.train, seed, verbose)
            scores["test_with_only_the_last_layer_trained"] = score(head, *examples.test)
        if "test_without_noise" in scores:
            scores["possible"] = r2_score(examples.test[1], examples.more_tests["test_without_noise"][1])
        n_train, n_test = (len(part[0]) for part in (examples.train, examples.test))
        counts = {"training_images": n_train, "training_set": examples.training_set, "test_images": n_test}
        return {
            **({} if isinstance(model, keras.Sequential) else {"architecture": recipe.build.__name__}),
            "made_by": f"python -m interp_helpers.train {name} --seed {seed}",
            "seed": seed,
            "training": _training(recipe),
            "parameters": saved.count_params(),
            "data": counts | examples.facts,
            "r_squared" if recipe.loss == VALUES else "accuracy": scores,
        }

    return save_checkpoint(model, folder / f"{name}.keras", describe)


def full_mnist(with_digits=False):
    """Return MNIST, as a rule without the embedded digits, or refuse: what ships is trained on the full set only."""
    mnist = data.load_mnist(leave_out_digits=not with_digits)
    if len(mnist.train) != (60_000 if with_digits else 55_000) or len(mnist.test) != 10_000:
        raise ValueError(f"this needs the full MNIST, and load_mnist() found: {mnist.source}")
    return mnist


def _main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m interp_helpers.train", description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=list(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=models.CHECKPOINTS, help="folder to write to")
    parser.add_argument("--list", action="version", version=" ".join(RECIPES), help="name the networks, and end")
    options = parser.parse_args(arguments)
    verbose = 1 if sys.stdout.isatty() else 2  # a progress bar belongs on a terminal, not in a log
    try:
        card = release(options.network, options.out, options.seed, verbose)
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")
    print(json.dumps(card, indent=2))


def _fit(recipe, model, images, targets, seed, verbose, epochs, rate):
    """Train a model; the augmentation comes before it and is no part of it."""
    inputs = keras.Input(images.shape[1:])
    changed = keras.Sequential(recipe.augmentation(seed))(inputs) if recipe.augmentation else inputs
    whole = keras.Model(inputs, model(changed))
    whole.compile(keras.optimizers.Adam(rate), recipe.loss, metrics=[] if recipe.loss == VALUES else ["accuracy"])
    whole.fit(images, targets, batch_size=recipe.batch_size, epochs=epochs, verbose=verbose)


def _in_bfloat16(build, seed):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return build(seed)
    finally:
        keras.config.set_dtype_policy(before)


def _standardized(model, images, values):
    """Return standardized values (N, n_values), their mean and their standard deviation, for a network they fit."""
    values = np.asarray(values, float).reshape(len(values), -1)
    mean, sd, last = values.mean(axis=0), values.std(axis=0), model.layers[-1]
    if len(values) != len(images) or not np.isfinite(values).all() or not (sd > 0).all():
        what = f"shape {values.shape} for {len(images)} images, standard deviations {sd}"
        raise ValueError(f"targets: got {what}; give finite numbers that vary, a row for each image")
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.linear:
        raise ValueError(f"recipe: the network ends in {last.name!r}; build one that ends in a bare dense layer")
    if last.units != values.shape[1]:
        raise ValueError(f"targets: got {values.shape[1]} values for each image; the network has {last.units} outputs")
    return (values - mean) / sd, mean, sd


def _score(recipe, names, model, images, targets):
    """Return the accuracy of a network, or the R-squared of its values, by name if they have names."""
    outputs = model.predict(images, batch_size=100, verbose=0)
    if recipe.loss == VALUES:
        found = r2_score(targets, outputs, multioutput="raw_values").tolist()
        return dict(zip(names, found, strict=True)) if names else found[0]
    return float(accuracy_score(targets, outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > 0.5))


def _training(recipe):
    """Return what a card says of the training."""
    epochs, optimizer, falling = recipe.epochs, "adam", "falling"
    if recipe.head_epochs:
        epochs = f"{recipe.head_epochs} of the last layer alone, then {epochs} of all layers"
        falling = "0.01, then falling"
    if recipe.learning_rate:
        optimizer += f", learning rate {falling} from {recipe.learning_rate} to 0 as a cosine"
    optimizer += ", mixed_bfloat16" if recipe.mixed_precision else ""
    loss = {"loss": "mean squared error of the standardized values"} if recipe.loss == VALUES else {}
    return {"epochs": epochs, "batch_size": recipe.batch_size, "optimizer": optimizer, **loss, **(recipe.card or {})}


def _mnist(seed, with_digits=False, also="embedded_digits", values=()):
    """MNIST, also tested on the embedded digits; or with squares drawn on it and tested on such; or with values."""
    mnist, more, facts = full_mnist(with_digits), {}, {}
    train, test = ((part.images, part.labels) for part in (mnist.train, mnist.test))
    if values:
        train, test = ((images, data.stroke_shape(images)[list(values)].to_numpy()) for images, _ in (train, test))
        facts["values"] = "stroke width and slant as data.stroke_shape measures them"
    elif also == "test_with_squares":
        train, more[also] = ((_with_squares(images, seed), labels) for images, labels in (train, test))
    elif also:
        digits = data.load_digits()
        more[also] = (digits.images, digits.labels)
    embedded = "with" if with_digits else "without"
    training_set = f"MNIST training images, {embedded} the 5,000 embedded digits (matched by content)"
    return _Examples(training_set, train, test, more, facts, values)


def _with_squares(images, seed):
    """Draw a square of 3 to 9 pixels, at a random position and of a random grey, on a random half of the images."""
    rng = np.random.default_rng(seed)
    n, height, width, _ = images.shape
    side = rng.integers(3, 10, n)
    top, left = (np.floor(rng.random(n) * (length - side + 1)).astype(int) for length in (height, width))
    rows, columns = np.arange(height)[:, None], np.arange(width)
    inside = (rows >= top[:, None, None]) & (rows < (top + side)[:, None, None])
    inside = inside & (columns >= left[:, None, None]) & (columns < (left + side)[:, None, None])
    inside &= (rng.random(n) < 0.5)[:, None, None]
    return np.where(inside[..., None], rng.random(n, np.float32)[:, None, None, None], images)


def _mnist_gap(seed):
    """Build the localizer of chapter 6: the convolutions of the shipped network, average pooling, one new layer."""
    trained = models.load_checkpoint("mnist_cnn")
    keras.utils.set_random_seed(seed)
    kept = [type(one).from_config(one.get_config()) for one in (*trained.layers[:5], *trained.layers[-2:])]
    kept.insert(5, keras.layers.GlobalAveragePooling2D(name="average"))
    model = keras.Sequential([keras.Input((None, None, 1), name="canvas"), *kept], name="mnist_gap")
    for name in ("conv1", "conv2"):
        model.get_layer(name).set_weights(trained.get_layer(name).get_weights())
    return model


def _cifar10(seed, cats_and_dogs=False):
    """CIFAR-10; or only its cats (class 0) and dogs (1), the test images enlarged as the training images will be."""
    cifar10, training_set = data.load_cifar10(), "CIFAR-10, 32 x 32 pixels, all ten classes"
    train, test = ((part.images, part.labels) for part in (cifar10.train, cifar10.test))
    if cats_and_dogs:
        cat, dog = data.CIFAR10_CLASSES.index("cat"), data.CIFAR10_CLASSES.index("dog")
        chosen = [(images, labels, np.isin(labels, [cat, dog])) for images, labels in (train, test)]
        train, test = ((images[keep], (labels[keep] == dog).astype(int)) for images, labels, keep in chosen)
        test = (tf.image.resize(test[0], (150, 150)).numpy(), test[1])
        training_set = "cats and dogs of CIFAR-10, 32 x 32 pixels, enlarged to 150 x 150 (bilinear)"
    return _Examples(training_set, train, test, {}, {}, ())


def _street(seed, effects, n_train=6000, n_test=2000):
    """Drawn streets: the same ones whatever the seed of the network."""
    train, test = (data.street_scenes(n, seed=s, effects=effects) for n, s in ((n_train, 1000), (n_test, 1001)))
    more = {"test_without_noise": (test.images, test.causes[["expected"]].to_numpy())}
    pairs = ((scenes.images, scenes.values[:, None]) for scenes in (train, test))
    facts = {"test_set": "street_scenes, seed 1001", "effects": effects}
    return _Examples("street_scenes, seed 1000", *pairs, more, facts, ())


def _flip(seed):
    return [keras.layers.RandomFlip("horizontal", seed=seed)]


_MNIST = Recipe(models.mnist_cnn, examples=_mnist)  # as in the tutorial, section 3.1
_STREET = Recipe(models.street_resnet, VALUES, 16, 64, 3e-3, augmentation=_flip, card={"augmentation": "mirrored"})
RECIPES = {
    "mnist_cnn": _MNIST,
    "mnist_all": _MNIST._replace(examples=partial(_mnist, with_digits=True)),
    "mnist_cnn_cutout": _MNIST._replace(
        examples=partial(_mnist, also="test_with_squares"),
        card={"augmentation": "on half of the images a square of 3 to 9 pixels, at random, of a random grey"},
    ),
    "mnist_gap": Recipe(
        _mnist_gap, epochs=16, batch_size=128, learning_rate=3e-3, head_epochs=2,
        examples=partial(_mnist, also=None), card={"begins_with": "the convolutions of mnist_cnn"},
    ),
    **{f"mnist_{a}": _MNIST._replace(build=partial(models.mnist_cnn, activation=a)) for a in models.ACTIVATIONS[1:]},
    "cats_dogs": Recipe(
        models.cats_dogs_cnn, TWO_CLASSES, 30, 32, 5e-4, mixed_precision=True,
        augmentation=lambda seed: [
            *_flip(seed), keras.layers.RandomRotation(10 / 360, seed=seed), keras.layers.RandomZoom(0.15, seed=seed),
            keras.layers.Resizing(150, 150),
        ],
        examples=partial(_cifar10, cats_and_dogs=True),
        card={"augmentation": "mirrored, turned by up to 10 degrees, zoomed by up to 15 %, then enlarged to 150 x 150"},
    ),
    "cifar10": Recipe(
        models.cifar10_cnn, FEW_CLASSES, 30, 64, 1e-3, mixed_precision=True, examples=_cifar10,
        augmentation=lambda seed: [
            *_flip(seed), keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=seed),
        ],
        card={"augmentation": "mirrored, moved by up to a tenth of the side"},
    ),
    "ink": Recipe(models.ink_cnn, VALUES, 5, 128, 3e-3, examples=partial(_mnist, values=("width", "slant"))),
    "street": _STREET._replace(examples=partial(_street, effects=EFFECTS)),
    "street_bare": _STREET._replace(examples=partial(_street, effects={"vehicles": 2.0, "canyon": 12.0})),
}  # fmt: skip


if __name__ == "__main__":
    _main()
