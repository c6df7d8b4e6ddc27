"""ResNet-18 and EfficientNet-Lite0 against PyTorch's; tests/oracles/README.md says how the arrays were made."""

import sys

import numpy as np
import pytest
from conftest import ROOT

from interp_helpers import convert, data, models
from interp_helpers.models import checkpoints

ORACLES = ROOT / "tests" / "oracles"
sys.path.insert(0, str(ORACLES))
import torch_recipe  # noqa: E402

GOLDEN = dict(np.load(ORACLES / "torch_networks.npz", allow_pickle=False))
BUILD = {"resnet18": models.resnet18, "efficientnet_lite0": models.efficientnet_lite0}
PIXELS = torch_recipe.images()


def arrays_by_rule(name):
    names, shapes = GOLDEN[f"{name}/names"], GOLDEN[f"{name}/shapes"]
    return torch_recipe.weights({str(n): tuple(map(int, s.split())) for n, s in zip(names, shapes, strict=True)})


def logits(model, inputs):
    return models.logits_model(model).predict(inputs.astype(np.float32), verbose=0)


def inputs_of(name):
    if name == "efficientnet_lite0":
        return (PIXELS * 255 - 127) / 128
    return (PIXELS - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])


@pytest.mark.parametrize("name", BUILD)
def test_the_same_weights_give_the_same_logits(name):
    """Random weights that both sides make by rule: 1e-4, where the logits reach 12 and more."""
    model = BUILD[name]()
    models.set_torch_weights(model, arrays_by_rule(name))
    expected = GOLDEN[f"{name}/by_rule"]
    assert np.abs(expected).max() > 10
    np.testing.assert_allclose(logits(model, inputs_of(name)), expected, rtol=0, atol=1e-4)


def test_the_shipped_network_is_the_original():
    """To 1e-4 the original with its weights rounded to half precision; and that is close to the original."""
    network = models.load_network("efficientnet_lite0")
    found = logits(network.model, network.prepare(PIXELS))
    np.testing.assert_allclose(found, GOLDEN["efficientnet_lite0/rounded"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(found, GOLDEN["efficientnet_lite0/trained"], rtol=0, atol=0.05)
    assert np.array_equal(found.argmax(axis=1), GOLDEN["efficientnet_lite0/trained"].argmax(axis=1))


@pytest.mark.parametrize("name", BUILD)
def test_exchanged_layers_are_noticed(name):
    """Two layers whose shapes agree, changed for one another."""
    model, arrays = BUILD[name](), arrays_by_rule(name)
    one, other = {
        "resnet18": ("layer1.0.conv1.weight", "layer1.1.conv1.weight"),
        "efficientnet_lite0": ("_blocks.9._depthwise_conv.weight", "_blocks.10._depthwise_conv.weight"),
    }[name]
    arrays[one], arrays[other] = arrays[other], arrays[one]
    models.set_torch_weights(model, arrays)
    assert np.abs(logits(model, inputs_of(name)) - GOLDEN[f"{name}/by_rule"]).max() > 0.01


def test_conversion_saves_the_network_and_its_card(monkeypatch, tmp_path):
    """With the weights by rule: what is saved are those, rounded."""
    monkeypatch.setattr(checkpoints, "_repack", lambda path: None)  # compressing takes half a minute
    photos = data.Photographs(PIXELS, np.arange(4), "made here", tuple("abcd"))
    monkeypatch.setattr(data, "load_photos", lambda *arguments, **options: photos)
    monkeypatch.setattr(convert, "_published_weights", lambda: arrays_by_rule("efficientnet_lite0"))
    card = convert.release(tmp_path)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path)
    network = models.load_network("efficientnet_lite0")  # checks the sha256
    found = logits(network.model, network.prepare(PIXELS))
    expected = models.efficientnet_lite0()
    rounded = {k: v.astype(np.float16).astype(np.float32) for k, v in arrays_by_rule("efficientnet_lite0").items()}
    models.set_torch_weights(expected, rounded)
    np.testing.assert_allclose(found, logits(expected, inputs_of("efficientnet_lite0")), atol=1e-4)
    assert card["data"]["test_images"] == 4
    assert card["rounding"]["same_answer"] == 1
