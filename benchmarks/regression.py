"""Regression under parity: accuracy at equal KS between groups, trees beside their peers.

    python benchmarks/regression.py --data ../shared/data

Half of the rows are learned from, three times; visits are split by person. The barycentre moves
the predictions of trees at λ = 0 towards the mean quantile of the groups: it needs the group at
prediction, which trees do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.preprocessing import CorrelationRemover
from scipy.stats import ks_2samp
from shared import parser, print_machine, write
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, PoissonRegressor
from sklearn.metrics import d2_tweedie_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit, cross_val_predict
from sklearn.preprocessing import StandardScaler

from fairmi import MIBoostingRegressor

LAMS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)  # of the way to the barycentre, or of what is removed
AT_KS = (0.10, 0.20)


@dataclass(frozen=True)
class Table:
    """Rows of a table: features, y, whether a row is in the first group, what belongs together."""

    x: pd.DataFrame
    y: np.ndarray
    first: np.ndarray
    clusters: np.ndarray
    loss: str

    def take(self, index: np.ndarray) -> Table:
        """Return the rows of an index."""
        rows = (self.y[index], self.first[index], self.clusters[index])
        return Table(self.x.iloc[index], *rows, self.loss)

    def score(self, predicted: np.ndarray) -> float:
        """Return R² or, of counts, D²."""
        power = 1 if self.loss == "poisson" else 0
        return float(d2_tweedie_score(self.y, predicted, power=power))

    def ks(self, predicted: np.ndarray) -> float:
        """Return the largest difference between the groups' distributions of predictions."""
        return float(ks_2samp(predicted[self.first], predicted[~self.first]).statistic)


def wages(folder: Path) -> Table:
    """Return log wages of 1988, and who is African American (CPS1988)."""
    x = pd.read_csv(folder / "cps_wages.csv.gz")
    y = np.log(x.pop("wage").to_numpy())
    x = x.astype(dict.fromkeys(x.select_dtypes(exclude="number"), "category"))
    return Table(x, y, (x["ethnicity"] == "afam").to_numpy(), np.arange(len(y)), "squared_error")


def visits(folder: Path) -> Table:
    """Return visits to a doctor by year, and who is female (rwm5yr)."""
    x = pd.read_csv(folder / "doctor_visits.csv.gz").drop(columns="hospvis")
    y, persons = x.pop("docvis").to_numpy(float), x.pop("id").to_numpy()
    x = x[[name for name in x if not name.startswith("edlevel")]]
    return Table(x, y, (x["female"] == 1).to_numpy(), persons, "poisson")


def trees(learn: Table, test: Table, **parameters: Any) -> Iterator[tuple[float, np.ndarray]]:
    """Yield λ and predictions of MIBoostingRegressor."""
    model = MIBoostingRegressor(loss=learn.loss, random_state=0, **parameters)
    for fitted in model.fit_path(learn.x, learn.y, lams=LAMS, sensitive_features=learn.first):
        yield fitted.lam, fitted.predict(test.x)


def trees_of_17(learn: Table, test: Table) -> Iterator[tuple[float, np.ndarray]]:
    """Yield λ and predictions of 17 values."""
    yield from trees(learn, test, n_predictions=17)


def plain(learn: Table, test: Table) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the predictions of scikit-learn's boosting."""
    model = HistGradientBoostingRegressor(loss=learn.loss, random_state=0)
    yield 0.0, model.fit(learn.x, learn.y).predict(test.x)


def barycentre(learn: Table, test: Table) -> Iterator[tuple[float, np.ndarray]]:
    """Yield predictions on the way to the barycentre of the groups' distributions."""
    model = MIBoostingRegressor(lam=0.0, loss=learn.loss, random_state=0)
    model.fit(learn.x, learn.y, sensitive_features=learn.first)
    seen, new = model.predict(learn.x), model.predict(test.x)
    levels = np.linspace(0, 1, 501)
    quantiles = {g: np.quantile(seen[learn.first == g], levels) for g in (True, False)}
    share = learn.first.mean()
    centre = share * quantiles[True] + (1 - share) * quantiles[False]
    moved = np.empty_like(new)
    for g in (True, False):
        rank = np.interp(new[test.first == g], quantiles[g], levels)
        moved[test.first == g] = np.interp(rank, levels, centre)
    for t in SHARES:
        yield t, (1 - t) * new + t * moved


