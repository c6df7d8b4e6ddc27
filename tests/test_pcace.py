"""Channels with known answers: one that is the score, one that is noise, one that is dead; and what must not matter."""

import inspect
import os
import signal
import subprocess
import sys
import threading

import distributed
import joblib
import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from scipy.stats import false_discovery_control
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from interp_helpers import pcace as module
from interp_helpers.ace import ace
from interp_helpers.data import load_digits
from interp_helpers.layers import activations, channel_weights
from interp_helpers.models import load_checkpoint, logits_model
from interp_helpers.pcace import components, group_pcace, pcace, rank_channels

STATISTICS = ("multiple", "first", "first_absolute")
M, SIDE = 120, 5
SQUARED, NOISE, DEAD, WEAK = range(4)


@pytest.fixture(scope="module")
def planted():
    """Maps of four channels, and scores: the square of what the first shows, unrelated, nothing, a little related."""
    rng = np.random.default_rng(0)
    shown, pattern = rng.standard_normal(M), rng.standard_normal((SIDE, SIDE))
    maps = 0.1 * rng.standard_normal((M, SIDE, SIDE, 4))
    y = shown**2 + 0.1 * rng.standard_normal(M)
    maps[..., SQUARED] += shown[:, None, None] * pattern
    maps[..., WEAK] += (y + 4 * rng.standard_normal(M))[:, None, None] * pattern
    maps[..., DEAD] = 0.7
    return maps.astype(np.float32), y


@pytest.fixture(scope="module")
def digits_of_one_class():
    digits = load_digits()
    return digits.images[digits.labels == 2][:100]


@pytest.fixture(scope="module")
def mnist():
    return load_checkpoint("mnist_cnn")


# --- components ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "n"), [("relu1", 100), ("pool", 100), ("relu1", 400)])
def test_components_are_those_of_scikit_learn(mnist, layer, n):
    digits = load_digits()
    maps = activations(mnist, digits.images[:n], layer)
    found = components(maps, 10)
    for channel in range(0, maps.shape[-1], 7):
        flat = StandardScaler().fit_transform(maps[..., channel].reshape(n, -1).astype(float))
        expected = PCA(10, svd_solver="full").fit_transform(flat)
        np.testing.assert_allclose(np.abs(found[channel]), np.abs(expected), atol=1e-6)


def test_components_are_centred_uncorrelated_and_in_order(planted):
    found = components(planted[0], 6)[SQUARED]
    spread = np.cov(found.T)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-9)
    assert (np.diff(np.diag(spread)) < 0).all()
    assert (found[np.abs(found).argmax(axis=0), range(6)] > 0).all()


def test_components_beyond_the_rank_are_zero():
    rng = np.random.default_rng(0)
    low_rank = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 36))
    found = components(low_rank.reshape(50, 6, 6, 1), 10)[0]
    assert (found[:, :3].std(axis=0) > 0.1).all()
    assert not found[:, 3:].any()


@pytest.mark.parametrize("scale", [1e-170, 1e-30, 1e30, 1e160])
def test_extreme_scales_do_not_matter(planted, scale):
    maps, y = planted
    maps = maps[..., [SQUARED, NOISE, DEAD]].astype(float)
    table, again = pcace(maps, y, 5), pcace(scale * maps, y, 5)
    np.testing.assert_allclose(again["pcace"], table["pcace"], atol=1e-9)
    assert again["dead"].tolist() == [False, False, True]


def test_rounding_is_not_a_signal(planted):
    maps, y = planted
    jitter = np.random.default_rng(0).choice([0, 6e-8], maps[..., [DEAD]].shape)
    assert pcace(maps[..., [DEAD]] + jitter, y)["dead"].all()
    framed = np.pad(maps, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=0.7)
    moved = framed + np.random.default_rng(1).choice([0, 6e-8], framed.shape)
    np.testing.assert_allclose(components(moved, 3)[SQUARED], components(maps, 3)[SQUARED], atol=1e-3)


