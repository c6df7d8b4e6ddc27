"""CIFAR-10, where it can be had.

>>> CIFAR10_CLASSES.index("cat")
3
"""

import io
import lzma
import tarfile

import numpy as np

from interp_helpers.data.files import DATA_DIR_VARIABLE, _as_published, _downloaded, data_path

CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()

_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"

# sha256 of the bytes of each array
_CONTENT = {
    "x_train": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "x_test": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}


def load_cifar10():
    """Load CIFAR-10: 50,000 training and 10,000 test photographs of ten classes (``CIFAR10_CLASSES``), 32 by 32 pixels.

    Looked for in this order: ``$INTERP_DATA_DIR/cifar10/`` (``x_train_1of5.npy.xz`` to ``5of5``, ``y_train.npy.xz``,
    ``x_test.npy.xz``, ``y_test.npy.xz``), then the binary archive of its authors, downloaded into Keras's cache, else
    `NotAvailable`. (Keras's own loader unpickles, this one does not.) Returns a `Split`.
    """
    path, source, read = data_path("cifar10"), f"cifar10/ in {DATA_DIR_VARIABLE}", _read_folder
    if path is None:
        path = _downloaded("CIFAR-10", _URL, instead="cifar10/")
        source, read = "the archive of its authors", _read_archive
    split = _as_published(lambda: read(path), path, "CIFAR-10", _CONTENT, (32, 32, 3), source)
    print(f"CIFAR-10: {len(split.train):,} training and {len(split.test):,} test images ({source})")
    return split


def _read_folder(folder):
    def read(name):
        with lzma.open(folder / f"{name}.npy.xz") as file:
            return np.load(io.BytesIO(file.read()), allow_pickle=False)

    parts = {"x_train": np.concatenate([read(f"x_train_{part}of5") for part in range(1, 6)])}
    return parts | {name: read(name) for name in ("y_train", "x_test", "y_test")}


def _read_archive(path):
    """Read the binary files, of which a record is a label byte and 3 x 32 x 32 pixel bytes."""
    names = {"train": [f"data_batch_{batch}.bin" for batch in range(1, 6)], "test": ["test_batch.bin"]}
    parts = {}
    with tarfile.open(path) as archive:
        for part, files in names.items():
            content = b"".join(archive.extractfile(f"cifar-10-batches-bin/{file}").read() for file in files)
            records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
            parts[f"x_{part}"] = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            parts[f"y_{part}"] = records[:, :1]
    return parts
