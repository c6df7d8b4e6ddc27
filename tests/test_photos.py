import hashlib
import io
import os
import tarfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from interp_helpers import data
from interp_helpers.data import photos, street_scenes
from interp_helpers.models import load_checkpoint
from interp_helpers.pcace import rank_channels


def picture(seed=0, size=(120, 90), mode="RGB"):
    """A smooth random picture of (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def album(tmp_path):
    """A folder of four good photographs, four that are not plain RGB, and six files that are no use."""
    for k in range(4):
        picture(k).save(tmp_path / f"good{k}.jpg")
    picture(4, mode="L").save(tmp_path / "grey.jpg")
    picture(5, mode="CMYK").save(tmp_path / "cmyk.jpg")
    picture(6, mode="P").save(tmp_path / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(7).save(tmp_path / "turned.jpg", exif=turned)
    (tmp_path / "corrupt.jpg").write_bytes((tmp_path / "good0.jpg").read_bytes()[:700])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "renamed.jpg").write_text("no image either")
    picture(8, size=(20, 90)).save(tmp_path / "tiny.png")
    Image.fromarray(np.ones((90, 90), np.float32)).save(tmp_path / "floats.tiff")
    (tmp_path / ".hidden").write_text("of no concern")
    return tmp_path


def test_a_folder_of_everything(album, capsys):
    photos = data.load_photos(album, size=32)
    good = ["cmyk.jpg", "good0.jpg", "good1.jpg", "good2.jpg", "good3.jpg", "grey.jpg", "palette.png", "turned.jpg"]
    assert list(photos.names) == good
    assert photos.images.shape == (8, 32, 32, 3)
    assert photos.images.dtype == np.float32
    assert 0 <= photos.images.min() < photos.images.max() <= 1
    assert photos.labels.tolist() == [-1] * 8
    assert photos.converted == {"cmyk.jpg": "CMYK", "grey.jpg": "L", "palette.png": "P", "turned.jpg": "turned"}
    assert list(photos.skipped) == ["corrupt.jpg", "empty.png", "floats.tiff", "notes.txt", "renamed.jpg", "tiny.png"]
    assert photos.skipped["corrupt.jpg"].startswith("damaged (")
    assert photos.skipped["tiny.png"] == "tiny (20 x 90)"
    assert photos.skipped["renamed.jpg"] == photos.skipped["empty.png"] == "no image"
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert all(name in said for name in (*photos.converted, *photos.skipped))


def test_too_few_remain(album):
    with pytest.raises(ValueError, match=r"at least 9 photographs are needed; photographs: 8 .* tiny.png \(tiny"):
        data.load_photos(album, at_least=9)
    for path in album.glob("*.[jp]*"):
        path.unlink()
    with pytest.raises(ValueError, match="at least 1 photographs are needed; photographs: 0"):
        data.load_photos(album)


def test_a_long_list_of_bad_files_stays_one_line(album, capsys):
    for k in range(30):
        (album / f"z{k:02}.jpg").write_text("no image")
    assert len(data.load_photos(album, size=16).skipped) == 36
    said = capsys.readouterr().out
    assert "36 skipped" in said
    assert "and 26 more" in said


def test_grey_and_turned_photographs_are_the_same_picture(album):
    loaded = data.load_photos(album, size=32)
    images = dict(zip(loaded.names, loaded.images, strict=True))
    assert np.ptp(images["grey.jpg"], axis=-1).max() == 0
    upright = np.rot90(np.asarray(picture(7)), -1)  # tag 6: the camera was turned, the picture has to be turned back
    np.testing.assert_allclose(images["turned.jpg"], photos.as_floats(data.centre_crop(upright, 32)), atol=0.1)


def test_deep_and_transparent_pictures(tmp_path):
    deep = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    pixels = {name: photos._read_photo(tmp_path / name, smallest=1)[0] for name in ("deep.png", "clear.png")}
    np.testing.assert_array_equal(pixels["deep.png"][..., 1], deep >> 8)
    assert pixels["clear.png"].min() == 255


def test_a_photograph_starts_no_other_program(tmp_path, monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: started.append(arguments))
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    program = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 60\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "program.jpg").write_text(program)
    picture().save(tmp_path / "good.jpg")
    assert data.load_photos(tmp_path, size=16).skipped == {"program.jpg": "no image"}
    table = pd.DataFrame({"file": ["good.jpg", "program.jpg"], "target": [1.0, 2.0]})
    assert len(data.load_photos_with_targets(tmp_path, table, at_least=1)[0]) == 1
    assert not started


@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "bmp", "webp", "tiff", "jp2", "ppm"])
def test_the_usual_kinds_of_files_are_read(tmp_path, kind):
    picture().save(tmp_path / f"a.{kind}")
    assert data.load_photos(tmp_path, size=16).names == (f"a.{kind}",)


@pytest.fixture
def two_folders(tmp_path):
    for folder, seeds in {"streets": (0, 1, 2), "beaches": (3, 4)}.items():
        (tmp_path / folder).mkdir()
        for k in seeds:
            picture(k).save(tmp_path / folder / f"{k}.png")
    return tmp_path


def test_folders_of_classes(two_folders):
    photos = data.load_photos(two_folders, size=16)
    assert photos.names == ("beaches/3.png", "beaches/4.png", "streets/0.png", "streets/1.png", "streets/2.png")
    assert photos.labels.tolist() == [0, 0, 1, 1, 1]
    assert photos.classes == {0: "beaches", 1: "streets"}
    streets = data.load_photos(str(two_folders), size=16, classes="streets", n_per_class=2)
    assert streets.labels.tolist() == [1, 1]
    assert streets.classes == {1: "streets"}
    assert np.array_equal(streets.images, photos.images[2:4])
    some = photos.subset(photos.labels == 1)
    assert some.names == photos.names[2:]
    assert some.classes == photos.classes
    with pytest.raises(ValueError, match="no class 'forests'; there is beaches, streets"):
        data.load_photos(two_folders, classes=["streets", "forests"])


def test_a_bad_photograph_does_not_count(two_folders):
    (two_folders / "streets" / "0.png").write_bytes(b"damaged")
    photos = data.load_photos(two_folders, size=16, n_per_class=2)
    assert photos.names[2:] == ("streets/1.png", "streets/2.png")
    assert photos.skipped == {"streets/0.png": "no image"}


def test_folders_in_folders_and_hidden_ones(two_folders):
    (two_folders / "streets" / "deep").mkdir()
    picture(6).save(two_folders / "streets" / "deep" / "6.png")
    (two_folders / "streets" / ".checkpoints").mkdir()
    picture(7).save(two_folders / "streets" / ".checkpoints" / "7.png")
    (two_folders / "empty").mkdir()
    photos = data.load_photos(two_folders, size=16, classes="streets")
    assert photos.names[-1] == "streets/deep/6.png"
    assert len(photos) == 4
    assert photos.labels.tolist() == [1] * 4


def test_photographs_beside_the_folders_are_not_lost_in_silence(two_folders, capsys):
    picture(9).save(two_folders / "loose.png")
    assert data.load_photos(two_folders, size=16).skipped == {"loose.png": "in no folder of a class"}
    assert "loose.png" in capsys.readouterr().out


def test_links_are_followed(two_folders, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    picture(6).save(elsewhere / "6.png")
    (two_folders / "forests").symlink_to(elsewhere)
    (two_folders / "streets" / "7.png").symlink_to(elsewhere / "6.png")
    loaded = data.load_photos(two_folders, size=16)
    assert loaded.classes == {0: "beaches", 1: "forests", 2: "streets"}
    assert loaded.names[2] == "forests/6.png"
    assert loaded.names[-1] == "streets/7.png"


def test_links_that_lead_nowhere_are_named(two_folders):
    (two_folders / "beaches" / "round").symlink_to(two_folders)
    (two_folders / "beaches" / "gone.png").symlink_to(two_folders / "nowhere.png")
    os.mkfifo(two_folders / "streets" / "pipe.png")
    loaded = data.load_photos(two_folders, size=16)
    assert len(loaded) == 5
    assert loaded.skipped == {
        "beaches/gone.png": "not a file that can be read",
        "beaches/round/": "a link to a folder that it is in",
        "streets/pipe.png": "not a file that can be read",
    }


@pytest.fixture
def locked(monkeypatch):
    """Lock files and folders of these names, for root as well."""
    names, iterdir, opened = set(), Path.iterdir, Image.open

    def check(path):
        if isinstance(path, Path) and path.name in names:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", lambda path: check(path) or iterdir(path))
    monkeypatch.setattr(Image, "open", lambda file, **options: check(file) or opened(file, **options))
    return names


def test_what_cannot_be_read_is_named(two_folders, locked):
    locked |= {"beaches", "1.png"}
    loaded = data.load_photos(two_folders, size=16)
    assert loaded.names == ("streets/0.png", "streets/2.png")
    denied = "cannot be read (Permission denied)"
    assert loaded.skipped == {"beaches/": denied, "streets/1.png": denied}
    assert loaded.classes == {1: "streets"}  # as if the other class could be read
    with pytest.raises(ValueError, match=r"at least 1 photographs are needed; .* beaches/ \(cannot be read"):
        data.load_photos(two_folders, size=16, classes="beaches")
    locked.add(two_folders.name)
    with pytest.raises(ValueError, match=r"1 skipped: \. \(cannot be read"):
        data.load_photos(two_folders, size=16)


def test_a_locked_folder_beside_photographs_is_no_class(album, locked):
    (album / "lost+found").mkdir()
    locked.add("lost+found")
    loaded = data.load_photos(album, size=16)
    assert len(loaded) == 8
    assert loaded.skipped["lost+found/"] == "cannot be read (Permission denied)"


def test_folders_named_by_wordnet_id(two_folders):
    (two_folders / "streets").rename(two_folders / "n03028079")
    (two_folders / "beaches").rename(two_folders / "n09428293")
    photos = data.load_photos(two_folders, size=16)
    assert photos.classes == {497: "church", 978: "seashore"}
    assert photos.labels.tolist() == [497] * 3 + [978] * 2
    for name in ("church", "n03028079"):
        assert data.load_photos(two_folders, size=16, classes=name).labels.tolist() == [497] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"source": "nowhere/at/all"},
            "source: got 'nowhere/at/all', which is not a folder; give a folder of photographs, 'sa",
        ),
        ({"source": None}, "source: got None, which is not a folder; give a folder"),
        ({"source": __file__}, "which is not a folder"),
        ({"source": ""}, "source: got ''"),
        ({"size": 0}, "size: got 0"),
        ({"n_per_class": 2.5}, "n_per_class: got 2.5"),
        ({"at_least": -1}, "at_least: got -1"),
        ({"classes": "church"}, "the samples have no classes"),
    ],
)
def test_bad_requests_for_photographs(options, message):
    with pytest.raises(ValueError, match=message):
        data.load_photos(**options)


def test_samples_need_no_network(no_mnist):
    pytest.importorskip("skimage")
    photos = data.load_photos()
    assert photos.names == ("chelsea", "coffee", "rocket", "astronaut", "china", "flower")
    assert photos.images.shape == (6, 224, 224, 3)
    assert set(photos.labels) == {-1}


@pytest.fixture
def imagenette_archive(monkeypatch, tmp_path):
    """What Keras would have downloaded: three churches and two parachutes for training, one church to validate."""
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    members = [f"train/n03028079/{k}.JPEG" for k in (2, 0, 1)] + [f"train/n03888257/{k}.JPEG" for k in (3, 4)]
    members += ["val/n03028079/5.JPEG", "noisy.csv", "train/../../../outside.JPEG"]
    path = tmp_path / "imagenette2-320.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in members:
            content = io.BytesIO()
            digits = [int(c) for c in name if c.isdigit()]
            picture(digits[-1] if digits else 0).save(content, "JPEG")
            entry = tarfile.TarInfo(f"imagenette2-320/{name}")
            entry.size = len(content.getvalue())
            archive.addfile(entry, io.BytesIO(content.getvalue()))
    monkeypatch.setattr(keras.utils, "get_file", lambda *arguments, **options: path)
    monkeypatch.setattr(photos, "_IMAGENETTE_SHA256", (hashlib.sha256(path.read_bytes()).hexdigest(),))
    return path


def test_imagenette_is_the_same_from_folder_and_archive(imagenette_archive, monkeypatch, tmp_path):
    churches = data.load_photos("imagenette", size=16, classes="church", n_per_class=2)
    assert churches.names == ("0.JPEG", "1.JPEG")
    assert churches.labels.tolist() == [497, 497]
    assert len(data.load_photos("imagenette/train", size=16)) == 5
    assert len(data.load_photos("imagenette/val", size=16)) == 1
    with tarfile.open(imagenette_archive) as archive:
        for member in archive:
            if "JPEG" in member.name and ".." not in member.name:
                path = tmp_path / "imagenette" / member.name.removeprefix("imagenette2-320/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    again = data.load_photos("imagenette", size=16, classes="church", n_per_class=2)
    assert np.array_equal(again.images, churches.images)
    assert again.labels.tolist() == churches.labels.tolist()


def test_damaged_imagenette_is_not_used(imagenette_archive, capsys):
    imagenette_archive.write_bytes(imagenette_archive.read_bytes()[:-100])
    with pytest.raises(data.NotAvailable, match=r"is not Imagenette as published \(truncated or altered\): delete it"):
        data.load_photos("imagenette")
    assert data.load_photos("imagenette", optional=True) is None
    assert "delete it" in capsys.readouterr().out


def test_imagenette_offline(no_mnist, capsys):
    with pytest.raises(
        data.NotAvailable, match="Imagenette could not be downloaded: go online, or set INTERP_DATA_DIR"
    ):
        data.load_photos("imagenette/val")
    assert data.load_photos("imagenette", optional=True) is None
    assert capsys.readouterr().out.count("\n") == 1


# --- cropping --------------------------------------------------------------------------------------------------------


def test_centre_crop_is_the_middle():
    """A picture of 256 x 320 is not resized: its middle comes out as it was; so does the middle of a larger one."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 320, 3), np.uint8)
    assert np.array_equal(data.centre_crop(pixels), pixels[16:240, 48:272])
    np.testing.assert_allclose(data.centre_crop(pixels / 255), pixels[16:240, 48:272] / 255, atol=1e-6)
    ramp = np.broadcast_to(np.linspace(0, 1, 800)[None, :, None], (400, 800, 3))
    crop = data.centre_crop(ramp)
    width = 224 / 256 * 400 / 800  # of the whole
    assert crop[0, :, 0].min() == pytest.approx(0.5 - width / 2, abs=0.005)
    assert crop[0, :, 0].max() == pytest.approx(0.5 + width / 2, abs=0.005)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_centre_crop_always_has_its_size(height, width, size):
    assert data.centre_crop(np.full((height, width, 3), 7, np.uint8), size).tolist() == [[[7, 7, 7]] * size] * size


