"""Where data lies, how it is downloaded, and whether it is what was published. No page needs this; loaders do.

>>> import os
>>> _ = os.environ.pop(DATA_DIR_VARIABLE, None)
>>> data_path("mnist/mnist.npz") is None  # no folder of yours: the loaders look elsewhere
True
"""

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

from interp_helpers.data.images import LabelledImages, NotAvailable, Split, _scaled

DATA_DIR_VARIABLE = "INTERP_DATA_DIR"

# what reading a damaged file may raise
_UNREADABLE = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)


def data_path(name):
    """Return the path of `name` in the user's data folder, or None if there is no such folder or file."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        return None
    if not Path(folder).is_dir():
        advice = "create it, correct the variable, or unset it"
        raise ValueError(f"{DATA_DIR_VARIABLE}={folder!r} is not a folder: {advice}")
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


def _downloaded(what, url, seconds=60, instead="mnist/mnist.npz", **options):
    """Return the path of a file in Keras's cache, downloaded if need be; `instead` it may be in the data folder."""
    try:
        with socket_timeout(seconds):
            return Path(keras.utils.get_file(url.rsplit("/", 1)[1], origin=url, **options))
    except Exception as error:  # get_file raises bare Exception when a download fails
        advice = f"go online, or set {DATA_DIR_VARIABLE} to a folder with {instead} in it"
        raise NotAvailable(f"{what} could not be downloaded: {advice}") from error


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
        advice = "delete it or put a whole copy there"
        raise ValueError(f"{path} is not {name} as published (truncated or altered): {advice}")
    train, test = (
        LabelledImages(_scaled(arrays[f"x_{part}"]), arrays[f"y_{part}"].ravel().astype(np.int64), source)
        for part in ("train", "test")
    )
    return Split(train, test, source)


def _sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
