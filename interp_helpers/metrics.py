"""Put maps to the test: do they change with the network, do they name pixels that matter, do they find an object?

>>> import numpy as np
>>> maps = np.array([[[0.1, 0.9], [0.3, 0.2]]])
>>> top_k_mask(maps, 2)[0].tolist()
[[False, True], [True, False]]
>>> iou(maps, np.array([[[False, True], [False, True]]])).round(2).tolist()
[0.33]
"""

import keras
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from interp_helpers.engine.checks import check_array, check_count, check_images, check_model
from interp_helpers.engine.gradients import check_probabilities, check_request
from interp_helpers.engine.graph import all_layers, find_layer
from interp_helpers.engine.hooks import batches, forward, to_numpy
from interp_helpers.engine.statistics import area_under_roc, permutation_p_value

MAPS = ("N", "height", "width")


def deletion_insertion(model, images, target, maps, n_steps=28, blank=0.0, batch_size=256):
    """Blank the pixels of each image from the strongest of its map down; reveal them likewise (Petsiuk et al. 2018).

    The model outputs probabilities, the target is a class or one for each image, and the maps have shape (N, height,
    width). The pixels are blanked, to the grey value `blank`, in `n_steps` equal parts.

    Returns deletion and insertion, each of shape (N, n_steps + 1): the probability of the target after each step; the
    mean over the steps is the area under the curve. A map that names the pixels that matter has a small area of
    deletion and a large one of insertion.
    """
    model = check_model(model)
    images = check_images(model, images)
    n, height, width = images.shape[:3]
    targets = np.broadcast_to(check_request(model, target, None, None, "max", n), n)
    maps = check_array("maps", maps, (n, height, width))
    check_probabilities(model, images)
    check_count("n_steps", n_steps, 1, height * width)
    rank = _rank_from_largest(maps.reshape(n, -1)).reshape(n, height, width, 1)
    steps = (np.arange(n_steps + 1) * height * width / n_steps)[:, None, None, None]
    probabilities = []
    for image, position, of_image in zip(images, rank, targets, strict=True):
        first = position < steps
        changed = np.concatenate([np.where(hidden, np.float32(blank), image) for hidden in (first, ~first)])
        left = [to_numpy(forward(model, changed[part])[0]) for part in batches(len(changed), batch_size)]
        probabilities.append(np.concatenate(left)[:, of_image].reshape(2, n_steps + 1))
    deletion, insertion = np.stack(probabilities, axis=1)
    return deletion, insertion


