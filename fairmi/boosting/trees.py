"""Columns in bins of a byte each, a round grown on a gradient, and trees as plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from fairmi._sklearn_compat import NODE, TreeGrower, TreePredictor, add_leaves
from fairmi._threads import threads_for

_ROWS_OF_QUANTILES = 200_000
_BITS = 24  # of the integers that float32 holds exactly
_WORDS = 8  # of 32 bits each that hold a set of categories


@dataclass(frozen=True)
class TreeConfig:
    """Settings of the rounds of one phase, at most `max_iter`.

    `learning_rate` is the factor of a tree's values in the first round, `l2_regularization` is
    added to the sum of second derivatives of a leaf, and `max_features` is the share of the
    columns that a split may choose among. Of a base, `n_held_out` of `n_folds` are held out, each
    in turn, to choose the number of rounds; with `out_of_fold`, which needs all to be, the scores
    of a row are those of trees that did not see it.
    """

    learning_rate: float
    max_iter: int
    max_leaf_nodes: int
    min_samples_leaf: int
    l2_regularization: float = 0.0
    max_features: float = 1.0
    n_threads: int = 1
    n_folds: int = 0
    n_held_out: int = 0
    out_of_fold: bool = False


@dataclass(frozen=True)
class Binned:
    """The rows of a fit in bins.

    `codes` (n, p) uint8 in column order: a missing value has the code `max_bins`. `ends` has for
    each numeric column the upper ends of its bins but the last, and for each categorical one the
    codes of its categories.
    """

    codes: np.ndarray
    ends: tuple[np.ndarray, ...]
    n_categories: np.ndarray
    max_bins: int

    @property
    def n_bins(self) -> np.ndarray:
        """Bins of each column, that of missing values left out, (p,) uint32."""
        sizes = np.array([len(ends) for ends in self.ends])
        return np.where(self.n_categories > 0, sizes, sizes + 1).astype(np.uint32)

    @property
    def has_missing(self) -> np.ndarray:
        """Whether a column has missing values, (p,) uint8."""
        return (self.codes == self.max_bins).any(axis=0).astype(np.uint8)

    def take(self, index: np.ndarray) -> Binned:
        """Return the rows of an index."""
        return replace(self, codes=np.asfortranarray(self.codes[index]))

    def columns(self, index: np.ndarray) -> Binned:
        """Return the columns of an index."""
        ends = tuple(self.ends[j] for j in index)
        codes = np.asfortranarray(self.codes[:, index])
        return replace(self, codes=codes, ends=ends, n_categories=self.n_categories[index])


def bin_rows(
    x: np.ndarray,
    n_categories: np.ndarray,
    weights: np.ndarray,
    max_bins: int,
    rng: np.random.Generator,
) -> Binned:
    """Bin rows x (n, p), with about as much weight in each bin; few values get a bin each.

    NaN is a missing value, which has a bin beside the `max_bins`, 2 to 255. Columns of
    `n_categories` (p,), 0 for a numeric one, have codes 0, 1, ... `rng` draws the rows whose
    quantiles are taken, where there are more than 200,000.
    """
    drawn, drawn_weights = x, weights
    if len(x) > _ROWS_OF_QUANTILES:
        index = rng.choice(len(x), _ROWS_OF_QUANTILES, replace=False)
        drawn, drawn_weights = x[index], weights[index]
    codes = np.empty(x.shape, dtype=np.uint8, order="F")
    ends = []
    for j, n in enumerate(n_categories):
        column = np.ascontiguousarray(x[:, j])
        missing = np.isnan(column)
        if n:
            ends.append(np.arange(n, dtype=np.float64))
            place = np.where(missing, 0, column)
        else:
            ends.append(_ends(drawn[:, j], drawn_weights, max_bins))
            place = np.searchsorted(ends[j], column)
        codes[:, j] = np.where(missing, max_bins, place)
    return Binned(codes, tuple(ends), np.asarray(n_categories), max_bins)


def _ends(column: np.ndarray, weights: np.ndarray, max_bins: int) -> np.ndarray:
    """Return the upper ends of a column's bins but the last."""
    present = ~np.isnan(column) & (weights > 0)
    values, position = np.unique(column[present], return_inverse=True)
    if len(values) > max_bins:
        total = np.cumsum(np.bincount(position, weights=weights[present]))
        shares = np.linspace(0, total[-1], max_bins + 1)[1:-1]
        last = np.unique(np.searchsorted(total, shares))
        last = last[last < len(values) - 1]
    else:
        last = np.arange(len(values) - 1)
    return values[last] + (values[last + 1] - values[last]) / 2


