"""Train the networks that ship with the package: ``python -m interp_helpers.train mnist``.

Others: ``mnist_cutout`` (squares drawn on the digits), ``mnist_gap`` (global average pooling), ``mnist_tanh``,
``mnist_elu``, ``mnist_leaky_relu``, ``mnist_gelu`` (other activation functions), ``mnist_all`` (trained on the embedded
digits as well), ``cats_dogs``, ``cifar10``, ``ink`` (stroke width and slant), ``street`` (pollution of drawn streets),
``street_bare`` (the same where trees have no effect).
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from interp_helpers import data, models, probing, scenes
from interp_helpers.models.checkpoints import save_half_precision, write_card
from interp_helpers.regression import fit_regression, r_squared_of

EPOCHS, BATCH_SIZE = 1, 32  # as in the tutorial, section 3.1


GAP_EPOCHS = 16


CATS_DOGS_EPOCHS, CATS_DOGS_LEARNING_RATE = 30, 5e-4


CIFAR10_EPOCHS, CIFAR10_LEARNING_RATE, CIFAR10_BATCH_SIZE = 30, 1e-3, 64


REGRESSION = {  # of chapter 14: epochs, learning rate, batch size
    "ink": (5, 3e-3, 128),
    "street": (16, 3e-3, 64),
}


N_SCENES = {"train": 6000, "test": 2000}


TRAINING_SCENES = 1000  # their seed; the test scenes have the next one


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m interp_helpers.train", description=__doc__)
    parser.add_argument("network", choices=list(SHIP))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=models.CHECKPOINTS, help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        card = SHIP[options.network](options.out, seed=options.seed)
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")
    print(json.dumps(card, indent=2))


def ship_mnist_cnn(folder, seed=0, activation="relu", with_digits=False):
    """Train the MNIST network, save it with its card in `folder`, and return the card."""
    mnist = full_mnist(with_digits)
    model = fit_mnist_cnn(mnist.train, seed=seed, verbose=_VERBOSE, activation=activation)
    name = "mnist_all" if with_digits else model.name
    shipped, accuracy = _save_and_test(model, Path(folder) / f"{name}.keras", mnist.test)
    digits = data.load_digits()
    network = "mnist" if name == "mnist_cnn" else name
    return write_card(
        Path(folder) / f"{name}.json",
        made_by=f"python -m interp_helpers.train {network} --seed {seed}",
        seed=seed,
        training={"epochs": EPOCHS, "batch_size": BATCH_SIZE, "optimizer": "adam"},
        parameters=shipped.count_params(),
        data=_of_mnist(mnist),
        accuracy={**accuracy, "embedded_digits": n_correct(shipped, digits) / len(digits)},
    )


def ship_mnist_cutout(folder, seed=0):
    """Train the MNIST network on digits with random squares, save it with its card, and return the card."""
    mnist = full_mnist()
    model = fit_mnist_cnn(with_squares(mnist.train, seed), seed=seed, verbose=_VERBOSE)
    shipped, accuracy = _save_and_test(model, Path(folder) / "mnist_cnn_cutout.keras", mnist.test)
    squared = n_correct(shipped, with_squares(mnist.test, seed)) / len(mnist.test)
    return write_card(
        Path(folder) / "mnist_cnn_cutout.json",
        made_by=f"python -m interp_helpers.train mnist_cutout --seed {seed}",
        seed=seed,
        training={
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "optimizer": "adam",
            "augmentation": "on half of the images a square of 3 to 9 pixels, at random, of a random grey",
        },
        parameters=shipped.count_params(),
        data=_of_mnist(mnist),
        accuracy={**accuracy, "test_with_squares": squared},
    )


def ship_mnist_gap(folder, seed=0):
    """Train the localizer of chapter 6 from the shipped MNIST network, save it with its card, and return the card."""
    mnist = full_mnist()
    model, before = fit_mnist_gap(mnist.train, seed=seed, verbose=_VERBOSE, test=mnist.test)
    shipped, accuracy = _save_and_test(model, Path(folder) / "mnist_gap.keras", mnist.test)
    return write_card(
        Path(folder) / "mnist_gap.json",
        made_by=f"python -m interp_helpers.train mnist_gap --seed {seed}",
        seed=seed,
        training={
            "epochs": f"2 of the last layer alone, then {GAP_EPOCHS} of all layers",
            "batch_size": 128,
            "optimizer": "adam, learning rate 0.01, then falling from 0.003 to 0 as a cosine",
            "begins_with": "the convolutions of mnist_cnn",
        },
        parameters=shipped.count_params(),
        data=_of_mnist(mnist),
        accuracy={**accuracy, "test_with_only_the_last_layer_trained": before},
    )


def ship_cats_dogs(folder, seed=0, epochs=CATS_DOGS_EPOCHS):
    """Train the cats-and-dogs network on CIFAR-10's cats and dogs, save it with its card, and return the card."""
    cifar10 = data.load_cifar10()
    train, test = cats_and_dogs(cifar10.train), cats_and_dogs(cifar10.test)
    model = fit_cats_dogs(train, seed=seed, epochs=epochs, verbose=_VERBOSE)
    enlarged = data.LabelledImages(enlarge(test.images), test.labels, test.source)
    shipped, accuracy = _save_and_test(model, Path(folder) / "cats_dogs.keras", enlarged)
    return write_card(
        Path(folder) / "cats_dogs.json",
        made_by=f"python -m interp_helpers.train cats_dogs --seed {seed}",
        seed=seed,
        training={
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "optimizer": f"adam, learning rate falling from {CATS_DOGS_LEARNING_RATE} to 0 as a cosine, mixed_bfloat16",
            "augmentation": "mirrored, turned by up to 10 degrees, zoomed by up to 15 %, then enlarged to 150 x 150",
        },
        parameters=shipped.count_params(),
        data={
            "training_images": len(train),
            "training_set": "cats and dogs of CIFAR-10, 32 x 32 pixels, enlarged to 150 x 150 (bilinear)",
            "test_images": len(test),
        },
        accuracy=accuracy,
    )


