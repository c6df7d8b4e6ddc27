"""Photographs: samples that are always there, Imagenette, folders of your own; resized and cropped."""

import hashlib
import io
import struct
import tarfile
import warnings
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm.auto import tqdm

from interp_helpers.data.files import DATA_DIR_VARIABLE, _scaled, in_data_dir, socket_timeout
from interp_helpers.data.images import LabelledImages, NotAvailable, Photographs


def load_photos(source="samples", size=224, classes=None, n_per_class=None, at_least=1, optional=False):
    """Load photographs, resized so that the shorter side is size / 0.875 and cut to the square in the middle.

    Parameters
    ----------
    source : str or Path
        ``"samples"``: six that come inside scikit-image (chelsea, a cat; coffee; rocket; astronaut) and scikit-learn
        (china, flower), unlabelled. ``"imagenette"``, ``"imagenette/val"``: training or validation photographs of ten
        classes of ImageNet (tench, English springer, cassette player, chain saw, church, French horn, garbage truck,
        gas pump, golf ball, parachute), looked for in ``$INTERP_DATA_DIR/imagenette/train`` and ``val`` (a folder for
        each class, named by WordNet id), else downloaded into Keras's cache (342 MB). Anything else is a folder of
        photographs, or a folder of one folder for each class. (A folder that is called samples: ``"./samples"``.)
    size : int
        Height and width, in pixels.
    classes : str or sequence of str, optional
        Names of the classes to load (``"church"``), or of their folders (``"n03028079"``); by default all.
    n_per_class : int, optional
        Take the first so many good ones of each class, by name; by default all. Each takes 0.6 MB of memory.
    at_least : int
        Refuse if fewer photographs remain.
    optional : bool
        If Imagenette cannot be had: print one line that says so and return None.

    Returns
    -------
    Photographs
        Labels are ImageNet's class numbers if the folders of the classes are named by WordNet id, else they count the
        folders in order of name; -1 in a folder without classes. One printed line says what was loaded, what was
        converted (grey, CMYK, with a palette, transparent or turned by its camera), and what was skipped and why: no
        image, damaged, shorter than 32 pixels on a side.

    Raises
    ------
    NotAvailable
        If Imagenette is neither in the data folder nor can be downloaded, or if its archive is damaged.
    ValueError
        If there is no such folder or class, or if fewer than `at_least` photographs can be read.
    """
    if not isinstance(source, str | Path):
        raise ValueError(f"source: got {source!r}; give a folder, 'samples', {', '.join(map(repr, _IMAGENETTE_PARTS))}")
    for name, number in (("size", size), ("n_per_class", n_per_class), ("at_least", at_least)):
        if number is not None and (not isinstance(number, int | np.integer) or number < 1):
            raise ValueError(f"{name}: got {number!r}; give a positive whole number")
    if source == "samples":
        if classes is not None or n_per_class is not None:
            raise ValueError("classes, n_per_class: the samples have no classes; leave them out")
        return _sample_photos(size)
    try:
        folders, where = _imagenette(source) if source in _IMAGENETTE_PARTS else (_class_folders(source), str(source))
    except NotAvailable as error:
        if not optional:
            raise
        print(error)
        return None
    labels, class_names = _folder_labels(list(folders))
    chosen = _chosen_folders(labels, class_names, classes)
    photos = _read_photos({folder: folders[folder] for folder in chosen}, labels, class_names, where, size, n_per_class)
    of_the_user = source not in _IMAGENETTE_PARTS
    what = _summary(photos, name_converted=of_the_user)
    if len(photos) < at_least:
        raise ValueError(f"source: at least {at_least} photographs are needed; {what}")
    print(what)
    return photos


def load_photo(path):
    """Read one photograph in its full size.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        Upright and RGB, whatever the file was; what is transparent becomes white.

    Raises
    ------
    ValueError
        If the file is not an image that can be read.
    """
    if not Path(path).is_file():
        raise ValueError(f"path: {str(path)!r} is not a file")
    pixels, _, fault = _read_photo(Path(path), smallest=1)
    if fault:
        raise ValueError(f"path: {str(path)!r} is {fault}")
    return pixels


