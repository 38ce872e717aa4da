"""The rule of a FairThresholdClassifier over its own boosting -> operators."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from fairmi.boosting.trees import Trees
from fairmi.decisions.boosting import AveragedBoosting
from fairmi.export._graph import Graph
from fairmi.export._inputs import InputColumn, InputTable, codes
from fairmi.export._trees import read_columns_of_trees, sums_of_trees


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


def add_decisions(graph: Graph, model: BaseEstimator, table: InputTable) -> str:
    """Add a model's rule, and return what each class has after the multipliers, (n_rows, K)."""
    decision, cells = model._decision(model.bound), model._cells
    p = _probabilities(graph, model.estimator_, table)
    known = (cells.groups == np.arange(len(model.sensitive_values_))[:, None]) / cells.shares
    if model.group_estimator_ is None:
        # A row whose group is unknown gets the same in all cells of a stratum.
        sums = [cells.shares[cells.strata == t].sum() for t in cells.strata]
        by_group = graph.constant(np.vstack([known, 1 / np.array(sums)]))
        densities = graph.op("Gather", by_group, _group_codes(graph, model, table))
    else:
        membership = _probabilities(graph, model.group_estimator_, table)
        densities = graph.op("MatMul", membership, graph.constant(known))
    if cells.strata[0] >= 0:
        densities = graph.op("Mul", graph.take(p, cells.strata), densities)
    multipliers = decision.multipliers[0]
    none = np.zeros((len(multipliers), len(model.classes_) - multipliers.shape[1]))
    cost = graph.op("MatMul", densities, graph.constant(np.hstack([none, multipliers])))
    return graph.op("Sub", p, cost)


def _probabilities(graph: Graph, boosting: AveragedBoosting, table: InputTable) -> str:
    """Return the probabilities of boosting, (n_rows, n_classes)."""
    known = boosting.columns_
    pairs = zip(known["names"], known["categories"], strict=True)
    read = [InputColumn(*pair) for pair in pairs]
    own = InputTable(read, table.tensors, table.matrix, table.missing)
    scores = sums_of_trees(
        graph, Trees(**boosting.trees_), read_columns_of_trees(graph, known, own)
    )
    if len(boosting.classes_) == 2:
        none = graph.op("Mul", scores, graph.constant(0.0))
        scores = graph.join(none, scores)
    return graph.op("Softmax", scores, axis=1)


def _group_codes(graph: Graph, model: BaseEstimator, table: InputTable) -> str:
    """Return the code of each row's group, (n_rows,), one more than the last where unknown."""
    (plan,) = model._sensitive_plan.plans
    names = list(getattr(model, "feature_names_in_", range(model.n_features_in_)))
    labels = [of if isinstance(of, tuple) else (of,) for of in plan.labels]
    code, place, n_places = "", np.zeros(len(labels), dtype=np.int64), 1
    for k, name in enumerate(model._sensitive_plan.names):
        j = names.index(name)
        values = np.array(sorted({of[k] for of in labels}, key=str), dtype=object)
        tensor = table.tensors[j] if table.matrix is None else graph.take(table.matrix, [j])
        column = InputColumn(str(name), values)
        one = codes(graph, tensor, column, range(len(values)), len(values), table.missing)
        # A missing value is coded -1: the value after the last, as one that fit did not see.
        size = graph.constant([len(values)], np.int64)
        one = graph.op("Where", graph.op("Less", one, graph.constant([0], np.int64)), size, one)
        of_labels = [values.tolist().index(of[k]) for of in labels]
        step = graph.constant([len(values) + 1], np.int64)
        code = graph.op("Add", graph.op("Mul", code, step), one) if code else one
        place = place * (len(values) + 1) + of_labels
        n_places *= len(values) + 1
    groups = np.full(n_places, len(labels))
    groups[place] = np.arange(len(labels))
    flat = graph.op("Squeeze", code, graph.constant([1], np.int64))
    return graph.op("Gather", graph.constant(groups, np.int64), flat)
