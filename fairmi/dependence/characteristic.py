"""The largest gap between characteristic functions: joint, and product of the marginals.

    max over a, b   | E exp(i(a.Z + b.C)) - E exp(i a.Z) E exp(i b.C) |

It is 0 only where Z and C are independent (Kac's theorem).

Source: Daniušis et al., *Measuring Statistical Dependencies via Maximum
Norm and Characteristic Functions*, 2022, arXiv 2208.07934. Deviations: several pairs (a, b) are
climbed at once from starts of unlike frequency, where the source has one; within strata the gap
is that within each, averaged.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.dependence.within import (
    row_shares,
    stratum_shares,
)

_LOWEST, _HIGHEST = 0.5, 24.0  # of the frequencies in Z that the pairs start from


class CharacteristicFunction(Penalty):
    """The maximum norm of the difference of characteristic functions, between 0 and 1.

    Parameters
    ----------
    n_frequencies : int, default=16
        Pairs (a, b) of frequencies that are climbed at once; the largest gap counts.

    Examples
    --------
    >>> from fairmi.dependence import PENALTIES
    >>> PENALTIES["characteristic_function"](n_frequencies=8)
    CharacteristicFunction(n_frequencies=8)
    """

    is_information = False

    def __init__(self, n_frequencies: int = 16) -> None:
        self.n_frequencies = n_frequencies

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return the frequencies, not yet climbed."""
        n_columns = sensitive.n_columns
        return Frequencies(n_models, n_components, n_columns, self.n_frequencies, generator)

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the sum of all gaps negated, (M,): each pair climbs by itself."""
        return -self._gaps(critic, z, sensitive).sum(1)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the largest squared gap for each model, (M,), at Z (M, B, D) of a batch."""
        return self._gaps(critic, z, sensitive).amax(1).square()

    def _gaps(self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch) -> Tensor:
        columns = sensitive.columns(z.dtype)
        member = sensitive.membership(z.dtype)
        of_z, of_c = critic(z, columns)
        return characteristic_gaps(of_z, of_c, sensitive.weights.to(z.dtype), member)


class Frequencies(nn.Module):
    """Pairs of frequencies for M models; the phases a.z and b.c of rows are its output."""

    def __init__(
        self,
        n_models: int,
        n_components: int,
        n_columns: int,
        n_frequencies: int,
        generator: Generator,
    ) -> None:
        super().__init__()
        scales = torch.logspace(0, 1, n_frequencies, base=_HIGHEST / _LOWEST) * _LOWEST
        of_z = _unit_columns((n_models, n_components, n_frequencies), generator)
        of_c = _unit_columns((n_models, n_columns, n_frequencies), generator)
        self.of_z = nn.Parameter(of_z * scales.to(of_z.device))
        self.of_c = nn.Parameter(2 * of_c)

    def forward(self, z: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Map z (M, B, D) and C (B, Q) to phases (M, B, K) of each."""
        return z @ self.of_z.to(z.dtype), columns @ self.of_c.to(z.dtype)


def characteristic_gaps(of_z: Tensor, of_c: Tensor, weights: Tensor, member: Tensor) -> Tensor:
    """Return |E exp(i(u + v)) - E exp(i u) E exp(i v)|, the mean over strata, (M, K).

    Parameters
    ----------
    of_z, of_c : Tensor of shape (M, B, K)
        Phases u of Z and v of C.
    weights : Tensor of shape (M or 1, B)
    member : Tensor of shape (B, S)
        1 where a row is of a stratum.
    """
    shares = row_shares(weights, member)
    phases = torch.stack([of_z, of_c, of_z + of_c])
    waves = torch.stack([phases.cos(), phases.sin()], 1)
    means = torch.einsum("fpmbk,mb,bs->fpmsk", waves, shares.expand(of_z.shape[:2]), member)
    (cos_u, sin_u), (cos_v, sin_v), (cos, sin) = means
    real = cos - (cos_u * cos_v - sin_u * sin_v)
    imaginary = sin - (sin_u * cos_v + cos_u * sin_v)
    gaps = torch.sqrt(real**2 + imaginary**2 + torch.finfo(real.dtype).eps)
    return (gaps * stratum_shares(weights, member)[..., None]).sum(1)


def _unit_columns(shape: tuple[int, int, int], generator: Generator) -> Tensor:
    normal = torch.randn(shape, generator=generator, device=generator.device)
    return nn.functional.normalize(normal, dim=1)
