"""Draw what excites the four channels with the highest PCACE on 300 crops of one photograph, in three layers.

Run by ``make results``, about two minutes in one thread; the photograph comes with scikit-image. Writes
``imagenet_crops.json``, with one JPEG for each layer.
"""

import sys

import numpy as np
from imagenet_ideal import N_STEPS, SIDE, for_small_pictures, ideal_images
from skimage.data import chelsea

from interp_helpers.data import random_crops
from interp_helpers.layers import activations
from interp_helpers.models import load_network, logits_model
from interp_helpers.notebook import store_run
from interp_helpers.pcace import pcace

LAYERS = {"stem_relu": 1, "block4_project_norm": 1, "block16_project_norm": 8}  # every so many channels
STORED = 80


def main():
    network = load_network("efficientnet_lite0")
    small = for_small_pictures(network)
    crops = random_crops(chelsea(), 300, size=SIDE).images
    inputs = (crops @ network.colours + network.black).astype(np.float32)
    y = logits_model(small).predict(inputs, verbose=0)[:, network.index("tabby")]
    layers = []
    for layer, every in LAYERS.items():
        values = pcace(activations(small, inputs, layer)[..., ::every], y).sort_values("channel")["pcace"]
        top = (every * np.argsort(-values.fillna(-1).to_numpy(), kind="stable")[:4]).tolist()
        layers.append(ideal_images(network, small, layer, top, STORED))
        print(layer, top, *layers[-1]["after"], flush=True)
    print(store_run(__file__, side=STORED, n_steps=N_STEPS, layers=layers))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
