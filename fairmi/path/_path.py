"""Every λ of an estimator, from one training where it can."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fairmi._network_classifier import MIDebiasedClassifier
from fairmi.exceptions import warn_again
from fairmi.path._result import FairnessPath


def fairness_path(
    X: Any,
    y: ArrayLike,
    *,
    sensitive_features: Any = None,
    sample_weight: ArrayLike | None = None,
    estimator: Any = None,
    lams: int | Sequence[float] = 10,
) -> FairnessPath:
    """Fit a classifier at each of many λ, sharing what they have in common.

    Of `MIDebiasedClassifier` all models start from the same weights and see the same minibatches,
    dropout and channel noise, so that neighbours on the path differ by λ, not by luck. On fewer
    than 5,000 distinct rows each is what a fit of its own would give, to rounding, which training
    amplifies. On more they share the encoder's hidden layers while they train: these are then paid
    once. Each has its own last layer, head and critic; one that diverges ends the training of all,
    in their last good state. Auxiliary models train beside them, as in `MIDebiasedClassifier`,
    where no small λ is among them. An interrupted path returns the models as they are.

    Parameters
    ----------
    X, y, sensitive_features, sample_weight : as in `MIDebiasedClassifier.fit`
    estimator : classifier, default=None
        A classifier of fairmi whose `lam` is replaced; None is `MIDebiasedClassifier()`. It stays
        as it is. Callbacks are told the means over the models.
    lams : int or sequence of float, default=10
        Values of λ >= 0. An int n gives 0 and n - 1 values at equal ratios, from no debiasing to
        full: from 0.25 to 16 for networks, to 64 for trees.

    Returns
    -------
    FairnessPath
        A pair, shown as a table of the fits: `lams`, ndarray of shape (n_lams,), the values of λ,
        and `models`, a list of the fitted classifier of each.

    Raises
    ------
    SensitiveFeaturesError, ValueError
        As `MIDebiasedClassifier.fit`; also for `lams` that are not finite numbers >= 0.
    TypeError
        If `estimator` has no `fit_path`.

    Warns
    -----
    ConvergenceWarning, CollapseWarning
        As `MIDebiasedClassifier.fit`, for each model.

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
    models = chosen.fit_path(
        X,
        y,
        lams=values.tolist(),
        sensitive_features=sensitive_features,
        sample_weight=sample_weight,
    )
    warned = dict.fromkeys(pair for model in models for pair in model.warnings_)
    warn_again(warned, stacklevel=2)
    return FairnessPath(values, models)


def check_estimator(estimator: Any) -> Any:
    """Return the estimator of a path; None is the default one.

    Raises
    ------
    TypeError
        If it has no path.
    """
    if estimator is None:
        return MIDebiasedClassifier()
    if isinstance(estimator, type) or not hasattr(estimator, "fit_path"):
        raise TypeError(
            f"estimator={estimator!r} has no fit_path; give a classifier of fairmi such as "
            "MIDebiasedClassifier(), not a class or a pipeline (put the pipeline's last step here "
            "and this in its place)."
        )
    return estimator


def check_lams(lams: Any, estimator: Any) -> np.ndarray:
    """Return the values of λ, (n_lams,), as given or from 0 to the greatest of the estimator.

    Raises
    ------
    ValueError
        If there are fewer than two, or one is not a finite number >= 0 or given twice.
    """
    if isinstance(lams, Integral):
        if lams < 2:
            raise ValueError(f"lams={lams!r} makes no path; give 2 or more, or values of λ.")
        low, high = estimator.lam_range
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
