"""Encoder, channel and head of M models at once, and a module of the user's as their trunk."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Generator, Tensor, nn

from fairmi._threads import one_thread
from fairmi.core.task import rarity
from fairmi.dependence.layers import StackedMLP, repeated

_LARGEST_BYTE = 255
_ROWS_AT_ONCE = 256  # of a trunk
CHECKED_ROWS = 2  # that a module of the user's is tried on


class Channel(nn.Module):
    """What bounds the capacity of Z: each unit takes one of `n_levels` values.

    In training a unit is moved by uniform noise of `width` grid steps before it is rounded, and
    the gradient passes straight through the rounding; at inference it is rounded alone, which is
    deterministic row by row. With `n_levels=None` the channel is open: Z is what the encoder
    gives, squashed to [-1, 1], or through ReLU, as in the published procedure.

    Shape: (M, B, D) in and out.

    Uniform dither before rounding in training: Ballé et al., *End-to-end Optimized Image
    Compression*, arXiv 1611.01704. Straight-through gradient: Bengio et al., arXiv 1308.3432.
    Rounding of bounded units: Mentzer et al., *Finite Scalar Quantization*, arXiv 2309.15505.

    Examples
    --------
    >>> import torch
    >>> from fairmi.networks.model import Channel
    >>> channel = Channel(5, torch.Generator())
    >>> channel(torch.tensor([[[-0.9], [0.2], [0.3]]]))
    tensor([[[-1.0000],
             [ 0.0000],
             [ 0.5000]]])
    """

    def __init__(
        self, n_levels: int | None, generator: Generator, *, squashed: bool = True
    ) -> None:
        super().__init__()
        self.n_levels, self.squashed = n_levels, squashed
        self.generator = generator

    def bound(self, h: Tensor) -> Tensor:
        """Squash the encoder's output to [-1, 1], ends of the grid of levels, if it is bounded."""
        return torch.tanh(h) if self.squashed else h.relu()

    def forward(self, bounded: Tensor, width: float = 0.0) -> Tensor:
        """Send bounded units through the channel; `width` is the noise in grid steps."""
        if self.n_levels is None:
            return bounded
        half = (self.n_levels - 1) / 2
        position = (bounded.detach() + 1) * half
        if width:
            # One noise for all models, as in dropout.
            noise = torch.rand(
                position.shape[1:], generator=self.generator, device=position.device
            )
            position = position + width * (noise - 0.5)
        rounded = position.round_().clamp_(0, self.n_levels - 1) / half - 1
        return bounded + (rounded - bounded).detach()

    @property
    def steps_per_unit(self) -> float:
        """Grid steps in a length of 1."""
        return ((self.n_levels or 0) - 1) / 2

    def position(self, bounded: Tensor) -> Tensor:
        """Return where units lie on the grid, 0 being its lowest level."""
        return (bounded + 1) * self.steps_per_unit

    def level(self, z: Tensor) -> Tensor:
        """Return the number of the level that each unit of a Z of this channel has, int64."""
        # Positions of a model that diverged count as 0, so that they are those of a level.
        top = (self.n_levels or 0) - 1
        return self.position(z.detach()).nan_to_num(0.0).round_().clamp_(0, top).long()

    def level_probabilities(self, bounded: Tensor, width: float) -> tuple[Tensor, Tensor]:
        """Return which levels noise of `width` lets each unit take, (M, B, D) each.

        That is the lower of the two levels nearest to the unit, int64, and the chance of the
        higher.
        """
        position = self.position(bounded.detach())
        low = position.nan_to_num(0.0).floor_().clamp_(0, (self.n_levels or 0) - 2)
        distance = position.sub_(low)
        above = distance.sub_(0.5).div_(width).add_(0.5).clamp_(0, 1) if width else distance > 0.5
        return low.long(), above.to(low.dtype)


