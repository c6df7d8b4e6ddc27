"""Time a ranking of all channels of VGG16, and how the cost grows with channels, pixels and images.

Run by ``make results``, about fifteen minutes on two idle cores, and at most six gigabytes; needs no data (the weights
are random, which costs as much as others) and nothing else running. Writes ``ranking_cost.json`` beside it. (ACE:
alternating conditional expectations.)
"""

import os
import resource
import tempfile
from time import perf_counter

import keras
import numpy as np

from interp_helpers.ace import ace, ace_many
from interp_helpers.notebook import store_run
from interp_helpers.pcace import components, pcace, rank_channels

IMAGES, SIZE, COMPONENTS, PERMUTATIONS, MEMORY = 300, 224, 10, 100, 1.5
LISTING_IMAGES, LISTING_CHANNELS = 10, 3  # the slice of the published script
REPEATS = 3
# a middle layer of VGG16 and what is changed of it; the images need larger maps, to stay fewer than their pixels
CHANNELS = [(n, 56**2, 300) for n in (4, 8, 16, 32, 64)]
PIXELS = [(16, side**2, 300) for side in (14, 28, 56, 112, 224)]
NUMBERS = [(4, 112**2, n) for n in (75, 150, 300, 600, 1200, 2400)]


def main():
    keras.utils.set_random_seed(0)
    model = keras.applications.VGG16(weights=None, classifier_activation=None)
    images = np.random.default_rng(0).random((IMAGES, SIZE, SIZE, 3), dtype=np.float32)
    curves = {"channels": CHANNELS, "pixels": PIXELS, "images": NUMBERS}
    pcace(np.random.default_rng(0).random((20, 4, 4, 1)), np.arange(20.0))  # compiles
    path = store_run(
        __file__,
        cores=os.cpu_count(),
        vgg16=whole_network(model, images),
        listing=listing(model, images),
        curves={name: [cost(*sizes) for sizes in points] for name, points in curves.items()},
    )
    print(path)


def whole_network(model, images):
    """Rank the channels of all convolutions of a network, from images to table."""
    layers = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        table = rank_channels(
            model,
            layers,
            images,
            0,
            COMPONENTS,
            n_permutations=PERMUTATIONS,
            max_memory=MEMORY,
            batch_size=10,
            folder=folder,
        )
        seconds = perf_counter() - start
    return {
        "channels": len(table),
        "layers": len(layers),
        "images": len(images),
        "permutations": PERMUTATIONS,
        "seconds": seconds,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,  # of the whole process, at its peak
    }


def listing(model, images):
    """Time what the published script does for one channel: the network once for each image, then the ace package."""
    last = keras.Model(model.input, [model.get_layer("block5_conv3").output, model.output])
    last.predict(images[:1], verbose=0)
    start = perf_counter()
    for image in images[:LISTING_IMAGES]:
        last.predict(image[None], verbose=0)
    of_image = (perf_counter() - start) / LISTING_IMAGES
    maps = last.predict(images, batch_size=20, verbose=0)[0][..., :LISTING_CHANNELS]
    scores = np.random.default_rng(0).normal(size=len(images))
    x = components(maps, COMPONENTS)
    start = perf_counter()
    for channel in x:
        ace(channel, scores, engine="reference")
    return {"seconds_of_image": of_image, "seconds_of_solve": (perf_counter() - start) / LISTING_CHANNELS}


def cost(n_channels, n_pixels, n_images):
    """Time the statistics of a layer in one thread: all of it, and ACE alone; the median of some repeats."""
    rng = np.random.default_rng(0)
    maps = rng.random((n_images, 1, n_pixels, n_channels), dtype=np.float32)
    scores = rng.normal(size=n_images)
    x = components(maps, COMPONENTS)
    seconds = []
    for _ in range(REPEATS):
        start = perf_counter()
        pcace(maps, scores, COMPONENTS, n_jobs=1)
        middle = perf_counter()
        ace_many(x, scores[None], threads=1)
        seconds.append((middle - start, perf_counter() - middle))
    whole, of_ace = np.median(seconds, axis=0)
    return {"channels": n_channels, "pixels": n_pixels, "images": n_images, "seconds": whole, "ace": of_ace}


if __name__ == "__main__":
    main()
