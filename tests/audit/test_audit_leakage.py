"""What leaves a model tells of the group by itself, or together with the label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fairmi._data.groups import group_rows
from fairmi.audit.findings import Figures, findings_of
from fairmi.audit.leakage import _leakage_figures, _probed_rows, leakage_tasks
from fairmi.audit.measures import Figure
from fairmi.audit.predictions import predictions_of
from fairmi.metrics import leakage_report, mutual_information_report

N = 400


def measured(representation, group, y):
    """Figures of a representation, for a model that predicts one class for nearly all."""
    predictions = predictions_of(None, y, np.arange(len(y)) == 0)
    predictions = replace(predictions, representation=representation)
    tasks, notes = leakage_tasks(predictions, group_rows(group), 0.95, 0)
    of_representation = [t for t in tasks if t.args[-1].subject == "representation"]
    figures = [figure for task in of_representation for figure in task()]
    return {(f.measure, f.given): f for f in figures}, notes


def exclusive_or():
    rng = np.random.default_rng(0)
    group, y = rng.integers(2, size=(2, N)).astype(bool)
    return (group ^ y).astype(float)[:, None], group, y


@pytest.fixture(scope="module")
def of_exclusive_or():
    return measured(*exclusive_or())[0]


@pytest.mark.slow
def test_what_tells_nothing_alone_may_tell_all_with_the_label(of_exclusive_or):
    found = of_exclusive_or
    assert found["p_value", ""].value > 0.01  # measured 0.732
    assert found["roc_auc", ""].value < 0.6  # measured 0.515
    assert found["roc_auc", "label"].value == pytest.approx(1)
    assert found["p_value", "label"].value <= 0.01  # measured 5e-15


def test_information_given_the_label_finds_it(of_exclusive_or):
    found = of_exclusive_or
    alone, given = (found["mutual_information", key] for key in ("", "label"))
    assert alone.value < alone.by_chance + 0.01  # measured 0 under 0.014
    assert given.value == pytest.approx(np.log(2), abs=0.02)  # measured 0.69
    assert given.low > given.by_chance
    assert given.n == N


@pytest.mark.slow
def test_a_label_with_too_few_rows_of_a_group_is_left_out_with_a_note():
    Z, group, y = exclusive_or()
    y[~group] = False
    found, notes = measured(Z, group, y)
    assert found["roc_auc", "label"].n == (~y).sum()
    assert any("Not every label has 5 rows of two groups" in note for note in notes)


def test_tasks_run_in_other_processes():
    """What is handed to joblib's workers can be pickled."""
    import pickle

    Z, group, y = exclusive_or()
    predictions = replace(predictions_of(None, y, y), representation=Z)
    tasks, _ = leakage_tasks(predictions, group_rows(group), 0.95, 0)
    again = pickle.loads(pickle.dumps(tasks[-1]))()
    assert all(isinstance(figure, Figure) for figure in again)
    assert len(tasks) == 2 * 3  # two subjects: what is told, the same given the label, bounds


@pytest.mark.slow
def test_probes_are_fitted_once_for_leakage_and_information(monkeypatch):
    from fairmi.metrics import _cross_fit, probes

    fits = []
    original = _cross_fit.fit_predict
    monkeypatch.setattr(_cross_fit, "fit_predict", lambda *a: fits.append(a) or original(*a))
    Z = np.random.default_rng(0).normal(size=(N, 1))
    _, group, y = exclusive_or()
    shared, _ = measured(Z, group, y)
    probed = len(probes.PANEL)
    assert len(fits) == probed * 8 * 3  # 5 folds, and 3 by those before alone; all rows, 2 labels
    alone = mutual_information_report(Z, group, n_permutations=0, random_state=0)
    assert shared["mutual_information", ""].value == pytest.approx(alone.score)


def test_a_leak_in_the_last_digits_is_told_with_both_figures():
    rng = np.random.default_rng(3)
    c = rng.integers(2, size=200)
    report = leakage_report(rng.normal(size=200) + c, c, probe="linear", random_state=0)
    report = replace(report, score=0.62, p_value=0.001, rounded_score=0.528)
    where = Figure("leakage", "", np.nan, attribute="sex", subject="scores")
    figures = _leakage_figures(report, where)
    (finding,) = findings_of(Figures({}, tuple(figures), (), ()))
    text = finding.text
    assert "ROC AUC 0.62" in text
    assert "That is in the last digits; rounded to six it is 0.528." in text


@pytest.mark.parametrize("each", [1, 4])
def test_of_many_rows_probes_see_a_sample_that_is_said(monkeypatch, each):
    """Counts are of all rows; clusters stay whole, and a group too rare for the folds is out."""
    monkeypatch.setattr("fairmi.audit.leakage.MAX_PROBED", 400)
    rng = np.random.default_rng(0)
    group, y = (np.repeat(v, each) for v in rng.integers(2, size=(2, 2000 // each)))
    group[:each] = 2
    clusters = None if each == 1 else np.repeat(np.arange(2000 // each), each)
    predictions = replace(predictions_of(None, y, group > 0), clusters=clusters)
    groups = group_rows(group)
    tasks, notes = leakage_tasks(predictions, groups, 0.95, 7)
    figures = [figure for task in tasks for figure in task()]
    probed = [f.n for f in figures if f.section != "certificate"]
    assert set(probed) <= set(range(396, 401))
    assert {f.n for f in figures if f.section == "certificate"} == {2000 // each}
    (auc,) = (f for f in figures if f.measure == "roc_auc" and not f.given)
    assert auc.value > 0.95
    assert "of 2,000 rows, drawn at random (seed 7)" in notes[0]
    sample = _probed_rows(predictions, groups.codes, 7)
    assert (sample == _probed_rows(predictions, groups.codes, 7)).all()
    assert (sample != _probed_rows(predictions, groups.codes, 8)[: len(sample)]).any()
    if each > 1:
        assert set(np.bincount(clusters[sample])) <= {0, each}
    assert 2 not in group[sample]
