"""What users of fairlearn and scikit-learn type by habit works, or is told what to do instead."""

from __future__ import annotations

import re
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest

from fairmi import MIBackpropClassifier, MIBoostingClassifier, MIDebiasedClassifier
from fairmi._diagnosis import notes_of_collapse
from fairmi.core.task import Classes
from fairmi.exceptions import CollapseWarning

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 60
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 2))
Y = (X[:, 0] > 0).astype(int)
S = np.array(list("ab") * (N // 2))
BOTH = [MIDebiasedClassifier, MIBackpropClassifier]


@pytest.fixture(scope="module")
def model():
    return MIDebiasedClassifier(max_iter=2, random_state=0).fit(X, Y, sensitive_features=S)


@pytest.mark.parametrize("make", BOTH)
def test_one_hidden_layer_may_be_a_number(make):
    models = [
        make(hidden_layer_sizes=sizes, max_iter=1, random_state=0).fit(X, Y, sensitive_features=S)
        for sizes in (8, (8,), np.array([8]))
    ]
    for other in models[1:]:
        np.testing.assert_array_equal(other.predict_proba(X), models[0].predict_proba(X))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (MIDebiasedClassifier(lam=True), "lam=True is a truth value"),
        (MIBackpropClassifier(lam=True), "lam=True is a truth value"),
        (MIDebiasedClassifier(weighted="x"), r"\{'both', 'penalty', 'task'\}"),
        (MIDebiasedClassifier(device="gpu"), r"device='gpu' is no name .* give \"cuda\""),
    ],
)
def test_habits_that_mean_something_else_are_told_the_fix(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong.fit(X, Y, sensitive_features=S)


@pytest.mark.parametrize("labels", [np.ones(N, int), np.full(N, "no")])
def test_values_are_told_as_python_has_them(labels):
    with pytest.raises(ValueError, match=r"y has 1 class, (1|'no');"):
        MIDebiasedClassifier().fit(X, labels, sensitive_features=S)
    goes_on = MIDebiasedClassifier(max_iter=1, warm_start=True).fit(X, Y, sensitive_features=S)
    other = np.where(labels == labels[0], np.arange(N) % 2 * 3, 0)
    with pytest.raises(ValueError, match=r"classes \[0, 1\], but y has \[0, 3\]"):
        goes_on.fit(X, other, sensitive_features=S)


def test_no_warning_leaks_from_a_file_that_is_mapped_or_from_large_numbers(model, tmp_path):
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    with warnings.catch_warnings(action="error"):
        np.testing.assert_array_equal(mapped.predict_proba(X), model.predict_proba(X))
        mapped.partial_fit(X, Y, sensitive_features=S)
        large = np.where(X > 0, 1e38, -1e38)
        short = MIDebiasedClassifier(max_iter=20, random_state=0)
        short.fit(large, Y, sensitive_features=S).predict(large)
        model.predict(large)
        frame = pd.DataFrame(large)
        short.fit(frame, Y, sensitive_features=S).predict(-frame)


@pytest.mark.slow_cases("MIBoostingClassifier")
@pytest.mark.parametrize("make", [*BOTH, MIBoostingClassifier])
def test_class_weights_are_weights_of_rows_in_the_task(make):
    rare = (X[:, 0] > 1).astype(int)
    n, n_rare = len(rare), rare.sum()
    dict_of = {0: n / (2 * (n - n_rare)), 1: n / (2 * n_rare)}

    def fit(class_weight=None, **kwargs):
        model = make(max_iter=3, class_weight=class_weight, weighted="task", random_state=0)
        return model.fit(X, rare, sensitive_features=S, **kwargs).predict_proba(X)

    weights = np.array([dict_of[0], dict_of[1]])[rare]
    expected = fit(sample_weight=weights)
    np.testing.assert_array_equal(fit("balanced"), expected)
    np.testing.assert_array_equal(fit(dict_of), expected)
    np.testing.assert_array_equal(fit({1: 1.0}), fit())
    if make is not MIBackpropClassifier:  # whose few small steps leave it at its start
        assert expected[:, 1].mean() > fit()[:, 1].mean()


def test_class_weights_of_a_stream_are_a_dict():
    model = MIDebiasedClassifier(class_weight="balanced")
    with pytest.raises(ValueError, match="for partial_fit give a dict"):
        model.partial_fit(X, Y, [0, 1], sensitive_features=S)
    model.set_params(class_weight={1: 3.0}).partial_fit(X, Y, [0, 1], sensitive_features=S)


def test_one_class_is_no_collapse_where_it_is_the_likelier_one():
    codes = (np.arange(1_000) % 100 == 0).astype(int)
    odds = np.where(codes == 1, -1.0, -5.0)[:, None]
    constant = np.full((1_000, 1), np.log(0.01 / 0.99))
    ones = np.ones(1_000)
    assert not Classes(2).is_collapsed(odds, codes, ones)
    assert Classes(2).is_collapsed(constant, codes, ones)
    assert not Classes(2).is_collapsed(-constant * (2 * codes[:, None] - 1), codes, ones)


@pytest.mark.parametrize(
    ("lam", "n_steps", "message"),
    [
        (50.0, 1_000, r"one class\. If this is not what you want, lower lam=50\.0\.$"),
        (0.0, 30, r"want, raise max_iter: 30 steps are few\.$"),
        ({"a": 2}, 30, r"want, lower lam=.*, or raise max_iter: 30 steps are few\.$"),
        (0.0, 1_000, r"X tells little of y; .*class_weight='balanced'"),
        (0.0, None, r"X tells little of y; .*class_weight='balanced'"),
    ],
)
def test_a_collapse_names_its_cause(lam, n_steps, message):
    codes = np.arange(100) % 4 // 3
    one_class = np.full((100, 1), np.log(1 / 3))
    fit = {"penalty": "donsker_varadhan", "attributes": [], "n_steps": n_steps}
    rows = (codes, np.ones(100), lam)
    ((category, told),) = notes_of_collapse(Classes(2), one_class, *rows, **fit)
    assert category is CollapseWarning
    assert re.search(message, told)
    split = 6.0 * codes[:, None] - 3
    assert notes_of_collapse(Classes(2), split, *rows, **fit) == []


@pytest.mark.filterwarnings("default::fairmi.exceptions.CollapseWarning")
def test_a_fit_without_a_signal_says_so():
    rare = (np.arange(N) % 20 == 0).astype(int)
    with pytest.warns(CollapseWarning, match="X tells little of y"):
        MIDebiasedClassifier(lam=0, max_iter=200, random_state=0).fit(
            np.zeros_like(X), rare, sensitive_features=S
        )
