"""Photographs: samples that are always there, Imagenette, folders of your own; resized and cropped.

>>> random_crops(np.zeros((60, 80, 3)), n=4, size=32).images.shape
(4, 32, 32, 3)
"""

import hashlib
import io
import os
import struct
import tarfile
import warnings
import zlib
from collections import ChainMap
from functools import lru_cache
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from sklearn.datasets import load_sample_image
from tqdm.auto import tqdm

from interp_helpers.data.files import DATA_DIR_VARIABLE, _downloaded, data_path
from interp_helpers.data.images import LabelledImages, NotAvailable, Photographs, _scaled
from interp_helpers.engine.checks import check_array, check_count, check_folder, check_number, check_table

# Pillow would open more, some of it (PostScript) by starting other programs
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000", "PPM")

_IMAGENETTE_PARTS = {"imagenette": "train", "imagenette/train": "train", "imagenette/val": "val"}
_IMAGENETTE_URL = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz"
_IMAGENETTE_SHA256 = (  # the same photographs were published twice, packed differently
    "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    "5020a9130cea0348272823cb12d2db7e981c6f2afa3dce71ccd5b8013005c55e",
)
_TINY = 32  # shorter side in pixels


def load_photos(source="samples", size=224, classes=None, n_per_class=None, at_least=1, optional=False):
    """Load photographs, resized so that the shorter side is size / 0.875 and cut to the square in the middle.

    Returns `Photographs`. Labels are ImageNet's class numbers if the folders of the classes are named by WordNet id,
    else they count the folders in order of name; -1 in a folder without classes. One printed line says what was loaded,
    what was converted (grey, CMYK, with a palette, transparent or turned by its camera), and what was skipped and why:
    no image in one of ``FORMATS``, damaged, shorter than 32 pixels on a side, a file or folder that cannot be read.

    Parameters
    ----------
    source : str or Path
        ``"samples"``: six that come inside scikit-image (chelsea, a cat; coffee; rocket; astronaut) and scikit-learn
        (china, flower), unlabelled. ``"imagenette"``, ``"imagenette/val"``: training or validation photographs of ten
        classes of ImageNet, looked for in ``$INTERP_DATA_DIR/imagenette/train`` and ``val`` (a folder for each class,
        named by WordNet id), else downloaded into Keras's cache (342 MB). Anything else is a folder of photographs, or
        a folder of one folder for each class; links are followed. (A folder that is called samples: ``"./samples"``.)
    size : int; height and width, in pixels
    classes : str or sequence of str, optional; their names (``"church"``), or those of their folders (``"n03028079"``)
    n_per_class : int, optional; take the first so many good ones of each class, by name; each takes 0.6 MB of memory
    at_least : int; refuse if fewer photographs remain
    optional : bool; if Imagenette cannot be had (`NotAvailable`): print one line that says so and return None
    """
    size, at_least = check_count("size", size), check_count("at_least", at_least)
    n_per_class = None if n_per_class is None else check_count("n_per_class", n_per_class)
    if isinstance(source, str) and source == "samples":
        if classes is not None or n_per_class is not None:
            raise ValueError("classes, n_per_class: the samples have no classes; leave them out")
        return _sample_photos(size)
    try:
        folders, where = _photo_folders(source)
    except NotAvailable as error:
        if not optional:
            raise
        print(error)
        return None
    photos = _read_photos(folders, classes, where, size, n_per_class)
    summary = _summary(photos, name_converted=source not in _IMAGENETTE_PARTS)
    if len(photos) < at_least:
        raise ValueError(f"source: at least {at_least} photographs are needed; {summary}")
    print(summary)
    return photos


