"""A representation without y: what a booster learns from it, and what a probe tells of the group.

    python benchmarks/representation.py --output benchmarks/results/representation.csv

Adult's training rows, German, or card holders (--dataset credit, by sex, or by --column AGE), the
sensitive feature a column of X, a third of the rows held out. Each representation is fitted
without y, but for two that say so; then one booster learns y from it, and a booster and a logistic
regression learn the group: the larger AUC counts.

Rivals: CorrelationRemover; fair PCA (Kleindessner, Donini, Russell and Zafar 2023, arXiv
2302.13319: components of what no mean of a group tells); repair of single columns (Feldman et al.
2015, arXiv 1412.3756); LFR (Zemel et al. 2013, with y: prototypes, by the paper's loss, and one
scale a column for both groups, since with two, shares of prototypes tell the group by themselves);
sliced transport: the first components of what is left within groups, moved along many directions
to the mean quantiles of the groups (Rabin, Peyre, Delon and Bernot 2011, doi
10.1007/978-3-642-24785-9_37), after a little noise, since many people share a value, and where it
lands tells the group.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from fairlearn.preprocessing import CorrelationRemover
from shared import Table, add_data_options, parser, print_machine, print_means, rows_named
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi import MIBoostingClassifier, MIDebiasedTransformer
from fairmi.compare._rows import LabelledRows

QUANTILES = np.linspace(0, 1, 101)
RARE = 0.005  # share of rows below which a category is left out
SETTINGS = [(4, 0.1, 100), (8, 0.1, 160)]  # units, noise in deviations, rotations
LAMS = [0.1, 0.4, 2.0]


@dataclass(frozen=True)
class Rows:
    """n rows: the table, columns of numbers, the group, y; which are learned from, which not."""

    table: pd.DataFrame
    x: np.ndarray
    group: np.ndarray
    y: np.ndarray
    learn: np.ndarray
    new: np.ndarray

    def learned(self, g: int) -> np.ndarray:
        """Return the rows of a group that are learned from."""
        return self.learn[self.group[self.learn] == g]


def read(found: LabelledRows, seed: int) -> Rows:
    """Return ranks of numbers and scaled indicators of categories, without the group's columns."""
    group, y = np.unique(found.s, return_inverse=True)[1], found.y.astype(int)
    learn, new = train_test_split(
        np.arange(len(y)), test_size=0.35, random_state=seed, stratify=2 * y + group
    )
    columns = []
    for name in found.X.columns.drop(list(found.sensitive_columns)):
        column = found.X[name]
        if pd.api.types.is_numeric_dtype(column):
            values = column.to_numpy(float)
            rank = np.interp(values, np.sort(values[learn]), np.linspace(0, 1, len(learn)))
            columns.append(rank / (rank[learn].std() or 1))
        else:
            text = column.astype(str)
            for label, share in text.iloc[learn].value_counts(normalize=True).items():
                if share > RARE:
                    columns.append(0.6 * (text == label) / np.sqrt(share))
    return Rows(found.X, np.column_stack(columns), group, y, learn, new)


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
        turn = (
            np.eye(n)
            if n_steps == 1 or step % 5 == 4
            else np.linalg.qr(random.normal(size=(n, n)))[0]
        )
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


def fair_components(rows: Rows, n: int) -> np.ndarray:
    """Return principal components at a right angle to the difference of the groups' means."""
    middle = [rows.x[rows.learned(g)].mean(axis=0) for g in (0, 1)]
    away = (middle[1] - middle[0]) / np.linalg.norm(middle[1] - middle[0])
    left = rows.x - rows.x[rows.learn].mean(axis=0)
    left = left - np.outer(left @ away, away)
    return left @ np.linalg.svd(left[rows.learn], full_matrices=False)[2][:n].T


