"""Fair classification and regression by mutual-information debiasing, with scikit-learn's API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairmi._backprop_classifier import MIBackpropClassifier
    from fairmi._boosting_classifier import MIBoostingClassifier
    from fairmi._boosting_regressor import MIBoostingRegressor
    from fairmi._fair_threshold import FairThresholdClassifier
    from fairmi._network_classifier import MIDebiasedClassifier
    from fairmi._network_regressor import MIDebiasedRegressor
    from fairmi._network_transformer import MIDebiasedTransformer
    from fairmi._reweighing import FairReweighing, FairReweighingClassifier
    from fairmi.exceptions import (
        CollapseWarning,
        ColumnWarning,
        InfeasibleBoundWarning,
        SensitiveFeaturesError,
        SmallGroupWarning,
        StoppedFitError,
    )
    from fairmi.networks.reducer import data_parallel
    from fairmi.path import MIDebiasedClassifierCV, MIDebiasedRegressorCV, fairness_path

__version__ = "0.2.0"

# Loaded on first use: classifiers need torch, which an audit of another's model does without, and
# errors need scikit-learn, which the help of the command line does without.
_LAZY = {
    "CollapseWarning": "fairmi.exceptions",
    "ColumnWarning": "fairmi.exceptions",
    "FairReweighing": "fairmi._reweighing",
    "FairReweighingClassifier": "fairmi._reweighing",
    "FairThresholdClassifier": "fairmi._fair_threshold",
    "InfeasibleBoundWarning": "fairmi.exceptions",
    "MIBackpropClassifier": "fairmi._backprop_classifier",
    "MIBoostingClassifier": "fairmi._boosting_classifier",
    "MIBoostingRegressor": "fairmi._boosting_regressor",
    "MIDebiasedClassifier": "fairmi._network_classifier",
    "MIDebiasedClassifierCV": "fairmi.path",
    "MIDebiasedRegressor": "fairmi._network_regressor",
    "MIDebiasedRegressorCV": "fairmi.path",
    "MIDebiasedTransformer": "fairmi._network_transformer",
    "SensitiveFeaturesError": "fairmi.exceptions",
    "SmallGroupWarning": "fairmi.exceptions",
    "StoppedFitError": "fairmi.exceptions",
    "data_parallel": "fairmi.networks.reducer",
    "fairness_path": "fairmi.path",
}
_ROOMS = {
    "audit",
    "compare",
    "datasets",
    "dependence",
    "exceptions",
    "export",
    "inspection",
    "metrics",
    "model_selection",
    "path",
    "plot",
    "preprocessing",
}

__all__ = [
    "CollapseWarning",
    "ColumnWarning",
    "FairReweighing",
    "FairReweighingClassifier",
    "FairThresholdClassifier",
    "InfeasibleBoundWarning",
    "MIBackpropClassifier",
    "MIBoostingClassifier",
    "MIBoostingRegressor",
    "MIDebiasedClassifier",
    "MIDebiasedClassifierCV",
    "MIDebiasedRegressor",
    "MIDebiasedRegressorCV",
    "MIDebiasedTransformer",
    "SensitiveFeaturesError",
    "SmallGroupWarning",
    "StoppedFitError",
    "__version__",
    "data_parallel",
    "fairness_path",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return import_module(f"fairmi.{name}")
    raise AttributeError(f"module 'fairmi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
