"""The columns that a fitted model reads -> inputs of a graph, one tensor each."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from fairmi.export._graph import ML, Graph
from fairmi.preprocessing.encoded_columns import (
    CategoricalColumn,
    Column,
    NumericColumn,
    columns_of_trees,
)

MATRIX = "X"
_EXACT = 2**53  # up to which a float64 holds every whole number


class Inputs:
    """The columns of a table that a model reads, each a tensor (n_rows, 1) of a graph.

    `matrix` is a tensor (n_rows, n_columns) of all, where they are numbers without names, and
    `missing` stands for a missing text.
    """

    def __init__(self, graph: Graph, model: BaseEstimator, missing: str) -> None:
        self.graph, self.missing = graph, missing
        self.columns = _columns(model)
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


def _columns(model: BaseEstimator) -> Sequence[Column]:
    trees = getattr(model, "estimator_", model)
    if hasattr(trees, "trees_"):
        return columns_of_trees(trees.columns_)
    if model.encoder_.columns_ is None:
        return [NumericColumn(str(j), np.zeros(1), True) for j in range(model.encoder_.n_columns)]
    return model.encoder_.columns_
