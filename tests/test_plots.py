import keras
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from interp_helpers import plots
from interp_helpers.data import load_digits
from interp_helpers.models import load_checkpoint, mnist_cnn


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


def test_predictions_say_true_class_answer_and_probability():
    digits = load_digits()
    probabilities = np.tile(np.linspace(0, 1, 10) / 5, (5000, 1))
    figure = plots.predictions(digits, probabilities, [3, 4999])
    assert [axis.get_title() for axis in figure.axes] == ["true 0\nread 9 (0.20)", "true 9\nread 9 (0.20)"]


def test_confusion_heatmap_writes_every_count_and_puts_true_classes_in_rows():
    matrix = np.arange(9).reshape(3, 3)
    axis = plots.confusion_heatmap(matrix, classes=["a", "b", "c"])
    written = {(round(text.get_position()[0] - 0.5), round(text.get_position()[1] - 0.5)): text.get_text()
               for text in axis.texts}  # fmt: skip
    assert written == {(column, row): str(matrix[row, column]) for row in range(3) for column in range(3)}
    assert axis.get_ylabel() == "true class"
    assert axis.get_xlabel() == "predicted class"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]


def test_architecture_writes_every_layer_shape_and_parameter_count():
    figure = plots.architecture(mnist_cnn())
    written = {text.get_text() for text in figure.axes[0].texts}
    assert {"conv1", "relu2", "probabilities", "26 x 26 x 32", "4,608", "589,952", "320"} <= written


def test_opened_network_shows_32_channels_and_marks_the_highest_score():
    model, image = load_checkpoint("mnist_cnn"), load_digits().images[1003]
    figure = plots.network_overview(model, image)
    titles = [axis.get_title() for axis in figure.axes]
    assert "conv1, after the ReLU: 32 channels" in titles
    bars = figure.axes[titles.index("class scores")].patches
    assert [bar.get_facecolor() == to_rgba(plots.ACCENT) for bar in bars].index(True) == 2


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
    assert picture.shape == (12, 2 * 17, 3)
    assert (picture[0, 0] == 1).all()  # the white pixel of the first patch
    assert picture[0, 17, 2] > picture[0, 17, 0]  # blue: a negative slope
    assert [axis.get_title() for axis in figure.axes[:5]] == list("01234")


def test_channel_report_marks_channels_and_draws_the_line():
    maps = np.random.default_rng(0).random((6, 6, 10))
    figure = plots.channel_report(np.zeros((8, 8, 1)), maps, line=0.5, marked=[3], top=0.8, top_mean=0.9)
    numbers = {text.get_text(): text.get_color() for axis in figure.axes for text in axis.texts}
    assert set(numbers) == set(map(str, range(10)))
    assert [c for c, colour in numbers.items() if colour == plots.ACCENT] == ["3"]
    maps_axis = next(axis for axis in figure.axes if axis.texts)
    assert maps_axis.images[0].get_clim() == (0, 0.8)
    dots = figure.axes[-1].lines
    assert [point.get_ydata()[0] for point in dots[:10]] == pytest.approx(maps.mean(axis=(0, 1)).tolist())
    assert list(dots[-1].get_ydata()) == [0.5, 0.5]
    assert figure.axes[-1].get_ylim()[1] == 0.9


def test_mean_dots_have_a_panel_for_each_kind_on_one_scale():
    rows = {"a": np.array([[1.0, 2, 3], [3, 2, 1]]), "b": np.array([[4.0, 5, 6]]), "c": np.zeros((1, 3))}
    figure = plots.mean_dots(rows, {"a": 1.5, "b": np.nan}, marked=[2])
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["a", "b", "c"]
    assert len({axis.get_ylim() for axis in panels}) == 1
    large = [line for line in panels[0].lines if line.get_marker() == "o"]
    assert [line.get_ydata()[0] for line in large] == [2, 2, 2]
    assert [line.get_color() for line in large] == [plots.INK, plots.INK, plots.ACCENT]
    dashed = [[line for line in axis.lines if line.get_linestyle() == "--"] for axis in panels]
    assert [len(lines) for lines in dashed] == [1, 0, 0]


