"""X in any form -> a checked table, or rows of any shape, and its columns.

With them the columns that `sensitive_columns` names, and those that may be read unlike meant.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from fairmi._data.groups import sensitive_frame
from fairmi._data.values import (
    ColumnValues,
    is_dict,
    is_frame,
    named,
    naming,
    plain,
    read_columns,
    to_pandas,
)
from fairmi._typing import TableLike
from fairmi.exceptions import ColumnWarning, Note

Table: TypeAlias = pd.DataFrame | np.ndarray | csr_array
"""What `check_table` returns."""


class ArrayRows(Protocol):
    """Rows of any shape: an ndarray, a file that is mapped, a LazyArray."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and what each is made of."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Kind of the values."""
        ...

    def __getitem__(self, rows: slice | np.ndarray, /) -> ArrayLike:
        """Return some rows."""
        ...


@dataclass(frozen=True)
class Header:
    """The columns of X that a fit saw, as scikit-learn's estimators keep them.

    `name` is what messages call the estimator, and `item_shape` the shape of a row of an X that
    is no table.
    """

    name: str
    n_features: int
    names: np.ndarray | None = None
    item_shape: tuple[int, ...] | None = None

    @property
    def attributes(self) -> dict[str, Any]:
        """What an estimator keeps, by name of attribute."""
        pairs = {"feature_names_in_": self.names, "item_shape_": self.item_shape}
        known = {name: value for name, value in pairs.items() if value is not None}
        return {"n_features_in_": self.n_features} | known

    def of_columns(self, positions: list[int]) -> Header:
        """Return the header of some columns."""
        names = None if self.names is None else self.names[positions]
        return replace(self, n_features=len(positions), names=names)


def check_table(
    name: str, X: object, header: Header | None = None, *, argument: str = "X"
) -> tuple[Table, Header]:
    """Return X as a DataFrame, a float array or a CSR array, and its columns.

    Where `header` is given, width and names must be its own. An array that holds text or dates
    becomes a DataFrame, whose columns each have a kind.
    """
    table = to_pandas(X, argument=argument)
    kind, fix = type(table).__name__, f"pandas.DataFrame({argument})"
    if isinstance(table, pd.Series):
        kind, fix = "pandas.Series, a single column", f"{argument}.to_frame()"
    is_rows = isinstance(table, list | tuple) and len(table) > 0 and is_dict(table[0])
    if is_rows:
        kind = f"{kind} of {type(table[0]).__name__}s"
    if is_rows or is_dict(table) or isinstance(table, pd.Series):
        raise TypeError(f"{argument} is a {kind}; give a table, as in {fix}.")
    # scikit-learn checks on behalf of an estimator, whose class its messages name.
    reader = type(name, (BaseEstimator,), {})()
    if header is not None:
        vars(reader).update(header.attributes)
    with named(argument):
        table = _checked_table(reader, table, reset=header is None)
    return table, Header(name, reader.n_features_in_, getattr(reader, "feature_names_in_", None))


def _checked_table(estimator: BaseEstimator, X: Any, *, reset: bool) -> Table:
    if isinstance(X, pd.DataFrame):
        if not X.columns.is_unique:
            twice = X.columns[X.columns.duplicated()][0]
            raise ValueError(f"X has two columns named {twice!r}; rename one of them.")
        return _checked_frame(estimator, X, reset=reset)
    if getattr(X, "dtype", np.dtype(float)).kind in "mM" and X.ndim == 2:
        return _checked_frame(estimator, pd.DataFrame(X), reset=reset)
    try:
        return validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
        )
    except (ValueError, TypeError) as error:
        frame = _frame_of_objects(X)
        if frame is not None:
            return _checked_frame(estimator, frame, reset=reset)
        text, fault = str(error), naming("X", error)
        if "inhomogeneous" in text or "setting an array element" in text:
            fault = ValueError(
                "X is ragged: its rows differ in length; give each the same columns."
            )
        elif "could not convert" in text:
            fault = ValueError(
                f"X is an array that holds text ({error}); give a DataFrame, whose columns each "
                "have a type, or encode the text first."
            )
        raise fault from error


def _checked_frame(estimator: BaseEstimator, X: pd.DataFrame, *, reset: bool) -> Table:
    try:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
    except TypeError as error:
        raise naming("X", error) from error
    if not X.shape[1]:
        raise ValueError("Found array with 0 feature(s): X has no column; give at least one.")
    if not len(X):
        raise ValueError("Found array with 0 sample(s): X is empty; a minimum of 1 is required.")
    return X


def _frame_of_objects(X: TableLike) -> pd.DataFrame | None:
    """Return rows of text, dates and numbers as a frame, None where they are something else."""
    try:
        objects = X if isinstance(X, np.ndarray) else np.array(X, dtype=object)
        if objects.ndim != 2 or objects.dtype.kind not in "OUS" or not objects.size:
            return None
        columns = [pd.Series(list(column), dtype=object) for column in objects.astype(object).T]
        frame = pd.DataFrame(dict(enumerate(columns)))
        list(read_columns(frame))
    except (ValueError, TypeError):
        return None
    return frame


_VALUES_AT_ONCE = 2**20
_KINDS = "buif"


def as_array_rows(X: object) -> Any:
    """Return X where it is an array of numbers that has rows of any shape, else None.

    An ndarray, memmap or LazyArray is; a frame, a sparse matrix and an array of text are tables.
    """
    rows = plain(X, argument="X")
    if is_frame(rows) or issparse(rows) or is_dict(rows):
        return None
    if not all(hasattr(rows, name) for name in ("shape", "dtype", "ndim", "__getitem__")):
        try:
            rows = np.asarray(rows)
        except ValueError:
            return None  # ragged: refused where it is read as a table
    return rows if rows.ndim >= 2 and rows.dtype.kind in _KINDS else None


def check_array_rows(X: ArrayRows, item_shape: tuple[int, ...] | None = None) -> None:
    """Raise ValueError where rows are none, empty, or of another shape than at fit."""
    if not X.shape[0]:
        raise ValueError("Found array with 0 sample(s): X is empty; a minimum of 1 is required.")
    if 0 in X.shape[1:]:
        raise ValueError(f"X has the shape {X.shape}: its rows are empty; give one value or more.")
    if item_shape is not None and tuple(X.shape[1:]) != tuple(item_shape):
        raise ValueError(
            f"X has rows of shape {tuple(X.shape[1:])}, but at fit they had {tuple(item_shape)}; "
            "give rows of that shape."
        )


def check_finite_rows(X: ArrayRows) -> None:
    """Raise ValueError where a row of floats holds NaN or an infinite value."""
    if X.dtype.kind == "f":
        for _ in blocks_of(X):
            pass


def blocks_of(X: ArrayRows, size: int | None = None) -> Iterator[np.ndarray]:
    """Yield the rows in order, `size` at a time, or as many as have some million values."""
    size = size or max(_VALUES_AT_ONCE // max(math.prod(X.shape[1:]), 1), 1)
    for start in range(0, X.shape[0], size):
        block = np.asarray(X[start : start + size])
        if block.dtype.kind == "f":
            unusable = ~np.isfinite(block).reshape(len(block), -1).all(axis=1)
            if unusable.any():
                row = start + int(unusable.argmax())
                raise ValueError(
                    f"X holds NaN or an infinite value in row {row}; an encoder of your own gets "
                    "rows as they are: fill the gaps, or leave out the row."
                )
        yield block


_MAX_NAMES = 20
# A column names its rows where most values are held by one row each.
_MIN_NAMED_ROWS = 100
_NAMES_SHARE = 0.9
# Text is a number column in disguise where this share of its distinct values are numbers.
_NUMBERS_SHARE = 0.9
_MIN_NUMBERS = 10
_MAX_PARSED = 1_000


def column_positions(
    X: Table, columns: object, *, argument: str = "sensitive_columns"
) -> list[int]:
    """Return the positions of columns of X, (n_columns,); `argument` is what an error names.

    What is the name of a column is that column, integers among names included (a truth or a float
    is no integer); any other integer is a position, from the end where it is negative.
    """
    names = list(X.columns) if isinstance(X, pd.DataFrame) else list(range(X.shape[1]))
    wanted = named_columns(columns)
    if not wanted:
        raise ValueError(f"{argument} is empty; name at least one column of X.")
    known = {(_kind(name), name): j for j, name in reversed(list(enumerate(names)))}
    positions = []
    for column in wanted:
        kind = _kind(column)
        if kind is not None and (kind, column) in known:
            positions.append(known[kind, column])
        elif kind is int and -len(names) <= column < len(names):
            positions.append(int(column) % len(names))
        else:
            shown = ", ".join(map(repr, names[:_MAX_NAMES])) + ", ..." * (len(names) > _MAX_NAMES)
            raise ValueError(
                f"{argument} names {column!r}, which X does not have; its columns are {shown}. "
                "Give names, or positions from 0."
            )
    if len(set(positions)) < len(positions):
        raise ValueError(f"{argument}={columns!r} names a column twice; name each once.")
    return positions


def _kind(name: Hashable) -> type | None:
    """Return what tells True, 1 and 1.0 apart, which are equal; None for what is no name."""
    try:
        hash(name)  # a tuple that holds a list says only now that it has none
    except TypeError:
        return None
    kinds = ((bool | np.bool_, bool), (Integral, int), (Real, float))
    return next((kind for like, kind in kinds if isinstance(name, like)), object)


def named_columns(columns: object) -> list[Any]:
    """Return each of `columns`: a name or position by itself is one."""
    single = isinstance(columns, str) or (isinstance(columns, np.ndarray) and not columns.ndim)
    return list(columns) if isinstance(columns, Iterable) and not single else [columns]


def take_columns(X: Table, positions: list[int]) -> Table:
    """Return some columns of X as X's own kind of table."""
    if isinstance(X, pd.DataFrame):
        return X.iloc[:, positions]
    return X[:, positions] if isinstance(X, np.ndarray) else X.tocsr()[:, positions]


