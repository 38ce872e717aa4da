"""Time and memory of a fit with a network of one's own, beside a plain torch loop of the same.

Run: OMP_NUM_THREADS=1 python benchmarks/digits_cost.py --digits mnist.npz

Processor time, the methods in turn, so that what else runs on the machine is alike for all.
"""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from digits import COLUMNS, Coloured, Digits, network, plain

from common.machine import parser, print_machine, write
from fairmi import MIDebiasedClassifier
from fairmi.path import fairness_path


def model(epochs: int, batch_size: int, **parameters: Any) -> MIDebiasedClassifier:
    """Return a classifier of the benchmark's network with an open channel."""
    return MIDebiasedClassifier(
        encoder=network,
        n_levels=None,
        batch_size=batch_size,
        max_iter=epochs,
        random_state=0,
        **parameters,
    )


def calls(train: Coloured, epochs: int, batch_size: int) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by name."""
    red = {"sensitive_features": train.bins["red"]}
    one = model(epochs, batch_size)
    three = model(epochs, batch_size, lam=dict.fromkeys(COLUMNS, 1.0), n_critic_steps=1)
    return {
        "plain torch loop": lambda: plain(train, 0, epochs, batch_size),
        "fit, one sensitive feature": lambda: one.fit(train.x, train.y, **red),
        "fit, three, one critic step": lambda: three.fit(
            train.x, train.y, sensitive_features=train.bins
        ),
        "path of five λ": lambda: fairness_path(
            train.x, train.y, estimator=one, lams=[0, 0.5, 1, 2, 4], **red
        ),
    }


def timed(train: Coloured, epochs: int, batch_size: int, repeats: int) -> pd.DataFrame:
    """Return the least processor time of each, and its ratio to the loop and to a fit."""
    spent: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, call in calls(train, epochs, batch_size).items():
            start = time.process_time()
            call()
            spent.setdefault(name, []).append(time.process_time() - start)
    found = pd.DataFrame({"what": list(spent), "seconds": [min(s) for s in spent.values()]})
    loop, fit = found["seconds"][0], found["seconds"][1]
    return found.assign(to_loop=found["seconds"] / loop, to_fit=found["seconds"] / fit)


def peak(path: Path | None, rows: int) -> tuple[float, float]:
    """Return the MB that a fit of one epoch adds at its peak, and those of its images."""
    train = Digits(path).setting(rows, 0.02, 0).train
    few = Coloured(train.x[:512], train.y[:512], train.bins[:512])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch learns little
        calls(few, 1, 256)["fit, three, one critic step"]()
        # The colouring's own peak is forgotten (Linux).
        Path("/proc/self/clear_refs").write_text("5")
        before = memory_mb("VmRSS")
        calls(train, 1, 256)["fit, three, one critic step"]()
    return memory_mb("VmHWM") - before, train.x.nbytes / 2**20


def memory_mb(name: str) -> float:
    """Return a figure of this process's memory, in MB: VmRSS now, VmHWM at the peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def main() -> None:
    """Print and write both."""
    made = parser(__doc__)
    made.add_argument("--digits", type=Path, help="mnist.npz; else scikit-learn's small digits")
    made.add_argument("--rows", type=int, default=10_000)
    made.add_argument("--epochs", type=int, default=2)
    made.add_argument("--batch-size", type=int, default=256)
    made.add_argument("--repeats", type=int, default=2)
    options = made.parse_args()
    print_machine()
    train = Digits(options.digits).setting(options.rows, 0.02, 0).train
    calls(Coloured(train.x[:512], train.y[:512], train.bins[:512]), 1, 256)["plain torch loop"]()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        added, images = pool.apply(peak, (options.digits, options.rows))
    print(f"peak of a fit: {added:.0f} MB over images of {images:.0f} MB, and all before it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = timed(train, options.epochs, options.batch_size, options.repeats)
    print(found.round(2).to_string(index=False))
    write(found.assign(peak_mb=np.round(added), images_mb=np.round(images)), options.output)


if __name__ == "__main__":
    main()
