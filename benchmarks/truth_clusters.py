"""Persons of several rows, Z independent of their group: how often a leak is flagged."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from truth_rows import Row

from fairmi.metrics import leakage_report, mutual_information_report

KINDS = ("10 near-twin rows", "every row twice", "1 to 9 rows", "blocks of random walks")


def persons(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Z, C and the person of each row; Z and C are independent of each other."""
    if kind == "blocks of random walks":
        walk, other = (np.cumsum(rng.normal(size=(40, 25)), axis=1) for _ in range(2))
        return walk.reshape(-1, 1), (other > 0).astype(int).ravel(), np.repeat(np.arange(40), 25)
    size = {"10 near-twin rows": np.full(100, 10), "every row twice": np.full(500, 2)}.get(kind)
    size = rng.integers(1, 10, 150) if size is None else size
    owner = np.repeat(np.arange(len(size)), size)
    noise = 0.0 if kind == "every row twice" else 0.05
    Z = rng.normal(size=(len(size), 3))[owner] + noise * rng.normal(size=(len(owner), 3))
    return Z, rng.integers(2, size=len(size))[owner], owner


def clusters(repetitions: int, jobs: int) -> Iterator[Row]:
    """Return how often a leak is flagged, with clusters and row by row; 1 % is allowed."""
    for kind in KINDS:
        for given in (True, False):
            n_repetitions = 10 * repetitions if given else repetitions
            task = delayed(partial(_flagged, kind, given))
            found = np.array(Parallel(jobs)(task(seed) for seed in range(n_repetitions)))
            name = f"{kind}, {'clusters given' if given else 'taken as rows'}"
            figures = {
                "flagged": found[:, 0].mean(),
                "p-value at most 0.05": (found[:, 1] <= 0.05).mean(),
                "interval excludes 0.5": (found[:, 2] > 0.5).mean(),
                "information above its bound": (found[:, 3] > 0).mean(),
            }
            for measure, value in figures.items():
                yield Row("clusters", name, 1_000, n_repetitions, measure, float(value))


def _flagged(kind: str, given: bool, seed: int) -> tuple[float, float, float, float]:
    Z, C, owner = persons(kind, np.random.default_rng(seed))
    how = {"clusters": owner if given else None, "random_state": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that rows are equal
        report = leakage_report(Z, C, probe="neighbours", **how)
        found = mutual_information_report(Z, C, estimator="linear", n_permutations=0, **how)
    low = report.interval[0]
    return float(report.flagged), report.p_value, low, found.score - found.null_bound
