"""What a user hands over -> what numpy and pandas read: gradients, masks, Arrow, lazy frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse


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


def to_pandas(values: Any) -> Any:
    """Return a frame or Series of any library as pandas' own; others as they are.

    Numbers without a gap keep their type, with one they become float64; categories stay these;
    all else becomes objects.
    """
    if isinstance(values, pd.DataFrame | pd.Series):
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


def is_dict(values: Any) -> bool:
    """Whether values are a dict of columns; a sparse array may be a mapping too."""
    return isinstance(values, Mapping) and not issparse(values)


def refuse_no_table(values: Any, argument: str) -> None:
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
