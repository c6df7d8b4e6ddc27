"""The networks of the book: how they are built, how trained ones are loaded, and what their logits are."""

from interp_helpers.engine.graph import logits_model
from interp_helpers.models.architectures import (
    ACTIVATIONS,
    cats_dogs_cnn,
    cifar10_cnn,
    efficientnet_lite0,
    ink_cnn,
    mnist_cnn,
    resnet18,
    street_resnet,
)
from interp_helpers.models.checkpoints import CHECKPOINTS, checkpoint_card, load_checkpoint
from interp_helpers.models.imagenet import ImageNetNetwork, load_network, top_classes
from interp_helpers.models.torch_weights import set_torch_weights

__all__ = [
    "ACTIVATIONS", "CHECKPOINTS", "ImageNetNetwork", "cats_dogs_cnn", "checkpoint_card", "cifar10_cnn",
    "efficientnet_lite0", "ink_cnn", "load_checkpoint", "load_network", "logits_model", "mnist_cnn", "resnet18",
    "set_torch_weights", "street_resnet", "top_classes",
]  # fmt: skip
