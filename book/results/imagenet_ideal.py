"""Draw what excites the five channels with the highest PCACE (stored run imagenet_channels) of every layer.

Run by ``make results``, about three minutes on two cores, after ``imagenet_channels.py``. Writes
``imagenet_ideal.json``, with one JPEG for each layer.
"""

import base64
import io
import json
import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from interp_helpers.feature_vis import maximize
from interp_helpers.layers import activations
from interp_helpers.models import load_network
from interp_helpers.notebook import store_run

SIDE, STORED, N_STEPS = 96, 48, 40


def main():
    network = load_network("efficientnet_lite0")
    small = for_small_pictures(network)
    ranking = json.loads(Path(__file__).with_name("imagenet_channels.json").read_text(encoding="utf-8"))
    layers = []
    for rows in ranking["layers"]:
        values = np.array(rows["multiple"]["values"], float)
        top = np.argsort(-np.nan_to_num(values, nan=-1), kind="stable")[:5].tolist()
        layers.append(ideal_images(network, small, rows["layer"], top, STORED))
        print(rows["layer"], *layers[-1]["after"], flush=True)
    print(store_run(__file__, side=STORED, n_steps=N_STEPS, layers=layers))


def for_small_pictures(network):
    """Return the model of a network with the same weights for pictures of SIDE pixels."""
    small = keras.models.clone_model(network.model, input_tensors=keras.Input((SIDE, SIDE, 3)))
    small.set_weights(network.model.get_weights())
    return small


def ideal_images(network, small, layer, channels, side):
    """Climb from noise for some channels of a layer; return what is stored: values before and after, and a JPEG."""
    start = np.random.default_rng(0).normal(0, 0.2, (len(channels), SIDE, SIDE, 3)).astype(np.float32)
    made = maximize(
        small,
        channels,
        layer,
        n_steps=N_STEPS,
        step_size=0.1,
        blur=0.6,
        jitter=4,
        pool="mean",
        pixel_range=(float(network.black[0]), 1.0),
        start=start,
    )
    before = activations(small, start, layer)[np.arange(len(channels)), ..., channels].mean(axis=(1, 2))
    return {
        "layer": layer,
        "channels": channels,
        "before": [round(float(value), 3) for value in before],
        "after": [round(float(value), 3) for value in made.values],
        "jpeg": as_jpeg(made.images, side),
    }


def as_jpeg(images, side):
    """Return images, side by side, each with its contrast stretched, as a JPEG in base 64."""
    scale = np.quantile(np.abs(images), 0.99, (1, 2, 3), keepdims=True)
    pictures = (255 * np.clip(0.5 + images / (2 * scale), 0, 1)).astype(np.uint8)
    small = [Image.fromarray(picture).resize((side, side), Image.LANCZOS) for picture in pictures]
    file = io.BytesIO()
    Image.fromarray(np.concatenate([np.asarray(picture) for picture in small], axis=1)).save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
