"""Put maps to the test: how much they change with the network, whether they find what they should."""

import keras
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from interp_helpers.engine.checks import check_images, check_model
from interp_helpers.engine.gradients import check_probabilities, check_request
from interp_helpers.engine.graph import all_layers, find_layer
from interp_helpers.engine.hooks import batches, forward, to_numpy


def deletion_insertion(model, images, target, maps, n_steps=28, blank=0.0, batch_size=256):
    """Blank the pixels of each image from the strongest of its map down; reveal them likewise (Petsiuk et al. 2018).

    Parameters
    ----------
    model : keras.Model
        With probabilities as output.
    images : ndarray, shape (N, height, width, channels)
    target : int or sequence of N ints
    maps : ndarray, shape (N, height, width)
    n_steps : int
        In how many equal parts the pixels are blanked.
    blank : float
        Grey value of a blank pixel.

    Returns
    -------
    deletion, insertion : ndarray, shape (N, n_steps + 1)
        Probability of the target after each step; the mean over the steps is the area under the curve. A map that
        names the pixels that matter has a small area of deletion and a large one of insertion.

    Raises
    ------
    ValueError
        As in `saliency`; if the maps have another shape.
    """
    model = check_model(model)
    images = check_images(model, images)
    check_request(model, target, None, None, "max", len(images))
    n, height, width = np.shape(images)[:3]
    if np.shape(maps) != (n, height, width):
        raise ValueError(f"maps: got shape {np.shape(maps)}; give {(n, height, width)}")
    if not np.isfinite(maps).all():
        raise ValueError("maps: there are values that are NaN or infinite")
    check_probabilities(model, images)
    if not 0 < n_steps <= height * width:
        raise ValueError(f"n_steps: got {n_steps}; give 1 to {height * width}")
    order = np.argsort(-np.reshape(maps, (n, -1)), axis=1, kind="stable")
    rank = np.argsort(order, axis=1).reshape(n, height, width, 1)
    targets = np.broadcast_to(target, n)
    steps = (np.arange(n_steps + 1) * height * width / n_steps)[:, None, None, None]
    probabilities = []
    for image, place, of_image in zip(np.asarray(images, np.float32), rank, targets, strict=True):
        first = place < steps
        changed = np.concatenate(
            [np.where(~first, image, np.float32(blank)), np.where(first, image, np.float32(blank))]
        )
        left = [to_numpy(forward(model, changed[part])[0]) for part in batches(len(changed), batch_size)]
        probabilities.append(np.concatenate(left)[:, of_image].reshape(2, n_steps + 1))
    deletion, insertion = np.stack(probabilities, axis=1)
    return deletion, insertion


def randomize_layers(model, layers, seed=0):
    """Copy a model with the weights of some layers shuffled: the network for a sanity check (Adebayo et al. 2018).

    Every weight array is shuffled in itself, so that its values stay and what was learned goes.

    Parameters
    ----------
    model : keras.Model
        Comes back unchanged.
    layers : sequence of str
    seed : int

    Returns
    -------
    keras.Model
        A new model.

    Raises
    ------
    ValueError
        If there is no layer of one of the names, or if one has no weights.
    """
    rng = np.random.default_rng(seed)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for name in layers:
        found = find_layer(copy, name)
        if not found.weights:
            raise ValueError(f"layers: {name!r} has no weights to shuffle")
        found.set_weights([rng.permutation(weight.ravel()).reshape(weight.shape) for weight in found.get_weights()])
    return copy


def cascading_randomization(model, seed=0):
    """Randomize a model layer by layer from the output down.

    Returns
    -------
    list of (str, keras.Model)
        The name of the layer that was added last, and the model in which it and all above it are `randomized`.
    """
    names = [name for name, layer in all_layers(model).items() if layer.weights and not isinstance(layer, keras.Model)]
    names.reverse()
    return [(name, randomize_layers(model, names[: i + 1], seed)) for i, name in enumerate(names)]


