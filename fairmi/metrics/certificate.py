"""How far groups can differ under any classifier on Z: a bound from a finite sample."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from numbers import Real
from typing import Any

import numpy as np

from fairmi._data.groups import group_rows
from fairmi._sklearn_compat import Interval, validate_params
from fairmi.metrics._binomial import difference_upper_bound
from fairmi.metrics._matrix import as_matrix, cells

METHOD = "total variation, exact binomial"


@dataclass(frozen=True)
class Certificate:
    """An upper bound on the demographic parity difference of any classifier on Z.

    Attributes
    ----------
    bound : float
        With probability `confidence` over the sample, no classifier on Z, by anyone, has a
        demographic parity difference above it. 1.0 where the sample can't rule anything out.
    distance : float
        The total variation distance in the sample, of the pair of groups with the largest
        bound. It overestimates on average; it is no bound by itself.
    pair : tuple of two labels
        That pair of groups.
    confidence : float
        The probability, over samples, that `bound` holds for all pairs of groups at once.
    n_values : int
        Distinct values (rows) of Z in the sample.
    labels : tuple
        The groups.
    group_sizes : tuple of int
        Rows of each group.
    method : str
        Name of the theorem used.
    """

    bound: float
    distance: float
    pair: tuple[Any, Any]
    confidence: float
    n_values: int
    labels: tuple[Any, ...]
    group_sizes: tuple[int, ...]
    method: str

    @property
    def informative(self) -> bool:
        """Whether the bound rules anything out."""
        return self.bound < 1.0

    def __str__(self) -> str:
        a, b = self.pair
        if not self.informative:
            return (
                f"No certificate: Z has {self.n_values} values in {sum(self.group_sizes)} rows, "
                "too many for this sample. Use a representation of fewer values, or more rows."
            )
        return (
            f"No classifier on this Z differs between groups by more than {self.bound:.4f} in "
            f"its rate of any decision ({self.confidence:.0%} confidence; widest pair "
            f"{a!r}, {b!r}; {self.n_values} values; {self.method})."
        )


@validate_params(
    {"confidence": [Interval(Real, 0, 1, closed="neither")]}, prefer_skip_nested_validation=True
)
def certify(Z: Any, sensitive_features: Any, *, confidence: float = 0.95) -> Certificate:
    """Bound the demographic parity difference of any classifier that anyone trains on Z.

    That difference, for groups a and b, is at most the total variation distance between the
    distributions of Z in the two groups, TV = max over sets A of P(A | a) - P(A | b), and some
    classifier attains it.

    Parameters
    ----------
    Z : array-like of shape (n_rows, n_columns) or (n_rows,)
        A representation, scores or predictions, on rows that **nothing was learned from**: not
        the encoder, nor its rounding, nor the merging of its values. What counts are the
        distinct values of whole rows, bit by bit (0.0 and -0.0 are two values).
    sensitive_features : array-like of shape (n_rows,) or (n_rows, n_features)
        Categories; of several columns, the intersections are the groups.
    confidence : float, default=0.95
        Probability that the bound holds, for all pairs of groups at once.

    Returns
    -------
    Certificate
        With `bound`, from 0 to 1.

    Raises
    ------
    SensitiveFeaturesError
        If `sensitive_features` has a missing value, another length, or one group alone.
    ValueError
        If Z has a missing or infinite value, or more than two dimensions.

    Notes
    -----
    *Assumption*: given its group, each row is an independent draw from that group's population.
    Nothing is assumed of the distributions, or of the number of values. The bound speaks of the
    population the rows come from, and of classifiers that see Z alone.

    *Theorem*. Let TV_n be the total variation distance of the sample. Let A be the set of values
    that are more probable in a than in b; it isn't known, but it is fixed. Then
    TV = P(A | a) - P(A | b), and since TV_n is a maximum over sets,
    TV_n >= P_n(A | a) - P_n(A | b) =: D, a difference of two independent binomial proportions
    whose parameters differ by TV. Let U(x) be the largest t for which some p - q = t has
    P(D <= x) > delta (in words: the exact upper confidence limit for a difference of
    proportions, at the worst nuisance parameter). U doesn't fall in x, so TV > U(TV_n) implies
    TV > U(D), which has probability at most delta. U is computed exactly (binomial masses,
    every p covered by intervals on which the probability is bounded) and rounded up.

    By Hoeffding's inequality [1]_, P(D <= TV - e) <= exp(-2 e^2 / (1/n_a + 1/n_b)), so the bound
    is never above the usual one of McDiarmid [2]_,
    TV_n + sqrt((1/n_a + 1/n_b) ln(1/delta) / 2), up to the rounding: at 95 %, about 1.65
    standard deviations are added in place of 2.45. With k groups, delta is
    (1 - confidence) / (k (k - 1) / 2) for each pair. That Z of few values can be certified was
    shown in [3]_.

    References
    ----------
    .. [1] W. Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables",
       JASA 58 (1963), doi:10.1080/01621459.1963.10500830.
    .. [2] C. McDiarmid, "On the method of bounded differences", Surveys in Combinatorics (1989),
       doi:10.1017/CBO9781107359949.008.
    .. [3] N. Jovanović, M. Balunović, D. I. Dimitrov, M. Vechev, "FARE: Provably Fair
       Representation Learning with Practical Certificates", ICML 2023, arXiv:2210.07213.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.metrics import certify
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(2, size=4000)
    >>> Z = rng.binomial(3, 0.5 + 0.01 * group)
    >>> certificate = certify(Z, group)
    >>> round(certificate.distance, 3), round(certificate.bound, 3)
    (0.031, 0.057)
    """
    matrix = as_matrix(Z)
    groups = group_rows(sensitive_features, n_rows=len(matrix))
    codes = cells(matrix)
    counts = np.zeros((len(groups), codes.max() + 1))
    np.add.at(counts, (groups.codes, codes), 1)
    pairs = list(combinations(range(len(groups)), 2))
    error = (1 - confidence) / len(pairs)
    bounds = [_pair_bound(counts[a], counts[b], error) for a, b in pairs]
    widest = int(np.argmax([bound for bound, _ in bounds]))
    a, b = pairs[widest]
    return Certificate(
        bound=bounds[widest][0],
        distance=bounds[widest][1],
        pair=(groups.labels[a], groups.labels[b]),
        confidence=confidence,
        n_values=counts.shape[1],
        labels=groups.labels,
        group_sizes=tuple(int(size) for size in groups.counts),
        method=METHOD,
    )


def _pair_bound(a: np.ndarray, b: np.ndarray, error: float) -> tuple[float, float]:
    """Return the bound for two groups and their distance, from counts by value of Z."""
    n_a, n_b = int(a.sum()), int(b.sum())
    distance = float(np.abs(a / n_a - b / n_b).sum() / 2)
    return difference_upper_bound(distance, n_a, n_b, error), distance
