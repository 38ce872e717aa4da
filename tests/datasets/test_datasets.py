"""Data sets that come with the package, coloured digits, and rows that are read when asked for."""

from __future__ import annotations

import bz2
import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length

from fairmi._sklearn_compat import safe_indexing
from fairmi.datasets import LazyArray, load_adult, load_german, make_biased_digits
from fairmi.datasets._biased_digits import PALETTE
from fairmi.datasets._tables import open_packed

SHA256 = {
    "adult.data.bz2": "df25a4e32ed6f1bd4b3910d21a7bd661a09061eced7cb45555a519d9667cc87b",
    "adult.test.bz2": "5c8e678e04c82a07182bbcb6667c9a06faaba123a55b409af7c5d21fb45784b3",
    "german.data.bz2": "b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871",
}
ADULT_PARTS = [("train", 32_561, 2_399, 7_841), ("test", 16_281, 1_221, 3_846)]


@pytest.mark.parametrize("name", SHA256)
def test_packed_text_is_what_uci_distributes(name):
    with open_packed(name) as file:
        text = bz2.decompress(file.read())
    assert hashlib.sha256(text).hexdigest() == SHA256[name]


@pytest.mark.parametrize(("subset", "n_rows", "n_incomplete", "n_rich"), ADULT_PARTS)
def test_adult_counts(subset, n_rows, n_incomplete, n_rich):
    adult = load_adult(subset=subset)
    assert adult.data.shape == (n_rows, 13)
    assert adult.data.isna().any(axis=1).sum() == n_incomplete
    assert (adult.target == ">50K").sum() == n_rich
    assert list(adult.target_names) == ["<=50K", ">50K"]


@pytest.mark.slow
def test_adult_all_is_train_then_test():
    whole, train, test = (load_adult(subset=s) for s in ("all", "train", "test"))
    pd.testing.assert_frame_equal(
        whole.frame, pd.concat([train.frame, test.frame], ignore_index=True)
    )
    pd.testing.assert_frame_equal(whole.data[["sex", "race"]], whole.sensitive_features)


def test_adult_columns_and_subsets():
    with pytest.raises(ValueError, match=r"subset must be one of .* got 'valid'"):
        load_adult(subset="valid")
    adult = load_adult(subset="test")
    kinds = adult.data.dtypes.map(str)
    integers = {"age", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
    assert set(kinds.index[kinds == "int64"]) == integers
    assert set(kinds.index[kinds == "category"]) == set(adult.feature_names) - integers
    assert "fnlwgt" not in adult.data
    assert set(adult.sensitive_features["sex"]) == {"Female", "Male"}


def test_german_counts():
    german = load_german()
    assert german.data.shape == (1_000, 20)
    assert not german.frame.isna().any(axis=None)
    assert german.target.value_counts().to_dict() == {"good": 700, "bad": 300}
    assert german.sensitive_features["age_over_25"].sum() == 810
    assert list(german.sensitive_features) == ["age_over_25"]
    kinds = german.data.dtypes.map(str).value_counts().to_dict()
    assert kinds == {"category": 13, "int64": 7}


@pytest.mark.slow
@pytest.mark.parametrize("load", [load_adult, load_german])
def test_loaders_follow_the_conventions_of_sklearn(load):
    bunch = load()
    data, target = load(return_X_y=True)
    pd.testing.assert_frame_equal(data, bunch.data)
    pd.testing.assert_series_equal(target, bunch.target)
    assert list(data) == bunch.feature_names
    assert "10.24432" in bunch.DESCR
    assert "CC BY 4.0" in bunch.DESCR

    arrays = load(as_frame=False)
    assert arrays.frame is None
    assert type(arrays.data) is type(arrays.target) is np.ndarray
    assert arrays.data.shape == data.shape
    assert arrays.sensitive_features.shape == bunch.sensitive_features.shape
    assert np.array_equal(pd.isna(arrays.data), data.isna().to_numpy())
    assert np.array_equal(arrays.target, target.to_numpy(dtype=object))
    present = data.notna().to_numpy()
    assert (arrays.data == data.astype(object).to_numpy())[present].all()


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


ROWS = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)


class Noting(torch.utils.data.Dataset):
    """Rows with labels, as a Dataset gives them; it notes which it was asked for."""

    def __init__(self, rows=ROWS):
        self.rows, self.asked = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position):
        self.asked.append(position)
        return torch.as_tensor(self.rows[position]), "label"


def test_it_has_the_form_of_an_array():
    lazy = LazyArray(Noting())
    assert (lazy.shape, lazy.ndim, len(lazy), lazy.dtype) == ((6, 2, 2), 3, 6, np.uint8)
    np.testing.assert_array_equal(np.asarray(lazy), ROWS)
    np.testing.assert_array_equal(np.asarray(lazy, dtype=float), ROWS)
    np.testing.assert_array_equal(np.stack(list(lazy)), ROWS)
    assert repr(lazy) == "LazyArray(Noting, shape=(6, 2, 2), dtype=uint8)"


KEYS = {
    "slice": slice(1, 5, 2),
    "positions": np.array([5, 0, 0]),
    "list": [2, 1],
    "mask": np.arange(6) > 3,
    "from the end": slice(None, None, -1),
}


@pytest.mark.parametrize("kind", KEYS)
def test_rows_are_taken_without_reading_them(kind):
    source = Noting()
    lazy = LazyArray(source)
    source.asked.clear()
    part = lazy[KEYS[kind]]
    assert isinstance(part, LazyArray)
    assert not source.asked
    np.testing.assert_array_equal(np.asarray(part), ROWS[KEYS[kind]])
    np.testing.assert_array_equal(np.asarray(part[1:]), ROWS[KEYS[kind]][1:])


def test_an_integer_reads_one_row():
    source = Noting()
    lazy = LazyArray(source)
    source.asked.clear()
    np.testing.assert_array_equal(lazy[-1], ROWS[-1])
    np.testing.assert_array_equal(lazy[3:][np.int64(1)], ROWS[4])
    assert source.asked == [5, 4]
    with pytest.raises(IndexError):
        lazy[6]
    with pytest.raises(IndexError, match="rows alone in brackets"):
        lazy[0, 1]


def test_scikit_learn_takes_rows_of_it():
    source = Noting()
    lazy = LazyArray(source)
    source.asked.clear()
    check_consistent_length(lazy, np.arange(6))
    np.testing.assert_array_equal(np.asarray(safe_indexing(lazy, np.array([4, 1]))), ROWS[[4, 1]])
    assert source.asked == [4, 1]
    first, second = train_test_split(lazy, test_size=2, random_state=0)
    assert (first.shape, second.shape) == ((4, 2, 2), (2, 2, 2))


def test_what_is_no_source_of_rows_is_told():
    with pytest.raises(TypeError, match="source is a generator, which has no length"):
        LazyArray(row for row in ROWS)
    with pytest.raises(ValueError, match="source is empty"):
        LazyArray([])
    ragged = LazyArray([np.zeros((2, 2)), np.zeros((2, 3))])
    with pytest.raises(ValueError, match=r"Item 1 .* has shape \(2, 3\) .* first has \(2, 2\)"):
        np.asarray(ragged)
    with pytest.raises(ValueError, match="copy=False"):
        ragged.__array__(copy=False)  # numpy 1.26's asarray has no such argument
