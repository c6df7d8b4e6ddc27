"""Do channels that see the inside of the stroke come first for its width? Asked of five networks (chapter 14).

Run by ``make results``, about ten minutes on two cores; needs the full MNIST. The first network is the one that ships,
the others are trained here. Writes ``ink_networks.json`` beside it.
"""

from sklearn.metrics import r2_score

from interp_helpers.data import load_digits, stroke_shape
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run
from interp_helpers.pcace import rank_channels
from interp_helpers.reverse_channels import ink_zones
from interp_helpers.train import RECIPES, train_network

LAYER, VALUES = "relu2", ("width", "slant")
SEEDS = range(5)


def main():
    recipe, digits, networks = RECIPES["ink"], load_digits().subset(slice(0, 5000, 10)), []
    examples = recipe.examples(0)
    for seed in SEEDS:
        model = train_network(recipe, *examples.train, seed, verbose=2) if seed else load_checkpoint("ink")
        networks.append({"seed": seed, **measured(model, digits.images)})
    print(store_run(__file__, layer=LAYER, networks=networks))


def measured(model, images):
    """Return R-squared of both values, and for each channel where it looks and its PCACE for each value."""
    true = stroke_shape(images)[list(VALUES)]
    r_squared = r2_score(true, model.predict(images, verbose=0), multioutput="raw_values")
    found = {"r_squared": rounded(r_squared), "outside": rounded(ink_zones(model, images, LAYER)["outside"])}
    for k, value in enumerate(VALUES):
        found[value] = rounded(rank_channels(model, LAYER, images, k, n_permutations=0)["pcace"])
    return found


def rounded(values):
    return [None if value != value else round(float(value), 4) for value in values]


if __name__ == "__main__":
    main()
