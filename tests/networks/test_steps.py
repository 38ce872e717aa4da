"""A training step beside a slow version; the channel's noise; whether a critic sees."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fairmi import MIDebiasedClassifier
from fairmi.core.task import Classes
from fairmi.dependence import HSIC, DonskerVaradhan, Penalty, SensitiveBatch
from fairmi.dependence.counts import _SMOOTHING
from fairmi.networks.config import network_config
from fairmi.networks.losses import PenaltyTerm
from fairmi.networks.model import Channel
from fairmi.networks.reducer import Reducer
from fairmi.networks.rows import TrainingRows
from fairmi.networks.trainer import Schedule, Trainer

N, RATE, DECAY = 64, 0.01, 0.3
RANDOM = np.random.default_rng(0)
X = torch.tensor(RANDOM.normal(size=(N, 3)).astype(np.float32))
S = torch.tensor(RANDOM.integers(2, size=N))
Y = ((X[:, 0] + S) > 0.5).long()
LAMS = (0.5, 8.0)


def trainer(batch_size=N):
    """Of models of several λ, which share a hidden layer; nothing in it is drawn at random."""
    parameters = MIDebiasedClassifier(
        hidden_layer_sizes=(4,), n_levels=None, n_components=2, dropout=0.0, max_iter=3,
        batch_size=batch_size, learning_rate=RATE, weight_decay=DECAY, n_estimators=1,
    ).get_params()  # fmt: skip
    config = network_config(
        parameters, lams=LAMS, n_rows=6_000, n_inputs=3, task=Classes(2), factors=(1.0,),
        penalty=HSIC(), device=torch.device("cpu"), seed=0,
    )  # fmt: skip
    rows = TrainingRows(X, Y, torch.ones(1, N), (SensitiveBatch.of_groups(S),))
    return Trainer(rows, config)


def slow_step(state, number):
    """Each model by itself, plain AdamW: the loss of a model of λ counts by 1 / (1 + λ)."""
    networks, schedule = state.networks, Schedule.at((number - 1) / 3)
    hidden, last = networks.encoder.layers
    head = networks.head.layers[0]
    loss = 0.0
    for m, lam in enumerate(state.config.model_lams):
        shared = m % len(hidden.weight)
        h = (X @ hidden.weight[shared] + hidden.bias[shared]).relu()
        z = torch.tanh(h @ last.weight[m] + last.bias[m])
        scores = (z @ head.weight[m] + head.bias[m])[:, 0]
        task = torch.nn.functional.binary_cross_entropy_with_logits(scores, Y.float())
        value = HSIC().value(None, z[None], SensitiveBatch.of_groups(S), None)[0]
        loss = loss + (task + lam * schedule.penalty * value) / (1 + lam)
    optimizer = state.plain
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = RATE * schedule.learning_rate
    optimizer.step()


def test_a_step_is_that_of_a_slow_version():
    """Of models that share a layer, where each λ has its weight in the loss."""
    state = trainer()
    assert len(state.config.model_lams) > len(LAMS)  # those of auxiliary models too
    slow, before = copy.deepcopy(state), copy.deepcopy(state)
    first, *others = slow.networks.parameters()
    slow.plain = torch.optim.AdamW(
        [{"params": [first], "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
        fused=False,
    )
    for number in (1, 2, 3):
        state.step(state.rows.batch(torch.arange(N)))
        slow_step(slow, number)
    tensors = (part.networks.parameters() for part in (state, slow, before))
    for new, expected, old in zip(*tensors, strict=True):
        assert (new - expected).norm() < 1e-3 * (expected - old).norm()


def test_a_training_ends_after_its_epochs_and_says_how_fast_it_is():
    state, seen = trainer(batch_size=16), []
    assert state.n_steps == 3 * 4
    state.train(lambda record, **shown: seen.append((record["epoch"], shown["rows_per_s"])))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert all(float(speed.replace(",", "")) > 0 for _, speed in seen)
    assert state.step_count == 3 * 4


def test_what_is_claimed_of_each_attribute():
    """The value of a lone information, else whether its critic sees; none of weight 0."""
    state = trainer()
    state.train(lambda *_, **__: None)
    model = state.config.models_of(1).start
    value = state.course.last[model].penalty[model]
    information, other = SimpleNamespace(is_information=True), SimpleNamespace()
    for penalty, factors, expected in (
        (information, (1.0,), [value]),
        (other, (1.0,), [np.inf]),
        (information, (2.0, 1.0, 0.0), [np.inf, 0.0, None]),
    ):
        term = SimpleNamespace(penalty=penalty, sees=lambda z, told, of: told and of == model)
        state.terms = [term] * len(factors)
        state.config = replace(state.config, factors=factors)
        rows = replace(state.rows, sensitive=(True, False, True)[: len(factors)])
        assert state.claims(rows, 1) == expected
    state.course.last[model] = None
    assert state.claims(rows, 1) == []


def test_the_schedule_is_of_straight_lines_and_half_a_cosine():
    done = np.linspace(0, 1, 201)
    fall = np.cos(done * np.pi / 2) ** 2
    given = [Schedule.at(share) for share in done]
    expected = {
        "learning_rate": np.interp(done, [0, 0.0294], [0.02, 1]) * fall,
        "penalty": np.interp(done, [0, 0.2], [0, 1]),
        "table": np.interp(done, [0.6, 0.8], [0, 0.7]),
        "table_rows": np.interp(done, [0.6, 0.9], [51_200, 7_680]),
        "noise_width": np.interp(done, [0.3, 0.9], [1, 0]),
    }
    steps = np.arange(0, 2_000, 7)
    stream = [Schedule.of_stream(step) for step in steps]
    of_stream = {
        "learning_rate": np.interp(steps, [0, 49], [0.02, 1]) * np.sqrt(200 / (200 + steps)),
        "penalty": np.interp(steps, [0, 200], [0, 1]),
        "table": np.interp(steps, [300, 500], [0, 0.7]),
        "table_rows": np.full(len(steps), 51_200),
        "noise_width": 200 / (200 + steps),
    }
    for schedules, columns in ((given, expected), (stream, of_stream)):
        for name, values in columns.items():
            by_step = [getattr(schedule, name) for schedule in schedules]
            np.testing.assert_allclose(by_step, values, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("dither", [False, True])
def test_a_step_asks_its_penalties_for_what_the_schedule_says(dither):
    """Of two penalties with factors 3 and .5, at the first step of a stream that goes on."""
    state, asked = trainer(), []

    def penalty(k):
        def value(z, *shares):
            asked.append(("value", *shares))
            return z.new_full((len(z),), k + 1.0)

        return SimpleNamespace(
            observe=lambda bounded, sensitive, width: asked.append((sensitive, width)),
            train_critic=lambda n_steps, rate: asked.append((n_steps, rate)),
            value=value,
        )

    state.terms = [penalty(0), penalty(1)]
    state.config = replace(state.config, factors=(3.0, 0.5))
    state.networks.dither = dither
    batch = state.rows.batch(torch.arange(N))
    batch = replace(batch, sensitive=("first", "second"))
    state.n_steps, state.step_count = None, 400
    task, value = state.step(batch)
    schedule, steps = Schedule.of_stream(400), state.config.n_critic_steps
    width = 1.0 if dither else schedule.noise_width
    of_one = [(steps, 3e-3 * schedule.learning_rate), ("value", schedule.table, 51_200.0)]
    critics = [("first", width), of_one[0], ("second", width), of_one[0]]
    assert asked == [*critics, of_one[1], of_one[1]]
    assert (value == 3.0 * 1 + 0.5 * 2).all()
    assert state.step_count == 401
    assert len(task) == len(state.config.model_lams)
    state.n_steps, state.step_count = 100, 99  # near the end critics go on by a tenth of the rate
    asked.clear()
    state.step(batch)
    assert asked[1] == (steps, pytest.approx(3e-4))


@pytest.mark.parametrize(("n_steps", "ratio"), [(None, 2.0), (100, 1.0)])
def test_a_heavier_part_of_a_stream_counts_for_more(n_steps, ratio):
    slopes = []
    for weight in (1.0, 2.0):
        state = trainer()
        state.n_steps, batch = n_steps, state.rows.batch(torch.arange(N))
        state.step(replace(batch, task_weights=torch.full((1, N), weight)))
        slopes.append(torch.cat([p.grad.flatten() for p in state.networks.parameters()]))
    torch.testing.assert_close(slopes[1], ratio * slopes[0])


@pytest.mark.parametrize("n_levels", [2, 5])
def test_noise_of_the_channel_is_centred(n_levels):
    """Rounding under noise as wide as a step has the unit itself as its mean."""
    channel = Channel(n_levels, torch.Generator().manual_seed(0))
    units = torch.linspace(-0.9, 0.9, 7).expand(20_000, 7)[None]
    means = channel(units, 1.0).mean(1)[0]
    # A standard error is .007 at most.
    torch.testing.assert_close(means, units[0, 0], rtol=0, atol=0.03)


def test_a_critic_sees_what_is_there_and_not_what_chance_shows():
    """HSIC of a batch is above 0 where nothing is told; only shuffled rows say so."""
    draws = torch.Generator().manual_seed(0)
    groups = torch.arange(200) % 2
    sensitive = SensitiveBatch.of_groups(groups)
    term = PenaltyTerm(
        HSIC(), sensitive, Channel(None, draws), draws, n_models=1, n_repeats=1, n_components=1,
        reducer=Reducer(),
    )  # fmt: skip
    noise = torch.randn(20, 1, 200, 1, generator=draws)
    assert term.sees(noise[0] + 2 * groups[:, None], sensitive, 0)
    # One of ten by chance: 2 of 20 expected.
    assert sum(term.sees(z, sensitive, 0) for z in noise) <= 6


class Weighted(Penalty):
    """Its value is a critic's weight times the weighted mean of the units; the loss wants 3."""

    reads_levels = True
    max_rows = 16

    def critic(self, n_models, n_components, sensitive, generator):
        critic = torch.nn.Linear(1, n_models, bias=False)
        torch.nn.init.constant_(critic.weight, 0.5)
        return critic

    def critic_loss(self, critic, z, sensitive, generator):
        self.seen = z
        return (3 - critic.weight[:, 0]).abs()

    def value(self, critic, z, sensitive, generator):
        shares = sensitive.weights / sensitive.weights.sum(1, keepdim=True)
        return critic.weight[:, 0] * (z.sum(2) * shares).sum(1)


