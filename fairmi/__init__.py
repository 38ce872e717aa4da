"""Fair classification by mutual-information debiasing, with scikit-learn's API."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fairmi.exceptions import (
    CollapseWarning,
    InfeasibleBoundWarning,
    SensitiveFeaturesError,
    SmallGroupWarning,
    StoppedFitError,
)

if TYPE_CHECKING:
    from fairmi._backprop_classifier import MIBackpropClassifier
    from fairmi._boosting_classifier import MIBoostingClassifier
    from fairmi._network_classifier import MIDebiasedClassifier
    from fairmi.path import MIDebiasedClassifierCV

__version__ = version("fairmi")

# Loaded on first use, since these need torch and an audit of another's model does not.
_LAZY = {
    "MIBackpropClassifier": "fairmi._backprop_classifier",
    "MIBoostingClassifier": "fairmi._boosting_classifier",
    "MIDebiasedClassifier": "fairmi._network_classifier",
    "MIDebiasedClassifierCV": "fairmi.path",
}

__all__ = [
    "CollapseWarning",
    "InfeasibleBoundWarning",
    "MIBackpropClassifier",
    "MIBoostingClassifier",
    "MIDebiasedClassifier",
    "MIDebiasedClassifierCV",
    "SensitiveFeaturesError",
    "SmallGroupWarning",
    "StoppedFitError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fairmi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
