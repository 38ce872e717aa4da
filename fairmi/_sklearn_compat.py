"""Parameters as scikit-learn checks them, and the only import of its private helpers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, TypeVar, dataclass_transform

import numpy as np
from sklearn._loss import (
    AbsoluteError,
    HalfGammaLoss,
    HalfPoissonLoss,
    HalfSquaredError,
    HalfTweedieLoss,
    PinballLoss,
)
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    validate_params,
)
from sklearn.utils._param_validation import StrOptions as _StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

# isort: split
# Histogram trees: what grows one on binned rows, adds its leaves to scores, and predicts.
from sklearn.ensemble._hist_gradient_boosting._gradient_boosting import (
    _update_raw_predictions as add_leaves,
)
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE as NODE
from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads as effective_n_threads

# What is imported here for others.
__all__ = [
    "NODE",
    "HasMethods",
    "Interval",
    "TreeGrower",
    "TreePredictor",
    "add_leaves",
    "check_sample_weight",
    "effective_n_threads",
    "safe_indexing",
    "validate_params",
]

_E = TypeVar("_E", bound=BaseEstimator)
_T = TypeVar("_T")


class DocLinkMixin:
    """The '?' of an estimator's HTML picture leads to its page on our site, not scikit-learn's."""

    _doc_link_module = "fairmi"
    _doc_link_template = (
        "https://fairmi.github.io/fairmi/api/{estimator_module}.{estimator_name}.html"
    )


class StrOptions(_StrOptions):
    """One of some strings, which a message lists in alphabetical order."""

    def __str__(self) -> str:
        return f"a str among {{{', '.join(map(repr, sorted(self.options)))}}}"


AUTO = StrOptions({"auto"})
POSITIVE = Interval(Integral, 1, None, closed="left")
TWO_OR_MORE = Interval(Integral, 2, None, closed="left")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
ABOVE_0 = Interval(Real, 0, None, closed="neither")

# Of parameters that several estimators have.
COLUMNS = (str, Integral, "array-like")
CONSTRAINTS = StrOptions({"demographic_parity", "equalized_odds", "equal_opportunity"})
MISSING = StrOptions({"error", "category", "mask"})


def parameter(*allowed: object, default: _T, kw_only: bool = True) -> _T:
    """Return a parameter of an estimator: its default, and what scikit-learn is to let it be."""
    return field(default=default, kw_only=kw_only, metadata={"allowed": allowed})


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field, parameter))
def with_parameters(kind: type[_E]) -> type[_E]:
    """Make annotated attributes of an estimator its parameters: keywords of `__init__`, stored."""
    made = dataclass(kw_only=True, eq=False, repr=False)(kind)
    made._parameter_constraints = {
        of.name: list(of.metadata["allowed"]) for of in fields(made) if "allowed" in of.metadata
    }
    return made


def regression_loss(name: str, *, quantile: float, power: float) -> Any:
    """Return the loss of scikit-learn's histogram boosting of a name."""
    losses: dict[str, Any] = {
        "squared_error": HalfSquaredError,
        "absolute_error": AbsoluteError,
        "poisson": HalfPoissonLoss,
        "gamma": HalfGammaLoss,
    }
    if name == "quantile":
        return PinballLoss(quantile=quantile)
    if name == "tweedie":
        return HalfTweedieLoss(power=power)
    return losses[name]()


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Return a seed; None draws one from the system, and no global generator is touched."""
    if random_state is None:
        return secrets.randbits(31)
    return int(check_random_state(random_state).randint(2**31 - 1))
