"""What a small difference over all rows hides: differences within parts of Adult's test part.

Each method has models about one demographic parity difference. Read off between the two next to it
are the difference of men and women among the married, and among those of each label: the last
column of the README.

Run: OMP_NUM_THREADS=1 python benchmarks/within.py --output benchmarks/results/within.csv
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from common.data import Split, adult
from common.machine import parser, print_machine, write
from common.methods import METHODS

AT = 0.02
LAMS = (0.0, 2.0, 4.0, 6.0, 8.0, 12.0)
SETTINGS = {
    "trees": LAMS,
    "network": LAMS,
    "four_networks": LAMS,
    "thresholds": (0.0, 0.01, 0.02, 0.03, 0.04),
    "reduction": (0.01, 0.02, 0.03),
}
MARRIED = "Married-civ-spouse"


def predictions(split: Split, seeds: range) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield method, setting and predicted classes of the test rows."""
    for name, settings in SETTINGS.items():
        method = METHODS[name]
        for some, of_seeds in method.jobs(settings, seeds):
            for point in method.run(split, "demographic_parity", some, of_seeds):
                yield method.title, point.setting, point.predicted


def differences(split: Split, predicted: np.ndarray) -> dict[str, float]:
    """Return the rate of men less that of women, over all test rows and within parts of them."""
    test = split.test
    men = (test.c == "Male").to_numpy()
    married = (test.x["marital_status"] == MARRIED).to_numpy()
    parts = {
        "all": np.ones(len(men), bool),
        "married": married,
        "label 0": test.y == 0,
        "label 1": test.y == 1,
    }
    return {
        name: float(predicted[rows & men].mean() - predicted[rows & ~men].mean())
        for name, rows in parts.items()
    }


def read_off(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the differences within parts where that over all rows is AT; NaN beyond the ends."""
    lines = {}
    for method, points in rows.groupby("method", sort=False):
        line = points.groupby("setting").mean(numeric_only=True).sort_values("all")
        reached = line["all"].iloc[0] <= AT <= line["all"].iloc[-1]
        lines[method] = {
            part: np.interp(AT, line["all"], line[part]) if reached else np.nan
            for part in ("married", "label 0", "label 1")
        }
    return pd.DataFrame(lines).T


def main() -> None:
    """Print the differences of each setting, and those read off."""
    made = parser(__doc__)
    made.add_argument("--seeds", type=int, default=2, help="starting weights, or draws")
    options = made.parse_args()
    print_machine()
    split = Split(adult("train"), adult("test"))
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method, setting, predicted in predictions(split, range(options.seeds)):
            row = {"method": method, "setting": setting}
            rows.append(row | differences(split, np.asarray(predicted)))
    table = pd.DataFrame(rows)
    print(table.groupby(["method", "setting"], sort=False).mean().round(3).to_string())
    print(f"\nread off where the difference over all rows is {AT}")
    print(read_off(table).round(3).to_string())
    write(table, options.output)


if __name__ == "__main__":
    main()