def test_constant_pixels_do_not_matter(planted):
    maps, _ = planted
    framed = np.pad(maps, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=0.3)
    np.testing.assert_allclose(components(framed, 5), components(maps, 5), atol=1e-5)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_value_is_that_of_ace_on_the_components(planted, statistic):
    maps, y = planted
    table = pcace(maps, y, statistic=statistic).set_index("channel")
    for channel in (SQUARED, NOISE, WEAK):
        found = ace(components(maps)[channel], y)
        value = {"multiple": found.multiple, "first": found.first, "first_absolute": abs(found.first)}[statistic]
        assert table.loc[channel, "pcace"] == pytest.approx(value, abs=1e-12)


def test_a_relation_that_is_not_monotone_is_found_and_noise_is_not(planted):
    table = pcace(*planted, n_components=3, n_permutations=99).set_index("channel")
    assert abs(np.corrcoef(planted[0][..., SQUARED].mean(axis=(1, 2)), planted[1])[0, 1]) < 0.3
    assert table.loc[SQUARED, "pcace"] > 0.95
    assert table.loc[SQUARED, "rank"] == 1
    assert table.loc[SQUARED, "p_value"] == pytest.approx(0.01)
    assert table.loc[NOISE, "p_value"] > 0.05
    assert table.loc[NOISE, "null_median"] < table.loc[NOISE, "null_high"] < table.loc[SQUARED, "pcace"]


def test_a_dead_channel_has_no_value_and_no_rank(planted):
    table = pcace(*planted, n_permutations=9, n_splits=5).set_index("channel")
    assert table["dead"].tolist() == [False, False, True, False]
    assert table.loc[DEAD, ["pcace", "null_median", "p_value", "q_value", "rank", "rank_low"]].isna().all()
    assert sorted(table["rank"].dropna()) == [1, 2, 3]


def test_q_values_are_those_of_benjamini_and_hochberg_without_the_dead(planted):
    table = pcace(*planted, n_permutations=50)
    known = table["p_value"].notna()
    np.testing.assert_allclose(table["q_value"][known], false_discovery_control(table["p_value"][known]))


def test_p_values_of_noise_are_spread_evenly():
    rng = np.random.default_rng(3)
    table = pcace(rng.standard_normal((40, 1, 2, 300)), rng.standard_normal(40), n_components=2, n_permutations=19)
    assert 0.3 < table["p_value"].mean() < 0.75
    assert (table["p_value"] <= 0.1).mean() < 0.3


def test_a_further_permutation_exceeds_the_high_quantile_as_often_as_it_says():
    null = np.random.default_rng(0).random((20_000, 40))
    table = module._with_chance(np.random.default_rng(1).random(20_000), null)
    assert (table["pcace"] > table["null_high"]).mean() == pytest.approx(0.05, abs=0.005)
    assert (table["pcace"] < table["null_low"]).mean() == pytest.approx(0.05, abs=0.005)


def test_a_channel_that_one_image_alone_moves_is_not_dead(planted):
    maps, y = planted
    once = maps[..., [DEAD]].copy()
    once[3, 2, 2] = 1
    assert not pcace(once, y)["dead"].any()
    found = pcace(once, y, held_out=True)
    assert found["pcace"].isna().all()
    assert not found["dead"].any()


def test_more_components_raise_the_value_and_its_null():
    rng = np.random.default_rng(0)
    maps, y = rng.standard_normal((60, 8, 8, 3)), rng.standard_normal(60)
    few, many = (pcace(maps, y, n_components=p, n_permutations=20) for p in (2, 30))
    assert (many["null_median"] > few["null_median"] + 0.3).all()
    assert (many["pcace"] > 0.9).all()  # of noise: a value alone says nothing


