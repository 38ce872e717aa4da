"""How trees grow: all that a training is set by, with every field resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The base: small steps, as many as held-out rows ask for.
_BASE_RATE, _BASE_ROUNDS, _BASE_MIN_ROWS = 0.06, 400, 20
_BASE_LEAVES = (8, 16)
_N_FOLDS = 5
# Distinct rows below which each fold is held out to choose the rounds of the base, and below which
# one is; on more they are 200.
_MIN_ROWS_OF_ONE, _MIN_ROWS_OF_NONE = 20_000, 100_000
_ROUNDS_WITHOUT_FOLDS = 200
_LEAF_SHARE = 0.01
# Rounds under the penalty; on few rows they are cheap, and the groups may need to move far.
_ROUNDS, _ROUNDS_OF_FEW_ROWS, _FEW_ROWS = 100, 300, 10_000


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


@dataclass(frozen=True)
class BoostingConfig:
    """Settings of a training: of the base, and of the rounds that debias it.

    Of `n_folds` of the rows, `n_held_out` are held out in turn to choose the rounds of the base;
    where `out_of_fold`, these give the scores that the penalty starts from too.
    """

    base: TreeConfig
    n_folds: int
    n_held_out: int
    out_of_fold: bool
    rounds: TreeConfig
    n_levels: int
    seed: int


def boosting_config(
    parameters: Mapping[str, Any], *, n_rows: int, n_threads: int, seed: int
) -> BoostingConfig:
    """Return the settings that a classifier's parameters come to on `n_rows` distinct rows."""
    shared: dict[str, Any] = {
        "l2_regularization": float(parameters["l2_regularization"]),
        "max_features": float(parameters["max_features"]),
        "n_threads": n_threads,
    }
    few = min(_BASE_MIN_ROWS, max(n_rows // 20, 1))
    in_leaf, max_iter = parameters["min_samples_leaf"], parameters["max_iter"]
    if max_iter == "auto":
        max_iter = _ROUNDS_OF_FEW_ROWS if n_rows < _FEW_ROWS else _ROUNDS
    # What a base learned of y by heart hides what it tells of the groups of a class.
    out_of_fold = parameters["constraint"] != "demographic_parity"
    n_folds = 2 if out_of_fold and n_rows >= _MIN_ROWS_OF_NONE else _N_FOLDS
    n_held_out = n_folds if n_rows < _MIN_ROWS_OF_ONE or out_of_fold else 1
    if n_rows >= _MIN_ROWS_OF_NONE and not out_of_fold:
        n_held_out = 0
    return BoostingConfig(
        base=TreeConfig(
            learning_rate=_BASE_RATE,
            max_iter=_BASE_ROUNDS if n_rows < _MIN_ROWS_OF_NONE else _ROUNDS_WITHOUT_FOLDS,
            max_leaf_nodes=_BASE_LEAVES[n_rows >= _FEW_ROWS],
            min_samples_leaf=few,
            **shared,
        ),
        n_folds=n_folds,
        n_held_out=n_held_out,
        out_of_fold=out_of_fold,
        rounds=TreeConfig(
            learning_rate=float(parameters["learning_rate"]),
            max_iter=int(max_iter),
            max_leaf_nodes=int(parameters["max_leaf_nodes"]),
            min_samples_leaf=max(few, int(_LEAF_SHARE * n_rows)) if in_leaf == "auto" else in_leaf,
            **shared,
        ),
        n_levels=int(parameters["n_levels"]),
        seed=seed,
    )
