"""What the sensitive features alone tell of the label, as offsets of the scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairmi.core.membership import Membership
from fairmi.exceptions import SensitiveFeaturesError

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

    Parameters
    ----------
    codes : ndarray of int of shape (n_rows,)
        Classes.
    attributes : sequence of Membership
        Groups; of several attributes c is their intersection.
    weights : ndarray of shape (n_rows,)
    n_classes : int

    Returns
    -------
    ndarray of shape (n_rows, n_classes), or (n_rows, 1) for the log odds of two classes
        0 where a group is not known.

    Raises
    ------
    SensitiveFeaturesError
        If an attribute is continuous.
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
