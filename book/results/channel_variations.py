"""Vary every channel of the first layer on all 5,000 digits, and kill channels alone and in pairs (chapter 9).

Run by ``make results``, about ten minutes on two cores; needs no data from elsewhere. Writes
``channel_variations.json`` beside it.
"""

from itertools import combinations

from interp_helpers import data
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run
from interp_helpers.variation import PLACES, vary_channel, without_channels

METHODS = ("gradient", "kill", "noise")


def main():
    digits, model = data.load_digits(), load_checkpoint("mnist_cnn")
    killed = without_channels(model, "relu1", digits.images, digits.labels)
    pairs = without_channels(model, "relu1", digits.images, digits.labels, list(combinations(range(32), 2)))
    path = store_run(
        __file__,
        digits=len(digits),
        changes={f"{method}, {on}": varied(model, digits, method, on) for method in METHODS for on in PLACES},
        killed=killed.round(4).to_dict(orient="list"),
        pairs=pairs.loc[1:, ["channels", "accuracy", "score"]].round(4).to_dict(orient="list"),
    )
    print(path)


def varied(model, digits, method, on):
    """Return the mean change of the true class's score, signed and absolute, for each channel (row) and class."""
    layer = "relu1" if on == "activations" else "conv1"
    changes = vary_channel(model, layer, digits.images, digits.labels, method, on)
    changes["size"] = changes["change"].abs()
    means = changes.groupby(["channel", "class"])[["change", "size"]].mean().round(5)
    return {what: means[what].unstack().to_numpy().tolist() for what in ("change", "size")}


if __name__ == "__main__":
    main()
