"""Which pixels does a logit depend on? Saliency, Grad-CAM and their relatives, occlusion, and two baselines.

All functions take images (N, height, width, channels) and answer for all of them. The *target* is a class, whose logit
is explained, or, with ``layer=``, a channel of any layer: a number for all images or one for each. It may also be a
function of the logits, or of what the layer outputs: ``lambda logits: logits[:, 4] - logits[:, 9]``.

>>> import keras
>>> import numpy as np
>>> linear = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
>>> slope = saliency(linear, np.ones((1, 2, 2, 1), np.float32), target=1)
>>> bool(np.allclose(slope.ravel(), linear.layers[-1].kernel[:, 1]))  # of a linear model, its weights
True
"""

import warnings

import keras
import numpy as np
import tensorflow as tf

from interp_helpers.engine.checks import (
    check_array,
    check_choice,
    check_count,
    check_images,
    check_model,
    check_number,
    first_few,
)
from interp_helpers.engine.gradients import (
    check_probabilities,
    check_request,
    forward_function,
    gradient_function,
    gradients,
    of_part,
    target_values,
)
from interp_helpers.engine.graph import all_layers, inputs_of, last_conv_layer
from interp_helpers.engine.hooks import activations, batches, forward, to_numpy
from interp_helpers.engine.images import gaussian_blur, resize_maps


def saliency(model, images, target, layer=None, rule=None, pool="max", batch_size=100):
    """Differentiate a logit with respect to the pixels (Simonyan et al. 2014, section 3).

    Returns an ndarray of the shape of `images`, float32: signed, in units of the logit per unit of pixel value
    (`magnitude` makes the usual map of it). Warns if a map is zero everywhere, or if the target is a softmax that has
    saturated. Agrees with keras-vis, tf-keras-vis and xplique (``tests/oracles``).

    Parameters
    ----------
    model : keras.Model; sequential, functional or nested, or what ``load_network`` returns; comes back unchanged
    target : int, sequence of N ints, or callable
        A class, whose logit is differentiated; with `layer` (a name), a channel of that layer; or a function from the
        tensor of logits (N, classes), with `layer` of its output (N, ...), to a tensor (N,).
    rule : None, "guided" or "deconvnet"
        What a ReLU lets through in the backward pass. None: the gradient. "guided": only positive gradients, and only
        where the ReLU was active (Springenberg et al. 2014). "deconvnet": only positive gradients, wherever (Zeiler and
        Fergus 2014). A ReLU inside a Lambda or a layer's own code is not found.
    pool : "max", "mean" or "sum"; how the map of a channel of an inner layer becomes one number
    """
    _, slopes = gradients(model, images, target, layer, rule, pool, batch_size)
    _warn_if_blank(slopes, "the target does not react to any pixel: before it there is a ReLU that is off (dead)")
    return slopes


def magnitude(slopes):
    """Return the usual map of gradients (N, height, width, channels): the largest absolute value over the colours."""
    return np.abs(check_array("slopes", slopes, ("N", "height", "width", "channels"))).max(axis=-1)


def grad_cam(model, images, target, layer=None, rule=None, upsample=True, batch_size=100):
    """Weight the feature maps of a layer by their mean gradients, add them, keep what is positive (Selvaraju 2017).

    With A^k the maps and y the logit: alpha_k = mean over the map of dy/dA^k, and L = max(0, sum_k alpha_k A^k).
    Returns an ndarray, shape (N, height, width), not scaled to [0, 1]; warns if a map is zero everywhere. Agrees with
    keras-vis before upsampling, but for the factor 1 / (largest gradient) that keras-vis applies (``tests/oracles``).

    Parameters
    ----------
    model, images, target, rule, batch_size : as in `saliency`; `target` is a class
    layer : str, optional; by default the last one before the maps are flattened or pooled away
    upsample : bool; stretch the maps to the size of the images, bilinearly (``tf.image.resize``: border to border)
    """
    model = check_model(model)
    layer = last_conv_layer(model) if layer is None else layer
    maps, slopes = gradients(model, images, target, None, rule, "mean", batch_size, layer)
    cams = np.maximum(np.einsum("nhwk,nk->nhw", maps, slopes.mean(axis=(1, 2))), 0)
    _warn_if_blank(cams, f"the weighted maps of {layer!r} add up to nothing positive for this class")
    return resize_maps(cams, np.shape(images)[1:3]) if upsample else cams


def class_activation_map(model, images, target, upsample=True, batch_size=100):
    """Weight the feature maps before global average pooling by the weights of the last layer (CAM; Zhou et al. 2016).

    The model ends in feature maps, ``GlobalAveragePooling2D``, one dense layer (and softmax or sigmoid); the rest is as
    in `grad_cam`. The maps, (N, height, width), are signed: their mean over the map (``upsample=False``), plus the
    bias, is the logit. Grad-CAM of the same maps is max(0, CAM) divided by the number of positions.
    """
    model = check_model(model)
    images = check_images(model, images)
    target = check_request(model, target, None, None, "mean", len(images))
    if callable(target):
        raise ValueError("target: CAM takes a class, or one for each image, not a function")
    maps_layer, dense = _end_of_cam(model)
    maps = activations(model, images, maps_layer, batch_size)
    weights = keras.ops.convert_to_numpy(dense.kernel)[:, np.broadcast_to(target, len(images))]
    cams = np.einsum("nhwk,kn->nhw", maps, weights)
    return resize_maps(cams, images.shape[1:3]) if upsample else cams


