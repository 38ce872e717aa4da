"""Settings of a fit -> networks, data in tensors, and the run that trains them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, issparse
from torch import Tensor

from fairmi import _paper
from fairmi._networks import Networks
from fairmi._training import DefaultRun, Run, Settings
from fairmi._types import TrainingData
from fairmi.dependence import DonskerVaradhan

_DEFAULT_EPOCHS = 15
_FEWEST_STEPS = 600
_MOST_UNITS = 8
_CRITIC_LEARNING_RATE = 3e-3


@dataclass(frozen=True)
class Design:
    """All that sets a training but its data."""

    schedule: str
    constraint: str
    n_classes: int
    n_inputs: int
    hidden_layer_sizes: tuple[int, ...]
    n_components: int | None
    n_levels: int
    dropout: float
    lams: tuple[float, ...]
    max_iter: int | None
    n_rows: int
    batch_size: int
    learning_rate: float | None
    weight_decay: float
    n_critic_steps: int
    device: torch.device
    seed: int

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of Networks, but for the generator."""
        paper = self.schedule == "paper"
        n_units = self.n_components or min(self.n_classes - 1, _MOST_UNITS)
        return {
            "n_models": len(self.lams),
            "n_inputs": self.n_inputs,
            "hidden_layer_sizes": self.hidden_layer_sizes,
            "n_components": _paper.N_COMPONENTS if paper else n_units,
            "n_levels": None if paper else self.n_levels,
            "head_layer_sizes": (),
            "n_outputs": 1 if self.n_classes == 2 else self.n_classes,
            "dropout": 0.0 if paper else self.dropout,
        }

    @property
    def settings(self) -> Settings:
        """How to train."""
        n_batches = max(1, round(self.n_rows / self.batch_size))
        n_epochs = self.max_iter or max(_DEFAULT_EPOCHS, math.ceil(_FEWEST_STEPS / n_batches))
        rate = self.learning_rate or (1e-4 if self.schedule == "paper" else 1e-2)
        return Settings(
            lams=self.lams,
            n_epochs=n_epochs,
            batch_size=self.batch_size,
            learning_rate=rate,
            weight_decay=self.weight_decay,
            n_critic_steps=self.n_critic_steps,
            critic_learning_rate=_CRITIC_LEARNING_RATE,
        )


def build(design: Design, data: TrainingData) -> Run:
    """Return untrained networks, and the run of the schedule that trains them on `data`."""
    generator = torch.Generator(design.device).manual_seed(design.seed)
    networks = Networks(**design.architecture, generator=generator)
    if design.schedule == "paper":
        return _paper.PaperRun(networks, data, design.settings, generator)
    return DefaultRun(networks, data, design.settings, DonskerVaradhan(), generator)


def training_data(
    *,
    x: np.ndarray | csr_array,
    y: np.ndarray,
    groups: np.ndarray | None,
    values: np.ndarray | None,
    known: np.ndarray,
    weights: np.ndarray,
    design: Design,
) -> TrainingData:
    """Return the rows as tensors on the device, and the strata of the constraint."""
    penalty_weights = weights * known
    strata = np.zeros_like(y)
    if design.constraint == "equalized_odds":
        strata = y
    elif design.constraint == "equal_opportunity":
        penalty_weights[y == 0] = 0
    n_strata = int(strata.max()) + 1
    log_prior = None
    if groups is not None:
        shares = np.zeros((n_strata, int(groups.max()) + 1))
        np.add.at(shares, (strata, groups), penalty_weights)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
        log_prior = _tensor(np.log(np.maximum(shares, 1e-12)), design, torch.float32)
    if values is not None:
        mean = np.average(values, axis=0, weights=weights * known)
        spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights * known))
        values = (values - mean) / np.where(spread > 0, spread, 1)
    scale = len(weights) / weights.sum()
    return TrainingData(
        x=x if issparse(x) else _tensor(x, design, torch.float32),
        y=_tensor(y, design, torch.int64),
        groups=None if groups is None else _tensor(groups, design, torch.int64),
        values=None if values is None else _tensor(values, design, torch.float32),
        log_prior=log_prior,
        strata=_tensor(strata, design, torch.int64),
        n_strata=n_strata,
        task_weights=_tensor(weights * scale, design, torch.float32)[None],
        penalty_weights=_tensor(penalty_weights * scale, design, torch.float32)[None],
    )


def inference_networks(
    architecture: Mapping[str, Any], parameters: Mapping[str, np.ndarray]
) -> Networks:
    """Return trained networks in float64 on the CPU.

    In float64 a row's place among others can't move it over the edge between two levels of Z.
    """
    networks = Networks(**architecture, generator=torch.Generator())
    networks.load_state_dict({name: torch.as_tensor(v) for name, v in parameters.items()})
    return networks.double().eval()


def device_of(name: str) -> torch.device:
    """Return the device of a name; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'device={name!r} can\'t be used here: {error}. Use "auto" or "cpu".'
        ) from error
    return device


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: more cost more than they give on products of this size.

    It also makes a fit the same on machines of any number of cores, and keeps parallel searches
    from using more threads than there are cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tensor(values: np.ndarray, design: Design, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=design.device)
