"""How often an audit finds what isn't there, and what it finds where a part hides it.

A fair, calibrated model: scores are true probabilities, alike in all groups; labels are drawn by
them. Columns of X say something of the score and nothing of the group. Then a model that is fair
over all rows and unfair within two halves of them.

Run: OMP_NUM_THREADS=1 python benchmarks/truth_audit.py
"""

from __future__ import annotations

import numpy as np
import pandas as pd

import fairmi.audit.figures.leakage as leakage
from common.machine import parser, print_machine
from fairmi.audit import audit
from fairmi.audit.render.summary import statements
from fairmi.audit.render.verdicts import FOUND

REPETITIONS = 400
TOPICS = ("parity", "within parts", "odds", "calibration")


def main() -> None:
    """Print a line for each number of groups and rows."""
    parser(__doc__, output=False).parse_args()
    print_machine()
    leakage.FOLDS = 10**9  # no probes: they have benchmarks of their own
    print(f"share of {REPETITIONS} samples of a fair, calibrated model in which is found (5 %):")
    for n_groups, n_rows in ((2, 400), (2, 4000), (5, 4000), (12, 4000), (12, 16000)):
        rates = alarms(n_groups, n_rows)
        shown = ", ".join(f"{topic} {100 * rate:.1f} %" for topic, rate in rates.items())
        print(f"{n_groups:3} groups, {n_rows:6,} rows: {shown}")
    print("share in which a difference of +.1 and -.1 within halves is found, .0 over all rows:")
    for n_rows in (1000, 2000, 4000):
        found = np.mean([hidden(n_rows, seed) for seed in range(100)])
        print(f"{n_rows:6,} rows: {100 * found:.0f} %")


def alarms(n_groups: int, n_rows: int) -> dict[str, float]:
    """Return how often each topic is called found."""
    counts = dict.fromkeys(TOPICS, 0)
    for seed in range(REPETITIONS):
        rng = np.random.default_rng(seed)
        table = pd.DataFrame(rng.normal(size=(n_rows, 5)), columns=list("abcde"))
        score = 1 / (1 + np.exp(-table.a - table.b))
        y = (rng.random(n_rows) < score).astype(int)
        group = rng.integers(n_groups, size=n_rows)
        for found in findings(table, y, score > 0.5, score, group):
            counts[found] += 1
    return {topic: count / REPETITIONS for topic, count in counts.items()}


def hidden(n_rows: int, seed: int) -> bool:
    """Whether the audit finds the half in which groups differ."""
    rng = np.random.default_rng(seed)
    half, group = rng.integers(2, size=(2, n_rows))
    rate = np.where(half == group, 0.45, 0.35)
    predicted = rng.random(n_rows) < rate
    table = pd.DataFrame({"half": half, "noise": rng.normal(size=n_rows)})
    y = rng.integers(2, size=n_rows)
    return "within parts" in findings(table, y, predicted, None, group)


def findings(table: pd.DataFrame, y: np.ndarray, predicted, score, group) -> list[str]:
    """Return the topics in which the audit finds something."""
    report = audit(
        X=table,
        y=y,
        y_pred=np.asarray(predicted).astype(int),
        y_score=score,
        sensitive_features=group,
        n_boot=1000,
        random_state=0,
    )
    return [s.topic for s in statements(report) if s.topic in TOPICS and s.verdict == FOUND]


if __name__ == "__main__":
    main()
