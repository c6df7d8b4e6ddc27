import keras
import numpy as np
import pytest
from keras import layers as kl

from interp_helpers.attribution import saliency
from interp_helpers.data import stroke_shape
from interp_helpers.models import load_checkpoint
from interp_helpers.probing import maximally_activating, pooled, receptive_field


def chain(*layers, shape=(21, 24, 1)):
    """A network of convolutions whose kernels are positive, so that no gradient cancels."""
    model = keras.Sequential([keras.Input(shape), *layers])
    model.set_weights([np.abs(w) + 0.1 for w in model.get_weights()])
    return model


CHAINS = {
    "valid": [kl.Conv2D(2, 3), kl.ReLU(), kl.Conv2D(2, 3)],
    "as the book's network": [kl.Conv2D(2, 3), kl.ReLU(), kl.Conv2D(2, 3), kl.ReLU(), kl.AveragePooling2D(2)],
    "strides": [kl.Conv2D(2, 5, strides=2), kl.AveragePooling2D(3, strides=2), kl.Conv2D(2, 3)],
    "same": [kl.Conv2D(2, 3, padding="same"), kl.Conv2D(2, 5, padding="same")],
    "same with strides": [
        kl.Conv2D(2, 3, strides=2, padding="same"),
        kl.AveragePooling2D(2, strides=2, padding="same"),
        kl.Conv2D(2, 4, strides=3, padding="same"),
    ],
    "padding and cropping": [kl.ZeroPadding2D(((2, 1), (0, 3))), kl.Conv2D(2, 3), kl.Cropping2D(((1, 0), (2, 1)))],
    "dilation": [kl.Conv2D(2, 3, dilation_rate=2), kl.DepthwiseConv2D(3)],
    "oblong": [kl.Conv2D(2, (1, 5), strides=(1, 2)), kl.AveragePooling2D((3, 2))],
}


