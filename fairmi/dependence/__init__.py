"""Dependence measures that serve as penalties, one file each."""

from __future__ import annotations

from fairmi.dependence.characteristic import CharacteristicFunction
from fairmi.dependence.csad import CrossSample
from fairmi.dependence.donsker_varadhan import DonskerVaradhan
from fairmi.dependence.hgr import HGR
from fairmi.dependence.hsic import HSIC
from fairmi.dependence.names import PENALTIES
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sliced import SlicedInfomin

__all__ = [
    "HGR",
    "HSIC",
    "PENALTIES",
    "CharacteristicFunction",
    "CrossSample",
    "DonskerVaradhan",
    "Penalty",
    "SlicedInfomin",
]
