"""FairThresholdClassifier: the best decisions under a bound, from any classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import partial
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from fairmi._base import DecidingClassifier
from fairmi._data.fit_input import read_fit_input
from fairmi._data.tables import sensitive_columns_of
from fairmi._sklearn_compat import (
    AUTO,
    COLUMNS,
    CONSTRAINTS,
    MISSING,
    NOT_NEGATIVE,
    HasMethods,
    parameter,
    seed_of,
    with_parameters,
)
from fairmi._typing import Columns, RandomState, SensitiveLike, TableLike
from fairmi.decisions.boosting import cross_fit, group_codes, one_hot, read_splits, row_draws
from fairmi.decisions.rule import (
    Decision,
    ScoredRows,
    best_decision,
    margins,
    notes_of_rule,
    rules_from_plain,
    rules_to_plain,
)
from fairmi.exceptions import Note, warn_of


@with_parameters
class FairThresholdClassifier(MetaEstimatorMixin, DecidingClassifier):
    """The most accurate decisions of a classifier whose rates differ by at most a bound.

    **The decisions are fair, the scores are not**: who looks at the probabilities behind them can
    tell the groups apart, and no certificate follows. Where scores or a representation must be
    fair, take `MIBoostingClassifier` or `MIDebiasedClassifier`. For decisions alone this is more
    accurate at the same bound, and takes a second or two.

    A row, whose group is read from a column or estimated by a second classifier, gets the class y
    that maximises

        P(y | x) - sum over groups c of  multiplier[c, y] * P(c | x) / P(c)

    which is the best rule for a bound on differences of selection rates; within a class, for
    equalized odds. Other bounds cost no training: see `path` and `with_bound`. Sensitive features
    are needed at fit alone, unless they are columns of X.

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
        the classifier alone and is decided by P(y | x).
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
    sensitive_kinds_ : dict
        What each sensitive feature was taken for: "categorical".
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
    fairlearn.postprocessing.ThresholdOptimizer : A random threshold for each group, which must be
        given at prediction.

    References
    ----------
    .. [1] W. Chen, Y. Klochkov, Y. Liu, "Post-hoc Bias Scoring is Optimal for Fair
       Classification", ICLR 2024, arXiv 2310.05725.
    .. [2] R. Xian, H. Zhao, "A Unified Post-Processing Framework for Group Fairness in
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

    _has_history: ClassVar = False

    estimator: BaseEstimator | None = parameter(
        None, HasMethods(["fit", "predict_proba"]), default=None, kw_only=False
    )
    bound: float = parameter(NOT_NEGATIVE, default=0.02)
    constraint: str = parameter(CONSTRAINTS, default="demographic_parity")
    sensitive_columns: Columns | None = parameter(None, *COLUMNS, default=None)
    drop_sensitive: bool = parameter("boolean", default=False)
    missing_sensitive: str = parameter(MISSING, default="error")
    group_estimator: BaseEstimator | None = parameter(
        None, HasMethods(["fit", "predict_proba"]), default=None
    )
    randomized: bool = parameter("boolean", default=False)
    cv: Any = parameter(AUTO, "cv_object", default="auto")
    random_state: RandomState = parameter("random_state", default=None)

    _rows: ScoredRows | None = field(init=False)

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
        sensitive_features : array-like of shape (n_rows,) or (n_rows, n_sensitive), default=None
            Groups, each combination of several columns. None where `sensitive_columns` names some.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows, in the classifiers, the accuracy and the rates.

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
        inputs = read_fit_input(self._row_options(), X, y, sensitive_features, sample_weight)
        codes = group_codes(inputs)
        seed = seed_of(self.random_state)
        splits = read_splits(self.cv, inputs, len(np.asarray(y)))
        labels, weights = inputs.classes[inputs.codes], inputs.task_weights
        fit = partial(cross_fit, inputs.features, weights, codes, splits=splits, seed=seed)
        reads = self._reads_group()
        estimator, probabilities = fit(labels, self.estimator, "estimator", own_rows=reads)
        group_estimator, membership = None, one_hot(codes, inputs.plan.n_groups[0])
        if not reads:
            group_estimator, membership = fit(codes, self.group_estimator, "group_estimator")
        rows = ScoredRows.of(
            probabilities, membership, codes, inputs.codes, weights, self.constraint
        )
        decision = best_decision(rows, self.bound, randomized=self.randomized)
        learned = {
            "estimator_": estimator,
            "group_estimator_": group_estimator,
            "_cells": rows.cells,
            "_rows": rows,
            "_salt": seed,
            "_decisions": {float(self.bound): decision},
        }
        return self._store(inputs, learned)._warned(inputs.notes, decision)

    def path(self, bounds: Sequence[float]) -> pd.DataFrame:
        """Return what the rule of each bound reaches; nothing is trained.

        Parameters
        ----------
        bounds : sequence of float
            Each 0 or more.

        Returns
        -------
        DataFrame
            A row for each: `bound`, and `accuracy` and `unfairness` as in the attributes.

        Raises
        ------
        ValueError
            As `with_bound`.
        """
        rules = [(bound, self._decision(bound)) for bound in bounds]
        reached = [(float(bound), of.accuracy, of.unfairness) for bound, of in rules]
        return pd.DataFrame(reached, columns=["bound", "accuracy", "unfairness"])

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
        other, parameters = clone(self).set_params(bound=bound), self.get_params(deep=False)
        vars(other).update({k: v for k, v in vars(self).items() if k not in parameters})
        return other._warned([], decision)

    def decision_function(self, X: TableLike) -> np.ndarray:
        """Return P(y | x) less what the multipliers take of it, (n_rows, n_classes).

        Of two classes the second's less the first's, (n_rows,). The scores of a rule say how far a
        row is from being decided otherwise.
        """
        check_is_fitted(self, "classes_")
        features = self._checked_features(X)
        p = np.asarray(self.estimator_.predict_proba(features), dtype=np.float64)
        densities = self._cells.densities(p, self._membership(features))
        decision = self._decision(self.bound)
        single = len(decision.shares) == 1
        drawn = np.zeros(len(p)) if single else row_draws(features, self._salt)
        rule = np.searchsorted(np.cumsum(decision.shares)[:-1], drawn, side="right")
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

    def _membership(self, X: TableLike) -> np.ndarray:
        """Return P(group | x), (n, n_groups); NaN where no group is known."""
        if self.group_estimator_ is not None:
            return np.asarray(self.group_estimator_.predict_proba(X), dtype=np.float64)
        frame = sensitive_columns_of(X, self.sensitive_columns)
        argument = f"sensitive_columns={self.sensitive_columns!r}"
        (read,) = self._sensitive_plan.rows(frame, argument=argument)
        return one_hot(np.where(read.known, read.codes, -1), read.n_groups)

    def _decision(self, bound: Any) -> Decision:
        """Return the rule of a bound, learned now if it was not before."""
        check_is_fitted(self, "classes_")
        is_number = isinstance(bound, Real) and not isinstance(bound, bool)
        if not is_number or not 0 <= bound < np.inf:
            raise ValueError(f"bound={bound!r} must be a finite number of 0 or more.")
        bound, rules, rows = float(bound), self._decisions, self._rows
        if bound in rules:
            return rules[bound]
        if rows is None:
            known = ", ".join(f"{value:g}" for value in sorted(rules))
            raise ValueError(
                f"This model was saved with the rules of the bounds {known} alone, not of "
                f"{bound:g}; call path([{bound:g}]) before you save it, or fit it anew."
            )
        rules[bound] = best_decision(rows, bound, randomized=self.randomized)
        return rules[bound]

    def _warned(self, notes: list[Note], decision: Decision) -> Self:
        """Warn of what was noted, and of what a rule shows; return the model."""
        if self._rows is not None:
            notes = notes + notes_of_rule(
                self._rows,
                decision,
                float(self.bound),
                randomized=self.randomized,
                groups=self.sensitive_values_,
                classes=self.classes_,
            )
        self.warnings_ = [(kind.__name__, text) for kind, text in notes]
        warn_of(notes, stacklevel=3)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return plain data and the fitted classifiers; nothing of single rows."""
        state = super().__getstate__()
        if "_rows" in state:
            state["_rows"] = None
            plain = rules_to_plain(self._cells, self._decisions)
            state["_cells"], state["_decisions"] = plain
        return state

    def _restore(self) -> None:
        saved = vars(self)
        if "_cells" in saved:
            self._cells, self._decisions = rules_from_plain(
                saved["_cells"],
                saved["_decisions"],
                n_groups=len(self.sensitive_values_),
                n_classes=len(self.classes_),
            )

    def __sklearn_tags__(self) -> Any:
        """Take what the classifier takes."""
        tags = super().__sklearn_tags__()
        own = None if self.estimator is None else get_tags(self.estimator).input_tags
        for name in ("allow_nan", "sparse", "categorical"):
            setattr(tags.input_tags, name, own is None or getattr(own, name))
        return tags


# Saved models name the public place of a class, which stays where its file moves.
FairThresholdClassifier.__module__ = "fairmi"
