from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from fairmi.exceptions import SensitiveFeaturesError
from fairmi.inspection import GapImportance, _auc, gap_importance

PROBE = LogisticRegression()


class Threshold:
    """Selects where a weighted sum of columns is positive: what it reads is known."""

    classes_ = np.array(["no", "yes"])

    def __init__(self, **weights):
        self.weights = weights

    def decision_function(self, X):
        return sum(w * np.asarray(X[name], dtype=float) for name, w in self.weights.items())

    def predict(self, X):
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


def sample(n=1500, seed=0):
    """Column a tells the group, b repeats a, c tells nothing; y goes with c."""
    rng = np.random.default_rng(seed)
    group = rng.integers(2, size=n)
    a = group + rng.normal(size=n) - 0.5
    table = pd.DataFrame({"a": a, "b": a, "c": rng.normal(size=n)}, index=np.arange(n) + 7)
    return table, pd.Series(group, index=table.index), np.where(table["c"] > 0, "yes", "no")


def by_name(found, measure):
    return found.to_frame().query("measure == @measure").set_index("columns")


def test_all_of_the_gap_goes_with_the_only_column_that_carries_it():
    X, group, y = sample()
    found = gap_importance(Threshold(a=1), X, group, y, probe=PROBE, random_state=0)
    for measure in ("selection_rate", "true_positive_rate", "false_positive_rate", "probe_auc"):
        table = by_name(found, measure)
        assert table.loc["a", "low"] < table.loc["a", "value"] - 0.5 * (measure == "probe_auc")
        assert table.loc["a", "share"] == pytest.approx(1, abs=0.2)
        assert (table.loc[["b", "c"], ["importance", "low", "high"]] == 0).all(axis=None)
    rates = (X["a"] > 0).groupby(group).mean()
    assert found.measures["selection_rate"] == pytest.approx(rates[1] - rates[0])
    assert found.measures["accuracy"] == np.mean((X["a"] > 0) == (y == "yes"))


def test_columns_that_repeat_each_other_show_as_a_set():
    X, group, _ = sample()
    sets = {"a": ["a"], "b": ["b"], "a and b": ["a", "b"]}
    model = Threshold(a=1, b=1)
    found = gap_importance(model, X, group, columns=sets, probe=None, random_state=1)
    share = by_name(found, "selection_rate")
    assert share.loc["a and b", "share"] == pytest.approx(1, abs=0.2)
    assert share.loc[["a", "b"], "share"].max() < 0.75


def test_within_strata_that_tell_the_group_nothing_goes():
    """The gap by a is the group's: among rows of one group a permutation changes no rate."""
    X, group, _ = sample()
    found = gap_importance(Threshold(a=1), X, group, strata=group, probe=None, random_state=0)
    assert by_name(found, "selection_rate")["importance"].abs().max() < 1e-12
    c = gap_importance(Threshold(a=1), X, group, strata=X["c"] > 0, probe=None, random_state=0)
    assert by_name(c, "selection_rate").loc["a", "share"] == pytest.approx(1, abs=0.2)


def test_intervals_hold_over_samples():
    """Of 100 samples, at 95 %: 96 of the rate's and 97 of the accuracy's held."""
    model = Threshold(a=1, c=1)
    truth = gap_importance(model, *sample(200_000, seed=1), columns=["a"], probe=None, n_repeats=2)
    held = []
    for seed in range(100):
        table, group, y = sample(400, seed=seed + 2)
        found = gap_importance(
            model, table, group, y, columns=["a"], probe=None, random_state=seed
        )
        held.append(np.abs(found.importance - truth.importance) < 1.96 * found.standard_error)
    share = np.mean(held, axis=0)[0]
    assert share[0] >= 0.89
    assert share[-1] >= 0.89


def test_auc_and_its_influence():
    rng = np.random.default_rng(0)
    scores, is_group = np.round(rng.normal(size=300), 1), rng.random(300) < 0.3
    value, influence = _auc(scores + is_group, is_group)
    assert value == pytest.approx(roc_auc_score(is_group, scores + is_group))
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    without_first = roc_auc_score(is_group[1:], (scores + is_group)[1:])
    assert influence[0] == pytest.approx(299 * (value - without_first), abs=0.01)


