"""The table of measures: what a row of it brings, and which groups are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fairmi._data.groups import group_rows
from fairmi.audit import audit, measures
from fairmi.audit.comparisons import GroupRates, group_names, small_groups
from fairmi.audit.counts import draw_fair_counts
from fairmi.audit.intervals import disparity_interval, share_intervals
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


def test_two_rows_make_no_headline_and_are_listed_by_name():
    """Two groups that are alike, and two rows of a third of which none is selected."""
    rng = np.random.default_rng(0)
    group = np.array(["a", "b"])[rng.integers(2, size=1000)].astype(object)
    predicted, y = (rng.random(1000) < 0.3).astype(int), rng.integers(2, size=1000)
    group[:2], predicted[:2] = "rare", 0
    with pytest.warns(SmallGroupWarning, match=r"= rare \(2 rows\).*left out"):
        report = audit(y=y, y_pred=predicted, sensitive_features=group, random_state=0)
    assert "rare" in {f.group for f in report.section("group")}
    assert "rare" not in repr(report).split("What to do next")[0]


@pytest.mark.parametrize("sizes", [[20, 20], [35, 5]])
def test_where_no_two_groups_are_large_all_are_compared(sizes):
    y, predicted = np.tile([0, 1], 20), np.tile([0, 1, 1, 0], 10)
    with pytest.warns(SmallGroupWarning):
        report = audit(
            y=y, y_pred=predicted, sensitive_features=np.repeat(["a", "b"], sizes), random_state=0
        )
    assert report.section("disparity")[0].n == 40


@pytest.mark.usefixtures("_with_precision")
@pytest.mark.parametrize("each", [1, 3])
def test_disparities_are_those_of_groups_with_rows_enough_by_hand(each):
    """Three groups have 30 positives or more, one 29, one a few; rows count once, given `each`."""
    n_of = np.array([[60, 30], [40, 90], [35, 31], [70, 29], [17, 12]])  # by group and label
    selected = np.array([[12, 20], [4, 65], [3, 30], [14, 1], [17, 0]])
    counts = np.dstack([n_of - selected, selected]).reshape(5, 4)
    cells = np.repeat(np.indices((5, 2, 2)).reshape(3, -1), counts.ravel() * each, axis=1)
    clusters = np.arange(cells.shape[1]) // each
    group, y, predicted = cells
    rates, nobody = (
        GroupRates(replace(predictions_of(None, y, of), clusters=clusters), group_rows(group))
        for of in (predicted, 0 * y)
    )
    options = {"confidence": 0.95, "n_boot": 99, "rng": np.random.default_rng(0)}
    figures = {f.measure: f for f in rates.disparities("", **options)}
    rng = np.random.default_rng(0)
    of_all, of_label, of_predicted = (
        draw_fair_counts(counts, np.array(strata), 99, rng)
        for strata in ([0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1])
    )
    cells_of = {"selection_rate": ([1, 3], range(4)), "true_positive_rate": ([3], [2, 3]),
                "false_positive_rate": ([1], [0, 1]), "precision": ([3], [1, 3])}  # fmt: skip
    for criterion, names, drawn, joint in (
        ("demographic_parity", ["selection_rate"], of_all, 1),
        ("equalized_odds", ["true_positive_rate", "false_positive_rate"], of_label, 2),
        ("equal_opportunity", ["true_positive_rate"], of_label, 2),
        ("precision", ["precision"], of_predicted, 1),
    ):
        (top, drawn_top), (bottom, drawn_bottom) = (
            [np.stack([c[..., cells_of[name][side]].sum(axis=-1) for name in names], axis=-1)
             for c in (counts, drawn)] for side in (0, 1)
        )  # fmt: skip
        sizes = np.where(bottom >= 30, bottom, 0)
        point, alike = (
            np.where(sizes > 0, a / b, np.nan)
            for a, b in ((top, bottom), (drawn_top, drawn_bottom))
        )
        for kind in ("difference", "ratio")[: 1 + (criterion != "precision")]:
            f, ratio = figures[f"{criterion}_{kind}"], kind == "ratio"
            apart, chance = (
                (np.divide if ratio else np.subtract)(np.nanmax(of, -2), np.nanmin(of, -2))
                for of in (point, alike)
            )
            low, high = disparity_interval(point, sizes, 0.95, ratio=ratio, n_joint=joint)
            ends = np.array([apart.max(), low, high, np.sort(chance.max(axis=-1))[94]])
            if ratio:
                ends = 1 / np.array([ends[0], *np.exp([high, low]), ends[3]])
            else:
                signs = int(ends[1] > 0) + int(ends[0] > ends[3])
            assert (f.value, f.low, f.high, f.by_chance) == pytest.approx(tuple(ends))
            assert f.verdict == ["none found", "unclear", "found"][signs]
            j, said = apart.argmax(), (f.rate, f.most[-1], f.least[-1], f.n)
            ends = [str(of(point[:, j])) for of in (np.nanargmax, np.nanargmin)]
            assert said == (names[j], *ends, each * n_of[(sizes > 0).any(axis=1)].sum())
    for f in rates.changes(nobody, **options)[:3]:
        assert f.value == pytest.approx(figures[f.measure].value)
    small = small_groups([rates], clustered=False)
    assert f"4 ({29 * each} rows" in small
    assert "sensitive_0: 0" not in small


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
