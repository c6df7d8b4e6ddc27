"""Networks that predict numbers, with channels replaced."""

import keras
import numpy as np
import pytest

from interp_helpers.layers import activations
from interp_helpers.models import street_resnet
from interp_helpers.regression import predict_without


def test_predict_without_channels_by_hand():
    rng = np.random.default_rng(0)
    model = street_resnet(seed=1)
    images = rng.random((7, 64, 96, 3)).astype(np.float32)
    before = [weight.copy() for weight in model.get_weights()]
    predicted = predict_without(model, "relu7", images, [(), (3,), tuple(range(64))], batch_size=4)
    assert predicted.shape == (3, 7, 1)
    np.testing.assert_allclose(predicted[0], model.predict(images, verbose=0), atol=1e-4)
    pooled = activations(model, images, "relu7").mean(axis=(1, 2))
    kernel = model.get_layer("value").get_weights()[0]
    lost = (pooled[:, 3] - pooled[:, 3].mean()) * kernel[3, 0]
    np.testing.assert_allclose((predicted[0] - predicted[1])[:, 0], lost, atol=1e-4)
    np.testing.assert_allclose(predicted[2], predicted[0].mean(), atol=1e-4)  # nothing of the image is left
    zeroed = predict_without(model, "relu7", images, [(3,)], "zero")
    np.testing.assert_allclose((predicted[0] - zeroed[0])[:, 0], pooled[:, 3] * kernel[3, 0], atol=1e-4)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_predict_without_a_channel_before_a_branch():
    model = street_resnet(seed=1)
    images = np.random.default_rng(0).random((3, 64, 96, 3)).astype(np.float32)
    maps = activations(model, images, "relu3")
    maps[..., 5] = maps[..., 5].mean(axis=0)
    tail = keras.Model(model.get_layer("relu3").output, model.output)
    np.testing.assert_allclose(
        predict_without(model, "relu3", images, [(5,)])[0], tail.predict(maps, verbose=0), atol=1e-4
    )


@pytest.mark.parametrize(
    ("groups", "fill", "message"),
    [([(64,)], "mean", "channels 0 to 63"), ([], "mean", "groups"), ([3], "mean", "groups"), ([(3,)], "one", "fill")],
)
def test_predict_without_refuses(groups, fill, message):
    images = np.zeros((2, 64, 96, 3), np.float32)
    with pytest.raises(ValueError, match=message):
        predict_without(street_resnet(), "relu7", images, groups, fill)
