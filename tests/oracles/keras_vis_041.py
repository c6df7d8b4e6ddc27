"""Golden arrays of keras-vis 0.4.1 (TensorFlow 2.15 in graph mode, Keras 2.15), written to keras_vis_041.npz.

The arrays are recorded inside keras-vis's own visualize_saliency, visualize_cam and visualize_activation, before the
maps are coloured. Gradients are those of the logit itself: positive means that more of this input raises the score
(keras-vis minimizes -logit and multiplies this loss by -1).

What keras-vis does when it is given a modifier ('guided', or 'relu', which is another name of 'rectified'):

* It overrides the gradient of every Relu operation.
* It also replaces the activation of every layer but the first by ReLU, linear ones included. So the linear output
  layer becomes a ReLU: a class with a negative logit has the output 0, and the gradient of ReLU there is 0 in its
  guided form, so its guided map is blank (`check_blank_maps` verifies this). The 'rectified' gradient does not look
  at the sign of the output, and its map is not blank.
* Linear convolutions become ReLU as well. Where an activation layer follows directly (digits) nothing changes, but
  before a batch normalization (residual) the network computes something else: see <network>/logits/guided.

The modifiers guided_override and relu_override are made here with the gradients that keras-vis registers, on a network
whose activations are as they were: they are the modified gradients of the network itself.
"""

import collections
import collections.abc
import sys
import types
from pathlib import Path

import numpy as np
import tensorflow as tf

tf.compat.v1.disable_v2_behavior()

import keras  # noqa: E402
import networks  # noqa: E402
import scipy.misc  # noqa: E402
from keras.src.layers.convolutional.base_conv import Conv  # noqa: E402
from keras.src.layers.pooling import base_pooling1d, base_pooling2d, base_pooling3d  # noqa: E402
from PIL import Image  # noqa: E402

OUTPUT = Path(__file__).with_suffix(".npz")
MODIFIERS = ("guided", "relu")
STEPS = (1, 10)


