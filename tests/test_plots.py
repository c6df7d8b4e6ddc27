import keras
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from interp_helpers import plots
from interp_helpers.models import mnist_cnn


@pytest.fixture(autouse=True)
def no_screen():
    mpl.use("agg")
    plots.use_book_style()
    yield
    plt.close("all")


def test_figures_are_opaque_so_that_dark_pages_do_not_hide_axes():
    figure, _ = plt.subplots()
    assert to_rgba(figure.get_facecolor()) == (1, 1, 1, 1)


def test_image_grid_draws_every_image_on_one_scale():
    images = np.random.default_rng(0).random((7, 28, 28, 1)) * np.arange(1, 8).reshape(7, 1, 1, 1) / 7
    figure = plots.image_grid(images, titles=list("abcdefg"), n_columns=3)
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(figure.axes) == 9
    assert [axis.get_title() for axis in drawn] == list("abcdefg")
    assert {axis.images[0].get_clim() for axis in drawn} == {(0, 1)}


def test_one_confusion_matrix_writes_every_count_and_puts_true_classes_in_rows():
    matrix = np.arange(9).reshape(3, 3)
    axis = plots.confusion_matrices({"": matrix}, classes=["a", "b", "c"]).axes[0]
    written = {(round(text.get_position()[0] - 0.5), round(text.get_position()[1] - 0.5)): text.get_text()
               for text in axis.texts}  # fmt: skip
    assert axis.collections[0].get_clim() == (0, 7)  # of the errors
    assert written == {(column, row): str(matrix[row, column]) for row in range(3) for column in range(3)}
    assert axis.get_ylabel() == "true class"
    assert axis.get_xlabel() == "predicted class"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]


def test_architecture_writes_every_layer_shape_and_parameter_count():
    figure = plots.architecture(mnist_cnn())
    written = {text.get_text() for text in figure.axes[0].texts}
    assert {"conv1", "relu2", "probabilities", "26 x 26 x 32", "4,608", "589,952", "320"} <= written


def test_network_overview_shows_all_channels_and_highlights_the_highest_logit():
    maps = {"conv1": np.ones((6, 6, 12)), "conv2": np.ones((4, 4, 3))}
    figure = plots.network_overview(np.zeros((8, 8, 1)), maps, np.array([0.0, -1.0, 3.0]))
    titles = [axis.get_title() for axis in figure.axes]
    assert {"conv1: 12 channels", "conv2: 3 channels"} <= set(titles)
    drawn = figure.axes[titles.index("conv1: 12 channels")].images[0].get_array()
    assert np.isfinite(drawn.filled(np.nan)).sum() == 6 * 6 * 12
    bars = figure.axes[titles.index("class scores")].patches
    assert [bar.get_facecolor() == to_rgba(plots.ACCENT) for bar in bars] == [False, False, True]


def test_map_table_scales_each_column_by_its_kind():
    signed = np.array([[[-1.0, 0.5]], [[0.1, 0.2]]])
    figure = plots.map_table({"image": signed * 0, "each": signed, "all": signed}, ["a", "b"], shared=["all"])
    limits = [axis.images[0].get_clim() for axis in figure.axes]
    assert limits == [(0, 1), (-1, 1), (-1, 1), (0, 1), (-0.2, 0.2), (-1, 1)]
    pair = plots.map_table({"weak": signed / 4, "strong": signed}, shared=["weak", "strong"])
    assert {axis.images[0].get_clim() for axis in pair.axes} == {(-1, 1)}
    grey = plots.map_table({"a": signed}, pictures=["a"]).axes[0].images[0]
    assert (grey.get_cmap().name, grey.get_clim()) == ("gray", (0, 1))
    assert [axis.get_title() for axis in figure.axes[:3]] == ["image", "each", "all"]


def test_patches_draws_a_pair_of_blocks_for_each_channel():
    seen = np.zeros((5, 9, 3, 4))
    seen[1, 0, 0, 0] = 1
    figure = plots.patches(seen, -seen)
    picture = figure.axes[1].images[0].get_array()
    assert picture.shape == (12, 2 * 16, 3)
    assert (picture[0, 0] == 1).all()  # the white pixel of the first patch
    assert picture[0, 17, 2] > picture[0, 17, 0]  # blue: a negative slope
    assert [axis.get_title() for axis in figure.axes[:5]] == list("01234")


def test_channel_scatter_numbers_and_marks_the_channels_of_each_panel():
    x, y = np.arange(4.0), np.arange(4.0) ** 2
    figure = plots.channel_scatter({"one": (x, y), "two": (-x, y)}, "across", "up", {"one": [1], "two": [0, 3]})
    marked = [[c for c, text in enumerate(axis.texts) if text.get_color() == plots.ACCENT] for axis in figure.axes]
    assert marked == [[1], [0, 3]]
    assert [text.get_text() for text in figure.axes[0].texts] == list("0123")
    np.testing.assert_array_equal(figure.axes[1].collections[0].get_offsets(), np.stack([-x, y], axis=1))


