"""Memory: the peak of a fit of Adult, its growth over many partial_fit, the size of a pickle.

Run: OMP_NUM_THREADS=1 python benchmarks/memory.py
"""

from __future__ import annotations

import multiprocessing
import pickle
import resource
import warnings

import numpy as np

from common.data import adult, first_rows
from common.machine import parser, print_machine
from fairmi import MIDebiasedClassifier

WARM_UP = 20
BATCH_ROWS = 2_048


def peak(rows: int | None) -> tuple[float, float]:
    """Return the MB that a fit of Adult adds at its peak, and those of the encoded table."""
    train = first_rows(adult("train"), rows)
    few = train.take(np.arange(500))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch of 500 rows learns nothing
        MIDebiasedClassifier(max_iter=1, random_state=0).fit(
            few.x, few.y, sensitive_features=few.c
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = MIDebiasedClassifier(lam=4.0, max_iter=2, random_state=0)
    model.fit(train.x, train.y, sensitive_features=train.c)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    encoded = model.encoder_.transform(train.x).nbytes
    return (after - before) / 1024, encoded / 2**20


def print_peak(rows: int | None) -> None:
    """Measure the peak in a process of its own, which nothing before has grown."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        added, encoded = pool.apply(peak, (rows,))
    print(f"peak of a fit: {added:.0f} MB; encoded float32 table: {encoded:.0f} MB")


def resident_mb() -> float:
    """Return the memory of this process that is in RAM now, in MB (Linux)."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def print_stream(n_batches: int) -> None:
    """Print the memory as it goes, its growth after the first batches, and a pickle's size."""
    train = adult("train")
    rng = np.random.default_rng(0)
    model = MIDebiasedClassifier(lam=4.0, sensitive_columns="sex", random_state=0)
    readings = []
    for number in range(1, n_batches + 1):
        batch = train.take(rng.integers(len(train.y), size=BATCH_ROWS))
        model.partial_fit(batch.x, batch.y, classes=[0, 1])
        readings.append(resident_mb())
        if number in (WARM_UP, n_batches) or number % 50 == 0:
            print(f"after {number:3d} batches of {BATCH_ROWS} rows: {readings[-1]:.1f} MB")
    growth = readings[-1] / readings[WARM_UP - 1] - 1
    print(f"growth after the first {WARM_UP} batches: {100 * growth:.2f} %")
    size = len(pickle.dumps(model))
    parameters = sum(value.nbytes for value in model.parameters_.values())
    print(f"pickle {size} bytes over parameters {parameters} bytes: {size / parameters:.3f}")


def main() -> None:
    """Print both."""
    made = parser(__doc__, output=False)
    made.add_argument("--batches", type=int, default=200, help=f"of the stream, over {WARM_UP}")
    made.add_argument("--rows", type=int, help="of the fit, few: to see that it runs")
    options = made.parse_args()
    print_machine()
    print_peak(options.rows)
    print_stream(options.batches)


if __name__ == "__main__":
    main()
