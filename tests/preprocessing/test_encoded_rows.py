from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from fairmi.preprocessing.encoded_rows import merge_rows

# Few values, so that equal rows are common; -0.0 is 0.0.
VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0**-100, 2.0**127])


@st.composite
def tables(draw):
    n_rows = draw(st.integers(1, 12))
    x = draw(hnp.arrays(np.float32, (n_rows, draw(st.integers(0, 3))), elements=VALUES))
    rest = draw(hnp.arrays(np.float64, (n_rows, draw(st.integers(1, 2))), elements=VALUES))
    weights = draw(hnp.arrays(np.float64, n_rows, elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])))
    weights[draw(st.integers(0, n_rows - 1))] = 1.0
    return x, rest, weights


def content(x, rest, weights):
    """The distinct rows, as text, and their summed weights."""
    sums: dict[bytes, float] = {}
    for row, weight in zip(np.hstack([x, rest]) + 0.0, weights, strict=True):
        if weight:
            sums[row.tobytes()] = sums.get(row.tobytes(), 0) + weight
    return sums


@pytest.mark.slow
@given(tables())
@settings(max_examples=300, deadline=None)
def test_distinct_rows_are_kept_once_with_their_summed_weight(table):
    x, rest, weights = table
    kept, merged = merge_rows(x, rest, weights)
    expected = content(x, rest, weights)
    assert len(kept) == len(expected)
    assert content(x[kept], rest[kept], merged) == expected
    assert merged.sum() == weights.sum()


@pytest.mark.slow
@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_what_is_kept_depends_on_neither_order_nor_repetition(table, random):
    x, rest, weights = table
    kept, merged = merge_rows(x, rest, weights)
    # Every row of weight 2 as two rows, those of weight 0 gone, all in another order.
    again = [i for i, w in enumerate(weights) for _ in range(max(1, int(w))) if w]
    random.shuffle(again)
    ones = np.minimum(weights[again], 1.0)
    kept_again, merged_again = merge_rows(x[again], rest[again], ones)
    np.testing.assert_array_equal(x[again][kept_again] + 0.0, x[kept] + 0.0)
    np.testing.assert_array_equal(rest[again][kept_again] + 0.0, rest[kept] + 0.0)
    np.testing.assert_array_equal(merged_again, merged)


@pytest.mark.slow
@given(tables())
@settings(max_examples=200, deadline=None)
def test_sparse_rows_merge_as_dense_ones(table):
    x, rest, weights = table
    x = x + np.float32(0)
    dense, sparse = merge_rows(x, rest, weights), merge_rows(csr_array(x), rest, weights)
    np.testing.assert_array_equal(sparse[1], dense[1])
    np.testing.assert_array_equal(x[sparse[0]], x[dense[0]])


def test_hash_tells_apart_rows_that_differ_in_one_place():
    random = np.random.default_rng(0)
    x = np.zeros((20_000, 5), dtype=np.float32)
    place = random.integers(5, size=len(x))
    x[np.arange(len(x)), place] = np.arange(1, len(x) + 1)
    kept, weights = merge_rows(x, np.zeros((len(x), 1)), np.ones(len(x)))
    assert len(kept) == len(x)
    assert (weights == 1).all()


@pytest.mark.parametrize("n_codes", [2, 1000])
def test_codes_tell_rows_apart(n_codes):
    codes = np.indices((n_codes, 3)).reshape(2, -1).T.astype(float)
    kept, _ = merge_rows(np.ones((len(codes), 2), np.float32), codes, np.ones(len(codes)))
    assert len(kept) == len(codes)
