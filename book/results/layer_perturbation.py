"""Move the weights of every layer of the MNIST and CIFAR-10 networks, on all 10,000 test images each (chapter 7).

Run by ``make results``, about half an hour on two cores; needs the full MNIST and CIFAR-10. Writes
``layer_perturbation.json`` beside it.
"""

import sys

import pandas as pd
from sklearn.metrics import confusion_matrix

from interp_helpers import data
from interp_helpers.models import checkpoint_card, load_checkpoint
from interp_helpers.notebook import store_run
from interp_helpers.perturbation import move_weights, perturb_layer
from interp_helpers.train import RECIPES, full_mnist, train_network

MNIST_LAYERS = ["conv1", "conv2", "dense1", "logits"]
CIFAR10_LAYERS = ["conv1", "conv2", "conv3", "conv4", "dense1", "logits"]
KINDS = [("constant", 0), *[(direction, seed) for direction in ("sign", "gaussian") for seed in range(2)]]


def main():
    mnist, cifar10 = full_mnist(), data.load_cifar10()
    mnist_model, cifar10_model = load_checkpoint("mnist_cnn"), load_checkpoint("cifar10")
    pair = mnist.train.images, mnist.train.labels
    networks = {0: mnist_model} | {seed: train_network(RECIPES["mnist_cnn"], *pair, seed) for seed in (1, 2)}
    constants = [
        as_the_source(model, MNIST_LAYERS, mnist.test, sign).assign(network=seed, sign=sign)
        for seed, model in networks.items()
        for sign in (1, -1)
    ]
    constants_cifar10 = [
        as_the_source(cifar10_model, CIFAR10_LAYERS, cifar10.test, sign).assign(sign=sign) for sign in (1, -1)
    ]
    path = store_run(
        __file__,
        test_images=len(mnist.test),
        mnist=as_lists(pd.concat(constants)),
        mnist_relative=as_lists(relative(mnist_model, MNIST_LAYERS, mnist.test)),
        cifar10_card=checkpoint_card("cifar10"),
        cifar10=as_lists(pd.concat(constants_cifar10)),
        cifar10_relative=as_lists(relative(cifar10_model, CIFAR10_LAYERS, cifar10.test)),
        cifar10_confusions={name: confused(cifar10_model, name, cifar10.test) for name in CIFAR10_LAYERS},
    )
    print(path)


def as_the_source(model, names, test, sign):
    """Add 0.005 to (or take it from) every weight and bias of one layer, 50 times."""
    curves = [
        perturb_layer(model, name, test.images, test.labels, steps=50, size=sign * 0.005, relative=False)
        for name in names
    ]
    return pd.concat(curves)


def relative(model, names, test):
    """Move by up to six standard deviations of each layer's kernel, in every kind of direction."""
    curves = [
        perturb_layer(model, name, test.images, test.labels, steps=12, size=0.5, direction=direction, seed=seed)
        for name in names
        for direction, seed in KINDS
    ]
    return pd.concat(curves)


def confused(model, name, test):
    """Return the confusion matrix after the last step of the source."""
    moved = move_weights(model, name, 50 * 0.005, relative=False)
    predicted = moved.predict(test.images, batch_size=500, verbose=0).argmax(axis=1)
    return confusion_matrix(test.labels, predicted, labels=range(10)).tolist()


def as_lists(curves):
    """Return a table as column lists, accuracies to four digits."""
    return curves.round(4).to_dict(orient="list")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
