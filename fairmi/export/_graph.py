"""An ONNX graph, written one operator at a time, and its inputs: the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator

from fairmi.preprocessing.encoded_columns import (
    CategoricalColumn,
    Column,
    NumericColumn,
    columns_of_trees,
)

MATRIX = "X"
_EXACT = 2**53  # up to which a float64 holds every whole number
_OPSET, _ML_OPSET, _ML_OPSET_OF_TREES = 17, 3, 5
_IR_VERSION = 10
ML = "ai.onnx.ml"


class Graph:
    """Operators, constants, inputs and outputs; a tensor is its name."""

    def __init__(self) -> None:
        self._onnx = import_module("onnx")
        self._helper = import_module("onnx.helper")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def op(self, kind: str, *inputs: ArrayLike, domain: str = "", **attributes: Any) -> str:
        """Add an operator of one output, and return its name; inputs are names or constants."""
        names = []
        for x in inputs:
            if not isinstance(x, str):
                values, x = np.asarray(x), f"fairmi:constant {len(self._constants)}"
                self._constants.append(self.tensor(values, x))
            names.append(x)
        output = f"fairmi:{len(self._nodes)}"
        node = self._helper.make_node(kind, names, [output], domain=domain, **attributes)
        self._nodes.append(node)
        return output

    def tensor(self, values: np.ndarray, name: str = "") -> Any:
        """Return an array as a tensor, for an attribute."""
        return import_module("onnx.numpy_helper").from_array(values, name or None)

    def input(self, name: str, *, is_text: bool = False, width: int = 1) -> str:
        """Add an input of shape (n_rows, width), float64 or strings."""
        kind = self._onnx.TensorProto.STRING if is_text else self._onnx.TensorProto.DOUBLE
        info = self._helper.make_tensor_value_info(name, kind, ["n_rows", width])
        self._inputs.append(info)
        return name

    def output(
        self, name: str, of: str, width: int | str | None, kind: DTypeLike = np.float64
    ) -> None:
        """Make a tensor of shape (n_rows, width), or (n_rows,), an output."""
        taken = {info.name for info in self._inputs}
        while name in taken:
            name += "_"
        element = self._helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        shape = ["n_rows"] if width is None else ["n_rows", width]
        self._nodes.append(self._helper.make_node("Identity", [of], [name]))
        self._outputs.append(self._helper.make_tensor_value_info(name, element, shape))

    def take(self, of: str, columns: Sequence[int] | np.ndarray) -> str:
        """Return some columns of a matrix."""
        return self.op("Gather", of, np.asarray(columns, dtype=np.int64), axis=1)

    def join(self, *parts: str) -> str:
        """Return matrices side by side."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=1)

    def cast(self, of: str, dtype: DTypeLike) -> str:
        """Return a tensor in another type."""
        kind = self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.op("Cast", of, to=kind)

    def scores_by_class(self, scores: str, n_classes: int) -> str:
        """Return a score of each class, (n_rows, n_classes), of two of which one is told."""
        if n_classes > 2:
            return scores
        return self.join(self.op("Mul", scores, 0.0), scores)

    def level(self, z: str, n_levels: int) -> str:
        """Return the place of the nearest level to each Z, as `Channel.position` rounded."""
        return self.op("Round", self.op("Mul", self.op("Add", z, 1.0), (n_levels - 1) / 2))

    def rounded(self, z: str, n_levels: int | None) -> str:
        """Return the nearest level, as `Channel.round`."""
        if n_levels is None:
            return z
        return self.op("Sub", self.op("Div", self.level(z, n_levels), (n_levels - 1) / 2), 1.0)

    def model(self, metadata: dict[str, str]) -> Any:
        """Return the checked model."""
        helper = self._helper
        graph = (self._nodes, "fairmi", self._inputs, self._outputs, self._constants)
        has_trees = any(node.op_type == "TreeEnsemble" for node in self._nodes)
        opsets = [
            helper.make_opsetid("", _OPSET),
            helper.make_opsetid(ML, _ML_OPSET_OF_TREES if has_trees else _ML_OPSET),
        ]
        model = helper.make_model(
            helper.make_graph(*graph),
            opset_imports=opsets,
            ir_version=_IR_VERSION,
            producer_name="fairmi",
        )
        helper.set_model_props(model, metadata)
        self._onnx.checker.check_model(model)
        return model


