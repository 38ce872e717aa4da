"""sensitive_features in any form -> groups or quantities: the one definition of both."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.values import NUMBER_KINDS, to_pandas
from fairmi.exceptions import ColumnWarning, Note, SensitiveFeaturesError, warn_of

# Numbers are categories where they have at most this many distinct values; floats, only where each
# is held by two rows or more and by this many on average. Two values always are.
MAX_CATEGORIES = 20
MIN_ROWS_PER_CATEGORY = 5
PROBABILITIES = "probabilities"  # of groups, in `sensitive_kinds`
# How far from 1 a row of probabilities may sum: columns that were rounded to three digits do.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Groups:
    """The groups of a sample: `labels[codes[i]]` is the group of row i.

    A label is the value itself for one sensitive feature, and a tuple of values, one for each
    feature, where several are given (an intersection). `names` has a name for each feature.
    """

    codes: np.ndarray
    labels: tuple[Any, ...]
    names: tuple[str, ...]

    @property
    def counts(self) -> np.ndarray:
        """Rows in each group."""
        return np.bincount(self.codes, minlength=len(self.labels))

    def __len__(self) -> int:
        return len(self.labels)


def sensitive_frame(
    values: object,
    *,
    argument: str = "sensitive_features",
    n_rows: int | None = None,
    table: str = "X",
) -> pd.DataFrame:
    """Return `values` as a DataFrame, a column for each sensitive feature, index dropped.

    A dict of columns is a table. Of another length than the `n_rows` of `table` it is refused.
    """
    try:
        values = to_pandas(values, argument=argument)
    except TypeError as error:
        raise SensitiveFeaturesError(str(error)) from error
    if isinstance(values, pd.Series | pd.DataFrame):
        frame = pd.DataFrame(values)
    elif isinstance(values, Mapping) and not hasattr(values, "toarray"):
        columns = {
            name: sensitive_frame(column, argument=argument) for name, column in values.items()
        }
        sizes = {name: column.shape for name, column in columns.items()}
        if len(set(sizes.values())) > 1 or any(width != 1 for _, width in sizes.values()):
            raise SensitiveFeaturesError(
                f"{argument} is a dict whose columns have the shapes {sizes}; give one value for "
                "each row in each."
            )
        frame = pd.DataFrame({name: column.iloc[:, 0] for name, column in columns.items()})
    else:
        values = values.toarray() if hasattr(values, "toarray") else values
        try:
            array = np.asarray(values)
            if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
                array = np.asarray(values, dtype=object)
        except ValueError as error:
            raise SensitiveFeaturesError(f"{argument} can't be made an array: {error}") from error
        if array.ndim not in (1, 2) or array.dtype.kind == "c":
            raise SensitiveFeaturesError(
                f"{argument} must be a 1-d or 2-d array, a Series or a DataFrame of real or text "
                f"values, got {array.ndim} dimensions of dtype {array.dtype}."
            )
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        frame = pd.DataFrame(array)
    if n_rows is not None and len(frame) != n_rows:
        raise SensitiveFeaturesError(
            f"{argument} has {len(frame)} rows, but {table} has {n_rows}; "
            f"give one row for each row of {table}."
        )
    return frame.rename(columns=_column_name).reset_index(drop=True)


def _column_name(name: Hashable) -> str:
    if name is None:
        return "sensitive_0"
    return f"sensitive_{name}" if isinstance(name, int) else str(name)


def group_rows(
    sensitive_features: object,
    *,
    n_rows: int | None = None,
    argument: str = "sensitive_features",
    at_least: int = 2,
) -> Groups:
    """Return the groups that the rows of `sensitive_features` fall in.

    Only combinations that occur make a group. Labels are sorted by value where values can be
    compared, else by their text. SensitiveFeaturesError is raised where a value is missing, the
    length differs from `n_rows`, or fewer than `at_least` groups are present.
    """
    frame = sensitive_frame(sensitive_features, argument=argument, n_rows=n_rows)
    if not frame.shape[1]:
        raise SensitiveFeaturesError(f"{argument} has no column; give at least one.")
    if frame.isna().to_numpy().any():
        raise SensitiveFeaturesError(
            f"{argument} has a missing value (NaN or None) in {missing_rows(frame)}; "
            "drop these rows or give the missing values a label of their own."
        )
    by_column = []
    for j in range(frame.shape[1]):
        column = frame.iloc[:, j]
        try:
            codes, values = pd.factorize(column.to_numpy(dtype=object), use_na_sentinel=True)
        except TypeError as error:
            raise SensitiveFeaturesError(
                f"{argument} holds values that can't be told apart ({error}); give text, numbers "
                "or categories."
            ) from error
        labels = [value.item() if isinstance(value, np.generic) else value for value in values]
        order = sorted_places(labels)
        by_column.append((np.argsort(order, kind="stable")[codes], [labels[k] for k in order]))
    codes, groups = by_column[0]
    if len(by_column) > 1:
        shape = tuple(max(len(labels), 1) for _, labels in by_column)
        joint = np.ravel_multi_index([codes for codes, _ in by_column], shape)
        present, codes = np.unique(joint, return_inverse=True)
        parts = zip(*np.unravel_index(present, shape), strict=True)
        groups = [
            tuple(labels[k] for (_, labels), k in zip(by_column, part, strict=True))
            for part in parts
        ]
    if len(groups) < at_least:
        seen = f"the single value {groups[0]!r}" if groups else "no rows"
        raise SensitiveFeaturesError(
            f"{argument} has {seen}; at least two groups are needed to compare."
        )
    return Groups(codes.astype(np.int64), tuple(groups), tuple(map(str, frame.columns)))


def sorted_places(labels: Sequence[Any]) -> list[int]:
    """Return the order of labels by value where these can be compared, else by their text."""
    try:
        return sorted(range(len(labels)), key=lambda k: labels[k])
    except TypeError:
        return sorted(range(len(labels)), key=lambda k: str(labels[k]))


def missing_rows(frame: pd.DataFrame) -> str:
    """Say in how many rows a value is missing, and in which columns where there are several."""
    missing = frame.isna().to_numpy()
    text = f"{int(missing.any(axis=1).sum())} rows"
    if frame.shape[1] > 1:
        text += f" of {', '.join(repr(name) for name in frame.columns[missing.any(axis=0)])}"
    return text


def codes_among(
    frame: pd.DataFrame, labels: Sequence[Any], *, argument: str, hides: bool = False
) -> np.ndarray:
    """Return the position of each row's group among `labels`, (n,); others are refused.

    Where `hides`, these are -1.
    """
    groups = group_rows(frame, argument=argument, at_least=0)
    position = {label: code for code, label in enumerate(labels)}
    unseen = [label for label in groups.labels if label not in position]
    if unseen and not hides:
        raise SensitiveFeaturesError(
            f"{argument} has groups that the first fit did not see: "
            f"{', '.join(map(repr, unseen[:5]))}; known are {', '.join(map(repr, position))}. "
            "Leave these rows out, or fit with some of them."
        )
    places = [position.get(label, -1) for label in groups.labels]
    return np.array(places, dtype=np.int64)[groups.codes]


def quantities(frame: pd.DataFrame, *, argument: str) -> np.ndarray:
    """Return continuous columns as float64, (n, Q); what is no finite number is refused."""
    try:
        values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise SensitiveFeaturesError(
            f"{argument} holds values that are no numbers ({error}); give numbers, or call it "
            '"categorical".'
        ) from error
    unusable = ~np.isfinite(values).all(axis=1)
    if unusable.any():
        raise SensitiveFeaturesError(
            f"{argument} has a missing or infinite value in {int(unusable.sum())} rows; drop "
            "these rows."
        )
    return values


def column_kinds(
    frame: pd.DataFrame,
    kinds: object = None,
    *,
    argument: str = "sensitive_features",
    notes: list[Note] | None = None,
    counts: np.ndarray | None = None,
) -> np.ndarray:
    """Return whether each column is continuous: as `kinds` says, else by `_is_quantity`.

    `kinds` has "categorical" or "continuous" by name of column, of which those not named go by
    the rule, or one of these words for each column in order. `notes` takes what there is to warn
    of, which is warned of without it. `counts` (n_rows,) says how many rows each is.
    """
    by_name = _kinds_by_name(kinds, list(frame.columns), argument)
    continuous = np.zeros(frame.shape[1], dtype=bool)
    for j, name in enumerate(frame.columns):
        column, kind = frame.iloc[:, j], by_name.get(name)
        is_quantity = _is_quantity(column, counts)
        continuous[j] = bool(is_quantity) if kind is None else kind == "continuous"
        if kind == "continuous" and is_quantity is None:
            raise SensitiveFeaturesError(
                f"sensitive_kinds calls {name!r} continuous, but {argument} has values there "
                f'that are no numbers (dtype {column.dtype}); give "categorical", or numbers.'
            )
    unnamed = frame.loc[:, continuous & ~np.isin(frame.columns, list(by_name))]
    if sums_to_one(unnamed):
        shown = ", ".join(map(repr, unnamed.columns[:5]))
        text = (
            f"{argument}: the columns {shown} sum to 1 in every row, and are read as quantities. "
            "If they are probabilities of groups, MIBoostingClassifier and FairReweighing read "
            "them as such with sensitive_kinds='probabilities'; figures need the group of each "
            "row."
        )
        if notes is None:
            warn_of([(ColumnWarning, text)], stacklevel=2)
        else:
            notes.append((ColumnWarning, text))
    return continuous


def names_probabilities(kinds: object) -> bool:
    """Whether `sensitive_kinds` calls all columns, or some, probabilities of groups."""
    words = kinds.values() if isinstance(kinds, Mapping) else [kinds]
    return PROBABILITIES in [kind for kind in words if isinstance(kind, str)]


def _kinds_by_name(kinds: object, names: list[Any], argument: str) -> dict[Any, Any]:
    """Return the word for each column that `sensitive_kinds` has one for, checked."""
    if kinds is None:
        return {}
    if isinstance(kinds, Mapping):
        by_name = dict(kinds)
    elif isinstance(kinds, str) or not isinstance(kinds, Sequence | np.ndarray | pd.Series):
        raise SensitiveFeaturesError(
            f"sensitive_kinds={kinds!r} must be a dict by column or a sequence, a word for each "
            "column."
        )
    elif len(kinds) != len(names):
        raise SensitiveFeaturesError(
            f"sensitive_kinds has {len(kinds)} entries, but {argument} has {len(names)} "
            "columns; give one for each."
        )
    else:
        by_name = dict(zip(names, kinds, strict=True))
    for name, kind in by_name.items():
        if name not in names:
            raise SensitiveFeaturesError(
                f"sensitive_kinds names {name!r}, which {argument} does not have; its columns are "
                f"{', '.join(map(repr, names))}."
            )
        is_word = isinstance(kind, str) and kind in ("categorical", "continuous")
        if kind is not None and not is_word:
            raise SensitiveFeaturesError(
                f'sensitive_kinds has {kind!r} for {name!r}; give "categorical" or "continuous".'
            )
    return by_name


def _is_quantity(column: pd.Series, times: np.ndarray | None) -> bool | None:
    """Whether a column holds quantities, not codes of groups; None where it holds no numbers.

    Numbers (not booleans) are quantities where they have more than 20 distinct values. Floats are
    too where they have more than two, of which one is held by a single row or which fewer than 5
    rows hold on average.
    """
    if column.dtype == object:
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind not in NUMBER_KINDS - {"boolean"}:
            return None
        times = None if times is None else times[column.notna()]
        column = pd.to_numeric(column.dropna())
    elif pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_any_real_numeric_dtype(
        column
    ):
        return None
    counts = column.value_counts()
    if times is not None:
        counts = pd.Series(times).groupby(column.to_numpy()).sum()
    if not 2 < len(counts) <= MAX_CATEGORIES:
        return len(counts) > MAX_CATEGORIES
    rare = counts.min() < 2 or counts.mean() < MIN_ROWS_PER_CATEGORY
    return bool(pd.api.types.is_float_dtype(column) and rare)


def sums_to_one(frame: pd.DataFrame) -> bool:
    """Whether two columns of numbers or more are at least 0 and sum to 1 in every row."""
    if frame.shape[1] < 2 or not len(frame):
        return False
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return bool((values >= 0).all() and (np.abs(values.sum(axis=1) - 1) <= TOLERANCE).all())


def binned(
    frame: pd.DataFrame, bins: Any, kinds: Any = None, counts: np.ndarray | None = None
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Cut columns that are quantities into groups, which are pandas' intervals.

    `bins` says how many groups of about as many rows each, or the ends between them, by column in
    a dict; a value that is an end is in the group below it. `kinds` and `counts` are as in
    `column_kinds`.
    Returned with the frame are the columns that were cut, (n_rows,) each, as they were.
    """
    continuous = column_kinds(frame, kinds, counts=counts)
    columns = [str(frame.columns[j]) for j in np.flatnonzero(continuous)]
    frame = frame.copy()
    for j in np.flatnonzero(column_kinds(frame, counts=counts) & ~continuous):  # called groups
        frame.isetitem(j, frame.iloc[:, j].astype(str))
    if isinstance(bins, Mapping) and set(map(str, bins)) - set(columns):
        raise SensitiveFeaturesError(
            f"bins has {list(bins)}, and the continuous columns are {columns}; name these alone."
        )
    values = {}
    for name in columns:
        column = quantities(frame[[name]], argument="sensitive_features")[:, 0]
        own = bins.get(name, 4) if isinstance(bins, Mapping) else bins
        ends = _bin_ends(column, own, counts)
        place = np.searchsorted(ends, column, side="left")
        if len(np.unique(place)) < 2:
            raise SensitiveFeaturesError(
                f"bins={own!r} leaves one group of {name!r}, whose values are "
                f"{column.min():g} to {column.max():g}; give ends between them, or more bins."
            )
        groups = [pd.Interval(low, high) for low, high in pairwise([-np.inf, *ends, np.inf])]
        frame[name] = pd.Series([groups[k] for k in place], dtype=object, index=frame.index)
        values[name] = column
    return frame, values


def lower_quantiles(
    values: np.ndarray, shares: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray:
    """Return quantiles that are values, the lower one of two, where each counts for some rows."""
    if counts is None:
        return np.asarray(np.quantile(values, shares, method="lower"))
    order = np.argsort(values)
    below = np.cumsum(counts[order])
    place = np.floor((below[-1] - 1) * shares)
    return values[order][np.searchsorted(below, place, side="right")]


def _bin_ends(values: np.ndarray, bins: Any, counts: np.ndarray | None) -> np.ndarray:
    if isinstance(bins, int | np.integer) and bins > 1:
        ends = lower_quantiles(values, np.arange(1, int(bins)) / int(bins), counts)
        return np.unique(ends[ends < values.max()])
    try:
        ends = np.asarray(bins, dtype=np.float64)
    except (TypeError, ValueError):
        ends = np.zeros(0)
    if ends.ndim != 1 or not len(ends) or not (np.diff(ends) > 0).all():
        raise SensitiveFeaturesError(
            f"bins={bins!r} is no number of groups, 2 or more, nor a rising sequence of ends."
        )
    return ends
