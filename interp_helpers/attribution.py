"""Which pixels is a score about? Saliency maps, Grad-CAM and their relatives, and what is needed to doubt them.

All functions take images (N, height, width, channels) and answer for all of them. The *target* is a class, whose score
(logit) is explained, or, with ``layer=``, a channel of any layer: a number for all images or one for each. It may also
be a function of the scores, or of what the layer puts out: ``lambda scores: scores[:, 4] - scores[:, 9]``.
"""

import warnings
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from interp_helpers.layers import activations, batches_of, only_output, recorded, replaced_calls
from interp_helpers.models import all_layers, check_images, layer_with_maps, named_layer, scores

MODIFIERS = (None, "guided", "rectified")


def saliency(model, images, target, layer=None, modifier=None, pool="max", batch_size=100):
    """Differentiate a score with respect to the pixels (Simonyan et al. 2014, section 3).

    Parameters
    ----------
    model : keras.Model
        Sequential, functional or nested; comes back unchanged.
    images : ndarray, shape (N, height, width, channels), float
    target : int, sequence of N ints, or callable
        A class, whose score (logit) is differentiated; with `layer`, a channel of that layer; or a function from the
        tensor of scores (N, classes), with `layer` of its output (N, ...), to a tensor (N,).
    layer : str, optional
        Name of a layer; its channel is pooled over the map to one number.
    modifier : None, "guided" or "rectified"
        What a ReLU lets through on the way back. None: the gradient. "guided": only positive gradients, and only where
        the ReLU was active (Springenberg et al. 2014). "rectified": only positive gradients, wherever (the
        deconvolution of Zeiler and Fergus 2014). With a modifier the result is no gradient any more. A ReLU is found
        as a layer, an operation of the model or the activation of a layer, not inside a Lambda or a layer's own code.
    pool : "max", "mean" or "sum"
        How the map of a channel of an inner layer becomes one number.
    batch_size : int

    Returns
    -------
    ndarray, shape of `images`, float32
        Signed; units of the score per unit of pixel value. `magnitude` makes the usual map of it.

    Raises
    ------
    ValueError
        For images that do not fit, an unknown layer, channel, modifier or pooling, or a modifier without a ReLU.

    Warns
    -----
    UserWarning
        If a map is zero everywhere, or if the target is a softmax that has saturated; the message says why.

    Notes
    -----
    Agrees to 1e-5 (relative) with the raw gradients of keras-vis 0.4.1, and with tf-keras-vis 0.8.7 and xplique, for
    all three modifiers where these have them (``tests/oracles``).
    """
    _, gradients = _differentiated(model, images, target, layer, modifier, pool, batch_size)
    _warn_if_blank(gradients, "the target does not react to any pixel: behind it there is a ReLU that is off (dead)")
    return gradients


def magnitude(gradients):
    """Reduce signed gradients to the usual saliency map: absolute value, largest over the colour channels.

    Parameters
    ----------
    gradients : ndarray, shape (N, height, width, channels)

    Returns
    -------
    ndarray, shape (N, height, width)
    """
    return np.abs(gradients).max(axis=-1)


