"""Mutual information of Z and the sensitive attribute, in nats, with what chance gives."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from fairmi._sklearn_compat import HasMethods, Interval, StrOptions, validate_params
from fairmi.metrics._information_task import CONFIDENCE, InformationTask
from fairmi.metrics._reports import MutualInformationReport
from fairmi.metrics.probes import PANEL

__all__ = [
    "MutualInformationReport",
    "conditional_mutual_information_report",
    "conditional_mutual_information_score",
    "mutual_information_report",
    "mutual_information_score",
]

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


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def mutual_information_score(
    Z: Any,
    C: Any,
    *,
    estimator: Any = "auto",
    kind: str = "auto",
    cv: int = 5,
    clusters: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> float:
    """Return the mutual information of Z and C in nats.

    The same as `mutual_information_report(...).score`, without the permutations.

    Parameters
    ----------
    Z, C, estimator, kind, cv, clusters, random_state, n_jobs
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
    return _report(Z, C, None, estimator, kind, cv, clusters, 0, random_state, n_jobs).score


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def mutual_information_report(
    Z: Any,
    C: Any,
    *,
    estimator: Any = "auto",
    kind: str = "auto",
    cv: int = 5,
    clusters: Any = None,
    n_permutations: int = 20,
    random_state: Any = None,
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
    estimator : str or scikit-learn estimator, default="auto"
        "plugin": the information of the sample's frequencies, less its bias; whole rows of Z are
        its values. "panel": a lower bound from all probes of `leakage_report`; the name of one
        probe, or an estimator of the caller's: the same from that alone. "auto": "plugin" where
        C is categorical and there are 5 rows or more, on average, for each value of Z in each
        group (and value of y), else "panel".
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
    """
    return _report(Z, C, None, estimator, kind, cv, clusters, n_permutations, random_state, n_jobs)


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def conditional_mutual_information_score(
    Z: Any,
    C: Any,
    y: Any,
    *,
    estimator: Any = "auto",
    kind: str = "auto",
    cv: int = 5,
    clusters: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> float:
    """Return the mutual information of Z and C given y, in nats.

    The same as `conditional_mutual_information_report(...).score`, without the permutations.

    Parameters
    ----------
    Z, C, estimator, kind, cv, clusters, random_state, n_jobs
        See `mutual_information_report`.
    y : array-like of shape (n_rows,)
        Labels.

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
    >>> from fairmi.metrics import conditional_mutual_information_score
    >>> Z, C, y = [0, 0, 1, 1] * 100, ["a", "a", "b", "b"] * 100, [0, 0, 1, 1] * 100
    >>> conditional_mutual_information_score(Z, C, y)  # y tells all that Z does
    0.0
    """
    return _report(Z, C, y, estimator, kind, cv, clusters, 0, random_state, n_jobs).score


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def conditional_mutual_information_report(
    Z: Any,
    C: Any,
    y: Any,
    *,
    estimator: Any = "auto",
    kind: str = "auto",
    cv: int = 5,
    clusters: Any = None,
    n_permutations: int = 20,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> MutualInformationReport:
    """Report the mutual information of Z and C given y, in nats.

    It is the mean over values of y, each weighted by its share, of the information of Z and C in
    the rows of that value; each has its own probes.

    Parameters
    ----------
    Z, C, estimator, kind, cv, clusters, n_permutations, random_state, n_jobs
        See `mutual_information_report`.
    y : array-like of shape (n_rows,)
        Labels.

    Returns
    -------
    MutualInformationReport

    Raises
    ------
    SensitiveFeaturesError, ValueError
        See `mutual_information_report`.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.metrics import conditional_mutual_information_report
    >>> rng = np.random.default_rng(0)
    >>> C, y = rng.integers(2, size=(2, 2000))
    >>> conditional_mutual_information_report(C ^ y, C, y).score > 0.68  # ln 2, given y
    True
    """
    return _report(Z, C, y, estimator, kind, cv, clusters, n_permutations, random_state, n_jobs)


def _report(
    Z: Any,
    C: Any,
    y: Any,
    estimator: Any,
    kind: str,
    cv: int,
    clusters: Any,
    n_permutations: int,
    random_state: Any,
    n_jobs: int | None,
) -> MutualInformationReport:
    random = check_random_state(random_state)
    task = InformationTask.make(
        Z, C, y, estimator=estimator, kind=kind, cv=cv, clusters=clusters, random=random
    )
    found = task.estimate(task.target, n_jobs)
    null = [task.estimate(task.permuted(random), n_jobs).mean for _ in range(n_permutations)]
    return MutualInformationReport(
        score=max(found.mean, 0.0),
        interval=task.interval(found),
        null_mean=float(np.mean(np.maximum(null, 0))) if null else np.nan,
        null_quantile=float(np.quantile(np.maximum(null, 0), CONFIDENCE)) if null else np.nan,
        null_bound=task.null_bound(found),
        estimator="plugin" if task.plugin else found.estimator,
        kind=task.target.kind,
        n_rows=len(task.Z),
    )
