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
from fairmi.core.task import (
    Classes,
    Nothing,
    Objective,
    Quantity,
    Scaled,
    channel_at,
    fold_order,
    log_odds,
    rarity,
    telling_share,
)

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
    assert information_of_labels(y, groups, 0 * weights) == 0
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
    rounded = channel.round(z)
    assert set(np.unique(rounded)) <= {-1, -0.5, 0, 0.5, 1}
    assert np.abs(rounded - z).max() <= 1 / 4
    again = channel.round(channel.squash(channel.unsquash(rounded)))
    assert kind == "softmax" or np.array_equal(again, rounded)
    assert Channel.from_spec(channel.spec) == channel
    as_saved_by_0_2 = {name: channel.spec[name] for name in ("n_levels", "centre", "scale")}
    assert Channel.from_spec(as_saved_by_0_2, scores.shape[1]) == channel
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


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_their_formulas(n_classes):
    """Rows of weight 0, of classes with 6, 3 and (of three) 1 rows."""
    y = np.array([0, 0, 0, 1, 0, 1, 1, 0, 0] + [2] * (n_classes == 3))
    n, task, rng = len(y), Classes(n_classes), np.random.default_rng(11)
    weights = rng.uniform(0.5, 2, size=n)
    weights[4] = 0
    scores = rng.normal(size=(n, task.n_scores))
    scores[0] = 0
    each = np.column_stack([np.zeros(n), scores]) if n_classes == 2 else scores
    p = np.exp(each) / np.exp(each).sum(1, keepdims=True)
    scored = slice(1, 2) if n_classes == 2 else slice(None)
    np.testing.assert_allclose(task.mean(scores), p[:, scored])
    gradient, hessian = task.derivatives(scores, task.target(y), weights)
    one_hot = np.array([[float(v == k) for k in range(n_classes)] for v in y])
    np.testing.assert_allclose(gradient, (weights[:, None] * (p - one_hot))[:, scored])
    np.testing.assert_allclose(hessian, (weights[:, None] * p * (1 - p))[:, scored])
    of_rows = -np.log(p[np.arange(n), y])
    assert task.loss(scores, task.target(y), weights) == pytest.approx(
        weights @ of_rows / weights.sum()
    )
    assert task.answers(scores).tolist() == [int(np.argmax(row)) for row in each]
    assert task.most_folds(y) == (3 if n_classes == 2 else 1)
    assert Classes(4).most_folds(y) == 0
    start = task.start(y, weights)
    shares = np.bincount(y, weights) / weights.sum()
    assert task.mean(start[None])[0] == pytest.approx(shares[-task.n_scores :])
    assert n_classes == 2 or start.mean() == pytest.approx(0, abs=1e-12)
    assert np.isfinite(Classes(4).start(y, weights)).all()
    assert Classes(4).start(y, weights).shape == (4,)
    np.testing.assert_allclose(
        Objective.of(task, task.target(y), weights, 2.0).derivatives(scores)[0], 2 * gradient
    )
    assert Classes(2).start(np.zeros(3, int), np.ones(3)) == pytest.approx(np.log(1e-15))
    objective = task.beside_base(scores, y, weights)
    assert not objective.derivatives(scores)[0].any()
    other = np.zeros_like(scores)
    expected = task.loss(other, task.mean(scores), weights)
    assert objective.loss(other) == pytest.approx(expected)
    channel = task.channels(9, y, weights)(scores)
    at = log_odds(y, weights)
    assert channel == (channel_at(at, 9) if n_classes == 2 else Channel(9, kind="softmax"))
    assert (task.refits_leaves, task.explained) == (False, 1.0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_fit_is_trivial_where_scores_tell_less_than_a_twentieth_of_the_entropy(n_classes):
    """y of three classes or two, and scores that are a share of its perfect log odds."""
    rng, task = np.random.default_rng(15), Classes(n_classes)
    y = np.repeat([0, 1, 2], [60, 30, 30]) % n_classes
    weights = rng.uniform(0.005, 0.02, size=120)
    counts = np.bincount(y, weights)
    entropy = -(counts / counts.sum()) @ np.log(counts / counts.sum())
    assert task.entropy(y, weights) == pytest.approx(entropy)
    assert Classes(5).entropy(y + 1, weights) == pytest.approx(entropy)
    constant = np.tile(task.start(y, weights), (120, 1))
    right = task.target(y) if n_classes == 3 else 2 * task.target(y) - 1
    right = right * rng.uniform(0.2, 3, size=(120, 1))
    for share in (0.0, 0.049, 0.051, 0.5):
        # As far towards y as takes this share of the entropy away, by halving.
        low, high = 0.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2
            loss = task.loss(constant + middle * right, task.target(y), weights)
            low, high = (low, middle) if loss < (1 - share) * entropy else (middle, high)
        scores = constant + low * right
        little = share < 0.05
        assert task.tells_little(scores, y, weights) == little
        answers = task.answers(scores)
        same = len(set(answers)) == 1
        assert task.is_collapsed(scores, y, weights) == (little and same)
        for cost in (0.5 * entropy, entropy, 2 * entropy):
            expected = 0.5 if little and cost > entropy else None
            assert task.ceiling(scores, y, weights, cost) == expected
    assert task.tells_little(constant - 5 * right, y, weights)
    assert not task.is_collapsed(constant - 5 * right, y, weights)


def slow_shift(residuals, weights, tau, d):
    """G(d) - tau: of 100 parts of the residuals of like weight, moved so that G(0) is tau."""
    order = np.argsort(residuals)
    ranks = np.cumsum(weights[order]) / weights.sum()
    levels = np.arange(101) / 100
    knots = [np.interp(level, ranks, residuals[order]) for level in levels]
    knots = np.array(knots) - np.interp(tau, levels, knots)
    return np.interp(d, knots, levels, left=0, right=1) - tau, knots


@pytest.mark.parametrize("name", ["absolute_error", "quantile"])
def test_leaving_a_base_of_a_quantile_costs_the_area_under_its_residuals(name):
    rng = np.random.default_rng(12)
    n, tau = 150, 0.5 if name == "absolute_error" else 0.8
    base, weights = rng.normal(size=(n, 1)), rng.uniform(0.5, 2, size=n)
    y = base[:, 0] + rng.normal(size=n)
    task = Quantity(name, quantile=0.8)
    objective = task.beside_base(base, y, weights)
    gained, of_constant = task.explained(base, y, weights)  # below 0: a median is no such base
    share = (2 if name == "absolute_error" else 1) / max(gained, 0.01 * of_constant)
    knots = slow_shift(y - base[:, 0], weights, tau, 0.0)[1]
    spread = np.interp(0.75, np.arange(101) / 100, knots) - np.interp(
        0.25, np.arange(101) / 100, knots
    )
    d = np.concatenate([rng.uniform(-4, 4, size=n - 4), [0, *knots[[0, 50, 100]]]])
    gradient, hessian = objective.derivatives(base + d[:, None])
    slope = slow_shift(y - base[:, 0], weights, tau, d)[0]
    np.testing.assert_allclose(gradient[:, 0], share * weights * slope, atol=1e-9)
    np.testing.assert_allclose(hessian[:, 0], share * weights * 0.5 / spread)
    areas = np.empty(n)
    for i in range(n):
        ends = np.sort([0, d[i], *knots[(knots > min(d[i], 0)) & (knots < max(d[i], 0))]])
        slopes = slow_shift(y - base[:, 0], weights, tau, ends)[0]
        areas[i] = np.sign(d[i]) * ((slopes[1:] + slopes[:-1]) / 2 * np.diff(ends)).sum()
    assert objective.loss(base + d[:, None]) == pytest.approx(
        share * np.average(areas, weights=weights) + objective.loss(base), rel=1e-9
    )
    far = objective.loss(base + 100) - objective.loss(base + 99)
    assert far == pytest.approx(share * (1 - tau))
    assert objective.loss(base - 100) - objective.loss(base - 99) == pytest.approx(share * tau)
    tied = task.beside_base(base, base[:, 0] + np.repeat([0.0, 1.0], [110, 40]), weights)
    assert np.isfinite(tied.loss(base + d[:, None]))
    assert (tied.derivatives(base)[1] > 0).all()
    below, beyond = (tied.derivatives(base + d)[0][0, 0] for d in (-9, 9))
    assert beyond / below == pytest.approx(-(1 - tau) / tau)
    exact = task.beside_base(base, base[:, 0], weights)  # all residuals are 0
    share = (2 if name == "absolute_error" else 1) / task.explained(base, base[:, 0], weights)[0]
    slope, curvature = exact.derivatives(base)
    assert not slope.any()
    np.testing.assert_allclose(curvature[:, 0], share * weights / 2)
    costs = [exact.loss(base + shift) for shift in (-1, 0, 1)]
    assert costs == pytest.approx([share * tau, 0, share * (1 - tau)])


@pytest.mark.parametrize(
    "name", ["squared_error", "absolute_error", "poisson", "gamma", "tweedie"]
)
def test_quantities_and_their_units_are_their_formulas(name):
    rng = np.random.default_rng(13)
    y, weights = rng.gamma(2.0, size=80) + 0.1, rng.uniform(0.5, 2, size=80)
    logs = name in ("poisson", "gamma", "tweedie")
    task = Quantity(name)

    def loss(mean):
        of_rows = {
            "squared_error": lambda: (y - mean) ** 2 / 2,
            "absolute_error": lambda: np.abs(y - mean),
            "poisson": lambda: y * np.log(y / mean) - y + mean,
            "gamma": lambda: np.log(mean / y) + y / mean - 1,
            "tweedie": lambda: 2 * (y / np.sqrt(mean) + np.sqrt(mean) - 2 * np.sqrt(y)),
        }[name]()
        return np.average(of_rows, weights=weights)

    best = np.average(y, weights=weights)
    if name == "absolute_error":
        order = np.argsort(y)
        best = y[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)]
    scores = rng.normal(scale=0.3, size=(80, 1))
    mean = np.exp(scores) if logs else scores
    np.testing.assert_allclose(task.mean(scores), mean)
    gained, of_constant = task.explained(scores, y, weights)
    assert of_constant == pytest.approx(loss(np.full(80, best)))
    assert gained == pytest.approx(loss(np.full(80, best)) - loss(mean[:, 0]))
    assert (task.refits_leaves, task.has_log_link) == (name == "absolute_error", logs)
    assert task.most_folds(y) == 80
    perfect = (np.log(y) if logs else y)[:, None]
    constant = np.full((80, 1), np.log(best) if logs else best)
    towards = [task.is_flat(constant + t * (perfect - constant), y, weights) for t in (0, 0.1)]
    assert towards == [True, False]
    assert task.is_flat(constant + 1e-4 * (perfect - constant), y, weights)
    if name == "squared_error":  # explained is about twice the way
        assert not task.is_flat(constant + 7e-4 * (perfect - constant), y, weights)
        assert not task.is_flat(0.09 * constant + 0.01 * perfect, y / 10, weights)
        assert task.is_flat(np.ones((80, 1)), np.ones(80), weights)
    units = Scaled.of(task, y, weights)
    centre, scale = (0, best) if logs else (best, 1)
    if name == "squared_error":
        scale = np.sqrt(np.average((y - best) ** 2, weights=weights))
    elif name == "absolute_error":
        scale = (np.quantile(y, 0.9) - np.quantile(y, 0.1)) / 2
    assert (units.centre, units.scale) == (pytest.approx(centre), pytest.approx(scale))
    np.testing.assert_allclose(units.scaled(y), (y - centre) / scale)
    np.testing.assert_allclose(units.predictions(scores), centre + scale * mean[:, 0])
    assert (units.n_scores, units.explained, units.ends) == (1, 1.0, ())
    perfect = units.scaled(y)[:, None]
    least = task.loss(np.log(perfect) if logs else perfect, perfect, weights)
    assert units.optimal == pytest.approx(-least, abs=1e-12)
    half = (np.log((y - centre) / scale) if logs else (y - centre) / scale)[:, None] / 2
    of_half = loss(units.predictions(half))
    assert units.share_explained(half, y, weights) == pytest.approx(
        1 - of_half / loss(np.full(80, best))
    )
    few = np.where(np.arange(80) < 3, 9.0, 1.0)  # the middle 80 % of y are one value
    if name == "absolute_error":
        of_few = Scaled.of(task, few, weights)
        assert of_few.scale == pytest.approx(8 * weights[:3].sum() / weights.sum())


