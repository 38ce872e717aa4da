"""How well fresh probes recover the sensitive attribute from Z, held against no leakage."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from scipy.stats import chi2, norm, t
from sklearn.base import BaseEstimator

from fairmi._sklearn_compat import HasMethods, Interval, StrOptions, validate_params
from fairmi._typing import ColumnLike, RandomState, SensitiveLike, TableLike
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics._cross_fit import (
    Sample,
    Score,
    balanced_accuracies,
    fold_scores,
    joint_p_value,
    null_scores,
    p_value,
)
from fairmi.metrics._estimates import normal_scores
from fairmi.metrics.probes import PANEL, Probe, choose_probes, most_rows, probe_name

__all__ = [
    "LeakageReport",
    "ProbeLeakage",
    "leakage_report",
    "leakage_score",
]

SIGNIFICANCE = 0.01  # low, since an audit tests many things at once
# Cross-fitted scores of independent data spread more than permuted ones, and than the errors of
# folds tell: each pair of folds counts twice. Exactly so, in variance, for a linear probe.
CROSS_FIT_SPREAD = np.sqrt(2)
MIN_UNITS = 20  # below, a standard error is itself too uncertain, and scores are far from normal
ASPECTS = ("", "spread", "skewness")  # of a continuous attribute

_CONSTRAINTS: dict[str, list[Any]] = {
    "probe": [StrOptions({"panel", *PANEL}), HasMethods(["fit", "predict"])],
    "kind": [StrOptions({"auto", "categorical", "continuous", "probabilities"})],
    "cv": [Interval(Integral, 2, None, closed="left")],
    "sample_weight": ["array-like", None],
    "random_state": ["random_state"],
    "n_jobs": [Integral, None],
}


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
        macro average for more; for a continuous attribute R2, of its value, spread or skewness.
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
    metric : {"roc_auc", "roc_auc_ovr", "r2", "r2_of_spread", "r2_of_skewness"}
        What `score` is; for a continuous attribute of its value, of how far it lies from its
        median, or of how lopsided it is.
    kind : {"categorical", "continuous", "probabilities"}
        What the attribute was taken for.
    labels : tuple
        Groups; empty where continuous.
    n_rows : int
        Rows used.
    probes : tuple of ProbeLeakage
        Each probe's own figures.
    no_interval : str
        Why there is no interval; "" where there is one.
    rounded_score : float
        The largest score where Z is rounded to six digits; nan but where the probe of digits
        alone finds the leak: it is in the last bits then, which sums of floats leave behind.
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
    rounded_score: float = np.nan

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
        digits = ""
        if not np.isnan(self.rounded_score):
            digits = f", in the last digits (rounded to six it is {self.rounded_score:.3f})"
        return (
            f"Leakage {self.score:.3f} {interval} ({self.metric}, {self.probe} probe); no leakage "
            f"gives {self.null_mean:.3f}, up to {self.null_quantile:.3f}: {finding}{digits} "
            f"(p = {self.p_value:.2g}, {self.n_rows} rows)."
        )


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def leakage_score(
    Z: TableLike,
    sensitive_features: SensitiveLike,
    *,
    given: SensitiveLike | None = None,
    probe: str | BaseEstimator = "panel",
    kind: str = "auto",
    cv: int = 5,
    sample_weight: ColumnLike | None = None,
    clusters: ColumnLike | None = None,
    random_state: RandomState = None,
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
    given, probe, kind, cv, sample_weight, clusters, random_state, n_jobs
        See `leakage_report`.

    Returns
    -------
    float
        ROC AUC for two groups (0.5: nothing is recovered), its one-vs-rest macro average for
        more; for a continuous attribute R2 (0: nothing), of its value, spread or skewness.

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
        given=given,
        kind=kind,
        cv=cv,
        sample_weight=sample_weight,
        clusters=clusters,
        random_state=random_state,
    )
    parts = _usable(sample, given)
    scores = [
        [score for aspect in _aspects(part) for score in _scores(aspect, probe, n_jobs)]
        for part in parts
    ]
    share = np.array([part.total for part in parts])
    return float((share / share.sum() @ scores).max())


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def leakage_report(
    Z: TableLike,
    sensitive_features: SensitiveLike,
    *,
    given: SensitiveLike | None = None,
    probe: str | BaseEstimator = "panel",
    kind: str = "auto",
    cv: int = 5,
    sample_weight: ColumnLike | None = None,
    clusters: ColumnLike | None = None,
    random_state: RandomState = None,
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
    given : array-like of shape (n_rows,), default=None
        Labels: what is recovered by those who know them. Each value has probes of its own, and
        scores are means over the values, weighted by their rows.
    probe : str or scikit-learn estimator, default="panel"
        "panel" for all of "linear" (logistic or ridge regression), "boosting" (histogram
        gradient boosting), "neighbours" (25 nearest), "network" (one hidden layer of 64),
        "digits" (boosting on Z's decimal and binary digits, which finds what is hidden in small
        ones), "waves" (boosting on waves over columns, their sums and differences, which finds
        narrow stripes) and "values" (regression on the exact values that recur in a column); the
        name of one; or an estimator of the caller's: a classifier with `predict_proba` or, for a
        continuous attribute, a regressor.
    kind : {"auto", "categorical", "continuous", "probabilities"}, default="auto"
        "auto" takes one column of numbers as continuous where they have more than 20 distinct
        values, or few rows for each; two values are always categories. "probabilities": the
        columns of `sensitive_features` are groups, or (feature, group) under a header of two
        levels, and hold how likely each row is in each; see Notes.
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
        of fewer rows than `cv` (in all values of `given`).
    ValueError
        If Z, `given` or `sample_weight` can't be used, or `probe` can't predict what is needed.

    Warns
    -----
    UserWarning
        If rows look as if given several times over without `clusters`, or a value of `given` is
        left out, since a group has too few of its rows.

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

    *A continuous attribute* is tested three times: for its value, its spread (how far it lies from
    the median) and its skewness (Legendre's third polynomial), the last two of its ranks. The
    largest R2 counts; `p_value` is three times the smallest one.

    *Recurring values*: with the panel, where two rows or more share a value of a column or a
    whole row of Z, the dependence of the attribute on these values is tested too, on all rows at
    once, by a sequential permutation test [3]_; it has two thirds of the error and the probes
    one third. A probe must learn a rare value on some rows to find it on others; this test
    needn't. Even so, a value that two groups of equal size hold in k rows can't have a p-value
    below 2 ** -k, so that fewer than about ten such rows show nothing.

    *No leakage*: `null_mean` and `null_quantile` are of the largest score over probes where the
    target is permuted against the predictions, the spread widened alike.

    *Last digits*: sums of floats leave traces of their parts in the last bits, which no threshold
    would use. Where the probe of digits finds more than the other probes' scores allow, the panel
    is fitted again to Z rounded to six digits of its column's largest value: `rounded_score`.

    *Given labels*: Z may tell nothing alone and all with the label, as Z = C XOR y does. The
    p-values of the labels are combined by Fisher's method, which is exact as their rows (and
    probes) are others.

    *Probabilities of groups*: a row counts in each group by its probability, in training and in
    scores; folds, errors and permutations are by whole rows. The score is that of the true groups
    on average where Z tells nothing of the group beyond what its probabilities were made of, as
    names and places do, and the probabilities are right (Chen et al. [5]_). The test is of Z and
    the probabilities.

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
    .. [5] J. Chen, N. Kallus, X. Mao, G. Svacha, M. Udell, "Fairness Under Unawareness: Assessing
       Disparity When Protected Class Is Unobserved", FAT* 2019, doi:10.1145/3287560.3287594.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.metrics import leakage_report
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(2, size=500)
    >>> leakage_report(rng.normal(size=500), group, probe="linear", random_state=0).flagged
    False
    >>> y = rng.integers(2, size=500)
    >>> leakage_report(group ^ y, group, given=y, probe="linear", random_state=0).score
    1.0
    """
    sample = Sample.make(
        Z,
        sensitive_features,
        given=given,
        kind=kind,
        cv=cv,
        sample_weight=sample_weight,
        clusters=clusters,
        random_state=random_state,
    )
    return leakage_of(sample, _usable(sample, given), probe=probe, n_jobs=n_jobs)


