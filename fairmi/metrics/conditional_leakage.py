"""How well fresh probes recover the sensitive attribute from Z where the label y is known."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.stats import chi2

from fairmi._data.tables import check_indexes
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics._clusters import cluster_codes
from fairmi.metrics._reports import LeakageReport, ProbeLeakage
from fairmi.metrics._representation import read_representation
from fairmi.metrics._strata import strata_of
from fairmi.metrics._target import Target, as_target
from fairmi.metrics.leakage import leakage_report

__all__ = ["conditional_leakage_report"]


def conditional_leakage_report(
    Z: Any,
    sensitive_features: Any,
    y: Any,
    *,
    probe: Any = "panel",
    kind: str = "auto",
    cv: int = 5,
    sample_weight: Any = None,
    clusters: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> LeakageReport:
    """Report how well fresh probes recover the sensitive attribute from Z by those who know y.

    Each value of y has probes of its own. What tells nothing alone may tell all with the label:
    Z = C XOR y.

    Parameters
    ----------
    Z, sensitive_features, probe, kind, cv, sample_weight, clusters, random_state, n_jobs
        See `leakage_report`.
    y : array-like of shape (n_rows,)
        Labels.

    Returns
    -------
    LeakageReport
        Scores are means over the values of y, each weighted by its rows; `p_value` combines the
        tests in each by Fisher's method [1]_, which is exact as rows (and their probes) are
        others in each.

    Raises
    ------
    SensitiveFeaturesError
        See `leakage_report`; or if no value of y has `cv` rows of two groups.
    ValueError
        See `leakage_report`; or if y has a missing value or another length.

    Warns
    -----
    UserWarning
        If a value of y is left out, since a group has too few of its rows.

    References
    ----------
    .. [1] R. A. Fisher, Statistical Methods for Research Workers (1932), section 21.1.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.metrics import conditional_leakage_report, leakage_score
    >>> rng = np.random.default_rng(0)
    >>> group, y = rng.integers(2, size=(2, 1000))
    >>> Z = group ^ y
    >>> round(leakage_score(Z, group, probe="linear", random_state=0), 1)
    0.5
    >>> conditional_leakage_report(Z, group, y, probe="linear", random_state=0).score
    1.0
    """
    check_indexes(
        Z=Z,
        sensitive_features=sensitive_features,
        y=y,
        sample_weight=sample_weight,
        clusters=clusters,
    )
    Z = read_representation(Z)
    target = as_target(sensitive_features, len(Z), kind=kind)
    owners = cluster_codes(clusters, len(Z))
    weight = np.ones(len(Z)) if sample_weight is None else np.asarray(sample_weight, float)
    reports, shares = [], []
    for rows in _usable(target, strata_of(y, len(Z)), cv):
        reports.append(
            leakage_report(
                Z.rows(rows),
                target.values[rows],
                probe=probe,
                kind=target.kind,
                cv=cv,
                sample_weight=None if sample_weight is None else weight[rows],
                clusters=None if owners is None else owners[rows],
                random_state=random_state,
                n_jobs=n_jobs,
            )
        )
        shares.append(weight[rows].sum())
    return _combined(reports, np.array(shares) / np.sum(shares), target)


def _usable(target: Target, strata: list[tuple[Any, np.ndarray]], cv: int) -> list[np.ndarray]:
    """Return the rows of each value of y in which there is something to tell apart."""
    usable, left_out = [], []
    for value, rows in strata:
        part = target.values[rows]
        counts = np.unique(part, return_counts=True)[1]
        if len(counts) > 1 and (len(rows) >= 2 * cv if target.continuous else counts.min() >= cv):
            usable.append(rows)
        elif len(counts) > 1:
            left_out.append(value)
    if not usable:
        raise SensitiveFeaturesError(
            f"no value of y has cv={cv} rows of each of two groups; take fewer folds, or give "
            "more rows."
        )
    if left_out:
        warnings.warn(
            f"Rows of y = {', '.join(map(repr, left_out))} are left out: a group has fewer than "
            f"cv={cv} of them.",
            UserWarning,
            stacklevel=3,
        )
    return usable


def _combined(reports: list[LeakageReport], share: np.ndarray, target: Target) -> LeakageReport:
    probes = tuple(
        _mean_probe(parts, share) for parts in zip(*[r.probes for r in reports], strict=True)
    )
    worst = max(probes, key=lambda found: found.score)
    null_mean = float(share @ [r.null_mean for r in reports])
    excess = share * [r.null_quantile - r.null_mean for r in reports]
    statistic = -2 * np.sum(np.log([r.p_value for r in reports]))
    return LeakageReport(
        score=worst.score,
        interval=worst.interval,
        probe=worst.probe,
        null_mean=null_mean,
        null_quantile=null_mean + float(np.linalg.norm(excess)),
        p_value=float(chi2.sf(statistic, 2 * len(reports))),
        balanced_accuracy=max(found.balanced_accuracy for found in probes),
        metric=max((r.metric for r in reports), key=len),
        kind=target.kind,
        labels=target.labels,
        n_rows=sum(r.n_rows for r in reports),
        probes=probes,
        no_interval=next((r.no_interval for r in reports if r.no_interval), ""),
    )


def _mean_probe(parts: tuple[ProbeLeakage, ...], share: np.ndarray) -> ProbeLeakage:
    value = float(share @ [part.score for part in parts])
    error = float(np.linalg.norm(share * [part.score - part.interval[0] for part in parts]))
    return ProbeLeakage(
        probe=parts[0].probe,
        score=value,
        interval=(np.nan, np.nan) if np.isnan(error) else (value - error, min(value + error, 1.0)),
        balanced_accuracy=float(share @ [part.balanced_accuracy for part in parts]),
        max_rows=parts[0].max_rows,
    )
