"""Where the time of a training step goes, beside what the machine needs for its arithmetic.

Run: OMP_NUM_THREADS=1 python benchmarks/step.py
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch

from common.data import adult, first_rows
from common.machine import parser, print_machine
from fairmi import MIDebiasedClassifier
from fairmi._data.fit_input import read_fit_input
from fairmi._threads import one_thread
from fairmi.dependence.layers import StackedMLP
from fairmi.networks.rows import SpreadTable
from fairmi.networks.schedule import Schedule
from fairmi.networks.trainer import Trainer, minibatches, task_loss
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_rows import encode_rows

HIDDEN = 128
SCHEDULE = Schedule(0.7)  # with noise, and with a table of levels


class Clock:
    """Seconds spent in each named part, over many steps."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a part."""
        start = time.perf_counter()
        yield
        self.spent[name].append(time.perf_counter() - start)

    def microseconds(self) -> dict[str, float]:
        """The lower quartile of each part: what it takes when nothing else runs."""
        return {name: float(np.percentile(s, 25)) * 1e6 for name, s in self.spent.items()}


def epoch(trainer: Trainer, clock: Clock) -> None:
    """Train for an epoch as Trainer.step does, part by part."""
    networks, term, config, rows = trainer.networks, trainer.terms[0], trainer.config, trainer.rows
    width = SCHEDULE.noise_width
    for index in minibatches(rows.n_rows, config.batch_size, trainer.generator):
        with clock("take the rows"):
            batch = rows.batch(index)
        sensitive = batch.sensitive[0]
        with clock("encoder"):
            bounded = networks.bounded(batch.x)
        with clock("count the levels"):
            levels = term.level_probabilities(bounded, sensitive, width)
        with clock("critic's steps"):
            steps = {"n_steps": config.n_critic_steps, "rate": 1e-3, "width": width}
            term.train_critic(bounded.detach(), levels, sensitive, **steps)
        with clock("channel, head, task loss"):
            z = networks.channel(bounded, width)
            task = task_loss(networks.head(z), batch)
        with clock("penalty"):
            value = term.value(z, levels, sensitive, SCHEDULE.table, SCHEDULE.table_rows)
        with clock("backward"):
            trainer.optimizer.zero_grad()
            ((task + trainer.lams * value) / (1 + trainer.lams)).sum().backward()
        with clock("optimiser"):
            trainer.optimizer.step()


def trainer_of(n_models: int, n_rows: int | None) -> Trainer:
    """Return the training of so many models on Adult, before its first step."""
    train = first_rows(adult("train"), n_rows)
    model = MIDebiasedClassifier(random_state=0)
    given = read_fit_input(model, train.x, train.y, train.c, None)
    encoder = TableEncoder().fit(given.features, given.codes, given.task_weights)
    rows = encode_rows(given, encoder)
    # From λ = 0 on, so that no auxiliary models are beside them.
    lams = tuple(np.linspace(0, 8, n_models))
    config = model._config(given, rows, lams, (1.0,), n_rows=len(rows.codes))
    data, _ = model._training_rows(given, rows, config)
    return Trainer(data, config)


def measure(n_models: int, n_rows: int | None) -> pd.Series:
    """Microseconds of each part of a step of so many models on Adult."""
    clock = Clock()
    with one_thread():
        trainer = trainer_of(n_models, n_rows)
        trainer.networks.train()
        epoch(trainer, Clock())
        for _ in range(2):
            epoch(trainer, clock)
        parts = clock.microseconds()
        config = trainer.config
        floor = 2 * product_seconds(config.batch_size, config.n_inputs) * 1e6
    return pd.Series({**parts, "whole step": sum(parts.values()), "two products of X": floor})


def product_seconds(n_rows: int, n_inputs: int) -> float:
    """Seconds of the first layer's product at the rate that a large product reaches."""
    a = torch.randn(1024, 1024)
    return least_seconds(lambda: a @ a) * n_rows * n_inputs * HIDDEN / 1024**3


def alternatives(n_rows: int = 256, n_inputs: int = 257) -> pd.Series:
    """Microseconds of what a step does, beside what it could do in its place."""
    generator = torch.Generator().manual_seed(0)
    network = StackedMLP(1, (1, HIDDEN, 1), generator, dropout=0.2)
    shape = torch.Size((n_rows, HIDDEN))
    table, few = torch.randn(30_000, n_inputs), torch.randperm(30_000)[:n_rows]
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2_000, 14)), random.integers(2, size=2_000)
    encoder = TableEncoder().fit(x, y)
    spread = SpreadTable(torch.as_tensor(encoder.positions(x)), encoder.layout_)
    first = torch.arange(n_rows)
    made = {
        "dropout by bytes": lambda: network._mask(network.dropout_factors, shape),
        "dropout by floats": lambda: (torch.rand(shape, generator=generator) >= 0.2).float() / 0.8,
        "rows by index_select": lambda: table.index_select(0, few),
        "rows by []": lambda: table[few],
        f"rows of 14 columns spread out to {encoder.layout_.width}": lambda: spread.rows(first),
    }
    return pd.Series({name: 1e6 * least_seconds(call) for name, call in made.items()})


def least_seconds(call: Callable[[], Any]) -> float:
    """Return the least seconds of a call in 200."""
    spent = []
    for _ in range(200):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return min(spent)


def main() -> None:
    """Print microseconds of a step, of one model and of ten, and of what it could do else."""
    made = parser(__doc__, output=False)
    made.add_argument("--rows", type=int, help="learn from so few rows: to see that it runs")
    options = made.parse_args()
    print_machine()
    print("microseconds of a step on Adult, one thread")
    table = pd.DataFrame({f"{n} models": measure(n, options.rows) for n in (1, 10)}).round(0)
    print(table.astype(int).to_string())
    with one_thread():
        print(f"\n{alternatives().round(1).to_string()}")


if __name__ == "__main__":
    main()
