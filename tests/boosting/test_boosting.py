from __future__ import annotations

import pickle
import pickletools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch import nn

from fairmi.boosting.base import (
    TreeRows,
    averaged,
    boost,
    cross_fit,
    fitted_base,
    held_out_rounds,
    scores_of_base,
)
from fairmi.boosting.critic import TrainedCritic
from fairmi.boosting.training import GroupTable, _Curvature, boosting_config, debias
from fairmi.boosting.trees import Grower, TreeConfig, Trees, add_leaves, bin_rows, exact
from fairmi.core.channel import Channel
from fairmi.core.membership import Membership, compare
from fairmi.core.task import Classes, fold_order
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


def fitted():
    x, n_categories, y, group = table()
    config, ones = replace(CONFIG, max_iter=20), np.ones(len(y))
    rows = bin_rows(x, n_categories, ones, 255, np.random.default_rng(0))
    task = Classes(2)
    trees, scores = boost(TreeRows(rows, y, task, ones), config, np.random.default_rng(0))
    grown, *_ = debias(
        rows,
        task.beside_base(scores, y, ones),
        [GroupTable(compared(group), Channel(17), 8.0)],
        lambda scores: Channel(17),
        scores,
        config,
        np.random.default_rng(0),
    )
    return x, trees.then(grown)


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
    scores, after, damped = base + 0.3 * rng.normal(size=(n, 1)), _Curvature.after, []
    monkeypatch.setattr(
        _Curvature, "after", lambda self, *by: damped.append(by) or after(self, *by)
    )
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
        by_lam = sum(p.lam * p.gradient(z)[0] for p in penalties)
        assert damped[step] == pytest.approx((objective.loss(scores), by_lam, share))
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


def test_an_interrupted_round_leaves_the_scores_of_the_trees_before(monkeypatch):
    """In its second of three trees, so that one of it was grown already."""
    x, n_categories, y, group = table(300)
    y, ones, calls = y + group, np.ones(300), iter(range(99))
    rows = bin_rows(x, n_categories, ones, 255, np.random.default_rng(0))

    def interrupted(*leaves):
        if next(calls) == 7:
            raise KeyboardInterrupt
        add_leaves(*leaves)

    monkeypatch.setattr("fairmi.boosting.trees.add_leaves", interrupted)
    penalty, base = GroupTable(compared(group), Channel(17), 8.0), np.zeros((300, 3))
    objective = Classes(3).beside_base(base, y, ones)
    grown, scores, history, stopped = debias(
        rows, objective, [penalty], lambda _: Channel(17), base, CONFIG, np.random.default_rng(0)
    )
    assert (stopped, grown.n_rounds, len(history)) == ("interrupted", 2, 3)
    assert np.array_equal(scores, grown.scores(x))


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
        self.state = torch.get_rng_state()
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
    assert torch.equal(torch.get_rng_state(), penalty.state)  # it has a generator of its own
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
    np.testing.assert_allclose(trees.then(trees).then(trees).scores(x), 3 * scores)


def test_trees_are_plain_arrays():
    x, trees = fitted()
    assert np.array_equal(Trees(**trees.arrays()).scores(x), trees.scores(x))
    saved = pickle.dumps(trees.arrays(), protocol=4)
    names = {arg for op, arg, _ in pickletools.genops(saved) if isinstance(arg, str)}
    assert not {name for name in names if "sklearn" in name or "fairmi" in name}


def test_missing_and_unknown_values_are_scored():
    x, trees = fitted()
    missing, unknown = (np.where(np.arange(4) == 3, code, x[:50]) for code in (np.nan, 5.0))
    assert np.isfinite(trees.scores(missing)).all()
    assert np.array_equal(trees.scores(unknown), trees.scores(missing))


def test_exact_sums_do_not_depend_on_their_order():
    values = np.random.default_rng(4).normal(size=100_000) ** 3
    rounded = exact(values)
    assert np.abs(rounded - values).max() <= np.abs(values).max() * 2.0**-23
    order = np.random.default_rng(5).permutation(len(values))
    sums = {np.cumsum(part.astype(np.float64))[-1] for part in (rounded, rounded[order])}
    assert len(sums) == 1


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
    assert np.allclose(scores, trees.scores(codes)) != out_of_fold  # else of rows that it saw


def test_numbers_and_columns_of_two_categories_have_one_encoding():
    x, _, _, _ = table()
    frame = pd.DataFrame(x[:, :2]).assign(two=np.where(x[:, 2] > 0, "a", "b"))
    columns, codes = learn_columns(frame, 255, 3)
    assert codes.shape == (2000, 3)
    assert len(encodings_of(columns)[0]) == 1


def slow_ends(column, weights, max_bins):
    """A bin's last value is the first whose rows, and those before, have its share of weight."""
    values = sorted({v for v, w in zip(column, weights, strict=True) if v == v and w > 0})
    if len(values) <= max_bins:
        last = range(len(values) - 1)
    else:
        total = [weights[column <= v].sum() for v in values]
        shares = [total[-1] * k / max_bins for k in range(1, max_bins)]
        last = sorted({next(i for i, t in enumerate(total) if t >= share) for share in shares})
    return [(values[i] + values[i + 1]) / 2 for i in last if i + 1 < len(values)]