def test_held_out_values_of_noise_are_around_zero_and_real_ones_stay():
    rng = np.random.default_rng(0)
    maps, y = rng.standard_normal((200, 6, 6, 20)), rng.standard_normal(200)
    maps[..., 0] += y[:, None, None]
    table = pcace(maps, y, held_out=True, n_permutations=9)
    assert table["pcace"][0] > 0.9
    assert abs(table["pcace"][1:].mean()) < 0.1
    assert table["null_median"].abs().max() < 0.2
    assert pcace(maps, y)["pcace"][1:].min() > 0.3


def test_held_out_components_see_one_half_only(planted):
    maps, _ = planted
    halves = module._halves(M, seed=0)
    flat = maps[..., SQUARED].reshape(M, -1).astype(float)
    fitted, moved = module._principal(flat[halves[0]], 3, flat[halves[1]])
    scaler = StandardScaler().fit(flat[halves[0]])
    pca = PCA(3, svd_solver="full").fit(scaler.transform(flat[halves[0]]))
    for found, half in ((fitted, halves[0]), (moved, halves[1])):
        expected = pca.transform(scaler.transform(flat[half]))
        np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-6)
    assert not set(halves[0]) & set(halves[1])


def test_rank_intervals_hold_the_rank_and_tell_what_is_sure(planted):
    table = pcace(*planted, n_components=3, n_splits=40).set_index("channel").drop(DEAD)
    assert table.loc[SQUARED, ["rank_low", "rank", "rank_high"]].tolist() == [1, 1, 1]
    assert ((table["rank_low"] <= table["rank"]) & (table["rank"] <= table["rank_high"])).all()


@pytest.mark.parametrize("equal", [0, 2])
def test_leading_eigenvectors_are_those_of_lapack(equal):
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((220, 220)))[0]
    spectrum = 0.8 ** np.arange(220)
    spectrum[1 : 1 + equal] = spectrum[1]  # Lanczos's method alone would miss one of them
    gram = (axes * spectrum) @ axes.T
    values, vectors = module._leading(gram.copy(), 10)
    np.testing.assert_allclose(values, spectrum[:10], rtol=1e-12)
    np.testing.assert_allclose(gram @ vectors, vectors * values, atol=1e-13)
    assert (module._lanczos(gram, 10) is None) == bool(equal)


def test_rank_intervals_hold_the_true_rank_as_often_as_they_say_and_are_not_vacuous():
    rho, held, width = np.linspace(0.5, 0.15, 8), [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        y = rng.standard_normal(200)
        shown = rho * y[:, None] + np.sqrt(1 - rho**2) * rng.standard_normal((200, 8))
        table = pcace(shown, y, seed=seed, n_splits=25)
        held.append(table["rank_low"].le(range(1, 9)) & table["rank_high"].ge(range(1, 9)))
        width.append(table["rank_high"] - table["rank_low"])
        assert table["rank"].between(table["rank_low"], table["rank_high"]).all()
    assert 0.92 <= np.mean(held) <= 0.995
    assert np.mean(width) < 5.5


# --- what must not matter --------------------------------------------------------------------------------------------


def related(seed, n_channels=4):
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((40, 4, 4, n_channels))
    return maps, maps[..., 0].mean(axis=(1, 2)) ** 2 + 0.1 * rng.standard_normal(40)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_order_of_channels_does_not_matter(seed, order):
    maps, y = related(seed)
    table, again = (pcace(m, y, 3, n_permutations=3, n_splits=3) for m in (maps, maps[..., order]))
    expected = table.loc[list(order)].reset_index(drop=True).drop(columns="channel")
    pd.testing.assert_frame_equal(again.drop(columns="channel"), expected)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_scale_and_shift_of_activations_do_not_matter(seed, scale, shift):
    maps, y = related(seed)
    table, again = (pcace(m, y, 3) for m in (maps, scale * maps + shift))
    np.testing.assert_allclose(again["pcace"], table["pcace"], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3))
