"""Growth of resident memory over many batches of partial_fit, and the size of a pickle.

Run: OMP_NUM_THREADS=1 python benchmarks/streaming.py
"""

from __future__ import annotations

import pickle
import platform
from importlib.metadata import version

import numpy as np
import pandas as pd

from fairmi import MIDebiasedClassifier
from fairmi.datasets import load_adult

N_BATCHES = 200
WARM_UP = 20
ROWS = 2_048


def resident_mb() -> float:
    """Return the memory of this process that is in RAM now, in MB (Linux)."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Print the memory as it goes and its growth after the first batches."""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}; torch {version('torch')}, pandas {version('pandas')}; one thread")
    train = load_adult(subset="train")
    rng = np.random.default_rng(0)
    model = MIDebiasedClassifier(lam=4.0, sensitive_columns="sex", random_state=0)
    readings = []
    for number in range(1, N_BATCHES + 1):
        rows = rng.integers(len(train.data), size=ROWS)
        X: pd.DataFrame = train.data.iloc[rows]
        model.partial_fit(X, train.target.iloc[rows], classes=["<=50K", ">50K"])
        readings.append(resident_mb())
        if number in (WARM_UP, N_BATCHES) or number % 50 == 0:
            print(f"after {number:3d} batches of {ROWS} rows: {readings[-1]:.1f} MB")
    growth = readings[-1] / readings[WARM_UP - 1] - 1
    print(f"growth after the first {WARM_UP} batches: {100 * growth:.2f} %")
    size = len(pickle.dumps(model))
    parameters = sum(value.nbytes for value in model.parameters_.values())
    print(f"pickle {size} bytes over parameters {parameters} bytes: {size / parameters:.3f}")


if __name__ == "__main__":
    main()
