"""Our maps against those of keras-vis, tf-keras-vis and xplique; tests/oracles/README.md says how theirs were made."""

import sys

import numpy as np
import pytest
from conftest import ROOT

from interp_helpers.attribution import grad_cam, saliency
from interp_helpers.engine.gradients import map_gradients
from interp_helpers.feature_vis import maximize
from interp_helpers.models import load_checkpoint

ORACLES = ROOT / "tests" / "oracles"
sys.path.insert(0, str(ORACLES))
import networks  # noqa: E402

LIBRARIES = ("keras_vis_041", "tf_keras_vis_087", "xplique_golden")
GOLDEN = {name: dict(np.load(ORACLES / f"{name}.npz", allow_pickle=False)) for name in ("inputs", *LIBRARIES)}
# their names of the modifiers, and ours; the *_override arrays of keras-vis leave the linear layers alone, as we do
OURS = {
    "none": None,
    "guided": "guided",
    "relu": "deconvnet",
    "guided_override": "guided",
    "relu_override": "deconvnet",
}
MODELS = {name: networks.build(name) for name in networks.CLASSES}


def cases(library, kind):
    """Return the keys <network>/<kind>/<modifier>/image<i>/class<k> of a golden file, taken apart."""
    keys = [key.split("/") for key in GOLDEN[library]]
    return [tuple(key) for key in keys if len(key) == 5 + kind.count("/") and "/".join(key[1:-3]) == kind]


def golden(library, *parts):
    return GOLDEN[library]["/".join(parts)]


def agree(found, expected):
    """1e-5 of the largest value of the map; a blank one must be blank."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(), 1e-6))


def one_image(network, image):
    return GOLDEN["inputs"][f"{network}/images"][int(image[5:])][None]


def test_the_arrays_belong_to_the_shipped_network():
    images = GOLDEN["inputs"]["digits/images"]
    for library in LIBRARIES:
        agree(MODELS["digits"].predict(images, verbose=0), GOLDEN[library]["digits/logits/none"])
    shipped = load_checkpoint("mnist_cnn")
    assert np.array_equal(saliency(shipped, images, 3), saliency(MODELS["digits"], images, 3))


@pytest.mark.parametrize("library", LIBRARIES)
def test_saliency(library):
    found = cases(library, "saliency")
    compared = 0
    for network, kind, modifier, image, k in found:
        if library == "keras_vis_041" and modifier in ("guided", "relu"):
            continue  # what keras-vis itself does with a modifier: test_keras_vis.py
        ours = saliency(MODELS[network], one_image(network, image), int(k[5:]), rule=OURS[modifier])
        agree(ours[0], golden(library, network, kind, modifier, image, k))
        compared += 1
    assert compared >= 2 * 3 * 2 * 4


def test_the_gradients_of_grad_cam():
    layers = {"digits": "pool", "colour": "conv3", "residual": "conv3"}
    found = cases("keras_vis_041", "cam/gradient")
    for network, *_, modifier, image, k in found:
        if modifier != "none":
            continue
        images = one_image(network, image)
        maps, gradients = map_gradients(MODELS[network], images, int(k[5:]), layers[network])
        agree(gradients[0], golden("keras_vis_041", network, "cam/gradient", modifier, image, k))
        agree(maps[0], golden("keras_vis_041", network, "cam/output", modifier, image))
    assert found


@pytest.mark.filterwarnings("ignore:the map of image")
@pytest.mark.parametrize("library", LIBRARIES)
def test_grad_cam(library):
    compared = 0
    for network in MODELS:
        layer = networks.CAM_LAYERS[network]
        for *parts, image, k in cases(library, f"cam_{layer}/heatmap"):
            modifier = parts[-1]
            if parts[0] != network or (library == "keras_vis_041" and modifier in ("guided", "relu")):
                continue
            expected = golden(library, *parts, image, k)
            ours = grad_cam(
                MODELS[network],
                one_image(network, image),
                int(k[5:]),
                layer,
                rule=OURS[modifier],
                upsample=False,
            )[0]
            if library == "keras_vis_041" and ours.max() > 0:  # keras-vis divides by the largest gradient
                ours = ours * expected.max() / ours.max()
            agree(ours, expected)
            compared += 1
    assert compared >= 3 * 2 * 4


def test_breaking_a_rule_is_noticed():
    """Guided and rectified maps are so different that one cannot pass for the other."""
    images = one_image("digits", "image0")
    rectified = saliency(MODELS["digits"], images, 3, rule="deconvnet")[0]
    with pytest.raises(AssertionError):
        agree(rectified, golden("keras_vis_041", "digits", "saliency", "guided_override", "image0", "class3"))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_maximize_takes_the_same_steps_as_keras_vis(k):
    made = maximize(
        MODELS["digits"],
        [k],
        n_steps=10,
        step_size=1.0,
        lp_norm=10.0,
        total_variation=10.0,
        pixel_range=None,
        start=GOLDEN["inputs"]["digits/activation_seed"][None],
    )
    agree(made.images[0], golden("keras_vis_041", "digits/activation/raw/steps10", f"class{k}"))
    losses = golden("keras_vis_041", "digits/activation/losses/steps10", f"class{k}")
    agree(made.history[:, 0], -losses[:, 0])
