"""MIDebiasedClassifierCV: λ chosen under a bound on unfairness."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar, Self

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_is_fitted

from fairmi._data.fit_input import FitInput, read_fit_input
from fairmi._data.saved_format import of_this_format, with_format
from fairmi._data.sensitive import check_certain
from fairmi._data.tables import n_rows
from fairmi._sklearn_compat import DocLinkMixin, HasMethods, Interval, StrOptions
from fairmi.exceptions import CollapseWarning, SensitiveFeaturesError, warn_again
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import best_under_bound
from fairmi.networks.reducer import check_alone
from fairmi.path._folds import (
    FitRows,
    Measures,
    broken_promises,
    fit_and_score,
    frontier_of,
    results_of,
    score_fold,
)
from fairmi.path._memory import KeptJobs
from fairmi.path._path import check_estimator, check_lams


class MIDebiasedClassifierCV(
    DocLinkMixin, ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator
):
    """A classifier of fairmi with λ chosen by cross-validation under a bound on unfairness.

    In each fold all λ train at once, and once more on all rows. Of the λ whose unfairness on rows
    that were held out is within `bound` the one of the best score is used, unless its refit is far
    from what the folds promised: then the next best. The models of the other λ are kept, and
    `set_operating_point` moves to one of them without training.

    Parameters
    ----------
    estimator : classifier, default=None
        A classifier of fairmi whose `lam` is chosen; None is `MIDebiasedClassifier()`.
    lams : int or sequence of float, default=10
        Values of λ; see `fairmi.path.fairness_path`.
    cv : int, splitter or iterable of (train, test), default=5
        Folds; an int makes stratified folds of y, not shuffled.
    bound : float, default=0.05
        Greatest unfairness allowed.
    metric : str or callable, default="demographic_parity_difference"
        What measures unfairness, 0 being fair: see `fairmi.metrics.make_fairness_scorer`.
    scoring : str or callable, default="accuracy"
        What is maximised within the bound: a scorer of scikit-learn.
    rule : {"mean", "one_standard_error"}, default="mean"
        What is held against the bound: the mean over folds, or the mean plus a standard error.
    n_jobs : int, default=None
        Processes for the folds; None is 1 unless in a `joblib.parallel_config` context.
    memory : str, path or joblib.Memory, default=None
        Directory that keeps each fold as it ends, so that a search which was killed goes on from
        there in the next `fit` with the same data, estimator, `lams`, folds and measures, in
        whatever process. Nothing is reused where one of these is another, or a version of fairmi,
        numpy, scikit-learn or torch. The estimator's `random_state` must be an int. Functions
        and classes of yours are told apart by their names: clear the directory when you change
        their code. What is kept is a pickle: use a directory that no one else can write to.

    Attributes
    ----------
    bound_ : float
        The bound within which it was chosen.
    lam_ : float
        The λ in use.
    lams_ : ndarray of shape (n_lams,)
        All λ.
    model_ : classifier
        The model in use, fitted to all rows.
    models_ : list of classifiers
        The models of all λ, fitted to all rows.
    frontier_ : DataFrame of n_lams rows
        `lam`, and for the score and the metric the mean over folds and its standard error:
        `mean_accuracy`, `se_accuracy`, `mean_demographic_parity_difference`, ...
    cv_results_ : dict of ndarray
        As of GridSearchCV; the metric has its own sign, not a negated one. `refit_broken` says of
        which λ the refit is far from what its folds promised.
    best_index_ : int
        Position of the λ in use.
    classes_, n_features_in_, feature_names_in_
        As in `MIDebiasedClassifier`.

    See Also
    --------
    fairmi.model_selection.best_under_bound : The same choice in scikit-learn's GridSearchCV.

    References
    ----------
    See `MIDebiasedClassifier`.

    Examples
    --------
    >>> from fairmi import MIDebiasedClassifier, MIDebiasedClassifierCV
    >>> from fairmi.datasets import load_german
    >>> X, y = load_german(return_X_y=True)
    >>> search = MIDebiasedClassifierCV(
    ...     MIDebiasedClassifier(max_iter=20, random_state=0), lams=[0, 4, 8], cv=3, bound=0.2)
    >>> search = search.fit(X, y, sensitive_features=X["age"] > 25)
    >>> search.frontier_.columns.tolist()[:3]
    ['lam', 'mean_accuracy', 'se_accuracy']
    >>> bool(search.lam_ == search.frontier_["lam"][search.best_index_])
    True
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [None, HasMethods(["fit", "fit_path"])],
        "lams": [Interval(Integral, 2, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "bound": [Interval(Real, 0, None, closed="left")],
        "metric": [str, callable],
        "scoring": [str, callable],
        "rule": [StrOptions({"mean", "one_standard_error"})],
        "n_jobs": [None, Integral],
        "memory": [None, str, PathLike, HasMethods(["cache"])],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        lams: int | Sequence[float] = 10,
        cv: Any = 5,
        bound: float = 0.05,
        metric: str | Callable[..., float] = "demographic_parity_difference",
        scoring: str | Callable[..., float] = "accuracy",
        rule: str = "mean",
        n_jobs: int | None = None,
        memory: Any = None,
    ) -> None:
        self.estimator = estimator
        self.lams = lams
        self.cv = cv
        self.bound = bound
        self.metric = metric
        self.scoring = scoring
        self.rule = rule
        self.n_jobs = n_jobs
        self.memory = memory

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train at every λ, in every fold and on all rows, and choose λ.

        Parameters
        ----------
        X, y, sensitive_features : as in `MIDebiasedClassifier.fit`
        sample_weight : array-like of shape (n_rows,), default=None
            As there; the metrics on held-out rows are weighted alike.

        Returns
        -------
        MIDebiasedClassifierCV
            The fitted estimator.

        Raises
        ------
        SensitiveFeaturesError, ValueError
            As `MIDebiasedClassifier.fit`; also where `metric` can't compare the groups, and where
            `memory` can't tell whether a fold is the same.
        KeyboardInterrupt
            If the search is interrupted; the estimator is left as it was.

        Warns
        -----
        InfeasibleBoundWarning
            If no λ is within the bound; the one that comes closest is used.
        CollapseWarning
            If the refit of the best λ is far from what its folds promised, and the next is used.
        CollapseWarning, ConvergenceWarning
            As `MIDebiasedClassifier.fit`, of the model that is used.
        """
        self._validate_params()
        check_alone("MIDebiasedClassifierCV")
        estimator = clone(check_estimator(self.estimator))
        lams = check_lams(self.lams, estimator)
        measures = self._measures()
        given = read_fit_input(estimator._row_options(), X, y, sensitive_features, sample_weight)
        codes = self._group_codes(given, n_rows(X))
        rows = FitRows(X, y, sensitive_features, sample_weight, codes)
        splits = list(check_cv(self.cv, y, classifier=True).split(X, y))
        shared = (estimator, lams, rows, measures)
        kept = KeptJobs(self.memory, estimator, shared)
        jobs = [kept.delayed(fit_and_score, "refit", *shared)]
        jobs += [kept.delayed(score_fold, "fold", *shared, split, part=split) for split in splits]
        (models, refit), *found = joblib.Parallel(n_jobs=self.n_jobs)(jobs)
        values = np.array(found)
        results = results_of(lams, values, measures.names)
        n_held_out = min(len(held_out) for _, held_out in splits)
        results["refit_broken"] = broken_promises(values, np.array(refit), n_held_out)
        for name, value in given.header.attributes.items():
            setattr(self, name, value)
        self.models_, self.lams_, self.cv_results_ = models, lams, results
        self.set_operating_point(self.bound)
        warn_again(self.model_.warnings_, stacklevel=2)
        return self

    def set_operating_point(self, bound: float) -> Self:
        """Use the model of the best λ whose unfairness is within `bound`; nothing is trained.

        Parameters
        ----------
        bound : float
            Greatest unfairness allowed, 0 or more.

        Returns
        -------
        MIDebiasedClassifierCV
            The estimator.

        Warns
        -----
        InfeasibleBoundWarning, CollapseWarning
            As `fit`.
        """
        check_is_fitted(self, "models_")
        measures = self._measures()
        choose = best_under_bound(
            measures.unfairness_name, bound, maximize=measures.score_name, rule=self.rule
        )
        first = choose(self.cv_results_)
        broken = self.cv_results_["refit_broken"]
        self.best_index_ = first
        if broken[first] and not broken.all():
            key = f"mean_test_{measures.score_name}"
            kept = np.where(broken, np.nan, self.cv_results_[key])
            self.best_index_ = choose({**self.cv_results_, key: kept})
        if broken[first]:
            self._warn_of_refit(first)
        self.bound_ = float(bound)
        self.lam_ = float(self.lams_[self.best_index_])
        self.model_ = self.models_[self.best_index_]
        return self

    def _warn_of_refit(self, first: int) -> None:
        used = float(self.lams_[self.best_index_])
        instead = f"λ = {used:g} is used instead" if used != self.lams_[first] else "it is used"
        warnings.warn(
            f"The model of λ = {self.lams_[first]:g}, refitted to all rows, is far from what its "
            f"folds promised (score or unfairness outside their spread, or diverged); {instead}. "
            "More rows, more folds or another random_state of the estimator may help.",
            CollapseWarning,
            stacklevel=3,
        )

    @property
    def frontier_(self) -> pd.DataFrame:
        """Score and metric of each λ: mean over folds and its standard error."""
        check_is_fitted(self, "models_")
        return frontier_of(self.lams_, self.cv_results_, self._measures().names)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row, (n_rows,)."""
        return self._model().predict(X)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n_rows, n_classes)."""
        return self._model().predict_proba(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return log odds (n_rows,) for two classes, else a score for each class."""
        return self._model().decision_function(X)

    def transform(self, X: Any) -> np.ndarray:
        """Return Z, (n_rows, n_components), from which predictions are made."""
        return self._model()._representation(X)

    @property
    def classes_(self) -> np.ndarray:
        """The classes."""
        return self._model().classes_

    def _model(self) -> Any:
        check_is_fitted(self, "model_")
        return self.model_

    def _group_codes(self, given: FitInput, n_rows: int) -> np.ndarray:
        """Return the code of each row's group, (n_rows,), -1 where none is known or counts."""
        attribute = given.sensitive.attributes[0]
        if not attribute.n_groups:
            raise SensitiveFeaturesError(
                f"The sensitive features are continuous, and metric={self.metric!r} compares "
                "groups; use fairmi.path.fairness_path, and measure its models by what fits."
            )
        check_certain(given.sensitive, f"metric={self.metric!r} of a search")
        codes = np.full(n_rows, -1)
        codes[given.positions] = np.where(attribute.known, attribute.codes, -1)
        return codes

    def _measures(self) -> Measures:
        score = self.scoring
        unfairness = make_fairness_scorer(self.metric)
        return Measures(
            score if isinstance(score, str) else getattr(score, "__name__", "score"),
            get_scorer(score),
            unfairness.name,
            unfairness,
        )

    @property
    def _n_features_out(self) -> int:
        return self._model()._n_features_out

    def __getstate__(self) -> dict[str, Any]:
        """Return plain data and models of fairmi alone."""
        return with_format(dict(super().__getstate__()))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data.

        Raises
        ------
        ValueError
            If it was saved in another format.
        """
        super().__setstate__(of_this_format(state, type(self)))

    def __sklearn_tags__(self) -> Any:
        """Take what the estimator takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags = check_estimator(self.estimator).__sklearn_tags__().input_tags
        return tags


# Saved models name the public place of a class, which stays where its file moves.
MIDebiasedClassifierCV.__module__ = "fairmi"
