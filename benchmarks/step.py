"""Where the time of a training step goes, beside what the machine needs for its arithmetic.

Run: OMP_NUM_THREADS=1 python benchmarks/step.py
"""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch

from fairmi import MIDebiasedClassifier
from fairmi._build import build, one_thread, training_data
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.layout import Places
from fairmi._layers import StackedMLP
from fairmi._training import DefaultRun, minibatches, task_loss
from fairmi.datasets import load_adult

HIDDEN = 128


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


def epoch(run: DefaultRun, clock: Clock) -> None:
    """Train for an epoch as DefaultRun does, part by part."""
    networks, term, settings = run.networks, run.terms[0], run.settings
    for index in minibatches(run.data.n_rows, settings.batch_size, run.generator):
        with clock("take the rows"):
            batch = run.data.rows(index)
        with clock("encoder"):
            bounded = networks.bounded(batch.x)
        with clock("count the levels"):
            law = term.law(bounded, batch, 0.5)
        with clock("critic's steps"):
            term.train_critic(
                bounded.detach(), law, batch, n_steps=settings.n_critic_steps, rate=1e-3, width=0.5
            )
        with clock("channel, head, task loss"):
            z = networks.channel(bounded, 0.5)
            task = task_loss(networks.head(z), batch)
        with clock("penalty"):
            value = term.value(z, law, batch, 0.5, 50_000)
        with clock("backward"):
            run.model_optimizer.zero_grad()
            ((task + run.lams * value) / (1 + run.lams)).sum().backward()
        with clock("optimiser"):
            run.model_optimizer.step()


def measure(n_models: int) -> pd.Series:
    """Microseconds of each part of a step of so many models on Adult."""
    train = load_adult(subset="train")
    model = MIDebiasedClassifier(random_state=0)
    sample = model._prepare(train.data, train.target, train.sensitive_features["sex"], None, None)
    # From λ = 0 on, so that no companions are beside them.
    design = model._design(sample, np.linspace(0, 8, n_models), len(sample.codes), 0)
    data = training_data(sample, model.sensitive_plan_.n_groups, design)
    clock = Clock()
    with one_thread():
        run: Any = build(design, data)
        run.networks.train()
        epoch(run, Clock())
        for _ in range(2):
            epoch(run, clock)
        parts = clock.microseconds()
        floor = 2 * product_seconds(design.settled_batch_size, sample.n_inputs) * 1e6
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
    places = Places(torch.as_tensor(encoder.places(x)), encoder.layout_)
    first = torch.arange(n_rows)
    made = {
        "dropout by bytes": lambda: network._mask(network.dropout_factors, shape),
        "dropout by floats": lambda: (torch.rand(shape, generator=generator) >= 0.2).float() / 0.8,
        "rows by index_select": lambda: table.index_select(0, few),
        "rows by []": lambda: table[few],
        f"rows of 14 columns spread out to {encoder.layout_.width}": lambda: places.rows(first),
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
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}; torch {version('torch')}; one thread; microseconds of a step on Adult")
    table = pd.DataFrame({f"{n} models": measure(n) for n in (1, 10)}).round(0)
    print(table.astype(int).to_string())
    with one_thread():
        print(f"\n{alternatives().round(1).to_string()}")


if __name__ == "__main__":
    main()