def test_a_quantity_beside_its_base_counts_by_what_that_explains():
    """One hundredth of the loss of a constant at least: here of a base that is that constant."""
    rng = np.random.default_rng(14)
    y, weights, task = rng.normal(size=60), rng.uniform(0.5, 2, size=60), Quantity()
    constant = np.full((60, 1), np.average(y, weights=weights))
    variance = np.average((y - constant[:, 0]) ** 2, weights=weights) / 2
    scores = rng.normal(size=(60, 1))
    for base, explained in ((constant, 0.01 * variance), (y[:, None], variance)):
        objective = task.beside_base(base, y, weights)
        apart = scores - base
        expected = np.average(apart[:, 0] ** 2, weights=weights) / 2 / explained
        assert objective.loss(scores) == pytest.approx(expected)
        gradient, hessian = objective.derivatives(scores)
        np.testing.assert_allclose(gradient[:, 0], weights * apart[:, 0] / explained)
        np.testing.assert_allclose(hessian[:, 0], weights / explained)
    channels = task.channels(9, y, weights)
    for width in (2.0, 0.3, 1e-3, 5.0):  # a hundredth of the first at least
        at = 3 + width * scores
        middle = np.average(at[:, 0], weights=weights)
        deviation = np.sqrt(np.average((at[:, 0] - middle) ** 2, weights=weights))
        if width == 2.0:
            first = deviation
        channel = channels(at)
        expected = (9, middle, 1.2 * max(deviation, first / 100))
        assert (channel.n_levels, channel.centre, channel.scale) == pytest.approx(expected)
    assert task.channels(9, y, weights)(np.zeros((60, 1))) == Channel(9, 0.0, 1.0)


