"""Dependence measures that serve as penalties, and the bounds among them as estimators."""

from __future__ import annotations

from fairmi.dependence.bounds import CLUB, MINE, NWJ, SMILE, BarberAgakov, DonskerVaradhan, InfoNCE
from fairmi.dependence.distances import (
    HGR,
    HSIC,
    MMD,
    CharacteristicFunction,
    CrossSample,
    SlicedInfomin,
)
from fairmi.dependence.names import PENALTIES
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch

__all__ = [
    "CLUB",
    "HGR",
    "HSIC",
    "MINE",
    "MMD",
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
