"""Regression under parity: R² or D² at an equal KS between groups, trees beside their peers.

    python benchmarks/regression.py --data ../shared/data --methods "fairmi, trees"

Half of the rows are learned from, three times; visits are split by person. The methods are those
of `fairmi compare wages`, which measures both halves. With --validation no test row is read: 70 %
of the rows of the first half are learned from, and the rest are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from shared import parser, print_machine, print_means, write
from sklearn.model_selection import GroupShuffleSplit
from threadpoolctl import threadpool_limits

from fairmi.compare import NUMBER_METHODS, methods_named
from fairmi.compare._rows import LabelledRows, visits_rows, wages_rows
from fairmi.compare._run import Split, predict_split, read_point

READ = {"wages": wages_rows, "visits": visits_rows}
AT_KS = (0.10, 0.20)


def splits(
    rows: LabelledRows, splitter: GroupShuffleSplit
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows to learn from and rows to read, those of a person together."""
    owners = np.arange(len(rows)) if rows.clusters is None else rows.clusters
    yield from splitter.split(rows.X, groups=owners)


@threadpool_limits.wrap(limits=1)
def points(
    table: str, rows: LabelledRows, names: list[str], *, validation: bool = False
) -> pd.DataFrame:
    """Return a row for each split, method and setting."""
    halves = splits(rows, GroupShuffleSplit(3, test_size=0.5, random_state=0))
    if validation:
        rows = rows.take(next(halves)[0])
        halves = splits(rows, GroupShuffleSplit(1, test_size=0.3, random_state=1))
    found = []
    for number, (first, second) in enumerate(halves):
        split = Split(rows.take(first), rows.take(second), second)
        for method in methods_named(names, NUMBER_METHODS):
            settings = method.settings(fast=False)
            outcomes = predict_split(method, settings, split, validate=False)
            for setting, outcome in zip(settings, outcomes, strict=True):
                score, ks, _ = read_point(split.test, outcome.labels)
                row = {"table": table, "split": number, "method": method.name}
                row |= {"setting": next(iter(setting.values()), 0), "score": score, "ks": ks}
                row |= {"probe_auc": outcome.probe_auc, "seconds": outcome.seconds}
                found.append(row)
    return pd.DataFrame(found)


def at_ks(rows: pd.DataFrame, ks: float) -> float:
    """Return the score between settings at a KS, NaN where none is so fair or none so unfair."""
    rows = rows.sort_values("ks")
    return float(np.interp(ks, rows["ks"], rows["score"], left=np.nan, right=np.nan))


def main() -> None:
    """Measure the tables that are asked for."""
    made = parser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="folder of the two tables")
    made.add_argument("--tables", nargs="+", choices=list(READ), default=list(READ))
    every = [method.name for method in NUMBER_METHODS]
    made.add_argument("--methods", nargs="+", choices=every, default=every, metavar="NAME")
    made.add_argument("--validation", action="store_true", help="read no test rows")
    options = made.parse_args()
    print_machine()
    tables = ((table, READ[table](options.data)) for table in options.tables)
    validation = options.validation
    rows = pd.concat([points(*t, options.methods, validation=validation) for t in tables])
    by = ["table", "method", "setting"]
    print(rows.drop(columns="split").groupby(by, sort=False).mean().round(4).to_string())
    for ks in AT_KS:
        of_split = rows.groupby(["table", "method", "split"], sort=False)
        scores = of_split[["ks", "score"]].apply(at_ks, ks).rename(f"score at KS {ks}")
        print_means(scores.reset_index(), ["table", "method"], [scores.name])
    write(rows, options.output)


if __name__ == "__main__":
    main()
