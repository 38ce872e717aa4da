from __future__ import annotations

import itertools
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import binom

from fairmi.__main__ import main
from fairmi.audit import FairnessMonitor
from fairmi.audit.periods import LOG_SERIES, MAX_PERIODS
from fairmi.audit.sequences import (
    difference_limits,
    is_above,
    log_difference_evidence,
    log_evidence,
    rate_limits,
)
from fairmi.exceptions import SensitiveFeaturesError


def batch(rng, rates, n=200, share=0.5):
    """Groups a and b, and predictions at the rates of each."""
    group = np.where(rng.random(n) < share, "a", "b")
    return (rng.random(n) < np.where(group == "a", *rates)).astype(int), group


def filled(monitor, batches, **options):
    for time, (predicted, group) in enumerate(batches):
        monitor.update(predicted, group, time=time, **options)
    return monitor


@pytest.mark.parametrize("above", [True, False])
def test_bets_are_a_fair_game(above):
    """What they win is 1 on average, at any number of rows and rate: exactly, by summation."""
    for n, p in itertools.product((1, 7, 40), (0.05, 0.5, 0.9)):
        k = np.arange(n + 1)
        won = np.exp(log_evidence(k, np.full(n + 1, n), np.full(n + 1, p), above=above))
        assert binom.pmf(k, n, p) @ won == pytest.approx(1, abs=1e-9)


def test_bets_win_no_more_where_the_rate_drifts():
    """Over all outcomes of eight rows whose rates differ, on their mean."""
    rates = np.array([0.1, 0.9, 0.2, 0.2, 0.7, 0.5, 0.05, 0.6])
    rows = np.array(list(itertools.product((0, 1), repeat=8)))
    chance = np.where(rows == 1, rates, 1 - rates).prod(axis=1)
    for above in (True, False):
        log_won = log_evidence(rows.sum(axis=1), 8, np.full(len(rows), rates.mean()), above=above)
        assert 0.5 < chance @ np.exp(log_won) <= 1


def test_evidence_is_the_least_over_all_pairs_of_rates():
    rng = np.random.default_rng(0)
    for _ in range(10):
        n, m = rng.integers(1, 400, 2)
        first, second = (rng.integers(n + 1), n), (rng.integers(m + 1), m)
        difference = rng.uniform(-0.9, 0.9)
        p, q = np.meshgrid(*[np.linspace(0, 1, 201)] * 2)
        low_enough = p - q <= difference
        slow = log_evidence(*first, p, above=True) + log_evidence(*second, q, above=False)
        found = log_difference_evidence(first, second, difference)
        assert found <= slow[low_enough].min() + 1e-9
        q = np.linspace(max(0, -difference), min(1, 1 - difference), 10_001)
        p = log_evidence(*first, q + difference, above=True)
        assert found == pytest.approx((p + log_evidence(*second, q, above=False)).min(), abs=0.01)
        for wanted in (found - 0.01, found + 0.01):
            s, n_ = (np.array([x]) for x in first)
            t, m_ = (np.array([x]) for x in second)
            observed = first[0] / n - second[0] / m > difference
            above = is_above((s, n_), (t, m_), difference, np.array([wanted]))[0]
            assert above == (observed and found >= wanted)


