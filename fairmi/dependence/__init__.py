"""Dependence measures that serve as penalties, one file each."""

from __future__ import annotations

from fairmi.dependence.barber_agakov import BarberAgakov
from fairmi.dependence.club import CLUB
from fairmi.dependence.donsker_varadhan import DonskerVaradhan
from fairmi.dependence.infonce import InfoNCE
from fairmi.dependence.mine import MINE
from fairmi.dependence.nwj import NWJ
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.smile import SMILE

__all__ = [
    "CLUB",
    "MINE",
    "NWJ",
    "PENALTIES",
    "SMILE",
    "BarberAgakov",
    "DonskerVaradhan",
    "InfoNCE",
    "Penalty",
]

PENALTIES: dict[str, type[Penalty]] = {
    "barber_agakov": BarberAgakov,
    "club": CLUB,
    "donsker_varadhan": DonskerVaradhan,
    "infonce": InfoNCE,
    "mine": MINE,
    "nwj": NWJ,
    "smile": SMILE,
}
