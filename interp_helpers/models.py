"""The networks of the book: how they are built, how the trained ones are loaded, and what their score is."""

import hashlib
import json
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import getmodule
from pathlib import Path
from tempfile import TemporaryDirectory
from weakref import WeakKeyDictionary

import keras
import numpy as np
import pandas as pd
from keras import layers
from scipy.special import logsumexp

from interp_helpers.data import (
    DATA_DIR_VARIABLE,
    NotAvailable,
    as_floats,
    centre_crop,
    imagenet_classes,
    in_data_dir,
    socket_timeout,
)

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


@dataclass(frozen=True, eq=False)
class ImageNetNetwork:
    """A network that was trained on the 1,000 classes of ImageNet, and what it takes to use it.

    Attributes
    ----------
    name : str
    model : keras.Model
        Output (N, 1000); `scores` gives the model that outputs the logits. Its input is what `prepare` gives.
    size : int
        Height and width of the input, in pixels.
    black : ndarray, shape (3,)
        What the model is given for a black pixel.
    colours : ndarray, shape (3, 3)
        What full red, full green and full blue (rows) add to that.
    labels, wordnet_ids : tuple of 1,000 str
        The class names, and the identifiers of WordNet, in the order of the outputs.
    card : dict
        Where the weights come from, their licence, sha256 and so on.
    """

    name: str
    model: keras.Model
    size: int
    black: np.ndarray
    colours: np.ndarray
    labels: tuple
    wordnet_ids: tuple
    card: dict

    def prepare(self, photographs):
        """Turn RGB photographs into what the model takes.

        Parameters
        ----------
        photographs : ndarray, shape (N, height, width, 3), or sequence of arrays (height, width, 3)
            uint8, or floats in [0, 1]; resized and cropped as `centre_crop` does unless they have the size already.

        Returns
        -------
        ndarray, shape (N, size, size, 3), float32

        Raises
        ------
        ValueError
            If they are anything else, as photographs that have been prepared already are.
        """
        pixels = np.stack([_pixels(photograph, self.size) for photograph in _each(photographs)])
        return (pixels @ self.colours + self.black).astype(np.float32)

    def photographs(self, inputs):
        """Turn inputs of the model back into photographs, floats in [0, 1]; what lies outside is cut off."""
        inverse = np.linalg.inv(self.colours)
        return np.clip((np.asarray(inputs) - self.black) @ inverse, 0, 1).astype(np.float32)

    def index(self, label):
        """Return the number of a class, given by its name or WordNet id.

        Raises
        ------
        ValueError
            If there is no such class; the message lists names that are like it.
        """
        for known in (self.labels, self.wordnet_ids):
            if label in known:
                return known.index(label)
        alike = [name for name in self.labels if str(label).lower() in name.lower()]
        alike = alike or get_close_matches(str(label), self.labels)
        raise ValueError(f"label: ImageNet has no class {label!r}; it has {', '.join(alike) or 'nothing like it'}")