def test_random_crops_are_pieces_of_the_photograph():
    """Red says which row, green which column: every crop is a square of the photograph, mirrored or not."""
    rows, columns = np.meshgrid(np.linspace(0, 1, 200), np.linspace(0, 1, 300), indexing="ij")
    photograph = np.stack([rows, columns, np.zeros_like(rows)], axis=-1)
    crops = data.random_crops(photograph, 50, size=32, seed=1)
    assert crops.images.shape == (50, 32, 32, 3)
    assert set(crops.labels) == {-1}
    assert crops.source == "50 random crops of one photograph"
    high = np.ptp(crops.images[..., 0], axis=(1, 2)) * 200
    wide = np.ptp(crops.images[..., 1], axis=(1, 2)) * 300
    np.testing.assert_allclose(high, wide, atol=3)
    assert 90 < high.min() < 130 < 170 < high.max() <= 200
    mirrored = crops.images[:, 0, 0, 1] > crops.images[:, 0, -1, 1]
    assert 10 < mirrored.sum() < 40
    assert (crops.images[:, 0, 0, 0] < crops.images[:, -1, 0, 0]).all()
    again, other = (data.random_crops(photograph, 50, size=32, seed=seed).images for seed in (1, 2))
    assert np.array_equal(again, crops.images)
    assert not np.array_equal(other, crops.images)


