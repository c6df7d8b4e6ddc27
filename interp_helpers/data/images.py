"""What the loaders return: images with labels, photographs, a training and a test set.

>>> two = LabelledImages(np.zeros((2, 28, 28, 1), np.float32), np.array([3, 5]), "made here")
>>> two.subset(two.labels == 5).labels.tolist()
[5]
"""

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels."""

    images: np.ndarray  #: shape (N, height, width, channels), float32 in [0, 1]
    labels: np.ndarray  #: shape (N,), int64
    source: str  #: where the images come from, in words

    def __post_init__(self):
        if len(self.images) != len(self.labels):
            raise ValueError(f"labels: got {len(self.labels)} for {len(self.images)} images; give one for each")

    def __len__(self):
        return len(self.images)

    def subset(self, keep):
        """Return the images that `keep` selects (a slice, a list of indices or a boolean mask)."""
        return replace(self, images=self.images[keep], labels=self.labels[keep])


@dataclass(frozen=True)
class Photographs(LabelledImages):
    """Photographs with their labels, -1 where nobody has said what one shows, and what is known of each."""

    names: tuple = ()  #: of each photograph: that of its file, or ``"chelsea"``
    classes: dict = field(default_factory=dict)  #: the name of each label
    converted: dict = field(default_factory=dict)  #: files that were not plain RGB and are here as RGB, and why
    skipped: dict = field(default_factory=dict)  #: files that are not here, and why

    def subset(self, keep):
        """Return the photographs that `keep` selects (a slice, a list of indices or a boolean mask)."""
        names = tuple(np.array(self.names, object)[keep])
        return replace(self, images=self.images[keep], labels=self.labels[keep], names=names)


class NotAvailable(ValueError):
    """Data or weights are neither on this machine nor can be downloaded (whole)."""


@dataclass(frozen=True)
class Split:
    """A training set and a test set; `source` says in words where both come from."""

    train: LabelledImages
    test: LabelledImages
    source: str


def _scaled(pixels):
    """Return bytes as float32 in [0, 1], with an axis for the channels."""
    scaled = pixels.astype(np.float32) / 255
    return scaled if scaled.ndim == 4 else scaled[..., None]
