"""Rankings with known correlations, games with known Shapley values, and a network in which one channel does it all."""

import re
from itertools import combinations, product
from math import comb, factorial

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from scipy.stats import pearsonr, spearmanr

from interp_helpers.compare import (
    _class_selectivity,
    _taylor_scores,
    enrichment,
    importance,
    rank_correlations,
    removal_areas,
    removal_curves,
    shapley_values,
    value_of_channels,
)
from interp_helpers.engine.gradients import map_gradients
from interp_helpers.models import logits_model
from interp_helpers.variation import vary_channel, without_channels

N_CHANNELS, N_CLASSES = 6, 3
BRIGHT, DARK, UNREAD = 0, 1, 5


@pytest.fixture
def planted():
    """Channel 0 is the pixel and speaks for class 1, channel 1 is 1 - pixel and speaks for class 0; 5 is not read."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(N_CHANNELS, 1, name="conv"),
            layers.ReLU(name="relu"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(N_CLASSES, name="logits"),
            layers.Softmax(name="probabilities"),
        ]
    )
    kernel = np.array([1, -1, 0.1, 0.1, -0.2, 3], np.float32).reshape(1, 1, 1, N_CHANNELS)
    model.get_layer("conv").set_weights([kernel, np.array([0, 1, 0, 0, 0.2, 0], np.float32)])
    reads = np.zeros((N_CHANNELS, N_CLASSES), np.float32)
    reads[BRIGHT, 1], reads[DARK, 0], reads[2, 1], reads[3, 2], reads[4, 0] = 4, 4, 1, -1, 0.5
    model.get_layer("logits").set_weights([reads, np.zeros(N_CLASSES, np.float32)])
    return model


@pytest.fixture
def pictures():
    """Forty dark images, class 0, and forty bright ones, class 1."""
    rng = np.random.default_rng(0)
    dark, bright = 0.4 * rng.random((40, 4, 4, 1)), 0.6 + 0.4 * rng.random((40, 4, 4, 1))
    return np.concatenate([dark, bright]).astype(np.float32), np.repeat([0, 1], 40)


@pytest.fixture
def rankings():
    values = np.random.default_rng(1).normal(size=(32, 3))
    values[:, 1] += 1.5 * values[:, 0]
    return pd.DataFrame(values, columns=["a", "b", "c"])


# --- correlations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "other"), [("spearman", spearmanr), ("pearson", pearsonr)])
def test_correlations_are_those_of_scipy(rankings, method, other):
    rows = rank_correlations(rankings, method)
    assert rows[["first", "second"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    for row in rows.itertuples():
        expected = other(rankings[row.first], rankings[row.second])
        assert row.correlation == pytest.approx(expected.statistic)
        assert row.p == pytest.approx(expected.pvalue, abs=0.05)
        assert row.low < row.correlation < row.high


def test_ties_share_their_rank():
    table = pd.DataFrame({"a": [1, 1, 2, 2, 3, 4, 4], "b": [2, 1, 1, 3, 3, 3, 5]})
    expected = spearmanr(table["a"], table["b"]).statistic
    assert rank_correlations(table)["correlation"].item() == pytest.approx(expected)


def test_numbering_of_the_channels_does_not_matter_but_does_for_sorted_lists(rankings):
    order = np.random.default_rng(2).permutation(32)
    relabelled = rankings.iloc[order].reset_index(drop=True)
    before, after = (rank_correlations(table)["correlation"] for table in (rankings, relabelled))
    np.testing.assert_allclose(before, after)
    lists = [spearmanr(*(np.argsort(table[name]) for name in "ab")).statistic for table in (rankings, relabelled)]
    assert abs(lists[0] - lists[1]) > 0.1


def test_chance_level_is_that_of_unrelated_rankings(rankings):
    """The 95 % limit of |Spearman's coefficient| of 32 unrelated values is 0.35."""
    rows = rank_correlations(rankings, n_permutations=4000)
    assert rows["chance"].to_numpy() == pytest.approx(0.35, abs=0.02)
    assert (rows["p"] < 0.05).tolist() == [True, *(rows["correlation"].abs() > rows["chance"])[1:]]


