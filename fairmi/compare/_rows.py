"""The rows that a comparison learns and measures from."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairmi._data.options import read_table
from fairmi._data.values import read_columns, to_pandas
from fairmi._typing import ColumnLike, TableLike
from fairmi.compare._measures import CLASSES, COUNTS, NUMBERS, Reading
from fairmi.core.membership import quantile_bins
from fairmi.datasets import load_adult, load_german

LOSSES = ("squared_error", "poisson")
_MOST_CLASSES = 10  # a column of more numbers is a quantity
_BINS_OF_Y = 4
_RARE = 10  # rows of a label in a group, below which no fold is promised some
_MAX_CATEGORIES = 250  # scikit-learn's boosting takes 255


@dataclass(frozen=True)
class LabelledRows:
    """A table, labels 0 or 1 or numbers, and the sensitive value of each row.

    `sensitive_columns` are those of X that tell the sensitive value by themselves; `loss` is that
    of numbers, one of LOSSES; rows of one of `clusters`, a person's, stay in one fold.
    """

    X: pd.DataFrame
    y: np.ndarray
    s: np.ndarray
    sensitive_columns: tuple[str, ...] = ()
    loss: str | None = None
    clusters: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> LabelledRows:
        """Those rows of the sample."""
        X = self.X.iloc[rows].reset_index(drop=True)
        clusters = None if self.clusters is None else self.clusters[rows]
        return replace(self, X=X, y=self.y[rows], s=self.s[rows], clusters=clusters)

    def first(self, n_rows: int | None) -> LabelledRows:
        """So many rows in random order; None is all, as they are."""
        if n_rows is None or n_rows >= len(self):
            return self
        return self.take(np.random.default_rng(0).permutation(len(self))[:n_rows])

    def without_sensitive(self) -> LabelledRows:
        """The sample less the columns of X that tell the sensitive value by themselves."""
        return replace(self, X=self.X.drop(columns=list(self.sensitive_columns)))

    @property
    def codes(self) -> np.ndarray:
        """The group of each row, counted from 0."""
        return np.unique(self.s, return_inverse=True)[1]

    @property
    def strata(self) -> np.ndarray:
        """Group and label (or bin of y) in one code, to split evenly by; rare ones by label."""
        label = self.y
        if self.loss is not None:
            label, _ = quantile_bins(self.y, np.ones(len(self)), _BINS_OF_Y)
        cells = self.codes * (label.max() + 1) + label
        rare = np.bincount(cells)[cells] < _RARE
        return np.where(rare, -1 - label, cells)

    @property
    def reading(self) -> Reading:
        """What is read off predictions of these rows."""
        return CLASSES if self.loss is None else COUNTS if self.loss == "poisson" else NUMBERS


def adult_rows(subset: Literal["train", "test"], sensitive: str = "sex") -> LabelledRows:
    """A part of Adult, "train" or "test", with "sex", "race", "age" or "sex x race" sensitive."""
    return _rows(load_adult(subset=subset), ">50K", sensitive.split(" x "))


def german_rows() -> LabelledRows:
    """The German credit data, age over 25 years being sensitive."""
    german: Any = load_german()
    return replace(_rows(german, "good", ["age_over_25"]), sensitive_columns=("age",))


def wages_rows(folder: Path) -> LabelledRows:
    """Log wages of 28,155 men in 1988, who is African American being sensitive (CPS1988).

    Source: H. Bierens and D. Ginther, "Integrated Conditional Moment Testing of Quantile
    Regression Models", Empirical Economics 2001.
    """
    table = read_table(folder / "cps_wages.csv.gz", ["wage"])
    wage = np.log(table.pop("wage"))
    return table_rows(table, wage, "ethnicity", loss="squared_error")[0]


def visits_rows(folder: Path) -> LabelledRows:
    """Visits to a doctor by year, of 6,127 persons in up to five years, sex sensitive (rwm5yr).

    Source: J. Hilbe, *Negative Binomial Regression*, 2011.
    """
    table = read_table(folder / "doctor_visits.csv.gz", ["docvis", "id"]).drop(columns="hospvis")
    y, persons = table.pop("docvis"), table.pop("id")
    table = table[[name for name in table if not name.startswith("edlevel")]]
    return table_rows(table, y, "female", loss="poisson", clusters=persons)[0]


def _rows(bunch: Bunch, positive: str, sensitive: list[str]) -> LabelledRows:
    features = bunch.sensitive_features
    s = (features if set(sensitive) <= set(features) else bunch.data)[sensitive]
    single = s[sensitive[0]]
    if len(sensitive) > 1:
        groups = s.astype(str).agg(", ".join, axis=1).to_numpy(dtype=object)
    elif pd.api.types.is_numeric_dtype(single) and single.nunique() > 20:
        groups = single.to_numpy()
    else:
        groups = single.astype(str).to_numpy(dtype=object)
    y = (bunch.target == positive).to_numpy().astype(np.int64)
    return LabelledRows(bunch.data, y, groups, tuple(sensitive))


def table_rows(
    X: TableLike,
    y: ColumnLike,
    sensitive_features: Any,
    positive: Hashable = None,
    loss: str = "auto",
    clusters: ColumnLike | None = None,
) -> tuple[LabelledRows, Any]:
    """A user's table, checked and in a form that every method can read, and its positive label.

    Columns are read as fairmi's estimators read them. Text becomes categories, of which the rarest
    share one where there are more than scikit-learn's boosting takes. The arguments are those of
    `compare`.
    """
    frame = pd.DataFrame(to_pandas(X)).reset_index(drop=True).rename(columns=str)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"X has two columns named {twice!r}; rename one of them.")
    names = [sensitive_features] if isinstance(sensitive_features, str) else sensitive_features
    named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    columns = tuple(names) if named and set(names) <= set(frame) else ()
    if named and not columns and len(names) != len(frame):
        raise ValueError(f"sensitive_features has {names}, but X has {list(frame)}.")
    groups = frame[list(columns)] if columns else pd.DataFrame(np.asarray(sensitive_features))
    labels = pd.DataFrame({"y": np.asarray(y).ravel()})
    checked = {"y": labels, "sensitive_features": groups}
    if clusters is not None:
        checked["clusters"] = pd.DataFrame({"clusters": np.asarray(clusters).ravel()})
    for argument, values in checked.items():
        if len(values) != len(frame):
            raise ValueError(f"{argument} has {len(values)} rows, but X has {len(frame)}.")
        n_missing = int(values.isna().any(axis=1).sum())
        if n_missing:
            raise ValueError(
                f"{argument} is missing in {n_missing} rows; leave these rows out, or give them a "
                "value of their own, such as 'unknown'."
            )
    s = groups.astype(str).agg(", ".join, axis=1).to_numpy(dtype=object)
    counts = pd.Series(s).value_counts()
    if len(counts) < 2 or counts.iloc[-1] < _RARE:
        raise ValueError(
            f"sensitive_features has {len(counts)} values, and {counts.index[-1]!r} in "
            f"{counts.iloc[-1]} rows; at least two groups of {_RARE} rows are needed: join rare "
            "ones, and cut numbers into bins, as pandas.cut does."
        )
    owners = None if clusters is None else pd.factorize(checked["clusters"]["clusters"])[0]
    if loss == "auto" and positive is None and _is_quantity(labels["y"]):
        loss = "squared_error"
    if loss != "auto":
        numbers = _numbers(labels["y"], loss)
        return LabelledRows(_readable(frame), numbers, s, columns, loss, owners), None
    label = _positive_label(labels["y"], positive)
    ones = (labels["y"] == label).to_numpy().astype(int)
    return LabelledRows(_readable(frame), ones, s, columns, None, owners), label


def _is_quantity(y: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(y) and y.nunique() > _MOST_CLASSES


def _numbers(y: pd.Series, loss: str) -> np.ndarray:
    """Return y as numbers: finite, not all alike, and none below 0 where they are counts."""
    numbers = pd.to_numeric(y, errors="coerce").to_numpy(float)
    if not np.isfinite(numbers).all():
        wrong = y[~np.isfinite(numbers)].iloc[0]
        raise ValueError(f"loss={loss!r} needs y of finite numbers, but it has {wrong}.")
    if np.ptp(numbers) == 0:
        raise ValueError(f"y is {numbers[0]:g} in all rows: there is nothing to predict.")
    if loss == "poisson" and numbers.min() < 0:
        raise ValueError(
            f'loss="poisson" needs y of 0 or more, but its smallest value is {numbers.min():g}; '
            'take loss="squared_error".'
        )
    return numbers


def _positive_label(labels: pd.Series, positive: Hashable) -> Any:
    """Return the label that counts as 1; it and the others must be in every fold."""
    counts = labels.value_counts()
    if positive is None:
        if len(counts) != 2:
            raise ValueError(
                f"y has {len(counts)} values, such as {list(counts.index[:5])}; say which one is "
                "positive (--positive), to set it against the others, or, where they are numbers "
                "to predict, the loss (--loss)."
            )
        label = sorted(counts.index, key=lambda value: (str(type(value)), value))[-1]
    else:
        matches = [value for value in counts.index if str(value) == str(positive)]
        if not matches:
            raise ValueError(f"positive={positive!r} is not in y, which has {list(counts.index)}.")
        label = matches[0]
    n_rare = min(counts[label], len(labels) - counts[label])
    if n_rare < _RARE:
        raise ValueError(f"y has {label!r} against {n_rare} other rows; {_RARE} are needed.")
    return label


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns as fairmi reads them, numbers or text, the latter as categories."""
    columns = {}
    for column in read_columns(frame):
        values = pd.Series(column.values, dtype=column.values.dtype)
        if values.dtype == object:
            text = values.map(str, na_action="ignore")
            rare = text.isin(text.value_counts().index[_MAX_CATEGORIES:])
            values = text.where(~rare, "rare").astype("category")
        columns[column.name] = values
    return pd.DataFrame(columns)
