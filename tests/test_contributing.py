"""The examples of CONTRIBUTING.md run as they stand, and compute what they say."""

import re

import keras
import numpy as np
import pytest
from conftest import ROOT
from sklearn.feature_selection import f_classif

from interp_helpers.data import load_digits
from interp_helpers.models import load_checkpoint

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
METHOD, USE, SHORTER = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


@pytest.fixture(scope="module")
def page():
    """All code of the page, run from top to bottom."""
    names = {}
    for block in (METHOD, USE, SHORTER):
        exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    return names


def test_twenty_lines_are_twenty():
    assert len([line for line in METHOD.splitlines() if line.strip()]) <= 20


def test_the_ranking_agrees_with_an_analysis_of_variance(page):
    """Another way to the activations, and to the shares: the F statistic of scikit-learn."""
    digits, model, table = load_digits().subset(slice(0, 5000, 10)), load_checkpoint("mnist_cnn"), page["table"]
    inner = keras.Model(model.inputs, model.get_layer("relu1").output)
    means = inner.predict(digits.images, verbose=0).mean(axis=(1, 2), dtype=float)

    def shares(labels):
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = f_classif(means, labels)[0] * 9 / (len(labels) - 10)
        return ratio / (1 + ratio)

    rng = np.random.default_rng(0)
    null = np.array([shares(rng.permutation(digits.labels)) for _ in range(200)])
    alive = means.std(axis=0) > 1e-6
    assert alive.sum() > 20
    assert table["channel"].tolist() == list(range(32))
    np.testing.assert_allclose(table["share"][alive], shares(digits.labels)[alive], rtol=1e-4)
    np.testing.assert_allclose(table["null_median"][alive], np.median(null, axis=0)[alive], rtol=1e-3)
    p_value = (1 + (null >= shares(digits.labels)).sum(axis=0)) / 201
    np.testing.assert_allclose(table["p_value"][alive], p_value[alive], atol=0.011)


def planted():
    """A network of three channels: the class, noise, and nothing; and its images."""
    labels = np.arange(40) % 2
    pixels = np.stack([labels, np.random.default_rng(1).random(40), np.zeros(40)], axis=-1)
    images = np.broadcast_to(pixels[:, None, None], (40, 4, 4, 3)).astype(np.float32)
    layers = [keras.layers.Identity(name="maps"), keras.layers.Flatten(), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((4, 4, 3)), *layers]), images, labels


def test_the_ranking_finds_a_planted_channel(page):
    model, images, labels = planted()
    table = page["class_share"](model, "maps", images, labels)
    np.testing.assert_allclose(table["share"][:2], [1, np.corrcoef(images[:, 0, 0, 1], labels)[0, 1] ** 2], rtol=1e-4)
    assert table["null_median"][:2].max() < 0.05
    assert table["p_value"][0] == 1 / 201
    assert table["share"].isna().tolist() == [False, False, True]


def test_bad_input_is_refused_as_the_page_says(page):
    (examples,) = re.findall(r"^```text\n(layer: .*?)^```", TEXT, re.M | re.S)
    digits, model = load_digits().subset(slice(0, 5000, 1000)), load_checkpoint("mnist_cnn")
    for sentence, changed in zip(examples.splitlines(), [{"layer": "dense1"}, {"n_permutations": 0}], strict=True):
        call = {"layer": "relu1", "images": digits.images, "labels": digits.labels} | changed
        with pytest.raises(ValueError, match=rf"^{re.escape(sentence)}$"):
            page["class_share"](model, **call)
    with pytest.raises(ValueError, match=r"^labels: "):
        page["class_share"](model, "relu1", digits.images, digits.labels[:3])


def test_of_a_linear_model_gradient_times_input_adds_up_to_the_logit(page):
    model, images, _ = planted()
    kernel, bias = model.layers[-1].get_weights()
    parts = page["gradient_times_input"](model, images, target=1)
    np.testing.assert_allclose(parts.reshape(40, -1), images.reshape(40, -1) * kernel[:, 1], rtol=1e-5, atol=1e-7)
    logits = model.predict(images, verbose=0)[:, 1]
    np.testing.assert_allclose(parts.sum(axis=(1, 2, 3)) + bias[1], logits, rtol=1e-4, atol=1e-5)


def test_what_the_table_names_is_in_the_engine():
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| `(engine\.\w+)` \|$", TEXT, re.M)
    assert len(rows) >= 7
    for names, module in rows:
        text = (ROOT / "interp_helpers" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)", names):
            assert f"\ndef {name}(" in text, f"{module}.{name}"


@pytest.mark.parametrize("page_with_link", ["README.md", "book/api.md"])
def test_the_page_is_linked(page_with_link):
    assert "CONTRIBUTING.md)" in (ROOT / page_with_link).read_text(encoding="utf-8")
