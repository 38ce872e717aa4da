"""LazyArray: rows that are read from a Dataset when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


class LazyArray:
    """Rows of a Dataset behind the interface of an array, read when they are asked for.

    For X of a classifier with an `encoder` of your own: a fit reads a batch at a time, and
    scikit-learn's searches and `cross_val_score` read the rows of a fold alone.

    Parameters
    ----------
    source : sequence of items
        A `torch.utils.data.Dataset` with a length, an array, a memory-mapped file, or anything
        with `len` and integers in brackets. An item is an array, a tensor or an image, all of one
        shape and dtype; of a tuple such as (image, label) the first part is taken.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, ...), the rest as the first item has it.
    dtype : numpy.dtype
        That of the first item.

    Notes
    -----
    An integer in brackets reads one row, a slice or an array of positions makes a LazyArray of
    these rows and reads nothing, and `numpy.asarray` reads all. Random augmentation does not
    belong here, where a row must be the same each time, but in the encoder, under
    `self.training`.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.datasets import LazyArray
    >>> images = LazyArray([(np.full((28, 28), k, np.uint8), "label") for k in range(5)])
    >>> images.shape
    (5, 28, 28)
    >>> images[[4, 2]].shape
    (2, 28, 28)
    >>> int(images[[4, 2]][0].max())
    4
    """

    def __init__(self, source: Any) -> None:
        if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
            raise TypeError(
                f"source is a {type(source).__name__}, which has no length or no items in "
                "brackets; give a Dataset with both, no stream of items."
            )
        if not len(source):
            raise ValueError("source is empty; give at least one item.")
        self.source = source
        self.index = np.arange(len(source))
        first = _array_of(source[0])
        self._item_shape, self.dtype = first.shape, first.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the shape of one."""
        return (len(self.index), *self._item_shape)

    @property
    def ndim(self) -> int:
        """Length of the shape."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> Any:
        """Return one row for an integer, else a LazyArray of the rows."""
        if isinstance(key, tuple):
            # scikit-learn asks for the rows of a fold with an ellipsis behind them.
            key, *rest = key
            if rest not in ([], [Ellipsis]):
                raise IndexError(f"A LazyArray has rows alone in brackets, not {(key, *rest)!r}.")
        chosen = self.index[key]
        if np.ndim(chosen) == 0:
            return self._read(chosen)
        part = LazyArray.__new__(LazyArray)
        vars(part).update(vars(self) | {"index": chosen})
        return part

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._read(position) for position in self.index)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """Read all rows.

        Raises
        ------
        ValueError
            If a row differs from the first in shape or dtype, or no copy is allowed.
        """
        if copy is False:
            raise ValueError("A LazyArray is read into a new array; leave out copy=False.")
        rows = np.empty(self.shape, dtype=self.dtype)
        for place, position in enumerate(self.index):
            rows[place] = self._read(position)
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyArray({type(self.source).__name__}, shape={self.shape}, dtype={self.dtype})"

    def _read(self, position: np.integer) -> np.ndarray:
        row = _array_of(self.source[int(position)])
        if row.shape != self._item_shape or row.dtype != self.dtype:
            raise ValueError(
                f"Item {int(position)} of the LazyArray's source has shape {row.shape} and dtype "
                f"{row.dtype}, but the first has {self._item_shape} and {self.dtype}; give all "
                "items one of each."
            )
        return row


def _array_of(item: Any) -> np.ndarray:
    """Return an item as an array, (image, label) as its image."""
    first = item[0] if isinstance(item, tuple) else item
    return np.asarray(first.detach().cpu() if hasattr(first, "detach") else first)
