"""How trees grow: all that a run of rounds is set by, with every field resolved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TreeConfig:
    """Settings of the rounds of one phase.

    Parameters
    ----------
    learning_rate : float
        Factor of a tree's values in the first round.
    max_iter : int
        Rounds at most.
    max_leaf_nodes : int
    min_samples_leaf : int
    l2_regularization : float
        Added to the sum of second derivatives of a leaf.
    max_features : float
        Share of the columns that a split may choose among.
    n_threads : int
    """

    learning_rate: float
    max_iter: int
    max_leaf_nodes: int
    min_samples_leaf: int
    l2_regularization: float
    max_features: float
    n_threads: int
