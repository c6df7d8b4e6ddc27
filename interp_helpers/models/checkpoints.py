"""Trained networks that ship: load one, write one, and the card of each."""

import hashlib
import io
import json
import platform
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import tensorflow as tf

from interp_helpers.models.architectures import efficientnet_lite0

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"


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


def write_card(path, **content):
    """Write the card of the network saved beside `path`, and return it."""
    sha256 = hashlib.sha256(path.with_suffix(".keras").read_bytes()).hexdigest()
    card = {"name": path.stem, **content, "versions": versions(), "sha256": sha256}
    path.write_text(json.dumps(card, indent=2) + "\n")
    return card


def save_half_precision(model, path):
    """Save `model` with its weights rounded to half precision, without optimizer state; the file is reproducible.

    The weights stay float32 in the file, so that the network computes as usual; the zeros of the rounding compress.
    """
    keras.utils.set_random_seed(0)  # the file also holds the state of the dropout layers' generators
    bare = type(model).from_config(model.get_config())  # not clone_model, which takes the optimizer along
    bare.set_weights([weight.astype(np.float16).astype(np.float32) for weight in model.get_weights()])
    bare.save(path)
    _repack(path)


def _repack(path):
    """Rewrite a .keras archive: compressed, without the time of its making, readable by older versions of Keras 3."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    config = _for_older_versions(json.loads(members["config.json"]))
    members["config.json"] = json.dumps(config).encode()
    metadata = json.loads(members["metadata.json"])
    members["metadata.json"] = json.dumps({"keras_version": metadata["keras_version"]}).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_LZMA)
    Path(path).write_bytes(buffer.getvalue())


def _for_older_versions(config):
    """Leave out arguments of layers that change nothing (None, or newer and off): older versions do not know them."""
    if isinstance(config, list):
        return [_for_older_versions(item) for item in config]
    if not isinstance(config, dict):
        return config
    kept = {key: _for_older_versions(value) for key, value in config.items()}
    if isinstance(kept.get("config"), dict):
        new = _NEWER if not kept["config"].get("renorm") else ()
        kept["config"] = {key: value for key, value in kept["config"].items() if value is not None and key not in new}
    return kept


_NEWER = ("renorm", "renorm_momentum")  # of batch normalization


def versions():
    """Return the versions that a trained network depends on."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }
