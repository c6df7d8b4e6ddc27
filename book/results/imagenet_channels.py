"""Rank all channels of EfficientNet-Lite0 by PCACE on 300 ImageNet photographs of churches, and some for other classes.

Run by ``make results``, about a quarter of an hour on two cores and 8 GB; needs Imagenette. Writes
``imagenet_channels.json``.
"""

import sys

import keras
import numpy as np

from interp_helpers.attribution import class_activation_map, concentration, strongest
from interp_helpers.data import load_photos
from interp_helpers.layers import activations
from interp_helpers.models import efficientnet_lite0, load_network, scores
from interp_helpers.notebook import store_run
from interp_helpers.pcace import pcace

STATISTICS = ["multiple", "first_absolute"]
OTHER_CLASSES = ("English springer", "parachute")
N_IMAGES = 300
ENDINGS = ("stem_relu", "depthwise_relu", "project_norm", "head_relu")
FEW = ("stem_relu", *(f"block{number}_project_norm" for number in (1, 3, 5, 7, 9, 11, 13, 15, 16)))


def main():
    network = load_network("efficientnet_lite0")
    model = network.model
    # what the network hands on: all but the wide 1 x 1 convolutions that the depthwise ones read
    names = [layer.name for layer in model.layers if layer.name.endswith(ENDINGS)]
    few = [name for name in names if name in FEW]
    churches, church = prepared(network, "church"), network.index("church")
    cams = np.concatenate([class_activation_map(model, churches[part], church, upsample=False) for part in batches()])
    y = cams.mean(axis=(1, 2)).astype(float) + float(model.get_layer("logits").bias[church])  # which is the score
    results = {"images": N_IMAGES, "components": 10, "picture": of_the_picture(churches, y)}
    results |= {key: [] for key in ("ten", "held_out", "cam", "chance", "half", "split")}
    for name, maps in recorded(model, churches, names).items():
        measured = everything(maps, y, cams, name in few)
        for key, found in measured.items():
            results[key].append({"layer": name} | found)
        print(name, np.nanmedian(np.array(measured["held_out"]["multiple"], float)), flush=True)
    results["untrained"] = rankings(efficientnet_lite0(), churches, y, few)
    results["classes"] = {}
    for name in OTHER_CLASSES:
        images, k = prepared(network, name), network.index(name)
        results["classes"][name] = rankings(model, images, of_class(model, images, k), few)
    print(store_run(__file__, **results))


def everything(maps, y, cams, with_more):
    """Return all that is stored of the maps of a layer; `with_more`: also half as many components, and split halves."""
    found = {
        "ten": values(pcace(maps, y, statistic=STATISTICS)),
        "held_out": values(pcace(maps, y, held_out=True)),
        "cam": on_the_cam(maps, cams),
        "chance": {"ten": chance(maps, y, 10, 40)},
    }
    if with_more:
        found["half"] = values(pcace(maps, y, "half", STATISTICS))
        found["chance"]["half"] = chance(maps, y, "half", 10)
        halves = [(maps[part::2], y[part::2]) for part in (0, 1)]
        found["split"] = {
            key: [values(pcace(*half, held_out=held_out))["multiple"] for half in halves]
            for key, held_out in (("fitted", False), ("held_out", True))
        }
    return found


def rankings(model, images, y, names):
    return [{"layer": name} | values(pcace(maps, y)) for name, maps in recorded(model, images, names).items()]


def values(table):
    """Return the values of a layer's channels, in order, for each statistic."""
    return {statistic: rounded(rows.sort_values("channel")["pcace"]) for statistic, rows in table.groupby("statistic")}


def chance(maps, y, p, n_permutations):
    """Return median and 95 % quantile for permuted scores, means over eight channels."""
    some = maps[..., :: maps.shape[-1] // 8][..., :8]
    table = pcace(some, y, p, STATISTICS, n_permutations=n_permutations)
    means = table.groupby("statistic")[["null_median", "null_high"]].mean()
    return {statistic: rounded(means.loc[statistic]) for statistic in STATISTICS}


def prepared(network, name):
    return network.prepare(load_photos("imagenette", classes=name, n_per_class=N_IMAGES, at_least=N_IMAGES).images)


def of_class(model, images, k):
    return scores(model).predict(images, batch_size=25, verbose=0)[:, k].astype(float)


def recorded(model, images, names):
    return activations(model, images, names, batch_size=25)


def of_the_picture(images, y):
    """Return PCACE of the pictures, pooled to the sizes of the maps: what a score owes to no channel at all."""
    found = []
    for side in (112, 56, 28, 14, 7):
        pooled = keras.ops.convert_to_numpy(keras.ops.average_pool(images, 224 // side))
        colours = pooled.reshape(len(pooled), side, 3 * side, 1)
        fitted = pcace(colours, y, n_permutations=20, statistic=STATISTICS).set_index("statistic")
        held_out = pcace(colours, y, held_out=True)["pcace"].item()
        first, multiple = fitted.loc["first_absolute"], fitted.loc["multiple"]
        found.append(
            {
                "size": side,
                "multiple": round(multiple["pcace"], 3),
                "first_absolute": round(first["pcace"], 3),
                "chance": rounded(multiple[["null_median", "null_high"]]),
                "held_out": round(held_out, 3),
            }
        )
    return found


def on_the_cam(maps, cams):
    """Return for each channel how much of its activation falls on the CAM region, and how alike over the images."""
    own, others = strongest(cams, 10), strongest(np.roll(cams, 1, axis=0), 10)
    share = np.concatenate([concentration(maps[part], own[part]) for part in batches()])
    elsewhere = np.concatenate([concentration(maps[part], others[part]) for part in batches()])
    of_channel = np.nanmean(share, axis=0)
    return {
        "own": rounded(of_channel),
        "others": rounded(np.nanmean(elsewhere, axis=0)),
        "halves": [rounded(np.nanmean(share[part::2], axis=0)) for part in (0, 1)],
        "spread_in_channel": round(float(np.sqrt(np.nanmean(np.nanvar(share, axis=0)))), 3),
        "spread_of_channels": round(float(np.nanstd(of_channel)), 3),
    }


def batches():
    return [slice(start, start + 25) for start in range(0, N_IMAGES, 25)]


def rounded(values):
    return [None if np.isnan(value) else round(float(value), 3) for value in values]


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
