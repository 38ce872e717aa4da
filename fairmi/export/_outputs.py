"""Scores of the classes -> label and probabilities, the outputs of a graph."""

from __future__ import annotations

import numpy as np

from fairmi.export._graph import Graph


def add_classes(graph: Graph, classes: np.ndarray, representation: str, scores: str) -> None:
    """Make label, probabilities and Z outputs.

    Raises
    ------
    ValueError
        If a class is neither text nor a number.
    """
    if len(classes) == 2:
        none = graph.op("Mul", scores, graph.constant(0.0))
        scores = graph.join(none, scores)
    labels = _labels(classes)
    code = graph.op("ArgMax", scores, axis=1, keepdims=0)
    label = graph.op("Gather", graph.constant(labels, labels.dtype), code)
    graph.output("label", label, labels.dtype, None)
    probabilities = graph.op("Softmax", scores, axis=1)
    graph.output("probabilities", probabilities, np.dtype(np.float64), len(classes))
    graph.output("representation", representation, np.dtype(np.float64), "n_components")


def _labels(classes: np.ndarray) -> np.ndarray:
    held = classes.tolist()
    if all(isinstance(label, str) for label in held):
        return np.array(held, dtype=object)
    if classes.dtype.kind in "biuf":
        wide = {"b": np.bool_, "f": np.float64}.get(classes.dtype.kind, np.int64)
        return classes.astype(wide)
    odd = next(label for label in held if not isinstance(label, str))
    raise ValueError(
        f"The class {odd!r} is neither text nor a number, which ONNX can't hold; fit to labels of "
        "text."
    )
