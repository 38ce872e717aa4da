from __future__ import annotations

import pickle
import pickletools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fairmi.boosting.base import TreeRows, averaged, boost, cross_fit
from fairmi.boosting.critic import TrainedCritic
from fairmi.boosting.penalties import GroupTable
from fairmi.boosting.training import _Curvature, debias
from fairmi.boosting.trees import Grower, TreeConfig, bin_rows, exact
from fairmi.core.channel import Channel
from fairmi.core.membership import Membership, compare
from fairmi.core.task import Classes
from fairmi.dependence import SensitiveBatch
from fairmi.preprocessing.encoded_columns import column_codes, encodings_of, learn_columns

CONFIG = TreeConfig(
    learning_rate=0.1,
    max_iter=30,
    max_leaf_nodes=8,
    min_samples_leaf=20,
    l2_regularization=0.0,
    max_features=1.0,
    n_threads=1,
)


def table(n=2000, seed=0):
    """Numbers, a category and missing values; a group that tells of y; y of what they say."""
    rng = np.random.default_rng(seed)
    group = rng.integers(2, size=n)
    x = rng.normal(size=(n, 4))
    x[:, 0] += group
    x[:, 3] = rng.integers(5, size=n)
    odds = x[:, 0] + x[:, 1] * (x[:, 3] > 2) + group - 1
    y = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    x[rng.random(n) < 0.1, 1] = np.nan
    return x, np.array([0, 0, 0, 5]), y, group


def compared(groups, weights=None):
    """Rows of two groups, compared over all."""
    n = len(groups)
    return compare(
        Membership.of_codes(groups, 2),
        np.ones(n) if weights is None else weights,
        constraint="demographic_parity",
        labels=np.zeros(n, dtype=int),
        n_labels=1,
        group_weight=None,
    )


def fitted(n_threads=1, order=None, lam=8.0, max_features=1.0, n_rounds=20):
    x, n_categories, y, group = table()
    order = np.arange(len(y)) if order is None else order
    x, y, group = x[order], y[order], group[order]
    config = TreeConfig(0.1, n_rounds, 8, 20, 0.0, max_features, n_threads)
    ones = np.ones(len(y))
    rows = bin_rows(x, n_categories, np.ones(len(x)), 255, np.random.default_rng(0))
    task = Classes(2)
    trees, scores = boost(TreeRows(rows, y, task, ones), config, np.random.default_rng(0))
    penalty = GroupTable(compared(group), Channel(17), lam)
    grown, *_ = debias(
        rows,
        task.beside_base(scores, y, ones),
        [penalty],
        lambda scores: Channel(17),
        scores,
        config,
        np.random.default_rng(0),
    )
    return x, trees.then(grown), group, scores


def test_larger_lam_hides_more_of_the_group():
    gaps = []
    for lam in (0.5, 4.0, 32.0):
        x, trees, group, _ = fitted(lam=lam, n_rounds=40)
        z = np.tanh(trees.scores(x)[:, 0] / 2)
        gaps.append(abs(z[group == 1].mean() - z[group == 0].mean()))
    assert gaps[0] > 1.5 * gaps[1] > 3 * gaps[2]


def test_a_step_has_the_slope_of_the_loss_and_the_penalty(monkeypatch):
    """By finite differences, while trees add nothing: λ and its share weigh both terms."""
    rng, n, channel = np.random.default_rng(0), 60, Channel(17, 0.4, 3.0)
    rows = bin_rows(rng.normal(size=(n, 2)), np.zeros(2, int), np.ones(n), 255, rng)
    base, y = rng.normal(size=(n, 1)), rng.integers(2, size=n)
    weights = rng.uniform(0.5, 2, size=(2, n))
    weights /= weights.mean(1, keepdims=True)
    penalties = [
        GroupTable(compared(rng.integers(2, size=n), of), channel, lam, smoothing=1e-9)
        for of, lam in zip(weights, (3.0, 0.5), strict=True)
    ]
    objective = Classes(2).beside_base(base, y, np.ones(n))
    seen = []
    monkeypatch.setattr(Grower, "round", lambda self, *step: seen.append(step) or [])
    scores = base + 0.3 * rng.normal(size=(n, 1))
    config = replace(CONFIG, max_iter=11)
    *_, history, stopped = debias(
        rows, objective, penalties, lambda _: channel, scores, config, rng, lambda _: False
    )
    assert stopped is None

    def total(moved, share):
        z = channel.squash(moved)
        return objective.loss(moved) + sum(p.lam * share * p.gradient(z)[0] for p in penalties)

    unit = 1.5  # of trees, in which Z has a slope of 1/2 at its centre
    z = channel.squash(scores)
    for step, share, rate in ((0, 0.0, 0.1), (1, 0.5, 0.0979), (10, 1.0, 0.015)):
        gradient, hessian, _, given_rate = seen[step]
        for i in range(0, n, 7):
            move = np.zeros((n, 1))
            move[i] = 1e-5
            slope = (total(scores + move, share) - total(scores - move, share)) / 2e-5
            assert gradient[i, 0] / n == pytest.approx(unit * slope, abs=1e-7)
        damping = share * 0.02 * (1 - z**2) * ((3.0, 0.5) @ weights)[:, None]
        expected = unit**2 * objective.derivatives(scores)[1] + damping
        np.testing.assert_allclose(hessian, expected)
        assert given_rate == pytest.approx(unit * rate, abs=2e-4)
        left = sum(p.gradient(z)[0] for p in penalties)
        record = {"epoch": step + 1, "task_loss": objective.loss(scores), "penalty": left}
        assert {**history[step], "seconds": 0} == pytest.approx({**record, "seconds": 0})


