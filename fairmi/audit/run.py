"""The audit of one model: ask it once, then measure, attribute by attribute."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from datetime import date
from functools import partial
from importlib.metadata import version
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.utils import check_random_state
from tqdm.auto import tqdm

from fairmi._data.groups import Groups, binned, group_rows, names_probabilities, sensitive_frame
from fairmi._data.values import check_indexes
from fairmi._sklearn_compat import Interval, StrOptions, safe_indexing, validate_params
from fairmi._typing import ColumnLike, Kinds, Predictor, RandomState, SensitiveLike, TableLike
from fairmi.audit.calibration import calibration_figures
from fairmi.audit.comparisons import (
    GroupFigures,
    GroupRates,
    attribute_name,
    group_names,
    small_groups,
)
from fairmi.audit.leakage import (
    MAX_CERTIFIED,
    MAX_PROBED,
    Task,
    draw_rows,
    leakage_tasks,
    repeated_note,
)
from fairmi.audit.measures import FOUND, NOTHING, Curve, Figure
from fairmi.audit.model import LOSSES, WITHOUT_MODEL, FittedModel, short_name
from fairmi.audit.parts import Condition, conditional_figures, conditions_of, label_conditions
from fairmi.audit.predictions import Forecasts, Predictions, missing_parts, read_answers
from fairmi.audit.probable import probable_figures
from fairmi.audit.quantities import GroupMoments
from fairmi.audit.report import Audit
from fairmi.audit.warehouse import count_table
from fairmi.exceptions import SmallGroupWarning
from fairmi.inspection import gap_importance
from fairmi.metrics._rows import comparable_groups

__all__ = ["audit"]

PACKAGES = ("fairmi", "scikit-learn", "numpy")


@validate_params(
    {
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "favourable": ["boolean"],
        "n_boot": [Interval(Integral, 100, None, closed="left")],
        "n_jobs": [Integral, None],
        "task": [StrOptions({"auto", "classification", "regression"})],
        "loss": [StrOptions({"auto", *LOSSES})],
        "random_state": ["random_state"],
        "verbose": ["boolean", Integral],
    },
    prefer_skip_nested_validation=True,
)
def audit(
    estimator: Predictor | None = None,
    X: TableLike | None = None,
    y: ColumnLike | None = None,
    *,
    sensitive_features: SensitiveLike,
    y_pred: ColumnLike | None = None,
    y_score: TableLike | None = None,
    pos_label: Hashable | None = None,
    favourable: bool = False,
    baseline: Predictor | ColumnLike | None = None,
    conditions: Any = "auto",
    clusters: ColumnLike | None = None,
    bins: Any = 4,
    sensitive_kinds: Kinds | None = None,
    gap_columns: Any = None,
    task: str = "auto",
    loss: str = "auto",
    confidence: float = 0.95,
    n_boot: int = 1000,
    n_jobs: int | None = None,
    random_state: RandomState | None = None,
    verbose: bool | int = False,
    table: Any = None,
) -> Audit:
    """Measure how fair a fitted classifier or regressor is, on rows that it was not trained on.

    By group: rates as fairlearn defines them (of numbers: means and errors), the disparities
    between groups over all rows and within parts of them, and calibration. Then what the
    representation, the scores and the predictions tell of the sensitive features, by themselves
    and given the label: what a fresh probe recovers, mutual information in nats, and, where a
    representation has few values, a bound on the demographic parity difference of anything that
    is computed from it. Each with an interval, and with the value that chance alone gives on as
    many rows.

    Parameters
    ----------
    estimator : classifier or regressor, default=None
        Fitted; fairmi's or any other of scikit-learn's kind, a pipeline or search included. Where
        its `predict` takes sensitive features or a random state, as fairlearn's
        ThresholdOptimizer and ExponentiatedGradient do, it gets them. None where `y_pred` is
        given.
    X : {array-like, sparse matrix, DataFrame} of shape (n_rows, n_features), default=None
        Rows that neither the estimator nor the choice of it has seen, which nothing can check: of
        training rows no figure here holds for others, and no certificate holds. With `y_pred`
        they serve `conditions` alone.
    y : array-like of shape (n_rows,), default=None
        Their labels, in the form that the estimator was fitted on. None where nobody knows them:
        then all that needs no label is measured, and a note says what is missing.
    sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
        Groups of the rows. Several columns are audited one by one and as intersections.
    y_pred : array-like of shape (n_rows,), default=None
        Predictions, in place of an estimator.
    y_score : array-like of shape (n_rows,) or (n_rows, n_classes), default=None
        Scores that go with `y_pred`. Probabilities, from 0 to 1, are examined for calibration.
    pos_label : label, default=None
        The class whose rates matter. By default the second of two classes; of more than two, each
        against the rest.
    favourable : bool, default=False
        Whether `pos_label` is what people hope for, such as a loan. The report then holds the
        selection rates against the four-fifths rule of hiring in the US, which is about benefits.
    baseline : classifier or array-like of shape (n_rows,), default=None
        A fitted classifier to compare with, such as one that was trained without any penalty, or
        its predictions.
    conditions : "auto", None, list of columns of X, or table of shape (n_rows, n_conditions)
        Within what parts of the rows groups are compared (of more than two classes within each
        label too): of each value of these columns, or of each quarter of a numeric one. "auto"
        takes all columns of X, if there are at most 100.
    clusters : array-like of shape (n_rows,), default=None
        Labels of rows that belong together, such as one person's. All figures take whole
        clusters for what is independent.
    bins : int, sequence of float, or dict, default=4
        Groups that a continuous sensitive feature, such as age in years, is cut into: so many of
        about as many rows each, or those between these ends; by name of column in a dict. Probes
        and information are of its values, not of the groups.
    sensitive_kinds : None, "probabilities", or dict of str to str, default=None
        As in `fit`: "categorical" or "continuous" by name of column, or "probabilities" of groups
        (of one feature, or under a header of two levels). Then rates are weighted, and beside
        each difference stands what it can be at least and at most; what needs the group of each
        row is left out, and a note says so.
    gap_columns : None, "all", list of columns, or dict of str to list of columns, default=None
        Columns of X, or named sets of them, of which to measure how much of the gap goes where
        they are permuted (:func:`fairmi.inspection.gap_importance`), on at most 10,000 rows.
    task : {"auto", "classification", "regression"}, default="auto"
        What is audited. "auto" asks the estimator; of `y_pred` it is regression where y holds
        more than two numbers, and there are fractions.
    loss : {"auto", "squared_error", "poisson", "gamma"}, default="auto"
        Of a regressor. "poisson" and "gamma" have a log link: means are compared by ratios too,
        and errors by the deviance. "auto" reads it off the estimator.
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
    table : DuckDB relation, polars LazyFrame or other table, default=None
        Predictions that stay where they lie: any table that narwhals reads (Dask, PySpark, Ibis,
        pandas too), which is counted there. Then y, y_pred, y_score, baseline, sensitive_features
        and conditions are names of its columns; there are no conditions but those that are named.

    Returns
    -------
    Audit
        Prints as a table; see also its ``to_frame``, ``to_dict``, ``to_json``, ``to_csv``,
        ``to_html`` and ``to_card``.

    Raises
    ------
    ValueError
        If y or the predictions don't fit together, hold missing values or are no classes, if
        `estimator` is no fitted classifier, if the indexes of pandas arguments differ, or if a
        table lacks a column, or has values so many that they can't be counted.
    SensitiveFeaturesError
        If the sensitive features are missing or malformed, or hold one group.

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
    against the rest, and the largest disparity counts. Groups of fewer than 30 (independent) rows
    have no part in disparities, unless fewer than two have as many; a note lists them. A rate has
    one interval wherever it is compared: the true positive rate's holds together with the false
    positive rate's, in equal opportunity too.

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

    Of a regressor, means and errors have Student's intervals (of what is never negative, those of
    the logarithm), by sums over clusters where there are some. Differences have the joint limits
    of all groups, squared and added [2]_ [4]_. The distances KS and Wasserstein-1 are off by at
    most the distance of the errors of the distribution functions; that is drawn from each group's
    own rows, as many as are independent. So these two intervals are wider than need be where
    groups are far apart. Within parts of the rows, and in pictures, Kolmogorov's quantile stands
    for the draws. Over 100,000 distinct predictions are merged to as many.

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
    >>> (odds,) = [f for f in report.figures if f.measure == "equalized_odds_difference"]
    >>> print(f"{odds.value:.2f} ({odds.low:.2f} to {odds.high:.2f}): {odds.verdict}")
    0.17 (0.06 to 0.28): found
    """
    if favourable and pos_label is None:
        raise ValueError(
            "favourable=True says that the positive label is a benefit; say which label that is "
            "by pos_label."
        )
    if gap_columns is not None and estimator is None:
        raise ValueError("gap_columns needs an estimator, which predicts again; give it and X.")
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    rows = {"y": y, "y_pred": y_pred, "y_score": y_score, "baseline": baseline}
    is_probable = names_probabilities(sensitive_kinds)
    predictions: Predictions | Forecasts
    rival: Predictions | Forecasts | None
    left_out: list[str] = []
    if table is not None:
        predictions, rival, frame, splits = count_table(
            table,
            rows,
            sensitive_features,
            conditions,
            others={
                "estimator": estimator,
                "X": X,
                "clusters": clusters,
                'task="regression"': task == "regression" or None,
                'sensitive_kinds="probabilities"': is_probable or None,
            },
            pos_label=pos_label,
            n_sampled=MAX_CERTIFIED,
            seed=seed,
        )
    else:
        check_indexes(
            X=X,
            **rows,
            sensitive_features=sensitive_features,
            conditions=conditions,
            clusters=clusters,
        )
        ask = partial(FittedModel, X=X, sensitive_features=sensitive_features, seed=seed)
        predictions, rival = read_answers(ask, estimator, rows, clusters, pos_label, task, loss)
        splits, left_out = conditions_of(X, conditions, predictions.n_rows)
        frame = sensitive_frame(sensitive_features)
    splits = [*label_conditions(predictions), *splits]
    attributes: list[tuple[Groups, np.ndarray | None]] = []
    notes: list[str] = []
    if not is_probable:
        attributes, notes = _attributes(predictions, frame, bins, sensitive_kinds)
    elif isinstance(predictions, Forecasts) or gap_columns is not None:
        raise ValueError(
            "Groups known by probabilities have rates of classes alone: neither a regressor nor "
            "gap_columns can be audited by them; give the group of each row."
        )
    tasks: list[Task] = []
    for groups, quantity in attributes:
        planned, unprobed = leakage_tasks(predictions, groups, confidence, seed, quantity)
        tasks += planned
        left_out += unprobed
        if gap_columns is not None and estimator is not None and len(groups.names) == 1:
            asked = (estimator, X, y, groups, gap_columns, pos_label, confidence, seed)
            tasks.append(partial(_importance, *asked))
    everyone_and_groups = [None, *(groups for groups, _ in attributes)]
    of: Any = GroupMoments if isinstance(predictions, Forecasts) else GroupRates
    rated = [of(predictions, groups) for groups in everyone_and_groups]
    before = [None if rival is None else of(rival, groups) for groups in everyone_and_groups]
    rng = np.random.default_rng(seed)
    draws: dict[str, Any] = {"confidence": confidence, "n_boot": n_boot, "rng": rng}
    bar = tqdm(total=len(rated) + len(tasks), desc="audit", disable=not verbose, leave=False)
    with bar:
        figures, curves = _compare(rated, before, splits, draws, bar)
        for probed in Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(task)() for task in tasks
        ):
            figures += probed
            bar.update()
    about = _about(estimator, baseline, X, predictions, rated[1:])
    if is_probable and isinstance(predictions, Predictions):
        of_groups, name, sizes = probable_figures(predictions, frame, sensitive_kinds, **draws)
        figures += of_groups
        about |= {"sensitive features": [name], "groups": {name: sizes}}
        notes.append(
            "Groups are known by probabilities: leakage, information, certificates, calibration "
            "by group and differences within parts need the group of each row, and were not "
            "measured."
        )
    small = small_groups(rated[1:], clustered=predictions.clusters is not None)
    repeated = repeated_note(X, predictions.clusters, rated[-1].codes) if attributes else ""
    for note, category in ((small, SmallGroupWarning), (repeated, UserWarning)):
        if note:
            warnings.warn(note, category, stacklevel=3)
    notes = [small, repeated, *notes, *missing_parts(predictions), *left_out]
    about |= {"favourable": favourable, "confidence": confidence, "draws": n_boot}
    about["date"] = date.today().isoformat()
    about["versions"] = {package: version(package) for package in PACKAGES}
    return Audit(about, tuple(figures), tuple(curves), tuple(filter(None, notes)))


def _attributes(
    predictions: Predictions | Forecasts, frame: pd.DataFrame, bins: Any, kinds: Kinds | None
) -> tuple[list[tuple[Groups, np.ndarray | None]], list[str]]:
    """Return groups by each sensitive feature, then by all of them together, and notes.

    With them the values of a feature that is a quantity, whose groups are its bins.
    """
    counts, n_rows = predictions.counts, len(predictions.true)
    notes: list[str] = []
    quantities: dict[str, np.ndarray] = {}
    if len(frame) == n_rows:
        frame, quantities = binned(frame, bins, kinds, counts)
    for name in quantities:
        cut = sorted(set(frame[name]))
        names = "; ".join(group_names(Groups(np.arange(len(cut)), tuple(cut), (name,))))
        notes.append(f"{name} is a quantity, and its groups are bins (bins=): {names}.")
    columns = [frame.iloc[:, [j]] for j in range(frame.shape[1])]
    if frame.shape[1] > 1 and len(frame) == n_rows:
        columns.append(frame)
    else:
        columns = [frame]
    # The rules of comparable_groups are of rows; cells say nothing of them.
    read = partial(comparable_groups if counts is None else group_rows, n_rows=n_rows)
    return [
        (read(part), quantities.get(str(part.columns[0])) if part.shape[1] == 1 else None)
        for part in columns
    ], notes


def _importance(
    model: Predictor,
    X: TableLike | None,
    y: ColumnLike | None,
    groups: Groups,
    columns: Any,
    pos_label: Hashable | None,
    confidence: float,
    seed: int,
) -> list[Figure]:
    """Return how much of the gap goes where columns are permuted, the most first."""
    names = np.array(group_names(groups), dtype=object)[groups.codes]
    rows = draw_rows(len(names), None, MAX_PROBED, seed)
    table = gap_importance(
        model,
        safe_indexing(X, rows),
        names[rows],
        None if y is None else safe_indexing(y, rows),
        columns=None if isinstance(columns, str) and columns == "all" else columns,
        pos_label=pos_label,
        confidence=confidence,
        random_state=seed,
    ).to_frame()
    return [
        Figure(
            "importance",
            row.measure,
            row.importance,
            row.low,
            row.high,
            n=len(rows),
            attribute=attribute_name(groups),
            subject=str(row.columns),
            verdict=FOUND if row.low > 0 else NOTHING,
        )
        for row in table.itertuples()
    ]


def _compare(
    rated: Sequence[GroupRates | GroupMoments],
    before: Sequence[Any],
    conditions: list[Condition],
    draws: dict[str, Any],
    bar: Any,
) -> tuple[list[Figure], list[Curve]]:
    """Return figures of all rows, then of each attribute's groups, and changes from a baseline.

    Of groups their disparities and calibration too; within parts of the rows not of intersections.
    """
    figures: list[Figure] = []
    curves: list[Curve] = []
    for now, then in zip(rated, before, strict=True):
        groups, confidence = now.groups, draws["confidence"]
        figures += now.figures("overall" if groups is None else "group", confidence)
        if groups is not None:
            figures += now.disparities("disparity", **draws)
            if len(groups.names) == 1:
                figures += conditional_figures(now.answers, groups, conditions, confidence)
        if then is not None:
            section = "baseline" if groups is None else "baseline group"
            figures += then.figures(section, confidence)
            if groups is not None:
                figures += then.disparities("baseline", **draws)
            figures += now.changes(then, **draws)
        if groups is not None:
            calibration, of_scores = calibration_figures(now.answers, groups, **draws)
            figures += calibration
            curves += [*now.curves(confidence), *of_scores]
        bar.update()
    return figures, curves


def _about(
    estimator: Predictor | None,
    baseline: object,
    X: TableLike | None,
    predictions: Predictions | Forecasts,
    rated: Sequence[GroupFigures],
) -> dict[str, Any]:
    """Return what was audited, on what, and against what."""
    clusters, counts, labels, y = predictions.clusters, predictions.counts, {}, ""
    positive = None
    if isinstance(predictions, Predictions):
        positive = predictions.positive_label
        if predictions.labelled:
            names = map(str, predictions.classes)
            sizes = np.bincount(predictions.true, counts, minlength=len(predictions.classes))
            labels = dict(zip(names, map(int, sizes), strict=True))
    elif predictions.labelled:
        y = "y {:.4g} on average, from {:.4g} to {:.4g}".format(
            *(f(predictions.true) for f in (np.mean, np.min, np.max))
        )
    of_groups = {}
    for one in rated:
        sizes = np.bincount(one.codes, counts, len(one.names))
        of_groups[one.attribute] = dict(zip(one.names, map(int, sizes), strict=True))
    shape = None if X is None else getattr(X, "shape", None) or np.asarray(X).shape
    return {
        "model": WITHOUT_MODEL if estimator is None else short_name(estimator),
        "baseline": None if baseline is None else short_name(baseline),
        "features": None if shape is None else int(shape[1]) if len(shape) > 1 else 1,
        "task": "classification" if isinstance(predictions, Predictions) else "regression",
        "rows": predictions.n_rows,
        "clusters": None if clusters is None else int(clusters.max()) + 1,
        "labels": labels,
        "y": y,
        "positive label": positive,
        "sensitive features": list(
            dict.fromkeys(name for one in rated if one.groups for name in one.groups.names)
        ),
        "groups": of_groups,
    }