def randomize_layers(model, layers, seed=0):
    """Return a copy of a model with the weights of the named layers shuffled, for a sanity check (Adebayo et al. 2018).

    Every weight array is shuffled in itself, so that its values stay and what was learned goes.
    """
    model, rng = check_model(model), np.random.default_rng(check_count("seed", seed, 0))
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

    Returns a list of pairs: the name of the layer that was added last, and the model in which it and all after it are
    randomized.
    """
    layers = all_layers(check_model(model)).items()
    names = [name for name, layer in layers if layer.weights and not isinstance(layer, keras.Model)]
    names.reverse()
    return [(name, randomize_layers(model, names[: i + 1], seed)) for i, name in enumerate(names)]


def rank_agreement(maps, others, where=None):
    """Compute Spearman's rank correlation between two maps (N, height, width) of each image: shape (N,), from -1 to 1.

    It is NaN where a map is constant. `where` (truth values, of the same shape) says which pixels to compare.
    """
    maps = check_array("maps", maps, MAPS, finite=False)
    others = check_array("others", others, maps.shape, finite=False)
    where = np.ones(maps.shape, bool) if where is None else check_array("where", where, maps.shape)
    ranks = [(rankdata(a[mask]), rankdata(b[mask])) for a, b, mask in zip(maps, others, where, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array([np.corrcoef(first, second)[0, 1] for first, second in ranks])


def iou(maps, truth):
    """Compare the strongest pixels of each map (N, height, width) with a mask: intersection over union, shape (N,).

    As many pixels are taken as the mask has, so that every method gets the same number and no threshold is tuned. NaN
    where the mask is empty or the map is constant, so that no pixel is stronger than another.
    """
    maps = check_array("maps", maps, MAPS)
    wanted = check_array("truth", truth, maps.shape).reshape(len(maps), -1).astype(bool)
    values = maps.reshape(len(maps), -1)
    chosen = _rank_from_largest(values) < wanted.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        shares = (chosen & wanted).sum(axis=1) / (chosen | wanted).sum(axis=1)
    return np.where(np.ptp(values, axis=1) > 0, shares, np.nan)


def top_k_mask(maps, k):
    """Mark the k strongest positions of each map (N, height, width), as bool; of equally strong ones the first."""
    maps = check_array("maps", maps, MAPS)
    check_count("k", k, 1, maps[0].size)
    return (_rank_from_largest(maps.reshape(len(maps), -1)) < k).reshape(maps.shape)


def inside_ratio(maps, region):
    """Measure how much of each channel's activation falls on a region: its mean there over its mean everywhere.

    The region, truth values of shape (N, rows, columns), names positions for each image; each is a block of positions
    of the maps (N, height, width, channels), whose sides are multiples of those of the region. Negative values of the
    maps count as 0.

    Returns an ndarray, shape (N, channels): 1 for an even map, and on average for a region chosen at random; 0 for a
    channel that is silent there; at most rows * columns over the number of positions in the region. NaN where the map
    or the region is empty.
    """
    maps = check_array("maps", maps, (*MAPS, "channels"))
    region = check_array("region", region, (len(maps), "rows", "columns")).astype(bool)
    n, rows, columns = region.shape
    if maps.shape[1] % rows or maps.shape[2] % columns:
        raise ValueError(f"region: got {rows} x {columns} for maps of shape {maps.shape}; give divisors of their sides")
    blocks = np.maximum(maps, 0).reshape(n, rows, maps.shape[1] // rows, columns, maps.shape[2] // columns, -1)
    pooled = blocks.mean(axis=(2, 4), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = np.einsum("nhwc,nhw->nc", pooled, region) / region.sum(axis=(1, 2))[:, None]
        return inside / pooled.mean(axis=(1, 2))


def detector_auc(maps, masks, n_permutations=100, seed=0):
    """Measure how well each channel tells the pixels of an object from all others, in all images together.

    The maps have shape (N, height, width, channels); each pixel of an image has the value of its cell. The masks are a
    dict from objects to truth values of shape (N, rows, columns), multiples of the sides of the maps. For the p-value
    they are permuted among the images (n_permutations=0: NaN).

    Returns a DataFrame, one row for each channel and object: channel, object, auc (probability that a pixel on the
    object has a larger value than one elsewhere; equal values count half; 1/2 means no relation, 0 a channel that is
    dark on the object only), position (the same with the mean mask of all images instead of each image's own: what a
    channel reaches that knows the position alone), p_value (two-sided: how often permuted masks are as far from
    `position`), strength (``|2 auc - 1|``: how well the channel, or its negative, finds the object). NaN where a
    channel is constant.
    """
    maps = check_array("maps", maps, (*MAPS, "channels"))
    check_count("n_permutations", n_permutations, 0)
    if not masks:
        raise ValueError("masks: is empty; give the mask of at least one object")
    shares = np.stack([_share_of_cells(name, mask, maps.shape) for name, mask in masks.items()])  # (objects, N, cells)
    n, n_cells = shares.shape[1:]
    flat = np.moveaxis(maps, 3, 0).reshape(maps.shape[3], -1)
    ranks = np.stack([rankdata(values) - 0.5 for values in flat]).reshape(len(flat), n, n_cells)
    area, p = shares.sum(axis=(1, 2)), n * n_cells

    def with_masks_of(order):  # (channels, objects)
        return area_under_roc(np.tensordot(ranks, shares[:, order], axes=([1, 2], [1, 2])), area, p)

    rng = np.random.default_rng(check_count("seed", seed, 0))
    measured, position = with_masks_of(slice(None)), area_under_roc(ranks.sum(axis=1) @ shares.mean(axis=1).T, area, p)
    null = [with_masks_of(rng.permutation(n)) - position for _ in range(n_permutations)]
    p_value = permutation_p_value(measured - position, np.stack(null)) if null else np.full(measured.shape, np.nan)
    values = {"auc": measured, "position": position, "p_value": p_value, "strength": np.abs(2 * measured - 1)}
    constant = np.ptp(flat, axis=1)[:, None] == 0
    values = {name: np.where(constant, np.nan, table).ravel() for name, table in values.items()}
    index = {"channel": np.repeat(np.arange(len(flat)), len(masks)), "object": list(masks) * len(flat)}
    return pd.DataFrame({**index, **values})


def _rank_from_largest(values):
    """Return the rank of each value in its row, 0 for the largest; of equal ones the first comes first."""
    return rankdata(-values, method="ordinal", axis=1) - 1


def _share_of_cells(name, mask, shape):
    """Return the share of an object in each cell of maps of a shape, (N, cells)."""
    mask = check_array(f"masks[{name!r}]", mask, (shape[0], "rows", "columns"))
    if mask.dtype != bool or mask.shape[1] % shape[1] or mask.shape[2] % shape[2]:
        raise ValueError(
            f"masks: {name!r} is {mask.dtype} of shape {mask.shape} beside maps of {shape[:3]}; give bool, (N, rows, "
            "columns), multiples of the maps'"
        )
    if mask.all() or not mask.any():
        raise ValueError(f"masks: {name!r} is in every pixel or in none; there is nothing to tell apart")
    rows, columns = mask.shape[1] // shape[1], mask.shape[2] // shape[2]
    cells = mask.reshape(shape[0], shape[1], rows, shape[2], columns)
    return cells.mean(axis=(2, 4)).reshape(shape[0], -1)
