"""Do channels that see the inside of the stroke come first for its width? Asked of five networks (chapter 14).

Run by ``make results``, about ten minutes on two cores; needs the full MNIST. The first network is the one that ships,
the others are trained here. Writes ``ink_networks.json`` beside it.
"""

from interp_helpers import regression, train
from interp_helpers.data import load_digits, stroke_shape
from interp_helpers.models import ink_cnn, load_checkpoint
from interp_helpers.notebook import store_run
from interp_helpers.pcace import rank_channels
from interp_helpers.reverse_channels import ink_zones

LAYER, VALUES = "relu2", ("width", "slant")
SEEDS = range(5)


def main():
    learned, digits = train.full_mnist().train, load_digits().subset(slice(0, 5000, 10))
    shape = stroke_shape(learned.images)[list(VALUES)].to_numpy()
    networks = []
    for seed in SEEDS:
        model = load_checkpoint("ink")
        if seed:
            model = regression.fit_regression(ink_cnn, learned.images, shape, *train.REGRESSION["ink"], seed, verbose=2)
        networks.append({"seed": seed, **measured(model, digits.images)})
    print(store_run(__file__, layer=LAYER, networks=networks))


def measured(model, images):
    """Return R-squared of both values, and for each channel where it looks and its PCACE for each value."""
    r_squared = regression.r_squared_of(model.predict(images, verbose=0), stroke_shape(images)[list(VALUES)].to_numpy())
    found = {"r_squared": rounded(r_squared), "outside": rounded(ink_zones(model, images, LAYER)["outside"])}
    for k, value in enumerate(VALUES):
        found[value] = rounded(rank_channels(model, LAYER, images, k, n_permutations=0)["pcace"])
    return found


def rounded(values):
    return [None if value != value else round(float(value), 4) for value in values]


if __name__ == "__main__":
    main()
