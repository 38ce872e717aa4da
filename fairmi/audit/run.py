"""The audit of one classifier: ask it once, then measure, attribute by attribute."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from sklearn.utils import check_random_state

from fairmi._data.groups import Groups, sensitive_frame
from fairmi._data.tables import check_indexes
from fairmi._sklearn_compat import Interval, validate_params
from fairmi.audit.figures.about import about, missing_parts
from fairmi.audit.figures.asking import ask, ask_baseline
from fairmi.audit.figures.conditions import conditions_of, label_condition
from fairmi.audit.figures.measure import Settings, measure
from fairmi.audit.figures.predictions import Predictions, given_predictions
from fairmi.audit.figures.rates import small_groups
from fairmi.audit.figures.same_rows import repeated_note
from fairmi.audit.report import Audit
from fairmi.exceptions import SmallGroupWarning
from fairmi.metrics._clusters import cluster_codes
from fairmi.metrics._comparable import comparable_groups

__all__ = ["audit"]


@validate_params(
    {
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_boot": [Interval(Integral, 100, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["boolean", Integral],
    },
    prefer_skip_nested_validation=True,
)
def audit(
    estimator: Any = None,
    X: Any = None,
    y: Any = None,
    *,
    sensitive_features: Any,
    y_pred: Any = None,
    y_score: Any = None,
    pos_label: Any = None,
    baseline: Any = None,
    conditions: Any = "auto",
    clusters: Any = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: bool | int = False,
) -> Audit:
    """Measure how fair a fitted classifier is, on rows that it was not trained on.

    By group: rates as fairlearn defines them, the disparities between groups over all rows and
    within parts of them, and calibration. Then what the representation, the scores and the
    predictions tell of the sensitive features, by themselves and given the label: what a fresh
    probe recovers, mutual information in nats, and, where a representation has few values, a
    bound on the demographic parity difference of anything that is computed from it. Each with an
    interval, and with the value that chance alone gives on as many rows.

    Parameters
    ----------
    estimator : classifier, default=None
        Fitted; fairmi's or any other of scikit-learn's kind, a pipeline or search included. Where
        its `predict` takes sensitive features or a random state, as fairlearn's
        ThresholdOptimizer and ExponentiatedGradient do, it gets them. None where `y_pred` is
        given.
    X : {array-like, sparse matrix, DataFrame} of shape (n_rows, n_features), default=None
        Rows that neither the estimator nor the choice of it has seen, which nothing can check: of
        training rows no figure here holds for others, and no certificate holds. With `y_pred`
        they serve `conditions` alone.
    y : array-like of shape (n_rows,)
        Their labels, in the form that the estimator was fitted on.
    sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
        Groups of the rows. Several columns are audited one by one and as intersections.
    y_pred : array-like of shape (n_rows,), default=None
        Predictions, in place of an estimator.
    y_score : array-like of shape (n_rows,) or (n_rows, n_classes), default=None
        Scores that go with `y_pred`. Probabilities, from 0 to 1, are examined for calibration.
    pos_label : label, default=None
        The class whose rates matter. By default the second of two classes; of more than two, each
        against the rest.
    baseline : classifier or array-like of shape (n_rows,), default=None
        A fitted classifier to compare with, such as one that was trained without any penalty, or
        its predictions.
    conditions : "auto", None, list of columns of X, or table of shape (n_rows, n_conditions)
        Within what parts of the rows groups are compared besides those of each label: of each
        value of these columns, or of each quarter of a numeric one. "auto" takes all columns of
        X, if there are at most 100.
    clusters : array-like of shape (n_rows,), default=None
        Labels of rows that belong together, such as one person's. All figures take whole
        clusters for what is independent.
    confidence : float, default=0.95
        Confidence of the intervals.
    n_boot : int, default=1000
        Draws that the intervals are made from, 100 or more.
    n_jobs : int or None, default=None
        Processes that train probes side by side, as in joblib.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws and probes; give an int for figures that repeat.
    verbose : bool or int, default=False
        Whether to show a bar of progress.

    Returns
    -------
    Audit
        Prints as a table; see also its ``to_frame``, ``to_dict``, ``to_json``, ``to_csv``,
        ``to_html`` and ``to_card``.

    Raises
    ------
    ValueError
        If y or the predictions don't fit together, hold missing values or are no classes, if
        `estimator` is no fitted classifier, or if the indexes of pandas arguments differ.
    SensitiveFeaturesError
        If the sensitive features are missing or malformed, hold one group, or are continuous.

    Warns
    -----
    SmallGroupWarning
        If a group has too few rows, or independent rows where there are clusters, for its rates
        to say anything.
    UserWarning
        If many equal rows of X share their groups and `clusters` is not given.

    Notes
    -----
    Rates by group have Wilson's intervals. Differences and ratios have Newcombe's intervals [2]_
    of exact limits, for all pairs of groups at once at the level of the studentised range [4]_, so
    that they reach down to no difference where the groups may be alike. Only changes from a
    baseline have bootstrap intervals, from multinomial draws of the counts by group, label and
    prediction, which is what resampling rows comes to. With more than two classes each is taken
    against the rest, and the largest disparity counts.

    Within parts of the rows, the intervals of a sensitive feature hold for all parts and pairs of
    groups at once: Newcombe's intervals [2]_, by Bonferroni's inequality [3]_.

    Rows in clusters count for what they are worth if all rows of a cluster are alike: m rows of
    each for (sum of m)² / sum of m² rows [5]_. No correlation within clusters makes the interval
    of a rate too narrow, and a weak one makes it wider than need be. The bootstrap of changes
    draws whole clusters; probes, their tests and the mean of calibration go by whole clusters too,
    and a certificate counts one random row of each.

    There are no sample weights: a weighted count is no binomial, on which nearly all of these
    intervals, and the certificate, rest. To audit for a population that weights w describe, keep
    each row with probability w / max(w), independently, and audit those that are left.

    A classifier that decides at random and tells its probabilities (fairlearn's two do) is rated
    by what these give on average, so that no seed changes its rates.

    References
    ----------
    .. [1] M. Hardt, E. Price, N. Srebro, Equality of Opportunity in Supervised Learning, NeurIPS
       2016.
    .. [2] R. G. Newcombe, Interval estimation for the difference between independent proportions,
       Statistics in Medicine 17 (1998), method 10.
    .. [3] O. J. Dunn, Multiple comparisons among means, JASA 56 (1961).
    .. [4] A. Agresti, M. Bini, B. Bertaccini, E. Ryu, Simultaneous Confidence Intervals for
       Comparing Binomial Parameters, Biometrics 64 (2008).
    .. [5] L. Kish, Survey Sampling (1965), section 5.4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairmi.audit import audit
    >>> X, y = make_classification(1000, n_features=5, flip_y=0.2, random_state=0)
    >>> group = np.where(X[:, 0] > 0, "a", "b")
    >>> model = LogisticRegression().fit(X[:500], y[:500])
    >>> report = audit(
    ...     model, X[500:], y[500:], sensitive_features=group[500:], random_state=0
    ... )
    >>> frame = report.to_frame().query("section == 'disparity'").set_index("measure")
    >>> found = frame.loc["equalized_odds_difference", ["value", "low", "by_chance"]]
    >>> found.astype(float).round(2).tolist()
    [0.17, 0.06, 0.1]
    """
    check_indexes(
        X=X,
        y=y,
        sensitive_features=sensitive_features,
        y_pred=y_pred,
        y_score=y_score,
        conditions=conditions,
        baseline=baseline,
        clusters=clusters,
    )
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    asked: dict[str, Any] = {"sensitive_features": sensitive_features, "seed": seed}
    predictions = _predictions(estimator, X, y, y_pred, y_score, pos_label, asked)
    owners = cluster_codes(clusters, len(predictions.true))
    predictions = replace(predictions, clusters=owners)
    attributes = list(_attributes(sensitive_features, len(predictions.true)))
    rival = None if baseline is None else ask_baseline(baseline, X, predictions, **asked)
    splits, notes = conditions_of(X, conditions, len(predictions.true))
    found = measure(
        predictions,
        rival,
        attributes,
        [label_condition(predictions), *splits],
        Settings(confidence, n_boot, seed, n_jobs, bool(verbose)),
    )
    small = small_groups(predictions, attributes)
    same = repeated_note(X, owners, attributes[-1])
    warned = [(small, SmallGroupWarning), (same, UserWarning)]
    warned = [(note, category) for note, category in warned if note]
    for note, category in warned:
        warnings.warn(note, category, stacklevel=3)
    return Audit(
        about=about(estimator, baseline, X, predictions, attributes, confidence, n_boot),
        figures=tuple(found.figures),
        curves=tuple(found.curves),
        notes=(*(note for note, _ in warned), *missing_parts(predictions), *notes, *found.notes),
    )


def _predictions(
    estimator: Any,
    X: Any,
    y: Any,
    y_pred: Any,
    y_score: Any,
    pos_label: Any,
    asked: dict[str, Any],
) -> Predictions:
    """Return what the estimator predicts, or what was given in its place."""
    if (estimator is None) == (y_pred is None):
        both = "both are given" if y_pred is not None else "neither is given"
        raise ValueError(
            f"{both}, estimator and y_pred; give one: a fitted classifier, or its predictions."
        )
    if estimator is None:
        return given_predictions(y, y_pred, y_score=y_score, pos_label=pos_label)
    if y_score is not None:
        raise ValueError(
            "y_score goes with y_pred, but an estimator is given, whose scores are asked of it; "
            "leave one of them out."
        )
    return ask(estimator, X, y, pos_label=pos_label, **asked)


def _attributes(sensitive_features: Any, n_rows: int) -> Iterator[Groups]:
    """Yield groups by each sensitive feature, then by all of them together."""
    frame = sensitive_frame(sensitive_features)
    if frame.shape[1] > 1 and len(frame) == n_rows:
        for j in range(frame.shape[1]):
            yield comparable_groups(frame.iloc[:, [j]], n_rows)
    yield comparable_groups(frame, n_rows)
