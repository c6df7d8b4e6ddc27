"""Solve ACE with as many predictors as a map has places, and compare ACE with other measures of dependence.

Run by ``make results``, about three minutes; needs no data from elsewhere. Writes ``ace_checks.json`` beside it. (ACE:
alternating conditional expectations.)
"""

from contextlib import redirect_stdout
from io import StringIO
from time import process_time

import numpy as np
from ace.ace import ACESolver
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.feature_selection import mutual_info_regression
from sklearn.preprocessing import scale

from interp_helpers.ace import ace_many
from interp_helpers.data import load_digits
from interp_helpers.layers import activations
from interp_helpers.metrics import randomize_layers
from interp_helpers.models import load_checkpoint, logits_model
from interp_helpers.notebook import store_run

CHANNEL, DIGIT, FEW = 3, 2, 100
BASS, BASSES, N_SAMPLES, N_POINTS = (0, 5), (0, 2.5, 5, 7.5, 10), 200, 100
MEASURES = {
    "Pearson": lambda x, y: abs(np.corrcoef(x, y)[0, 1]),
    "Spearman": lambda x, y: abs(spearmanr(x, y)[0]),
    "distance correlation": lambda x, y: np.sqrt(max(alike(distances(x), distances(y)), 0)),
    "HSIC, width 1/5": lambda x, y: hsic(x, y, 0.2),
    "HSIC, width 1": lambda x, y: hsic(x, y, 1),
    "mutual information": lambda x, y: mutual_info_regression(x[:, None], y, random_state=0)[0],
}


def main():
    digits, model = load_digits(), load_checkpoint("mnist_cnn")
    images = digits.images[digits.labels == DIGIT]
    score = logits_model(model).predict(images, verbose=0)[:, DIGIT].astype(float)
    pixels = activations(model, images, "relu1")[..., CHANNEL].reshape(len(images), -1).astype(float)
    prepared = scale(pixels[:, np.ptp(pixels, axis=0) > 0])
    shuffled = np.random.default_rng(0).permutation(score)
    path = store_run(
        __file__,
        n_places=pixels.shape[1],
        raw=package(pixels, score),
        few={
            "images": FEW,
            "true": package(prepared[:FEW], score[:FEW])["multiple"],
            "shuffled": package(prepared[:FEW], shuffled[:FEW])["multiple"],
        },
        behind=weights_behind(model, images, PCA(10, svd_solver="full").fit_transform(prepared)),
        **against_others(),
    )
    print(path)


def package(x, y):
    """Run one pass of the ace package; return its correlations with theta, and how long the processor took."""
    solver = ACESolver(maxit=1)
    solver.specify_data_set(list(np.ascontiguousarray(x.T)), y)
    start = process_time()
    with redirect_stdout(StringIO()), np.errstate(all="ignore"):
        solver.solve()
        seconds = process_time() - start
        theta, phi = solver.y_transform, np.array(solver.x_transforms)
        each = [None if np.ptp(p) == 0 else round(np.corrcoef(p, theta)[0, 1], 4) for p in phi]
        multiple = np.corrcoef(phi.sum(axis=0), theta)[0, 1]
    finite = bool(np.isfinite(phi).all())
    return {"multiple": round(multiple, 7), "each": each, "finite": finite, "seconds": round(seconds, 1)}


def weights_behind(model, images, components):
    """Return the multiple correlations of the maps with scores of networks with shuffled weights behind them."""
    layers = ["conv2", "dense1", "logits"]
    networks = [logits_model(randomize_layers(model, layers, seed)) for seed in range(5)]
    responses = np.stack([network.predict(images, verbose=0)[:, DIGIT] for network in networks]).astype(float)
    return {str(bass): ace_many(components[None], responses, bass=bass).multiple[0].round(4).tolist() for bass in BASS}


def against_others():
    """Return how often each measure sees each relation, what ACE gives on average, and how that depends on the bass."""
    rng = np.random.default_rng(10)
    samples = [cases(N_POINTS, rng) for _ in range(N_SAMPLES)]
    orders = np.array([rng.permutation(N_POINTS) for _ in range(N_SAMPLES)])
    seen, means, by_bass = {}, {}, {}
    for name in samples[0]:
        xs, ys = (np.stack([sample[name][i] for sample in samples]) for i in (0, 1))
        both = np.stack([ys, np.take_along_axis(ys, orders, 1)], axis=1)
        values = {
            measure: np.array([[function(x, y) for y in pair] for x, pair in zip(xs, both, strict=True)])
            for measure, function in MEASURES.items()
        }
        values |= {f"ACE, bass {bass:g}": ace_many(xs[..., None], both, bass=bass).multiple for bass in BASSES}
        shares = {key: share_seen(v) for key, v in values.items()}
        by_bass[name] = {f"{bass:g}": shares[f"ACE, bass {bass:g}"] for bass in BASSES}
        seen[name] = {key: shares[key] for key in [*MEASURES, *(f"ACE, bass {bass}" for bass in BASS)]}
        means[name] = {str(bass): values[f"ACE, bass {bass}"].mean(axis=0).round(4).tolist() for bass in BASS}
    return {"samples": N_SAMPLES, "points": N_POINTS, "seen": seen, "means": means, "bass": by_bass}


def share_seen(values):
    """Return the share of samples whose own value exceeds 95 % of those with y shuffled; values (samples, 2)."""
    return round(float(np.mean(values[:, 0] > np.quantile(values[:, 1], 0.95))), 4)


def cases(n, rng):
    """Six relations of two variables, by name."""
    x, e, f = rng.uniform(-1, 1, n), *rng.standard_normal((2, n))
    angle = rng.uniform(0, 2 * np.pi, n)
    return {
        "linear": (x, x + 1.5 * e),
        "square": (x, x**2 + 0.5 * e),
        "sine": (x, np.sin(3 * np.pi * x) + 1.2 * e),
        "ring": (np.cos(angle) + 0.3 * f, np.sin(angle) + 0.3 * e),
        "spread": (x, x * e),
        "none": (x, e),
    }


def distances(x):
    return np.abs(x[:, None] - x)


def alike(a, b):
    """Correlation of two matrices with rows and columns centred."""
    a, b = (m - m.mean(0) - m.mean(1)[:, None] + m.mean() for m in (a, b))
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def hsic(x, y, width=1):
    """Return the Hilbert-Schmidt independence criterion, normalized; the width is in median distances."""
    a, b = (distances(v) / (width * np.median(distances(v))) for v in (x, y))
    return alike(np.exp(-(a**2) / 2), np.exp(-(b**2) / 2))


if __name__ == "__main__":
    main()
