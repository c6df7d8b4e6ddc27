"""Where data lies, and whether it is what was published."""

import hashlib
import lzma
import os
import socket
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

DATA_DIR_VARIABLE = "INTERP_DATA_DIR"


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


def in_data_dir(name):
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


# what reading a damaged file may raise
_UNREADABLE = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)


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


def _scaled(pixels):
    scaled = pixels.astype(np.float32) / 255
    return scaled if scaled.ndim == 4 else scaled[..., None]


def _sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
