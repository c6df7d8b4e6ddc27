"""Networks that predict numbers (`train.train_network` trains them): predict without some of their channels.

>>> from interp_helpers.models import load_checkpoint
>>> few = np.zeros((2, 28, 28, 1), np.float32)
>>> predict_without(load_checkpoint("ink"), "relu1", few, [(), (3,)]).shape
(2, 2, 2)
"""

import numpy as np
from tqdm.auto import tqdm

from interp_helpers.engine.checks import check_choice, check_groups, check_images, check_model
from interp_helpers.engine.graph import find_layer
from interp_helpers.engine.hooks import batches, record_outputs
from interp_helpers.engine.resume import kept_channels, resume_after


def predict_without(model, layer, images, groups, fill="mean", batch_size=500):
    """Replace channels of a layer by something that does not depend on the image, and predict.

    Returns an ndarray, shape (n_groups, N, n_outputs). The channels of a group are replaced together; an empty group
    gives the predictions of the whole network. The fill is the "mean" map of the channel over these images, or "zero",
    which may be a value that later layers never see.
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
