"""Rank all channels of EfficientNet-Lite0 by PCACE on 300 ImageNet photographs of churches, and some for other classes.

Run by ``make results``, about half an hour on two cores and 8 GB; needs Imagenette. Writes ``imagenet_channels.json``.
"""

import sys

import joblib
import keras
import numpy as np

from interp_helpers.ace import ace_many
from interp_helpers.attribution import class_activation_map
from interp_helpers.data import load_photos
from interp_helpers.engine.hooks import batches, memory_passes
from interp_helpers.layers import activations
from interp_helpers.metrics import inside_ratio, top_k_mask
from interp_helpers.models import efficientnet_lite0, load_network, logits_model
from interp_helpers.notebook import store_run
from interp_helpers.pcace import components, pcace

STATISTICS = ["multiple", "first_absolute"]
OTHER_CLASSES = ("English springer", "parachute")
N_IMAGES = 300
BATCHES = batches(N_IMAGES, 25)
N_PERMUTATIONS = 20
N_HALF = 64  # channels of a layer with half as many components: each takes as long as ten with ten
MEMORY = 2.5  # gigabytes of activations held at once
ENDINGS = ("stem_relu", "expand_relu", "depthwise_relu", "project_norm", "head_relu")  # behind each convolution
FEW = ("stem_relu", *(f"block{number}_project_norm" for number in (1, 3, 5, 7, 9, 11, 13, 15, 16)))


def main():
    network = load_network("efficientnet_lite0")
    model = network.model
    names = [layer.name for layer in model.layers if layer.name.endswith(ENDINGS)]
    few = [name for name in names if name in FEW]
    churches, church = prepared(network, "church"), network.index("church")
    cams = np.concatenate([class_activation_map(model, churches[part], church, upsample=False) for part in BATCHES])
    y = cams.mean(axis=(1, 2)).astype(float) + float(model.get_layer("logits").bias[church])  # which is the score
    results = {"images": N_IMAGES, "components": 10, "permutations": N_PERMUTATIONS, "seed": 0}
    results |= {"picture": of_the_picture(churches, y), "layers": [], "split": []}
    for name, maps in recorded(model, churches, names):
        found = {"layer": name, **fitted(maps, y), "held_out": unseen(maps, y), "half": half(maps, y)}
        results["layers"].append(found | {"cam": on_the_cam(maps, cams)})
        if name in few:
            results["split"].append({"layer": name, **split(maps, y)})
        print(name, np.nanmax(np.array(found["held_out"]["values"], float)), flush=True)
    results["untrained"] = [
        {"layer": name, **fitted(maps, y), "held_out": unseen(maps, y)}
        for name, maps in recorded(efficientnet_lite0(), churches, few)
    ]
    results["classes"] = {name: of_another_class(network, name, few) for name in OTHER_CLASSES}
    print(store_run(__file__, **results))


def fitted(maps, y):
    """Return, for ten components, values and chance of each channel, and of the layer as a whole.

    As `pcace` with permutations, which keeps the quantiles of each channel only. The permutations are the same for all
    channels and layers, so whatever is read off a layer, or off all, can be read off the permuted scores as well.
    """
    rng = np.random.default_rng(0)
    ys = np.stack([y, *(rng.permutation(y) for _ in range(N_PERMUTATIONS))])
    blocks = np.array_split(np.arange(maps.shape[-1]), 8)
    x = joblib.Parallel(2, prefer="threads")(joblib.delayed(components)(maps[..., block], 10) for block in blocks)
    found = ace_many(np.concatenate(x), ys)
    return {"multiple": with_chance(found.multiple), "first_absolute": with_chance(np.abs(found.first))}


def with_chance(values):
    """Return what is stored of values (channels, 1 + permutations)."""
    null = values[:, 1:]
    level = np.nanmedian(null, axis=1)
    beyond = values - np.nanmedian(values, axis=1, keepdims=True)  # a level that favours neither scores nor permuted
    high = np.nanquantile(null, 0.95, axis=1, method="weibull")
    return {
        "values": rounded(values[:, 0]),
        "level": rounded(level),
        "reached": [int(n) for n in (~(null < values[:, :1])).sum(axis=1)],  # permutations that reach the value
        "band": rounded([np.nanmean(level), np.nanmean(high)]),
        "highest_beyond": rounded(np.nanmax(beyond, axis=0)),
        "median_beyond": rounded(np.nanmedian(beyond, axis=0)),
    }


