"""Test the network of chapter 1 against models that cannot know the task, or know it from pixels, or cheat.

Also, for what the three networks of ``mnist_seeds.json`` get wrong, the label of the nearest training image, and how
far apart the mean images of two digits are. Run by ``make results``, about four minutes on two cores; needs the full
MNIST. Writes ``mnist_floors.json`` beside it.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from keras import layers
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from interp_helpers.models import mnist_cnn
from interp_helpers.notebook import store_run
from interp_helpers.train import full_mnist

N_FEW, EPOCHS, N_RIGHT = 4000, 3, 500


def main():
    mnist = full_mnist()
    few = mnist.train.subset(np.random.default_rng(0).permutation(len(mnist.train))[:N_FEW])
    path = store_run(
        __file__,
        training_images=N_FEW,
        test_images=len(mnist.test),
        epochs=EPOCHS,
        accuracy=floors(few, mnist.test),
        shortcut=shortcut(few, mnist.test),
        nearest=nearest(mnist),
        distances=class_distances(mnist.train),
    )
    print(path)


def floors(few, test):
    """Return the test accuracy of models by name, for one or several seeds."""
    shuffled = [np.random.default_rng(i).permutation(few.labels) for i in range(3)]
    flat, flat_test = (images.reshape(len(images), -1) for images in (few.images, test.images))
    linear = LogisticRegression(C=0.01, max_iter=200).fit(flat, few.labels)
    return {
        "always the commonest digit": [np.bincount(test.labels).max() / len(test)],
        "untrained networks": [accuracy(mnist_cnn(seed), test) for seed in range(8)],
        "networks, shuffled labels": [accuracy(trained(mnist_cnn(0), few.images, y), test) for y in shuffled],
        "logistic regression": [linear.score(flat_test, test.labels)],
        "dense networks": [accuracy(trained(dense(s), few.images, few.labels), test) for s in range(3)],
        "this network": [accuracy(trained(mnist_cnn(s), few.images, few.labels), test) for s in range(3)],
    }


def shortcut(few, test):
    """Train with a pixel that gives the label away; return the accuracy on test images with that pixel and without."""
    network = trained(mnist_cnn(0), with_pixel(few.images, few.labels), few.labels)
    marked = replace(test, images=with_pixel(test.images, test.labels))
    return {"with the pixel": accuracy(network, marked), "without it": accuracy(network, test)}


def nearest(mnist):
    """Count, for wrong images of three networks and for right ones, whose label the nearest training image has."""
    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute")
    neighbours.fit(mnist.train.images.reshape(len(mnist.train), -1))
    seeds = json.loads(Path(__file__).with_name("mnist_seeds.json").read_text())["runs"]
    right = np.setdiff1d(np.arange(len(mnist.test)), seeds[0]["wrong"])
    right = np.random.default_rng(0).permutation(right)[:N_RIGHT]
    asked = [(np.array(run["wrong"]), np.array(run["wrong_predicted"])) for run in seeds]
    counts = []
    for images, predicted in [*asked, (right, mnist.test.labels[right])]:
        flat = mnist.test.images[images].reshape(len(images), -1)
        label = mnist.train.labels[neighbours.kneighbors(flat)[1][:, 0]]
        true = label == mnist.test.labels[images]
        counts.append({"images": len(images), "true": int(true.sum()), "predicted": int((label == predicted).sum())})
    return {"wrong": counts[:-1], "right": counts[-1]}


def class_distances(train):
    """Return the distances between the mean images of the 45 pairs of digits: 0 and 1, 0 and 2, ..., 8 and 9."""
    means = [train.images[train.labels == k].mean(axis=0).ravel() for k in range(10)]
    return pdist(means).round(4).tolist()


def trained(network, images, labels):
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(images, labels, batch_size=32, epochs=EPOCHS, verbose=0)
    return network


def dense(seed):
    """Return a network without convolutions."""
    keras.utils.set_random_seed(seed)
    hidden = [layers.Dense(128, "relu"), layers.Dropout(0.5)]
    return keras.Sequential([layers.Flatten(), *hidden, layers.Dense(10, "softmax")])


def accuracy(network, test):
    answers = network.predict(test.images, batch_size=500, verbose=0).argmax(axis=1)
    return round(float(np.mean(answers == test.labels)), 4)


def with_pixel(images, labels):
    """Make one pixel of the top row white: the one whose column is the label."""
    marked = images.copy()
    marked[np.arange(len(labels)), 0, labels] = 1
    return marked


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
