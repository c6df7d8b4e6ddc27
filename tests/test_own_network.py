"""What chapter 13 shows for a reader's own network is run: with Keras as it is printed, with PyTorch or a stand-in."""

import json
import re
import sys
from types import SimpleNamespace

import keras
import matplotlib as mpl
import numpy as np
import pandas as pd
from conftest import ROOT
from PIL import Image

from interp_helpers.pcace import pcace


def snippets():
    cells = json.loads((ROOT / "notebooks" / "13_imagenet.ipynb").read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.findall(r"```python\n(.*?)```", prose, re.S)


def test_there_are_two_snippets_one_for_each_framework():
    with_keras, with_torch = snippets()
    assert "load_photos" in with_keras
    assert len([line for line in with_keras.splitlines() if line.strip()]) <= 11
    assert "register_forward_hook" in with_torch


def test_a_folder_of_photographs_becomes_a_ranking_a_figure_and_a_table(tmp_path, monkeypatch):
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(6, 5, strides=4, activation="relu", name="my_layer"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    keras.Sequential([keras.Input((40, 40, 3)), *layers]).save("my_network.keras")
    folder = tmp_path / "my_photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(100):
        Image.fromarray(rng.integers(0, 256, (44, 52, 3), np.uint8)).save(folder / f"{number:03}.png")
    (folder / "notes.txt").write_text("not a photograph")
    exec(snippets()[0], {})
    table = pd.read_csv("ranking.csv")
    assert len(table) == 6
    assert table.loc[~table["dead"], "pcace"].between(0, 1).all()
    assert not table["dead"].all()
    with Image.open("ranking.png") as figure:
        assert min(figure.size) > 100


def test_maps_from_a_forward_hook_give_the_ranking_of_the_maps(monkeypatch):
    """The snippet against `pcace` on maps that we compute ourselves; channels first in PyTorch, last here."""
    rng = np.random.default_rng(1)
    pictures = rng.standard_normal((60, 4, 6, 6)).astype(np.float32)
    torch, layer, network = _of_torch(pictures)
    monkeypatch.setitem(sys.modules, "torch", torch)
    batches = [torch.tensor(pictures[:40]), torch.tensor(pictures[40:])]
    names = {"layer": layer, "network": network, "batches": batches, "target": 1}
    exec(snippets()[1], names)
    maps = np.maximum(pictures, 0)
    expected = pcace(maps.transpose(0, 2, 3, 1), maps.mean(axis=(2, 3))[:, 1], n_permutations=20)
    pd.testing.assert_frame_equal(names["table"], expected)
    count = len(names["maps"])
    network(batches[0])
    assert len(names["maps"]) == count  # the hook is gone


def _of_torch(pictures):
    """Return PyTorch, a layer (ReLU) and a network that averages its maps; or what behaves like them."""
    try:
        import torch
    except ImportError:
        return _stand_in()
    layer = torch.nn.ReLU()
    return torch, layer, torch.nn.Sequential(layer, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


class _Tensor:
    """The part of PyTorch's tensor that the snippet uses, on a NumPy array."""

    def __init__(self, array):
        self.array = np.asarray(array)

    def __getitem__(self, place):
        return _Tensor(self.array[place])

    def permute(self, *axes):
        return _Tensor(self.array.transpose(axes))

    def numpy(self):
        return self.array

    def detach(self):
        return self

    cpu = detach


class _Layer:
    """A layer that calls its hooks with (module, inputs, output), as PyTorch does."""

    def __init__(self):
        self.hooks = []

    def register_forward_hook(self, hook):
        self.hooks.append(hook)
        return SimpleNamespace(remove=lambda: self.hooks.remove(hook))

    def __call__(self, x):
        out = _Tensor(np.maximum(x.array, 0))
        for hook in self.hooks:
            hook(self, (x,), out)
        return out


class _NoGrad:
    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


def _stand_in():
    layer = _Layer()
    cat = lambda tensors: _Tensor(np.concatenate([tensor.array for tensor in tensors]))  # noqa: E731
    torch = SimpleNamespace(no_grad=_NoGrad, cat=cat, tensor=_Tensor)
    return torch, layer, lambda batch: _Tensor(layer(batch).array.mean(axis=(2, 3)))