def test_monotone_transforms_of_the_score_hardly_matter_where_there_is_a_relation(seed, power):
    rng = np.random.default_rng(seed)
    shown = rng.standard_normal(200)
    maps = rng.standard_normal((200, 4, 4, 2)) + np.outer(shown, [2, 0.7])[:, None, None]
    y = shown**2 + 0.3 * rng.standard_normal(200)
    moved = (y - y.min() + 0.1) ** power
    table, again = (pcace(maps, scores, 3) for scores in (y, moved))
    np.testing.assert_allclose(again["pcace"], table["pcace"], atol=0.1)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_images_given_twice_leave_the_strong_relation_on_top(seed):
    maps, y = related(seed)
    twice = pcace(np.concatenate([maps, maps]), np.concatenate([y, y]), 3)
    assert twice["pcace"].between(0, 1).all()
    assert np.isfinite(twice["pcace"]).all()


def test_results_do_not_depend_on_threads_and_seeds_repeat(planted):
    options = {"n_permutations": 5, "n_splits": 5, "statistic": STATISTICS, "seed": 3}
    one, two, again = (pcace(*planted, n_jobs=n, **options) for n in (1, 2, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    pd.testing.assert_frame_equal(two, again, check_exact=True)
    other = pcace(*planted, n_permutations=5, seed=4)
    assert (other["null_median"] != one["null_median"][: len(other)]).any()


# --- groups ----------------------------------------------------------------------------------------------------------


def test_a_group_of_one_is_the_channel_and_a_group_may_know_more_than_its_members():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 200))
    maps = np.stack([a, b], axis=-1).reshape(200, 1, 1, 2)
    y = a + b
    table = group_pcace(maps, y, {"a": [0], "both": (0, 1)}, n_permutations=4).set_index("group")
    alone = pcace(maps, y)["pcace"]
    assert table.loc["a", "pcace"] == pytest.approx(alone[0], abs=1e-12)
    assert table.loc["both", "pcace"] > 0.95 > 0.8 > alone.max()
    assert table.loc["both", "channels"] == (0, 1)
    assert table.loc["both", "rank"] == 1


def test_groups_with_several_statistics_and_held_out(planted):
    maps, y = planted
    options = {"n_components": 3, "statistic": STATISTICS, "held_out": True}
    table = group_pcace(maps, y, {"x": [0, 2], "dead": [2]}, **options)
    assert table["statistic"].tolist() == [name for name in STATISTICS for _ in range(2)]
    assert table["dead"].tolist() == [False, True] * 3


@pytest.mark.parametrize("group", [[], [4], [-1], [0, 0], [0.0], ["0"], [True]])
def test_groups_that_are_none(planted, group):
    with pytest.raises(ValueError, match="groups"):
        group_pcace(*planted, {"x": group})


# --- networks --------------------------------------------------------------------------------------------------------


def test_rank_channels_is_pcace_of_the_layer_and_the_score(mnist, digits_of_one_class):
    table = rank_channels(mnist, "relu1", digits_of_one_class, 2, n_permutations=3)
    maps = activations(mnist, digits_of_one_class, "relu1")
    y = logits_model(mnist).predict(digits_of_one_class, verbose=0)[:, 2]
    expected = pcace(maps, y, n_permutations=3)
    np.testing.assert_allclose(table["pcace"], expected["pcace"], atol=1e-4)
    np.testing.assert_allclose(table["null_median"], expected["null_median"], atol=0.01)
    weights = channel_weights(mnist, "conv1")
    np.testing.assert_allclose(table["mean_weight"], weights["mean_weight"], atol=1e-7)
    assert table["reverse"].tolist() == weights["reverse"].tolist()
    assert list(table)[:3] == ["layer", "statistic", "channel"]
    assert list(table)[-2:] == ["mean_weight", "reverse"]


