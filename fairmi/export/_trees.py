"""Trees and their channel -> operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from fairmi.boosting.trees import Trees
from fairmi.core.channel import Channel
from fairmi.export._graph import ML, Graph
from fairmi.export._inputs import InputTable, codes

_LEQ, _MEMBER = 0, 6  # modes of a node
_SUM = 1


def add_trees(graph: Graph, model: BaseEstimator, table: InputTable) -> tuple[str, str]:
    """Add a model's trees and channel, and return Z and the scores of the classes.

    Raises
    ------
    ValueError
        If the trees stand on a base of the user.
    """
    if model.base_ is not None:
        raise ValueError(
            f"to_onnx can't export the base {type(model.base_).__name__} under the trees; fit "
            "with base=None, whose base are trees too."
        )
    trees = Trees(**model.trees_)
    x = read_columns_of_trees(graph, model.columns_, table)
    scores = sums_of_trees(graph, trees, x)
    n_scores = len(trees.start)
    channel = Channel.from_spec(model.channel_, n_scores)
    z = _squashed(graph, channel, scores, n_scores)
    if channel.n_levels is None:
        return z, scores
    z = _rounded(graph, channel, z)
    return z, _unsquashed(graph, channel, z, n_scores)


def read_columns_of_trees(graph: Graph, columns: dict[str, Any], table: InputTable) -> str:
    """Return numbers and codes of categories, (n_rows, n_columns) float64, as trees read them.

    A missing value of a categorical column, or one that fit did not see, has the code after the
    last. The columns of further encodings have numbers in place of codes, and NaN there.
    """
    if table.matrix is not None:
        return table.matrix
    parts = []
    codes_of: dict[int, str] = {}
    sizes = columns["n_categories"]
    for j, (column, tensor) in enumerate(zip(table.columns, table.tensors, strict=True)):
        if column.categories is None:
            parts.append(tensor)
        else:
            size = int(sizes[j])
            known = np.minimum(np.arange(len(column.categories)), size - 1)
            code = codes(graph, tensor, column, known.tolist(), -1, table.missing)
            absent = graph.op("Less", code, graph.constant([0], np.int64))
            code = graph.op("Where", absent, graph.constant([size], np.int64), code)
            codes_of[j] = code
            parts.append(graph.cast(code, np.float64))
    for encoding in columns.get("encodings", []):
        for j, numbers in encoding.items():
            parts.append(graph.op("Gather", graph.constant([*numbers, np.nan]), codes_of[j]))
    return graph.join(*parts)


@dataclass
class _Ensemble:
    """Nodes and leaves of a TreeEnsemble, as its attributes list them."""

    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing_left: list[int] = field(default_factory=list)
    ways: list[tuple[int, int, int, int]] = field(default_factory=list)
    members: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def set_apart(self, n: int) -> None:
        """Put n leaves of no tree first, so that no leaf has the number of a node of its tree.

        onnxruntime before 1.24 takes a root for a leaf where its two ways have one number, though
        one is that of a node and one that of a leaf.
        """
        self.targets += [0] * n
        self.weights += [0.0] * n

    def add(self, trees: Trees, t: int) -> None:
        """Add tree t, which is no leaf."""
        nodes = trees.nodes[trees.first_node[t] : trees.first_node[t + 1]]
        sets = trees.left_categories[trees.first_split[t] : trees.first_split[t + 1]]
        first = len(self.features)
        self.roots.append(first)
        inner = np.cumsum(~nodes["is_leaf"].astype(bool)) - 1
        place = np.where(nodes["is_leaf"], 0, first + inner)
        for k, node in enumerate(nodes):
            if node["is_leaf"]:
                place[k] = len(self.targets)
                self.targets.append(t % len(trees.start))
                self.weights.append(float(node["value"]))
        for node in nodes[~nodes["is_leaf"].astype(bool)]:
            self._split(node, nodes["is_leaf"], place, sets, trees.n_categories)

    def _split(
        self,
        node: np.void,
        is_leaf: np.ndarray,
        place: np.ndarray,
        sets: np.ndarray,
        n_categories: np.ndarray,
    ) -> None:
        feature = int(node["feature_idx"])
        goes_left = bool(node["missing_go_to_left"])
        self.features.append(feature)
        self.missing_left.append(int(goes_left))
        left, right = int(node["left"]), int(node["right"])
        self.ways.append(
            (int(place[left]), int(is_leaf[left]), int(place[right]), int(is_leaf[right]))
        )
        if node["is_categorical"]:
            self.modes.append(_MEMBER)
            self.splits.append(0.0)
            size = int(n_categories[feature])
            held = _members(sets[node["bitset_idx"]], size)
            held += [size] * goes_left
            # A set ends with NaN.
            self.members += [*map(float, held), np.nan]
        else:
            self.modes.append(_LEQ)
            self.splits.append(float(node["num_threshold"]))


def _members(words: np.ndarray, size: int) -> list[int]:
    """Return the codes whose bits are set."""
    return [code for code in range(size) if int(words[code // 32]) >> (code % 32) & 1]


def sums_of_trees(graph: Graph, trees: Trees, x: str) -> str:
    """Return the scores that trees give, (n_rows, K)."""
    ensemble = _Ensemble()
    ensemble.set_apart(int(np.diff(trees.first_node).max(initial=0)))
    start = trees.start.copy()
    for t, first in enumerate(trees.first_node[:-1]):
        if trees.nodes[first]["is_leaf"]:
            start[t % len(start)] += trees.nodes[first]["value"]
        else:
            ensemble.add(trees, t)
    offset = graph.constant(start[None])
    if not ensemble.roots:
        gaps = graph.cast(graph.op("IsNaN", x), np.float64)
        n_gaps = graph.op("ReduceSum", gaps, graph.constant([1], np.int64))
        return graph.op("Add", graph.op("Mul", n_gaps, graph.constant(0.0)), offset)
    ways = np.array(ensemble.ways)
    sets = {}
    if ensemble.members:
        sets["membership_values"] = graph.tensor(np.array(ensemble.members))
    sums = graph.op(
        "TreeEnsemble",
        x,
        domain=ML,
        aggregate_function=_SUM,
        n_targets=len(start),
        tree_roots=ensemble.roots,
        nodes_featureids=ensemble.features,
        nodes_modes=graph.tensor(np.array(ensemble.modes, dtype=np.uint8)),
        nodes_splits=graph.tensor(np.array(ensemble.splits)),
        nodes_missing_value_tracks_true=ensemble.missing_left,
        nodes_truenodeids=ways[:, 0].tolist(),
        nodes_trueleafs=ways[:, 1].tolist(),
        nodes_falsenodeids=ways[:, 2].tolist(),
        nodes_falseleafs=ways[:, 3].tolist(),
        leaf_targetids=ensemble.targets,
        leaf_weights=graph.tensor(np.array(ensemble.weights)),
        **sets,
    )
    return graph.op("Add", sums, offset)


def _squashed(graph: Graph, channel: Channel, scores: str, n_scores: int) -> str:
    """Return Z before rounding, as `Channel.squash`."""
    if n_scores == 1:
        centred = graph.op("Sub", scores, graph.constant(channel.centre))
        return graph.op("Tanh", graph.op("Div", centred, graph.constant(channel.scale)))
    one, two = graph.constant(1.0), graph.constant(2.0)
    return graph.op("Sub", graph.op("Mul", graph.op("Softmax", scores, axis=1), two), one)


def _rounded(graph: Graph, channel: Channel, z: str) -> str:
    one, steps = graph.constant(1.0), graph.constant(channel.steps_per_unit)
    position = graph.op("Mul", graph.op("Add", z, one), steps)
    return graph.op("Sub", graph.op("Div", graph.op("Round", position), steps), one)


def _unsquashed(graph: Graph, channel: Channel, z: str, n_scores: int) -> str:
    """Return the scores of Z, as `Channel.unsquash`."""
    inner = 1 - 0.25 / channel.steps_per_unit
    one = graph.constant(1.0)
    z = graph.op("Clip", z, graph.constant(-inner), graph.constant(inner))
    above = graph.op("Log", graph.op("Add", one, z))
    if n_scores > 1:
        return above
    odds = graph.op("Sub", above, graph.op("Log", graph.op("Sub", one, z)))
    wide = graph.op("Mul", odds, graph.constant(channel.scale / 2))
    return graph.op("Add", wide, graph.constant(channel.centre))
