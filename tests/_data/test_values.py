"""The kind of a column is told by its values: one rule, whatever library or dtype holds them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from fairmi import MIBoostingClassifier, MIDebiasedClassifier
from fairmi._data.values import read_columns
from fairmi.metrics._representation import read_representation
from fairmi.preprocessing import TableEncoder

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 80
RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal(size=N).round(3)
GAPPED = np.where(np.arange(N) % 7 == 0, np.nan, NUMBERS)
TRUTHS = [None, *(NUMBERS > 0)[1:].tolist()]
JOBS = np.array(["clerk", "nurse", None], dtype=object)[np.arange(N) % 3]
Y = (NUMBERS > 0).astype(int)
S = np.array(list("ab") * (N // 2))
FRAME = pd.DataFrame({"pay": GAPPED, "job": JOBS, "owner": TRUTHS})


def table_columns(X):
    return [(column.name, column.values) for column in read_columns(X)]


def objects(values):
    return pd.Series([None if pd.isna(v) else v for v in values], dtype=object)


def dictionary(values):
    array = pa.array(list(values), type=pa.string()).dictionary_encode()
    return pd.Series(pd.arrays.ArrowExtensionArray(array))


NUMBER_COLUMNS = {
    "object": objects(GAPPED),
    "Decimal": objects([None if np.isnan(v) else Decimal(f"{v:.3f}") for v in GAPPED]),
    "Fraction": objects([None if np.isnan(v) else Fraction(str(v)) for v in GAPPED]),
    "numpy scalars": objects([np.float64(v) for v in GAPPED]),
    "Arrow": pd.Series(GAPPED).astype("double[pyarrow]"),
    "Arrow decimal": objects(
        [None if np.isnan(v) else Decimal(f"{v:.3f}") for v in GAPPED]
    ).astype(pd.ArrowDtype(pa.decimal128(8, 3))),
    "nullable": pd.Series(GAPPED).astype("Float64"),
}


@pytest.mark.parametrize("kind", NUMBER_COLUMNS)
def test_numbers_are_numbers_in_any_column(kind):
    frame = pd.DataFrame({"pay": NUMBER_COLUMNS[kind]})
    expected = pd.DataFrame({"pay": GAPPED})
    (_, values), *_ = table_columns(frame)
    np.testing.assert_array_equal(values, GAPPED)
    encoder = TableEncoder().fit(frame, Y)
    np.testing.assert_array_equal(
        encoder.transform(frame), TableEncoder().fit_transform(expected, Y)
    )
    # Fitted on a column of floats, the same.
    np.testing.assert_array_equal(
        TableEncoder().fit(expected, Y).transform(frame), encoder.transform(expected)
    )


def test_integers_truths_and_polars_objects_are_numbers():
    for values in ([1, 2**70, None], [True, False, None], [True, 2, 3.5]):
        (_, read), *_ = table_columns(pd.DataFrame({"a": pd.Series(values, dtype=object)}))
        expected = [np.nan if value is None else float(value) for value in values]
        np.testing.assert_array_equal(read, expected)
        (_, read), *_ = table_columns(pl.DataFrame({"a": pl.Series(values, dtype=pl.Object)}))
        np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(
    "values", [["1", 2], ["a", True], [b"a", 1]], ids=["text and number", "truth", "bytes"]
)
def test_a_column_of_several_kinds_is_categories(values):
    (_, read), *_ = table_columns(pd.DataFrame({"a": pd.Series(values, dtype=object)}))
    assert read.tolist() == values


@pytest.mark.parametrize("table", [FRAME, FRAME.convert_dtypes(), pl.DataFrame(FRAME)])
def test_metrics_read_columns_as_the_encoder_does(table):
    table = table[["owner", "job"]]
    filled = FRAME.assign(owner=[True, *TRUTHS[1:]])[["owner", "job"]]
    with pytest.raises(ValueError, match="missing value in 1 rows"):
        read_representation(table, allow_missing=False)
    expected = np.column_stack(
        [filled.owner.astype(float), JOBS == "clerk", JOBS == "nurse", pd.isna(JOBS)]
    )
    np.testing.assert_array_equal(read_representation(filled).matrix, expected)
    np.testing.assert_array_equal(read_representation(pl.DataFrame(filled)).matrix, expected)
    decimals = objects([Decimal(f"{v:.3f}") for v in NUMBERS]).to_frame()
    np.testing.assert_array_equal(read_representation(decimals).matrix[:, 0], NUMBERS)


def fit(table, **parameters):
    model = MIDebiasedClassifier(max_iter=2, random_state=0, **parameters)
    return model.fit(table, Y, sensitive_features=S)


@pytest.fixture(scope="module")
def fitted():
    with pytest.MonkeyPatch.context(), np.errstate(all="raise"):
        import warnings

        with warnings.catch_warnings(action="ignore"):
            return fit(FRAME)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("form", [lambda rows: rows, lambda rows: rows.tolist()])
def test_an_array_of_objects_is_a_table_of_columns(fitted, form):
    rows = form(FRAME.to_numpy(dtype=object))
    expected = fitted.predict_proba(FRAME)
    np.testing.assert_array_equal(fitted.predict_proba(rows), expected)
    np.testing.assert_array_equal(fit(rows).predict_proba(rows), expected)
    # By positions, sensitive columns among them too.
    model = MIDebiasedClassifier(max_iter=2, sensitive_columns=[2], missing_sensitive="mask")
    assert model.fit(rows, Y).sensitive_values_ == [False, True]


def test_a_row_of_objects_is_predicted_as_the_row_of_the_table(fitted):
    expected = fitted.predict_proba(FRAME)
    for k in range(6):
        row = FRAME.iloc[k].to_frame().T
        np.testing.assert_array_equal(fitted.predict_proba(row)[0], expected[k])


def test_truths_with_a_gap_at_fit_or_later_only():
    whole, gap = FRAME[["owner"]][1:].astype(bool), FRAME[["owner"]]
    for first, later in ((whole, gap), (gap, whole)):
        encoder = TableEncoder().fit(first, Y[-len(first) :])
        encoded = encoder.transform(later)
        assert len(np.unique(encoded, axis=0)) == 2 + (len(later) == N)


def test_a_column_that_fit_saw_empty_may_have_any_values_later():
    for empty in ([None] * N, pd.Series([None] * N, dtype=pd.ArrowDtype(pa.null()))):
        encoder = TableEncoder().fit(FRAME.assign(job=empty), Y)
        for later in (FRAME, FRAME.assign(job=1.0)):
            assert (encoder.transform(later) == encoder.transform(FRAME.assign(job=empty))).all()


def test_categories_that_are_numbers_are_known_in_a_row_of_objects():
    frame = FRAME.assign(job=pd.Categorical(np.arange(N) % 3))
    encoder = TableEncoder().fit(frame, Y)
    row = frame.iloc[5].to_frame().T
    np.testing.assert_array_equal(encoder.transform(row)[0], encoder.transform(frame)[5])


def test_masks_are_missing_values():
    table = np.ma.MaskedArray(np.column_stack([NUMBERS, NUMBERS]), mask=np.isnan([GAPPED] * 2).T)
    plain = np.column_stack([GAPPED, GAPPED])
    np.testing.assert_array_equal(fit(table).predict_proba(table), fit(plain).predict_proba(plain))
    hidden = np.ma.MaskedArray(S, mask=np.arange(N) == 3)
    with pytest.raises(ValueError, match=r"sensitive_features has a missing value .* in 1 rows"):
        MIDebiasedClassifier().fit(plain, Y, sensitive_features=hidden)
    with pytest.raises(ValueError, match="y contains NaN"):
        MIDebiasedClassifier().fit(
            plain, np.ma.MaskedArray(Y, mask=np.arange(N) == 3), sensitive_features=S
        )


def test_tensors_with_gradients_are_arrays():
    plain = np.column_stack([NUMBERS, NUMBERS])
    table = torch.tensor(plain, requires_grad=True)
    np.testing.assert_array_equal(fit(table).predict_proba(table), fit(plain).predict_proba(plain))
    np.testing.assert_array_equal(read_representation(table).matrix, plain)
    model = MIDebiasedClassifier(max_iter=1).fit(
        plain,
        torch.tensor(Y),
        sensitive_features=torch.tensor(NUMBERS, requires_grad=True),
        sample_weight=torch.ones(N, requires_grad=True),
    )
    assert list(model.sensitive_kinds_.values()) == ["continuous"]


@pytest.mark.parametrize(
    "values",
    [
        {"sex": S, "owner": Y},
        {"sex": S.tolist(), "owner": pd.Series(Y)},
        {"sex": pl.Series(S), "owner": torch.tensor(Y)},
        pa.table({"sex": S, "owner": Y}),
    ],
)
def test_sensitive_features_as_a_dict_or_an_arrow_table(values):
    model = MIDebiasedClassifier(max_iter=1).fit(FRAME[["pay"]], Y, sensitive_features=values)
    assert model.sensitive_values_ == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert list(model.sensitive_kinds_) == ["sex", "owner"]


def test_decimals_are_quantities_and_arrow_dictionaries_groups():
    decimals = [Decimal(f"{v:.3f}") for v in NUMBERS]
    model = MIDebiasedClassifier(max_iter=1).fit(FRAME, Y, sensitive_features=decimals)
    assert list(model.sensitive_kinds_.values()) == ["continuous"]
    model = MIDebiasedClassifier(max_iter=1).fit(FRAME, Y, sensitive_features=dictionary(S))
    assert model.sensitive_values_ == ["a", "b"]


MOMENTS = pd.Series(pd.date_range("2023-12-30 18:00", periods=N, freq="6h"))
DATES = {
    "datetime64": MOMENTS,
    "nanoseconds": MOMENTS.astype("datetime64[ns]"),
    "zone": MOMENTS.dt.tz_localize("Asia/Tokyo"),
    "objects": MOMENTS.astype(object),
    "Arrow": MOMENTS.astype("timestamp[us][pyarrow]"),
    "periods": pd.Series(pd.period_range("2023-12-30 18:00", periods=N, freq="6h")),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_are_days_and_parts_of_the_calendar(kind):
    frame = pd.DataFrame({"at": DATES[kind]})
    (_, days), *_ = table_columns(frame)
    assert days[0] == 19721.75
    np.testing.assert_allclose(np.diff(days), 0.25)
    encoder = TableEncoder().fit(frame, Y)
    names = ["at", "at: month", "at: day of month", "at: day of week", "at: hour"]
    assert [column.name for column in encoder.columns_] == names
    ends = [(c.knots.min(), c.knots.max()) for c in encoder.columns_[1:]]
    assert ends == [(1, 12), (1, 31), (0, 6), (0, 18)]
    rows = pd.DataFrame({"at": [None, MOMENTS[3]]}, dtype=object)
    encoded = encoder.transform(rows)
    assert np.allclose(encoded[0], 0)
    np.testing.assert_array_equal(encoded[1], encoder.transform(frame)[3])


def test_a_polars_date_is_a_date_and_a_weekday_can_be_learned():
    days = [dt.date(2024, 1, 1) + dt.timedelta(k) for k in range(N)]
    for frame in (pl.DataFrame({"day": days}), pd.DataFrame({"day": days})):
        weekend = np.array([day.weekday() > 4 for day in days])
        encoder = TableEncoder().fit(frame, weekend)
        assert 4.5 in encoder.columns_[3].knots


def weekends(kind):
    """Dates in an order that tells nothing of the day of the week, and whether each is weekend."""
    days = pd.Series(pd.date_range("2023-12-30", periods=2 * N))
    order = np.random.default_rng(1).permutation(2 * N)
    days = days.iloc[order].reset_index(drop=True)
    return pd.DataFrame({"day": days.astype(kind)}), (days.dt.day_of_week > 4).to_numpy()


@pytest.mark.parametrize("kind", ["datetime64[ns]", object])
def test_trees_learn_a_weekday_of_dates(kind):
    frame, weekend = weekends(kind)
    frame = frame.assign(after=1.0)
    s = np.arange(2 * N) % 2
    model = MIBoostingClassifier(lam=0, max_iter=20, min_samples_leaf=5, random_state=0)
    model.fit(frame[:N], weekend[:N], sensitive_features=s[:N])
    assert (model.predict(frame[N:]) == weekend[N:]).all()
    parts = ["day: month", "day: day of month", "day: day of week", "day: hour"]
    assert model.columns_["names"] == ["day", "after", *parts]
    with pytest.raises(ValueError, match="'day' of X was a date at fit and is numeric now"):
        model.predict(pd.DataFrame({"day": [1.5], "after": [1.0]}))
    missing = pd.DataFrame({"day": [None, None], "after": 1.0}, dtype=object)
    assert len(set(model.predict_proba(missing)[:, 1])) == 1


def test_trees_saved_before_they_read_the_calendar_read_dates_as_days():
    frame, weekend = weekends("datetime64[ns]")
    days = pd.DataFrame({"day": (frame["day"] - pd.Timestamp(0)).dt.days})
    model = MIBoostingClassifier(lam=0, max_iter=5, random_state=0)
    model.fit(days, weekend, sensitive_features=np.arange(2 * N) % 2)
    del model.columns_["dates"]
    np.testing.assert_array_equal(model.transform(frame), model.transform(days))


def test_trees_name_all_columns_of_another_kind():
    frame = FRAME.assign(at=MOMENTS)
    model = MIBoostingClassifier(lam=0, max_iter=2, random_state=0)
    model.fit(frame, Y, sensitive_features=S)
    later = frame.assign(pay=objects([*GAPPED[:-1], "N/A"]), at=1.0)
    with pytest.raises(ValueError, match=r"2 columns: 'pay' of X was .*; 'at' of X was a date"):
        model.predict(later)


def test_durations_and_times_of_day_are_days():
    frame = pd.DataFrame({"d": pd.to_timedelta(["36h", None]), "t": [dt.time(18), None]})
    for table in (frame, pl.DataFrame({"d": [dt.timedelta(1.5), None], "t": [dt.time(18), None]})):
        columns = dict(table_columns(table))
        np.testing.assert_array_equal(columns["d"], [1.5, np.nan])
        np.testing.assert_array_equal(columns["t"], [0.75, np.nan])


@pytest.mark.parametrize("later", [1.5, "2024-01-01"])
def test_a_date_at_fit_is_a_date_later(later):
    encoder = TableEncoder().fit(pd.DataFrame({"at": MOMENTS}), Y)
    with pytest.raises(ValueError, match=r"'at' of X was a date at fit and is .* now"):
        encoder.transform(pd.DataFrame({"at": [later]}))
    encoder = TableEncoder().fit(pd.DataFrame({"at": NUMBERS}), Y)
    with pytest.raises(ValueError, match="'at' of X was numeric at fit and is a date now"):
        encoder.transform(pd.DataFrame({"at": MOMENTS}))


def test_of_many_categories_the_rarest_share_one_column():
    names = [f"n{k}" for k in range(300)] * 2 + ["often"] * 200
    frame = pd.DataFrame({"name": names})
    encoder = TableEncoder().fit(frame, np.arange(800) % 2)
    encoded = encoder.transform(frame)
    assert encoded.shape == (800, 100)
    assert len(np.unique(encoded, axis=0)) == 100
    # What fit never saw is as what it saw too rarely.
    unseen = encoder.transform(pd.DataFrame({"name": ["n299x", None]}))
    assert (unseen[0] == encoded[299]).all()
    assert (unseen[1] != encoded[299]).any()
    assert (
        TableEncoder(max_categories=500).fit_transform(frame, np.arange(800) % 2).shape[1] == 301
    )