@pytest.mark.parametrize(
    ("photograph", "options", "message"),
    [
        (np.zeros((50, 50)), {}, r"photograph: got float64 of shape \(50, 50\)"),
        (np.full((50, 50, 3), 255.0), {}, "photograph: got float64 from 255 to 255"),
        (np.zeros((50, 50, 3), int), {}, "photograph: got int64 from 0 to 0"),
        (np.zeros((50, 50, 3), bool), {}, "photograph: got bool"),
        (np.full((50, 50, 3), np.nan), {}, "photograph: there are values that are NaN"),
        (np.ma.masked_all((50, 50, 3)), {}, "photograph: got a masked array"),
        (np.zeros((50, 50, 3)), {"n": 0}, "n: got 0"),
        (np.zeros((50, 50, 3)), {"size": 0}, "size: got 0"),
        (np.zeros((50, 50, 3)), {"seed": -1}, "seed: got -1"),
        (np.zeros((50, 50, 3)), {"smallest": 1.5}, "smallest: got 1.5; give a finite number"),
        (np.zeros((50, 50, 3)), {"smallest": 0.1}, "at least 8 pixels"),
    ],
)
def test_bad_crops_are_refused(photograph, options, message):
    with pytest.raises(ValueError, match=message):
        data.random_crops(photograph, **{"n": 3, **options})
    if not options:
        with pytest.raises(ValueError, match=message):
            data.centre_crop(photograph)


