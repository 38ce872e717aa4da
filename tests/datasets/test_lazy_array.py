from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length

from fairmi._sklearn_compat import safe_indexing
from fairmi.datasets import LazyArray

ROWS = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)


class Noting(torch.utils.data.Dataset):
    """Rows with labels, as a Dataset gives them; it notes which it was asked for."""

    def __init__(self, rows=ROWS):
        self.rows, self.asked = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position):
        self.asked.append(position)
        return torch.as_tensor(self.rows[position]), "label"


def test_it_has_the_form_of_an_array():
    lazy = LazyArray(Noting())
    assert (lazy.shape, lazy.ndim, len(lazy), lazy.dtype) == ((6, 2, 2), 3, 6, np.uint8)
    np.testing.assert_array_equal(np.asarray(lazy), ROWS)
    np.testing.assert_array_equal(np.asarray(lazy, dtype=float), ROWS)
    np.testing.assert_array_equal(np.stack(list(lazy)), ROWS)
    assert repr(lazy) == "LazyArray(Noting, shape=(6, 2, 2), dtype=uint8)"


KEYS = {
    "slice": slice(1, 5, 2),
    "positions": np.array([5, 0, 0]),
    "list": [2, 1],
    "mask": np.arange(6) > 3,
    "from the end": slice(None, None, -1),
}


@pytest.mark.parametrize("kind", KEYS)
def test_rows_are_taken_without_reading_them(kind):
    source = Noting()
    lazy = LazyArray(source)
    source.asked.clear()
    part = lazy[KEYS[kind]]
    assert isinstance(part, LazyArray)
    assert not source.asked
    np.testing.assert_array_equal(np.asarray(part), ROWS[KEYS[kind]])
    np.testing.assert_array_equal(np.asarray(part[1:]), ROWS[KEYS[kind]][1:])


def test_an_integer_reads_one_row():
    source = Noting()
    lazy = LazyArray(source)
    source.asked.clear()
    np.testing.assert_array_equal(lazy[-1], ROWS[-1])
    np.testing.assert_array_equal(lazy[3:][np.int64(1)], ROWS[4])
    assert source.asked == [5, 4]
    with pytest.raises(IndexError):
        lazy[6]
    with pytest.raises(IndexError, match="rows alone in brackets"):
        lazy[0, 1]


def test_scikit_learn_takes_rows_of_it():
    source = Noting()
    lazy = LazyArray(source)
    source.asked.clear()
    check_consistent_length(lazy, np.arange(6))
    np.testing.assert_array_equal(np.asarray(safe_indexing(lazy, np.array([4, 1]))), ROWS[[4, 1]])
    assert source.asked == [4, 1]
    first, second = train_test_split(lazy, test_size=2, random_state=0)
    assert (first.shape, second.shape) == ((4, 2, 2), (2, 2, 2))


def test_what_is_no_source_of_rows_is_told():
    with pytest.raises(TypeError, match="source is a generator, which has no length"):
        LazyArray(row for row in ROWS)
    with pytest.raises(ValueError, match="source is empty"):
        LazyArray([])
    ragged = LazyArray([np.zeros((2, 2)), np.zeros((2, 3))])
    with pytest.raises(ValueError, match=r"Item 1 .* has shape \(2, 3\) .* first has \(2, 2\)"):
        np.asarray(ragged)
    with pytest.raises(ValueError, match="copy=False"):
        ragged.__array__(copy=False)  # numpy 1.26's asarray has no such argument