@pytest.mark.parametrize("name", CHAINS)
def test_receptive_fields_agree_with_gradients(name):
    """Which pixels have a non-zero derivative is the definition; every cell of the map is checked at three places."""
    model = chain(*CHAINS[name])
    layer = model.layers[-1]
    field = receptive_field(model, layer.name)
    height, width = layer.output.shape[1:3]
    image = np.random.default_rng(0).random((1, *model.input_shape[1:])).astype("float32") + 0.5
    for row, column in [(0, 0), (height // 2, width // 2), (height - 1, width - 1)]:
        gradient = saliency(model, image, lambda m, r=row, c=column: m[:, r, c, 0], layer=layer.name)[0, ..., 0]
        expected = np.zeros(gradient.shape, bool)
        expected[field.window(row, column, gradient.shape)] = True
        assert np.array_equal(gradient != 0, expected)


def test_receptive_fields_of_the_shipped_networks():
    model = load_checkpoint("mnist_cnn")
    sizes = {layer: receptive_field(model, layer).size for layer in ("conv1", "relu2", "pool")}
    assert sizes == {"conv1": (3, 3), "relu2": (5, 5), "pool": (6, 6)}
    assert receptive_field(model, "pool").stride == (2, 2)


def test_receptive_fields_that_are_not_known_are_refused():
    model = load_checkpoint("mnist_cnn")
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        receptive_field(model, "conv9")
    with pytest.raises(ValueError, match="give a layer with feature maps"):
        receptive_field(model, "dense1")
    inputs = keras.Input((8, 8, 1))
    left, right = kl.Conv2D(1, 3, name="left")(inputs), kl.Conv2D(1, 3)(inputs)
    branched = keras.Model(inputs, kl.Add(name="sum")([left, right]))
    with pytest.raises(ValueError, match="branches meet"):
        receptive_field(branched, "sum")
    assert receptive_field(branched, "left").size == (3, 3)
    odd = keras.Sequential([keras.Input((8, 8, 1)), kl.UpSampling2D(name="up")])
    with pytest.raises(ValueError, match="is not known"):
        receptive_field(odd, "up")
    free = keras.Sequential([keras.Input((None, None, 1)), kl.Conv2D(1, 3, strides=2, padding="same", name="c")])
    with pytest.raises(ValueError, match="input_shape"):
        receptive_field(free, "c")
    assert receptive_field(free, "c", (9, 9)).offset == (-1, -1)


# --- maximally activating images -------------------------------------------------------------------------------------


def planted():
    """A network whose channel is the image itself, and eight images of which two have a planted bright square."""
    model = keras.Sequential([keras.Input((9, 9, 1)), kl.Conv2D(1, 1, name="copy"), kl.Flatten(), kl.Dense(2)])
    model.get_layer("copy").set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    images = np.random.default_rng(0).random((8, 9, 9, 1)).astype("float32") * 0.5
    images[3, 4:6, 1:3] = 0.9
    images[5, 2, 7] = 1.0
    return model, images


def test_the_planted_squares_are_found_where_they_are():
    model, images = planted()
    table = maximally_activating(model, images, "copy", 0, k=2)
    assert table["image"].tolist()[:2] == [5, 3]
    assert table["group"].tolist() == ["high", "high", "low", "low"]
    assert (table.loc[0, "row"], table.loc[0, "column"]) == (2, 7)
    assert table["value"].is_monotonic_decreasing


def test_several_channels_take_one_pass_and_give_the_same():
    model = load_checkpoint("mnist_cnn")
    images = np.random.default_rng(0).random((20, 28, 28, 1)).astype("float32")
    both = maximally_activating(model, images, "relu1", [4, 7], k=3)
    for c in (4, 7):
        one = maximally_activating(model, images, "relu1", c, k=3)
        assert both[both["channel"] == c].reset_index(drop=True).equals(one)


def test_maximum_and_mean_may_disagree():
    model, images = planted()
    images[0] = 0.45
    by_mean = maximally_activating(model, images, "copy", 0, k=1, pool="mean")
    assert by_mean.loc[0, "image"] == 0
    assert maximally_activating(model, images, "copy", 0, k=1).loc[0, "image"] == 5


def test_pooling_does_not_depend_on_the_batches():
    model, images = planted()
    for pool in ("max", "mean"):
        whole, parts = pooled(model, images, "copy", pool), pooled(model, images, "copy", pool, batch_size=3)
        np.testing.assert_allclose(whole, parts, rtol=1e-6)
    np.testing.assert_allclose(pooled(model, images, "copy")[:, 0], images.max(axis=(1, 2, 3)))


def test_layers_without_maps_can_be_probed():
    model, images = planted()
    table = maximally_activating(model, images, model.layers[-1].name, 1, k=2)
    assert (table["row"] == -1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": 1}, "channel: got 1"),
        ({"channel": -1}, "channel: got -1"),
        ({"channel": 0, "k": 0}, "k: got 0"),
        ({"channel": 0, "k": 5}, "k: got 5"),
        ({"channel": 0, "k": 2.5}, "k: got 2.5"),
        ({"channel": 0, "k": 2, "pool": "median"}, "pool: got"),
    ],
)
def test_bad_requests_are_refused(arguments, message):
    model, images = planted()
    with pytest.raises(ValueError, match=message):
        maximally_activating(model, images, "copy", **arguments)


# --- what the images are like ----------------------------------------------------------------------------------------


def stroke(width, slant=0.0):
    """An upright stroke of a width in pixels, or one slanted by `slant` degrees to the right."""
    rows, columns = np.mgrid[:41, :41]
    centre = 20 - (rows - 20) * np.tan(np.radians(slant))
    near = np.abs(columns - centre) <= width / 2 - 1e-9 if width % 2 == 0 else np.abs(columns - centre) < width / 2
    return (near & (rows > 5) & (rows < 35)).astype("float32")[None, ..., None]


def test_stroke_width_of_bars():
    for width in (1, 3, 5):
        measured = stroke_shape(stroke(width)).loc[0]
        assert measured["breadth"] == width
        assert measured["height"] == 29
        assert measured["width"] == pytest.approx(width, abs=1.0)


def test_stroke_width_does_not_depend_on_the_direction():
    widths = [stroke_shape(stroke(7 / np.cos(np.radians(a)), a)).loc[0, "width"] for a in (0, 15, 30, 45)]
    assert np.ptp(widths) < 0.15 * widths[0]


@pytest.mark.parametrize("slant", [-30, -10, 0, 10, 30])
def test_slant_of_strokes(slant):
    assert stroke_shape(stroke(3, slant)).loc[0, "slant"] == pytest.approx(slant, abs=1)


def test_images_without_ink_are_refused():
    with pytest.raises(ValueError, match=r"no pixel above 0.5 in image 0"):
        stroke_shape(np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="images: got float64 of shape"):
        stroke_shape(np.zeros((8, 8)))


def test_windows_in_the_padding_are_empty():
    model = keras.Sequential([keras.Input((8, 8, 1)), kl.ZeroPadding2D(3), kl.Conv2D(1, 1, name="c")])
    rows, columns = receptive_field(model, "c").window(0, 0, (8, 8))
    assert np.zeros((8, 8))[rows, columns].size == 0
