"""What several tests share, and how they share the machine."""

import os
import sys
from pathlib import Path

import keras
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import layers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "tools"))

if "PYTEST_XDIST_WORKER" in os.environ:  # before anything is imported that looks for threads
    import execute

    threads = max(1, execute.cores() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.update(dict.fromkeys(execute.ONE_THREAD, str(threads)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """``pytest -n auto``: as many workers as INTERP_JOBS says; one would be this process."""
    import execute

    return execute.jobs() if execute.jobs() > 1 else 0


def pytest_configure(config):
    if config.pluginmanager.hasplugin("nbval"):  # not where only the package is tested
        import replay

        config.pluginmanager.register(replay)


@pytest.fixture
def no_screen():
    """Figures are drawn without a screen, and closed after the test."""
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.fixture
def no_mnist(monkeypatch):
    """A newcomer's machine: no data folder, an empty Keras cache, and downloads that fail at once."""
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    monkeypatch.delenv("INTERP_FAST", raising=False)

    def fail(*arguments, **options):
        raise Exception("URL fetch failure on https://storage.googleapis.com/...: None -- no network")

    monkeypatch.setattr("keras.utils.get_file", fail)


@pytest.fixture(scope="session")
def mnist_as_found():
    """What load_mnist() finds on this machine: the full set, or the embedded digits."""
    from interp_helpers.data import load_mnist

    return load_mnist(leave_out_digits=True)


# --- a network with known answers: one channel alone feeds class 3, one is dead, one is only a bias ------------------

N_CLASSES = 5
ONLY_BIAS, DEAD, FEEDS_0, FEEDS_3 = range(4)


@pytest.fixture
def planted():
    """Bias 0.5 alone feeds class 1 and 2; minus the pixel is never positive; the pixel feeds 0; twice the pixel, 3."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(4, 1, name="conv"),
            layers.ReLU(name="relu"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(N_CLASSES, name="logits"),
            layers.Softmax(name="probabilities"),
        ]
    )
    kernel = np.array([0, -1, 1, 2], np.float32).reshape(1, 1, 1, 4)
    model.get_layer("conv").set_weights([kernel, np.array([0.5, 0, 0, 0], np.float32)])
    feeds = np.zeros((4, N_CLASSES), np.float32)
    feeds[ONLY_BIAS, 1], feeds[ONLY_BIAS, 2], feeds[DEAD, 4], feeds[FEEDS_0, 0], feeds[FEEDS_3, 3] = 6, -2, 9, 1, 3
    model.get_layer("logits").set_weights([feeds, np.zeros(N_CLASSES, np.float32)])
    return model


@pytest.fixture
def pixels():
    return np.random.default_rng(0).random((6, 4, 4, 1)).astype(np.float32)


@pytest.fixture
def unchanged(planted):
    """Check at the end that the planted network is what it was, bit by bit."""
    before = planted.get_weights()
    yield
    assert all(np.array_equal(a, b) for a, b in zip(before, planted.get_weights(), strict=True))
    assert all("call" not in layer.__dict__ for layer in planted.layers)