def test_memory_decides_the_passes_and_not_the_numbers(mnist, digits_of_one_class, monkeypatch):
    layers_ = ["relu1", "dense1", "pool"]
    options = {"n_permutations": 2, "statistic": ["multiple", "first"]}
    whole = rank_channels(mnist, layers_, digits_of_one_class, 2, **options)
    sizes = []
    read = module._read

    def watched(*arguments, **options):
        blocks, reached = read(*arguments, **options)
        sizes.append(sum(block.nbytes for block in blocks))
        return blocks, reached

    monkeypatch.setattr(module, "_read", watched)
    parts = rank_channels(mnist, layers_, digits_of_one_class, 2, max_memory=0.002, **options)
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)
    assert len(sizes) > 4
    assert max(sizes) <= 0.002e9
    assert whole["layer"].unique().tolist() == layers_


def test_the_model_comes_back_unchanged(mnist, digits_of_one_class):
    before = [layer.name for layer in mnist.layers], mnist.get_weights()
    rank_channels(mnist, "relu1", digits_of_one_class, 2, n_permutations=0)
    assert before[0] == [layer.name for layer in mnist.layers]
    assert all(np.array_equal(a, b) for a, b in zip(before[1], mnist.get_weights(), strict=True))


def test_targets(mnist):
    images = load_digits().images[::50]
    labels = load_digits().labels[::50]
    all_scores = logits_model(mnist).predict(images, verbose=0)
    own = all_scores[np.arange(100), labels]
    cases = [
        (3, all_scores[:, 3]),
        (labels, own),
        ([3, 5], all_scores[:, [3, 5]].mean(axis=1)),
        ({3: 1, 5: 3}, all_scores[:, 3] / 4 + 3 * all_scores[:, 5] / 4),
        (own.astype(float), own),
    ]
    maps = activations(mnist, images, "relu1")
    for target, y in cases:
        table = rank_channels(mnist, "relu1", images, target, n_permutations=0)
        np.testing.assert_allclose(table["pcace"], pcace(maps, y)["pcace"], atol=1e-3, err_msg=str(target))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_classes_of_every_integer_type(tiny, kind):
    labels = np.arange(20) % 2
    for target in (labels, np.array(1), np.array([0, 1])):
        table = rank_tiny(tiny, names="norm", target=target.astype(kind), n_permutations=0)
        pd.testing.assert_frame_equal(table, rank_tiny(tiny, names="norm", target=target, n_permutations=0))


def test_channels_first_and_nan_are_refused(tiny):
    model = keras.Sequential(
        [keras.Input((2, 6, 6)), layers.MaxPooling2D(2, data_format="channels_first", name="pool")]
    )
    model.add(layers.ReLU(name="relu"))
    images = np.random.default_rng(0).random((20, 2, 6, 6)).astype(np.float32)
    for name in ("pool", "relu"):
        with pytest.raises(ValueError, match="channels first"):
            rank_channels(model, name, images, images.mean(axis=(1, 2, 3)), 3)
    tiny[0].layers[1].set_weights([np.full_like(weight, np.nan) for weight in tiny[0].layers[1].get_weights()])
    with pytest.raises(ValueError, match="not finite"):
        rank_tiny(tiny)


def test_networks_without_a_kernel_behind_the_channels():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    left = layers.Conv2D(4, 3, padding="same", name="left")(inputs)
    right = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(inputs)
    added = layers.Add(name="added")([left, layers.Conv2D(4, 1, name="right")(right)])
    normalized = layers.BatchNormalization(name="normalized")(left)
    joined = layers.Concatenate(name="joined")([added, normalized])
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(joined)))
    images = np.random.default_rng(0).random((30, 6, 6, 3)).astype(np.float32)
    names = ["left", "normalized", "added", "depthwise", "joined"]
    table = rank_channels(model, names, images, 0, n_permutations=0).groupby("layer", sort=False)
    known = table["mean_weight"].apply(lambda values: values.notna().all())
    assert known.to_dict() == {"left": True, "normalized": True, "added": False, "depthwise": True, "joined": False}
    assert table.size().to_dict() == {"left": 4, "normalized": 4, "added": 4, "depthwise": 3, "joined": 8}


# --- long runs -------------------------------------------------------------------------------------------------------

