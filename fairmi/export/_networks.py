"""Networks and their encoder -> operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from fairmi.export._graph import Graph
from fairmi.export._inputs import InputTable, categories_of, codes
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_columns import CategoricalColumn, NumericColumn
from fairmi.preprocessing.table_encoder import Layout


def add_networks(graph: Graph, model: BaseEstimator, table: InputTable) -> tuple[str, str]:
    """Add a model's encoder and networks, and return Z and the scores of the classes."""
    x = graph.cast(_encoded(graph, model.encoder_, table), np.float64)
    for k, (weight, bias) in enumerate(_layers(model.parameters_, "encoder")):
        x = graph.op("Relu", x) if k else x
        x = graph.op("Add", graph.op("MatMul", x, graph.constant(weight)), graph.constant(bias))
    z = _channel(graph, x, model.architecture_)
    ((weight, bias),) = _layers(model.parameters_, "head")
    scores = graph.op("Add", graph.op("MatMul", z, graph.constant(weight)), graph.constant(bias))
    if model.architecture_["n_models"] > 1:
        mean = graph.op("ReduceMean", scores, axes=[0], keepdims=0)
        return mean, mean
    first = graph.constant([0], np.int64)
    return graph.op("Squeeze", z, first), graph.op("Squeeze", scores, first)


def _layers(parameters: dict[str, np.ndarray], part: str) -> list[tuple[np.ndarray, np.ndarray]]:
    n_layers = sum(name.startswith(f"{part}.layers.") for name in parameters) // 2
    names = [f"{part}.layers.{k}" for k in range(n_layers)]
    return [(parameters[f"{name}.weight"], parameters[f"{name}.bias"]) for name in names]


def _channel(graph: Graph, h: str, architecture: dict[str, Any]) -> str:
    n_levels = architecture["n_levels"]
    if n_levels is None:
        return graph.op("Tanh" if architecture.get("squashed") else "Relu", h)
    half = graph.constant((n_levels - 1) / 2)
    one = graph.constant(1.0)
    position = graph.op("Mul", graph.op("Add", graph.op("Tanh", h), one), half)
    return graph.op("Sub", graph.op("Div", graph.op("Round", position), half), one)


def _encoded(graph: Graph, encoder: TableEncoder, table: InputTable) -> str:
    """Return the encoded rows, (n_rows, P) float32."""
    if encoder.columns_ is None:
        return _scaled(graph, encoder, table)
    layout = encoder.layout_
    assert layout is not None
    numeric, categorical = _tensors(graph, encoder, table)
    parts, places = [], np.zeros(len(encoder.columns_), dtype=np.int64)
    gaps = None
    if numeric:
        values = graph.join(*numeric.values())
        gaps = graph.op("IsNaN", values)
        plans = [encoder.columns_[j] for j in numeric]
        parts.append(_positions(graph, values, gaps, plans))
        places[list(numeric)] = np.arange(len(numeric))
    if categorical:
        parts.append(graph.cast(graph.join(*categorical.values()), np.float32))
        places[list(categorical)] = len(numeric) + np.arange(len(categorical))
    return _spread(graph, graph.join(*parts), gaps, layout, places)


def _scaled(graph: Graph, encoder: TableEncoder, table: InputTable) -> str:
    assert table.matrix is not None
    gaps = graph.op("IsNaN", table.matrix)
    values = graph.op("Where", gaps, graph.constant(0.0), table.matrix)
    scaled = graph.cast(graph.op("Mul", values, graph.constant(encoder.scale_)), np.float32)
    if not len(encoder.missing_):
        return scaled
    return graph.join(scaled, graph.cast(graph.take(gaps, encoder.missing_), np.float32))


def _tensors(
    graph: Graph, encoder: TableEncoder, table: InputTable
) -> tuple[dict[int, str], dict[int, str]]:
    """Return numbers, and codes of categories, by position among the encoder's columns."""
    columns = encoder.columns_
    assert columns is not None
    if table.matrix is not None:
        return {j: graph.take(table.matrix, [j]) for j in range(len(columns))}, {}
    numeric, categorical = {}, {}
    of_x = zip(columns, table.columns, table.tensors, strict=True)
    for place, (plan, column, tensor) in enumerate(of_x):
        if isinstance(plan, CategoricalColumn):
            known = range(len(categories_of(plan)))
            other = len(known) if plan.rest else -1
            categorical[place] = codes(graph, tensor, column, known, other, table.missing)
        else:
            numeric[place] = tensor
    return numeric, categorical


