from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import groups_told_apart_by_class, parity_difference, printed_by, shifted_groups
from fairlearn.metrics import demographic_parity_difference
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi import MIBoostingClassifier
from fairmi.exceptions import (
    CollapseWarning,
    ColumnWarning,
)

X, Y, S = shifted_groups(0, 800)
X_TEST, Y_TEST, S_TEST = shifted_groups(1, 4000)


def model(**parameters):
    return MIBoostingClassifier(**{"random_state": 0, "max_iter": 40, **parameters})


def gap(fitted):
    return demographic_parity_difference(Y_TEST, fitted.predict(X_TEST), sensitive_features=S_TEST)


@pytest.mark.slow
def test_larger_lam_is_fairer():
    none, some, full = model(max_iter=150).fit_path(
        X, Y, lams=[0.0, 4.0, 64.0], sensitive_features=S
    )
    gaps = [gap(found) for found in (none, some, full)]
    assert gaps[0] - 0.05 > gaps[1] > gaps[2] + 0.05  # measured 0.425, 0.31, 0.071
    assert gaps[2] < 0.5 * gaps[0]  # measured 0.071 under 0.213


def test_transform_gives_the_z_that_predictions_are_made_from():
    fitted = model(n_levels=9).fit(X, Y, sensitive_features=S)
    z = fitted.transform(X_TEST)
    assert set(z.ravel()) <= set(np.linspace(-1, 1, 9))
    scores = fitted.decision_function(X_TEST)
    assert all(len(set(scores[z[:, 0] == level])) == 1 for level in np.unique(z))
    assert (np.diff(scores[np.argsort(z[:, 0], kind="stable")]) >= 0).all()
    assert fitted.predict_proba(X_TEST)[:, 1] == pytest.approx(1 / (1 + np.exp(-scores)))
    assert np.array_equal(fitted.transform(X_TEST[5:6]), z[5:6])
    assert list(fitted.get_feature_names_out()) == ["miboostingclassifier0"]


def gaps_by_class(constraint, lam, classes=(0, 1)):
    """Differences of the rates of class 1 among new rows of class 0, and among those of class 1.

    A fit with `classes=(1, 0)` has the other class as its positive one.
    """
    x, y, s = groups_told_apart_by_class(0, 2000)
    fitted = model(lam=lam, constraint=constraint).fit(
        x, np.take(classes, y), sensitive_features=s
    )
    x, y, s = groups_told_apart_by_class(100, 4000)
    predicted = np.take(classes, fitted.predict(x))
    return [parity_difference(predicted[y == k], s[y == k]) for k in (0, 1)]


def test_equal_opportunity_is_that_of_the_positive_class():
    """Measured over three seeds: 0.42 to 0.46 and 0.05 to 0.11, under 0.26 and 0.54 without it."""
    of_negatives, of_positives = gaps_by_class("equal_opportunity", 32.0)
    assert of_negatives > 0.25
    assert of_positives < 0.15
    of_negatives, of_positives = gaps_by_class("equal_opportunity", 32.0, classes=(1, 0))
    assert of_negatives < 0.15
    assert of_positives > 0.25


def test_equalized_odds_are_those_of_both_classes():
    assert max(gaps_by_class("equalized_odds", 32.0)) < 0.2  # measured 0.13 under 0.54


@pytest.mark.slow
def test_several_classes():
    random = np.random.default_rng(4)
    s = random.integers(2, size=1000)
    x = random.normal(size=(1000, 3))
    x[:, 0] += s
    y = np.array(["low", "middle", "top"])[np.digitize(x[:, 0] + x[:, 1], [0.0, 1.0])]

    def largest_gap(lam):
        fitted = model(lam=lam).fit(x, y, sensitive_features=s)
        assert fitted.transform(x).shape == (1000, 3)
        assert fitted.predict_proba(x).sum(1) == pytest.approx(1)
        shares = [
            [np.mean(fitted.predict(x[s == g]) == label) for label in fitted.classes_]
            for g in (0, 1)
        ]
        return np.abs(np.diff(shares, axis=0)).max()

    assert largest_gap(64.0) < 0.85 * largest_gap(0.0)  # measured 0.056 under 0.242


MIXED = pd.DataFrame(
    {
        "age": X[:300, 0].round(1),
        "job": pd.Categorical(np.array(["clerk", "nurse", "baker"])[np.arange(300) % 3]),
        "town": [f"town {i % 40}" for i in range(300)],
        "owner": np.arange(300) % 4 < 2,
    }
)


def test_any_table():
    table = MIXED.copy()
    table.loc[::7, "age"] = np.nan
    table.loc[::5, "town"] = None
    fitted = model(max_bins=10).fit(table, Y[:300], sensitive_features=S[:300])
    new = table[:4].assign(town="elsewhere", job="pilot")
    missing = table[:4].assign(town=None, job=None)
    with pytest.warns(ColumnWarning, match="'job', 'town'"):
        of_new = fitted.transform(new)
    assert np.array_equal(of_new, fitted.transform(missing))
    polars = pl.DataFrame({name: table[name].to_list() for name in table}, strict=False)
    assert np.array_equal(fitted.transform(polars), fitted.transform(table))
    with pytest.raises(ValueError, match="'age' of X was numeric"):
        fitted.predict(table.assign(age="old"))


def test_sparse_tables():
    dense = np.where(np.abs(X) < 0.5, 0, X)
    fitted = model().fit(csr_array(dense), Y, sensitive_features=S)
    same = model().fit(dense, Y, sensitive_features=S)
    assert np.array_equal(fitted.transform(csr_array(dense)), same.transform(dense))


