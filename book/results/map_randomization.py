"""Do maps change when the weights are shuffled, and do they lie on the ink? Asked of eight methods (chapter 3).

Run by ``make results``, about eight minutes on one core. Writes ``map_randomization.json`` beside it.
"""

import warnings

import numpy as np

from interp_helpers import attribution, metrics
from interp_helpers.attribution import grad_cam, saliency
from interp_helpers.data import load_digits
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run

N_SAMPLES = 15  # noisy copies for SmoothGrad, points on the line for integrated gradients
SHUFFLES = range(10)


def main():
    warnings.simplefilter("ignore")  # shuffled networks make blank maps
    digits, model = load_digits(), load_checkpoint("mnist_cnn")
    print(
        store_run(
            __file__,
            n_shuffles=len(SHUFFLES),
            n_samples=N_SAMPLES,
            agreement=cascade(model, digits),
            other_class=other_class(model, digits),
            ink=on_the_ink(model, digits),
        )
    )


def all_maps(network, images, classes):
    """Return the signed maps (N, height, width) of all methods."""
    options = {"n_samples": N_SAMPLES}, {"n_steps": N_SAMPLES}
    return {
        "saliency": saliency(network, images, classes)[..., 0],
        "guided": saliency(network, images, classes, rule="guided")[..., 0],
        "deconvnet": saliency(network, images, classes, rule="deconvnet")[..., 0],
        "SmoothGrad": attribution.smoothgrad(network, images, classes, **options[0])[..., 0],
        "integrated": attribution.integrated_gradients(network, images, classes, **options[1])[..., 0],
        "Grad-CAM": grad_cam(network, images, classes, "relu2"),
        "edges": attribution.edges(images),
        "random": attribution.random_map(images),
    }


def compared(before, after, ink):
    """Return the mean agreement of two sets of maps: with their sign, of absolute values, and of those on the ink."""
    found = {}
    for name, maps in before.items():
        sizes = np.abs(maps), np.abs(after[name])
        found[name] = {
            "signed": mean(metrics.rank_agreement(maps, after[name])),
            "absolute": mean(metrics.rank_agreement(*sizes)),
            "absolute, ink": mean(metrics.rank_agreement(*sizes, ink)),
        }
    return found


def cascade(model, digits):
    """Compare 100 digits' maps before and after: a list of shuffles, each with one entry for each layer reached."""
    images, classes = digits.images[::50], digits.labels[::50]
    before, ink = all_maps(model, images, classes), images[..., 0] > 0.5
    return [
        {
            layer: compared(before, all_maps(network, images, classes), ink)
            for layer, network in metrics.cascading_randomization(model, seed)
        }
        for seed in SHUFFLES
    ]


def other_class(model, digits):
    """Compare each digit's map for its class with that for the next class."""
    images, classes = digits.images[::50], digits.labels[::50]
    maps = [all_maps(model, images, chosen) for chosen in (classes, (classes + 1) % 10)]
    return compared(*maps, images[..., 0] > 0.5)


def on_the_ink(model, digits):
    """Compare the strongest pixels of 250 digits' maps with their ink: mean, and standard error."""
    images, classes = digits.images[::20], digits.labels[::20]
    ink = images[..., 0] > 0.5
    found = {}
    for name, maps in all_maps(model, images, classes).items():
        shares = metrics.iou(np.abs(maps), ink)
        n = np.isfinite(shares).sum()
        found[name] = {"mean": mean(shares), "error": round(float(np.nanstd(shares, ddof=1) / n**0.5), 4)}
    return found


def mean(values):
    return round(float(np.nanmean(values)), 4)


if __name__ == "__main__":
    main()
