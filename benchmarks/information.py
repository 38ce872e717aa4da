"""Estimates of each bound on tasks whose mutual information is known.

Run: OMP_NUM_THREADS=1 python benchmarks/information.py --output benchmarks/results/information.csv

Of each task's 10,000 rows, 8,000 train the critic and the estimate is read on the other 2,000. The
seeds of a task are samples of their own; their critics train together on the model axis. The
transforms of tasks and their reasons: Czyż et al., *Beyond Normal: On the Evaluation of Mutual
Information Estimators*, arXiv 2306.11078.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.integrate import trapezoid
from scipy.special import digamma, gammaln
from scipy.stats import norm
from shared import parser, print_machine, write

from fairmi.dependence import PENALTIES
from fairmi.dependence.estimator import Samples, read
from fairmi.dependence.observations import Reader

Draw = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Task:
    """How to draw n rows of Z and C, and their information in nats."""

    name: str
    truth: float
    draw: Draw


def normal_information(rho: float, n_pairs: int = 1) -> float:
    """Return the information of pairs of normals of correlation rho."""
    return float(-n_pairs * np.log(1 - rho**2) / 2)


def gaussian(rho: float, n_pairs: int) -> Task:
    """Return Z and C of `n_pairs` columns, each of Z correlated with its own of C."""
    return transformed(f"normal, {n_pairs} x {n_pairs}, {rho}", rho, n_pairs, lambda x: x)


def transformed(
    name: str, rho: float, n_pairs: int, of_columns: Callable[[np.ndarray], np.ndarray]
) -> Task:
    """Return normal pairs of which each column of Z and C was transformed by one bijection."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z, c = normal_pairs(n, rho, n_pairs, rng)
        return of_columns(z), of_columns(c)

    return Task(name, normal_information(rho, n_pairs), draw)


def normal_pairs(
    n: int, rho: float, n_pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return Z and C (n, n_pairs), standard normal."""
    z, e = rng.normal(size=(2, n, n_pairs))
    return z, rho * z + np.sqrt(1 - rho**2) * e


def student(rho: float, n_pairs: int, freedom: int) -> Task:
    """Return normal pairs over one common chi, which adds dependence of its own."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z, c = normal_pairs(n, rho, n_pairs, rng)
        scale = np.sqrt(rng.chisquare(freedom, size=(n, 1)) / freedom)
        return z / scale, c / scale

    def entropy_part(d: int) -> float:
        half = (freedom + d) / 2
        return float(gammaln(half) - half * digamma(half))

    # Arellano-Valle et al., doi 10.1111/j.1467-9469.2011.00774.x, section 2.
    extra = entropy_part(0) + entropy_part(2 * n_pairs) - 2 * entropy_part(n_pairs)
    truth = normal_information(rho, n_pairs) + extra
    return Task(f"Student-t, {n_pairs} x {n_pairs}, {rho}, {freedom} df", truth, draw)


def spiral(rho: float, speed: float) -> Task:
    """Return normal pairs in the plane, Z turned by an angle that grows with its length."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z, c = normal_pairs(n, rho, 2, rng)
        angle = speed * (z**2).sum(axis=1)
        cos, sin = np.cos(angle), np.sin(angle)
        turned = [cos * z[:, 0] - sin * z[:, 1], sin * z[:, 0] + cos * z[:, 1]]
        return np.column_stack(turned), c

    return Task(f"spiral, 2 x 2, {rho}", normal_information(rho, 2), draw)


def discrete_and_continuous(n_values: int) -> Task:
    """Return Z uniform on 0, 1, ... n - 1, and C uniform between Z and Z + 2.

    Gao et al., *Estimating Mutual Information for Discrete-Continuous Mixtures*, arXiv 1709.06212.
    """

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        z = rng.integers(n_values, size=(n, 1))
        return z, z + rng.uniform(0, 2, size=(n, 1))

    truth = np.log(n_values) - (n_values - 1) / n_values * np.log(2)
    return Task(f"discrete Z of {n_values}, uniform C", float(truth), draw)


def mixed_columns(rho: float, flip: float) -> Task:
    """Return C a group, Z a copy of it that is wrong at times and a normal that it shifts."""

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        c = rng.integers(2, size=n)
        shown = c ^ (rng.random(n) < flip)
        return np.column_stack([shown, 2 * rho * (c - 0.5) + rng.normal(size=n)]), c

    z = np.linspace(-12, 12, 20_001)
    joint = np.array(
        [
            0.5 * right * norm.pdf(z - shift)
            for right, shift in [(1 - flip, rho), (flip, -rho), (flip, rho), (1 - flip, -rho)]
        ]
    )
    # Cells (shown, c): (1, 1), (1, 0), (0, 1), (0, 0).
    information = 0.0
    for one, other in ((0, 1), (2, 3)):
        total = joint[one] + joint[other]
        for cell in (one, other):
            information += trapezoid(joint[cell] * np.log(2 * joint[cell] / total), z)
    return Task("group C, discrete and normal Z", float(information), draw)


TASKS = (
    *(gaussian(rho, 1) for rho in (0.25, 0.5, 0.75, 0.9)),
    *(gaussian(rho, 5) for rho in (0.25, 0.5, 0.75)),
    student(0.75, 1, 5),
    student(0.5, 5, 5),
    transformed("asinh, 1 x 1, 0.75", 0.75, 1, np.arcsinh),
    transformed("half-cube, 1 x 1, 0.75", 0.75, 1, lambda x: x * np.abs(x) ** 0.5),
    transformed("normal CDF, 1 x 1, 0.75", 0.75, 1, norm.cdf),
    spiral(0.75, 1 / 3),
    discrete_and_continuous(5),
    mixed_columns(0.5, 0.1),
)

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
