"""Intervals of the largest gap between many groups: false alarms, coverage and width."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from joblib import Parallel, delayed
from truth_rows import Row

from fairmi.audit.figures.intervals import disparity_interval

SIZES = ((2, 200), (10, 200), (20, 200), (40, 100), (100, 100), (100, 1_000))


def many_groups(repetitions: int, jobs: int) -> Iterator[Row]:
    """Return how often the interval holds the gap, for groups alike and not; 95 % are wanted."""
    repetitions *= 50
    for n_groups, n_rows in SIZES:
        for rate in (0.05, 0.3):
            for spread in (0.0, 0.2):
                share = np.linspace(rate, rate + spread, n_groups)
                task = delayed(_gaps)
                found = Parallel(jobs)(task(share, n_rows, seed) for seed in range(repetitions))
                low, high, ratio = np.array(found).T
                name = f"{n_groups} groups of {n_rows}, rates {rate} to {rate + spread:.2g}"
                figures = {
                    "low end above the gap": (low > spread + 1e-9).mean(),
                    "high end below the gap": (high < spread - 1e-9).mean(),
                    "ratio's interval excludes the ratio": (
                        ratio < rate / (rate + spread) - 1e-9
                    ).mean(),
                    "mean low end": low.mean(),
                    "mean high end": high.mean(),
                }
                for measure, value in figures.items():
                    yield Row(
                        "many groups",
                        name,
                        n_groups * n_rows,
                        repetitions,
                        measure,
                        float(value),
                    )


def _gaps(share: np.ndarray, n_rows: int, seed: int) -> tuple[float, float, float]:
    rng = np.random.default_rng(seed)
    rates = (rng.binomial(n_rows, share) / n_rows)[:, None]
    sizes = np.full(rates.shape, float(n_rows))
    found = disparity_interval(rates, sizes, 0.95)
    ratio = disparity_interval(rates, sizes, 0.95, ratio=True)
    return found.low, found.high, float(np.exp(-ratio.low))
