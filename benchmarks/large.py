"""Default fits of a large table of numbers and text beside HistGradientBoosting's, on one thread.

Run: OMP_NUM_THREADS=1 python benchmarks/large.py --output benchmarks/results/large.csv
     OMP_NUM_THREADS=1 python benchmarks/large.py --rows 200000 --steps 1 0.5 0.25 --seeds 3

Time is that of the processor, so that what else a machine does changes little.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import demographic_parity_difference
from sklearn.ensemble import HistGradientBoostingClassifier

from common.large_table import TEXTS, table
from common.machine import parser, print_machine, write
from fairmi import MIBoostingClassifier, MIDebiasedClassifier

HELD_OUT = 100_000
EPOCHS = 15


def methods(lam: float, steps: list[float], seed: int) -> Iterator[tuple[str, Any]]:
    """Yield the name and the classifier of each row of the result."""
    yield "HistGradientBoosting", HistGradientBoostingClassifier(random_state=seed)
    yield "trees, default", MIBoostingClassifier(lam=lam, random_state=seed)
    yield "networks, default", MIDebiasedClassifier(lam=lam, random_state=seed)
    for share in steps:
        n_epochs = max(1, round(EPOCHS * share))
        model = MIDebiasedClassifier(lam=lam, max_iter=n_epochs, random_state=seed)
        yield f"networks, {n_epochs} epochs", model


def measured(model: Any, train: Any, test: Any) -> dict[str, float]:
    """Return the processor time of a fit and of a prediction, and figures on held-out rows."""
    X, y, group = train
    start = time.process_time()
    if isinstance(model, HistGradientBoostingClassifier):
        model.fit(X, y)
    else:
        model.fit(X, y, sensitive_features=group)
    fitted = time.process_time()
    predicted = model.predict(test[0])
    return {
        "fit, s": fitted - start,
        "predict, s": time.process_time() - fitted,
        "accuracy": float((predicted == test[1]).mean()),
        "dp": demographic_parity_difference(test[1], predicted, sensitive_features=test[2]),
        "epochs": float(getattr(model, "n_iter_", np.nan)),
    }


def compared(rows: int, lam: float, steps: list[float], seeds: int, only: str) -> pd.DataFrame:
    """Return all methods on tables of some seeds."""
    found = []
    X, y, group = table(500, 0)
    MIDebiasedClassifier(max_iter=1).fit(X, y, sensitive_features=group)  # loads torch
    for seed in range(seeds):
        X, y, group = table(rows + HELD_OUT, seed)
        trees_read = X.astype({f"text {j}": "category" for j in range(TEXTS)})
        for name, model in methods(lam, steps, seed):
            if only not in name:
                continue
            frame = trees_read if name == "HistGradientBoosting" else X
            parts = [
                (frame[part], y[part], group[part])
                for part in (slice(0, rows), slice(rows, rows + HELD_OUT))
            ]
            found.append(
                {"rows": rows, "seed": seed, "method": name, "lam": lam} | measured(model, *parts)
            )
            print(found[-1], flush=True)
    frame = pd.DataFrame(found)
    if "HistGradientBoosting" not in set(frame.method):
        return frame
    peer = frame[frame.method == "HistGradientBoosting"].set_index("seed")["fit, s"]
    return frame.assign(ratio=frame["fit, s"] / frame.seed.map(peer))


def main() -> None:
    """Print and save the table."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, default=1_000_000)
    made.add_argument("--lam", type=float, default=4.0)
    made.add_argument("--steps", type=float, nargs="*", default=[], help="shares of 15 epochs")
    made.add_argument("--seeds", type=int, default=1)
    made.add_argument("--only", default="", help="methods whose name has this in it")
    options = made.parse_args()
    print_machine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of short trainings
        frame = compared(options.rows, options.lam, options.steps, options.seeds, options.only)
    print(frame.round(4).to_string(index=False))
    write(frame, options.output)


if __name__ == "__main__":
    main()
