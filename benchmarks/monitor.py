"""FairnessMonitor by simulation: false alarms over many looks, and the delay until an alarm.

Each look adds a batch of rows of two groups. All runs are simulated side by side, with the
periods, weights and bets of the monitor; that both ring at the same look is checked on one run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import norm

from fairmi.audit import FairnessMonitor
from fairmi.audit.monitor import FIRST_SHARE, LOG_SERIES
from fairmi.audit.periods import MAX_PERIODS
from fairmi.audit.sequences import is_above

TOLERANCE, ERROR = 0.1, 0.05
Batches = Iterator[tuple[np.ndarray, np.ndarray]]


def batches(
    rates: Callable[[int], tuple[float, float]], looks: int, rows: int, runs: int, seed: int
) -> Batches:
    """Yield successes of two groups of `rows` / 2 rows each, (2, runs), for every look."""
    rng = np.random.default_rng(seed)
    for look in range(looks):
        yield np.stack([rng.binomial(rows // 2, p, runs) for p in rates(look)])


def monitor_looks(stream: Batches, rows: int, runs: int) -> np.ndarray:
    """Return the look at which the monitor rings in each run, infinite where it never does."""
    rung = np.full(runs, np.inf)
    periods: list[tuple[int, int, np.ndarray]] = []  # number, rows of a group, successes
    for look, successes in enumerate(stream):
        periods.append((look + 1, rows // 2, successes))
        if len(periods) > MAX_PERIODS:
            pairs = zip(periods[::2], [*periods[1::2], (0, 0, 0)], strict=False)
            periods = [(k, n + m, s + t) for (k, n, s), (_, m, t) in pairs]
        k = np.array([p[0] for p in periods]) + 1.0
        weight = 0.5 / (LOG_SERIES * k * np.log(k) ** 2)
        weight[0] = 0.5
        wanted = np.log(2 / (ERROR * FIRST_SHARE * weight))[:, None]
        silent = np.isinf(rung)
        counts = np.stack([p[2][:, silent] for p in periods])[::-1].cumsum(axis=0)[::-1]
        n = np.array([p[1] for p in periods])[::-1].cumsum()[::-1, None]
        first, second = (counts[:, 0], n), (counts[:, 1], n)
        above = is_above(first, second, TOLERANCE, wanted) | is_above(
            second, first, TOLERANCE, wanted
        )
        rung[np.flatnonzero(silent)[above.any(axis=0)]] = look
    return rung


def fixed_looks(stream: Batches, rows: int, runs: int, every: int, tests: int) -> np.ndarray:
    """Return when a test of the rows since the last one rings, at every `every`-th look.

    A one-sided test each way that the difference is above the tolerance, of error 0.05 / `tests`.
    """
    rung, total = np.full(runs, np.inf), np.zeros((2, runs))
    for look, successes in enumerate(stream):
        total += successes
        if (look + 1) % every:
            continue
        n = every * rows / 2
        p = total / n
        spread = np.sqrt((p * (1 - p)).sum(axis=0) / n)
        above = np.abs(p[0] - p[1]) - TOLERANCE > norm.isf(ERROR / 2 / tests) * spread
        rung[above & np.isinf(rung)] = look
        total = np.zeros((2, runs))
    return rung


def check_twin(stream: Batches, rows: int, expected: float) -> None:
    """Raise AssertionError where FairnessMonitor rings at another look than the simulation."""
    monitor = FairnessMonitor(tolerance={"selection_rate": TOLERANCE}, confidence=1 - ERROR)
    group = np.repeat(["a", "b"], rows // 2)
    for look, successes in enumerate(stream):
        order = np.arange(rows // 2)
        monitor.update(np.concatenate([order < s for s in successes[:, 0]]), group, time=look)
        assert monitor.alarm == (look >= expected), look


def false_alarms(looks: int, rows: int, runs: int) -> None:
    """Print how many of the runs ring where the difference is the tolerance, the hardest case."""
    cases = {
        "rates .5 and .4": lambda _: (0.5, 0.4),
        "rates .12 and .02": lambda _: (0.12, 0.02),
        "both drift by .3, always .1 apart": lambda look: (
            0.5 + 0.15 * np.sin(look / 200),
            0.4 + 0.15 * np.sin(look / 200),
        ),
    }
    for name, rates in cases.items():
        start = time.perf_counter()
        rung = monitor_looks(batches(rates, looks, rows, runs, 0), rows, runs)
        share = np.isfinite(rung).mean()
        always = fixed_looks(batches(rates, looks, rows, runs, 0), rows, runs, 10, 1)
        print(
            f"{name}: {looks} looks of {rows} rows, {runs} runs: monitor {share:.4f} "
            f"(error {np.sqrt(share * (1 - share) / runs):.4f}); a plain 5 % test of each ten "
            f"batches {np.isfinite(always).mean():.3f}; {time.perf_counter() - start:.0f} s",
            flush=True,
        )


def delays(looks: int, rows: int, runs: int) -> None:
    """Print the delay after a change in the middle, beside a test at every 30th look."""
    for late in (0.2, 0.25, 0.3, 0.4):

        def rates(look: int, late: float = late) -> tuple[float, float]:
            return (0.5, 0.5 - (late if look >= looks // 2 else 0.0))

        stream = (rates, looks, rows, runs, 1)
        rung = monitor_looks(batches(*stream), rows, runs)
        check_twin(batches(rates, looks, rows, runs, 1), rows, rung[0])
        fixed = fixed_looks(batches(*stream), rows, runs, 30, looks // 30)
        early = [float((r < looks // 2).mean()) for r in (rung, fixed)]
        words = []
        for delay in (rung - looks // 2 + 1, fixed - looks // 2 + 1):
            q = np.quantile(delay[delay > 0], [0.5, 0.9], method="higher")
            words.append(f"{q[0]:.0f} looks in the median, {q[1]:.0f} in 90 %")
        print(
            f"difference 0, then {late}: monitor {words[0]}; test of every 30 looks {words[1]}; "
            f"alarms before {early[0]:.3f} and {early[1]:.3f}",
            flush=True,
        )


def main() -> None:
    """Read the arguments and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="simulated monitors (400)")
    parser.add_argument("--looks", type=int, default=10_000, help="for false alarms (10000)")
    options = parser.parse_args()
    delays(720, 100, options.runs)
    false_alarms(options.looks, 20, options.runs)


if __name__ == "__main__":
    main()