def leakage_of(
    whole: Sample,
    parts: Sequence[Sample],
    *,
    probe: Probe,
    n_jobs: int | None = None,
) -> LeakageReport:
    """Return the report of a sample, from the parts of it in each of which labels are the same."""
    reports = []
    for part in parts:
        aspects = _aspects(part)
        reports.append(
            _worst([_measured(aspect, probe, n_jobs, len(aspects)) for aspect in aspects])
        )
    if len(parts) == 1 and parts[0] is whole:
        return reports[0]
    share = np.array([part.total for part in parts])
    return _combined(reports, share / share.sum(), whole)


def _usable(sample: Sample, given: SensitiveLike | None) -> list[Sample]:
    """Return the rows of each label in which there is something to tell apart; all without."""
    if given is None:
        return [sample]
    usable, left_out = [], []
    for value, part in sample.strata(given):
        counts = np.unique(part.target, return_counts=True)[1]
        enough = len(part) >= 2 * part.cv if part.continuous else counts.min() >= part.cv
        if len(counts) > 1 and enough:
            usable.append(part)
        elif len(counts) > 1:
            left_out.append(value)
    if not usable:
        raise SensitiveFeaturesError(
            f"no value of given has cv={sample.cv} rows of each of two groups; take fewer folds, "
            "or give more rows."
        )
    if left_out:
        warnings.warn(
            f"Rows of given = {', '.join(map(repr, left_out))} are left out: a group has fewer "
            f"than cv={sample.cv} of them.",
            UserWarning,
            stacklevel=4,
        )
    return usable


