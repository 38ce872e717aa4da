"""MIDebiasedClassifierCV: λ chosen under a bound on unfairness."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from fairmi._data.fit_input import read_fit_input
from fairmi._data.saved_format import of_this_format, with_format
from fairmi._data.sensitive import check_certain
from fairmi._data.tables import n_rows
from fairmi._sklearn_compat import DocLinkMixin, HasMethods, Interval, StrOptions
from fairmi.exceptions import (
    CollapseWarning,
    InfeasibleBoundWarning,
    SensitiveFeaturesError,
    warn_again,
)
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import best_under_bound
from fairmi.networks.reducer import check_alone
from fairmi.path._folds import (
    FitRows,
    Judged,
    Pooled,
    check_folds,
    far_from_folds,
    finer_lams,
    fit_and_judge,
    jackknife_error,
    judge_fold,
)
from fairmi.path._memory import KeptJobs
from fairmi.path._path import check_estimator, check_lams, last_step

Splits = Sequence[tuple[np.ndarray, np.ndarray]]

_MIN_TO_REFINE = 6  # values of λ, of which a third is put where neighbours differ


@dataclass(frozen=True)
class Trained:
    """The models of some λ (n_lams,) on all rows, and what those of folds make of held-out rows.

    `scores` (n_folds, n_lams) are those of each fold.
    """

    lams: np.ndarray
    models: list[Any]
    refit: Judged
    held_out: Judged
    scores: np.ndarray

    def merged(self, other: Trained) -> Trained:
        """Return both, by λ."""
        lams = np.concatenate([self.lams, other.lams])
        order = np.argsort(lams)

        def both(a: Judged, b: Judged) -> Judged:
            scores = np.concatenate([a.scores, b.scores])[order]
            return Judged(scores, np.concatenate([a.labels, b.labels])[order])

        models = [*self.models, *other.models]
        return Trained(
            lams[order],
            [models[k] for k in order],
            both(self.refit, other.refit),
            both(self.held_out, other.held_out),
            np.hstack([self.scores, other.scores])[:, order],
        )


class MIDebiasedClassifierCV(
    DocLinkMixin, ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator
):
    """A classifier of fairmi with λ chosen by cross-validation under a bound on unfairness.

    In each fold all λ train at once, and once more on all rows. Unfairness is measured on the
    held-out predictions of all folds together. Of the λ whose unfairness is within `bound` the one
    of the best score is used, unless its refit is far from what the folds promised: then the next
    best. The models of the other λ are kept, and
    `set_operating_point` moves to one of them without training.

    Parameters
    ----------
    estimator : classifier or Pipeline, default=None
        A classifier of fairmi whose `lam` is chosen, or a Pipeline that ends in one; None is
        `MIBoostingClassifier()`.
    lams : int or sequence of float, default=10
        Values of λ; see `fairmi.path.fairness_path`. Of an int from 6 on a third is put where the
        unfairness of neighbours differs most, in a second training.
    cv : int, splitter or iterable of (train, test), default=5
        Folds; an int makes stratified folds of y, not shuffled.
    bound : float, default=0.05
        Greatest unfairness allowed.
    metric : str or callable, default="demographic_parity_difference"
        What measures unfairness, 0 being fair: see `fairmi.metrics.make_fairness_scorer`.
    scoring : str or callable, default="accuracy"
        What is maximised within the bound: a scorer of scikit-learn.
    rule : {"mean", "one_standard_error"}, default="mean"
        What is held against the bound: the unfairness of all held-out predictions together, or
        that plus its standard error.
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
        `lam`; mean over folds of the score, and its standard error: `mean_accuracy`,
        `se_accuracy`; of the metric the value on all held-out predictions together, its standard
        error by a jackknife, and what a fair classifier of as many labels exceeds in one draw of
        ten: `demographic_parity_difference`, `se_...`, `floor_...`.
    cv_results_ : dict of ndarray
        As of GridSearchCV for the score; for the metric `pooled_test_...`, `se_test_...` and
        `floor_test_...`. `refit_broken` says of which λ the refit is far from what its folds
        promised.
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
        "estimator": [None, HasMethods(["fit"])],
        "lams": [Interval(Integral, 2, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "bound": [Interval(Real, 0, None, closed="left")],
        "metric": [str, callable],
        "scoring": [str, callable],
        "rule": [StrOptions({"mean", "one_standard_error"})],
        "n_jobs": [None, Integral],
        "memory": [None, str, PathLike, HasMethods(["cache"])],
        "verbose": ["verbose"],
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
        verbose: bool | int = 0,
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
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train at every λ, in every fold and on all rows, and choose λ.

        Parameters
        ----------
        X, y, sensitive_features : as in `MIDebiasedClassifier.fit`
        sample_weight : array-like of shape (n_rows,), default=None
            As there; the metrics on held-out rows are weighted alike.
        groups : array-like of shape (n_rows,), default=None
            What a splitter such as GroupKFold keeps together.

        Returns
        -------
        MIDebiasedClassifierCV
            The fitted estimator.

        Raises
        ------
        SensitiveFeaturesError, ValueError
            As `MIDebiasedClassifier.fit`; also where a fold lacks a class, `metric` can't compare
            the groups, or `memory` can't tell whether a fold is the same.
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
        lams, n_finer = check_lams(self.lams, estimator), 0
        if isinstance(self.lams, int | np.integer) and self.lams >= _MIN_TO_REFINE:
            n_finer = int(self.lams) // 3
            lams = check_lams(int(self.lams) - n_finer, estimator)
        score, measure = get_scorer(self.scoring), make_fairness_scorer(self.metric)
        codes = self._group_codes(estimator, X, y, sensitive_features, sample_weight)
        rows = FitRows(X, y, sensitive_features, sample_weight, codes)
        splits = list(check_cv(self.cv, y, classifier=True).split(X, y, groups))
        labels = np.asarray(y)
        check_folds(splits, labels, codes)
        trained = self._trained(estimator, lams, rows, score, splits)
        index = np.concatenate([held_out for _, held_out in splits])
        known = codes[index] >= 0
        pooled = Pooled(
            measure,
            known,
            labels[index][known],
            codes[index][known],
            None if sample_weight is None else np.asarray(sample_weight)[index][known],
            np.unique(labels),
        )
        if n_finer:
            unfairness = np.array([pooled.value(of[known]) for of in trained.held_out.labels])
            finer = finer_lams(lams, unfairness, n_finer)
            trained = trained.merged(self._trained(estimator, finer, rows, score, splits))
        measured = [self._measured(pooled, of[known]) for of in trained.held_out.labels]
        results = self._results(trained, measure.name, np.array(measured))
        results["refit_broken"] = far_from_folds(
            trained.refit, trained.held_out, index, pooled, labels
        )
        self.models_, self.lams_, self.cv_results_ = trained.models, trained.lams, results
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(trained.models[0], name):
                setattr(self, name, getattr(trained.models[0], name))
        self.set_operating_point(self.bound)
        warn_again(last_step(self.model_).warnings_, stacklevel=2)
        return self

    def _trained(
        self, estimator: Any, lams: np.ndarray, rows: FitRows, score: Any, splits: Splits
    ) -> Trained:
        """Train at some λ on all rows and in each fold, side by side."""
        shared = (estimator, lams.tolist(), rows, score)
        kept = KeptJobs(self.memory, estimator, shared)
        jobs = [kept.delayed(fit_and_judge, "refit", *shared)]
        jobs += [kept.delayed(judge_fold, "fold", *shared, split, part=split) for split in splits]
        ended = joblib.Parallel(n_jobs=self.n_jobs, return_as="generator")(jobs)
        shown = tqdm(ended, total=len(jobs), desc="fits", unit="fold", disable=not self.verbose)
        (models, refit), *folds = list(shown)
        scores = np.stack([of.scores for of in folds])
        held_out = Judged(scores.mean(axis=0), np.hstack([of.labels for of in folds]))
        return Trained(lams, models, refit, held_out, scores)

    def _measured(self, pooled: Pooled, labels: np.ndarray) -> tuple[float, float, float]:
        """Return unfairness, its standard error, and what a fair classifier would show."""
        error = jackknife_error(pooled.without_blocks(labels))
        return pooled.value(labels), error, pooled.floor(labels)

    def _results(self, trained: Trained, metric: str, measured: np.ndarray) -> dict[str, Any]:
        name, n_folds = self._score_name(), len(trained.scores)
        results: dict[str, Any] = {
            "param_lam": trained.lams,
            "params": [{"lam": float(lam)} for lam in trained.lams],
        }
        for k, of_fold in enumerate(trained.scores):
            results[f"split{k}_test_{name}"] = of_fold
        results[f"mean_test_{name}"] = trained.scores.mean(axis=0)
        results[f"std_test_{name}"] = trained.scores.std(axis=0)
        spread = trained.scores.std(axis=0, ddof=1) if n_folds > 1 else trained.scores[0] * np.nan
        results[f"se_test_{name}"] = spread / np.sqrt(n_folds)
        for key, values in zip(("pooled", "se", "floor"), measured.T, strict=True):
            results[f"{key}_test_{metric}"] = values
        return results

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
        score, metric = self._score_name(), make_fairness_scorer(self.metric).name
        results, broken = self.cv_results_, self.cv_results_["refit_broken"]
        unfairness = results[f"pooled_test_{metric}"]
        if self.rule == "one_standard_error":
            unfairness = unfairness + results[f"se_test_{metric}"]
        choose = best_under_bound(metric, bound, maximize=score)
        found = {"params": results["params"], f"mean_test_{metric}": unfairness}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InfeasibleBoundWarning)
            first = choose(found | {f"mean_test_{score}": results[f"mean_test_{score}"]})
            kept = np.where(broken, np.nan, results[f"mean_test_{score}"])
            use = choose(found | {f"mean_test_{score}": kept}) if not broken.all() else first
        self.best_index_ = use if broken[first] else first
        self.bound_ = float(bound)
        self.lam_ = float(self.lams_[self.best_index_])
        self.model_ = self.models_[self.best_index_]
        if unfairness[first] > bound:
            self._warn_of_bound(metric, unfairness[first])
        if broken[first]:
            self._warn_of_refit(first)
        return self

    def _warn_of_bound(self, metric: str, unfairness: float) -> None:
        floor = self.cv_results_[f"floor_test_{metric}"][self.best_index_]
        if floor > self.bound_:
            why = (
                f"On so few rows even a fair classifier shows {floor:.2g} or more in one draw of "
                "ten: give more rows, or raise the bound."
            )
        else:
            why = "Give larger values of lams, or raise the bound."
        warnings.warn(
            f"No λ has a {metric} within {self.bound_:g} on held-out rows; λ = {self.lam_:g}, of "
            f"{unfairness:.3g}, is the closest and is used. {why}",
            InfeasibleBoundWarning,
            stacklevel=3,
        )

    def _warn_of_refit(self, first: int) -> None:
        used = float(self.lams_[self.best_index_])
        instead = f"λ = {used:g} is used instead" if used != self.lams_[first] else "it is used"
        warnings.warn(
            f"The model of λ = {self.lams_[first]:g}, refitted to all rows, is far from what its "
            "folds promised on the same rows (fewer right, more unfairness, one class, or it "
            f"diverged); {instead}. "
            "More rows, more folds or another random_state of the estimator may help.",
            CollapseWarning,
            stacklevel=3,
        )

    @property
    def frontier_(self) -> pd.DataFrame:
        """Score and unfairness of each λ on held-out rows, with standard errors."""
        check_is_fitted(self, "models_")
        score, metric = self._score_name(), make_fairness_scorer(self.metric).name
        results = self.cv_results_
        return pd.DataFrame(
            {
                "lam": self.lams_,
                f"mean_{score}": results[f"mean_test_{score}"],
                f"se_{score}": results[f"se_test_{score}"],
                metric: results[f"pooled_test_{metric}"],
                f"se_{metric}": results[f"se_test_{metric}"],
                f"floor_{metric}": results[f"floor_test_{metric}"],
            }
        )

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

    def _group_codes(
        self, estimator: Any, X: Any, y: Any, sensitive_features: Any, sample_weight: Any
    ) -> np.ndarray:
        """Return the code of each row's group, (n,), -1 where none is known or counts."""
        last = last_step(estimator)
        if last is not estimator and len(estimator) > 1:
            X = clone(estimator[:-1]).fit_transform(X, y)
        given = read_fit_input(last._row_options(), X, y, sensitive_features, sample_weight)
        attribute = given.sensitive.attributes[0]
        if not attribute.n_groups:
            raise SensitiveFeaturesError(
                f"The sensitive features are continuous, and metric={self.metric!r} compares "
                "groups; use fairmi.path.fairness_path, and measure its models by what fits."
            )
        check_certain(given.sensitive, f"metric={self.metric!r} of a search")
        codes = np.full(n_rows(X), -1)
        codes[given.positions] = np.where(attribute.known, attribute.codes, -1)
        return codes

    def _score_name(self) -> str:
        return (
            self.scoring
            if isinstance(self.scoring, str)
            else getattr(self.scoring, "__name__", "score")
        )

    @property
    def _n_features_out(self) -> int:
        return last_step(self._model())._n_features_out

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
        tags.input_tags = get_tags(check_estimator(self.estimator)).input_tags
        return tags


# Saved models name the public place of a class, which stays where its file moves.
MIDebiasedClassifierCV.__module__ = "fairmi"
