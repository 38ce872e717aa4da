r"""Accuracy over unfairness of fairmi and its peers, on Adult's test part.

The README's tables, one thread a fit; the methods are those of fairmi.compare, with more settings:

    python benchmarks/frontier.py --output benchmarks/results/frontier.csv
    python benchmarks/frontier.py --methods one_fit --probe
    python benchmarks/frontier.py --methods published --seeds 3 --probe
    python benchmarks/frontier.py --methods one_fit_9_levels --probe
    python benchmarks/frontier.py --methods odds_networks --constraint equalized_odds

Accuracy at an equal unfairness is read off each method's line through its means over seeds.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from shared import Parts, adult_parts, measured, parser, print_machine, write
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from fairmi.compare import Method, Trial, methods_named
from fairmi.compare._contenders import Contender
from fairmi.compare._measures import correct_at, probe_auc
from fairmi.compare._methods import networks
from fairmi.compare._run import fits
from fairmi.metrics import certify

LAMS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
TREE_LAMS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0)
ONE_FIT_LAMS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
ODDS_LAMS = (0.0, 4.0, 12.0, 24.0, 40.0, 70.0, 120.0, 200.0)
TOLERANCES = tuple(k / 100 for k in range(21))
BOUNDS = (0.002, 0.01, 0.02, 0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.16)
# For equalized odds. Three levels of Z keep the penalty to what a decision is made of; a wide
# network learns the few rows of a small cell by heart, so that several narrow ones are averaged.
ODDS = {
    "group_weight": "balanced",
    "hidden_layer_sizes": (32,),
    "n_levels": 3,
    "n_estimators": 8,
}


@dataclass(frozen=True)
class Run:
    """A method at the settings that a benchmark reads it at; `alone` trains them one by one."""

    method: Method
    knob: str | None
    settings: tuple[Any, ...]
    alone: bool = False


(TREES, NETWORK, FOUR, PUBLISHED, REDUCTION, BOOSTED, THRESHOLDS) = methods_named(
    [
        "fairmi, trees",
        "fairmi, network",
        "fairmi, 4 networks",
        "MI backpropagation as published",
        "ExponentiatedGradient",
        "ExponentiatedGradient, boosting",
        "Boosting, a threshold for each group",
    ]
)
NINE_LEVELS = Method("fairmi, one fit, 9 levels", partial(networks, n_levels=9))
SMALL_NETWORKS = Method("fairmi, 8 small networks", partial(networks, **ODDS))
BOOSTED_BOUNDS = (0.003, 0.01, 0.02, 0.035, 0.05, 0.08)
RUNS = {
    "trees": Run(TREES, "lam", TREE_LAMS),
    "network": Run(NETWORK, "lam", LAMS),
    "four_networks": Run(FOUR, "lam", LAMS),
    "one_fit": Run(Method("fairmi, one fit", networks), "lam", ONE_FIT_LAMS, alone=True),
    "one_fit_9_levels": Run(NINE_LEVELS, "lam", (8.0,)),
    "odds_networks": Run(SMALL_NETWORKS, "lam", ODDS_LAMS),
    "published": Run(PUBLISHED, "lam", (1.0, 10.0), alone=True),
    "reduction": Run(REDUCTION, "bound", BOUNDS, alone=True),
    "reduction_boosting": Run(BOOSTED, "bound", BOOSTED_BOUNDS, alone=True),
    "thresholds": Run(THRESHOLDS, "tol", TOLERANCES),
}
UNFAIRNESS = {"demographic_parity": "dp", "equalized_odds": "eo"}
DEFAULT = ("network", "four_networks", "reduction", "reduction_boosting", "trees", "thresholds")
AT = (0.01, 0.02, 0.028, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15)

Found = tuple[dict[str, Any], np.ndarray]
"""A row of the table, and which test rows are predicted right."""
Line = tuple[list[float], list[np.ndarray]]
"""Of settings: unfairness, and who is right."""


def job(
    run: Run,
    parts: Parts,
    options: argparse.Namespace,
    settings: Sequence[float],
    start: int,
    draws: Sequence[int],
) -> list[Found]:
    """Train a method on one thread, and return what each point of it reaches on the test rows.

    `start` is the seed of the training, `draws` are those of predictions that are drawn.
    """
    found, test = [], parts.test
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the published procedure warns of its blind critic
        asked = [{run.knob: setting} if run.knob else {} for setting in settings]
        fitted = fits(run.method, asked, parts.train, Trial(options.constraint, start))
        for setting, fit in zip(settings, fitted, strict=True):
            scores = fit.scores(test.X, test.s)
            auc = np.nan if scores is None else roc_auc_score(test.y, scores)
            of_fit = {"seconds": fit.seconds, "roc_auc": auc}
            of_fit |= probed(fit, parts) if options.probe else {}
            for seed in draws:
                predicted = fit.predict(test.X, test.s, seed)
                row = {"method": run.method.name, "setting": setting, "seed": seed}
                row |= measured(test.y, predicted, test.s) | of_fit
                found.append((row, predicted == test.y))
    return found


def probed(fit: Contender, parts: Parts) -> dict[str, float]:
    """Return what a fresh probe recovers of C from Z, what the critic says, and a certificate."""
    z, z_test = (fit.represent(part.X, part.s) for part in (parts.train, parts.test))
    certificate = certify(z_test, parts.test.s, confidence=0.95)
    return {
        "probe_auc": probe_auc(z, parts.train.s, z_test, parts.test.s),
        "claimed_nats": fit.model.history_[-1]["penalty"],
        "values": certificate.n_values,
        "distance": certificate.distance,
        "certified": certificate.bound,
    }


def whole_lines(parts: Parts, options: argparse.Namespace) -> list[Found]:
    """Return all points of all methods; the seeds of a draw need one fit."""
    tasks, every = [], range(options.seeds)
    for run in (RUNS[name] for name in options.methods):
        settings = options.settings or run.settings
        of_fits = [[setting] for setting in settings] if run.alone else [settings]
        seeds = [(0, every)] if run.method.draws else [(seed, [seed]) for seed in every]
        tasks += [delayed(job)(run, parts, options, a, *b) for a, b in product(of_fits, seeds)]
    found = []
    results = Parallel(n_jobs=options.jobs, return_as="generator")(tasks)
    for number, part in enumerate(results, 1):
        found += part
        print(f"{number} of {len(tasks)} jobs done", flush=True)
    return found


def lines_of(found: Sequence[Found], unfairness: str) -> dict[str, Line]:
    """Return the line of each method through the means over seeds of its settings."""
    groups: dict[str, dict[float, list[Found]]] = defaultdict(lambda: defaultdict(list))
    for row, right in found:
        groups[row["method"]][row["setting"]].append((row, right))
    return {
        title: (
            [float(np.mean([row[unfairness] for row, _ in part])) for part in of_method.values()],
            [np.mean([right for _, right in part], axis=0) for part in of_method.values()],
        )
        for title, of_method in groups.items()
    }


def report(found: Sequence[Found], options: argparse.Namespace) -> None:
    """Print means over seeds, the lines at equal unfairness, and the first less each other."""
    rows = pd.DataFrame([row for row, _ in found])
    groups = rows.drop(columns="seed").groupby(["method", "setting"], sort=False)
    means = groups.mean(numeric_only=True)
    means["least accuracy"] = groups.accuracy.min()
    print(f"\nmeans over {options.seeds} seeds\n{means.round(4).to_string(na_rep='')}")
    name = UNFAIRNESS[options.constraint]
    lines = lines_of(found, name)
    right = {title: [correct_at(*line, x) for x in options.at] for title, line in lines.items()}
    index = pd.Index(options.at, name=name)
    accuracies = pd.DataFrame({title: map(np.mean, of) for title, of in right.items()}, index)
    print(f"\naccuracy\n{accuracies.round(4).to_string()}")
    first, *others = right
    less = {
        title: [
            f"{(a - b).mean():+.4f} ± {(a - b).std(ddof=1) / len(a) ** 0.5:.4f}"
            for a, b in zip(right[first], right[title], strict=True)
        ]
        for title in others
    }
    if less:
        print(f"\n{first} less, paired by test rows\n{pd.DataFrame(less, index).to_string()}")


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, help="learn from so few rows: to see that it runs")
    made.add_argument("--constraint", choices=UNFAIRNESS, default="demographic_parity")
    made.add_argument("--methods", nargs="+", choices=RUNS, default=DEFAULT)
    made.add_argument("--settings", type=float, nargs="+", help="λ, or a method's own knob")
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--jobs", type=int, default=1, help="fits side by side, a thread each")
    made.add_argument("--at", type=float, nargs="+", default=AT, help="unfairness to read at")
    made.add_argument("--probe", action="store_true", help="probe and certify Z too")
    return made.parse_args()


def main() -> None:
    """Print the points of each method, and their lines at the same unfairness."""
    options = arguments()
    print_machine()
    found = whole_lines(adult_parts(options.rows), options)
    report(found, options)
    rows = pd.DataFrame([row for row, _ in found])
    write(rows.assign(dataset="adult", constraint=options.constraint), options.output)


if __name__ == "__main__":
    main()
