"""Knots of long columns, from cells of them."""

from __future__ import annotations

import numpy as np
import pytest

from fairmi.preprocessing import encoded_columns
from fairmi.preprocessing.encoded_columns import knots_of

N = 30_000
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=N)
Y = (np.sin(2 * X) + 0.5 * X + RANDOM.normal(size=N) > 0).astype(int)
ONES = np.ones(N)


@pytest.fixture
def in_cells(monkeypatch):
    """Let a column of these rows count as long."""
    monkeypatch.setattr(encoded_columns, "_MAX_ROWS", 1_000)


def loss_of(found):
    """Log loss, by its shares between knots, of labels that the knots were not learned from."""
    random = np.random.default_rng(1)
    x = random.normal(size=N)
    y = (np.sin(2 * x) + 0.5 * x + random.normal(size=N) > 0).astype(int)
    bins = np.searchsorted(found[1:-1], x)
    p = np.bincount(bins, y) / np.bincount(bins)
    p = np.clip(p[bins], 1e-9, 1 - 1e-9)
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


COLUMNS = {
    "whole numbers": np.round(X * 40),
    "halves": np.round(X * 20) / 2 + 1e6,
    "many zeros": np.where(RANDOM.random(N) < 0.7, 0.0, np.round(X, 2)),
    "near the end of float32": np.round(X * 10) * 1e36,
}


@pytest.mark.parametrize("name", COLUMNS)
def test_of_few_distinct_values_the_knots_are_those_of_all_rows(monkeypatch, name):
    x = COLUMNS[name]
    whole = knots_of(x, Y, ONES, 16)
    monkeypatch.setattr(encoded_columns, "_MAX_ROWS", 1_000)
    # The tree reads float32, cells keep float64.
    np.testing.assert_allclose(knots_of(x, Y, ONES, 16), whole, rtol=1e-6)


def test_of_many_values_they_tell_as_much_of_y(monkeypatch):
    whole = loss_of(knots_of(X, Y, ONES, 16))
    assert whole < loss_of(np.quantile(X, np.linspace(0, 1, 3))) - 0.03  # measured 0.463 and 0.503
    monkeypatch.setattr(encoded_columns, "_MAX_ROWS", 1_000)
    # Measured: lower by 3e-4 with 4,096 cells, by 1e-4 with 256.
    assert loss_of(knots_of(X, Y, ONES, 16)) < whole + 1e-3


def test_a_weight_of_two_is_a_row_given_twice(in_cells):
    weights = RANDOM.integers(1, 4, size=N).astype(float)
    rows = np.repeat(np.arange(N), weights.astype(int))
    expected = knots_of(X[rows], Y[rows], np.ones(len(rows)), 16)
    np.testing.assert_array_equal(knots_of(X, Y, weights, 16), expected)


def test_the_order_of_rows_leaves_no_trace(in_cells):
    order = RANDOM.permutation(N)
    expected = knots_of(X, Y, ONES, 16)
    np.testing.assert_array_equal(knots_of(X[order], Y[order], ONES, 16), expected)


def test_classes_may_be_any_numbers_and_several(in_cells):
    y = np.array([3, 7, 9])[np.digitize(X + RANDOM.normal(size=N), [-0.5, 0.5])]
    assert len(knots_of(X, y, ONES, 16)) == 17
    np.testing.assert_array_equal(knots_of(X, y, ONES, 2), [X.min(), X.max()])
