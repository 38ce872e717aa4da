"""The table of measures: what a row of it brings, and which groups are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from fairmi._data.groups import group_rows
from fairmi.audit import audit, measures
from fairmi.audit.comparisons import GroupRates, group_names
from fairmi.audit.intervals import share_intervals
from fairmi.audit.measures import Measure
from fairmi.audit.predictions import predictions_of
from fairmi.exceptions import SmallGroupWarning

pytestmark = pytest.mark.usefixtures("no_probes")

PRECISION = Measure(
    "precision",
    "Of the rows predicted positive, the share whose label is positive.",
    top=lambda label, predicted, k: label == k,
    bottom=lambda label, predicted, k: predicted == k,
)


@pytest.fixture
def _with_precision(monkeypatch):
    monkeypatch.setattr(measures, "RATES", (*measures.RATES, PRECISION))


def sample(rng, n=600):
    """Groups of equal precision; 30 % of the rows of one are selected, 10 % of the other."""
    group = rng.integers(2, size=n)
    predicted = rng.random(n) < np.where(group, 0.3, 0.1)
    y = rng.random(n) < np.where(predicted, 0.7, 0.2)
    return y.astype(int), predicted.astype(int), group


@pytest.mark.usefixtures("_with_precision")
def test_a_rate_is_one_row_of_the_table():
    y, predicted, group = sample(np.random.default_rng(0))
    group = pd.Series(np.where(group, "a", "b"), name="s")
    report = audit(y=y, y_pred=predicted, sensitive_features=group, random_state=0)
    for name in "ab":
        (figure,) = (
            f for f in report.section("group") if (f.measure, f.group) == ("precision", name)
        )
        rows = (predicted == 1) & (group == name)
        assert figure.value == pytest.approx(y[rows].mean())
        assert figure.n == rows.sum()
        interval = share_intervals(y[rows].sum(), rows.sum(), 0.025)
        assert (figure.low, figure.high) == pytest.approx(interval)
    assert "precision difference" in repr(report)
    assert PRECISION.meaning in report._repr_html_()
    assert report._repr_html_().count('<th scope="col">precision</th>') == 1


@pytest.mark.usefixtures("_with_precision")
def test_its_intervals_hold_with_and_without_clusters():
    """5 % nominal for equal groups; of 200 samples more than 21 would be a matter of one in 1,000.

    Sizes of all rows, or of whole labels, would give intervals a third as wide.
    """
    left_out = dict.fromkeys(("rows", "clusters"), 0)
    above_chance = 0
    for seed in range(200):
        y, predicted, group = sample(np.random.default_rng(seed), 300)
        for whose, times in (("rows", 1), ("clusters", 4)):
            codes = [np.repeat(values, times) for values in (y, predicted, group)]
            predictions = predictions_of(None, codes[0], codes[1])
            if times > 1:
                clusters = np.repeat(np.arange(len(y)), times)
                predictions = replace(predictions, clusters=clusters)
            rates = GroupRates(predictions, group_rows(codes[2]))
            (r,) = rates.table.where("precision")
            value, size = rates.values[:, r], rates.sizes[:, r]
            assert size == pytest.approx(np.bincount(group[predicted == 1], minlength=2))
            width = norm.isf(0.025) * np.sqrt((value * (1 - value) / size).sum())
            left_out[whose] += abs(value[0] - value[1]) > width
        rates = GroupRates(predictions_of(None, y, predicted), group_rows(group))
        options = {"confidence": 0.95, "n_boot": 100, "rng": np.random.default_rng(0)}
        figures = rates.disparities("disparity", **options)
        (figure,) = (f for f in figures if f.measure == "precision_difference")
        above_chance += figure.value > figure.by_chance
        left_out["interval"] = left_out.get("interval", 0) + (figure.low > 0)
    assert max(left_out.values()) <= 21, left_out
    assert above_chance <= 25


def tiny_group():
    """Two groups that are alike, and two rows of a third of which none is selected."""
    rng = np.random.default_rng(0)
    group = np.array(["a", "b"])[rng.integers(2, size=1000)].astype(object)
    group[:2] = "rare"
    predicted = (rng.random(1000) < 0.3).astype(int)
    predicted[:2] = 0
    return rng.integers(2, size=1000), predicted, group


def test_two_rows_make_no_headline_and_are_listed_by_name():
    y, predicted, group = tiny_group()
    with pytest.warns(SmallGroupWarning, match=r"= rare \(2 rows\).*left out"):
        report = audit(y=y, y_pred=predicted, sensitive_features=group, random_state=0)
    differences = [f for f in report.section("disparity") if f.measure.endswith("_difference")]
    assert {f.most for f in differences} | {f.least for f in differences} == {"a", "b"}
    parity = differences[0]
    selected = [predicted[group == g].mean() for g in "ab"]
    assert parity.value == pytest.approx(np.ptp(selected))
    assert parity.n == 998
    assert "rare" in {f.group for f in report.section("group")}
    assert "rare" not in repr(report).split("What to do next")[0]


def test_where_all_groups_are_small_all_are_compared():
    y, predicted = np.tile([0, 1], 20), np.tile([0, 1, 1, 0], 10)
    with pytest.warns(SmallGroupWarning):
        report = audit(
            y=y, y_pred=predicted, sensitive_features=np.repeat(["a", "b"], 20), random_state=0
        )
    assert report.section("disparity")[0].n == 40


def test_a_rate_has_one_interval_in_all_criteria():
    """Equal opportunity is the true positive rate that equalized odds takes too."""
    y, predicted, group = sample(np.random.default_rng(1), 2000)
    predicted = np.where(group & y, 1, predicted)
    report = audit(y=y, y_pred=predicted, sensitive_features=group, random_state=0)
    odds, opportunity = (
        next(f for f in report.section("disparity") if f.measure == f"{name}_difference")
        for name in ("equalized_odds", "equal_opportunity")
    )
    assert odds.rate == opportunity.rate == "true_positive_rate"
    assert (odds.value, odds.low, odds.high) == pytest.approx(
        (opportunity.value, opportunity.low, opportunity.high)
    )


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([True, False], ["age > 25: no", "age > 25: yes"]),
        ([0, 1], ["age > 25: 0", "age > 25: 1"]),
        (["1.5", "2"], ["age > 25: 1.5", "age > 25: 2"]),
        (["old", "young"], ["old", "young"]),
        (["nan", "x"], ["age > 25: nan", "x"]),
    ],
)
def test_groups_that_say_nothing_get_the_name_of_their_column(values, names):
    groups = group_rows(pd.Series(values * 2, name="age > 25"))
    assert group_names(groups) == names


def test_intersections_name_the_columns_that_need_it():
    frame = pd.DataFrame({"sex": ["f", "m"] * 4, "old": [True] * 4 + [False] * 4})
    assert group_names(group_rows(frame))[0] == "f & old: no"


def test_without_labels_all_that_needs_none_is_measured(monkeypatch):
    """The same figures as with labels, but for those that they enter."""
    monkeypatch.setattr("fairmi.audit.leakage.FOLDS", 3)
    rng = np.random.default_rng(0)
    y, group = rng.integers(2, size=(2, 400))
    score = np.round(0.3 * rng.random(400) + 0.3 * y + 0.4 * group, 1)
    options = {
        "X": pd.DataFrame({"part": rng.integers(2, size=400)}),
        "y_pred": (score > 0.5).astype(int),
        "y_score": score / score.max(),
        "sensitive_features": group,
        "baseline": y,
        "random_state": 0,
    }
    without, with_labels = audit(y=None, **options), audit(y=y, **options)
    asked = {f.section for f in without.figures}
    assert asked == {f.section for f in with_labels.figures} - {"calibration"}
    known = {
        (f.section, f.measure, f.group, f.subject, f.part, f.against, f.given): f
        for f in with_labels.figures
    }
    for f in (f for f in without.figures if f.section != "change"):
        same = known[f.section, f.measure, f.group, f.subject, f.part, f.against, f.given]
        assert (f.value, f.low, f.high) == pytest.approx(
            (same.value, same.low, same.high), abs=0.03, nan_ok=True
        )
    measured = {f.measure for f in without.figures}
    assert {"selection_rate", "roc_auc", "p_value", "demographic_parity_bound"} <= measured
    assert not {"accuracy", "true_positive_rate", "base_rate"} & measured
    assert not any(f.given for f in without.figures)
    assert any(note.startswith("Labels are not known: accuracy") for note in without.notes)
    assert without.about["labels"] == {}
    for form in (repr(without), without._repr_html_()):
        assert "selection rate is" in form or "selection rate 0." in form
    assert "labels not known" in repr(without)


def test_favourable_is_of_a_label_that_is_named():
    with pytest.raises(ValueError, match="say which label that is by pos_label"):
        audit(y=[0, 1], y_pred=[0, 1], sensitive_features=["a", "b"], favourable=True)
