"""X of any rank, for an encoder of the user's own: arrays, and rows that are read lazily."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import issparse

from fairmi._data.forms import is_dict, plain
from fairmi._data.tables import is_frame

_VALUES_AT_ONCE = 2**20
_KINDS = "buif"


def as_array_rows(X: Any) -> Any:
    """Return X where it is an array of numbers that has rows of any shape, else None.

    A frame, a sparse matrix and an array of text are tables, and have none.

    Returns
    -------
    ndarray, memmap or LazyArray of shape (n_rows, ...), or None
    """
    X = plain(X, argument="X")
    if is_frame(X) or issparse(X) or is_dict(X):
        return None
    if not _is_lazy(X) and not isinstance(X, np.ndarray):
        try:
            X = np.asarray(X)
        except ValueError:
            return None  # ragged: refused where it is read as a table
    return X if X.ndim >= 2 and X.dtype.kind in _KINDS else None


def check_array_rows(X: Any, item_shape: tuple[int, ...] | None = None) -> None:
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


def check_finite_rows(X: Any) -> None:
    """Raise ValueError where a row of floats holds NaN or an infinite value."""
    if X.dtype.kind == "f":
        for _ in blocks_of(X):
            pass


def blocks_of(X: Any, size: int | None = None) -> Iterator[np.ndarray]:
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
            odd = ~np.isfinite(block).reshape(len(block), -1).all(axis=1)
            if odd.any():
                raise ValueError(
                    f"X holds NaN or an infinite value in row {start + int(odd.argmax())}; an "
                    "encoder of your own gets rows as they are: fill the gaps, or leave out the "
                    "row."
                )
        yield block


def _is_lazy(X: Any) -> bool:
    return all(hasattr(X, name) for name in ("shape", "dtype", "ndim", "__getitem__"))