@pytest.mark.parametrize("max_bins", [4, 9, 255])
def test_bins_have_about_as_much_weight(max_bins):
    rng, n = np.random.default_rng(1), 120
    few, heavy = rng.integers(7, size=n) + 0.25, rng.exponential(size=n).round(1)
    x = np.column_stack([few, heavy, rng.normal(size=n), rng.integers(5, size=n)])
    x[rng.random((n, 4)) < 0.1] = np.nan
    weights = rng.uniform(0, 2, size=n) * (rng.random(n) < 0.9) + 20 * (heavy == heavy.max())
    binned = bin_rows(x, np.array([0, 0, 0, 5]), weights, max_bins, rng)
    for j in range(3):
        ends = slow_ends(x[:, j], weights, max_bins)
        np.testing.assert_allclose(binned.ends[j], ends, rtol=1e-12)
        codes = [max_bins if v != v else sum(v > end for end in ends) for v in x[:, j]]
        assert binned.codes[:, j].tolist() == codes
        assert binned.n_bins[j] == len(ends) + 1
    assert np.array_equal(binned.codes[:, 3], np.where(np.isnan(x[:, 3]), max_bins, x[:, 3]))
    assert binned.n_bins[3] == 5
    assert binned.has_missing.all()


def test_quantiles_are_of_rows_that_are_drawn_once(monkeypatch):
    monkeypatch.setattr("fairmi.boosting.trees._ROWS_OF_QUANTILES", 50)
    x, rng = np.arange(60.0)[:, None], np.random.default_rng(0)
    binned = bin_rows(x, np.zeros(1, dtype=int), np.ones(60), 255, rng)
    assert len(binned.ends[0]) == 49
    binned = bin_rows(x[:50], np.zeros(1, dtype=int), np.ones(50), 255, rng)
    assert np.array_equal(binned.ends[0], np.arange(49) + 0.5)  # all of them


@pytest.mark.parametrize(("max_iter", "n_held_out"), [(3, 3), (60, 1), (60, 3)])
def test_rounds_are_those_that_are_best_on_held_out_rows(max_iter, n_held_out):
    """Beside folds that are boosted one by one, until 20 rounds were no better."""
    x, n_categories, y, _ = table(400, seed=2)
    weights = np.random.default_rng(3).uniform(0.2, 2, size=400)
    binned = bin_rows(x, n_categories, weights, 255, np.random.default_rng(0))
    config = replace(CONFIG, max_iter=max_iter, n_folds=3, n_held_out=n_held_out)
    rows = TreeRows(binned, y, Classes(2), weights)
    n_rounds, best = held_out_rounds(rows, config, np.random.default_rng(4))
    order = fold_order(y, np.random.default_rng(4))
    folds = [np.sort(order[k::3]) for k in range(n_held_out)]
    scores = np.zeros((max_iter + 1, 400, 1))
    for fold in folds:
        seen = np.setdiff1d(np.arange(400), fold)
        part = TreeRows(binned.take(seen), y[seen], Classes(2), weights[seen])
        trees, _ = boost(part, config, np.random.default_rng(0))
        for t in range(max_iter + 1):
            ends = {name: getattr(trees, name)[: t + 1] for name in ("first_node", "first_split")}
            scores[t, fold] = replace(trees, **ends).scores(x[fold])
    seen, sign = np.concatenate(folds), 1 - 2 * y
    losses = [
        np.average(np.log1p(np.exp(sign * of[:, 0]))[seen], weights=weights[seen]) for of in scores
    ]
    least = 0
    for t, loss in enumerate(losses):
        if t - least >= 20:
            break
        least = t if loss < losses[least] else least
    assert n_rounds == least
    np.testing.assert_allclose(best[seen], scores[least][seen])


def test_few_rows_of_a_class_leave_fewer_folds_or_none():
    x, n_categories, y, _ = table(300)
    binned = bin_rows(x, n_categories, np.ones(300), 255, np.random.default_rng(0))
    whole = replace(CONFIG, n_folds=5, n_held_out=5, max_iter=12, out_of_fold=True)
    of_two = {"n_folds": 2, "n_held_out": 2}
    for n_rare, config, folds in (
        (1, whole, None),
        (2, whole, of_two),
        (90, replace(whole, n_held_out=1), {}),
        (90, replace(whole, n_held_out=0), None),
    ):
        y = (np.arange(300) < n_rare).astype(int)
        rows = TreeRows(binned, y, Classes(2), np.ones(300), [np.arange(4)])
        rng = np.random.default_rng([0])
        if folds is None:
            expected, of_rows = boost(rows, config, rng)
        else:
            expected, of_rows = cross_fit(rows, replace(config, **folds), rng)
        trees, scores = averaged(rows, config, [0])
        assert np.array_equal(trees.scores(x), expected.scores(x))
        if config.n_held_out != 1:  # else only those of one fold are scored
            assert np.array_equal(scores, of_rows)