def slow_table(bounded, width, groups, weights, smoothing):
    """Log ratio of each (unit, level, group): how often noise takes a row of a group there."""
    grid = (np.arange(4_000) + 0.5) / 4_000 - 0.5
    counts = np.zeros((bounded.shape[1], 5, 2))
    for i, unit in np.ndindex(*bounded.shape):
        at = np.round((bounded[i, unit] + 1) * 2 + width * grid).clip(0, 4).astype(int)
        counts[unit, :, groups[i]] += weights[i] * np.bincount(at, minlength=5) / len(grid)
    prior = np.bincount(groups, minlength=2) / len(groups)
    return np.log(
        (counts + smoothing * prior) / (counts.sum(2, keepdims=True) + smoothing) / prior
    )


def test_a_term_is_part_critic_part_table():
    """Beside counts row by row; the slope in Z is that between the levels next to a unit."""
    rng, n, share, width = np.random.default_rng(0), 40, 0.3, 0.5
    draws = torch.Generator().manual_seed(0)
    groups, weights = rng.integers(2, size=n), rng.uniform(0.5, 2, size=n)
    sensitive = replace(
        SensitiveBatch.of_groups(torch.tensor(groups)),
        weights=torch.tensor(weights, dtype=torch.float32)[None],
    )
    term = PenaltyTerm(
        Weighted(), sensitive, Channel(5, draws), draws, n_models=2, n_repeats=1, n_components=2,
        reducer=Reducer(),
    )  # fmt: skip
    bounded = torch.tensor(rng.uniform(-1, 1, size=(2, n, 2))).float()
    term.observe(bounded, sensitive, width)
    term.train_critic(2, 0.01)
    torch.testing.assert_close(term.critic.weight, torch.full((2, 1), 0.52), atol=1e-3, rtol=0)
    assert (term.penalty.seen - bounded).abs().max() <= 0.375 + 1e-6  # half a step and noise
    z = bounded.clone().requires_grad_()
    weighted = weights / weights.sum()
    alone = term.critic.weight[:, 0].detach() * torch.tensor(weighted @ bounded.sum(2).numpy().T)
    torch.testing.assert_close(term.value(z, 0.0, 1e4), alone, check_dtype=False)
    value = term.value(z, share, 1e4)
    value.sum().backward()
    for m in range(2):
        scores = slow_table(bounded[m].numpy(), width, groups, weights, _SMOOTHING)
        total, weight = (1 - share) * alone[m].item(), term.critic.weight[m].item()
        for i, unit in np.ndindex(n, 2):
            ratio, position = scores[unit, :, groups[i]], (bounded[m, i, unit].item() + 1) * 2
            total += share * weighted[i] * np.interp(position, np.arange(5), ratio)
            low = min(int(position), 3)
            slope = (1 - share) * weight + share * 2 * (ratio[low + 1] - ratio[low])
            assert z.grad[m, i, unit] == pytest.approx(weighted[i] * slope, abs=2e-5)
        assert value[m].item() == pytest.approx(total, abs=1e-4)
    assert term.table.n_batches == 2
    whole = term._value(bounded, sensitive)
    torch.testing.assert_close(term._value_in_parts(bounded, sensitive), whole)
    assert all(parameter.requires_grad for parameter in term.trained)


