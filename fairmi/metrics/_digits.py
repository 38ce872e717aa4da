"""Decimal and binary digits of Z as features: where a value hides in the finest of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

MAX_DIGITS = 16  # digits of each base handed to the probe: those that tell the most in training
MAX_PLACES = 15
WHOLE_BITS = 20  # lowest binary digits of whole numbers


class DigitSelector(TransformerMixin, BaseEstimator):
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
        target = c[:, None].astype(np.float64) if self.continuous else np.eye(c.max() + 1)[c]
        target = target[:, target.std(axis=0) > 0]
        target = (target - target.mean(axis=0)) / target.std(axis=0)
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
        found = [digits(Z[:, j], k) for j, k in self.chosen_]
        binary = {j: bits(Z[:, j], self.whole_[j]) for j in {j for j, _ in self.chosen_bits_}}
        found += [binary[j][:, k] for j, k in self.chosen_bits_]
        return np.column_stack([np.zeros(len(Z)), *found]).astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


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
