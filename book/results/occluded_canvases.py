"""Does an occlusion map point at the digit on a canvas with pieces of others? Asked of the network for CAM (chapter 6).

Run by ``make results``, about two minutes on one core. Writes ``occluded_canvases.json`` beside it.
"""

import numpy as np
import tensorflow as tf

from interp_helpers import metrics
from interp_helpers.attribution import occlusion_map
from interp_helpers.data import cluttered, load_digits
from interp_helpers.engine.images import gaussian_blur
from interp_helpers.models import load_checkpoint
from interp_helpers.notebook import store_run

N_CANVASES, PATCH, STRIDE, BLUR = 60, 21, 6, 6.0


def main():
    model = load_checkpoint("mnist_gap")
    canvases, boxes = cluttered(load_digits(), N_CANVASES)
    truth = np.zeros(canvases.images.shape[:3], bool)
    for mask, (top, left, bottom, right) in zip(truth, boxes, strict=True):
        mask[top:bottom, left:right] = True
    maps = occlusion_map(model, canvases.images, canvases.labels, patch=PATCH, stride=STRIDE)
    soft = gaussian_blur(tf.constant(maps[..., None], tf.float32), BLUR).numpy()[..., 0]
    judged = {name: points(view, truth) for name, view in (("as it is", maps), ("blurred", soft))}
    print(store_run(__file__, patch=PATCH, stride=STRIDE, blur=BLUR, **judged))


def points(maps, truth):
    """Return, for each canvas, whether the highest value is inside the box, and the overlap with the box."""
    n = len(maps)
    hit = truth.reshape(n, -1)[np.arange(n), maps.reshape(n, -1).argmax(axis=1)]
    overlap = [None if value != value else round(float(value), 4) for value in metrics.iou(maps, truth)]
    return {"hit": hit.astype(int).tolist(), "overlap": overlap}


if __name__ == "__main__":
    main()
