"""Task, membership, channel and count penalty, against slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest

from fairmi.core.channel import Channel
from fairmi.core.information import (
    information,
    information_of_labels,
    optimal_critic,
)
from fairmi.core.membership import (
    Membership,
    check_group_weight,
    compare,
    mean_one,
    quantile_bins,
    quantile_ends,
    strata_of,
)
from fairmi.core.task import Classes

OVER_ALL = {"constraint": "demographic_parity", "n_labels": 1, "group_weight": None}


def over_all(members, weights):
    labels = np.zeros(members.n_rows, dtype=int)
    return compare(members, weights, labels=labels, **OVER_ALL).scaled()


def obvious_information(place, shares, strata, weights, n_levels):
    """I(level; group | stratum) of rows shared between two levels and the groups, by loops."""
    n_strata = strata.max() + 1
    joint = np.zeros((n_levels, n_strata, shares.shape[1]))
    for i, where in enumerate(place):
        low = min(int(where), n_levels - 2)
        joint[low, strata[i]] += weights[i] * (1 - (where - low)) * shares[i]
        joint[low + 1, strata[i]] += weights[i] * (where - low) * shares[i]
    joint /= joint.sum()
    total = 0.0
    for stratum in range(n_strata):
        part = joint[:, stratum]
        for level in range(n_levels):
            for group in range(shares.shape[1]):
                p = part[level, group]
                if p > 0:
                    alone = part[level].sum() * part[:, group].sum() / part.sum()
                    total += p * np.log(p / alone)
    return total


@pytest.mark.parametrize("kind", ["codes", "balanced", "probabilities"])
@pytest.mark.parametrize("n_strata", [1, 3])
def test_slope_is_that_of_the_information(n_strata, kind):
    rng = np.random.default_rng(1)
    n, n_levels = 60, 5
    place, weights = rng.uniform(0, n_levels - 1, size=n), rng.uniform(0.1, 2, size=n)
    strata, codes = rng.integers(n_strata, size=n), rng.integers(3, size=n)
    shares = rng.dirichlet(np.ones(3), n) if kind == "probabilities" else np.eye(3)[codes]
    of_codes = kind != "probabilities"
    members = Membership.of_codes(codes, 3) if of_codes else Membership.of_probabilities(shares)
    compared = compare(
        members,
        weights,
        constraint="equalized_odds",
        labels=strata,
        n_labels=n_strata,
        group_weight="balanced" if kind == "balanced" else None,
    ).scaled()
    value, slope = information(place, compared, n_levels, smoothing=1e-9)
    same = (shares, strata, compared.row_weights, n_levels)
    assert value == pytest.approx(obvious_information(place, *same))
    for i in range(n):
        step = np.zeros(n)
        step[i] = 1e-5
        up = obvious_information(place + step, *same)
        down = obvious_information(place - step, *same)
        assert slope[i] / n == pytest.approx((up - down) / 2e-5, abs=1e-6)


def test_each_level_has_fifty_rows_of_prior():
    """By hand: 30 rows of one group at level 0, 10 of the other at level 1."""
    groups = np.repeat([0, 1], [30, 10])
    compared = over_all(Membership.of_codes(groups, 2), np.ones(40))
    _, slope = information(groups.astype(float), compared, 2)
    critic = np.log([[(30 + 50 * 0.75) / 80 / 0.75, 50 / 80], [50 / 60, (10 + 12.5) / 60 / 0.25]])
    np.testing.assert_allclose(slope, (critic[1] - critic[0])[groups])


def test_sure_probabilities_are_codes():
    rng = np.random.default_rng(2)
    codes, weights, place = rng.integers(3, size=50), rng.random(50), rng.uniform(0, 4, 50)
    known = rng.random(50) < 0.8
    of_codes = Membership.of_codes(codes, 3, known)
    sure = Membership.of_probabilities(np.eye(3)[codes] * known[:, None])
    index = rng.permutation(50)[:30]
    for members in (of_codes, sure):
        taken = members.take(index)
        assert np.array_equal(taken.known, known[index])
        assert np.array_equal(taken.codes, np.where(known, codes, 0)[index])
        assert np.array_equal(taken.columns, members.columns[index])
    one, other = (information(place, over_all(m, weights), 5) for m in (of_codes, sure))
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-12)
    assert not one[1][~known].any()
    maybe = Membership.of_probabilities(rng.dirichlet(np.ones(3), 50)).take(index)
    assert np.bincount(maybe.rows, maybe.shares) == pytest.approx(np.ones(30))


def test_what_each_constraint_compares():
    labels = np.array([0, 1, 1, 0])
    assert strata_of("demographic_parity", labels, 2)[1:][0] == 1
    strata, n_strata, compared = strata_of("equal_opportunity", labels, 2)
    assert (strata.tolist(), n_strata, compared.tolist()) == (
        [0] * 4,
        1,
        [False, True, True, False],
    )
    for constraint in ("equalized_odds", "conditional"):
        strata, n_strata, compared = strata_of(constraint, labels, 2)
        assert (strata.tolist(), n_strata, compared.all()) == ([0, 1, 1, 0], 2, True)


@pytest.mark.parametrize("group_weight", ["auto", "balanced", None])
def test_balanced_groups_weigh_alike_in_each_stratum(group_weight):
    groups, y = np.array([0, 0, 0, 1, 0, 1]), np.array([0, 0, 0, 0, 1, 1])
    both = {"labels": y, "n_labels": 2, "group_weight": group_weight}
    members = Membership.of_codes(groups, 2)
    within = compare(members, np.full(6, 2.0), constraint="equalized_odds", **both)
    weighs = np.bincount(within.cells, within.weights)
    assert weighs == pytest.approx(np.full(4, 3.0) if group_weight else [6, 2, 2, 2])
    assert within.prior[0] == pytest.approx([0.5, 0.5] if group_weight else [0.75, 0.25])
    of_all = compare(members, np.ones(6), constraint="demographic_parity", **both)
    balanced = group_weight == "balanced"  # one stratum is not balanced of its own accord
    assert of_all.prior == pytest.approx(np.array([[0.5, 0.5] if balanced else [4 / 6, 2 / 6]]))
    assert of_all.scaled().row_weights.mean() == pytest.approx(1)


def test_rows_of_a_part_are_weighed_by_the_sums_of_all():
    """Two parts of a sample, each told the sums of both, have the weights of the sample."""
    rng = np.random.default_rng(3)
    groups, y, weights = rng.integers(2, size=40), rng.integers(2, size=40), rng.random(40)
    same = {"constraint": "equalized_odds", "n_labels": 2, "group_weight": "auto"}
    whole = compare(Membership.of_codes(groups, 2), weights, labels=y, **same)
    sums = np.bincount(2 * y + groups, weights, 4).reshape(2, 2)
    for part in (slice(0, 15), slice(15, 40)):
        members = Membership.of_codes(groups[part], 2)
        found = compare(members, weights[part], labels=y[part], **same, total=lambda _: sums)
        np.testing.assert_allclose(found.row_weights, whole.row_weights[part])
        np.testing.assert_allclose(found.prior, whole.prior)


@pytest.mark.parametrize("n_scores", [1, 3])
def test_gradients_in_the_scores(n_scores):
    rng = np.random.default_rng(2)
    n, task = 40, Classes(max(n_scores, 2))
    channel = Channel(5, kind="tanh" if n_scores == 1 else "softmax")
    scores = rng.normal(size=(n, n_scores))
    weights = rng.uniform(0.5, 2, size=n)
    weights /= weights.mean()
    groups = rng.integers(2, size=n)
    compared = over_all(Membership.of_codes(groups, 2), weights)
    same = (np.eye(2)[groups], np.zeros(n, dtype=int), weights, 5)

    def penalty(at):
        place = channel.position(channel.squash(at))
        return sum(obvious_information(place[:, k], *same) for k in range(n_scores))

    y = task.target(rng.integers(task.n_classes, size=n))
    target = 0.7 * y + 0.3 * task.mean(np.zeros((n, n_scores)))  # soft
    gradient, _ = task.derivatives(scores, target, weights)
    z = channel.squash(scores)
    slopes = [information(p, compared, 5, 1e-9)[1] for p in channel.position(z).T]
    slope = channel.pull_back(z, np.stack(slopes, axis=1) * channel.steps_per_unit)
    for i, k in [(0, 0), (7, n_scores - 1), (23, 0)]:
        step = np.zeros_like(scores)
        step[i, k] = 1e-5
        up, down = (task.loss(scores + s, target, weights) for s in (step, -step))
        assert gradient[i, k] / n == pytest.approx((up - down) / 2e-5, abs=1e-7)
        of_penalty = penalty(scores + step) - penalty(scores - step)
        assert slope[i, k] / n == pytest.approx(of_penalty / 2e-5, abs=1e-6)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_scores_of_a_constant_are_the_shares(n_classes):
    rng = np.random.default_rng(4)
    task, y, weights = Classes(n_classes), rng.integers(n_classes, size=200), rng.random(200)
    scores = np.tile(task.start(y, weights), (200, 1))
    shares = np.bincount(y, weights) / weights.sum()
    assert task.mean(scores)[0] == pytest.approx(shares[-task.n_scores :])
    gradient, _ = task.derivatives(scores, task.target(y), weights)
    assert gradient.sum(0) == pytest.approx(np.zeros(task.n_scores), abs=1e-12)
    entropy = -(shares * np.log(shares)).sum()
    assert task.loss(scores, task.target(y), weights) == pytest.approx(entropy)
    assert task.entropy(y, weights) == pytest.approx(entropy)


def test_information_of_labels_is_less_its_bias():
    """Two groups of 500, y = group in 4 of 5 rows: log 2 - H(0.2) less one degree of freedom."""
    groups = np.repeat([0, 1], 500)
    y = np.where(np.arange(1000) % 5 == 0, 1 - groups, groups)
    exact = np.log(2) + 0.2 * np.log(0.2) + 0.8 * np.log(0.8)
    of_y = information_of_labels(y, groups, np.ones(1000))
    assert of_y == pytest.approx(exact - 1 / 2000, abs=1e-12)
    assert information_of_labels(y, groups, np.zeros(1000)) == 0


@pytest.mark.parametrize("kind", ["tanh", "softmax"])
def test_channel_rounds_to_its_grid(kind):
    channel = Channel(9, kind=kind)
    scores = np.random.default_rng(6).normal(scale=3, size=(500, 1 if kind == "tanh" else 3))
    z = channel.round(channel.squash(scores))
    assert set(np.unique(z)) <= set(np.linspace(-1, 1, 9))
    assert np.abs(z - channel.squash(scores)).max() <= 1 / 8
    again = channel.round(channel.squash(channel.unsquash(z)))
    assert kind == "softmax" or np.array_equal(again, z)
    assert Channel.from_spec(channel.spec) == channel
    as_saved_by_0_2 = {name: channel.spec[name] for name in ("n_levels", "centre", "scale")}
    assert Channel.from_spec(as_saved_by_0_2, scores.shape[1]) == channel


@pytest.mark.parametrize(("n_levels", "counted"), [(2, 25), (9, 25), (17, 17), (33, 33)])
def test_coarse_grids_are_refined_for_the_table(n_levels, counted):
    finer = Channel(n_levels).refined()
    assert finer.n_levels == counted
    assert (counted - 1) % (n_levels - 1) == 0


@pytest.mark.parametrize("group_weight", ["balanced", None])
def test_a_comparison_is_that_of_loops(group_weight):
    """Rows between groups, of none, of weight 0; a stratum and a cell without rows."""
    rng = np.random.default_rng(7)
    n, labels, weights = 30, rng.integers(2, size=30), rng.uniform(0.005, 0.02, 30)
    shares = rng.dirichlet(np.ones(3), n)
    shares[labels == 1, 2] = 0
    shares /= shares.sum(1, keepdims=True)
    shares[:4] = weights[4:6] = 0
    members = Membership.of_probabilities(shares)
    same = {"constraint": "equalized_odds", "labels": labels, "n_labels": 3}
    found = compare(members, weights, **same, group_weight=group_weight)
    sums = np.zeros((3, 3))
    for i in range(n):
        sums[labels[i]] += weights[i] * shares[i]
    factors = (
        sums.sum() / 5 / np.where(sums > 0, sums, np.inf) if group_weight else np.ones((3, 3))
    )
    each, of_cells = weights[:, None] * shares * factors[labels], sums * factors
    np.testing.assert_allclose(found.weights, each[shares > 0])
    np.testing.assert_allclose(found.row_weights, each.sum(1))
    np.testing.assert_allclose(found.prior[:2], of_cells[:2] / of_cells[:2].sum(1, keepdims=True))
    assert not found.prior[2].any()
    levels, counts = rng.integers(4, size=n), np.zeros((4, 3, 3))
    for i in range(n):
        counts[levels[i], labels[i]] += each[i]
    np.testing.assert_allclose(found.counts(levels, 4), counts)
    scaled = found.scaled()
    np.testing.assert_allclose(scaled.row_weights, n * each.sum(1) / each.sum())
    np.testing.assert_allclose(scaled.weights, n * each[shares > 0] / each.sum())
    none = compare(members, 0 * weights, **same, group_weight=group_weight).scaled()
    assert not none.row_weights.any()
    assert not none.prior.any()
    alone = {**same, "constraint": "demographic_parity", "group_weight": "balanced"}
    only = compare(Membership.of_codes(0 * labels, 2), weights, **alone)
    np.testing.assert_allclose(only.row_weights, weights)


def test_quantities_and_shared_rows_are_taken_and_told_apart():
    values, known = np.arange(10.0).reshape(5, 2), np.array([True, True, False, True, True])
    members = Membership.of_values(values, known).take(np.array([4, 2]))
    assert (members.n_groups, members.rows.size, members.shares.size) == (0, 0, 0)
    assert members.columns.tolist() == [[8, 9, 1], [4, 5, 0]]
    assert Membership.of_values(values).known.all()
    same = {"constraint": "demographic_parity", "labels": np.zeros(5, int), "n_labels": 1}
    compared = compare(
        Membership.of_values(values, known), np.full(5, 2.0), **same, group_weight=None
    )
    assert compared.row_weights.tolist() == [2, 2, 0, 2, 2]
    assert compared.weights.size == 0
    shares = np.array([[0.25, 0.75], [0, 0], [1, 0]])
    shared = Membership.of_probabilities(shares)
    assert shared.columns.tolist() == shares.tolist()
    assert (shared.codes.tolist(), shared.is_certain) == ([1, 0, 0], False)
    assert shared.take(np.array([2, 1])).is_certain
    assert Membership.of_probabilities(np.full((300, 2), 0.5)).codes.all()  # the last of equals
    assert mean_one(np.array([1.0, 3.0])).tolist() == [0.5, 1.5]
    assert mean_one(np.zeros(2)).tolist() == [0, 0]
    check_group_weight("balanced", [0, 2])
    check_group_weight(None, [0])
    with pytest.raises(ValueError, match='group_weight="balanced" needs groups'):
        check_group_weight("balanced", [0, 0])


def test_bins_of_a_quantity_are_those_of_its_distribution_function():
    rng = np.random.default_rng(8)
    values, weights = rng.integers(12, size=200) / 3.0, rng.random(200)
    below = {v: weights[values <= v].sum() / weights.sum() for v in np.unique(values)}
    ends = [min(v for v, share in below.items() if share >= k / 4) for k in (1, 2, 3)]
    np.testing.assert_array_equal(quantile_ends(values, weights, 4), ends)
    bins, n_bins = quantile_bins(values, weights, 4)
    assert (n_bins, bins.tolist()) == (4, [sum(v > end for end in ends) for v in values])
    few = np.array([0.0, 1, 2, 2, 2, 2, 2, 2])  # most share the largest value: no bin above it
    assert quantile_ends(few, np.ones(8), 4).tolist() == [1]
    assert quantile_ends(few, np.ones(8), 2).tolist() == []


def test_information_of_labels_is_that_of_its_cells():
    """Three of four values and four of five groups have rows, some cells of them none."""
    rng = np.random.default_rng(9)
    y = np.array([0, 2, 3])[rng.integers(3, size=400)]
    groups = np.where(y == 0, 0, np.where(rng.random(400) < 0.8, y + 1, 1))
    weights = rng.random(400)
    cells = {(a, b): weights[(y == a) & (groups == b)].sum() for a in range(4) for b in range(5)}
    total = sum(cells.values())
    of_y, of_groups = np.bincount(y, weights), np.bincount(groups, weights)
    exact = sum(
        w / total * np.log(w * total / of_y[a] / of_groups[b]) for (a, b), w in cells.items() if w
    )
    n_rows = total**2 / (weights**2).sum()
    bias = (np.count_nonzero(of_y) - 1) * (np.count_nonzero(of_groups) - 1) / (2 * n_rows)
    assert 0 in [w for (a, b), w in cells.items() if of_y[a] and of_groups[b]]
    assert information_of_labels(y, groups, weights) == pytest.approx(exact - bias)
    critic = optimal_critic(np.array([[[3.0, 0.0]], [[0.0, 0.0]]]), np.array([[1.0, 0.0]]), 2.0)
    assert not critic.any()  # a group that is nowhere tells nothing


@pytest.mark.parametrize("kind", ["tanh", "softmax"])
def test_a_channel_is_its_formulas(kind):
    channel, open_ = Channel(5, 0.7, 1.3, kind), Channel(None, 0.7, 1.3, kind)
    scores = np.random.default_rng(10).normal(size=(6, 1 if kind == "tanh" else 3))
    z = channel.squash(scores)
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(z, np.tanh((scores - 0.7) / 1.3) if kind == "tanh" else 2 * p - 1)
    np.testing.assert_array_equal(open_.round(z), z)
    assert channel.with_levels(None) == open_
    slope, step = np.arange(z.size).reshape(z.shape) - 1.0, 1e-6
    for i in range(z.shape[1]):
        moved = scores + step * (np.arange(z.shape[1]) == i)
        expected = (slope * (channel.squash(moved) - z)).sum(1) / step
        np.testing.assert_allclose(channel.pull_back(z, slope)[:, i], expected, atol=1e-4)
    ends, inner = np.array([[-1.0], [1.0]]), 1 - 0.25 / 2
    if kind == "tanh":
        np.testing.assert_allclose(open_.unsquash(z), scores)
        expected = 0.7 + 1.3 * np.arctanh(inner * ends)
        np.testing.assert_allclose(channel.unsquash(ends), expected)
    else:  # up to what is alike for all scores of a row
        assert np.ptp(open_.unsquash(z) - scores, axis=1).max() < 1e-9
        np.testing.assert_allclose(channel.unsquash(ends), np.log1p(inner * ends))
    assert np.abs(open_.unsquash(ends)).max() > 17
    assert Channel.from_spec({"n_levels": 5}).kind == "tanh"
