"""How well fresh probes recover the sensitive attribute from Z, held against no leakage."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from scipy.stats import t

from fairmi._sklearn_compat import HasMethods, Interval, StrOptions, validate_params
from fairmi.metrics._cross_fit import (
    Sample,
    balanced_accuracies,
    fold_scores,
    joint_p_value,
    null_scores,
    p_value,
)
from fairmi.metrics._log_ratio import normal_scores
from fairmi.metrics._probe_scores import Score
from fairmi.metrics._reports import LeakageReport, ProbeLeakage
from fairmi.metrics._target import Target
from fairmi.metrics.probes import PANEL, Probe, choose_probes

__all__ = ["LeakageReport", "ProbeLeakage", "leakage_report", "leakage_score"]

# Cross-fitted scores of independent data spread more than permuted ones, and than the errors of
# folds tell: each pair of folds counts twice. Exactly so, in variance, for a linear probe.
CROSS_FIT_SPREAD = np.sqrt(2)
MIN_UNITS = 20  # below, a standard error is itself too uncertain, and scores are far from normal

_CONSTRAINTS: dict[str, list[Any]] = {
    "probe": [StrOptions({"panel", *PANEL}), HasMethods(["fit", "predict"])],
    "kind": [StrOptions({"auto", "categorical", "continuous"})],
    "cv": [Interval(Integral, 2, None, closed="left")],
    "sample_weight": ["array-like", None],
    "random_state": ["random_state"],
    "n_jobs": [Integral, None],
}


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def leakage_score(
    Z: Any,
    sensitive_features: Any,
    *,
    probe: Any = "panel",
    kind: str = "auto",
    cv: int = 5,
    sample_weight: Any = None,
    clusters: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> float:
    """Return how well fresh probes recover the sensitive attribute from Z: the worst counts.

    The same as `leakage_report(...).score`, for less time: no test is made.

    Parameters
    ----------
    Z : array-like of shape (n_rows, n_columns) or (n_rows,)
        A representation, scores, or predictions.
    sensitive_features : array-like of shape (n_rows,) or (n_rows, n_features)
        See `leakage_report`.
    probe, kind, cv, sample_weight, clusters, random_state, n_jobs
        See `leakage_report`.

    Returns
    -------
    float
        ROC AUC for two groups (0.5: nothing is recovered), its one-vs-rest macro average for
        more; for a continuous attribute R2 (0: nothing), of its value or of its spread.

    Raises
    ------
    SensitiveFeaturesError, ValueError
        See `leakage_report`.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.metrics import leakage_score
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(2, size=500)
    >>> Z = rng.normal(size=(500, 2)) + group[:, None]
    >>> round(leakage_score(Z, group, probe="linear", random_state=0), 2)
    0.87
    """
    sample = Sample.make(
        Z,
        sensitive_features,
        kind=kind,
        cv=cv,
        sample_weight=sample_weight,
        clusters=clusters,
        random_state=random_state,
    )
    return max(
        _score(part, by_fold)
        for part in _parts(sample)
        for by_fold in fold_scores(
            part, part.predict(choose_probes(probe, part.target), part.splits, n_jobs)
        )
    )


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def leakage_report(
    Z: Any,
    sensitive_features: Any,
    *,
    probe: Any = "panel",
    kind: str = "auto",
    cv: int = 5,
    sample_weight: Any = None,
    clusters: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> LeakageReport:
    """Report how well fresh probes recover the sensitive attribute, and whether it is chance.

    Parameters
    ----------
    Z : array-like of shape (n_rows, n_columns) or (n_rows,)
        A representation, scores, or predictions, on rows that the model under audit didn't see
        in training. A missing value is seen as such: where Z lacks values may tell.
    sensitive_features : array-like of shape (n_rows,) or (n_rows, n_features)
        The attribute; of several categorical columns, the intersections are the groups.
    probe : str or scikit-learn estimator, default="panel"
        "panel" for all of "linear" (logistic or ridge regression), "boosting" (histogram
        gradient boosting), "neighbours" (25 nearest), "network" (one hidden layer of 64),
        "digits" (boosting on Z's decimal and binary digits, which finds what is hidden in small
        ones), "waves" (boosting on waves over columns, their sums and differences, which finds
        narrow stripes) and "values" (regression on the exact values that recur in a column); the
        name of one; or an estimator of the caller's: a classifier with `predict_proba` or, for a
        continuous attribute, a regressor.
    kind : {"auto", "categorical", "continuous"}, default="auto"
        "auto" takes one column of numbers as continuous where they have more than 20 distinct
        values, or few rows for each; two values are always categories.
    cv : int, default=5
        Folds.
    sample_weight : array-like of shape (n_rows,), default=None
        Weights of rows, in training and in scores. A probe that takes none is trained on rows
        drawn in proportion.
    clusters : array-like of shape (n_rows,), default=None
        Labels of rows that belong together, such as one person's. Folds, permutations and
        intervals are by whole clusters.
    random_state : int, RandomState instance or None, default=None
        Seed of folds, probes and permutations.
    n_jobs : int or None, default=None
        Fits at a time, as in joblib.

    Returns
    -------
    LeakageReport

    Raises
    ------
    SensitiveFeaturesError
        If `sensitive_features` has a missing value, another length, one group alone, or a group
        of fewer rows than `cv`.
    ValueError
        If Z or `sample_weight` can't be used, or `probe` can't predict what is needed.

    Notes
    -----
    *Score*: each row is predicted by probes that were trained on the other folds; a score is the
    mean over folds. The interval is of DeLong's standard error [1]_ for an AUC, by Student's t of
    as many degrees as the smallest group has rows, or clusters, less one. Rows of unlike weight,
    and clusters of unlike size, count for fewer: (sum w) ** 2 / sum w ** 2 (Kish [4]_). Below 20
    there is no interval. All probes' intervals hold at once (Bonferroni), since the score is the
    largest. They are widened by the square root of 2: where nothing leaks, cross-fitted folds are
    correlated and a linear probe's score spreads by as much; where much leaks it is wider than
    need be.

    *Test*: fold k is predicted by probes trained on the folds before it alone; its p-value is
    that of the largest standardised covariance of target and prediction over probes, under 999
    permutations of the target in the fold; Fisher's method combines the folds. If the rows are
    independent draws and Z tells nothing of the attribute, p_value <= a has probability at most
    a, whatever the probes (without weights; with weights about so). A leak is `flagged` at 0.01.
    The covariance is used, and not the AUC, since a leak in a few rows hardly moves an AUC.

    *A continuous attribute* is tested twice, for its value and for its spread (how far it lies
    from the median, of ranks made normal), and the larger R2 counts; `p_value` is twice the
    smaller one.

    *Recurring values*: with the panel, where two rows or more share a value of a column or a
    whole row of Z, the dependence of the attribute on these values is tested too, on all rows at
    once, by a sequential permutation test [3]_; it has two thirds of the error and the probes
    one third. A probe must learn a rare value on some rows to find it on others; this test
    needn't. Even so, a value that two groups of equal size hold in k rows can't have a p-value
    below 2 ** -k, so that fewer than about ten such rows show nothing.

    *No leakage*: `null_mean` and `null_quantile` are of the largest score over probes where the
    target is permuted against the predictions, the spread widened alike.

    *Given y*: Z may tell nothing alone and all with the label. `conditional_leakage_report` looks.

    What no probe finds is no proof that nothing is there: `certify` gives one where Z has few
    values. That deterministic representations leak what their own critic doesn't see, [2]_
    shows.

    References
    ----------
    .. [1] E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, "Comparing the Areas under Two or
       More Correlated ROC Curves", Biometrics 44 (1988), doi:10.2307/2531595.
    .. [2] M. Cerrato, M. Köppel, P. Wolf, S. Kramer, "10 Years of Fair Representations:
       Challenges and Opportunities" (2024), arXiv:2407.03834.
    .. [3] J. Besag, P. Clifford, "Sequential Monte Carlo p-values", Biometrika 78 (1991),
       doi:10.1093/biomet/78.2.301.
    .. [4] L. Kish, Survey Sampling, Wiley (1965).

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.metrics import leakage_report
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(2, size=500)
    >>> leakage_report(rng.normal(size=500), group, probe="linear", random_state=0).flagged
    False
    """
    sample = Sample.make(
        Z,
        sensitive_features,
        kind=kind,
        cv=cv,
        sample_weight=sample_weight,
        clusters=clusters,
        random_state=random_state,
    )
    return _worst([_measured(part, probe, n_jobs) for part in _parts(sample)])


def _parts(sample: Sample) -> list[Sample]:
    """Return the sample and, where the attribute is continuous, one whose target is its spread.

    That is the distance from the median, of ranks made normal: what moves it may not move the
    mean.
    """
    if not sample.target.continuous:
        return [sample]
    scores = normal_scores(sample.target, sample.generator()).values
    spread = Target("continuous", np.abs(scores), ())
    return [sample, replace(sample, target=spread.standardised())]


def _measured(sample: Sample, probe: Any, n_jobs: int | None) -> LeakageReport:
    probes = choose_probes(probe, sample.target)
    predictions = sample.predict(probes, sample.early_splits + sample.splits, n_jobs)
    n_early = len(sample.early_splits)
    cross_fitted = [by_split[n_early:] for by_split in predictions]
    in_order = [by_split[:n_early] + by_split[-1:] for by_split in predictions]
    scores = fold_scores(sample, cross_fitted)
    accuracies = balanced_accuracies(sample, cross_fitted)
    n_scores = len(probes) * (1 + sample.target.continuous)
    by_probe = tuple(
        _probe_leakage(sample, *figures, n_scores)
        for figures in zip(probes, scores, accuracies, strict=True)
    )
    worst = max(by_probe, key=lambda found: found.score)
    null = null_scores(sample, scores)
    excess = np.quantile(null, 0.95) - null.mean()
    p = p_value(sample, in_order)
    if isinstance(probe, str) and probe == "panel":
        p = joint_p_value(sample, p)
    return LeakageReport(
        score=worst.score,
        interval=worst.interval,
        probe=worst.probe,
        null_mean=float(null.mean()),
        null_quantile=float(null.mean() + CROSS_FIT_SPREAD * excess),
        p_value=p,
        balanced_accuracy=float(accuracies.max()),
        metric=_metric(sample.target),
        kind=sample.target.kind,
        labels=sample.target.labels,
        n_rows=len(sample.Z),
        probes=by_probe,
        no_interval=_reason(sample),
    )


def _worst(parts: list[LeakageReport]) -> LeakageReport:
    """Return the report of the larger score, at the p-value and the chance level of both."""
    if len(parts) == 1:
        return parts[0]
    by_score = max(range(2), key=lambda k: parts[k].score)
    spread = tuple(replace(p, probe=f"{p.probe}, of the spread") for p in parts[1].probes)
    return replace(
        parts[by_score],
        metric=("r2", "r2_of_spread")[by_score],
        null_mean=max(part.null_mean for part in parts),
        null_quantile=max(part.null_quantile for part in parts),
        p_value=min(1.0, 2 * min(part.p_value for part in parts)),
        probes=parts[0].probes + spread,
    )


def _metric(target: Target) -> str:
    if target.continuous:
        return "r2"
    return "roc_auc" if len(target.labels) == 2 else "roc_auc_ovr"


def _score(sample: Sample, by_fold: list[Score]) -> float:
    return float(sample.shares() @ [score.value for score in by_fold])


def _probe_leakage(
    sample: Sample, probe: Probe, by_fold: list[Score], accuracy: float, n_scores: int
) -> ProbeLeakage:
    value = _score(sample, by_fold)
    by_fold_errors = [
        score.standard_error(sample.owners(fold))
        for score, fold in zip(by_fold, sample.folds, strict=True)
    ]
    spread = CROSS_FIT_SPREAD * float(np.linalg.norm(sample.shares() * by_fold_errors))
    n_units = sample.effective_units()
    interval = np.nan, np.nan
    if n_units >= MIN_UNITS:
        # Of n_scores intervals each has its share of the error, so that the largest score's holds.
        error = float(t.ppf(1 - 0.025 / n_scores, n_units - 1)) * spread
        interval = value - error, min(value + error, 1.0)
    return ProbeLeakage(
        probe=probe.name,
        score=value,
        interval=interval,
        balanced_accuracy=float(accuracy),
        max_rows=probe.max_rows,
    )


def _reason(sample: Sample) -> str:
    n_units = sample.effective_units()
    if n_units >= MIN_UNITS:
        return ""
    unit = "rows" if sample.clusters is None else "clusters"
    return (
        f"the smallest group has the weight of {n_units:.0f} equal {unit}, fewer than {MIN_UNITS}"
    )
