"""A thread for each core, or one for few rows: alone, and beside a process on the same cores.

Run: python benchmarks/busy.py --output benchmarks/results/busy.csv

Seconds by the clock, since waiting threads keep processors busy. Processes beside one another that
have a thread for each core take seconds or minutes by chance: so a row for each turn. Not with
OMP_NUM_THREADS=1, which leaves nothing to compare.
"""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from common.machine import parser, print_machine, seconds_of, write
from fairmi import MIBoostingClassifier, _threads
from fairmi.metrics import leakage_score

ROWS = (4_000, 10_000, 30_000, 100_000, 300_000)
N_BUSY_ROWS = 2_000
N_TURNS = 2
MAX_ROWS_OF_OURS = 100_000


def table(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ten columns, labels that two of them interact in, and a group that one tells."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 10))
    y = (x[:, 1] + x[:, 0] * x[:, 2] + random.normal(size=rows) > 0).astype(int)
    return x, y, (x[:, 3] + random.normal(size=rows) > 0).astype(int)


def alone(rows: int) -> list[dict[str, Any]]:
    """Return seconds of fits on one thread and on all, the least of a few turns."""
    x, y, c = table(rows)
    fits = {
        "HistGradientBoosting, 50 rounds": lambda: HistGradientBoostingClassifier(
            max_iter=50, early_stopping=False
        ).fit(x, y)
    }
    if rows <= MAX_ROWS_OF_OURS:
        fits["fairmi, trees"] = lambda: MIBoostingClassifier(random_state=0).fit(
            x, y, sensitive_features=c
        )
    _threads.ROWS_OF_A_THREAD = 1
    found = []
    for name, fit in fits.items():
        taken = {}
        for threads in (1, None):
            with threadpool_limits(threads):
                taken[threads] = min(seconds_of(fit)[0] for _ in range(N_TURNS))
        found.append({"what": name, "rows": rows, "one thread": taken[1], "all": taken[None]})
    return found


def leakage_seconds(rows_of_a_thread: int) -> float:
    """Return the seconds of a leakage score where so many rows get a thread."""
    _threads.ROWS_OF_A_THREAD = rows_of_a_thread
    x, _, c = table(N_BUSY_ROWS)
    return seconds_of(lambda: leakage_score(x[:, 1:4], c, random_state=0))[0]


def beside(processes: int) -> dict[str, Any]:
    """Return seconds of a leakage score in so many processes at once, the mean over them."""
    taken = {}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(time.sleep, [0.1] * processes)  # all are there
        for name, rows in (("one thread", _threads.ROWS_OF_A_THREAD), ("all", 1)):
            taken[name] = float(np.mean(pool.map(leakage_seconds, [rows] * processes, 1)))
    what = f"leakage_score, {processes} at once"
    return {"what": what, "rows": N_BUSY_ROWS} | taken


def main() -> None:
    """Print both tables, and write them."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, nargs="*", default=ROWS, help="of the fits alone")
    options = made.parse_args()
    print_machine()
    found = [beside(processes) for processes in (1, 2) for _ in range(N_TURNS)]
    found += [row for rows in options.rows for row in alone(rows)]
    frame = pd.DataFrame(found)
    print(frame.round(3).to_string(index=False))
    write(frame, options.output)


if __name__ == "__main__":
    main()
