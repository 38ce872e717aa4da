from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, ks_2samp

from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics import _limits, certify, leakage_report, mutual_information_score
from fairmi.metrics._limits import (
    DifferenceLimit,
    _half_window,
    _min_in_b,
    _min_in_b_or_below,
    compare_groups,
    largest_limit,
)
from fairmi.metrics._representation import read_representation

samples = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=6, max_size=40
).filter(lambda rows: len({group for _, group in rows}) > 1)


def mcdiarmid(distance, n_a, n_b, error):
    return distance + np.sqrt((1 / n_a + 1 / n_b) * np.log(1 / error) / 2)


def all_counts(limit):
    """Ranks of every pair of counts, and a function for their probabilities."""
    a, b = np.arange(limit.n_a + 1)[:, None], np.arange(limit.n_b + 1)

    def mass(p, q):
        return binom.pmf(a, limit.n_a, p) * binom.pmf(b, limit.n_b, q)

    return limit.rank(a / limit.n_a, b / limit.n_b), mass


def drawn(rng, p, q, n_a, n_b):
    Z = np.concatenate([rng.choice(len(p), n_a, p=p), rng.choice(len(q), n_b, p=q)])
    return Z, np.repeat(["a", "b"], [n_a, n_b])


@pytest.mark.parametrize(
    ("p", "q", "rank", "n_a", "n_b"),
    [
        (0.7, 0.3, 0.25, 5, 9),
        (0.5, 0.45, 0.2, 30, 20),
        (1.0, 0.2, 0.5, 8, 8),
        (0.5, 0.4, 0.1, 90, 60),
        (0.02, 0.01, 0.05, 90, 60),
    ],
)
def test_probability_is_that_of_all_pairs_of_counts(p, q, rank, n_a, n_b):
    limit = DifferenceLimit(n_a, n_b, 0.05)
    found = limit._probability(np.array([p]), np.array([q]), limit._min_in_b(rank))
    ranks, mass = all_counts(limit)
    assert found == pytest.approx(mass(p, q)[ranks <= rank + 1e-9].sum(), abs=1e-6)


@pytest.mark.parametrize(("rank", "n_a", "n_b"), [(0.3, 20, 35), (0.2, 50, 12), (0.6, 30, 30)])
def test_limit_is_the_least_that_no_parameter_contradicts(rank, n_a, n_b):
    limit = DifferenceLimit(n_a, n_b, 0.05)
    bound = limit.upper(rank)
    ranks, mass = all_counts(limit)

    def worst(t):
        return max(mass(p, p - t)[ranks <= rank + 1e-9].sum() for p in np.linspace(t, 1, 201))

    assert worst(bound) <= 0.05  # measured 0.046
    assert worst(bound - 0.02) > 0.05  # measured 0.064 to 0.069
    # Just below the exact limit some p has it, though none of those that are looked at first.
    least, p = limit._min_in_b(rank), np.linspace(0, 1, 1_001)
    for t in np.linspace(bound - 0.02, bound, 50):
        if (limit._probability(p[p >= t], p[p >= t] - t, least) > 0.05).any():
            assert limit._possible(t, least)


@pytest.mark.slow
@pytest.mark.parametrize(("n_a", "n_b", "error"), [(12, 17, 0.05), (30, 8, 0.05), (15, 15, 0.2)])
def test_limit_holds_exactly_whatever_the_parameters(n_a, n_b, error):
    """The chance of a miss, summed over all samples."""
    limit = DifferenceLimit(n_a, n_b, error)
    ranks, mass = all_counts(limit)
    seen = np.unique(ranks.round(12))
    bounds = np.array([limit.upper(rank) for rank in seen])
    assert (np.diff(bounds) > -0.02).all()  # up to the rounding
    for p, t in product(np.linspace(0, 1, 41), np.linspace(0.01, 0.99, 25)):
        if p >= t:
            missed = bounds[np.searchsorted(seen, ranks.round(12))] < t
            assert mass(p, p - t)[missed].sum() <= error + 1e-9


