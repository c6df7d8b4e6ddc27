"""Run version 0.3.2 of the ace package, that of the tutorial's time, on what chapter 10 gives to today's.

Run by ``make results``, about two minutes; needs pip and a package index, and no data from elsewhere. Writes
``ace_032.json`` beside it. (ACE: alternating conditional expectations.)
"""

import io
import subprocess
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import scale

from interp_helpers.data import load_digits
from interp_helpers.layers import activations
from interp_helpers.models import load_checkpoint, logits_model
from interp_helpers.notebook import store_run

VERSION, CHANNEL, DIGIT = "0.3.2", 3, 2
FACTORS = (1, 1e-3, 1e-6, 1e-9, 1e-12, 1e-100, 1e-200)


def main():
    with tempfile.TemporaryDirectory() as folder:
        solver_class = old_solver(folder)
        digits, model = load_digits(), load_checkpoint("mnist_cnn")
        images = digits.images[digits.labels == DIGIT]
        pixels = activations(model, images, "relu1")[..., CHANNEL].reshape(len(images), -1).astype(float)
        score = logits_model(model).predict(images, verbose=0)[:, DIGIT].astype(float)
        varies = np.ptp(pixels, axis=0) > 0
        prepared = scale(pixels[:, varies])
        components = PCA(10, svd_solver="full").fit_transform(prepared)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((100, 2))
        y = x[:, 0] ** 2 + 0.1 * rng.standard_normal(100)
        path = store_run(
            __file__,
            ace=VERSION,
            raw=solve(solver_class, pixels, score),
            prepared=solve(solver_class, prepared, score),
            rounded=solve(solver_class, np.round(prepared * 2**16) / 2**16, score),  # sums are exact
            components=solve(solver_class, components, score),
            scaled={f"{factor:g}": solve(solver_class, factor * x, y) for factor in FACTORS},
        )
    print(path)


def old_solver(folder):
    """Install the old version into a folder, without what it depends on, and return its solver."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, f"ace=={VERSION}"]
    subprocess.run(pip, check=True)
    package = Path(folder) / "ace"
    (package / "__init__.py").write_text("")  # it asks setuptools for its version, in a way that is gone
    sys.path.insert(0, folder)
    from ace import ace

    assert Path(ace.__file__).parent == package
    return ace.ACESolver


def solve(solver_class, x, y):
    """Return what the tutorial's listing prints, what its text defines, R-squared, and what Python warned of."""
    solver = solver_class()
    solver.specify_data_set(list(np.ascontiguousarray(x.T)), y)
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        solver.solve()
    total, theta = np.sum(solver.x_transforms, axis=0), solver.y_transform
    with np.errstate(all="ignore"):
        numbers = {
            "first": np.corrcoef(solver.x_transforms[0], theta)[0, 1],
            "multiple": np.corrcoef(total, theta)[0, 1],
            "r_squared": 1 - np.mean((theta - total) ** 2),
        }
    known = {name: round(float(number), 4) if np.isfinite(number) else None for name, number in numbers.items()}
    return {**known, "warnings": sorted({str(warning.message) for warning in caught})}


if __name__ == "__main__":
    main()
