"""A table that stays where it lies -> counts of its rows, and a random sample of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from fairmi.audit.calibration import N_BINS, SCALE
from fairmi.audit.parts import Condition, split_by
from fairmi.audit.predictions import Predictions, baseline_predictions, predictions_of
from fairmi.exceptions import SensitiveFeaturesError

MAX_CELLS = 1_000_000  # distinct combinations of values that one count may have
ROLES = {"y": "y", "y_pred": "p", "baseline": "b", "y_score": "score"}


def count_table(
    table: Any,
    columns: Mapping[str, Any],
    sensitive_features: Any,
    conditions: Any,
    *,
    others: Mapping[str, object],
    pos_label: Hashable | None,
    n_sampled: int,
    seed: int,
) -> tuple[Predictions, Predictions | None, pd.DataFrame, list[Condition]]:
    """Count the rows of a table, lazy or not, by what each figure of an audit needs.

    `columns` names those of "y", "y_pred", "y_score" and "baseline", None for none; `others` are
    arguments of rows in memory, which can't be given with a table. ValueError where one is, or a
    column is not there, has missing values, or values so many that they can't be counted.

    Returned are the predictions, those of the baseline, the sensitive features and the conditions,
    which have a row for each cell, a combination of values, counted by ``predictions.counts``.
    Behind these lie the cells of each condition, which count for it alone, and the rows of the
    sample, which count for nothing.
    """
    named = [name for name, value in others.items() if value is not None]
    if named:
        raise ValueError(
            f"{' and '.join(named)} can't be used with a table, which is counted by columns of "
            "classes and groups; leave it out, or read the rows that it needs into memory."
        )
    sensitive_features = _names(sensitive_features, "sensitive_features")
    conditions = _names(
        []
        if conditions is None or (isinstance(conditions, str) and conditions == "auto")
        else conditions,
        "conditions",
    )
    for role, name in columns.items():
        _names([] if name is None else name, role)
    if columns["y_pred"] is None:
        raise ValueError("y_pred is None; name the column of the predictions.")
    frame, has = _renamed(table, columns, sensitive_features, conditions)
    keys = [name for name in ("y", "p", "b") if name in has]
    sensitive_keys = [(f"s{j}", name) for j, name in enumerate(sensitive_features)]
    classes = _counted(frame, keys, " and ".join(str(columns[k]) for k in ROLES if columns.get(k)))
    _refuse_missing(classes, [(ROLES[k], str(v)) for k, v in columns.items() if k != "y_score"])
    of_classes = _read(classes, pos_label)
    groups = [*keys, *(key for key, _ in sensitive_keys)]
    shown = ", ".join(map(str, sensitive_features))
    if "score" in has:
        second = of_classes.rated_classes[0] == 1
        cells = _counted_scores(frame, groups, of_classes, second, shown)
    else:
        cells = _counted(frame, groups, shown)
    _refuse_missing(cells, sensitive_keys)
    parts = [
        _counted(frame, [*groups, f"c{j}"], f"{shown} and {name}")
        for j, name in enumerate(conditions)
    ]
    n_rows = int(cells["n"].sum())
    if "score" in has:
        rows = _sampled(frame, [*groups, "score"], n_rows, min(n_sampled, n_rows), seed)
        parts.append(rows.assign(n=0))
    sizes = [len(part) for part in (cells, *parts)]
    ends = np.cumsum(sizes)
    joint = pd.concat([part[groups] for part in (cells, *parts)], ignore_index=True)
    own = np.concatenate([part["n"].to_numpy(dtype=np.int64) for part in (cells, *parts)])
    counts = np.where(np.arange(len(joint)) < ends[0], own, 0)
    predictions = replace(_read(joint, pos_label), counts=counts)
    if "score" in has:
        sample = np.arange(ends[-2], ends[-1])
        predictions = _with_scores(predictions, cells, rows["score"].to_numpy(), sample)
    else:
        # Rows of a cell are alike, so that a sample of the rows is one of the cells.
        drawn = np.random.default_rng(seed).choice(
            n_rows, min(n_sampled, n_rows), replace=False, shuffle=False
        )
        sample = np.sort(np.searchsorted(np.cumsum(counts[: ends[0]]), drawn, side="right"))
    predictions = replace(predictions, sample=sample)
    baseline = None
    if "b" in has:
        baseline = baseline_predictions(joint["b"].to_numpy(), predictions)
    splits = []
    for j, name in enumerate(conditions):
        place = slice(ends[j], ends[j + 1])
        of_part = split_by(str(name), parts[j][f"c{j}"], own[place])
        codes = np.full(len(joint), -1, dtype=np.int64)
        codes[place] = of_part.codes
        splits.append(Condition(of_part.names, codes, own))
    sensitive = joint[[key for key, _ in sensitive_keys]].set_axis(
        list(sensitive_features), axis=1
    )
    return predictions, baseline, sensitive, splits


def _names(values: Any, argument: str) -> list[str]:
    names = [values] if isinstance(values, str) else values
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"with a table, {argument} names columns of it, but it is a {type(values).__name__}; "
            "give text, or a list of text where there are several."
        )
    return list(names)


def _renamed(
    table: Any,
    columns: Mapping[str, Any],
    sensitive_features: Sequence[str],
    conditions: Sequence[str],
) -> tuple[nw.LazyFrame, set[str]]:
    """Return the columns that are needed under names of our own, and these."""
    try:
        native = nw.from_native(table)
    except TypeError as error:
        raise ValueError(
            f"table is a {type(table).__name__}, which can't be read; give a DuckDB relation, a "
            "polars LazyFrame, or a table of Dask, PySpark, Ibis or pandas."
        ) from error
    frame = native.lazy()
    schema = frame.collect_schema()
    wanted = {ROLES[role]: name for role, name in columns.items() if name is not None}
    wanted |= {f"s{j}": name for j, name in enumerate(sensitive_features)}
    wanted |= {f"c{j}": name for j, name in enumerate(conditions)}
    for key, name in wanted.items():
        if name not in schema:
            argument = {"s": "sensitive_features", "c": "conditions"}.get(key[0], "")
            argument = next((role for role, k in ROLES.items() if k == key), argument)
            raise ValueError(
                f"{argument} names {name!r}, which is no column of the table; it has "
                f"{', '.join(map(repr, schema))}."
            )
    names = {nw.Categorical, nw.Enum}
    score = schema[str(columns["y_score"])] if "score" in wanted else None
    if score in {nw.String, *names} or (score is not None and score.is_temporal()):
        raise ValueError(
            f"y_score names {columns['y_score']!r}, which is a column of {score}; give scores "
            "that are numbers."
        )
    picked = [
        nw.col(str(name)).cast(nw.Float64).alias(key)
        if key == "score"
        else nw.col(str(name)).cast(nw.String).alias(key)
        if schema[str(name)] in names
        else nw.col(str(name)).alias(key)
        for key, name in wanted.items()
    ]
    return frame.select(*picked), set(wanted)


def _counted(frame: nw.LazyFrame, keys: Sequence[str], shown: str) -> pd.DataFrame:
    """Return the combinations of values of these columns, and the rows `n` of each."""
    return _collected(frame.group_by(*keys).agg(nw.len().alias("n")), shown)


def _collected(counts: nw.LazyFrame, shown: str) -> pd.DataFrame:
    cells = counts.head(MAX_CELLS + 1).collect("pandas").to_native()
    if len(cells) > MAX_CELLS:
        raise ValueError(
            f"{shown} have more than {MAX_CELLS:,} combinations of values, too many to count; "
            "round these columns, or cut them into bins in the table."
        )
    if not len(cells):
        raise ValueError("the table has no rows.")
    return pd.DataFrame(cells)


def _counted_scores(
    frame: nw.LazyFrame, keys: Sequence[str], classes: Predictions, second: bool, shown: str
) -> pd.DataFrame:
    """Return the same by bin of the score too, with its sums in whole numbers.

    They are those of :func:`fairmi.audit.calibration.summed_scores`.
    """
    if len(classes.classes) != 2:
        raise ValueError(
            f"y_score names one column, but there are {len(classes.classes)} classes; leave it "
            "out, or audit each class against the rest."
        )
    score = nw.col("score")
    # Other numbers are not summed in the end, and some engines can't make whole numbers of them.
    probable = nw.when((score >= 0) & (score <= 1)).then(score).otherwise(0.0)
    frame = frame.with_columns((probable if second else 1 - probable).alias("own"))
    own = nw.col("own")

    def whole(values: nw.Expr) -> nw.Expr:
        scaled = values * SCALE + 0.5
        return (scaled - scaled % 1.0).cast(nw.Int64)  # casts round in some engines

    usable = ~score.is_null() & score.is_finite()
    bins = [(own * N_BINS >= k).cast(nw.Int64) for k in range(1, N_BINS)]
    frame = frame.with_columns(
        sum(bins[1:], start=bins[0]).alias("bin"),
        usable.cast(nw.Int64).alias("usable"),
        *(whole(values).alias(name) for name, values in (("q", own), ("q2", own * own))),
    )
    sums = [nw.col(name).sum() for name in ("q", "q2", "usable")]
    cells = frame.group_by(*keys, "bin").agg(
        nw.len().alias("n"),
        *sums,
        score.min().alias("least"),
        score.max().alias("most"),
    )
    casts = [nw.col(name).cast(nw.Int64) for name in ("q", "q2", "usable", "n")]
    counted = _collected(cells.with_columns(*casts), shown)
    n_missing = int(counted["n"].sum() - counted["usable"].sum())
    if n_missing:
        raise ValueError(
            f"y_score has a missing or infinite value in {n_missing} rows; drop these."
        )
    return counted


def _with_scores(
    predictions: Predictions, cells: pd.DataFrame, drawn: np.ndarray, sample: np.ndarray
) -> Predictions:
    """Return predictions with the scores of the sample, and the sums of all that are counted."""
    probable = cells["least"].min() >= 0 and cells["most"].max() <= 1
    scores = np.full((len(predictions.true), 1 + probable), np.nan)
    scores[sample, -1] = drawn
    if probable:
        scores[sample, 0] = 1 - drawn
    sums = np.zeros((len(predictions.true), 3), dtype=np.int64)
    sums[: len(cells)] = cells[["bin", "q", "q2"]].to_numpy(dtype=np.int64)
    return replace(predictions, scores=scores, probabilities=bool(probable), score_sums=sums)


def _read(cells: pd.DataFrame, pos_label: Hashable | None) -> Predictions:
    labels = cells["y"].to_numpy() if "y" in cells else None
    return predictions_of(None, labels, cells["p"].to_numpy(), pos_label=pos_label)


def _refuse_missing(cells: pd.DataFrame, named: Sequence[tuple[str, str]]) -> None:
    """Raise an error where a column has missing values, with the rows that lack it."""
    for key, name in named:
        if key in cells and (missing := cells["n"][cells[key].isna()].sum()):
            error = SensitiveFeaturesError if key.startswith("s") else ValueError
            raise error(
                f"column {name!r} of the table has a missing value in {missing} rows; drop these "
                "rows, or give the missing values a label of their own."
            )


def _sampled(
    frame: nw.LazyFrame, columns: Sequence[str], n_rows: int, size: int, seed: int
) -> pd.DataFrame:
    """Return random rows of a table without reading all of it into memory.

    Of DuckDB and polars by the rows' numbers, so that a seed draws the same rows from a file each
    time; of others by their own `sample`, or ValueError where they have none.
    """
    native: Any = frame.select(*columns).to_native()
    drawn = np.random.default_rng(seed).choice(n_rows, size, replace=False, shuffle=False)
    where = frame.implementation
    if where.is_polars():
        numbered = nw.from_native(native.with_row_index("row"))
        rows = numbered.filter(nw.col("row").is_in(drawn.tolist()))
        return pd.DataFrame(rows.sort("row").collect("pandas").to_native())[list(columns)]
    if where.is_duckdb():
        numbered = native.query("t", "select *, row_number() over () - 1 as row from t")
        rows = numbered.filter(f"row in ({', '.join(map(str, drawn))})").df()
        return pd.DataFrame(rows.sort_values("row", ignore_index=True))[list(columns)]
    if not hasattr(native, "sample"):
        raise ValueError(
            f"of a table of {type(native).__name__} no random rows can be drawn, which probes of "
            "y_score need; leave y_score out, or give the table as a DuckDB relation."
        )
    share = min(1.0, (1.1 * size + 100) / n_rows)
    names = ("frac", "random_state")
    if where.is_pyspark() or where.is_ibis():
        names = ("fraction", "seed")
    some = nw.from_native(native.sample(**dict(zip(names, (share, seed), strict=True)))).lazy()
    rows = some.collect("pandas").to_native().reset_index(drop=True)
    order = np.random.default_rng(seed).permutation(len(rows))[:size]
    return pd.DataFrame(rows.iloc[np.sort(order)])