class Drawn(Weighted):
    """Of critics whose weights are drawn; a parameter that all models share has one value."""

    def critic(self, n_models, n_components, sensitive, generator):
        self.asked = n_models, n_components
        critic = torch.nn.Linear(n_components, n_models, bias=False)
        critic.shared = torch.nn.Parameter(torch.rand(3, generator=generator))
        torch.nn.init.normal_(critic.weight, generator=generator)
        return critic


@pytest.mark.parametrize(("n_levels", "by_level"), [(5, True), (5, False), (None, True)])
def test_a_critic_by_level_reads_which_level_a_unit_has(n_levels, by_level):
    """The slope in a unit: half the way from the level below to that above, ends included."""
    sensitive, draws = SensitiveBatch.of_groups(S[:9]), torch.Generator().manual_seed(0)
    term = PenaltyTerm(
        Drawn(), sensitive, Channel(n_levels, draws), draws, n_models=2, n_repeats=1,
        n_components=3, reducer=Reducer(), by_level=by_level,
    )  # fmt: skip
    levels = torch.tensor(RANDOM.integers(5, size=(2, 9, 3)))
    levels[0, 0], levels[0, 1] = 0, 4
    z = (levels / 2 - 1).requires_grad_()
    seen = term._seen(z)
    if n_levels is None or not by_level:
        assert seen is z
        assert term.penalty.asked == (2, 3)
        assert (term.table is None) == (n_levels is None)
        return
    assert term.penalty.asked == (2, 3 * 6)
    assert term.table is None
    factors = torch.tensor(RANDOM.normal(size=seen.shape)).float()
    (seen * factors).sum().backward()
    for m, i, unit in np.ndindex(2, 9, 3):
        level, cells = levels[m, i, unit].item(), slice(3 + 5 * unit, 8 + 5 * unit)
        assert seen[m, i, unit] == level / 2 - 1
        assert seen[m, i, cells].tolist() == [float(k == level) for k in range(5)]
        way = factors[m, i, cells][min(level + 1, 4)] - factors[m, i, cells][max(level - 1, 0)]
        expected = factors[m, i, unit] + 2 * way / 2
        assert z.grad[m, i, unit] == pytest.approx(expected.item(), abs=1e-5)