def test_groups_swap():
    """(p, q) -> (1 - q, 1 - p) makes the one group the other."""
    one, other = DifferenceLimit(30, 80, 0.05), DifferenceLimit(80, 30, 0.05)
    assert one.upper(0.2) == pytest.approx(other.upper(0.2), abs=0.004)  # the rounding
    assert one.rank(0.3, 0.2) == pytest.approx(other.rank(0.8, 0.7))


@pytest.mark.parametrize(
    ("top", "bottom", "n", "least", "most"),
    [(0.03, 0.02, 500, 0.026, 0.0295), (0.5, 0.49, 500, 0.06, 0.065), (0, 0, 100, 0.029, 0.036)],
)
def test_rare_predictions_get_narrow_limits(top, bottom, n, least, most):
    """At rates of 3 and 2 % of 500: Wald's limit is 0.026, that of the worst rates 0.063."""
    predictions = np.concatenate([np.arange(n) < round(r * n) for r in (top, bottom)])
    assert least < certify(predictions, np.repeat([0, 1], n)).bound < most


@pytest.mark.parametrize("thresholds", [False, True])
def test_best_set_is_that_of_all_sets(thresholds):
    rng = np.random.default_rng(2)
    for n_a, n_b in [(50, 70), (9, 40), (70, 50), (12, 12)] * 5:
        a, b = rng.multinomial(n_a, [0.4, 0.3, 0.2, 0.1, 0]), rng.multinomial(n_b, [0.2] * 5)
        codes = np.concatenate([np.repeat(np.arange(5), counts) for counts in (a, b)])
        groups = np.repeat([0, 1], [n_a, n_b])
        [pair] = compare_groups(codes, groups, 2, stratum=0, thresholds=thresholds, error=0.05)
        sets = [np.array(chosen, bool) for chosen in product([0, 1], repeat=5)]
        if thresholds:
            sets = [chosen for chosen in sets if np.count_nonzero(np.diff(chosen)) < 2]
        shares = np.array([(a[s].sum() / n_a, b[s].sum() / n_b) for s in sets])
        assert pair.distance == pytest.approx((shares[:, 0] - shares[:, 1]).max())
        best = DifferenceLimit(n_a, n_b, 0.05).rank(*shares.T).max()
        assert pair.rank == pytest.approx(best)


def test_parts_of_values_never_need_more_rows():
    rng = np.random.default_rng(14)
    a, b = rng.integers(1, 9, size=40), rng.integers(0, 9, size=40)
    exact, below = (least(a, b, b.sum()) for least in (_min_in_b, _min_in_b_or_below))
    assert (below <= exact).all()
    assert np.abs(exact - below).mean() < 1


def test_quick_ways_of_counting_give_what_slow_ones_do():
    rng = np.random.default_rng(3)
    Z = np.column_stack([rng.integers(-3, 3, size=300) / 7, rng.choice([0.0, -0.0, 1e300], 300)])
    keys = Z.view(np.dtype((np.void, 16))).ravel()
    expected = np.unique(keys, return_inverse=True)[1].reshape(-1)
    np.testing.assert_array_equal(read_representation(Z).codes, expected)
    limit = DifferenceLimit(700, 1_300, 0.05)
    least = limit._min_in_b(0.07)
    ranks, _ = all_counts(limit)
    np.testing.assert_array_equal(least, (ranks > 0.07 + 1e-12).sum(axis=1))
    for n_a in (63, 64, 65, 127):
        few = DifferenceLimit(n_a, 90, 0.05)
        ranks, _ = all_counts(few)
        np.testing.assert_array_equal(few._min_in_b(0.1), (ranks > 0.1 + 1e-12).sum(axis=1))


def test_probabilities_in_parts_are_those_at_once(monkeypatch):
    limit, p = DifferenceLimit(40, 60, 0.05), np.random.default_rng(17).random(50)
    least = limit._min_in_b(0.2)
    at_once = limit._probability(p, p[::-1], least)
    monkeypatch.setattr(_limits, "ENTRIES", 7 * 100)
    np.testing.assert_allclose(limit._probability(p, p[::-1], least), at_once, atol=1e-6)