def prototypes(rows: Rows, seed: int, weights: tuple[float, float, float]) -> np.ndarray:
    """Return LFR's shares of ten prototypes; weights are of X told back, of y and of parity."""
    torch.manual_seed(seed)
    x, y, group = (torch.as_tensor(of).float() for of in (rows.x, rows.y, rows.group))
    centres = torch.tensor(rows.x[rows.learn[:10]]).float().requires_grad_()
    scales = torch.full(x.shape[1:], 0.1).requires_grad_()
    odds = torch.zeros(10).requires_grad_()
    optimizer = torch.optim.Adam([centres, scales, odds], lr=0.02)

    def shares(index: torch.Tensor) -> torch.Tensor:
        a = scales.square()
        at = (a * x[index].square()).sum(1)[:, None] - 2 * (a * x[index]) @ centres.t()
        return (-(at + a @ centres.square().t())).softmax(1)

    learn = torch.as_tensor(rows.learn)
    for _ in range(400):
        index = learn[torch.randint(len(learn), (512,))]
        m, g = shares(index), group[index] == 1
        told = (m @ odds.sigmoid()).clamp(1e-4, 1 - 1e-4)
        back = (m @ centres - x[index]).square().mean()
        of_y = torch.nn.functional.binary_cross_entropy(told, y[index])
        parity = (m[g].mean(0) - m[~g].mean(0)).abs().sum()
        loss = sum(w * of for w, of in zip(weights, (back, of_y, parity), strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return shares(torch.arange(len(x))).numpy()


def representations(rows: Rows, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and representations, (n_rows, n_units)."""
    models = MIDebiasedTransformer(random_state=seed).fit_path(
        rows.table.iloc[rows.learn], lams=LAMS, sensitive_features=rows.group[rows.learn]
    )
    for lam, model in zip(LAMS, models, strict=True):
        yield f"MIDebiasedTransformer, λ = {lam:g}", model.transform(rows.table)
    both = np.column_stack([rows.x, rows.group])
    yield "X", both
    remover = CorrelationRemover(sensitive_feature_ids=[rows.x.shape[1]])
    yield "CorrelationRemover", remover.fit(both[rows.learn]).transform(both)
    for n_units in (4, 8):
        yield f"fair PCA, {n_units} units", fair_components(rows, n_units)
    yield "repair of single columns", transported(rows, rows.x, 1, seed)
    for weight in (1.0, 10.0, 50.0):
        yield f"LFR (with y), A_z = {weight:g}", prototypes(rows, seed, (0.1, 1.0, weight))
    random = np.random.default_rng(seed)
    for n_units, noise, n_steps in SETTINGS:
        z = components(rows, n_units)
        z += noise * z[rows.learn].std(axis=0) * random.normal(size=z.shape)
        yield f"sliced transport, {n_units} units", transported(rows, z, n_steps, seed)
    trees = MIBoostingClassifier(random_state=seed)
    x, y = rows.table.iloc[rows.learn], rows.y[rows.learn]
    for model in trees.fit_path(x, y, lams=[2, 16], sensitive_features=rows.group[rows.learn]):
        yield f"MIBoostingClassifier (with y), λ = {model.lam:g}", model.transform(rows.table)


def measured(rows: Rows, z: np.ndarray) -> dict[str, float]:
    """Return accuracy for y, and the larger AUC for the group, of models on held-out rows."""
    boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=0)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    z_learn, z_new, group = z[rows.learn], z[rows.new], rows.group[rows.learn]
    probes = [probe.fit(z_learn, group).predict_proba(z_new)[:, 1] for probe in (boosting, linear)]
    auc = max(roc_auc_score(rows.group[rows.new], told) for told in probes)
    of_y = boosting.fit(z_learn, rows.y[rows.learn])
    return {"accuracy": of_y.score(z_new, rows.y[rows.new]), "auc": float(auc)}


def main() -> None:
    """Measure each on some splits."""
    made = parser(__doc__)
    add_data_options(made)
    made.add_argument("--column", help="its numbers at or below the median are the group")
    options = made.parse_args()
    print_machine()
    whole = rows_named(options.dataset, options.data).first(options.rows)
    if options.column:
        values = whole.X[options.column].to_numpy()
        young = values <= np.median(values)
        whole = replace(whole, s=young, sensitive_columns=(options.column,))
    dataset = " ".join([options.dataset, *whole.sensitive_columns])
    table = Table(options.output, ["dataset", "split", "method"])
    for seed in range(options.splits):
        rows, start = read(whole, seed), time.process_time()
        for name, z in representations(rows, seed):
            row = {"dataset": dataset, "split": seed, "method": name} | measured(rows, z)
            table.add(row | {"seconds": time.process_time() - start})
            start = time.process_time()
    print_means(table.frame, ["dataset", "method"], ["accuracy", "auc", "seconds"])


if __name__ == "__main__":
    main()
