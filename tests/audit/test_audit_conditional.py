"""What parity over all rows hides, found within parts of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairmi._data.groups import group_rows
from fairmi.audit import audit
from fairmi.audit.intervals import share_intervals, square_and_add
from fairmi.audit.parts import Condition, conditional_figures, conditions_of
from fairmi.audit.predictions import predictions_of

pytestmark = pytest.mark.usefixtures("no_probes")


def simpson(n=4000, seed=0):
    """Equal shares over all rows; among the married women are preferred, else men."""
    rng = np.random.default_rng(seed)
    sex = np.where(rng.random(n) < 0.5, "woman", "man")
    married = np.where(rng.random(n) < 0.5, "yes", "no")
    rate = np.where((sex == "woman") == (married == "yes"), 0.67, 0.25)
    table = pd.DataFrame({"married": married, "noise": rng.normal(size=n)})
    return table, rng.integers(2, size=n), (rng.random(n) < rate).astype(int), sex


@pytest.fixture(scope="module")
def report():
    table, y, predicted, sex = simpson()
    sex = pd.Series(sex, name="sex")
    return audit(X=table, y=y, y_pred=predicted, sensitive_features=sex, random_state=0)


def test_the_part_where_parity_fails_comes_first(report):
    first, second, *others = report.section("conditional")
    assert {first.part, second.part} == {"married = no", "married = yes"}
    for figure in (first, second):
        table, _, predicted, sex = simpson()
        rows = table.married == figure.part.removeprefix("married = ")
        rates = [predicted[rows & (sex == s)].mean() for s in ("woman", "man")]
        assert figure.value == pytest.approx(abs(rates[0] - rates[1]))
        assert figure.low < 0.42 < figure.high  # measured 0.363 to 0.39 and 0.474 to 0.498
        assert figure.n == rows.sum()
    assert all(f.part.startswith("noise") for f in others)
    assert all(f.low == 0 for f in others)


def test_the_summary_says_what_parity_bought(report):
    text = str(report)
    assert "within parts by sex: difference found. Parity overall at 0.0" in text
    words = " ".join(text.split())
    assert "rows with married = " in words
    assert "their label is positive at 0.5" in words
    assert "The groups differ in 2 of 6 parts." in words
    assert "legitimate ground" in words


def test_rates_and_base_rates_of_the_parts_are_there(report):
    _, y, predicted, sex = simpson()
    table = simpson()[0]
    rows = (table.married == "yes") & (sex == "man")
    found = {
        f.measure: f.value
        for f in report.section("conditional group")
        if (f.part, f.group) == ("married = yes", "man")
    }
    assert found == pytest.approx(
        {"selection_rate": predicted[rows].mean(), "base_rate": y[rows].mean()}
    )


def test_of_more_classes_labels_are_parts_too():
    """Of two, they would show true and false positive rates again, with another interval."""
    rng = np.random.default_rng(0)
    y, predicted, group = rng.integers(3, size=(3, 900))
    options = {"sensitive_features": group, "random_state": 0}
    report = audit(y=y, y_pred=predicted, **options)
    parts = {(f.part, f.subject): f.value for f in report.section("conditional")}
    rates = [predicted[(y == 2) & (group == g)] == 2 for g in range(3)]
    assert parts["label = 2", "2"] == pytest.approx(np.ptp([r.mean() for r in rates]))
    assert len(parts) == 9
    assert not audit(y=y > 1, y_pred=predicted > 1, **options).section("conditional")


@pytest.mark.parametrize("n_groups", [2, 5])
def test_fair_models_raise_few_false_alarms_in_many_parts(n_groups):
    """95 % nominal for all 20 parts at once; 12 of 100 would be a matter of one in 1,000."""
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(100):
        group = rng.integers(n_groups, size=4000)
        part = rng.integers(20, size=4000)
        predicted = (rng.random(4000) < np.linspace(0.05, 0.6, 20)[part]).astype(int)
        condition = Condition(tuple(map(str, range(20))), part)
        predictions = predictions_of(None, rng.integers(2, size=4000), predicted)
        figures = conditional_figures(predictions, group_rows(group), [condition], 0.95)
        alarms += figures[0].low > 0
    assert alarms < 12


def test_the_correction_counts_parts_and_pairs():
    group = np.repeat([0, 1, 2], 100)
    part = np.tile([0, 1], 150)
    predicted = np.random.default_rng(0).integers(2, size=300)
    predictions = predictions_of(None, np.tile([0, 1, 1], 100), predicted)
    condition = Condition(("a", "b"), part)
    figure = conditional_figures(predictions, group_rows(group), [condition], 0.95)[0]
    rows = part == "ab".index(figure.part)
    hits, sizes = (
        np.array([values[rows & (group == g)].sum() for g in range(3)])
        for values in (predicted, np.ones(300))
    )
    n_comparisons = 2 * 3  # parts, pairs of groups
    limits = share_intervals(hits, sizes, 0.05 / n_comparisons / 2)
    _, high = square_and_add(hits / sizes, *limits)
    assert figure.high == pytest.approx(high.max())


def test_small_groups_and_whole_columns_make_no_part():
    group = np.array(["a"] * 500 + ["b"] * 500)
    part = np.array(["rare"] * 29 + ["rest"] * 942 + ["rare"] * 29)
    table = pd.DataFrame({"part": part, "same": ["x"] * 1000})
    predicted = np.random.default_rng(0).integers(2, size=1000)
    report = audit(
        X=table, y=1 - predicted, y_pred=predicted, sensitive_features=group, random_state=0
    )
    assert {f.part for f in report.section("conditional")} == {"part = rest"}


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (["a", "b", None, "a"] * 30, ["c = a", "c = b", "c = missing"]),
        ([1, 2, 3, 4] * 30, ["c = 1", "c = 2", "c = 3", "c = 4"]),
        (
            np.arange(100.0),
            ["c 0 to 24", "c 24 to 49", "c 49 to 74", "c 74 to 99"],
        ),
        (
            [0.0] * 80 + list(range(1, 21)),
            ["c = 0", "c 1 to 5", "c 5 to 10", "c 10 to 15", "c 15 to 20"],
        ),
        (
            [np.nan, *range(1, 41)],
            ["c 1 to 10", "c 10 to 20", "c 20 to 30", "c 30 to 40", "c missing"],
        ),
        ([True, False] * 20, ["c = False", "c = True"]),
    ],
)
def test_columns_are_split_by_value_or_quarter(column, names):
    (condition,), notes = conditions_of(pd.DataFrame({"c": column}), "auto", len(column))
    assert list(condition.names) == names
    assert len(condition.codes) == len(column)
    assert (np.bincount(condition.codes, minlength=len(names)) > 0).all()
    assert notes == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [("sensitive_area", "sensitive_area"), ("label", "column label"), (3, "column 3")],
)
def test_columns_keep_their_names_but_for_y_s(name, shown):
    table = pd.DataFrame({name: ["a", "b"] * 4})
    (condition,), _ = conditions_of(table, "auto", 8)
    assert condition.names == (f"{shown} = a", f"{shown} = b")


def test_positions_are_shown_by_name_where_there_is_one():
    table = pd.DataFrame({"x": np.arange(8), "area": ["a", "b"] * 4})
    for conditions in (["area"], [1], [-1]):
        (condition,), _ = conditions_of(table, conditions, 8)
        assert condition.names == ("area = a", "area = b")


def test_quarters_are_even():
    values = np.random.default_rng(0).normal(size=1000)
    (condition,), _ = conditions_of(values[:, None], "auto", 1000)
    assert condition.names[0].startswith("column 0 ")
    assert (np.abs(np.bincount(condition.codes) - 250) <= 1).all()


def test_wide_tables_are_left_out_with_a_note():
    conditions, (note,) = conditions_of(np.zeros((9, 101)), "auto", 9)
    assert conditions == []
    assert "101 columns" in note
    (named,), notes = conditions_of(np.arange(909.0).reshape(9, 101), [100], 9)
    assert named.names[0].startswith("column 100")
    assert notes == []


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (["wealth"], "conditions names 'wealth', which X does not have"),
        (np.ones((3, 1)), "conditions has 3 rows, but y has 4000"),
    ],
)
def test_conditions_that_are_not_there(conditions, message):
    table, y, predicted, sex = simpson()
    options = {"y": y, "y_pred": predicted, "sensitive_features": sex, "conditions": conditions}
    with pytest.raises(ValueError, match=message):
        audit(X=table, **options)


def test_names_of_columns_need_x():
    _, y, predicted, sex = simpson()
    with pytest.raises(ValueError, match=r"conditions=\['married'\] are columns of X"):
        audit(y=y, y_pred=predicted, sensitive_features=sex, conditions=["married"])
