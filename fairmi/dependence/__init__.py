"""Dependence measures that serve as penalties, their names, and a user's choice of one."""

from __future__ import annotations

import copy
from inspect import cleandoc
from numbers import Integral

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

# What the docs of all penalties have, and those of all bounds.
_EXAMPLE = """

Examples
--------
>>> import torch
>>> from fairmi.dependence import PENALTIES, SensitiveBatch
>>> penalty, generator = PENALTIES["{name}"](), torch.Generator().manual_seed(0)
>>> batch = SensitiveBatch.of_groups(torch.tensor([0, 0, 1, 1]))
>>> z = torch.tensor([[[0.0], [0.5], [0.5], [1.0]]])  # one model, 4 rows, a unit
>>> critic = penalty.critic(1, 1, batch, generator)  # untrained
>>> penalty.value(critic, z, batch, generator).shape  # a value for each model
torch.Size([1])
"""
_PARAMETERS = """

Parameters
----------
hidden_layer_sizes : sequence of int, default=(64, 64)
    Units of the critic's hidden layers."""

for _name, _penalty in PENALTIES.items():
    # Saved models name the public place of a class, which stays where its file moves.
    _penalty.__module__ = __name__
    _doc = cleandoc(_penalty.__doc__ or "")
    _doc += "" if "\nParameters\n" in _doc else _PARAMETERS
    _penalty.__doc__ = _doc + _EXAMPLE.format(name=_name)

_METHODS = ("critic", "critic_loss", "value")


def penalty_of(choice: str | Penalty) -> Penalty:
    """Return a fresh penalty: of a name in `PENALTIES`, or a copy of the object given."""
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
    if isinstance(choice, Penalty):
        choice._validate_params()
        sizes = getattr(choice, "hidden_layer_sizes", ())
        if not all(isinstance(n, Integral) and int(n) > 0 for n in sizes):
            raise ValueError(
                f"penalty={choice!r}: hidden_layer_sizes needs positive integers, as in (64, 64)."
            )
    return clone(choice) if isinstance(choice, BaseEstimator) else copy.deepcopy(choice)