def unseen(maps, y):
    """Return values on photographs that the transforms have not seen, and the same for scores permuted once."""
    table = pcace(maps, y, held_out=True, n_permutations=1).sort_values("channel")
    permuted = table["null_median"]
    return {
        "values": rounded(table["pcace"]),
        "permuted_highest": round(permuted.max(), 3),
        "permuted_sd": round(permuted.std(), 3),
        "permuted_median": round(permuted.median(), 3),
    }


def half(maps, y):
    """Return values with half as many components as images or places, and their chance band, of some channels."""
    n = maps.shape[-1]
    chosen = np.unique(np.linspace(0, n - 1, min(n, N_HALF)).astype(int))
    found = values(pcace(maps[..., chosen], y, "half", STATISTICS))
    rng = np.random.default_rng(0)
    some = maps[..., chosen[:: len(chosen) // 4][:4]]
    permuted = [values(pcace(some, rng.permutation(y), "half", STATISTICS)) for _ in range(10)]
    band = {
        statistic: rounded(np.nanquantile(np.array([null[statistic] for null in permuted], float), [0.5, 0.95]))
        for statistic in STATISTICS
    }
    return {"channels": chosen.tolist(), "band": band, **found}


def split(maps, y):
    """Return the values of two halves of the photographs, fitted and held out."""
    halves = [(maps[part::2], y[part::2]) for part in (0, 1)]
    both = [values(pcace(*half, statistic=STATISTICS)) for half in halves]
    held_out = [values(pcace(*half, held_out=True))["multiple"] for half in halves]
    return {statistic: [half[statistic] for half in both] for statistic in STATISTICS} | {"held_out": held_out}


def of_another_class(network, name, names):
    images, k = prepared(network, name), network.index(name)
    y = logits_model(network.model).predict(images, batch_size=25, verbose=0)[:, k].astype(float)
    return [
        {"layer": layer} | values(pcace(maps, y, statistic=STATISTICS))
        for layer, maps in recorded(network.model, images, names)
    ]


def on_the_cam(maps, cams):
    """Return for each channel how much of its activation falls on the CAM region, and how alike over the images."""
    own, others = top_k_mask(cams, 10), top_k_mask(np.roll(cams, 1, axis=0), 10)
    share = np.concatenate([inside_ratio(maps[part], own[part]) for part in BATCHES])
    elsewhere = np.concatenate([inside_ratio(maps[part], others[part]) for part in BATCHES])
    of_channel = np.nanmean(share, axis=0)
    return {
        "own": rounded(of_channel),
        "others": round(float(np.nanmean(elsewhere)), 3),
        "active": rounded(np.isfinite(share).mean(axis=0)),  # share of the photographs with any activation
        "halves": [rounded(np.nanmean(share[part::2], axis=0)) for part in (0, 1)],
        "spread_in_channel": round(float(np.sqrt(np.nanmean(np.nanvar(share, axis=0)))), 3),
        "spread_of_channels": round(float(np.nanstd(of_channel)), 3),
    }


def of_the_picture(images, y):
    """Return PCACE of the pictures, pooled to the sizes of the maps: what a score owes to no channel at all."""
    found = []
    for side in (112, 56, 28, 14, 7):
        pooled = keras.ops.convert_to_numpy(keras.ops.average_pool(images, 224 // side))
        colours = pooled.reshape(len(pooled), side, 3 * side, 1)  # side by side
        fitted = pcace(colours, y, n_permutations=N_PERMUTATIONS).iloc[0]
        found.append(
            {
                "size": side,
                "multiple": round(fitted["pcace"], 3),
                "chance": rounded(fitted[["null_median", "null_high"]]),
                "held_out": round(pcace(colours, y, held_out=True)["pcace"].item(), 3),
            }
        )
    return found


def recorded(model, images, names):
    """Yield the name and the maps of each layer; the network runs once for as many as fit into memory."""
    whole = {name: (np.prod(model.get_layer(name).output.shape[1:]), 1) for name in names}  # no layer is cut in two
    for part in memory_passes(whole, len(images), MEMORY):
        yield from activations(model, images, list(dict(part)), batch_size=25).items()


def prepared(network, name):
    return network.prepare(load_photos("imagenette", classes=name, n_per_class=N_IMAGES, at_least=N_IMAGES).images)


def values(table):
    """Return the values of a layer's channels, in order, for each statistic."""
    return {statistic: rounded(rows.sort_values("channel")["pcace"]) for statistic, rows in table.groupby("statistic")}


def rounded(values):
    return [None if np.isnan(value) else round(float(value), 3) for value in values]


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