def grad_cam(model, images, target, layer=None, modifier=None, upsample=True, batch_size=100):
    """Weight the maps of a layer by their mean gradients, add them and keep what is positive (Selvaraju et al. 2017).

    With A^k the maps of the layer and y the score: alpha_k = mean over the map of dy/dA^k, and
    L = max(0, sum_k alpha_k A^k).

    Parameters
    ----------
    model, images, target, modifier, batch_size
        As in `saliency`; `target` is a class.
    layer : str, optional
        A layer with maps; by default the last one before the maps are flattened or pooled away.
    upsample : bool
        Stretch the maps to the size of the images, bilinearly (``tf.image.resize``: border to border).

    Returns
    -------
    ndarray, shape (N, height, width), float32, not negative
        In units of the score times activation over activation; not scaled to [0, 1].

    Raises
    ------
    ValueError
        As in `saliency`; if the model has no layer with maps, or if `layer` has none.

    Warns
    -----
    UserWarning
        If a map is zero everywhere.

    Notes
    -----
    Agrees to 1e-5 (relative) with keras-vis 0.4.1 before upsampling, up to the factor 1 / (largest gradient) that
    keras-vis applies; and with tf-keras-vis 0.8.7 and xplique on functional models (``tests/oracles``).
    """
    layer = layer or last_layer_with_maps(model)
    maps, gradients = map_gradients(model, images, target, layer, None, modifier, batch_size)
    alpha = gradients.mean(axis=(1, 2))
    cams = np.maximum(np.einsum("nhwk,nk->nhw", maps, alpha), 0)
    _warn_if_blank(cams, f"the weighted maps of {layer!r} add up to nothing positive for this class")
    return _stretched(cams, images) if upsample else cams


def map_gradients(model, images, target, maps, layer=None, modifier=None, batch_size=100):
    """Compute the maps of a layer, and the gradient of the target with respect to them.

    Parameters
    ----------
    model, images, target, layer, modifier, batch_size
        As in `saliency`.
    maps : str
        Name of the layer whose maps are wanted.

    Returns
    -------
    maps, gradients : ndarray, shape (N, height, width, channels), float32

    Raises
    ------
    ValueError
        As in `saliency`; if the layer `maps` has no maps.
    """
    return _differentiated(model, images, target, layer, modifier, "mean", batch_size, layer_with_maps(model, maps))


