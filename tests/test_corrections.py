"""What book/corrections.md says of Keras and scikit-learn, checked."""

import keras
import numpy as np
import pytest
from ace.ace import ACESolver
from keras import layers
from sklearn.metrics import confusion_matrix


def test_true_class_is_in_rows():
    assert confusion_matrix(y_true=[4, 4, 9], y_pred=[9, 4, 9], labels=[4, 9]).tolist() == [[1, 1], [0, 1]]


def test_load_model_is_not_a_layer():
    assert not hasattr(layers, "load_model")
    assert hasattr(keras.models, "load_model")
    with pytest.raises(SyntaxError):
        compile("from keras.layers import Dense,\nInput", "two lines without parentheses", "exec")


def test_keras_1_convolution_means_a_stride_today():
    convolution = layers.Convolution2D(32, 3, 3)
    assert convolution.kernel_size == (3, 3)
    assert convolution.strides == (3, 3)
    assert convolution(np.zeros((1, 28, 28, 1))).shape == (1, 9, 9, 32)


def test_the_name_activations_is_taken():
    activations = keras.Sequential([keras.Input((2,)), layers.Dense(1)]).predict(np.zeros((1, 2)), verbose=0)
    with pytest.raises(AttributeError, match="linear"):
        _ = activations.linear


def test_keras_1_names_are_gone():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    assert not hasattr(model, "predict_classes")
    assert not hasattr(keras.utils, "np_utils")
    assert not hasattr(keras.backend, "set_image_dim_ordering")
    model.compile(loss="mse")
    with pytest.raises(TypeError, match="nb_epoch"):
        model.fit(np.zeros((1, 2)), np.zeros(1), nb_epoch=1)


def test_a_slice_is_not_a_copy():
    x_train = np.zeros((2, 1, 28, 28))
    fake = x_train[0]
    fake[0, :] = 1
    assert x_train[0].min() == 1


def test_nan_is_the_correlation_with_a_constant(capfd):
    """Of the tutorial's listing (5.1): ACE is fine, small values are fine; x_transforms[0] of a constant is zero."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 100))
    y = x[0] ** 2 + 0.1 * rng.standard_normal(100)
    solver = ACESolver()
    solver.specify_data_set([np.full(100, 0.3), *(1e-12 * x)], y)
    solver.solve()
    assert np.isfinite(solver.x_transforms).all()
    assert np.isfinite(solver.y_transform).all()
    with np.errstate(all="ignore"):
        first, second = (np.corrcoef(transform, solver.y_transform)[0, 1] for transform in solver.x_transforms[:2])
    assert np.isnan(first)
    assert second > 0.98


def test_the_length_is_a_floor():
    """Kernel 4 and stride 2 on 8 values, padded by 2 on both sides, and on 9: (9 - 4) / 2 + 1 = 3.5."""
    for n_padded, n_outputs in ((12, 5), (9, 3)):
        assert layers.Conv1D(1, 4, strides=2)(np.zeros((1, n_padded, 1))).shape[1] == n_outputs
