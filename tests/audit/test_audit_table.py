"""Predictions that stay where they lie: figures are those of the same rows in memory."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from fairmi.audit import audit
from fairmi.exceptions import SensitiveFeaturesError

pytestmark = pytest.mark.usefixtures("no_probes")

COLUMNS = {"y": "y", "y_pred": "p", "y_score": "score", "baseline": "b"}
NAMES = {"sensitive_features": ["sex", "age"], "conditions": ["region", "years"]}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    n = 1500
    sex, age = rng.choice(["f", "m"], n), rng.integers(18, 70, n)
    score = 1 / (1 + np.exp(-rng.normal((sex == "f") - 0.02 * (age - 40)))).astype(np.float32)
    return pd.DataFrame(
        {
            "y": rng.random(n) < score,
            "p": score > 0.6,
            "b": score > 0.5,
            "score": score,
            "sex": sex,
            "age": age,
            "region": rng.choice(["north", "south", "east"], n),
            "years": rng.integers(0, 40, n),
        }
    )


def in_memory(rows, **options):
    columns = {name: rows[column] for name, column in COLUMNS.items()}
    tables = {name: rows[of] for name, of in NAMES.items()}
    return audit(**columns, **tables, n_boot=100, random_state=0, **options)


def in_place(table, **options):
    return audit(table=table, **COLUMNS, **NAMES, n_boot=100, random_state=0, **options)


PLACES = {
    "duckdb": lambda rows: duckdb.connect().from_df(rows),
    "polars": lambda rows: pl.from_pandas(rows).lazy(),
    "pandas": lambda rows: rows,
}


@pytest.fixture(scope="module")
def of_memory(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fairmi.audit.leakage.FOLDS", 10**9)
        return {positive: in_memory(rows, pos_label=positive) for positive in (None, False)}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("positive", [None, False])
def test_figures_equal_those_of_the_rows_in_memory_to_the_last_digit(
    rows, of_memory, place, positive
):
    """Counts, intervals, draws, calibration by sums of scores, parts, changes, certificates."""
    report = in_place(PLACES[place](rows), pos_label=positive)
    pd.testing.assert_frame_equal(
        report.to_frame(), of_memory[positive].to_frame(), check_exact=True
    )
    assert report.curves == of_memory[positive].curves
    assert report.about == of_memory[positive].about
    assert report.notes == of_memory[positive].notes


@pytest.mark.parametrize("place", ["duckdb", "polars"])
def test_rows_that_are_probed_are_a_random_sample(rows, place, monkeypatch):
    """Scores are read of the sample alone, and its labels and groups are those of these rows."""
    from fairmi.audit import warehouse
    from fairmi.audit.warehouse import count_table

    options = {"others": {}, "pos_label": None, "n_sampled": 300, "seed": 1}
    numbered = rows.assign(score=(np.arange(len(rows)) + 0.5) / len(rows))

    def count(table, columns=COLUMNS):
        predictions, _, sensitive, _ = count_table(
            PLACES[place](table), columns, "sex", None, **options
        )
        return predictions, sensitive.sex.to_numpy()[predictions.sample]

    counted, sex = count(numbered)
    drawn = np.floor(counted.scores[counted.sample, 1] * len(rows)).astype(int)
    assert len(np.unique(drawn)) == 300
    assert (sex == rows.sex[drawn]).all()
    assert (counted.true[counted.sample] == rows.y[drawn]).all()
    assert abs(drawn.mean() / len(rows) - 0.5) < 0.06  # 3.6 standard errors
    again, _ = count(numbered)
    assert (again.scores[again.sample] == counted.scores[counted.sample]).all()
    _, sex = count(rows, {**COLUMNS, "y_score": None})
    assert (sex == "f").mean() == pytest.approx((rows.sex == "f").mean(), abs=0.1)
    assert len(sex) == 300
    logits, _ = count(rows.assign(score=1e15))
    assert not logits.probabilities
    assert (logits.scores[logits.sample] == 1e15).all()
    with pytest.raises(ValueError, match="infinite value in 1500 rows"):
        count(rows.assign(score=np.nan))
    monkeypatch.setattr(warehouse, "MAX_CELLS", 100)
    with pytest.raises(ValueError, match="more than 100 combinations of values"):
        count_table(PLACES[place](rows), COLUMNS, ["sex", "age"], None, **options)


@pytest.mark.parametrize(
    ("changed", "options", "error", "text"),
    [
        ({}, {"y": "label"}, ValueError, "y names 'label', which is no column of the table"),
        ({}, {"y": np.zeros(3)}, ValueError, "with a table, y names columns of it"),
        ({}, {"clusters": "sex"}, ValueError, "clusters can't be used with a table"),
        ({}, {"task": "regression"}, ValueError, "classes and groups"),
        ({"sex": None}, {}, SensitiveFeaturesError, "'sex' of the table has a missing value in 5"),
        ({"p": None}, {}, ValueError, "'p' of the table has a missing value in 5 rows"),
        ({"score": np.nan}, {}, ValueError, "missing or infinite value in 5 rows"),
        ({}, {"y_score": "sex"}, ValueError, "y_score names 'sex', which is a column of String"),
    ],
)
def test_what_a_table_lacks_is_said(rows, changed, options, error, text):
    first = np.arange(len(rows)) < 5
    table = rows.assign(**{name: rows[name].mask(first, value) for name, value in changed.items()})
    place = pl.from_pandas(table).lazy()
    with pytest.raises(error, match=text):
        audit(table=place, **{**COLUMNS, **NAMES, **options})
