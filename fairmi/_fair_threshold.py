"""FairThresholdClassifier: the best decisions under a bound, from any classifier."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import sklearn
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from fairmi._data.columns import sensitive_columns_of, without_dropped
from fairmi._data.fit_input import FitInput, RowOptions, read_fit_input
from fairmi._data.saved_format import check_header, of_this_format, with_format
from fairmi._data.sensitive import SensitivePlan
from fairmi._data.tables import Header, check_table, read_columns
from fairmi._sklearn_compat import (
    DocLinkMixin,
    HasMethods,
    Interval,
    StrOptions,
    safe_indexing,
    seed_of,
)
from fairmi._typing import Columns, SensitiveLike, TableLike
from fairmi.decisions.boosting import FEW_ROWS, AveragedBoosting
from fairmi.decisions.rule import (
    Cells,
    Decision,
    ScoredRows,
    best_decision,
    make_cells,
    margins,
    standard_errors,
)
from fairmi.exceptions import (
    CollapseWarning,
    InfeasibleBoundWarning,
    Note,
    SensitiveFeaturesError,
    SmallGroupWarning,
    warn_of,
)

Splits = Sequence[tuple[np.ndarray, np.ndarray]]

_PLAN = "_sensitive_plan"
_N_FOLDS = 5
_SMALLEST_BOUND = 0.01  # below which a group's error is not held against the bound


class FairThresholdClassifier(DocLinkMixin, ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """The most accurate decisions of a classifier whose rates differ by at most a bound.

    **The decisions are fair, the scores are not**: who looks at the probabilities behind them can
    tell the groups apart, and no certificate follows. Where scores or a representation must be
    fair, take `MIBoostingClassifier` or `MIDebiasedClassifier`. For decisions alone this is more
    accurate at the same bound, and takes a second or two.

    A classifier says P(y | x), and a row's group is read from a column or estimated by a second
    classifier. A row then gets the class y that maximises

        P(y | x) - sum over groups c of  multiplier[c, y] * P(c | x) / P(c)

    which is the best rule for a bound on differences of selection rates; within a class, for
    equalized odds. Few multipliers are learned, by convex optimisation, and other bounds cost no
    training: see `path` and `with_bound`. Sensitive features are needed at fit alone, unless they
    are columns of X.

    Parameters
    ----------
    estimator : classifier, default=None
        Any classifier with `predict_proba`, or a Pipeline that ends in one; its probabilities
        should be calibrated. None is gradient boosting of as many rounds as are best on held-out
        rows, averaged over three codes of the categories. One that is fitted is taken as it is
        inside a `sklearn.frozen.FrozenEstimator`; then give `fit` rows that it did not learn.
    bound : float, default=0.02
        Greatest difference of rates between two groups, 0 or more: of P(decided y), of each class
        for itself, or what `constraint` says. It holds on the rows of `fit` (out of fold, where
        `cv` says so); on other rows it holds up to the noise of the groups' sizes.
    constraint : {"demographic_parity", "equalized_odds", "equal_opportunity"}, \