def test_quantize_palette_keeps_white_black_and_the_line_colours():
    wanted = [to_rgba(colour) for colour in ("white", "black", plots.INK, plots.ACCENT)]
    pixels = (np.array([wanted])[..., :3] * 255).round().astype(np.uint8)
    kept = np.asarray(plots.quantize_palette(Image.fromarray(pixels)).convert("RGB")).astype(int)
    assert np.abs(kept - pixels).max() <= 2


def ranked(**columns):
    rows = {"channel": [0, 1, 2], "pcace": [0.2, np.nan, 0.7], "null_low": 0.3, "null_high": 0.4}
    return pd.DataFrame(rows | columns)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.image_grid(np.zeros((0, 28, 28))), "images: got"),
        (lambda: plots.image_grid(np.zeros((2, 28, 28, 3))), "images: got"),
        (lambda: plots.image_grid(np.zeros((2, 28, 28)), titles=["one"]), "shorter"),
        (lambda: plots.channels(np.zeros((2, 8, 8, 3))), "stack: got"),
        (lambda: plots.confusion_matrices({"a": np.zeros((2, 3))}), "matrices.'a'.: got"),
        (lambda: plots.patches(np.zeros((2, 9, 3, 3)), np.zeros((2, 8, 3, 3))), "slopes: got"),
        (lambda: plots.patches(np.zeros((2, 8, 3, 3)), np.zeros((2, 8, 3, 3))), "seen: got"),
        (lambda: plots.map_table({"a": np.zeros((2, 3, 3)), "b": np.zeros((1, 3, 3))}), "shorter"),
        (lambda: plots.map_table({"a": np.zeros((2, 3, 3))}, ["one"]), "shorter"),
        (lambda: plots.channel_scatter({"a": (np.zeros(3), np.zeros(2))}, "", ""), "same size"),
        (lambda: plots.ranking({"digit 2": ranked(channel=[0, 0, 1])}), "digit 2"),
        (lambda: plots.ranking({"digit 2": ranked(null_low=np.nan)}), "digit 2"),
        (lambda: plots.ranking({"digit 2": ranked().drop(columns="null_low")}), "digit 2"),
        (lambda: plots.architecture(keras.Sequential([keras.layers.Dense(2)])), "model: "),
        (lambda: plots.architecture(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])), "model: give"),
        (lambda: plots.network_overview(np.zeros((8, 8)), {}, np.zeros(2)), "image: got"),
        (lambda: plots.network_overview(np.zeros((8, 8, 1)), {}, np.zeros((1, 2))), "logits: got"),
    ],
)
def test_bad_input_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_several_confusion_matrices_are_shares_of_the_true_class():
    matrix = np.array([[3, 1], [0, 5]])
    figure = plots.confusion_matrices({"one": matrix, "two": matrix.T, "three": matrix}, classes=["cat", "dog"])
    assert figure.axes[0].images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]
    assert figure.axes[0].get_yticklabels()[1].get_text() == "dog"


def test_channel_heatmap_is_centred_and_marks_channels():
    table = pd.DataFrame([[1.0, -3.0, 0.0]], index=[7])
    figure = plots.channel_heatmap(table, highlight=[1], label="lost")
    axis = figure.axes[0]
    assert axis.images[0].get_clim() == (-3, 3)
    assert [text.get_color() == plots.ACCENT for text in axis.get_xticklabels()] == [False, True, False]
    assert axis.get_yticklabels()[0].get_text() == "7"


def test_channel_heatmap_of_values_has_its_own_scale_and_leaves_dead_channels_grey():
    table = pd.DataFrame([[0.5, np.nan, 0.9]], index=[2])
    figure = plots.channel_heatmap(table, label="PCACE", signed=False)
    picture = figure.axes[0].images[0]
    assert picture.get_clim() == (0.5, 0.9)
    assert picture.get_cmap().name == "viridis"
    assert picture.get_array().mask.tolist() == [[False, True, False]]


def test_ranking_sorts_channels_leaves_out_dead_ones_and_draws_the_chance_level():
    figure = plots.ranking({"digit 2": ranked()}, highlight=[2])
    axis = figure.axes[0]
    labels = axis.get_xticklabels()
    assert [text.get_text() for text in labels] == ["2", "0"]
    assert [text.get_color() for text in labels] == [plots.ACCENT, plots.INK]
    band, points = axis.collections
    assert points.get_offsets()[:, 1].tolist() == [0.7, 0.2]
    assert band.get_datalim(axis.transData).extents[[1, 3]].tolist() == [0.3, 0.4]


def test_map_table_draws_pictures_in_colour_beside_maps():
    pictures = np.random.default_rng(0).random((2, 8, 12, 3))
    figure = plots.map_table({"picture": pictures, "map": pictures[..., :1]})
    drawn = [axis.images[0].get_array() for axis in figure.axes]
    assert [np.shape(picture) for picture in drawn] == [(8, 12, 3), (8, 12)] * 2
    np.testing.assert_array_equal(drawn[2], pictures[1])
    np.testing.assert_array_equal(drawn[3], pictures[1, ..., 0])
