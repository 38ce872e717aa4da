"""A shard's rows, read by what the first process found in its own: encoding, classes, groups."""

from __future__ import annotations

from typing import Any

from fairmi._data.fit_input import FitInput, RowOptions, read_fit_input, read_stream_input
from fairmi.networks.reducer import Reducer
from fairmi.preprocessing import TableEncoder


def read_shard(
    estimator: Any,
    options: RowOptions,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    *,
    reducer: Reducer,
) -> tuple[FitInput, TableEncoder]:
    """Return the checked rows of this process, and the encoding that all have in common.

    Raises
    ------
    ValueError
        Of a setting that can't be trained by several processes, and as `fit` in any of them.
    """
    reducer.agreed(lambda: _check(estimator))
    given: list[FitInput] = []

    def first() -> tuple[Any, ...]:
        read = read_fit_input(options, X, y, sensitive_features, sample_weight)
        given.append(read)
        encoder = TableEncoder().fit(read.features, read.codes, read.task_weights)
        return read.classes, read.plan, read.header, encoder

    classes, plan, header, encoder = reducer.of_first(first)

    def others() -> None:
        if not given:
            arguments = (options, X, y, sensitive_features, sample_weight)
            earlier = (header, classes, plan)
            given.append(read_stream_input(*arguments, classes=None, earlier=earlier))

    reducer.agreed(others)
    return given[0], encoder


def learned_of(estimator: Any) -> dict[str, Any]:
    """Return what a fit stored in an estimator: all but its parameters."""
    parameters = estimator.get_params(deep=False)
    return {name: value for name, value in vars(estimator).items() if name not in parameters}


def _check(estimator: Any) -> None:
    for name, refused, instead in (
        ("encoder", estimator.encoder is not None, "encoder=None"),
        ("class_weight", isinstance(estimator.class_weight, str), "a dict of weights"),
        ("prior_correction", estimator.prior_correction, "False"),
        ("warm_start", estimator.warm_start, "False"),
    ):
        if refused:
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} can't be trained by several processes; "
                f"give {instead}, or fit outside of data_parallel()."
            )
