"""Names for what users give, in signatures; the door (`_data`) is what reads it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame, IntoSeries
    from numpy.typing import ArrayLike
    from scipy.sparse import sparray, spmatrix

TableLike: TypeAlias = "ArrayLike | IntoDataFrame | sparray | spmatrix"
"""Rows and columns: an array, a frame of any library, a sparse matrix."""

ColumnLike: TypeAlias = "ArrayLike | IntoSeries"
"""A value for each row."""

SensitiveLike: TypeAlias = "TableLike | IntoSeries | Mapping[str, ColumnLike]"
"""A value for each row, or several by name: groups, quantities or probabilities."""

Columns: TypeAlias = Hashable | Sequence[Hashable]
"""One column of X or several, by name or position."""

GroupNames: TypeAlias = Sequence[Hashable] | Mapping[Hashable, Sequence[Hashable]]
"""All groups, or those of each sensitive feature."""

Kinds: TypeAlias = str | Mapping[Hashable, str] | Sequence[str | None]
"""What sensitive features are, by name or in order; or "probabilities"."""

RandomState: TypeAlias = int | np.random.RandomState | None
"""A seed, a generator, or None for a seed from the system."""

UserRows: TypeAlias = (
    "tuple[TableLike, ColumnLike | None, SensitiveLike | None, ColumnLike | None]"
)
"""What a user gives to a fit, as it is: X, y, sensitive features and weights."""


class Predictor(Protocol):
    """A fitted model of any package."""

    def predict(self, X: TableLike, /) -> np.ndarray:
        """Return a class or number for each row."""
        ...