LONG = """
import os, sys
from interp_helpers import pcace
from interp_helpers.data import load_digits
from interp_helpers.models import load_checkpoint

done, write = [], pcace._write_table

def write_then_die(folder, name, table):
    write(folder, name, table)
    done.append(name)
    if len(done) == int(sys.argv[2]):
        os.kill(os.getpid(), 9)

pcace._write_table = write_then_die
images = load_digits().images[:40]
pcace.rank_channels(
    load_checkpoint("mnist_cnn"), ["relu1", "dense1", "pool"], images, 2, n_permutations=3, max_memory=0.004,
    folder=sys.argv[1],
)
"""


def test_a_killed_run_goes_on_where_it_was_and_gives_the_same(mnist, tmp_path, monkeypatch):
    images, folder = load_digits().images[:40], tmp_path / "ranking"
    killed = subprocess.run([sys.executable, "-c", LONG, folder, "2"], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(path.name for path in folder.glob("*.parquet")) == ["dense1.parquet", "relu1.parquet"]
    assert not list(folder.glob(".*"))
    names, options = ["relu1", "dense1", "pool"], {"n_permutations": 3, "max_memory": 0.004}
    written = []
    write = module._write_table
    monkeypatch.setattr(module, "_write_table", lambda f, name, table: (written.append(name), write(f, name, table)))
    resumed = rank_channels(mnist, names, images, 2, folder=folder, **options)
    assert written == ["pool"]
    pd.testing.assert_frame_equal(resumed, rank_channels(mnist, names, images, 2, **options), check_exact=True)
    monkeypatch.setattr(module, "_read", lambda *_, **__: pytest.fail("all is there already"))
    pd.testing.assert_frame_equal(rank_channels(mnist, names, images, 2, folder=folder, **options), resumed)


def test_a_folder_of_other_results_is_refused(mnist, tmp_path):
    images = load_digits().images[:20]
    rank_channels(mnist, "dense1", images, 2, n_permutations=0, folder=tmp_path)
    rank_channels(mnist, ["dense1", "pool"], images, 2, n_permutations=0, folder=tmp_path)  # more layers: welcome
    cases = {
        "images": (mnist, "dense1", images[::-1], 2),
        "target": (mnist, "dense1", images, 3),
        "network": (load_checkpoint("mnist_all"), "dense1", images, 2),
    }
    for what, case in cases.items():
        with pytest.raises(ValueError, match=f"other {what}"):
            rank_channels(*case, n_permutations=0, folder=tmp_path)
    other = keras.models.clone_model(mnist)
    other.get_layer("relu3").negative_slope = 0.3
    other.set_weights(mnist.get_weights())
    with pytest.raises(ValueError, match="other network"):
        rank_channels(other, "dense1", images, 2, n_permutations=0, folder=tmp_path)
    rank_channels(mnist, "dense1", images, 2, np.int64(10), n_permutations=np.int64(0), folder=tmp_path)
    with pytest.raises(ValueError, match="other n_components and n_permutations"):
        rank_channels(mnist, "dense1", images, 2, n_permutations=1, n_components=5, folder=tmp_path)


@pytest.fixture
def tiny():
    """A network of two small layers whose names differ by a character that no file name has, and its images."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 1))
    x = layers.Conv2D(3, 2, name="a--b")(inputs)
    x = layers.Flatten()(layers.BatchNormalization(name="norm")(x))
    model = keras.Model(inputs, layers.Dense(2)(x))
    return model, np.random.default_rng(0).random((20, 4, 4, 1)).astype(np.float32)


def rank_tiny(tiny, folder=None, names=("a--b", "norm"), target=1, **options):
    return rank_channels(tiny[0], names, tiny[1], target, 3, folder=folder, **{"n_permutations": 2} | options)


def test_a_folder_at_home(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rank_tiny(tiny, "~/ranking")
    assert (tmp_path / "home" / "ranking" / "norm.parquet").exists()
    assert not (tmp_path / "~").exists()


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def alter(path):
    table = pd.read_parquet(path)
    table.assign(pcace=table["pcace"] / 2).to_parquet(path)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        alter,
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        lambda path: pd.read_parquet(path)[:2].to_parquet(path),
        lambda path: path.write_bytes((path.parent / "norm.parquet").read_bytes()),
        lambda path: [
            os.replace(path.with_name("norm" + end), path.with_suffix(end)) for end in (".parquet", ".sha256")
        ],
        lambda path: path.with_suffix(".sha256").unlink(),
    ],
)
def test_a_table_that_was_altered_is_refused(tiny, tmp_path, damage):
    table, path = rank_tiny(tiny, tmp_path), tmp_path / "a--b.parquet"
    damage(path)
    with pytest.raises(ValueError, match=r"folder: .*a--b.parquet is damaged, or of another ranking; delete it"):
        rank_tiny(tiny, tmp_path)
    path.unlink()
    pd.testing.assert_frame_equal(rank_tiny(tiny, tmp_path), table, check_exact=True)


def test_tables_of_other_settings_are_refused_when_the_note_is_lost(tiny, tmp_path):
    rank_tiny(tiny, tmp_path)
    note = tmp_path / "ranking.json"
    note.write_text("{")
    with pytest.raises(ValueError, match=r"ranking.json is damaged; delete it"):
        rank_tiny(tiny, tmp_path)
    note.unlink()
    with pytest.raises(ValueError, match="of another ranking"):
        rank_tiny(tiny, tmp_path, seed=1)


def test_two_runs_in_one_folder_both_finish(tiny, tmp_path):
    expected = rank_tiny(tiny)
    for attempt in range(3):
        both, found = threading.Barrier(2), []

        def run(folder=tmp_path / str(attempt), both=both, found=found):
            both.wait()
            found.append(rank_tiny(tiny, folder))

        threads = [threading.Thread(target=run) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(found) == 2
        for table in found:
            pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_temporary_files_have_names_of_their_own(tmp_path, monkeypatch):
    moved, move = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(a), move(a, b)))
    for content in (b"1", b"2"):
        module._replace(tmp_path / "x", content)
    assert len(set(moved)) == 2
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"2"]


def test_the_same_network_compiled_or_frozen_goes_on(tiny, tmp_path):
    table = rank_tiny(tiny, tmp_path)
    tiny[0].compile("adam", "mse")
    pd.testing.assert_frame_equal(rank_tiny(tiny, tmp_path), table)
    tiny[0].trainable = False
    pd.testing.assert_frame_equal(rank_tiny(tiny, tmp_path), table)
    tiny[0].set_weights([2 * weight for weight in tiny[0].get_weights()])
    with pytest.raises(ValueError, match="other network"):
        rank_tiny(tiny, tmp_path)


def test_layers_have_files_of_their_own(tmp_path):
    files = {path for name in ("a/b", "a--b", "a%2Fb", "../a", "a.b") for path in module._files(tmp_path, name)}
    assert len(files) == 10
    assert all(path.parent == tmp_path for path in files)


def test_a_cluster_that_loses_a_worker_gives_the_table_of_one_process(mnist):
    images = load_digits().images[:60]
    arguments = (mnist, ["relu1", "pool"], images, 2)
    here = rank_channels(*arguments, n_permutations=40)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        pids = client.run(os.getpid)
        timer = threading.Timer(2, os.kill, (next(iter(pids.values())), signal.SIGKILL))
        timer.start()
        there = rank_channels(*arguments, n_permutations=40)
        assert not timer.is_alive()  # it was killed before the end
        assert set(client.run(os.getpid).values()) != set(pids.values())
    pd.testing.assert_frame_equal(here, there, check_exact=True)


# --- bad input -------------------------------------------------------------------------------------------------------


def broken(values, change):
    values = np.array(values)
    change(values)
    return values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:9], y[:9]), "got 9"),
        (lambda x, y: (x, y[:-1]), "scores: got float64 of shape"),
        (lambda x, y: (x, np.ones(M)), "all are 1"),
        (lambda x, y: (x, broken(y, lambda v: v.put(3, np.nan))), "scores: there are values that are NaN"),
        (lambda x, y: (broken(x, lambda v: v.put(3, np.inf)), y), "activations"),
        (lambda x, y: (x[..., 0], y), "activations: got float32 of shape"),
        (lambda x, y: (x[..., :0], y), "activations: got float32 of shape"),
        (lambda x, y: (x.astype(complex), y), "complex"),
        (lambda x, y: (x.astype(str), y), "give real numbers"),
        (lambda x, y: (np.ma.masked_less(x, 0), y), "masked"),
        (lambda x, y: (x, y.astype(str)), "scores"),
    ],
)
def test_data_that_are_refused(planted, change, message):
    with pytest.raises(ValueError, match=message):
        pcace(*change(*planted))


@pytest.mark.parametrize(
    "options",
    [
        {"n_components": 0},
        {"n_components": M},
        {"n_components": M // 2, "held_out": True},
        {"n_components": 2.5},
        {"n_components": "all"},
        {"statistic": "second"},
        {"statistic": []},
        {"statistic": ["first", "first"]},
        {"n_permutations": -1},
        {"n_permutations": 2.0},
        {"n_splits": -1},
        {"n_splits": 5, "held_out": True},
        {"n_components": "half", "n_splits": 5},
        {"n_jobs": 0},
        {"n_jobs": True},
        {"seed": None},
        {"seed": -1},
        {"seed": 1.5},
    ],
)
def test_options_that_are_refused(planted, options, mnist, digits_of_one_class):
    with pytest.raises(ValueError, match=next(iter(options)).replace("held_out", "n_")):
        pcace(*planted, **options)
    if options.get("n_components") not in (M, M // 2, "half"):
        with pytest.raises(ValueError):  # noqa: PT011 - the same check, seen above
            rank_channels(mnist, "relu1", digits_of_one_class, 2, **options)


@pytest.mark.parametrize(
    "target", [10, -1, [3, 12], [3, 3], "3", None, {3: np.nan}, {12: 1}, {}, np.ones(7), np.full(100, np.nan), [[1, 2]]]
)
def test_targets_that_are_refused(mnist, digits_of_one_class, target):
    with pytest.raises(ValueError, match=r"target|scores"):
        rank_channels(mnist, "relu1", digits_of_one_class, target)


def test_layers_and_memory_that_are_refused(mnist, digits_of_one_class):
    with pytest.raises(ValueError, match="no layer 'conv7'"):
        rank_channels(mnist, "conv7", digits_of_one_class, 2)
    for none in ([], ["relu1", "relu1"]):
        with pytest.raises(ValueError, match="layers"):
            rank_channels(mnist, none, digits_of_one_class, 2)
    with pytest.raises(ValueError, match="max_memory"):
        rank_channels(mnist, "relu1", digits_of_one_class, 2, max_memory=0)
    with pytest.raises(ValueError, match="images"):
        rank_channels(mnist, "relu1", digits_of_one_class[:5], 2)


def test_half_is_half_of_the_smaller_side(planted):
    maps, _ = planted
    assert components(maps, "half").shape == (4, M, SIDE * SIDE // 2)
    assert components(maps[:20], "half").shape == (4, 20, 10)
    assert components(maps.mean(axis=(1, 2)), 10).shape == (4, M, 1)


def test_scores_that_few_images_share_do_not_break_the_subsamples():
    rng = np.random.default_rng(0)
    y = np.zeros(24)
    y[:2] = 1
    table = pcace(rng.standard_normal((24, 3, 3, 2)), y, n_components=2, n_splits=20)
    assert table["rank_low"].notna().all()


def test_public_functions_share_their_options():
    def options(function):
        return {n: p.default for n, p in inspect.signature(function).parameters.items() if p.default is not p.empty}

    assert options(pcace) == options(group_pcace)
    assert options(pcace).items() - options(rank_channels).items() == {("n_permutations", 0)}