def load_photos_with_targets(folder, table, size=(64, 96), file="file", value="value", at_least=20):
    """Load photographs that have a number each: what a regression is to read off them.

    Parameters
    ----------
    folder : str or Path
        Where the photographs are.
    table : str, Path or pandas.DataFrame
        A CSV file, or what it would hold: a row for each photograph.
    size : (int, int)
        Height and width that the network takes: each photograph is cut to this shape in the middle, then resized.
    file, value : str
        Columns of `table`: path inside `folder`, and number. Other columns are kept.
    at_least : int
        Refuse if fewer photographs remain.

    Returns
    -------
    images : ndarray, shape (N, height, width, 3), float32 in [0, 1]
        Upright and RGB, as `load_photo` reads them.
    rows : pandas.DataFrame
        The rows of the photographs that could be read, in the order of the images. One printed line names those that
        were skipped and says why: no value, not there, no image, damaged, shorter on a side than 32 pixels (or than a
        side of `size`, if that is less).

    Raises
    ------
    ValueError
        If there is no such folder, file or column, if a value is not a number, or if too few photographs remain.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"folder: {str(folder)!r} is not a folder")
    if not isinstance(table, pd.DataFrame):
        if not Path(table).is_file():
            raise ValueError(f"table: {str(table)!r} is not a file; give a CSV file or a DataFrame")
        table = pd.read_csv(table)
    missing = {file, value} - set(table.columns)
    if missing:
        raise ValueError(
            f"table: has no column {', '.join(sorted(missing))}; it has {', '.join(map(str, table.columns))}"
        )
    if np.shape(size) != (2,) or not all(isinstance(length, int | np.integer) and length > 0 for length in size):
        raise ValueError(f"size: got {size}; give height and width in pixels")
    numbers = pd.to_numeric(table[value], errors="coerce").astype(float)
    words = table.loc[numbers.isna() & table[value].notna(), value]
    if len(words) or np.isinf(numbers).any():
        raise ValueError(f"table: {value!r} holds {words.iloc[0] if len(words) else np.inf!r}; give finite numbers")
    images, kept, skipped = [], [], {}
    for place, (name, number) in enumerate(zip(table[file].astype(str), numbers, strict=True)):
        path, pixels, fault = folder / name, None, "no value"
        if not np.isnan(number):
            pixels, _, fault = _read_photo(path, min(_TINY, *size)) if path.is_file() else (None, None, "not there")
        if fault:
            skipped[name] = fault
            continue
        images.append(np.asarray(ImageOps.fit(Image.fromarray(pixels), size[::-1], Image.Resampling.BICUBIC)))
        kept.append(place)
    summary = f"{len(images)} photographs with values from {folder}"
    summary += f"; skipped: {_listed(skipped)}" if skipped else ""
    if len(images) < max(at_least, 1):
        raise ValueError(f"table: at least {at_least} photographs are needed; {summary}")
    print(summary)
    return _scaled(np.stack(images)), table.iloc[kept].assign(**{value: numbers.iloc[kept]}).reset_index(drop=True)


def centre_crop(photograph, size=224):
    """Resize a photograph so that its shorter side is size / 0.875, and cut out the square in the middle.

    That is how networks of ImageNet are evaluated: 256 pixels, of which 224.

    Parameters
    ----------
    photograph : ndarray, shape (height, width, 3), uint8 or float in [0, 1]
    size : int

    Returns
    -------
    ndarray, shape (size, size, 3), of the same kind (uint8, or float32 in [0, 1])

    Raises
    ------
    ValueError
        If it is anything else.
    """
    floats = as_floats(photograph)
    height, width, _ = floats.shape
    side = round(size / 0.875)
    shape = [max(side, round(length * side / min(height, width))) for length in (height, width)]
    top, left = ((length - size) // 2 for length in shape)
    pixels = photograph if np.asarray(photograph).dtype == np.uint8 else floats
    return _resized(pixels, shape)[top : top + size, left : left + size]


def random_crops(photograph, n, size=224, smallest=0.5, seed=0):
    """Cut n random squares out of one photograph, every other one mirrored by chance, and resize them.

    They stand in for n photographs of a class where there is only one. What is found on them holds for this picture:
    they share its object, light and background, so they vary less than photographs do, and they are not independent.

    Parameters
    ----------
    photograph : ndarray, shape (height, width, 3), uint8 or float in [0, 1]
        In its full size; small squares of a small picture are blurred.
    n : int
    size : int
        Height and width of what comes out, in pixels.
    smallest : float
        Side of the smallest square, as a part of the shorter side of the photograph; the largest is all of it.
    seed : int

    Returns
    -------
    LabelledImages
        images (n, size, size, 3), labels -1.

    Raises
    ------
    ValueError
        If the photograph is anything else, or if `n` or `smallest` is out of range.
    """
    floats = as_floats(photograph)
    shorter = min(floats.shape[:2])
    if n < 1 or not 0 < smallest <= 1 or smallest * shorter < 8:
        raise ValueError(
            f"n={n}, smallest={smallest}: give n > 0, and a part (0 to 1) of the shorter side ({shorter}) that is at "
            "least 8 pixels"
        )
    rng = np.random.default_rng(seed)
    sides = np.round(shorter * rng.uniform(smallest, 1, n)).astype(int)
    crops = np.empty((n, size, size, 3), np.float32)
    for crop, side, mirrored in zip(crops, sides, rng.random(n) < 0.5, strict=True):
        top, left = (rng.integers(0, length - side + 1) for length in floats.shape[:2])
        piece = _resized(floats[top : top + side, left : left + side], (size, size))
        crop[:] = piece[:, ::-1] if mirrored else piece
    return LabelledImages(crops, np.full(n, -1), f"{n} random crops of one photograph")


def as_floats(photograph):
    """Return one photograph as float32 in [0, 1], or refuse it.

    Parameters
    ----------
    photograph : ndarray, shape (height, width, 3), uint8 or float in [0, 1]

    Raises
    ------
    ValueError
        If it has another shape, type or range.
    """
    photograph = np.asarray(photograph)
    if photograph.ndim != 3 or photograph.shape[2] != 3 or 0 in photograph.shape:
        raise ValueError(f"photograph: got shape {photograph.shape}; give (height, width, 3), red, green and blue")
    if photograph.dtype == np.uint8:
        return photograph.astype(np.float32) / 255
    if not np.issubdtype(photograph.dtype, np.floating):
        raise ValueError(f"photograph: got {photograph.dtype}; give uint8, or floats in [0, 1]")
    low, high = photograph.min(), photograph.max()
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # also if there is a NaN
        raise ValueError(f"photograph: got floats from {low:.3g} to {high:.3g}; give floats in [0, 1], or uint8")
    return np.clip(photograph, 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def imagenet_classes():
    """Return the 1,000 classes of ImageNet in order: tuple of (WordNet id, name)."""
    lines = (Path(__file__).parent / "imagenet_classes.csv").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split(",")) for line in lines)


_IMAGENETTE_URL = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz"


# the same photographs were published twice, packed differently
_IMAGENETTE_SHA256 = (
    "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    "5020a9130cea0348272823cb12d2db7e981c6f2afa3dce71ccd5b8013005c55e",
)


_IMAGENETTE_PARTS = {"imagenette": "train", "imagenette/train": "train", "imagenette/val": "val"}


_TINY = 32  # shorter side in pixels


def _sample_photos(size):
    try:
        from skimage import data as of_skimage
    except ImportError as error:
        raise ValueError("source: the samples need scikit-image: pip install scikit-image") from error
    from sklearn.datasets import load_sample_image

    whole = {name: getattr(of_skimage, name)() for name in ("chelsea", "coffee", "rocket", "astronaut")}
    whole |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    images = np.stack([as_floats(centre_crop(photograph, size)) for photograph in whole.values()])
    source = "photographs inside scikit-image and scikit-learn"
    return Photographs(images, np.full(len(images), -1), source, tuple(whole))


def _imagenette(source):
    part = _IMAGENETTE_PARTS[source]
    folder = in_data_dir(f"imagenette/{part}")
    if folder is not None:
        return _class_folders(folder), f"imagenette/{part} in {DATA_DIR_VARIABLE}"
    import keras

    try:
        with socket_timeout(60):
            path = keras.utils.get_file("imagenette2-320.tgz", origin=_IMAGENETTE_URL)
    except Exception as error:  # get_file raises bare Exception when a download fails
        raise NotAvailable(
            f"Imagenette could not be downloaded: go online, or set {DATA_DIR_VARIABLE} to a folder with imagenette/"
        ) from error
    if hashlib.sha256(Path(path).read_bytes()).hexdigest() not in _IMAGENETTE_SHA256:
        raise NotAvailable(f"{path} is not Imagenette as published (truncated or altered): delete it")
    folders = {}
    with tarfile.open(path) as archive:  # nothing is extracted: the names inside never become paths
        for member in archive:
            _, *inside = member.name.split("/")
            if member.isfile() and len(inside) == 3 and inside[0] == part:
                folders.setdefault(inside[1], {})[inside[2]] = archive.extractfile(member).read()
    return {folder: dict(sorted(folders[folder].items())) for folder in sorted(folders)}, "Imagenette as published"


def _class_folders(folder):
    """Return the files of each class: from the name of its folder (None: no classes) to a dict of name and path."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        what = "is a file; load_photo reads one" if folder.is_file() else "is not a folder"
        raise ValueError(
            f"source: {str(folder)!r} {what}; give a folder, 'samples', {', '.join(map(repr, _IMAGENETTE_PARTS))}"
        )
    seen = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    folders, loose = {}, {}
    for path in seen:
        if not any(part.startswith(".") for part in path.parts):
            files = loose if len(path.parts) == 1 else folders.setdefault(path.parts[0], {})
            files[path.as_posix()] = folder / path
    return {**folders, **({None: loose} if loose else {})}