def test_channel_scatter_numbers_and_marks_the_channels_of_each_panel():
    x, y = np.arange(4.0), np.arange(4.0) ** 2
    figure = plots.channel_scatter({"one": (x, y), "two": (-x, y)}, "across", "up", {"one": [1], "two": [0, 3]})
    marked = [[c for c, text in enumerate(axis.texts) if text.get_color() == plots.ACCENT] for axis in figure.axes]
    assert marked == [[1], [0, 3]]
    assert [text.get_text() for text in figure.axes[0].texts] == list("0123")
    np.testing.assert_array_equal(figure.axes[1].collections[0].get_offsets(), np.stack([-x, y], axis=1))


def test_transforms_are_points_and_known_ones_lines_in_the_order_of_the_values():
    x = np.array([2.0, 0.0, 1.0])
    figure = plots.transforms({"one": (x, x**2), "two": (x, -x)}, {"one": 2 * x}, names=("dots", "line"))
    line, points = figure.axes[0].lines
    np.testing.assert_array_equal(points.get_xydata(), [[0, 0], [1, 1], [2, 4]])
    np.testing.assert_array_equal(line.get_xydata(), [[0, 0], [1, 2], [2, 4]])
    assert len(figure.axes[1].lines) == 1
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"dots", "line"}
    assert not plots.transforms({"one": (x, x)}).legends


def test_few_colours_keeps_white_black_and_the_line_colours():
    from PIL import Image

    wanted = [to_rgba(colour) for colour in ("white", "black", plots.INK, plots.ACCENT)]
    pixels = (np.array([wanted])[..., :3] * 255).round().astype(np.uint8)
    kept = np.asarray(plots.quantize_palette(Image.fromarray(pixels)).convert("RGB")).astype(int)
    assert np.abs(kept - pixels).max() <= 2


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.image_grid(np.zeros((0, 28, 28))), "images: got shape"),
        (lambda: plots.image_grid(np.zeros((28, 28))), "images: got shape"),
        (lambda: plots.image_grid(np.zeros((2, 28, 28, 3))), "images: got shape"),
        (lambda: plots.image_grid(np.zeros((2, 28, 28)), titles=["one"]), "titles: got 1 for 2"),
        (lambda: plots.confusion_heatmap(np.zeros((2, 3))), "matrix: got shape"),
        (lambda: plots.patches(np.zeros((2, 9, 3, 3)), np.zeros((2, 8, 3, 3))), "slopes: got shape"),
        (lambda: plots.map_table({"a": np.zeros((2, 3, 3)), "b": np.zeros((1, 3, 3))}), "columns: got"),
        (lambda: plots.channel_report(np.zeros((8, 8)), np.zeros((8, 8))), "maps: got shape"),
        (lambda: plots.channel_report(np.zeros((8, 8, 3)), np.zeros((8, 8, 2))), "maps: got shape"),
        (lambda: plots.mean_dots({}), "rows: got"),
        (lambda: plots.mean_dots({"a": np.zeros(3)}), "rows: got"),
        (lambda: plots.channel_scatter({"a": (np.zeros(3), np.zeros(2))}, "", ""), "panels: give two arrays"),
        (lambda: plots.transforms({"a": (np.zeros(3), np.zeros(2))}), "panels: give two arrays"),
        (lambda: plots.transforms({"a": (np.zeros(3), np.zeros(3))}, {"b": np.zeros(3)}), "known: 'b' is no panel"),
        (lambda: plots.architecture(keras.Sequential([keras.layers.Dense(2)])), "model: give a built network"),
        (lambda: plots.architecture(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])), "model: give"),
        (lambda: plots.network_overview(mnist_cnn(), np.zeros((28, 28))), "image: got shape"),
        (lambda: plots.network_overview(mnist_cnn(), np.zeros((28, 28, 1)), layers=["conv9"]), "it has conv1, relu1"),
    ],
)
def test_bad_input_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def falling(layers=("a", "b"), seeds=(0, 1)):
    """Accuracy curves as perturb_layer gives them."""
    rows = [
        {"layer": layer, "direction": "sign", "seed": seed, "distance": d, "accuracy": 1 - d / 4, "low": 0.2, "high": 1}
        for layer in layers
        for seed in seeds
        for d in (0.0, 1.0, 2.0)
    ]
    return pd.DataFrame(rows)


def test_accuracy_curves_have_a_line_for_each_layer_and_one_for_chance():
    figure = plots.accuracy_curves(falling(), chance=0.1, panels="direction", bands="seeds")
    (axis,) = figure.axes
    assert axis.get_title() == "sign"
    assert len(axis.lines) == 3
    assert axis.lines[0].get_ydata().tolist() == [1, 0.75, 0.5]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "chance"]
    plt.close(figure)