class Grower:
    """Grows trees on the rows of a fit; `rng` draws the columns that a split may choose among."""

    def __init__(self, rows: Binned, config: TreeConfig, rng: np.random.Generator) -> None:
        self.rows, self.config = rows, config
        self._fixed = {
            "n_bins": rows.max_bins + 1,
            "n_bins_non_missing": rows.n_bins,
            "has_missing_values": rows.has_missing,
            "is_categorical": (rows.n_categories > 0).astype(np.uint8),
            "max_leaf_nodes": config.max_leaf_nodes,
            "min_samples_leaf": config.min_samples_leaf,
            "l2_regularization": config.l2_regularization,
            "feature_fraction_per_split": config.max_features,
            "rng": rng,
            "n_threads": config.n_threads,
        }

    def round(
        self,
        gradient: np.ndarray,
        hessian: np.ndarray,
        scores: np.ndarray,
        rate: float,
        best: Callable[[np.ndarray], float] | None = None,
    ) -> list[TreePredictor]:
        """Grow a tree for each column of `scores` (n, K), add it to them, and return all.

        `gradient` and `hessian` are of that shape; `rate` is the factor of a tree's values. These
        are steps by the derivatives, or `best` of the rows of a leaf.
        """
        trees = []
        for k in range(scores.shape[1]):
            grower = TreeGrower(
                X_binned=self.rows.codes,
                gradients=exact(gradient[:, k]),
                hessians=exact(hessian[:, k]),
                shrinkage=rate,
                **self._fixed,
            )
            grower.grow()
            if best is not None:
                for leaf in grower.finalized_leaves:
                    leaf.value = rate * best(leaf.sample_indices)
            add_leaves(scores[:, k], grower, self.config.n_threads)
            trees.append(grower.make_predictor(binning_thresholds=self.rows.ends))
        return trees


def exact(values: np.ndarray) -> np.ndarray:
    """Return values in float32, rounded to multiples of one power of two.

    Sums of up to 2**29 of them are exact in float64, so that neither the order of rows nor the
    number of threads changes a tree.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return values.astype(np.float32)
    step = np.ldexp(1.0, int(np.frexp(largest)[1]) - _BITS)
    return (np.rint(values / step) * step).astype(np.float32)


@dataclass(frozen=True)
class Trees:
    """T trees for K scores, tree t adding to score t mod K, on top of `start`.

    Attributes
    ----------
    nodes : ndarray of shape (n_nodes,), structured
        The nodes of all trees, one tree after the other.
    first_node : ndarray of shape (T + 1,), int64
        Where each tree's nodes begin.
    left_categories : ndarray of shape (n_categorical_splits, 8), uint32
        Bits of the categories that go left, of all trees.
    first_split : ndarray of shape (T + 1,), int64
        Where each tree's categorical splits begin.
    start : ndarray of shape (K,), float64
        The score of a row before any tree.
    n_categories : ndarray of shape (p,), int64
        Categories of each column, 0 for a numeric one.
    """

    nodes: np.ndarray
    first_node: np.ndarray
    left_categories: np.ndarray
    first_split: np.ndarray
    start: np.ndarray
    n_categories: np.ndarray

    @property
    def n_rounds(self) -> int:
        """Trees of each score."""
        return (len(self.first_node) - 1) // len(self.start)

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of rows x (n, p) float64, (n, K); unknown codes must be NaN."""
        n_scores = len(self.start)
        scores = np.tile(self.start, (len(x), 1))
        known, place = _known_categories(self.n_categories)
        n_threads = threads_for(len(x))
        for t in range(len(self.first_node) - 1):
            nodes = self.nodes[self.first_node[t] : self.first_node[t + 1]]
            left = self.left_categories[self.first_split[t] : self.first_split[t + 1]]
            tree = TreePredictor(nodes, left, left)
            scores[:, t % n_scores] += tree.predict(x, known, place, n_threads)
        return scores

    def then(self, others: Trees) -> Trees:
        """Return these trees with those of `others` after them, and both starts summed."""
        return Trees(
            np.concatenate([self.nodes, others.nodes]),
            np.concatenate([self.first_node, self.first_node[-1] + others.first_node[1:]]),
            np.concatenate([self.left_categories, others.left_categories]),
            np.concatenate([self.first_split, self.first_split[-1] + others.first_split[1:]]),
            self.start + others.start,
            self.n_categories,
        )

    def part_of(self, columns: np.ndarray, n_categories: np.ndarray, n_parts: int) -> Trees:
        """Return one of `n_parts` of a mean, that reads some columns of a wider table.

        `columns` (p,) says where that table has them, `n_categories` (q,) those of all its
        columns.
        """
        nodes = self.nodes.copy()
        nodes["feature_idx"] = columns[nodes["feature_idx"]]
        nodes["value"] /= n_parts
        return replace(self, nodes=nodes, start=self.start / n_parts, n_categories=n_categories)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def trees_of(grown: Sequence[TreePredictor], start: np.ndarray, n_categories: np.ndarray) -> Trees:
    """Return grown trees, those of a round side by side, as plain arrays."""
    nodes = [tree.nodes for tree in grown]
    splits = [np.asarray(tree.raw_left_cat_bitsets).reshape(-1, _WORDS) for tree in grown]
    empty = np.zeros((0, _WORDS), dtype=np.uint32)
    return Trees(
        np.concatenate([np.zeros(0, NODE), *nodes]),
        _starts(nodes),
        np.concatenate([empty, *splits]),
        _starts(splits),
        np.asarray(start, dtype=np.float64),
        np.asarray(n_categories, dtype=np.int64),
    )


def _starts(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)


def _known_categories(n_categories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bits of the codes that a categorical column has, and each column's row of them."""
    categorical = np.flatnonzero(n_categories)
    codes = np.arange(32 * _WORDS)
    bits = codes < n_categories[categorical, None]
    words = np.left_shift(1, codes % 32) * bits
    known = words.reshape(len(categorical), _WORDS, 32).sum(-1).astype(np.uint32)
    place = np.zeros(len(n_categories), dtype=np.uint32)
    place[categorical] = np.arange(len(categorical))
    return known, place
