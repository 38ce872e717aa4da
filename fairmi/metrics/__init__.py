"""What is left of the sensitive attribute, and how groups differ: figures for any model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from fairmi.metrics.certificate import Certificate, certify
from fairmi.metrics.information import (
    MutualInformationReport,
    mutual_information_report,
    mutual_information_score,
)
from fairmi.metrics.leakage import (
    LeakageReport,
    ProbeLeakage,
    leakage_report,
    leakage_score,
)
from fairmi.metrics.scorers import make_fairness_scorer

__all__ = [
    "Certificate",
    "LeakageReport",
    "MutualInformationReport",
    "ProbeLeakage",
    "certify",
    "leakage_report",
    "leakage_score",
    "make_fairness_scorer",
    "mutual_information_report",
    "mutual_information_score",
]

T = TypeVar("T")


def _given_y(function: Callable[..., T]) -> Callable[..., T]:
    """Return the name that `function` had with a third argument y in place of `given`."""

    @wraps(function)
    def conditional(Z: object, C: object, y: object, **options: object) -> T:
        name = function.__name__
        warnings.warn(
            f"conditional_{name}(Z, C, y) is {name}(Z, C, given=y) now.",
            FutureWarning,
            stacklevel=2,
        )
        return function(Z, C, given=y, **options)

    return conditional


conditional_leakage_report = _given_y(leakage_report)
conditional_mutual_information_report = _given_y(mutual_information_report)
conditional_mutual_information_score = _given_y(mutual_information_score)