class Inputs:
    """The columns of a table that a model reads, each a tensor (n_rows, 1) of a graph.

    `matrix` is a tensor (n_rows, n_columns) of all, where they are numbers without names, and
    `missing` stands for a missing text.
    """

    def __init__(self, graph: Graph, model: BaseEstimator, missing: str) -> None:
        self.graph, self.missing = graph, missing
        trees = getattr(model, "estimator_", model)
        if hasattr(trees, "trees_"):
            self.columns = columns_of_trees(trees.columns_)
        elif model.encoder_.columns_ is None:
            n_columns = model.encoder_.n_columns
            self.columns = [NumericColumn(str(j), np.zeros(1), True) for j in range(n_columns)]
        else:
            self.columns = model.encoder_.columns_
        for column in self.columns:
            self._check(column)
        names = getattr(model, "feature_names_in_", None)
        self.matrix, self._tensors = None, []
        if names is None and all(isinstance(c, NumericColumn) for c in self.columns):
            self.matrix = graph.input(MATRIX, width=len(self.columns))
            return
        names = [f"x{j}" for j in range(model.n_features_in_)] if names is None else names
        for j, column in zip(model._kept, self.columns, strict=True):
            categories = own_categories(column)
            is_text = categories is not None and _are_text(categories)
            self._tensors.append(graph.input(str(names[j]), is_text=is_text))

    def tensor(self, j: int) -> str:
        """Return the values of a column, (n_rows, 1)."""
        return self._tensors[j] if self.matrix is None else self.graph.take(self.matrix, [j])

    def codes(
        self, j: int, categories: np.ndarray, of: Sequence[int], *, other: int, absent: int
    ) -> str:
        """Return codes of a column, (n_rows, 1) int64, `of` categories, other values and none."""
        graph, tensor = self.graph, self.tensor(j)
        if _are_text(categories):
            known = {str(c): int(k) for c, k in zip(categories, of, strict=True)}
            known[self.missing] = absent
            return graph.op(
                "LabelEncoder",
                tensor,
                domain=ML,
                keys_strings=list(known),
                values_int64s=list(known.values()),
                default_int64=other,
            )
        same = graph.op("Equal", tensor, np.array([[float(c) for c in categories]]))
        shifted = np.array([[k - other] for k in of], dtype=np.int64)
        total = graph.op("MatMul", graph.cast(same, np.int64), shifted)
        code = graph.op("Add", total, [other])
        return graph.op("Where", graph.op("IsNaN", tensor), [absent], code)

    def _check(self, column: Column) -> None:
        categories, name = own_categories(column), column.name
        if isinstance(column, NumericColumn) and column.is_date:
            raise ValueError(
                "to_onnx can't export dates, of which the model reads parts of the calendar; make "
                f"numbers of column {name!r} (days, months) before fit, in a step of your own."
            )
        if categories is None or not len(categories):
            return
        as_text = f"make them text and fit anew: X[{name!r}].astype(str)."
        numbers = [c for c in categories if isinstance(c, Real)]
        if _are_text(categories):
            if self.missing in categories:
                raise ValueError(
                    f"missing={self.missing!r} is a category of column {name!r}; give a string "
                    'that none has, such as missing="<NA>".'
                )
        elif len(numbers) < len(categories):
            other = next(c for c in categories if not isinstance(c, Real))
            raise ValueError(
                f"Column {name!r} has categories that are not all text or all numbers, such as "
                f"{other!r}, which ONNX can't hold; {as_text}"
            )
        for c in numbers:
            if abs(float(c)) > _EXACT or float(c) != c:
                raise ValueError(
                    f"Column {name!r} has the category {c!r}, which the float64 of an ONNX input "
                    f"can't tell from its neighbours; {as_text}"
                )


def own_categories(column: Column) -> np.ndarray | None:
    """Return the categories that have a code of their own, None of a column of numbers."""
    if not isinstance(column, CategoricalColumn):
        return None
    return column.categories[: -1 if column.rest else None]


def _are_text(categories: Sequence[Any] | np.ndarray) -> bool:
    return all(isinstance(category, str) for category in categories)
