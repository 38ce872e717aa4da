"""The checked rows of a fit, encoded; equal rows are one row of the summed weight.

So a weight of 2 is exactly a repeated row, a weight of 0 exactly an absent one, and a fit does
not depend on the order in which rows came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fairmi._data.fit_input import FitInput
from fairmi.core.membership import Membership
from fairmi.preprocessing.table_encoder import Layout, TableEncoder


@dataclass(frozen=True)
class EncodedRows:
    """Distinct rows, n of each.

    `x` has the bin positions of a table (n, n_columns), which `layout` spreads out; of a sparse
    table, whose layout is None, the encoded rows; of rows of any shape what reads them. `codes`
    (n,) are those of classes, or numbers. `origin` (n,) says which row of the fit each was, None
    of rows of any shape, which are all of them.
    """

    x: Any
    codes: np.ndarray
    members: tuple[Membership, ...]
    task_weights: np.ndarray
    penalty_weights: np.ndarray
    layout: Layout | None
    origin: np.ndarray | None = None

    @property
    def n_inputs(self) -> int:
        """Columns that networks read."""
        return int(self.x.shape[1]) if self.layout is None else self.layout.width

    @property
    def totals(self) -> np.ndarray:
        """Rows, and their summed weights in task and penalty, (3,)."""
        return np.array([len(self.codes), self.task_weights.sum(), self.penalty_weights.sum()])


def encode_rows(rows: FitInput, encoder: TableEncoder) -> EncodedRows:
    """Return the distinct rows of a fit, in an order that only their content sets."""
    x = encoder.positions(rows.features)
    # Numbers by rank: a fit does not hang on their unit.
    labels = rows.codes if len(rows.classes) else np.unique(rows.codes, return_inverse=True)[1]
    apart = np.column_stack([labels, *(part.columns for part in rows.members)])
    both = np.column_stack([rows.task_weights, rows.penalty_weights])
    first, weights = merge_rows(x, apart, both)
    return EncodedRows(
        x=x[first],
        codes=rows.codes[first],
        members=tuple(part.take(first) for part in rows.members),
        task_weights=weights[:, 0],
        penalty_weights=weights[:, 1],
        layout=encoder.layout_,
        origin=first,
    )


def merge_rows(
    x: np.ndarray | csr_array, rest: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to keep, in their order, and the weight of each.

    `x` (n_rows, n_encoded) are float32, or CSR, `rest` (n_rows, n_columns) what else tells rows
    apart: label and sensitive columns. Rows whose `weights`, (n_rows,) or (n_rows, n_weights), are
    all 0 are left out.
    """
    # Two independent 64-bit hashes: different rows agree in both with a chance below 1e-18.
    first, second = (hash_rows(x, rest, seed) for seed in (0, 1))
    order = np.lexsort((second, first))
    order = order[weights.reshape(len(weights), -1)[order].any(axis=1)]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(first[order]) != 0) | (np.diff(second[order]) != 0)
    starts = np.flatnonzero(new)
    return order[starts], np.add.reduceat(weights[order], starts, axis=0)


def hash_rows(x: np.ndarray | csr_array, rest: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 bits for each row, (n_rows,) uint64, of what `merge_rows` tells rows apart by."""
    random = np.random.default_rng(seed)
    keys = _odd_numbers(random, x.shape[1])
    with np.errstate(over="ignore"):
        if isinstance(x, csr_array):
            terms = _bits(np.asarray(x.data)) * keys[x.indices]
            sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
            hashed = sums[x.indptr[1:]] - sums[x.indptr[:-1]]
        else:
            hashed = np.zeros(len(x), dtype=np.uint64)
            for column, key in zip(np.asarray(x).T, keys, strict=True):
                hashed += _bits(np.ascontiguousarray(column)) * key
        # A column of float64 bits mixed by itself, so that small codes fill all 64 bits.
        others = (np.ascontiguousarray(rest, dtype=np.float64) + 0.0).view(np.uint64)
        mixed = (others ^ (others >> np.uint64(32))) * _odd_numbers(random, 1)
        return hashed + (
            (mixed ^ (mixed >> np.uint64(29))) * _odd_numbers(random, rest.shape[1])
        ).sum(1)


def _bits(values: np.ndarray) -> np.ndarray:
    # + 0.0 makes -0.0 and 0.0 the same bits.
    return (values.astype(np.float32) + np.float32(0.0)).view(np.uint32).astype(np.uint64)


def _odd_numbers(random: np.random.Generator, size: int) -> Any:
    return random.integers(0, 2**63, size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
