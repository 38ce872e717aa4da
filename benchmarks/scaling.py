"""Time and memory of a fit over rows, features, groups and values of λ, on synthetic tables.

Run: OMP_NUM_THREADS=1 python benchmarks/scaling.py --output benchmarks/results/scaling.csv
"""

from __future__ import annotations

import multiprocessing
import resource
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from common.machine import parser, print_machine, seconds_of, write
from fairmi import MIDebiasedClassifier
from fairmi.path import fairness_path

# One epoch: the time of a fit is that of its epochs, and of reading the table once.
BASE = {"rows": 100_000, "features": 10, "groups": 2, "lams": 1}
SWEEPS = {
    "rows": (10_000, 100_000, 1_000_000, 10_000_000),
    "features": (5, 10, 20, 40),
    "groups": (2, 5, 20, 100),
    "lams": (1, 2, 5, 10, 20),
}


def table(rows: int, features: int, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return X float32, y and groups, of which both hang on the first columns."""
    random = np.random.default_rng(0)
    X = random.standard_normal((rows, features), dtype=np.float32)
    s = np.digitize(X[:, 0], np.quantile(X[:, 0], np.arange(1, groups) / groups))
    y = (X[:, 0] + X[:, 1] + random.standard_normal(rows, dtype=np.float32) > 0).astype(int)
    return X, y, s.astype(str)


def measure(rows: int, features: int, groups: int, lams: int) -> dict[str, float]:
    """Return the seconds of a fit of one epoch and the MB that it adds at its peak."""
    X, y, s = table(rows, features, groups)
    setting = {"lams": np.linspace(1, 8, lams), "estimator": MIDebiasedClassifier(max_iter=1)}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch does not converge
        few = slice(0, 2_000)
        fairness_path(X[few], y[few], sensitive_features=y[few], **setting)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds, (_, models) = seconds_of(
            lambda: fairness_path(X, y, sensitive_features=s, **setting)
        )
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "epoch seconds": models[0].history_[0]["seconds"],
        "peak MB": (after - before) / 1024,
        "float32 input MB": X.nbytes / 2**20,
    }


def sweep(max_rows: int) -> pd.DataFrame:
    """Measure each point in a process of its own, which nothing before has grown."""
    rows = []
    for name, values in SWEEPS.items():
        for value in values:
            setting = BASE | {name: value}
            if setting["rows"] > max_rows:
                continue
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                measured = pool.apply(measure, kwds=setting)
            rows.append({"sweep": name} | setting | measured)
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def exponents(frame: pd.DataFrame) -> pd.DataFrame:
    """Return, for each sweep, the power of its variable that time grows with, end to end."""
    found = []
    for name, part in frame.groupby("sweep", sort=False):
        first, last = part.iloc[0], part.iloc[-1]
        ratio = last["seconds"] / first["seconds"]
        power = np.log(ratio) / np.log(last[str(name)] / first[str(name)])
        found.append(
            {"sweep": name, "from": first[str(name)], "to": last[str(name)], "power": power}
        )
    return pd.DataFrame(found)


def draw(frame: pd.DataFrame, path: Path) -> None:
    """Draw time over each variable on log scales."""
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(SWEEPS), figsize=(13, 3.2), sharey=True, layout="constrained"
    )
    for ax, name in zip(axes, SWEEPS, strict=True):
        part = frame[frame.sweep == name]
        ax.loglog(part[name], part["seconds"], "o-", color="#0072B2")
        ax.set_xticks(part[name], [f"{value:,}" for value in part[name]])
        ax.minorticks_off()
        ax.set_xlabel({"lams": "values of λ in one path"}.get(name, name))
        ax.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("seconds of a fit of one epoch")
    figure.suptitle("100,000 rows, 10 features, 2 groups and 1 λ, but for what varies; one thread")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print and save the table, and draw it."""
    made = parser(__doc__)
    made.add_argument("--max-rows", type=int, default=1_000_000)
    options = made.parse_args()
    print_machine()
    frame = sweep(options.max_rows)
    for shown in (frame, exponents(frame)):
        print(f"\n{shown.round(3).to_string(index=False)}")
    write(frame, options.output)
    if options.output is not None:
        draw(frame, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
