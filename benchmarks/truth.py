"""Are the figures of fairmi.metrics true? Planted leaks, false alarms, known information, bounds.

    python benchmarks/truth.py --repetitions 20 --jobs 2 --output benchmarks/results/truth.csv

The issue's own figures take `--repetitions 200` (about 50 minutes of one core).
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from fairmi.metrics import certify, leakage_report, mutual_information_report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from known_information import CASES, Case

SIZES = (500, 5_000, 50_000)
LEAKS = ("plain", "seventh decimal", "xor of signs", "rare code", "rare value")


@dataclass(frozen=True)
class Row:
    """One figure: of `repetitions` runs of `case` at `rows` rows, `measure` was `value`."""

    table: str
    case: str
    rows: int
    repetitions: int
    measure: str
    value: float


def plant(leak: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return Z of 8 independent normal columns, with C hidden in it as named, and C."""
    c = rng.integers(2, size=n)
    Z = rng.normal(size=(n, 8))
    rare = rng.random(n) < 0.02
    if leak == "plain":
        Z[:, 0] += c
    elif leak == "seventh decimal":
        Z[:, 3] = np.round(Z[:, 3], 6) + 1e-7 * c
    elif leak == "xor of signs":
        Z[:, 1] = np.abs(Z[:, 1]) * np.where(c == (Z[:, 0] > 0), 1, -1)
    elif leak == "rare code":  # a column of its own
        Z[:, 2] = np.where(rare, 2 * c - 1, 0)
    elif leak == "rare value":  # two values amid a column of normal ones
        Z[rare, 2] = np.where(c[rare], 0.5, -0.25)
    return Z, c


def leaks(repetitions: int, jobs: int) -> Iterator[Row]:
    """Planted leaks: how often each is flagged, and the score."""
    repetitions = min(repetitions, 10)
    for n in (500, 5_000, 16_000):
        for leak in LEAKS:
            found = Parallel(jobs)(delayed(_leak)(leak, n, seed) for seed in range(repetitions))
            flagged, score, quantile = np.mean(found, axis=0)
            yield Row("planted leaks", leak, n, repetitions, "flagged", flagged)
            yield Row("planted leaks", leak, n, repetitions, "score", score)
            yield Row("planted leaks", leak, n, repetitions, "score without leak, 95 %", quantile)


def _leak(leak: str, n: int, seed: int) -> tuple[float, float, float]:
    Z, c = plant(leak, n, np.random.default_rng([seed, n]))
    report = leakage_report(Z, c, random_state=seed)
    return float(report.flagged), report.score, report.null_quantile


def false_alarms(repetitions: int, jobs: int) -> Iterator[Row]:
    """Independent Z: how often a leak is flagged; at most 5 % are wanted."""
    for n in SIZES:
        start = time.perf_counter()
        found = Parallel(jobs)(delayed(_leak)("none", n, seed) for seed in range(repetitions))
        flagged, score, quantile = np.array(found).T
        above = float((score > quantile).mean())
        seconds = (time.perf_counter() - start) * jobs / repetitions
        yield Row("false alarms", "independent", n, repetitions, "flagged", flagged.mean())
        yield Row("false alarms", "independent", n, repetitions, "score above its 95 %", above)
        yield Row("false alarms", "independent", n, repetitions, "seconds each", seconds)


def information(repetitions: int, jobs: int) -> Iterator[Row]:
    """Mutual information against closed forms: how often the interval holds the truth."""
    n, repetitions = 2_000, min(repetitions, 50)
    for case in CASES:
        found = Parallel(jobs)(delayed(_information)(case, n, seed) for seed in range(repetitions))
        score, low, high = np.array(found).T
        held = float(((low <= case.truth) & (case.truth <= high)).mean())
        figures = {
            "truth, nats": case.truth,
            "mean estimate, nats": score.mean(),
            "mean width of interval": (high - low).mean(),
            "interval holds truth": held,
            "interval's low end is not above truth": (low <= case.truth).mean(),
        }
        for measure, value in figures.items():
            yield Row("information", case.name, n, repetitions, measure, float(value))


def _information(case: Case, n: int, seed: int) -> tuple[float, float, float]:
    Z, C = case.draw(n, np.random.default_rng(seed))
    report = mutual_information_report(Z, C, n_permutations=0, random_state=seed)
    return report.score, *report.interval


def certificates(repetitions: int, jobs: int) -> Iterator[Row]:
    """Certificates at Adult's test sizes: how often the bound holds, and what it adds."""
    n_a, n_b, repetitions = 5_421, 10_860, min(5 * repetitions, 200)
    for n_values, shift in ((2, 0.0), (2, 0.04), (22, 0.0), (22, 0.02), (22, 0.05), (200, 0.05)):
        p = np.full(n_values, 1 / n_values)
        q = p + np.where(np.arange(n_values) % 2, 1, -1) * 2 * shift / n_values
        found = Parallel(jobs)(
            delayed(_certificate)(p, q, n_a, n_b, seed) for seed in range(repetitions)
        )
        bound, distance = np.array(found).T
        mcdiarmid = distance + np.sqrt((1 / n_a + 1 / n_b) * np.log(20) / 2)
        name = f"{n_values} values, distance {shift}"
        figures = {
            "bound holds": (bound >= shift).mean(),
            "mean bound": bound.mean(),
            "mean bound of McDiarmid": mcdiarmid.mean(),
            "mean distance in the sample": distance.mean(),
        }
        for measure, value in figures.items():
            yield Row("certificates", name, n_a + n_b, repetitions, measure, float(value))


def _certificate(
    p: np.ndarray, q: np.ndarray, n_a: int, n_b: int, seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    Z = np.concatenate([rng.choice(len(p), n_a, p=p), rng.choice(len(q), n_b, p=q)])
    certificate = certify(Z, np.repeat([0, 1], [n_a, n_b]))
    return certificate.bound, certificate.distance


TABLES: dict[str, Callable[[int, int], Iterator[Row]]] = {
    "leaks": leaks,
    "false_alarms": false_alarms,
    "information": information,
    "certificates": certificates,
}


def environment() -> Iterator[str]:
    """Return what the figures were taken on."""
    yield f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    for package in ("numpy", "scipy", "scikit-learn"):
        yield f"{package} {version(package)}"


def main() -> None:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    print("; ".join(environment()))
    rows = []
    for name in options.tables:
        start = time.perf_counter()
        table = list(TABLES[name](options.repetitions, options.jobs))
        print(f"\n{name} ({time.perf_counter() - start:.0f} s)")
        frame = pd.DataFrame(map(asdict, table))
        wide = frame.pivot(
            index=["case", "rows", "repetitions"], columns="measure", values="value"
        )
        print(wide.round(4).to_string(), flush=True)
        rows.append(frame)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        result = pd.concat(rows).round({"value": 5})
        result["environment"] = "; ".join(environment())
        result.to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
