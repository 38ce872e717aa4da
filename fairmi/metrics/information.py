"""Mutual information of Z and the sensitive attribute, in nats, with what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from scipy.stats import chi2
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from fairmi._sklearn_compat import HasMethods, Interval, StrOptions, validate_params
from fairmi._typing import ColumnLike, RandomState, SensitiveLike, TableLike
from fairmi.metrics._cross_fit import Sample
from fairmi.metrics._estimates import (
    CHOICE_ERROR,
    MAX_COLUMNS,
    MAX_ROWS,
    LogRatios,
    is_larger,
    nearest_log_ratios,
    normal_scores,
    plugin_log_ratios,
    probe_log_ratios,
)
from fairmi.metrics._rows import exchange
from fairmi.metrics.probes import PANEL, Probe

__all__ = [
    "MutualInformationReport",
    "mutual_information_report",
    "mutual_information_score",
]

CONFIDENCE = 0.95
MIN_ROWS_PER_CELL = 5  # on average, for the plug-in estimate to be chosen

_CONSTRAINTS: dict[str, list[Any]] = {
    "estimator": [
        StrOptions({"auto", "plugin", "panel", *PANEL}),
        HasMethods(["fit", "predict"]),
    ],
    "kind": [StrOptions({"auto", "categorical", "continuous"})],
    "cv": [Interval(Integral, 2, None, closed="left")],
    "n_permutations": [Interval(Integral, 0, None, closed="left")],
    "random_state": ["random_state"],
    "n_jobs": [Integral, None],
}


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
        values of `given`) and probes are trained afresh; nan with no permutations.
    null_bound : float
        What the estimate exceeds in at most 5 % of independent samples, by theory.
    estimator : {"plugin", "probe", "nearest"}
        What was used; "nearest" where it was for some value of `given`.
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


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def mutual_information_score(
    Z: TableLike,
    C: SensitiveLike,
    *,
    given: SensitiveLike | None = None,
    estimator: BaseEstimator = "auto",
    kind: str = "auto",
    cv: int = 5,
    clusters: ColumnLike | None = None,
    random_state: RandomState = None,
    n_jobs: int | None = None,
) -> float:
    """Return the mutual information of Z and C in nats.

    The same as `mutual_information_report(...).score`, without the permutations.

    Parameters
    ----------
    Z, C, given, estimator, kind, cv, clusters, random_state, n_jobs
        See `mutual_information_report`.

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    SensitiveFeaturesError, ValueError
        See `mutual_information_report`.

    Examples
    --------
    >>> from fairmi.metrics import mutual_information_score
    >>> Z, C = [0, 0, 1, 1] * 100, ["a", "a", "b", "b"] * 100
    >>> round(mutual_information_score(Z, C), 2)  # ln 2
    0.69
    """
    return mutual_information_report(
        Z,
        C,
        given=given,
        estimator=estimator,
        kind=kind,
        cv=cv,
        clusters=clusters,
        n_permutations=0,
        random_state=random_state,
        n_jobs=n_jobs,
    ).score


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def mutual_information_report(
    Z: TableLike,
    C: SensitiveLike,
    *,
    given: SensitiveLike | None = None,
    estimator: BaseEstimator = "auto",
    kind: str = "auto",
    cv: int = 5,
    clusters: ColumnLike | None = None,
    n_permutations: int = 20,
    random_state: RandomState = None,
    n_jobs: int | None = None,
) -> MutualInformationReport:
    """Report the mutual information of Z and C in nats, with what independence gives.

    Parameters
    ----------
    Z : array-like of shape (n_rows, n_columns) or (n_rows,)
        A representation, scores or predictions, on rows that the model under audit didn't see
        in training.
    C : array-like of shape (n_rows,) or (n_rows, n_features)
        The sensitive attribute; of several categorical columns, the intersections count.
    given : array-like of shape (n_rows,), default=None
        Labels: the information of Z and C for those who know them. It is the mean over values of
        the information in the rows of each, weighted by its share; each has its own probes.
    estimator : str or scikit-learn estimator, default="auto"
        "plugin": the information of the sample's frequencies, less its bias; whole rows of Z are
        its values. "panel": a lower bound from all probes of `leakage_report`; the name of one
        probe, or an estimator of the caller's: the same from that alone. "auto": "plugin" where
        C is categorical and there are 5 rows or more, on average, for each value of Z in each
        group (and value of `given`), else "panel".
    kind : {"auto", "categorical", "continuous"}, default="auto"
        "auto" takes one column of numbers as continuous where they have more than 20 distinct
        values, or few rows for each; two values are always categories.
    cv : int, default=5
        Folds of the cross-fitting.
    clusters : array-like of shape (n_rows,), default=None
        Labels of rows that belong together, such as one person's. Folds, permutations and
        intervals are by whole clusters; "auto" takes probes then, and "plugin" is refused.
    n_permutations : int, default=20
        Times that C is permuted and everything is estimated afresh.
    random_state : int, RandomState instance or None, default=None
        Seed of folds, probes and permutations.
    n_jobs : int or None, default=None
        Fits at a time, as in joblib.

    Returns
    -------
    MutualInformationReport

    Raises
    ------
    SensitiveFeaturesError
        If C has a missing value, another length, one group alone, or, for probes, a group of
        fewer rows than `cv`.
    ValueError
        If Z can't be used, or "plugin" is asked for a continuous C.

    Notes
    -----
    *Probes*: for any q, I(Z; C) >= E ln q(C | Z) / p(C) (Barber and Agakov [1]_). q is a mixture
    of the probes and of p(C) itself, so that where no probe helps the estimate is near 0; rows
    are scored by what was trained on other folds. A continuous C is made normal by its ranks,
    which leaves the information as it is. There, q is normal around each probe's prediction, and
    the panel has densities for its spread and shape too: classifiers over eight quantile bins of
    C, a probe of its distance from the median, and kernels over the C of the nearest rows in Z.
    All are mixed by weights from other folds, so that the choice among them costs no correction.
    Under independence, the product of q / p over a held-out fold has mean at most 1, so by
    Markov's inequality the estimate exceeds cv ln(20) / n with probability at most 0.05: the
    `null_bound` (times the rows of the largest cluster, where there are clusters). No method
    can certify from n rows that the information is above about ln n (McAllester and
    Stratos [2]_), and none of this kind gives an upper bound.

    *Nearest neighbours*: for a continuous C and a Z of three columns at most, up to 20,000 rows,
    without clusters, "panel" also makes the estimate of Kraskov, Stögbauer and Grassberger [4]_.
    It is close to the information, though it bounds it on no side. It is taken in place of the
    probes' where it is larger, and above 0 by more than 2.6 of its standard errors (widened by
    the square root of 2, since rows share neighbours), as it is in at most about half a percent
    of independent samples; `null_bound` counts these.

    *Plug-in*: the bias is that of Miller and Madow [3]_; the interval counts the spread of the
    log ratios and that of the chi-squared limit under independence.

    References
    ----------
    .. [1] D. Barber, F. Agakov, "The IM Algorithm: A Variational Approach to Information
       Maximization", NIPS 2003.
    .. [2] D. McAllester, K. Stratos, "Formal Limitations on the Measurement of Mutual
       Information", AISTATS 2020, arXiv:1811.04251.
    .. [3] G. A. Miller, "Note on the bias of information estimates", in Information Theory in
       Psychology (1955).
    .. [4] A. Kraskov, H. Stögbauer, P. Grassberger, "Estimating mutual information", Physical
       Review E 69 (2004), doi:10.1103/PhysRevE.69.066138.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.metrics import mutual_information_report
    >>> rng = np.random.default_rng(0)
    >>> C = rng.integers(2, size=2000)
    >>> Z = np.where(rng.random(2000) < 0.9, C, 1 - C)  # I = ln 2 - H(0.1) = 0.368
    >>> report = mutual_information_report(Z, C, random_state=0)
    >>> report.interval[0] < 0.368 < report.interval[1]
    True
    >>> y = rng.integers(2, size=2000)
    >>> mutual_information_report(C ^ y, C, given=y).score > 0.68  # ln 2, given y
    True
    """
    random = check_random_state(random_state)
    sample = Sample.make(
        Z,
        C,
        argument="C",
        given=given,
        kind=kind,
        cv=cv,
        clusters=clusters,
        random_state=random,
    )
    if isinstance(estimator, str) and estimator == "plugin":
        if sample.continuous:
            raise ValueError(
                'estimator="plugin" needs a categorical C, but C is continuous; give '
                'estimator="panel", or kind="categorical" if its values are categories.'
            )
        if sample.clusters is not None:
            raise ValueError(
                'estimator="plugin" corrects its bias for independent rows, so that clusters make '
                'it too high; give estimator="panel".'
            )
    return information_of(
        sample,
        [part for _, part in sample.strata(given)],
        estimator=estimator,
        n_permutations=n_permutations,
        random=random,
        n_jobs=n_jobs,
    )


def information_of(
    whole: Sample,
    parts: Sequence[Sample],
    *,
    estimator: BaseEstimator = "auto",
    n_permutations: int = 0,
    random: np.random.RandomState | None = None,
    n_jobs: int | None = None,
) -> MutualInformationReport:
    """Return the report of a sample, from the parts of it in each of which labels are the same."""
    name, n = estimator if isinstance(estimator, str) else "", len(whole)
    if name == "auto":
        n_cells = np.inf  # of value, group and label
        if not whole.continuous and whole.clusters is None:
            n_cells = (whole.Z.codes.max() + 1) * len(whole.labels) * len(parts)
        estimator = name = "plugin" if n >= MIN_ROWS_PER_CELL * n_cells else "panel"
    estimate = partial(_log_ratios, estimator=estimator, n_jobs=n_jobs)
    ratios = LogRatios.combine([estimate(part) for part in parts])
    random, null = check_random_state(random), []
    for _ in range(n_permutations):
        permuted = [
            part.with_target(part.target[exchange(part.clusters, part.target[:, None])(random)])
            for part in parts
        ]
        null.append(max(LogRatios.combine([estimate(part) for part in permuted]).mean, 0.0))
    if name == "plugin":
        freedom = max(2 * n * ratios.bias, 0)
        excess = chi2.ppf(CONFIDENCE, freedom) - freedom if freedom else 0.0
        null_bound = float(excess / (2 * n))
    else:
        largest = 1 if whole.clusters is None else int(np.bincount(whole.clusters).max())
        error = 1 - CONFIDENCE - CHOICE_ERROR * (whole.continuous and name == "panel")
        null_bound = float(-whole.cv * largest * np.log(error) / n)
    owners = None
    if whole.clusters is not None:
        owners = np.concatenate([part.clusters for part in parts if part.clusters is not None])
    return MutualInformationReport(
        score=max(ratios.mean, 0.0),
        interval=ratios.interval(owners),
        null_mean=float(np.mean(null)) if null else np.nan,
        null_quantile=float(np.quantile(null, CONFIDENCE)) if null else np.nan,
        null_bound=null_bound,
        estimator="plugin" if name == "plugin" else ratios.estimator,
        kind=whole.kind,
        n_rows=n,
    )


def _log_ratios(sample: Sample, estimator: Probe, n_jobs: int | None) -> LogRatios:
    """Return the log ratios of the rows of one label."""
    named = isinstance(estimator, str)
    if len(np.unique(sample.target)) < 2:
        return LogRatios(np.zeros(len(sample)))
    if named and estimator == "plugin":
        return plugin_log_ratios(sample.Z.codes, sample.target)
    if not sample.continuous:
        return probe_log_ratios(sample, probe=estimator, n_jobs=n_jobs)
    Z, scores = sample.Z.matrix, normal_scores(sample.target, sample.generator())
    normal = sample.with_target(scores)
    is_panel = named and estimator == "panel"
    values = sample.target if is_panel else None
    ratios = probe_log_ratios(normal, probe=estimator, n_jobs=n_jobs, values=values)
    many = Z.shape[1] > MAX_COLUMNS or len(Z) > MAX_ROWS
    if not is_panel or many or sample.clusters is not None:
        return ratios
    nearest = nearest_log_ratios(Z, scores, sample.generator())
    return nearest if is_larger(nearest, ratios) else ratios