def test_intervals_cover_the_truth_nearly_as_often_as_they_say():
    rng, covered, rho = np.random.default_rng(3), 0, 0.6
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's coefficient of two normal variables
    for seed in range(150):
        pair = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 32)
        row = rank_correlations(pd.DataFrame(pair, columns=["a", "b"]), "spearman", 300, 1, seed).iloc[0]
        covered += row["low"] <= truth <= row["high"]
    assert covered >= 0.88 * 150


def test_dead_channels_and_constant_rankings(rankings):
    holed = rankings.copy()
    holed.loc[[3, 8], "c"] = np.nan
    rows = rank_correlations(holed.assign(flat=1.0))
    assert set(rows["n"]) == {30}
    assert rows["correlation"].isna().tolist() == [second == "flat" for second in rows["second"]]
    assert rows[["low", "high", "chance", "p"]].isna().all(axis=1).tolist() == rows["correlation"].isna().tolist()
    kept = holed.dropna()
    assert rows["correlation"][0] == pytest.approx(spearmanr(kept["a"], kept["b"]).statistic)


def test_same_seed_same_intervals(rankings):
    pd.testing.assert_frame_equal(rank_correlations(rankings), rank_correlations(rankings))
    assert not rank_correlations(rankings)["low"].equals(rank_correlations(rankings, seed=1)["low"])


# --- enrichment ------------------------------------------------------------------------------------------------------


def test_hypergeometric_by_counting():
    """Of all 10 choose 3 top threes, count those with as many members."""
    members = np.arange(10) < 4
    table = pd.DataFrame({"a": [9, 1, 8, 2, 7, 3, 4, 5, 6, 0]})
    row = enrichment(table, members, k=3).iloc[0]
    assert row["found"] == 2  # 0 and 2, beside 4
    tops = [sum(c < 4 for c in top) for top in combinations(range(10), 3)]
    assert row["p"] == pytest.approx(np.mean([count >= 2 for count in tops]))
    assert row["at_least_one"] == pytest.approx(1 - comb(6, 3) / comb(10, 3))
    assert row["expected"] == pytest.approx(np.mean(tops))


def test_the_same_ranking_ten_times_is_no_more_evidence_than_once():
    rng = np.random.default_rng(4)
    members = np.arange(32) < 9
    one = pd.DataFrame({"a": rng.normal(size=32) + members})
    ten = pd.concat([one["a"].rename(str(i)) for i in range(10)], axis=1)
    once, often = enrichment(one, members), enrichment(ten, members)
    assert often["found"].iloc[-1] == 10 * once["found"][0]
    assert often["p"].iloc[-1] == pytest.approx(once["p"][0], abs=0.03)


def test_p_values_of_random_members_are_even():
    rng = np.random.default_rng(5)
    table = pd.DataFrame(rng.normal(size=(32, 4)))
    marks = [np.isin(np.arange(32), rng.permutation(32)[:11]) for _ in range(120)]
    p = np.array([enrichment(table, members, n_permutations=100)["p"].iloc[-1] for members in marks])
    assert (p <= 0.1).mean() < 0.17
    assert (p <= 0.5).mean() < 0.65


def test_a_dead_channel_is_last_and_the_order_within_the_top_does_not_matter():
    table = pd.DataFrame({"a": [np.nan, 1.0, 1.0, 1.0, 0.0, 0.0]})
    assert enrichment(table, np.array([True, *5 * [False]]), k=5)["found"][0] == 0
    assert enrichment(table, np.array([False, True, True, *3 * [False]]), k=3)["found"][0] == 2


# --- importance measures ---------------------------------------------------------------------------------------------


