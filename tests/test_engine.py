"""The engine: look-up, hooks that patch nothing, logits of models that end in odd ways, interruptions, threads."""

import sys
import threading

import keras
import numpy as np
import pytest
from keras import layers

from interp_helpers.attribution import grad_cam, saliency
from interp_helpers.engine import checks, graph, hooks
from interp_helpers.engine.gradients import RULES
from interp_helpers.engine.resume import resume_after
from interp_helpers.perturbation import perturb_layer
from interp_helpers.variation import vary_channel, without_channels

IMAGES = np.random.default_rng(0).random((6, 8, 8, 1)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 0, 1])


def small(seed=0):
    """A network with every kind of ReLU, a branch, a model inside it and a softmax that is part of a layer."""
    keras.utils.set_random_seed(seed)
    inner = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(3, 3, padding="same", name="inside")], name="inner")
    image = keras.Input((8, 8, 1))
    x = layers.ReLU(name="relu1")(layers.Conv2D(3, 3, name="conv1")(image))
    x = layers.Add(name="add")([x, inner(x)])
    x = layers.Conv2D(4, 3, activation="relu", name="conv2")(keras.ops.relu(x))
    x = layers.Dropout(0.5, name="dropout")(layers.Conv2D(4, 3, activation=layers.ReLU(), name="conv3")(x))
    return keras.Model(image, layers.Dense(4, activation="softmax", name="answers")(layers.Flatten()(x)))


def state(model):
    """Return all that a careless hook could change."""
    found = [model.get_config() if hasattr(model, "get_config") else None, model.trainable, model.built]
    for name, layer in graph.all_layers(model).items():
        own = {key: id(value) for key, value in layer.__dict__.items() if key in ("call", "activation", "_kernel")}
        found.append((name, own, layer.trainable, [w.tobytes() for w in layer.get_weights()]))
    return repr(found)


USES = {
    "saliency": lambda m: saliency(m, IMAGES, LABELS),
    "guided": lambda m: saliency(m, IMAGES, LABELS, rule="guided"),
    "deconvnet": lambda m: saliency(m, IMAGES, LABELS, rule="deconvnet"),
    "grad_cam": lambda m: grad_cam(m, IMAGES, LABELS, "relu1"),
    "activations": lambda m: hooks.activations(m, IMAGES, ["relu1", "inside", "conv3"])["inside"],
    "vary_channel": lambda m: vary_channel(m, "relu1", IMAGES, on="activations")["change"].to_numpy(),
    "vary_weights": lambda m: vary_channel(m, "conv2", IMAGES, on="weights")["change"].to_numpy(),
    "perturb_layer": lambda m: perturb_layer(m, "answers", IMAGES, LABELS, steps=3)["accuracy"].to_numpy(),
    "without_channels": lambda m: without_channels(m, "relu1", IMAGES, LABELS)["score"].to_numpy(),
    "plain": lambda m: m(IMAGES, training=False).numpy(),
}


def test_threads_that_share_a_model_do_not_disturb_each_other():
    model = small()
    expected, before = {name: use(model) for name, use in USES.items()}, state(model)
    wrong, start = [], threading.Barrier(2)

    def work(names):
        start.wait()
        for name in names * 3:
            if not np.array_equal(USES[name](model), expected[name]):
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(list(USES)[:: 1 - 2 * i],)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert state(model) == before


def interrupted(use, model, at):
    """Run a use of a model, interrupted at the at-th line of the package; return whether it was interrupted."""
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        if "interp_helpers" not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines += 1
            if lines == at:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        use(model)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("name", ["guided", "perturb_layer", "vary_weights", "activations"])
def test_ctrl_c_at_any_line_leaves_the_model_as_it_was(name):
    model = small()
    expected, before = USES[name](model), state(model)
    at, n_interrupted = 1, 0
    while interrupted(USES[name], model, at):
        n_interrupted += 1
        assert state(model) == before, f"interrupted at line {at}"
        at += 1 + at // 8  # every line at first, where all is prepared, then ever fewer
    assert n_interrupted > 20
    assert np.array_equal(USES[name](model), expected)


def test_the_checks_above_can_fail():
    model = small()
    before = state(model)
    model.get_layer("relu1").__dict__["call"] = lambda inputs: inputs
    assert state(model) != before


@pytest.mark.parametrize("rule", RULES[1:])
def test_a_relu_object_as_activation_is_found(rule):
    keras.utils.set_random_seed(0)
    ends = [layers.Flatten(), layers.Dense(2, name="end")]
    one = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, activation=layers.ReLU()), *ends])
    other = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.ReLU(), layers.Flatten(), layers.Dense(2)]
    )
    other.set_weights(one.get_weights())
    assert np.array_equal(saliency(one, IMAGES, 0, rule=rule), saliency(other, IMAGES, 0, rule=rule))


def ending_in(*ends, inputs=(4,)):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(inputs), *ends])


