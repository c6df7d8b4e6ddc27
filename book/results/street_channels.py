"""Rank the channels of the street network on polluted and on all scenes, and hold them against what is drawn.

Also of the network that reads width and slant off digits (``ink``). Run by ``make results``, about five minutes in one
thread; needs no data from elsewhere. Writes ``street_channels.json`` beside it.
"""

import keras
import numpy as np
from sklearn.metrics import r2_score

from interp_helpers.attribution import class_activation_map
from interp_helpers.data import load_digits, street_scenes, stroke_shape
from interp_helpers.layers import activations
from interp_helpers.metrics import detector_auc
from interp_helpers.models import load_checkpoint, street_resnet
from interp_helpers.notebook import store_run
from interp_helpers.pcace import pcace, rank_channels
from interp_helpers.reverse_channels import ink_zones

LAYERS = ("relu1", "relu3", "relu5", "relu7")
OBJECTS = ("tree", "vehicle", "building", "sky", "road")
STATISTICS = ("multiple", "first_absolute")


def main():
    model, streets = load_checkpoint("street"), street_scenes(3000, seed=1)
    predicted = model.predict(streets.images, verbose=0)[:, 0]
    place = np.stack([predicted, streets.values]).argsort().argsort()
    highest = np.argsort(-place.min(axis=0))  # by both
    sets = {"most polluted": highest[:300], "all": np.arange(300)}
    later = {"most polluted": highest[300:600], "all": np.arange(300, 600)}
    found = {"network": of_network(streets, predicted, sets), "sets": {}}
    for which, chosen in sets.items():
        found["sets"][which] = of_set(model, streets.subset(chosen), later[which], streets)
        print(which, flush=True)
    found["on 600"] = values(model, LAYERS, streets.images[:600])
    found["next 600"] = values(model, ("relu1",), streets.images[600:1200])
    wide = {"most polluted": sets["most polluted"], "all": np.arange(600)}
    found["perfect"] = {which: perfect(streets.subset(chosen), predicted[chosen]) for which, chosen in wide.items()}
    found["untrained"] = untrained(streets, predicted)
    found["borders"] = borders(model, streets.images[:100])
    found["removal"] = removal(model, streets.subset(slice(600, 900)), found)
    print(store_run(__file__, objects=OBJECTS, ink=of_ink(), **found))


def of_network(streets, predicted, sets):
    """Return how good the network is, and how its predictions go with the causes."""
    causes = streets.causes[["vehicles", "canyon", "trees"]]
    drawn = np.random.default_rng(0).integers(0, len(predicted), (1000, len(predicted)))
    resampled = [r2_score(streets.values[d], predicted[d]) for d in drawn]
    return {
        "r_squared": number(r2_score(streets.values, predicted)),
        "interval": rounded(np.quantile(resampled, [0.025, 0.975])),
        "possible": number(r2_score(streets.values, streets.causes["expected"])),
        "sets": {
            which: {
                "sd": number(predicted[chosen].std()),
                "lowest": number(min(predicted[chosen].min(), streets.values[chosen].min())),
                "r": number(np.corrcoef(predicted[chosen], streets.values[chosen])[0, 1]),
                "n_trees": number(causes["trees"].iloc[chosen].mean()),
                "causes": {k: number(np.corrcoef(predicted[chosen], causes[k].iloc[chosen])[0, 1]) for k in causes},
            }
            for which, chosen in {**sets, "3,000": np.arange(len(predicted))}.items()
        },
    }


def of_set(model, scenes, later, streets):
    """Return values, chance and detector quality of the channels of four layers on some scenes."""
    table = rank_channels(model, LAYERS, scenes.images, 0, statistic=list(STATISTICS), n_permutations=30)
    held_out = values(model, LAYERS, scenes.images, held_out=True)
    again = values(model, LAYERS, streets.images[later])
    rows = {}
    for layer in LAYERS:
        of_layer = table[table["layer"] == layer].sort_values("channel")
        rows[layer] = {
            statistic: {k: rounded(part[k]) for k in ("pcace", "null_median", "p_value", "q_value")}
            for statistic, part in of_layer.groupby("statistic")
        }
        rows[layer] |= {"held_out": held_out[layer], "again": again[layer]}
        rows[layer]["detectors"] = detectors(activations(model, scenes.images, layer), scenes.masks)
    cams = class_activation_map(model, scenes.images, 0, upsample=False)[..., None]
    return {"layers": rows, "cam": detectors(cams, scenes.masks, 99)}


def values(model, layers, images, **options):
    table = rank_channels(model, layers, images, 0, n_permutations=0, **options).sort_values("channel")
    return {layer: rounded(rows["pcace"]) for layer, rows in table.groupby("layer")}


def detectors(maps, masks, n_permutations=0):
    """Return AUC, AUC of the place alone and strength of each channel for each object."""
    table = detector_auc(maps, {name: masks[name] for name in OBJECTS}, n_permutations).sort_values("channel")
    names = ["auc", "position", "strength"] + (["p_value"] if n_permutations else [])
    return {name: {k: rounded(rows[k]) for k in names} for name, rows in table.groupby("object")}


