"""Are the figures of fairmi.metrics true? Planted leaks, false alarms, known information, bounds.

    python benchmarks/truth.py --repetitions 20 --jobs 2 --output benchmarks/results/truth.csv

At 20 repetitions all takes about an hour of one core, half of it for false alarms at
50,000 rows. `--tables` makes some of the tables; `--output` keeps what it has of the others.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from shared import Table, parser, print_machine

from fairmi import MIBoostingClassifier, MIDebiasedClassifier
from fairmi.datasets import load_adult
from fairmi.metrics import Certificate, certify, leakage_report, mutual_information_report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from known_information import CASES, Case

SIZES = (500, 5_000, 50_000)
LEAK_SIZES = (500, 5_000, 16_000)
LAM = 8.0
LEAKS = ("plain", "seventh decimal", "xor of signs", "rare code", "rare value")

Figures = tuple[str, int, int, dict[str, float]]
"""A case, its rows, how many samples of it were drawn, and what was measured over them."""


def plant(leak: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return Z of 8 independent normal columns, with C hidden in it as named, and C.

    "recurring values" hides nothing: half of its columns have five values.
    """
    c = rng.integers(2, size=n)
    Z = rng.normal(size=(n, 8))
    rare = rng.permutation(n) < 0.02 * n
    if leak == "plain":
        # Adding 1 clears the last bits of a small number, which the probe of digits reads.
        Z[:, 0] = (Z[:, 0] + c).astype(np.float32)
    elif leak == "seventh decimal":
        Z[:, 3] = np.round(Z[:, 3], 6) + 1e-7 * c
    elif leak == "xor of signs":
        Z[:, 1] = np.abs(Z[:, 1]) * np.where(c == (Z[:, 0] > 0), 1, -1)
    elif leak == "rare code":  # a column of its own
        Z[:, 2] = np.where(rare, 2 * c - 1, 0)
    elif leak == "rare value":  # two values amid a column of normal ones
        Z[rare, 2] = np.where(c[rare], 0.5, -0.25)
    elif leak == "recurring values":
        Z[:, 4:] = rng.integers(5, size=(n, 4))
    return Z, c


def drawn(task: Callable[[int], tuple], repetitions: int, jobs: int) -> np.ndarray:
    """Return what a task returns for each seed, (repetitions, n_values)."""
    return np.array(Parallel(jobs)(delayed(task)(seed) for seed in range(repetitions)))


def leaks(n: int, repetitions: int, jobs: int) -> Iterator[Figures]:
    """Planted leaks: how often each is flagged, and the score."""
    repetitions = min(repetitions, 20 if n == 500 else 5)
    for leak in LEAKS:
        found = drawn(partial(_leak, leak, n), repetitions, jobs)
        flagged, _, score, quantile, _ = found.mean(axis=0)
        figures = {"flagged": flagged, "score": score, "score without leak, 95 %": quantile}
        yield leak, n, repetitions, figures


def _leak(leak: str, n: int, seed: int) -> tuple[float, ...]:
    kind = leak or ("none", "recurring values")[seed % 2]
    Z, c = plant(kind, n, np.random.default_rng([seed, n]))
    start = time.process_time()
    report = leakage_report(Z, c, random_state=seed)
    seconds = time.process_time() - start
    return float(report.flagged), report.p_value, report.score, report.null_quantile, seconds


def false_alarms(n: int, repetitions: int, jobs: int) -> Iterator[Figures]:
    """Independent Z: how often a leak is flagged; at most 5 % are wanted.

    Every other Z has columns of few values, which are tested by themselves too.
    """
    found = drawn(partial(_leak, "", n), repetitions, jobs)
    flagged, p_value, score, quantile, seconds = found.T
    figures = {
        "flagged": flagged.mean(),
        "flagged where values recur": flagged[1::2].mean(),
        "p-value at most 0.05": (p_value <= 0.05).mean(),
        "score above its 95 %": (score > quantile).mean(),
        "seconds of a core each": seconds.mean(),
    }
    yield "independent", n, repetitions, figures


