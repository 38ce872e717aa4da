r"""Accuracy over unfairness of fairmi and its peers, on Adult's test part or another table.

The README's tables, one thread a fit; common/methods.py has the methods:

    python benchmarks/frontier.py --output benchmarks/results/frontier.csv
    python benchmarks/frontier.py --methods trees thresholds reduction_boosting \
        --output benchmarks/results/trees_reduction.csv
    python benchmarks/frontier.py --methods one_fit published --seeds 10 --probe
    python benchmarks/frontier.py --methods one_fit_9_levels --probe
    python benchmarks/frontier.py --methods odds_networks --constraint equalized_odds \
        --choose 0.855

Accuracy at an equal unfairness is read off each method's line through its means over seeds.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from common.choice import choose, held_out
from common.data import Split, add_data_options, splits
from common.lines import Line, paired_difference
from common.machine import parser, print_machine, write
from common.measures import certified, measured, probe_auc
from common.methods import METHODS, Point

UNFAIRNESS = {"demographic_parity": "dp", "equalized_odds": "eo"}
DEFAULT = ("network", "four_networks", "reduction", "reduction_boosting")
AT = (0.01, 0.02, 0.028, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15)
N_FOLDS = 3

Found = tuple[dict[str, Any], np.ndarray]
"""A row of the table, and which test rows are predicted right."""


def job(
    name: str,
    split: Split,
    constraint: str,
    settings: Sequence[float],
    seeds: Sequence[int],
    probe: bool,
) -> list[Found]:
    """Train a method on one thread, and measure each of its points on the test rows."""
    method, found = METHODS[name], []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the published procedure warns of its blind critic
        for point in method.run(split, constraint, settings, seeds):
            row = {"method": method.title, "setting": point.setting, "seed": point.seed}
            row |= {method.knob: point.setting} | measure(point, split, probe)
            found.append((row, point.predicted == split.test.y))
    return found


def measure(point: Point, split: Split, probe: bool) -> dict[str, Any]:
    """Return what a point reaches on the test rows."""
    train, test, model = split.train, split.test, point.model
    row = measured(test.y, point.predicted, test.c) | {"seconds": point.seconds}
    if model is not None:
        row["roc_auc"] = roc_auc_score(test.y, model.predict_proba(test.x)[:, 1])
    if model is not None and probe:
        z, z_test = model.transform(train.x), model.transform(test.x)
        row["probe_auc"] = probe_auc(z, train.c, z_test, test.c)
        row["claimed_nats"] = model.history_[-1]["penalty"]
        row |= certified(z_test, test.c)
    return row


def whole_lines(split: Split, options: argparse.Namespace) -> list[Found]:
    """Return all points of all methods on one split."""
    jobs = [
        delayed(job)(name, split, options.constraint, settings, seeds, options.probe)
        for name in options.methods
        for settings, seeds in METHODS[name].jobs(
            options.settings or METHODS[name].settings, range(options.seeds)
        )
    ]
    found = []
    parts = Parallel(n_jobs=options.jobs, return_as="generator")(jobs)
    for number, part in enumerate(parts, 1):
        found += part
        print(f"{number} of {len(jobs)} jobs done", flush=True)
    return found


def chosen_points(split: Split, options: argparse.Namespace) -> tuple[pd.DataFrame, list[Found]]:
    """Return what held-out rows say of each setting, and the points of the one they choose."""
    held, points = [], []
    for name in options.methods:
        method = METHODS[name]
        settings = options.settings or method.settings
        parts = Parallel(n_jobs=options.jobs)(
            delayed(held_out)(method, split.train, options.constraint, settings, seed, N_FOLDS)
            for seed in range(options.searches)
        )
        rows = pd.concat(parts).assign(method=method.title)
        rows[method.knob] = rows.setting
        held.append(rows)
        means = rows.groupby("setting")[["accuracy", "dp", "eo"]].mean()
        print(f"{method.title}, held-out rows:\n{means.round(4).to_string()}", flush=True)
        best = choose(rows, UNFAIRNESS[options.constraint], options.choose)
        # Models of a path hang on its other settings.
        trained = settings if method.shares == "settings" else (best,)
        for some, seeds in method.jobs(trained, range(options.seeds)):
            found = job(name, split, options.constraint, some, seeds, options.probe)
            points += [(row, right) for row, right in found if row["setting"] == best]
    return pd.concat(held), points


def lines_of(found: Sequence[Found], unfairness: str) -> dict[str, Line]:
    """Return the line of each method through the means over seeds of its settings."""
    groups: dict[str, dict[float, list[Found]]] = defaultdict(lambda: defaultdict(list))
    for row, right in found:
        groups[row["method"]][row["setting"]].append((row, right))
    return {
        title: Line.of(
            [float(np.mean([row[unfairness] for row, _ in part])) for part in points.values()],
            [np.mean([right for _, right in part], axis=0) for part in points.values()],
        )
        for title, points in groups.items()
    }


def accuracies_at(of_splits: Sequence[dict[str, Line]], at: Sequence[float]) -> pd.DataFrame:
    """Return the accuracy of each method at each unfairness, mean over splits."""
    values = {
        title: [np.mean([lines[title].accuracy_at(x) for lines in of_splits]) for x in at]
        for title in of_splits[0]
    }
    return pd.DataFrame(values, index=pd.Index(at, name="unfairness"))


def differences_at(of_splits: Sequence[dict[str, Line]], at: Sequence[float]) -> pd.DataFrame:
    """Return by how much the first method is ahead of each other one, with standard error.

    Over splits both are means: test parts of random splits overlap, so that the error of one is
    kept.
    """
    first, *others = of_splits[0]
    values = {}
    for other in others:
        pairs = [
            np.mean([paired_difference(lines[first], lines[other], x) for lines in of_splits], 0)
            for x in at
        ]
        values[other] = [f"{mean:+.4f} ± {error:.4f}" for mean, error in pairs]
    return pd.DataFrame(values, index=pd.Index(at, name=f"{first} less"))


def report(found: Sequence[Sequence[Found]], options: argparse.Namespace) -> None:
    """Print means over seeds and splits, the lines at equal unfairness, and their differences."""
    rows = pd.DataFrame([row for part in found for row, _ in part])
    groups = rows.drop(columns="seed").groupby(["method", "setting"], sort=False)
    means = groups.mean(numeric_only=True).drop(columns=["lam", "eps", "tol"], errors="ignore")
    means["least accuracy"] = groups.accuracy.min()
    print(f"\nmeans over {options.seeds} seeds\n{means.round(4).to_string(na_rep='')}")
    if options.choose is None:
        name = UNFAIRNESS[options.constraint]
        lines = [lines_of(part, name) for part in found]
        print(f"\naccuracy at {name}\n{accuracies_at(lines, options.at).round(4).to_string()}")
        if len(lines[0]) > 1:
            print(f"\npaired differences\n{differences_at(lines, options.at).to_string()}")


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    made = parser(__doc__)
    add_data_options(made)
    made.add_argument("--constraint", choices=UNFAIRNESS, default="demographic_parity")
    made.add_argument("--methods", nargs="+", choices=METHODS, default=DEFAULT)
    made.add_argument("--settings", type=float, nargs="+", help="λ, or a method's own knob")
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--jobs", type=int, default=1, help="fits side by side, a thread each")
    made.add_argument("--at", type=float, nargs="+", default=AT, help="unfairness to read at")
    made.add_argument("--probe", action="store_true", help="probe and certify Z too")
    made.add_argument("--choose", type=float, help="fairest setting of so accurate ones, held out")
    made.add_argument("--searches", type=int, default=2, help="times that --choose makes folds")
    return made.parse_args()


def main() -> None:
    """Print the points of each method, and their lines at the same unfairness."""
    options = arguments()
    print_machine()
    tables, found = [], []
    for number, split in enumerate(splits(options)):
        if options.choose is None:
            points = whole_lines(split, options)
        else:
            searched, points = chosen_points(split, options)
            tables.append(searched.assign(rows="held out", split=number))
        tables.append(pd.DataFrame([row for row, _ in points]).assign(rows="test", split=number))
        found.append(points)
    report(found, options)
    about = {"dataset": options.dataset, "constraint": options.constraint}
    write(pd.concat(tables).assign(**about), options.output)


if __name__ == "__main__":
    main()