def guided_grad_cam(model, images, target, layer=None, batch_size=100):
    """Multiply guided backpropagation by Grad-CAM, pixel by pixel (Selvaraju et al. 2017, section 3.2).

    Parameters as in `grad_cam`; returns an ndarray of the shape of `images`, float32.
    """
    fine = saliency(model, images, target, rule="guided", batch_size=batch_size)
    return fine * grad_cam(model, images, target, layer, batch_size=batch_size)[..., None]


def smoothgrad(model, images, target, noise=0.2, n_samples=50, seed=0, **options):
    """Average the saliency maps of noisy copies of each image (Smilkov et al. 2017); the rest as in `saliency`.

    The noise is Gaussian, its standard deviation in units of pixel value; `n_samples` are the copies of an image.
    """
    model = check_model(model)
    images, n_samples = check_images(model, images), check_count("n_samples", n_samples)
    check_number("noise", noise, 0)
    rng = np.random.default_rng(check_count("seed", seed, 0))
    noisy = (images + rng.normal(0, noise, images.shape).astype(np.float32) for _ in range(n_samples))
    slopes = gradient_function(model, len(images), target, **options)
    return _mean(slopes(version)[1] for version in noisy).astype(np.float32)


def integrated_gradients(model, images, target, baseline=0.0, n_steps=50, **options):
    """Add up the gradients along the straight line from a baseline to each image (Sundararajan et al. 2017).

    The attributions of all pixels add up to logit(image) - logit(baseline), up to the error of the midpoint rule
    (*completeness*). They are signed, in units of the logit, and have the shape of `images`. The baseline, black by
    default, broadcasts to the images; `n_steps` are the points on the line; the rest is as in `saliency`.
    """
    model = check_model(model)
    images, n_steps = check_images(model, images), check_count("n_steps", n_steps)
    away = images - _broadcast("baseline", baseline, images.shape)
    between = (images - away * np.float32(1 - (step + 0.5) / n_steps) for step in range(n_steps))
    slopes = gradient_function(model, len(images), target, **options)
    return (away * _mean(slopes(version)[1] for version in between)).astype(np.float32)


