"""Grown trees as plain arrays, and the scores that they give to rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from fairmi._sklearn_compat import NODE, TreePredictor
from fairmi._threads import threads_for

_WORDS = 8  # of 32 bits each that hold a set of categories


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
            scores[:, t % n_scores] += self._tree(t).predict(x, known, place, n_threads)
        return scores

    def _tree(self, t: int) -> TreePredictor:
        nodes = self.nodes[self.first_node[t] : self.first_node[t + 1]]
        left = self.left_categories[self.first_split[t] : self.first_split[t + 1]]
        return TreePredictor(nodes, left, left)

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
