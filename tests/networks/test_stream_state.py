"""A stream goes on exactly after a pickle, takes odd values when told to, and leaves no trace."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from fairmi import MIDebiasedClassifier
from fairmi.networks.trainer import Trainer

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

CLASSES = ["no", "yes"]
KINDS = {
    "default": {},
    "several networks": {"n_estimators": 2},
    "several units": {"n_components": 2},
    "moving average": {"penalty": "mine"},
    "no critic": {"penalty": "hsic"},
    "equalized odds": {"constraint": "equalized_odds", "group_weight": "balanced"},
    "no seed": {"random_state": None},
}


def rows_of(seed, n=200):
    rng = np.random.default_rng(seed)
    s = rng.integers(0, 2, n)
    X = pd.DataFrame({"a": rng.normal(size=n), "b": s + rng.normal(size=n) / 2})
    y = X.a + X.b + rng.normal(size=n) / 2 > 0.5
    return X, np.where(y, "yes", "no"), np.where(s, "m", "f")


def feed(model, seed, **changes):
    X, y, s = rows_of(seed)
    arguments = {"X": X, "y": y, "sensitive_features": s, "classes": CLASSES}
    return model.partial_fit(**(arguments | changes))


def stream(n_parts=2, **parameters):
    model = MIDebiasedClassifier(**({"batch_size": 50, "random_state": 0} | parameters))
    for seed in range(n_parts):
        feed(model, seed)
    return model


def assert_same(first, second):
    X, _, _ = rows_of(99)
    np.testing.assert_array_equal(first.decision_function(X), second.decision_function(X))


@pytest.mark.slow_cases("default", "equalized*", "moving*", "no critic", "several*")
@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_stream_resumes_exactly(kind):
    model = stream(**KINDS[kind])
    again = pickle.loads(pickle.dumps(model))
    for seed in (2, 3):
        feed(model, seed)
        feed(again, seed)
        assert_same(model, again)
    # Its critic and optimisers make the difference.
    fresh = pickle.loads(pickle.dumps(stream(**KINDS[kind]).finish()))
    if "random_state" not in KINDS[kind]:
        assert not np.array_equal(
            feed(fresh, 2).parameters_["head.layers.0.weight"],
            feed(stream(**KINDS[kind]), 2).parameters_["head.layers.0.weight"],
        )


def test_finish_makes_the_saved_model_small():
    model = stream()
    n_bytes = sum(value.nbytes for value in model.parameters_.values())
    assert len(pickle.dumps(model)) > 3 * n_bytes
    expected = model.predict_proba(rows_of(5)[0])
    assert len(pickle.dumps(model.finish())) < len(pickle.dumps(stream())) / 2
    np.testing.assert_array_equal(model.predict_proba(rows_of(5)[0]), expected)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_part_leaves_no_trace(monkeypatch, error):
    model, untouched = stream(), stream()
    step, taken = Trainer.step, []

    def interrupted(self, batch):
        taken.append(1)
        if len(taken) == 3:
            raise error
        return step(self, batch)

    before = pickle.dumps(model)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        with pytest.raises(error):
            feed(model, 2)
    assert pickle.dumps(model) == before
    feed(model, 2)
    feed(untouched, 2)
    assert_same(model, untouched)


def test_another_penalty_starts_its_critic_anew():
    model = stream().set_params(penalty="mine")
    before = model.decision_function(rows_of(9)[0])
    assert not np.array_equal(feed(model, 2).decision_function(rows_of(9)[0]), before)


def test_groups_named_up_front_may_come_later():
    X, y, s = rows_of(0)
    model = MIDebiasedClassifier(random_state=0)
    feed(model, 0, sensitive_values=["x", "m", "f"])
    assert model.sensitive_values_ == ["f", "m", "x"]
    feed(model, 1, sensitive_features=np.where(s == "m", "x", s))
    assert (model.sensitive_counts_ > 0).all()
    feed(model, 1, sensitive_values=("x", "f", "m"))
    with pytest.raises(ValueError, match="are not the groups of the first call"):
        feed(model, 1, sensitive_values=["f", "m"])
    with pytest.raises(ValueError, match="groups that the first fit did not see: 'z'"):
        feed(model, 1, sensitive_features=np.where(s == "m", "z", s))
    separate = MIDebiasedClassifier(lam={"sex": 1, "age": 2})
    both = pd.DataFrame({"sex": s, "age": np.arange(len(s)) % 3})
    named = {"sex": ["f", "m", "x"], "age": [0, 1, 2, 3]}
    separate.partial_fit(X, y, CLASSES, sensitive_features=both, sensitive_values=named)
    assert separate.sensitive_values_ == [["f", "m", "x"], [0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("f", "must hold two groups"),
        (["f"], "must hold two groups"),
        ({"sex": ["f", "m"]}, "must be a list of groups"),
        (["a", "b"], "groups that the first fit did not see"),
    ],
)
def test_bad_names_of_groups_are_told(values, message):
    with pytest.raises(ValueError, match=message):
        feed(MIDebiasedClassifier(), 0, sensitive_values=values)


def test_weights_of_parts_are_compared():
    models = {}
    for weight in (1.0, 1e-6, 1e6):
        model = stream()
        models[weight] = feed(model, 2, sample_weight=np.full(200, weight))
    before = stream().parameters_["head.layers.0.weight"]
    moved = {
        w: np.abs(m.parameters_["head.layers.0.weight"] - before).max() for w, m in models.items()
    }
    assert moved[1e-6] < moved[1.0] < moved[1e6]