def occlusion_map(
    model, images, target, patch=5, stride=1, fill=0.0, output="score_drop", layer=None, pool="max", batch_size=256
):
    """Cover a square of each image, at every position, and see what becomes of the target (Zeiler and Fergus 2014).

    Returns an ndarray, shape (N, height, width): the value at a pixel is that for the square around it, or with a
    stride for the square at the nearest position; positions begin at ``stride // 2``.

    Parameters
    ----------
    model, images, target, layer, pool : as in `saliency`
    patch, stride : int; side of the square, and step between positions, in pixels; outside the image nothing is covered
    fill : float, "local", "blur" or ndarray that broadcasts to `images`
        A grey value (0: black, 1: white), the mean of the pixels that the square covers, the blurred image, or the same
        part of another image (for example a mean image).
    output : "score_drop" or "probability"
        By how much the target falls (positive: the square was needed), or the probability that is left.
    batch_size : int; covered images in one call of the model
    """
    model = check_model(model)
    images = check_images(model, images)
    target = check_request(model, target, layer, None, pool, len(images))
    height, width = images.shape[1:3]
    check_count("patch", patch, 1, max(height, width))
    check_count("stride", stride, 1, min(height, width))
    run = _occluded_output(model, images, target, output, layer)
    if isinstance(fill, str):
        check_choice("fill", fill, ("local", "blur"))
        filling = gaussian_blur(images, patch / 2).numpy() if fill == "blur" else None
    else:
        filling = _broadcast("fill", fill, images.shape)
    rows, columns = (range(min(stride // 2, n - 1), n, stride) for n in (height, width))
    covered = _squares(height, width, rows, columns, patch)
    nearest = [np.minimum(np.arange(n) // stride, len(p) - 1) for n, p in ((height, rows), (width, columns))]
    maps = []

    def reached(pixels, of_image):
        return to_numpy(target_values(run(tf.constant(pixels))[0], of_image, pool))

    for i, image in enumerate(images):
        of_image, values = of_part(target, i), []
        for part in batches(len(covered), batch_size):
            mask = covered[part, :, :, None]
            if filling is None:  # the mean of what each square covers
                means = np.einsum("phw,hwc->pc", mask[..., 0].astype(np.float32), image) / mask.sum(axis=(1, 2))
            instead = means[:, None, None] if filling is None else filling[i]
            values.append(reached(np.where(mask, instead, image), of_image))
        values = np.concatenate(values).reshape(len(rows), len(columns))
        if output == "score_drop":
            values = reached(image[None], of_image) - values
        maps.append(values[np.ix_(*nearest)])
    return np.stack(maps)


def explain(model, images, target, method="saliency", **options):
    """Return the map (N, height, width) of any method: larger where the target depends more on the picture.

    The methods are "saliency", "guided", "deconvnet", "smoothgrad" (their absolute values, largest over the colour
    channels), "integrated_gradients", "guided_grad_cam" (signed, summed over the colour channels), "grad_cam",
    "occlusion" (signed), and the two baselines "edges" and "random", which do not look at the model. Options are passed
    on.
    """
    check_choice("method", method, METHODS)
    images = check_images(check_model(model), images)
    return METHODS[method](model, images, target, options)


def edges(images):
    """Return the edges of each image (Sobel), a baseline for every method because it ignores the network.

    The length of the gradient of the picture, largest over the colour channels: (N, height, width), float32.
    """
    images = check_array("images", images, ("N", "height", "width", "channels")).astype(np.float32)
    return to_numpy(tf.norm(tf.image.sobel_edges(tf.constant(images)), axis=-1)).max(axis=-1)


def random_map(images, seed=0):
    """Return a random map (N, height, width), uniform in [0, 1), for each image: the other baseline."""
    return np.random.default_rng(check_count("seed", seed, 0)).random(np.shape(images)[:3]).astype(np.float32)


def _mean(arrays):
    """Return the mean of arrays of one shape, one after another, in double precision."""
    total, n = np.float64(0), 0
    for array in arrays:
        total, n = total + array, n + 1
    return total / n


def _end_of_cam(model):
    """Return the name of the layer with the last feature maps, and the dense layer, of a model made for CAM."""
    layers = all_layers(model)
    pools = [name for name, layer in layers.items() if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    after = list(layers.values())[list(layers).index(pools[-1]) + 1 :] if pools else []
    passing = keras.layers.Dropout | keras.layers.Softmax | keras.layers.Activation
    dense = [layer for layer in after if not isinstance(layer, passing)]
    activations_after = [getattr(layer, "activation", None) for layer in after if layer not in dense[1:]]
    nonlinear = any(activation not in (None, *_ENDS) for activation in activations_after)
    if len(dense) != 1 or not isinstance(dense[0], keras.layers.Dense) or nonlinear:
        raise ValueError(
            f"model: {model.name!r} does not end in global average pooling and one dense layer; CAM needs that "
            "(grad_cam does not)"
        )
    made_by = inputs_of(layers[pools[-1]].input)[0]
    return next(name for name, layer in layers.items() if layer is made_by), dense[0]


def _occluded_output(model, images, target, output, layer):
    """Return the function from covered images to what is measured: logits, a layer's output, or probabilities."""
    check_choice("output", output, ("score_drop", "probability"))
    if output == "score_drop":
        return forward_function(model, layer)
    if layer is not None or callable(target):
        raise ValueError("output: 'probability' is that of a class; leave out layer, and give a class as target")
    check_probabilities(model, images)
    return lambda pixels: forward(model, pixels)


def _squares(height, width, rows, columns, patch):
    """Return masks (positions, height, width) of the squares around the given rows and columns."""
    covers = []
    for centres, pixels in ((rows, np.arange(height)), (columns, np.arange(width))):
        start = np.array(centres)[:, None] - patch // 2
        covers.append((pixels >= start) & (pixels < start + patch))
    down, across = covers
    return (down[:, None, :, None] & across[None, :, None, :]).reshape(-1, height, width)


def _broadcast(name, values, shape):
    values = np.asarray(values, np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: there are values that are NaN or infinite")
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise ValueError(f"{name}: got shape {values.shape}, which does not fit images of {shape}") from None


def _warn_if_blank(maps, reason):
    blank = np.flatnonzero((maps == 0).reshape(len(maps), -1).all(axis=1))
    if len(blank):
        warnings.warn(f"the map of image {first_few(blank)} is zero everywhere: {reason}", stacklevel=3)


_ENDS = (keras.activations.linear, keras.activations.softmax, keras.activations.sigmoid)
METHODS = {
    "saliency": lambda m, x, t, o: magnitude(saliency(m, x, t, rule=None, **o)),
    "guided": lambda m, x, t, o: magnitude(saliency(m, x, t, rule="guided", **o)),
    "deconvnet": lambda m, x, t, o: magnitude(saliency(m, x, t, rule="deconvnet", **o)),
    "smoothgrad": lambda m, x, t, o: magnitude(smoothgrad(m, x, t, **o)),
    "integrated_gradients": lambda m, x, t, o: integrated_gradients(m, x, t, **o).sum(axis=-1),
    "grad_cam": lambda m, x, t, o: grad_cam(m, x, t, **o),
    "guided_grad_cam": lambda m, x, t, o: guided_grad_cam(m, x, t, **o).sum(axis=-1),
    "occlusion": lambda m, x, t, o: occlusion_map(m, x, t, **o),
    "edges": lambda m, x, t, o: edges(x, **o),
    "random": lambda m, x, t, o: random_map(x, **o),
}
