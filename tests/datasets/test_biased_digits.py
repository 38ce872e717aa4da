from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from fairmi.datasets import make_biased_digits
from fairmi.datasets._biased_digits import PALETTE

DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images, DIGITS.target


def colours_of(images):
    """The brightest value of each channel, from 0 to 1."""
    return images.reshape(len(images), -1, 3).max(axis=1) / 255


def test_colours_are_those_of_the_class_with_noise_of_the_variance():
    images, y, _ = make_biased_digits(IMAGES, LABELS, variance=0.02, random_state=0)
    assert images.shape == (1797, 8, 8, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(y, LABELS)
    # Of the images that reach full brightness, which the colour then shows, and channels in the
    # middle, which no clipping narrows.
    full = IMAGES.reshape(len(IMAGES), -1).max(axis=1) == IMAGES.max()
    teal = colours_of(images)[full & (y == 1)]
    np.testing.assert_allclose(teal[:, 1:].mean(axis=0), 128 / 255, atol=0.04)  # 0.013 and 0.005
    np.testing.assert_allclose(teal[:, 1:].var(axis=0), 0.02, rtol=0.3)  # 0.022 and 0.019


def test_shapes_are_those_of_the_digits():
    images, _, _ = make_biased_digits(IMAGES, LABELS, random_state=0)
    np.testing.assert_array_equal(images.max(axis=3) > 0, IMAGES > 0)
    # A channel is the grey image times one number.
    grey = IMAGES[0] / IMAGES.max()
    for channel in np.moveaxis(images[0], 2, 0):
        np.testing.assert_allclose(
            channel, grey * channel.max() / grey.max(), atol=1.0
        )  # measured 0.8


def test_bins_are_those_of_the_brightest_value():
    images, _, bins = make_biased_digits(IMAGES, LABELS, random_state=0)
    assert list(bins.columns) == ["red", "green", "blue"]
    np.testing.assert_array_equal(bins, np.minimum(colours_of(images) * 255 // 32, 7))
    assert bins.to_numpy().min() == 0
    assert bins.to_numpy().max() == 7


def test_colour_tells_the_class_in_training_and_not_at_test():
    """Accuracy of a line through bins as indicators: 0.91 with bias 1, 0.11 without."""
    _, y, bins = make_biased_digits(IMAGES, LABELS, random_state=0)
    other_bins = make_biased_digits(IMAGES, LABELS, bias=0.0, random_state=1)[2]
    indicators, others = (np.eye(8)[part].reshape(len(y), -1) for part in (bins, other_bins))
    line = LogisticRegression(max_iter=200).fit(indicators, y)
    assert line.score(indicators, y) > 0.85  # measured 0.912
    assert line.score(others, y) < 0.2  # measured 0.107
    half = make_biased_digits(IMAGES, LABELS, bias=0.5, random_state=1)[2]
    assert 0.4 < line.score(np.eye(8)[half].reshape(len(y), -1), y) < 0.7  # 0.51


def test_a_seed_makes_the_same_images_and_bytes_are_read_as_such():
    first, again = (make_biased_digits(IMAGES, LABELS, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    grey = np.full((2, 4, 4), 128, dtype=np.uint8)
    halved = make_biased_digits(grey, np.zeros(2, int), variance=1e-9, random_state=0)[0]
    crimson = np.array(PALETTE["crimson"])
    np.testing.assert_allclose(halved[0, 0, 0], crimson * 128 / 255, atol=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": IMAGES[0]}, r"images have shape \(8, 8\) .*give grey digits"),
        ({"images": IMAGES[:, :, :, None]}, r"images have shape \(1797, 8, 8, 1\)"),
        ({"images": -IMAGES}, "images hold no values from 0 upwards"),
        ({"labels": LABELS[:5]}, r"labels have shape \(5,\) .*one integer for each"),
        ({"labels": LABELS + 1}, "labels hold other values than 0 to 9"),
        ({"variance": 0}, "variance=0 gives all rows of a class one colour"),
        ({"variance": "much"}, "variance='much' is no number"),
        ({"bias": 1.5}, "bias=1.5 is no number that can be used; give one from 0 to 1"),
    ],
)
def test_what_can_t_be_coloured_is_told(given, message):
    with pytest.raises(ValueError, match=message):
        make_biased_digits(**{"images": IMAGES, "labels": LABELS, **given})
