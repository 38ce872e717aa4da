"""Networks on a table learn how likely each class is, by a teacher that did not see the row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import roc_auc_score
from torch import nn

from fairmi import MIDebiasedClassifier
from fairmi.boosting.base import boosted_targets
from fairmi.networks.losses import task_loss
from fairmi.networks.rows import TrainingRows

RANDOM = np.random.default_rng(0)
N = 300
X = RANDOM.normal(size=(N, 4))
S = RANDOM.integers(2, size=N)
SIGNAL = X[:, 0] + 0.5 * S
Y = (SIGNAL + RANDOM.normal(size=N) > 0).astype(int)
THREE = np.digitize(SIGNAL + RANDOM.normal(size=N), [-0.5, 0.8])


def fitted(teacher="auto", x=X, y=Y, **parameters):
    model = MIDebiasedClassifier(
        teacher=teacher, **{"lam": 0.0, "max_iter": 3, "random_state": 0, **parameters}
    )
    return model.fit(x, y, sensitive_features=S)


def same(first, second):
    return all(np.array_equal(first.parameters_[k], v) for k, v in second.parameters_.items())


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_soft_target_is_a_row_of_each_class_weighted_by_its_probability(n_classes):
    n_scores = 1 if n_classes == 2 else n_classes
    scores = torch.tensor(RANDOM.normal(size=(2, 5, n_scores)))
    p = torch.tensor(RANDOM.dirichlet(np.ones(n_classes), size=5))
    weights = torch.tensor(RANDOM.uniform(0.5, 2, size=(1, 5)))
    y = torch.zeros(5, dtype=torch.int64)
    soft = TrainingRows(scores, y, weights, (), targets=p[:, 1:] if n_classes == 2 else p)
    each = TrainingRows(
        scores,
        torch.arange(n_classes).repeat_interleave(5),
        (weights * p.t()).reshape(1, -1),
        (),
    )
    slow = task_loss(scores.repeat(1, n_classes, 1), each)
    torch.testing.assert_close(task_loss(scores, soft), slow)


def test_targets_are_those_of_trees_that_did_not_see_the_row():
    """Trees that have seen the rows tell their y with an AUC of 0.9 and more, be it noise."""
    none, weights = np.zeros(4, dtype=int), np.ones(N)

    def told(y):
        p = boosted_targets(X, none, y, 2, weights, seed=0)
        return 0.5 if p is None else roc_auc_score(y, p[:, 0])

    assert 0.65 < told(Y) < 0.85  # measured 0.75 to 0.79 over seeds 0 to 3
    assert np.mean([told(RANDOM.permutation(Y)) for _ in range(8)]) < 0.56  # measured 0.50 to 0.52
    p = boosted_targets(X, none, THREE, 3, weights, seed=0)
    np.testing.assert_allclose(p.sum(axis=1), 1)


class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 8)


OTHERS = {
    "encoder": {"encoder": Net},
    "prior correction": {"prior_correction": True},
    "sparse": {"x": csr_array(X)},
    "one row of a class": {"y": np.eye(1, N, 5, dtype=int)[0]},
}


def test_fits_of_tables_learn_from_it():
    for y in (Y, THREE):
        assert not same(fitted("auto", y=y), fitted(None, y=y))
    paths = [
        MIDebiasedClassifier(teacher=teacher, max_iter=3, random_state=0).fit_path(
            X, Y, lams=[0.0, 1.0], sensitive_features=S
        )
        for teacher in ("auto", None)
    ]
    assert not any(same(*models) for models in zip(*paths, strict=True))


@pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")
@pytest.mark.parametrize("kind", OTHERS)
def test_others_learn_y(kind):
    assert same(fitted("auto", **OTHERS[kind]), fitted(None, **OTHERS[kind]))


@pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")
def test_a_part_of_a_stream_learns_y():
    parts = [
        MIDebiasedClassifier(teacher=teacher, random_state=0).partial_fit(
            X, Y, classes=[0, 1], sensitive_features=S
        )
        for teacher in ("auto", None)
    ]
    assert same(*parts)


def test_many_rows_and_wide_tables_learn_y():
    n = 20_000
    y, none = np.arange(n) % 2, np.zeros(1, dtype=int)
    assert boosted_targets(y[:, None] * 1.0, none, y, 2, np.ones(n), seed=0) is None
    wide = np.zeros((100, 10_001))
    assert boosted_targets(wide, np.zeros(10_001, dtype=int), y[:100], 2, np.ones(100), 0) is None


def test_networks_follow_a_teacher_of_the_users():
    """A frozen one that has learned other labels: networks agree with it, not with y."""
    other = (X[:, 1] > 0).astype(int)
    frozen = FrozenEstimator(LogisticRegression(C=100).fit(X, other))
    model = fitted(frozen, max_iter=60)
    assert (model.predict(X) == other).mean() > 0.9  # measured 0.99 over seeds 0 to 4
    fresh = fitted(LogisticRegression(), max_iter=60)
    plain = LogisticRegression().fit(X, Y)
    assert (fresh.predict(X) == plain.predict(X)).mean() > 0.9  # measured 0.95 to 0.98


def test_a_teacher_that_is_not_read_or_can_not_teach_is_refused():
    teacher = LogisticRegression()
    model = MIDebiasedClassifier(teacher=teacher, max_iter=1)
    rows = {"sensitive_features": S}
    with pytest.raises(ValueError, match="not read by an encoder of your own"):
        model.set_params(encoder=Net).fit(X, Y, **rows)
    model.set_params(encoder=None, prior_correction=True)
    with pytest.raises(ValueError, match="not read by prior_correction=True"):
        model.fit(X, Y, **rows)
    model.set_params(prior_correction=False)
    with pytest.raises(ValueError, match="not read by partial_fit"):
        model.partial_fit(X, Y, classes=[0, 1], **rows)
    with pytest.raises(ValueError, match="'teacher' parameter"):
        model.set_params(teacher=Perceptron()).fit(X, Y, **rows)
    model.set_params(teacher=FrozenEstimator(teacher.fit(X, Y + 1)))
    with pytest.raises(ValueError, match=r"teacher=.* was fitted to the classes \[.*1.*2"):
        model.fit(X, Y, **rows)