def test_frames_and_arrays_give_the_same():
    X, group, y = sample(300)
    model = LogisticRegression().fit(X.to_numpy(), y)
    options = {"probe": None, "random_state": 0}
    expected = gap_importance(model, X.to_numpy(), group.to_numpy(), y, **options)
    named = LogisticRegression().fit(X, y)
    for table in (X, pl.DataFrame(X)):
        model_ = named if table is X else LogisticRegression().fit(pl.DataFrame(X), y)
        groups = group if table is X else group.to_numpy()
        found = gap_importance(model_, table, groups, y, **options)
        assert found.columns == ("a", "b", "c")
        np.testing.assert_array_equal(found.importance, expected.importance)
    assert expected.columns == ("0", "1", "2")
    assert "selection_rate" in repr(found)


def test_a_regressor_and_three_groups():
    X, _, _ = sample(600)
    group = np.array(["x", "y", "z"])[np.digitize(X["a"], [-0.5, 0.5])]
    model = LinearRegression().fit(X[["a", "c"]], X["a"])
    found = gap_importance(
        model, X[["a", "c"]], group, X["a"].to_numpy(), probe=PROBE, random_state=0
    )
    means = X["a"].groupby(group).mean()
    assert found.measures["mean_prediction"] == pytest.approx(means["z"] - means["x"])
    assert by_name(found, "mean_prediction").loc["a", "share"] == pytest.approx(1, abs=0.2)
    assert by_name(found, "minus_squared_error").loc["a", "importance"] > 1
    assert found.measures["probe_auc"] > 0.8


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"columns": {"job": ["a", "job"]}}, "set 'job' is .* X has no column 'job'"),
        ({"columns": {"job": []}}, "set 'job' is"),
        ({"columns": []}, "columns is empty"),
        ({"pos_label": "maybe"}, "pos_label='maybe', and the model's classes"),
        ({"y": ["yes"]}, "y has 1 rows, but X has 300"),
        ({"n_repeats": 0}, "n_repeats=0 is too few"),
        ({"strata": [1, 2]}, "strata has 2 rows"),
        ({"sensitive_features": np.zeros(300)}, "two groups are needed"),
        (
            {"sensitive_features": np.arange(300) < 3},
            "a group of 3 rows, too few to train a probe",
        ),
        ({"y": np.repeat(["yes", "no"], 150)}, "only one group has rows of a class"),
    ],
)
def test_what_is_wrong_is_named(options, text):
    X, _, _ = sample(300)
    arguments = {"sensitive_features": np.arange(300) < 150, **options}
    with pytest.raises((ValueError, SensitiveFeaturesError), match=text):
        gap_importance(Threshold(a=1), X.reset_index(drop=True), **arguments)


def test_display_shows_models_side_by_side():
    pytest.importorskip("matplotlib").use("Agg")
    from fairmi.plot import GapImportanceDisplay

    def importance(value, columns=("age", "hours")):
        table = np.array([[0.01], [value]])
        return GapImportance(columns, {"selection_rate": 0.2}, table, table / 2, 0.95)

    models = {"before": importance(0.12), "after": importance(0.02)}
    ax = GapImportanceDisplay(models).plot(max_columns=1).ax_
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["hours"]
    assert [t.get_text() for t in ax.get_legend().texts] == ["before: 0.200", "after: 0.200"]
    assert [bars[0].get_xdata()[0] for bars in ax.containers] == [0.12, 0.02]
    ax.figure.clear()
    with pytest.raises(ValueError, match="'probe_auc' is not among those of before"):
        GapImportanceDisplay(models).plot("probe_auc")
    with pytest.raises(ValueError, match="2 different sets of columns"):
        GapImportanceDisplay({**models, "other": importance(0.1, ("age", "job"))})
