"""What an audit was of: the model, the rows, the settings, the versions, and what it lacks."""

from __future__ import annotations

from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from fairmi._data.groups import Groups
from fairmi.audit.answers import Answers

PACKAGES = ("fairmi", "fairlearn", "scikit-learn", "numpy")
LONGEST_NAME = 120


def missing_parts(answers: Answers) -> list[str]:
    """Say what the model has not, so that it could not be measured."""
    notes = []
    if not answers.probabilities:
        notes.append("The model has no predict_proba: calibration was not measured.")
    if answers.representation is None:
        notes.append("The model has no transform: there is no representation to examine.")
    return notes


def about(
    estimator: Any,
    baseline: Any,
    X: Any,
    answers: Answers,
    attributes: list[Groups],
    confidence: float,
    n_boot: int,
) -> dict[str, Any]:
    """Describe the audit: what, on what, how and with which versions."""
    counts = np.bincount(answers.true, minlength=len(answers.classes))
    shape = getattr(X, "shape", None) or np.asarray(X).shape
    return {
        "model": _short(estimator),
        "baseline": None if baseline is None else _short(baseline),
        "rows": len(answers.true),
        "features": int(shape[1]) if len(shape) > 1 else 1,
        "labels": {str(label): int(n) for label, n in zip(answers.classes, counts, strict=True)},
        "positive label": str(answers.classes[1]) if len(answers.classes) == 2 else None,
        "sensitive features": list(dict.fromkeys(n for a in attributes for n in a.names)),
        "confidence": confidence,
        "draws": n_boot,
        "date": date.today().isoformat(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def _short(estimator: Any) -> str:
    """Name an estimator on a line: a pipeline by its steps, none with all its parts spelt out."""
    if hasattr(estimator, "steps"):
        return " > ".join(_short(step) for _, step in estimator.steps)
    text = " ".join(repr(estimator).split())
    return text if len(text) <= LONGEST_NAME else f"{type(estimator).__name__}(...)"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
