"""Measures of dependence that are no information: by kernels, waves, slices and correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from fairmi._sklearn_compat import ABOVE_0, POSITIVE, parameter, with_parameters
from fairmi.dependence.layers import StackedMLP
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch, StratumWeights, tiny


@with_parameters
class KernelPenalty(Penalty):
    """A measure of two kernels of the pairs of a batch, one of Z and one of C."""

    bandwidth: float = parameter(ABOVE_0, default=0.5, kw_only=False)

    is_information = False
    max_rows = 1024

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the measure for each model, (M,), at Z (M, B, D) of a batch."""
        weights = sensitive.weights.to(z.dtype)
        of_z = gaussian_kernel(z, weights, self.bandwidth)
        of_c = kernel_of_c(sensitive, weights, self.bandwidth)
        return self._measure(of_z, of_c, sensitive)

    def _measure(self, of_z: Tensor, of_c: Tensor, sensitive: SensitiveBatch) -> Tensor:
        raise NotImplementedError


class HSIC(KernelPenalty):
    """HSIC(Z, C) / sqrt(HSIC(Z, Z) HSIC(C, C)), between 0 and 1, by Gaussian kernels.

    Source: Gretton et al., *Measuring Statistical Dependence with Hilbert-Schmidt Norms*,
    doi 10.1007/11564089_7; normalised as in Cortes et al., arXiv 1203.0550.

    Groups are alike (1) or not (0). Two values are the more alike the closer they are. Within
    strata it is the mean over strata.

    Parameters
    ----------
    bandwidth : float, default=0.5
        Width of the kernels, as a share of the root mean square distance of two rows of a batch.
        So the scale of Z does not matter.
    """

    def _measure(self, of_z: Tensor, of_c: Tensor, sensitive: SensitiveBatch) -> Tensor:
        rows = sensitive.within(of_z.dtype)
        both = hsic(of_z, of_c, rows)
        alone = hsic(of_z, of_z, rows) * hsic(of_c, of_c, rows)
        return both / torch.sqrt(alone + torch.finfo(of_z.dtype).eps)


class MMD(KernelPenalty):
    """The kernel two-sample distance of groups: its share of all that Z varies, between 0 and 1.

    For comparison: no figure recommends it (docs/penalties.md).

    The mean over groups, by their shares, of MMD^2(P(Z | c), P(Z)) with a Gaussian kernel k, which
    of two groups of shares p and q is p q MMD^2 of the one from the other, over the variance of Z
    in the same kernel, 1 - E k(Z, Z'). Values of C have a Gaussian kernel in place of groups,
    which gives HSIC. Within strata the distance is the mean over strata.

    Source: Gretton et al., *A Kernel Two-Sample Test*, JMLR 13, 2012; as a penalty on a
    representation, Louizos et al., *The Variational Fair Autoencoder*, arXiv 1511.00830.
    Deviations: several groups, each beside all rows; the V-statistic of a batch;
    the variance of Z below, so that its scale does not matter.

    Parameters
    ----------
    bandwidth : float, default=0.5
        Width of the kernel, as a share of the root mean square distance of two rows of a batch.
    """

    def _measure(self, of_z: Tensor, of_c: Tensor, sensitive: SensitiveBatch) -> Tensor:
        rows, dtype = sensitive.within(of_z.dtype), of_z.dtype
        if sensitive.groups is not None:
            # HSIC whose kernel of C is 1 / share of the group is the mean distance of groups.
            columns = sensitive.columns(dtype)
            shares = rows.means(columns.expand(len(rows.weights), -1, -1))
            of_c = of_c / (shares[:, sensitive.strata] @ columns.T).clamp_min(tiny(of_c))
        all_rows = StratumWeights(rows.weights, torch.zeros_like(sensitive.strata), 1)
        parts = all_rows.of_rows.expand(of_z.shape[:2])
        varies = 1 - torch.einsum("mij,mi,mj->m", of_z, parts, parts)
        return hsic(of_z, of_c, rows) / (varies + torch.finfo(dtype).eps)


