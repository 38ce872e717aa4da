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
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from shared import Parts, add_data_options, folds, measured, parser, print_machine, splits, write
from threadpoolctl import threadpool_limits

from fairmi.compare import Method, Trial, methods_named
from fairmi.compare._measures import Line
from fairmi.compare._methods import decisions
from fairmi.compare._rows import adult_rows
from fairmi.compare._run import fits

AT = (0.01, 0.02, 0.03, 0.05, 0.1)
BOUNDS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.12)
RUNS = {
    "decisions": (methods_named(["fairmi, decisions"])[0], "bound", BOUNDS),
    "randomized": (
        Method("fairmi, decisions, mixed", lambda t, bound: decisions(t, bound, randomized=True)),
        "bound",
        BOUNDS,
    ),
    "trees": (
        methods_named(["fairmi, trees"])[0],
        "lam",
        (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
    ),
    "thresholds": (
        methods_named(["Boosting, a threshold for each group"])[0],
        "tol",
        tuple(k / 100 for k in range(16)),
    ),
    "optimizer": (
        methods_named(["ThresholdOptimizer, boosting"])[0],
        "tol",
        (0.001, 0.01, 0.02, 0.03, 0.05, 0.1, 0.12),
    ),
    "reduction": (
        methods_named(["ExponentiatedGradient, boosting"])[0],
        "bound",
        (0.003, 0.02, 0.05, 0.08),
    ),
} | {
    name: (methods_named([name])[0], "lam" if "adversarial" in name else None, settings)
    for name, settings in {
        "Reweighing": (None,),
        "Reweighing, adversarial": (1.0, 4.0, 16.0),
        "Reweighing, boosting": (None,),
        "Reweighing, adversarial, boosting": (1.0, 4.0, 16.0),
    }.items()
}
# Of card holders and census income, whose differences are small; each takes a minute.
FEW_BOUNDS = (0.003, 0.02)


def points(
    name: str, parts: Parts, constraint: str, seed: int, *, whole: bool = True
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield what each setting of a method reaches, and which rows it is right on."""
    method, knob, settings = RUNS[name]
    if name == "reduction" and not whole:
        settings = FEW_BOUNDS
    asked = [{knob: setting} if knob else {} for setting in settings]
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for setting, fit in zip(
            settings, fits(method, asked, parts.train, Trial(constraint, seed)), strict=True
        ):
            predicted = fit.predict(parts.test.X, parts.test.s)
            row = {"method": name, "setting": setting, "seconds": fit.seconds}
            row |= measured(parts.test.y, predicted, parts.test.s)
            row["dp"] = signed_difference(parts, predicted)
            yield row, predicted == parts.test.y


def signed_difference(parts: Parts, predicted: np.ndarray) -> float:
    """Return the difference of selection rates, above 0 as that of labels in the training rows."""
    first = np.unique(parts.train.s)[0]

    def difference(labels: np.ndarray, s: np.ndarray) -> float:
        return float(labels[s == first].mean() - labels[s != first].mean())

    sign = np.sign(difference(parts.train.y, parts.train.s))
    return float(sign * difference(predicted, parts.test.s))


def run(
    name: str, parts: Parts, constraint: str, at: Sequence[float], k: int, *, whole: bool = True
) -> pd.DataFrame:
    """Return the points of a method in one split, and what its line has at equal differences."""
    found = list(points(name, parts, constraint, k, whole=whole))
    rows = pd.DataFrame([row for row, _ in found]).assign(split=k)
    unfairness = rows["dp" if constraint == "demographic_parity" else "eo"]
    line = Line.of(unfairness.tolist(), [right for _, right in found])
    return rows.assign(**{f"at {value:g}": line.accuracy_at(value) for value in at})


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
    made.add_argument(
        "--methods",
        nargs="+",
        choices=list(RUNS),
        default=["decisions", "trees", "thresholds", "optimizer"],
    )
    made.add_argument(
        "--constraint",
        choices=("demographic_parity", "equalized_odds"),
        default="demographic_parity",
    )
    add_data_options(made)
    made.set_defaults(splits=5)
    made.add_argument("--official", action="store_true", help="measure on the test part, once")
    made.add_argument("--chance", action="store_true", help="what fair labels show by chance")
    made.add_argument("--at", type=float, nargs="+", default=list(AT))
    made.add_argument("--jobs", type=int, default=1)
    options: argparse.Namespace = made.parse_args()
    print_machine()
    if options.chance:
        chance()
        return
    if options.dataset != "adult":
        parts = splits(options)
    elif options.official:
        parts = [Parts(adult_rows("train"), adult_rows("test"))] * options.splits
    else:
        parts = [part for part, _ in folds(adult_rows("train").first(options.rows), 5, 0)][
            : options.splits
        ]
    whole = options.dataset == "adult"
    jobs = [
        delayed(run)(name, part, options.constraint, options.at, k, whole=whole)
        for name in options.methods
        for k, part in enumerate(parts)
    ]
    rows = pd.concat(Parallel(n_jobs=options.jobs)(jobs), ignore_index=True)
    summary(rows, options.at)
    if options.constraint == "equalized_odds":
        for bound in (0.01, 0.02, 0.03):
            chosen(rows, bound)
    write(rows.drop(columns=[f"at {value:g}" for value in options.at]), options.output)


if __name__ == "__main__":
    main()
