"""Encoder, channel and head: what a fitted model is, for M models at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn

from fairmi._layers import StackedMLP, repeated
from fairmi.networks.channel import Channel


class Networks(nn.Module):
    """Encoder, channel and head: what a fitted model is."""

    def __init__(
        self,
        *,
        n_models: int,
        n_inputs: int,
        hidden_layer_sizes: Sequence[int],
        n_components: int,
        n_levels: int | None,
        n_outputs: int,
        dropout: float,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.n_components = n_components
        self.encoder = StackedMLP(
            n_models, (n_inputs, *hidden_layer_sizes, n_components), generator, dropout=dropout
        )
        self.channel = Channel(n_levels, generator)
        self.head = StackedMLP(n_models, (n_components, n_outputs), generator)
        if n_components == 1:
            self._start_head()

    @property
    def n_models(self) -> int:
        """Models M."""
        return int(next(self.head.parameters()).shape[0])

    def share(self, times: int) -> None:
        """Turn the S models into S x `times`, of which every S-th have hidden layers in common.

        All S come, then all S again, and so on. Each has its own last layer of the encoder, and
        its own head.
        """
        own = (self.encoder.layers[-1], self.head)
        for parameter in (p for module in own for p in module.parameters()):
            parameter.data = repeated(parameter.data, times)

    def states(self) -> dict[str, Tensor]:
        """Return a copy of the parameters, (M, ...), those in common once for each model."""
        parts = self.state_dict().items()
        return {name: repeated(value, self.n_models // len(value)) for name, value in parts}

    def separate(self, states: Mapping[str, Tensor]) -> None:
        """Give each model parameters of its own, (M, ...)."""
        for name, parameter in self.named_parameters():
            parameter.data = states[name]

    def _start_head(self) -> None:
        # A weight near 0 passes no gradient to the one unit, and a small table has no time to
        # leave such a start: 4 of 20 fits on German then predicted one class.
        with torch.no_grad():
            for name, parameter in self.head.named_parameters():
                start = parameter.sign() if name.endswith("weight") else torch.zeros(())
                parameter.copy_(start)

    def bounded(self, x: Tensor) -> Tensor:
        """Return the encoder's output before the channel, (M, B, D)."""
        return self.channel.bound(self.encoder(x))

    def represent(self, x: Tensor) -> Tensor:
        """Return Z as at inference, (M, B, D)."""
        return self.channel(self.bounded(x))

    def arrays(self, models: slice) -> dict[str, np.ndarray]:
        """Return the parameters of some models, to save them."""
        parts = self.state_dict().items()
        return {name: value[models].cpu().numpy().copy() for name, value in parts}

    def representation(self, x: Tensor) -> Tensor:
        """Return Z of rows x (B, P): of one network (B, D); of several, their mean scores (B, K).

        Networks trained side by side do not know of each other: units of all of them together
        tell of C what none of them tells alone, and more than the mean of their scores does.
        """
        z = self.represent(x)
        return z[0] if len(z) == 1 else self.head(z).mean(0)

    def scores_of(self, z: Tensor) -> Tensor:
        """Return the scores, (B, K), of a representation."""
        if self.n_models > 1:
            return z
        scores: Tensor = self.head(z[None])[0]
        return scores


def device_of(name: str) -> torch.device:
    """Return the device of a name; "auto" is a GPU where there is one.

    Raises
    ------
    ValueError
        If it can't be used here.
    """
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
