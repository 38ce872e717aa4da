"""MIDebiasedClassifierCV: λ chosen under a bound on unfairness."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import joblib
import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_is_fitted

from fairmi._classifier import MIDebiasedClassifier
from fairmi._compat import Interval, StrOptions
from fairmi._errors import SensitiveFeaturesError
from fairmi._inputs import all_or_nothing
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import best_under_bound
from fairmi.path._folds import (
    Measures,
    Rows,
    fit_models,
    frontier_of,
    results_of,
    score_fold,
)
from fairmi.path._path import base_estimator, check_lams


class MIDebiasedClassifierCV(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator
):
    """MIDebiasedClassifier with λ chosen by cross-validation under a bound on unfairness.

    In each fold all λ train at once, and once more on all rows. Of the λ whose unfairness on rows
    that were held out is within `bound` the one of the best score is used; the models of the other
    λ are kept, and `set_operating_point` moves to one of them without training.

    Parameters
    ----------
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
    constraint, penalty, sensitive_columns, drop_sensitive, missing_sensitive, \
sensitive_kinds, group_weight, weighted, hidden_layer_sizes, n_components, n_levels, \
n_estimators, n_critic_steps, max_iter, batch_size, learning_rate, weight_decay, dropout, \
early_stopping, validation_fraction, n_iter_no_change, callbacks, device, verbose, random_state
        As in `MIDebiasedClassifier`.

    Attributes
    ----------
    lam_ : float
        The λ in use.
    lams_ : ndarray of shape (n_lams,)
        All λ.
    model_ : MIDebiasedClassifier
        The model in use, fitted to all rows.
    models_ : list of MIDebiasedClassifier
        The models of all λ, fitted to all rows.
    frontier_ : DataFrame of n_lams rows
        `lam`, and for the score and the metric the mean over folds and its standard error:
        `mean_accuracy`, `se_accuracy`, `mean_demographic_parity_difference`, ...
    cv_results_ : dict of ndarray
        As of GridSearchCV; the metric has its own sign, not a negated one.
    best_index_ : int
        Place of the λ in use.
    classes_, n_features_in_, feature_names_in_
        As in `MIDebiasedClassifier`.

    References
    ----------
    See `MIDebiasedClassifier`.

    Examples
    --------
    >>> from fairmi import MIDebiasedClassifierCV
    >>> from fairmi.datasets import load_german
    >>> X, y = load_german(return_X_y=True)
    >>> search = MIDebiasedClassifierCV(lams=[0, 4, 8], cv=3, bound=0.2, max_iter=20,
    ...     random_state=0)
    >>> search = search.fit(X, y, sensitive_features=X["age"] > 25)
    >>> search.frontier_.columns.tolist()[:3]
    ['lam', 'mean_accuracy', 'se_accuracy']
    >>> bool(search.lam_ == search.frontier_["lam"][search.best_index_])
    True
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "lams": [Interval(Integral, 2, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "bound": [Interval(Real, 0, None, closed="left")],
        "metric": [str, callable],
        "scoring": [str, callable],
        "rule": [StrOptions({"mean", "one_standard_error"})],
        "n_jobs": [None, Integral],
        **{
            name: constraint
            for name, constraint in MIDebiasedClassifier._parameter_constraints.items()
            if name not in ("lam", "schedule", "warm_start")
        },
    }

    def __init__(
        self,
        *,
        lams: int | Sequence[float] = 10,
        cv: Any = 5,
        bound: float = 0.05,
        metric: str | Callable[..., float] = "demographic_parity_difference",
        scoring: str | Callable[..., float] = "accuracy",
        rule: str = "mean",
        n_jobs: int | None = None,
        constraint: str = "demographic_parity",
        penalty: Any = "donsker_varadhan",
        sensitive_columns: Any = None,
        drop_sensitive: bool = False,
        missing_sensitive: str = "error",
        sensitive_kinds: Any = None,
        group_weight: str | None = None,
        weighted: str = "both",
        hidden_layer_sizes: Sequence[int] = (128,),
        n_components: int | None = None,
        n_levels: int = 17,
        n_estimators: int = 1,
        n_critic_steps: int | None = None,
        max_iter: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        dropout: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        callbacks: Sequence[Callable[[dict[str, float]], bool | None]] | None = None,
        device: str = "auto",
        verbose: bool | int = False,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.lams = lams
        self.cv = cv
        self.bound = bound
        self.metric = metric
        self.scoring = scoring
        self.rule = rule
        self.n_jobs = n_jobs
        self.constraint = constraint
        self.penalty = penalty
        self.sensitive_columns = sensitive_columns
        self.drop_sensitive = drop_sensitive
        self.missing_sensitive = missing_sensitive
        self.sensitive_kinds = sensitive_kinds
        self.group_weight = group_weight
        self.weighted = weighted
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_components = n_components
        self.n_levels = n_levels
        self.n_estimators = n_estimators
        self.n_critic_steps = n_critic_steps
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

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
            As `MIDebiasedClassifier.fit`; also where `metric` can't compare the groups.

        Warns
        -----
        InfeasibleBoundWarning
            If no λ is within the bound; the one that comes closest is used.
        CollapseWarning, ConvergenceWarning
            As `MIDebiasedClassifier.fit`, of the model that is used.
        """
        self._validate_params()
        lams = check_lams(self.lams)
        measures = self._measures()
        base = base_estimator(self._shared())
        codes = self._group_codes(base, X, y, sensitive_features, sample_weight)
        rows = Rows(X, y, sensitive_features, sample_weight, codes)
        splits = list(check_cv(self.cv, y, classifier=True).split(X, y))
        with all_or_nothing(self):
            jobs = [joblib.delayed(fit_models)(base, lams, rows)]
            jobs += [joblib.delayed(score_fold)(base, lams, rows, s, measures) for s in splits]
            (self.models_, told), *found = joblib.Parallel(n_jobs=self.n_jobs)(jobs)
            values = np.array(found)
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(base, name):
                    setattr(self, name, getattr(base, name))
            self.lams_ = lams
            self.cv_results_ = results_of(lams, values, measures.names)
            self.frontier_ = frontier_of(lams, values, measures.names)
            self.set_operating_point(self.bound)
        for warning in told[self.best_index_]:
            warnings.warn(warning, stacklevel=2)
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
        """
        check_is_fitted(self, "models_")
        measures = self._measures()
        choose = best_under_bound(
            measures.unfairness_name, bound, maximize=measures.score_name, rule=self.rule
        )
        self.best_index_ = choose(self.cv_results_)
        self.lam_ = float(self.lams_[self.best_index_])
        self.model_ = self.models_[self.best_index_]
        return self

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
        return self._model().transform(X)

    @property
    def classes_(self) -> np.ndarray:
        """The classes."""
        return self._model().classes_

    def _model(self) -> MIDebiasedClassifier:
        check_is_fitted(self, "model_")
        return self.model_

    def _shared(self) -> dict[str, Any]:
        own = set(MIDebiasedClassifier._get_param_names())
        return {k: v for k, v in self.get_params(deep=False).items() if k in own}

    def _group_codes(
        self, base: MIDebiasedClassifier, X: Any, y: Any, sensitive: Any, weights: Any
    ) -> np.ndarray:
        given = base._check(X, y, sensitive, weights, reset=True)
        plan = base._plan(given)
        rows = plan.rows(given.sensitive, n_rows=len(given.y), argument=given.argument)
        groups = rows.attributes[0].groups
        if groups is None:
            raise SensitiveFeaturesError(
                f"{given.argument} is continuous, and metric={self.metric!r} compares groups; use "
                "fairmi.path.fairness_path, and measure its models by what fits."
            )
        return np.where(rows.attributes[0].known, groups, -1)

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

    def __sklearn_tags__(self) -> Any:
        """Take what MIDebiasedClassifier takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags = MIDebiasedClassifier().__sklearn_tags__().input_tags
        return tags
