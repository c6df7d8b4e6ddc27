"""Golden arrays of tf-keras-vis 0.8.7 (TensorFlow 2.20, Keras 3), written to tf_keras_vis_087.npz.

Gradients are signed and as they are; heatmaps are those before resizing and are not normalized. Where it is not told
otherwise, tf-keras-vis takes the output of the last convolution for Grad-CAM: in the networks digits and residual that
is before its activation. cam_upsampled has the same heatmaps resized to the image (scipy.ndimage.zoom, linear).
"""

from pathlib import Path

import networks
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.utils.model_modifiers import GuidedBackpropagation
from tf_keras_vis.utils.scores import CategoricalScore

OUTPUT = Path(__file__).with_suffix(".npz")
MODIFIERS = {"none": None, "guided": GuidedBackpropagation()}


def explanations(name):
    """Return the golden arrays of one network."""
    model, images, layer = networks.build(name), networks.images(name), networks.CAM_LAYERS[name]
    arrays = {f"{name}/logits/none": model.predict(images, verbose=0)}
    explainers = {key: Saliency(model, modifier) for key, modifier in MODIFIERS.items()}
    gradcam = Gradcam(model)
    for i, image in enumerate(images):
        for c in networks.CLASSES[name]:
            where, arguments = f"image{i}/class{c}", (CategoricalScore(c), image)
            for key, explainer in explainers.items():
                gradient = explainer(*arguments, keepdims=True, gradient_modifier=None, normalize_map=False)
                arrays[f"{name}/saliency/{key}/{where}"] = gradient[0]
            heatmap = gradcam(*arguments, expand_cam=False, normalize_cam=False)
            arrays[f"{name}/cam/heatmap/none/{where}"] = heatmap[0]
            heatmap = gradcam(*arguments, layer, False, expand_cam=False, normalize_cam=False)
            arrays[f"{name}/cam_{layer}/heatmap/none/{where}"] = heatmap[0]
            if i == 0:
                arrays[f"{name}/cam_upsampled/none/{where}"] = gradcam(*arguments, normalize_cam=False)[0]
    return arrays


if __name__ == "__main__":
    networks.save(OUTPUT, *(explanations(name) for name in networks.CLASSES))
