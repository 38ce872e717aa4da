"""What the classifiers share: predictions from Z, what a fit stores, the saved format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from fairmi._data.columns import without_columns
from fairmi._data.fingerprint import FINGERPRINT
from fairmi._data.fit_input import FitInput
from fairmi._data.saved_format import of_this_format, with_format
from fairmi._data.sensitive import plan_from_plain, plan_to_plain
from fairmi._data.tables import check_table
from fairmi._sklearn_compat import in_search
from fairmi.exceptions import StoppedFitError, warn_again

Callbacks = Sequence[Callable[[dict[str, float]], bool | None]] | None

Told = list[tuple[str, str]]
"""Warnings as (name of the category in fairmi.exceptions, message)."""

_PLAN = "_sensitive_plan"
_REASONS = {
    "diverged": "a loss became non-finite; lower learning_rate, or check X for extreme values",
    "interrupted": "the fit was interrupted",
}


class RepresentationClassifier(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator
):
    """Predictions from the very Z that `transform` returns, once a subclass has learned.

    A subclass has `fit`, and of a fitted model the methods `_represent` (a checked table -> Z) and
    `_scores` (Z -> scores).
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    sensitive_columns: Any
    drop_sensitive: bool
    callbacks: Callbacks
    lam: Any
    classes_: np.ndarray
    stopped_: str | None
    warnings_: list[tuple[str, str]]

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row, (n_rows,)."""
        scores = self.decision_function(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n_rows, n_classes)."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        return softmax(scores, axis=1)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the scores of Z: log odds (n_rows,) for two classes, else one for each class."""
        scores = self._scores(self.transform(X))
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def transform(self, X: Any) -> np.ndarray:
        """Return Z, (n_rows, n_components) float64, from which predictions are made.

        A row has the same Z alone and among others.
        """
        check_is_fitted(self, "classes_")
        X = check_table(self, X, reset=False)
        if self.sensitive_columns is not None and self.drop_sensitive:
            X = without_columns(X, self.sensitive_columns)
        return self._represent(X)

    def _represent(self, X: Any) -> np.ndarray:
        raise NotImplementedError

    def _scores(self, Z: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _store(self, given: FitInput, learned: dict[str, Any]) -> Self:
        """Become the model that was learned, in place of any before."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        known = {
            "classes_": given.classes,
            "sensitive_values_": given.plan.labels,
            "sensitive_kinds_": given.plan.kinds,
            _PLAN: given.plan,
            FINGERPRINT: given.fingerprint,
        }
        for name, value in (given.header | known | learned).items():
            setattr(self, name, value)
        return self

    def _told(self) -> Self:
        """Give the warnings of the fit; leave a search rather than let it score what was stopped.

        Outside a search the state that was kept is the model, with a warning that says so.

        Raises
        ------
        KeyboardInterrupt
            If the fit was interrupted inside a search of scikit-learn.
        StoppedFitError
            If it diverged inside one.
        """
        if self.stopped_ in ("interrupted", "diverged") and in_search():
            if self.stopped_ == "interrupted":
                raise KeyboardInterrupt
            raise StoppedFitError(self.warnings_[0][1])
        if self.warnings_:
            warn_again(self.warnings_, stacklevel=2)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return plain data alone, and the user's own parameters."""
        state = dict(super().__getstate__())
        if _PLAN in state:
            state[_PLAN] = plan_to_plain(state[_PLAN])
        return with_format(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data.

        Raises
        ------
        ValueError
            If it was saved in another format.
        """
        state = of_this_format(state, type(self).__name__)
        if _PLAN in state:
            state[_PLAN] = plan_from_plain(state[_PLAN])
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """Take missing values, categories and sparse tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        return tags


def check_callbacks(callbacks: Any) -> None:
    """Raise ValueError where a callback can't be called."""
    for callback in callbacks or ():
        if not callable(callback):
            raise ValueError(f"callbacks holds {callback!r}, which can't be called; drop it.")


def check_lam(lam: Any) -> None:
    """Raise ValueError where a dict of λ by column is empty or holds no finite number >= 0."""
    if lam == {}:
        raise ValueError("lam={} names no sensitive feature; give a number, or λ for each.")
    for name, value in lam.items() if isinstance(lam, dict) else ():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not 0 <= float(value) < np.inf:
            raise ValueError(f"lam has {value!r} for {name!r}; give a finite number >= 0.")


def check_path_lams(lam: Any, lams: Any) -> tuple[float, ...]:
    """Return the values of λ of a path.

    Raises
    ------
    ValueError
        If one is not a finite number >= 0, or the estimator has a λ for each sensitive feature.
    """
    if isinstance(lam, dict):
        raise ValueError(
            f"lam={lam!r} has a λ for each sensitive feature, and a path has one for all; set lam "
            "to a number, or fit one dict at a time."
        )
    values = tuple(float(value) for value in lams)
    if not values or not all(0 <= value < np.inf for value in values):
        raise ValueError(f"lams={lams!r} must hold finite values of λ >= 0.")
    return values


def told_of_stop(stopped: str | None, n_epochs: int) -> Told:
    """Say that a training ended before its time, and what state was kept."""
    if stopped not in _REASONS:
        return []
    message = (
        f"Training stopped after {n_epochs} whole epochs, whose state was kept: "
        f"{_REASONS[stopped]}."
    )
    return [("ConvergenceWarning", message)]


def told_of_one_class(predicted: np.ndarray, n_classes: int, lam: Any) -> Told:
    """Say that every training row is given the same class, if so."""
    if n_classes < 2 or not (predicted == predicted[0]).all():
        return []
    message = (
        "The fit collapsed: every training row is predicted to be of one class. "
        f"If this is not what you want, lower lam={lam!r}, or raise max_iter."
    )
    return [("CollapseWarning", message)]