def gaussian_kernel(rows: Tensor, weights: Tensor, bandwidth: float) -> Tensor:
    """Return exp(-d^2 / (2 b^2)) of each pair of rows (M, B, D), (M, B, B).

    `bandwidth` is b as a share of the root mean square of d, whose rows weigh (M or 1, B).
    """
    squares = (rows[:, :, None] - rows[:, None]).square().sum(3)
    total = weights.sum(1).square().clamp_min(tiny(weights))
    mean = ((squares * weights[:, None]).sum(2) * weights).sum(1) / total
    scale = mean.clamp_min(torch.finfo(rows.dtype).eps)[:, None, None]
    return torch.exp(-squares / (2 * bandwidth**2 * scale))


def kernel_of_c(sensitive: SensitiveBatch, weights: Tensor, bandwidth: float) -> Tensor:
    """Return how alike C is in pairs of rows, (M or 1, B, B): one group or not, or by values."""
    columns = sensitive.columns(weights.dtype)
    if sensitive.groups is None:
        return gaussian_kernel(columns[None], weights, bandwidth)
    return (columns @ columns.T)[None]


def hsic(first: Tensor, second: Tensor, rows: StratumWeights) -> Tensor:
    """Return the mean over strata of HSIC within each (its V-statistic), (M,).

    `first` and `second` are kernels of all pairs of rows, (M or 1, B, B).
    """
    weights = rows.weights
    to = rows.member @ rows.member.T * rows.of_rows[:, None]
    of_rows = (to * second).sum(2)
    means = (to * of_rows[:, None]).sum(2)
    middled = second - of_rows[:, None] - of_rows[:, :, None] + means[:, None]
    of_all = weights / weights.sum(1, keepdim=True).clamp_min(tiny(weights))
    return ((first * middled * to).sum(2) * of_all).sum(1)


_LOWEST, _HIGHEST = 0.5, 24.0  # of the frequencies in Z that the pairs start from


@with_parameters
class CharacteristicFunction(Penalty):
    """The maximum norm of the difference of characteristic functions, between 0 and 1.

        max over a, b   | E exp(i(a.Z + b.C)) - E exp(i a.Z) E exp(i b.C) |

    It is 0 only where Z and C are independent (Kac's theorem).

    Source: Daniušis et al., *Measuring Statistical Dependencies via Maximum Norm and
    Characteristic Functions*, 2022, arXiv 2208.07934. Deviations: several pairs (a, b) are climbed
    at once from starts of unlike frequency, where the source has one; within strata the gap is
    that within each, averaged.

    Parameters
    ----------
    n_frequencies : int, default=16
        Pairs (a, b) of frequencies that are climbed at once; the largest gap counts.
    """

    n_frequencies: int = parameter(POSITIVE, default=16, kw_only=False)

    is_information = False

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
        """Return |E exp(i(u + v)) - E exp(i u) E exp(i v)| of phases, over strata, (M, K)."""
        of_z, of_c = critic(z, sensitive.columns(z.dtype))
        rows = sensitive.within(z.dtype)
        phases = torch.stack([of_z, of_c, of_z + of_c])
        waves = torch.stack([phases.cos(), phases.sin()], 1)
        shares = rows.of_rows.expand(of_z.shape[:2])
        means = torch.einsum("fpmbk,mb,bs->fpmsk", waves, shares, rows.member)
        (cos_u, sin_u), (cos_v, sin_v), (cos, sin) = means
        real = cos - (cos_u * cos_v - sin_u * sin_v)
        imaginary = sin - (sin_u * cos_v + cos_u * sin_v)
        gaps = torch.sqrt(real**2 + imaginary**2 + torch.finfo(real.dtype).eps)
        return (gaps * rows.of_strata[..., None]).sum(1)


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