def load_photos_with_targets(folder, table, size=(64, 96), file="file", target="target", at_least=20):
    """Load photographs that have a number each: what a regression is to read off them.

    Returns the images, shape (N, height, width, 3), upright and RGB whatever the files were, transparent parts white;
    and the rows of the photographs that could be read, in that order. One printed line names those that were skipped
    and says why, as in `load_photos` (but a side may be as short as that of `size`).

    Parameters
    ----------
    table : str, Path or pandas.DataFrame; a CSV file in UTF-8, or what it would hold: a row for each photograph
    size : (int, int)
        Height and width that the network takes: each photograph is cut to this shape in the middle, then resized.
    file, target : str; columns of `table`: path inside `folder`, and number; other columns are kept
    at_least : int; refuse if fewer photographs remain
    """
    folder, at_least = check_folder(folder), check_count("at_least", at_least)
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ValueError(f"size: got {size!r}; give (height, width) in pixels")
    height, width = (check_count("size", length) for length in size)
    table = check_table(table if isinstance(table, pd.DataFrame) else _read_table(table), (file, target))
    numbers = pd.to_numeric(table[target], errors="coerce").astype(float)
    wrong = table.loc[(numbers.isna() & table[target].notna()) | np.isinf(numbers), target]
    if len(wrong):
        raise ValueError(f"table: {target!r} holds {wrong.iloc[0]!r}; give finite numbers")
    images, kept, skipped = [], [], {}
    for row, (name, number) in enumerate(zip(table[file], numbers, strict=True)):
        name = "" if pd.isna(name) else str(name)
        fault = "no target" if np.isnan(number) else _fault_of_name(folder, name)
        if fault is None:
            pixels, _, fault = _read_photo(folder / name, min(_TINY, height, width))
        if fault is not None:
            skipped[name or f"row {row}"] = fault
            continue
        images.append(np.asarray(ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.BICUBIC)))
        kept.append(row)
    summary = f"{len(images)} photographs with targets from {folder}"
    summary += f"; skipped: {_listed(skipped)}" if skipped else ""
    if len(images) < at_least:
        raise ValueError(f"table: at least {at_least} photographs are needed; {summary}")
    print(summary)
    rows = table.iloc[kept].reset_index(drop=True)
    rows[target] = numbers.to_numpy()[kept]
    return _scaled(np.stack(images)), rows


def centre_crop(photograph, size=224):
    """Resize a photograph so that its shorter side is size / 0.875, and cut out the square in the middle.

    That is how networks of ImageNet are evaluated: 256 pixels, of which 224. The photograph, (height, width, 3), is
    uint8 or float in [0, 1], and stays so.
    """
    floats, size = as_floats(photograph), check_count("size", size)
    side, lengths = round(size / 0.875), floats.shape[:2]
    shape = [max(side, round(length * side / min(lengths))) for length in lengths]
    top, left = ((length - size) // 2 for length in shape)
    photograph = np.asarray(photograph)
    pixels = photograph if photograph.dtype == np.uint8 else floats
    return _resized(pixels, shape)[top : top + size, left : left + size]


def random_crops(photograph, n, size=224, smallest=0.5, seed=0):
    """Cut n random squares out of one photograph, every other one mirrored by chance, and resize them.

    The `LabelledImages` stand in for n photographs of a class where there is only one. What is found on them holds for
    this picture: they share its object, light and background, so they are not independent, and vary less. The
    photograph, (height, width, 3), uint8 or float in [0, 1], comes in its full size; the side of a square is between
    `smallest` and 1 times its shorter side.
    """
    floats, n, size = as_floats(photograph), check_count("n", n), check_count("size", size)
    shorter = min(floats.shape[:2])
    if check_number("smallest", smallest, 0, 1) * shorter < 8:
        raise ValueError(f"smallest: got {smallest}; give a part of the {shorter} pixels that is at least 8 pixels")
    rng = np.random.default_rng(check_count("seed", seed, 0))
    sides = np.round(shorter * rng.uniform(smallest, 1, n)).astype(int)
    crops = np.empty((n, size, size, 3), np.float32)
    for crop, side, mirrored in zip(crops, sides, rng.random(n) < 0.5, strict=True):
        top, left = (rng.integers(0, length - side + 1) for length in floats.shape[:2])
        piece = _resized(floats[top : top + side, left : left + side], (size, size))
        crop[:] = piece[:, ::-1] if mirrored else piece
    return LabelledImages(crops, np.full(n, -1), f"{n} random crops of one photograph")


def as_floats(photograph):
    """Return one photograph (height, width, 3), uint8 or float in [0, 1], as float32 in [0, 1]."""
    photograph = check_array("photograph", photograph, ("height", "width", 3))
    if photograph.dtype == np.uint8:
        return photograph.astype(np.float32) / 255
    low, high = float(photograph.min()), float(photograph.max())
    if photograph.dtype.kind != "f" or low < -1e-3 or high > 1 + 1e-3:
        kind = photograph.dtype
        raise ValueError(f"photograph: got {kind} from {low:.3g} to {high:.3g}; give floats in [0, 1], or uint8")
    return np.clip(photograph, 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def imagenet_classes():
    """Return the 1,000 classes of ImageNet in order: tuple of (WordNet id, name)."""
    lines = (Path(__file__).parent / "imagenet_classes.csv").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split(",")) for line in lines)


