"""Seconds and memory of a fit, a path and a search, beside what would do the same work.

Run: OMP_NUM_THREADS=1 python benchmarks/speed.py --output benchmarks/results/speed.csv
     OMP_NUM_THREADS=1 python benchmarks/speed.py --tables large --rows 1000000
     OMP_NUM_THREADS=1 python benchmarks/speed.py --tables audit --rows 1000000
     OMP_NUM_THREADS=1 python benchmarks/speed.py --tables warehouse --rows 100000000

Seconds of one thread's processor, so that what else a machine does changes little; of a search,
which has processes of its own, seconds of the clock. What reads memory runs in a fresh process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import pickle
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from shared import adult_parts, measured, memory_mb, parser, print_machine, seconds_of, write
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from fairmi import MIBoostingClassifier, MIDebiasedClassifier, MIDebiasedClassifierCV
from fairmi.compare import Trial, methods_named
from fairmi.compare._rows import adult_rows
from fairmi.compare._run import fits
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import best_under_bound
from fairmi.path import fairness_path

Table = list[dict[str, Any]]
LAM = 4.0
METRIC = "demographic_parity_difference"
PEERS = (
    ("fairmi, network", {"lam": LAM}),
    ("fairmi, network", {"lam": 8.0}),
    ("fairmi, trees", {"lam": 8.0}),
    ("GridSearch", {"weight": 0.3}),
    ("ExponentiatedGradient", {"bound": 0.02}),
    ("ExponentiatedGradient, boosting", {"bound": 0.02}),
    ("MI backpropagation as published", {"lam": LAM}),
)
HELD_OUT, WARM_UP, BATCH_ROWS = 100_000, 20, 2_048


def least_seconds(jobs: dict[str, Callable[[], Any]], turns: int = 2) -> Table:
    """Return the least seconds of each job, which take turns, and its ratio to the first."""
    spent: dict[str, list[float]] = {what: [] for what in jobs}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few epochs do not converge
        for _ in range(turns):
            for what, job in jobs.items():
                spent[what].append(seconds_of(job)[0])
    first = min(next(iter(spent.values())))
    return [{"what": k, "seconds": min(v), "ratio": min(v) / first} for k, v in spent.items()]


def alone(job: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Return what a job returns in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(job, arguments)


def ours(options: argparse.Namespace) -> Table:
    """Fits and paths of ours beside plain boosting."""
    train = adult_parts(options.rows).train
    given = {"sensitive_features": train.s}
    trees = MIBoostingClassifier(lam=8.0, random_state=0)
    odds = MIBoostingClassifier(lam=8.0, constraint="equalized_odds", random_state=0)
    network = MIDebiasedClassifier(lam=8.0, random_state=0)
    plain = HistGradientBoostingClassifier(
        max_iter=200, early_stopping=False, categorical_features="from_dtype", random_state=0
    )

    def path(model: Any) -> Callable[[], Any]:
        return lambda: fairness_path(train.X, train.y, estimator=model, **given)

    return least_seconds(
        {
            "fairmi, trees, one fit, λ = 8": lambda: trees.fit(train.X, train.y, **given),
            "fairmi, trees, path of 10 λ": path(trees),
            "fairmi, trees, one fit, equalized odds": lambda: odds.fit(train.X, train.y, **given),
            "fairmi, network, one fit, λ = 8": lambda: network.fit(train.X, train.y, **given),
            "fairmi, network, path of 10 λ": path(network),
            "HistGradientBoosting, 200 rounds": lambda: plain.fit(train.X, train.y),
        }
    )


def peers(options: argparse.Namespace) -> Table:
    """One fit of each method, with what it reaches on the test part."""
    parts, rows = adult_parts(options.rows), []
    with threadpool_limits(1):
        for name, setting in PEERS:
            (fit,) = fits(methods_named([name])[0], [setting], parts.train, Trial())
            predicted = fit.predict(parts.test.X, parts.test.s)
            row = {"what": f"{name}, {setting}", "seconds": fit.seconds}
            rows.append(row | measured(parts.test.y, predicted, parts.test.s))
    return [row | {"ratio": row["seconds"] / rows[0]["seconds"]} for row in rows]


def search(options: argparse.Namespace) -> Table:
    """MIDebiasedClassifierCV beside GridSearchCV over the same λ and folds, by the clock."""
    parts = adult_parts(options.rows)
    train, test = parts.train, parts.test
    given = {"sensitive_features": train.s}
    model = MIDebiasedClassifier(random_state=0)
    ours = MIDebiasedClassifierCV(model, bound=0.05, n_jobs=options.jobs)
    rows: Table = []
    with sklearn.config_context(enable_metadata_routing=True):
        spent, _ = seconds_of(lambda: ours.fit(train.X, train.y, **given), time.perf_counter)
        searches = [("MIDebiasedClassifierCV", options.jobs, spent, ours.lam_, ours)]
        for processes in sorted({1, options.jobs}, reverse=True):
            grid = GridSearchCV(
                model,
                {"lam": ours.lams_},
                cv=5,
                scoring={"accuracy": "accuracy", "dp": make_fairness_scorer(METRIC)},
                refit=best_under_bound("dp", 0.05, maximize="accuracy"),
                n_jobs=processes,
            )
            spent, _ = seconds_of(
                lambda g=grid: g.fit(train.X, train.y, **given), time.perf_counter
            )
            searches.append(("GridSearchCV", processes, spent, grid.best_params_["lam"], grid))
    for what, processes, seconds, lam, found in searches:
        row = {"what": what, "processes": processes, "seconds": seconds, "lam": lam}
        row["ratio"] = seconds / searches[0][2]
        rows.append(row | measured(test.y, found.predict(test.X), test.s))
    return rows


def memory(options: argparse.Namespace) -> Table:
    """MB that a fit of Adult adds at its peak, and that many partial_fit grow by; a pickle."""
    return [alone(_peak_of_fit, options), alone(_growth_of_stream, options)]


def _peak_of_fit(options: argparse.Namespace) -> dict[str, Any]:
    train = adult_parts(options.rows).train
    _warm_up()
    before = memory_mb("VmHWM")
    model = MIDebiasedClassifier(lam=LAM, max_iter=2, random_state=0)
    model.fit(train.X, train.y, sensitive_features=train.s)
    encoded = model.encoder_.transform(train.X).nbytes / 2**20
    added = memory_mb("VmHWM") - before
    return {"what": "peak of a fit of Adult", "MB": added, "encoded MB": encoded}


def _growth_of_stream(options: argparse.Namespace) -> dict[str, Any]:
    train, random = adult_parts(options.rows).train, np.random.default_rng(0)
    model = MIDebiasedClassifier(lam=LAM, sensitive_columns="sex", random_state=0)
    for number in range(10 * WARM_UP):
        batch = train.take(random.integers(len(train), size=BATCH_ROWS))
        model.partial_fit(batch.X, batch.y, classes=[0, 1])
        if number == WARM_UP:
            before = memory_mb("VmRSS")
    growth = memory_mb("VmRSS") - before
    parameters = sum(value.nbytes for value in model.parameters_.values())
    ratio = len(pickle.dumps(model)) / parameters
    return {"what": "growth over 180 partial_fit", "MB": growth, "pickle to parameters": ratio}


def _warm_up() -> None:
    """Load what a fit loads."""
    warnings.simplefilter("ignore")
    few = adult_rows("train").first(500)
    MIDebiasedClassifier(max_iter=1).fit(few.X, few.y, sensitive_features=few.s)


def large(options: argparse.Namespace) -> Table:
    """Default fits of a long table of numbers and text, beside HistGradientBoosting's."""
    n_rows = options.rows or 100_000
    X, y, group = long_table(n_rows + HELD_OUT)
    texts = [name for name in X if name.startswith("text")]
    models = {
        "HistGradientBoosting": HistGradientBoostingClassifier(random_state=0),
        "trees, default": MIBoostingClassifier(lam=LAM, random_state=0),
        "networks, default": MIDebiasedClassifier(lam=LAM, random_state=0),
    }
    rows: Table = []
    _warm_up()
    for name, model in models.items():
        plain = name == "HistGradientBoosting"
        frame = X.astype(dict.fromkeys(texts, "category")) if plain else X
        given = {} if plain else {"sensitive_features": group[:n_rows]}
        seconds, _ = seconds_of(
            lambda m=model, f=frame, g=given: m.fit(f[:n_rows], y[:n_rows], **g)
        )
        predicting, predicted = seconds_of(lambda m=model, f=frame: m.predict(f[n_rows:]))
        row = {"what": f"{name}, {n_rows} rows", "seconds": seconds, "predict": predicting}
        rows.append(row | measured(y[n_rows:], predicted, group[n_rows:]))
    return [row | {"ratio": row["seconds"] / rows[0]["seconds"]} for row in rows]


