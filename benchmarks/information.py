"""Estimates of each bound on tasks whose mutual information is known.

Run: OMP_NUM_THREADS=1 python benchmarks/information.py --output benchmarks/results/information.csv

Of each task's 10,000 rows, 8,000 train the critic and the estimate is read on the other 2,000. The
seeds of a task are samples of their own; their critics train together on the model axis.
"""

from __future__ import annotations

import argparse
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from information_tasks import TASKS, Task

from fairmi.dependence import PENALTIES
from fairmi.dependence._ascent import Samples, read
from fairmi.dependence._observations import Reader

BOUNDS = [
    name
    for name, bound in PENALTIES.items()
    if hasattr(bound, "estimate") and bound.is_information
]
N_ROWS, N_TRAINED = 10_000, 8_000


def estimates(name: str, task: Task, n_seeds: int) -> list[dict[str, Any]]:
    """Return the estimate of a bound on each seed's sample of a task."""
    start = time.process_time()
    bound = PENALTIES[name]()
    trained, others = [], []
    for seed in range(n_seeds):
        Z, C = task.draw(N_ROWS, np.random.default_rng(seed))
        reader = Reader(Z[:N_TRAINED], C[:N_TRAINED], plain_c=bound.models_c)
        trained.append(reader.read(Z[:N_TRAINED], C[:N_TRAINED]))
        others.append(reader.read(Z[N_TRAINED:], C[N_TRAINED:]))
    critics = bound.trained_critic(Samples.stack(trained, reader.n_groups), seed=0)
    values = read(bound, critics, Samples.stack(others, reader.n_groups)).tolist()
    common = {"bound": name, "task": task.name, "truth": task.truth}
    seconds = (time.process_time() - start) / n_seeds
    return [
        {**common, "seed": seed, "estimate": value, "seconds": seconds}
        for seed, value in enumerate(values)
    ]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return truth and mean error over seeds of each task and bound."""
    errors = rows.assign(error=rows.estimate - rows.truth)
    table = errors.pivot_table(
        index=["task", "truth"], columns="bound", values="error", sort=False
    )
    return table.round(3)


def within(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how many tasks each bound is within 0.10 nats, or 15 % above 1 nat, of the truth."""
    means = rows.groupby(["bound", "task"], sort=False)[["truth", "estimate"]].mean()
    allowed = np.where(means.truth <= 1, 0.10, 0.15 * means.truth)
    means["share of allowed error"] = (means.estimate - means.truth).abs() / allowed
    means["within"] = means["share of allowed error"] <= 1
    return means.groupby("bound", sort=False).agg(
        within=("within", "sum"), tasks=("within", "size"), worst=("share of allowed error", "max")
    )


def main() -> None:
    """Print the tables, and write the estimates where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--bounds", nargs="+", choices=BOUNDS, default=BOUNDS)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "numpy", "scikit-learn"))
    print(f"{machine}; {versions}; one thread")
    start = time.perf_counter()
    found: list[dict[str, Any]] = []
    for name in options.bounds:
        for task in TASKS:
            found += estimates(name, task, options.seeds)
        print(f"{name}: done after {time.perf_counter() - start:.0f} s", flush=True)
        rows = pd.DataFrame(found)
        if options.output is not None:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            stated = rows.round(5).assign(machine=machine, versions=versions)
            stated.to_csv(options.output, index=False)
    print(f"\nmean error over {options.seeds} seeds, nats\n{summary(rows).to_string()}")
    print(f"\nwithin 0.10 nats up to 1 nat, 15 % above\n{within(rows).round(2).to_string()}")
    print(f"\nmean seconds a fit\n{rows.groupby('bound', sort=False).seconds.mean().round(2)}")


if __name__ == "__main__":
    main()