@pytest.mark.parametrize("n", [200, 1_000, 20_000])
@pytest.mark.parametrize("spare", [5e-7, 1e-3])
def test_a_window_leaves_out_what_is_spare_and_is_not_much_wider(n, spare):
    for p in (0.001, 0.01, 0.3, 0.5, 0.99):
        below, above = n * p - binom.ppf(spare / 2, n, p), binom.isf(spare / 2, n, p) - n * p
        needed = max(below, above)
        assert needed <= _half_window(n, np.array([p, p / 2**20]), spare) <= needed + 17


@pytest.mark.parametrize(("n_a", "n_b", "error"), [(20, 30, 0.05), (10, 400, 0.0003)])
def test_ranks_and_what_they_rule_out_are_from_wilsons_interval(n_a, n_b, error):
    """As scipy has it."""

    def interval(count, n):
        ci = binomtest(count, n).proportion_ci(1 - 2 * error, method="wilson")
        return np.array([ci.low, ci.high])

    def margin(count, n):
        return interval(count, n)[1] - count / n

    limit, share = DifferenceLimit(n_a, n_b, error), np.arange(11) / 10
    for a, b in product(range(11), repeat=2):
        apart = np.hypot(margin(a * n_a // 10, n_a), margin((10 - b) * n_b // 10, n_b))
        expected = share[a] - share[b] + apart
        assert limit.rank(share[a], share[b]) == pytest.approx(expected)
    deviations = binom.std(n_a, 0.5) / n_a, binom.std(n_b, 0.5) / n_b
    assert limit._step == pytest.approx(0.02 * limit.z * np.hypot(*deviations))
    unsure = DifferenceLimit(n_a, n_b, 0.6)
    assert unsure._step == pytest.approx(0.02 * 0.5 * np.hypot(*deviations))
    codes = np.concatenate([np.arange(n_a) % 2, np.arange(n_b) % 5 % 2])
    groups = np.repeat([0, 1], [n_a, n_b])
    [pair] = compare_groups(codes, groups, 2, stratum=None, thresholds=False, error=error)
    most = [
        interval(0, n).mean() + np.ptp(interval(n // 2, n)) / 2 for n in (n_a, n_b)
    ]  # the middle of the interval is farthest from a share of 0, and it is widest at a half
    assert pair.rank_at_most == pytest.approx(pair.distance + np.hypot(*most))
    exceeded = np.sqrt((1 / n_a + 1 / n_b) * np.log(1 / error) / 2)
    for x in (0.1, 0.3, 0.7):
        a, b = margin(round(x * n_a), n_a), margin(round(x * n_b), n_b)
        line = np.linspace(0, 1, 100_001)
        nearest = np.hypot(line * a, (1 - line) * b).min()
        assert pair.cannot_exceed(exceeded + x, x + nearest - 1e-5)
        assert not pair.cannot_exceed(exceeded + x, x + nearest + 1e-5)
    assert not pair.cannot_exceed(exceeded, -1.0)


def test_the_largest_limit_is_that_of_all_pairs_and_few_are_worked_out(monkeypatch):
    rng = np.random.default_rng(18)
    upper, asked = DifferenceLimit.upper, []

    def counted(limit, rank):
        asked.append(rank)
        return upper(limit, rank)

    monkeypatch.setattr(DifferenceLimit, "upper", counted)
    # The widest by its distance isn't the one by its rank; and that isn't the one by its limit.
    cases = [
        [((400, 8), (400, 40)), ((400, 200), (400, 228))],
        [((200, 9), (50, 4)), ((200, 189), (20, 20))],
    ]
    for case in cases:
        pairs = []
        for stratum, rows in enumerate(case):
            codes = np.concatenate([np.arange(n) < ones for n, ones in rows]).astype(int)
            group = np.repeat([0, 1], [n for n, _ in rows])
            alone = {"stratum": stratum, "thresholds": False, "error": 0.05}
            pairs.extend(compare_groups(codes, group, 2, **alone))
        each = [upper(pair.limit, pair.rank) for pair in pairs]
        assert largest_limit(pairs) == (each[1], pairs[1])
        assert each[1] > each[0]
    for rates in ([0.3, 0.35, 0.4, 0.45, 0.5], [0.5] * 5, [0.1, 0.5, 0.5, 0.5, 0.52]):
        sizes = rng.integers(40, 300, size=5)
        group = np.repeat(np.arange(5), sizes)
        codes = (rng.random(sizes.sum()) < np.repeat(rates, sizes)).astype(int)
        pairs = list(compare_groups(codes, group, 5, stratum=0, thresholds=False, error=0.05))
        asked.clear()
        largest, widest = largest_limit(pairs)
        assert len(asked) <= 2, rates
        each = [upper(pair.limit, pair.rank) for pair in pairs]
        assert largest == pytest.approx(max(each), abs=widest.limit._step)
        assert largest == upper(widest.limit, widest.rank)


@pytest.mark.slow_cases("5421-10860-0.05", "5421-10860-0.2")
@pytest.mark.parametrize("error", [0.2, 0.05, 0.001])
@pytest.mark.parametrize(("n_a", "n_b"), [(100, 100), (200, 900), (5_421, 10_860)])
def test_bound_is_below_mcdiarmid(n_a, n_b, error):
    limit = DifferenceLimit(n_a, n_b, error)
    rank = float(limit.rank(np.array(0.515), np.array(0.485)))
    assert 0.03 < limit.upper(rank) < mcdiarmid(0.03, n_a, n_b, error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([0.5, 0.5], [0.5, 0.5]),
        ([0.9, 0.1], [0.7, 0.3]),
        ([0.02, 0.98], [0.06, 0.94]),
        ([0.3, 0.3, 0.2, 0.1, 0.1], [0.1, 0.2, 0.2, 0.25, 0.25]),
    ],
)
def test_bound_holds_in_the_stated_share_of_samples(monkeypatch, p, q):
    """95 % and more; of 300 draws fewer than 277 would be a matter of one in 40."""
    monkeypatch.setattr(DifferenceLimit, "upper", cache(DifferenceLimit.upper))
    rng = np.random.default_rng(0)
    truth = np.abs(np.subtract(p, q)).sum() / 2
    held = [certify(*drawn(rng, p, q, 40, 60)).bound >= truth for _ in range(300)]
    assert np.sum(held) >= 277


def test_pairs_of_groups_cost_no_confidence():
    """The widest pair is fixed: it is bounded as if it were alone, at the full error."""
    rng = np.random.default_rng(3)
    group = np.repeat(["a", "b", "c"], 400)
    Z = rng.random(1_200) < np.repeat([0.5, 0.52, 0.8], 400)
    found = certify(Z, group)
    two = group != "b"
    assert found.pair == ("a", "c")
    assert found.bound == certify(Z[two], group[two]).bound
    assert (found.labels, found.group_sizes) == (("a", "b", "c"), (400, 400, 400))
    assert (found.n_values, found.given, found.n_candidates) == (2, None, 1)


def test_equalized_odds_is_the_largest_over_y():
    rng = np.random.default_rng(4)
    y, group = rng.integers(2, size=(2, 2_000))
    Z = (rng.random(2_000) < 0.3 + 0.4 * y + 0.2 * y * group).astype(int)
    found = certify(Z, group, y=y, constraint="equalized_odds")
    alone = [certify(Z[y == v], group[y == v]) for v in (0, 1)]
    assert found.bound == max(part.bound for part in alone) == alone[1].bound
    assert (found.given, found.distance) == (1, alone[1].distance)
    assert "among rows of the same y" in str(found)
    assert "at y = 1" in str(found)


def test_thresholds_are_certified_for_continuous_scores():
    rng = np.random.default_rng(6)
    group = rng.integers(2, size=4_000)
    score = rng.normal(0.1 * group)
    found = certify(score, group, against="thresholds")
    assert found.distance == pytest.approx(
        ks_2samp(score[group == 0], score[group == 1]).statistic
    )
    dkw = sum(np.sqrt(np.log(4 / 0.05) / 2 / n) for n in np.bincount(group))
    assert found.distance < found.bound < found.distance + 0.7 * dkw  # measured 0.054, 0.078, 0.1
    assert not certify(score, group).informative
    assert "no threshold on this Z" in str(found)
    assert certify(np.exp(score), group, against="thresholds").bound == found.bound
    assert certify(-score, group, against="thresholds").bound == pytest.approx(found.bound)


def test_a_threshold_is_of_any_column():
    rng = np.random.default_rng(8)
    group = rng.integers(2, size=1_000)
    scores = np.column_stack([rng.normal(size=1_000), rng.normal(group)])
    alone = certify(scores[:, 1], group, against="thresholds")
    found = certify(scores, group, against="thresholds")
    assert (found.bound, found.distance) == (alone.bound, alone.distance)


def test_candidates_share_the_error_and_a_sentence_states_confidence_and_rows():
    rng = np.random.default_rng(9)
    Z, group = drawn(rng, [0.5, 0.5], [0.5, 0.5], 500, 500)
    found = certify(Z, group, n_candidates=14)
    alone = str(certify(Z, group))
    assert "At 95 % confidence, if these 1000 rows took no part in training" in alone
    assert "best of" not in alone
    assert "At 99.9 % confidence" in str(certify(Z, group, confidence=0.999))
    assert "At more than 99.9999 % confidence" in str(certify(Z, group, confidence=1 - 1e-12))
    assert found.bound == certify(Z, group, confidence=1 - 0.05 / 14).bound
    assert found.bound > certify(Z, group).bound
    assert "best of 14 candidates" in str(found)


def test_one_row_of_each_cluster_counts():
    rng = np.random.default_rng(12)
    person = np.repeat(np.arange(300), 10)
    group = np.arange(300) % 2
    Z = rng.integers(3, size=300)
    with pytest.warns(
        UserWarning, match="3000 of 3000 rows equal another row .* give clusters="
    ) as warned:
        all_rows = certify(Z[person], group[person])
    assert warned[0].filename == __file__
    found = certify(Z[person], group[person], clusters=person)
    assert found.bound == certify(Z, group).bound > all_rows.bound
    assert sum(found.group_sizes) == 300
    assert found == certify(Z[person], group[person], clusters=person)
    series = pd.Series([f"p{k}" for k in person], dtype="string")
    assert found == certify(Z[person], group[person], clusters=series)
    of_row = rng.integers(3, size=3_000)  # which row counts is drawn, as by seed 0
    unseeded, *seeded = (
        certify(of_row, group[person], clusters=person, random_state=seed) for seed in (None, 0, 1)
    )
    assert unseeded == seeded[0] != seeded[1]
    for seed in range(8):  # a group of which no row is drawn has none
        drawn_from = {"clusters": [0, 0, 1, 1], "random_state": seed}
        sizes = certify([0, 0, 1, 1], [0, 1, 0, 1], **drawn_from).group_sizes
        assert sum(sizes) == len(sizes) == 2


@pytest.mark.parametrize("against", ["classifiers", "thresholds"])
@pytest.mark.parametrize("error", [0.3, 0.05, 0.0001])
def test_no_limit_is_above_what_hoeffding_rules_out(against, error):
    """The pairs that are left out unseen: their exact limits are no larger."""
    rng = np.random.default_rng(15)
    left_out = 0
    for n_a, n_b in ((30, 30), (20, 300), (2_000, 3_000)):
        group = np.repeat([0, 1], [n_a, n_b])
        codes = rng.binomial(6, np.repeat(rng.random(2), [n_a, n_b]))
        thresholds = against == "thresholds"
        [pair] = compare_groups(codes, group, 2, stratum=None, thresholds=thresholds, error=error)
        assert pair.rank <= pair.rank_at_most
        hoeffding = np.sqrt((1 / n_a + 1 / n_b) * np.log(1 / error) / 2)
        assert not pair.cannot_exceed(0.99 * hoeffding, -1.0)
        least = next((t for t in np.linspace(0, 1, 201) if pair.cannot_exceed(t, pair.rank)), 1.0)
        assert pair.limit.upper(pair.rank) <= least
        left_out += least < 1
    assert left_out


def test_what_has_no_row_is_not_bounded():
    rng = np.random.default_rng(16)
    Z, group = rng.integers(3, size=(2, 3_000)) % 2
    y = rng.integers(2, size=3_000)
    parity, odds = {}, {"constraint": "equalized_odds"}
    declared = pd.Series(pd.Categorical(group, categories=[0, 1, 2]))
    both = pd.DataFrame({"sex": group, "race": np.where(group, rng.integers(2, size=3_000), 0)})
    labels = pd.Series(pd.Categorical(y, categories=[0, 1, 2]))
    enum = pl.Series(np.array(["a", "b"])[group], dtype=pl.Enum(["a", "b", "c"]))
    cases = [
        (declared, parity, "group 2 has no row."),
        (enum, parity, "group 'c' has no row."),
        ({"s": enum}, parity, "group 'c' has no row."),
        (declared, odds | {"y": y}, "group 2 has no row at y = "),
        (both, parity, "group (0, 1) has no row."),
        (group, odds | {"y": np.ones(3_000)}, "all rows have y = 1.0."),
        (group, odds | {"y": labels}, "no row has y = 2."),
        (group, odds | {"y": group}, "group 1 has no row at y = 0"),
    ]
    for sensitive, options, text in cases:
        found = certify(Z, sensitive, **options)
        assert found.bound == 1.0
        assert f"No certificate: {text}" in str(found)
    assert (found.pair, found.given) == ((0, 1), 0)
    assert np.isnan(found.distance)
    assert certify(Z, declared.cat.remove_unused_categories()).bound < 0.1
    for last, end in ((5, "group 4 has no row. Give"), (6, "group 4 has no row and 1 more. Give")):
        many = pd.Series(pd.Categorical(group, categories=range(last)))
        assert end in str(certify(Z, many))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(samples, st.randoms(use_true_random=False))
def test_order_of_rows_and_names_of_groups_and_values_do_not_matter(rows, random):
    Z, group = map(list, zip(*rows, strict=True))
    found = certify(Z, group)
    shuffled = random.sample(rows, len(rows))
    renamed = {"a": "z", "b": "y", "c": "x"}
    again = certify([10.5 - z for z, _ in shuffled], [renamed[g] for _, g in shuffled])
    assert again.bound == pytest.approx(found.bound)
    assert sorted(again.group_sizes) == sorted(found.group_sizes)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(samples)
def test_merging_values_never_raises_the_bound(rows):
    Z, group = map(np.array, zip(*rows, strict=True))
    # Rounding, and limits of two statistics: beside a group of one row they differed by .0096.
    assert certify(Z // 2, group).bound <= certify(Z, group).bound + 0.02


def test_values_are_whole_rows_bit_by_bit():
    group = np.repeat([0, 1], 50)
    columns = np.random.default_rng(4).integers(2, size=(100, 2))
    xor = columns[:, 0] ^ columns[:, 1]
    assert certify(columns, xor).distance == 1.0  # no column alone tells
    assert certify(np.where(group, 0.0, -0.0), group).distance == 1.0
    assert certify(np.zeros((100, 3)), group).distance == 0.0


def test_too_many_values_are_said_to_certify_nothing():
    found = certify(np.arange(60.0), np.arange(60) % 2)
    assert found.bound == 1.0
    assert not found.informative
    assert "60 values in 60 rows" in str(found)
    assert "no classifier on this Z differs" in str(certify(np.zeros(60), np.arange(60) % 2))


def objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


NS = 1_700_000_000_000_000_000
NOON = pd.Timestamp("2024-01-01 12:00")
# Four values each that a float, a microsecond, or Python's == takes for fewer.
NEAR = {
    "long double": np.longdouble(1) + np.arange(4) * np.finfo(np.longdouble).eps,
    "uint64": np.uint64(2**63) + np.arange(4, dtype=np.uint64),
    "datetime64[ns]": np.arange(NS, NS + 4).astype("datetime64[ns]"),
    "timedelta64[ns]": np.arange(NS, NS + 4).astype("timedelta64[ns]"),
    "integers": objects([2**60 + k for k in range(4)]),
    "large integers": objects([2**200 + k for k in range(4)]),
    "Decimal": objects([Decimal(f"1.{k:030d}") for k in range(4)]),
    "Decimal's zeros": objects([Decimal("1." + "0" * k) for k in range(4)]),
    "Fraction": objects([Fraction(1, 3) + Fraction(k, 10**30) for k in range(4)]),
    "types": objects([True, 1, 1.0, np.int64(1)]),
    "missing": objects([None, np.nan, pd.NA, pd.NaT]),
    "noughts": objects([0.0, -0.0, 0, False]),
    "zones": objects([NOON.tz_localize(z) for z in ("UTC", "Asia/Tokyo", "Asia/Seoul", None)]),
    "folds": objects([datetime(2024, 10, 27, 2, k, fold=f) for k in (1, 2) for f in (0, 1)]),
    "Period": objects([pd.Period("2024-01-01", freq=freq) for freq in "YQMD"]),
    "Enum": objects([*Enum("Enum", "a b c d")]),
    "days by month": np.arange(4).astype("datetime64[M]"),
    "months": np.arange(4).astype("timedelta64[M]"),
    "Timestamp": objects([NOON.as_unit(unit) for unit in ("s", "ms", "us", "ns")]),
}
FORMS = {
    "array": lambda values: values,
    "list": lambda values: values.tolist() if values.dtype == object else list(values),
    "frame": lambda values: pd.Series(values, dtype=values.dtype).to_frame("z").assign(one=1),
    "columns": lambda values: np.column_stack([values, values]),
}
POLARS = {
    "decimals": ([Decimal(f"1.{k:030d}") for k in range(4)], pl.Decimal(38, 30)),
    "nanoseconds": (np.arange(NS, NS + 4), pl.Datetime("ns")),
    "durations": (np.arange(NS, NS + 4), pl.Duration("ns")),
    "times": (np.arange(10**12, 10**12 + 4), pl.Time),
    "Int128": ([2**100 + k for k in range(4)], pl.Int128),
    "integers": (np.arange(2**60, 2**60 + 4), pl.Int64),
}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=12),
    st.sampled_from(sorted(NEAR)),
    st.sampled_from(sorted(FORMS)),
)
def test_values_are_told_apart_exactly_in_every_kind_and_form(codes, kind, form):
    """A value read into a float would certify, falsely, what any program can tell apart."""
    codes = np.array(codes)
    read = read_representation(FORMS[form](NEAR[kind][codes]))
    same = codes[:, None] == codes
    np.testing.assert_array_equal(read.codes[:, None] == read.codes, same)
    if kind != "noughts":  # of which probes learn numbers; the values are tested by their codes
        np.testing.assert_array_equal((read.matrix[:, None] == read.matrix).all(axis=2), same)


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize(
    ("form", "kind"),
    [
        pair
        for pair in product(["polars", "arrow", "pandas of arrow"], POLARS)
        if pair[0] == "polars" or pair[1] != "Int128"
    ],
)
def test_values_of_polars_and_arrow_are_told_apart_exactly(form, kind, gap):
    values, dtype = POLARS[kind]
    series = pl.Series("z", values, dtype=dtype if isinstance(values, list) else None).cast(dtype)
    series = pl.concat([series, series, pl.Series("z", [None] * gap, dtype=dtype)])
    Z = series if form == "polars" else series.to_arrow()
    Z = pd.Series(pd.arrays.ArrowExtensionArray(Z)) if form == "pandas of arrow" else Z
    read = read_representation(Z)
    expected = np.append(np.tile(np.arange(4), 2), [4] * gap)
    np.testing.assert_array_equal(read.codes[:, None] == read.codes, expected[:, None] == expected)


def test_one_exact_reading_serves_all_measures():
    group = np.arange(400) % 2
    words = pd.DataFrame({"word": np.array(["no", "yes"])[group], "one": 1})
    assert certify(words, group) == certify(group, group)
    for kind in ("large integers", "Decimal", "Fraction", "integers"):
        Z = NEAR[kind][group]
        assert certify(Z, group).distance == 1.0
        assert certify(Z, group, against="thresholds").distance == 1.0
    assert mutual_information_score(Z, group) == pytest.approx(np.log(2), abs=0.01)
    assert leakage_report(Z, group, probe="linear", random_state=0).score == 1.0


@pytest.mark.parametrize("values", [[frozenset(), frozenset([1])], [[1], [2]], [1j, 2j]])
def test_values_that_cannot_be_told_apart_are_refused_by_name(values):
    with pytest.raises(ValueError, match=r"Column '0' of Z has dtype (frozenset|list|complex)"):
        certify(objects(values * 9), np.arange(18) % 2)
    with pytest.raises(ValueError, match="needs numbers, but column '0' of Z holds str; give"):
        certify(np.array(["a", "b"] * 9), np.arange(18) % 2, against="thresholds")


@pytest.mark.parametrize(
    ("Z", "group", "error", "match"),
    [
        ([0, 1, np.inf], [0, 1, 1], ValueError, "Z has an infinite value in 1 rows"),
        (np.zeros((2, 2, 2)), [0, 1], ValueError, "Z has 3 dimensions"),
        (np.zeros((0, 2)), [], ValueError, "Z has shape"),
        ([0, 1, 1], [0, 1], SensitiveFeaturesError, "has 2 rows"),
        ([0, 1], [1, 1], SensitiveFeaturesError, "the single value 1"),
        ([0, 1], ["a", None], SensitiveFeaturesError, "missing value"),
        (np.zeros(99), np.arange(99) / 7, SensitiveFeaturesError, "quantity by the rule of fit"),
        (np.zeros(9), list("abcdefghi"), SensitiveFeaturesError, "9 distinct values in 9 rows"),
        (
            [0, 1],
            {c: pd.Categorical([0, 1], categories=range(400)) for c in "ab"},
            SensitiveFeaturesError,
            "160000 intersections",
        ),
    ],
)
def test_what_cannot_be_certified_is_refused(Z, group, error, match):
    with pytest.raises(error, match=match):
        certify(Z, group)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"constraint": "equalized_odds"}, "needs y"),
        ({"y": [0, 1, 0, 1]}, "has no use for y"),
        (
            {"y": [0, 1, None, 1], "constraint": "equalized_odds"},
            "1 of them missing",
        ),
        ({"against": "everyone"}, "against"),
        ({"Z": [0, 1, np.nan, 0], "against": "thresholds"}, "Z has a missing value in 1 rows"),
        ({"n_candidates": 0}, "n_candidates"),
        ({"clusters": [1, 1, 1, 1]}, "clusters puts all rows in one cluster"),
        ({"confidence": 0.0}, "confidence"),
        ({"confidence": 1.0}, "confidence"),
    ],
)
def test_what_is_asked_must_be_whole(arguments, match):
    with pytest.raises(ValueError, match=match):
        certify(**{"Z": [0, 1, 1, 0], "sensitive_features": [0, 1, 0, 1]} | arguments)


