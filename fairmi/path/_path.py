"""Every λ of an estimator, from one training where it can, and what that gives: a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.metrics import d2_pinball_score, d2_tweedie_score, get_scorer, make_scorer
from sklearn.pipeline import Pipeline

from fairmi._boosting_classifier import MIBoostingClassifier
from fairmi._typing import ColumnLike, SensitiveLike, TableLike
from fairmi.exceptions import warn_again
from fairmi.metrics.scorers import make_fairness_scorer

_HEADERS = ("λ", "task loss", "penalty", "epochs", "stopped", "warnings")
# Of the variance of the losses with a log link; None is that of the estimator.
_POWERS = {"poisson": 1, "gamma": 2, "tweedie": None}


class FairnessPath(NamedTuple):
    """The values of λ of a path, and the fitted model of each: a pair that unpacks.

    Task loss and penalty are the last ones of training, in nats, which is no evidence of what is
    left: `frontier` measures that on rows that were held out.

    Attributes
    ----------
    lams : ndarray of shape (n_lams,)
        The values of λ.
    models : list of estimators
        The fitted model of each.
    """

    lams: np.ndarray
    models: list[Any]

    def __repr__(self) -> str:
        title, table = self._shown()
        return f"{title}:\n{table.to_string(index=False)}"

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        title, table = self._shown()
        return f"<p>{escape(title)}</p>{table.to_html(index=False, border=0)}"

    def _shown(self) -> tuple[str, pd.DataFrame]:
        """Return a title, and what is shown of each model."""
        rows = []
        for model in map(last_step, self.models):
            last = model.history_[-1] if model.history_ else {}
            figures = [last.get(name, np.nan) for name in ("task_loss", "penalty")]
            warned = dict.fromkeys(kind for kind, _ in model.warnings_)
            rows.append(
                (
                    f"{model.lam:.3g}",
                    *("-" if np.isnan(value) else f"{value:.4f}" for value in figures),
                    str(model.n_iter_),
                    model.stopped_ or "-",
                    ", ".join(warned) or "-",
                )
            )
        title = f"{len(self.models)} fits of {type(self.models[0]).__name__}"
        return title, pd.DataFrame(rows, columns=_HEADERS)

    def frontier(
        self,
        X: TableLike,
        y: ArrayLike,
        *,
        sensitive_features: SensitiveLike,
        sample_weight: ArrayLike | None = None,
        metric: str | Callable[..., float] = "auto",
        scoring: str | Callable[..., float] = "auto",
    ) -> pd.DataFrame:
        """Return score and unfairness of each model on rows that it was not fitted to.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight
            Held-out rows, as in `fit`.
        metric : str or callable, default="auto"
            What measures unfairness: see `fairmi.metrics.make_fairness_scorer`. "auto" is
            "demographic_parity_difference", and "ks_difference" for regressors.
        scoring : str or callable, default="auto"
            A scorer of scikit-learn. "auto" is accuracy; for regressors R² where the loss is
            squared error, and D² of the loss otherwise.

        Returns
        -------
        DataFrame of n_lams rows
            `lam`, the score and the unfairness, by their names.

        Raises
        ------
        TypeError
            If the models predict nothing.
        """
        if not hasattr(self.models[0], "predict"):
            raise TypeError(
                f"{type(last_step(self.models[0])).__name__} predicts nothing that a frontier "
                "could score; fit a model to transform(X) of each of `models`, and ask "
                "fairmi.metrics.leakage_report what it tells of the sensitive features."
            )
        numbers = is_regressor(self.models[0])
        if metric == "auto":
            metric = "ks_difference" if numbers else "demographic_parity_difference"
        unfairness = make_fairness_scorer(metric)
        name, score = named_scorer(scoring, self.models[0])
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        groups = {"sensitive_features": sensitive_features, **weights}
        return pd.DataFrame(
            {
                "lam": self.lams,
                name: [score(model, X, y, **weights) for model in self.models],
                unfairness.name: [abs(unfairness(model, X, y, **groups)) for model in self.models],
            }
        )


# A pickle names the public place of a class, which stays where its file moves.
FairnessPath.__module__ = "fairmi.path"


def fairness_path(
    X: TableLike,
    y: ArrayLike | None = None,
    *,
    sensitive_features: SensitiveLike | None = None,
    sample_weight: ArrayLike | None = None,
    estimator: BaseEstimator | None = None,
    lams: int | Sequence[float] = 10,
) -> FairnessPath:
    """Fit a classifier or regressor at each of many λ, sharing what they have in common.

    Of `MIDebiasedClassifier` all models start from the same weights and see the same minibatches,
    dropout and channel noise, so that neighbours on the path differ by λ, not by luck. On fewer
    than 5,000 distinct rows each is what a fit of its own would give, to rounding, which training
    amplifies. On more they share the encoder's hidden layers while they train: these are then paid
    once. Each has its own last layer, head and critic; one that diverges ends the training of all,
    in their last good state. Auxiliary models train beside them, as in `MIDebiasedClassifier`,
    where no small λ is among them. An interrupted path returns the models as they are.

    Parameters
    ----------
    X, y, sensitive_features, sample_weight : as in `fit` of the estimator
    estimator : estimator or Pipeline, default=None
        A classifier or regressor of fairmi whose `lam` is replaced, or a Pipeline that ends in
        one; None is `MIBoostingClassifier()`. It stays as it is. Callbacks are told the means over
        the models.
    lams : int or sequence of float, default=10
        Values of λ >= 0. An int n gives 0 and n - 1 values at equal ratios, from no debiasing to
        full: from 0.25 to 16 for networks, to 64 for trees.

    Returns
    -------
    FairnessPath
        A pair, shown as a table of the fits: `lams`, ndarray of shape (n_lams,), the values of λ,
        and `models`, a list of the fitted model of each, or a Pipeline that ends in it.

    Raises
    ------
    SensitiveFeaturesError, ValueError
        As `fit` of the estimator; also for `lams` that are not finite numbers >= 0.
    TypeError
        If `estimator` has no `fit_path`.

    Warns
    -----
    ConvergenceWarning, CollapseWarning
        As `fit` of the estimator, for each model.

    References
    ----------
    .. [1] J. Friedman, T. Hastie, R. Tibshirani, "Regularization Paths for Generalized Linear
       Models via Coordinate Descent", 2010, doi 10.18637/jss.v033.i01, for the idea of a path.
       Here the values train side by side, not one after the other.
    .. [2] R. Caruana, "Multitask Learning", 1997, doi 10.1023/A:1007379606734, for hidden layers
       that several tasks share.

    Examples
    --------
    >>> from fairmi import MIDebiasedClassifier
    >>> from fairmi.datasets import load_german
    >>> from fairmi.path import fairness_path
    >>> X, y = load_german(return_X_y=True)
    >>> lams, models = fairness_path(
    ...     X, y, sensitive_features=X["age"] > 25, lams=4,
    ...     estimator=MIDebiasedClassifier(max_iter=20, random_state=0))
    >>> lams.round(2)
    array([ 0.  ,  0.25,  2.  , 16.  ])
    >>> [model.lam for model in models] == lams.tolist()
    True
    """
    chosen = check_estimator(estimator)
    values = check_lams(lams, chosen)
    models = fit_models(chosen, values.tolist(), X, y, sensitive_features, sample_weight)
    warned = dict.fromkeys(pair for model in models for pair in last_step(model).warnings_)
    warn_again(warned, stacklevel=2)
    return FairnessPath(values, models)


def fit_models(
    estimator: BaseEstimator,
    lams: Sequence[float],
    X: TableLike,
    y: ColumnLike | None,
    sensitive: SensitiveLike,
    weights: ColumnLike | None,
) -> list[Any]:
    """Return the fitted model of each λ; what stands before it in a Pipeline is fitted once."""
    last, before = last_step(estimator), []
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        steps = clone(estimator[:-1])
        X = steps.fit_transform(X, y)
        before = steps.steps
    models = last.fit_path(X, y, lams=lams, sensitive_features=sensitive, sample_weight=weights)
    if not isinstance(estimator, Pipeline):
        return models
    name = estimator.steps[-1][0]
    return [Pipeline([*before, (name, model)]) for model in models]


def last_step(estimator: BaseEstimator) -> Any:
    """Return the last step of a Pipeline, and any other estimator as it is."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def check_estimator(estimator: BaseEstimator) -> Any:
    """Return the estimator of a path; None is the default one. TypeError where it has no path."""
    if estimator is None:
        return MIBoostingClassifier()
    if isinstance(estimator, type) or not hasattr(last_step(estimator), "fit_path"):
        raise TypeError(
            f"estimator={estimator!r} has no fit_path; give an estimator of fairmi such as "
            "MIBoostingClassifier(), or a Pipeline that ends in one, not a class."
        )
    return estimator


