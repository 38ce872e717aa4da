"""Networks and their encoder -> operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator

from fairmi.export._graph import Graph
from fairmi.export._inputs import Inputs, own_categories
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_columns import CategoricalColumn, NumericColumn
from fairmi.preprocessing.table_encoder import Layout

_ZERO, _ONE = np.float32(0), np.float32(1)


def add_encoder(graph: Graph, model: BaseEstimator, inputs: Inputs) -> str:
    """Add a model's encoder, and return Z of all its networks, (n_models, n_rows, D)."""
    x = graph.cast(_encoded(graph, model.encoder_, inputs), np.float64)
    for k, (weight, bias) in enumerate(_layers(model.parameters_, "encoder")):
        x = graph.op("Relu", x) if k else x
        x = graph.op("Add", graph.op("MatMul", x, weight), bias)
    n_levels = model.architecture_["n_levels"]
    squashes = n_levels is not None or model.architecture_.get("squashed")
    return graph.rounded(graph.op("Tanh" if squashes else "Relu", x), n_levels)


def add_networks(graph: Graph, model: BaseEstimator, inputs: Inputs) -> tuple[str, str]:
    """Add a model's encoder and networks, and return Z and the scores of the classes."""
    z = add_encoder(graph, model, inputs)
    ((weight, bias),) = _layers(model.parameters_, "head")
    scores = graph.op("Add", graph.op("MatMul", z, weight), bias)
    if model.architecture_["n_models"] > 1:
        mean = graph.op("ReduceMean", scores, axes=[0], keepdims=0)
        return mean, mean
    return graph.op("Squeeze", z, [0]), graph.op("Squeeze", scores, [0])


def _layers(parameters: dict[str, np.ndarray], part: str) -> list[tuple[np.ndarray, np.ndarray]]:
    n_layers = sum(name.startswith(f"{part}.layers.") for name in parameters) // 2
    names = [f"{part}.layers.{k}" for k in range(n_layers)]
    wide = {name: values.astype(np.float64) for name, values in parameters.items()}
    return [(wide[f"{name}.weight"], wide[f"{name}.bias"]) for name in names]


def _encoded(graph: Graph, encoder: TableEncoder, inputs: Inputs) -> str:
    """Return the encoded rows, (n_rows, P) float32."""
    if encoder.columns_ is None or encoder.layout_ is None:
        return _scaled(graph, encoder, str(inputs.matrix))
    plans = dict(enumerate(encoder.columns_))
    numeric = {j: plan for j, plan in plans.items() if isinstance(plan, NumericColumn)}
    categorical = {j: plan for j, plan in plans.items() if isinstance(plan, CategoricalColumn)}
    parts, gaps = [], ""
    if numeric:
        values = graph.join(*[inputs.tensor(j) for j in numeric])
        gaps = graph.op("IsNaN", values)
        parts.append(_positions(graph, values, gaps, list(numeric.values())))
    for j, plan in categorical.items():
        own = own_categories(plan)
        assert own is not None
        code = inputs.codes(
            j, own, range(len(own)), other=len(own) if plan.rest else -1, absent=-1
        )
        parts.append(graph.cast(code, np.float32))
    places = np.argsort([*numeric, *categorical])
    return _spread(graph, graph.join(*parts), gaps, encoder.layout_, places)


def _scaled(graph: Graph, encoder: TableEncoder, matrix: str) -> str:
    gaps = graph.op("IsNaN", matrix)
    values = graph.op("Where", gaps, 0.0, matrix)
    scaled = graph.cast(graph.op("Mul", values, encoder.scale_.astype(np.float64)), np.float32)
    if not len(encoder.missing_):
        return scaled
    return graph.join(scaled, graph.cast(graph.take(gaps, encoder.missing_), np.float32))


def _positions(graph: Graph, values: str, gaps: str, plans: Sequence[NumericColumn]) -> str:
    """Return where numbers lie among the knots of their columns, (n_rows, n_numeric) float32.

    As `NumericColumn.positions`; what it says of a missing value counts for nothing.
    """
    # Two knots of no meaning where a column has none that count.
    knots = [plan.knots if plan.n_intervals else np.array([0.0, 1.0]) for plan in plans]
    longest = max(len(of) for of in knots)
    inner = np.full((len(knots), max(longest - 2, 1)), np.inf)
    for row, of in zip(inner, knots, strict=True):
        row[: len(of) - 2] = of[1:-1]
    values = graph.op("Where", gaps, [of[0] for of in knots], values)
    reached = graph.op("GreaterOrEqual", graph.op("Unsqueeze", values, [2]), inner)
    interval = graph.op("ReduceSum", graph.cast(reached, np.int64), [2], keepdims=0)
    at = graph.op("Add", interval, np.cumsum([0, *(len(of) for of in knots[:-1])]))
    flat = np.concatenate(knots)
    low, high = (graph.op("Gather", of, at) for of in (flat, np.append(flat[1:], np.inf)))
    share = graph.op("Div", graph.op("Sub", values, low), graph.op("Sub", high, low))
    share = graph.op("Clip", share, 0.0, 1.0)
    position = graph.cast(graph.op("Add", graph.cast(interval, np.float64), share), np.float32)
    before = np.nextafter(np.arange(1, longest + 1, dtype=np.float32), _ZERO)
    lower = graph.op("Min", position, graph.op("Gather", before, interval))
    return graph.op("Where", graph.op("Less", values, high), lower, position)


def _spread(graph: Graph, positions: str, gaps: str, layout: Layout, places: np.ndarray) -> str:
    """Return the encoded columns that a layout makes of positions, as `Layout.expand`."""
    n_ramped, n_both = layout.n_ramped, layout.n_ramped + layout.n_indicators
    source = places[layout.source]
    ramped, indicators, missing = np.split(np.arange(len(source)), [n_ramped, n_both])
    offset, mean = layout.offset, layout.mean
    parts = []
    if n_ramped:
        x = graph.op("Sub", graph.take(positions, source[ramped]), offset[ramped])
        x = graph.op("Add", graph.op("Mul", x, layout.slope), layout.base)
        x = graph.op("Sub", graph.op("Clip", x, _ZERO, _ONE), mean[ramped])
        parts.append(graph.op("Where", graph.take(gaps, source[ramped]), _ZERO, x))
    if layout.n_indicators:
        same = graph.op("Equal", graph.take(positions, source[indicators]), offset[indicators])
        parts.append(graph.op("Sub", graph.cast(same, np.float32), mean[indicators]))
    if len(source) > n_both:
        absent = graph.cast(graph.take(gaps, source[missing]), np.float32)
        parts.append(graph.op("Sub", absent, mean[missing]))
    return graph.join(*parts)
