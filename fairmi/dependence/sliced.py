"""Correlation of polynomials of random slices of Z and C, solved in closed form.

Z and C are projected on random directions, drawn anew for each batch. Of polynomials of the two
projections, the most correlated are found by an eigenproblem: no critic is trained.

Source: Chen et al., *Scalable Infomin Learning*, arXiv 2302.10701. Deviations: the mean
over slices counts; the encoder minimises the squared correlation, whose pull fades as the
correlation does; within strata it is the mean over strata.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.dependence.within import (
    centred,
    row_shares,
    stratum_shares,
)

_RIDGE = 1e-3  # of polynomials of variance 1


class SlicedInfomin(Penalty):
    """The squared canonical correlation of polynomials of slices, between 0 and 1.

    Parameters
    ----------
    n_slices : int, default=8
        Pairs of random directions for a batch.
    degree : int, default=3
        Of the polynomials.

    Examples
    --------
    >>> from fairmi.dependence import PENALTIES
    >>> PENALTIES["sliced_infomin"]().degree
    3
    """

    is_information = False

    def __init__(self, n_slices: int = 8, degree: int = 3) -> None:
        self.n_slices = n_slices
        self.degree = degree

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the mean squared correlation for each model, (M,), at Z (M, B, D)."""
        columns = sensitive.columns(z.dtype).expand(z.shape[0], -1, -1)
        of_z, of_c = (
            rows @ _directions(rows.shape[2], self.n_slices, generator, z.dtype)
            for rows in (z, columns)
        )
        member = sensitive.membership(z.dtype)
        weights = sensitive.weights.to(z.dtype)
        return sliced_correlation(of_z, of_c, weights, member, self.degree).square().mean(1)


def sliced_correlation(
    of_z: Tensor, of_c: Tensor, weights: Tensor, member: Tensor, degree: int
) -> Tensor:
    """Return the mean over strata of the largest correlation of polynomials, (M, K).

    Parameters
    ----------
    of_z, of_c : Tensor of shape (M, B, K)
        K slices of each.
    weights : Tensor of shape (M or 1, B)
    member : Tensor of shape (B, S)
        1 where a row is of a stratum.
    degree : int
        Of the polynomials.
    """
    shares = row_shares(weights, member).expand(of_z.shape[:2])
    first, second = (_powers(part, shares, member, degree) for part in (of_z, of_c))
    both, of_first, of_second = (
        torch.einsum("mbkp,mbkq,mb,bs->mskpq", a, b, shares, member)
        for a, b in ((first, second), (first, first), (second, second))
    )
    eye = _RIDGE * torch.eye(degree, dtype=of_z.dtype, device=of_z.device)
    roots = [torch.linalg.cholesky(part + eye) for part in (of_first, of_second)]
    half = torch.linalg.solve_triangular(roots[0], both, upper=False)
    whitened = torch.linalg.solve_triangular(roots[1], half.transpose(-1, -2), upper=False)
    largest = torch.linalg.matrix_norm(whitened, ord=2)
    return (largest * stratum_shares(weights, member)[..., None]).sum(1)


def _powers(slices: Tensor, shares: Tensor, member: Tensor, degree: int) -> Tensor:
    """Return powers 1 to `degree` of each slice, (M, B, K, P), each of mean 0 and variance 1."""
    base = _standardised(slices, shares, member)
    powers = [_standardised(base**p, shares, member) for p in range(1, degree + 1)]
    return torch.stack(powers, 3)


def _standardised(columns: Tensor, shares: Tensor, member: Tensor) -> Tensor:
    columns = centred(columns, shares, member)
    variances = torch.einsum("mbk,mb,bs->msk", columns.square(), shares, member)
    return columns / torch.sqrt(member @ variances + torch.finfo(columns.dtype).eps)


def _directions(n_in: int, n_slices: int, generator: Generator, dtype: torch.dtype) -> Tensor:
    normal = torch.randn((n_in, n_slices), generator=generator, device=generator.device)
    return nn.functional.normalize(normal, dim=0).to(dtype)
