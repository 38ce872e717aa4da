"""What is left of the sensitive attribute, and how groups differ: figures for any model."""

from __future__ import annotations

from fairmi.metrics.certificate import Certificate, certify
from fairmi.metrics.information import (
    MutualInformationReport,
    mutual_information_report,
    mutual_information_score,
)
from fairmi.metrics.information import (
    conditional_mutual_information_report as conditional_mutual_information_report,
)
from fairmi.metrics.information import (
    conditional_mutual_information_score as conditional_mutual_information_score,
)
from fairmi.metrics.leakage import (
    LeakageReport,
    ProbeLeakage,
    leakage_report,
    leakage_score,
)
from fairmi.metrics.leakage import (
    conditional_leakage_report as conditional_leakage_report,
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
