from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from fairmi.exceptions import ColumnWarning
from fairmi.networks.rows import SpreadTable
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_columns import NumericColumn

# Whole numbers that float32, float64 and every integer type hold alike.
NUMBERS = st.one_of(st.none(), st.integers(-5, 100))
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "", "ä", "none"]))


@st.composite
def frames(draw):
    n_rows = draw(st.integers(2, 40))
    rows = st.lists(st.tuples(NUMBERS, TEXTS), min_size=n_rows, max_size=n_rows)
    numbers, texts = zip(*draw(rows), strict=True)
    frame = pd.DataFrame(
        {"n": np.array(numbers, dtype=float), "t": pd.Series(texts, dtype=object)}
    )
    y = np.array(draw(st.lists(st.integers(0, 2), min_size=n_rows, max_size=n_rows)))
    return frame, y


def encode(frame, y, weights=None, then=None):
    return TableEncoder().fit(frame, y, weights).transform(frame if then is None else then)


def forms(frame):
    """The same content in other types."""
    text = frame["t"]
    present = frame["n"].notna().all()
    yield frame.astype({"n": np.float32})
    yield frame.astype({"n": "Int16"})
    yield frame.astype({"n": "int32[pyarrow]"})
    yield frame.assign(t=text.astype("string"))
    yield frame.assign(t=text.astype("string[pyarrow]"))
    yield frame.assign(t=text.astype("category"))
    yield frame.set_index(np.arange(len(frame))[::-1])
    yield pl.DataFrame(
        {"n": frame["n"].to_numpy(), "t": pl.Series(text.tolist(), dtype=pl.String)}
    )
    if present:
        yield frame.astype({"n": np.int64})
        yield frame.astype({"n": np.int8})


@pytest.mark.slow
@given(frames())
@settings(max_examples=500, deadline=None)
def test_type_index_and_names_leave_no_trace(table):
    frame, y = table
    expected = encode(frame, y)
    assert expected.dtype == np.float32
    assert np.isfinite(expected).all()
    for form in forms(frame):
        np.testing.assert_array_equal(encode(form, y), expected)
    renamed = frame.rename(columns={"n": "t", "t": "n"})
    np.testing.assert_array_equal(encode(renamed, y), expected)
    np.testing.assert_array_equal(encode(frame[["n"]].to_numpy(), y), encode(frame[["n"]], y))


@pytest.mark.slow
@given(frames(), st.randoms(use_true_random=False))
@settings(max_examples=500, deadline=None)
def test_order_of_rows_leaves_no_trace(table, random):
    frame, y = table
    order = list(range(len(frame)))
    random.shuffle(order)
    shuffled = encode(frame.iloc[order], y[order])
    np.testing.assert_array_equal(shuffled, encode(frame, y)[order])


@pytest.mark.slow
@given(frames(), st.data())
@settings(max_examples=500, deadline=None)
def test_weight_of_two_is_a_repeated_row_and_of_zero_an_absent_one(table, data):
    frame, y = table
    sizes = st.lists(st.integers(1, 2), min_size=len(y), max_size=len(y))
    weights = np.array(data.draw(sizes))
    counts = frame["t"].map(frame["t"].value_counts())
    weights[counts == 1] = 1  # of a category of its own a row is one, however much it weighs
    again = np.repeat(np.arange(len(y)), weights)
    repeated = encode(frame.iloc[again], y[again], then=frame)
    np.testing.assert_array_equal(encode(frame, y, weights), repeated)


@pytest.mark.slow
@given(hnp.arrays(np.float64, st.integers(30, 80), elements=st.floats(-1e6, 1e6, width=32)))
@settings(max_examples=500, deadline=None)
def test_numeric_column_is_spanned_exactly_and_in_order(values):
    y = (values > np.median(values)).astype(int)
    encoder = TableEncoder().fit(values[:, None], y)
    knots = encoder.columns_[0].knots
    assert (np.diff(knots) > 0).all()
    parts = encoder.transform(values[:, None]) + encoder.layout_.mean
    ramps, steps = parts[:, : len(knots) - 1], parts[:, len(knots) - 1 :]
    # A linear function: the ramps times their widths, from the first knot on.
    spread = knots[-1] - knots[0]
    np.testing.assert_allclose(
        ramps @ np.diff(knots) + knots[0], values, atol=1e-5 * spread + 1e-9
    )
    assert steps.shape[1] == max(len(knots) - 2, 0)
    # Each column rises, or stays, as the value does.
    assert (np.diff(parts[np.argsort(values)], axis=0) >= -1e-6).all()
    # Outside the knots nothing changes.
    ends = encoder.transform(
        np.array([[knots[0] - 1e9], [knots[0]], [knots[-1]], [knots[-1] + 1e9]])
    )
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[2], ends[3])


