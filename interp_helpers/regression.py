"""Networks that predict numbers: train one, and predict without some of its channels."""

import keras
import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from interp_helpers.engine.checks import check_choice, check_groups, check_images, check_model
from interp_helpers.engine.graph import find_layer
from interp_helpers.engine.hooks import batches, record_outputs
from interp_helpers.engine.resume import kept_channels, resume_after


def fit_regression(build, images, values, epochs, learning_rate, batch_size, seed=0, verbose=0, mirrored=False):
    """Train a network to predict values; its output is in their units.

    Parameters
    ----------
    build : callable
        From a seed to an untrained network that ends in a dense layer without activation.
    images : ndarray, shape (N, height, width, channels)
    values : ndarray, shape (N, n_values), or (N,) for one
        Standardized for training; mean and standard deviation are then put into the weights of the last layer.
    epochs : int
    learning_rate : float
        Falls to 0 as a cosine.
    batch_size, seed, verbose : int
    mirrored : bool
        Whether to mirror images at random, left to right.

    Returns
    -------
    keras.Model
    """
    values = np.asarray(values, float).reshape(len(values), -1)
    mean, sd = values.mean(axis=0), values.std(axis=0)
    if len(values) != len(images) or not np.isfinite(values).all() or not (sd > 0).all():
        raise ValueError(
            f"values: got shape {values.shape} for {len(images)} images, standard deviations {sd}; give finite numbers "
            "that vary, a row for each image"
        )
    tf.config.experimental.enable_op_determinism()
    model = build(seed)
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.linear:
        raise ValueError(f"build: the network ends in {last.name!r}; give one that ends in a bare dense layer")
    if last.units != values.shape[1]:
        raise ValueError(f"build: the network has {last.units} outputs for {values.shape[1]} values")
    inputs = keras.Input(images.shape[1:])
    changed = keras.layers.RandomFlip("horizontal", seed=seed)(inputs) if mirrored else inputs
    whole = keras.Model(inputs, model(changed))
    falling = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * -(-len(images) // batch_size))
    whole.compile(optimizer=keras.optimizers.Adam(falling), loss="mse")
    whole.fit(images, (values - mean) / sd, batch_size=batch_size, epochs=epochs, verbose=verbose)
    kernel, bias = last.get_weights()
    last.set_weights([kernel * sd, bias * sd + mean])
    return model


def r_squared_of(predicted, values):
    """Return the share of the variance of `values`, (N,) or (N, k), that predictions explain, for each of the k."""
    residual = ((values - predicted) ** 2).mean(axis=0)
    return 1 - residual / values.var(axis=0)


def predict_without(model, layer, images, groups, fill="mean", batch_size=500):
    """Replace channels of a layer by something that does not depend on the image, and predict.

    Parameters
    ----------
    model : keras.Model
    layer : str
    images : ndarray, shape (N, height, width, channels), float
    groups : sequence of sequences of int
        Channels to replace together; an empty group gives the predictions of the whole network.
    fill : "mean" or "zero"
        The mean map of the channel over these images, or zeros, which may be a value that the layers behind never see.
    batch_size : int

    Returns
    -------
    ndarray, shape (n_groups, N, n_outputs)
        Scores, or predicted values of a network that ends in a dense layer without activation.
    """
    model = check_model(model)
    found, images = find_layer(model, layer), check_images(model, images)
    check_choice("fill", fill, ("mean", "zero"))
    n_channels = found.output.shape[-1]
    kept = kept_channels(check_groups(groups, n_channels), n_channels)
    parts = batches(len(images), batch_size)
    instead = np.float32(0)
    if fill == "mean":
        sums = [maps.sum(axis=0) for (maps,) in record_outputs(model, images, [found], batch_size)]
        instead = np.sum(sums, axis=0) / np.float32(len(images))
    predicted = []
    with tqdm(total=len(parts) * len(kept), desc=f"{layer} without", leave=False, delay=2) as bar:
        for part in parts:
            start, _, rest = resume_after(model, found, images[part])
            outputs = []
            for keep in kept:
                outputs.append(rest(start * keep + instead * (1 - keep)))
                bar.update()
            predicted.append(np.stack(outputs))
    return np.concatenate(predicted, axis=1)
