"""X in any form -> a checked table, or rows of any shape, and its columns."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeGuard

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from fairmi._data.values import ColumnValues, read_values
from fairmi._typing import TableLike
from fairmi.exceptions import SensitiveFeaturesError

_MAX_NAMED = 5
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
    _refuse_no_table(table, argument)
    # scikit-learn checks on behalf of an estimator, whose class its messages name.
    reader = type(name, (BaseEstimator,), {})()
    if header is not None:
        vars(reader).update(header.attributes)
    with named(argument):
        table = _checked_table(reader, table, reset=header is None)
    return table, Header(name, reader.n_features_in_, getattr(reader, "feature_names_in_", None))


@contextmanager
def named(argument: str) -> Iterator[None]:
    """Give an error of what is inside the argument's name, if its text doesn't have it."""
    try:
        yield
    except SensitiveFeaturesError:
        raise
    except (ValueError, TypeError) as error:
        named_error = naming(argument, error)
        if named_error is error:
            raise
        raise named_error from error


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
        raise _error_of_array(error) from error


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


def _error_of_array(error: Exception) -> Exception:
    text = str(error)
    if "inhomogeneous" in text or "setting an array element" in text:
        return ValueError("X is ragged: its rows differ in length; give each the same columns.")
    if "could not convert" in text:
        return ValueError(
            f"X is an array that holds text ({error}); give a DataFrame, whose columns each have "
            "a type, or encode the text first."
        )
    return naming("X", error)


def check_indexes(**tables: Any) -> None:
    """Raise ValueError where two pandas arguments are of equal length but disagree on index."""
    for argument in [k for k, v in tables.items() if is_dict(v)]:
        columns = tables.pop(argument)
        tables |= {f"{argument}[{name!r}]": column for name, column in columns.items()}
    pandas = {k: v for k, v in tables.items() if isinstance(v, pd.Series | pd.DataFrame)}
    if not pandas:
        return
    first, *others = pandas
    for other in others:
        if len(pandas[first]) == len(pandas[other]) and not pandas[first].index.equals(
            pandas[other].index
        ):
            raise ValueError(
                f"The indexes of {first} and {other} differ: their rows would be paired by "
                f"position, not by index. Align them first, as in {other}.loc[{first}.index], or "
                f"drop the index with {other}.reset_index(drop=True) on both."
            )


def is_frame(X: object) -> bool:
    """Whether X is a DataFrame of pandas, polars or another library that narwhals knows."""
    return isinstance(nw.from_native(X, eager_only=True, pass_through=True), nw.DataFrame)


def n_rows(X: Any) -> int:
    """Return the number of rows of a table in any form."""
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


def naming(argument: str, error: Exception) -> Exception:
    """Return the error with the argument's name in its text, if it is not there."""
    text = str(error)
    if re.search(rf"\b{argument}\b", text):
        return error
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(f"{argument}: {text}")


def read_columns(
    X: object, *, argument: str = "X", finite: bool = True
) -> Iterator[tuple[str, ColumnValues]]:
    """Yield the columns of a table: numbers and times as float64, all others as objects with None.

    `finite` says whether values that are infinite, or too large for float32, are at fault.

    Raises
    ------
    ValueError
        After the last column: if one holds an infinite value, or one holds what is
        neither a number, a time nor a category (a list). All such columns are named.
    """
    table = to_pandas(X)
    table = table.toarray() if issparse(table) else table
    is_matrix = isinstance(table, np.ndarray) and table.dtype.kind in "biuf"
    if not is_matrix:
        table = pd.DataFrame(table)
    faults: dict[str, str] = {}
    for j in range(table.shape[1]):
        name = str(j) if is_matrix else str(table.columns[j])
        try:
            if is_matrix:
                read = ColumnValues(table[:, j].astype(float))
            else:
                read = read_values(table.iloc[:, j])
            size = 0.0 if read.values.dtype == object else np.abs(read.values)
            if finite and np.any(size > np.finfo(np.float32).max):
                what = (
                    "an infinite value" if np.isinf(size).any() else "a value above 3e38 in size"
                )
                raise ValueError(f"holds {what}")
        except ValueError as error:
            faults[name] = str(error)
        else:
            yield name, read
    raise_faults(faults, argument)


def raise_faults(faults: Mapping[str, str], argument: str = "X") -> None:
    """Raise ValueError that names all columns at fault, and what is wrong with each, if any is."""
    faults = {name: fault for name, fault in faults.items() if fault}
    if not faults:
        return
    shown = [
        f"{name!r} of {argument} {fault}" for name, fault in list(faults.items())[:_MAX_NAMED]
    ]
    more = f"; and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
    fixes = dict.fromkeys(fix for fault, fix in _FIXES if any(fault in f for f in faults.values()))
    columns = "Column" if len(faults) == 1 else f"{len(faults)} columns:"
    raise ValueError(f"{columns} {'; '.join(shown)}{more}. {' '.join(fixes)}".rstrip())