def load_network(name, weights=None, optional=False, **options):
    """Load a network with its ImageNet weights, its preprocessing, its class names and its card.

    ``"efficientnet_lite0"`` (Tan & Le 2019, without squeeze-and-excitation) ships with the package. ``"resnet18"``
    (He et al. 2016) has torchvision's weights, looked for in ``$INTERP_DATA_DIR/resnet18/model.safetensors``, then in
    the cache of the Hugging Face hub, then downloaded into it (47 MB). Every other name is one of
    ``keras.applications``, as ``"vgg16"`` (Simonyan & Zisserman 2015); Keras caches or downloads its weights.

    Parameters
    ----------
    name : str
        In small or capital letters, with or without underscores.
    weights : str or Path, optional
        Your own copy of the weights: a safetensors file with torchvision's names for ``"resnet18"``, what Keras takes
        for the others. The card then says that they are yours.
    optional : bool
        If the weights cannot be had: print one line that says so and return None.
    **options
        Passed on to the function of ``keras.applications``, for example ``input_shape=(96, 96, 3), alpha=0.35``.

    Returns
    -------
    ImageNetNetwork

    Raises
    ------
    NotAvailable
        If the weights are neither on this machine nor can be downloaded whole. (No network comes with random weights.)
    ValueError
        If there is no such network, or if your own weights are damaged or those of another network.
    """
    plain = str(name).lower().replace("_", "")
    others = {found.lower(): found for found in dir(keras.applications) if found[0].isupper()}
    if plain not in ("efficientnetlite0", "resnet18", *others):
        raise ValueError(
            f"name: there is no network {name!r}; give efficientnet_lite0, resnet18 or one of keras.applications: "
            + ", ".join(others.values())
        )
    if plain not in others and options:
        raise ValueError(f"{', '.join(options)}: {name} takes no options")
    try:
        if plain == "efficientnetlite0":
            return _shipped_efficientnet_lite0(weights)
        return _torchvision_resnet18(weights) if plain == "resnet18" else _of_keras(others[plain], weights, options)
    except NotAvailable as error:
        if not optional:
            raise
        print(error)


def top_classes(network, inputs, k=5):
    """Return the k classes of the highest score for each image.

    Parameters
    ----------
    network : ImageNetNetwork
    inputs : ndarray, shape (N, size, size, 3)
        As ``network.prepare`` gives them.
    k : int

    Returns
    -------
    pandas.DataFrame
        One row for each image and rank: image, rank (from 1), class (number), label, score, probability.

    Raises
    ------
    ValueError
        If `k` is not a number of classes, or if the network cannot take the inputs.
    """
    if not 1 <= k <= len(network.labels):
        raise ValueError(f"k: got {k}; give 1 to {len(network.labels)}")
    check_images(network.model, inputs)
    logits = scores(network.model).predict(inputs, batch_size=32, verbose=0).astype(np.float64)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    probabilities = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(len(best)), k),
            "rank": np.tile(np.arange(1, k + 1), len(best)),
            "class": best.ravel(),
            "label": [network.labels[c] for c in best.ravel()],
            "score": np.take_along_axis(logits, best, axis=1).ravel(),
            "probability": np.take_along_axis(probabilities, best, axis=1).ravel(),
        }
    )


def efficientnet_lite0(seed=0):
    """Build EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019) with ReLU6 and without squeeze-and-excitation.

    Convolution, batch normalization and ReLU6 are layers of their own: ``stem_conv``, ``stem_norm``, ``stem_relu``;
    in the blocks 1 to 16 ``block2_expand_conv`` (1 x 1), ``block2_depthwise_conv``, ``block2_project_conv`` (1 x 1, no
    ReLU after it), each with its ``_norm`` and ``_relu``, and ``block3_add`` where a block has a shortcut;
    ``head_conv`` to ``head_relu``; then ``average``, ``dropout``, ``logits``, ``probabilities``.

    Parameters
    ----------
    seed : int or None
        Fixes the initial weights, by ``keras.utils.set_random_seed``; None leaves all seeds alone.

    Returns
    -------
    keras.Model
        Input (N, 224, 224, 3), pixels from 0 to 255 as (x - 127) / 128; output (N, 1000) probabilities; 4,652,008
        trained parameters.
    """
    if seed is not None:
        keras.utils.set_random_seed(seed)

    def step(x, place, convolution, relu=True):
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{place}_norm")(convolution(x))
        return layers.ReLU(max_value=6.0, name=f"{place}_relu")(x) if relu else x

    def conv(place, channels, kernel=1, stride=1):
        return layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=f"{place}_conv")

    def depthwise(place, kernel, stride):
        return layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{place}_conv")

    inputs = keras.Input((224, 224, 3), name="photograph")
    x = step(inputs, "stem", conv("stem", 32, 3, 2))
    for block, (kernel, stride, expansion, channels) in enumerate(_LITE0_BLOCKS, start=1):
        start, places = x, [f"block{block}_{part}" for part in ("expand", "depthwise", "project")]
        if expansion > 1:
            x = step(x, places[0], conv(places[0], expansion * x.shape[-1]))
        x = step(x, places[1], depthwise(places[1], kernel, stride))
        x = step(x, places[2], conv(places[2], channels), relu=False)
        if x.shape == start.shape:
            x = layers.Add(name=f"block{block}_add")([start, x])
    x = step(x, "head", conv("head", 1280))
    return keras.Model(inputs, _classified(x, dropout=0.2), name="efficientnet_lite0")