def test_imagenet_classes():
    classes = data.imagenet_classes()
    assert len(classes) == 1000
    assert [classes[k] for k in (0, 497, 999)] == [
        ("n01440764", "tench"), ("n03028079", "church"), ("n15075141", "toilet tissue"),
    ]  # fmt: skip
    ids = [wordnet_id for wordnet_id, _ in classes]
    assert ids == sorted(ids)  # the order of ImageNet's classes is that of their ids


@pytest.fixture
def photos_with_targets(tmp_path):
    """Ten grey JPEGs whose brightness is their target, one of them in colour, and a table with faults."""
    for i in range(10):
        picture = Image.fromarray(np.full((40, 80), 20 * i + 20, np.uint8))
        (picture if i else picture.convert("RGB")).save(tmp_path / f"{i}.jpg")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "3.jpg").read_bytes()[:200])
    (tmp_path / "notes.jpg").write_text("no image")
    rows = [(f"{i}.jpg", 20 * i + 20, "north") for i in range(10)]
    rows[4] = ("4.jpg", None, "south")
    rows += [("broken.jpg", 1, "north"), ("notes.jpg", 2, "north"), ("absent.jpg", 3, "north")]
    pd.DataFrame(rows, columns=["photo", "no2", "where"]).to_csv(tmp_path / "targets.csv", index=False)
    return tmp_path


