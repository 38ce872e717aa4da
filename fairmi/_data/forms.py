"""What a user hands over -> what numpy and pandas read: gradients, masks, Arrow, lazy frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse

_LARGEST = np.finfo(np.float32).max


def plain(values: Any, *, argument: str) -> Any:
    """Return values without a gradient or a mask, and Arrow's as pandas'; others as they are.

    What a mask hides is missing.

    Raises
    ------
    TypeError
        If it is a frame without rows yet, or a tensor that numpy can't read.
    """
    if isinstance(values, np.ma.MaskedArray):
        return _filled(values)
    if isinstance(values, np.ndarray | pd.DataFrame | pd.Series):
        return values
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        return _array_of_tensor(values, argument)
    if type(values).__module__.split(".")[0] == "pyarrow" and hasattr(values, "to_pandas"):
        return values.to_pandas()
    if isinstance(nw.from_native(values, pass_through=True), nw.LazyFrame):
        call = "compute" if hasattr(values, "compute") else "collect"
        kind = f"{type(values).__module__.split('.')[0]}.{type(values).__name__}"
        raise TypeError(
            f"{argument} is a {kind}, whose rows are not there yet; give {argument}.{call}()."
        )
    return values


def without_infinite(X: Any) -> Any:
    """Return a table with NaN in place of what float32 can't hold."""
    X = plain(X, argument="X")
    if issparse(X):
        X = X.astype(np.float64)
        X.data[np.abs(X.data) > _LARGEST] = np.nan
        return X
    native = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(native, nw.DataFrame):
        frame = native.to_pandas()
        large = {j: frame.iloc[:, j] for j, dtype in enumerate(frame.dtypes) if dtype.kind == "f"}
        kept = {j: column.where(column.abs() <= _LARGEST) for j, column in large.items()}
        columns = [kept.get(j, frame.iloc[:, j]) for j in range(frame.shape[1])]
        return pd.concat(columns, axis=1) if kept else frame
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.dtype.kind != "f":
        return X
    return np.where(np.abs(array) > _LARGEST, np.nan, array)


def is_dict(values: Any) -> bool:
    """Whether values are a dict of columns; a sparse array may be a mapping too."""
    return isinstance(values, Mapping) and not issparse(values)


def refuse_dict(values: Any, argument: str) -> None:
    """Raise TypeError where a table is a dict of columns."""
    if is_dict(values):
        raise TypeError(
            f"{argument} is a {type(values).__name__}; give a table, as in "
            f"pandas.DataFrame({argument})."
        )


def _filled(values: np.ma.MaskedArray) -> np.ndarray:
    if not np.ma.getmaskarray(values).any():
        return np.asarray(values.data)
    if values.dtype.kind in "biuf":
        return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
    objects = np.array(values.data, dtype=object)
    objects[np.ma.getmaskarray(values)] = None
    return objects


def _array_of_tensor(values: Any, argument: str) -> np.ndarray:
    try:
        return np.asarray(values.detach().cpu().numpy())
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{argument} is a tensor that numpy can't read ({error}); give "
            f"{argument}.to_dense().float()."
        ) from error