def sensitive_columns_of(
    X: object, columns: object, *, argument: str = "sensitive_columns"
) -> pd.DataFrame:
    """Return columns of X as a frame of sensitive features."""
    table = to_pandas(X)
    table = table if hasattr(table, "shape") else pd.DataFrame(table)
    positions = column_positions(table, columns, argument=argument)
    part = take_columns(table, positions)
    if isinstance(part, pd.DataFrame):
        return sensitive_frame(part)
    part = part if isinstance(part, np.ndarray) else part.toarray()
    return pd.DataFrame(part, columns=positions)


def without_dropped(X: object, kept: list[int], n_columns: int, names: np.ndarray | None) -> Any:
    """Return X without the columns that a fit dropped, which X may have or not.

    `kept` are the positions of those that it kept of `n_columns`, whose `names` were these.
    """
    table = to_pandas(X)
    if isinstance(table, pd.DataFrame) and names is not None:
        dropped = {name for j, name in enumerate(names) if j not in kept}
        stay = [j for j, name in enumerate(table.columns) if name not in dropped]
        return table if len(stay) == table.shape[1] else take_columns(table, stay)
    if not hasattr(table, "shape"):
        try:
            table = np.array(table, dtype=object)
        except ValueError:
            return table  # which is refused where it is read
    has_all = len(table.shape) == 2 and table.shape[1] == n_columns
    return take_columns(table, kept) if has_all else table


