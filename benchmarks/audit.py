"""Time an audit of Adult's test part, and its intervals against fairlearn's bootstrap.

Run: OMP_NUM_THREADS=1 python benchmarks/audit.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from fairlearn.metrics import MetricFrame, selection_rate, true_positive_rate
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from common.data import adult, first_rows
from common.machine import parser, print_machine
from fairmi import MIBoostingClassifier
from fairmi.audit import audit
from fairmi.audit.figures.asking import ask
from fairmi.audit.figures.disparities import disparity_figures
from fairmi.metrics._comparable import comparable_groups

N_DRAWS = 1000
N_FAIRLEARN = 100


class Representing(Pipeline):
    """A pipeline whose representation is what its last step sees."""

    def transform(self, X: Any) -> np.ndarray:
        """Return what the classifier, the last step, is given."""
        return Pipeline(self.steps[:-1]).transform(X)


def main() -> None:
    """Print the timings and the agreement."""
    made = parser(__doc__, output=False)
    made.add_argument("--rows", type=int, help="audit so few rows: to see that it runs")
    made.add_argument("--jobs", type=int, default=2, help="processes of an audit")
    given = made.parse_args()
    rows, n_jobs = given.rows, given.jobs
    print_machine()
    train, test = first_rows(adult("train"), rows), first_rows(adult("test"), rows)
    model = fitted(train.x, train.y)
    baseline = make_pipeline(encoder(), LogisticRegression(max_iter=300)).fit(train.x, train.y)

    options = {"sensitive_features": test.c, "random_state": 0, "n_jobs": n_jobs}
    trees = MIBoostingClassifier(lam=8.0, random_state=0)
    trees.fit(train.x, train.y, sensitive_features=train.c)
    _, wall, _ = timed(lambda: audit(trees, test.x, test.y, **options))
    print(f"audit of trees, {n_jobs} processes: {wall:.1f} s")
    report, wall, _ = timed(lambda: audit(model, test.x, test.y, baseline=baseline, **options))
    print(f"audit of 8 continuous columns with a baseline, {n_jobs} processes: {wall:.1f} s")

    predictions = ask(model, test.x, test.y)
    groups = comparable_groups(test.c, len(test.c))
    settings = {"confidence": 0.95, "n_boot": N_DRAWS, "rng": np.random.default_rng(0)}
    _, ours, cpu = timed(lambda: disparity_figures(predictions, groups, **settings))
    print(f"all gaps with intervals and chance, {N_DRAWS} draws: {spent(ours, cpu)}")

    frame, theirs, cpu = timed(lambda: fairlearn_intervals(predictions, test.c, N_FAIRLEARN))
    print(f"fairlearn's MetricFrame, 3 metrics, n_boot={N_FAIRLEARN}: {spent(theirs, cpu)}")
    times = N_DRAWS / N_FAIRLEARN
    print(f"ratio of wall times: {theirs / ours:.0f}, at {times:.0f} times the draws")
    print_agreement(report, frame)


def encoder() -> Any:
    """Indicators of categories, standardised numbers."""
    categories = make_column_selector(dtype_include="category")
    numbers = make_column_selector(dtype_include="number")
    one_hot = OneHotEncoder(handle_unknown="ignore")
    return make_column_transformer((one_hot, categories), (StandardScaler(), numbers))


def fitted(X: Any, y: Any) -> Representing:
    """Return a logistic regression on a representation of 8 numbers."""
    steps = [encoder(), TruncatedSVD(8, random_state=0), LogisticRegression(max_iter=300)]
    return Representing([(str(k), step) for k, step in enumerate(steps)]).fit(X, y)


def fairlearn_intervals(predictions: Any, sensitive_features: Any, n_boot: int) -> MetricFrame:
    """Return fairlearn's own bootstrap of three rates."""
    metrics = [accuracy_score, selection_rate, true_positive_rate]
    return MetricFrame(
        metrics={metric.__name__: metric for metric in metrics},
        y_true=predictions.true,
        y_pred=predictions.predicted,
        sensitive_features=sensitive_features,
        n_boot=n_boot,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )


def print_agreement(report: Any, frame: MetricFrame) -> None:
    """Compare intervals of the demographic parity difference on the same predictions."""
    low, high = (ends["selection_rate"] for ends in frame.difference_ci())
    name = "demographic_parity_difference"
    (found,) = [f for f in report.section("disparity") if f.measure == name]
    print("demographic parity difference of sex, 95 % interval:")
    print(f"  fairlearn, {N_FAIRLEARN} resamples of rows  {low:.4f} to {high:.4f}")
    print(f"  the audit's                     {found.low:.4f} to {found.high:.4f}")


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what `work` returns, and its seconds by the clock and on the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return done, time.perf_counter() - wall, time.process_time() - cpu


def spent(wall: float, cpu: float) -> str:
    """Return both times as text."""
    return f"{wall:.2f} s ({cpu:.2f} s of processor)"


if __name__ == "__main__":
    main()
