"""Rank the channels of twenty networks by PCACE: ten seeds; and one seed, trained with and without the ranked digits.

Run by ``make results``, about half an hour on two cores; needs the full MNIST. Writes ``channel_rankings.json``.
"""

import sys

import numpy as np

from interp_helpers.data import load_digits
from interp_helpers.layers import channel_weights
from interp_helpers.notebook import store_run
from interp_helpers.pcace import rank_channels
from interp_helpers.train import RECIPES, full_mnist, train_network

SEEDS = range(10)
ORDERS = range(1, 6)
STATISTICS = ["multiple", "first"]


def main():
    digits, without, everything = load_digits(), full_mnist(), full_mnist(with_digits=True)
    seeds = [{"seed": seed, **ranked(trained(without.train, seed), digits)} for seed in SEEDS]
    orders = [
        {"order": order, "trained_on_them": on_them, **ranked(trained(shuffled(images, order)), digits)}
        for order in ORDERS
        for on_them, images in ((False, without.train), (True, everything.train))
    ]
    print(store_run(__file__, layer="relu1", images_per_class=500, seeds=seeds, orders=orders))


def trained(images, seed=0):
    return train_network(RECIPES["mnist_cnn"], images.images, images.labels, seed)


def shuffled(images, seed):
    """Return the same images in another order, so that training takes another way from the same initial weights."""
    return images.subset(np.random.default_rng(seed).permutation(len(images)))


def ranked(model, digits):
    """Return the accuracy on the digits, the mean weights, and the PCACE value of each channel for each digit."""
    found = {statistic: [] for statistic in STATISTICS}
    for k in range(10):
        images = digits.images[digits.labels == k]
        table = rank_channels(model, "relu1", images, k, n_permutations=0, statistic=STATISTICS)
        for statistic, rows in table.groupby("statistic"):
            found[statistic].append([None if np.isnan(value) else round(value, 4) for value in rows["pcace"]])
    accuracy = float((model.predict(digits.images, verbose=0).argmax(axis=1) == digits.labels).mean())
    print(f"accuracy {accuracy:.4f}")
    return {
        "accuracy": accuracy,
        "mean_weights": channel_weights(model, "conv1")["mean_weight"].round(6).tolist(),
        "pcace": found,
    }


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
