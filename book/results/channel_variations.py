"""Vary every channel of the first layer on all 5,000 digits, and kill channels alone and in pairs (chapter 9).

Run by ``make results``, about ten minutes on two cores; needs no data from elsewhere. Writes
``channel_variations.json`` beside it.
"""

import datetime
import json
from itertools import combinations
from pathlib import Path

from interp_helpers import data, train
from interp_helpers.models import load_checkpoint
from interp_helpers.perturbation import PLACES, vary_channel, without_channels

METHODS = ("gradient", "kill", "noise")


def main():
    digits, model = data.load_digits(), load_checkpoint("mnist_cnn")
    killed = without_channels(model, "relu1", digits.images, digits.labels)
    pairs = without_channels(model, "relu1", digits.images, digits.labels, list(combinations(range(32), 2)))
    stored = {
        "script": "book/results/channel_variations.py",
        "date": datetime.date.today().isoformat(),
        "versions": train.versions(),
        "digits": len(digits),
        "changes": {f"{method}, {on}": varied(model, digits, method, on) for method in METHODS for on in PLACES},
        "killed": killed.round(4).to_dict(orient="list"),
        "pairs": pairs.loc[1:, ["channels", "accuracy", "score"]].round(4).to_dict(orient="list"),
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(stored) + "\n")
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
