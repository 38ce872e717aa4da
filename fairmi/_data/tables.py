"""A table as a user gives it -> a checked one, and its columns as numbers or objects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from fairmi._data.forms import is_dict, plain, refuse_no_table, to_pandas
from fairmi._data.values import ColumnValues, read_values
from fairmi.exceptions import SensitiveFeaturesError

_MAX_NAMED = 5


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
    name: str, X: Any, header: Header | None = None, *, argument: str = "X"
) -> tuple[Any, Header]:
    """Return X as a DataFrame, a float array or a CSR array, and its columns.

    Where `header` is given, width and names must be its own. An array that holds text or dates
    becomes a DataFrame, whose columns each have a kind.
    """
    X = to_pandas(plain(X, argument=argument))
    refuse_no_table(X, argument)
    # scikit-learn checks on behalf of an estimator, whose class its messages name.
    reader = type(name, (BaseEstimator,), {})()
    if header is not None:
        vars(reader).update(header.attributes)
    with named(argument):
        X = _checked_table(reader, X, reset=header is None)
    return X, Header(name, reader.n_features_in_, getattr(reader, "feature_names_in_", None))


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


def _checked_table(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    _check_unique_names(X)
    if isinstance(X, pd.DataFrame):
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
        raise _told_of_array(error) from error


def _checked_frame(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    try:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
    except TypeError as error:
        raise naming("X", error) from error
    if not X.shape[1]:
        raise ValueError("Found array with 0 feature(s): X has no column; give at least one.")
    if not len(X):
        raise ValueError("Found array with 0 sample(s): X is empty; a minimum of 1 is required.")
    return X


def _frame_of_objects(X: Any) -> pd.DataFrame | None:
    """Return rows of text, dates and numbers as a frame, None where they are something else."""
    try:
        objects = X if isinstance(X, np.ndarray) else np.array(X, dtype=object)
        if objects.ndim != 2 or objects.dtype.kind not in "OUS" or not objects.size:
            return None
        frame = pd.DataFrame(
            {
                j: pd.Series(list(column), dtype=object)
                for j, column in enumerate(objects.astype(object).T)
            }
        )
        list(read_columns(frame))
    except (ValueError, TypeError):
        return None
    return frame


def _told_of_array(error: Exception) -> Exception:
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


def is_frame(X: Any) -> bool:
    """Whether X is a DataFrame of pandas, polars or another library that narwhals knows."""
    return isinstance(nw.from_native(X, eager_only=True, pass_through=True), nw.DataFrame)


def n_rows(X: Any) -> int:
    """Return the number of rows of a table in any form."""
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


def _check_unique_names(X: Any) -> None:
    if isinstance(X, pd.DataFrame) and not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()][0]
        raise ValueError(f"X has two columns named {twice!r}; rename one of them.")


def naming(argument: str, error: Exception) -> Exception:
    """Return the error with the argument's name in its text, if it is not there."""
    text = str(error)
    if re.search(rf"\b{argument}\b", text):
        return error
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(f"{argument}: {text}")


def read_columns(
    X: Any, *, argument: str = "X", finite: bool = True
) -> Iterator[tuple[str, ColumnValues]]:
    """Yield the columns of a table: numbers and times as float64, all others as objects with None.

    `finite` says whether values that are infinite, or too large for float32, are at fault.

    Raises
    ------
    ValueError
        After the last column: if one holds an infinite value, or one holds what is
        neither a number, a time nor a category (a list). All such columns are named.
    """
    faults: dict[str, str] = {}
    for name, column in _raw_columns(X):
        try:
            read = ColumnValues(column) if isinstance(column, np.ndarray) else read_values(column)
            if finite:
                _check_finite(read.values)
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


def _raw_columns(X: Any) -> Iterator[tuple[str, Any]]:
    X = X.toarray() if issparse(X) else to_pandas(X)
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        yield from ((str(j), X[:, j].astype(float)) for j in range(X.shape[1]))
    else:
        X = pd.DataFrame(X)
        yield from ((str(X.columns[j]), X.iloc[:, j]) for j in range(X.shape[1]))


def _check_finite(values: np.ndarray) -> None:
    if values.dtype != object and (np.abs(values) > np.finfo(np.float32).max).any():
        infinite = np.isinf(values).any()
        raise ValueError(
            f"holds {'an infinite value' if infinite else 'a value above 3e38 in size'}"
        )
