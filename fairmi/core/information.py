"""I(Z; C) by counts of (level, stratum, group): its critic, slope, estimate and ceiling of λ.

And what groups tell of y: its information, and offsets of scores.

Shapes by name: n rows; L levels; S strata; G groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairmi.core.membership import Comparison, Membership
from fairmi.exceptions import SensitiveFeaturesError

SMOOTHING = 50.0


def information(
    position: np.ndarray, compared: Comparison, n_levels: int, smoothing: float = SMOOTHING
) -> tuple[float, np.ndarray]:
    """Return I(unit; C | stratum) in nats and n times its derivative in each row's position, (n,).

    A row counts at the two levels nearest to it, by its distance from each. The optimal critic of
    such counts is T(level, c) = log p(c | level) - log p(c); it is held still (envelope theorem),
    and the marginal term of the bound has no gradient, since the sum over c of p(c) exp T is 1 at
    every level. A row that is in several groups by probabilities has the expected slope.

    `position` (n,) is where each row lies among the levels, from 0 to `n_levels` - 1. `smoothing`
    is the rows' worth of prior in each level of each stratum.

    Source of the bound: Donsker and Varadhan, doi 10.1002/cpa.3160360204.
    """
    n_cells, rows = compared.prior.size, compared.members.rows
    low = np.minimum(position.astype(np.int64), n_levels - 2)
    above = (position - low)[rows]
    at_low = low[rows] * n_cells + compared.cells
    upper = compared.weights * above
    counts = np.bincount(at_low, compared.weights - upper, n_levels * n_cells)
    counts[n_cells:] += np.bincount(at_low, upper, n_levels * n_cells)[:-n_cells]
    counts = counts.reshape(n_levels, *compared.prior.shape)
    critic = optimal_critic(counts, compared.prior, smoothing)
    slopes = compared.weights * np.diff(critic, axis=0).ravel()[at_low]
    value = float((counts * critic).sum() / len(position))
    return value, np.bincount(rows, slopes, len(position))


def optimal_critic(counts: np.ndarray, prior: np.ndarray, smoothing: float) -> np.ndarray:
    """Return log p(c | level, stratum) - log p(c | stratum), (L, S, G), of smoothed counts.

    `counts` are (L, S, G), and `prior` (S, G); `smoothing` is in rows' worth of prior.
    """
    of_level = counts.sum(-1, keepdims=True)
    shares = (counts + smoothing * prior) / (of_level + smoothing)
    known = np.broadcast_to(prior > 0, shares.shape)
    ratio = np.divide(shares, prior, out=np.ones_like(shares), where=known)
    return np.log(ratio)


def information_of_labels(y: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> float:
    """Return I(y; C) in nats by the counts of codes y and groups, (m,) each, of weights (m,).

    It is less the bias of G. Miller, Note on the bias of information estimates (1955): degrees of
    freedom over twice the number of rows of equal weight that are as certain, (Σ w)² / Σ w².

    λ times it is what a perfect prediction of y costs, and H(Y) what a constant does: above
    λ = H(Y) / I(Y; C), the ceiling of λ, a constant has the lower loss.
    """
    if not weights.any():
        return 0.0
    n_values, n_groups = int(y.max()) + 1, int(groups.max()) + 1
    counts = np.bincount(y * n_groups + groups, weights, n_values * n_groups)
    counts = counts.reshape(n_values, n_groups)
    n_rows = float(weights.sum() ** 2 / (weights**2).sum())
    joint = counts / counts.sum()
    joint = joint[joint.sum(1) > 0][:, joint.sum(0) > 0]
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    ratio = np.divide(joint, independent, out=np.ones_like(joint), where=joint > 0)
    bias = (joint.shape[0] - 1) * (joint.shape[1] - 1) / (2 * n_rows)
    return max(float((joint * np.log(ratio)).sum() - bias), 0.0)


# Rows' worth of the shares over all that each group's shares are drawn to.
_PRIOR_ROWS = 1.0


def prior_offsets(
    codes: np.ndarray,
    attributes: Sequence[Membership],
    weights: np.ndarray,
    n_classes: int,
) -> np.ndarray:
    """Return log p(y | c) - log p(y) of each row, to be added to its scores in training.

    What is then learned has no need to tell what c tells of y: its scores are those of a
    population in which y and c are independent.

    Source: Hong and Yang, *Unbiased Classification through Bias-Contrastive and Bias-Balanced
    Learning*, NeurIPS 2021.

    `codes` (n_rows,) are classes; of several attributes c is their intersection. Returned are
    (n_rows, n_classes), or (n_rows, 1) for the log odds of two classes: 0 where a group is not
    known.
    """
    if not all(members.n_groups for members in attributes):
        raise SensitiveFeaturesError(
            "prior_correction=True counts the classes of each group, but the sensitive features "
            "are continuous; give groups, such as bins, or set it to False."
        )
    known = np.all([members.known for members in attributes], axis=0)
    groups = [members.codes for members in attributes]
    _, cells = np.unique(np.column_stack(groups), axis=0, return_inverse=True)
    cells = cells.ravel()
    counts = np.zeros((cells.max() + 1, n_classes))
    np.add.at(counts, (cells[known], codes[known]), weights[known])
    shares = np.bincount(codes, weights, minlength=n_classes) / weights.sum()
    shares = np.maximum(shares, np.finfo(np.float64).tiny)
    sums = counts.sum(axis=1, keepdims=True)
    offsets = np.log((counts + _PRIOR_ROWS * shares) / (sums + _PRIOR_ROWS) / shares)
    offsets = offsets[cells] * known[:, None]
    return offsets[:, 1:] - offsets[:, :1] if n_classes == 2 else offsets
