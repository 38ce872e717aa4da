"""Waves over Z as features: where the attribute alternates in stripes too narrow for trees."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

MAX_WAVES = 8  # waves handed to the probe
MAX_LINES = 120  # columns, and sums and differences of two, that are searched
BINS = 2**14  # of a line's range; stripes must be a few bins wide
MIN_CYCLES = 6  # over the range; slower waves are seen by the other probes

Line = tuple[int, int, int]  # columns i and j, and the sign of j: Z[:, i] + sign * Z[:, j]


class WaveSelector(TransformerMixin, BaseEstimator):
    """Sines and cosines of columns of Z, and of sums and differences of two, that tell the most.

    The frequency of each line is the peak of the periodogram of the (one-hot) target over it, by
    a fast Fourier transform of the binned rows.

    Parameters
    ----------
    continuous : bool, default=False
        Whether the target is a number and not a code.
    seed : int, default=0
        Of the choice of lines, where there are too many.
    """

    def __init__(self, continuous: bool = False, seed: int = 0) -> None:
        self.continuous = continuous
        self.seed = seed

    def fit(self, Z: np.ndarray, c: np.ndarray) -> WaveSelector:
        """Choose the lines and their frequencies."""
        target = c[:, None].astype(np.float64) if self.continuous else np.eye(c.max() + 1)[c]
        target = target[:, target.std(axis=0) > 0]
        target = (target - target.mean(axis=0)) / target.std(axis=0)
        peaks = [(*_peak(_values(Z, line), target), line) for line in self._lines(Z.shape[1])]
        peaks.sort(key=lambda peak: -peak[0])
        self.waves_ = [(line, frequency) for power, frequency, line in peaks if power > 0]
        self.waves_ = self.waves_[:MAX_WAVES]
        return self

    def _lines(self, n_columns: int) -> list[Line]:
        pairs = [(i, j, sign) for i, j in combinations(range(n_columns), 2) for sign in (-1, 1)]
        lines = [(j, j, 0) for j in range(n_columns)] + pairs
        if len(lines) <= MAX_LINES:
            return lines
        chosen = np.random.default_rng(self.seed).permutation(len(lines))[:MAX_LINES]
        return [lines[k] for k in np.sort(chosen)]

    def transform(self, Z: np.ndarray) -> np.ndarray:
        """Return sines and cosines, shape (n_rows, at most 16)."""
        if not self.waves_:
            return np.zeros((len(Z), 1))
        turns = [2 * np.pi * (_values(Z, line) * f % 1.0) for line, f in self.waves_]
        return np.column_stack([wave(turn) for turn in turns for wave in (np.sin, np.cos)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _values(Z: np.ndarray, line: Line) -> np.ndarray:
    i, j, sign = line
    values = Z[:, i].astype(np.float64)
    return values + sign * Z[:, j] if sign else values


def _peak(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the largest power of the periodogram, and its frequency in cycles per unit."""
    low, high = values.min(), values.max()
    width = (high - low) / (BINS - 1)
    if not np.isfinite(width) or width <= 0:
        return 0.0, 0.0
    bin_of = np.rint((values - low) / width).astype(np.int64)
    power = np.zeros(BINS + 1)
    for column in target.T:  # twice the bins, for a grid of frequencies twice as fine
        power += np.abs(np.fft.rfft(np.bincount(bin_of, column, minlength=2 * BINS))) ** 2
    power[: 2 * MIN_CYCLES] = 0.0
    peak = int(np.argmax(power))
    return float(power[peak]), float(peak / (2 * BINS * width))
