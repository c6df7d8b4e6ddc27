"""What several tests share, and how they share the machine."""

import os
import sys
from pathlib import Path

import pytest

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