def test_settings_of_a_base_and_its_rounds_follow_the_rows():
    parameters = {
        "l2_regularization": 1, "max_features": 0.5, "learning_rate": 0.2, "max_leaf_nodes": 7,
        "min_samples_leaf": "auto", "max_iter": "auto", "constraint": "demographic_parity",
    }  # fmt: skip
    # Rows; leaves, rows of a leaf, rounds and held-out folds of a base; rounds, rows of a leaf.
    expected = [
        (10, (8, 1, 400, 5, 5), (300, 1)),
        (310, (8, 15, 400, 5, 5), (300, 15)),
        (4_001, (8, 20, 400, 5, 5), (300, 40)),
        (9_999, (8, 20, 400, 5, 3), (300, 99)),
        (10_000, (16, 20, 400, 5, 2), (100, 100)),
        (99_999, (16, 20, 400, 5, 1), (100, 999)),
        (100_000, (16, 20, 200, 5, 0), (100, 1_000)),
    ]
    odds = [(99_999, (16, 20, 400, 5, 5)), (100_000, (16, 20, 200, 2, 2))]
    names = ("max_leaf_nodes", "min_samples_leaf", "max_iter", "n_folds", "n_held_out")
    for n_rows, of_base, of_rounds in expected:
        base, rounds = boosting_config(parameters, n_rows=n_rows, n_threads=3)
        assert tuple(getattr(base, name) for name in names) == of_base, n_rows
        assert (rounds.max_iter, rounds.min_samples_leaf) == of_rounds, n_rows
        assert not base.out_of_fold
        assert (base.learning_rate, rounds.learning_rate) == (0.06, 0.2)
        assert rounds.max_leaf_nodes == 7
        for config in (base, rounds):
            shared = (config.l2_regularization, config.max_features, config.n_threads)
            assert shared == (1.0, 0.5, 3)
    for n_rows, of_base in odds:
        base, _ = boosting_config(
            parameters | {"constraint": "equalized_odds"}, n_rows=n_rows, n_threads=1
        )
        assert tuple(getattr(base, name) for name in names) == of_base
        assert base.out_of_fold
    asked = parameters | {"min_samples_leaf": 3, "max_iter": 9}
    _, rounds = boosting_config(asked, n_rows=100, n_threads=1)
    assert (rounds.max_iter, rounds.min_samples_leaf) == (9, 3)


@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [None, 2, 3])
def test_a_users_base_scores_rows_that_it_did_not_see(classes, weighted, in_pipeline):
    """Beside scikit-learn's cross-validation; two rows of a class leave two folds."""
    rng, seed = np.random.default_rng(0), 5
    x = pd.DataFrame(rng.normal(size=(90, 4)))
    y = rng.normal(size=90) if classes is None else rng.integers(classes, size=90)
    if classes == 3:
        y = np.where(y == 2, 1, y)
        y[[7, 50]] = 2
    weights = rng.uniform(0.2, 3, size=90) if weighted else np.full(90, 2.0)
    kind = DecisionTreeRegressor if classes is None else DecisionTreeClassifier
    model = kind(max_depth=3, max_features=1)
    name = "random_state"
    base, of_fit = model, {"sample_weight": weights} if weighted else {}
    if in_pipeline:
        base, name = make_pipeline(StandardScaler(), model), f"{kind.__name__.lower()}__{name}"
        of_fit = {f"{kind.__name__.lower()}__{key}": value for key, value in of_fit.items()}
    folds = {"shuffle": True, "random_state": seed}
    cv = KFold(5, **folds)
    if classes:
        cv = StratifiedKFold({2: 5, 3: 2}[classes], **folds)
    method = "predict" if classes is None else "predict_proba"
    expected = cross_val_predict(
        clone(base).set_params(**{name: seed}), x, y, cv=cv, method=method, params=of_fit
    )
    if classes:
        logs = np.log(np.maximum(expected, 1e-6))
        expected = logs[:, 1:] - logs[:, :1] if classes == 2 else logs

    def scores_of(fitted, rows):
        return fitted.predict(rows)[:, None] if classes is None else scores_of_base(fitted, rows)

    fitted, scores = fitted_base(base, x, y, weights, seed, scores_of)
    np.testing.assert_allclose(scores, expected.reshape(90, -1))
    whole = clone(base).set_params(**{name: seed}).fit(x, y, **of_fit)
    assert np.array_equal(fitted.predict(x), whole.predict(x))
    if classes:
        of_margins = RidgeClassifier().fit(x, y)
        margins = of_margins.decision_function(x).reshape(90, -1)
        assert np.array_equal(scores_of_base(of_margins, x), margins)
    if classes == 3:  # a class of one row is in no two folds
        y[7] = 0
        fitted, scores = fitted_base(base, x, y, weights, seed, scores_of)
        assert np.array_equal(scores, scores_of(fitted, x))