def cats_and_dogs(photographs):
    """Return the cats (label 0) and dogs (label 1) among CIFAR-10 images."""
    cat, dog = data.CIFAR10_CLASSES.index("cat"), data.CIFAR10_CLASSES.index("dog")
    chosen = photographs.subset(np.isin(photographs.labels, [cat, dog]))
    return data.LabelledImages(chosen.images, (chosen.labels == dog).astype(np.int64), chosen.source)


def enlarge(images, size=150):
    """Enlarge images (N, height, width, 3) to `size` pixels a side, bilinearly."""
    return tf.image.resize(images, (size, size)).numpy()


def fit_cats_dogs(train, seed=0, epochs=CATS_DOGS_EPOCHS, verbose=0):
    """Train the cats-and-dogs network with data augmentation and dropout.

    Parameters
    ----------
    train : LabelledImages
        Small photographs (N, 32, 32, 3), label 1 for dogs; turned, zoomed and mirrored at random, then enlarged.
    seed, epochs, verbose : int
    """
    changed = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=seed),
            keras.layers.RandomRotation(10 / 360, seed=seed),
            keras.layers.RandomZoom(0.15, seed=seed),
            keras.layers.Resizing(150, 150),
        ]
    )
    return _fit_augmented(
        models.cats_dogs_cnn,
        changed,
        train,
        seed,
        loss="binary_crossentropy",
        learning_rate=CATS_DOGS_LEARNING_RATE,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        verbose=verbose,
    )


def ship_cifar10(folder, seed=0, epochs=CIFAR10_EPOCHS):
    """Train the CIFAR-10 network, save it with its card in `folder`, and return the card."""
    cifar10 = data.load_cifar10()
    model = fit_cifar10(cifar10.train, seed=seed, epochs=epochs, verbose=_VERBOSE)
    shipped, accuracy = _save_and_test(model, Path(folder) / "cifar10.keras", cifar10.test)
    return write_card(
        Path(folder) / "cifar10.json",
        made_by=f"python -m interp_helpers.train cifar10 --seed {seed}",
        seed=seed,
        training={
            "epochs": epochs,
            "batch_size": CIFAR10_BATCH_SIZE,
            "optimizer": f"adam, learning rate falling from {CIFAR10_LEARNING_RATE} to 0 as a cosine, mixed_bfloat16",
            "augmentation": "mirrored, moved by up to a tenth of the side",
        },
        parameters=shipped.count_params(),
        data={
            "training_images": len(cifar10.train),
            "training_set": "CIFAR-10, 32 x 32 pixels, all ten classes",
            "test_images": len(cifar10.test),
        },
        accuracy=accuracy,
    )


def fit_cifar10(train, seed=0, epochs=CIFAR10_EPOCHS, verbose=0):
    """Train the CIFAR-10 network of the Keras examples with data augmentation and dropout.

    Parameters
    ----------
    train : LabelledImages
        Photographs (N, 32, 32, 3); mirrored and moved at random.
    seed, epochs, verbose : int
    """
    changed = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=seed),
            keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=seed),
        ]
    )
    return _fit_augmented(
        models.cifar10_cnn,
        changed,
        train,
        seed,
        loss="sparse_categorical_crossentropy",
        learning_rate=CIFAR10_LEARNING_RATE,
        batch_size=CIFAR10_BATCH_SIZE,
        epochs=epochs,
        verbose=verbose,
    )


