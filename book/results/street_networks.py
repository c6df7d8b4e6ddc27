"""Rank and look into three street networks of each of two worlds: trees clean the air, or do nothing (chapter 14).

Run by ``make results``, about half an hour on two cores; needs no data from elsewhere. The first network of each world
is the one that ships, the others are trained here. Writes ``street_networks.json`` beside it.
"""

import numpy as np
from sklearn.metrics import r2_score

from interp_helpers.data import street_scenes
from interp_helpers.data.scenes import EFFECTS
from interp_helpers.layers import activations
from interp_helpers.metrics import detector_auc
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run
from interp_helpers.pcace import rank_channels
from interp_helpers.regression import predict_without
from interp_helpers.train import RECIPES, train_network

LAYERS = ("relu1", "relu3", "relu5", "relu7")
OBJECTS = ("tree", "vehicle", "building", "sky", "road")
SEEDS = (0, 1, 2)
REMOVED, N_RANDOM = 8, 20


def main():
    networks = []
    for name, trees in (("street", EFFECTS["trees"]), ("street_bare", 0.0)):
        effects = EFFECTS | {"trees": trees}
        scenes = street_scenes(3000, seed=1, effects=effects)
        recipe = RECIPES[name]
        learned = recipe.examples(0).train
        for seed in SEEDS:
            model = train_network(recipe, *learned, seed, verbose=2) if seed else load_checkpoint(name)
            networks.append({"world": name, "seed": seed, **measured(model, scenes)})
    print(store_run(__file__, objects=OBJECTS, removed=REMOVED, networks=networks))


def measured(model, scenes):
    """Return R-squared, for each set of scenes and layer PCACE and AUC, and R-squared without channels."""
    predicted = model.predict(scenes.images, batch_size=100, verbose=0)[:, 0]
    worst = np.argsort(-np.minimum(predicted.argsort().argsort(), scenes.values.argsort().argsort()))[:300]
    sets = {"most polluted": worst, "all": np.arange(300)}
    rows, values = [], {}
    for which, chosen in sets.items():
        ranked = rank_channels(model, LAYERS, scenes.images[chosen], 0, n_permutations=20)
        held_out = rank_channels(model, LAYERS, scenes.images[chosen], 0, n_permutations=0, held_out=True)
        for layer in LAYERS:
            of_layer = ranked[ranked["layer"] == layer]
            maps = activations(model, scenes.images[chosen], layer)
            found = detector_auc(maps, {name: scenes.masks[name][chosen] for name in OBJECTS}, 20)
            values[which, layer] = of_layer["pcace"].to_numpy()
            rows.append(
                {
                    "set": which,
                    "layer": layer,
                    "pcace": rounded(of_layer["pcace"]),
                    "null_high": rounded(of_layer["null_high"]),
                    "held_out": rounded(held_out.loc[held_out["layer"] == layer, "pcace"]),
                    "auc": {name: rounded(found.loc[found["object"] == name, "auc"]) for name in OBJECTS},
                }
            )
    others = slice(300, 600)
    removal = {layer: without(model, layer, scenes.subset(others), values) for layer in ("relu1", "relu7")}
    return {"r_squared": r_squared(predicted, scenes.values), "rows": rows, "removal": removal}


def without(model, layer, scenes, values):
    """Return R-squared of the whole network, without the top channels of both rankings, and without random ones."""
    n = len(values["all", layer])
    tops = [tuple(np.argsort(-values[which, layer])[:REMOVED].tolist()) for which in ("all", "most polluted")]
    rng = np.random.default_rng(0)
    groups = [(), *tops, *(tuple(rng.permutation(n)[:REMOVED].tolist()) for _ in range(N_RANDOM))]
    reached = predict_without(model, layer, scenes.images, groups)[:, :, 0]
    whole, top, top_worst, *random = (r_squared(predicted, scenes.values) for predicted in reached)
    return {"whole": whole, "top": top, "top of the most polluted": top_worst, "random": random}


def r_squared(predicted, values):
    return round(float(r2_score(values, predicted)), 4)


def rounded(values):
    return [None if np.isnan(value) else round(float(value), 3) for value in values]


if __name__ == "__main__":
    main()
