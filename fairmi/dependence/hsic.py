"""The Hilbert-Schmidt independence criterion, normalised: a penalty without a critic.

Source: Gretton et al., *Measuring Statistical Dependence with Hilbert-Schmidt Norms*,
doi 10.1007/11564089_7; normalised as in Cortes et al., arXiv 1203.0550.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.dependence.within import row_shares


class HSIC(Penalty):
    """HSIC(Z, C) / sqrt(HSIC(Z, Z) HSIC(C, C)), between 0 and 1, by Gaussian kernels.

    Groups are alike (1) or not (0). Two values are the more alike the closer they are. Within
    strata it is the mean over strata.

    Parameters
    ----------
    bandwidth : float, default=0.5
        Width of the kernels, as a share of the root mean square distance of two rows of a batch.
        So the scale of Z does not matter.

    Examples
    --------
    >>> from fairmi.dependence import PENALTIES
    >>> PENALTIES["hsic"]().bandwidth
    0.5
    """

    is_information = False
    max_rows = 1024

    def __init__(self, bandwidth: float = 0.5) -> None:
        self.bandwidth = bandwidth

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the normalised HSIC for each model, (M,), at Z (M, B, D) of a batch."""
        member = sensitive.membership(z.dtype)
        weights = sensitive.weights.to(z.dtype)
        of_z = gaussian_kernel(z, weights, self.bandwidth)
        columns = sensitive.columns(z.dtype)
        if sensitive.groups is None:
            of_c = gaussian_kernel(columns[None], weights, self.bandwidth)
        else:
            of_c = (columns @ columns.T)[None]
        both = hsic(of_z, of_c, weights, member)
        alone = hsic(of_z, of_z, weights, member) * hsic(of_c, of_c, weights, member)
        return both / torch.sqrt(alone + torch.finfo(z.dtype).eps)


def gaussian_kernel(rows: Tensor, weights: Tensor, bandwidth: float) -> Tensor:
    """Return exp(-d^2 / (2 b^2)) of each pair of rows (M, B, D), (M, B, B).

    `bandwidth` is b as a share of the root mean square of d, whose rows weigh (M or 1, B).
    """
    squares = (rows[:, :, None] - rows[:, None]).square().sum(3)
    total = weights.sum(1).square().clamp_min(torch.finfo(weights.dtype).tiny)
    mean = ((squares * weights[:, None]).sum(2) * weights).sum(1) / total
    scale = mean.clamp_min(torch.finfo(rows.dtype).eps)[:, None, None]
    return torch.exp(-squares / (2 * bandwidth**2 * scale))


def hsic(first: Tensor, second: Tensor, weights: Tensor, member: Tensor) -> Tensor:
    """Return the mean over strata of HSIC within each (its V-statistic).

    Parameters
    ----------
    first, second : Tensor of shape (M or 1, B, B)
        Kernels of all pairs of rows.
    weights : Tensor of shape (M or 1, B)
    member : Tensor of shape (B, S)
        1 where a row is of a stratum.

    Returns
    -------
    Tensor of shape (M,)
    """
    shares = row_shares(weights, member)
    same = member @ member.T
    to = same * shares[:, None]
    rows = (to * second).sum(2)
    means = (to * rows[:, None]).sum(2)
    middled = second - rows[:, None] - rows[:, :, None] + means[:, None]
    of_all = weights / weights.sum(1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
    return ((first * middled * to).sum(2) * of_all).sum(1)
