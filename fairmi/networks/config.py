"""Every setting of a training of networks, resolved: nothing in it is "auto"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fairmi.core.task import Classes, NetworkTask, Nothing, telling_share

if TYPE_CHECKING:
    import torch

    from fairmi.dependence import Penalty

# Epochs of a default fit, but for so few rows that these are few steps, and so many that they are
# more than bring anything.
_DEFAULT_EPOCHS = 15
_MIN_STEPS, _MAX_STEPS = 200, 15_000
# A module of the user's starts from what is no encoding of columns: at least so many steps, and so
# many for each class.
_OWN_STEPS, _OWN_STEPS_OF_CLASS = 400, 80
_BATCH_SIZE, _OWN_BATCH_SIZE = 256, 128
_LEVELS, _LEVELS_OF_NUMBERS = 17, 33
# Shares of λ at which auxiliary models train; and distinct rows from which on there are some, and
# models of a path share hidden layers: on fewer, what a small λ learns by heart is not debiased.
_AUXILIARY = (0.0, 0.25, 0.5)
_MIN_SHARED_ROWS = 5_000
# Regularisation of a table of few and of many rows; between them by the logarithm of the rows.
_FEW_ROWS, _MANY_ROWS = 1_000, 30_000
_DROPOUT = (0.5, 0.2)
_WEIGHT_DECAY = (0.3, 0.6)
_MAX_UNITS = 8
# Units of an open Z, as in the published procedure; and what trains a module of the user's.
_OPEN_UNITS = 64
_RATE, _OWN_RATE = 0.01, 2e-3
# Layers that read Z on a module of the user's, where there is no y.
_DECODER = (128,)
_OWN_DECAY = 0.01
# Without y: units and levels, and what trains networks on tables.
_WITHOUT_Y: dict[str, Any] = {"n_estimators": 1, "n_components": 8, "n_levels": 9}
_TABLE_WITHOUT_Y: dict[str, Any] = {"dropout": 0.0, "weight_decay": 0.0, "learning_rate": 0.005}
# More than fit in memory: the error comes before the operating system ends the process.
_MAX_WEIGHTS = 1_000_000_000
_MAX_LEVELS = 10_000_000


@dataclass(frozen=True)
class NetworkConfig:
    """How to train; fields named as parameters of `MIDebiasedClassifier` mean the same.

    For each of `lams` there are `n_estimators` models, whose starting weights differ; `factors`
    has the share of λ for each sensitive attribute. Models of `auxiliary_lams` train before those
    of `lams` and are thrown away: under a large λ alone, hidden layers that models share lose what
    the task needs. `log_odds` are those of the second class of two.
    """

    task: NetworkTask
    n_inputs: int
    hidden_layer_sizes: tuple[int, ...]
    n_components: int
    n_levels: int | None
    n_estimators: int
    dropout: float
    lams: tuple[float, ...]
    auxiliary_lams: tuple[float, ...]
    factors: tuple[float, ...]
    shares_layers: bool
    penalty: Penalty
    n_critic_steps: int
    max_iter: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    device: torch.device
    seed: int
    log_odds: float = 0.0

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of Networks for the models of one λ, but for the generator."""
        architecture = {
            "n_models": self.n_estimators,
            "n_inputs": self.n_inputs,
            "hidden_layer_sizes": self.hidden_layer_sizes,
            "n_components": self.n_components,
            "n_levels": self.n_levels,
            "n_outputs": self.task.n_scores,
            "dropout": self.dropout,
        }
        if isinstance(self.task, Nothing):
            architecture["head_layer_sizes"] = self.hidden_layer_sizes or _DECODER
            architecture["n_conditions"] = self.task.n_conditions
            architecture["dither"] = self.task.dither and self.n_levels is not None
        # An open Z is bounded: units of any size run away from their critic.
        return architecture | ({} if self.n_levels is not None else {"squashed": True})

    @property
    def n_repeats(self) -> int:
        """Values of λ, auxiliary ones included."""
        return len(self.auxiliary_lams) + len(self.lams)

    @property
    def model_lams(self) -> tuple[float, ...]:
        """The λ of each model."""
        lams = (*self.auxiliary_lams, *self.lams)
        return tuple(lam for lam in lams for _ in range(self.n_estimators))

    @property
    def asked(self) -> slice:
        """Models that are not auxiliary."""
        return slice(len(self.auxiliary_lams) * self.n_estimators, None)

    def models_of(self, place: int) -> slice:
        """Return the models of one of `lams`."""
        start = (len(self.auxiliary_lams) + place) * self.n_estimators
        return slice(start, start + self.n_estimators)