def resize_bicubic(array, size, interp, mode):
    """Resize a map as scipy.misc.imresize did in its mode 'F' (32-bit floats)."""
    if (interp, mode) != ("bicubic", "F"):
        raise ValueError(f"interp={interp!r}, mode={mode!r}: keras-vis only asks for 'bicubic' and 'F'")
    height, width = size
    image = Image.fromarray(np.asarray(array, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def add_old_names():
    """Put back the names that keras-vis imports and that later versions moved or dropped."""
    collections.Iterable = collections.abc.Iterable
    tf.get_default_graph = tf.compat.v1.get_default_graph
    scipy.misc.imresize = resize_bicubic
    convolutional = types.ModuleType("keras.layers.convolutional")
    convolutional._Conv = Conv
    pooling = types.ModuleType("keras.layers.pooling")
    pooling._Pooling1D = base_pooling1d.Pooling1D
    pooling._Pooling2D = base_pooling2d.Pooling2D
    pooling._Pooling3D = base_pooling3d.Pooling3D
    sys.modules.update({module.__name__: module for module in (convolutional, pooling)})
    make_function = keras.backend.function
    # a session refuses to fetch a tensor that it is fed, and keras-vis fetches the input image
    keras.backend.function = lambda inputs, outputs: make_function(inputs, [tf.identity(output) for output in outputs])


add_old_names()

from vis.backend import tensorflow_backend  # noqa: E402
from vis.callbacks import OptimizerCallback  # noqa: E402
from vis.optimizer import Optimizer  # noqa: E402
from vis.utils import utils  # noqa: E402
from vis.visualization import saliency, visualize_activation  # noqa: E402

# what keras-vis computed, in its last call, on the way to its result
SEEN = {}


class RecordingOptimizer(Optimizer):
    """An Optimizer that keeps the last gradient and the value of the tensor it is taken with respect to."""

    def minimize(self, *arguments, **options):
        result = super().minimize(*arguments, **options)
        SEEN["gradient"], SEEN["output"] = (np.array(array[0]) for array in result[1:])
        return result


def record():
    """Make keras-vis keep in SEEN what its functions would throw away."""
    normalize, deprocess_input = utils.normalize, utils.deprocess_input

    def recording_resize(heatmap, *arguments, **options):
        SEEN["heatmap"] = np.array(heatmap)
        return resize_bicubic(heatmap, *arguments, **options)

    def recording_normalize(array):
        SEEN["normalized"] = np.squeeze(normalize(array))
        return normalize(array)

    def recording_deprocess(array, input_range):
        SEEN["optimized"] = np.array(array)
        return deprocess_input(array, input_range)

    saliency.Optimizer = RecordingOptimizer
    saliency.imresize = recording_resize
    utils.normalize = recording_normalize
    utils.deprocess_input = recording_deprocess


def overridden(name, modifier):
    """Build a network under the gradient that keras-vis registers for `modifier`, its activations as they are."""
    gradient = {"guided": "guided", "relu": "rectified"}[modifier]
    tensorflow_backend._BACKPROP_MODIFIERS[gradient](gradient)
    with tf.compat.v1.get_default_graph().gradient_override_map({"Relu": gradient}):
        return networks.build(name)


def variants(name):
    """Yield (modifier as named in the keys, network, modifier to hand to keras-vis)."""
    model = networks.build(name)
    yield "none", model, None
    for modifier in MODIFIERS:
        yield modifier, model, modifier
    for modifier in MODIFIERS:
        yield f"{modifier}_override", overridden(name, modifier), None


def logits(model, modifier, images):
    """Return the outputs of the network that keras-vis explains."""
    return (model if modifier is None else saliency.get(modifier)(model)).predict(images, verbose=0)


def saliency_arrays(model, modifier, c, image):
    """Return the signed gradient with respect to the image, and the map of its absolute values that is coloured."""
    arguments = (model, utils.find_layer_idx(model, "logits"), c, image, modifier)
    saliency.visualize_saliency(*arguments, grad_modifier=None)
    gradient = SEEN["gradient"]
    saliency.visualize_saliency(*arguments)
    return {"gradient": gradient, "normalized": SEEN["normalized"]}


def cam_arrays(model, modifier, c, image, layer=None):
    """Return the gradient, the output and the heatmap (before resizing, and as it is coloured) of Grad-CAM."""
    logits_index = utils.find_layer_idx(model, "logits")
    layer_index = None if layer is None else utils.find_layer_idx(model, layer)
    saliency.visualize_cam(model, logits_index, c, image, layer_index, modifier)
    return {name: SEEN[name] for name in ("gradient", "output", "heatmap", "normalized")}


def explanations(name):
    """Return the golden arrays of saliency and Grad-CAM for one network."""
    images, layer, arrays = networks.images(name), networks.CAM_LAYERS[name], {}
    for key, model, modifier in variants(name):
        arrays[f"{name}/logits/{key}"] = logits(model, modifier, images)
        for i, image in enumerate(images):
            for c in networks.CLASSES[name]:
                where = f"{key}/image{i}/class{c}"
                found = saliency_arrays(model, modifier, c, image)
                arrays[f"{name}/saliency/{where}"] = found["gradient"]
                cam = cam_arrays(model, modifier, c, image)
                arrays[f"{name}/cam/heatmap/{where}"] = cam["heatmap"]
                if not key.endswith("_override"):
                    arrays[f"{name}/cam/output/{key}/image{i}"] = cam["output"]
                    arrays[f"{name}/cam/gradient/{where}"] = cam["gradient"]
                named = cam_arrays(model, modifier, c, image, layer)
                arrays[f"{name}/cam_{layer}/heatmap/{where}"] = named["heatmap"]
                if (i, c) == (0, networks.CLASSES[name][1]):
                    arrays[f"{name}/saliency_normalized/{where}"] = found["normalized"]
                    arrays[f"{name}/cam_normalized/{where}"] = cam["normalized"]
    return arrays


def activations():
    """Return the images that activation maximization reaches in a few steps, and the losses on the way."""
    model, seed, arrays = networks.build("digits"), networks.activation_seed(), {}
    index = utils.find_layer_idx(model, "logits")
    for c in networks.CLASSES["digits"][:3]:
        for steps in STEPS:
            losses = Losses()
            image = visualize_activation(
                model, index, c, seed_input=seed, input_range=(0.0, 1.0), max_iter=steps, callbacks=[losses]
            )
            where = f"steps{steps}/class{c}"
            arrays[f"digits/activation/image/{where}"] = image
            arrays[f"digits/activation/raw/{where}"] = SEEN["optimized"]
            arrays[f"digits/activation/losses/{where}"] = np.array(losses.rows)
    return arrays


class Losses(OptimizerCallback):
    """Collect the weighted losses of every step: activation, L6 norm, total variation, and their sum."""

    def __init__(self):
        self.rows = []

    def callback(self, i, named_losses, overall_loss, grads, wrt_value):
        self.rows.append([loss for _, loss in named_losses] + [overall_loss])


def check_blank_maps(arrays):
    """Verify that keras-vis's guided map is blank for the classes with a negative logit, and for no others."""
    for name, classes in networks.CLASSES.items():
        logits, rectified = arrays[f"{name}/logits/none"], arrays[f"{name}/logits/guided"]
        # the output layer has become a ReLU; in the residual network its input has changed as well
        if name != "residual" and not np.allclose(rectified, np.maximum(logits, 0), atol=1e-5):
            raise AssertionError(f"{name}: keras-vis changed more of the network than its output layer")
        for i, row in enumerate(rectified):
            for c in classes:
                blank = not arrays[f"{name}/saliency/guided/image{i}/class{c}"].any()
                if blank != (row[c] == 0):
                    raise AssertionError(f"{name}, image {i}, class {c}: output {row[c]}, blank: {blank}")


def main():
    record()
    arrays = {}
    for name in networks.CLASSES:
        arrays.update(explanations(name))
        keras.backend.clear_session()
    arrays.update(activations())
    check_blank_maps(arrays)
    networks.save(OUTPUT, arrays)


if __name__ == "__main__":
    main()