class Trunk:
    """A module that maps rows (B, ...) to features (B, H), trained for all models at once.

    The module is taken over, in float32 on the device, not copied; `n_outputs` are the features H.
    """

    def __init__(self, module: nn.Module, device: torch.device, n_outputs: int) -> None:
        self.module, self.device, self.n_outputs = module, device, n_outputs
        self.last_good: dict[str, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Map rows as they are stored to features, (B, H)."""
        features: Tensor = self.module(as_input(x.to(self.device)))
        return features

    def features(self, rows: ArrayLike) -> np.ndarray:
        """Return the features (B, H), float64, of an array of rows, without gradients."""
        with torch.no_grad():
            parts = [self(part).cpu().double() for part in tensor_of(rows).split(_ROWS_AT_ONCE)]
        return torch.cat(parts).numpy()

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters that train."""
        return [p for p in self.module.parameters() if p.requires_grad]

    def keep(self) -> None:
        """Remember the state as the last good one."""
        state = self.module.state_dict().items()
        self.last_good = {name: value.detach().clone() for name, value in state}

    def restore(self) -> None:
        """Return to the last good state."""
        if self.last_good:
            self.module.load_state_dict(self.last_good)

    def is_finite(self) -> bool:
        """Whether all trained weights are numbers."""
        return all(bool(p.isfinite().all()) for p in self.trained)

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Leave buffers as they are, such as the running statistics of BatchNorm."""
        before = [buffer.clone() for buffer in self.module.buffers()]
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in zip(self.module.buffers(), before, strict=True):
                    buffer.copy_(value)

    def finished(self) -> nn.Module:
        """Return the module for inference, on the CPU and without gradients."""
        for parameter in self.module.parameters():
            parameter.grad = None
        self.device = torch.device("cpu")
        return self.module.cpu().eval()


class Networks(nn.Module):
    """Encoder, channel and head: what a fitted model is.

    On a `trunk` of the user's, which all models share and which is no part of what is saved by
    model, x is (B, ...) as the trunk reads it.
    """

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
        squashed: bool = False,
        head_layer_sizes: Sequence[int] = (),
        n_conditions: int = 0,
        dither: bool = False,
        trunk: Trunk | None = None,
    ) -> None:
        super().__init__()
        self.dither, self.trunk = dither, trunk
        self.n_inputs, self.n_components = n_inputs, n_components
        self.encoder = StackedMLP(
            n_models, (n_inputs, *hidden_layer_sizes, n_components), generator, dropout=dropout
        )
        # Rounded units are bounded; open ones only where it is said.
        self.channel = Channel(n_levels, generator, squashed=squashed or n_levels is not None)
        sizes = (n_components + n_conditions, *head_layer_sizes, n_outputs)
        self.head = StackedMLP(n_models, sizes, generator)
        if n_components == 1 and not head_layer_sizes:
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

    def encoder_weights(self) -> list[nn.Parameter]:
        """Return all that trains before the channel."""
        own = list(self.encoder.parameters())
        return own if self.trunk is None else [*self.trunk.trained, *own]

    def decayed_weights(self) -> list[nn.Parameter]:
        """Return the weights that decay: those that read X, matrices and kernels of a trunk."""
        if self.trunk is not None:
            return [p for p in self.trunk.trained if p.dim() > 1]
        # Where all weights decay, those behind the first layer make Z use fewer of its levels.
        return [next(self.encoder.parameters())]

    def separate(self, states: Mapping[str, Tensor]) -> None:
        """Give each model parameters of its own, (M, ...), and a trunk its last good ones."""
        for name, parameter in self.named_parameters():
            parameter.data = states[name]
        if self.trunk is not None:
            self.trunk.restore()

    def train(self, mode: bool = True) -> Networks:
        """Train, the trunk too, or not."""
        super().train(mode)
        if self.trunk is not None:
            self.trunk.module.train(mode)
        return self

    def _start_head(self) -> None:
        # A weight near 0 passes no gradient to the one unit, and a small table has no time to
        # leave such a start: 4 of 20 fits on German then predicted one class.
        with torch.no_grad():
            for name, parameter in self.head.named_parameters():
                start = parameter.sign() if name.endswith("weight") else torch.zeros(())
                parameter.copy_(start)

    def start_at(self, log_odds: float) -> None:
        """Let the head of a single unit and score start where one of two classes is rare.

        Z of 0 then stands for the log odds, and its range reaches from twice these to even odds.
        From even odds on, all rows would first move to the lowest level, and be tied there.
        """
        rare = rarity(log_odds)
        if self.n_components > 1 or self.channel.n_levels is None or not rare:
            return
        width = 1 + rare * (abs(log_odds) - 1)
        with torch.no_grad():
            for name, parameter in self.head.named_parameters():
                if name.endswith("weight"):
                    parameter.mul_(width)
                else:
                    parameter.fill_(rare * log_odds)

    def bounded(self, x: Tensor) -> Tensor:
        """Return the encoder's output before the channel, (M, B, D)."""
        if self.trunk is not None:
            x = self.trunk(x).to(next(self.head.parameters()))
        return self.channel.bound(self.encoder(x))

    def represent(self, x: Tensor) -> Tensor:
        """Return Z as at inference, (M, B, D)."""
        width = 1.0 if self.dither else 0.0
        if self.trunk is None or self.training:
            return self.channel(self.bounded(x), width)
        parts = [self.channel(self.bounded(part), width) for part in x.split(_ROWS_AT_ONCE)]
        return torch.cat(parts, dim=1)

    def arrays(self, models: slice) -> dict[str, np.ndarray]:
        """Return the parameters of some models, to save them."""
        parts = self.state_dict().items()
        return {name: value[models].cpu().numpy().copy() for name, value in parts}


def as_input(x: Tensor) -> Tensor:
    """Return rows as a module reads them: bytes from 0 to 1, other integers as they are."""
    if x.dtype == torch.uint8:
        return x.float().div_(_LARGEST_BYTE)
    return x.float() if x.is_floating_point() else x


def tensor_of(rows: ArrayLike) -> Tensor:
    """Return rows as a tensor: bytes and floats of 32 bits, or integers of 64."""
    values = np.asarray(rows)
    if values.dtype != np.uint8:
        values = values.astype(np.float32 if values.dtype.kind in "bf" else np.int64, copy=False)
    # A copy of what can't be written to, as a file that memory is mapped to: torch would warn.
    writable = values.flags.writeable and all(step > 0 for step in values.strides)
    return torch.from_numpy(values if writable else values.copy())


def device_of(name: str) -> torch.device:
    """Return the device of a name, usable here; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.lower() in ("gpu", "nvidia"):
        raise ValueError(f'device={name!r} is no name of torch\'s; give "cuda", or "auto".')
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise ValueError(
            f'device={name!r} can\'t be used here: {error}. Use "auto" or "cpu".'
        ) from error
    return device


def trunk_of(
    encoder: nn.Module | Callable[[], Any], sample: Tensor, device: torch.device
) -> Trunk:
    """Return a trunk that starts as a copy of a module, or as what a callable makes.

    It is tried on some rows (B, ...): it must give finite features (B, H).
    """
    if isinstance(encoder, nn.Module):
        module = copy.deepcopy(encoder)
    else:
        try:
            module = encoder()
        except Exception as error:
            raise ValueError(
                f"encoder={encoder!r} fails when it is called without an argument: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"encoder={encoder!r} made {module!r}; give a torch.nn.Module, or a callable "
            "that takes no argument and returns one."
        )
    module = module.to(device=device, dtype=torch.float32)
    trunk = Trunk(module, device, _n_outputs(module, sample.to(device)))
    _close_gaps(module)
    trunk.keep()
    return trunk


def _close_gaps(module: nn.Module) -> None:
    """Give parameters that are parts of larger tensors memory of their own.

    Fused optimisers go through a parameter, its gradient and its means by place in memory, and
    would write into the gaps.
    """
    for parameter in module.parameters():
        dense = parameter.detach().clone()
        if dense.stride() != parameter.stride():
            parameter.data = dense


def fitted_trunk(module: nn.Module, n_outputs: int, device_name: str) -> Trunk:
    """Return the trunk of a fitted model for inference, whose own module stays as it is.

    It runs on the named device where that is there, else on the CPU.
    """
    try:
        device = device_of(device_name)
    except ValueError:
        device = torch.device("cpu")
    if device.type != "cpu":
        module = copy.deepcopy(module).to(device)
    return Trunk(module.eval(), device, n_outputs)


@contextmanager
def training_setting(own_encoder: bool, seed: int, device: torch.device) -> Iterator[None]:
    """Train on one thread, and without a global generator.

    An encoder of the user's takes as many threads as torch is set to, as its products may be
    large. What it draws from torch is seeded, and the global state put back.
    """
    if not own_encoder:
        with one_thread():
            yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


def _n_outputs(module: nn.Module, sample: Tensor) -> int:
    x = as_input(sample)
    batch = f"a batch of X of shape {tuple(x.shape)}, {str(x.dtype).removeprefix('torch.')}"
    module.eval()
    try:
        with torch.no_grad():
            features = module(x)
    except Exception as error:
        raise ValueError(
            f"encoder fails on {batch}, in eval mode: {type(error).__name__}: {error}. It gets "
            "rows as they lie in X, channels last included; bring them into its own order, as "
            "x.permute(0, 3, 1, 2) does for images."
        ) from error
    if not isinstance(features, Tensor):
        raise ValueError(
            f"encoder gives a {type(features).__name__} for {batch}, not a tensor; return "
            "the features alone, (B, H)."
        )
    if features.dim() != 2 or len(features) != len(x) or not features.shape[1]:
        raise ValueError(
            f"encoder gives shape {tuple(features.shape)} for {batch}, and (B, H) is needed; "
            "end it by nn.Flatten(), or by a pooling and one."
        )
    if not features.is_floating_point() or not bool(features.isfinite().all()):
        raise ValueError(
            f"encoder gives values that are no finite floats ({features.dtype}) for {batch}; "
            "check its weights, and the scale of X."
        )
    return int(features.shape[1])
