"""The published procedure, step by step: beside a slow version, however weights lie in memory."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fairmi import MIBackpropClassifier, MIDebiasedClassifier, _backprop_classifier
from fairmi.dependence.pairs import shuffle_within
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.networks import model as networks_model
from fairmi.networks.backprop import Backprop, backprop_architecture
from fairmi.networks.model import trunk_of
from fairmi.networks.rows import TrainingRows

N, K, LAM, RATE = 96, 2, 2.0, 1e-3
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((N, 6, 6, 3)).astype(np.float32)
Y = RANDOM.integers(3, size=N)
S = (IMAGES[..., 0].mean((1, 2)) > 0.5).astype(int)


class Kernels(nn.Module):
    """Two convolutions of images with channels last; a parameter that no row reaches."""

    def __init__(self):
        super().__init__()
        self.unread = nn.Parameter(torch.zeros(2, 2))
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 5, 3)
        self.contiguous_input = False

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        x = x.contiguous() if self.contiguous_input else x
        return self.second(self.first(x).relu()).flatten(1)


def contiguous_input(module):
    module.contiguous_input = True


def channels_last(module):
    module.to(memory_format=torch.channels_last)


def other_axes(module):
    for part in (module.first, module.second):
        part.weight.data = part.weight.data.transpose(0, 1).contiguous().transpose(0, 1)


def parts_of_larger(module):
    for part in (module.first, module.second):
        part.weight.data = part.weight.data.repeat_interleave(2, dim=1)[:, ::2]


LAYOUTS = [contiguous_input, lambda module: None, channels_last, other_axes, parts_of_larger]
NAMES = ["contiguous", "permuted input", "channels last", "other axes", "parts of larger ones"]
each_layout = pytest.mark.parametrize("lay_out", LAYOUTS, ids=NAMES)


def kernels(lay_out=contiguous_input):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Kernels()
    lay_out(module)
    return module


def training(lay_out):
    x = torch.tensor(IMAGES)
    # In 64 bits, so that Adam's division by small gradients does not turn rounding into steps.
    trunk = trunk_of(kernels(lay_out), x[:2], torch.device("cpu"))
    rows = TrainingRows(
        x, torch.tensor(Y), torch.ones(1, N), (SensitiveBatch.of_groups(torch.tensor(S)),)
    )
    state = Backprop(
        replace(rows, x=x.double()), backprop_architecture(trunk.n_outputs, 3), trunk,
        lam=LAM, n_critic_steps=K, batch_size=32, learning_rate=RATE, seed=0,
    )  # fmt: skip
    for module in (trunk.module, state.networks, state.critic):
        module.double()
    return state


def slow_epoch(state):
    """An epoch of the procedure as its authors' code has it, by plain optimisers."""
    trunk, last = state.trunk.module, state.networks.encoder
    head, critic, draws = state.networks.head, state.critic, state.generator
    encoder = [*trunk.parameters(), *last.parameters()]

    def adam(parameters, rate):
        return torch.optim.Adam(list(parameters), lr=rate, foreach=False, fused=False)

    of_task = adam([*encoder, *head.parameters()], RATE)
    of_mi, of_critic = adam(encoder, RATE * LAM), adam(critic.parameters(), RATE)
    x, y = state.rows.x, state.rows.y
    c = nn.functional.one_hot(torch.tensor(S)).double()

    def represent(rows):
        return last(trunk(x[rows]))[0].relu()

    def information(z, rows):
        other = rows[shuffle_within(torch.zeros(len(rows), dtype=torch.int64), draws)]
        joint, marginal = (critic(torch.cat([z, c[of]], 1))[..., 0] for of in (rows, other))
        return joint.mean() - marginal.exp().mean().log()

    def train_critic(batches):
        for rows in batches:
            of_critic.zero_grad()
            (-information(represent(rows).detach(), rows)).backward()
            of_critic.step()

    batches = torch.randperm(N, generator=draws).tensor_split(3)
    train_critic(batches)
    losses = []
    for rows in batches:
        task = nn.functional.cross_entropy(head(represent(rows))[0], y[rows])
        of_task.zero_grad()
        task.backward()
        of_task_norms = [None if p.grad is None else p.grad.norm() for p in encoder]
        of_task.step()
        value = information(represent(rows), rows)
        of_mi.zero_grad()
        value.backward()
        for parameter, most in zip(encoder, of_task_norms, strict=True):
            if most is not None:
                norm = parameter.grad.norm()
                parameter.grad = parameter.grad / norm * min(most, norm)
        of_mi.step()
        train_critic(batches[:K])
        losses.append([task.item(), value.item()])
    return np.mean(losses, axis=0)


