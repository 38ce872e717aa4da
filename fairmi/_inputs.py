"""What a user gives -> checked arrays, before any training: each error names argument and mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d, validate_data

from fairmi._compat import safe_indexing
from fairmi._errors import SensitiveFeaturesError


@dataclass(frozen=True)
class Given:
    """The checked rows of a fit, n of each; `argument` is what an error calls `sensitive`."""

    features: Any
    y: np.ndarray
    weights: np.ndarray
    sensitive: pd.DataFrame
    argument: str
    penalty_weights: np.ndarray

    def counted(self) -> Given:
        """Return the rows whose weights are not both 0."""
        counts = (self.weights > 0) | (self.penalty_weights > 0)
        if counts.all():
            return self
        rows = np.flatnonzero(counts)
        return replace(
            self,
            features=safe_indexing(self.features, rows),
            y=self.y[rows],
            weights=self.weights[rows],
            sensitive=self.sensitive.iloc[rows].reset_index(drop=True),
            penalty_weights=self.penalty_weights[rows],
        )


def check_table(estimator: BaseEstimator, X: Any, *, reset: bool, argument: str = "X") -> Any:
    """Return X as a DataFrame, a float array or a CSR array, its width and names checked."""
    with named(argument):
        return _checked_table(estimator, X, reset=reset)


@contextmanager
def named(argument: str) -> Iterator[None]:
    """Give an error of what is inside the argument's name, if its text doesn't have it."""
    try:
        yield
    except SensitiveFeaturesError:
        raise
    except (ValueError, TypeError) as error:
        named_error = _naming(argument, error)
        if named_error is error:
            raise
        raise named_error from error


def _checked_table(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    _check_unique_names(X)
    if is_frame(X):
        try:
            # Which frames' names are read differs between versions of scikit-learn: pandas' are.
            header = X if isinstance(X, pd.DataFrame) else pd.DataFrame(columns=list(X.columns))
            validate_data(estimator, header, reset=reset, skip_check_array=True)
        except TypeError as error:
            raise _naming("X", error) from error
        if not X.shape[1]:
            raise ValueError("Found array with 0 feature(s): X has no column; give at least one.")
        if not len(X):
            raise ValueError(
                "Found array with 0 sample(s): X is empty; a minimum of 1 is required."
            )
        return X
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
        if "could not convert" not in str(error):
            raise _naming("X", error) from error
        raise ValueError(
            f"X is an array that holds text ({error}); give a DataFrame, whose columns each have "
            "a type, or encode the text first."
        ) from error


def check_labels(
    estimator: BaseEstimator, X: Any, y: Any, argument: str = "y", table: str = "X"
) -> np.ndarray:
    """Return y as a 1-d array without missing values, as long as X."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target "
            f"{argument} is None."
        )
    try:
        y = column_or_1d(plain_series(y), warn=True)
    except (ValueError, TypeError) as error:
        raise _naming(argument, error) from error
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name=argument)
    elif pd.isna(y).any():
        raise ValueError(
            f"Input {argument} contains NaN in {int(pd.isna(y).sum())} rows; drop the rows "
            "without a label."
        )
    if len(y) != n_rows(X):
        raise ValueError(
            f"{argument} has {len(y)} rows, but {table} has {n_rows(X)}; "
            f"give one label for each row of {table}."
        )
    try:
        check_classification_targets(y)
    except (ValueError, TypeError) as error:
        raise _naming(argument, error) from error
    return y


@contextmanager
def all_or_nothing(estimator: BaseEstimator) -> Iterator[None]:
    """Give the estimator its attributes back where an error ends a fit."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def check_architecture(wanted: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Raise ValueError where a fit that goes on would need other networks than there are."""
    for name, value in wanted.items():
        if name != "dropout" and value != fitted[name]:
            parameter = "n_estimators" if name == "n_models" else name
            raise ValueError(
                f"This fit goes on from networks of {parameter}={fitted[name]!r}, but the "
                f"parameters now ask for {value!r}; set them back, or fit anew with "
                "warm_start=False."
            )


def check_callbacks(callbacks: Any) -> None:
    """Raise ValueError where a callback can't be called."""
    for callback in callbacks or ():
        if not callable(callback):
            raise ValueError(f"callbacks holds {callback!r}, which can't be called; drop it.")


def check_layer_sizes(sizes: Any) -> None:
    """Raise ValueError where a hidden layer's size is not a positive integer."""
    for size in sizes:
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"hidden_layer_sizes={sizes!r} holds {size!r}; give positive integers: (128,)."
            )


def check_lam(lam: Any) -> None:
    """Raise ValueError where a dict of λ by column is empty or holds no finite number >= 0."""
    if lam == {}:
        raise ValueError("lam={} names no sensitive feature; give a number, or λ for each.")
    for name, value in lam.items() if isinstance(lam, dict) else ():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not 0 <= float(value) < np.inf:
            raise ValueError(f"lam has {value!r} for {name!r}; give a finite number >= 0.")


def check_indexes(**tables: Any) -> None:
    """Raise ValueError where two pandas arguments are of equal length but disagree on index."""
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


def _naming(argument: str, error: Exception) -> Exception:
    """Return the error with the argument's name in its text, if it is not there."""
    text = str(error)
    if re.search(rf"\b{argument}\b", text):
        return error
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(f"{argument}: {text}")


def plain_series(y: Any) -> Any:
    """Return a Series of any library as an array of values that numpy knows, if it can be one."""
    if isinstance(y, pd.api.extensions.ExtensionArray):
        y = pd.Series(y)
    native = nw.from_native(y, series_only=True, pass_through=True)
    if isinstance(y, pd.Series) and not isinstance(y.dtype, np.dtype):
        return y.to_numpy(dtype=object) if y.isna().any() else np.array(y.tolist())
    if isinstance(native, nw.Series) and not isinstance(y, pd.Series):
        values = native.to_list()
        return np.array(values, dtype=object if None in values else None)
    return y