def _unit_columns(shape: tuple[int, ...], generator: Generator) -> Tensor:
    normal = torch.randn(shape, generator=generator, device=generator.device)
    return nn.functional.normalize(normal, dim=-2)


_RIDGE = 1e-3  # of polynomials of variance 1


@with_parameters
class SlicedInfomin(Penalty):
    """The squared canonical correlation of polynomials of slices, between 0 and 1.

    Z and C are projected on random directions, drawn anew for each batch. Of polynomials of the
    two projections, the most correlated are found by an eigenproblem: no critic is trained.

    Source: Chen et al., *Scalable Infomin Learning*, arXiv 2302.10701. Deviations: the mean
    over slices counts; the encoder minimises the squared correlation, whose pull fades as the
    correlation does; within strata it is the mean over strata.

    Parameters
    ----------
    n_slices : int, default=8
        Pairs of random directions for a batch.
    degree : int, default=3
        Of the polynomials.
    """

    n_slices: int = parameter(POSITIVE, default=8, kw_only=False)
    degree: int = parameter(POSITIVE, default=3, kw_only=False)

    is_information = False

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the mean squared correlation for each model, (M,), at Z (M, B, D)."""
        columns, rows = sensitive.columns(z.dtype), sensitive.within(z.dtype)
        of_z, of_c = (
            part @ _unit_columns((part.shape[2], self.n_slices), generator).to(z.dtype)
            for part in (z, columns.expand(len(z), -1, -1))
        )
        first, second = (_powers(part, rows, self.degree) for part in (of_z, of_c))
        shares = rows.of_rows.expand(z.shape[:2])
        both, of_first, of_second = (
            torch.einsum("mbkp,mbkq,mb,bs->mskpq", a, b, shares, rows.member)
            for a, b in ((first, second), (first, first), (second, second))
        )
        eye = _RIDGE * torch.eye(self.degree, dtype=z.dtype, device=z.device)
        roots = [torch.linalg.cholesky(part + eye) for part in (of_first, of_second)]
        half = torch.linalg.solve_triangular(roots[0], both, upper=False)
        whitened = torch.linalg.solve_triangular(roots[1], half.transpose(-1, -2), upper=False)
        largest = torch.linalg.matrix_norm(whitened, ord=2)
        return (largest * rows.of_strata[..., None]).sum(1).square().mean(1)


def _powers(slices: Tensor, rows: StratumWeights, degree: int) -> Tensor:
    """Return powers 1 to `degree` of each slice, (M, B, K, P), each of mean 0 and variance 1."""

    def standardised(columns: Tensor) -> Tensor:
        columns = rows.centred(columns)
        variances = rows.member @ rows.means(columns.square())
        return columns / torch.sqrt(variances + torch.finfo(columns.dtype).eps)

    base = standardised(slices)
    return torch.stack([standardised(base**p) for p in range(1, degree + 1)], 3)


@with_parameters
class HGR(Penalty):
    """The square of the maximal correlation of Z and C, between 0 and 1.

        HGR(Z, C) = max over f, g of the correlation of f(Z) and g(C)

    It is 0 only where Z and C are independent, and the absolute correlation of Gaussians.

    Source: Grari et al., *Learning Unbiased Representations via Rényi Minimization*, arXiv
    2009.03183. Deviations: f and g see the stratum and are standardised within it, which gives the
    mean over strata of the maximal correlation within each; the encoder minimises its square,
    whose pull fades as the correlation does.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Hidden units of both networks.
    """

    hidden_layer_sizes: Sequence[int] = parameter("array-like", default=(64, 64), kw_only=False)

    is_information = False

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained pairs of networks, f of Z and g of C."""
        n_strata = sensitive.n_strata if sensitive.n_strata > 1 else 0
        n_inputs = (n_components + n_strata, sensitive.n_columns + n_strata)
        return nn.ModuleList(
            StackedMLP(n_models, (n_in, *self.hidden_layer_sizes, 1), generator)
            for n_in in n_inputs
        )

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the correlation negated, (M,)."""
        return -self._correlation(critic, z, sensitive)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the squared correlation for each model, (M,), at Z (M, B, D) of a batch."""
        return self._correlation(critic, z, sensitive).square()

    def _correlation(self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch) -> Tensor:
        assert isinstance(critic, nn.ModuleList)
        columns = sensitive.columns(z.dtype).expand(z.shape[0], -1, -1)
        f, g = (
            network(sensitive.with_stratum(rows))
            for network, rows in zip(critic, (z, columns), strict=True)
        )
        return correlation(f, g, sensitive.within(z.dtype))


