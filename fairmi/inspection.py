"""Which columns carry the gap: what goes of it where a column is permuted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import norm, rankdata
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.utils import check_random_state

from fairmi._data.groups import Groups, group_rows, sensitive_frame
from fairmi._data.values import check_indexes, is_frame, n_rows
from fairmi._threads import one_thread_if_few
from fairmi._typing import ColumnLike, Predictor, RandomState, SensitiveLike, TableLike
from fairmi.metrics._rows import comparable_groups

__all__ = ["GapImportance", "gap_importance"]

FOLDS = 5
# A figure, what each row adds to it, (n,), of mean 0 (its influence function), and the two groups
# that it is between, None for a figure of all.
Value = tuple[float, np.ndarray, tuple[int, int] | None]


@dataclass(frozen=True)
class GapImportance:
    """How much of each figure goes where a set of columns is permuted.

    Attributes
    ----------
    columns : tuple of str
        Names of the sets of columns, C of them.
    measures : dict of str to float
        The figures of the model as it is, M of them.
    importance : ndarray of shape (C, M)
        The figure less its mean over permutations: positive where the gap closes.
    standard_error : ndarray of shape (C, M)
        Of the importance, over rows and permutations.
    confidence : float
        Of the intervals.
    """

    columns: tuple[str, ...]
    measures: dict[str, float]
    importance: np.ndarray
    standard_error: np.ndarray
    confidence: float

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each measure and set of columns, the most important first.

        Columns measure, columns, importance, low, high, value (of the model as it is), share (of
        it that goes; for an AUC of what it has above 0.5).
        """
        margin = norm.isf((1 - self.confidence) / 2) * self.standard_error
        records = []
        for m, (measure, value) in enumerate(self.measures.items()):
            above = value - 0.5 if measure == "probe_auc" else value
            for c in np.argsort(-self.importance[:, m], kind="stable"):
                change = self.importance[c, m]
                ends = change - margin[c, m], change + margin[c, m]
                share = change / above if above else np.nan
                records.append((measure, self.columns[c], change, *ends, value, share))
        names = ["measure", "columns", "importance", "low", "high", "value", "share"]
        return pd.DataFrame(records, columns=names)

    def __repr__(self) -> str:
        return self.to_frame().to_string(index=False, float_format="{:.3f}".format)


