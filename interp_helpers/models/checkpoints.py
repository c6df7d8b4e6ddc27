"""Trained networks that ship with the package: load one, save one, and the card of each.

>>> load_checkpoint("ink").output_shape
(None, 2)
>>> checkpoint_card("ink")["seed"]
0
"""

import hashlib
import json
import platform
import random
import zipfile
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import tensorflow as tf

from interp_helpers.engine.checks import check_choice
from interp_helpers.models import architectures

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"


def load_checkpoint(name):
    """Load a trained network that ships with the package, for example ``"mnist_cnn"``: a new one at each call.

    It is not compiled. Its output is probabilities, or the values of a network that predicts numbers.
    """
    card, path = checkpoint_card(name), CHECKPOINTS / f"{name}.keras"
    modified = path.stat().st_mtime_ns if path.exists() else None
    config, weights = _read(path, modified, card["sha256"], card.get("architecture"))
    with architectures._seeded(None):
        model = keras.models.model_from_json(config)
    model.set_weights(weights)
    return model


def checkpoint_card(name):
    """Return the card of a network that ships: seed, versions, data, accuracy, sha256 and so on, as a dict."""
    check_choice("name", name, sorted(file.stem for file in CHECKPOINTS.glob("*.json")))
    return json.loads((CHECKPOINTS / f"{name}.json").read_text(encoding="utf-8"))


def save_checkpoint(model, path, describe):
    """Save a network with its weights rounded to half precision, and its card beside it; return the card.

    The weights stay float32 in the file, so that the network computes as usual; the zeros of the rounding compress.
    There is no optimizer in it, and the same network gives the same file. The path ends in ``.keras``; its stem is the
    name.

    From the network as it was saved, `describe` makes what the card says besides name, versions and sha256. If there is
    an ``architecture``, that function of `architectures` builds the network when it is loaded (older versions of Keras
    3 describe models with branches in another way).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with architectures._seeded(None):
        random.seed(0)  # the file also holds the state of the dropout layers' generators
        bare = type(model).from_config(model.get_config())  # not clone_model, which takes the optimizer along
    bare.set_weights([weight.astype(np.float16).astype(np.float32) for weight in model.get_weights()])
    bare.save(path)
    _repack(path)
    with architectures._seeded(None):
        saved = keras.models.load_model(path, compile=False, safe_mode=True)
    card = {"name": path.stem, **describe(saved), "versions": versions(), "sha256": _sha256(path)}
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def versions():
    """Return the versions that the numbers of a network depend on."""
    libraries = {"tensorflow": tf, "keras": keras, "numpy": np}
    return {"python": platform.python_version()} | {name: one.__version__ for name, one in libraries.items()}


@lru_cache(maxsize=8)
def _read(path, modified, sha256, architecture):
    """Return the configuration and the weights of a file; one that was modified is read again."""
    if modified is None or _sha256(path) != sha256:
        raise ValueError(f"{path} is missing or not the file its card describes: reinstall interp_helpers")
    with architectures._seeded(None):
        if architecture is None:
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        else:
            model = getattr(architectures, architecture)(seed=None)
            with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:  # Keras reads it piece by piece
                model.load_weights(archive.extract("model.weights.h5", folder))
    return model.to_json(), model.get_weights()


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _repack(path):
    """Rewrite a .keras archive: compressed, without the time of its making, readable by older versions of Keras 3."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    config = json.loads(members["config.json"], object_hook=_for_older_versions)
    version = json.loads(members["metadata.json"])["keras_version"]
    members |= {"config.json": json.dumps(config), "metadata.json": json.dumps({"keras_version": version})}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_LZMA)


def _for_older_versions(layer):
    """Leave out arguments that change nothing (None, or newer and off): older versions do not know them."""
    options = layer.get("config")
    if isinstance(options, dict):
        new = () if options.get("renorm") else ("renorm", "renorm_momentum")  # of batch normalization
        layer["config"] = {key: value for key, value in options.items() if value is not None and key not in new}
    return layer
