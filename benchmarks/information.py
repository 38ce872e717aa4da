"""Estimates of each bound on tasks whose mutual information is known.

Run: OMP_NUM_THREADS=1 python benchmarks/information.py --output benchmarks/results/information.csv

Of each task's 10,000 rows, 8,000 train the critic and the estimate is read on the other 2,000. The
seeds of a task are samples of their own; their critics train together on the model axis.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from information_tasks import TASKS, Task

from common.machine import parser, print_machine, write
from fairmi.dependence import PENALTIES
from fairmi.dependence._ascent import Samples, read
from fairmi.dependence._observations import Reader

BOUNDS = [
    name
    for name, bound in PENALTIES.items()
    if hasattr(bound, "estimate") and bound.is_information
]
N_ROWS, TRAINED = 10_000, 0.8


def estimates(name: str, task: Task, n_seeds: int, n_rows: int) -> list[dict[str, Any]]:
    """Return the estimate of a bound on each seed's sample of a task."""
    start = time.process_time()
    bound = PENALTIES[name]()
    trained, others = [], []
    stop = round(TRAINED * n_rows)
    for seed in range(n_seeds):
        Z, C = task.draw(n_rows, np.random.default_rng(seed))
        reader = Reader(Z[:stop], C[:stop], plain_c=bound.models_c)
        trained.append(reader.read(Z[:stop], C[:stop]))
        others.append(reader.read(Z[stop:], C[stop:]))
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
    made = parser(__doc__)
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--bounds", nargs="+", choices=BOUNDS, default=BOUNDS)
    made.add_argument("--rows", type=int, default=N_ROWS, help="of a sample")
    options = made.parse_args()
    torch.set_num_threads(1)
    print_machine()
    start = time.perf_counter()
    found: list[dict[str, Any]] = []
    for name in options.bounds:
        for task in TASKS:
            found += estimates(name, task, options.seeds, options.rows)
        print(f"{name}: done after {time.perf_counter() - start:.0f} s", flush=True)
        rows = pd.DataFrame(found)
        write(rows, options.output)
    print(f"\nmean error over {options.seeds} seeds, nats\n{summary(rows).to_string()}")
    print(f"\nwithin 0.10 nats up to 1 nat, 15 % above\n{within(rows).round(2).to_string()}")
    print(f"\nmean seconds a fit\n{rows.groupby('bound', sort=False).seconds.mean().round(2)}")


if __name__ == "__main__":
    main()
