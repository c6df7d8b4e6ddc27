"""The networks of the book: how they are built, how the trained ones are loaded, and what their score is."""

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

import keras
import numpy as np
from keras import layers

from interp_helpers.data import socket_timeout

CHECKPOINTS = Path(__file__).parent / "checkpoints"


ACTIVATIONS = ("relu", "tanh", "elu", "leaky_relu", "gelu")


def mnist_cnn(seed=0, activation="relu"):
    """Build the untrained CNN of the tutorial (Casacuberta Puig 2019, section 3.1), channels last, layers named.

    Parameters
    ----------
    seed : int
        Fixes the initial weights, by ``keras.utils.set_random_seed``: Python's, NumPy's and TensorFlow's global seeds.
    activation : str
        One of ``ACTIVATIONS``; the activation layers are named after it (``relu1``, ``tanh1``). The initial weights
        are the same for all of them.

    Returns
    -------
    keras.Sequential
        Input (N, 28, 28, 1) in [0, 1], output (N, 10) probabilities; 600,810 parameters.

    Raises
    ------
    ValueError
        If there is no such activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: got {activation!r}; give one of {', '.join(ACTIVATIONS)}")

    def activate(number):
        name = f"{activation}{number}"
        return layers.ReLU(name=name) if activation == "relu" else layers.Activation(activation, name=name)

    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="digit"),
            layers.Conv2D(32, 3, name="conv1"),
            activate(1),
            layers.Conv2D(32, 3, name="conv2"),
            activate(2),
            layers.MaxPooling2D(2, name="pool"),
            layers.Dropout(0.25, name="dropout1"),
            layers.Flatten(name="flatten"),
            layers.Dense(128, name="dense1"),
            activate(3),
            layers.Dropout(0.5, name="dropout2"),
            layers.Dense(10, name="logits"),
            layers.Softmax(name="probabilities"),
        ],
        name="mnist_cnn" if activation == "relu" else f"mnist_{activation}",
    )


def mnist_gap_cnn(mnist_model, seed=0):
    """Build the localizer of chapter 6: the convolutions of an MNIST network, global average pooling, one dense layer.

    Parameters
    ----------
    mnist_model : keras.Model
        As `mnist_cnn` builds it; its convolutional weights are copied, the last layer is new.
    seed : int
        Fixes the initial weights of the last layer.

    Returns
    -------
    keras.Sequential
        Input (N, height, width, 1) of any size, output (N, 10) probabilities.
    """
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((None, None, 1), name="canvas"),
            layers.Conv2D(32, 3, name="conv1"),
            layers.ReLU(name="relu1"),
            layers.Conv2D(32, 3, name="conv2"),
            layers.ReLU(name="relu2"),
            layers.MaxPooling2D(2, name="pool"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(10, name="logits"),
            layers.Softmax(name="probabilities"),
        ],
        name="mnist_gap",
    )
    for name in ("conv1", "conv2"):
        model.get_layer(name).set_weights(mnist_model.get_layer(name).get_weights())
    return model


def cats_dogs_cnn(seed=0):
    """Build the untrained cats-and-dogs CNN of the seminar (Tamasi 2020), layers named.

    Parameters
    ----------
    seed : int
        Fixes the initial weights, by ``keras.utils.set_random_seed``.

    Returns
    -------
    keras.Sequential
        Input (N, 150, 150, 3) in [0, 1], output (N, 1) probability of *dog*; 3,453,121 parameters.
    """
    keras.utils.set_random_seed(seed)
    blocks = []
    for block, channels in enumerate((32, 64, 128, 128), start=1):
        blocks += [
            layers.Conv2D(channels, 3, name=f"conv{block}"),
            layers.ReLU(name=f"relu{block}"),
            layers.MaxPooling2D(2, name=f"pool{block}"),
        ]
    return keras.Sequential(
        [
            keras.Input((150, 150, 3), name="photograph"),
            *blocks,
            layers.Flatten(name="flatten"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(512, name="dense1"),
            layers.ReLU(name="relu5"),
            layers.Dense(1, name="logit"),
            layers.Activation("sigmoid", name="probability"),
        ],
        name="cats_dogs",
    )


def cifar10_cnn(seed=0):
    """Build the untrained CIFAR-10 network of the Keras examples (Casacuberta Puig 2019, section 3.5), layers named.

    Parameters
    ----------
    seed : int
        Fixes the initial weights, by ``keras.utils.set_random_seed``.

    Returns
    -------
    keras.Sequential
        Input (N, 32, 32, 3) in [0, 1], output (N, 10) probabilities; 1,250,858 parameters.
    """
    keras.utils.set_random_seed(seed)
    blocks = []
    for block, channels in enumerate((32, 64)):
        first, second = 2 * block + 1, 2 * block + 2
        blocks += [
            layers.Conv2D(channels, 3, padding="same", name=f"conv{first}"),
            layers.ReLU(name=f"relu{first}"),
            layers.Conv2D(channels, 3, name=f"conv{second}"),
            layers.ReLU(name=f"relu{second}"),
            layers.MaxPooling2D(2, name=f"pool{block + 1}"),
            layers.Dropout(0.25, name=f"dropout{block + 1}"),
        ]
    return keras.Sequential(
        [
            keras.Input((32, 32, 3), name="photograph"),
            *blocks,
            layers.Flatten(name="flatten"),
            layers.Dense(512, name="dense1"),
            layers.ReLU(name="relu5"),
            layers.Dropout(0.5, name="dropout3"),
            layers.Dense(10, name="logits"),
            layers.Softmax(name="probabilities"),
        ],
        name="cifar10",
    )


def ink_cnn(seed=0):
    """Build the untrained CNN of chapter 14 that reads stroke width and slant off a digit, layers named.

    Parameters
    ----------
    seed : int
        Fixes the initial weights, by ``keras.utils.set_random_seed``.

    Returns
    -------
    keras.Sequential
        Input (N, 28, 28, 1) in [0, 1], output (N, 2): stroke width in pixels, slant in degrees; 18,882 parameters. It
        ends in global average pooling, so CAM is exact.
    """
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="digit"),
            layers.Conv2D(32, 3, name="conv1"),
            layers.ReLU(name="relu1"),
            layers.Conv2D(32, 3, name="conv2"),
            layers.ReLU(name="relu2"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(32, 3, name="conv3"),
            layers.ReLU(name="relu3"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(2, name="values"),
        ],
        name="ink",
    )


def street_resnet(seed=0):
    """Build the untrained small residual network of chapter 14 that reads a number off a street scene, layers named.

    A convolution with stride 2 and three residual blocks (He et al. 2016) of two convolutions each, the last one with
    stride 2 again, batch normalization behind every convolution, global average pooling (so CAM is exact), one number.

    Parameters
    ----------
    seed : int
        Fixes the initial weights, by ``keras.utils.set_random_seed``.

    Returns
    -------
    keras.Model
        Input (N, 64, 96, 3) in [0, 1], output (N, 1), in the units of the values; 126,881 parameters.
    """
    keras.utils.set_random_seed(seed)

    def normalized(x, number, channels, size, stride):
        convolution = layers.Conv2D(
            channels, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"conv{number}"
        )
        return layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(convolution(x))

    scene = keras.Input((64, 96, 3), name="scene")
    x = layers.ReLU(name="relu1")(normalized(scene, 1, 32, 5, 2))
    for block, (channels, stride) in enumerate(((32, 2), (48, 1), (64, 2)), start=1):
        first, second = 2 * block, 2 * block + 1
        past = x
        if stride > 1 or x.shape[-1] != channels:
            past = layers.Conv2D(channels, 1, stride, use_bias=False, name=f"shortcut{block}")(x)
        x = layers.ReLU(name=f"relu{first}")(normalized(x, first, channels, 3, stride))
        x = layers.Add(name=f"add{block}")([normalized(x, second, channels, 3, 1), past])
        x = layers.ReLU(name=f"relu{second}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(scene, layers.Dense(1, name="value")(x), name="street")


def imagenet_network(name, input_shape=None, **options):
    """Build a network of ``keras.applications`` with its ImageNet weights, or with random ones if none can be had.

    The weights come from Keras's cache, else from its download; one printed line says which they are.

    Parameters
    ----------
    name : str
        For example ``"MobileNetV2"``.
    input_shape : tuple of int, optional
        (height, width, 3), where the network takes several.
    **options
        Passed on to the function of that name.

    Returns
    -------
    model : keras.Model
    trained : bool
        Whether the weights are those of ImageNet.

    Raises
    ------
    ValueError
        If Keras has no network of that name.
    """
    build = getattr(keras.applications, name, None)
    if not callable(build):
        raise ValueError(f"name: keras.applications has no network {name!r}")
    try:
        with socket_timeout(20):
            model, trained = build(input_shape=input_shape, weights="imagenet", **options), True
    except Exception:  # a failed download raises bare Exception
        model, trained = build(input_shape=input_shape, weights=None, **options), False
    print(f"{name}: {'ImageNet weights' if trained else 'weights could not be had, these are RANDOM'}")
    return model, trained


def scores(model):
    """Return a model that outputs the scores (logits): what goes into the final softmax or sigmoid of `model`.

    The two models share their weights. A model whose output is linear already is returned as it is.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional, with one output; the final activation may be a layer or part of a layer, also of a
        model inside the model.

    Raises
    ------
    ValueError
        If the model has not been built, has several outputs, or ends in anything but a softmax, a sigmoid, global
        pooling (of scores at several places) or a layer with linear activation.
    """
    if not model.built or not getattr(model, "outputs", None):
        raise ValueError(f"model: {model.name!r} has no input shape yet; call it on a batch or build it first")
    if len(model.outputs) != 1:
        raise ValueError(f"model: {model.name!r} has {len(model.outputs)} outputs; scores are defined for one")
    last, node, _ = model.outputs[0]._keras_history  # which call of which layer made the output
    inputs = last._inbound_nodes[node].input_tensors
    if isinstance(last, keras.Model):
        inner = scores(last)
        return model if inner is last else _up_to(model, inner(inputs))
    activation = getattr(last, "activation", None)
    squashes = activation in (keras.activations.softmax, keras.activations.sigmoid)
    if activation is keras.activations.linear or isinstance(last, _POOLING):
        return model
    if isinstance(last, layers.Softmax) or (isinstance(last, layers.Activation) and squashes):
        return _up_to(model, inputs[0])
    if squashes and len(inputs) == 1:
        if model not in _LINEAR:  # made once for each model: calling a layer again leaves a node in its graph
            _LINEAR[model] = _WithoutActivation(last)(inputs[0])
        return _up_to(model, _LINEAR[model])
    raise ValueError(
        f"model: {model.name!r} ends in {last.name!r} ({type(last).__name__}), from which no scores can be read; it "
        "must end in a softmax, a sigmoid, or a layer with linear activation"
    )


@contextmanager
def without_activation(layer):
    """Leave out the activation that is part of a layer while inside; put it back, also after an exception.

    Parameters
    ----------
    layer : keras.layers.Layer
        A convolution or dense layer, say: with an attribute ``activation``.
    """
    before, layer.activation = layer.activation, keras.activations.linear
    try:
        yield
    finally:
        layer.activation = before


def all_layers(model):
    """Return the layers of a model and of the models inside it, in order.

    Returns
    -------
    dict of str to keras.layers.Layer
        The name of a layer inside an inner model is ``"inner/name"``.
    """
    found = {}
    for layer in model.layers:
        found[layer.name] = layer
        if isinstance(layer, keras.Model):
            found |= {f"{layer.name}/{name}": inner for name, inner in all_layers(layer).items()}
    return found


def named_layer(model, name):
    """Return the layer of that name, also from a model inside the model.

    Parameters
    ----------
    model : keras.Model
    name : str
        ``"conv1"``; if two inner models have a layer of that name, ``"inner/conv1"``.

    Raises
    ------
    ValueError
        If there is none, or more than one; the message lists the names.
    """
    layers_by_name = all_layers(model)
    if name in layers_by_name:
        return layers_by_name[name]
    inner = [path for path in layers_by_name if path.endswith(f"/{name}")]
    if len(inner) != 1:
        what = f"several layers {name!r}" if inner else f"no layer {name!r}"
        raise ValueError(f"layer: the model has {what}; it has {', '.join(inner or layers_by_name)}")
    return layers_by_name[inner[0]]


def layer_with_maps(model, name):
    """Return the layer of that name, which must put out maps.

    Raises
    ------
    ValueError
        If there is no such layer, or if it puts out anything but (N, height, width, channels).
    """
    found = named_layer(model, name)
    if len(found.output.shape) != 4:
        raise ValueError(f"layer: {name!r} puts out shape {tuple(found.output.shape)}; give a layer with maps")
    return found


def check_images(model, images):
    """Refuse images that the model cannot take.

    Raises
    ------
    ValueError
        If `images` are not floats, not finite, none at all, or of another shape than the input of the model.
    """
    images = np.asarray(images)
    if not model.built:
        raise ValueError(f"model: {model.name!r} has no weights yet; call it on a batch or build it first")
    expected = tuple(model.input_shape[1:])
    fits = images.ndim == len(expected) + 1 and all(
        wanted in (None, length) for wanted, length in zip(expected, images.shape[1:], strict=True)
    )
    if not fits or len(images) == 0:
        wanted = ", ".join(map(str, ("N", *expected)))
        raise ValueError(f"images: got shape {images.shape}; the model takes ({wanted}), N > 0")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"images: got {images.dtype}; give floats, as the data loaders do (pixels in [0, 1])")
    if not np.isfinite(images).all():
        raise ValueError("images: there are values that are NaN or infinite")


def load_checkpoint(name):
    """Load a trained network that ships with the package.

    Parameters
    ----------
    name : str
        For example ``"mnist_cnn"``.

    Returns
    -------
    keras.Model
        Not compiled, output: probabilities.

    Raises
    ------
    ValueError
        If there is no such network, or if its file is not the one that its card describes.
    """
    card = checkpoint_card(name)
    path = CHECKPOINTS / f"{name}.keras"
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise ValueError(f"{path} is missing or not the file its card describes: reinstall interp_helpers")
    return keras.models.load_model(path, compile=False, safe_mode=True)


def checkpoint_card(name):
    """Return the card of a trained network that ships: seed, versions, data, accuracy and sha256, as a dict.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    path = CHECKPOINTS / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in CHECKPOINTS.glob("*.json")))
        raise ValueError(f"name: no trained network {name!r} ships with the package; there is {known}")
    return json.loads(path.read_text())


def _up_to(model, output):
    """Return the model from the same input to another output of its graph."""
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(inputs, output, name=f"{model.name}_scores")


_LINEAR = WeakKeyDictionary()
_POOLING = (layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D)


class _WithoutActivation(layers.Layer):
    """A layer with its activation left out, sharing its weights."""

    def __init__(self, layer):
        super().__init__(name=f"{layer.name}_linear")
        self.layer = layer

    def call(self, inputs):
        with without_activation(self.layer):
            return self.layer(inputs)
