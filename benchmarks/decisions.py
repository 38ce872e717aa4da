r"""Decisions under a bound: accuracy at an equal difference, in splits of Adult's training part.

    python benchmarks/decisions.py --output benchmarks/results/decisions.csv
    python benchmarks/decisions.py --constraint equalized_odds
    python benchmarks/decisions.py --official
    python benchmarks/decisions.py --dataset credit --data ../shared/data --rows 8000
    python benchmarks/decisions.py --rows 5000 --methods Reweighing "Reweighing, adversarial"
    python benchmarks/decisions.py --chance

Each of five splits of Adult's training part is learned from the other four; of another table, a
random 30 % are held out five times. With --official the whole part is learned from and the test
part measured on: once, when all choices are made. Accuracy is read off each method's line, and so
are its differences to the first method. A demographic parity difference has a sign there: of its
size alone, a setting that goes past zero would count as one that has not come near.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import islice

import numpy as np
import pandas as pd
from frontier import BOOSTED, THRESHOLDS, TOLERANCES, TREES, UNFAIRNESS, Run, job
from joblib import Parallel, delayed
from shared import (
    Parts,
    add_data_options,
    adult_parts,
    parser,
    print_machine,
    rows_named,
    write,
)
from sklearn.model_selection import StratifiedKFold, train_test_split

from fairmi.compare import Method, methods_named
from fairmi.compare._measures import correct_at
from fairmi.compare._methods import decisions

AT = (0.01, 0.02, 0.03, 0.05, 0.1)
BOUNDS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.12)
MIXED = Method("fairmi, decisions, mixed", partial(decisions, randomized=True))
DECISIONS, OPTIMIZER, *REWEIGHING = methods_named(
    [
        "fairmi, decisions",
        "ThresholdOptimizer, boosting",
        "Reweighing",
        "Reweighing, adversarial",
        "Reweighing, boosting",
        "Reweighing, adversarial, boosting",
    ]
)
TREE_LAMS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
OPTIMIZER_TOLERANCES = (0.001, 0.01, 0.02, 0.03, 0.05, 0.1, 0.12)
RUNS = {
    "decisions": Run(DECISIONS, "bound", BOUNDS),
    "randomized": Run(MIXED, "bound", BOUNDS),
    "trees": Run(TREES, "lam", TREE_LAMS),
    "thresholds": Run(THRESHOLDS, "tol", TOLERANCES[:16]),
    "optimizer": Run(OPTIMIZER, "tol", OPTIMIZER_TOLERANCES),
    "reduction": Run(BOOSTED, "bound", (0.003, 0.02, 0.05, 0.08)),
} | {
    method.name: Run(method, "lam", (1.0, 4.0, 16.0))
    if "adversarial" in method.name
    else Run(method, None, (None,))
    for method in REWEIGHING
}


def signed_difference(parts: Parts, predicted: np.ndarray) -> float:
    """Return the difference of selection rates, above 0 as that of labels in the training rows."""
    first = np.unique(parts.train.s)[0]

    def difference(labels: np.ndarray, s: np.ndarray) -> float:
        return float(labels[s == first].mean() - labels[s != first].mean())

    sign = np.sign(difference(parts.train.y, parts.train.s))
    return float(sign * difference(predicted, parts.test.s))


def run(name: str, parts: Parts, options: argparse.Namespace, k: int) -> pd.DataFrame:
    """Return the points of a method in one split, and what its line has at equal differences."""
    method = RUNS[name]
    found = job(method, parts, options, method.settings, k, [0])  # the same draw in each split
    rows = pd.DataFrame([row for row, _ in found]).assign(method=name, split=k)
    labels = [np.where(right, parts.test.y, 1 - parts.test.y) for _, right in found]
    rows["dp"] = [signed_difference(parts, predicted) for predicted in labels]
    line = rows[UNFAIRNESS[options.constraint]].tolist(), [right for _, right in found]
    return rows.assign(**{f"at {x:g}": correct_at(*line, x).mean() for x in options.at})


def splits(options: argparse.Namespace) -> list[Parts]:
    """Return splits of Adult's training part, its official one over and over, or another table's.

    Those of another table are random, with 30 % of its rows to measure on.
    """
    if options.dataset == "adult" and options.official:
        return [adult_parts(options.rows)] * options.splits
    whole = rows_named(options.dataset, options.data)
    if options.dataset == "adult":
        whole = whole.first(options.rows)
        cut = StratifiedKFold(5, shuffle=True, random_state=0).split(whole.X, whole.strata)
        return [Parts(*map(whole.take, fold)) for fold in islice(cut, options.splits)]
    how = {"test_size": 0.3, "stratify": whole.strata}
    halves = (
        train_test_split(np.arange(len(whole)), random_state=seed, **how)
        for seed in range(options.splits)
    )
    return [Parts(whole.take(a).first(options.rows), whole.take(b)) for a, b in halves]


def summary(rows: pd.DataFrame, at: Sequence[float]) -> None:
    """Print accuracy at equal differences, and how a method differs from the first, by splits."""
    columns = [f"at {value:g}" for value in at]
    lines = rows.groupby(["method", "split"], sort=False)[columns].first()
    means = lines.groupby("method", sort=False).mean()
    print(means.round(4).to_string(), flush=True)
    first = lines.loc[means.index[0]]
    for name in means.index[1:]:
        less = (first - lines.loc[name]) * 1e4
        error = less.std(ddof=1) / np.sqrt(less.notna().sum())
        cells = [f"{a:+.0f} ± {b:.0f}" for a, b in zip(less.mean(), error, strict=True)]
        print(f"{means.index[0]} less {name}, in .0001: {', '.join(cells)}")
    print(
        "seconds of all settings:",
        rows.groupby("method", sort=False)["seconds"].max().round(1).to_dict(),
    )


def chosen(rows: pd.DataFrame, bound: float) -> None:
    """Print the most accurate setting of each method whose mean EO over splits is in a bound."""
    grouped = rows.groupby(["method", "setting"], sort=False)[["accuracy", "eo"]]
    both = pd.concat([grouped.mean(), grouped.sem().add_suffix(" ±")], axis=1)
    within = both[both["eo"] <= bound]
    if len(within):
        best = within.loc[within.groupby("method", sort=False)["accuracy"].idxmax()]
        print(f"most accurate at an EO difference of {bound:g} or less in the mean of splits:")
        print(best.round(4).to_string(), flush=True)


def chance(n_draws: int = 2_000) -> None:
    """Print how often labels that tell nothing of two groups exceed a bound, by two measures."""
    rng = np.random.default_rng(0)

    def difference(labels: np.ndarray, groups: np.ndarray) -> float:
        return abs(labels[groups == 1].mean() - labels[groups == 0].mean())

    for n, bound in ((300, 0.05), (1_000, 0.05), (4_300, 0.02), (10_000, 0.02), (26_000, 0.01)):
        together, in_folds = np.empty(n_draws), np.empty(n_draws)
        fold = np.arange(n) % 5
        for draw in range(n_draws):
            groups, labels = rng.integers(2, size=n), rng.random(n) < 0.24
            together[draw] = difference(labels, groups)
            each = [difference(labels[fold == k], groups[fold == k]) for k in range(5)]
            in_folds[draw] = np.mean(each)
        shares = (
            f"mean of folds {(in_folds > bound).mean():.2f}, all {(together > bound).mean():.2f}"
        )
        print(f"{n} rows, bound {bound}: {shares}; one in ten {np.quantile(together, 0.9):.3f}")


def main() -> None:
    """Run the methods that the command line names."""
    made = parser(__doc__)
    default = ["decisions", "trees", "thresholds", "optimizer"]
    made.add_argument("--methods", nargs="+", choices=RUNS, default=default)
    made.add_argument("--constraint", choices=UNFAIRNESS, default="demographic_parity")
    add_data_options(made)
    made.set_defaults(splits=5, probe=False)
    made.add_argument("--official", action="store_true", help="measure on the test part, once")
    made.add_argument("--chance", action="store_true", help="what fair labels show by chance")
    made.add_argument("--at", type=float, nargs="+", default=AT)
    made.add_argument("--jobs", type=int, default=1)
    options = made.parse_args()
    print_machine()
    if options.chance:
        chance()
        return
    numbered = list(enumerate(splits(options)))
    jobs = [delayed(run)(m, part, options, k) for m in options.methods for k, part in numbered]
    rows = pd.concat(Parallel(n_jobs=options.jobs)(jobs), ignore_index=True)
    summary(rows, options.at)
    if options.constraint == "equalized_odds":
        for bound in (0.01, 0.02, 0.03):
            chosen(rows, bound)
    write(rows.drop(columns=["seed", *(f"at {value:g}" for value in options.at)]), options.output)


if __name__ == "__main__":
    main()
