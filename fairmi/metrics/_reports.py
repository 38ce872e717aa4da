"""Results of `leakage_report` and `mutual_information_report`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SIGNIFICANCE = 0.01  # low, since an audit tests many things at once


@dataclass(frozen=True)
class ProbeLeakage:
    """What one probe recovers: its score on held-out rows, and its balanced accuracy.

    The intervals of all probes hold at once, at 95 %; they are nan where there are too few rows
    for one, as `LeakageReport.no_interval` says. `balanced_accuracy` is nan where the attribute is
    continuous. `max_rows` is the number of rows that the probe is trained on at most, a random
    part where there are more.
    """

    probe: str
    score: float
    interval: tuple[float, float]
    balanced_accuracy: float
    max_rows: int


@dataclass(frozen=True)
class LeakageReport:
    """How well fresh probes recover the sensitive attribute.

    Attributes
    ----------
    score : float
        The largest score over probes, each cross-fitted: ROC AUC for two groups, its one-vs-rest
        macro average for more; for a continuous attribute R2, of its value or of its spread.
    interval : tuple of float
        95 % interval of that probe's score, wide enough for its being the largest of all probes';
        nan where `no_interval` says why there is none.
    probe : str
        That probe.
    null_mean, null_quantile : float
        Mean and 95 % quantile of `score` where nothing leaks, in a sample like this one.
    p_value : float
        Of the test of independence of Z and the attribute (see `leakage_report`).
    balanced_accuracy : float
        Largest over probes; nan where the attribute is continuous.
    metric : {"roc_auc", "roc_auc_ovr", "r2", "r2_of_spread"}
        What `score` is; "r2_of_spread" is of how far a continuous attribute lies from its median.
    kind : {"categorical", "continuous"}
        What the attribute was taken for.
    labels : tuple
        Groups; empty where continuous.
    n_rows : int
        Rows used.
    probes : tuple of ProbeLeakage
        Each probe's own figures.
    no_interval : str
        Why there is no interval; "" where there is one.
    """

    score: float
    interval: tuple[float, float]
    probe: str
    null_mean: float
    null_quantile: float
    p_value: float
    balanced_accuracy: float
    metric: str
    kind: str
    labels: tuple[Any, ...]
    n_rows: int
    probes: tuple[ProbeLeakage, ...]
    no_interval: str = ""

    @property
    def flagged(self) -> bool:
        """Whether the sample shows a leak: p_value <= 0.01."""
        return self.p_value <= SIGNIFICANCE

    def __str__(self) -> str:
        low, high = self.interval
        interval = f"[{low:.3f}, {high:.3f}]"
        if self.no_interval:
            interval = f"[no interval: {self.no_interval}]"
        above = self.score > self.null_quantile
        if self.flagged:
            finding = "a leak" if above else "a leak, in too few rows to raise the score"
        else:
            finding = "no proof of a leak, though the score is high" if above else "no leak found"
        return (
            f"Leakage {self.score:.3f} {interval} ({self.metric}, {self.probe} probe); no leakage "
            f"gives {self.null_mean:.3f}, up to {self.null_quantile:.3f}: {finding} "
            f"(p = {self.p_value:.2g}, {self.n_rows} rows)."
        )


@dataclass(frozen=True)
class MutualInformationReport:
    """Mutual information, in nats.

    Attributes
    ----------
    score : float
        The estimate, at least 0: by "probe" a lower bound, by "plugin" corrected for bias, by
        "nearest" (neighbours) close to the information, on either side.
    interval : tuple of float
        95 % interval of the estimate. Of a lower bound, it holds the bound's own mean: the
        information can lie above where no probe finds all of it.
    null_mean, null_quantile : float
        Mean and 95 % quantile of the same estimate where the attribute is permuted (within the
        values of y, if given) and probes are trained afresh; nan with no permutations.
    null_bound : float
        What the estimate exceeds in at most 5 % of independent samples, by theory.
    estimator : {"plugin", "probe", "nearest"}
        What was used; "nearest" where it was for some value of y.
    kind : {"categorical", "continuous"}
        What the attribute was taken for.
    n_rows : int
        Rows used.
    """

    score: float
    interval: tuple[float, float]
    null_mean: float
    null_quantile: float
    null_bound: float
    estimator: str
    kind: str
    n_rows: int

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.score:.4f} nats [{low:.4f}, {high:.4f}] "
            f"({'at least, ' if self.estimator == 'probe' else ''}{self.estimator}, "
            f"{self.n_rows} rows); independence gives up to {self.null_bound:.4f}."
        )
