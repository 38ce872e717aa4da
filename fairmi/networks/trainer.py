"""Networks under a penalty: the schedule, the step, the epoch, and a whole training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from fairmi._diagnosis import Progress
from fairmi.core.task import Nothing
from fairmi.dependence.layers import repeated
from fairmi.networks.config import NetworkConfig, n_batches
from fairmi.networks.losses import Objective, PenaltyTerm, task_loss, weighted_mean
from fairmi.networks.model import Networks, Trunk
from fairmi.networks.reducer import active_reducer
from fairmi.networks.rows import TrainingRows

_CRITIC_LEARNING_RATE = 3e-3

Parameters = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Schedule:
    """What a step of a training does, by how much of it is behind.

    `learning_rate` and `penalty` are shares of the full rate and penalty weight; `table` is the
    share of the penalty that is read from the table of levels, not from the critic, and the table
    looks back on `table_rows` rows; `noise_width` is that of the channel's noise in grid steps.
    """

    learning_rate: float
    penalty: float
    table: float
    table_rows: float
    noise_width: float

    @classmethod
    def at(cls, done: float) -> Schedule:
        """Of a training with a known end, of which the share `done` is behind."""
        late = max(0.0, done - 0.6)
        return cls(
            # A short rise, then half a cosine to 0.
            learning_rate=min(1.0, done / 0.03 + 0.02) * 0.5 * (1 + math.cos(math.pi * done)),
            penalty=min(1.0, done / 0.2),  # it rises while the critic learns to see
            table=0.7 * min(1.0, late / 0.2),
            # Few, when those before had much more noise.
            table_rows=51_200 - 43_520 * min(1.0, late / 0.3),
            # It narrows until Z is that of inference.
            noise_width=min(1.0, max(0.0, (0.9 - done) / 0.6)),
        )

    @classmethod
    def of_stream(cls, step: int) -> Schedule:
        """Of a stream without a known end, after `step` steps."""
        return cls(
            # A short rise, then a fall with the square root of the steps.
            learning_rate=float(min(1.0, step / 50 + 0.02) / (1 + step / 200) ** 0.5),
            penalty=min(1.0, step / 200),
            table=0.7 * min(1.0, max(0.0, (step - 300) / 200)),
            table_rows=51_200.0,
            noise_width=1 / (1 + step / 200),
        )


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch measured on training batches, a value for each model, in nats."""

    epoch: int
    task_loss: tuple[float, ...]
    penalty: tuple[float, ...]
    seconds: float

    def is_finite(self, model: int) -> bool:
        """Whether the losses of a model are numbers."""
        return math.isfinite(self.task_loss[model]) and math.isfinite(self.penalty[model])

    def mean(self, models: slice = slice(None)) -> dict[str, float]:
        """Return the record by names, the mean over models."""
        return {
            "epoch": self.epoch,
            "task_loss": fmean(self.task_loss[models]),
            "penalty": fmean(self.penalty[models]),
            "seconds": self.seconds,
        }


class Trainable(Protocol):
    """The state of one training, that trains its networks for an epoch at a time."""

    networks: Networks
    rows: TrainingRows

    def epoch(self) -> Tensor:
        """Train for an epoch; return the mean task loss and penalty, (2, M)."""
        ...