@each_layout
def test_an_epoch_is_that_of_a_slow_version(lay_out, monkeypatch):
    """Each tensor differs by 6e-9 of its way at most, but for the critic's last bias, which moves
    nothing; where fused Adam paired kernels and gradients by place, by more than half.
    """
    state = training(lay_out)
    monkeypatch.setattr(networks_model, "as_input", lambda x: x)  # which would make it 32 bits
    slow, before = copy.deepcopy(state), copy.deepcopy(state)
    np.testing.assert_allclose(state.epoch()[:, 0], slow_epoch(slow), rtol=1e-3)
    weights = [
        [*of.trunk.module.parameters(), *of.networks.parameters(), *of.critic.parameters()]
        for of in (state, slow, before)
    ]
    for new, expected, old in list(zip(*weights, strict=True))[:-1]:
        assert (new - expected).norm() <= 1e-5 * (expected - old).norm()


@each_layout
def test_a_stream_does_not_depend_on_how_a_module_lies_in_memory(lay_out):
    """Running means of a saved optimiser lie as their parameters do."""
    models = []
    for layout in (lay_out, contiguous_input):
        model = MIDebiasedClassifier(encoder=kernels(layout), lam=0.5, random_state=0)
        for _ in range(3):
            model.partial_fit(IMAGES, Y, sensitive_features=S, classes=[0, 1, 2])
        models.append(model.trunk_.state_dict())
    for name, weights in models[0].items():
        torch.testing.assert_close(weights, models[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")
def test_the_best_epoch_is_kept(monkeypatch):
    """By what a callable says of the classifier as it was after each epoch, of 8 steps in all."""
    monkeypatch.setattr(_backprop_classifier, "_DEFAULT_STEPS", 8)
    scores, seen = iter([0.1, 0.5, 0.3, 0.5]), []

    def rate(model):
        seen.append(model.transform(IMAGES))
        return next(scores)

    model = MIBackpropClassifier(
        encoder=kernels(), n_critic_steps=3, batch_size=48, learning_rate=1e-2, random_state=0,
        keep_best=rate,
    ).fit(IMAGES, Y, sensitive_features=S)  # fmt: skip
    assert (model.n_iter_, model.best_epoch_) == (4, 2)
    np.testing.assert_array_equal(model.transform(IMAGES), seen[1])
    assert np.abs(model.transform(IMAGES) - seen[3]).max() > 1e-3


def coloured_shapes(n_rows, seed, *, biased):
    """Noisy shapes of four classes on 6 x 6 pixels; biased, each class has a colour of its own."""
    random = np.random.default_rng(seed)
    shapes = np.random.default_rng(7).random((4, 6, 6)) > 0.5
    palette = np.array([[1, 0.2, 0.2], [0.2, 1, 0.2], [0.2, 0.2, 1], [1, 1, 0.2]])
    y = random.integers(4, size=n_rows)
    colour = y if biased else random.integers(4, size=n_rows)
    grey = np.clip(shapes[y] + 0.6 * random.normal(size=(n_rows, 6, 6)), 0, 1)
    tint = np.clip(palette[colour] + 0.14 * random.normal(size=(n_rows, 3)), 0, 1)
    return (grey[..., None] * tint[:, None, None]).astype(np.float32), y, colour


class Images(nn.Module):
    """A small network of two convolutions."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.last = nn.Linear(144, 64)

    def forward(self, x):
        x = self.second(self.first(x.permute(0, 3, 1, 2)).relu()).relu()
        return self.last(x.flatten(1)).relu()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")
def test_it_debiases():
    """Where colour tells the class in training: shapes are read, as well in any other colour.

    At λ = 0 the accuracy is 1.0 in colours of the class and .27 in others; guessing has .25. At
    λ = 2 it is .48 and .43 after these 8 epochs, .52 and .48 after 7; with an MI step that pairs
    gradients and kernels by place .30 in others. Another seed stays near a constant for 12 epochs.
    """
    x, y, colour = coloured_shapes(2_560, 0, biased=True)
    model = MIBackpropClassifier(
        lam=2.0, encoder=Images, n_critic_steps=20, learning_rate=1e-3, max_iter=8, random_state=0
    ).fit(x, y, sensitive_features=colour)
    in_class, in_others = (
        model.score(*coloured_shapes(1_000, seed, biased=seed == 200)[:2]) for seed in (200, 100)
    )
    assert in_others > 0.36
    assert in_class - in_others < 0.15