def correlation(f: Tensor, g: Tensor, rows: StratumWeights) -> Tensor:
    """Return the mean over strata of the correlation of f and g (M, B, 1), (M,)."""
    f, g = (rows.centred(part)[..., 0] for part in (f, g))
    products, shares = torch.stack([f * g, f * f, g * g]), rows.of_rows.expand(f.shape)
    both, of_f, of_g = torch.einsum("pmb,mb,bs->pms", products, shares, rows.member)
    ratios = both / torch.sqrt(of_f * of_g + torch.finfo(f.dtype).eps)
    return (ratios * rows.of_strata).sum(1)


_BANDWIDTH = 0.5


@with_parameters
class CrossSample(Penalty):
    """The Jensen-Shannon bound that tells pairs of rows of like C from others, in [0, 2 log 2].

    Each row's Z is paired with every row's C. Pairs of like C are the joint, pairs of unlike C the
    product of marginals, and a critic tells them apart by the Jensen-Shannon bound.

    Source: Zhu et al., *Learning Bias-Invariant Representation by Cross-Sample Mutual Information
    Minimization*, ICCV 2021, arXiv 2108.05449. Deviations: C is given, so it is embedded, where
    the source extracts it from the input by a second encoder; of its two estimators that of
    content is used, as Z of few units has no local structure; a pair of values is alike by
    degrees.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64,)
        Hidden units of the networks that embed Z and C.
    n_embedded : int, default=32
        Units of the embeddings, whose inner product is the score of a pair.
    """

    hidden_layer_sizes: Sequence[int] = parameter("array-like", default=(64,), kw_only=False)
    n_embedded: int = parameter(POSITIVE, default=32, kw_only=False)

    is_information = False
    max_rows = 1024

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained pairs of networks, that embed Z and C."""
        n_strata = sensitive.n_strata if sensitive.n_strata > 1 else 0
        n_inputs = (n_components + n_strata, sensitive.n_columns)
        sizes = (*self.hidden_layer_sizes, self.n_embedded)
        return nn.ModuleList(StackedMLP(n_models, (n, *sizes), generator) for n in n_inputs)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound for each model, (M,), at Z (M, B, D) of a batch."""
        assert isinstance(critic, nn.ModuleList)
        of_z, of_c = critic
        embedded = of_z(sensitive.with_stratum(z)), of_c(sensitive.columns(z.dtype))
        scores = embedded[0] @ embedded[1].mT / math.sqrt(self.n_embedded)
        weights = sensitive.weights.to(z.dtype)
        alike = kernel_of_c(sensitive, weights, _BANDWIDTH)
        # Each row's C is paired with Z of all rows of its stratum, those whose C is like it and
        # those whose C is not, each kind with the same weight: C alone tells no kind by itself.
        member = sensitive.within(z.dtype).member
        pairs = weights[:, :, None] * (member @ member.T)
        losses = nn.functional.softplus(torch.stack([-scores, scores]))
        shares = torch.stack([pairs * alike, pairs * (1 - alike)])
        totals = shares.sum(2)
        means = (losses * shares).sum(2) / totals.clamp_min(tiny(scores))
        # A row whose C has no pair of one kind in the batch says nothing.
        counting = (totals > 0).all(0) * weights
        bounds = (2 * math.log(2) - means.sum(0)) * counting
        return bounds.sum(1) / counting.sum(1).clamp_min(tiny(scores))