def resnet18(seed=0):
    """Build ResNet-18 (He et al. 2016, table 1), padded as torchvision pads it, layers named.

    ``stem_conv``, ``stem_norm``, ``stem_relu``, ``stem_pool``; in the blocks 1 to 8 ``block1_conv1``, ``block1_norm1``,
    ``block1_relu1``, ``block1_conv2``, ``block1_norm2``, ``block1_add``, ``block1_relu2``, and where the shortcut has a
    convolution ``block3_shortcut_conv``, ``block3_shortcut_norm``; then ``average``, ``logits``, ``probabilities``.

    Parameters
    ----------
    seed : int or None
        Fixes the initial weights, by ``keras.utils.set_random_seed``; None leaves all seeds alone.

    Returns
    -------
    keras.Model
        Input (N, 224, 224, 3), each colour in [0, 1] minus its mean over ImageNet, divided by its standard deviation;
        output (N, 1000) probabilities; 11,689,512 trained parameters.
    """
    if seed is not None:
        keras.utils.set_random_seed(seed)

    def conv(x, channels, kernel, stride, name):
        """PyTorch pads both sides alike, which with a stride is not what "same" means."""
        if kernel > 1 and stride > 1:
            x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid" if stride > 1 else "same"
        return layers.Conv2D(channels, kernel, stride, padding=padding, use_bias=False, name=name)(x)

    def norm(x, name):
        return layers.BatchNormalization(epsilon=1e-5, name=name)(x)

    inputs = keras.Input((224, 224, 3), name="photograph")
    x = layers.ReLU(name="stem_relu")(norm(conv(inputs, 64, 7, 2, "stem_conv"), "stem_norm"))
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # after a ReLU, a padding of zeros never wins
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for block, channels in enumerate((64, 64, 128, 128, 256, 256, 512, 512), start=1):
        name, stride = f"block{block}", channels // x.shape[-1]
        shortcut = x
        if stride > 1:
            shortcut = norm(conv(x, channels, 1, stride, f"{name}_shortcut_conv"), f"{name}_shortcut_norm")
        x = layers.ReLU(name=f"{name}_relu1")(norm(conv(x, channels, 3, stride, f"{name}_conv1"), f"{name}_norm1"))
        x = norm(conv(x, channels, 3, 1, f"{name}_conv2"), f"{name}_norm2")
        x = layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([shortcut, x]))
    return keras.Model(inputs, _classified(x), name="resnet18")


