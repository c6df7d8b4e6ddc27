"""Golden arrays of xplique 2.0.2 (TensorFlow 2.20, Keras 3), written to xplique_golden.npz.

Modifiers: none (the signed gradient; xplique's own Saliency returns its absolute values), guided (GuidedBackprop) and
relu (DeconvNet), all without a reduction over the channels. Heatmaps of Grad-CAM are those before resizing; where it
is not told otherwise, xplique takes the last layer that has filters, which in the networks digits and residual is a
convolution before its activation. cam_upsampled has the same heatmaps resized to the image (tf.image.resize, bicubic;
it overshoots, so some values are negative).
"""

from pathlib import Path

import networks
import numpy as np
from xplique.attributions import DeconvNet, GradCAM, GuidedBackprop, Saliency

OUTPUT = Path(__file__).with_suffix(".npz")


def heatmaps(gradcam, images, targets):
    """Return the maps of Grad-CAM at the size of its layer."""
    features, gradients = gradcam._gradient(images, targets)
    return gradcam._apply_weights(gradcam._compute_weights(gradients, features), features)


def explanations(name):
    """Return the golden arrays of one network."""
    model, images, layer = networks.build(name), networks.images(name), networks.CAM_LAYERS[name]
    logits = model.predict(images, verbose=0)
    saliency = Saliency(model, reducer=None)
    explainers = {
        "saliency/none": lambda images, targets: saliency.batch_gradient(model, images, targets, len(images)),
        "saliency/guided": GuidedBackprop(model, reducer=None),
        "saliency/relu": DeconvNet(model, reducer=None),
    }
    gradcam, named = GradCAM(model), GradCAM(model, conv_layer=layer)
    explainers["cam/heatmap/none"] = lambda images, targets: heatmaps(gradcam, images, targets)
    explainers[f"cam_{layer}/heatmap/none"] = lambda images, targets: heatmaps(named, images, targets)
    arrays = {f"{name}/logits/none": logits}
    for c in networks.CLASSES[name]:
        targets = np.repeat(np.eye(logits.shape[1], dtype=np.float32)[[c]], len(images), axis=0)
        for key, explainer in explainers.items():
            for i, found in enumerate(np.asarray(explainer(images, targets))):
                arrays[f"{name}/{key}/image{i}/class{c}"] = found
        arrays[f"{name}/cam_upsampled/none/image0/class{c}"] = np.asarray(gradcam(images, targets))[0, ..., 0]
    return arrays


if __name__ == "__main__":
    networks.save(OUTPUT, *(explanations(name) for name in networks.CLASSES))
