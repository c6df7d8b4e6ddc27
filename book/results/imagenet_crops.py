"""Draw what excites the four channels with the highest PCACE on 300 crops of one photograph, in three layers.

Run by ``make results``, about two minutes in one thread; the photograph comes with scikit-image. Writes
``imagenet_crops.json``, with one JPEG for each layer.
"""

import sys

import keras
import numpy as np
from imagenet_ideal import N_STEPS, SIDE, as_jpeg
from skimage.data import chelsea

from interp_helpers.data import random_crops
from interp_helpers.feature_vis import maximize
from interp_helpers.layers import activations
from interp_helpers.models import load_network, logits_model
from interp_helpers.notebook import store_run
from interp_helpers.pcace import pcace

LAYERS = {"stem_relu": 1, "block4_project_norm": 1, "block16_project_norm": 8}  # every so many channels
STORED = 80


def main():
    network = load_network("efficientnet_lite0")
    small = keras.models.clone_model(network.model, input_tensors=keras.Input((SIDE, SIDE, 3)))
    small.set_weights(network.model.get_weights())
    crops = random_crops(chelsea(), 300, size=SIDE).images
    inputs = (crops @ network.colours + network.black).astype(np.float32)
    y = logits_model(small).predict(inputs, verbose=0)[:, network.index("tabby")]
    start = np.random.default_rng(0).normal(0, 0.2, (4, SIDE, SIDE, 3)).astype(np.float32)
    layers = []
    for layer, every in LAYERS.items():
        values = pcace(activations(small, inputs, layer)[..., ::every], y).sort_values("channel")["pcace"]
        top = (every * np.argsort(-values.fillna(-1).to_numpy(), kind="stable")[:4]).tolist()
        made = maximize(
            small,
            top,
            layer,
            n_steps=N_STEPS,
            step_size=0.1,
            blur=0.6,
            jitter=4,
            pool="mean",
            pixel_range=(float(network.black[0]), 1.0),
            start=start,
        )
        before = activations(small, start, layer)[np.arange(4), ..., top].mean(axis=(1, 2))
        layers.append(
            {
                "layer": layer,
                "channels": top,
                "before": [round(float(value), 3) for value in before],
                "after": [round(float(value), 3) for value in made.values],
                "jpeg": as_jpeg(made.images, STORED),
            }
        )
        print(layer, top, *layers[-1]["after"], flush=True)
    print(store_run(__file__, side=STORED, n_steps=N_STEPS, layers=layers))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
