"""The rows that a comparison learns and measures from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairmi._data.groups import group_rows
from fairmi.datasets import load_adult, load_german


@dataclass(frozen=True)
class LabelledRows:
    """A table, labels 0 or 1, and the sensitive value of each row."""

    X: pd.DataFrame
    y: np.ndarray
    s: np.ndarray
    sensitive_column: str = ""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> LabelledRows:
        """Those rows of the sample."""
        X = self.X.iloc[rows].reset_index(drop=True)
        return replace(self, X=X, y=self.y[rows], s=self.s[rows])

    def without_sensitive(self) -> LabelledRows:
        """The sample less the column of X that tells the sensitive value by itself."""
        return replace(self, X=self.X.drop(columns=self.sensitive_column))

    @property
    def codes(self) -> np.ndarray:
        """The group of each row, counted from 0."""
        return group_rows(self.s).codes

    @property
    def strata(self) -> np.ndarray:
        """Group and label of each row in one code, to split evenly by."""
        return self.codes * 2 + self.y


def adult_samples() -> tuple[LabelledRows, LabelledRows]:
    """Adult's official training and test part, sex being sensitive."""
    parts: Any = (load_adult(subset="train"), load_adult(subset="test"))
    return _sample(parts[0], "sex", ">50K", "sex"), _sample(parts[1], "sex", ">50K", "sex")


def german_sample() -> LabelledRows:
    """The German credit data, age over 25 years being sensitive."""
    german: Any = load_german()
    return _sample(german, "age_over_25", "good", "age")


def _sample(bunch: Bunch, sensitive: str, positive: str, column: str) -> LabelledRows:
    s = bunch.sensitive_features[sensitive].astype(str).to_numpy(dtype=object)
    return LabelledRows(
        bunch.data, (bunch.target == positive).to_numpy().astype(np.int64), s, column
    )
