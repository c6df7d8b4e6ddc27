"""Images for the chapters: 5,000 digits, six photographs and drawn streets that need no network, and more online.

Images are float32 arrays of shape (N, height, width, channels) in [0, 1]; labels are int64 arrays of shape (N,).
Nothing is unpickled, every published set is checked against its content, and no loader moves a global random state.

>>> digits = load_digits()
>>> digits.images.shape, digits.labels[::500].tolist()
((5000, 28, 28, 1), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
"""

from interp_helpers.data.cifar10 import CIFAR10_CLASSES, load_cifar10
from interp_helpers.data.digits import EMBEDDED, cluttered, load_digits, load_mnist, running_case, stroke_shape
from interp_helpers.data.images import LabelledImages, NotAvailable, Photographs, Split
from interp_helpers.data.photos import (
    centre_crop,
    imagenet_classes,
    load_photos,
    load_photos_with_targets,
    random_crops,
)
from interp_helpers.data.scenes import StreetScenes, street_scenes

__all__ = ["LabelledImages", "NotAvailable", "Photographs", "Split", "StreetScenes"]
__all__ += ["CIFAR10_CLASSES", "EMBEDDED", "load_cifar10", "load_digits", "load_mnist", "load_photos"]
__all__ += ["centre_crop", "cluttered", "imagenet_classes", "load_photos_with_targets", "random_crops"]
__all__ += ["running_case", "street_scenes", "stroke_shape"]
