"""The columns that a fitted classifier reads -> inputs of a graph, one tensor each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from fairmi.export._graph import Graph
from fairmi.preprocessing.encoded_columns import CategoricalColumn

MATRIX = "X"
_EXACT = 2**53  # up to which a float64 holds every whole number


@dataclass(frozen=True)
class InputColumn:
    """A column of a table; `categories` is None for numbers."""

    name: str
    categories: np.ndarray | None

    @property
    def is_text(self) -> bool:
        """Whether its values are strings."""
        return self.categories is not None and all(isinstance(c, str) for c in self.categories)


@dataclass(frozen=True)
class InputTable:
    """The columns of a table, and their tensors (n_rows, 1).

    `matrix` is a tensor (n_rows, n_columns) of all, where they are numbers without names.
    """

    columns: Sequence[InputColumn]
    tensors: Sequence[str]
    matrix: str | None
    missing: str


def read_inputs(graph: Graph, model: BaseEstimator, missing: str) -> InputTable:
    """Add the inputs of a model to a graph.

    Raises
    ------
    ValueError
        If a column has categories that are neither text nor numbers, or `missing` among them.
    """
    names = getattr(model, "feature_names_in_", None)
    columns = _columns(model)
    for column in columns:
        _check_categories(column, missing)
    plain = names is None and not any(c.categories is not None for c in columns)
    if plain:
        width = len(columns)
        return InputTable(columns, (), graph.input(MATRIX, width=width), missing)
    kept = [f"x{j}" for j in range(model.n_features_in_)] if names is None else names
    tensors = [
        graph.input(str(kept[j]), is_text=column.is_text)
        for j, column in zip(model._kept, columns, strict=True)
    ]
    return InputTable(columns, tensors, None, missing)


def _columns(model: BaseEstimator) -> list[InputColumn]:
    """Return the columns of X that a model reads.

    Raises
    ------
    ValueError
        If one holds dates.
    """
    trees = getattr(model, "estimator_", model)
    if hasattr(trees, "trees_"):
        known = trees.columns_
        _refuse_dates([known["names"][j] for j in known.get("dates", [])])
        return [
            InputColumn(*pair) for pair in zip(known["names"], known["categories"], strict=True)
        ]
    encoder = model.encoder_
    if encoder.columns_ is None:
        return [InputColumn(str(j), None) for j in range(len(encoder.scale_))]
    _refuse_dates([c.name for c in encoder.columns_ if getattr(c, "is_date", False)])
    return [
        InputColumn(c.name, categories_of(c) if isinstance(c, CategoricalColumn) else None)
        for c in encoder.columns_
    ]


def _refuse_dates(names: Sequence[str]) -> None:
    if names:
        raise ValueError(
            f"to_onnx can't export dates, of which the model reads parts of the calendar; make "
            f"numbers of column {names[0]!r} (days, months) before fit, in a step of your own."
        )


def categories_of(column: CategoricalColumn) -> np.ndarray:
    """Return the categories that have an indicator of their own."""
    return column.categories[: -1 if column.rest else None]


def _check_categories(column: InputColumn, missing: str) -> None:
    if column.categories is None or not len(column.categories):
        return
    if column.is_text:
        if missing in column.categories:
            raise ValueError(
                f"missing={missing!r} is a category of column {column.name!r}; give a string that "
                'none has, such as missing="<NA>".'
            )
    elif not all(isinstance(category, Real) for category in column.categories):
        odd = next(c for c in column.categories if not isinstance(c, Real))
        raise ValueError(
            f"Column {column.name!r} has categories that are not all text or all numbers, such as "
            f"{odd!r}, which ONNX can't hold; make them text and fit anew: "
            f"X[{column.name!r}].astype(str)."
        )
    else:
        inexact = [c for c in column.categories if abs(c) > _EXACT or float(c) != c]
        if inexact:
            raise ValueError(
                f"Column {column.name!r} has the category {inexact[0]!r}, which the float64 of an "
                "ONNX input can't tell from its neighbours; make them text and fit anew: "
                f"X[{column.name!r}].astype(str)."
            )


def codes(
    graph: Graph, tensor: str, column: InputColumn, of: Sequence[int], other: int, missing: str
) -> str:
    """Return codes of the categories of a column, (n_rows, 1) int64.

    `of` has the code of each; one that is none of them has `other`, and a missing value -1.
    """
    categories = column.categories
    assert categories is not None
    if column.is_text:
        known = {str(c): int(k) for c, k in zip(categories, of, strict=True)} | {missing: -1}
        return graph.op(
            "LabelEncoder",
            tensor,
            domain="ai.onnx.ml",
            keys_strings=list(known),
            values_int64s=list(known.values()),
            default_int64=other,
        )
    row = graph.constant(np.array([float(c) for c in categories])[None])
    same = graph.cast(graph.op("Equal", tensor, row), np.int64)
    shifted = graph.constant(np.array([[k - other for k in of]]), np.int64)
    total = graph.op("MatMul", same, graph.op("Transpose", shifted))
    code = graph.op("Add", total, graph.constant([other], np.int64))
    return graph.op("Where", graph.op("IsNaN", tensor), graph.constant([-1], np.int64), code)