def test_columns_have_mean_0_by_weight_and_what_is_missing_is_the_mean_and_an_indicator():
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 1))
    x[::7] = np.nan
    y = (np.nan_to_num(x[:, 0]) > 0).astype(int)
    weights = random.exponential(size=300)
    encoded = encode(x, y, weights)
    np.testing.assert_allclose(weights @ encoded / weights.sum(), 0, atol=1e-6)
    *values, indicator = encoded.T
    gaps = np.isnan(x[:, 0])
    assert np.ptp(indicator[gaps]) == np.ptp(indicator[~gaps]) == 0
    assert indicator[gaps][0] - indicator[~gaps][0] == pytest.approx(1)
    assert (np.array(values)[:, gaps] == 0).all()
    # Where fit saw no gap there is no indicator, and a gap is the mean.
    encoder = TableEncoder().fit(x[~gaps], y[~gaps])
    assert (encoder.transform(np.array([[np.nan]])) == 0).all()


def test_knots_lie_where_the_label_changes():
    x = np.arange(400.0)
    y = ((x > 100) & (x < 250)).astype(int)
    knots = TableEncoder().fit(x[:, None], y).columns_[0].knots
    for edge in (100.5, 249.5):
        assert np.abs(knots - edge).min() < 1e-6  # measured 0
    assert len(knots) <= 17


def test_piecewise_linear_columns_let_a_linear_model_see_a_bump():
    random = np.random.default_rng(0)
    x = random.uniform(-3, 3, size=(600, 1))
    y = (np.abs(x[:, 0]) < 1).astype(int)
    model = make_pipeline(TableEncoder(), LogisticRegression(max_iter=500)).fit(x[:300], y[:300])
    assert model.score(x[300:], y[300:]) > 0.95  # measured 0.997
    # measured 0.643
    assert LogisticRegression().fit(x[:300], y[:300]).score(x[300:], y[300:]) < 0.75


def test_categories_are_indicators_and_what_fit_never_saw_is_missing():
    frame = pd.DataFrame({"t": ["b", "a", None, "b", "a", "alone"]})
    encoder = TableEncoder().fit(frame, [0, 1, 0, 1, 0, 1])
    shift = encoder.transform(frame)[:4] + encoder.layout_.mean
    np.testing.assert_allclose(shift, [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-7)
    assert (encoder.transform(frame)[5] == encoder.transform(frame)[2]).all()
    with pytest.warns(ColumnWarning, match="No value of column 't' of X was seen at fit"):
        unseen = encoder.transform(pd.DataFrame({"t": ["c", None, np.nan]}))
    assert (unseen == encoder.transform(frame)[2]).all()


def test_categories_of_several_types_in_a_column():
    frame = pd.DataFrame({"t": [1, "1", 2.5, True] * 5})
    encoded = encode(frame, np.arange(20) % 2)
    assert len(np.unique(encoded, axis=0)) == 3  # 1 and True are equal, "1" is another


def test_wide_tables_get_two_knots_a_column():
    x = np.random.default_rng(0).normal(size=(60, 513))
    assert encode(x, np.arange(60) % 2).shape == (60, 513)


def test_sparse_table_stays_sparse_and_is_scaled_to_size_one():
    x = np.array([[0, 4.0, np.nan], [-2, 0, 0], [1, np.nan, 5]])
    encoder = TableEncoder().fit(csr_array(x), [0, 1, 0])
    encoded = encoder.transform(csr_array(x))
    assert isinstance(encoded, csr_array)
    assert encoded.dtype == np.float32
    expected = [[0, 1, 0, 0, 1], [-1, 0, 0, 0, 0], [0.5, 0, 1, 1, 0]]
    np.testing.assert_array_equal(encoded.toarray(), expected)
    np.testing.assert_array_equal(encoder.transform(x).toarray(), expected)


@pytest.mark.slow
@given(frames())
@settings(max_examples=100, deadline=None)
def test_a_table_spread_out_by_batches_is_what_transform_gives(table):
    frame, y = table
    encoder = TableEncoder().fit(frame, y)
    positions = encoder.positions(frame)
    index = np.arange(len(frame))[::-2].copy()
    batch = SpreadTable(torch.as_tensor(positions), encoder.layout_).rows(torch.as_tensor(index))
    np.testing.assert_array_equal(batch.numpy(), encoder.transform(frame)[index])


@given(st.integers(2, 20), st.data())
@settings(max_examples=200, deadline=None)
def test_a_value_just_before_a_knot_stays_before_it(n_knots, data):
    edges = st.floats(-1e6, 1e6, allow_subnormal=False)
    knots = np.array(
        sorted(data.draw(st.lists(edges, min_size=n_knots, max_size=n_knots, unique=True)))
    )
    column = NumericColumn("x", knots, has_missing=False)
    k = np.arange(n_knots)
    assert (column.positions(knots) == np.minimum(k, n_knots - 1)).all()
    assert (column.positions(np.nextafter(knots, -np.inf)) < np.maximum(k, 1e-9)).all()
