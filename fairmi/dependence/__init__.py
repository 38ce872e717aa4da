"""Dependence measures that serve as penalties, one file each."""

from __future__ import annotations

from fairmi.dependence.barber_agakov import BarberAgakov
from fairmi.dependence.characteristic import CharacteristicFunction
from fairmi.dependence.club import CLUB
from fairmi.dependence.csad import CrossSample
from fairmi.dependence.donsker_varadhan import DonskerVaradhan
from fairmi.dependence.hgr import HGR
from fairmi.dependence.hsic import HSIC
from fairmi.dependence.infonce import InfoNCE
from fairmi.dependence.mine import MINE
from fairmi.dependence.names import PENALTIES
from fairmi.dependence.nwj import NWJ
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.dependence.sliced import SlicedInfomin
from fairmi.dependence.smile import SMILE

__all__ = [
    "CLUB",
    "HGR",
    "HSIC",
    "MINE",
    "NWJ",
    "PENALTIES",
    "SMILE",
    "BarberAgakov",
    "CharacteristicFunction",
    "CrossSample",
    "DonskerVaradhan",
    "InfoNCE",
    "Penalty",
    "SensitiveBatch",
    "SlicedInfomin",
]

# Saved models name the public place of a class, which stays where its file moves.
for _penalty in PENALTIES.values():
    _penalty.__module__ = __name__
