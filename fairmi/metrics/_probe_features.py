"""What probes of the panel get in place of Z: its digits, and waves over its columns."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

MAX_DIGITS = 16  # digits of each base handed to the probe: those that tell the most in training
MAX_PLACES = 15
WHOLE_BITS = 20  # lowest binary digits of whole numbers


class _Selector(TransformerMixin, BaseEstimator):
    """A choice of features by their dependence on the target."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class DigitSelector(_Selector):
    """Digits of Z's columns, of which those most dependent on the target are kept.

    Decimal digits, of the fraction and of whole numbers; and binary ones: the lowest of whole
    numbers, the mantissa's of others. Dependence is the between-digit sum of squares of the
    (one-hot) target, which is Pearson's chi-squared where the target is a category, over its
    expectation under independence.

    Parameters
    ----------
    continuous : bool, default=False
        Whether the target is a number and not a code.
    """

    def __init__(self, continuous: bool = False) -> None:
        self.continuous = continuous

    def fit(self, Z: np.ndarray, c: np.ndarray) -> DigitSelector:
        """Choose the digits."""
        target = _columns_of(c, self.continuous)
        candidates = [(j, k) for j in range(Z.shape[1]) for k in places(Z[:, j])]
        strength = [_dependence(digits(Z[:, j], k), target) for j, k in candidates]
        self.chosen_ = _strongest(candidates, np.array(strength))
        self.whole_ = [is_whole(column) for column in Z.T]
        binary = [(bits(column, whole)) for column, whole in zip(Z.T, self.whole_, strict=True)]
        candidates = [(j, k) for j, part in enumerate(binary) for k in range(part.shape[1])]
        strengths = [_bit_dependence(part, target) for part in binary]
        self.chosen_bits_ = _strongest(candidates, np.concatenate(strengths))
        return self

    def transform(self, Z: np.ndarray) -> np.ndarray:
        """Return the chosen digits, shape (n_rows, at most 32)."""
        decimal = [digits(Z[:, j], k) for j, k in self.chosen_]
        binary = {j: bits(Z[:, j], self.whole_[j]) for j in {j for j, _ in self.chosen_bits_}}
        bit = [binary[j][:, k] for j, k in self.chosen_bits_]
        return np.column_stack([np.zeros(len(Z)), *decimal, *bit]).astype(np.float64)


def _columns_of(c: np.ndarray, continuous: bool) -> np.ndarray:
    """Return a target, one-hot where it is of codes, as columns of mean 0 and variance 1."""
    target = c[:, None].astype(np.float64) if continuous else np.eye(c.max() + 1)[c]
    target = target[:, target.std(axis=0) > 0]
    return (target - target.mean(axis=0)) / target.std(axis=0)


def _strongest(candidates: list[tuple[int, int]], strength: np.ndarray) -> list[tuple[int, int]]:
    return [candidates[i] for i in np.argsort(-strength, kind="stable")[:MAX_DIGITS]]


def is_whole(column: np.ndarray) -> bool:
    """Whether a column holds whole numbers that are exact."""
    return bool((np.rint(column) == column).all() and np.abs(column).max() <= 2**53)


def places(column: np.ndarray) -> range:
    """Return the decimal places of a column that its precision resolves and that vary.

    Place 1 is of the tenths, 0 of the units, -1 of the tens.
    """
    size = np.abs(column)
    if is_whole(column):
        return range(-min(len(str(int(size.max()))) - 1, MAX_PLACES), 1)
    precision = float(np.spacing(column.dtype.type(np.median(size))))
    return range(min(int(np.floor(-np.log10(precision))), MAX_PLACES) + 1)


def digits(column: np.ndarray, place: int) -> np.ndarray:
    """Return the digit (0 to 9) at a decimal place, the value rounded to a place after the dot."""
    values = column.astype(np.float64)
    if place > 0:
        return (np.rint(values * 10.0**place) % 10).astype(np.int64)
    return (np.floor(values / 10.0**-place) % 10).astype(np.int64)


def bits(column: np.ndarray, whole: bool) -> np.ndarray:
    """Return binary digits, (n_rows, n_bits), lowest first; the mantissa's if not `whole`."""
    if whole:
        return (column.astype(np.int64)[:, None] >> np.arange(WHOLE_BITS)) & 1
    single = column.dtype == np.float32
    raw = np.ascontiguousarray(column).view(np.uint32 if single else np.uint64)
    return ((raw[:, None] >> np.arange(23 if single else 52, dtype=raw.dtype)) & 1).astype(np.int8)


def _dependence(digit: np.ndarray, target: np.ndarray) -> float:
    count = np.bincount(digit, minlength=10)
    sums = np.array([np.bincount(digit, column, minlength=10) for column in target.T])
    return float((sums**2 / np.maximum(count, 1)).sum() / max((count > 0).sum() - 1, 1))


def _bit_dependence(binary: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the same of each of several binary digits, (n_bits,); 0 for one that is constant."""
    share = binary.mean(axis=0)
    sums = ((target.T @ binary) ** 2).sum(axis=0)
    return sums / np.maximum(len(binary) * share * (1 - share), 1e-9)


MAX_WAVES = 8  # waves handed to the probe
MAX_LINES = 120  # columns, and sums and differences of two, that are searched
WAVE_BINS = 2**14  # of a line's range; stripes must be a few bins wide
MIN_CYCLES = 6  # over the range; slower waves are seen by the other probes

Line = tuple[int, int, int]  # columns i and j, and the sign of j: Z[:, i] + sign * Z[:, j]


class WaveSelector(_Selector):
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
        target = _columns_of(c, self.continuous)
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


def _values(Z: np.ndarray, line: Line) -> np.ndarray:
    i, j, sign = line
    values = Z[:, i].astype(np.float64)
    return values + sign * Z[:, j] if sign else values


def _peak(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the largest power of the periodogram, and its frequency in cycles per unit."""
    low, high = values.min(), values.max()
    width = (high - low) / (WAVE_BINS - 1)
    if not np.isfinite(width) or width <= 0:
        return 0.0, 0.0
    bin_of = np.rint((values - low) / width).astype(np.int64)
    power = np.zeros(WAVE_BINS + 1)
    for column in target.T:  # twice the bins, for a grid of frequencies twice as fine
        power += np.abs(np.fft.rfft(np.bincount(bin_of, column, minlength=2 * WAVE_BINS))) ** 2
    power[: 2 * MIN_CYCLES] = 0.0
    peak = int(np.argmax(power))
    return float(power[peak]), float(peak / (2 * WAVE_BINS * width))