default="demographic_parity"
        Which rates are compared: those of whole groups, those within each class, or those within
        the positive class `classes_[1]`.
    sensitive_columns : str, int or list of these, default=None
        Columns of X, by name or position, that are the sensitive features; the group is then read
        from them at prediction too, unless they are dropped.
    drop_sensitive : bool, default=False
        Whether to keep `sensitive_columns` out of both classifiers. The group is then estimated,
        and X may lack these columns at prediction.
    missing_sensitive : {"error", "category", "mask"}, default="error"
        What a missing sensitive feature is: an error, a group of its own, or a row that trains
        the classifier alone. A masked row is decided by P(y | x).
    group_estimator : classifier, default=None
        What estimates the group from X, where it is not read. None is boosting as above.
    randomized : bool, default=False
        Whether to mix several rules, of which a hash of the row draws one. A mixture meets bounds
        that no single rule meets (equalized odds below about 0.03 on Adult), and is never less
        accurate. But two people whose rows are nearly the same can then be treated differently,
        by a draw that no one can explain to them: think before you set it.
    cv : "auto", int, splitter or iterable, default="auto"
        Folds for the probabilities that multipliers are learned from, each by a model of the other
        folds. "auto" makes five, and none where the own boosting has 10,000 rows or more and the
        group is read; a frozen estimator needs none.
    random_state : int, RandomState instance or None, default=None
        Draws folds and codes of categories, takes the place of each `random_state` of the
        estimators that is None, and salts the hash of `randomized`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X has names that are all strings.
    sensitive_values_ : list
        The groups; a tuple for each where there are several features.
    estimator_ : classifier
        The fitted classifier of y.
    group_estimator_ : classifier or None
        The fitted classifier of the group; None where it is read.
    multipliers_ : DataFrame
        A row for each cell (`group`, and `given` the class within which it is compared), a column
        for each class whose rate is bounded. Of a mixture, those of the likeliest rule.
    accuracy_, unfairness_ : float
        What the rule reaches on the rows that it was learned from: the accuracy that the
        classifier expects, and the largest difference of rates between true groups.
    warnings_ : list of (str, str)
        What the fit warned of: the name of the category, and the message.

    See Also
    --------
    sklearn.model_selection.TunedThresholdClassifierCV : One threshold, chosen by a score.
    fairlearn.postprocessing.ThresholdOptimizer : A random threshold for each group, which must be
        given at prediction.

    References
    ----------
    .. [1] A. Menon, R. Williamson, "The Cost of Fairness in Binary Classification", FAT* 2018.
    .. [2] W. Chen, Y. Klochkov, Y. Liu, "Post-hoc Bias Scoring is Optimal for Fair
       Classification", ICLR 2024, arXiv 2310.05725.
    .. [3] R. Xian, H. Zhao, "A Unified Post-Processing Framework for Group Fairness in
       Classification", 2024, arXiv 2405.04025.

    Examples
    --------
    >>> from fairlearn.metrics import demographic_parity_difference
    >>> from fairmi import FairThresholdClassifier
    >>> from fairmi.datasets import load_adult
    >>> X, y = load_adult(subset="test", return_X_y=True)
    >>> model = FairThresholdClassifier(bound=0.02, sensitive_columns="sex", random_state=0)
    >>> model = model.fit(X[:12000], y[:12000])
    >>> predicted = model.predict(X[12000:]) == ">50K"
    >>> bool(demographic_parity_difference(
    ...     predicted, predicted, sensitive_features=X["sex"][12000:]) < 0.04)
    True
    >>> model.path([0.0, 0.05])["accuracy"].is_monotonic_increasing
    True
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}
    _rows: ScoredRows | None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [None, HasMethods(["fit", "predict_proba"])],
        "bound": [Interval(Real, 0, None, closed="left")],
        "constraint": [StrOptions({"demographic_parity", "equalized_odds", "equal_opportunity"})],
        "sensitive_columns": [None, str, Integral, "array-like"],
        "drop_sensitive": ["boolean"],
        "missing_sensitive": [StrOptions({"error", "category", "mask"})],
        "group_estimator": [None, HasMethods(["fit", "predict_proba"])],
        "randomized": ["boolean"],
        "cv": [StrOptions({"auto"}), "cv_object"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        bound: float = 0.02,
        constraint: str = "demographic_parity",
        sensitive_columns: Columns | None = None,
        drop_sensitive: bool = False,
        missing_sensitive: str = "error",
        group_estimator: Any = None,
        randomized: bool = False,
        cv: Any = "auto",
        random_state: int | RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.bound = bound
        self.constraint = constraint
        self.sensitive_columns = sensitive_columns
        self.drop_sensitive = drop_sensitive
        self.missing_sensitive = missing_sensitive
        self.group_estimator = group_estimator
        self.randomized = randomized
        self.cv = cv
        self.random_state = random_state

    def fit(
        self,
        X: TableLike,
        y: ArrayLike,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the classifiers, and learn the rule from their probabilities.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_features)
            A table that `estimator` reads; without one, numeric, boolean, categorical and text
            columns, missing values included.
        y : array-like of shape (n_rows,)
            Two or more classes, any labels.
        sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or \
(n_rows, n_sensitive), default=None
            Groups; several columns make a group of each combination. May be None only where
            `sensitive_columns` names columns of X.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows, in the classifiers, the accuracy and the rates.

        Returns
        -------
        FairThresholdClassifier
            The fitted estimator.

        Raises
        ------
        SensitiveFeaturesError
            If neither `sensitive_features` nor `sensitive_columns` is given, both are, or a
            sensitive feature is continuous, is missing in a row, or has one value.
        ValueError
            If X, y, weights, folds or a parameter can't be used; the message names it and the fix.

        Warns
        -----
        SmallGroupWarning
            If a group has so few rows that the error of its rate alone is larger than the bound.
        InfeasibleBoundWarning
            If no single rule is within the bound; the closest one is used.
        CollapseWarning
            If one class alone is decided.
        """
        self._validate_params()
        given = read_fit_input(self._row_options(), X, y, sensitive_features, sample_weight)
        codes = _group_codes(given)
        seed = seed_of(self.random_state)
        splits = self._splits(given, len(np.asarray(y)))
        labels, weights = given.classes[given.codes], given.task_weights
        fit = partial(_cross_fit, given.features, weights, codes, splits=splits, seed=seed)
        reads = self._reads_group()
        estimator, probabilities = fit(labels, self.estimator, "estimator", own_rows=reads)
        group_estimator, membership = None, _one_hot(codes, given.plan.n_groups[0])
        if not reads:
            group_estimator, membership = fit(codes, self.group_estimator, "group_estimator")
        cells = make_cells(codes, given.codes, weights, len(given.classes), self.constraint)
        rows = ScoredRows.of(probabilities, membership, codes, given.codes, weights, cells)
        decision = best_decision(rows, self.bound, randomized=self.randomized)
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        for name, value in given.header.attributes.items():
            setattr(self, name, value)
        self.classes_ = given.classes
        self.sensitive_values_ = given.plan.labels
        self.estimator_, self.group_estimator_ = estimator, group_estimator
        self._sensitive_plan, self._kept = given.plan, given.kept
        self._cells, self._rows, self._salt = cells, rows, seed
        self._decisions = {float(self.bound): decision}
        notes = given.notes + self._notes_of(decision)
        self.warnings_ = [(kind.__name__, text) for kind, text in notes]
        warn_of(notes, stacklevel=2)
        return self

    def path(self, bounds: Sequence[float]) -> pd.DataFrame:
        """Return what the rule of each bound reaches; nothing is trained.

        Parameters
        ----------
        bounds : sequence of float
            Each 0 or more.

        Returns
        -------
        DataFrame
            A row for each: `bound`, and `accuracy` and `unfairness` as in `accuracy_` and
            `unfairness_`.

        Raises
        ------
        ValueError
            As `with_bound`.
        """
        decisions = [self._decision(bound) for bound in bounds]
        return pd.DataFrame(
            {
                "bound": np.asarray(bounds, dtype=np.float64),
                "accuracy": [decision.accuracy for decision in decisions],
                "unfairness": [decision.unfairness for decision in decisions],
            }
        )

    def with_bound(self, bound: float) -> Self:
        """Return a fitted copy that decides under another bound; nothing is trained.

        Raises
        ------
        ValueError
            If `bound` is no number of 0 or more; or if the model was saved and loaded, and the
            bound is not among those that `fit`, `path` or `with_bound` had been asked for: the
            rows' probabilities, from which the rule is learned, are not saved.

        Warns
        -----
        SmallGroupWarning, InfeasibleBoundWarning, CollapseWarning
            As `fit`.
        """
        decision = self._decision(bound)
        other = clone(self).set_params(bound=bound)
        learned = {k: v for k, v in vars(self).items() if k not in self.get_params(deep=False)}
        vars(other).update(learned)
        notes = other._notes_of(decision)
        other.warnings_ = [(kind.__name__, text) for kind, text in notes]
        warn_of(notes, stacklevel=2)
        return other

    def predict(self, X: TableLike) -> np.ndarray:
        """Return the class of each row, (n_rows,)."""
        scores = self.decision_function(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]

    def decision_function(self, X: TableLike) -> np.ndarray:
        """Return P(y | x) less what the multipliers take of it, (n_rows, n_classes).

        Of two classes the second's less the first's, (n_rows,). The scores of a rule say how far a
        row is from being decided otherwise; they are not fair themselves.
        """
        check_is_fitted(self, "classes_")
        features = self._checked_features(X)
        p = np.asarray(self.estimator_.predict_proba(features), dtype=np.float64)
        densities = self._cells.densities(p, self._membership(features))
        decision = self._decision(self.bound)
        rule = np.zeros(len(p), dtype=np.int64)
        if len(decision.shares) > 1:
            drawn = row_draws(features, self._salt)
            rule = np.minimum(
                np.searchsorted(np.cumsum(decision.shares), drawn), len(decision.shares) - 1
            )
        scores = np.empty_like(p)
        for k, multipliers in enumerate(decision.multipliers):
            scores[rule == k] = margins(p[rule == k], densities[rule == k], multipliers)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    @property
    def multipliers_(self) -> pd.DataFrame:
        """What each cell adds to the rule of a class."""
        check_is_fitted(self, "classes_")
        decision, cells = self._decision(self.bound), self._cells
        multipliers = decision.multipliers[decision.shares.argmax()]
        frame = pd.DataFrame(multipliers, columns=self.classes_[-multipliers.shape[1] :])
        frame.insert(0, "group", [self.sensitive_values_[c] for c in cells.groups])
        if cells.strata[0] >= 0:
            frame.insert(1, "given", self.classes_[cells.strata])
        return frame

    @property
    def accuracy_(self) -> float:
        """Accuracy that the classifier expects, on the rows that the rule was learned from."""
        check_is_fitted(self, "classes_")
        return self._decision(self.bound).accuracy

    @property
    def unfairness_(self) -> float:
        """Largest difference of rates between true groups, on these rows."""
        check_is_fitted(self, "classes_")
        return self._decision(self.bound).unfairness

    def _reads_group(self) -> bool:
        """Whether the group of a row is read from X at prediction, rather than estimated."""
        return self.sensitive_columns is not None and not self.drop_sensitive

    def _splits(self, given: FitInput, n: int) -> Splits | None:
        """Return the folds (train, test) that a user gives to n rows, of those that count.

        None where cv is "auto".
        """
        if isinstance(self.cv, str):
            return None
        codes, place = np.zeros(n, dtype=np.int64), np.full(n, -1)
        codes[given.positions] = given.codes
        place[given.positions] = np.arange(len(given.positions))
        splits = list(check_cv(self.cv, codes, classifier=True).split(np.zeros(n), codes))
        if not np.array_equal(np.sort(np.concatenate([test for _, test in splits])), np.arange(n)):
            raise ValueError(
                f"cv={self.cv!r} does not hold out each row once; give folds such as "
                "StratifiedKFold(5), or an int."
            )
        counting = [[place[part][place[part] >= 0] for part in split] for split in splits]
        return [(train, test) for train, test in counting if len(test)]

    def _checked_features(self, X: TableLike) -> Any:
        """Return the columns that the classifiers read of a table."""
        names = getattr(self, "feature_names_in_", None)
        header = Header(type(self).__name__, self.n_features_in_, names)
        if len(self._kept) < header.n_features:
            X = without_dropped(X, self._kept, header.n_features, names)
            header = header.of_columns(self._kept)
        return check_table(header.name, X, header)[0]

    def _row_options(self) -> RowOptions:
        return RowOptions(
            name=type(self).__name__,
            constraint=self.constraint,
            sensitive_columns=self.sensitive_columns,
            drop_sensitive=self.drop_sensitive,
            missing_sensitive=self.missing_sensitive,
        )

    def _membership(self, X: TableLike) -> np.ndarray:
        """Return P(group | x), (n, n_groups); NaN where no group is known."""
        if self.group_estimator_ is not None:
            return np.asarray(self.group_estimator_.predict_proba(X), dtype=np.float64)
        frame = sensitive_columns_of(X, self.sensitive_columns)
        argument = f"sensitive_columns={self.sensitive_columns!r}"
        (read,) = self._sensitive_plan.rows(frame, n_rows=len(frame), argument=argument)
        return _one_hot(np.where(read.known, read.codes, -1), read.n_groups)

    def _decision(self, bound: Any) -> Decision:
        """Return the rule of a bound, learned now if it was not before."""
        check_is_fitted(self, "classes_")
        is_number = isinstance(bound, Real) and not isinstance(bound, bool)
        if not is_number or not 0 <= bound < np.inf:
            raise ValueError(f"bound={bound!r} must be a finite number of 0 or more.")
        if float(bound) not in self._decisions:
            if self._rows is None:
                known = ", ".join(f"{value:g}" for value in sorted(self._decisions))
                raise ValueError(
                    f"This model was saved with the rules of the bounds {known} alone, not of "
                    f"{bound:g}; call path([{bound:g}]) before you save it, or fit it anew."
                )
            self._decisions[float(bound)] = best_decision(
                self._rows, float(bound), randomized=self.randomized
            )
        return self._decisions[float(bound)]

    def _notes_of(self, decision: Decision) -> list[Note]:
        """Return what to warn of in a rule."""
        if self._rows is None:
            return []
        rows, bound = self._rows, float(self.bound)
        errors = standard_errors(rows, decision)
        small = np.unique(self._cells.groups[errors > max(bound, _SMALLEST_BOUND)])
        decided = np.unique([rows.decided(of) for of in decision.multipliers])
        notes: list[Note] = []
        if len(small):
            names = ", ".join(repr(self.sensitive_values_[c]) for c in small[:5])
            message = (
                f"Groups too small for bound={bound:g}: {names}{', ...' * (len(small) > 5)}. The "
                f"rate of one has a standard error of {errors.max():.2g} on the rows of fit, so "
                "that on new rows the bound is not to be expected; merge groups, give more rows, "
                "or raise the bound."
            )
            notes.append((SmallGroupWarning, message))
        if decision.unfairness > bound + rows.coarseness() + 0.1 * errors.max():
            single, fix = (
                ("", "R") if self.randomized else (" single", "Set randomized=True, or r")
            )
            message = (
                f"No{single} rule was found within bound={bound:g}; the closest one, at "
                f"{decision.unfairness:.3g}, is used. {fix}aise the bound."
            )
            notes.append((InfeasibleBoundWarning, message))
        if len(decided) == 1:
            (label,) = self.classes_[decided].tolist()
            message = (
                f"Every row is decided to be of class {label!r}; raise bound={bound:g}, or give "
                "an estimator whose probabilities tell more of y."
            )
            notes.append((CollapseWarning, message))
        return notes

    def __getstate__(self) -> dict[str, Any]:
        """Return plain data and the fitted classifiers; nothing of single rows."""
        state = dict(super().__getstate__())
        if _PLAN in state:
            state[_PLAN] = state[_PLAN].to_plain()
            state["_rows"] = None
            state["_cells"] = dict(vars(state["_cells"]))
            state["_decisions"] = [
                {"bound": bound, **vars(of)} for bound, of in state["_decisions"].items()
            ]
        return with_format(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data.

        Raises
        ------
        ValueError
            If it was saved in another format, or something in it doesn't fit.
        """
        state = of_this_format(state, type(self))
        if _PLAN in state:
            check_header({**state, "history_": [], "stopped_": None})
            state[_PLAN] = SensitivePlan.from_plain(state[_PLAN])
            cells = state["_cells"] = Cells(**state["_cells"])
            decisions = [dict(of) for of in state["_decisions"]]
            state["_decisions"] = {of.pop("bound"): Decision(**of) for of in decisions}
            n_groups, n_classes = len(state["sensitive_values_"]), len(state["classes_"])
            shape = (len(cells.groups), 1 if n_classes == 2 else n_classes)
            fits = all(
                of.multipliers.shape == (len(of.shares), *shape)
                for of in state["_decisions"].values()
            )
            in_range = (cells.groups >= 0) & (cells.groups < n_groups) & (cells.strata < n_classes)
            if not fits or not in_range.all() or not (cells.shares > 0).all():
                raise ValueError(
                    "_decisions or _cells of this FairThresholdClassifier don't go with its "
                    "groups and classes; fit it anew and save it."
                )
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """Take what the classifier takes."""
        tags = super().__sklearn_tags__()
        own = None if self.estimator is None else get_tags(self.estimator).input_tags
        tags.input_tags.allow_nan = own is None or own.allow_nan
        tags.input_tags.sparse = own is None or own.sparse
        tags.input_tags.categorical = own is None or own.categorical
        return tags


# Saved models name the public place of a class, which stays where its file moves.
FairThresholdClassifier.__module__ = "fairmi"


def row_draws(X: Any, salt: int) -> np.ndarray:
    """Return a number of [0, 1) for each row of a table, (n,), that its values alone set."""
    mixed = np.full(X.shape[0], np.uint64(salt))
    for _, column in read_columns(X):
        values = column.values
        if values.dtype == object:
            values = np.where(pd.isna(values), "", values).astype(str).astype(object)
        else:
            values = values + 0.0  # so that -0.0 is 0.0
        mixed = mixed * np.uint64(6364136223846793005) + pd.util.hash_array(values)
    return pd.util.hash_array(mixed) / 2.0**64


def _group_codes(given: FitInput) -> np.ndarray:
    """Return the code of each row's group, (n,), -1 where it is unknown."""
    (attribute,) = given.members
    if not attribute.n_groups:
        raise SensitiveFeaturesError(
            "The sensitive features are continuous, and a bound on decisions compares groups; cut "
            "them into groups, as by pandas.cut, or take MIDebiasedClassifier."
        )
    return np.where(attribute.known, attribute.codes, -1)


def _one_hot(codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return who is in which group, (n, n_groups); NaN where the code is -1."""
    membership = np.eye(n_groups)[codes]
    membership[codes < 0] = np.nan
    return membership


def _cross_fit(
    X: TableLike,
    weights: np.ndarray,
    groups: np.ndarray,
    y: np.ndarray,
    estimator: BaseEstimator,
    argument: str,
    *,
    splits: Splits | None,
    seed: int,
    own_rows: bool = False,
) -> tuple[Any, np.ndarray]:
    """Return a classifier fitted to all rows, and the probabilities of each (n, n_classes).

    These are of models of other folds; of a frozen classifier, and of the own boosting on many
    rows where `own_rows` allows it, they are its own. Where y are the codes of groups, nothing is
    fitted to the rows whose code is -1.
    """
    known = np.flatnonzero(y >= 0) if argument == "group_estimator" else np.arange(len(y))
    classes = np.unique(y[known])
    if isinstance(estimator, FrozenEstimator):
        fitted_to = np.asarray(getattr(estimator, "classes_", ())).tolist()
        if len(fitted_to) != len(classes) or (y is not groups and fitted_to != classes.tolist()):
            raise ValueError(
                f"{argument}={estimator!r} was fitted to the classes {fitted_to}, but here are "
                f"{classes.tolist()}; give one that was fitted to the same."
            )
        return estimator, np.asarray(estimator.predict_proba(X), dtype=np.float64)
    if estimator is None and splits is None:
        own = AveragedBoosting(random_state=seed)
        rows = (X if len(known) == len(y) else safe_indexing(X, known), y[known], weights[known])
        if own_rows and len(y) >= FEW_ROWS:
            return own.fit(*rows), own.predict_proba(X)
        out_of_fold = own.fit_out_of_fold(*rows)
        probabilities = out_of_fold if len(known) == len(y) else own.predict_proba(X)
        probabilities[known] = out_of_fold
        return own, probabilities
    if estimator is None:
        estimator = AveragedBoosting(random_state=seed)
    probabilities = np.zeros((len(y), len(classes)))
    for train, test in splits or even_folds(y, groups, seed):
        part = _fitted(estimator, argument, X, y, weights, np.intersect1d(train, known), seed)
        columns = np.searchsorted(classes, part.classes_)
        probabilities[np.ix_(test, columns)] = part.predict_proba(safe_indexing(X, test))
    return _fitted(estimator, argument, X, y, weights, known, seed), probabilities


def even_folds(y: np.ndarray, groups: np.ndarray, seed: int) -> Splits:
    """Return folds (train, test) in which each class of each group has its share."""
    order = np.lexsort((np.random.default_rng(seed).permutation(len(y)), groups, y))
    fold = np.empty(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % _N_FOLDS
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(_N_FOLDS)]


def _fitted(
    estimator: BaseEstimator,
    argument: str,
    X: TableLike,
    y: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    seed: int,
) -> Any:
    """Return a copy of a classifier fitted to some rows."""
    fresh = clone(estimator)
    states = fresh.get_params(deep=True)
    unset = [k for k in states if k.split("__")[-1] == "random_state" and states[k] is None]
    fresh.set_params(**dict.fromkeys(unset, seed))
    X = X if len(rows) == len(y) else safe_indexing(X, rows)
    y, weights = y[rows], weights[rows]
    if (weights == weights[0]).all():
        return fresh.fit(X, y)
    if sklearn.get_config()["enable_metadata_routing"]:
        return fresh.fit(X, y, sample_weight=weights)
    is_pipeline = isinstance(fresh, Pipeline)
    if not has_fit_parameter(fresh[-1] if is_pipeline else fresh, "sample_weight"):
        raise ValueError(
            f"{argument}={estimator!r} takes no sample_weight in fit; give it fitted, as "
            "sklearn.frozen.FrozenEstimator(...), or fit without sample_weight."
        )
    name = f"{fresh.steps[-1][0]}__sample_weight" if is_pipeline else "sample_weight"
    return fresh.fit(X, y, **{name: weights})
