"""How the networks of the book are built: untrained, channels last, layers named.

A seed fixes the initial weights, by ``keras.utils.set_random_seed``, which moves Python's, NumPy's and TensorFlow's
global seeds; ``seed=None`` leaves them all where they are.

>>> mnist_cnn(seed=1).output_shape
(None, 10)
"""

import random
from contextlib import contextmanager

import keras
from keras import layers

from interp_helpers.engine.checks import check_choice, check_count

ACTIVATIONS = ("relu", "tanh", "elu", "leaky_relu", "gelu")


def mnist_cnn(seed=0, activation="relu"):
    """Build the CNN of the tutorial (Casacuberta Puig 2019, section 3.1): 600,810 parameters.

    Input (N, 28, 28, 1) in [0, 1], output (N, 10) probabilities. The activation is one of ``ACTIVATIONS``, after which
    its layers are named (``relu1``, ``tanh1``); the initial weights are the same for all of them.
    """
    check_choice("activation", activation, ACTIVATIONS)

    def activate(number):
        name = f"{activation}{number}"
        return layers.ReLU(name=name) if activation == "relu" else layers.Activation(activation, name=name)

    with _seeded(seed):
        stack = [layers.Conv2D(32, 3, name="conv1"), activate(1), layers.Conv2D(32, 3, name="conv2"), activate(2)]
        stack += [layers.MaxPooling2D(2, name="pool"), layers.Dropout(0.25, name="dropout1")]
        stack += [layers.Flatten(name="flatten"), layers.Dense(128, name="dense1"), activate(3)]
        stack += [layers.Dropout(0.5, name="dropout2"), *_classifier(10)]
        name = "mnist_cnn" if activation == "relu" else f"mnist_{activation}"
        return keras.Sequential([keras.Input((28, 28, 1), name="digit"), *stack], name=name)


def cats_dogs_cnn(seed=0):
    """Build the cats-and-dogs CNN of the seminar (Tamasi 2020): 3,453,121 parameters.

    Input (N, 150, 150, 3) in [0, 1], output (N, 1): the probability of *dog*.
    """
    with _seeded(seed):
        stack = []
        for block, channels in enumerate((32, 64, 128, 128), start=1):
            stack += [*_conv_relu(block, channels), layers.MaxPooling2D(2, name=f"pool{block}")]
        stack += [layers.Flatten(name="flatten"), layers.Dropout(0.5, name="dropout")]
        stack += [layers.Dense(512, name="dense1"), layers.ReLU(name="relu5")]
        stack += [layers.Dense(1, name="logit"), layers.Activation("sigmoid", name="probability")]
        return keras.Sequential([keras.Input((150, 150, 3), name="photograph"), *stack], name="cats_dogs")


def cifar10_cnn(seed=0):
    """Build the CIFAR-10 network of the Keras examples (Casacuberta Puig 2019, section 3.5): 1,250,858 parameters.

    Input (N, 32, 32, 3) in [0, 1], output (N, 10) probabilities.
    """
    with _seeded(seed):
        stack = []
        for block, channels in enumerate((32, 64), start=1):
            stack += [*_conv_relu(2 * block - 1, channels, padding="same"), *_conv_relu(2 * block, channels)]
            stack += [layers.MaxPooling2D(2, name=f"pool{block}"), layers.Dropout(0.25, name=f"dropout{block}")]
        stack += [layers.Flatten(name="flatten"), layers.Dense(512, name="dense1"), layers.ReLU(name="relu5")]
        stack += [layers.Dropout(0.5, name="dropout3"), *_classifier(10)]
        return keras.Sequential([keras.Input((32, 32, 3), name="photograph"), *stack], name="cifar10")


def ink_cnn(seed=0):
    """Build the CNN of chapter 14 that measures digits: 18,882 parameters; CAM is exact on it.

    Input (N, 28, 28, 1) in [0, 1], output (N, 2): stroke width in pixels, slant in degrees.
    """
    with _seeded(seed):
        stack = [*_conv_relu(1, 32), *_conv_relu(2, 32), layers.MaxPooling2D(2, name="pool"), *_conv_relu(3, 32)]
        stack += [layers.GlobalAveragePooling2D(name="average"), layers.Dense(2, name="values")]
        return keras.Sequential([keras.Input((28, 28, 1), name="digit"), *stack], name="ink")


def street_resnet(seed=0):
    """Build the residual network (He et al. 2016) of chapter 14: 126,881 parameters; CAM is exact on it.

    Input (N, 64, 96, 3) in [0, 1], output (N, 1), in the units of the values. A convolution with stride 2 and three
    residual blocks of two convolutions each, batch normalization after every convolution.
    """

    def normalized(x, number, channels, size, stride):
        options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
        convolution = layers.Conv2D(channels, size, stride, **options, name=f"conv{number}")
        return layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(convolution(x))

    with _seeded(seed):
        scene = keras.Input((64, 96, 3), name="scene")
        x = layers.ReLU(name="relu1")(normalized(scene, 1, 32, 5, 2))
        for block, (channels, stride) in enumerate(((32, 2), (48, 1), (64, 2)), start=1):
            first, second = 2 * block, 2 * block + 1
            shortcut = x
            if stride > 1 or x.shape[-1] != channels:
                shortcut = layers.Conv2D(channels, 1, stride, use_bias=False, name=f"shortcut{block}")(x)
            x = layers.ReLU(name=f"relu{first}")(normalized(x, first, channels, 3, stride))
            x = layers.Add(name=f"add{block}")([normalized(x, second, channels, 3, 1), shortcut])
            x = layers.ReLU(name=f"relu{second}")(x)
        x = layers.GlobalAveragePooling2D(name="average")(x)
        return keras.Model(scene, layers.Dense(1, name="value")(x), name="street")