def _sample_photos(size):
    try:
        from skimage import data as of_skimage
    except ImportError as error:
        raise ValueError("source: the samples need scikit-image: pip install scikit-image") from error
    whole = {name: getattr(of_skimage, name)() for name in ("chelsea", "coffee", "rocket", "astronaut")}
    whole |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    images = np.stack([as_floats(centre_crop(photograph, size)) for photograph in whole.values()])
    source = "photographs inside scikit-image and scikit-learn"
    return Photographs(images, np.full(len(images), -1), source, tuple(whole))


def _photo_folders(source):
    """Return the files of each class, and where they are from, in words.

    From the name of a class's folder (None: no class) to a dict from the names of its files to each one's path, its
    bytes, or a str: why it cannot be read.
    """
    part = _IMAGENETTE_PARTS.get(source) if isinstance(source, str) else None
    if part is None:
        if not isinstance(source, str | Path) or not str(source) or not Path(source).expanduser().is_dir():
            choices = ", ".join(map(repr, ("samples", *_IMAGENETTE_PARTS)))
            raise ValueError(f"source: got {source!r}, which is not a folder; give a folder of photographs, {choices}")
        return _class_folders(Path(source).expanduser()), str(source)
    folder = data_path(f"imagenette/{part}")
    if folder is not None:
        return _class_folders(folder), f"imagenette/{part} in {DATA_DIR_VARIABLE}"
    path = _downloaded("Imagenette", _IMAGENETTE_URL, instead="imagenette/")
    if hashlib.sha256(path.read_bytes()).hexdigest() not in _IMAGENETTE_SHA256:
        raise NotAvailable(f"{path} is not Imagenette as published (truncated or altered): delete it")
    folders = {}
    with tarfile.open(path) as archive:  # nothing is extracted: the names inside never become paths
        for member in archive:
            _, *inside = member.name.split("/")
            if member.isfile() and len(inside) == 3 and inside[0] == part:
                folders.setdefault(inside[1], {})[inside[2]] = archive.extractfile(member).read()
    return {folder: dict(sorted(folders[folder].items())) for folder in sorted(folders)}, "Imagenette as published"


def _class_folders(folder):
    folders, loose = {}, {}
    for name, file in _files_below(folder):
        (folders.setdefault(name.split("/")[0], {}) if "/" in name else loose)[name or "."] = file
    if not any(isinstance(file, Path) for files in folders.values() for file in files.values()):
        folders, loose = {}, dict(ChainMap(loose, *folders.values()))  # folders that cannot be read are no classes
    return {**folders, **({None: loose} if loose else {})}


def _files_below(folder, above=()):
    """Yield name and path of each file below a folder, in order; a str for the path says why it cannot be read."""
    real = os.path.realpath(folder)
    if real in above:
        yield "", "a link to a folder that it is in"
        return
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        yield "", f"cannot be read ({error.strerror})"
        return
    for path in paths:
        if os.path.isdir(path):
            yield from ((f"{path.name}/{name}", file) for name, file in _files_below(path, (*above, real)))
        else:
            yield path.name, path if os.path.isfile(path) else "not a file that can be read"


def _chosen_classes(folders, classes):
    """Return the label and the name of the class of each folder that is asked for."""
    known = {wordnet_id: (k, name) for k, (wordnet_id, name) in enumerate(imagenet_classes())}
    named = [folder for folder in folders if folder is not None]
    if not all(folder in known for folder in named):
        known = {folder: (k, folder) for k, folder in enumerate(named)}
    if classes is None:
        return {folder: known.get(folder, (-1, None)) for folder in folders}
    chosen = {}
    for asked in [classes] if np.ndim(classes) == 0 else classes:
        found = {folder: known[folder] for folder in named if asked in (folder, known[folder][1])}
        if not found:
            there = ", ".join(known[folder][1] for folder in named) or "none"
            raise ValueError(f"classes: there is no class {asked!r}; there is {there}")
        chosen |= found
    return chosen