def test_photos_with_targets_keep_picture_and_target_together(photos_with_targets, capsys):
    options = {"size": (16, 24), "file": "photo", "target": "no2", "at_least": 9}
    images, rows = data.load_photos_with_targets(photos_with_targets, photos_with_targets / "targets.csv", **options)
    assert images.shape == (9, 16, 24, 3)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), rows["no2"] / 255, atol=0.01)
    assert rows["photo"].tolist() == [f"{i}.jpg" for i in range(10) if i != 4]
    assert rows.columns.tolist() == ["photo", "no2", "where"]
    said = capsys.readouterr().out
    assert said.startswith("9 photographs with targets")
    for fault in ("4.jpg (no target)", "broken.jpg (damaged (", "notes.jpg (no image)", "absent.jpg (not there)"):
        assert fault in said


def test_photos_with_targets_are_cut_in_the_middle(tmp_path):
    pixels = np.zeros((40, 100), np.uint8)
    pixels[:, 40:60] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    table = pd.DataFrame({"file": ["a.png"], "target": [1.0]})
    images, _ = data.load_photos_with_targets(tmp_path, table, size=(20, 20), at_least=1)
    assert images[0, :, 7:13].min() > 0.95
    assert images[0, :, :3].max() < 0.05


def test_photos_with_targets_are_read_as_other_photographs_are(album, capsys):
    names = ["cmyk.jpg", "grey.jpg", "palette.png", "good0.jpg", "tiny.png", "floats.tiff", "empty.png"]
    table = pd.DataFrame({"file": names, "target": np.arange(7)})
    images, rows = data.load_photos_with_targets(album, table, size=(90, 120), at_least=1)
    assert rows["target"].tolist() == [0, 1, 2, 3]
    for image, name in zip(images, names, strict=False):
        np.testing.assert_allclose(image, photos.as_floats(photos._read_photo(album / name, 1)[0]))
    said = capsys.readouterr().out
    assert "tiny.png (tiny (20 x 90)), floats.tiff (of mode F, whose range is not known), empty.png (no image)" in said
    small, _ = data.load_photos_with_targets(album, table[4:5], size=(20, 20), at_least=1)
    assert small.shape == (1, 20, 20, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folder": "nowhere"}, "folder: 'nowhere' is not a folder"),
        ({"table": "nowhere.csv"}, "table: got 'nowhere.csv', which is not a file"),
        ({"target": "pm10"}, "no column pm10; it has photo, no2, where"),
        ({"target": "where"}, "'where' holds 'north'"),
        ({"size": 64}, "size: got 64"),
        ({"size": (64, 0)}, "size: got"),
        ({"at_least": 10}, "at least 10 photographs are needed; 9 photographs"),
    ],
)
def test_photos_with_targets_refuse(photos_with_targets, change, message):
    options = {
        "folder": photos_with_targets,
        "table": photos_with_targets / "targets.csv",
        "file": "photo",
        "target": "no2",
    } | change
    with pytest.raises(ValueError, match=message):
        data.load_photos_with_targets(**options)


