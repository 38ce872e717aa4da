"""A synthetic table of numbers and text, as long as asked, whose groups hide in some columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

NUMBERS, TEXTS, CATEGORIES = 24, 6, 12


def table(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return X of 24 columns of numbers and 6 of text, y, and groups that both hang on."""
    random = np.random.default_rng(seed)
    group = random.random(rows) < 0.4
    numbers = random.standard_normal((rows, NUMBERS), dtype=np.float32)
    numbers[:, :4] += 0.6 * group[:, None]
    codes = random.integers(CATEGORIES, size=(rows, TEXTS))
    codes[:, 0] = np.where(random.random(rows) < 0.3, group * 3, codes[:, 0])
    effects = np.random.default_rng(1).normal(size=(TEXTS, CATEGORIES))
    a, b, c, d, e, f = numbers[:, :6].T
    score = 0.8 * a + np.sin(2 * b) + 0.7 * c * d + 0.5 * (e > 0.5) * f + 0.3 * numbers[:, 6] ** 2
    score += sum(0.4 * effects[j][codes[:, j]] for j in range(TEXTS))
    y = (score - 0.5 + random.logistic(size=rows) > 0).astype(int)
    words = np.array([f"category {k}" for k in range(CATEGORIES)], dtype=object)
    frame = pd.DataFrame(numbers, columns=[f"number {j}" for j in range(NUMBERS)])
    return frame.assign(**{f"text {j}": words[codes[:, j]] for j in range(TEXTS)}), y, group