def _aspects(sample: Sample) -> list[Sample]:
    """Return the sample and, where the attribute is continuous, two of its further aspects.

    What moves its spread or skewness may not move the mean. Both are of ranks, so that no single
    value counts for much, and neither follows from the other or from the value.
    """
    if not sample.continuous:
        return [sample]
    scores = normal_scores(sample.target, sample.generator())
    place = 2 * norm.cdf(scores) - 1
    aspects = (sample.target, np.abs(scores), place * (5 * place**2 - 3))
    centred = [values - values.mean() for values in aspects]
    return [sample.with_target(values / values.std()) for values in centred]


def _scores(sample: Sample, probe: Probe, n_jobs: int | None) -> list[float]:
    """Return the score of each probe, the mean over folds."""
    predictions = sample.cross_fitted(choose_probes(probe, sample.target), n_jobs)
    return [_mean(sample, by_fold) for by_fold in fold_scores(sample, predictions)]


def _mean(sample: Sample, by_fold: list[Score]) -> float:
    return float(sample.shares() @ [score.value for score in by_fold])


def _measured(sample: Sample, probe: Probe, n_jobs: int | None, n_aspects: int) -> LeakageReport:
    probes = choose_probes(probe, sample.target)
    in_order = sample.in_order(probes, n_jobs)
    cross_fitted = sample.cross_fitted(probes, n_jobs)
    scores = fold_scores(sample, cross_fitted)
    accuracies = balanced_accuracies(sample, cross_fitted)
    by_probe = tuple(
        _probe_leakage(sample, *figures, len(probes) * n_aspects)
        for figures in zip(probes, scores, accuracies, strict=True)
    )
    worst, *others = sorted(by_probe, key=lambda by_one: -by_one.score)
    null = null_scores(sample, scores)
    excess = np.quantile(null, 0.95) - null.mean()
    null_quantile = float(null.mean() + CROSS_FIT_SPREAD * excess)
    p = p_value(sample, in_order)
    rounded = np.nan
    if isinstance(probe, str) and probe == "panel":
        p = joint_p_value(sample, p)
        low = worst.interval[0] if not np.isnan(worst.interval[0]) else null_quantile
        if worst.probe == "digits" and p <= SIGNIFICANCE and others[0].score < low:
            rounded = max(_scores(replace(sample, Z=sample.Z.rounded(), fits={}), probe, n_jobs))
    metric = "roc_auc" if len(sample.labels) == 2 else "roc_auc_ovr"
    n_units, no_interval = sample.effective_units(), ""
    if n_units < MIN_UNITS:
        unit = "rows" if sample.clusters is None else "clusters"
        no_interval = (
            f"the smallest group has the weight of {n_units:.0f} equal {unit}, fewer than "
            f"{MIN_UNITS}"
        )
    return LeakageReport(
        score=worst.score,
        interval=worst.interval,
        probe=worst.probe,
        null_mean=float(null.mean()),
        null_quantile=null_quantile,
        p_value=p,
        balanced_accuracy=float(accuracies.max()),
        metric="r2" if sample.continuous else metric,
        kind=sample.kind,
        labels=sample.labels,
        n_rows=sample.n_rows,
        probes=by_probe,
        no_interval=no_interval,
        rounded_score=rounded,
    )


