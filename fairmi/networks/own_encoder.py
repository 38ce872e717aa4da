"""A module of the user's as the trunk that all models share: copied, seeded, checked, kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fairmi.networks.model import Trunk, as_input, device_of

CHECKED_ROWS = 2


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
            f"encoder={encoder!r} made a {type(module).__name__}; give a torch.nn.Module, or a "
            "callable that takes no argument and returns one."
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
def own_draws(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for what a module draws, and put them back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


def _n_outputs(module: nn.Module, sample: Tensor) -> int:
    x = as_input(sample)
    batch = f"a batch of X of shape {tuple(x.shape)}, {str(x.dtype).removeprefix('torch.')},"
    module.eval()
    try:
        with torch.no_grad():
            features = module(x)
    except Exception as error:
        raise ValueError(
            f"encoder fails on {batch} in eval mode: {type(error).__name__}: {error}. It gets "
            "rows as they lie in X, channels last included; bring them into its own order, as "
            "x.permute(0, 3, 1, 2) does for images."
        ) from error
    if not isinstance(features, Tensor):
        raise ValueError(
            f"encoder gives a {type(features).__name__} for {batch} not a tensor; return the "
            "features alone, (B, H)."
        )
    if features.dim() != 2 or len(features) != len(x) or not features.shape[1]:
        raise ValueError(
            f"encoder gives shape {tuple(features.shape)} for {batch} and (B, H) is needed; end "
            "it by nn.Flatten(), or by a pooling and one."
        )
    if not features.is_floating_point() or not bool(features.isfinite().all()):
        raise ValueError(
            f"encoder gives values that are no finite floats ({features.dtype}) for {batch}; "
            "check its weights, and the scale of X."
        )
    return int(features.shape[1])
