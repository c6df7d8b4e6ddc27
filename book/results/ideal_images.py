"""Make ideal images with every regularizer and seed, and let another model read them (audit of chapter 4).

Run by ``make results``, about two minutes on one core; needs no data from elsewhere. Writes ``ideal_images.json``
beside it. Images are stored in ten grey levels, a digit for each pixel; those of keras-vis, which are pale, in a
hundred, two digits each.
"""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

from interp_helpers import data, metrics
from interp_helpers.feature_vis import maximize
from interp_helpers.models import load_checkpoint, logits_model, mnist_cnn
from interp_helpers.notebook import store_run

ASKED = [0, 2, 3, 5, 8]
OURS = {"l2": 0.1, "total_variation": 100.0}
SETTINGS = {
    "nothing": {},
    "ink": {"l2": 0.2},
    "variation": {"total_variation": 200.0},
    "blur": {"blur": 0.5},
    "jitter": {"jitter": 2},
    "Fourier": {"fourier": True},
    "ours": OURS,
}
LAYERS = ["conv1", "conv2", "dense1", "logits"]


def main():
    digits, model = data.load_digits(), load_checkpoint("mnist_cnn")
    made = {name: maximize(model, ASKED, n_steps=100, **options) for name, options in SETTINGS.items()}
    by_seed = [maximize(model, ASKED, n_steps=100, seed=seed, **OURS) for seed in range(4)]
    reader = LogisticRegression(C=0.01, max_iter=200).fit(digits.images.reshape(-1, 784), digits.labels)

    def read(network, seed, options=OURS):
        """Count the ideal digits of a network that the reader names as their class."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # random networks have dead targets
            images = maximize(network, range(10), seed=seed, n_steps=60, **options).images
        return int((reader.predict(images.reshape(10, 784)) == np.arange(10)).sum())

    readable = {
        "trained": [read(model, seed) for seed in range(3)],
        "trained, no penalty": [read(model, seed, {}) for seed in range(3)],
        "shuffled": [read(metrics.randomize_layers(model, LAYERS, seed), seed) for seed in range(3)],
        "untrained": [read(mnist_cnn(seed), seed) for seed in range(3)],
    }
    path = store_run(
        __file__,
        asked=ASKED,
        by_setting={name: described(model, result) for name, result in made.items()},
        by_seed=[result.values.astype(float).round(4).tolist() for result in by_seed],
        correlations=correlations(np.array([result.images for result in by_seed])),
        images={
            "by_setting": {name: levels(result.images) for name, result in made.items()},
            "by_seed": [levels(result.images) for result in by_seed],
        },
        readable=readable,
        real_scores=real_scores(model, digits),
        keras_vis=as_keras_vis(model),
    )
    print(path)


def described(model, result):
    probabilities = model.predict(result.images, verbose=0)[range(len(ASKED)), ASKED]
    steps = [np.abs(np.diff(result.images, axis=axis)).mean() for axis in (1, 2)]
    found = {"mean score": result.values.mean(), "share of ink": result.images.mean(), "roughness": sum(steps)}
    found["lowest probability"] = probabilities.min()
    return {name: round(float(value), 4) for name, value in found.items()}


def correlations(images):
    """Correlate the pixels of images (seeds, classes, ...) of two seeds: of the same class, and of two classes."""
    flat = images.reshape(*images.shape[:2], -1)
    centred = flat - flat.mean(axis=-1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=-1, keepdims=True)
    alike = np.einsum("sci,tdi->sctd", centred, centred)
    n_seeds, n_classes = flat.shape[:2]
    pairs = [(s, t) for s in range(n_seeds) for t in range(s)]
    classes = [(c, d) for c in range(n_classes) for d in range(n_classes)]
    return {
        name: [round(float(alike[s, c, t, d]), 4) for s, t in pairs for c, d in classes if (c == d) == same]
        for name, same in (("same class", True), ("two classes", False))
    }


def real_scores(model, digits):
    """Summarize the scores of the real digits for their class: each a list of ten."""
    scores = logits_model(model).predict(digits.images, verbose=0)[np.arange(5000), digits.labels].reshape(10, 500)
    return {
        name: getattr(np, name)(scores, axis=1).astype(float).round(4).tolist() for name in ("max", "median", "mean")
    }


def as_keras_vis(model):
    """Climb as keras-vis does, without a bound on the pixels, and rescale the images as it does before they are shown.

    The audit checks that its own call gives the same picture.
    """
    noise = np.random.default_rng(0).random((1, 28, 28, 1))
    begin = np.repeat((noise - noise.mean()) / noise.std() * 0.05 + 0.5, 10, axis=0)
    penalties = {"lp_norm": 10.0, "total_variation": 10.0}
    raw = maximize(model, range(10), start=begin, step_size=1.0, pixel_range=None, **penalties)
    mean, spread = (f(raw.images, (1, 2, 3), keepdims=True) for f in (np.mean, np.std))
    shown = np.clip((raw.images - mean) / spread * 0.1 + 0.5, 0, 1)
    return {
        "climbed": raw.values.astype(float).round(2).tolist(),
        "pixels": [round(float(f(raw.images)), 2) for f in (np.min, np.max)],
        "shown": np.diag(logits_model(model).predict(shown, verbose=0)).astype(float).round(4).tolist(),
        "images": levels(shown, 2),
    }


def levels(images, n_digits=1):
    top = 10**n_digits
    return ["".join(f"{min(int(top * pixel), top - 1):0{n_digits}}" for pixel in image.ravel()) for image in images]


if __name__ == "__main__":
    main()
