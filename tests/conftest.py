"""What several tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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
