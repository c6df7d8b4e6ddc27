"""How the networks of the book are built."""

import keras
from keras import layers

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


def _classified(x, dropout=None):
    """Add global average pooling, scores and probabilities to the last maps."""
    x = layers.GlobalAveragePooling2D(name="average")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Softmax(name="probabilities")(layers.Dense(1000, name="logits")(x))
