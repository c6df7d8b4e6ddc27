"""Train the network of chapter 1 with three seeds; store what each gets wrong, and its mean weights.

Run by ``make results``, about two minutes on two cores; needs the full MNIST. Writes ``mnist_seeds.json`` beside it.
"""

import sys

import numpy as np
from sklearn.metrics import confusion_matrix, log_loss

from interp_helpers import models
from interp_helpers.layers import channel_weights
from interp_helpers.notebook import store_run
from interp_helpers.train import RECIPES, full_mnist, train_network

SEEDS = (0, 1, 2)


def main():
    mnist = full_mnist()
    path = store_run(
        __file__,
        training_images=len(mnist.train),
        test_images=len(mnist.test),
        runs=[run(mnist, seed) for seed in SEEDS],
    )
    print(path)


def run(mnist, seed):
    """Train with one seed; return accuracy, loss, confusion matrix and wrong images (test set), and mean weights."""
    before = mean_weights(models.mnist_cnn(seed))
    model = train_network(RECIPES["mnist_cnn"], mnist.train.images, mnist.train.labels, seed)
    probabilities = model.predict(mnist.test.images, batch_size=500, verbose=0).astype(float)
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != mnist.test.labels)
    print(f"seed {seed}: {len(wrong)} of {len(mnist.test)} wrong")
    return {
        "seed": seed,
        "accuracy": 1 - len(wrong) / len(mnist.test),
        "loss": round(log_loss(mnist.test.labels, probabilities), 5),
        "confusion": confusion_matrix(mnist.test.labels, predicted).tolist(),
        "wrong": wrong.tolist(),
        "wrong_predicted": predicted[wrong].tolist(),
        "mean_weights": {"before": before, "after": mean_weights(model)},
    }


def mean_weights(model):
    """Return the mean weight of each channel of the two convolutions."""
    return {layer: channel_weights(model, layer)["mean_weight"].round(6).tolist() for layer in ("conv1", "conv2")}


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
