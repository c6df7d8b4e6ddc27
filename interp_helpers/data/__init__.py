"""Images for the chapters: 5,000 digits, six photographs and drawn streets that need no network, and more online.

Images are float32 arrays of shape (N, height, width, channels) in [0, 1]; labels are int64 arrays of shape (N,).
Nothing here unpickles anything, and every published set is checked against its content before it is used.
"""

from interp_helpers.data.cifar10 import CIFAR10_CLASSES, load_cifar10
from interp_helpers.data.digits import EMBEDDED, cluttered, leave_out, load_digits, load_mnist, stroke_shape
from interp_helpers.data.images import LabelledImages, NotAvailable, Photographs, Split
from interp_helpers.data.photos import (
    centre_crop,
    imagenet_classes,
    load_photos,
    load_photos_with_targets,
    random_crops,
)
from interp_helpers.data.scenes import StreetScenes, street_scenes

__all__ = [
    "CIFAR10_CLASSES",
    "EMBEDDED",
    "LabelledImages",
    "NotAvailable",
    "Photographs",
    "Split",
    "StreetScenes",
    "centre_crop",
    "cluttered",
    "imagenet_classes",
    "leave_out",
    "load_cifar10",
    "load_digits",
    "load_mnist",
    "load_photos",
    "load_photos_with_targets",
    "random_crops",
    "street_scenes",
    "stroke_shape",
]
