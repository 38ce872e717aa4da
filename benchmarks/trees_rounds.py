"""Trees on validation rows: what the rounds under the penalty give up, at each λ and constraint.

    python benchmarks/trees_rounds.py --task adult_4000 --data ../shared/data
    python benchmarks/trees_rounds.py --against-y --lams 1 4 16 --data ../shared/data

The official test part of Adult is not read: its training part is split. Rows of one split share a
seed, so that two versions of the package can be compared split by split (`--output`). With
--against-y the same base is debiased twice, with its own predictions as the target of the rounds
and with y, and the paired difference is printed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from shared import parser, print_machine, rows_named, write
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from fairmi import MIBoostingClassifier
from fairmi.boosting import training
from fairmi.boosting.base import Base, averaged
from fairmi.compare._rows import LabelledRows, adult_rows
from fairmi.core.task import Classes, Objective

LAMS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
# Rows to learn from (None: two thirds), and splits: more where chance is larger.
TASKS: dict[str, tuple[int | None, int]] = {
    "adult": (None, 3),
    "adult_4000": (4000, 8),
    "adult_300": (300, 24),
    "adult_rare": (8000, 6),
    "credit": (None, 3),
    "census": (15_000, 3),
    "german": (None, 24),
}


def part_of(task: str, data: Path | None) -> LabelledRows:
    """Return all rows of a task; of "adult_rare" 1 in 100 is positive."""
    if task in ("german", "credit", "census"):
        return rows_named(task, data)
    part = adult_rows("train")
    if task != "adult_rare":
        return part
    positive = np.flatnonzero(part.y == 1)
    few = np.random.default_rng(0).choice(positive, len(part.y) // 130, replace=False)
    return part.take(np.sort(np.concatenate([np.flatnonzero(part.y == 0), few])))


def measured(model: MIBoostingClassifier, test: LabelledRows) -> dict[str, float]:
    """Return scores of test rows, and signed differences of rates between the two groups."""
    predicted, p = model.predict(test.X), model.predict_proba(test.X)[:, 1]
    first = test.s == np.unique(test.s)[0]

    def difference(rows: np.ndarray) -> float:
        return float(predicted[rows & first].mean() - predicted[rows & ~first].mean())

    return {
        "accuracy": float((predicted == test.y).mean()),
        "log_loss": float(log_loss(test.y, p)),
        "auc": float(roc_auc_score(test.y, p)),
        "dp": difference(np.ones(len(first), dtype=bool)),
        "tpr": difference(test.y == 1),
        "fpr": difference(test.y == 0),
    }


class SameBase:
    """Trains a base at the first call, and returns it at all others."""

    def __init__(self) -> None:
        self.base: Base | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Base:
        """Return the base."""
        if self.base is None:
            self.base = averaged(*args, **kwargs)
        return self.base


def beside_y(
    task: Classes, base_scores: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> Objective:
    """Return the loss against y itself, as the rounds had it up to version 0.2."""
    return Objective.of(task, task.target(y), weights)


def rows_of(task: str, constraint: str, options: argparse.Namespace) -> pd.DataFrame:
    """Return a row for each split, target and λ."""
    part = part_of(task, options.data)
    n_rows, n_splits = TASKS[task]
    rows = []
    for seed in range(min(n_splits, options.splits)):
        train, test = train_test_split(
            np.arange(len(part.y)), test_size=1 / 3, random_state=seed, stratify=part.strata
        )
        if n_rows is not None:
            train, _ = train_test_split(
                train, train_size=n_rows, random_state=seed, stratify=part.strata[train]
            )
        learn, held_out = part.take(train), part.take(test)
        model, same_base = MIBoostingClassifier(constraint=constraint, random_state=0), SameBase()
        for target in ("base", "y") if options.against_y else ("base",):
            start = time.process_time()
            with ExitStack() as patches:
                patches.enter_context(patch.object(training, "averaged", same_base))
                if target == "y":
                    patches.enter_context(patch.object(Classes, "beside_base", beside_y))
                models = model.fit_path(
                    learn.X, learn.y, lams=options.lams, sensitive_features=learn.s
                )
            seconds = time.process_time() - start
            for lam, fitted in zip(options.lams, models, strict=True):
                row = {"task": task, "constraint": constraint, "target": target, "split": seed}
                row |= {"lam": lam, **measured(fitted, held_out), "seconds": seconds}
                rows.append(row)
    return pd.DataFrame(rows)


def print_differences(rows: pd.DataFrame) -> None:
    """Print what the base's predictions as target have over y, paired by split."""
    keys = ["task", "constraint", "lam", "split"]
    values = rows.assign(eo=rows[["tpr", "fpr"]].abs().max(axis=1), dp=rows["dp"].abs()).set_index(
        ["target", *keys]
    )[["log_loss", "auc", "accuracy", "dp", "eo"]]
    both = (values.loc["base"] - values.loc["y"]).groupby(keys[:3], sort=False)
    shown = pd.concat([both.mean(), both.sem().add_suffix(" ±")], axis=1)
    print("base less y as the target:")
    print(shown.round(4).to_string(), flush=True)


def main() -> None:
    """Measure the tasks that are asked for."""
    options = _options().parse_args()
    warnings.simplefilter("ignore")  # the largest λ are above their ceiling on some tables
    print_machine()
    names = TASKS if options.task == "all" else [options.task]
    parts = []
    for task in names:
        for constraint in options.constraint.split(","):
            rows = rows_of(task, constraint, options)
            parts.append(rows)
            means = rows.drop(columns="split").groupby(
                ["task", "constraint", "target", "lam"], sort=False
            )
            print(means.mean().round(4).to_string(), flush=True)
            if options.against_y:
                print_differences(rows)
            write(pd.concat(parts), options.output)


def _options() -> argparse.ArgumentParser:
    arguments = parser(__doc__)
    arguments.add_argument("--task", choices=[*TASKS, "all"], default="all")
    arguments.add_argument("--constraint", default="demographic_parity,equalized_odds")
    arguments.add_argument("--data", type=Path, help="folder of tables that are not packed")
    arguments.add_argument("--lams", type=float, nargs="+", default=list(LAMS))
    arguments.add_argument("--splits", type=int, default=24, help="of a task at most")
    arguments.add_argument("--against-y", action="store_true", help="beside y as the target")
    return arguments


if __name__ == "__main__":
    main()