def _folder_labels(folders):
    """Return the label of each folder, and the name of each label."""
    known = {wordnet_id: (k, name) for k, (wordnet_id, name) in enumerate(imagenet_classes())}
    named = [folder for folder in folders if folder is not None]
    if not all(folder in known for folder in named):
        known = {folder: (k, folder) for k, folder in enumerate(named)}
    labels = {folder: known[folder][0] for folder in named} | ({None: -1} if None in folders else {})
    return labels, dict(known[folder] for folder in named)


def _chosen_folders(labels, class_names, classes):
    """Return the folders of the classes that are asked for, by the name of the class or of the folder."""
    if classes is None:
        return list(labels)
    chosen = []
    for asked in [classes] if isinstance(classes, str) else list(classes):
        found = [folder for folder, k in labels.items() if folder is not None and asked in (folder, class_names[k])]
        if not found:
            raise ValueError(
                f"classes: there is no class {asked!r}; there is {', '.join(class_names.values()) or 'none'}"
            )
        chosen += found
    return list(dict.fromkeys(chosen))


def _read_photos(folders, labels, class_names, where, size, n_per_class):
    n_most = sum(min(len(files), n_per_class or len(files)) for files in folders.values())
    images, kept, names = np.empty((n_most, size, size, 3), np.float32), [], []
    converted, skipped = {}, {}
    bar = tqdm(total=n_most, desc="photographs", leave=False)
    for folder, files in folders.items():
        n_good = 0
        for name, file in files.items():
            if n_good == n_per_class:
                break
            if folder is None and class_names:
                skipped[name] = "in no folder of a class"
                continue
            pixels, change, fault = _read_photo(file, _TINY)
            if fault:
                skipped[name] = fault
                continue
            if change:
                converted[name] = change
            images[len(kept)] = as_floats(centre_crop(pixels, size))
            kept.append(labels[folder])
            names.append(name)
            n_good += 1
            bar.update()
    bar.close()
    labels_kept = np.array(kept, np.int64)
    present = {k: name for k, name in class_names.items() if k in kept}
    return Photographs(images[: len(kept)], labels_kept, where, tuple(names), present, converted, skipped)


def _read_photo(file, smallest):
    """Return the pixels of a file (a path or its bytes) as uint8 RGB, what was converted, and what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, say; what cannot be read raises
            with Image.open(file if isinstance(file, Path) else io.BytesIO(file)) as image:
                return _upright_rgb(image, smallest)
    except UnidentifiedImageError:
        return None, None, "no image"
    except Image.DecompressionBombError:
        return None, None, "too large"
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


def _summary(photos, name_converted):
    """Say in one line what was loaded, converted and skipped."""
    what = (
        f"photographs: {len(photos):,} of {len(photos.classes)} classes"
        if photos.classes
        else f"photographs: {len(photos):,}"
    )
    parts = [f"{what} ({photos.source})"]
    if photos.converted and name_converted:
        parts.append(f"{len(photos.converted)} converted to RGB: {_listed(photos.converted)}")
    if photos.skipped:
        parts.append(f"{len(photos.skipped)} skipped: {_listed(photos.skipped)}")
    return "; ".join(parts)


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
