"""Dependence measures that serve as penalties, their names, and a user's choice of one."""

from __future__ import annotations

import copy

from sklearn.base import BaseEstimator, clone

from fairmi.dependence.bounds import CLUB, MINE, NWJ, SMILE, BarberAgakov, DonskerVaradhan, InfoNCE
from fairmi.dependence.distances import (
    HGR,
    HSIC,
    MMD,
    CharacteristicFunction,
    CrossSample,
    SlicedInfomin,
)
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

PENALTIES: dict[str, type[Penalty]] = {
    "donsker_varadhan": DonskerVaradhan,
    "mine": MINE,
    "nwj": NWJ,
    "infonce": InfoNCE,
    "smile": SMILE,
    "club": CLUB,
    "barber_agakov": BarberAgakov,
    "hgr": HGR,
    "csad": CrossSample,
    "characteristic_function": CharacteristicFunction,
    "hsic": HSIC,
    "mmd": MMD,
    "sliced_infomin": SlicedInfomin,
}

# Saved models name the public place of a class, which stays where its file moves.
for _penalty in PENALTIES.values():
    _penalty.__module__ = __name__

_METHODS = ("critic", "critic_loss", "value")


def penalty_of(choice: str | Penalty) -> Penalty:
    """Return a fresh penalty: of a name in `PENALTIES`, or a copy of the object given.

    Raises
    ------
    ValueError
        If the name is unknown, or the object is a class or lacks a method of `Penalty`.
    """
    if isinstance(choice, str):
        if choice not in PENALTIES:
            raise ValueError(
                f"penalty={choice!r} is not among {', '.join(map(repr, sorted(PENALTIES)))}; give "
                "one of these names, or an object with the methods of fairmi.dependence.Penalty."
            )
        return PENALTIES[choice]()
    if isinstance(choice, type):
        raise ValueError(
            f"penalty={choice.__name__} is a class; give an object of it, as in "
            f"penalty={choice.__name__}()."
        )
    missing = [name for name in _METHODS if not callable(getattr(choice, name, None))]
    if missing:
        raise ValueError(
            f"penalty={choice!r} has no method {missing[0]!r}; give a name "
            f"({', '.join(map(repr, sorted(PENALTIES)))}), or an object with critic, critic_loss "
            "and value, as in fairmi.dependence.Penalty."
        )
    return clone(choice) if isinstance(choice, BaseEstimator) else copy.deepcopy(choice)
