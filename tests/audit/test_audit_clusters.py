"""Rows of one person, and rows that the model was trained on, in an audit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from fairmi import MIBackpropClassifier, MIBoostingClassifier, MIDebiasedClassifier
from fairmi._data.fingerprint import fingerprint, merged, row_hashes, share_seen
from fairmi._data.groups import group_rows
from fairmi.audit import audit
from fairmi.audit.figures.disparities import disparity_figures, overall_change_figures
from fairmi.audit.figures.effective import effective_sizes
from fairmi.audit.figures.predictions import given_predictions
from fairmi.audit.figures.rates import small_groups
from fairmi.audit.figures.same_rows import training_note
from fairmi.exceptions import SmallGroupWarning
from fairmi.preprocessing import TableEncoder

PERSONS, EACH = 200, 6


def of_persons(seed, persons=PERSONS, each=EACH):
    """Near-twin rows of persons whose group has nothing to do with anything else."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(persons), each)
    x = rng.normal(size=persons)[who] + 0.01 * rng.normal(size=len(who))
    group = np.where(rng.integers(2, size=persons), "a", "b")[who]
    y = rng.integers(2, size=persons)[who]
    return x, group, y, who


def run(x, group, y, who, **options):
    options = {"n_boot": 200, "conditions": None, "random_state": 0, **options}
    return audit(y=y, y_pred=(x > 0).astype(int), y_score=x, sensitive_features=group, **options)


def figure(report, measure, condition=""):
    return next(
        f
        for f in report.figures
        if (f.measure, f.condition) == (measure, condition) and f.subject in ("", "scores")
        if f.section != "overall"
    )


@pytest.fixture
def _no_probes(monkeypatch):
    monkeypatch.setattr("fairmi.audit.figures.leakage.FOLDS", 10**9)


@pytest.mark.slow
def test_persons_with_many_rows_are_no_leak_if_clusters_are_given(monkeypatch):
    monkeypatch.setattr("fairmi.audit.figures.leakage.FOLDS", 3)
    x, group, y, who = of_persons(0)
    assert figure(run(x, group, y, who), "p_value").value < 1e-3  # measured 1e-5
    report = run(x, group, y, who, clusters=who)
    assert figure(report, "p_value").value > 0.01  # measured 0.574
    assert figure(report, "p_value", "given the label").value > 0.01  # measured 0.557
    assert report.about["clusters"] == PERSONS
    assert "in 200 clusters" in repr(report)


@pytest.mark.slow
def test_intervals_of_clusters_hold_where_those_of_rows_do_not():
    """Groups that are alike: "no difference" may be left out in 5 % of samples."""
    left_out = {"without": 0, "with": 0}
    for seed in range(100):
        x, group, y, who = of_persons(seed, persons=100)
        predictions = given_predictions(y, (x > 0).astype(int))
        for name, clusters in (("without", None), ("with", who)):
            parity, *_ = disparity_figures(
                replace(predictions, clusters=clusters),
                group_rows(group),
                confidence=0.95,
                n_boot=100,
                rng=np.random.default_rng(0),
            )
            left_out[name] += parity.low > 0
    assert left_out["without"] > 20
    assert left_out["with"] <= 5