def set_torch_weights(model, arrays):
    """Give an `efficientnet_lite0` or `resnet18` the weights of its PyTorch original.

    Parameters
    ----------
    model : keras.Model
        Changed in place.
    arrays : dict of str to ndarray
        The ``state_dict`` of the original, by its names: of ``efficientnet_lite_pytorch`` or of torchvision.

    Raises
    ------
    ValueError
        If an array is missing, of another shape, not finite, or left over; the model is then as it was.
    """
    given = {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}
    wanted = {}
    for layer in model.layers:
        if layer.weights:
            place = _torch_place(model.name, layer.name)
            names = _TORCH_NAMES[type(layer)][: len(layer.weights)]
            wanted |= {
                f"{place}.{name}": (layer, variable) for name, variable in zip(names, layer.weights, strict=True)
            }
    missing, extra = [name for name in wanted if name not in given], [name for name in given if name not in wanted]
    if missing or extra:
        what = f"misses {missing[0]!r}" if missing else f"has {extra[0]!r}, which has no place"
        raise ValueError(
            f"arrays: not the weights of {model.name}: {what} (missing {len(missing)}, extra {len(extra)})"
        )
    turned = {}
    for name, (layer, variable) in wanted.items():
        array = np.asarray(given[name], np.float32).transpose(_FROM_TORCH.get((type(layer), given[name].ndim)))
        if array.shape != tuple(variable.shape) or not np.isfinite(array).all():
            fault = "is not finite" if array.shape == tuple(variable.shape) else f"has shape {given[name].shape}"
            raise ValueError(f"arrays: {name!r} {fault}; {layer.name!r} of {model.name} takes {tuple(variable.shape)}")
        turned[name] = array
    for name, (_, variable) in wanted.items():
        variable.assign(turned[name])


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
        return model if inner is last else up_to(model, inner(inputs))
    activation = getattr(last, "activation", None)
    squashes = activation in (keras.activations.softmax, keras.activations.sigmoid)
    if activation is keras.activations.linear or isinstance(last, _POOLING):
        return model
    if isinstance(last, layers.Softmax) or (isinstance(last, layers.Activation) and squashes):
        return up_to(model, inputs[0])
    if squashes and len(inputs) == 1:
        if model not in _LINEAR:  # made once for each model: calling a layer again leaves a node in its graph
            _LINEAR[model] = _WithoutActivation(last)(inputs[0])
        return up_to(model, _LINEAR[model])
    raise ValueError(
        f"model: {model.name!r} ends in {last.name!r} ({type(last).__name__}), from which no scores can be read; it "
        "must end in a softmax, a sigmoid, or a layer with linear activation"
    )


def up_to(model, output):
    """Return the model from the same input to another output of its graph."""
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(inputs, output, name=f"{model.name}_scores")


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


def layer_with_kernel(model, name):
    """Return the layer of that name with a kernel, or refuse.

    Raises
    ------
    ValueError
        If there is no such layer, or if it has no kernel.
    """
    layer = named_layer(model, name)
    if not hasattr(layer, "kernel"):
        raise ValueError(f"layer: {name!r} has no kernel; give a convolution or dense layer")
    return layer


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


def n_scores(model):
    """Return how many scores a network has for an image.

    Raises
    ------
    ValueError
        As in `scores`; if the scores are not of shape (N, classes).
    """
    shape = scores(model).output_shape
    if len(shape) != 2:
        raise ValueError(f"model: its scores have shape {shape}; give a network with scores (N, classes)")
    return shape[-1]


def check_labels(model, images, labels):
    """Return labels as an array, or refuse images or labels that do not fit the model.

    Parameters
    ----------
    model : keras.Model
        With scores (N, classes); one score stands for two classes, 0 and 1.
    images : ndarray, shape (N, height, width, channels), float
    labels : sequence of N ints

    Returns
    -------
    ndarray of N ints

    Raises
    ------
    ValueError
        As in `check_images`; if there is not one class of the model for each image.
    """
    check_images(model, images)
    labels, n_classes = np.asarray(labels), max(2, n_scores(model))
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: got {labels.dtype} of shape {labels.shape}; give {len(images)} integers")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels: got {labels.min()} to {labels.max()}; the model has classes 0 to {n_classes - 1}")
    return labels


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
    if name == "efficientnet_lite0":  # models with branches are described differently by older versions of Keras 3
        model = efficientnet_lite0(seed=None)
        with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:  # Keras would read them piece by piece
            model.load_weights(archive.extract("model.weights.h5", folder))
        return model
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


# --- networks trained on ImageNet ------------------------------------------------------------------------------------

