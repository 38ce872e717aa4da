"""A fitted classifier -> an ONNX model, and a table -> the inputs of such a model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fairmi._data.tables import is_frame, plain, read_columns
from fairmi.export._decisions import add_decisions, check_decisions
from fairmi.export._graph import Graph
from fairmi.export._inputs import MATRIX, read_inputs
from fairmi.export._networks import add_networks
from fairmi.export._trees import add_trees

if TYPE_CHECKING:
    from onnx import ModelProto

_MISSING, _COLUMNS = "missing", "columns"


def to_onnx(model: BaseEstimator, *, missing: str = "") -> ModelProto:
    """Return a fitted estimator, with its encoding of tables inside, as an ONNX model.

    The graph computes in float64, so that Z falls on the level that it falls on here.

    Parameters
    ----------
    model : classifier or regressor
        A fitted `MIDebiasedClassifier`, `MIBoostingClassifier`, `MIBoostingRegressor`,
        `MIDebiasedRegressor`, `MIBackpropClassifier`, `FairThresholdClassifier` on its own
        boosting, or a search such as `MIDebiasedClassifierCV`, whose chosen model is taken.
    missing : str, default=""
        What stands for a missing value in a column of text, as ONNX has no missing strings. In a
        column of numbers it is NaN.

    Returns
    -------
    onnx.ModelProto
        Its inputs are the columns that the model reads, each by its name (x0, x1, ... where it has
        none) and of shape (n_rows, 1): float64 for numbers, strings for text. Booleans are 0 and
        1, a duration is its days. A table of numbers
        without names is one input X, (n_rows, n_features) float64. `onnx_inputs` makes them of a
        table.

        Its outputs are `label` (n_rows,) and `probabilities` (n_rows, n_classes), or `prediction`
        (n_rows,) of a regressor, and `representation`, Z (n_rows, n_components), in float64. Of a
        `FairThresholdClassifier` they are `label` and `scores` (n_rows, n_classes), of which the
        largest is decided. An underscore is added to a name that a column has.

    Raises
    ------
    ImportError
        If the package onnx is missing.
    TypeError
        If it is no estimator of fairmi; of a pipeline give the last step.
    ValueError
        If it holds what ONNX can't: dates, a base or a module of yours, categories or classes that
        are neither text nor numbers, or `missing` as a category.
    sklearn.exceptions.NotFittedError
        If it isn't fitted.

    Notes
    -----
    Trees are a TreeEnsemble of the domain ai.onnx.ml, version 5, and need onnxruntime 1.21 or
    newer; networks need operators of version 17. Nothing is warned of or refused in the graph:
    infinite values, columns of another kind and unseen categories are the caller's to check.

    Examples
    --------
    >>> import onnxruntime
    >>> from fairmi import MIBoostingClassifier
    >>> from fairmi.datasets import load_german
    >>> from fairmi.export import onnx_inputs, to_onnx
    >>> X, y = load_german(return_X_y=True)
    >>> model = MIBoostingClassifier(lam=1.0, max_iter=20, random_state=0)
    >>> model = model.fit(X, y, sensitive_features=X["age"] > 25)
    >>> exported = to_onnx(model)
    >>> session = onnxruntime.InferenceSession(exported.SerializeToString())
    >>> (label,) = session.run(["label"], onnx_inputs(exported, X))
    >>> bool((label == model.predict(X)).all())
    True
    """
    _require_onnx()
    fitted = _chosen(model)
    graph = Graph()
    table = read_inputs(graph, fitted, missing)
    if hasattr(fitted, "multipliers_"):
        scores = add_decisions(graph, fitted, table)
        add_label(graph, fitted.classes_, scores)
        graph.output("scores", scores, np.dtype(np.float64), len(fitted.classes_))
    else:
        add = add_trees if hasattr(fitted, "trees_") else add_networks
        representation, scores = add(graph, fitted, table)
        if hasattr(fitted, "classes_"):
            add_classes(graph, fitted.classes_, representation, scores)
        else:
            add_number(graph, fitted, representation, scores)
    width, kept = fitted.n_features_in_, list(fitted._kept)
    return graph.model({_MISSING: missing, _COLUMNS: json.dumps([width, kept])})


def onnx_inputs(exported: ModelProto, X: Any) -> dict[str, np.ndarray]:
    """Return the inputs of an exported model of the rows of a table.

    Parameters
    ----------
    exported : onnx.ModelProto
        What `to_onnx` returned.
    X : DataFrame or array-like of shape (n_rows, n_features)
        What `predict` takes: the columns of the fit, those that it dropped there or not. Of a
        frame with names of text others aside are left out.

    Returns
    -------
    dict of ndarray
        By name of the input, as `onnxruntime.InferenceSession.run` takes them.

    Raises
    ------
    ValueError
        If X lacks a column, or holds text in a column of numbers.
    """
    wanted = {given.name: given.type.tensor_type for given in exported.graph.input}
    metadata = {entry.key: entry.value for entry in exported.metadata_props}
    missing = metadata[_MISSING]
    width, kept = json.loads(metadata[_COLUMNS])
    X = plain(X, argument="X")
    X = X if is_frame(X) or hasattr(X, "shape") else pd.DataFrame(X)
    of_frame = is_frame(X) and all(isinstance(name, str) for name in X.columns)
    columns = {name: read.values for name, read in read_columns(X)}
    if not of_frame or not set(wanted) <= set(columns):
        if of_frame and not _are_positions(wanted):
            absent = [name for name in wanted if name not in columns]
            raise ValueError(f"X has no column {absent[0]!r}, which the model reads; add it.")
        held = list(columns.values())
        if len(held) not in (width, len(kept)):
            raise ValueError(
                f"X has {len(held)} columns, and the model reads {width}; give these."
            )
        held = [held[j] for j in kept] if len(held) == width else held
        if _is_matrix(wanted):
            numbers = [_numbers(str(j), values) for j, values in zip(kept, held, strict=True)]
            return {MATRIX: np.column_stack(numbers)}
        columns = dict(zip(wanted, held, strict=True))
    string = import_module("onnx").TensorProto.STRING
    return {
        name: _texts(columns[name], missing)
        if kind.elem_type == string
        else _numbers(name, columns[name])[:, None]
        for name, kind in wanted.items()
    }


def _chosen(model: BaseEstimator) -> Any:
    """Return the fitted classifier whose arrays are exported."""
    known = (
        "FairThresholdClassifier",
        "MIBackpropClassifier",
        "MIBoostingClassifier",
        "MIBoostingRegressor",
        "MIDebiasedClassifier",
        "MIDebiasedRegressor",
    )
    names = [kind.__name__ for kind in type(model).__mro__]
    searches = {"MIDebiasedClassifierCV", "MIDebiasedRegressorCV"}
    if not searches.union(known) & set(names):
        raise TypeError(
            f"to_onnx takes an estimator of fairmi, not a {type(model).__name__}; of a pipeline "
            "give the last step, as in pipeline[-1], and of a search best_estimator_."
        )
    check_is_fitted(model)
    fitted = model.model_ if searches & set(names) else model
    if hasattr(fitted, "trunk_"):
        raise ValueError(
            "to_onnx can't export an encoder of yours; export the module trunk_ by "
            "torch.onnx.export, or fit without it."
        )
    if hasattr(fitted, "multipliers_"):
        check_decisions(fitted)
    return fitted


def _require_onnx() -> None:
    try:
        import_module("onnx")
    except ImportError as error:
        raise ImportError(
            'to_onnx needs onnx; install it by: pip install "fairmi[onnx]"'
        ) from error


def _is_matrix(wanted: Mapping[str, Any]) -> bool:
    """Whether the inputs are one matrix of numbers without names."""
    return list(wanted) == [MATRIX] and wanted[MATRIX].shape.dim[1].dim_value != 1


def _are_positions(wanted: Mapping[str, Any]) -> bool:
    """Whether the inputs are columns without names."""
    return _is_matrix(wanted) or all(re.fullmatch(r"X|x\d+", name) for name in wanted)


def _texts(values: np.ndarray, missing: str) -> np.ndarray:
    texts = [missing if pd.isna(value) else str(value) for value in values]
    return np.array(texts, dtype=object)[:, None]


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        odd = next((value for value in values if isinstance(value, str)), None)
        if odd is not None:
            raise ValueError(
                f"Column {name!r} of X holds {odd!r}, and was numeric at fit; give numbers, and "
                "NaN for a missing one."
            )
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


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
    add_label(graph, classes, scores)
    probabilities = graph.op("Softmax", scores, axis=1)
    graph.output("probabilities", probabilities, np.dtype(np.float64), len(classes))
    graph.output("representation", representation, np.dtype(np.float64), "n_components")


def add_label(graph: Graph, classes: np.ndarray, scores: str) -> None:
    """Make the class of the largest score (n_rows, n_classes) an output."""
    labels = _labels(classes)
    code = graph.op("ArgMax", scores, axis=1, keepdims=0)
    label = graph.op("Gather", graph.constant(labels, labels.dtype), code)
    graph.output("label", label, labels.dtype, None)


def add_number(graph: Graph, model: BaseEstimator, representation: str, scores: str) -> None:
    """Make a regressor's prediction and Z outputs, of its Z and scores (n_rows, 1)."""
    quantity = model._quantity()
    if hasattr(model, "units_"):
        prediction = graph.op("Exp", scores) if quantity.has_log_link else scores
        prediction = graph.op("Mul", prediction, graph.constant(model.units_["scale"]))
        prediction = graph.op("Add", prediction, graph.constant(model.units_["centre"]))
    elif len(model.values_):
        half = graph.constant((len(model.values_) - 1) / 2)
        position = graph.op("Mul", graph.op("Add", representation, graph.constant(1.0)), half)
        level = graph.cast(graph.op("Round", position), np.int64)
        prediction = graph.op("Gather", graph.constant(model.values_), level)
    else:
        prediction = graph.op("Exp", scores) if quantity.has_log_link else scores
        if not model._is_base():
            kind = "Mul" if quantity.has_log_link else "Add"
            prediction = graph.op(kind, prediction, graph.constant(model.balance_))
    prediction = graph.op("Squeeze", prediction, graph.constant([1], np.int64))
    graph.output("prediction", prediction, np.dtype(np.float64), None)
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
