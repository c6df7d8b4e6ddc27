"""Give a Keras network the weights of its PyTorch original."""

import numpy as np
from keras import layers


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