def ship_ink(folder, seed=0):
    """Train the network that measures stroke width and slant, save it with its card, and return the card."""
    mnist = full_mnist()
    train, test = (probing.ink_shape(part.images)[["width", "slant"]] for part in (mnist.train, mnist.test))
    model = fit_regression(models.ink_cnn, mnist.train.images, train.to_numpy(), *REGRESSION["ink"], seed, _VERBOSE)
    shipped, r_squared = _save_and_predict(model, Path(folder) / "ink.keras", mnist.test.images, test.to_numpy())
    return write_card(
        Path(folder) / "ink.json",
        made_by=f"python -m interp_helpers.train ink --seed {seed}",
        seed=seed,
        training=_of_regression("ink"),
        parameters=shipped.count_params(),
        data={**_of_mnist(mnist), "values": "stroke width and slant as probing.ink_shape measures them"},
        r_squared={name: dict(zip(train.columns, values, strict=True)) for name, values in r_squared.items()},
    )


def ship_street(folder, seed=0, name="street", effects=None):
    """Train a network on drawn streets, save it with its card, and return the card."""
    train = scenes.street_scenes(N_SCENES["train"], seed=TRAINING_SCENES, effects=effects)
    test = scenes.street_scenes(N_SCENES["test"], seed=TRAINING_SCENES + 1, effects=effects)
    model = fit_regression(
        models.street_resnet, train.images, train.values[:, None], *REGRESSION["street"], seed, _VERBOSE, mirrored=True
    )
    shipped, r_squared = _save_and_predict(
        model, Path(folder) / f"{name}.keras", test.images, test.values[:, None], test.causes[["expected"]].to_numpy()
    )
    return write_card(
        Path(folder) / f"{name}.json",
        made_by=f"python -m interp_helpers.train {name} --seed {seed}",
        seed=seed,
        training={**_of_regression("street"), "augmentation": "mirrored"},
        parameters=shipped.count_params(),
        data={
            "training_images": len(train),
            "training_set": f"street_scenes, seed {TRAINING_SCENES}",
            "test_images": len(test),
            "test_set": f"street_scenes, seed {TRAINING_SCENES + 1}",
            "effects": scenes.EFFECTS if effects is None else effects,
        },
        r_squared={key: values[0] for key, values in r_squared.items()},
    )


def full_mnist(with_digits=False):
    """Return MNIST, as a rule without the embedded digits, or refuse: what ships is trained on the full set only.

    Raises
    ------
    ValueError
        If the full MNIST cannot be had, or in a smoke run.
    """
    mnist = data.load_mnist(leave_out_digits=not with_digits)
    if len(mnist.train) != (60_000 if with_digits else 55_000) or len(mnist.test) != 10_000:
        raise ValueError(f"this needs the full MNIST, and load_mnist() found: {mnist.source}")
    return mnist


def fit_mnist_cnn(train, seed=0, verbose=0, activation="relu"):
    """Train the MNIST network as the tutorial does: one epoch, Adam, batches of 32; the same seed, the same network.

    Parameters
    ----------
    train : LabelledImages
        images (N, 28, 28, 1).
    seed : int
        Fixes the initial weights, the order of the images and the dropout masks.
    verbose : int
        As in ``keras.Model.fit``.
    activation : str
        As in ``models.mnist_cnn``.
    """
    tf.config.experimental.enable_op_determinism()
    model = models.mnist_cnn(seed, activation)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train.images, train.labels, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=verbose)
    return model


def with_squares(digits, seed=0):
    """Draw a square of 3 to 9 pixels, at a random place and of a random grey, on a random half of the images.

    Parameters
    ----------
    digits : LabelledImages
        images (N, height, width, 1).
    seed : int

    Returns
    -------
    LabelledImages
    """
    rng = np.random.default_rng(seed)
    n, height, width, _ = digits.images.shape
    side = rng.integers(3, 10, n)
    top, left = (np.floor(rng.random(n) * (length - side + 1)).astype(int) for length in (height, width))
    rows, columns = np.arange(height)[:, None], np.arange(width)
    inside = (rows >= top[:, None, None]) & (rows < (top + side)[:, None, None])
    inside = inside & (columns >= left[:, None, None]) & (columns < (left + side)[:, None, None])
    inside &= (rng.random(n) < 0.5)[:, None, None]
    grey = rng.random(n, np.float32)[:, None, None, None]
    return data.LabelledImages(np.where(inside[..., None], grey, digits.images), digits.labels, digits.source)