def named_scorer(
    scoring: str | Callable[..., float], estimator: BaseEstimator
) -> tuple[str, Callable[..., float]]:
    """Return the name of a score, and its scorer; "auto" is that of the estimator's own loss."""
    last = last_step(estimator)
    loss = getattr(last, "loss", "squared_error")
    if scoring == "auto" and is_regressor(last) and loss != "squared_error":
        if loss in _POWERS:
            return "d2", make_scorer(d2_tweedie_score, power=_POWERS[loss] or last.power)
        alpha = last.quantile if loss == "quantile" else 0.5
        return "d2", make_scorer(d2_pinball_score, alpha=alpha)
    if scoring == "auto":
        scoring = "r2" if is_regressor(last) else "accuracy"
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    return name, get_scorer(scoring)


def check_lams(lams: int | Sequence[float], estimator: BaseEstimator) -> np.ndarray:
    """Return the values of λ, (n_lams,), as given or from 0 to the greatest of the estimator.

    ValueError where an int makes fewer than two, or one is no finite number >= 0 or given twice.
    """
    if isinstance(lams, Integral):
        if lams < 2:
            raise ValueError(f"lams={lams!r} makes no path; give 2 or more, or values of λ.")
        low, high = last_step(estimator).lam_range
        return np.concatenate([[0.0], np.geomspace(low, high, int(lams) - 1)])
    try:
        values = np.asarray(lams, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"lams={lams!r} are not numbers; give an int or λ >= 0.") from error
    usable = values.ndim == 1 and len(values) > 0 and np.isfinite(values).all()
    if not usable or (values < 0).any() or len(np.unique(values)) < len(values):
        raise ValueError(
            f"lams={lams!r} must be an int, or a list of distinct finite values of λ >= 0."
        )
    return values