def test_intervals_are_as_wide_as_they_should_be():
    """3.5 standard errors for a rate, 4.05 for a difference, from 1,000 to 10 million rows."""
    n = 10 ** np.arange(3, 8)
    low, high = rate_limits(3 * n // 10, n, 0.05)
    assert np.all(np.abs((high - low) / 2 / np.sqrt(0.21 / n) - 3.55) < 0.1)
    low, high = difference_limits((3 * n // 10, n), (n // 5, n), 0.05)
    assert np.all(np.abs((high - low) / 2 / np.sqrt(0.37 / n) - 4.1) < 0.15)
    assert rate_limits(np.array([0]), np.array([0]), 0.05) == (0, 1)


def test_false_alarms_over_many_looks_are_rare():
    """At a difference that is the tolerance to the digit, error 0.1; in 1 run one was seen."""
    rng = np.random.default_rng(0)
    runs, looks = 400, 300
    n = 20 * np.arange(1, looks + 1)
    s, t = (rng.binomial(20, p, (runs, looks)).cumsum(axis=1) for p in (0.5, 0.4))
    rung = is_above((s, n), (t, n), 0.1, np.array(-np.log(0.1))).any(axis=1)
    assert rung.sum() <= 0.1 * runs
    naive = (s - t) / n - 0.1 > 1.28 * np.sqrt((0.25 + 0.24) / n)
    assert naive.any(axis=1).mean() > 0.5


def test_all_that_shares_the_error_has_no_more_than_all_of_it():
    k = np.arange(2, 1_000_000)
    tail = 1 / np.log(1_000_000)  # the integral of 1 / (k log(k)^2) from there on
    assert pytest.approx((1 / (k * np.log(k) ** 2)).sum() + tail, abs=1e-4) == LOG_SERIES
    monitor = FairnessMonitor(tolerance={"selection_rate": 0.1, "accuracy": 0.1}, confidence=0.9)
    for day in range(50):  # a group more every ten days, after the first two
        group = pd.DataFrame({"sex": ["f", "m"], "age": ["a", "bcdef"[day // 10]]})
        monitor.update([1, 0], group, [1, 1])
    errors = [np.triu(error, 1).sum() for _, _, error in monitor._watched()]
    assert len(errors) == 4
    assert 0.08 < sum(errors) <= 0.1
    assert 0.6 < monitor._periods.start_weights().sum() <= 1


def test_a_model_that_turns_unfair_late_is_seen_by_its_latest_rows():
    rng = np.random.default_rng(0)
    days = [batch(rng, (0.5, 0.5 if day < 40 else 0.25), n=400) for day in range(46)]
    monitor = filled(FairnessMonitor(tolerance={"selection_rate": 0.1}), days)
    (alarm,) = monitor.alarms
    assert (alarm.above, alarm.below, alarm.measure) == ("a", "b", "selection_rate")
    assert 40 < alarm.since == monitor.since < 46
    assert 35 < alarm.rows_from <= 41
    assert monitor.differences()["value"].item() < 0.1
    drift = monitor.drift().query("measure == 'selection_rate'").set_index("group")
    assert drift.loc["b", "time"] == 40
    assert drift["changed"].to_dict() == {"a": False, "b": True}
    said, group = (np.concatenate(of) for of in zip(*days, strict=True))
    of_b, is_late = group == "b", np.arange(len(said)) >= 40 * 400
    parts = [said[group == "a"], said[of_b], said[of_b & is_late], said[of_b & ~is_late]]
    (*pair, after, before) = [(np.array([of.sum()]), np.array([len(of)])) for of in parts]
    ends = np.ravel(difference_limits(*pair, 0.05 * 0.9 / 2))
    np.testing.assert_allclose(monitor.differences()[["low", "high"]].iloc[0], ends)
    error = 0.05 / 2 * 0.9 / 2 * 0.5 / (LOG_SERIES * 42 * np.log(42) ** 2)
    ends = np.ravel(difference_limits(after, before, 2 * error))
    np.testing.assert_allclose(drift.loc["b", ["low", "high"]].astype(float), ends)


def test_a_population_that_drifts_is_told_apart_from_the_model():
    rng = np.random.default_rng(1)
    days = [batch(rng, (0.5, 0.45), share=0.7 if day < 10 else 0.3) for day in range(20)]
    monitor = filled(FairnessMonitor(), days)
    changed = monitor.drift().query("changed")
    assert set(changed["measure"]) == {"share_of_rows"}
    assert set(changed["time"]) == {10}
    assert not monitor.alarm


def test_labels_that_come_late_count_as_if_they_had_come_at_once():
    rng = np.random.default_rng(2)
    days = [(*batch(rng, (0.6, 0.4)), rng.integers(2, size=200)) for _ in range(3)]
    at_once, late = FairnessMonitor(), FairnessMonitor()
    for day, (predicted, group, true) in enumerate(days):
        at_once.update(predicted, group, true, time=day)
        some = np.where(np.arange(200) < 50, true, np.nan)
        late.update(predicted, group, some, time=day)
    predicted, group, true = days[2]
    late.add_labels(true[50:], predicted[50:], group[50:], time=2)
    for predicted, group, true in days[:2]:  # the earliest wait first
        assert late.state != at_once.state
        late.add_labels(true[50:], predicted[50:], group[50:])
    assert late.state == at_once.state
    one = FairnessMonitor().update([1, 1], ["a", "b"])
    before = one.state
    for labels, said in (([1, 1, 1], "were counted without a label"), ([1, 1, None], "missing")):
        with pytest.raises(ValueError, match=said):
            one.add_labels(labels, [1, 1, 1], ["a", "b", "b"])
    assert one.state == before


def test_servers_merge_exactly_and_periods_stand_in_order(tmp_path):
    rng = np.random.default_rng(3)
    days = [batch(rng, (0.6, 0.3)) for _ in range(12)]
    whole = filled(FairnessMonitor(), days)
    one, other = FairnessMonitor(), FairnessMonitor()
    for day, (predicted, group) in enumerate(days):
        one.update(predicted[:80], group[:80], time=day)
        other.update(predicted[80:], pd.Series(group[80:], name="sensitive_0"), time=day)
    other.save(tmp_path / "state.json")
    merged = one.merge(FairnessMonitor.load(tmp_path / "state.json"))
    pd.testing.assert_frame_equal(merged.rates(), whole.rates())
    pd.testing.assert_frame_equal(
        merged.differences().drop(columns="alarm"), whole.differences().drop(columns="alarm")
    )
    assert merged.state["periods"] == whole.state["periods"]
    assert merged.alarm
    backwards = FairnessMonitor()
    for day, (predicted, group) in reversed(list(enumerate(days))):
        backwards.update(predicted, group, time=day)
    periods = [{**p, "number": 12 - k} for k, p in enumerate(whole.state["periods"])]
    assert backwards.state["periods"] == periods
    with pytest.raises(ValueError, match="differ in tolerance"):
        merged.merge(FairnessMonitor(tolerance=0.2))


def test_old_periods_become_longer_and_no_row_is_lost():
    monitor = FairnessMonitor()
    for day in range(3 * MAX_PERIODS):
        monitor.update([1, 0, 0], ["a", "b", "c" if day > 100 else "b"])
    assert len(monitor.state["periods"]) <= MAX_PERIODS
    assert monitor.rates().query("measure == 'accuracy'")["rows"].sum() == 9 * MAX_PERIODS
    widths = [p["last"] - p["time"] for p in monitor.state["periods"]]
    assert widths[0] > widths[-1] == 0
    assert monitor.rates().query("group == 'c'")["rows"].iloc[0] == 3 * MAX_PERIODS - 101
    assert monitor.state["n_first"] == {"sensitive_0": 2}
    merged, own = FairnessMonitor().merge(monitor).state, monitor.state
    assert merged["n_first"] == own["n_first"]
    for theirs, ours in zip(merged["periods"], own["periods"], strict=True):
        assert {**theirs, "number": 0} == {**ours, "number": 0}


def test_forms_of_a_batch_give_the_same_counts():
    rng = np.random.default_rng(4)
    predicted, group = batch(rng, (0.6, 0.4))
    true = rng.integers(2, size=200)
    expected = FairnessMonitor().update(predicted, group, true, time="2026-01-01").state
    forms = [
        (predicted.astype(bool), pd.Series(group, name="sensitive_0"), true.astype(float)),
        (pl.Series(predicted), pl.Series("sensitive_0", group), list(true)),
        (predicted, pl.DataFrame({"sensitive_0": group}), pd.array(true, dtype="Int64")),
    ]
    for predicted_, group_, true_ in forms:
        monitor = FairnessMonitor().update(predicted_, group_, true_, time=date(2026, 1, 1))
        assert monitor.state == expected
    of_numpy = FairnessMonitor(pos_label=np.int64(1))
    assert of_numpy.update(predicted, group, true, time="2026-01-01").state == expected
    text = FairnessMonitor(pos_label="yes")
    text.update(np.where(predicted, "yes", "no"), group, time=date(2026, 1, 1))
    assert text.rates()["value"][0] == FairnessMonitor.from_state(expected).rates()["value"][0]
    assert FairnessMonitor().update([], []).state == FairnessMonitor().state
    both = FairnessMonitor(intersections=True)
    both.update([1, 0, 1], pd.DataFrame({"sex": ["f", "m", "f"], "old": [1.0, 1.0, 0.0]}))
    assert both.state["groups"] == {
        "sex": ["f", "m"],
        "old": ["0", "1"],
        "sex & old": ["f & 0", "f & 1", "m & 1"],
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([0.2, 0.7, 0.1], list("aab")), "y_pred holds 0.2, 0.7, 0.1.*not scores"),
        ((["no", "yes", "no"], list("aab")), "name the class whose rate matters"),
        (([2, 0, 2], list("aab")), "pos_label=1"),
        (([1, 0], list("aab")), "y_pred has the shape"),
        (([1, 0, None], list("aab")), "y_pred has missing values"),
        (([1, 0, 1], ["a", None, "b"]), "has a missing value"),
        (([1, 0, 1], pd.Series(list("aab"), name="sex")), "earlier updates had"),
        (([1, 0, 1], list("aab"), None, float("nan")), "time=nan is no date"),
        (([1, 0, 1], list("aab"), None, 3), "can't be compared with the time"),
        (([1, 0, 1], list("aab"), None), "time is None, but earlier updates had one"),
        (([1] * 60, np.arange(60)), "62 groups, more than 50"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_counted(arguments, text):
    monitor = FairnessMonitor().update([1, 0], ["a", "b"], time="2026-01-01")
    before = monitor.state
    with pytest.raises((ValueError, SensitiveFeaturesError), match=text):
        monitor.update(*arguments)
    assert monitor.state == before


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: FairnessMonitor(tolerance={"parity": 0.1}), "tolerance names 'parity'"),
        (lambda: FairnessMonitor(tolerance=1.0), "tolerance=1.0 is not from 0"),
        (lambda: FairnessMonitor(tolerance={}), "watches nothing"),
        (lambda: FairnessMonitor(confidence=95), "confidence=95 is not between"),
        (lambda: FairnessMonitor(pos_label=None), "pos_label=None can't be kept"),
        (lambda: FairnessMonitor.from_state({}), "its format is None"),
        (lambda: FairnessMonitor.from_state([]), "its format is None"),
        (lambda: FairnessMonitor.from_state({"format": 1}), "damaged: 'tolerance'"),
        (
            lambda: FairnessMonitor.from_state(
                FairnessMonitor(tolerance=np.float32(0.1)).state | {"groups": None}
            ),
            "damaged: 'NoneType'",
        ),
        (lambda: FairnessMonitor.load(__file__), "is not JSON"),
    ],
)
def test_parameters_and_states_are_checked(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()


def test_plot_shows_the_difference_over_time_and_the_alarm():
    pytest.importorskip("matplotlib").use("Agg")
    rng = np.random.default_rng(5)
    monitor = filled(FairnessMonitor(), [batch(rng, (0.6, 0.2)) for _ in range(6)])
    ax = monitor.plot()
    line = ax.get_lines()[0].get_ydata()
    assert line[-1] == pytest.approx(monitor.differences().query("value > 0")["value"].max())
    assert f"alarm, {monitor.since}" in [text.get_text() for text in ax.get_legend().texts]
    ax.figure.clear()
    with pytest.raises(ValueError, match="'accuracy' of attribute='sensitive_0' can't be drawn"):
        monitor.plot("accuracy")
    with pytest.raises(ValueError, match="fewer than two groups have rows"):
        monitor.plot("true_positive_rate")


def monitored(folder, name, *options):
    """Run the command on a file of the folder, with its state there."""
    files = ["--data", str(folder / name), "--state", str(folder / "state.json")]
    return main(["monitor", *files, "--sensitive", "sex", "--target", "y", *options])


def test_command_counts_each_file_once_and_exits_with_1_on_alarm(tmp_path, capsys):
    rng = np.random.default_rng(6)
    for name, rates in {"one.csv": (0.5, 0.5), "two.csv": (1.0, 0.0)}.items():
        predicted, sex = batch(rng, rates)
        true = np.where(np.arange(200) < 100, predicted, np.nan)
        frame = pd.DataFrame({"y_pred": predicted, "sex": sex, "y": true})
        frame.to_csv(tmp_path / name, index=False)
    assert monitored(tmp_path, "one.csv", "--time", "2026-01-01") == 0
    assert "50% with a label" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        monitored(tmp_path, "two.csv", "--time", "2026-01-02")
    assert stop.value.code == 1
    assert "ALARM sex, selection_rate: a above b since 2026-01-02" in capsys.readouterr().out
    late = pd.read_csv(tmp_path / "one.csv").iloc[100:].assign(y=1)
    late.to_csv(tmp_path / "late.csv", index=False)
    with pytest.raises(SystemExit) as stop:
        monitored(tmp_path, "late.csv", "--labels-only", "--time", "2026-01-01")
    assert stop.value.code == 1
    assert "75% with a label" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["one.csv"], "was counted in"),
        (["two.csv", "--tolerance", "0.3"], "was begun with tolerance="),
        (["two.csv", "--confidence", "0.9"], "was begun with confidence=0.95, not 0.9"),
        (["two.csv", "--intersections"], "was begun with intersections=False"),
        (["two.csv", "--positive", "0"], "was begun with pos_label=1, not 0"),
        (["two.csv", "--positive", "yes"], "--positive yes: the data has ['1', '0']"),
        (["two.csv", "--target", "z"], "has no column 'z'"),
        (["two.csv", "--time", "yesterday"], "'yesterday' is no ISO text of a month"),
        (["two.csv", "--state", "two.csv"], "two.csv is not JSON"),
        (["two.csv", "--state", "list.json"], "list.json is no state of a monitor"),
    ],
)
def test_command_says_what_is_wrong_and_counts_nothing(
    options, said, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    for name in ("one.csv", "two.csv"):
        table = {"y_pred": [1, 0], "sex": ["a", "b"], "y": 1, "file": name}
        pd.DataFrame(table).to_csv(name, index=False)
    assert monitored(tmp_path, "one.csv", "--positive", "1") == 0
    before = (tmp_path / "state.json").read_text()
    with pytest.raises(SystemExit) as stop:
        monitored(tmp_path, *options)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert (tmp_path / "state.json").read_text() == before