def test_confusions_are_shares_of_the_true_class():
    matrix = np.array([[3, 1], [0, 5]])
    figure = plots.confusions({"one": matrix, "two": matrix.T, "three": matrix}, classes=["cat", "dog"])
    assert figure.axes[0].images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]
    assert figure.axes[0].get_yticklabels()[1].get_text() == "dog"
    plt.close(figure)


def test_channel_heatmap_is_centred_and_marks_channels():
    table = pd.DataFrame([[1.0, -3.0, 0.0]], index=[7])
    figure = plots.channel_heatmap(table, marked=[1], label="lost")
    axis = figure.axes[0]
    assert axis.images[0].get_clim() == (-3, 3)
    assert [text.get_color() == plots.ACCENT for text in axis.get_xticklabels()] == [False, True, False]
    assert axis.get_yticklabels()[0].get_text() == "7"
    plt.close(figure)


def test_channel_heatmap_of_values_has_its_own_scale_and_leaves_dead_channels_grey():
    table = pd.DataFrame([[0.5, np.nan, 0.9]], index=[2])
    figure = plots.channel_heatmap(table, label="PCACE", signed=False)
    picture = figure.axes[0].images[0]
    assert picture.get_clim() == (0.5, 0.9)
    assert picture.get_cmap().name == "viridis"
    assert picture.get_array().mask.tolist() == [[False, True, False]]


def ranked(**columns):
    rows = {"channel": [0, 1, 2], "pcace": [0.2, np.nan, 0.7], "null_low": 0.3, "null_high": 0.4}
    return pd.DataFrame(rows | columns)


def test_ranking_sorts_channels_leaves_out_dead_ones_and_draws_the_chance_level():
    figure = plots.ranking({"digit 2": ranked()}, marked=[2])
    axis = figure.axes[0]
    labels = axis.get_xticklabels()
    assert [text.get_text() for text in labels] == ["2", "0"]
    assert [text.get_color() for text in labels] == [plots.ACCENT, plots.INK]
    band, points = axis.collections
    assert points.get_offsets()[:, 1].tolist() == [0.7, 0.2]
    assert band.get_datalim(axis.transData).extents[[1, 3]].tolist() == [0.3, 0.4]


@pytest.mark.parametrize("columns", [{"channel": [0, 0, 1]}, {"null_low": np.nan}])
def test_ranking_refuses_what_is_not_one_ranking_with_chance(columns):
    with pytest.raises(ValueError, match="digit 2"):
        plots.ranking({"digit 2": ranked(**columns)})


def test_map_table_draws_pictures_in_colour_beside_maps():
    pictures = np.random.default_rng(0).random((2, 8, 12, 3))
    figure = plots.map_table({"picture": pictures, "map": pictures[..., :1]})
    drawn = [axis.images[0].get_array() for axis in figure.axes]
    assert [np.shape(picture) for picture in drawn] == [(8, 12, 3), (8, 12)] * 2
    np.testing.assert_array_equal(drawn[2], pictures[1])
    np.testing.assert_array_equal(drawn[3], pictures[1, ..., 0])


LAYERS = [([0.2, None, 0.9], (0.4, 0.5)), ([0.7, 0.1, 0.3, 0.6], (0.3, 0.45))]


def test_sorted_values_fall_and_each_layer_has_its_chance_band():
    figure = plots.sorted_values({"one": LAYERS, "two": LAYERS[:1]})
    axis = figure.axes[0]
    assert [list(line.get_ydata()) for line in axis.lines] == [[0.9, 0.2], [0.7, 0.6, 0.3, 0.1]]
    assert [line.get_xdata()[[0, -1]].tolist() for line in axis.lines] == [[0, 100]] * 2
    assert [[y for _, y in band] for band in axis.collections[0].get_segments()] == [[0.4, 0.5], [0.3, 0.45]]
    assert (axis.patches[0].get_y(), axis.patches[0].get_y() + axis.patches[0].get_height()) == (0.3, 0.5)


