"""What users of fairlearn and scikit-learn type by habit works, or is told what to do instead."""

from __future__ import annotations

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest

from fairmi import MIBackpropClassifier, MIDebiasedClassifier

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


@pytest.mark.parametrize(
    "method",
    ["predict", "predict_proba", "predict_log_proba", "decision_function", "transform"],
)
def test_sensitive_features_are_not_needed_at_prediction(model, method):
    message = rf"MIDebiasedClassifier\.{method}\(\) takes no sensitive_features: .* at fit alone"
    with pytest.raises(TypeError, match=message):
        getattr(model, method)(X, sensitive_features=S)


@pytest.mark.parametrize("make", BOTH)
def test_a_parameter_given_to_fit_is_told_where_it_goes(make):
    for name, meant in (("lamda", "lam"), ("max_iters", "max_iter")):
        with pytest.raises(TypeError, match=rf"fit\(\) takes no {name}: did you mean .* {meant},"):
            make().fit(X, Y, sensitive_features=S, **{name: 1})
    with pytest.raises(TypeError, match=r"takes no xyz: leave it out"):
        make().fit(X, Y, sensitive_features=S, xyz=1)


@pytest.mark.parametrize("make", BOTH)
def test_one_hidden_layer_may_be_a_number(make):
    models = [
        make(hidden_layer_sizes=sizes, max_iter=1, random_state=0).fit(X, Y, sensitive_features=S)
        for sizes in (8, (8,), np.array([8]))
    ]
    for other in models[1:]:
        np.testing.assert_array_equal(other.predict_proba(X), models[0].predict_proba(X))


@pytest.mark.parametrize("make", BOTH)
def test_a_truth_is_no_lambda(make):
    with pytest.raises(ValueError, match="lam=True is a truth value"):
        make(lam=True).fit(X, Y, sensitive_features=S)


def test_log_probabilities(model):
    expected = np.log(model.predict_proba(X))
    np.testing.assert_allclose(model.predict_log_proba(X), expected, rtol=1e-9)


def test_options_are_told_in_alphabetical_order():
    with pytest.raises(ValueError, match=r"\{'both', 'penalty', 'task'\}"):
        MIDebiasedClassifier(weighted="x").fit(X, Y, sensitive_features=S)


@pytest.mark.parametrize("labels", [np.ones(N, int), np.full(N, "no")])
def test_values_are_told_as_python_has_them(labels):
    with pytest.raises(ValueError, match=r"y has 1 class, (1|'no');"):
        MIDebiasedClassifier().fit(X, labels, sensitive_features=S)
    goes_on = MIDebiasedClassifier(max_iter=1, warm_start=True).fit(X, Y, sensitive_features=S)
    other = np.where(labels == labels[0], np.arange(N) % 2 * 3, 0)
    with pytest.raises(ValueError, match=r"classes \[0, 1\], but y has \[0, 3\]"):
        goes_on.fit(X, other, sensitive_features=S)


def test_gpu_is_called_cuda():
    with pytest.raises(ValueError, match=r"device='gpu' is no name .* give \"cuda\""):
        MIDebiasedClassifier(device="gpu").fit(X, Y, sensitive_features=S)


def test_no_warning_leaks_from_a_file_that_is_mapped_or_from_large_numbers(model, tmp_path):
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    with warnings.catch_warnings(action="error"):
        np.testing.assert_array_equal(mapped.predict_proba(X), model.predict_proba(X))
        mapped.partial_fit(X, Y, sensitive_features=S)
        large = np.where(X > 0, 1e38, -1e38)
        MIDebiasedClassifier(max_iter=1).fit(large, Y, sensitive_features=S).predict(large)
        model.predict(large)
        frame = pd.DataFrame(large)
        MIDebiasedClassifier(max_iter=1).fit(frame, Y, sensitive_features=S).predict(-frame)
