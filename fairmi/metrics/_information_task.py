"""The estimate of I(Z; C) or I(Z; C | y) from checked arrays, stratum by stratum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import chi2

from fairmi._data.tables import check_indexes
from fairmi.metrics._clusters import cluster_codes, exchange, warn_of_repeated_rows
from fairmi.metrics._densities import density_ratios
from fairmi.metrics._log_ratio import (
    LogRatios,
    normal_scores,
    plugin_log_ratios,
    probe_log_ratios,
)
from fairmi.metrics._nearest import (
    CHOICE_ERROR,
    MAX_COLUMNS,
    MAX_ROWS,
    is_larger,
    nearest_log_ratios,
)
from fairmi.metrics._representation import Representation, read_representation
from fairmi.metrics._strata import strata_of
from fairmi.metrics._target import Target, as_target
from fairmi.metrics.probes import Split

CONFIDENCE = 0.95
MIN_ROWS_PER_CELL = 5  # on average, for the plug-in estimate to be chosen


@dataclass(frozen=True)
class InformationTask:
    """Z, C as a target, the rows of each value of y (one stratum where there is no y), and how."""

    Z: Representation
    target: Target
    strata: list[np.ndarray]
    plugin: bool
    probe: Any
    cv: int
    seed: int
    clusters: np.ndarray | None

    @classmethod
    def make(
        cls,
        Z: Any,
        C: Any,
        y: Any,
        *,
        estimator: Any,
        kind: str,
        cv: int,
        clusters: Any,
        random: np.random.RandomState,
    ) -> InformationTask:
        """Check the arguments of a report, and choose the estimator."""
        check_indexes(Z=Z, C=C, y=y, clusters=clusters)
        Z = read_representation(Z)
        target = as_target(C, len(Z), kind=kind, argument="C")
        strata = [rows for _, rows in strata_of(y, len(Z))]
        if target.continuous and isinstance(estimator, str) and estimator == "plugin":
            raise ValueError(
                'estimator="plugin" needs a categorical C, but C is continuous; give '
                'estimator="panel", or kind="categorical" if its values are categories.'
            )
        owners = cluster_codes(clusters, len(Z))
        if owners is not None and isinstance(estimator, str) and estimator == "plugin":
            raise ValueError(
                'estimator="plugin" corrects its bias for independent rows, so that clusters make '
                'it too high; give estimator="panel".'
            )
        if owners is None:
            warn_of_repeated_rows(Z, target.values)
        plugin = isinstance(estimator, str) and (
            estimator == "plugin"
            or (estimator == "auto" and owners is None and _few_cells(Z, target, len(strata)))
        )
        probe = "panel" if isinstance(estimator, str) and estimator == "auto" else estimator
        seed = int(random.randint(2**31 - 1))
        return cls(Z, target, strata, plugin, probe, cv, seed, owners)

    def estimate(self, target: Target, n_jobs: int | None) -> LogRatios:
        """Return the log ratios of all rows, in the order of the strata."""
        return LogRatios.combine(
            [self._stratum(rows, target.rows(rows), n_jobs) for rows in self.strata]
        )

    def _stratum(self, rows: np.ndarray, target: Target, n_jobs: int | None) -> LogRatios:
        Z, owners = self.Z.matrix[rows], self._owners(rows)
        if len(np.unique(target.values)) < 2:
            return LogRatios(np.zeros(len(Z)))
        if self.plugin:
            return plugin_log_ratios(np.unique(self.Z.codes[rows], return_inverse=True)[1], target)
        settings: dict[str, Any] = {"seed": self.seed, "n_jobs": n_jobs}
        more = None
        if target.continuous:
            values = target.values
            target = normal_scores(target, np.random.default_rng(self.seed))
            if self._panel:
                more = partial(_further, Z, values, target.values, settings)
        found = probe_log_ratios(
            Z, target, probe=self.probe, cv=self.cv, clusters=owners, more=more, **settings
        )
        if not (target.continuous and self._panel and owners is None and _near(Z)):
            return found
        nearest = nearest_log_ratios(Z, target.values, np.random.default_rng(self.seed))
        return nearest if is_larger(nearest, found) else found

    @property
    def _panel(self) -> bool:
        return isinstance(self.probe, str) and self.probe == "panel"

    def _owners(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.clusters is None else self.clusters[rows]

    def interval(self, found: LogRatios) -> tuple[float, float]:
        """Return the 95 % interval of what `estimate` found; clusters are whole."""
        if self.clusters is None:
            return found.interval()
        return found.interval(self.clusters[np.concatenate(self.strata)])

    def permuted(self, random: np.random.RandomState) -> Target:
        """Return the target permuted within each stratum."""
        values = self.target.values.copy()
        for rows in self.strata:
            order = exchange(self._owners(rows), values[rows, None])
            values[rows] = values[rows][order(random)]
        return Target(self.target.kind, values, self.target.labels)

    def null_bound(self, found: LogRatios) -> float:
        """Return what the estimate exceeds in at most 5 % of independent samples."""
        n = len(self.Z)
        if not self.plugin:
            largest = 1 if self.clusters is None else int(np.bincount(self.clusters).max())
            error = 1 - CONFIDENCE - CHOICE_ERROR * (self.target.continuous and self._panel)
            return float(-self.cv * largest * np.log(error) / n)
        freedom = max(2 * n * found.bias, 0)
        return float((chi2.ppf(CONFIDENCE, freedom) - freedom) / (2 * n)) if freedom else 0.0


def _further(
    Z: np.ndarray,
    values: np.ndarray,
    scores: np.ndarray,
    settings: dict[str, Any],
    splits: Sequence[Split],
) -> np.ndarray:
    return density_ratios(Z, values, scores, splits, **settings)


def _near(Z: np.ndarray) -> bool:
    """Whether Z is of so few columns, and rows, that nearest neighbours serve."""
    return Z.shape[1] <= MAX_COLUMNS and len(Z) <= MAX_ROWS


def _few_cells(Z: Representation, target: Target, n_strata: int) -> bool:
    if target.continuous:
        return False
    n_cells = (Z.codes.max() + 1) * len(target.labels) * n_strata
    return len(Z) >= MIN_ROWS_PER_CELL * n_cells
