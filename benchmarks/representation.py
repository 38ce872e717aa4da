"""A representation without y: what a booster learns from it, and what a probe tells of the group.

    python benchmarks/representation.py --output benchmarks/results/representation.csv

Adult's training rows, `sex` a column of X, a third of the rows held out. Each representation is
fitted without y; then one booster learns income from it and another learns sex, and both are read
on the held-out rows.

Sliced transport: the first components of what is left within groups, moved along many directions
to the mean quantiles of the groups (a Wasserstein barycentre by slices: Rabin, Peyre, Delon and
Bernot 2011, doi 10.1007/978-3-642-24785-9_37). A little noise first, since many people share a
value, and where a shared value lies tells the group.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from fairlearn.preprocessing import CorrelationRemover
from shared import parser, print_machine, write
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from fairmi.datasets import load_adult

QUANTILES = np.linspace(0, 1, 101)
RARE = 0.005  # share of rows below which a category is left out


@dataclass(frozen=True)
class Rows:
    """n rows: columns of numbers, the group, y, and which rows are learned from and held out."""

    x: np.ndarray
    group: np.ndarray
    y: np.ndarray
    learn: np.ndarray
    new: np.ndarray

    def learned(self, g: int) -> np.ndarray:
        """Return the rows of a group that are learned from."""
        return self.learn[self.group[self.learn] == g]


def adult(seed: int) -> Rows:
    """Return the training rows, ranks of numbers and scaled indicators of categories, no sex."""
    data = load_adult(subset="train")
    group = (data.sensitive_features["sex"] == "Male").to_numpy().astype(int)
    y = (data.target == ">50K").to_numpy().astype(int)
    rows = np.arange(len(y))
    learn, new = train_test_split(rows, test_size=0.35, random_state=seed, stratify=2 * y + group)
    columns = []
    for name in data.data.columns.drop("sex"):
        column = data.data[name]
        if pd.api.types.is_numeric_dtype(column):
            values = column.to_numpy(float)
            rank = np.interp(values, np.sort(values[learn]), np.linspace(0, 1, len(learn)))
            columns.append(rank / rank[learn].std())
        else:
            for label, share in (
                column.iloc[learn].astype(str).value_counts(normalize=True).items()
            ):
                if share > RARE:
                    columns.append(0.6 * (column.astype(str) == label) / np.sqrt(share))
    return Rows(np.column_stack(columns), group, y, learn, new)


def components(rows: Rows, n: int) -> np.ndarray:
    """Return the first principal components of what is left within groups, (n_rows, n)."""
    within = rows.x.copy()
    for g in (0, 1):
        within[rows.group == g] -= rows.x[rows.learned(g)].mean(axis=0)
    return within @ np.linalg.svd(within[rows.learn], full_matrices=False)[2][:n].T


def transported(rows: Rows, z: np.ndarray, n_steps: int, seed: int) -> np.ndarray:
    """Return both groups moved to the mean of their quantiles, along random directions."""
    random, share = np.random.default_rng(seed), rows.group[rows.learn].mean()
    z, n = z.copy(), z.shape[1]
    for step in range(n_steps):
        turn = np.eye(n) if step % 5 == 4 else np.linalg.qr(random.normal(size=(n, n)))[0]
        turned = z @ turn
        ends = [np.quantile(turned[rows.learned(g)], QUANTILES, axis=0) for g in (0, 1)]
        middle = (1 - share) * ends[0] + share * ends[1]
        for g in (0, 1):
            of_group = np.flatnonzero(rows.group == g)
            for k in range(n):
                at = turned[of_group, k]
                inside = np.clip(at, ends[g][0, k], ends[g][-1, k])
                turned[of_group, k] = np.interp(inside, ends[g][:, k], middle[:, k]) + at - inside
        z = turned @ turn.T
    return z


def rounded(rows: Rows, z: np.ndarray, n_levels: int) -> np.ndarray:
    """Return each unit's quantile bin."""
    inner = np.arange(1, n_levels) / n_levels
    bins = [np.searchsorted(np.quantile(u[rows.learn], inner), u) for u in z.T]
    return np.column_stack(bins).astype(float)


def representations(rows: Rows, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and representations, (n_rows, n_units)."""
    yield "X", np.column_stack([rows.x, rows.group])
    remover = CorrelationRemover(sensitive_feature_ids=[rows.x.shape[1]])
    both = np.column_stack([rows.x, rows.group])
    yield "CorrelationRemover", remover.fit(both[rows.learn]).transform(both)
    random = np.random.default_rng(seed)
    for n_units, noise, n_steps in SETTINGS:
        z = components(rows, n_units)
        z += noise * z[rows.learn].std(axis=0) * random.normal(size=z.shape)
        z = transported(rows, z, n_steps, seed)
        name = f"transport, {n_units} units, noise {noise}, {n_steps} steps"
        yield name, z
        yield f"{name}, 9 levels", rounded(rows, z, 9)


SETTINGS = [(4, 0.1, 100), (8, 0.1, 160)]  # units, noise in deviations, rotations


def measured(rows: Rows, z: np.ndarray) -> dict[str, float]:
    """Return accuracy for y and AUC for the group of fresh boosters, on held-out rows."""
    of_y, of_group = (
        HistGradientBoostingClassifier(early_stopping=False, random_state=0).fit(
            z[rows.learn], target[rows.learn]
        )
        for target in (rows.y, rows.group)
    )
    told = of_group.predict_proba(z[rows.new])[:, 1]
    return {
        "accuracy": of_y.score(z[rows.new], rows.y[rows.new]),
        "auc": float(roc_auc_score(rows.group[rows.new], told)),
    }


def main() -> None:
    """Measure each on some splits."""
    made = parser(__doc__)
    made.add_argument("--splits", type=int, default=3)
    arguments = made.parse_args()
    print_machine()
    lines = []
    for seed in range(arguments.splits):
        rows, start = adult(seed), time.process_time()
        for name, z in representations(rows, seed):
            figures = measured(rows, z)
            seconds = time.process_time() - start
            lines.append({"split": seed, "method": name, **figures, "seconds": seconds})
            print(lines[-1], flush=True)
            start = time.process_time()
    table = pd.DataFrame(lines)
    print(table.groupby("method", sort=False)[["accuracy", "auc", "seconds"]].mean().round(4))
    write(table, arguments.output)


if __name__ == "__main__":
    main()