X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def test_logits_before_a_softmax_that_is_followed_by_nothing_but_identities():
    """Under mixed precision Keras advises to end in Activation("linear", dtype="float32")."""
    ends = [layers.Dense(3, name="dense"), layers.Softmax(), layers.Activation("linear", dtype="float32")]
    model = ending_in(*ends)
    kernel, bias = model.get_layer("dense").get_weights()
    np.testing.assert_allclose(graph.logits_model(model).predict(X, verbose=0), X @ kernel + bias, rtol=1e-5, atol=1e-6)
    part_of_it = ending_in(layers.Dense(3, activation="softmax", name="dense"), layers.Activation("linear"))
    kernel, bias = part_of_it.get_layer("dense").get_weights()
    found = graph.logits_model(part_of_it).predict(X, verbose=0)
    np.testing.assert_allclose(found, X @ kernel + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        lambda: ending_in(layers.Dense(3, activation="softmax"), layers.Dense(2)),
        lambda: ending_in(layers.Dense(3), layers.Softmax(), layers.Dense(2)),
        lambda: ending_in(
            layers.Conv2D(3, 1, activation="softmax"), layers.GlobalAveragePooling2D(), inputs=(4, 4, 1)
        ),
        lambda: ending_in(
            layers.Conv2D(3, 1, activation="sigmoid"), layers.GlobalMaxPooling2D(), inputs=(4, 4, 1)
        ),
    ],
)  # fmt: skip
def test_what_is_made_from_probabilities_has_no_logits(model):
    with pytest.raises(ValueError, match="it has no logits"):
        graph.logits_model(model())


def test_hidden_sigmoids_are_no_probabilities():
    model = ending_in(layers.Dense(6, activation="sigmoid"), layers.Dense(2))
    assert graph.logits_model(model) is model


def test_a_logits_model_is_made_once_and_goes_with_its_model():
    import gc
    import weakref

    model = small()
    assert graph.logits_model(model) is graph.logits_model(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_resuming_gives_what_the_whole_network_gives():
    model = small()
    expected = graph.logits_model(model).predict(IMAGES, verbose=0)
    for layer in graph.all_layers(model).values():
        if isinstance(layer, keras.Model | layers.InputLayer):
            continue
        output, _, rest = resume_after(model, layer, IMAGES)
        np.testing.assert_allclose(rest(output), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "n_weights"),
    [
        (layers.Conv2D(5, 3), 9 * 3),
        (layers.Conv2DTranspose(5, 3), 9 * 3),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 9),
        (layers.Dense(5), 3),
    ],
)
def test_kernels_of_each_output_channel(layer, n_weights):
    """The channel of a kernel is the one that moves when only that kernel does."""
    model = keras.Sequential([keras.Input((6, 6, 3)), layer])
    images = np.random.default_rng(0).random((1, 6, 6, 3)).astype(np.float32)
    kernels = graph.channel_kernels(layer)
    assert kernels.shape == (n_weights, layer.output.shape[-1])
    for c in range(kernels.shape[1]):
        weights = layer.get_weights()
        tagged = np.where(np.isin(weights[0], kernels[:, c].astype(np.float32)), 0, weights[0])
        before = model(images, training=False).numpy()
        layer.set_weights([tagged, *weights[1:]])
        moved = np.abs(model(images, training=False).numpy() - before).max(axis=(0, 1, 2)) > 1e-6
        layer.set_weights(weights)
        assert moved.tolist() == [k == c for k in range(kernels.shape[1])]


@pytest.mark.parametrize("between", [layers.Permute((2, 1, 3)), layers.Lambda(lambda x: x[..., ::-1])])
def test_what_moves_channels_ends_the_search_for_their_kernel(between):
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3), between, layers.ReLU(name="relu")])
    assert graph.kernel_before(model.get_layer("relu")) is None
    separable = keras.Sequential([keras.Input((6, 6, 3)), layers.SeparableConv2D(4, 3, name="one")])
    with pytest.raises(ValueError, match="no kernel for each channel"):
        graph.kernel_layer(separable, "one")


def test_channels_first_are_refused():
    model = keras.Sequential([keras.Input((3, 6, 6)), layers.Conv2D(4, 3, data_format="channels_first", name="conv")])
    with pytest.raises(ValueError, match="channels first"):
        hooks.activations(model, np.zeros((1, 3, 6, 6), np.float32), "conv")


def test_weights_that_are_not_finite_are_noticed():
    model = small()
    kernel, bias = model.get_layer("conv1").get_weights()
    model.get_layer("conv1").set_weights([kernel * np.nan, bias])
    for use in (USES["saliency"], USES["activations"]):
        with pytest.raises(ValueError, match="not finite"):
            use(model)


def test_passes_fit_into_memory_and_cover_every_channel_once():
    shapes = {"a": (10, 10, 7), "b": (4,), "c": (50, 50, 3)}
    passes = hooks.memory_passes(shapes, 100, gigabytes=1e-4)
    for name, shape in shapes.items():
        taken = [
            c for parts in passes for found, channels in parts if found == name for c in range(shape[-1])[channels]
        ]
        assert taken == list(range(shape[-1]))
    for parts in passes:
        size = sum(4 * 100 * np.prod(shapes[name][:-1]) * (c.stop - c.start) for name, c in parts) / 1e9
        assert size <= 1e-4 or (len(parts) == 1 and parts[0][1].stop - parts[0][1].start == 1)


def test_a_masked_array_is_not_taken_for_what_lies_under_its_mask():
    with pytest.raises(ValueError, match="images: got a masked array"):
        checks.check_images(small(), np.ma.masked_less(IMAGES, 0.5))