def efficientnet_lite0(seed=0):
    """Build EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019) with ReLU6 and without squeeze-and-excitation.

    Input (N, 224, 224, 3), pixels from 0 to 255 as (x - 127) / 128; output (N, 1000) probabilities; 4,652,008 trained
    parameters. The layers of a block are ``block2_expand_conv`` (1 x 1), ``block2_depthwise_conv``,
    ``block2_project_conv`` (1 x 1, no ReLU after it), each with its ``_norm`` and ``_relu``, and ``block3_add`` after a
    shortcut.
    """

    def step(x, name, kernel, stride=1, channels=None, relu=True):
        """Convolve (channel by channel if no number of channels is given), normalize, rectify."""
        options = {"strides": stride, "padding": "same", "use_bias": False, "name": f"{name}_conv"}
        x = layers.Conv2D(channels, kernel, **options)(x) if channels else layers.DepthwiseConv2D(kernel, **options)(x)
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_norm")(x)
        return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if relu else x

    with _seeded(seed):
        inputs = keras.Input((224, 224, 3), name="photograph")
        x = step(inputs, "stem", 3, 2, 32)
        for block, (kernel, stride, expansion, channels) in enumerate(_LITE0_BLOCKS, start=1):
            shortcut, name = x, f"block{block}"
            if expansion > 1:
                x = step(x, f"{name}_expand", 1, channels=expansion * x.shape[-1])
            x = step(x, f"{name}_depthwise", kernel, stride)
            x = step(x, f"{name}_project", 1, channels=channels, relu=False)
            if x.shape == shortcut.shape:
                x = layers.Add(name=f"{name}_add")([shortcut, x])
        x = layers.GlobalAveragePooling2D(name="average")(step(x, "head", 1, channels=1280))
        dropout, logits, probabilities = layers.Dropout(0.2, name="dropout"), *_classifier(1000)
        return keras.Model(inputs, probabilities(logits(dropout(x))), name="efficientnet_lite0")


def resnet18(seed=0):
    """Build ResNet-18 (He et al. 2016, table 1), padded as torchvision pads it.

    Input (N, 224, 224, 3), each colour in [0, 1] minus its mean over ImageNet, divided by its standard deviation;
    output (N, 1000) probabilities; 11,689,512 trained parameters. The layers of a block are ``block1_conv1``,
    ``block1_norm1``, ``block1_relu1``, ``block1_conv2``, ``block1_norm2``, ``block1_add``, ``block1_relu2``, and where
    the shortcut is a convolution ``block3_shortcut_conv``, ``block3_shortcut_norm``.
    """

    def step(x, channels, kernel, stride, name, norm):
        """Convolve and normalize; PyTorch pads both sides alike, which with a stride is not what "same" means."""
        if kernel > 1 and stride > 1:
            x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid" if stride > 1 else "same"
        x = layers.Conv2D(channels, kernel, stride, padding=padding, use_bias=False, name=name)(x)
        return layers.BatchNormalization(epsilon=1e-5, name=norm)(x)

    with _seeded(seed):
        inputs = keras.Input((224, 224, 3), name="photograph")
        x = layers.ReLU(name="stem_relu")(step(inputs, 64, 7, 2, "stem_conv", "stem_norm"))
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # after a ReLU, a padding of zeros never wins
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
        for block, channels in enumerate((64, 64, 128, 128, 256, 256, 512, 512), start=1):
            name, stride, shortcut = f"block{block}", channels // x.shape[-1], x
            if stride > 1:
                shortcut = step(x, channels, 1, stride, f"{name}_shortcut_conv", f"{name}_shortcut_norm")
            x = layers.ReLU(name=f"{name}_relu1")(step(x, channels, 3, stride, f"{name}_conv1", f"{name}_norm1"))
            x = step(x, channels, 3, 1, f"{name}_conv2", f"{name}_norm2")
            x = layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([shortcut, x]))
        x = layers.GlobalAveragePooling2D(name="average")(x)
        logits, probabilities = _classifier(1000)
        return keras.Model(inputs, probabilities(logits(x)), name="resnet18")


@contextmanager
def _seeded(seed):
    """Set all global seeds, or with None put Python's random state, from which Keras seeds its layers, back after."""
    if seed is not None:
        keras.utils.set_random_seed(check_count("seed", seed, 0))
    state = random.getstate()
    try:
        yield
    finally:
        if seed is None:
            random.setstate(state)


def _conv_relu(number, channels, **options):
    convolution = layers.Conv2D(channels, 3, name=f"conv{number}", **options)
    return [convolution, layers.ReLU(name=f"relu{number}")]


def _classifier(n_classes):
    return [layers.Dense(n_classes, name="logits"), layers.Softmax(name="probabilities")]


# kernel, stride, expansion and channels of each block of EfficientNet-Lite0
_LITE0_BLOCKS = (
    [(3, 1, 1, 16)] + [(3, 2, 6, 24), (3, 1, 6, 24)] + [(5, 2, 6, 40), (5, 1, 6, 40)]
    + [(3, 2, 6, 80)] + [(3, 1, 6, 80)] * 2 + [(5, 1, 6, 112)] * 3
    + [(5, 2, 6, 192)] + [(5, 1, 6, 192)] * 3 + [(3, 1, 6, 320)]
)  # fmt: skip
