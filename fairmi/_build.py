"""Settings of a fit -> networks, data in tensors, and the run that trains them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from fairmi import _paper
from fairmi._networks import Networks
from fairmi._sample import Sample
from fairmi._training import DefaultRun, Run, Settings, n_batches
from fairmi._types import TrainingData
from fairmi.dependence import DonskerVaradhan

_DEFAULT_EPOCHS = 15
_FEWEST_STEPS = 200
# Regularisation of a table of few and of many rows; between them by the logarithm of the rows.
_FEW_ROWS, _MANY_ROWS = 1_000, 30_000
_DROPOUT = (0.5, 0.2)
_WEIGHT_DECAY = (0.3, 0.1)
_MOST_UNITS = 8
_CRITIC_LEARNING_RATE = 3e-3
_TINY = 1e-12
# More than fit in memory: the error comes before the operating system ends the process.
_MOST_WEIGHTS = 1_000_000_000
_MOST_LEVELS = 10_000_000


@dataclass(frozen=True)
class Design:
    """All that sets a training but its data; `n_rows` is None for a stream."""

    schedule: str
    constraint: str
    n_classes: int
    n_inputs: int
    hidden_layer_sizes: tuple[int, ...]
    n_components: int | None
    n_levels: int
    dropout: float | None
    lams: tuple[float, ...]
    max_iter: int | None
    n_rows: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    n_critic_steps: int | None
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
            "n_outputs": 1 if self.n_classes == 2 else self.n_classes,
            "dropout": 0.0 if paper else self._by_rows(self.dropout, _DROPOUT),
        }

    def _by_rows(self, given: float | None, ends: tuple[float, float]) -> float:
        if given is not None:
            return given
        rows = np.log([_FEW_ROWS, _MANY_ROWS])
        return float(np.interp(np.log(self.n_rows or _MANY_ROWS), rows, ends))

    @property
    def n_batches(self) -> int:
        """Steps of an epoch."""
        return n_batches(self.n_rows or 1, self.settled_batch_size)

    @property
    def settled_batch_size(self) -> int:
        """Rows of a step."""
        return self.batch_size or (128 if self.schedule == "paper" else 256)

    @property
    def settings(self) -> Settings:
        """How to train."""
        fewest = math.ceil(_FEWEST_STEPS / self.n_batches)
        n_epochs = self.max_iter or max(_DEFAULT_EPOCHS, fewest)
        paper = self.schedule == "paper"
        return Settings(
            lams=self.lams,
            n_epochs=n_epochs,
            batch_size=self.settled_batch_size,
            learning_rate=self.learning_rate or (1e-4 if paper else 1e-2),
            weight_decay=self._by_rows(self.weight_decay, _WEIGHT_DECAY),
            n_critic_steps=self.n_critic_steps or (20 if paper else 3),
            critic_learning_rate=_CRITIC_LEARNING_RATE,
        )


def build(
    design: Design, data: TrainingData, parameters: Mapping[str, np.ndarray] | None = None
) -> Run:
    """Return the run of the schedule, its networks untrained or with `parameters`."""
    if design.schedule == "paper":
        networks, generator = _networks(design, parameters)
        return _paper.PaperRun(networks, data, design.settings, generator)
    return default_run(design, data, parameters)


def default_run(
    design: Design, data: TrainingData, parameters: Mapping[str, np.ndarray] | None = None
) -> DefaultRun:
    """Return the run of the default schedule."""
    networks, generator = _networks(design, parameters)
    return DefaultRun(networks, data, design.settings, DonskerVaradhan(), generator)


def training_data(
    sample: Sample,
    n_groups: int | None,
    design: Design,
    earlier_counts: np.ndarray | None = None,
) -> TrainingData:
    """Return the rows as tensors on the device, and the strata of the constraint.

    `earlier_counts` (S, G) are those of a stream's rows before these: they are added to, in place.
    """
    sensitive, weights, y = sample.sensitive, sample.weights, sample.codes
    penalty_weights = weights * sensitive.known
    strata, n_strata = np.zeros_like(y), 1
    if design.constraint == "equalized_odds":
        strata, n_strata = y, design.n_classes
    elif design.constraint == "equal_opportunity":
        penalty_weights[y == 0] = 0
    groups, values, log_prior = None, None, None
    if sensitive.groups is not None:
        shares = np.zeros((n_strata, n_groups or 0))
        np.add.at(shares, (strata, sensitive.groups), penalty_weights)
        if earlier_counts is not None:
            earlier_counts += shares
            shares = earlier_counts.copy()
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), _TINY)
        log_prior = _tensor(np.log(np.maximum(shares, _TINY)), design, torch.float32)
        groups = _tensor(sensitive.groups, design, torch.int64)
    elif sensitive.values is not None:
        values = _tensor(sensitive.values, design, torch.float32)
    scale = len(weights) / weights.sum()
    return TrainingData(
        x=_rows_of(sample.x, design),
        y=_tensor(y, design, torch.int64),
        groups=groups,
        values=values,
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
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
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


def _networks(
    design: Design, parameters: Mapping[str, np.ndarray] | None
) -> tuple[Networks, torch.Generator]:
    _check_size(design)
    generator = torch.Generator(design.device).manual_seed(design.seed)
    networks = Networks(**design.architecture, generator=generator)
    if parameters is not None:
        networks.load_state_dict({k: torch.as_tensor(v) for k, v in parameters.items()})
    return networks, generator


def _check_size(design: Design) -> None:
    sizes = design.architecture
    n_components = sizes["n_components"]
    widths = (sizes["n_inputs"], *sizes["hidden_layer_sizes"], n_components, sizes["n_outputs"])
    n_weights = sum(n_in * n_out for n_in, n_out in pairwise(widths))
    if n_weights > _MOST_WEIGHTS:
        raise ValueError(
            f"hidden_layer_sizes={design.hidden_layer_sizes!r} and n_components={n_components!r} "
            f"on {sizes['n_inputs']} encoded columns of X make {n_weights:.0e} weights, more than "
            f"{_MOST_WEIGHTS:.0e}; give smaller layers."
        )
    if (sizes["n_levels"] or 0) * n_components > _MOST_LEVELS:
        raise ValueError(
            f"n_levels={design.n_levels!r} for n_components={n_components!r} are more than "
            f"{_MOST_LEVELS:.0e} values; give fewer."
        )


def _rows_of(x: np.ndarray | csr_array, design: Design) -> Tensor | csr_array:
    return x if isinstance(x, csr_array) else _tensor(x, design, torch.float32)


def _tensor(values: np.ndarray, design: Design, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=design.device)