def rank_agreement(maps, others, where=None):
    """Compute Spearman's rank correlation between two maps of each image.

    Parameters
    ----------
    maps, others : ndarray, shape (N, height, width)
    where : ndarray of bool, shape (N, height, width), optional
        Which pixels to compare; all of them by default.

    Returns
    -------
    ndarray, shape (N,)
        From -1 to 1; NaN where a map is constant.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    from scipy.stats import rankdata

    where = np.ones(np.shape(maps), bool) if where is None else where
    if not np.shape(maps) == np.shape(others) == np.shape(where):
        raise ValueError(f"others: got shape {np.shape(others)} beside {np.shape(maps)}; give the same")
    ranks = [(rankdata(a[mask]), rankdata(b[mask])) for a, b, mask in zip(maps, others, where, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array([np.corrcoef(first, second)[0, 1] for first, second in ranks])


def iou(maps, truth):
    """Compare the strongest pixels of each map with a mask: intersection over union.

    As many pixels are taken as the mask has, so that every method gets the same number and no threshold is tuned.

    Parameters
    ----------
    maps : ndarray, shape (N, height, width)
    truth : ndarray of bool, shape (N, height, width)

    Returns
    -------
    ndarray, shape (N,)
        From 0 to 1; NaN where the mask is empty or the map is constant, so that no pixel is stronger than another.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if np.shape(maps) != np.shape(truth):
        raise ValueError(f"truth: got shape {np.shape(truth)} beside {np.shape(maps)}; give the same")
    values, wanted = (np.reshape(stack, (len(stack), -1)) for stack in (maps, truth))
    order = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1, kind="stable")
    chosen = order < wanted.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        iou = (chosen & wanted).sum(axis=1) / (chosen | wanted).sum(axis=1)
    return np.where(np.ptp(values, axis=1) > 0, iou, np.nan)