def gap_importance(
    model: Predictor,
    X: TableLike,
    sensitive_features: SensitiveLike,
    y: ColumnLike | None = None,
    *,
    columns: Mapping[str, Sequence[Any]] | Sequence[Any] | None = None,
    strata: SensitiveLike | None = None,
    pos_label: Hashable | None = None,
    probe: str | BaseEstimator = "auto",
    n_repeats: int = 5,
    confidence: float = 0.95,
    n_jobs: int | None = None,
    random_state: RandomState = None,
) -> GapImportance:
    """Measure how much of the gap between groups goes where a column is permuted.

    **This is no causal statement.** It says what this model, as it is, reads from a column. A
    model trained without the column may read the same from others that go with it, and columns
    that share what they tell each look less important than they are together: give these as one
    set.

    Parameters
    ----------
    model : estimator
        Fitted, of any package: a classifier, or a regressor.
    X : {array-like, DataFrame} of shape (n_rows, n_features)
        Rows that the model has not seen.
    sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
        Groups of the rows; several columns make intersections.
    y : array-like of shape (n_rows,), default=None
        Labels. With them the gaps in true and false positive rate and the accuracy (of a
        regressor: minus the mean squared error) are measured too.
    columns : list of columns, dict of str to list of columns, or None
        Each column of a list by itself, or named sets whose columns are permuted together, by one
        permutation. Names, or positions of an array. None for each column of X.
    strata : array-like or table of shape (n_rows,) or (n_rows, n_columns), default=None
        Rows are permuted within rows of equal values alone, such as those of one label: then what
        goes is what the column tells beyond these.
    pos_label : label, default=None
        The class whose rates matter, by default the second of two.
    probe : "auto", classifier of scikit-learn's kind, or None
        What is trained, by cross-fitting, to recover the group from the model's scores. "auto" is
        a small boosting; None leaves it out.
    n_repeats : int, default=5
        Permutations of each set.
    confidence : float, default=0.95
        Of each interval by itself.
    n_jobs : int or None, default=None
        Sets measured side by side, as in joblib.
    random_state : int, RandomState instance or None, default=None
        Seed of permutations and folds.

    Returns
    -------
    GapImportance
        Its measures are "selection_rate", "true_positive_rate" and "false_positive_rate" (of a
        regressor "mean_prediction"): the rate of the group where it is highest less that where it
        is lowest, of the model as it is; these two groups stay. "probe_auc": what a fresh probe
        recovers of the group, the mean over groups of each against the rest. "accuracy".

    Raises
    ------
    ValueError
        If `columns` names what X has not, the model has more than two classes and no `pos_label`
        is given, or the arguments differ in length.
    SensitiveFeaturesError
        If the sensitive features are missing, malformed, or hold one group.

    Notes
    -----
    The idea is Breiman's [1]_, with a gap in the place of the score.
    :func:`sklearn.inspection.permutation_importance` has one column at a time, no strata, and its
    intervals are over permutations alone. Here they are over rows: every figure has an influence
    function, for a rate by the rows of its group, for an AUC by the placements of DeLong [2]_, and
    the variance of its change is that of the mean change of the rows' influence.
    Probes are taken as they came out: the interval of "probe_auc" does not know that other rows
    would have trained another.

    References
    ----------
    .. [1] L. Breiman, Random Forests, Machine Learning 45 (2001).
    .. [2] E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Comparing the areas under two or more
       correlated receiver operating characteristic curves, Biometrics 44 (1988).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairmi.inspection import gap_importance
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 3))
    >>> group = X[:, 0] + rng.normal(size=2000) > 0
    >>> model = LogisticRegression().fit(X, X[:, 0] + X[:, 1] > 0)
    >>> found = gap_importance(model, X, group, probe=None, random_state=0).to_frame()
    >>> found[["columns", "share"]].round(1).head(1).to_dict("list")
    {'columns': ['0'], 'share': [1.0]}
    """
    check_indexes(X=X, y=y, sensitive_features=sensitive_features, strata=strata)
    if hasattr(X, "toarray"):
        raise TypeError("X is sparse; give X.toarray(), or a DataFrame.")
    if not is_frame(X):
        X = np.asarray(X)
    n = n_rows(X)
    sets = _named_sets(X, columns)
    groups = comparable_groups(sensitive_features, n)
    labels = None if y is None else sensitive_frame(y, argument="y").iloc[:, 0].to_numpy()
    if labels is not None and len(labels) != n:
        raise ValueError(f"y has {len(labels)} rows, but X has {n}; give one for each row of X.")
    layers = np.zeros(n, dtype=np.int64)
    if strata is not None:
        layers = group_rows(strata, n_rows=n, argument="strata", at_least=1).codes
    if not n_repeats >= 1:
        raise ValueError(f"n_repeats={n_repeats!r} is too few; give 1 or more.")
    rng = check_random_state(random_state)
    if isinstance(probe, str):
        probe = HistGradientBoostingClassifier(
            max_iter=30, max_leaf_nodes=8, early_stopping=False, random_state=0
        )
    figures = partial(
        _figures,
        model=model,
        groups=groups,
        labels=labels,
        positive=_positive(model, pos_label),
        probe=probe,
        folds=int(rng.randint(2**31 - 1)),
    )
    plain = figures(X, {})
    pairs = {name: pair for name, (_, _, pair) in plain.items()}
    seeds = rng.randint(2**31 - 1, size=len(sets))
    tasks = (
        delayed(_change)(X, chosen, layers, partial(figures, pairs=pairs), plain, n_repeats, seed)
        for chosen, seed in zip(sets.values(), seeds, strict=True)
    )
    changes = np.array(Parallel(n_jobs)(tasks))
    values = {name: value for name, (value, _, _) in plain.items()}
    return GapImportance(tuple(sets), values, changes[:, 0], changes[:, 1], confidence)


