"""Permutation of the target against fixed predictions: an exact test, and null values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

PERMUTATIONS = 999

Order = Callable[[Any], np.ndarray]  # a random order of rows, from a generator


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
