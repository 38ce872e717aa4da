"""The audit of one classifier: ask it once, then measure, attribute by attribute."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from fairmi._data.groups import Groups, sensitive_frame
from fairmi._sklearn_compat import Interval, validate_params
from fairmi.audit.about import about, missing_parts
from fairmi.audit.answers import ask, ask_baseline
from fairmi.audit.calibration import calibration_figures
from fairmi.audit.criteria import group_figures, overall_figures, small_groups
from fairmi.audit.differences import change_figures, gap_figures, overall_change_figures
from fairmi.audit.leaks import leak_figures
from fairmi.audit.records import Audit, Curve
from fairmi.exceptions import SmallGroupWarning
from fairmi.metrics._comparable import comparable_groups

__all__ = ["audit"]


@validate_params(
    {
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_boot": [Interval(Integral, 100, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def audit(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sensitive_features: Any,
    baseline: Any = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    random_state: Any = None,
) -> Audit:
    """Measure how fair a fitted classifier is, on rows that it was not trained on.

    By group: fairlearn's rates, the differences and ratios between groups, and calibration. Then
    what the representation, the scores and the predictions tell of the sensitive features: what a
    fresh probe recovers, mutual information in nats, and, where a representation has few values, a
    bound on the demographic parity difference of anything that is computed from it. Each with an
    interval, and with the value that chance alone gives on as many rows.

    Parameters
    ----------
    estimator : classifier
        Fitted; fairmi's or any other of scikit-learn's kind, a pipeline or search included.
    X : {array-like, sparse matrix, DataFrame} of shape (n_rows, n_features)
        Rows that neither the estimator nor the choice of it has seen.
    y : array-like of shape (n_rows,)
        Their labels, in the form that the estimator was fitted on.
    sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
        Groups of the rows. Several columns are audited one by one and as intersections.
    baseline : classifier, default=None
        A fitted classifier to compare with, such as one that was trained without any penalty.
    confidence : float, default=0.95
        Confidence of the intervals.
    n_boot : int, default=1000
        Draws that the intervals are made from, 100 or more.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws and probes; give an int for figures that repeat.

    Returns
    -------
    Audit
        Prints as a table; see also its ``to_frame``, ``to_dict``, ``to_json`` and ``to_html``.

    Raises
    ------
    ValueError
        If y or the predictions don't fit together, or `estimator` is no fitted classifier.
    SensitiveFeaturesError
        If the sensitive features are missing or malformed, hold one group, or are continuous.

    Warns
    -----
    SmallGroupWarning
        If a group has too few rows for its rates to say anything.

    Notes
    -----
    Rates by group have Wilson's intervals. Differences and ratios have bootstrap intervals from
    multinomial draws of the counts by group, label and prediction, which is what resampling rows
    comes to. They are made of joint intervals for all pairs of groups, so that they reach down to
    no difference where the groups may be alike, which quantiles of the difference itself never do.
    With more than two classes each is taken against the rest, and the largest gap counts.

    References
    ----------
    M. Hardt, E. Price, N. Srebro, Equality of Opportunity in Supervised Learning, NeurIPS 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairmi.audit import audit
    >>> X, y = make_classification(2000, flip_y=0.2, random_state=0)
    >>> group = np.where(X[:, 0] > 0, "a", "b")
    >>> model = LogisticRegression().fit(X[:1000], y[:1000])
    >>> report = audit(
    ...     model, X[1000:], y[1000:], sensitive_features=group[1000:], random_state=0
    ... )
    >>> frame = report.to_frame().query("section == 'gap'").set_index("measure")
    >>> found = frame.loc["equalized_odds_difference", ["value", "low", "by_chance"]]
    >>> found.astype(float).round(2).tolist()
    [0.06, 0.0, 0.07]
    """
    answers = ask(estimator, X, y)
    attributes = list(_attributes(sensitive_features, len(answers.true)))
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    rng = np.random.default_rng(seed)
    settings: dict[str, Any] = {"confidence": confidence, "n_boot": n_boot, "rng": rng}
    rival = None if baseline is None else ask_baseline(baseline, X, answers)

    figures = overall_figures(answers, confidence)
    if rival is not None:
        figures += overall_change_figures(answers, rival, **settings)
    curves: list[Curve] = []
    notes = missing_parts(answers)
    for groups in attributes:
        figures += group_figures(answers, groups, confidence)
        figures += gap_figures(answers, groups, **settings)
        if rival is not None:
            figures += change_figures(answers, rival, groups, **settings)
        found, reliability = calibration_figures(answers, groups, **settings)
        figures += found
        curves += reliability
        leaks, failed = leak_figures(answers, groups, confidence, seed)
        figures += leaks
        notes += failed
    small = small_groups(figures)
    if small:
        warnings.warn(small, SmallGroupWarning, stacklevel=3)
    return Audit(
        about=about(estimator, baseline, X, answers, attributes, confidence, n_boot),
        figures=tuple(figures),
        curves=tuple(curves),
        notes=tuple([small] * bool(small) + notes),
    )


def _attributes(sensitive_features: Any, n_rows: int) -> Iterator[Groups]:
    """Yield groups by each sensitive feature, then by all of them together."""
    frame = sensitive_frame(sensitive_features)
    if frame.shape[1] > 1 and len(frame) == n_rows:
        for j in range(frame.shape[1]):
            yield comparable_groups(frame.iloc[:, [j]], n_rows)
    yield comparable_groups(frame, n_rows)