def _named_sets(X: Any, columns: Any) -> dict[str, list[Any]]:
    """Return the columns of each set by its name, checked."""
    known = list(range(X.shape[1])) if isinstance(X, np.ndarray) else list(X.columns)
    if columns is None:
        columns = known
    if isinstance(columns, str | int):
        columns = [columns]
    if not isinstance(columns, Mapping):
        columns = {str(name): [name] for name in columns}
    sets = {str(name): list(chosen) for name, chosen in columns.items()}
    if not sets:
        raise ValueError("columns is empty; name some columns of X, or give None for each.")
    for name, chosen in sets.items():
        unknown = [column for column in chosen if column not in known]
        if unknown or not chosen:
            raise ValueError(
                f"columns: the set {name!r} is {chosen!r}, and X has no column "
                f"{unknown[0] if unknown else ''!r}; it has {known[:20]}."
            )
    return sets


def _positive(model: Predictor, pos_label: Hashable) -> Any:
    """Return the class whose rates matter, None for a regressor."""
    # A model of another package may have no tags of scikit-learn's.
    has_tags = not hasattr(model, "classes_") and hasattr(model, "__sklearn_tags__")
    if has_tags and is_regressor(model):
        return None
    classes = np.asarray(getattr(model, "classes_", [])).tolist()
    if pos_label is None and len(classes) == 2:
        return classes[1]
    if pos_label is None or (classes and pos_label not in classes):
        raise ValueError(
            f"pos_label={pos_label!r}, and the model's classes are {classes}; name the one whose "
            "rates matter."
        )
    return pos_label


def _figures(
    X: TableLike,
    pairs: Mapping[str, tuple[int, int] | None],
    *,
    model: Predictor,
    groups: Groups,
    labels: np.ndarray | None,
    positive: Hashable,
    probe: str | BaseEstimator,
    folds: int,
) -> dict[str, Value]:
    """Return the figures of the model on X; those between two groups are so by `pairs`.

    Where a pair is missing, it is that of the groups whose means are furthest apart.
    """
    asked = ("predict_proba", "decision_function") if positive is not None else ()
    method = next((name for name in asked if hasattr(model, name)), None)
    with one_thread_if_few(len(groups.codes)):
        predicted = np.asarray(model.predict(X))
        answers = (predicted if positive is None else predicted == positive).astype(float)
        scores = np.asarray(getattr(model, method)(X)) if method else answers
    everyone = np.ones(len(predicted), dtype=bool)
    parts = {"mean_prediction" if positive is None else "selection_rate": everyone}
    if positive is not None and labels is not None:
        parts["true_positive_rate"] = labels == positive
        parts["false_positive_rate"] = labels != positive
    figures: dict[str, Value] = {}
    for name, rows in parts.items():
        means = pd.Series(answers[rows]).groupby(groups.codes[rows]).mean()
        if len(means) < 2:
            raise ValueError(
                "y: only one group has rows of a class, so that no gap can be measured in it; "
                "give more rows, or leave y out."
            )
        pair = pairs.get(name) or (int(means.idxmax()), int(means.idxmin()))
        figures[name] = _gap(answers, rows, groups.codes, pair)
    if probe is not None:
        figures["probe_auc"] = _probe_auc(probe, scores, groups, folds)
    if labels is not None:
        right = -((labels - predicted) ** 2) if positive is None else predicted == labels
        name = "minus_squared_error" if positive is None else "accuracy"
        figures[name] = (float(np.mean(right)), right - np.mean(right), None)
    return figures