def notes_of_columns(X: object) -> list[Note]:
    """Return what to warn of: columns that name rows, or hold numbers as text."""
    notes: list[Note] = []
    for column in read_columns(X):
        if column.values.dtype == object:
            notes += [(ColumnWarning, text) for text in _doubts(column)]
    return notes


def _doubts(column: ColumnValues) -> Iterator[str]:
    name, present = column.name, column.values[~pd.isna(column.values)]
    distinct = pd.unique(present)
    if len(present) >= _MIN_NAMED_ROWS and len(distinct) > _NAMES_SHARE * len(present):
        yield (
            f"Column {name!r} of X has {len(distinct)} distinct values in {len(present)} "
            "rows: it names rows, and tells nothing of others. Drop it, or make features of it."
        )
        return
    distinct = distinct[:_MAX_PARSED]
    # The type of a column of categories says what its user means.
    if column.is_category or not all(isinstance(value, str) for value in distinct):
        return
    words = [value for value in distinct if not _is_number(value)]
    n_numbers = len(distinct) - len(words)
    if n_numbers < _MIN_NUMBERS or n_numbers < _NUMBERS_SHARE * len(distinct):
        return
    why = "numbers as text"
    if words:
        counts = pd.Series(present)[np.isin(present, words)].value_counts()
        # A model keeps this sentence, so that it names no value of one row.
        such = f"{counts.index[0]!r} and the like" if counts.iloc[0] > 1 else "what is no number"
        why = f"numbers as text, because of {such} in {counts.sum()} rows"
    yield (
        f"Column {name!r} of X holds {why}: each is a category. For numbers give "
        f"pandas.to_numeric(X[{name!r}], errors='coerce'); for codes, a categorical column."
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