@pytest.mark.slow
def test_path_gives_what_fits_give():
    models = model().fit_path(X, Y, lams=[0.5, 4.0], sensitive_features=S)
    assert [found.lam for found in models] == [0.5, 4.0]
    alone = model(lam=4.0).fit(X, Y, sensitive_features=S)
    assert np.array_equal(models[1].transform(X_TEST), alone.transform(X_TEST))
    for lam, lams in ({"s": 1.0}, [1.0]), (1.0, 3), (1.0, [None]), (1.0, []):
        with pytest.raises(ValueError, match=r"lams?=.*λ"):
            model(lam=lam).fit_path(X, Y, lams=lams, sensitive_features=S)


def test_a_user_s_base_is_debiased():
    base = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    before = demographic_parity_difference(Y_TEST, base.predict(X_TEST), sensitive_features=S_TEST)
    frozen = model(lam=64.0, base=FrozenEstimator(base)).fit(X, Y, sensitive_features=S)
    fitted = model(lam=64.0, base=base).fit(X, Y, sensitive_features=S)
    for debiased in (frozen, fitted):
        assert gap(debiased) < 0.6 * before  # measured 0.041 to 0.064 under 0.255


def test_no_penalty_is_the_base_as_it_is():
    none, some = model(max_iter=5).fit_path(X, Y, lams=[0.0, 4.0], sensitive_features=S)
    assert (none.n_iter_, some.n_iter_, none.history_) == (0, 5, [])
    n_base = len(some.trees_["first_node"]) - 5
    assert np.array_equal(none.trees_["first_node"], some.trees_["first_node"][:n_base])
    n_nodes = none.trees_["first_node"][-1]
    assert np.array_equal(none.trees_["nodes"], some.trees_["nodes"][:n_nodes])
    assert len(np.unique(none.transform(X))) > 100  # of 17 levels at any other λ
    # Hardly any penalty is hardly any change: the rounds learn nothing of y's noise.
    almost = model(lam=1e-9).fit(X, Y, sensitive_features=S)
    assert np.abs(almost.transform(X) - none.transform(X)).max() <= 1 / 16 + 1e-6
    base = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    frozen = model(lam=0.0, base=FrozenEstimator(base)).fit(X, Y, sensitive_features=S)
    assert np.array_equal(frozen.predict(X_TEST), base.predict(X_TEST))
    assert np.array_equal(frozen.predict_proba(X_TEST), base.predict_proba(X_TEST))


def test_a_base_that_knows_its_rows_by_heart_is_scored_on_others():
    base = RandomForestClassifier(n_estimators=20, random_state=0)
    fitted = model(lam=64.0, base=base).fit(X, Y, sensitive_features=S)
    assert gap(fitted) < 0.85 * gap(base.fit(X, Y))  # measured 0.173 under 0.362


def test_bases_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="predict_proba"):
        model(base=StandardScalerWithPredict()).fit(X, Y, sensitive_features=S)
    other = FrozenEstimator(LogisticRegression().fit(X, Y + 1))
    with pytest.raises(ValueError, match="classes"):
        model(base=other).fit(X, Y, sensitive_features=S)
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier())
    weights = np.linspace(1, 2, len(Y))
    with pytest.raises(ValueError, match="takes no sample_weight in fit"):
        model(base=pipeline).fit(X, Y, sensitive_features=S, sample_weight=weights)


class StandardScalerWithPredict(StandardScaler):
    def predict(self, X):
        return X


@pytest.mark.slow
@pytest.mark.parametrize("penalty", ["mine", "hsic"])
def test_other_penalties(penalty):
    lam = {"mine": 16.0, "hsic": 200.0}[penalty]
    given = {"X": X, "y": Y, "sensitive_features": S}
    fitted = model(lam=lam, penalty=penalty, max_iter=20).fit(**given)
    # measured 0.105 to 0.203 and 0.418
    assert gap(fitted) < gap(model(lam=0.0).fit(**given)) - 0.05
    again = model(lam=lam, penalty=penalty, max_iter=20).fit(**given)
    assert np.array_equal(fitted.transform(X_TEST), again.transform(X_TEST))


def test_one_class_is_told():
    y = (np.random.default_rng(10).random(len(Y)) < 0.1).astype(int)
    with pytest.warns(CollapseWarning, match="one class.* lower lam="):  # as of a grid of numpy's
        model(lam=np.float64(1.0)).fit(np.zeros_like(X), y, sensitive_features=S)
    each, both = {"s": 1.0, "other": 0.5}, {"s": S, "other": S[::-1]}
    with pytest.warns(CollapseWarning, match=r"lower lam=\{'s': 1.0, 'other': 0.5\}"):
        model(lam=each).fit(np.zeros_like(X), y, sensitive_features=both)


def test_rare_classes_keep_their_order():
    random = np.random.default_rng(9)
    x = random.normal(size=(10_000, 2))
    y = (random.random(10_000) < 0.02 * np.exp(x[:, 0] - 0.5)).astype(int)
    # All are predicted to be of the frequent class, which is the likelier one: no collapse.
    fitted = model(lam=0.5).fit(x, y, sensitive_features=x[:, 1] > 0)
    assert not fitted.predict(x).any()
    assert len(np.unique(fitted.transform(x))) >= 8


@pytest.mark.slow
def test_groups_need_no_torch():
    code = (
        "import sys, numpy as np; from fairmi import MIBoostingClassifier as M; "
        "x = np.arange(80.0).reshape(40, 2); "
        "M(max_iter=2).fit(x, np.arange(40) % 2, sensitive_features=np.arange(40) % 3); "
        "assert 'torch' not in sys.modules; print('ran')"
    )
    assert printed_by(code) == "ran\n"
