"""Networks and their encoder, trees and their channel, and a rule over trees -> operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from fairmi.boosting.trees import Trees
from fairmi.core.channel import Channel
from fairmi.decisions.boosting import AveragedBoosting
from fairmi.export._graph import ML, Graph, Inputs, own_categories
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_columns import (
    CategoricalColumn,
    NumericColumn,
    columns_of_trees,
)
from fairmi.preprocessing.table_encoder import Layout

_ZERO, _ONE = np.float32(0), np.float32(1)
_LEQ, _MEMBER = 0, 6  # modes of a node
_SUM = 1


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
        gaps = graph.op("IsNaN", str(inputs.matrix))
        values = graph.op("Where", gaps, 0.0, str(inputs.matrix))
        scaled = graph.op("Mul", values, encoder.scale_.astype(np.float64))
        parts = [graph.cast(scaled, np.float32)]
        if len(encoder.missing_):
            parts.append(graph.cast(graph.take(gaps, encoder.missing_), np.float32))
        return graph.join(*parts)
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


def add_trees(graph: Graph, model: BaseEstimator, inputs: Inputs) -> tuple[str, str]:
    """Add a model's trees and channel, and return Z and the scores of the classes."""
    if model.base_ is not None:
        raise ValueError(
            f"to_onnx can't export the base {type(model.base_).__name__} under the trees; fit "
            "with base=None, whose base are trees too."
        )
    scores, n_scores = _sums_of_trees(graph, model, inputs), len(model.trees_["start"])
    channel = Channel.from_spec(model.channel_, n_scores)
    if n_scores == 1:  # as `Channel.squash`
        centred = graph.op("Sub", scores, channel.centre)
        z = graph.op("Tanh", graph.op("Div", centred, channel.scale))
    else:
        z = graph.op("Sub", graph.op("Mul", graph.op("Softmax", scores, axis=1), 2.0), 1.0)
    if channel.n_levels is None:
        return z, scores
    z = graph.rounded(z, channel.n_levels)
    inner = 1 - 0.25 / channel.steps_per_unit  # as `Channel.unsquash`
    within = graph.op("Clip", z, -inner, inner)
    above = graph.op("Log", graph.op("Add", 1.0, within))
    if n_scores > 1:
        return z, above
    odds = graph.op("Sub", above, graph.op("Log", graph.op("Sub", 1.0, within)))
    return z, graph.op("Add", graph.op("Mul", odds, channel.scale / 2), channel.centre)


def _columns_read(graph: Graph, columns: dict[str, Any], inputs: Inputs) -> str:
    """Return numbers and codes of categories, (n_rows, n_columns) float64, as trees read them.

    A missing value of a categorical column, or one that fit did not see, has the code after the
    last. The columns of further encodings have numbers in place of codes, and NaN there.
    """
    if inputs.matrix is not None:
        return inputs.matrix
    parts, codes_of = [], {}
    for j, column in enumerate(columns_of_trees(columns)):
        categories, size = own_categories(column), int(columns["n_categories"][j])
        if categories is None:
            parts.append(inputs.tensor(j))
            continue
        known = np.minimum(np.arange(len(categories)), size - 1).tolist()
        codes_of[j] = inputs.codes(j, categories, known, other=size, absent=size)
        parts.append(graph.cast(codes_of[j], np.float64))
    for encoding in columns.get("encodings", []):
        parts += [
            graph.op("Gather", np.append(numbers, np.nan), codes_of[j])
            for j, numbers in encoding.items()
        ]
    return graph.join(*parts)


def _sums_of_trees(graph: Graph, model: BaseEstimator, inputs: Inputs) -> str:
    """Return the scores that a model's trees give, (n_rows, K)."""
    x = _columns_read(graph, model.columns_, inputs)
    trees = Trees(**model.trees_)
    nodes, n_scores = trees.nodes, len(trees.start)
    tree = np.repeat(np.arange(len(trees.first_node) - 1), np.diff(trees.first_node))
    # A tree of one leaf adds the same to all rows.
    alone = np.diff(trees.first_node) == 1
    start = trees.start.copy()
    np.add.at(start, np.flatnonzero(alone) % n_scores, nodes["value"][alone[tree]])
    is_leaf = nodes["is_leaf"].astype(bool)
    leaf, inner = is_leaf & ~alone[tree], ~is_leaf
    if not inner.any():
        n_gaps = graph.op("ReduceSum", graph.cast(graph.op("IsNaN", x), np.float64), [1])
        return graph.op("Add", graph.op("Mul", n_gaps, 0.0), start[None])
    # Leaves of no tree come first, so that none has the number of a node of its tree: onnxruntime
    # before 1.24 takes a root for a leaf where its two ways have one number, though one is that of
    # a node and one that of a leaf.
    n_apart = int(np.diff(trees.first_node).max())
    place = np.where(leaf, n_apart + np.cumsum(leaf) - 1, np.cumsum(inner) - 1)
    first = trees.first_node[tree[inner]]
    left, right = first + nodes["left"][inner], first + nodes["right"][inner]
    by_category = nodes["is_categorical"][inner].astype(bool)
    members = _members(trees, inner, tree)
    sums = graph.op(
        "TreeEnsemble",
        x,
        domain=ML,
        aggregate_function=_SUM,
        n_targets=n_scores,
        tree_roots=place[trees.first_node[:-1][~alone]].tolist(),
        nodes_featureids=nodes["feature_idx"][inner].tolist(),
        nodes_modes=graph.tensor(np.where(by_category, _MEMBER, _LEQ).astype(np.uint8)),
        nodes_splits=graph.tensor(np.where(by_category, 0.0, nodes["num_threshold"][inner])),
        nodes_missing_value_tracks_true=nodes["missing_go_to_left"][inner].tolist(),
        nodes_truenodeids=place[left].tolist(),
        nodes_trueleafs=is_leaf[left].astype(int).tolist(),
        nodes_falsenodeids=place[right].tolist(),
        nodes_falseleafs=is_leaf[right].astype(int).tolist(),
        leaf_targetids=[0] * n_apart + (tree[leaf] % n_scores).tolist(),
        leaf_weights=graph.tensor(np.append(np.zeros(n_apart), nodes["value"][leaf])),
        **({"membership_values": graph.tensor(members)} if len(members) else {}),
    )
    return graph.op("Add", sums, start[None])