def _probe_leakage(
    sample: Sample, probe: Probe, by_fold: list[Score], accuracy: float, n_scores: int
) -> ProbeLeakage:
    value = _mean(sample, by_fold)
    by_fold_errors = [
        score.standard_error(sample.owners(fold))
        for score, fold in zip(by_fold, sample.folds, strict=True)
    ]
    spread = CROSS_FIT_SPREAD * float(np.linalg.norm(sample.shares() * by_fold_errors))
    n_units = sample.effective_units()
    interval = np.nan, np.nan
    if n_units >= MIN_UNITS:
        # A fold's errors are taken from its own score, and so have one row of each group fewer.
        in_fold = max(n_units / sample.cv, 2.0)
        spread *= float(np.sqrt(in_fold / (in_fold - 1)))
        # Of n_scores intervals each has its share of the error, so that the largest score's holds.
        error = float(t.ppf(1 - 0.025 / n_scores, n_units - 1)) * spread
        interval = value - error, min(value + error, 1.0)
    return ProbeLeakage(probe_name(probe), value, interval, float(accuracy), most_rows(probe))


def _worst(aspects: list[LeakageReport]) -> LeakageReport:
    """Return the report of the largest score, at the p-value and the chance level of all."""
    if len(aspects) == 1:
        return aspects[0]
    largest = max(range(len(aspects)), key=lambda k: aspects[k].score)
    probes = aspects[0].probes + tuple(
        replace(by_one, probe=f"{by_one.probe}, of the {name}")
        for name, report in zip(ASPECTS[1:], aspects[1:], strict=True)
        for by_one in report.probes
    )
    return replace(
        aspects[largest],
        metric="r2" + f"_of_{ASPECTS[largest]}" * (largest > 0),
        null_mean=max(report.null_mean for report in aspects),
        null_quantile=max(report.null_quantile for report in aspects),
        p_value=min(1.0, len(aspects) * min(report.p_value for report in aspects)),
        probes=probes,
    )


def _combined(reports: list[LeakageReport], share: np.ndarray, whole: Sample) -> LeakageReport:
    """Return the report of all labels, whose rows are a `share` each, of that of each label."""
    probes = []
    for parts in zip(*[r.probes for r in reports], strict=True):
        value = float(share @ [part.score for part in parts])
        error = float(np.linalg.norm(share * [part.score - part.interval[0] for part in parts]))
        interval = value - error, min(value + error, 1.0)
        if np.isnan(error):
            interval = np.nan, np.nan
        accuracy = float(share @ [part.balanced_accuracy for part in parts])
        probes.append(
            replace(parts[0], score=value, interval=interval, balanced_accuracy=accuracy)
        )
    worst = max(probes, key=lambda by_one: by_one.score)
    null_mean = float(share @ [r.null_mean for r in reports])
    excess = share * [r.null_quantile - r.null_mean for r in reports]
    statistic = -2 * np.sum(np.log([r.p_value for r in reports]))
    last_digits, rounded = np.array([r.rounded_score for r in reports]), np.nan
    if not np.isnan(last_digits).all():  # labels whose leak lies elsewhere have their plain score
        scores = np.where(np.isnan(last_digits), [r.score for r in reports], last_digits)
        rounded = float(share @ scores)
    return LeakageReport(
        score=worst.score,
        interval=worst.interval,
        probe=worst.probe,
        null_mean=null_mean,
        null_quantile=null_mean + float(np.linalg.norm(excess)),
        p_value=float(chi2.sf(statistic, 2 * len(reports))),
        balanced_accuracy=max(by_one.balanced_accuracy for by_one in probes),
        metric=max((r.metric for r in reports), key=len),
        kind=whole.kind,
        labels=whole.labels,
        n_rows=sum(r.n_rows for r in reports),
        probes=tuple(probes),
        rounded_score=rounded,
        no_interval=next((r.no_interval for r in reports if r.no_interval), ""),
    )