def test_damping_grows_where_a_round_raised_what_it_was_to_lower():
    """By hand: times 3 or .9, between .02 and 2; the loss is task loss and penalty at one λ."""
    damping = _Curvature()
    # Task loss, penalty by λ, and its share; then what is expected.
    steps = [
        (1.0, 0.5, 0.0, 0.02),
        (1.2, 0.5, 0.1, 0.06),  # raised
        (1.1, 0.9, 0.5, 0.054),  # 1.19 after 1.25 at a share of .1
        (0.9, 1.6, 0.5, 0.162),  # 1.7 after 1.55 at .5
        (0.9, 1.6, 1.0, 0.1458),  # as it was
    ]
    for *step, expected in steps:
        assert damping.after(*step) == pytest.approx(expected)
    for k in range(9):
        damping.after(1.0 + k, 0.0, 1.0)
    assert damping.value == 2.0
    for k in range(50):
        damping.after(1.0 - k, 0.0, 1.0)
    assert damping.value == 0.02


class Told(nn.Module):
    """A penalty that is linear in Z, and a critic of one weight; it notes what it was given."""

    max_rows = 16

    def __init__(self):
        super().__init__()
        self.sizes, self.spread = [], []

    def critic(self, n_models, n_components, sensitive, generator):
        self.shape = (n_models, n_components)
        critic = nn.Linear(1, 1, bias=False)
        nn.init.ones_(critic.weight)
        return critic

    def critic_loss(self, critic, z, sensitive, generator):
        self.sizes.append(z.shape[1])
        self.spread.append(float((z - sensitive.values.T[..., None]).abs().max()))
        return (critic.weight**2).sum()[None]

    def value(self, critic, z, sensitive, generator):
        shares = sensitive.weights / sensitive.weights.sum()
        return (shares * sensitive.values[:, 0] * z[..., 0]).sum(1)


def test_a_trained_critic_reads_all_rows_in_parts():
    """Beside the penalty of all rows at once, which rows of weight 0 have no share of."""
    rng, n = np.random.default_rng(0), 50
    z, weights = rng.uniform(-1, 1, size=(n, 1)), np.where(np.arange(n) % 5, rng.random(n), 0)
    batch = SensitiveBatch.of_values(torch.tensor(z, dtype=torch.float32))
    batch = replace(batch, weights=torch.tensor(weights, dtype=torch.float32)[None])
    penalty = Told()
    critic = TrainedCritic(penalty, batch, Channel(5), 1.0, 0)
    critic.gradient(z)
    assert penalty.shape == (1, 1)
    assert penalty.sizes == [16] * 203
    assert 0.24 < max(penalty.spread) <= 0.25 + 1e-6  # noise as wide as a step, which is 1/2
    before = critic.critic.weight.item()
    critic.width = 0.0
    value, slope = critic.gradient(z)
    assert len(penalty.sizes) == 206
    assert 0 < abs(critic.critic.weight.item()) < abs(before)
    shares = weights / weights.sum()
    assert value == pytest.approx(shares @ z[:, 0] ** 2, rel=1e-5)
    np.testing.assert_allclose(slope[:, 0], n * shares * z[:, 0], rtol=1e-5, atol=1e-7)


def test_trees_give_the_scores_of_training():
    x, n_categories, y, _ = table()
    rows = bin_rows(x, n_categories, np.ones(len(x)), 255, np.random.default_rng(0))
    rows = TreeRows(rows, y, Classes(2), np.ones(len(y)))
    trees, scores = boost(rows, CONFIG, np.random.default_rng(0))
    assert trees.n_rounds == CONFIG.max_iter
    assert np.array_equal(trees.scores(x), scores)


