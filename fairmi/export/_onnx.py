"""A fitted classifier -> an ONNX model, and a table -> the inputs of such a model."""

from __future__ import annotations

import json
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fairmi._base import TableEstimator
from fairmi._data.values import read_columns, to_pandas
from fairmi._typing import TableLike
from fairmi.export._graph import MATRIX, Graph, Inputs
from fairmi.export._models import (
    add_decisions,
    add_encoder,
    add_networks,
    add_trees,
    check_decisions,
)

if TYPE_CHECKING:
    from onnx import ModelProto

_MISSING, _COLUMNS = "missing", "columns"
_SEARCHES = {"MIDebiasedClassifierCV", "MIDebiasedRegressorCV"}


def to_onnx(model: BaseEstimator, *, missing: str = "") -> ModelProto:
    """Return a fitted estimator, with its encoding of tables inside, as an ONNX model.

    The graph computes in float64, so that Z falls on the level that it falls on here.

    Parameters
    ----------
    model : classifier, regressor or transformer
        A fitted `MIDebiasedClassifier`, `MIBoostingClassifier`, `MIBoostingRegressor`,
        `MIDebiasedRegressor`, `MIDebiasedTransformer`, whose graph gives Z alone,
        `MIBackpropClassifier`, `FairThresholdClassifier` on its own boosting, or a search such as
        `MIDebiasedClassifierCV`, whose chosen model is taken.
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
    try:
        graph = Graph()
    except ImportError as error:
        raise ImportError(
            'to_onnx needs onnx; install it by: pip install "fairmi[onnx]"'
        ) from error
    fitted = _chosen(model)
    inputs = Inputs(graph, fitted, missing)
    if hasattr(fitted, "multipliers_"):
        scores = add_decisions(graph, fitted, inputs)
        _add_label(graph, fitted.classes_, scores)
        graph.output("scores", scores, len(fitted.classes_))
    elif not hasattr(fitted, "predict"):
        if fitted.architecture_["dither"]:
            raise ValueError(
                "to_onnx can't export the noise of rows that dither=True adds; fit with "
                "dither=False."
            )
        z = graph.op("Squeeze", add_encoder(graph, fitted, inputs), [0])
        graph.output("representation", z, "n_components")
    else:
        add = add_trees if hasattr(fitted, "trees_") else add_networks
        representation, scores = add(graph, fitted, inputs)
        if hasattr(fitted, "classes_"):
            scores = graph.scores_by_class(scores, len(fitted.classes_))
            _add_label(graph, fitted.classes_, scores)
            probabilities = graph.op("Softmax", scores, axis=1)
            graph.output("probabilities", probabilities, len(fitted.classes_))
        else:
            graph.output("prediction", _prediction(graph, fitted, representation, scores), None)
        graph.output("representation", representation, "n_components")
    columns = json.dumps([fitted.n_features_in_, list(fitted._kept)])
    return graph.model({_MISSING: missing, _COLUMNS: columns})


def onnx_inputs(exported: ModelProto, X: TableLike) -> dict[str, np.ndarray]:
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
    wanted = {entry.name: entry.type.tensor_type for entry in exported.graph.input}
    metadata = {entry.key: entry.value for entry in exported.metadata_props}
    width, kept = json.loads(metadata[_COLUMNS])
    table = to_pandas(X)
    columns = {column.name: column.values for column in read_columns(table)}
    of_frame = isinstance(table, pd.DataFrame) and all(isinstance(n, str) for n in table.columns)
    is_matrix = list(wanted) == [MATRIX] and wanted[MATRIX].shape.dim[1].dim_value != 1
    if not of_frame or not set(wanted) <= set(columns):
        unnamed = is_matrix or all(re.fullmatch(r"X|x\d+", name) for name in wanted)
        if of_frame and not unnamed:
            absent = [name for name in wanted if name not in columns]
            raise ValueError(f"X has no column {absent[0]!r}, which the model reads; add it.")
        values = list(columns.values())
        if len(values) not in (width, len(kept)):
            raise ValueError(
                f"X has {len(values)} columns, and the model reads {width}; give these."
            )
        values = [values[j] for j in kept] if len(values) == width else values
        if is_matrix:
            numbers = [_numbers(str(j), of) for j, of in zip(kept, values, strict=True)]
            return {MATRIX: np.hstack(numbers)}
        columns = dict(zip(wanted, values, strict=True))
    string = import_module("onnx").TensorProto.STRING
    inputs = {}
    for name, kind in wanted.items():
        if kind.elem_type == string:
            texts = [metadata[_MISSING] if pd.isna(v) else str(v) for v in columns[name]]
            inputs[name] = np.array(texts, dtype=object)[:, None]
        else:
            inputs[name] = _numbers(name, columns[name])
    return inputs


def _chosen(model: BaseEstimator) -> Any:
    """Return the fitted estimator whose arrays are exported."""
    fitted = model
    if {kind.__name__ for kind in type(model).__mro__} & _SEARCHES:
        check_is_fitted(model)
        fitted = model.model_
    if not isinstance(fitted, TableEstimator):
        raise TypeError(
            f"to_onnx takes an estimator of fairmi, not a {type(fitted).__name__}; of a pipeline "
            "give the last step, as in pipeline[-1], and of a search best_estimator_."
        )
    check_is_fitted(fitted)
    if hasattr(fitted, "trunk_"):
        raise ValueError(
            "to_onnx can't export an encoder of yours; export the module trunk_ by "
            "torch.onnx.export, or fit without it."
        )
    if hasattr(fitted, "multipliers_"):
        check_decisions(fitted)
    return fitted


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    text = (
        next((v for v in values if isinstance(v, str)), None) if values.dtype == object else None
    )
    if text is not None:
        raise ValueError(
            f"Column {name!r} of X holds {text!r}, and was numeric at fit; give numbers, and "
            "NaN for a missing one."
        )
    return pd.to_numeric(pd.Series(values)).to_numpy(np.float64)[:, None]


def _add_label(graph: Graph, classes: np.ndarray, scores: str) -> None:
    """Make the class of the largest score (n_rows, n_classes) an output."""
    other = next((c for c in classes.tolist() if not isinstance(c, str)), None)
    if other is None:
        labels = classes.astype(object)
    elif classes.dtype.kind in "biuf":
        labels = classes.astype({"b": np.bool_, "f": np.float64}.get(classes.dtype.kind, np.int64))
    else:
        raise ValueError(
            f"The class {other!r} is neither text nor a number, which ONNX can't hold; fit to "
            "labels of text."
        )
    label = graph.op("Gather", labels, graph.op("ArgMax", scores, axis=1, keepdims=0))
    graph.output("label", label, None, labels.dtype)


def _prediction(graph: Graph, model: BaseEstimator, representation: str, scores: str) -> str:
    """Return a regressor's prediction, (n_rows,), of its Z and scores (n_rows, 1)."""
    log_link = model._quantity().has_log_link
    if not hasattr(model, "units_") and len(model.values_):
        level = graph.cast(graph.level(representation, len(model.values_)), np.int64)
        return graph.op("Squeeze", graph.op("Gather", model.values_, level), [1])
    prediction = graph.op("Exp", scores) if log_link else scores
    if hasattr(model, "units_"):
        prediction = graph.op("Mul", prediction, float(model.units_["scale"]))
        prediction = graph.op("Add", prediction, float(model.units_["centre"]))
    elif not model._is_base():
        prediction = graph.op("Mul" if log_link else "Add", prediction, float(model.balance_))
    return graph.op("Squeeze", prediction, [1])
