"""What is left of the sensitive attribute, and how groups differ: figures for any model."""

from __future__ import annotations

from fairmi.metrics.certificate import Certificate, certify
from fairmi.metrics.scorers import make_fairness_scorer

__all__ = [
    "Certificate",
    "certify",
    "make_fairness_scorer",
]
