"""Measure the fairness of any fitted classifier, ours or not, and report it."""

from __future__ import annotations

from fairmi.audit.measures import Curve, Figure, ReliabilityBin
from fairmi.audit.monitor import FairnessMonitor
from fairmi.audit.periods import Alarm
from fairmi.audit.probable import (
    ProbableDisparities,
    ProbableDisparity,
    probable_disparities,
)
from fairmi.audit.report import Audit
from fairmi.audit.run import audit

__all__ = [
    "Alarm",
    "Audit",
    "Curve",
    "FairnessMonitor",
    "Figure",
    "ProbableDisparities",
    "ProbableDisparity",
    "ReliabilityBin",
    "audit",
    "probable_disparities",
]
