"""All that sets a training but its data, and what is derived of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fairmi import _paper
from fairmi._loop import Settings
from fairmi._training import n_batches

_DEFAULT_EPOCHS = 15
_FEWEST_STEPS = 200
# Shares of λ at which companions train; and distinct rows from which on there are some, and models
# of a path share hidden layers: on fewer, what a small λ learns by heart is not debiased.
_COMPANIONS = (0.0, 0.25, 0.5)
_FEWEST_SHARED_ROWS = 5_000
# Regularisation of a table of few and of many rows; between them by the logarithm of the rows.
_FEW_ROWS, _MANY_ROWS = 1_000, 30_000
_DROPOUT = (0.5, 0.2)
_WEIGHT_DECAY = (0.3, 0.6)
_MOST_UNITS = 8
_CRITIC_LEARNING_RATE = 3e-3


@dataclass(frozen=True)
class Design:
    """All that sets a training but its data; `n_rows` is None for a stream.

    For each of `lams` there are `n_starts` models, whose starting weights differ; `factors` has
    the share of λ for each sensitive attribute.
    """

    schedule: str
    constraint: str
    n_classes: int
    n_inputs: int
    hidden_layer_sizes: tuple[int, ...]
    n_components: int | None
    n_levels: int
    dropout: float | None
    lams: tuple[float, ...]
    n_starts: int
    max_iter: int | None
    n_rows: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    n_critic_steps: int | None
    device: torch.device
    seed: int
    penalty: Any
    factors: tuple[float, ...]
    group_weight: str | None

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of Networks for the models of one λ, but for the generator."""
        paper = self.schedule == "paper"
        n_units = self.n_components or min(self.n_classes - 1, _MOST_UNITS)
        return {
            "n_models": self.n_starts,
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
    def shares_layers(self) -> bool:
        """Whether models have the encoder's hidden layers in common."""
        return self.schedule != "paper" and (self.n_rows or 0) >= _FEWEST_SHARED_ROWS

    @property
    def companions(self) -> tuple[float, ...]:
        """Values of λ that train before those of `lams`; their models are thrown away.

        Under a large λ alone, hidden layers in common lose what the task needs; models of small
        λ hold it.
        """
        if not self.shares_layers:
            return ()
        wanted = (share * max(self.lams) for share in _COMPANIONS)
        return tuple(lam for lam in wanted if lam < min(self.lams))

    @property
    def asked(self) -> slice:
        """Models that are no companions."""
        return slice(len(self.companions) * self.n_starts, None)

    def models_of(self, place: int) -> slice:
        """Return the models of the λ of `place` among `lams`."""
        start = (len(self.companions) + place) * self.n_starts
        return slice(start, start + self.n_starts)

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
        lams = (*self.companions, *self.lams)
        return Settings(
            lams=tuple(lam for lam in lams for _ in range(self.n_starts)),
            n_repeats=len(lams),
            n_epochs=n_epochs,
            batch_size=self.settled_batch_size,
            learning_rate=self.learning_rate or (1e-4 if paper else 1e-2),
            weight_decay=self._by_rows(self.weight_decay, _WEIGHT_DECAY),
            n_critic_steps=self.n_critic_steps or (20 if paper else 3),
            critic_learning_rate=_CRITIC_LEARNING_RATE,
            factors=self.factors,
        )
