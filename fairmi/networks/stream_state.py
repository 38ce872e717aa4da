"""The state of a training between two parts of a stream, as arrays and numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from fairmi.dependence.counts import LevelTable
from fairmi.networks.trainer import Trainer

Arrays = dict[str, np.ndarray]


def stream_state(trainer: Trainer) -> dict[str, Any]:
    """Return all that goes on from part to part but the weights: what a saved stream holds."""
    return {
        "generator": trainer.generator.get_state().numpy().copy(),
        "optimizer": _moments(trainer.optimizer),
        "terms": [
            {
                "critic": _arrays(term.critic.state_dict()),
                "optimizer": [] if term.optimizer is None else _moments(term.optimizer),
                "table": _table_to_plain(term.table),
            }
            for term in trainer.terms
        ],
    }


def go_on_from(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Let a fresh trainer of the same weights go on as the one whose state this is.

    What no longer fits, since a penalty or a kind of device is another, starts anew.
    """
    generator = torch.tensor(state["generator"])
    if generator.shape == trainer.generator.get_state().shape:
        trainer.generator.set_state(generator)
    _take_moments(trainer.optimizer, state["optimizer"])
    for term, plain in zip(trainer.terms, state["terms"], strict=True):
        if not _take_arrays(term.critic, plain["critic"]):
            continue
        if term.optimizer is not None:
            _take_moments(term.optimizer, plain["optimizer"])
        if term.table is not None and plain["table"] is not None:
            _take_table(term.table, plain["table"])


def _arrays(state: Mapping[str, Any]) -> Arrays:
    return {name: value.detach().cpu().numpy().copy() for name, value in state.items()}


def _take_arrays(module: nn.Module, arrays: Arrays) -> bool:
    """Load a module's state in place; say whether it is of its kind."""
    own = module.state_dict()
    if own.keys() != arrays.keys() or any(own[k].shape != arrays[k].shape for k in own):
        return False
    module.load_state_dict({name: torch.tensor(value) for name, value in arrays.items()})
    return True


def _moments(optimizer: Optimizer) -> list[Arrays]:
    """Return the running means of an optimiser, parameter by parameter.

    One that no row has reached yet has none.
    """
    return [_arrays(optimizer.state.get(parameter, {})) for parameter in _trained(optimizer)]


def _take_moments(optimizer: Optimizer, moments: Sequence[Arrays]) -> None:
    own = optimizer.state_dict()
    state = {
        k: {name: _as_laid_out(value, parameter) for name, value in arrays.items()}
        for k, (arrays, parameter) in enumerate(zip(moments, _trained(optimizer), strict=False))
        if arrays
    }
    optimizer.load_state_dict({"state": state, "param_groups": own["param_groups"]})


def _trained(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _as_laid_out(values: np.ndarray, parameter: nn.Parameter) -> torch.Tensor:
    """Return values in the order in memory of their parameter: fused Adam pairs them by place."""
    tensor = torch.tensor(values)
    return torch.empty_like(parameter).copy_(tensor) if values.ndim else tensor  # a number: steps


def _table_to_plain(table: LevelTable | None) -> dict[str, Any] | None:
    if table is None:
        return None
    shares = table.shares.cpu().numpy().copy()
    return {"shares": shares, "n_batches": table.n_batches, "n_rows": table.n_rows}


def _take_table(table: LevelTable, plain: Mapping[str, Any]) -> None:
    if table.shares.shape == plain["shares"].shape:
        table.shares = torch.tensor(plain["shares"], device=table.shares.device)
        table.n_batches, table.n_rows = plain["n_batches"], plain["n_rows"]