def test_critics_of_repeats_start_alike_and_draw_no_more():
    sensitive, draws = SensitiveBatch.of_groups(S[:9]), torch.Generator().manual_seed(0)
    few = Drawn().critic(2, 3, sensitive, draws)
    following = torch.rand(1, generator=draws)
    draws.manual_seed(0)
    term = PenaltyTerm(
        Drawn(), sensitive, Channel(None, draws), draws, n_models=6, n_repeats=3,
        n_components=3, reducer=Reducer(),
    )  # fmt: skip
    assert torch.rand(1, generator=draws) == following
    assert term.penalty.asked == (6, 3)
    assert torch.equal(term.critic.weight, torch.cat([few.weight] * 3))
    assert torch.equal(term.critic.shared, few.shared)


def test_rows_are_valued_in_parts_by_their_weight():
    """The penalty of a part is a number of its own, which counts by the weight of its rows."""
    sensitive, draws = SensitiveBatch.of_groups(S[:40]), torch.Generator().manual_seed(0)
    weights = torch.rand(1, 40, generator=draws)
    sensitive = replace(sensitive, weights=weights)
    parts = []

    class Squared(Weighted):
        def value(self, critic, z, sensitive, generator):
            parts.append((z, sensitive.weights))
            return super().value(critic, z, sensitive, generator) ** 2

    term = PenaltyTerm(
        Squared(), sensitive, Channel(None, draws), draws, n_models=2, n_repeats=1,
        n_components=1, reducer=Reducer(),
    )  # fmt: skip
    z = torch.rand(2, 40, 1, generator=draws)
    value = term._value_in_parts(z, sensitive)
    assert [part.shape[1] for part, _ in parts] == [16, 16, 8]
    drawn = torch.cat([part for part, _ in parts], dim=1)
    torch.testing.assert_close(drawn.sort(1).values, z.sort(1).values)
    assert not torch.equal(drawn, z)
    expected = sum(
        of_rows.sum() * (0.5 * (part[..., 0] * of_rows).sum(1) / of_rows.sum()) ** 2
        for part, of_rows in parts
    )
    torch.testing.assert_close(value, expected / weights.sum(), check_dtype=False)
    parts.clear()
    term._value_in_parts(z[:, :16], sensitive.take(torch.arange(16)))
    assert [part.tolist() for part, _ in parts] == [z[:, :16].tolist()]
    parts.clear()
    term.penalty.max_rows = None
    term._value_in_parts(z, sensitive)
    assert [part.tolist() for part, _ in parts] == [z.tolist()]


def test_a_critic_of_one_unit_is_read_at_its_levels():
    """As it is at rows: before training by its own weights, and better at its batch after."""
    sensitive, draws = SensitiveBatch.of_groups(S), torch.Generator().manual_seed(0)
    term = PenaltyTerm(
        DonskerVaradhan(), sensitive, Channel(5, draws), draws, n_models=2, n_repeats=1,
        n_components=1, reducer=Reducer(),
    )  # fmt: skip
    levels = torch.stack([S * 3, torch.tensor(RANDOM.integers(5, size=N))])[..., None]
    z = (levels / 2 - 1).float()
    term.observe(z, sensitive, 0.0)
    assert term.level_critic is not None
    start = term.value(z, 0.0, 1e4)
    at_rows = term.penalty.value(term.critic, z, sensitive, draws)
    torch.testing.assert_close(start, at_rows, atol=1e-5, rtol=1e-5)
    term.train_critic(60, 0.05)
    first, second = term.value(z, 0.0, 1e4).tolist()
    assert first > 0.6 > 0.3 > second  # log 2 is 0.69