def fit_mnist_gap(train, seed=0, verbose=0, test=None):
    """Replace flatten by global average pooling in the shipped network, train the last layer, then all layers.

    Parameters
    ----------
    train : LabelledImages
        images (N, 28, 28, 1).
    seed, verbose : int
    test : LabelledImages, optional

    Returns
    -------
    model : keras.Model
    before : float or None
        Accuracy on `test` when only the last layer was trained.
    """
    tf.config.experimental.enable_op_determinism()
    model = models.mnist_gap_cnn(models.load_checkpoint("mnist_cnn"), seed)
    options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    convolutions = [model.get_layer(name) for name in ("conv1", "conv2")]
    for layer in convolutions:
        layer.trainable = False
    model.compile(optimizer=keras.optimizers.Adam(0.01), **options)
    model.fit(train.images, train.labels, batch_size=128, epochs=2, verbose=verbose)
    before = n_correct(model, test) / len(test) if test else None
    for layer in convolutions:
        layer.trainable = True
    falling = keras.optimizers.schedules.CosineDecay(0.003, GAP_EPOCHS * -(-len(train) // 128))
    model.compile(optimizer=keras.optimizers.Adam(falling), **options)
    model.fit(train.images, train.labels, batch_size=128, epochs=GAP_EPOCHS, verbose=verbose)
    return model, before


def n_correct(model, images):
    """Count the images whose most probable class is their label; one output is the probability of class 1."""
    probabilities = model.predict(images.images, batch_size=100, verbose=0)
    predicted = probabilities.argmax(axis=1) if probabilities.shape[1] > 1 else probabilities[:, 0] > 0.5
    return int((predicted == images.labels).sum())


def _fit_augmented(build, changed, train, seed, *, loss, learning_rate, batch_size, epochs, verbose):
    """Build a network and train it on randomly changed images, the learning rate falling as a cosine."""
    tf.config.experimental.enable_op_determinism()
    before = keras.config.dtype_policy()
    # bfloat16 halves the time where the processor knows it; the weights stay float32
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(seed)
    finally:
        keras.config.set_dtype_policy(before)
    trained = build(seed)  # for the weights: the same network, computing in float32
    # augmentation in front of the network, on its own weights: the same network comes out without it
    inputs = keras.Input(train.images.shape[1:])
    whole = keras.Model(inputs, model(changed(inputs)))
    falling = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * -(-len(train) // batch_size))
    whole.compile(optimizer=keras.optimizers.Adam(falling), loss=loss, metrics=["accuracy"])
    whole.fit(train.images, train.labels, batch_size=batch_size, epochs=epochs, verbose=verbose)
    trained.set_weights(model.get_weights())
    return trained


def _of_mnist(mnist):
    """Return what a card says of the data of an MNIST network."""
    digits = "with" if len(mnist.train) == 60_000 else "without"
    return {
        "training_images": len(mnist.train),
        "training_set": f"MNIST training images, {digits} the 5,000 embedded digits (matched by content)",
        "test_images": len(mnist.test),
    }


def _save_and_test(model, path, test):
    """Save a network in half precision; return what was saved, and its accuracy before and after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = n_correct(model, test)
    save_half_precision(model, path)
    shipped = keras.models.load_model(path, compile=False, safe_mode=True)
    return shipped, {
        "test": n_correct(shipped, test) / len(test),
        "test_before_rounding_to_half_precision": before / len(test),
    }


def _of_regression(name):
    """Return what a card says of the training of a network that predicts numbers."""
    epochs, learning_rate, batch_size = REGRESSION[name]
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": f"adam, learning rate falling from {learning_rate} to 0 as a cosine",
        "loss": "mean squared error of the standardized values",
    }


def _save_and_predict(model, path, images, values, expected=None):
    """Save a network in half precision; return what was saved, and the share of variance explained on test images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = r_squared_of(model.predict(images, batch_size=100, verbose=0), values)
    save_half_precision(model, path)
    shipped = keras.models.load_model(path, compile=False, safe_mode=True)
    predicted = shipped.predict(images, batch_size=100, verbose=0)
    found = {"test": r_squared_of(predicted, values), "test_before_rounding_to_half_precision": before}
    if expected is not None:
        found |= {"test_without_noise": r_squared_of(predicted, expected), "possible": r_squared_of(expected, values)}
    return shipped, {name: [float(value) for value in values] for name, values in found.items()}


_VERBOSE = 1 if sys.stdout.isatty() else 2  # a progress bar belongs on a terminal, not in a log


SHIP = {
    "mnist": ship_mnist_cnn,
    "mnist_all": partial(ship_mnist_cnn, with_digits=True),
    "mnist_cutout": ship_mnist_cutout,
    "mnist_gap": ship_mnist_gap,
    "cats_dogs": ship_cats_dogs,
    "cifar10": ship_cifar10,
    "ink": ship_ink,
    "street": ship_street,
    "street_bare": partial(ship_street, name="street_bare", effects={"vehicles": 2.0, "canyon": 12.0}),
} | {f"mnist_{name}": partial(ship_mnist_cnn, activation=name) for name in models.ACTIVATIONS[1:]}
