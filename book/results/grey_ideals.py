"""Ideal digits on grey, as keras-vis draws them, and what five networks answer to their own ideal digits (chapter 8).

Run by ``make results``, about two minutes on two cores; needs no data from elsewhere. Writes ``grey_ideals.json``
beside it.
"""

import numpy as np

from interp_helpers import feature_vis, keras_vis
from interp_helpers.layers import activations
from interp_helpers.models import ACTIVATIONS, load_checkpoint
from interp_helpers.notebook import store_run


def main():
    model = load_checkpoint("mnist_cnn")
    logits = keras_vis.find_layer_idx(model, "logits")
    drawn = [
        keras_vis.visualize_activation(model, logits, filter_indices=k, input_range=(0.0, 1.0))[..., 0]
        for k in range(10)
    ]
    print(store_run(__file__, thousandths=in_thousandths(drawn), own_ideal={name: own(name) for name in ACTIVATIONS}))


def in_thousandths(pictures):
    """Return grey values in [0, 1] as whole numbers, which makes the file small; shape (10, 28, 28)."""
    return np.rint(1000 * np.array(pictures)).astype(int).tolist()


def own(activation):
    """Return the mean size of each channel's output in the first layer on the network's own ten ideal digits."""
    model = load_checkpoint("mnist_cnn" if activation == "relu" else f"mnist_{activation}")
    ideal = feature_vis.maximize(model, range(10), **feature_vis.IDEAL_DIGITS).images
    return np.abs(activations(model, ideal, f"{activation}1")).mean(axis=(0, 1, 2)).round(5).tolist()


if __name__ == "__main__":
    main()
