"""MIDebiasedClassifierCV and MIDebiasedRegressorCV: λ chosen under a bound on unfairness."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import joblib
import numpy as np
import pandas as pd
from joblib import Memory
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
    is_classifier,
    is_regressor,
)
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import get_tags, indexable
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from fairmi._boosting_classifier import MIBoostingClassifier
from fairmi._boosting_regressor import MIBoostingRegressor
from fairmi._data.fit_input import read_fit_input
from fairmi._data.saved_format import of_this_format, with_format
from fairmi._data.sensitive import check_certain
from fairmi._data.values import n_rows
from fairmi._sklearn_compat import (
    NOT_NEGATIVE,
    TWO_OR_MORE,
    DocLinkMixin,
    HasMethods,
    StrOptions,
    parameter,
    with_parameters,
)
from fairmi._typing import SensitiveLike, TableLike
from fairmi.exceptions import (
    CollapseWarning,
    InfeasibleBoundWarning,
    SensitiveFeaturesError,
    warn_again,
)
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import RULES, best_within
from fairmi.networks.reducer import check_alone
from fairmi.path._folds import (
    Candidate,
    FitRows,
    HeldOut,
    Splits,
    check_folds,
    finer_lams,
    fit_and_judge,
    remembering,
)
from fairmi.path._path import check_estimator, check_lams, last_step, named_scorer

_MIN_TO_REFINE = 6  # values of λ, of which a third is put where neighbours differ


@with_parameters
class BoundedSearch(
    DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """An estimator of fairmi with λ chosen by cross-validation under a bound on unfairness.

    A subclass has the kind of y, by scikit-learn's mixin for it.
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    estimator: BaseEstimator | None = parameter(
        None, HasMethods(["fit"]), default=None, kw_only=False
    )
    lams: int | Sequence[float] = parameter(TWO_OR_MORE, "array-like", default=10)
    cv: int | BaseCrossValidator | Iterable[tuple[np.ndarray, np.ndarray]] = parameter(
        "cv_object", default=5
    )
    bound: float = parameter(NOT_NEGATIVE, default=0.05)
    metric: str | Callable[..., float] = parameter(
        str, callable, default="demographic_parity_difference"
    )
    scoring: str | Callable[..., float] = parameter(str, callable, default="accuracy")
    rule: str = parameter(StrOptions(set(RULES)), default="mean")
    n_jobs: int | None = parameter(None, Integral, default=None)
    memory: str | Path | Memory | None = parameter(
        None, str, PathLike, HasMethods(["cache"]), default=None
    )
    verbose: bool | int = parameter("verbose", default=0)

    def _checked_estimator(self) -> Any:
        """Return the estimator whose λ is chosen; raise TypeError for one of another kind."""
        numbers = isinstance(self, RegressorMixin)
        default = MIBoostingRegressor if numbers else MIBoostingClassifier
        estimator = default() if self.estimator is None else self.estimator
        last = check_estimator(estimator)
        if is_regressor(last) == numbers and is_classifier(last) != numbers:
            return estimator
        instead = "predicts nothing; take fairness_path, and measure its models by what fits."
        if is_regressor(last):
            instead = "predicts numbers; take MIDebiasedRegressorCV."
        elif is_classifier(last):
            instead = "predicts classes; take MIDebiasedClassifierCV."
        raise TypeError(f"estimator={estimator!r} {instead}")

    def fit(
        self,
        X: TableLike,
        y: ArrayLike,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train at every λ, in every fold and on all rows, and choose λ.

        Parameters
        ----------
        X, y, sensitive_features : as in `fit` of the estimator
        sample_weight : array-like of shape (n_rows,), default=None
            As there; the metrics on held-out rows are weighted alike.
        groups : array-like of shape (n_rows,), default=None
            What a splitter such as GroupKFold keeps together.

        Returns
        -------
        MIDebiasedClassifierCV or MIDebiasedRegressorCV
            The fitted estimator.

        Raises
        ------
        SensitiveFeaturesError, ValueError
            As `fit` of the estimator; also where a fold lacks a class, `metric` can't compare
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
            As `fit` of the estimator, of the model that is used.
        """
        self._validate_params()
        check_alone(type(self).__name__)
        estimator = clone(self._checked_estimator())
        shown = last_step(estimator).get_params(deep=False).get("verbose", 0)
        if self.verbose and shown:
            last_step(estimator).set_params(verbose=0)  # bars of fits would run into the search's
        lams, n_finer = check_lams(self.lams, estimator), 0
        if isinstance(self.lams, int | np.integer) and self.lams >= _MIN_TO_REFINE:
            n_finer = int(self.lams) // 3
            lams = check_lams(int(self.lams) - n_finer, estimator)
        (_, score), measure = self._named_scorer(), make_fairness_scorer(self.metric)
        # Folds take rows of each by number: what can't be indexed becomes an array or CSR matrix.
        X, y, sensitive_features, sample_weight = (
            indexable(part)[0] for part in (X, y, sensitive_features, sample_weight)
        )
        rows = (X, y, sensitive_features, sample_weight)
        codes = self._group_codes(estimator, rows)
        labels, classes = np.asarray(y).ravel(), None
        if isinstance(self, RegressorMixin):
            labels = labels.astype(np.float64)
        else:
            classes = np.unique(labels)
        splits = list(check_cv(self.cv, y, classifier=classes is not None).split(X, y, groups))
        check_folds(splits, np.zeros(len(codes)) if classes is None else labels, codes)
        candidates = self._trained(estimator, lams, rows, score, splits)
        index = np.concatenate([held_out for _, held_out in splits])
        weights = None if sample_weight is None else np.asarray(sample_weight)[index]
        held_out = HeldOut(measure, index, labels[index], codes[index], weights, classes)
        if n_finer:
            unfairness = np.array([held_out.value(of.held_out) for of in candidates])
            finer = finer_lams(lams, unfairness, n_finer)
            candidates += self._trained(estimator, finer, rows, score, splits)
            candidates.sort(key=lambda candidate: candidate.lam)
        self.models_ = [candidate.model for candidate in candidates]
        if self.verbose and shown:
            for model in self.models_:
                last_step(model).set_params(verbose=shown)
        self.lams_ = np.array([candidate.lam for candidate in candidates])
        self.cv_results_ = self._results(candidates, held_out)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.models_[0], name):
                setattr(self, name, getattr(self.models_[0], name))
        self.set_operating_point(self.bound)
        if self.verbose:
            tqdm.write(self._choice(), file=sys.stderr)
        warn_again(last_step(self.model_).warnings_, stacklevel=2)
        return self

    def _trained(
        self,
        estimator: BaseEstimator,
        lams: np.ndarray,
        rows: FitRows,
        score: Callable[..., float],
        splits: Splits,
    ) -> list[Candidate]:
        """Train at some λ on all rows and in each fold, side by side."""
        shared = (estimator, lams.tolist(), rows, score)
        delayed = remembering(self.memory, estimator, shared)
        jobs = [delayed(fit_and_judge, *shared, part, part=part) for part in (None, *splits)]
        ended = joblib.Parallel(n_jobs=self.n_jobs, return_as="generator")(jobs)
        results: list[Any] = []
        with tqdm(total=len(jobs), desc="all rows", unit="fit", disable=not self.verbose) as bar:
            for result in ended:
                results.append(result)
                bar.update()
                if len(results) < len(jobs):
                    bar.set_description(f"fold {len(results)} of {len(splits)}, {len(lams)} λ")
        (models, refits), *folds = results
        candidates = []
        for k, (lam, model) in enumerate(zip(lams.tolist(), models, strict=True)):
            refit_score, refit = refits[k]
            scores = np.array([judged[k][0] for _, judged in folds])
            held_out = np.concatenate([judged[k][1] for _, judged in folds])
            candidates.append(Candidate(lam, model, refit_score, refit, scores, held_out))
        return candidates

    def _results(self, candidates: Sequence[Candidate], held_out: HeldOut) -> dict[str, Any]:
        name, metric = self._named_scorer()[0], held_out.measure.name
        scores = np.stack([candidate.scores for candidate in candidates], axis=1)
        results: dict[str, Any] = {
            "param_lam": self.lams_,
            "params": [{"lam": float(lam)} for lam in self.lams_],
        }
        for k, of_fold in enumerate(scores):
            results[f"split{k}_test_{name}"] = of_fold
        results[f"mean_test_{name}"] = scores.mean(axis=0)
        results[f"std_test_{name}"] = scores.std(axis=0)
        spread = scores.std(axis=0, ddof=1) if len(scores) > 1 else scores[0] * np.nan
        results[f"se_test_{name}"] = spread / np.sqrt(len(scores))
        predicted = [candidate.held_out for candidate in candidates]
        values, errors = (
            np.array([measured(of) for of in predicted])
            for measured in (held_out.value, held_out.error)
        )
        results[f"pooled_test_{metric}"], results[f"se_test_{metric}"] = values, errors
        results[f"floor_test_{metric}"] = np.array([held_out.floor(of) for of in predicted])
        results["refit_broken"] = np.array(
            [held_out.is_far(*of) for of in zip(candidates, values, errors, strict=True)]
        )
        return results

    def set_operating_point(self, bound: float) -> Self:
        """Use the model of the best λ whose unfairness is within `bound`; nothing is trained.

        Parameters
        ----------
        bound : float
            Greatest unfairness allowed, 0 or more.

        Returns
        -------
        MIDebiasedClassifierCV or MIDebiasedRegressorCV
            The estimator.

        Warns
        -----
        InfeasibleBoundWarning, CollapseWarning
            As `fit`.
        """
        check_is_fitted(self, "models_")
        frontier, broken = self.frontier_, self.cv_results_["refit_broken"]
        _, mean, _, metric, error, floor = frontier.columns
        score, unfairness = frontier[mean].to_numpy(), frontier[metric].to_numpy()
        if self.rule == "one_standard_error":
            unfairness = unfairness + frontier[error].to_numpy()
        first = use = best_within(unfairness, score, bound)
        if broken[first] and not broken.all():
            use = best_within(unfairness, np.where(broken, np.nan, score), bound)
        self.best_index_ = use
        self.bound_ = float(bound)
        self.lam_ = float(self.lams_[use])
        self.model_ = self.models_[use]
        if unfairness[first] > bound:
            self._warn_of_bound(metric, unfairness[first], frontier[floor][use])
        if broken[first]:
            self._warn_of_refit(first)
        return self

    def _choice(self) -> str:
        """Return in a line what was chosen and why."""
        _, mean, _, metric, error, _ = self.frontier_.columns
        row = self.frontier_.iloc[self.best_index_]
        within = f"within {self.bound_:g}" if row[metric] <= self.bound_ else "the least"
        return (
            f"λ = {self.lam_:g} of {len(self.lams_)}: {mean.removeprefix('mean_')} "
            f"{row[mean]:.3f}, {metric} {row[metric]:.3f} "
            f"± {row[error]:.3f} on held-out rows, {within}"
        )

    def _warn_of_bound(self, metric: str, unfairness: float, floor: float) -> None:
        if floor > self.bound_:
            kind = "regressor" if is_regressor(self) else "classifier"
            why = (
                f"On so few rows even a fair {kind} shows {floor:.2g} or more in one draw of "
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
            "folds promised on the same rows (larger errors, more unfairness, one prediction for "
            f"all, or it diverged); {instead}. "
            "More rows, more folds or another random_state of the estimator may help.",
            CollapseWarning,
            stacklevel=3,
        )

    @property
    def frontier_(self) -> pd.DataFrame:
        """Score and unfairness of each λ on held-out rows, with standard errors."""
        check_is_fitted(self, "models_")
        score, metric = self._named_scorer()[0], make_fairness_scorer(self.metric).name
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

    def predict(self, X: TableLike) -> np.ndarray:
        """Return the prediction for each row, (n_rows,)."""
        return self._model().predict(X)

    def transform(self, X: TableLike) -> np.ndarray:
        """Return Z, (n_rows, n_components), from which predictions are made."""
        model = self._model()
        if last_step(model) is not model and len(model) > 1:
            X = model[:-1].transform(X)
        return last_step(model)._representation(X)

    def _model(self) -> Any:
        check_is_fitted(self, "model_")
        return self.model_

    def _named_scorer(self) -> tuple[str, Callable[..., float]]:
        return named_scorer(self.scoring, self._checked_estimator())

    def _group_codes(self, estimator: Any, rows: FitRows) -> np.ndarray:
        """Return the code of each row's group, (n,), -1 where none is known or counts."""
        last, (X, y, *rest) = last_step(estimator), rows
        if last is not estimator and len(estimator) > 1:
            X = clone(estimator[:-1]).fit_transform(X, y)
        counted = read_fit_input(last._row_options(), X, y, *rest)
        attribute = counted.members[0]
        if not attribute.n_groups:
            raise SensitiveFeaturesError(
                f"The sensitive features are continuous, and metric={self.metric!r} compares "
                "groups; use fairmi.path.fairness_path, and measure its models by what fits."
            )
        check_certain(counted.members, f"metric={self.metric!r} of a search")
        codes = np.full(n_rows(X), -1)
        codes[counted.positions] = np.where(attribute.known, attribute.codes, -1)
        return codes

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
        tags.input_tags = get_tags(self._checked_estimator()).input_tags
        return tags


class MIDebiasedClassifierCV(ClassifierMixin, BoundedSearch):
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

    def predict_proba(self, X: TableLike) -> np.ndarray:
        """Return the probability of each class, (n_rows, n_classes)."""
        return self._model().predict_proba(X)

    def decision_function(self, X: TableLike) -> np.ndarray:
        """Return log odds (n_rows,) for two classes, else a score for each class."""
        return self._model().decision_function(X)

    @property
    def classes_(self) -> np.ndarray:
        """The classes."""
        return self._model().classes_


@with_parameters
class MIDebiasedRegressorCV(RegressorMixin, BoundedSearch):
    """A regressor of fairmi with λ chosen by cross-validation under a bound on unfairness.

    As `MIDebiasedClassifierCV`, for numbers: unfairness is the difference of the distributions of
    predictions between groups, on the held-out predictions of all folds together.

    Parameters
    ----------
    estimator : regressor or Pipeline, default=None
        A regressor of fairmi whose `lam` is chosen, or a Pipeline that ends in one; None is
        `MIBoostingRegressor()`.
    lams : int or sequence of float, default=10
        As in `MIDebiasedClassifierCV`.
    cv : int, splitter or iterable of (train, test), default=5
        Folds; an int makes folds of neighbouring rows, not shuffled.
    bound : float, default=0.1
        Greatest unfairness allowed: of "ks_difference" a share of rows, of "mean_difference" and
        "wasserstein" in units of y. Chance alone makes a KS above 0 (`floor_...` of `frontier_`).
    metric : str or callable, default="ks_difference"
        What measures unfairness, 0 being fair: "ks_difference", "mean_difference", "wasserstein",
        "conditional_ks", or another of `fairmi.metrics.make_fairness_scorer`.
    scoring : str or callable, default="auto"
        What is maximised within the bound: a scorer of scikit-learn. "auto" is R² where the
        estimator has a squared error, and D² of its loss otherwise.
    rule, n_jobs, memory, verbose
        As in `MIDebiasedClassifierCV`.

    Attributes
    ----------
    bound_, lam_, lams_, model_, models_, cv_results_, best_index_
        As in `MIDebiasedClassifierCV`.
    frontier_ : DataFrame of n_lams rows
        As there, with the columns `lam`, `mean_r2`, `se_r2`, `ks_difference`, `se_ks_difference`
        and `floor_ks_difference`, or of another `scoring` and `metric`; the score of a D² is `d2`.
    n_features_in_, feature_names_in_
        As in `MIBoostingRegressor`.

    See Also
    --------
    fairmi.path.fairness_path : The models of all λ, without folds and a bound.

    References
    ----------
    See `MIBoostingRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi import MIBoostingRegressor, MIDebiasedRegressorCV
    >>> random = np.random.default_rng(0)
    >>> group = random.integers(2, size=600)
    >>> X = random.normal(size=(600, 3)) + np.outer(group, [1, 0, 0])
    >>> y = X.sum(axis=1) + random.normal(size=600)
    >>> search = MIDebiasedRegressorCV(
    ...     MIBoostingRegressor(max_iter=40, random_state=0), lams=[0, 4, 32], cv=3, bound=0.2)
    >>> search = search.fit(X, y, sensitive_features=group)
    >>> search.frontier_.columns.tolist()[1:4]
    ['mean_r2', 'se_r2', 'ks_difference']
    >>> bool(search.lam_ > 0)
    True
    """

    bound: float = parameter(NOT_NEGATIVE, default=0.1)
    metric: str | Callable[..., float] = parameter(str, callable, default="ks_difference")
    scoring: str | Callable[..., float] = parameter(str, callable, default="auto")


# Saved models name the public place of a class, which stays where its file moves.
MIDebiasedClassifierCV.__module__ = MIDebiasedRegressorCV.__module__ = "fairmi"