def _read_photos(folders, classes, where, size, n_per_class):
    chosen = _chosen_classes(folders, classes)
    n_most = sum(min(len(folders[folder]), n_per_class or len(folders[folder])) for folder in chosen)
    images, labels, names = np.empty((n_most, size, size, 3), np.float32), [], []
    converted, skipped, present = {}, {}, {}
    bar = tqdm(total=n_most, desc="photographs", leave=False)
    for folder, (label, class_name) in chosen.items():
        first = len(labels)
        for name, file in folders[folder].items():
            if len(labels) - first == n_per_class:
                break
            if folder is None and len(chosen) > 1 and not isinstance(file, str):
                file = "in no folder of a class"
            pixels, change, fault = _read_photo(file, _TINY)
            if fault is not None:
                skipped[name] = fault
                continue
            if change:
                converted[name] = change
            images[len(labels)] = as_floats(centre_crop(pixels, size))
            labels.append(label)
            names.append(name)
            bar.update()
        if folder is not None and len(labels) > first:
            present[label] = class_name
    bar.close()
    labels = np.array(labels, np.int64)
    return Photographs(images[: len(labels)], labels, where, tuple(names), present, converted, skipped)


def _read_photo(file, smallest):
    """Return the pixels of a file (a path or its bytes) as uint8 RGB, what was converted, and what is wrong with it."""
    if isinstance(file, str):
        return None, None, file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, say; what cannot be read raises
            with Image.open(file if isinstance(file, Path) else io.BytesIO(file), formats=FORMATS) as image:
                return _upright_rgb(image, smallest)
    except UnidentifiedImageError:
        return None, None, "no image"
    except Image.DecompressionBombError:
        return None, None, "too large"
    except PermissionError as error:
        return None, None, f"cannot be read ({error.strerror})"
    except (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error) as error:
        return None, None, f"damaged ({str(error) or type(error).__name__})"


def _upright_rgb(image, smallest):
    if min(image.size) < smallest:
        return None, None, f"tiny ({image.width} x {image.height})"
    image.load()
    turned = image.getexif().get(0x0112, 1) != 1  # the tag of the orientation
    change = [image.mode] if image.mode != "RGB" else []
    if turned:
        image, change = ImageOps.exif_transpose(image), [*change, "turned"]
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        return None, None, f"of mode {image.mode}, whose range is not known"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB")), ", ".join(change), None


def _read_table(path):
    if not isinstance(path, str | Path) or not Path(path).expanduser().is_file():
        raise ValueError(f"table: got {path!r}, which is not a file; give a CSV file or a DataFrame")
    try:
        return pd.read_csv(Path(path).expanduser(), encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"table: {str(path)!r} is not in UTF-8; save it in UTF-8, or give a DataFrame") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"table: {str(path)!r} cannot be read as CSV ({error})") from error


def _fault_of_name(folder, name):
    """Return why no file is read that a table names, or None."""
    if not name.strip():
        return "no file name"
    if PurePath(name).anchor or ".." in PurePath(name).parts:
        return "not inside the folder"
    return None if os.path.isfile(folder / name) else "not there"


def _summary(photos, name_converted):
    """Say in one line what was loaded, converted and skipped."""
    of_classes = f" of {len(photos.classes)} classes" if photos.classes else ""
    summary = f"photographs: {len(photos):,}{of_classes} ({photos.source})"
    if photos.converted and name_converted:
        summary += f"; {len(photos.converted)} converted to RGB: {_listed(photos.converted)}"
    return summary + (f"; {len(photos.skipped)} skipped: {_listed(photos.skipped)}" if photos.skipped else "")


def _listed(files, n=10):
    rest = f" and {len(files) - n} more" if len(files) > n else ""
    return ", ".join(f"{name} ({why})" for name, why in list(files.items())[:n]) + rest


def _resized(pixels, shape):
    """Resize pixels (height, width, 3), uint8 or floats in [0, 1], by Pillow's antialiased bicubic filter."""
    height, width = shape
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(pixels, -1, 0)]
    resized = [np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes]
    return np.clip(np.stack(resized, axis=-1), 0, 1)
