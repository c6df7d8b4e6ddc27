import numpy as np
import pytest

from interp_helpers import data
from interp_helpers.data import scenes, street_scenes


@pytest.fixture(scope="module")
def streets():
    return street_scenes(150, seed=3)


def test_shapes_and_ranges(streets):
    assert streets.images.shape == (150, 64, 96, 3)
    assert streets.images.dtype == np.float32
    assert 0 <= streets.images.min() < 0.05
    assert 0.95 < streets.images.max() <= 1
    assert len(streets) == len(streets.values) == len(streets.causes) == 150
    assert data.street_scenes is street_scenes


def test_every_pixel_is_one_object(streets):
    assert set(streets.masks) == set(scenes.OBJECTS)
    assert (np.sum(list(streets.masks.values()), axis=0) == 1).all()
    assert all(mask.any() for mask in streets.masks.values())


def test_same_seed_same_scenes_and_the_first_do_not_depend_on_the_number(streets):
    few = street_scenes(120, seed=3)
    np.testing.assert_array_equal(few.images[:100], streets.images[:100])
    np.testing.assert_array_equal(few.values, streets.values[:120])
    np.testing.assert_array_equal(few.masks["tree"][:100], streets.masks["tree"][:100])
    assert not np.array_equal(street_scenes(5, seed=4).images, streets.images[:5])


def test_height_changes_the_pixels_and_not_the_street(streets):
    large = street_scenes(20, seed=3, height=128)
    assert large.images.shape == (20, 128, 192, 3)
    assert large.causes.equals(streets.causes[:20])
    np.testing.assert_array_equal(large.values, streets.values[:20])
    smaller = large.masks["vehicle"].reshape(20, 64, 2, 96, 2).mean(axis=(2, 4))
    assert np.corrcoef(smaller.ravel(), streets.masks["vehicle"][:20].ravel())[0, 1] > 0.9


def test_the_value_is_the_sum_of_its_causes(streets):
    causes = streets.causes
    expected = 30 + 2 * causes["vehicles"] + 12 * causes["canyon"] - 2 * causes["trees"]
    np.testing.assert_allclose(causes["expected"], expected)
    noise = streets.values - expected
    assert abs(noise.mean()) < 4 * 3 / np.sqrt(150)
    assert 2.4 < noise.std() < 3.6
    exact = street_scenes(150, seed=3, effects={"vehicles": 1}, noise_sd=0)
    np.testing.assert_allclose(exact.values, 30 + causes["vehicles"])
    np.testing.assert_array_equal(exact.images, streets.images)  # the picture does not know what is bad for the air


def test_causes_are_independent_and_the_masks_show_them():
    streets = street_scenes(600, seed=8, height=32)
    table = streets.causes.assign(
        tree=streets.masks["tree"].mean(axis=(1, 2)),
        vehicle=streets.masks["vehicle"].mean(axis=(1, 2)),
        sky=streets.masks["sky"].mean(axis=(1, 2)),
    ).corr("spearman")
    drawn = table.loc[
        ["vehicles", "canyon", "trees", "light", "haze"], ["vehicles", "canyon", "trees", "light", "haze"]
    ]
    assert np.abs(drawn.to_numpy() - np.eye(5)).max() < 4 / np.sqrt(600)
    assert table.loc["trees", "tree"] > 0.8
    assert table.loc["vehicles", "vehicle"] > 0.7
    assert table.loc["canyon", "sky"] < -0.5


def test_scenes_without_an_object_have_none_of_it(streets):
    for cause, name in (("trees", "tree"), ("vehicles", "vehicle")):
        none = streets.causes[cause] == 0
        assert none.any()
        assert not streets.masks[name][none].any()


def test_trees_are_green_and_the_road_is_grey(streets):
    red, green, blue = (streets.images[..., c][streets.masks["tree"]].mean() for c in range(3))
    assert green > 1.3 * red
    assert green > 1.5 * blue
    road = streets.images[streets.masks["road"]].mean(axis=0)
    assert np.ptp(road) < 0.1


def test_road_lies_below_and_sky_above(streets):
    rows = np.arange(64)
    middle = {name: (mask.sum(axis=(0, 2)) * rows).sum() / mask.sum() for name, mask in streets.masks.items()}
    assert middle["sky"] < middle["tree"] < middle["vehicle"] < middle["road"]
    assert not streets.masks["sky"][:, 40:].any()


def test_subset(streets):
    some = streets.subset([4, 2])
    assert len(some) == 2
    assert some.causes["trees"].tolist() == streets.causes["trees"][[4, 2]].tolist()
    np.testing.assert_array_equal(some.masks["road"], streets.masks["road"][[4, 2]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: got 0"),
        ({"n": 2.5}, "n: got 2.5"),
        ({"n": 3, "seed": -1}, "seed: got -1"),
        ({"n": 3, "height": 33}, "height: got 33"),
        ({"n": 3, "height": 8}, "height: got 8"),
        ({"n": 3, "effects": {"cars": 1}}, "effects: got .*cars"),
        ({"n": 3, "effects": {"trees": np.nan}}, "effects: trees: got nan"),
        ({"n": 3, "noise_sd": -1}, "noise_sd: got -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        street_scenes(**options)