@pytest.mark.parametrize("name", ["../outside.png", "inside/../../outside.png", "{}/outside.png"])
def test_no_name_in_a_table_leaves_the_folder(tmp_path, capsys, name):
    (tmp_path / "photos" / "inside").mkdir(parents=True)
    picture().save(tmp_path / "outside.png")
    picture().save(tmp_path / "photos" / "inside" / "good.png")
    name = name.format(tmp_path)
    table = pd.DataFrame({"file": ["inside/good.png", name], "target": [1, 2]})
    _, rows = data.load_photos_with_targets(tmp_path / "photos", table, at_least=1)
    assert rows["target"].tolist() == [1]
    assert f"skipped: {name} (not inside the folder)" in capsys.readouterr().out


def test_rows_without_a_file_name_are_named_by_their_number(tmp_path, capsys):
    picture().save(tmp_path / "1.png")
    (tmp_path / "targets.csv").write_text("file,target\n1.png,1\n,2\n.,3\n")
    _, rows = data.load_photos_with_targets(tmp_path, tmp_path / "targets.csv", at_least=1)
    assert rows["target"].tolist() == [1]
    assert "skipped: row 1 (no file name), . (not there)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,target\nStra\xdfe.png,1\n".encode("latin-1"), "is not in UTF-8; save it in UTF-8"),
        (b"", "cannot be read as CSV"),
        (b'file,target\n"a.png,1\n', "cannot be read as CSV"),
        (b"file,target\n", "table: has no rows"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "targets.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        data.load_photos_with_targets(tmp_path, tmp_path / "targets.csv")


def test_the_recipe_of_chapter_14(tmp_path):
    """A folder of photographs and a table of targets, to a ranking in a CSV file."""
    streets = street_scenes(60, seed=5)
    for i, scene in enumerate(streets.images):
        Image.fromarray((255 * scene).astype(np.uint8)).save(tmp_path / f"{i}.jpg", quality=95)
    (tmp_path / "7.jpg").write_text("not a photograph any more")
    table = pd.DataFrame({"file": [f"{i}.jpg" for i in range(60)], "no2": streets.values})
    photos, rows = data.load_photos_with_targets(tmp_path, table, target="no2")
    kept = np.delete(np.arange(60), 7)
    np.testing.assert_allclose(rows["no2"], streets.values[kept])
    model = load_checkpoint("street")
    there, back = (model.predict(images, verbose=0)[:, 0] for images in (streets.images[kept], photos))
    assert np.corrcoef(there, back)[0, 1] > 0.97
    ranking = rank_channels(model, "relu7", photos, 0, n_components=2, n_permutations=9)
    ranking.to_csv(tmp_path / "ranking.csv", index=False)
    again = pd.read_csv(tmp_path / "ranking.csv")
    assert len(again) == 64
    assert again["pcace"].mean() > again["null_median"].mean() + 0.1
    by_value = rank_channels(model, "relu7", photos, rows["no2"].to_numpy(), n_components=2, n_permutations=0)
    assert by_value["pcace"].corr(ranking["pcace"], method="spearman") > 0.5