def test_rare_classes_move_and_widen_the_channel():
    """By hand: at log odds of 3 half of the way, from 4 on all of it."""
    assert [rarity(odds) for odds in (0, -2, 3, -3.5, 4, 9)] == [0, 0, 0.5, 0.75, 1, 1]
    assert channel_at(1.0, 9) == Channel(9, 0.0, 2.0)
    assert channel_at(-3.0, 9) == Channel(9, -2.0, 2.5)
    assert channel_at(5.0, 9) == Channel(9, 5.0, 5.0)
    weights = np.array([1.0, 2.0, 1.0])
    assert log_odds(np.array([1, 0, 1]), weights) == pytest.approx(0)
    assert log_odds(np.array([1, 0, 0]), weights) == pytest.approx(-np.log(3))
    assert log_odds(np.array([1, 1, 1]), weights) == log_odds(np.array([0, 0, 0]), weights) == 0
    assert log_odds(np.array([1, 0, 1]), 0 * weights) == 0
    assert telling_share(1.0) == 1
    assert telling_share(-3.0) == pytest.approx((1 + np.exp(2)) / (1 + np.exp(3)))
    y = np.array([2, 0, 1, 0, 1, 0, 0, 0])
    order = fold_order(y, np.random.default_rng(0))
    assert sorted(order) == list(range(8))
    assert y[order].tolist() == sorted(y)
    assert order.tolist() != np.argsort(y, kind="stable").tolist()
    columns = (np.arange(3), np.arange(2))
    decoded = Nothing("reconstruction", False, 0, np.zeros(4), np.ones(4), categories=columns)
    assert decoded.n_scores == 4 + 5
    assert Nothing("contrastive", False, 0, np.zeros(4), np.ones(4)).n_scores == 64
    assert (
        Nothing("reconstruction", False, 0, np.zeros(4), np.ones(4), gaps=columns[1]).n_scores == 6
    )