def top_k_mask(maps, n):
    """Mark the n strongest places of each map.

    Parameters
    ----------
    maps : ndarray, shape (N, height, width)
    n : int
        From 1 to height * width.

    Returns
    -------
    ndarray of bool, shape (N, height, width)
        With exactly n places each; of equally strong ones the first.

    Raises
    ------
    ValueError
        If `maps` has another shape or `n` is out of range.
    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or not 1 <= n <= maps[0].size:
        raise ValueError(f"maps, n: got shape {maps.shape} and {n}; give (N, height, width) and 1 to height * width")
    flat = maps.reshape(len(maps), -1)
    chosen = np.zeros(flat.shape, bool)
    np.put_along_axis(chosen, np.argsort(-flat, axis=1, kind="stable")[:, :n], True, axis=1)
    return chosen.reshape(maps.shape)


def inside_ratio(maps, region):
    """Measure how much of each channel's activation falls on a region: its mean there over its mean everywhere.

    Parameters
    ----------
    maps : ndarray, shape (N, height, width, channels)
        What is negative counts as 0. Height and width are multiples of those of the region.
    region : ndarray of bool, shape (N, rows, columns)
        For each image, the places that count; one place of it is a block of places of the maps.

    Returns
    -------
    ndarray, shape (N, channels), float64
        1 for an even map, and on average for a region chosen at random; 0 for a channel that is silent there; at most
        rows * columns over the number of places in the region. NaN where the map or the region is empty.

    Raises
    ------
    ValueError
        If the shapes do not go together.
    """
    maps, region = np.asarray(maps), np.asarray(region, bool)
    fits = maps.ndim == 4 and region.ndim == 3 and len(maps) == len(region) and maps.size and region.size
    if not fits or maps.shape[1] % region.shape[1] or maps.shape[2] % region.shape[2]:
        raise ValueError(
            f"maps, region: got shapes {maps.shape} and {region.shape}; give (N, height, width, channels) and "
            "(N, rows, columns), height and width multiples of rows and columns"
        )
    n, rows, columns = region.shape
    blocks = np.maximum(maps, 0).reshape(n, rows, maps.shape[1] // rows, columns, maps.shape[2] // columns, -1)
    pooled = blocks.mean(axis=(2, 4), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = np.einsum("nhwc,nhw->nc", pooled, region) / region.sum(axis=(1, 2))[:, None]
        return inside / pooled.mean(axis=(1, 2))


def detector_auc(maps, masks, n_shuffles=100, seed=0):
    """Measure how well each channel tells the pixels of an object from all others, in all images together.

    Parameters
    ----------
    maps : ndarray, shape (N, height, width, channels)
        What a layer put out for N images; each pixel of an image has the value of its cell.
    masks : dict of str to ndarray of bool, each of shape (N, rows, columns)
        Where each object is; rows and columns are multiples of those of the maps.
    n_shuffles : int
        How often the masks are dealt out to other images, for the p-value; 0: none (NaN).
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row for each channel and object: channel, object, auc (probability that a pixel on the object has a larger
        value than one elsewhere; equal values count half; 1/2 means no relation, 0 a channel that is dark on the object
        only), place (the same with the mean mask of all images instead of each image's own: what a channel reaches that
        knows the place alone, and the mean over all ways to deal the masks out), p_value (two-sided: how often
        dealt-out masks are as far from `place`), strength (``|2 auc - 1|``, from 0 to 1: how well the channel, or its
        negative, finds the object).
        NaN where a channel is constant.

    Raises
    ------
    ValueError
        If shapes do not fit, if values are not finite, or if an object is in no pixel or in all.

    Notes
    -----
    The area under the ROC curve from ranks: with s the share of the object in each of P cells, S their sum and r the
    mean ranks of the values minus 1/2, (sum of s r - S^2 / 2) / (S (P - S)); for cells of one pixel that is the
    statistic of Mann and Whitney.
    """
    maps = np.asarray(maps)
    if maps.ndim != 4 or not maps.size or not np.isfinite(maps).all():
        raise ValueError(f"maps: got shape {maps.shape}; give (N, height, width, channels), finite")
    if not masks or not isinstance(n_shuffles, int | np.integer) or n_shuffles < 0:
        raise ValueError(f"masks, n_shuffles: got {list(masks)}, {n_shuffles!r}; give a mask, and a number from 0")
    shares = np.stack([_share_of_cells(name, mask, maps.shape) for name, mask in masks.items()])  # (objects, N, cells)
    n, n_cells = shares.shape[1:]
    flat = np.moveaxis(maps, 3, 0).reshape(maps.shape[3], -1)
    ranks = np.stack([rankdata(values) - 0.5 for values in flat]).reshape(len(flat), n, n_cells)
    area, p = shares.sum(axis=(1, 2)), n * n_cells

    def auc(won):
        return (won - area**2 / 2) / (area * (p - area))  # (channels, objects)

    def dealt(order):
        return auc(np.tensordot(ranks, shares[:, order], axes=([1, 2], [1, 2])))

    rng = np.random.default_rng(seed)
    measured, place = dealt(slice(None)), auc(ranks.sum(axis=1) @ shares.mean(axis=1).T)
    far = np.abs(measured - place) - 1e-12
    as_far = np.sum([np.abs(dealt(rng.permutation(n)) - place) >= far for _ in range(n_shuffles)], axis=0)
    p_value = (1 + as_far) / (1 + n_shuffles) if n_shuffles else np.full(measured.shape, np.nan)
    table = pd.DataFrame(
        {
            "channel": np.repeat(np.arange(len(flat)), len(masks)),
            "object": list(masks) * len(flat),
            "auc": measured.ravel(),
            "place": place.ravel(),
            "p_value": p_value.ravel(),
            "strength": np.abs(2 * measured - 1).ravel(),
        }
    )
    constant = np.repeat(np.ptp(flat, axis=1) == 0, len(masks))
    table.loc[constant, ["auc", "place", "p_value", "strength"]] = np.nan
    return table


def _share_of_cells(name, mask, shape):
    """Return the share of an object in each cell of maps of a shape, (N, cells)."""
    mask = np.asarray(mask)
    fits = mask.ndim == 3 and len(mask) == shape[0] and not mask.shape[1] % shape[1] and not mask.shape[2] % shape[2]
    if mask.dtype != bool or not fits:
        raise ValueError(
            f"masks: {name!r} is {mask.dtype} of shape {mask.shape} beside maps of {shape[:3]}; give bool, (N, rows, "
            "columns), multiples of the maps'"
        )
    if mask.all() or not mask.any():
        raise ValueError(f"masks: {name!r} is in every pixel or in none; there is nothing to tell apart")
    rows, columns = mask.shape[1] // shape[1], mask.shape[2] // shape[2]
    cells = mask.reshape(shape[0], shape[1], rows, shape[2], columns)
    return cells.mean(axis=(2, 4)).reshape(shape[0], -1)