def test_layer_histograms_add_up_to_one_in_every_layer():
    figure = plots.layer_histograms({"one": LAYERS, "two": LAYERS[::-1]}, ["a", "b"], {"a line": [0.8, 0.7]}, n_bins=10)
    left, right = figure.axes[:2]
    shares = [np.nan_to_num(np.ma.filled(axis.collections[0].get_array(), 0)).reshape(10, 2) for axis in (left, right)]
    np.testing.assert_allclose(shares[0].sum(axis=0), 1)
    np.testing.assert_allclose(shares[0], shares[1][:, ::-1])
    assert [line.get_ydata().tolist() for line in left.lines] == [[0.4, 0.3], [0.5, 0.45], [0.8, 0.7]]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.sorted_values({}),
        lambda: plots.sorted_values({"one": []}),
        lambda: plots.layer_histograms({"one": LAYERS}, ["a"]),
    ],
)
def test_layers_and_names_have_to_go_together(draw):
    with pytest.raises(ValueError, match="panels: got"):
        draw()


def test_rank_table_writes_the_channels_in_order_and_frames_the_first():
    table = pd.DataFrame({"a": [0.1, 0.9, np.nan, 0.5], "b": [4, 3, 2, 1.0]})
    axis = plots.rank_table(table, marked=[1], k=2).axes[0]
    written = {tuple(int(x) for x in text.get_position()): text for text in axis.texts}
    assert [written[column, 0].get_text() for column in range(4)] == ["1", "3", "0", "2"]
    assert [written[column, 1].get_text() for column in range(4)] == ["0", "1", "2", "3"]
    assert {text.get_text() for text in axis.texts if text.get_fontweight() == "bold"} == {"1"}
    assert [patch.get_width() for patch in axis.patches if not patch.get_fill()] == [2, 2]


def test_top_channels_have_one_scale_and_numbers_in_order():
    rng = np.random.default_rng(0)
    pictures = {kind: rng.random((3, 28, 28, 1)) for kind in ("x", "y")}
    maps = {kind: rng.random((3, 26, 26, 6)) for kind in pictures}
    maps["y"][2, ..., 4] *= 7
    figure = plots.top_channels(pictures, maps, {0: [3, 1], 2: [4, 3]}, marked=[3])
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == 2 * 2 * 3
    grey = [axis for axis in drawn if axis.images[0].get_cmap().name == "gray"]
    assert [axis.get_title() for axis in grey] == ["x", "y", "x", "y"]
    limits = {axis.images[0].get_clim() for axis in drawn if axis not in grey}
    assert limits == {(0, maps["y"][2, ..., 4].max())}
    numbers = [text for axis in drawn for text in axis.texts]
    assert [text.get_text() for text in numbers] == ["3", "1", "4", "3"]
    assert [text.get_color() == plots.ACCENT for text in numbers] == [True, False, False, True]


def test_correlations_write_what_is_known_off_the_diagonal():
    table = pd.DataFrame([[1, np.nan], [-0.44, 1]], index=["a", "b"], columns=["a", "b"])
    figure = plots.correlations({"t": table}, {"t": np.array([[False, False], [True, False]])})
    (text,) = figure.axes[0].texts
    assert (text.get_text(), text.get_position(), text.get_fontweight()) == ("-.4", (0, 1), "bold")
    assert figure.axes[0].images[0].get_clim() == (-1, 1)


def test_correlation_intervals_have_a_bar_for_each_name_and_group():
    rows = pd.DataFrame({"name": ["a", "b"], "correlation": [0.5, 0], "low": [0.1, -0.3], "high": [0.8, 0.4]})
    axis = plots.correlation_intervals({"one": rows, "two": rows[::-1]}, chance=0.35).axes[0]
    bars = [[tuple(segment[:, 0]) for segment in lines.get_segments()] for lines in axis.collections]
    assert bars == [[(0.1, 0.8), (-0.3, 0.4)], [(-0.3, 0.4), (0.1, 0.8)]]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]


def test_removal_curves_draw_both_ends_of_each_ranking_over_the_random_band():
    rows = [("r", "best first", [1, 0.2, 0.1]), ("r", "worst first", [1, 0.9, 0.1])]
    rows += [("random", str(i), [1, 0.5 + i / 10, 0.1]) for i in range(3)]
    table = pd.DataFrame(
        [(name, end, n, y) for name, end, curve in rows for n, y in enumerate(curve)],
        columns=["ranking", "order", "removed", "accuracy"],
    )
    axis = plots.removal_curves({"t": table}).axes[0]
    drawn = {tuple(line.get_ydata()): line.get_linestyle() for line in axis.lines}
    assert drawn == {(1, 0.6, 0.1): "-", (1, 0.2, 0.1): "-", (1, 0.9, 0.1): "--"}
    assert len(axis.collections) == 1