def _positions(graph: Graph, values: str, gaps: str, plans: Sequence[Any]) -> str:
    """Return where numbers lie among the knots of their columns, (n_rows, n_numeric) float32.

    As `NumericColumn.positions`; what it says of a missing value counts for nothing.
    """
    knots = [_knots(plan) for plan in plans]
    longest = max(len(of) for of in knots)
    inner = np.full((len(knots), max(longest - 2, 1)), np.inf)
    for row, of in zip(inner, knots, strict=True):
        row[: len(of) - 2] = of[1:-1]
    first = np.cumsum([0, *(len(of) for of in knots[:-1])])
    lowest = graph.constant([of[0] for of in knots])
    values = graph.op("Where", gaps, lowest, values)
    reached = graph.op(
        "GreaterOrEqual",
        graph.op("Unsqueeze", values, graph.constant([2], np.int64)),
        graph.constant(inner),
    )
    interval = graph.op(
        "ReduceSum", graph.cast(reached, np.int64), graph.constant([2], np.int64), keepdims=0
    )
    at = graph.op("Add", interval, graph.constant(first, np.int64))
    flat = np.concatenate(knots)
    low = graph.op("Gather", graph.constant(flat), at)
    high = graph.op("Gather", graph.constant(np.append(flat[1:], np.inf)), at)
    share = graph.op("Div", graph.op("Sub", values, low), graph.op("Sub", high, low))
    share = graph.op("Clip", share, graph.constant(0.0), graph.constant(1.0))
    position = graph.cast(graph.op("Add", graph.cast(interval, np.float64), share), np.float32)
    before = np.nextafter(np.arange(1, longest + 1, dtype=np.float32), np.float32(0))
    most = graph.op("Gather", graph.constant(before, np.float32), interval)
    lower = graph.op("Min", position, most)
    return graph.op("Where", graph.op("Less", values, high), lower, position)


def _knots(plan: NumericColumn) -> np.ndarray:
    """Return the knots of a column, and two of no meaning where it has none that count."""
    return plan.knots if plan.n_intervals else np.array([0.0, 1.0])


def _spread(
    graph: Graph, positions: str, gaps: str | None, layout: Layout, places: np.ndarray
) -> str:
    """Return the encoded columns that a layout makes of positions, as `Layout.expand`."""
    n_ramped, n_both = layout.n_ramped, layout.n_ramped + layout.n_indicators
    source = places[layout.source]
    ramped, indicators, missing = np.split(np.arange(len(source)), [n_ramped, n_both])
    offset, mean = layout.offset, layout.mean
    zero, one = graph.constant(0, np.float32), graph.constant(1, np.float32)
    parts = []
    if n_ramped:
        x = graph.take(positions, source[ramped])
        x = graph.op("Sub", x, _row(graph, offset[ramped]))
        x = graph.op("Mul", x, _row(graph, layout.slope))
        x = graph.op("Clip", graph.op("Add", x, _row(graph, layout.base)), zero, one)
        x = graph.op("Sub", x, _row(graph, mean[ramped]))
        parts.append(graph.op("Where", graph.take(str(gaps), source[ramped]), zero, x))
    if layout.n_indicators:
        x = graph.take(positions, source[indicators])
        same = graph.op("Equal", x, _row(graph, offset[indicators]))
        parts.append(_centred(graph, same, mean[indicators]))
    if len(source) > n_both:
        parts.append(_centred(graph, graph.take(str(gaps), source[missing]), mean[missing]))
    return graph.join(*parts)


def _centred(graph: Graph, truths: str, mean: np.ndarray) -> str:
    return graph.op("Sub", graph.cast(truths, np.float32), _row(graph, mean))


def _row(graph: Graph, values: np.ndarray) -> str:
    return graph.constant(values, np.float32)
