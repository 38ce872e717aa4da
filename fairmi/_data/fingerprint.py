"""A fingerprint of the rows of a fit, by which an audit can tell that it is given them again."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import csr_array, issparse
from scipy.special import bdtrc

from fairmi._data.tables import is_frame

FINGERPRINT = "training_fingerprint_"  # attribute of a fitted classifier
MAX_HASHES = 1000
ROWS_AT_ONCE = 8192
BY_CHANCE = float(np.exp(-1))
SURE = 1e-4  # a finding as clear by chance is rarer than this


def row_hashes(X: Any, y: np.ndarray, blocks: Iterable[np.ndarray] | None = None) -> np.ndarray:
    """Return a 64-bit hash of each row of X with its label, the same in any form and process.

    A sum over columns of the value's bits times an odd number of the column, so that a zero adds
    nothing and a sparse table needn't be filled. Text adds the hash of its letters.

    Parameters
    ----------
    X : DataFrame, ndarray or sparse array of shape (n_rows, n_columns), or rows of any shape
    y : ndarray of shape (n_rows,)
    blocks : iterable of ndarray, default=None
        The rows of X in order, in place of X.

    Returns
    -------
    ndarray of uint64 of shape (n_rows,)
    """
    width = math.prod(X.shape[1:])
    factors = _mixed(np.arange(1, width + 2, dtype=np.uint64)) | np.uint64(1)
    if issparse(X):
        total = _sparse_sums(csr_array(X), factors)
    elif is_frame(X):
        total = np.zeros(len(y), dtype=np.uint64)
        for values, factor in zip(_columns(X), factors[:-1], strict=True):
            total += _bits(values) * factor
    else:
        rows = (block.reshape(len(block), -1) for block in blocks or _blocks(X))
        total = np.concatenate([_bits(row) @ factors[:-1] for row in rows])
    return _mixed(total + _bits(np.asarray(y)) * factors[-1])


def fingerprint(hashes: np.ndarray) -> np.ndarray:
    """Return the smallest hashes, sorted, of rows that have no equal: at most 1,000 of them."""
    values, counts = np.unique(hashes, return_counts=True)
    return values[counts == 1][:MAX_HASHES]


def merged(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the fingerprint of the rows of two."""
    return np.unique(np.concatenate([first, second]))[:MAX_HASHES]


def share_seen(hashes: np.ndarray, known: np.ndarray) -> float:
    """Return the share of rows that a fingerprint knows, 0.0 where that may be chance.

    Compared are rows without an equal whose hash is small enough to be in the fingerprint: a
    random part of them. Of fresh rows from the same population, at most 1 / e are known, however
    often values recur: one that is expected m times in the training rows is there exactly once
    with probability m exp(-m).
    """
    values, counts = np.unique(hashes, return_counts=True)
    alone = values[counts == 1]
    if len(known) >= MAX_HASHES:
        alone = alone[alone <= known[-1]]
    seen = int(np.isin(alone, known).sum())
    by_chance = seen > 0 and bdtrc(seen - 1, len(alone), BY_CHANCE) > SURE
    return 0.0 if not seen or by_chance else seen / len(alone)


def _columns(X: Any) -> Iterator[np.ndarray]:
    """Yield the columns of a frame of any type: numbers as floats, all else as objects."""
    if isinstance(X, pd.DataFrame):
        for j, dtype in enumerate(X.dtypes):
            number = pd.api.types.is_any_real_numeric_dtype(dtype) or dtype in ("bool", "boolean")
            column = X.iloc[:, j]
            yield column.to_numpy(np.float64, na_value=np.nan) if number else _objects(column)
        return
    frame = nw.from_native(X, eager_only=True)
    for name in frame.columns:
        number = frame[name].dtype.is_numeric() or frame[name].dtype == nw.Boolean
        yield (
            frame[name].cast(nw.Float64).to_numpy().astype(np.float64)
            if number
            else _objects(frame[name].to_list())
        )


def _objects(values: Any) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = list(values)
    return found


def _factorized(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and distinct values of objects, those without a hash by their text."""
    try:
        return pd.factorize(values, use_na_sentinel=True)
    except TypeError:  # asked of each value only where one has none
        texts = _objects([v if isinstance(v, Hashable) else str(v) for v in values])
        return pd.factorize(texts, use_na_sentinel=True)


def _blocks(X: Any) -> Iterator[np.ndarray]:
    array = np.asarray(X)
    for start in range(0, len(array), ROWS_AT_ONCE):
        yield array[start : start + ROWS_AT_ONCE]


def _bits(values: np.ndarray) -> np.ndarray:
    """Return numbers, or text and other objects, as 64 bits; 0 for zero."""
    if values.dtype == np.uint8:
        return _bits(np.arange(256.0))[values]
    if values.dtype.kind in "biuf":
        number = values.astype(np.float64) + 0.0  # -0.0 becomes 0.0
        number[np.isnan(number)] = np.nan
        bits = number.view(np.uint64)
        return bits ^ (bits >> np.uint64(32))
    codes, kinds = _factorized(values.astype(object))
    texts = np.array([str(kind) for kind in kinds], dtype=object)
    missing = _bits(np.array([np.nan]))
    return np.concatenate([pd.util.hash_array(texts, categorize=False), missing])[codes]


def _sparse_sums(X: csr_array, factors: np.ndarray) -> np.ndarray:
    added = _bits(X.data) * factors[X.indices]
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(added, dtype=np.uint64)])
    return sums[X.indptr[1:]] - sums[X.indptr[:-1]]


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return values with every bit spread over all (the finaliser of SplitMix64).

    References
    ----------
    G. L. Steele, D. Lea, C. H. Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA
    2014, doi:10.1145/2660193.2660195.
    """
    mixed = values.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
