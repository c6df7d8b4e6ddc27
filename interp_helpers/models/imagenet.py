"""Networks trained on ImageNet, with what it takes to use them.

>>> network = load_network("efficientnet_lite0")
>>> network.labels[network.index("church")], network.prepare(np.zeros((1, 300, 400, 3))).shape
('church', (1, 224, 224, 3))
"""

import hashlib
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import getmodule
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.special import logsumexp

from interp_helpers.data.files import DATA_DIR_VARIABLE, data_path, socket_timeout
from interp_helpers.data.images import NotAvailable
from interp_helpers.data.photos import as_floats, centre_crop, imagenet_classes
from interp_helpers.engine.checks import check_count, check_images
from interp_helpers.engine.graph import logits_model
from interp_helpers.models.architectures import _seeded, resnet18
from interp_helpers.models.checkpoints import checkpoint_card, load_checkpoint
from interp_helpers.models.torch_weights import set_torch_weights


@dataclass(frozen=True, eq=False)
class ImageNetNetwork:
    """A network trained on the 1,000 classes of ImageNet, and what it takes to use it; every method takes it whole."""

    name: str
    model: keras.Model  # from what `prepare` gives to (N, 1000)
    size: int  # height and width of the input, in pixels
    black: np.ndarray  # (3,): what the model is given for a black pixel
    colours: np.ndarray  # (3, 3): what full red, full green and full blue (rows) add to that
    labels: tuple  # the names of the classes, in the order of the outputs
    wordnet_ids: tuple  # their identifiers in WordNet
    card: dict  # where the weights come from, their licence, sha256 and so on

    def prepare(self, photographs):
        """Turn RGB photographs, (N, height, width, 3) or a list of them, into what the model takes.

        They are uint8, or floats in [0, 1]; what has not the right size yet is resized and cropped (`centre_crop`).
        """
        photographs = photographs if isinstance(photographs, list | tuple) else np.asarray(photographs)
        if len(np.shape(photographs[0]) if len(photographs) else ()) != 3:
            raise ValueError("photographs: give (N, height, width, 3), N > 0, or a list of (height, width, 3)")
        fits = (self.size, self.size, 3)
        pixels = [as_floats(one if np.shape(one) == fits else centre_crop(one, self.size)) for one in photographs]
        return (np.stack(pixels) @ self.colours + self.black).astype(np.float32)

    def photographs(self, inputs):
        """Turn inputs of the model back into photographs, floats in [0, 1]; what lies outside is cut off."""
        inverse = np.linalg.inv(self.colours)
        return np.clip((np.asarray(inputs) - self.black) @ inverse, 0, 1).astype(np.float32)

    def index(self, label):
        """Return the number of a class, given by its name or WordNet id."""
        for known in (self.labels, self.wordnet_ids):
            if label in known:
                return known.index(label)
        alike = [name for name in self.labels if str(label).lower() in name.lower()]
        alike = alike or get_close_matches(str(label), self.labels)
        raise ValueError(f"label: ImageNet has no class {label!r}; it has {', '.join(alike) or 'nothing like it'}")


def load_network(name, weights=None, optional=False, **options):
    """Load a network with its ImageNet weights, its preprocessing, class names and card, as an `ImageNetNetwork`.

    Parameters
    ----------
    name : str
        ``"efficientnet_lite0"`` (Tan & Le 2019, without squeeze-and-excitation) ships with the package. ``"resnet18"``
        (He et al. 2016) has torchvision's weights, looked for in ``$INTERP_DATA_DIR/resnet18/model.safetensors``, then
        in the cache of the Hugging Face hub, then downloaded into it (47 MB). Every other name is one of
        ``keras.applications``, as ``"vgg16"`` (Simonyan & Zisserman 2015); Keras caches or downloads its weights.
    weights : str or Path, optional
        Your own copy of the weights: a safetensors file with torchvision's names for ``"resnet18"``, what Keras takes
        for the others. The card then says that they are yours.
    optional : bool; if the weights cannot be had: print one line that says so and return None
    **options
        For the function of ``keras.applications``, for example ``input_shape=(96, 96, 3), alpha=0.35``.
    """
    plain = str(name).lower().replace("_", "")
    others = {found.lower(): found for found in dir(keras.applications) if found[0].isupper()}
    own = {"efficientnetlite0": _shipped_efficientnet_lite0, "resnet18": _torchvision_resnet18}
    if plain not in (*own, *others):
        raise ValueError(f"name: got {name!r}; give one of efficientnet_lite0, resnet18, {', '.join(others.values())}")
    if plain in own and options:
        raise ValueError(f"{', '.join(options)}: {name} takes no options")
    try:
        return own[plain](weights) if plain in own else _of_keras(others[plain], weights, options)
    except NotAvailable as error:
        if not optional:
            raise
        print(error)