_FIXES = (
    (
        "has dtype",
        "Convert what is no number, time, text or category to one of these, or drop it.",
    ),
    ("holds a", "Replace such a value by a number, or by NaN for a missing one."),
    ("at fit and", "Give each column the type that it had."),
)


def plain(values: object, *, argument: str) -> Any:
    """Return values without a gradient or a mask, and Arrow's as pandas'; others as they are.

    What a mask hides is missing.

    Raises
    ------
    TypeError
        If it is a frame without rows yet, or a tensor that numpy can't read.
    """
    if isinstance(values, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(values)
        if not hidden.any():
            return np.asarray(values.data)
        if values.dtype.kind in "biuf":
            return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
        objects = np.array(values.data, dtype=object)
        objects[hidden] = None
        return objects
    if isinstance(values, np.ndarray | pd.DataFrame | pd.Series):
        return values
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        try:
            return np.asarray(values.detach().cpu().numpy())
        except (TypeError, RuntimeError) as error:
            raise TypeError(
                f"{argument} is a tensor that numpy can't read ({error}); give "
                f"{argument}.to_dense().float()."
            ) from error
    if type(values).__module__.split(".")[0] == "pyarrow" and hasattr(values, "to_pandas"):
        return values.to_pandas()
    if isinstance(nw.from_native(values, pass_through=True), nw.LazyFrame):
        call = "compute" if hasattr(values, "compute") else "collect"
        kind = f"{type(values).__module__.split('.')[0]}.{type(values).__name__}"
        raise TypeError(
            f"{argument} is a {kind}, whose rows are not there yet; give {argument}.{call}()."
        )
    return values


def to_pandas(values: object, *, argument: str = "X") -> Any:
    """Return a frame or Series of any library as pandas' own; others as `plain` does.

    Numbers without a gap keep their type, with one they become float64; categories stay these;
    all else becomes objects.
    """
    if isinstance(values, pd.DataFrame | pd.Series):
        return values
    values = plain(values, argument=argument)
    if isinstance(values, pd.DataFrame | pd.Series | np.ndarray):
        return values
    native = nw.from_native(values, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.Series):
        return _series(native)
    if isinstance(native, nw.DataFrame):
        columns = {name: _series(native[name]) for name in native.columns}
        return pd.DataFrame(columns, index=range(len(native)))
    return values


def _series(column: nw.Series) -> pd.Series:
    dtype, gaps = column.dtype, column.null_count() > 0
    if dtype == nw.Decimal or (dtype.is_numeric() and gaps):
        values: Any = column.cast(nw.Float64).to_numpy().astype(np.float64)
    elif dtype.is_numeric() or (dtype == nw.Boolean and not gaps):
        values = column.to_numpy()
    elif dtype in (nw.Categorical, nw.Enum):
        values = pd.Categorical(column.to_list())
    else:
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_list()
    return pd.Series(values, name=column.name or None)


def is_dict(values: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether values are a dict of columns; a sparse array may be a mapping too."""
    return isinstance(values, Mapping) and not issparse(values)


def _refuse_no_table(values: object, argument: str) -> None:
    """Raise TypeError where a table is a dict of columns, a list of dicts, or a Series."""
    kind, fix = type(values).__name__, f"pandas.DataFrame({argument})"
    if isinstance(values, list | tuple) and values and is_dict(values[0]):
        kind = f"{kind} of {type(values[0]).__name__}s"
    elif isinstance(nw.from_native(values, series_only=True, pass_through=True), nw.Series):
        kind = f"{type(values).__module__.split('.')[0]}.{kind}, a single column"
        fix = f"{argument}.to_frame()"
    elif not is_dict(values):
        return
    raise TypeError(f"{argument} is a {kind}; give a table, as in {fix}.")


_VALUES_AT_ONCE = 2**20
_KINDS = "buif"


def as_array_rows(X: object) -> Any:
    """Return X where it is an array of numbers that has rows of any shape, else None.

    A frame, a sparse matrix and an array of text are tables, and have none.

    Returns
    -------
    ndarray, memmap or LazyArray of shape (n_rows, ...), or None
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
    """Yield the rows in order, `size` at a time, or as many as have some million values.

    Raises
    ------
    ValueError
        If a row holds NaN or an infinite value.
    """
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
