from __future__ import annotations

import bz2
import hashlib

import numpy as np
import pandas as pd
import pytest

from fairmi.datasets import load_adult, load_german
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
