"""One intake for each kind of thing: what comes in at a public door leaves it checked, and in one form.

Every function here returns what it was given in the form that the methods work with, or raises one ``ValueError`` that
names the argument, says what it got and what it takes.

>>> check_channels([0, 3], 4)
[0, 3]
"""

from math import inf
from pathlib import Path

import keras
import numpy as np
import pandas as pd


def check_model(model, built=True):
    """Return the Keras model (of what ``load_network`` returns, its own): one input, one output, with weights."""
    model = getattr(model, "model", model)
    if not isinstance(model, keras.Model):
        raise ValueError(f"model: got {type(model).__name__}; give a Keras model, or what load_network returns")
    if not model.built and built:
        raise ValueError(f"model: {model.name!r} has no weights yet; call it on a batch or build it first")
    if not getattr(model, "outputs", None):
        how = "subclasses keras.Model, so its layers cannot be followed" if model.built else "has no input shape yet"
        raise ValueError(f"model: {model.name!r} {how}; give a built Sequential or functional model")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        counts = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        raise ValueError(f"model: {model.name!r} has {counts}; give a model with one of each")
    return model


def check_images(model, images, name="images"):
    """Return images as float32, of the shape that the (checked) model takes, finite, at least one."""
    images = _plain_array(name, images)
    expected = tuple(model.inputs[0].shape[1:])
    fits = images.ndim == len(expected) + 1 and all(
        wanted in (None, length) for wanted, length in zip(expected, images.shape[1:], strict=True)
    )
    if not fits or 0 in images.shape:
        wanted = ", ".join(map(str, ("N", *expected)))
        raise ValueError(f"{name}: got shape {images.shape}; the model takes ({wanted}), N > 0")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"{name}: got {images.dtype}; give floats, as the data loaders do (pixels in [0, 1])")
    with np.errstate(over="ignore"):
        images = images.astype(np.float32, copy=False)
    if not np.isfinite(images).all():
        raise ValueError(f"{name}: there are values that are NaN or infinite")
    return images


def check_array(name, values, shape, finite=True):
    """Return real numbers as an array of a shape, in which a number is a length, and a word names a free one."""
    values = _plain_array(name, values)
    wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    fits = values.ndim == len(shape) and all(
        got == length if isinstance(length, int | np.integer) else got > 0
        for got, length in zip(values.shape, shape, strict=True)
    )
    if not fits or values.dtype.kind not in "biuf":
        raise ValueError(f"{name}: got {values.dtype} of shape {values.shape}; give real numbers of shape ({wanted})")
    if finite and values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name}: there are values that are NaN or infinite")
    return values


def check_labels(labels, n_images, n_classes, name="labels"):
    """Return one class for each image, of any integer type, as int64."""
    labels = _plain_array(name, labels)
    if labels.shape != (n_images,) or labels.dtype.kind not in "iu":
        raise ValueError(f"{name}: got {labels.dtype} of shape {labels.shape}; give {n_images} integers")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"{name}: got {labels.min()} to {labels.max()}; the model has classes 0 to {n_classes - 1}")
    return labels.astype(np.int64)


def check_target(target, n_images, n_outputs, what="the model", name="target"):
    """Return a target as it is if it is a function, else as int64: one number for all images, or one for each."""
    if callable(target):
        return target
    targets = _plain_array(name, target)
    if targets.dtype.kind not in "iu" or targets.shape not in ((), (n_images,)):
        raise ValueError(f"{name}: got {_said(target)}; give an integer, {n_images} integers, or a function")
    if targets.min() < 0 or targets.max() >= n_outputs:
        raise ValueError(f"{name}: got {_said(target)}; {what} has {n_outputs} outputs, counted from 0")
    return targets.astype(np.int64)


def check_channels(channels, n_channels, name="channels"):
    """Return a list of channels (at least one) as ints."""
    given = [channels] if np.ndim(channels) == 0 else list(channels)
    if not given or not all(_is_whole(c) and 0 <= c < n_channels for c in given):
        raise ValueError(f"{name}: got {_said(channels)}; there are channels 0 to {n_channels - 1}")
    return [int(c) for c in given]


def check_groups(groups, n_channels, name="groups"):
    """Return groups of channels, each a tuple of ints (an empty one is none of the channels)."""
    given = list(groups) if isinstance(groups, tuple | list) else []
    if not given or not all(isinstance(group, tuple | list) for group in given):
        raise ValueError(f"{name}: got {_said(groups)}; give a sequence of sequences of channels, as [(3,), (3, 5)]")
    return [tuple(check_channels(group, n_channels, name)) if group else () for group in given]


def check_count(name, value, least=1, most=None):
    """Return a whole number: a count, a number of steps, a seed (``least=0``)."""
    if not _is_whole(value) or value < least or (most is not None and value > most):
        range_ = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"{name}: got {_said(value)}; give a whole number, {range_}")
    return int(value)


def check_number(name, value, low=-inf, high=inf, open_low=False):
    """Return a finite real number between two limits; ``open_low`` leaves out the lower one."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not np.isfinite(value) or not low <= value <= high or (open_low and value == low):
        low_ = "" if low == -inf else f" {'above' if open_low else 'from'} {low:g}"
        high_ = "" if high == inf else f" up to {high:g}"
        raise ValueError(f"{name}: got {_said(value)}; give a finite number{low_}{high_}")
    return value


def check_choice(name, value, choices):
    """Return one of a few values."""
    if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in choices):
        raise ValueError(f"{name}: got {_said(value)}; give one of {', '.join(map(repr, choices))}")
    return value


def check_table(table, columns=(), name="table"):
    """Return a DataFrame that has rows and some columns, none of them twice."""
    if not isinstance(table, pd.DataFrame) or table.columns.duplicated().any():
        raise ValueError(f"{name}: got {type(table).__name__}; give a DataFrame with each column once")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        has = ", ".join(map(str, table.columns))
        raise ValueError(f"{name}: has no column {', '.join(map(str, missing))}; it has {has}")
    if table.empty:
        raise ValueError(f"{name}: has no rows")
    return table


def check_folder(folder, name="folder", exists=True):
    """Return the path of a folder, ``~`` expanded; it must be there, or with ``exists=False`` may be made."""
    if not isinstance(folder, str | Path) or not str(folder):
        raise ValueError(f"{name}: got {folder!r}; give the path of a folder")
    path = Path(folder).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{name}: {str(folder)!r} is a file, not a folder")
    if exists and not path.is_dir():
        raise ValueError(f"{name}: {str(folder)!r} is not a folder")
    return path


def _said(value):
    """Return a value as a message names it: as it is written if that is short, else by its kind."""
    text = repr(value)
    if len(text) < 80 and "\n" not in text:
        return text
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _is_whole(value):
    """Tell whether a value is a whole number (a truth value is none)."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def first_few(items, n=5):
    """Write the first few of some items, for a message."""
    items = list(items)
    return ", ".join(map(str, items[:n])) + (", ..." if len(items) > n else "")


def _plain_array(name, values):
    """Return values as an array; refuse a masked one, whose mask would be lost, and ragged sequences."""
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name}: got a masked array; fill it or leave the masked entries out")
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: cannot be read as an array ({error})") from error