def _members(trees: Trees, inner: np.ndarray, tree: np.ndarray) -> np.ndarray:
    """Return the codes that go left at each split by category, in order, NaN after each set."""
    sets = [np.zeros(0)]
    for k in np.flatnonzero(inner & (trees.nodes["is_categorical"] == 1)):
        node = trees.nodes[k]
        size = int(trees.n_categories[node["feature_idx"]])
        words = trees.left_categories[trees.first_split[tree[k]] + node["bitset_idx"]]
        goes_left = words[np.arange(size) // 32] >> (np.arange(size) % 32) & 1
        missing = [size] * int(node["missing_go_to_left"])
        sets.append(np.array([*np.flatnonzero(goes_left), *missing, np.nan]))
    return np.concatenate(sets)


def check_decisions(model: BaseEstimator) -> None:
    """Raise ValueError where a rule can't be exported.

    The probabilities may be those of another classifier, the rule a mixture, or missing groups a
    group.
    """
    for name in ("estimator", "group_estimator"):
        fitted = getattr(model, f"{name}_")
        if fitted is not None and not isinstance(fitted, AveragedBoosting):
            raise ValueError(
                f"to_onnx can't export {name}={type(fitted).__name__}; fit with {name}=None, "
                "which is boosting of fairmi's own."
            )
    if len(model._decision(model.bound).shares) > 1:
        raise ValueError(
            "to_onnx can't export randomized=True: the graph can't draw a rule by a hash of the "
            "row. Fit with randomized=False, or take a bound that one rule meets."
        )
    if model.group_estimator_ is None and model.missing_sensitive == "category":
        raise ValueError(
            'to_onnx can\'t export missing_sensitive="category"; make missing groups a value of '
            "the column before fit."
        )


def add_decisions(graph: Graph, model: BaseEstimator, inputs: Inputs) -> str:
    """Add a model's rule, and return what each class has after the multipliers, (n_rows, K)."""
    decision, cells = model._decision(model.bound), model._cells
    p = _probabilities(graph, model.estimator_, inputs)
    known = (cells.groups == np.arange(len(model.sensitive_values_))[:, None]) / cells.shares
    if model.group_estimator_ is None:
        # A row whose group is unknown gets the same in all cells of a stratum.
        sums = [cells.shares[cells.strata == t].sum() for t in cells.strata]
        by_group = np.vstack([known, 1 / np.array(sums)])
        densities = graph.op("Gather", by_group, _group_codes(graph, model, inputs))
    else:
        membership = _probabilities(graph, model.group_estimator_, inputs)
        densities = graph.op("MatMul", membership, known)
    if cells.strata[0] >= 0:
        densities = graph.op("Mul", graph.take(p, cells.strata), densities)
    multipliers = decision.multipliers[0]
    none = np.zeros((len(multipliers), len(model.classes_) - multipliers.shape[1]))
    cost = graph.op("MatMul", densities, np.hstack([none, multipliers]))
    return graph.op("Sub", p, cost)


def _probabilities(graph: Graph, boosting: AveragedBoosting, inputs: Inputs) -> str:
    scores = _sums_of_trees(graph, boosting, inputs)
    return graph.op("Softmax", graph.scores_by_class(scores, len(boosting.classes_)), axis=1)


def _group_codes(graph: Graph, model: BaseEstimator, inputs: Inputs) -> str:
    """Return the code of each row's group, (n_rows,), one more than the last where unknown."""
    (plan,) = model._sensitive_plan.plans
    names = list(getattr(model, "feature_names_in_", range(model.n_features_in_)))
    labels = [of if isinstance(of, tuple) else (of,) for of in plan.labels]
    code, place, n_places = "", np.zeros(len(labels), dtype=np.int64), 1
    for k, name in enumerate(model._sensitive_plan.names):
        values = np.array(sorted({of[k] for of in labels}, key=str), dtype=object)
        # The value after the last is what is missing, or what fit did not see.
        n = len(values)
        one = inputs.codes(names.index(name), values, range(n), other=n, absent=n)
        code = graph.op("Add", graph.op("Mul", code, [n + 1]), one) if code else one
        place = place * (n + 1) + [values.tolist().index(of[k]) for of in labels]
        n_places *= n + 1
    groups = np.full(n_places, len(labels))
    groups[place] = np.arange(len(labels))
    return graph.op("Gather", groups, graph.op("Squeeze", code, [1]))
