"""One training over processes that each hold a share of the rows, beside one process with all.

Run: OMP_NUM_THREADS=1 python benchmarks/data_parallel.py \
         --output benchmarks/results/data_parallel.csv

Time is that of the processor, of the busiest process: what a machine for each of them would take,
but for its network.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
import warnings
from contextlib import nullcontext

import numpy as np
import pandas as pd
from fairlearn.metrics import demographic_parity_difference
from torch import distributed

from common.large_table import table
from common.machine import parser, print_machine, write
from fairmi import MIDebiasedClassifier, data_parallel

HELD_OUT = 20_000
# Larger batches take longer steps: as the square root, for Adam.
RATE, ROWS_OF_RATE = 0.01, 256


def worker(rank: int, n_processes: int, folder: str, setting: dict[str, int]) -> pd.DataFrame:
    """Fit one model for each seed, and measure it on rows that no process trained on."""
    warnings.simplefilter("ignore")
    rows, batch_size = setting["rows"], setting["batch_size"]
    if n_processes > 1:
        place = f"file://{folder}/group"
        distributed.init_process_group(
            "gloo", init_method=place, rank=rank, world_size=n_processes
        )
    found = []
    for seed in range(setting["seeds"]):
        X, y, group = table(rows + HELD_OUT, seed)
        part, fresh = slice(rank, rows, n_processes), slice(rows, None)
        model = MIDebiasedClassifier(
            lam=4.0,
            max_iter=setting["epochs"],
            batch_size=batch_size,
            learning_rate=RATE * (batch_size / ROWS_OF_RATE) ** 0.5,
            random_state=seed,
        )
        start = time.process_time()
        with data_parallel() if n_processes > 1 else nullcontext():
            model.fit(X[part], y[part], sensitive_features=group[part])
        seconds = time.process_time() - start
        predicted = model.predict(X[fresh])
        gap = demographic_parity_difference(y[fresh], predicted, sensitive_features=group[fresh])
        accuracy = (predicted == y[fresh]).mean()
        found.append({"seed": seed, "s": seconds, "accuracy": accuracy, "dp": gap})
    if n_processes > 1:
        distributed.destroy_process_group()
    return pd.DataFrame(found)


def measured(n_processes: int, setting: dict[str, int]) -> pd.DataFrame:
    """Return the figures of each seed, with the time of the busiest process."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, spawn.Pool(n_processes) as pool:
        jobs = [(rank, n_processes, folder, setting) for rank in range(n_processes)]
        parts = pool.starmap(worker, jobs, chunksize=1)
    busiest = np.max([part["s"] for part in parts], axis=0)
    return parts[0].assign(s=busiest, processes=n_processes, **setting)


def main() -> None:
    """Print and save the rows, and the difference with its standard error."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, default=40_000)
    made.add_argument("--batch-size", type=int, default=2048)
    made.add_argument("--epochs", type=int, default=10)
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--processes", type=int, default=2)
    options = vars(made.parse_args())
    print_machine()
    output, n_processes = options.pop("output"), options.pop("processes")
    one, several = (measured(n, options) for n in (1, n_processes))
    frame = pd.concat([one, several])
    print(frame.round(4).to_string(index=False))
    for name in ("accuracy", "dp", "s"):
        difference = several[name] - one[name]
        error = difference.std(ddof=1) / len(difference) ** 0.5
        print(f"{name}: {difference.mean():+.4f}, standard error {error:.4f}")
    write(frame, output)


if __name__ == "__main__":
    main()