def information(repetitions: int, jobs: int) -> Iterator[Figures]:
    """Mutual information against closed forms: how often the interval holds the truth."""
    n, repetitions = 2_000, min(repetitions, 50)
    for case in CASES:
        score, low, high = drawn(partial(_information, case, n), repetitions, jobs).T
        held = float(((low <= case.truth) & (case.truth <= high)).mean())
        figures = {
            "truth, nats": case.truth,
            "mean estimate, nats": score.mean(),
            "mean width of interval": (high - low).mean(),
            "interval holds truth": held,
            "interval's low end is not above truth": (low <= case.truth).mean(),
            "low end is at most a width above truth": (low - case.truth <= high - low).mean(),
        }
        yield case.name, n, repetitions, figures


def _information(case: Case, n: int, seed: int) -> tuple[float, float, float]:
    Z, C = case.draw(n, np.random.default_rng(seed))
    report = mutual_information_report(Z, C, n_permutations=0, random_state=seed)
    return report.score, *report.interval


INTERVALS = ("400 rows", "1 % of 1,000 rows", "lognormal weights", "80 clusters of Pareto sizes")


def independent(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, dict]:
    """Return Z, C that don't depend on each other, and the options that the rows ask for."""
    if kind == "80 clusters of Pareto sizes":
        owner = np.repeat(np.arange(80), np.ceil(3 * rng.pareto(1.5, 80)).astype(int).clip(1, 300))
        Z = rng.normal(size=(80, 3))[owner] + 0.3 * rng.normal(size=(len(owner), 3))
        return Z, rng.permutation(np.arange(80) % 2)[owner], {"clusters": owner}
    n = 1_000 if kind == "1 % of 1,000 rows" else 400
    C = rng.permutation(np.arange(n) < 10) if n == 1_000 else rng.integers(2, size=n)
    weights = {"sample_weight": rng.lognormal(size=n)} if kind == "lognormal weights" else {}
    return rng.normal(size=(n, 3)), C.astype(int), weights


def intervals(probe: str, repetitions: int, jobs: int) -> Iterator[Figures]:
    """Return how often the interval of a score leaves out 0.5 without a leak; 5 % are wanted."""
    for kind in INTERVALS:
        found = drawn(partial(_interval, kind, probe), 20 * repetitions, jobs)
        measures = ("interval leaves out 0.5", "no interval", "p-value at most 0.05")
        figures = dict(zip(measures, found.mean(axis=0), strict=True))
        yield f"{probe}, {kind}", 0, len(found), figures


def _interval(kind: str, probe: str, seed: int) -> tuple[bool, bool, bool]:
    Z, C, options = independent(kind, np.random.default_rng([seed, INTERVALS.index(kind)]))
    report = leakage_report(Z, C, probe=probe, random_state=seed, **options)
    low, high = report.interval
    return low > 0.5 or high < 0.5, report.no_interval != "", report.p_value <= 0.05


CLUSTERS = ("10 near-twin rows", "every row twice", "1 to 9 rows", "blocks of random walks")


