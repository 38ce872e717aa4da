"""Settings of a fit -> networks, data in tensors, and the run that trains them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from fairmi._design import Design
from fairmi._layout import Places
from fairmi._loop import Run
from fairmi._networks import Networks
from fairmi._paper import PaperRun
from fairmi._sample import Sample
from fairmi._sensitive import AttributeRows
from fairmi._training import DefaultRun
from fairmi._types import TrainingData
from fairmi.dependence.names import penalty_of

_TINY = 1e-12
# Encoded values (256 MB) up to which a table is spread out once, not a batch at a time.
_MOST_EXPANDED = 2**26
# More than fit in memory: the error comes before the operating system ends the process.
_MOST_WEIGHTS = 1_000_000_000
_MOST_LEVELS = 10_000_000


def build(
    design: Design, data: TrainingData, parameters: Mapping[str, np.ndarray] | None = None
) -> Run:
    """Return the run of the schedule, its networks untrained or with `parameters`."""
    if design.schedule == "paper":
        networks, generator = _networks(design, parameters)
        return PaperRun(networks, data, design.settings, generator)
    return default_run(design, data, parameters)


def default_run(
    design: Design, data: TrainingData, parameters: Mapping[str, np.ndarray] | None = None
) -> DefaultRun:
    """Return the run of the default schedule."""
    networks, generator = _networks(design, parameters)
    return DefaultRun(networks, data, design.settings, design.penalty, generator)


def penalty_for(choice: Any, schedule: str) -> Any:
    """Return a fresh penalty of a name or an object.

    Raises
    ------
    ValueError
        If there is no such penalty, it lacks a method, or the schedule can't use it.
    """
    if schedule == "paper" and choice != "donsker_varadhan":
        raise ValueError(
            'schedule="paper" minimises the Donsker-Varadhan bound alone, not '
            f'penalty={choice!r}; set penalty="donsker_varadhan", or schedule="default".'
        )
    return penalty_of(choice)


def training_data(
    sample: Sample,
    n_groups: tuple[int, ...],
    design: Design,
    earlier_counts: np.ndarray | None = None,
) -> TrainingData:
    """Return the rows as tensors on the device, and the strata of the constraint.

    `n_groups` are those of each sensitive attribute. `earlier_counts` (S, sum of G) are those of
    a stream's rows before these, attribute by attribute: they are added to, in place.
    """
    _check_attributes(design, n_groups)
    task_weights, penalty_weights = sample.both_weights.T
    y = sample.codes
    strata, n_strata = np.zeros_like(y), 1
    scale = len(y) / np.maximum([task_weights.sum(), penalty_weights.sum()], _TINY)
    if design.constraint == "equalized_odds":
        strata, n_strata = y, design.n_classes
    elif design.constraint == "equal_opportunity":
        penalty_weights = penalty_weights * (y != 0)
    rows = TrainingData(
        x=_rows_of(sample, design),
        y=_tensor(y, design, torch.int64),
        groups=None,
        values=None,
        log_prior=None,
        strata=_tensor(strata, design, torch.int64),
        n_strata=n_strata,
        task_weights=_tensor(task_weights * scale[0], design, torch.float32)[None],
        penalty_weights=torch.zeros(()),
    )
    ends = np.cumsum(n_groups)
    counts = np.zeros((n_strata, ends[-1])) if earlier_counts is None else earlier_counts
    parts = zip(sample.sensitive.attributes, np.split(counts, ends[:-1], axis=1), strict=True)
    first, *others = [
        _with_attribute(rows, attribute, penalty_weights * scale[1], seen, strata, design)
        for attribute, seen in parts
    ]
    return replace(first, others=tuple(others))


def _check_attributes(design: Design, n_groups: tuple[int, ...]) -> None:
    if design.schedule == "paper" and design.n_starts > 1:
        raise ValueError(
            f'schedule="paper" trains one network, and n_estimators is {design.n_starts}; set it '
            'to 1, or schedule="default".'
        )
    if design.schedule == "paper" and len(n_groups) > 1:
        raise ValueError(
            'schedule="paper" has one penalty, and lam is a dict; give a number, which penalises '
            'the intersections, or schedule="default".'
        )
    if design.group_weight is not None and not any(n_groups):
        raise ValueError(
            f'group_weight="{design.group_weight}" needs groups, but the sensitive features are '
            "continuous, or are penalised together with a continuous one; set it to None, or give "
            "lam as a dict, a λ for each."
        )


def _with_attribute(
    rows: TrainingData,
    attribute: AttributeRows,
    weights: np.ndarray,
    counts: np.ndarray,
    strata: np.ndarray,
    design: Design,
) -> TrainingData:
    # `counts` (S, G) are those of earlier rows; these rows are added, in place.
    weights = weights * attribute.known
    if attribute.values is not None:
        return replace(
            rows,
            values=_tensor(attribute.values, design, torch.float32),
            penalty_weights=_tensor(weights, design, torch.float32)[None],
        )
    assert attribute.groups is not None
    np.add.at(counts, (strata, attribute.groups), weights)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), _TINY)
    if design.group_weight == "balanced":
        # Every group of every stratum has the same weight.
        present = shares > 0
        factors = counts.sum() / present.sum() / np.maximum(counts, _TINY)
        weights = weights * factors[strata, attribute.groups]
        shares = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    return replace(
        rows,
        groups=_tensor(attribute.groups, design, torch.int64),
        log_prior=_tensor(np.log(np.maximum(shares, _TINY)), design, torch.float32),
        penalty_weights=_tensor(weights, design, torch.float32)[None],
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


def representation(networks: Networks, x: Tensor) -> Tensor:
    """Return Z of rows x (B, P): the units of one network, (B, D); of several, their mean scores.

    Networks trained side by side do not know of each other: units of all of them together tell of
    C what none of them tells alone, and more than the mean of their scores does.
    """
    z = networks.represent(x)
    return z[0] if len(z) == 1 else networks.head(z).mean(0)


def scores_of(networks: Networks, z: Tensor) -> Tensor:
    """Return the scores, (B, K), of the representation."""
    if networks.n_models > 1:
        return z
    scores: Tensor = networks.head(z[None])[0]
    return scores


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
    networks.share(design.settings.n_repeats)
    if not design.shares_layers:
        networks.separate(networks.states())
    return networks, generator


def _check_size(design: Design) -> None:
    sizes = design.architecture
    n_components = sizes["n_components"]
    widths = (sizes["n_inputs"], *sizes["hidden_layer_sizes"], n_components, sizes["n_outputs"])
    n_models = len(design.lams) * design.n_starts
    n_weights = n_models * sum(n_in * n_out for n_in, n_out in pairwise(widths))
    if n_weights > _MOST_WEIGHTS:
        raise ValueError(
            f"hidden_layer_sizes={design.hidden_layer_sizes!r} and n_components={n_components!r} "
            f"on {sizes['n_inputs']} encoded columns of X make {n_weights:.0e} weights in "
            f"{n_models} networks (n_estimators={design.n_starts!r}), more than "
            f"{_MOST_WEIGHTS:.0e}; give smaller layers, or fewer networks."
        )
    if n_models * (sizes["n_levels"] or 0) * n_components > _MOST_LEVELS:
        raise ValueError(
            f"n_levels={design.n_levels!r} for n_components={n_components!r} are more than "
            f"{_MOST_LEVELS:.0e} values; give fewer."
        )


def _rows_of(sample: Sample, design: Design) -> Tensor | Places | csr_array:
    if isinstance(sample.x, csr_array) or sample.layout is None:
        return sample.x
    if len(sample.x) * sample.layout.width > _MOST_EXPANDED:
        return Places(_tensor(sample.x, design, torch.float32), sample.layout)
    return _tensor(sample.layout.expand(sample.x), design, torch.float32)


def _tensor(values: np.ndarray, design: Design, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=design.device)