def class_activation_map(model, images, target, upsample=True, batch_size=100):
    """Weight the maps before global average pooling by the weights of the last layer (CAM; Zhou et al. 2016).

    Parameters
    ----------
    model : keras.Model
        That ends in maps, ``GlobalAveragePooling2D``, one dense layer (and softmax or sigmoid).
    images, target, upsample, batch_size
        As in `grad_cam`; `target` is a class, or one for each image.

    Returns
    -------
    ndarray, shape (N, height, width), float32
        Signed. Its mean over the map (``upsample=False``), plus the bias, is the score.

    Raises
    ------
    ValueError
        As in `grad_cam`; if the model does not end so.

    Notes
    -----
    Grad-CAM of the same maps is max(0, CAM) divided by the number of places: the gradient of the score with respect
    to every place of map k is w_k / Z.
    """
    check_images(model, images)
    check_request(model, target, None, None, "mean", len(images))
    if callable(target):
        raise ValueError("target: CAM takes a class, or one for each image, not a function")
    layers = all_layers(model)
    pools = [name for name, layer in layers.items() if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    after = list(layers.values())[list(layers).index(pools[-1]) + 1 :] if pools else []
    ends = keras.layers.Softmax | keras.layers.Activation
    dense = [layer for layer in after if not isinstance(layer, keras.layers.Dropout | ends)]
    if len(dense) != 1 or not isinstance(dense[0], keras.layers.Dense):
        raise ValueError(
            f"model: {model.name!r} does not end in global average pooling and one dense layer; CAM needs that "
            "(grad_cam does not)"
        )
    made_by = layers[pools[-1]].input._keras_history[0]
    maps_layer = next(name for name, layer in layers.items() if layer is made_by)
    maps = activations(model, images, maps_layer, batch_size)
    weights = keras.ops.convert_to_numpy(dense[0].kernel)[:, np.broadcast_to(target, len(images))]
    cams = np.einsum("nhwk,kn->nhw", maps, weights)
    return _stretched(cams, images) if upsample else cams


def guided_grad_cam(model, images, target, layer=None, batch_size=100):
    """Multiply guided backpropagation by Grad-CAM, pixel by pixel (Selvaraju et al. 2017, section 3.2).

    Parameters, errors and warnings as in `grad_cam`.

    Returns
    -------
    ndarray, shape of `images`, float32
    """
    fine = saliency(model, images, target, modifier="guided", batch_size=batch_size)
    return fine * grad_cam(model, images, target, layer, batch_size=batch_size)[..., None]


def smoothgrad(model, images, target, noise=0.2, n_samples=50, seed=0, **options):
    """Average the saliency maps of noisy copies of each image (Smilkov et al. 2017).

    Parameters
    ----------
    model, images, target
        As in `saliency`.
    noise : float
        Standard deviation of the Gaussian noise, in units of pixel value.
    n_samples : int
        Copies of each image.
    seed : int
    **options
        Passed to `saliency`.

    Returns
    -------
    ndarray, shape of `images`, float32
        Signed, as `saliency`.
    """
    if n_samples < 1 or noise < 0:
        raise ValueError(f"n_samples: got {n_samples} with noise {noise}; give at least 1 sample and no negative noise")
    check_images(model, images)
    rng = np.random.default_rng(seed)
    total = np.zeros(np.shape(images), np.float64)
    for _ in range(n_samples):
        total += saliency(model, images + rng.normal(0, noise, images.shape).astype(np.float32), target, **options)
    return (total / n_samples).astype(np.float32)


def integrated_gradients(model, images, target, baseline=0.0, n_steps=50, **options):
    """Add up the gradients along the straight line from a baseline to each image (Sundararajan et al. 2017).

    The attributions of all pixels add up to score(image) - score(baseline), up to the error of the midpoint rule
    (*completeness*).

    Parameters
    ----------
    model, images, target
        As in `saliency`.
    baseline : float or ndarray that broadcasts to `images`
        The image that stands for nothing; black by default.
    n_steps : int
        Points on the line.
    **options
        Passed to `saliency`.

    Returns
    -------
    ndarray, shape of `images`, float32
        Signed, in units of the score.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps: got {n_steps}; give at least 1")
    check_images(model, images)
    away = images - np.broadcast_to(np.asarray(baseline, np.float32), images.shape)
    total = np.zeros(images.shape, np.float64)
    for step in range(n_steps):
        between = images - away * np.float32(1 - (step + 0.5) / n_steps)
        total += saliency(model, between, target, **options)
    return (away * total / n_steps).astype(np.float32)


def occlusion_map(
    model,
    images,
    target,
    patch=5,
    stride=1,
    fill=0.0,
    output="score_drop",
    layer=None,
    pool="max",
    batch_size=256,
):
    """Cover a square of each image, at every place, and see what becomes of the target (Zeiler and Fergus 2014).

    Parameters
    ----------
    model, images, target, layer, pool
        As in `saliency`.
    patch : int
        Side of the square in pixels; at the border the part inside the image is covered.
    stride : int
        Step between places, in pixels; a place speaks for the `stride` by `stride` pixels around it.
    fill : float, "local", "blur" or ndarray that broadcasts to `images`
        What the square is filled with: a grey value (0: black, 1: white), the mean of the pixels that it covers, the
        blurred image, or the same place of another image (for example a mean image).
    output : "score_drop" or "probability"
        By how much the target falls (positive: the place was needed), or the probability that is left.
    batch_size : int
        Covered images in one call of the model.

    Returns
    -------
    ndarray, shape (N, height, width), float32
        The value at a pixel is that for the square around it, or with a stride for the square at the nearest place;
        places begin at ``stride // 2``.

    Raises
    ------
    ValueError
        As in `saliency`; for a patch, stride, fill or output that makes no sense; for probabilities of a layer.
    """
    check_images(model, images)
    check_request(model, target, layer, None, pool, len(images))
    height, width = np.shape(images)[1:3]
    whole = all(isinstance(number, int | np.integer) for number in (patch, stride))
    if not whole or not 0 < patch <= max(height, width) or not 0 < stride <= min(height, width):
        raise ValueError(f"patch={patch}, stride={stride}: give whole numbers from 1, not larger than the images")
    if output not in ("score_drop", "probability") or (output == "probability" and (layer or callable(target))):
        raise ValueError(f"output: got {output!r}; give 'score_drop', or 'probability' (of a class, without layer)")
    forward = forward_function(model, layer)
    if output == "probability":
        _check_probabilities(model, images[:1])
        forward = lambda pixels: model(pixels, training=False)  # noqa: E731
    images = np.asarray(images, np.float32)
    filling = _filling(fill, images, patch)
    rows, columns = (range(min(stride // 2, n - 1), n, stride) for n in (height, width))
    covered = _squares(height, width, rows, columns, patch)
    nearest = [np.minimum(np.arange(n) // stride, len(p) - 1) for n, p in ((height, rows), (width, columns))]
    maps = []
    for i, image in enumerate(images):
        of_image = _of_part(target, i)
        values = []
        for part in batches_of(len(covered), batch_size):
            mask = covered[part, :, :, None]
            changed = np.where(mask, _local_means(image, mask) if filling is None else filling[i], image)
            values.append(_array(target_values(forward(tf.constant(changed)), of_image, pool)))
        values = np.concatenate(values).reshape(len(rows), len(columns))
        if output == "score_drop":
            values = _array(target_values(forward(tf.constant(image[None])), of_image, pool)) - values
        maps.append(values[np.ix_(*nearest)])
    return np.stack(maps)


def explain(model, images, target, method="saliency", **options):
    """Draw the map of any method: one call, one shape, larger where the target depends more on the picture.

    Parameters
    ----------
    model, images, target
        As in `saliency`.
    method : str
        "saliency", "guided", "rectified", "smoothgrad" (their absolute values, largest over the colour channels),
        "integrated_gradients", "guided_grad_cam" (signed, summed over the colour channels), "grad_cam", "occlusion"
        (signed), and the two floors "edges" and "random", which do not look at the model.
    **options
        Passed to the function of the method.

    Returns
    -------
    ndarray, shape (N, height, width), float32

    Raises
    ------
    ValueError
        For an unknown method, and as the function of the method.
    """
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}; give one of {', '.join(METHODS)}")
    check_images(model, images)
    return METHODS[method](model, images, target, options)


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
    check_images(model, images)
    check_request(model, target, None, None, "max", len(images))
    n, height, width = np.shape(images)[:3]
    if np.shape(maps) != (n, height, width):
        raise ValueError(f"maps: got shape {np.shape(maps)}; give {(n, height, width)}")
    if not np.isfinite(maps).all():
        raise ValueError("maps: there are values that are NaN or infinite")
    _check_probabilities(model, images[:1])
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
        left = [
            _array(model(tf.constant(changed[part]), training=False)) for part in batches_of(len(changed), batch_size)
        ]
        probabilities.append(np.concatenate(left)[:, of_image].reshape(2, n_steps + 1))
    deletion, insertion = np.stack(probabilities, axis=1)
    return deletion, insertion


def edges(images):
    """Draw the edges of each image (Sobel): a floor for every method, because it has never seen the network.

    Parameters
    ----------
    images : ndarray, shape (N, height, width, channels)

    Returns
    -------
    ndarray, shape (N, height, width), float32
        Length of the gradient of the picture, largest over the colour channels.
    """
    return _array(tf.norm(tf.image.sobel_edges(tf.convert_to_tensor(images, tf.float32)), axis=-1)).max(axis=-1)


def random_map(images, seed=0):
    """Draw a random map (N, height, width), uniform in [0, 1), for each image: the other floor."""
    return np.random.default_rng(seed).random(np.shape(images)[:3]).astype(np.float32)


def randomized(model, layers, seed=0):
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
        found = named_layer(copy, name)
        if not found.weights:
            raise ValueError(f"layers: {name!r} has no weights to shuffle")
        found.set_weights([rng.permutation(weight.ravel()).reshape(weight.shape) for weight in found.get_weights()])
    return copy


def cascade(model, seed=0):
    """Randomize a model layer by layer from the output down.

    Returns
    -------
    list of (str, keras.Model)
        The name of the layer that was added last, and the model in which it and all above it are `randomized`.
    """
    names = [name for name, layer in all_layers(model).items() if layer.weights and not isinstance(layer, keras.Model)]
    names.reverse()
    return [(name, randomized(model, names[: i + 1], seed)) for i, name in enumerate(names)]


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


def overlap(maps, truth):
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


def strongest(maps, n):
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


def concentration(maps, region):
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


def last_layer_with_maps(model):
    """Name the last layer that puts out maps larger than one cell (dropout, which changes nothing, does not count).

    Raises
    ------
    ValueError
        If there is none.
    """
    for name, layer in reversed(all_layers(model).items()):
        shape = getattr(getattr(layer, "output", None), "shape", ())
        passes_on = isinstance(layer, keras.Model | keras.layers.Dropout | keras.layers.InputLayer)
        if len(shape) == 4 and shape[1:3] != (1, 1) and not passes_on:
            return name
    raise ValueError(f"model: {model.name!r} has no layer with maps (no convolution); Grad-CAM needs one")


# --- one forward pass, one backward pass -----------------------------------------------------------------------------


def forward_function(model, layer=None):
    """Return the function from a tensor of images to the scores (N, classes), or to what a layer puts out (N, ...)."""
    if layer is None:
        network = scores(model)
        return lambda images: network(images, training=False)
    found = named_layer(model, layer)
    softmax = isinstance(found, keras.layers.Softmax) or getattr(found, "activation", None) is _SOFTMAX

    def forward(images):
        with recorded([found]) as outputs:
            model(images, training=False)
        output = only_output(found, outputs)
        if softmax and tf.executing_eagerly():  # a compiled function has no values to look at
            _warn_if_saturated(found, output)
        return output

    return forward


def target_values(outputs, target, pool):
    """Return one number for each image: of a channel (pooled over its map), or of a function of the outputs.

    Parameters
    ----------
    outputs : tensor, shape (N, ..., channels)
    target : int, ndarray of N ints, or callable
    pool : "max", "mean" or "sum"

    Returns
    -------
    tensor, shape (N,), float32
    """
    outputs = tf.cast(outputs, tf.float32)  # sums in half precision would overflow
    if callable(target):
        values = target(outputs)
        if tuple(values.shape) != (outputs.shape[0],):
            raise ValueError(f"target: the function returned shape {tuple(values.shape)}; return ({outputs.shape[0]},)")
        return values
    channels = np.broadcast_to(target, outputs.shape[0])
    chosen = tf.gather(outputs, channels, axis=-1, batch_dims=1)
    places = tuple(range(1, len(chosen.shape)))
    return {"max": tf.reduce_max, "mean": tf.reduce_mean, "sum": tf.reduce_sum}[pool](chosen, axis=places)


def check_request(model, target, layer, modifier, pool, n_images):
    """Refuse a target, modifier or pooling that is not there.

    Raises
    ------
    ValueError
        If `target` is neither callable nor integers, not one or `n_images` of them, or out of range; if `layer`,
        `modifier` or `pool` is unknown.
    """
    if modifier not in MODIFIERS:
        raise ValueError(f"modifier: got {modifier!r}; give one of {', '.join(map(repr, MODIFIERS))}")
    if pool not in ("max", "mean", "sum"):
        raise ValueError(f"pool: got {pool!r}; give 'max', 'mean' or 'sum'")
    n_channels = named_layer(model, layer).output.shape[-1] if layer else scores(model).output_shape[-1]
    if callable(target):
        return
    targets = np.asarray(target)
    if targets.dtype.kind not in "iu" or targets.shape not in ((), (n_images,)):
        raise ValueError(f"target: got {target!r}; give an integer, {n_images} integers, or a function")
    if targets.min() < 0 or targets.max() >= n_channels:
        raise ValueError(f"target: got {target!r}; {layer or 'the score'} has {n_channels} channels, counted from 0")


@contextmanager
def modified_relus(model, modifier):
    """Change what every ReLU of the model sends back while inside; the forward pass stays as it is.

    Raises
    ------
    ValueError
        If there is a modifier and no ReLU.
    """
    if modifier is None:
        yield
        return
    layers = list(all_layers(model).values())
    # a ReLU is a layer of its own, an operation of a functional model, or the activation inside another layer
    operations = [found for part in (model, *layers) for found in getattr(part, "operations", ())]
    whole = {
        found: _changed(found.call, modifier)
        for found in {*layers, *operations}
        if type(found).__name__ in ("ReLU", "Relu", "Relu6") and not getattr(found, "negative_slope", 0)
    }
    inside = {layer: layer.activation for layer in layers if getattr(layer, "activation", None) in _RELUS}
    if not whole and not inside:
        raise ValueError(f"modifier: {modifier!r} changes how ReLUs pass gradients back, and the model has no ReLU")
    try:
        for layer, relu in inside.items():
            layer.__dict__["activation"] = _changed(relu, modifier)
        with replaced_calls(whole):
            yield
    finally:
        for layer, relu in inside.items():
            layer.__dict__["activation"] = relu


def _differentiated(model, images, target, layer, modifier, pool, batch_size, inner=None):
    """Return what the target is differentiated by, and the gradient: the pixels, or what the layer `inner` puts out."""
    check_images(model, images)
    check_request(model, target, layer, modifier, pool, len(images))
    forward = forward_function(model, layer)
    pairs = []
    with modified_relus(model, modifier), recorded([inner] if inner else []) as outputs:
        for part in batches_of(len(images), batch_size):
            pixels = tf.convert_to_tensor(images[part], tf.float32)
            with tf.GradientTape() as tape:
                tape.watch(pixels)
                values = target_values(forward(pixels), _of_part(target, part), pool)
            variable = only_output(inner, outputs) if inner else pixels
            outputs.clear()
            gradient = tape.gradient(values, variable, unconnected_gradients="zero")
            pairs.append((_array(variable), _array(gradient)))
    return tuple(np.concatenate(parts) for parts in zip(*pairs, strict=True))


def _of_part(target, part):
    """Return the target of one image (a number) or of some (a slice)."""
    return np.asarray(target)[part] if np.ndim(target) and not callable(target) else target


def _changed(relu, modifier):
    """Return a ReLU with the backward pass of guided backpropagation or of the deconvolution."""

    @tf.custom_gradient
    def changed(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            active = relu(values)

        def backward(upstream):
            positive = tf.nn.relu(upstream)
            return tape.gradient(active, values, positive) if modifier == "guided" else positive

        return active, backward

    return changed


def _check_probabilities(model, image):
    """Refuse a model that puts out scores where probabilities are needed."""
    values = _array(model(tf.constant(image, tf.float32), training=False))
    if values.min() < 0 or values.max() > 1 or scores(model) is model:
        raise ValueError(f"model: {model.name!r} puts out scores; give a model that puts out probabilities")


def _squares(height, width, rows, columns, patch):
    """Return masks (places, height, width) of the squares around the given rows and columns."""
    before = patch // 2

    def covers(centres, length):
        start = np.array(centres)[:, None] - before
        places = np.arange(length)
        return (places >= start) & (places < start + patch)

    down, across = covers(rows, height), covers(columns, width)
    return (down[:, None, :, None] & across[None, :, None, :]).reshape(-1, height, width)


def _filling(fill, images, patch):
    """Return what the squares are filled with, in the shape of the images; None if it depends on the place."""
    if isinstance(fill, str):
        if fill not in ("local", "blur"):
            raise ValueError(f"fill: got {fill!r}; give a grey value, 'local', 'blur' or an image")
        return blurred(images, patch / 2).numpy() if fill == "blur" else None
    fill = np.asarray(fill, np.float32)
    if not np.isfinite(fill).all():
        raise ValueError("fill: there are values that are NaN or infinite")
    try:
        return np.broadcast_to(fill, images.shape)
    except ValueError:
        raise ValueError(f"fill: got shape {fill.shape}, which does not fit images of {images.shape}") from None


def _local_means(image, mask):
    """Return the mean of what each mask (places, height, width, 1) covers, shape (places, 1, 1, channels)."""
    total = np.einsum("phw,hwc->pc", mask[..., 0].astype(np.float32), image)
    return (total / mask.sum(axis=(1, 2)))[:, None, None]


def blurred(images, sd):
    """Blur images (N, height, width, channels) by a Gaussian of `sd` pixels, mirrored at the border; a tensor."""
    reach = int(np.ceil(3 * sd))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sd**2))
    line = tf.constant(weights / weights.sum(), tf.float32)
    for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
        kernel = tf.tile(tf.reshape(line, shape), (1, 1, images.shape[-1], 1))
        pad = [(0, 0), *((reach, reach) if length == -1 else (0, 0) for length in shape[:2]), (0, 0)]
        images = tf.nn.depthwise_conv2d(tf.pad(images, pad, "SYMMETRIC"), kernel, (1, 1, 1, 1), "VALID")
    return images


def _stretched(maps, images):
    """Stretch maps (N, height, width) to the size of the images, bilinearly."""
    return _array(tf.image.resize(maps[..., None], np.shape(images)[1:3]))[..., 0]


def first_few(indices):
    """Write the first five of some indices, for a message."""
    return ", ".join(map(str, indices[:5])) + (", ..." if len(indices) > 5 else "")


def _array(tensor):
    return tf.cast(tensor, tf.float32).numpy()


def _warn_if_blank(maps, reason):
    blank = np.flatnonzero((maps == 0).reshape(len(maps), -1).all(axis=1))
    if len(blank):
        warnings.warn(f"the map of image {first_few(blank)} is zero everywhere: {reason}", stacklevel=3)


def _warn_if_saturated(layer, probabilities):
    largest = _array(tf.reduce_max(probabilities, axis=-1))
    if (largest > 0.999).any():  # a convention: p(1 - p) is below a thousandth of a unit there
        warnings.warn(
            f"{layer.name!r} is a softmax that has saturated (a probability of {largest.max():.6f}): its gradients "
            "are close to 0 and depend on all classes. Explain the score instead: leave out layer",
            stacklevel=4,
        )


_SOFTMAX = keras.activations.softmax
_RELUS = (keras.activations.relu, keras.activations.relu6)
_RELUS += (keras.ops.relu, keras.ops.relu6, tf.nn.relu, tf.nn.relu6)


def _sized(change=None):
    return lambda m, x, t, o: magnitude(saliency(m, x, t, modifier=change, **o))


METHODS = {
    "saliency": _sized(),
    "guided": _sized("guided"),
    "rectified": _sized("rectified"),
    "smoothgrad": lambda m, x, t, o: magnitude(smoothgrad(m, x, t, **o)),
    "integrated_gradients": lambda m, x, t, o: integrated_gradients(m, x, t, **o).sum(axis=-1),
    "grad_cam": lambda m, x, t, o: grad_cam(m, x, t, **o),
    "guided_grad_cam": lambda m, x, t, o: guided_grad_cam(m, x, t, **o).sum(axis=-1),
    "occlusion": lambda m, x, t, o: occlusion_map(m, x, t, **o),
    "edges": lambda m, x, t, o: edges(x, **o),
    "random": lambda m, x, t, o: random_map(x, **o),
}