def persons(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Z, C and the person of each row; Z and C are independent of each other."""
    if kind == "blocks of random walks":
        walk, other = (np.cumsum(rng.normal(size=(40, 25)), axis=1) for _ in range(2))
        return walk.reshape(-1, 1), (other > 0).astype(int).ravel(), np.repeat(np.arange(40), 25)
    size = {"10 near-twin rows": np.full(100, 10), "every row twice": np.full(500, 2)}.get(kind)
    size = rng.integers(1, 10, 150) if size is None else size
    owner = np.repeat(np.arange(len(size)), size)
    noise = 0.0 if kind == "every row twice" else 0.05
    Z = rng.normal(size=(len(size), 3))[owner] + noise * rng.normal(size=(len(owner), 3))
    return Z, rng.integers(2, size=len(size))[owner], owner


def clusters(repetitions: int, jobs: int) -> Iterator[Figures]:
    """Return how often a leak is flagged, with clusters and row by row; 1 % is allowed."""
    for kind in CLUSTERS:
        for given in (True, False):
            n_repetitions = 10 * repetitions if given else repetitions
            found = drawn(partial(_flagged_persons, kind, given), n_repetitions, jobs)
            name = f"{kind}, {'clusters given' if given else 'taken as rows'}"
            figures = {
                "flagged": found[:, 0].mean(),
                "p-value at most 0.05": (found[:, 1] <= 0.05).mean(),
                "interval excludes 0.5": (found[:, 2] > 0.5).mean(),
                "information above its bound": (found[:, 3] > 0).mean(),
            }
            yield name, 1_000, n_repetitions, figures


def _flagged_persons(kind: str, given: bool, seed: int) -> tuple[float, float, float, float]:
    Z, C, owner = persons(kind, np.random.default_rng(seed))
    how = {"clusters": owner if given else None, "random_state": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that rows are equal
        report = leakage_report(Z, C, probe="neighbours", **how)
        found = mutual_information_report(Z, C, estimator="linear", n_permutations=0, **how)
    low = report.interval[0]
    return float(report.flagged), report.p_value, low, found.score - found.null_bound


def adult_certificates(repetitions: int, jobs: int) -> Iterator[Figures]:
    """Return bounds on Z by sex and race, and on any threshold on scores by sex.

    Each model is certified alone; seeds are starting weights on one training part.
    """
    for estimator, title in ((MIDebiasedClassifier, "networks"), (MIBoostingClassifier, "trees")):
        for sensitive, most in (("sex", 5), ("race", 2)):
            task = delayed(partial(_certified, estimator, sensitive))
            found = Parallel(jobs)(task(seed) for seed in range(min(repetitions, most)))
            for against in found[0]:
                certificates = [of_seed[against] for of_seed in found]
                name = "Z" if against == "classifiers" else "any threshold on scores"
                bounds = [certificate.bound for certificate in certificates]
                figures = {
                    "mean bound": np.mean(bounds),
                    "largest bound": np.max(bounds),
                    "mean distance in the sample": np.mean([c.distance for c in certificates]),
                }
                case = f"Adult, {title}, λ = {LAM:g}, {sensitive}, {name}"
                yield case, sum(certificates[0].group_sizes), len(certificates), figures


def _certified(estimator: Any, sensitive: str, seed: int) -> dict[str, Certificate]:
    train, test = load_adult(subset="train"), load_adult(subset="test")
    model = estimator(lam=LAM, random_state=seed)
    model.fit(train.data, train.target, sensitive_features=train.data[sensitive])
    c = test.data[sensitive]
    found = {"classifiers": certify(model.transform(test.data), c)}
    if sensitive == "sex":
        scores = model.decision_function(test.data)
        found["thresholds"] = certify(scores, c, against="thresholds")
    return found


TABLES: dict[str, tuple[str, Callable[[int, int], Iterator[Figures]]]] = {
    **{f"leaks_{n}": ("planted leaks", partial(leaks, n)) for n in LEAK_SIZES},
    **{f"false_alarms_{n}": ("false alarms", partial(false_alarms, n)) for n in SIZES},
    "information": ("information", information),
    "adult_certificates": ("certificates", adult_certificates),
    "intervals_linear": ("intervals", partial(intervals, "linear")),
    "intervals_panel": ("intervals", partial(intervals, "panel")),
    "clusters": ("clusters", clusters),
}


def main() -> None:
    """Print the tables, and write them where asked."""
    made = parser(__doc__)
    made.add_argument("--repetitions", type=int, default=20)
    made.add_argument("--jobs", type=int, default=1)
    made.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    options = made.parse_args()
    print_machine()
    table = Table(options.output, ["table", "case", "rows", "measure"])
    for name in options.tables:
        start = time.perf_counter()
        title, figures = TABLES[name]
        for case, n, repetitions, values in figures(options.repetitions, options.jobs):
            row = {"table": title, "case": case, "rows": n, "repetitions": repetitions}
            for measure, value in values.items():
                table.add(row | {"measure": measure, "value": float(value)})
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