def test_selectivity_by_hand():
    labels = np.array([0, 0, 1, 1, 2, 2])
    means = np.array([[3, 0, 2, 0], [1, 0, 2, 0], [0, 5, 2, 0]], float)  # class by channel
    maps = np.repeat(means, 2, axis=0)[:, None, None] * np.ones((6, 2, 2, 1))
    found = _class_selectivity(maps, labels)
    np.testing.assert_allclose(found.max(axis=0), [(3 - 0.5) / 3.5, 1, 0, np.nan])
    np.testing.assert_allclose(found[1], [(1 - 1.5) / 2.5, -1, 0, np.nan])


def test_kernel_norm_is_the_sum_of_absolute_weights(planted, pictures):
    norms = importance(planted, "relu", *pictures)["kernel norm"]
    np.testing.assert_allclose(norms, 2 * [1, 1, 0.1, 0.1, 0.2, 3], rtol=1e-6)


def small_network(*inner):
    keras.utils.set_random_seed(0)
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(2), layers.Softmax()]
    return keras.Sequential([keras.Input((4, 4, 1)), *inner, *ends])


def test_selectivity_is_unknown_where_activations_are_negative(pictures):
    network = small_network(layers.Conv2D(3, 2), layers.Activation("swish", name="act"))
    with pytest.warns(UserWarning, match="selectivity: NaN"):
        table = importance(network, "act", *pictures)
    assert table.columns[table.isna().any()].tolist() == ["selectivity"]


@pytest.mark.parametrize(
    ("inner", "norms"),
    [
        ([layers.Conv2DTranspose(3, 2)], lambda kernel: np.abs(kernel).sum(axis=(0, 1, 3))),
        ([layers.DepthwiseConv2D(2, depth_multiplier=3)], lambda kernel: np.abs(kernel).sum(axis=(0, 1)).ravel()),
        ([layers.SeparableConv2D(3, 2)], None),
        ([layers.Conv2D(3, 2), layers.Permute((1, 3, 2))], None),
        ([layers.Conv2D(3, 2), layers.Lambda(lambda x: x[..., ::-1], output_shape=(3, 3, 3))], None),
    ],
)
def test_kernel_norms_are_those_of_the_channels_or_unknown(pictures, inner, norms):
    network = small_network(*inner, layers.ReLU(name="act"))
    found = importance(network, "act", *pictures)["kernel norm"]
    expected = 6 * [np.nan] if norms is None else 2 * norms(network.layers[0].get_weights()[0]).tolist()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_taylor_score_is_the_first_order_of_the_loss(planted, pictures):
    """d loss / d activation by finite differences: shrink a channel by a thousandth, and see what the loss does."""
    images, labels = pictures

    def loss(change=0):
        z = logits_model(planted).predict(images, verbose=0).astype(float)
        z[np.arange(80)] += change
        return np.log(np.exp(z).sum(axis=1)) - z[np.arange(80), labels]

    measured = _taylor_scores(planted, "relu", images, labels, batch_size=33)
    assert measured.shape == (80, N_CHANNELS)
    for channel in (BRIGHT, 2, UNREAD):
        change = vary_channel(planted, "relu", images, None, "kill", size=1e-3, channels=[channel])["change"]
        predicted = np.abs(loss(change.to_numpy().reshape(80, -1)) - loss()) / 1e-3 / 16  # a mean over 16 positions
        np.testing.assert_allclose(measured[:, channel], predicted, rtol=0.02, atol=1e-4)
    assert not measured[:, UNREAD].any()