@pytest.mark.parametrize("max_features", [1.0, 0.5])
def test_same_trees_in_any_number_of_threads(max_features):
    one, four = (fitted(n, max_features=max_features)[1].arrays() for n in (1, 4))
    assert all(np.array_equal(one[name], four[name]) for name in one)


def test_same_trees_in_any_order_of_rows():
    order = np.random.default_rng(3).permutation(2000)
    one, other = fitted()[1].arrays(), fitted(order=order)[1].arrays()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_trees_are_plain_arrays():
    _, trees, _, _ = fitted()
    saved = pickle.dumps(trees.arrays(), protocol=4)
    names = {arg for op, arg, _ in pickletools.genops(saved) if isinstance(arg, str)}
    assert not {name for name in names if "sklearn" in name or "fairmi" in name}


def test_missing_and_unknown_values_are_scored():
    x, trees, _, _ = fitted()
    x = np.where(np.arange(4) == 3, np.nan, x[:5])
    assert np.isfinite(trees.scores(x)).all()


def test_exact_sums_do_not_depend_on_their_order():
    values = np.random.default_rng(4).normal(size=100_000) ** 3
    rounded = exact(values)
    assert np.abs(rounded - values).max() <= np.abs(values).max() * 2.0**-23
    order = np.random.default_rng(5).permutation(len(values))
    sums = {np.cumsum(part.astype(np.float64))[-1] for part in (rounded, rounded[order])}
    assert len(sums) == 1


def test_cross_fitted_base_scores_rows_that_it_did_not_see():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(600, 3)), rng.integers(2, size=600)  # nothing to learn
    rows = bin_rows(x, np.zeros(3, dtype=int), np.ones(600), 255, rng)
    config = replace(CONFIG, n_folds=5, n_held_out=5, out_of_fold=True)
    rows = TreeRows(rows, y, Classes(2), np.ones(600))
    trees, scores = cross_fit(rows, config, np.random.default_rng(0))
    assert trees.n_rounds <= 5
    # Those of the best round: after 20 more the loss is 0.73.
    assert Classes(2).loss(scores, y[:, None], np.ones(600)) < 0.695  # measured 0.693
    x, n_categories, y, _ = table()
    rows = bin_rows(x, n_categories, np.ones(len(x)), 255, rng)
    rows = TreeRows(rows, y, Classes(2), np.ones(2000))
    trees, scores = cross_fit(rows, config, np.random.default_rng(0))
    in_sample, out_of_fold = (
        Classes(2).loss(of, y[:, None], np.ones(2000)) for of in (trees.scores(x), scores)
    )
    assert in_sample < out_of_fold < 0.6  # measured 0.503 and 0.546


@pytest.mark.parametrize("out_of_fold", [False, True])
def test_a_base_is_the_mean_of_one_for_each_encoding(out_of_fold):
    x, n_categories, y, _ = table()
    frame = pd.DataFrame(x).astype({3: str})
    columns, codes = learn_columns(frame, 255, 3, seed=0)
    read, kinds = encodings_of(columns)
    assert [list(of) for of in read] == [[0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 2, 5]]
    assert np.array_equal(column_codes(frame, columns), codes, equal_nan=True)
    assert kinds.tolist() == [*n_categories, 0, 0]
    rows = bin_rows(codes, kinds, np.ones(2000), 255, np.random.default_rng(0))
    rows = TreeRows(rows, y, Classes(2), np.ones(2000), read)
    config = replace(CONFIG, n_folds=3, n_held_out=3, out_of_fold=out_of_fold)
    trees, scores = averaged(rows, config, [0])
    rng = np.random.default_rng
    each = [cross_fit(rows.reading(of), config, rng([0])) for of in read]
    if not out_of_fold:  # all have the rounds that are best for the first
        config = replace(config, max_iter=each[0][0].n_rounds)
        each[1:] = [boost(rows.reading(of), config, rng(0)) for of in read[1:]]
    means = [one.scores(codes[:, of]) for (one, _), of in zip(each, read, strict=True)]
    np.testing.assert_allclose(trees.scores(codes), np.mean(means, axis=0), atol=1e-12)
    np.testing.assert_allclose(scores, np.mean([of for _, of in each], axis=0))


def test_numbers_and_columns_of_two_categories_have_one_encoding():
    x, _, _, _ = table()
    frame = pd.DataFrame(x[:, :2]).assign(two=np.where(x[:, 2] > 0, "a", "b"))
    columns, codes = learn_columns(frame, 255, 3)
    assert codes.shape == (2000, 3)
    assert len(encodings_of(columns)[0]) == 1