def network_config(
    parameters: Mapping[str, Any],
    *,
    lams: tuple[float, ...],
    n_rows: int | None,
    n_inputs: int,
    task: NetworkTask,
    own_encoder: bool = False,
    log_odds: float = 0.0,
    **resolved: Any,
) -> NetworkConfig:
    """Return the configuration of an estimator's `parameters`, each "auto" in them resolved.

    Parameters that are no field are left out, and fields among `resolved` take the place of
    parameters of their names. `n_rows` are distinct rows, None for a stream. With `own_encoder` a
    trunk of the user's, which all models share, comes before the networks. `log_odds` are those of
    the second class of two: where one is rare, regularisation is that of fewer rows.
    """
    many = (n_rows or 0) >= _MIN_SHARED_ROWS
    # Units that hold all that a prediction needs.
    n_units = task.n_classes - 1 if isinstance(task, Classes) else task.n_scores
    explicit = {
        name: value
        for name, value in parameters.items()
        if not (isinstance(value, str) and value == "auto")
    }
    # Under a penalty few levels lose several classes of images: docs/experiments/images.md.
    levels = _LEVELS if isinstance(task, Classes) else _LEVELS_OF_NUMBERS
    n_levels = explicit.get("n_levels", None if own_encoder and n_units > 1 else levels)
    batch_size = int(explicit.get("batch_size", _OWN_BATCH_SIZE if own_encoder else _BATCH_SIZE))
    n_telling = None if n_rows is None else n_rows * telling_share(log_odds)
    min_steps = _MIN_STEPS
    if own_encoder:
        min_steps = max(_OWN_STEPS, _OWN_STEPS_OF_CLASS * (n_units + 1))
    n_steps = n_batches(n_rows or 1, batch_size)
    auxiliary = [lam for lam in (share * max(lams) for share in _AUXILIARY) if lam < min(lams)]
    automatic: dict[str, Any] = {
        "n_levels": n_levels,
        "n_components": _OPEN_UNITS if n_levels is None else min(n_units, _MAX_UNITS),
        "dropout": _by_rows(_DROPOUT, n_telling),
        "batch_size": batch_size,
        "learning_rate": _OWN_RATE if own_encoder else _RATE,
        "weight_decay": _OWN_DECAY if own_encoder else _by_rows(_WEIGHT_DECAY, n_telling),
        "max_iter": max(
            min(_DEFAULT_EPOCHS, max(1, round(_MAX_STEPS / n_steps))),
            math.ceil(min_steps / n_steps),
        ),
    }
    if isinstance(task, Nothing):
        automatic |= _WITHOUT_Y | ({} if own_encoder else _TABLE_WITHOUT_Y)
    names = {field.name for field in fields(NetworkConfig)} - set(resolved)
    chosen = {name: value for name, value in (automatic | explicit).items() if name in names}
    chosen["hidden_layer_sizes"] = layer_sizes(parameters["hidden_layer_sizes"])
    if own_encoder:
        chosen |= {"hidden_layer_sizes": (), "dropout": 0.0}
    config = NetworkConfig(
        **chosen,
        **resolved,
        log_odds=log_odds,
        task=task,
        n_inputs=n_inputs,
        lams=lams,
        auxiliary_lams=tuple(auxiliary) if many and not own_encoder else (),
        shares_layers=many or own_encoder,
    )
    check_size(config.architecture, len(config.lams) * config.n_estimators)
    return config


def layer_sizes(sizes: ArrayLike) -> tuple[int, ...]:
    """Return the units of each hidden layer; a number is one layer.

    ValueError is raised where one is not a positive integer.
    """
    units = sizes if isinstance(sizes, list | tuple) else np.atleast_1d(sizes)
    for size in units:
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"hidden_layer_sizes={sizes!r} holds {size!r}; give positive integers: (128,)."
            )
    return tuple(int(size) for size in units)


def n_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of minibatches of an epoch."""
    return max(1, round(n_rows / batch_size))


def _by_rows(ends: tuple[float, float], n_rows: float | None) -> float:
    rows = np.log([_FEW_ROWS, _MANY_ROWS])
    return float(np.interp(np.log(n_rows or _MANY_ROWS), rows, ends))


def check_size(architecture: Mapping[str, Any], n_models: int) -> None:
    """Raise ValueError where `n_models` networks are too large for any machine.

    `architecture` has the arguments of `Networks`.
    """
    n_units, n_inputs = architecture["n_components"], architecture["n_inputs"]
    hidden = architecture["hidden_layer_sizes"]
    widths = (n_inputs, *hidden, n_units, architecture["n_outputs"])
    n_weights = n_models * sum(n_in * n_out for n_in, n_out in pairwise(widths))
    if n_weights > _MAX_WEIGHTS:
        raise ValueError(
            f"hidden_layer_sizes={hidden!r} and n_components={n_units!r} on {n_inputs} encoded "
            f"columns of X make {n_weights:.0e} weights in {n_models} networks "
            f"(n_estimators={architecture['n_models']!r}), more than {_MAX_WEIGHTS:.0e}; give "
            "smaller layers, or fewer networks."
        )
    n_levels = architecture["n_levels"]
    if n_levels is not None and n_models * n_levels * n_units > _MAX_LEVELS:
        raise ValueError(
            f"n_levels={n_levels!r} for n_components={n_units!r} are more than "
            f"{_MAX_LEVELS:.0e} values; give fewer."
        )


def check_same_networks(wanted: Mapping[str, Any], fitted: Mapping[str, Any]) -> None:
    """Raise ValueError where a fit that goes on would need other networks than there are."""
    for name, value in wanted.items():
        if name != "dropout" and value != fitted[name]:
            parameter = "n_estimators" if name == "n_models" else name
            raise ValueError(
                f"This fit goes on from networks of {parameter}={fitted[name]!r}, but the "
                f"parameters now ask for {value!r}; set them back, or fit anew with "
                "warm_start=False."
            )
