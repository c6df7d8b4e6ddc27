"""Give a Keras network the weights of its PyTorch original, layer by layer.

>>> _torch_layer("resnet18", "block3_shortcut_conv")
'layer2.0.downsample.0'
"""

import numpy as np
from keras import layers

from interp_helpers.engine.checks import check_array


def set_torch_weights(model, arrays):
    """Give an `efficientnet_lite0` or `resnet18`, changed in place, the weights of its PyTorch original.

    The arrays are its ``state_dict``: of ``efficientnet_lite_pytorch``, or of torchvision. Where one is missing, left
    over, of another shape or not finite, they are refused, and the model stays as it was.
    """
    given = {name: np.asarray(array) for name, array in arrays.items() if not name.endswith("num_batches_tracked")}
    wanted = {
        f"{_torch_layer(model.name, layer.name)}.{name}": (layer, variable)
        for layer in model.layers
        if layer.weights
        for name, variable in zip(_TORCH_NAMES[type(layer)], layer.weights, strict=False)
    }
    missing, extra = [name for name in wanted if name not in given], [name for name in given if name not in wanted]
    if missing or extra:
        fault = f"misses {missing[0]!r}" if missing else f"has {extra[0]!r}, for which there is no layer"
        counts = f"missing {len(missing)}, extra {len(extra)}"
        raise ValueError(f"arrays: not the weights of {model.name}: {fault} ({counts})")
    turned = {
        name: given[name].transpose(_AXES.get((type(layer), given[name].ndim))) for name, (layer, _) in wanted.items()
    }
    for name, (_, variable) in wanted.items():
        check_array(f"arrays, {name!r} in the order of Keras", turned[name], tuple(variable.shape))
    for name, (_, variable) in wanted.items():
        variable.assign(turned[name])


_TORCH_NAMES = {
    layers.Conv2D: ("weight",),
    layers.DepthwiseConv2D: ("weight",),
    layers.Dense: ("weight", "bias"),
    layers.BatchNormalization: ("weight", "bias", "running_mean", "running_var"),
}
# how the axes of PyTorch's kernels turn into those of Keras
_AXES = {(layers.Conv2D, 4): (2, 3, 1, 0), (layers.DepthwiseConv2D, 4): (2, 3, 0, 1), (layers.Dense, 2): (1, 0)}
_TORCH_LAYERS = {
    "efficientnet_lite0": {
        "stem_conv": "_conv_stem", "stem_norm": "_bn0", "expand_conv": "_expand_conv", "expand_norm": "_bn0",
        "depthwise_conv": "_depthwise_conv", "depthwise_norm": "_bn1", "project_conv": "_project_conv",
        "project_norm": "_bn2", "head_conv": "_conv_head", "head_norm": "_bn1", "logits": "_fc",
    },
    "resnet18": {
        "stem_conv": "conv1", "stem_norm": "bn1", "conv1": "conv1", "norm1": "bn1", "conv2": "conv2", "norm2": "bn2",
        "shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1", "logits": "fc",
    },
}  # fmt: skip


def _torch_layer(network, layer):
    """Return what the PyTorch original calls a layer."""
    names = _TORCH_LAYERS[network]
    if not layer.startswith("block"):
        return names[layer]
    block, part = layer.removeprefix("block").split("_", 1)
    block = int(block) - 1
    outer = f"_blocks.{block}" if network == "efficientnet_lite0" else f"layer{block // 2 + 1}.{block % 2}"
    return f"{outer}.{names[part]}"