def test_importance_puts_the_measures_together(planted, pictures):
    images, labels = pictures
    before = planted.get_weights()
    table = importance(planted, "relu", images, labels, ideal=images[[0, 40]])
    assert all(np.array_equal(a, b) for a, b in zip(before, planted.get_weights(), strict=True))
    assert table.groupby("class")["channel"].agg(list).tolist() == 2 * [list(range(N_CHANNELS))]
    killed = vary_channel(planted, "relu", images, labels, "kill")
    killed = killed["change"].abs().groupby([killed["class"], killed["channel"]]).mean()
    np.testing.assert_allclose(table["kill"], killed, rtol=1e-4, atol=1e-6)
    without = without_channels(planted, "relu", images[40:], labels[40:])
    wrong = (without["newly_wrong"] - without["newly_right"])[1:] / 40
    np.testing.assert_allclose(table[table["class"] == 1]["removal"], wrong)
    assert wrong.max() > 0.5  # a network without its bright channel calls bright images dark
    mean = table[table["class"] == 0]["mean activation"]
    assert mean.iloc[BRIGHT] == pytest.approx(images[:40].mean(), rel=1e-4)
    np.testing.assert_allclose(table["ideal max"].iloc[BRIGHT], images[0].max(), rtol=1e-5)
    maps, slopes = map_gradients(planted, images, labels, "relu")
    taylor = np.abs((maps * slopes).sum(axis=(1, 2)))
    np.testing.assert_allclose(table["gradient x activation"][:N_CHANNELS], taylor[:40].mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(table["gradient x activation"], table["kill"], rtol=1e-3, atol=1e-5)  # linear
    assert table["selectivity"].iloc[DARK] > 0 > table["selectivity"].iloc[BRIGHT]


def test_a_channel_that_nothing_reads(planted, pictures):
    """Measures that look at the rest of the network give 0; those that look at the channel alone cannot know."""
    table = importance(planted, "relu", *pictures).groupby("channel").mean()
    unread = table.loc[UNREAD]
    assert not unread[["kill", "gradient", "noise", "removal", "gradient x activation", "Taylor"]].any()
    assert (table["kernel norm"].idxmax(), table["mean activation"].idxmax()) == (UNREAD, UNREAD)


# --- Shapley values --------------------------------------------------------------------------------------------------


def exact_shapley(value, n):
    """Return Shapley's formula: the mean of what a player adds, over all sets of the others, weighted by size."""
    result, sets = np.zeros(n), np.array(list(product([False, True], repeat=n)))
    worth = dict(zip(map(tuple, sets.tolist()), value(sets), strict=True))
    for player in range(n):
        others = [p for p in range(n) if p != player]
        for size in range(n):
            for group in combinations(others, size):
                without = np.isin(np.arange(n), group)
                with_player = without | (np.arange(n) == player)
                weight = factorial(size) * factorial(n - size - 1) / factorial(n)
                result[player] += weight * (worth[tuple(with_player)] - worth[tuple(without)])
    return result


def test_an_additive_game_is_solved_exactly():
    worth = np.array([3.0, -1, 0, 0.5])
    shapley, error = shapley_values(lambda sets: sets @ worth, 4, n_permutations=4)
    np.testing.assert_allclose(shapley, worth)
    np.testing.assert_allclose(error, 0, atol=1e-12)


def test_two_gloves():
    """Players 0 and 1 each have a left glove, player 2 the right one: 1/6, 1/6, 2/3."""
    shapley, error = shapley_values(lambda sets: (sets[:, 0] | sets[:, 1]) & sets[:, 2], 3, n_permutations=4000)
    np.testing.assert_allclose(shapley, [1 / 6, 1 / 6, 2 / 3], atol=0.03)
    assert (np.abs(shapley - [1 / 6, 1 / 6, 2 / 3]) < 4 * error).all()


def test_channels_against_enumeration(planted, pictures):
    images, labels = pictures
    value = value_of_channels(planted, "relu", images, labels)
    shapley, error = shapley_values(value, N_CHANNELS, n_permutations=200)
    for q in range(2):  # accuracy, score
        exact = exact_shapley(lambda sets, q=q: value(sets)[:, q], N_CHANNELS)
        assert (np.abs(shapley[:, q] - exact) <= 4 * error[:, q] + 1e-5).all()
    whole, nothing = value(np.array([[True] * N_CHANNELS, [False] * N_CHANNELS]))
    np.testing.assert_allclose(shapley.sum(axis=0), whole - nothing, atol=1e-5)  # efficiency
    np.testing.assert_allclose(shapley[UNREAD], 0, atol=1e-6)  # a null player
    assert whole[0] == (np.argmax(logits_model(planted).predict(images, verbose=0), axis=1) == labels).mean()


def test_standard_errors_are_the_scatter_over_seeds():
    def value(sets):
        return (sets @ np.arange(1, 7)) ** 2 * sets[:, 0]

    runs = [shapley_values(value, 6, n_permutations=20, seed=seed) for seed in range(200)]
    scatter = np.std([shapley for shapley, _ in runs], axis=0)
    np.testing.assert_allclose(np.sqrt(np.mean([error**2 for _, error in runs], axis=0)), scatter, rtol=0.25)


def test_every_set_is_asked_for_once():
    asked = []

    def value(sets):
        asked.append(sets)
        return sets.sum(axis=1)

    shapley_values(value, 5, n_permutations=40)
    (sets,) = asked
    assert len(np.unique(sets, axis=0)) == len(sets) <= 2**5


# --- removal ---------------------------------------------------------------------------------------------------------


def test_removal_curves_against_removal_by_hand(planted, pictures):
    images, labels = pictures
    table = pd.DataFrame({"a": [5, 4, 3, 2, 1, 0], "b": [np.nan, 5, 1, 2, 3, 4.0]})
    curves = removal_curves(planted, "relu", images, labels, table, n_random=3)
    assert curves.groupby(["ranking", "order"], sort=False)["removed"].agg(list).tolist() == 7 * [list(range(7))]
    ends = {("a", "best first"): [0, 1, 2, 3, 4, 5], ("b", "worst first"): [0, 2, 3, 4, 5, 1]}
    for (name, end), order in ends.items():
        curve = curves[(curves["ranking"] == name) & (curves["order"] == end)]
        by_hand = without_channels(planted, "relu", images, labels, [tuple(order[:n]) for n in range(1, 7)])
        for measure in ("accuracy", "low", "high", "score"):
            np.testing.assert_allclose(curve[measure], by_hand[measure])
    starts = curves[curves["removed"] == 0][["accuracy", "score"]].drop_duplicates()
    assert len(starts) == 1
    assert len(curves[curves["removed"] == 6][["accuracy", "score"]].drop_duplicates()) == 1


def test_areas_tell_the_ranking_that_knows_from_the_one_that_does_not(planted, pictures):
    images, labels = pictures
    kill = importance(planted, "relu", images, labels).groupby("channel")["kill"].mean()
    curves = removal_curves(planted, "relu", images, labels, pd.DataFrame({"kill": kill}), n_random=40)
    areas = removal_areas(curves).set_index("order")
    assert areas.loc["best first", "below_score"] < 0.1 < 0.9 < areas.loc["worst first", "below_score"]
    curve = curves[curves["order"] == "best first"]
    assert areas.loc["best first", "score"] == pytest.approx(np.trapezoid(curve["score"], curve["removed"]) / 6)
    shuffled = curves.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(removal_areas(shuffled).set_index("order").loc[areas.index], areas)


def test_same_seed_same_random_orders(planted, pictures):
    table = pd.DataFrame({"a": np.arange(N_CHANNELS)})
    first, again = (removal_curves(planted, "relu", *pictures, table, n_random=2, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


# --- what is refused -------------------------------------------------------------------------------------------------

GOOD = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 2)), columns=["a", "b"])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, x, y: rank_correlations(GOOD, "kendall"), "method: got 'kendall'"),
        (lambda m, x, y: rank_correlations(GOOD[["a"]]), "table: 1 rankings of 6 channels"),
        (lambda m, x, y: rank_correlations(GOOD[:5]), "2 rankings of 5 channels"),
        (lambda m, x, y: rank_correlations(GOOD.to_numpy()), "table: got ndarray; give a DataFrame"),
        (lambda m, x, y: rank_correlations(GOOD.assign(c="x")), "table: c is not numeric"),
        (lambda m, x, y: rank_correlations(GOOD.assign(c=np.inf)), "not finite"),
        (lambda m, x, y: rank_correlations(GOOD[["a", "a"]]), "each column once"),
        (lambda m, x, y: rank_correlations(GOOD, n_bootstrap=0), "n_bootstrap: got 0"),
        (lambda m, x, y: enrichment(GOOD, np.arange(6)), "members: got int64"),
        (lambda m, x, y: enrichment(GOOD, np.ones(5, bool)), "members: got bool of shape (5,)"),
        (lambda m, x, y: enrichment(GOOD, np.ones(6, bool), k=7), "k: got 7; give a whole number, 1 to 6"),
        (lambda m, x, y: rank_correlations(GOOD, seed=-1), "seed: got -1"),
        (lambda m, x, y: importance(m, "relu", x, y + 9), "the model has classes 0 to 2"),
        (lambda m, x, y: importance(m, "relu", x, y[:4]), "give 80 integers"),
        (lambda m, x, y: importance(m, "conv9", x, y), "conv9"),
        (lambda m, x, y: importance(m, "relu", x, 0 * y), "all images are of class 0"),
        (lambda m, x, y: importance(m, "logits", x, y), "logits"),
        (lambda m, x, y: importance(m, "relu", x, y, x[:3]), "ideal: got shape (3, 4, 4, 1)"),
        (lambda m, x, y: shapley_values(lambda s: s.sum(1), 3, n_permutations=5), "n_permutations: got 5"),
        (lambda m, x, y: shapley_values(lambda s: s.sum(1), 0), "n_players: got 0"),
        (lambda m, x, y: value_of_channels(m, "relu", x, y)(np.ones((2, 5), bool)), "kept: got bool of shape (2, 5)"),
        (lambda m, x, y: shapley_values(lambda s: s.sum(), 3), "value: got shape ()"),
        (lambda m, x, y: shapley_values(lambda s: s.sum(1) * np.nan, 3), "return a finite number"),
        (lambda m, x, y: removal_curves(m, "relu", x, y, GOOD[:4]), "table: 4 rows; 'relu' has 6 channels"),
        (lambda m, x, y: removal_curves(m, "relu", x, y, GOOD.rename(columns={"a": "random"})), "'random' names"),
        (lambda m, x, y: removal_curves(m, "relu", x, y, GOOD, n_random=-1), "n_random: got -1"),
        (lambda m, x, y: removal_areas(GOOD), "curves: has no column ranking, order"),
        (lambda m, x, y: removal_areas(removal_curves(m, "relu", x, y, GOOD, 0)), "random orders"),
        (lambda m, x, y: removal_areas(pd.concat(2 * [removal_curves(m, "relu", x, y, GOOD, 1)[:-1]])), "each once"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(planted, pictures, call, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        call(planted, *pictures)


def test_equal_values_are_in_a_random_order_and_not_in_that_of_the_rows():
    members = np.arange(8) < 4
    tied = pd.DataFrame({"tied": np.zeros(8)})
    found = [enrichment(tied, members, k=2, n_permutations=1, seed=seed)["found"][0] for seed in range(60)]
    assert set(found) == {0, 1, 2}
    assert np.mean(found) == pytest.approx(1, abs=0.3)


def test_enrichment_refuses_rankings_without_a_top():
    members = np.array([True, True, False, False])
    values = pd.Series([3.0, 2.0, np.nan, np.nan])
    with pytest.raises(ValueError, match="fewer channels"):
        enrichment(pd.DataFrame({"short": values}), members, k=3)
    with pytest.raises(ValueError, match="table: 'all'"):
        enrichment(pd.DataFrame({"all": values}), members, k=1)


def test_removal_areas_refuse_curves_with_gaps_or_without_steps():
    rows = [(name, "best first", n, 1 - n / 4, 1.0) for name in ("random", "kill") for n in range(3)]
    curves = pd.DataFrame(rows, columns=["ranking", "order", "removed", "accuracy", "score"])
    removal_areas(curves)
    for broken in (curves.replace({"accuracy": {0.5: np.nan}}), curves[curves["removed"] == 0]):
        with pytest.raises(ValueError, match="curves"):
            removal_areas(broken)