class Course:
    """The epochs of a training, and the last good state of each model, or that of the best score.

    For each model `last` has the record of the epoch whose state this is, None where it is the
    start; `alive` says whether all its numbers were finite. `ended` says why the training ended
    before its last epoch, if it did.
    """

    def __init__(self, networks: Networks, score: Callable[[], float] | None) -> None:
        self.networks, self.score, self.best = networks, score, -math.inf
        self.state = networks.states()
        self.records: list[EpochRecord] = []
        self.last: list[EpochRecord | None] = [None] * networks.n_models
        self.alive = [True] * networks.n_models
        self.ended: str | None = None

    def see(self, record: EpochRecord) -> None:
        """Take over the state after an epoch of the models whose numbers are finite."""
        finite = finite_models(self.networks)
        for k in range(len(self.alive)):
            self.alive[k] &= finite[k] and record.is_finite(k)
        if self.score is not None and any(self.alive):
            score = self.score()
            if not score > self.best:
                return
            self.best = score
        self.last = [record if a else k for a, k in zip(self.alive, self.last, strict=True)]
        chosen = torch.tensor(self.alive).nonzero()[:, 0]
        for name, value in self.networks.state_dict().items():
            # Of what models have in common, model m has the part of m modulo their number.
            self.state[name][chosen] = value[chosen % len(value)]
        trunk = self.networks.trunk
        if trunk is not None and any(self.alive):
            trunk.keep()

    def stopped(self, models: slice) -> str | None:
        """Return why some models ended before the last epoch, if they did."""
        return self.ended if all(self.alive[models]) else "diverged"

    def history(self, models: slice) -> list[dict[str, float]]:
        """Return the means over some models, up to where one of them diverged if one did."""
        members = range(*models.indices(len(self.alive)))
        return [r.mean(models) for r in self.records if all(map(r.is_finite, members))]


def run_epochs(
    training: Trainable,
    n_epochs: int,
    progress: Progress,
    asked: slice = slice(None),
    score: Callable[[], float] | None = None,
) -> Course:
    """Train the networks in place.

    A model whose loss becomes non-finite ends in its last good state; those that share its hidden
    layers soon do too. So do all where the user interrupts. `progress`, which sees the models that
    are `asked` for, ends the training by returning True. Others are not waited for. With `score`,
    which rates the networks as they are after an epoch, they end in the state of its largest
    number.
    """
    networks, n_rows = training.networks, training.rows.n_rows
    course = Course(networks, score)
    networks.train()
    try:
        for number in range(1, n_epochs + 1):
            record = timed_epoch(training, number)
            course.see(record)
            if not any(course.alive[asked]):
                break
            course.records.append(record)
            speed = f"{n_rows / max(record.seconds, 1e-9):,.0f}"
            if active_reducer().any(progress(record.mean(asked), rows_per_s=speed)):
                course.ended = "callback"
                break
    except KeyboardInterrupt:
        course.ended = "interrupted"
    networks.separate(course.state)
    networks.eval()
    return course


