from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics import _binomial, certificate, certify
from fairmi.metrics._binomial import difference_upper_bound

samples = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=4, max_size=40
).filter(lambda rows: len({group for _, group in rows}) > 1)


def mcdiarmid(distance, n_a, n_b, error):
    return distance + np.sqrt((1 / n_a + 1 / n_b) * np.log(1 / error) / 2)


def probability(p, q, observed, n_a, n_b):
    """The slow obvious version: every pair of counts."""
    a, b = np.arange(n_a + 1)[:, None], np.arange(n_b + 1)
    mass = binom.pmf(a, n_a, p) * binom.pmf(b, n_b, q)
    return mass[a / n_a - b / n_b <= observed + 1e-9].sum()


def drawn(rng, p, q, n_a, n_b):
    Z = np.concatenate([rng.choice(len(p), n_a, p=p), rng.choice(len(q), n_b, p=q)])
    return Z, np.repeat(["a", "b"], [n_a, n_b])


@pytest.mark.parametrize(
    ("p", "q", "observed", "n_a", "n_b"),
    [
        (0.7, 0.3, 0.25, 5, 9),
        (0.5, 0.45, 0.1, 30, 20),
        (1.0, 0.2, 0.5, 8, 8),
        (0.5, 0.4, 0, 90, 60),
    ],
)
def test_probability_is_that_of_all_pairs_of_counts(p, q, observed, n_a, n_b):
    found = _binomial._probability(np.array([p]), np.array([q]), observed, n_a, n_b)
    assert found == pytest.approx(probability(p, q, observed, n_a, n_b), abs=1e-7)


@pytest.mark.parametrize(("observed", "n_a", "n_b"), [(0.1, 20, 35), (0.0, 50, 12), (0.4, 30, 30)])
def test_bound_is_the_least_that_no_parameter_contradicts(observed, n_a, n_b):
    bound = difference_upper_bound(observed, n_a, n_b, 0.05)

    def worst(t):
        return max(probability(p, p - t, observed, n_a, n_b) for p in np.linspace(t, 1, 201))

    assert worst(bound) <= 0.05
    assert worst(bound - 0.02) > 0.05


@pytest.mark.parametrize("error", [0.2, 0.05, 0.001])
@pytest.mark.parametrize(("n_a", "n_b"), [(10, 10), (200, 900), (5_421, 10_860)])
def test_bound_is_below_mcdiarmid(n_a, n_b, error):
    assert 0.03 < difference_upper_bound(0.03, n_a, n_b, error) < mcdiarmid(0.03, n_a, n_b, error)


def test_bound_grows_with_the_distance_as_the_theorem_needs():
    bounds = [difference_upper_bound(x, 40, 70, 0.05) for x in np.linspace(0, 1, 41)]
    assert np.all(np.diff(bounds) > -0.002)
    assert bounds[-1] == 1.0


def test_groups_swap():
    assert difference_upper_bound(0.1, 30, 80, 0.05) == difference_upper_bound(0.1, 80, 30, 0.05)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([0.5, 0.5], [0.5, 0.5]),
        ([0.9, 0.1], [0.7, 0.3]),
        ([0.3, 0.3, 0.2, 0.1, 0.1], [0.1, 0.2, 0.2, 0.25, 0.25]),
    ],
)
def test_bound_holds_in_the_stated_share_of_samples(monkeypatch, p, q):
    monkeypatch.setattr(certificate, "difference_upper_bound", cache(difference_upper_bound))
    rng = np.random.default_rng(0)
    truth = np.abs(np.subtract(p, q)).sum() / 2
    bounds = [certify(*drawn(rng, p, q, 40, 60)).bound for _ in range(1_000)]
    assert np.mean(np.array(bounds) >= truth) >= 0.95


