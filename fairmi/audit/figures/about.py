"""What an audit was of: the model, the rows, the settings, the versions, and what it lacks."""

from __future__ import annotations

from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from fairmi._data.groups import Groups
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.figures.rates import attribute_name, group_name

PACKAGES = ("fairmi", "scikit-learn", "numpy")
MAX_NAME = 120
GIVEN = "predictions that were given"


def missing_parts(predictions: Predictions) -> list[str]:
    """Say what the model has not, so that it could not be measured."""
    notes = []
    if predictions.random:
        notes.append(
            "The model decides at random: its rates are those that its probabilities give on "
            "average, and one draw of its predictions is examined for leakage."
        )
    if not predictions.probabilities:
        notes.append("There are no probabilities of the classes: calibration was not measured.")
    if predictions.representation is None:
        notes.append("The model has no transform: there is no representation to examine.")
    return notes


def about(
    estimator: Any,
    baseline: Any,
    X: Any,
    predictions: Predictions,
    attributes: list[Groups],
    confidence: float,
    n_boot: int,
) -> dict[str, Any]:
    """Describe the audit: what, on what, how and with which versions."""
    classes = predictions.classes
    counts = np.bincount(predictions.true, minlength=len(classes))
    return {
        "model": GIVEN if estimator is None else _short(estimator),
        "baseline": None if baseline is None else _short(baseline),
        "rows": len(predictions.true),
        "clusters": None if predictions.clusters is None else int(predictions.clusters.max()) + 1,
        "features": _width(X),
        "labels": {str(label): int(n) for label, n in zip(classes, counts, strict=True)},
        "positive label": predictions.positive_label,
        "sensitive features": list(dict.fromkeys(n for a in attributes for n in a.names)),
        "groups": {attribute_name(groups): _sizes(groups) for groups in attributes},
        "confidence": confidence,
        "draws": n_boot,
        "date": date.today().isoformat(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def _width(X: Any) -> int | None:
    if X is None:
        return None
    shape = getattr(X, "shape", None) or np.asarray(X).shape
    return int(shape[1]) if len(shape) > 1 else 1


def _sizes(groups: Groups) -> dict[str, int]:
    names = map(group_name, groups.labels)
    return {name: int(n) for name, n in zip(names, groups.counts, strict=True)}


def _short(estimator: Any) -> str:
    """Name an estimator on a line: a pipeline by its steps, none with all its parts spelt out."""
    if hasattr(estimator, "steps"):
        return " > ".join(_short(step) for _, step in estimator.steps)
    if not hasattr(estimator, "get_params") and hasattr(estimator, "__len__"):
        return GIVEN
    text = " ".join(repr(estimator).split())
    return text if len(text) <= MAX_NAME else f"{type(estimator).__name__}(...)"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
