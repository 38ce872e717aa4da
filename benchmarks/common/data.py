"""Adult, German, card holders and census income as X, y of 0 and 1, and a sensitive attribute.

The last two are not in the repository: they are read from the folder that --data or the
environment variable FAIRMI_DATA names, which holds credit_default.csv.gz (I-C. Yeh, Default of
Credit Card Clients, UCI, doi 10.24432/C55S3H) and census_income_kdd.csv.gz (Census-Income KDD,
UCI, doi 10.24432/C5N30T).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

from fairmi.datasets import load_adult, load_german

DATASETS = ("adult", "german", "credit", "census")
_SENSITIVE = {"adult": "sex", "german": "age_over_25", "credit": "SEX", "census": "sex"}
_TEST_SHARE = 0.3


@dataclass(frozen=True)
class Part:
    """Rows of a table: features, labels 0 or 1, sensitive attribute."""

    x: pd.DataFrame
    y: np.ndarray
    c: pd.Series

    def take(self, index: np.ndarray) -> Part:
        """Return the rows of `index`."""
        return Part(self.x.iloc[index], self.y[index], self.c.iloc[index])

    def cells(self) -> np.ndarray:
        """Return what splits are even in: label and group."""
        return (self.c.astype(str) + pd.Series(self.y, index=self.c.index).astype(str)).to_numpy()


@dataclass(frozen=True)
class Split:
    """Rows to learn from, and rows to measure on."""

    train: Part
    test: Part


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Let a script choose its table, how it is split, and how many rows it learns from."""
    parser.add_argument("--dataset", choices=DATASETS, default="adult")
    parser.add_argument("--data", type=Path, help="folder of the tables that are not packed")
    parser.add_argument("--sensitive", help="sensitive attribute, in place of the usual one")
    parser.add_argument("--splits", type=int, default=3, help="random ones; Adult has its own")
    parser.add_argument("--rows", type=int, help="learn from so few rows: to see that it runs")


def splits(options: argparse.Namespace) -> list[Split]:
    """Return Adult's official split, or random ones of another table, as options say."""
    name = options.dataset
    sensitive = options.sensitive or _SENSITIVE[name]
    if name == "adult":
        found = [Split(adult("train", sensitive), adult("test", sensitive))]
    else:
        whole = _whole(name, sensitive, options.data)
        found = [_random_split(whole, seed) for seed in range(options.splits)]
    return [Split(first_rows(split.train, options.rows), split.test) for split in found]


def adult(subset: str, sensitive: str = "sex") -> Part:
    """Return a part of Adult with "sex", "race", "age" or "sex x race"."""
    bunch = load_adult(subset=subset)
    names = sensitive.split(" x ")
    c = bunch.data[names[0]]
    if len(names) > 1:
        c = bunch.data[names].astype(str).agg(", ".join, axis=1)
    return Part(bunch.data, (bunch.target == ">50K").to_numpy().astype(int), _plain(c))


def german(sensitive: str = "age_over_25") -> Part:
    """Return German with age over 25."""
    bunch = load_german()
    c = bunch.sensitive_features[sensitive]
    return Part(bunch.data, (bunch.target == "good").to_numpy().astype(int), _plain(c))


def credit(folder: Path, sensitive: str = "SEX") -> Part:
    """Return 30,000 card holders: who fails to pay next month."""
    table = pd.read_csv(folder / "credit_default.csv.gz").drop(columns="ID")
    y = table.pop("default-payment-next-month").to_numpy()
    return Part(table, y, _plain(table[sensitive]))


def census(folder: Path, sensitive: str = "sex") -> Part:
    """Return 199,523 people of 1994 and 1995: who earns 50,000 dollars or more."""
    path = folder / "census_income_kdd.csv.gz"
    table = pd.read_csv(path, header=None, skipinitialspace=True, na_values="?")
    table.columns = ["sex" if k == 12 else f"column {k}" for k in table.columns]
    y = (table.pop("column 41") == "50000+.").to_numpy().astype(int)
    x = table.drop(columns="column 24")  # the weight of an interview
    text = x.select_dtypes(exclude="number").columns
    x = x.astype(dict.fromkeys(text, "category"))
    return Part(x, y, _plain(x[sensitive]))


def first_rows(part: Part, rows: int | None) -> Part:
    """Return so many rows of a part in random order; None is all, as they are."""
    if rows is None or rows >= len(part.y):
        return part
    return part.take(np.random.default_rng(0).permutation(len(part.y))[:rows])


def folds(part: Part, n_folds: int, seed: int) -> Iterator[tuple[Split, np.ndarray]]:
    """Yield splits of a part that are even in label and group, and where their test rows lie."""
    split = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for taken, other in split.split(part.x, part.cells()):
        yield Split(part.take(taken), part.take(other)), other


def _whole(name: str, sensitive: str, data: Path | None) -> Part:
    if name == "german":
        return german(sensitive)
    folder = data or os.environ.get("FAIRMI_DATA")
    if folder is None:
        raise SystemExit(f"{name} is not packed: name its folder by --data or FAIRMI_DATA.")
    return {"credit": credit, "census": census}[name](Path(folder), sensitive)


def _random_split(part: Part, seed: int) -> Split:
    index = np.arange(len(part.y))
    taken, other = train_test_split(
        index, test_size=_TEST_SHARE, stratify=part.cells(), random_state=seed
    )
    return Split(part.take(taken), part.take(other))


def _plain(c: pd.Series) -> pd.Series:
    """Return values as they are where there are many, else groups as text."""
    return c if pd.api.types.is_numeric_dtype(c) and c.nunique() > 20 else c.astype(str)