@pytest.mark.parametrize("t", [0.35, 0.5, 0.7])
def test_bound_holds_exactly_for_the_least_favourable_values(t):
    """Two values, both near a half: the chance of a miss, summed over all samples."""
    n_a, n_b = 30, 40
    p, q = (1 + t) / 2, (1 - t) / 2
    a, b = np.arange(n_a + 1)[:, None], np.arange(n_b + 1)
    mass = binom.pmf(a, n_a, p) * binom.pmf(b, n_b, q)
    distance = np.abs(a / n_a - b / n_b)
    seen = np.unique(distance.round(12))
    largest = max((x for x in seen if difference_upper_bound(x, n_a, n_b, 0.05) < t), default=-1)
    assert 0.005 < mass[distance <= largest + 1e-9].sum() <= 0.05


def test_bound_holds_for_all_pairs_at_once(monkeypatch):
    monkeypatch.setattr(certificate, "difference_upper_bound", cache(difference_upper_bound))
    rng = np.random.default_rng(1)
    p = np.array([0.5, 0.6, 0.4])
    group = np.repeat([0, 1, 2], 80)
    bounds = [certify(rng.random(240) < p[group], group).bound for _ in range(500)]
    assert np.mean(np.array(bounds) >= 0.2) >= 0.95


def test_distance_is_that_of_the_best_of_all_classifiers():
    rng = np.random.default_rng(2)
    Z, group = drawn(rng, [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], 500, 700)
    found = certify(Z, group)
    decisions = [np.array(answer)[Z] for answer in product([0, 1], repeat=4)]
    gaps = [abs(d[group == "a"].mean() - d[group == "b"].mean()) for d in decisions]
    assert found.distance == pytest.approx(max(gaps))
    assert found.distance < found.bound


def test_several_groups_share_the_error_and_report_the_widest_pair():
    rng = np.random.default_rng(3)
    group = np.repeat(["a", "b", "c"], 400)
    Z = rng.random(1_200) < np.repeat([0.5, 0.52, 0.8], 400)
    found = certify(Z, group)
    two = group != "b"
    assert found.pair == ("a", "c")
    alone = certify(Z[two], group[two], confidence=1 - 0.05 / 3)
    assert found.bound == pytest.approx(alone.bound)
    assert found.labels == ("a", "b", "c")
    assert found.group_sizes == (400, 400, 400)
    assert found.n_values == 2


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


@settings(max_examples=40, deadline=None)
@given(samples)
def test_merging_values_never_raises_the_bound(rows):
    Z, group = map(np.array, zip(*rows, strict=True))
    assert certify(Z // 2, group).bound <= certify(Z, group).bound + 1e-9


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
    assert "No classifier on this Z differs" in str(certify(np.zeros(60), np.arange(60) % 2))


def test_text_and_frames_are_values_too():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(5)
    group, Z = rng.integers(2, size=200), rng.integers(3, size=200)
    frame = pd.DataFrame({"word": np.array(["no", "maybe", "yes"])[Z], "one": 1})
    assert certify(frame, group) == certify(Z, group)


@pytest.mark.parametrize(
    ("Z", "group", "error", "match"),
    [
        ([0, 1, np.nan], [0, 1, 1], ValueError, "Z has a missing or infinite value in 1 rows"),
        (np.zeros((2, 2, 2)), [0, 1], ValueError, "Z has 3 dimensions"),
        (np.zeros((0, 2)), [], ValueError, "Z has shape"),
        ([0, 1, 1], [0, 1], SensitiveFeaturesError, "has 2 rows"),
        ([0, 1], [1, 1], SensitiveFeaturesError, "the single value 1"),
        ([0, 1], ["a", None], SensitiveFeaturesError, "missing value"),
    ],
)
def test_what_cannot_be_certified_is_refused(Z, group, error, match):
    with pytest.raises(error, match=match):
        certify(Z, group)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_is_a_probability(confidence):
    with pytest.raises(ValueError, match="confidence"):
        certify([0, 1], [0, 1], confidence=confidence)