# kernel, stride, expansion and channels of each block of EfficientNet-Lite0
_LITE0_BLOCKS = (
    [(3, 1, 1, 16)]
    + [(3, 2, 6, 24), (3, 1, 6, 24)]
    + [(5, 2, 6, 40), (5, 1, 6, 40)]
    + [(3, 2, 6, 80)] + [(3, 1, 6, 80)] * 2
    + [(5, 1, 6, 112)] * 3
    + [(5, 2, 6, 192)] + [(5, 1, 6, 192)] * 3
    + [(3, 1, 6, 320)]
)  # fmt: skip
_IMAGENET_MEAN, _IMAGENET_SD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_RESNET18 = {
    "repo_id": "timm/resnet18.tv_in1k",
    "filename": "model.safetensors",
    "revision": "bbd144b3e5565108aad885f145491d11bc6ce807",
}
_RESNET18_SHA256 = "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81"


def _shipped_efficientnet_lite0(weights):
    if weights is not None:
        raise ValueError("weights: efficientnet_lite0 comes with its weights; leave them out")
    # pixels from 0 to 255 as (x - 127) / 128
    model, card = load_checkpoint("efficientnet_lite0"), checkpoint_card("efficientnet_lite0")
    return _network("efficientnet_lite0", model, np.full(3, -127 / 128), np.eye(3) * 255 / 128, card)


def _torchvision_resnet18(weights):
    path, source = (Path(weights), "your own file") if weights is not None else _resnet18_file()
    if not path.is_file():
        raise ValueError(f"weights: {str(path)!r} is not a file; give a safetensors file of ResNet-18")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if weights is None and sha256 != _RESNET18_SHA256:
        raise NotAvailable(f"resnet18: {path} is not the file that was published (truncated or altered): delete it")
    model = resnet18(seed=None)
    set_torch_weights(model, _read_safetensors(path))
    published = {
        "weights": f"IMAGENET1K_V1 of torchvision ({source})",
        "licence": "BSD-3-Clause",
        "accuracy": {"ImageNet_validation_as_published_by_torchvision": 0.69758},
    }
    card = {"name": "resnet18", "weights": source, "parameters": model.count_params(), "sha256": sha256}
    card |= published if sha256 == _RESNET18_SHA256 else {}
    return _network("resnet18", model, -_IMAGENET_MEAN / _IMAGENET_SD, np.diag(1 / _IMAGENET_SD), card)


def _resnet18_file():
    """Return the path of torchvision's weights and where they come from, in words."""
    path = in_data_dir(f"resnet18/{_RESNET18['filename']}")
    if path is not None:
        return path, f"resnet18/ in {DATA_DIR_VARIABLE}"
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise NotAvailable("resnet18: pip install huggingface_hub safetensors, to download its weights") from error
    source = f"{_RESNET18['repo_id']} on the Hugging Face hub"
    try:
        cached = hub.try_to_load_from_cache(**_RESNET18)
        if not isinstance(cached, str):
            hub.get_hf_file_metadata(hub.hf_hub_url(**_RESNET18), timeout=10)  # the download itself would try for long
            cached = hub.hf_hub_download(**_RESNET18)
    except Exception as error:  # of the connection, of the hub, of the disk: each has its own kind
        raise NotAvailable(
            f"resnet18: its ImageNet weights could not be had ({_first_line(error)}); go online, or set "
            f"{DATA_DIR_VARIABLE} to a folder with resnet18/{_RESNET18['filename']}, from {source}"
        ) from error
    return Path(cached), source


def _read_safetensors(path):
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise NotAvailable("resnet18: pip install safetensors, to read its weights") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"weights: {path} is not a whole safetensors file: {error}") from error