def perfect(scenes, predicted):
    """Return PCACE of the masks, in the resolution of the first layer, as if they were channels; and of the picture."""
    masks = np.stack([scenes.masks[name] for name in OBJECTS], axis=-1)
    cells = masks.reshape(len(masks), 32, 2, 48, 2, len(OBJECTS)).mean(axis=(2, 4))
    grey = scenes.images.mean(axis=3, keepdims=True)
    found = {}
    for names, maps in ((OBJECTS, cells), (("picture",), grey)):
        fitted, unseen = (
            pcace(maps, predicted, held_out=held).sort_values("channel")["pcace"] for held in (False, True)
        )
        found |= {k: rounded([a, b]) for k, a, b in zip(names, fitted, unseen, strict=True)}
    return found


def untrained(streets, predicted):
    target, few = predicted[:300].astype(float), streets.subset(slice(0, 100))
    found = []
    for seed in range(3):
        blank = street_resnet(seed)
        table = rank_channels(blank, ("relu1", "relu7"), streets.images[:300], target, n_permutations=0)
        trees = detector_auc(activations(blank, few.images, "relu1"), {"tree": few.masks["tree"]}, 0)["auc"]
        means = {layer: number(rows["pcace"].mean()) for layer, rows in table.groupby("layer")}
        found.append({**means, "tree": number(trees.max())})
    green = few.images[..., 1:2] - few.images[..., [0, 2]].mean(axis=-1, keepdims=True)
    of_green = detector_auc(green, {"tree": few.masks["tree"]}, 0)["auc"][0]
    return {"networks": found, "green": number(of_green)}


def borders(model, images):
    """Return in how many channels of the first layer one side is bright: padded with zeros, or with the last pixels."""
    kernel = model.get_layer("conv1").get_weights()[0]
    found = {}
    for name, mode in (("zeros", "constant"), ("edge", "edge")):
        framed = np.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)), mode=mode)
        outputs = model.get_layer("norm1")(keras.ops.conv(framed, kernel, strides=2, padding="valid"))
        frame = np.maximum(outputs, 0).mean(axis=0)
        sides = np.stack([frame[0], frame[-1]]).mean(axis=1).max(axis=0)
        ends = np.stack([frame[:, 0], frame[:, -1]]).mean(axis=1).max(axis=0)
        found[name] = int((np.maximum(sides, ends) > 2 * frame[2:-2, 2:-2].mean(axis=(0, 1))).sum())
    return found


def removal(model, others, found):
    """Return R-squared as channels of the last layer are replaced by their mean, in some orders and in random ones."""
    pooled = activations(model, others.images, "relu7").mean(axis=(1, 2))
    weight, bias = model.get_layer("value").get_weights()
    polluted, every = (found["sets"][which]["layers"]["relu7"] for which in ("most polluted", "all"))
    worth = {
        "PCACE, all": found["on 600"]["relu7"],
        "PCACE, most polluted": polluted["multiple"]["pcace"],
        "tree detection": every["detectors"]["tree"]["strength"],
        "contribution": np.abs(weight[:, 0]) * pooled.std(axis=0),
    }
    orders = {k: np.argsort(-np.nan_to_num(np.array(v, float))) for k, v in worth.items()}
    rng = np.random.default_rng(0)
    random = [rng.permutation(64) for _ in range(200)]
    steps = list(range(0, 65, 4))

    def left(order):
        kept = pooled.copy()
        curve = []
        for n in steps:
            kept[:, order[:n]] = pooled[:, order[:n]].mean(axis=0)
            curve.append(number(r2_score(others.values, (kept @ weight + bias)[:, 0])))
        return curve

    return {
        "steps": steps,
        "orders": {k: left(o) for k, o in orders.items()},
        "random": [left(o) for o in random],
    }


def of_ink():
    """Return for the second layer of the network ``ink`` where channels are active, and their values."""
    ink, digits = load_checkpoint("ink"), load_digits().subset(slice(0, 5000, 10))
    others = load_digits().subset(slice(5, 5000, 10)).images
    measured = stroke_shape(digits.images)[["width", "slant"]].to_numpy()
    guessed = ink.predict(digits.images, verbose=0)
    found = {"outside": rounded(ink_zones(ink, digits.images, "relu2")["outside"])}
    for k, name in enumerate(("width", "slant")):
        table = rank_channels(ink, "relu2", digits.images, k, n_permutations=20).sort_values("channel")
        again = rank_channels(ink, "relu2", others, k, n_permutations=0).sort_values("channel")
        first = rank_channels(ink, "relu1", digits.images, k, n_permutations=0)["pcace"]
        found[name] = {
            "r_squared": number(r2_score(measured[:, k], guessed[:, k])),
            "pcace": rounded(table["pcace"]),
            "null_high": number(table["null_high"].mean()),
            "again": rounded(again["pcace"]),
            "picture": number(pcace(digits.images, guessed[:, k])["pcace"][0]),
            "first layer": number(first.mean()),
        }
    return found


def number(value):
    return None if np.isnan(value) else round(float(value), 4)


def rounded(values):
    return [number(value) for value in values]


if __name__ == "__main__":
    main()
