"""Exact tests of independence by permutation: of fixed predictions, and of values that recur in Z.

A probe learns from some of the rows and is tested on others, so that a code held by ten rows of
500 is beyond it. The values need no learning: all rows test them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.stats import chi2

from fairmi.metrics._representation import Representation
from fairmi.metrics._rows import Order

PERMUTATIONS = 999


def permuted_sums(
    target: np.ndarray, forms: np.ndarray, order: Order, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of target * form over rows and outputs, as observed and permuted.

    `target` is (n_rows, n_outputs) and `forms` (n_forms, n_rows, n_outputs); the sums are
    (n_forms,) and (999, n_forms). The rows of `target` are permuted, by `order`. Forms are
    centred, so that what a permutation does to the target's mean doesn't matter.
    """
    centred = forms - forms.mean(axis=1, keepdims=True)
    flat = centred.reshape(len(forms), -1).T
    observed = target.reshape(-1) @ flat
    permuted = np.empty((PERMUTATIONS, len(forms)))
    for b in range(PERMUTATIONS):
        permuted[b] = target[order(rng)].reshape(-1) @ flat
    return observed, permuted


def independence_p_value(
    targets: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    orders: Sequence[Order],
    rng: np.random.Generator,
) -> float:
    """Return the p-value of "the target doesn't depend on what the predictions were made from".

    Block k has targets (n_k, n_outputs) and predictions (n_probes, n_k, n_outputs) by probes
    that were trained on blocks before it alone; `orders[k]` permutes its targets.
    Under independence, given those blocks and Z, all orders of the block's targets are equally
    likely, so its p-value (of the largest standardised covariance over probes) is exact; by the
    same token the p-values of the blocks are jointly no smaller than independent uniforms, and
    Fisher's sum combines them.

    Cross-fitted predictions would not do: each row's target also trains the probes of the other
    folds, and under independence the folds' covariances are correlated (a linear probe doubles
    their variance).
    """
    log_p = 0.0
    for target, prediction, order in zip(targets, predictions, orders, strict=True):
        observed, permuted = permuted_sums(target, prediction, order, rng)
        sums = np.vstack([observed, permuted])
        spread = sums.std(axis=0)
        size = np.abs(target).sum() * np.abs(prediction).max(axis=(1, 2))
        varied = spread > 1e-12 * size  # a constant prediction says nothing
        scale = np.where(varied, spread, 1.0)
        largest = np.where(varied, (sums - sums.mean(axis=0)) / scale, 0.0).max(axis=1)
        log_p += np.log((largest[1:] >= largest[0]).sum() + 1) - np.log(PERMUTATIONS + 1)
    return float(chi2.sf(-2 * log_p, 2 * len(targets)))


EXCEEDANCES = 20  # permutations at least as extreme as the sample, at which the test ends
MAX_PERMUTATIONS = 9_999
MIN_PERMUTATIONS = 999
MAX_WORK = 50_000_000  # rows times permutations beyond which fewer permutations are made
AT_ONCE = 32  # permutations


class RecurringValues:
    """The values that two rows or more share, by column and by whole row.

    `members` (n_values, n_rows) is 1 where a row has the value, and `column` (n_values,) says of
    which column of Z it is. Values of one row alone are one value together.
    """

    def __init__(self, Z: Representation, row: np.ndarray | None = None) -> None:
        codes = Z.column_codes()
        if len(codes) > 1:
            codes.append(Z.codes)
        # The copies of a row share its values, and are one row.
        once = np.arange(len(Z)) if row is None else np.unique(row, return_index=True)[1]
        members = (_members(code, np.bincount(code[once])) for code in codes)
        parts = [part for part in members if part is not None]
        self.members: csr_array = vstack([csr_array((0, len(Z))), *parts], format="csr")
        self.column = np.repeat(np.arange(len(parts)), [part.shape[0] for part in parts])

    def __bool__(self) -> bool:
        return bool(self.members.shape[0])

    def strengths(self, target: np.ndarray) -> np.ndarray:
        """Return how far targets (n_rows, n_outputs, n_targets) depend on values, (n_targets,).

        Outputs are centred, and scaled as in Pearson's chi-squared, where each value adds the
        squared sum of its rows' targets over their number. The strength is minus the logarithm
        of the smallest p-value by the chi-squared law: of any one value, or any column's sum. It
        only puts permutations in order, so that the law's error does no harm.
        """
        n_rows, n_outputs, n_targets = target.shape
        sums = self.members @ target.reshape(n_rows, -1)
        count = np.diff(self.members.indptr)
        parts = (sums.reshape(-1, n_outputs, n_targets) ** 2).sum(axis=1) / count[:, None]
        degrees = max(n_outputs - 1, 1)
        starts = np.flatnonzero(np.diff(self.column, prepend=-1))
        n_values = np.diff(starts, append=len(self.column))[:, None]
        wholes = np.add.reduceat(parts, starts)
        largest = np.maximum.reduceat(parts, starts)
        of_columns = chi2.logsf(wholes, degrees * np.maximum(n_values - 1, 1))
        of_values = chi2.logsf(largest, degrees) + np.log(n_values)
        return -np.minimum(of_columns, of_values).min(axis=0)


def _members(code: np.ndarray, count: np.ndarray) -> csr_array | None:
    """Return which rows have each value that `count` says two have; None where none is shared."""
    shared = count > 1
    if not shared.any():
        return None
    value = np.where(shared, np.cumsum(shared) - 1, shared.sum())[code]
    n_rows = len(code)
    members = csr_array((np.ones(n_rows), (value, np.arange(n_rows))))
    return members if members.shape[0] > 1 else None


def recurring_p_value(
    recurring: RecurringValues, target: np.ndarray, order: Order, rng: np.random.Generator
) -> float:
    """Return the p-value of "the target doesn't depend on the values that recur in Z".

    `target` (n_rows, n_outputs) is centred. It is permuted by `order` until 20
    permutations are as extreme as the sample, up to 9,999 times, fewer for many rows: the
    sequential test of Besag and Clifford, *Sequential Monte Carlo p-values*, Biometrika 78
    (1991), which is exact.
    """
    spread = np.sqrt((target**2).mean(axis=0).sum())
    target = target / spread * np.sqrt(max(target.shape[1] - 1, 1))
    observed = recurring.strengths(target[:, :, None])[0] - 1e-9
    most = max_permutations(len(target))
    extreme = 0
    for done in range(0, most, AT_ONCE):
        drawn = [target[order(rng)] for _ in range(min(AT_ONCE, most - done))]
        hits = recurring.strengths(np.stack(drawn, axis=2)) >= observed
        reached = extreme + np.cumsum(hits)
        if reached[-1] >= EXCEEDANCES:
            return float(EXCEEDANCES / (done + 1 + np.argmax(reached == EXCEEDANCES)))
        extreme = int(reached[-1])
    return (extreme + 1) / (most + 1)


def max_permutations(n_rows: int) -> int:
    """Return how often a target of so many rows is permuted at most."""
    return int(np.clip(MAX_WORK // n_rows, MIN_PERMUTATIONS, MAX_PERMUTATIONS))