def _gap(answers: np.ndarray, rows: np.ndarray, codes: np.ndarray, pair: tuple[int, int]) -> Value:
    """Return the mean of one group's answers less that of another's."""
    value, influence = 0.0, np.zeros(len(answers))
    for sign, group in zip((1, -1), pair, strict=True):
        of_group = rows & (codes == group)
        mean = answers[of_group].mean()
        value += sign * mean
        influence[of_group] += sign * (answers[of_group] - mean) / of_group.mean()
    return float(value), influence, pair


def _probe_auc(
    probe: str | BaseEstimator, scores: np.ndarray, groups: Groups, folds: int
) -> Value:
    """Return what a probe recovers out of fold: the mean AUC of each group against the rest."""
    Z = scores.reshape(len(scores), -1)
    if Z.shape[1] == 2:  # of two probabilities one tells the other
        Z = Z[:, 1:]
    smallest = int(groups.counts.min())
    if smallest < FOLDS:
        raise ValueError(
            f"sensitive_features has a group of {smallest} rows, too few to train a probe on "
            f"{FOLDS} folds; leave it out, join it to another, or set probe=None."
        )
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=folds)
    with one_thread_if_few(len(Z)):
        recovered = cross_val_predict(
            clone(probe), Z, groups.codes, cv=cv, method="predict_proba", n_jobs=1
        )
    parts = [_auc(recovered[:, g], groups.codes == g) for g in range(len(groups))]
    values, influences = zip(*parts, strict=True)
    return float(np.mean(values)), np.mean(influences, axis=0), None


def _auc(scores: np.ndarray, is_group: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the AUC of scores for a group; DeLong's placements are what each row adds."""
    ranks = rankdata(scores)
    placement = np.empty(len(scores))
    share = is_group.mean()
    for rows, others in ((is_group, ~is_group), (~is_group, is_group)):
        placement[rows] = (ranks[rows] - rankdata(scores[rows])) / others.sum()
    placement[~is_group] = 1 - placement[~is_group]
    value = float(placement[is_group].mean())
    return value, (placement - value) / np.where(is_group, share, 1 - share)


def _change(
    X: TableLike,
    chosen: list[Any],
    layers: np.ndarray,
    figures: Callable[[Any], dict[str, Value]],
    plain: dict[str, Value],
    n_repeats: int,
    seed: int,
) -> tuple[list[float], list[float]]:
    """Return by how much each figure falls where the columns are permuted, and standard errors."""
    rng = np.random.default_rng(seed)
    n = len(layers)
    by_layer = np.argsort(layers, kind="stable")
    falls = dict.fromkeys(plain, 0.0)
    influence = {name: np.zeros(n) for name in plain}
    for _ in range(n_repeats):
        order = np.empty(n, dtype=np.int64)
        shuffled = rng.permutation(n)
        order[by_layer] = shuffled[np.argsort(layers[shuffled], kind="stable")]
        for name, (value, of_rows, _) in figures(_permuted(X, chosen, order)).items():
            falls[name] += (plain[name][0] - value) / n_repeats
            influence[name] += (plain[name][1] - of_rows) / n_repeats
    errors = [float(np.sqrt(np.mean(of_rows**2) / n)) for of_rows in influence.values()]
    return list(falls.values()), errors


def _permuted(X: Any, chosen: list[Any], order: np.ndarray) -> Any:
    """Return X with the values of some columns taken from the rows of `order`."""
    if isinstance(X, np.ndarray):
        X = X.copy()
        X[:, chosen] = X[order][:, chosen]
        return X
    if isinstance(X, pd.DataFrame):
        X = X.copy()
        for name in chosen:
            X[name] = X[name].iloc[order].set_axis(X.index)
        return X
    frame = nw.from_native(X, eager_only=True)
    rows = order.tolist()
    return frame.with_columns(*[frame[name][rows] for name in chosen]).to_native()