@pytest.mark.parametrize("against", ["classifiers", "thresholds"])
def test_bounds_of_low_confidence_end(against):
    """At 0.5 a normal quantile is 0, and below it negative: a step of 0 would never arrive."""
    rng = np.random.default_rng(0)
    z, c = np.round(rng.normal(size=400)), rng.integers(2, size=400)
    low, *bounds = (
        certify(z, c, against=against, confidence=at).bound for at in (0.2, 0.5, 0.8, 0.95)
    )
    assert bounds == sorted(bounds)
    assert 0 < low <= bounds[-1]


def test_a_certificate_is_shown_in_a_line_and_in_a_notebook():
    z = np.arange(400) % 3
    groups = np.where(np.arange(400) % 2, "<m>", "f")
    found = certify(z, groups)
    assert repr(found).startswith(f"Certificate(bound={found.bound:.4f}, distance=")
    assert "confidence=0.95" in repr(found)
    page = found._repr_html_()
    assert f"<td>{found.bound:.4f}</td>" in page
    assert "&lt;m&gt;: 200" in page
    assert "<m>" not in page
    assert "<td>&lt;m&gt;, f</td>" in page
    assert "<td>demographic parity</td>" in page
    by_label = certify(z, groups, y=np.arange(400) % 5 > 2, constraint="equalized_odds")
    assert f"given={by_label.given!r}" in repr(by_label)
    assert f"at y = {by_label.given}" in by_label._repr_html_()
    assert "<td>none</td>" in certify(np.arange(400), groups)._repr_html_()
