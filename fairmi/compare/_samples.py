"""The rows that a comparison learns and measures from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairmi._data.groups import group_rows
from fairmi.datasets import load_adult, load_german


@dataclass(frozen=True)
class Sample:
    """A table, labels 0 or 1, and the sensitive value of each row."""

    X: pd.DataFrame
    y: np.ndarray
    s: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Sample:
        """Those rows of the sample."""
        return Sample(self.X.iloc[rows].reset_index(drop=True), self.y[rows], self.s[rows])

    @property
    def codes(self) -> np.ndarray:
        """The group of each row, counted from 0."""
        return group_rows(self.s).codes

    @property
    def strata(self) -> np.ndarray:
        """Group and label of each row in one code, to split evenly by."""
        return self.codes * 2 + self.y


def adult_samples() -> tuple[Sample, Sample]:
    """Adult's official training and test part, sex being sensitive."""
    parts: Any = (load_adult(subset="train"), load_adult(subset="test"))
    return _sample(parts[0], "sex", ">50K"), _sample(parts[1], "sex", ">50K")


def german_sample() -> Sample:
    """The German credit data, age over 25 years being sensitive."""
    german: Any = load_german()
    return _sample(german, "age_over_25", "good")


def _sample(bunch: Bunch, sensitive: str, positive: str) -> Sample:
    s = bunch.sensitive_features[sensitive].astype(str).to_numpy(dtype=object)
    return Sample(bunch.data, (bunch.target == positive).to_numpy().astype(np.int64), s)