def finite_models(networks: Networks) -> list[bool]:
    """Whether all weights of each model are numbers: the last step can break them unseen."""
    if networks.trunk is not None and not networks.trunk.is_finite():
        return [False] * networks.n_models
    sound = [values.flatten(1).isfinite().all(1) for values in networks.parameters()]
    parts = [repeated(part, networks.n_models // len(part)) for part in sound]
    return torch.stack(parts).all(0).tolist()


def timed_epoch(training: Trainable, number: int) -> EpochRecord:
    """Train for an epoch and record it."""
    start = time.perf_counter()
    task, value = training.epoch().tolist()
    return EpochRecord(number, tuple(task), tuple(value), time.perf_counter() - start)


class Trainer:
    """One training of the models of each λ: networks, critics, optimisers, and what they came to.

    They start at fresh weights or at `start`, on a `trunk` of the user's if there is one.

    Sources: Ragonesi et al., arXiv 2003.06430 (the loss); Caruana, doi 10.1023/A:1007379606734
    (hidden layers that tasks share). Deviations from the former: docs/method.md.
    """

    course: Course

    def __init__(
        self,
        rows: TrainingRows,
        config: NetworkConfig,
        start: Parameters | None = None,
        trunk: Trunk | None = None,
    ) -> None:
        self.rows, self.trunk = rows, trunk
        self.config, self.reducer = config, active_reducer()
        self.networks, self.generator = _networks(config, start, trunk)
        self.lams = torch.tensor(config.model_lams, device=rows.y.device)
        self.terms = [
            PenaltyTerm(
                config.penalty,
                attribute,
                self.networks.channel,
                self.generator,
                n_models=len(config.model_lams),
                n_repeats=config.n_repeats,
                n_components=config.n_components,
                reducer=self.reducer,
                by_level=self.networks.dither,
            )
            for attribute in rows.sensitive
        ]
        self.objective = None
        if isinstance(config.task, Nothing):
            self.objective = Objective(config.task, rows.y.device, self.generator)
        self.optimizer = _adamw(self.networks, config.learning_rate, config.weight_decay)
        self.n_batches = n_batches(self.reducer.total(rows.n_rows), config.batch_size)
        self.n_steps: int | None = config.max_iter * self.n_batches
        self.step_count = 0
        if self.reducer.rank:  # after the start, which all have in common
            self.generator.manual_seed(config.seed + self.reducer.rank)

    def train(self, progress: Progress) -> None:
        """Train for all epochs, or until `progress` returns True."""
        self.course = run_epochs(self, self.config.max_iter, progress, self.config.asked)

    def feed(self, step_count: int, number: int) -> EpochRecord | None:
        """Train once on the rows, the next of a stream, of which `step_count` steps were taken.

        None where a number became non-finite.
        """
        self.n_steps, self.step_count = None, step_count
        self.networks.train()
        record = timed_epoch(self, number)
        self.networks.eval()
        finite = all(record.is_finite(k) for k in range(self.networks.n_models))
        return record if finite and all(finite_models(self.networks)) else None

    def epoch(self) -> Tensor:
        """Train for an epoch; return the mean task loss and penalty, (2, M)."""
        batches = minibatches(self.rows.n_rows, self.n_batches, self.generator)
        losses = torch.stack([self.step(self.rows.batch(index)) for index in batches]).mean(0)
        return self.reducer.mean(losses)

    def step(self, batch: TrainingRows) -> Tensor:
        """Train the critics, then encoder and head on a batch; return losses (2, M)."""
        config, schedule = self.config, Schedule.of_stream(self.step_count)
        if self.n_steps is not None:
            schedule = Schedule.at(self.step_count / self.n_steps)
        width = 1.0 if self.networks.dither else schedule.noise_width
        self.step_count += 1
        bounded = self.networks.bounded(batch.dense)
        rate = _CRITIC_LEARNING_RATE * max(schedule.learning_rate, 0.1)
        for term, sensitive in zip(self.terms, batch.sensitive, strict=True):
            term.observe(bounded, sensitive, width)
            term.train_critic(config.n_critic_steps, rate)
        z = self.networks.channel(bounded, width)
        if self.objective is None:
            task = task_loss(self.networks.head(z), batch, config.task)
        else:
            losses = self.objective.losses(self.networks, z, batch, width)
            task = weighted_mean(losses, batch.task_weights)
        values = [
            factor * term.value(z, schedule.table, schedule.table_rows)
            for factor, term in zip(config.factors, self.terms, strict=True)
        ]
        value = torch.stack(values).sum(0)
        loss = task + self.lams * schedule.penalty * value
        self.optimizer.zero_grad()
        if self.n_steps is None:
            # A part of a stream whose rows weigh more than those before counts for more.
            loss = loss * batch.task_weights.mean()
        # Adam does not see the scale; the hidden layers that models share would serve the largest
        # λ first.
        (loss / (1 + self.lams)).sum().backward()
        self.reducer.average_gradients(self.networks.parameters())
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule.learning_rate
        self.optimizer.step()
        return torch.stack([task.detach(), value.detach()])

    def claims(self, rows: TrainingRows, place: int) -> list[float | None]:
        """Return what the penalty says is left of each sensitive attribute in Z of one λ.

        In nats; of a penalty that is no information, infinity where it tells `rows` from shuffled
        ones, else 0. None where it is not penalised; empty where nothing was learned.
        """
        model = self.config.models_of(place).start
        last, lam = self.course.last[model], self.config.model_lams[model]
        if last is None:
            return []
        claims: list[float | None] = []
        for term, sensitive, factor in zip(
            self.terms, rows.sensitive, self.config.factors, strict=True
        ):
            if not factor * lam:
                claims.append(None)
            elif len(self.terms) == 1 and getattr(term.penalty, "is_information", False):
                claims.append(last.penalty[model])
            else:
                with torch.no_grad():
                    z = self.networks.represent(rows.dense)
                claims.append(math.inf if term.sees(z, sensitive, model) else 0.0)
        return claims


def minibatches(n_rows: int, number: int, generator: Generator) -> Iterator[Tensor]:
    """Yield a `number` of batches of rows in random order, whose sizes differ by one at most."""
    order = torch.randperm(n_rows, generator=generator, device=generator.device)
    yield from torch.tensor_split(order, number)


def _networks(
    config: NetworkConfig, start: Parameters | None, trunk: Trunk | None
) -> tuple[Networks, Generator]:
    generator = torch.Generator(config.device).manual_seed(config.seed)
    networks = Networks(**config.architecture, generator=generator, trunk=trunk)
    if start is None:
        networks.start_at(config.log_odds)
    else:
        networks.load_state_dict({k: torch.tensor(v) for k, v in start.items()})
    networks.share(config.n_repeats)
    if not config.shares_layers:
        networks.separate(networks.states())
    return networks, generator


def _adamw(networks: Networks, rate: float, decay: float) -> torch.optim.AdamW:
    decayed = networks.decayed_weights()
    known = {id(p) for p in decayed}
    weights = [*networks.encoder_weights(), *networks.head.parameters()]
    rest = [p for p in weights if id(p) not in known]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def stream_state(trainer: Trainer) -> dict[str, Any]:
    """Return all that goes on from part to part of a stream but the weights, as plain data."""
    return {
        "generator": trainer.generator.get_state().numpy().copy(),
        "optimizer": _moments(trainer.optimizer),
        "terms": [
            {
                "critic": _arrays(term.critic.state_dict()),
                "optimizer": [] if term.optimizer is None else _moments(term.optimizer),
                "table": None
                if term.table is None
                else {
                    "shares": term.table.shares.cpu().numpy().copy(),
                    "n_batches": term.table.n_batches,
                    "n_rows": term.table.n_rows,
                },
            }
            for term in trainer.terms
        ],
    }


def go_on_from(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Let a fresh trainer of the same weights go on as the one whose state this is.

    What no longer fits, since a penalty or a kind of device is another, starts anew.
    """
    generator = torch.tensor(state["generator"])
    if generator.shape == trainer.generator.get_state().shape:
        trainer.generator.set_state(generator)
    _take_moments(trainer.optimizer, state["optimizer"])
    for term, plain in zip(trainer.terms, state["terms"], strict=True):
        own, saved = term.critic.state_dict(), plain["critic"]
        if own.keys() != saved.keys() or any(own[k].shape != saved[k].shape for k in own):
            continue
        term.critic.load_state_dict({name: torch.tensor(value) for name, value in saved.items()})
        if term.optimizer is not None:
            _take_moments(term.optimizer, plain["optimizer"])
        table, counts = term.table, plain["table"]
        if table is None or counts is None or table.shares.shape != counts["shares"].shape:
            continue
        table.shares = torch.tensor(counts["shares"], device=table.shares.device)
        table.n_batches, table.n_rows = counts["n_batches"], counts["n_rows"]


def _arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: value.detach().cpu().numpy().copy() for name, value in state.items()}


def _moments(optimizer: Optimizer) -> list[dict[str, np.ndarray]]:
    """Return the running means of each parameter; one that no row has reached has none."""
    return [_arrays(optimizer.state.get(parameter, {})) for parameter in _trained(optimizer)]


def _take_moments(optimizer: Optimizer, moments: Sequence[dict[str, np.ndarray]]) -> None:
    own, state = optimizer.state_dict(), {}
    for k, (arrays, parameter) in enumerate(zip(moments, _trained(optimizer), strict=False)):
        if arrays:
            of_parameter = {name: torch.tensor(values) for name, values in arrays.items()}
            state[k] = {
                # In the order in memory of their parameter: fused Adam pairs them by place. A
                # number counts steps.
                name: torch.empty_like(parameter).copy_(values) if values.dim() else values
                for name, values in of_parameter.items()
            }
    optimizer.load_state_dict({"state": state, "param_groups": own["param_groups"]})


def _trained(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
