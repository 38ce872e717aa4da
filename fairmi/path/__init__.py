"""The whole line of accuracy against unfairness: every λ in one training."""

from __future__ import annotations

from fairmi.path._path import FairnessPath, fairness_path
from fairmi.path._search import MIDebiasedClassifierCV, MIDebiasedRegressorCV

__all__ = ["FairnessPath", "MIDebiasedClassifierCV", "MIDebiasedRegressorCV", "fairness_path"]
