"""A table and what says which features are sensitive -> what the encoder reads, and these."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from fairmi._errors import SensitiveFeaturesError
from fairmi._groups import sensitive_frame
from fairmi._inputs import is_frame


def split_off_sensitive(
    X: Any, given: Any, columns: Any, *, drop: bool, argument: str
) -> tuple[Any, pd.DataFrame, str]:
    """Return what the encoder reads of X, the sensitive features, and what errors call these.

    Parameters
    ----------
    X : DataFrame, ndarray or csr_array of shape (n_rows, n_features)
    given : array-like or None
        Sensitive features that were given by themselves.
    columns : str, int, list of these or None
        Columns of X that are the sensitive features.
    drop : bool
        Whether to keep these out of the encoder.
    argument : str
        The name of what `given` is.

    Raises
    ------
    SensitiveFeaturesError
        If both or neither are there, or `drop` has no columns.
    """
    if columns is not None:
        if given is not None:
            raise SensitiveFeaturesError(
                f"{argument} is given, and sensitive_columns={columns!r} too; give one of them."
            )
        features, sensitive = split_columns(X, columns, drop=drop)
        return features, sensitive, f"sensitive_columns={columns!r}"
    if given is None and argument == "sensitive_features_val":
        raise SensitiveFeaturesError(
            "X_val is given without sensitive_features_val; give those of its rows too."
        )
    if given is None:
        raise SensitiveFeaturesError(
            "No sensitive features: give fit(X, y, sensitive_features=...), or name columns "
            "of X in sensitive_columns. To train without the penalty give them and set lam=0."
        )
    if drop:
        raise SensitiveFeaturesError(
            "drop_sensitive=True has no columns to drop: sensitive_columns is None. Name "
            "them there, or drop them from X yourself."
        )
    return X, sensitive_frame(given, argument=argument), argument


def split_columns(X: Any, columns: Any, *, drop: bool) -> tuple[Any, pd.DataFrame]:
    """Return X, without the sensitive columns where `drop`, and these columns as a frame."""
    names = _column_names(X)
    wanted = [columns] if np.ndim(columns) == 0 else list(columns)
    if not wanted:
        raise ValueError("sensitive_columns is empty; name at least one column of X.")
    places = [_place(column, names, len(names)) for column in wanted]
    if is_frame(X):
        sensitive = sensitive_frame(_columns_at(X, places))
    else:
        part = X[:, places]
        part = part.toarray() if hasattr(part, "toarray") else part
        sensitive = pd.DataFrame(part, columns=[names[j] for j in places])
    if drop:
        kept = [j for j in range(len(names)) if j not in places]
        if not kept:
            raise ValueError(
                f"drop_sensitive=True leaves no column of X: sensitive_columns={columns!r} are "
                "all that it has; give more columns, or drop_sensitive=False."
            )
        X = _columns_at(X, kept) if is_frame(X) else X[:, kept]
    return X, sensitive


def _columns_at(X: Any, places: list[int]) -> Any:
    if isinstance(X, pd.DataFrame):
        return X.iloc[:, places]
    frame = nw.from_native(X, eager_only=True)
    return nw.to_native(frame[[frame.columns[j] for j in places]])


def _column_names(X: Any) -> list[Any]:
    if is_frame(X):
        return list(X.columns)
    return list(range(X.shape[1]))


def _place(column: Any, names: list[Any], n_columns: int) -> int:
    is_bool = isinstance(column, bool)
    if column in names and not is_bool:
        return names.index(column)
    if isinstance(column, int | np.integer) and not is_bool and -n_columns <= column < n_columns:
        return int(column) % n_columns
    raise ValueError(
        f"sensitive_columns names {column!r}, which X does not have; its columns are "
        f"{', '.join(map(repr, names[:20]))}{', ...' if len(names) > 20 else ''}."
    )
