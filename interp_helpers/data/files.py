"""Where data lies, how it is downloaded, and whether it is what was published. No page needs this; loaders do."""

import hashlib
import lzma
import os
import socket
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from interp_helpers.data.images import LabelledImages, NotAvailable, Split

DATA_DIR_VARIABLE = "INTERP_DATA_DIR"

# what reading a damaged file may raise
_UNREADABLE = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)


def data_path(name):
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


@contextmanager
def socket_timeout(seconds):
    """Let no download wait longer than `seconds` for an answer while inside."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _downloaded(what, url, put, seconds=60, **options):
    """Return the path of a file in Keras's cache, downloaded if it is not there yet.

    The error `NotAvailable` says what the file is, and what can be `put` into the data folder instead.
    """
    try:
        with socket_timeout(seconds):
            return Path(keras.utils.get_file(url.rsplit("/", 1)[1], origin=url, **options))
    except Exception as error:  # get_file raises bare Exception when a download fails
        instead = f"go online, or set {DATA_DIR_VARIABLE} to a folder with {put} in it"
        raise NotAvailable(f"{what} could not be downloaded: {instead}") from error


def _as_published(read, path, name, content, shape, source):
    """Return the split made of the arrays that `read` gives, or refuse them if they are not the published ones."""
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
    train, test = (
        LabelledImages(_scaled(arrays[f"x_{part}"]), arrays[f"y_{part}"].ravel().astype(np.int64), source)
        for part in ("train", "test")
    )
    return Split(train, test, source)


def _scaled(pixels):
    scaled = pixels.astype(np.float32) / 255
    return scaled if scaled.ndim == 4 else scaled[..., None]


def _sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