def correlation_remover(learn: Table, test: Table) -> Iterator[tuple[float, np.ndarray]]:
    """Yield predictions of a linear model of columns without what a line tells of the group."""
    tables = [pd.get_dummies(t.x, drop_first=True, dtype=float) for t in (learn, test)]
    scaler = StandardScaler().fit(tables[0])
    pairs = zip(tables, (learn, test), strict=True)
    rest = [np.column_stack([scaler.transform(table), of.first]) for table, of in pairs]
    make = PoissonRegressor(alpha=1e-4) if learn.loss == "poisson" else LinearRegression()
    for alpha in SHARES:
        remover = CorrelationRemover(sensitive_feature_ids=[rest[0].shape[1] - 1], alpha=alpha)
        x = remover.fit_transform(rest[0])
        yield alpha, make.fit(x, learn.y).predict(remover.transform(rest[1]))


METHODS: dict[str, Callable[[Table, Table], Iterator[tuple[float, np.ndarray]]]] = {
    "trees": trees,
    "trees, 17 values": trees_of_17,
    "plain boosting": plain,
    "barycentre, group at prediction": barycentre,
    "CorrelationRemover and linear": correlation_remover,
}


def probe_auc(predicted: np.ndarray, first: np.ndarray) -> float:
    """Return how well a fresh probe tells the group from predictions it did not see."""
    probe = HistGradientBoostingClassifier(max_iter=50, random_state=0)
    told = cross_val_predict(probe, predicted[:, None], first, cv=3, method="predict_proba")
    return float(roc_auc_score(first, told[:, 1]))


def rows_of(name: str, table: Table) -> pd.DataFrame:
    """Return a row for each split, method and setting."""
    splitter = GroupShuffleSplit(3, test_size=0.5, random_state=0)
    rows = []
    for seed, (first, second) in enumerate(splitter.split(table.x, groups=table.clusters)):
        learn, test = table.take(first), table.take(second)
        for method, run in METHODS.items():
            start = time.process_time()
            for setting, predicted in run(learn, test):
                row = {"table": name, "split": seed, "method": method, "setting": setting}
                row |= {"score": test.score(predicted), "ks": test.ks(predicted)}
                if setting == 0 or setting >= (4 if method.startswith("trees") else 1):
                    row["probe_auc"] = probe_auc(predicted, test.first)
                rows.append(row | {"seconds": time.process_time() - start})
                start = time.process_time()
    return pd.DataFrame(rows)


def at_ks(rows: pd.DataFrame, ks: float) -> float:
    """Return the score between settings at a KS, NaN where none is so fair or none so unfair."""
    rows = rows.sort_values("ks")
    return float(np.interp(ks, rows["ks"], rows["score"], left=np.nan, right=np.nan))


def main() -> None:
    """Measure both tables."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="folder of the two tables")
    read = {"wages": wages, "visits": visits}
    arguments.add_argument("--tables", nargs="+", choices=list(read), default=list(read))
    options = arguments.parse_args()
    print_machine()
    rows = pd.concat([rows_of(name, read[name](options.data)) for name in options.tables])
    by = ["table", "method", "setting"]
    print(rows.drop(columns="split").groupby(by, sort=False).mean().round(4).to_string())
    for ks in AT_KS:
        of_split = rows.groupby(["table", "method", "split"], sort=False)
        scores = of_split[["ks", "score"]].apply(at_ks, ks)
        print(f"score at KS {ks}")
        print(scores.groupby(["table", "method"], sort=False).agg(["mean", "sem"]).round(4))
    write(rows, options.output)


if __name__ == "__main__":
    main()