def long_table(n_rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return X of 24 columns of numbers and 6 of text, y, and groups that both hang on."""
    random = np.random.default_rng(seed)
    group = random.random(n_rows) < 0.4
    numbers = random.standard_normal((n_rows, 24), dtype=np.float32)
    numbers[:, :4] += 0.6 * group[:, None]
    codes = random.integers(12, size=(n_rows, 6))
    codes[:, 0] = np.where(random.random(n_rows) < 0.3, group * 3, codes[:, 0])
    effects = np.random.default_rng(1).normal(size=(6, 12))
    a, b, c, d, e, f = numbers[:, :6].T
    score = 0.8 * a + np.sin(2 * b) + 0.7 * c * d + 0.5 * (e > 0.5) * f + 0.3 * numbers[:, 6] ** 2
    score += sum(0.4 * effects[j][codes[:, j]] for j in range(6))
    y = (score - 0.5 + random.logistic(size=n_rows) > 0).astype(int)
    words = np.array([f"category {k}" for k in range(12)], dtype=object)
    frame = pd.DataFrame(numbers, columns=[f"number {j}" for j in range(24)])
    return frame.assign(**{f"text {j}": words[codes[:, j]] for j in range(6)}), y, group


def audits(options: argparse.Namespace) -> Table:
    """Audit of predictions with scores, two attributes and their intersection, in a process."""
    return [alone(_audited, options.rows or 100_000)]


def _audited(n_rows: int) -> dict[str, Any]:
    from fairmi.audit import audit

    y, predicted, score, groups = decisions(n_rows)
    given = {"y_score": score, "sensitive_features": groups, "random_state": 0}
    seconds, report = seconds_of(lambda: audit(y=y, y_pred=predicted, **given))
    what = f"audit, {n_rows} rows, {len(report.figures)} figures"
    return {"what": what, "seconds": seconds, "MB at the peak": memory_mb("VmHWM")}


def decisions(n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    """Return labels, predictions, scores, and groups by sex and race that scores hang on."""
    random = np.random.default_rng(0)
    sex, race = random.random(n_rows) < 0.4, random.choice(4, n_rows, p=[0.6, 0.2, 0.15, 0.05])
    score = 1 / (1 + np.exp(-(random.normal(size=n_rows) + 0.4 * sex + 0.2 * (race == 1))))
    y, predicted = (random.random(n_rows) < score).astype(int), (score > 0.6).astype(int)
    frame = pd.DataFrame({"sex": np.where(sex, "f", "m"), "race": np.array(list("abcd"))[race]})
    return y, predicted, score, frame


DECISIONS = """
select h, (case when hash(h) % 10 < 4 then 'f' else 'm' end) as sex,
  substring('aaaaaabbcd', 1 + (hash(h + 1) % 10)::int, 1) as race,
  'region ' || (hash(h + 2) % 8)::int as region,
  (0.9 * (hash(h + 3) % 100000) / 100000 + 0.1 * (hash(h) % 10 < 4)::int)::float as score,
  ((hash(h + 4) % 100000) / 100000 < score)::tinyint as y, (score > 0.6)::tinyint as p
from (select hash(range) as h from range({}))
"""


def warehouse(options: argparse.Namespace) -> Table:
    """Audit of Parquet that DuckDB counts on disk, in a process."""
    import duckdb

    n_rows = options.rows or 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/rows.parquet"
        duckdb.connect().sql(
            f"select * exclude h from ({DECISIONS.format(n_rows)})"
        ).write_parquet(path)
        size = Path(path).stat().st_size / 2**20
        return [alone(_counted, path, n_rows) | {"MB on disk": size}]


def _counted(path: str, n_rows: int) -> dict[str, Any]:
    import duckdb

    from fairmi.audit import audit

    place = duckdb.connect().execute("set memory_limit = '1GB'")
    names = {"y": "y", "y_pred": "p", "y_score": "score", "conditions": ["region"]}
    names |= {"sensitive_features": ["sex", "race"], "table": place.read_parquet(path)}
    start = time.perf_counter()
    seconds, report = seconds_of(lambda: audit(**names, random_state=0))
    clock = time.perf_counter() - start
    row = {"what": f"audit of Parquet, {n_rows} rows, {len(report.figures)} figures"}
    return row | {"seconds": seconds, "by the clock": clock, "MB at the peak": memory_mb("VmHWM")}


TABLES = {
    "audit": audits,
    "warehouse": warehouse,
    "ours": ours,
    "peers": peers,
    "search": search,
    "memory": memory,
    "large": large,
}


def main() -> None:
    """Print the tables, and save their rows."""
    made = parser(__doc__)
    made.add_argument("--jobs", type=int, default=2, help="processes of the searches")
    made.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    made.add_argument("--rows", type=int, help="to learn from, of Adult few: to see that it runs")
    options = made.parse_args()
    print_machine()
    rows = []
    for name in options.tables:
        part = pd.DataFrame(TABLES[name](options)).assign(table=name)
        print(f"\n{part.round(4).to_string(index=False)}", flush=True)
        rows.append(part)
    write(pd.concat(rows), options.output)


if __name__ == "__main__":
    main()
