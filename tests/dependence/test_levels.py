from __future__ import annotations

import pytest
import torch

from fairmi.dependence import DonskerVaradhan, SensitiveBatch
from fairmi.dependence.counts import LevelTable, counted_bound
from fairmi.networks.losses import PenaltyTerm
from fairmi.networks.model import Channel
from fairmi.networks.reducer import Reducer

N_ROWS, N_GROUPS, N_MODELS = 400, 3, 2


def seeded():
    return torch.Generator().manual_seed(0)


def rows(n_strata):
    generator = seeded()
    groups = torch.randint(N_GROUPS, (N_ROWS,), generator=generator)
    strata = torch.randint(n_strata, (N_ROWS,), generator=generator)
    counts = torch.bincount(strata * N_GROUPS + groups, minlength=n_strata * N_GROUPS)
    counts = counts.view(n_strata, N_GROUPS)
    weights = torch.rand(N_MODELS, N_ROWS, generator=generator)
    weights[:, :5] = 0
    return SensitiveBatch(
        groups=groups,
        values=None,
        strata=strata,
        n_strata=n_strata,
        log_prior=(counts / counts.sum(1, keepdim=True)).log(),
        weights=weights,
    )


def penalised(n_strata):
    """A term, a batch of all rows, and units before the channel that tell of the groups."""
    data, generator = rows(n_strata), seeded()
    term = PenaltyTerm(
        DonskerVaradhan(),
        data,
        Channel(9, generator),
        generator,
        n_models=N_MODELS,
        n_repeats=1,
        n_components=1,
        reducer=Reducer(),
    )
    noise = torch.randn(N_MODELS, N_ROWS, 1, generator=generator)
    bounded = torch.tanh(noise + data.groups[None, :, None] / 2).requires_grad_()
    return term, data, bounded


@pytest.mark.parametrize("n_strata", [1, 2])
def test_penalty_read_at_levels_is_that_of_the_rows(n_strata):
    term, batch, bounded = penalised(n_strata)
    z = term.channel(bounded, 0.5)
    term.observe(bounded, batch, 0.5)
    found = term.value(z, 0.0, 50_000)
    of_rows = term.penalty.value(term.critic, z, batch, seeded())
    torch.testing.assert_close(found, of_rows)
    share = torch.tensor([1.0, -2.0])
    (gradient,) = torch.autograd.grad((found * share).sum(), bounded, retain_graph=True)
    (expected,) = torch.autograd.grad((of_rows * share).sum(), bounded)
    assert expected.abs().max() > 1e-5  # measured 8e-4 to 1e-3
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("n_strata", [1, 2])
def test_steps_on_levels_are_those_of_a_graph(n_strata):
    term, batch, bounded = penalised(n_strata)
    term.observe(bounded, batch, 0.5)
    counts = term.counts[:, 0]
    before = [p.detach().clone() for p in term.critic.parameters()]
    term.level_critic.train(term.optimizer, counts, 3)
    after = [p.detach().clone() for p in term.critic.parameters()]
    with torch.no_grad():
        for parameter, start in zip(term.critic.parameters(), before, strict=True):
            parameter.copy_(start)
    parameters = list(term.critic.parameters())
    decay = term.optimizer.param_groups[0]["weight_decay"]
    optimizer = torch.optim.AdamW(parameters, weight_decay=decay, fused=True)
    for _ in range(3):
        scores = term.critic(term.level_critic.inputs).view(term.level_critic.shape)
        optimizer.zero_grad()
        counted = counted_bound(scores, counts.transpose(1, 2), batch.log_prior)
        (-counted).sum().backward()
        optimizer.step()
    assert any((a != b).any() for a, b in zip(after, before, strict=True))
    for found, expected in zip(after, parameters, strict=True):
        torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-4)


def test_gradient_of_the_level_table_is_that_of_finite_differences():
    batch = rows(2)
    table = LevelTable(N_MODELS, 1, 5, batch)
    position = torch.rand(N_MODELS, N_ROWS, 1, generator=seeded()) * 3.9
    low = position.floor().long()
    table.update(table.count(low, position - low, batch), N_ROWS, 50_000)
    value, gradient = table.value(low, position, batch)
    step = torch.randn(position.shape, generator=seeded()) / 100
    moved, _ = table.value(low, position + step, batch)
    torch.testing.assert_close(moved - value, (gradient * step).sum((1, 2)), atol=1e-6, rtol=1e-3)


def test_diverged_model_leaves_those_beside_it_alone():
    term, batch, bounded = penalised(1)
    with torch.no_grad():
        bounded[0] = torch.nan
    z = term.channel(bounded, 0.5)
    term.observe(bounded, batch, 0.5)
    term.train_critic(1, 1e-3)
    assert term.value(z, 0.5, 50_000)[1].isfinite()