def top_classes(network, inputs, k=5):
    """Return the k classes with the highest score (logit) for each of the inputs, as ``network.prepare`` gives them.

    The DataFrame has one row for each image and rank: image, rank (from 1), class (number), label, score, probability.
    """
    k, inputs = check_count("k", k, most=len(network.labels)), check_images(network.model, inputs, "inputs")
    logits = logits_model(network.model).predict(inputs, batch_size=32, verbose=0).astype(np.float64)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    rows = pd.DataFrame(list(np.ndindex(best.shape)), columns=["image", "rank"])
    rows["rank"] += 1
    rows["class"] = best.ravel()
    rows["label"] = [network.labels[c] for c in best.ravel()]
    rows["score"] = np.take_along_axis(logits, best, axis=1).ravel()
    return rows.assign(probability=np.exp(rows["score"] - logsumexp(logits, axis=1).repeat(k)))


_IMAGENET_MEAN, _IMAGENET_SD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_RESNET18 = {"repo_id": "timm/resnet18.tv_in1k", "revision": "bbd144b3e5565108aad885f145491d11bc6ce807"}
_RESNET18 |= {"filename": "model.safetensors"}
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
    card = {"name": "resnet18", "weights": source, "parameters": model.count_params(), "sha256": sha256}
    if sha256 == _RESNET18_SHA256:
        card |= {"weights": f"IMAGENET1K_V1 of torchvision ({source})", "licence": "BSD-3-Clause"}
        card["accuracy"] = {"ImageNet_validation_as_published_by_torchvision": 0.69758}
    return _network("resnet18", model, -_IMAGENET_MEAN / _IMAGENET_SD, np.diag(1 / _IMAGENET_SD), card)


def _resnet18_file():
    """Return the path of torchvision's weights and where they come from, in words."""
    path = data_path(f"resnet18/{_RESNET18['filename']}")
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
        place = f"set {DATA_DIR_VARIABLE} to a folder with resnet18/{_RESNET18['filename']}, from {source}"
        raise NotAvailable(_not_had("resnet18", error, place)) from error
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
        with socket_timeout(20), _seeded(None):
            model = build(weights="imagenet" if weights is None else weights, **options)
    except Exception as error:  # a failed download raises bare Exception, a broken file whatever h5py makes of it
        if weights is not None:
            raise ValueError(f"weights: {weights} cannot be loaded into {name}: {_first_line(error)}") from error
        if options:
            build(weights=None, **options)  # wrong ones fail here as well, with a message of their own
        raise NotAvailable(_not_had(name, error, "give weights=, a file")) from error
    if model.output_shape != (None, 1000) or None in model.input_shape[1:] or len(set(model.input_shape[1:3])) != 1:
        shapes = f"input {model.input_shape} and output {model.output_shape}"
        raise ValueError(f"options: {name} then has {shapes}; give a square input_shape, and leave the 1,000 classes")
    preprocess = getmodule(build).preprocess_input  # linear in the pixels: known from four of them
    four = np.concatenate([np.zeros((1, 3)), np.eye(3)]).reshape(1, 4, 1, 3).astype(np.float32) * 255
    black, *pure = preprocess(four)[0, :, 0].astype(np.float64)
    source = f"of keras.applications.{name}" if weights is None else "your own file"
    card = {"name": name, "weights": source, "parameters": model.count_params(), "keras": keras.__version__}
    return _network(name.lower(), model, black, np.array(pure) - black, card)


def _network(name, model, black, colours, card):
    wordnet_ids, labels = zip(*imagenet_classes(), strict=True)
    return ImageNetNetwork(name, model, model.input_shape[1], black, colours, labels, wordnet_ids, card)


def _not_had(name, error, instead):
    return f"{name}: its ImageNet weights could not be had ({_first_line(error)}); go online, or {instead}"


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
