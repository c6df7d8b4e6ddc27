"""Every bad input of a kind, sent through every public function that takes that kind.

Each must be refused by one sentence that begins with the name of an argument (``images: got ...; give ...``), before
any work, or give the right answer. A function that is not in the table fails the last test.
"""

import inspect
from importlib import import_module

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from interp_helpers import (
    attribution,
    compare,
    deconvnet,
    feature_vis,
    metrics,
    pcace,
    perturbation,
    probing,
    regression,
    reverse_channels,
    variation,
)
from interp_helpers import layers as layers_module

RNG = np.random.default_rng(0)
IMAGES = RNG.random((12, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(12) % 3
MAPS = RNG.random((12, 8, 8))


def network():
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2D(6, 3, name="conv"), layers.ReLU(name="relu"), layers.MaxPooling2D(2, name="pool")]
    ends = [layers.Flatten(), layers.Dense(3, name="logits"), layers.Softmax(name="probabilities")]
    return keras.Sequential([keras.Input((8, 8, 1)), *stack, *ends])


MODEL = network()
GOOD = {
    "model": MODEL,
    "images": IMAGES,
    "labels": LABELS,
    "layer": "relu",
    "layers": ["relu"],
    "target": 1,
    "channel": 2,
    "maps": MAPS,
    "seed": 0,
}
# public functions that take a model, with what else they need
CALLS = {
    attribution.saliency: {},
    attribution.grad_cam: {"layer": "relu"},
    attribution.guided_grad_cam: {"layer": "relu"},
    attribution.smoothgrad: {"n_samples": 2},
    attribution.integrated_gradients: {"n_steps": 2},
    attribution.occlusion_map: {"patch": 4, "stride": 4},
    attribution.explain: {"method": "saliency"},
    layers_module.activations: {},
    layers_module.sparsity: {},
    layers_module.channel_weights: {"layer": "conv", "n_bootstrap": 10},
    metrics.deletion_insertion: {"n_steps": 2},
    metrics.randomize_layers: {"layers": ["conv"]},
    metrics.cascading_randomization: {},
    probing.pooled: {},
    probing.maximally_activating: {"k": 2},
    probing.receptive_field: {},
    deconvnet.deconvnet: {},
    feature_vis.maximize: {"n_steps": 2},
    perturbation.perturb_layer: {"layer": "conv", "steps": 2},
    perturbation.move_weights: {"layer": "conv", "distance": 1.0},
    variation.vary_channel: {},
    variation.without_channels: {},
    regression.predict_without: {"groups": [(0,)]},
    reverse_channels.ink_zones: {},
    reverse_channels.constant_input_response: {"layer": "conv", "values": [0.0, 1.0]},
    pcace.rank_channels: {"n_components": 2, "n_permutations": 1},
    compare.importance: {},
    compare.removal_curves: {"table": pd.DataFrame({"a": np.arange(6.0)}), "n_random": 1},
}


class Subclassed(keras.Model):
    """A model whose layers cannot be followed."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(layers.Flatten()(inputs))


def subclassed():
    model = Subclassed()
    model(IMAGES)
    return model


def two_inputs():
    one, two = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    return keras.Model([one, two], layers.Dense(3)(layers.Flatten()(layers.Add()([one, two]))))


def two_outputs():
    one = keras.Input((8, 8, 1))
    return keras.Model(one, [layers.Dense(3)(layers.Flatten()(one)), layers.Dense(2)(layers.Flatten()(one))])


BAD = {
    "model": [None, "mnist_cnn", subclassed, two_inputs, two_outputs, lambda: keras.Sequential([layers.Dense(2)])],
    "images": [
        None,
        "images.npy",
        IMAGES[0],
        IMAGES[:0],
        IMAGES[..., 0],
        IMAGES[:, :7],
        np.repeat(IMAGES, 3, axis=-1),
        (255 * IMAGES).astype(np.uint8),
        IMAGES.astype(complex),
        np.where(IMAGES > 0.99, np.nan, IMAGES),
        np.where(IMAGES > 0.99, np.inf, IMAGES),
        np.float64(1e300) * (1 + IMAGES.astype(float)),
        np.ma.masked_less(IMAGES, 0.5),
        [IMAGES[0], IMAGES[0, :5]],
        IMAGES.astype(object),
        IMAGES.astype(str),
    ],
    "labels": [None, LABELS[:3], LABELS + 1, -LABELS, LABELS.astype(float), LABELS == 1, "012", np.eye(3)[LABELS]],
    "target": [None, 3, -1, 1.0, "2", [0, 1], np.full(12, 7), True, np.eye(3), np.nan],
    "layer": [None, "nonesuch", 3, "", ["relu"], b"relu"],
    "channel": [None, 6, -1, 1.5, "2", True, np.nan],
    "maps": [None, MAPS[0], MAPS[:3], MAPS[..., None], np.where(MAPS > 0.99, np.nan, MAPS), MAPS.astype(str)],
    "seed": [-1, 1.5, "0", None, np.nan],
    "batch_size": [0, -1, 2.5, "ten", None],
    "n_bootstrap": [-1, 2.5, "ten", None],
    "n_permutations": [-1, 2.5, "ten", None],
    "n_samples": [0, -3, 2.5, "ten", None],
    "n_steps": [0, -3, 2.5, "ten", None],
    "steps": [0, -3, 2.5, "ten", None],
    "patch": [0, 99, 2.5, "ten", None],
    "stride": [0, 99, 2.5, "ten", None],
    "k": [0, 99, 2.5, "ten", None],
    "noise": [-1.0, np.nan, "much", None],
    "step_size": [0.0, -1.0, np.inf, "much", None],
    "size": [np.nan, np.inf, "much"],
    "distance": [np.nan, np.inf, "much", None],
    "rule": ["relu", 1, "rectified"],
    "pool": ["median", None, 1],
    "method": ["lime", None, 1],
    "direction": ["up", None, 1],
    "fill": ["red", np.nan, np.ones((3, 3, 3))],
    "groups": [None, [], [3], [(9,)], [(0.5,)], "ab"],
    "statistic": ["second", None, [], ["first", "first"]],
    "n_components": [0, -1, 12, 2.5, "all", None],
    "max_memory": [0, -1.0, np.nan, "much", None],
    "table": [None, {"a": [1]}, pd.DataFrame(), pd.DataFrame({"a": list("abcdef")}), pd.DataFrame({"a": [1.0, 2.0]})],
}
# values of the lists above that are good for some functions: (function, argument) to their numbers in the list
GOOD_HERE = {(name, "layer"): [0] for name in ("grad_cam", "guided_grad_cam", "occlusion_map", "saliency", "maximize")}
GOOD_HERE |= {("vary_channel", "target"): [0], ("without_channels", "groups"): [0]}
GOOD_HERE |= {("maximize", "target"): [5], ("rank_channels", "target"): [5]}


def cases():
    for function in CALLS:
        for name in inspect.signature(function).parameters:
            for i, value in enumerate(BAD.get(name, ())):
                if i not in GOOD_HERE.get((function.__name__, name), ()):
                    yield pytest.param(function, name, value, id=f"{function.__name__}-{name}-{i}")


def good_arguments(function):
    """Return good values of the arguments that a function cannot do without, and what the table above adds."""
    parameters = inspect.signature(function).parameters.values()
    needed = [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]
    return {name: GOOD[name] for name in needed if name in GOOD} | CALLS[function]


@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
def test_good_input_is_taken(function):
    good = good_arguments(function)
    if "labels" in good:
        good["labels"] = LABELS.astype(np.uint8)  # as Keras ships them
    if "target" in good and function not in (feature_vis.maximize, pcace.rank_channels):
        good["target"] = np.full(12, 1, np.uint8)
    function(**good)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "name", "bad"), cases())
def test_bad_input_is_refused_by_name(function, name, bad):
    bad = bad() if inspect.isfunction(bad) else bad
    with pytest.raises(ValueError, match=r"^[\w\[\]', =.()\"]+(:|=)") as refused:
        function(**good_arguments(function) | {name: bad})
    assert "\n" not in str(refused.value)


def test_no_public_function_that_takes_a_model_is_missing():
    modules = "attribution layers metrics probing deconvnet feature_vis perturbation variation regression"
    modules += " reverse_channels pcace compare"
    for name in modules.split():
        module = import_module(f"interp_helpers.{name}")
        for found, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__ and not found.startswith("_")
            if own and "model" in inspect.signature(function).parameters:
                assert function in CALLS or found in ("class_activation_map", "value_of_channels"), f"{name}.{found}"
