"""What is left of the sensitive attribute, and how groups differ: figures for any model."""

from __future__ import annotations

from fairmi.metrics.certificate import Certificate, certify
from fairmi.metrics.leakage import LeakageReport, ProbeLeakage, leakage_report, leakage_score
from fairmi.metrics.scorers import make_fairness_scorer

__all__ = [
    "Certificate",
    "LeakageReport",
    "ProbeLeakage",
    "certify",
    "leakage_report",
    "leakage_score",
    "make_fairness_scorer",
]