def _of_keras(name, weights, options):
    build = getattr(keras.applications, name)
    try:
        with socket_timeout(20):
            model = build(weights="imagenet" if weights is None else weights, **options)
    except Exception as error:  # a failed download raises bare Exception, a broken file whatever h5py makes of it
        if weights is not None:
            raise ValueError(f"weights: {weights} cannot be loaded into {name}: {_first_line(error)}") from error
        if options:
            build(weights=None, **options)  # wrong ones fail here as well, with a message of their own
        raise NotAvailable(
            f"{name}: its ImageNet weights could not be had ({_first_line(error)}); go online, or give weights=, a file"
        ) from error
    if model.output_shape != (None, 1000) or None in model.input_shape[1:] or len(set(model.input_shape[1:3])) != 1:
        raise ValueError(
            f"{name} takes {model.input_shape} and puts out {model.output_shape}; give options of a network that takes "
            "square photographs of one size and puts out 1,000 classes"
        )
    preprocess = getmodule(build).preprocess_input  # linear in the pixels: known from four of them
    four = np.concatenate([np.zeros((1, 3)), np.eye(3)]).reshape(1, 4, 1, 3).astype(np.float32) * 255
    black, *pure = preprocess(four)[0, :, 0].astype(np.float64)
    card = {
        "name": name,
        "weights": f"of keras.applications.{name}" if weights is None else "your own file",
        "parameters": model.count_params(),
        "keras": keras.__version__,
    }
    return _network(name.lower(), model, black, np.array(pure) - black, card)


def _network(name, model, black, colours, card):
    wordnet_ids, labels = zip(*imagenet_classes(), strict=True)
    return ImageNetNetwork(name, model, model.input_shape[1], black, colours, labels, wordnet_ids, card)


def _classified(x, dropout=None):
    """Add global average pooling, scores and probabilities to the last maps."""
    x = layers.GlobalAveragePooling2D(name="average")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Softmax(name="probabilities")(layers.Dense(1000, name="logits")(x))


_NORM_NAMES = ("weight", "bias", "running_mean", "running_var")
_TORCH_NAMES = {
    layers.Conv2D: ("weight",),
    layers.DepthwiseConv2D: ("weight",),
    layers.Dense: ("weight", "bias"),
    layers.BatchNormalization: _NORM_NAMES,
}
# how the axes of PyTorch's kernels turn into those of Keras
_FROM_TORCH = {
    (layers.Conv2D, 4): (2, 3, 1, 0),
    (layers.DepthwiseConv2D, 4): (2, 3, 0, 1),
    (layers.Dense, 2): (1, 0),
}
_LITE0_PLACES = {
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
    "expand_conv": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project_conv": "_project_conv",
    "project_norm": "_bn2",
    "head_conv": "_conv_head",
    "head_norm": "_bn1",
    "logits": "_fc",
}
_RESNET18_PLACES = {
    "stem_conv": "conv1",
    "stem_norm": "bn1",
    "conv1": "conv1",
    "norm1": "bn1",
    "conv2": "conv2",
    "norm2": "bn2",
    "shortcut_conv": "downsample.0",
    "shortcut_norm": "downsample.1",
    "logits": "fc",
}


def _torch_place(network, layer):
    """Return what the PyTorch original calls a layer."""
    places = _LITE0_PLACES if network == "efficientnet_lite0" else _RESNET18_PLACES
    if not layer.startswith("block"):
        return places[layer]
    block, part = layer.removeprefix("block").split("_", 1)
    block = int(block) - 1
    inside = f"_blocks.{block}" if places is _LITE0_PLACES else f"layer{block // 2 + 1}.{block % 2}"
    return f"{inside}.{places[part]}"


def _each(photographs):
    """Return photographs one by one, or refuse what is not several of them."""
    photographs = photographs if isinstance(photographs, list | tuple) else np.asarray(photographs)
    if len(np.shape(photographs[0]) if len(photographs) else ()) != 3:
        raise ValueError("photographs: give (N, height, width, 3), N > 0, or a list of (height, width, 3)")
    return photographs


def _pixels(photograph, size):
    """Return a photograph as floats in [0, 1] at a size."""
    if np.shape(photograph) != (size, size, 3):
        photograph = centre_crop(photograph, size)
    return as_floats(photograph)


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