@pytest.mark.parametrize(
    ("clusters", "told"), [(None, ""), (np.arange(200) // 10, "(100 rows, worth 10)")]
)
def test_small_groups_are_counted_by_independent_rows(clusters, told):
    """Two groups of 100 rows: ten persons of ten rows each are too few for a rate."""
    predictions = given_predictions(np.arange(200) % 2, np.arange(200) // 2 % 2)
    found = small_groups(
        replace(predictions, clusters=clusters), [group_rows(np.repeat(["f", "m"], 100))]
    )
    assert bool(found) == bool(told)
    assert told in found


@pytest.mark.usefixtures("_no_probes")
def test_clusters_of_one_row_change_nothing():
    x, group, y, _ = of_persons(1)
    alone = np.arange(len(x))
    mine, theirs = (run(x, group, y, None, clusters=c).to_frame() for c in (alone, None))
    pd.testing.assert_frame_equal(mine, theirs)


def test_changes_from_a_baseline_are_drawn_by_clusters():
    x, _, y, who = of_persons(2)
    other = np.random.default_rng(0).normal(size=PERSONS)[who] > 0
    baseline = given_predictions(y, other.astype(int))
    widths = []
    for clusters in (who, None):
        predictions = replace(given_predictions(y, (x > 0).astype(int)), clusters=clusters)
        options = {"confidence": 0.95, "n_boot": 4000, "rng": np.random.default_rng(0)}
        change = overall_change_figures(predictions, baseline, **options)[1]
        widths.append(change.high - change.low)
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(EACH), rel=0.06)  # measured 2.526


def test_effective_sizes_are_the_number_of_equal_clusters():
    bin_of, clusters = np.zeros(12, dtype=int), np.repeat(np.arange(4), 3)
    assert effective_sizes(bin_of, 1, clusters).tolist() == [4]
    assert effective_sizes(bin_of, 2, None).tolist() == [12, 0]
    uneven = np.array([0] * 9 + [1, 2, 3])
    assert effective_sizes(bin_of, 1, uneven)[0] == pytest.approx(144 / 84)


def test_clusters_too_few_for_the_folds_have_no_probe_and_a_note():
    x, group, y, who = of_persons(3, persons=8, each=80)
    y = np.arange(len(y)) % 2
    with pytest.warns(SmallGroupWarning, match="worth"):
        report = run(x, group, y, who, clusters=who)
    assert any("fewer than 5 clusters" in note for note in report.notes)


@pytest.mark.usefixtures("_no_probes")
def test_equal_rows_of_a_group_are_warned_of():
    x, group, y, who = of_persons(4, each=2)
    X = pd.DataFrame({"x": np.round(x, 1) + who, "z": who % 7})
    with pytest.warns(UserWarning, match="equal another row and share its sensitive feature"):
        report = run(x, group, y, who, X=X)
    assert any("give clusters=" in note for note in report.notes)
    run(x, group, y, who, X=X, clusters=who)


@pytest.mark.usefixtures("_no_probes")
def test_clusters_of_the_wrong_length_are_refused():
    x, group, y, who = of_persons(5)
    with pytest.raises(ValueError, match="clusters has shape"):
        run(x, group, y, who, clusters=who[:-1])


@pytest.mark.usefixtures("_no_probes")
def test_certificates_state_confidence_and_that_rows_are_fresh():
    x, group, y, who = of_persons(6, persons=2000, each=1)
    report = run(x, group, y, who)
    for form in (repr(report), report._repr_html_()):
        text = " ".join(form.split())
        assert "At 95 % confidence each, if these are rows that took no part in training" in text
        assert "No threshold on its scores, by anyone" in text
        assert "bound on equalized odds" in text
    bounds = {
        (f.condition, f.measure): f.value
        for f in report.section("certificate")
        if f.subject == "scores"
    }
    assert bounds["any classifier", "demographic_parity_bound"] == 1
    assert bounds["any threshold", "demographic_parity_bound"] < 0.15  # measured 0.073
    assert bounds["any threshold", "equalized_odds_bound"] < 0.25  # measured 0.099


# The fingerprint of the training rows


def table(seed=0, n=600):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    X["d"] = rng.choice(["u", "v", "w"], n)
    X.loc[::7, "d"] = None
    return X, rng.integers(2, size=n), rng.integers(2, size=n)


MODELS = [
    MIDebiasedClassifier(max_iter=1, random_state=0),
    MIBoostingClassifier(max_iter=2, random_state=0),
    MIBackpropClassifier(max_iter=1, random_state=0),
]


@pytest.mark.slow_cases("MIDebiasedClassifier")
@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
@pytest.mark.filterwarnings("ignore::fairmi.exceptions.ConvergenceWarning")
def test_audit_warns_of_training_rows(model, monkeypatch):
    monkeypatch.setattr("fairmi.audit.figures.leakage.FOLDS", 10**9)
    X, y, group = table()
    model.fit(X, y, sensitive_features=group)
    assert model.training_fingerprint_.dtype == np.uint64
    assert training_note(model, X.iloc[::-1], y[::-1]).startswith("About 100 %")
    assert not training_note(model, *table(1)[:2])
    with pytest.warns(UserWarning, match="took part in the training"):
        report = audit(model, X, y, sensitive_features=group, conditions=None, random_state=0)
    assert any("took part in the training" in note for note in report.notes)


@pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")
def test_audit_warns_of_training_rows_of_the_baseline(monkeypatch):
    monkeypatch.setattr("fairmi.audit.figures.leakage.FOLDS", 10**9)
    X, y, group = table()
    other = table(1)
    model, baseline = (
        MIBoostingClassifier(max_iter=2, random_state=0).fit(*part[:2], sensitive_features=part[2])
        for part in (other, (X, y, group))
    )
    with pytest.warns(UserWarning, match="the training of the baseline, so that no change"):
        report = audit(model, X, y, sensitive_features=group, baseline=baseline, conditions=None)
    assert not any("the training of the model" in note for note in report.notes)
    assert not training_note(y, X, y, baseline=True)


@pytest.mark.filterwarnings("ignore::fairmi.exceptions.ConvergenceWarning")
def test_the_fingerprint_is_found_inside_pipelines_and_searches():
    X, y, group = table()
    pipeline = make_pipeline(TableEncoder(), MIDebiasedClassifier(max_iter=1, random_state=0))
    pipeline.fit(X, y, midebiasedclassifier__sensitive_features=group)
    assert training_note(pipeline, X, y)
    assert not training_note(pipeline, *table(1)[:2])
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2).fit(X[["a", "b"]], y)
    assert not training_note(search, X[["a", "b"]], y)


def test_hashes_are_of_values_whatever_their_form():
    rng = np.random.default_rng(0)
    X = rng.integers(4, size=(300, 5)).astype(float)
    y = rng.integers(2, size=300)
    expected = row_hashes(X, y)
    X[X == 0] = -0.0
    for form in (X, X.astype(np.float32), X.astype(int), csr_array(X), pd.DataFrame(X)):
        np.testing.assert_array_equal(row_hashes(form, y), expected)
    rows = np.unique(np.column_stack([X, y]), axis=0)
    assert len(np.unique(expected)) == len(rows)
    # the same in any process, and in later versions
    assert row_hashes(np.array([[1.0, 2.0]]), np.array([1])).tolist() == [KNOWN_HASH]


KNOWN_HASH = 14180575734579867754


def test_hashes_take_odd_columns():
    X = pd.DataFrame(
        {"when": pd.to_datetime(["2020-01-01", None]), "list": [[1], [2]], "m": [None, "u"]}
    )
    assert len(np.unique(row_hashes(X, np.array(["no", "yes"])))) == 2


def test_values_that_recur_by_nature_are_not_taken_for_training_rows():
    rng = np.random.default_rng(0)
    for n_values in (4, 100, 3000, 10_000):
        known, fresh = (rng.integers(n_values, size=(3000, 1)) for _ in range(2))
        y = np.zeros(3000)
        # measured 0
        assert share_seen(row_hashes(fresh, y), fingerprint(row_hashes(known, y))) < 0.5


def test_fingerprints_keep_the_smallest_hashes_in_any_order():
    hashes = row_hashes(np.random.default_rng(0).normal(size=(5000, 2)), np.zeros(5000))
    whole = fingerprint(hashes)
    assert len(whole) == 1000
    np.testing.assert_array_equal(whole, fingerprint(hashes[::-1]))
    parts = merged(fingerprint(hashes[:2000]), fingerprint(hashes[2000:]))
    np.testing.assert_array_equal(whole, parts)
    assert share_seen(hashes[:1000], whole) == 1
