"""What is left of the sensitive attribute, and how groups differ: figures for any model."""

from __future__ import annotations

from fairmi.metrics.certificate import Certificate, certify
from fairmi.metrics.conditional_leakage import conditional_leakage_report
from fairmi.metrics.information import (
    MutualInformationReport,
    conditional_mutual_information_report,
    conditional_mutual_information_score,
    mutual_information_report,
    mutual_information_score,
)
from fairmi.metrics.leakage import LeakageReport, ProbeLeakage, leakage_report, leakage_score
from fairmi.metrics.scorers import make_fairness_scorer

__all__ = [
    "Certificate",
    "LeakageReport",
    "MutualInformationReport",
    "ProbeLeakage",
    "certify",
    "conditional_leakage_report",
    "conditional_mutual_information_report",
    "conditional_mutual_information_score",
    "leakage_report",
    "leakage_score",
    "make_fairness_scorer",
    "mutual_information_report",
    "mutual_information_score",
]
