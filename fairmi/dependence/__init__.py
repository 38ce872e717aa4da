"""Dependence measures that serve as penalties, one file each."""

from __future__ import annotations

from fairmi.dependence.donsker_varadhan import DonskerVaradhan
from fairmi.dependence.names import PENALTIES
from fairmi.dependence.penalty import Penalty

__all__ = ["PENALTIES", "DonskerVaradhan", "Penalty"]
