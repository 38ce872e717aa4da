"""Densities q(c | z) as critics: groups by softmax, values by a normal of whitened directions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.layers import SmoothMLP
from fairmi.dependence.pairs import row_shares, score, stratum_means
from fairmi.dependence.sensitive_batch import SensitiveBatch

# Directions of C of less than this share of the largest variance don't count.
_MIN_VARIANCE = 1e-6
# The log of a spread stays within +- this.
_LOG_SPREAD = 4.0


class ConditionalNormal(nn.Module):
    """M networks z -> mean and log spread of C, in directions of C that are white in a stratum."""

    centre: Tensor
    whitening: Tensor
    counts: Tensor

    def __init__(
        self,
        n_models: int,
        n_z: int,
        sensitive: SensitiveBatch,
        hidden_layer_sizes: Sequence[int],
        generator: Generator,
    ) -> None:
        super().__init__()
        assert sensitive.values is not None
        centre, whitening, counts = _white(sensitive)
        self.register_buffer("centre", centre)
        self.register_buffer("whitening", whitening)
        self.register_buffer("counts", counts)
        sizes = (n_z, *hidden_layer_sizes, 2 * sensitive.values.shape[-1])
        self.network = SmoothMLP(n_models, sizes, generator)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map (M, B, n_z) to mean and log spread, (M, B, Q) both."""
        centre, log_spread = self.network(z).chunk(2, dim=2)
        return centre, _LOG_SPREAD * torch.tanh(log_spread / _LOG_SPREAD)

    def white(self, sensitive: SensitiveBatch) -> tuple[Tensor, Tensor]:
        """Return a batch's values in white directions, (M, B, Q), and which of these count."""
        assert sensitive.values is not None
        strata = sensitive.strata
        apart = sensitive.values - self.centre[..., strata, :]
        turned = torch.einsum("...bq,...bqr->...br", apart, self.whitening[..., strata, :, :])
        counts = self.counts[..., strata, :]
        shape = (-1, *turned.shape[-2:])
        return turned.reshape(shape), counts.reshape(shape)


def conditional_critic(
    n_models: int,
    n_components: int,
    sensitive: SensitiveBatch,
    hidden_layer_sizes: Sequence[int],
    generator: Generator,
) -> nn.Module:
    """Return M untrained q(c | z, stratum)."""
    n_in = n_components + (sensitive.n_strata if sensitive.n_strata > 1 else 0)
    if sensitive.log_prior is None:
        return ConditionalNormal(n_models, n_in, sensitive, hidden_layer_sizes, generator)
    sizes = (n_in, *hidden_layer_sizes, sensitive.log_prior.shape[-1])
    return SmoothMLP(n_models, sizes, generator)


def log_ratios(
    critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
) -> Tensor:
    """Return log q(c | z) / p(c) of each row, (M, B).

    Over groups, q(c | z) is proportional to p(c) exp T for the critic's output T. Over values,
    p(c) is taken as a normal of the moments of the data.
    """
    if sensitive.log_prior is not None:
        scores = score(critic, z, sensitive, generator)
        return scores.joint - scores.log_row_means()
    centre, log_spread = critic(sensitive.with_stratum(z))
    white, counts = critic.white(sensitive)  # type: ignore[operator]
    of_q = -(((white - centre) * torch.exp(-log_spread)) ** 2) / 2 - log_spread
    return ((of_q + white**2 / 2) * counts).sum(2)


def marginal_log_ratios(
    critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
) -> Tensor:
    """Return the mean over P(C) of log q(C | z) / p(C), (M, B), in the row's stratum.

    Over values it is the mean over all rows of the batch, from their first two moments.
    """
    if sensitive.log_prior is not None:
        scores = score(critic, z, sensitive, generator)
        return scores.row_means(scores.marginal) - scores.log_row_means()
    centre, log_spread = critic(sensitive.with_stratum(z))
    white, counts = critic.white(sensitive)  # type: ignore[operator]
    first = _stratum_means(white, sensitive)
    second = _stratum_means(white**2, sensitive)
    apart = second - 2 * first * centre + centre**2
    of_q = -apart * torch.exp(-2 * log_spread) / 2 - log_spread
    return ((of_q + second / 2) * counts).sum(2)


def _stratum_means(values: Tensor, sensitive: SensitiveBatch) -> Tensor:
    """Return at each row the weighted mean of values (M, B, Q) over its stratum."""
    member = sensitive.membership(values.dtype)
    shares = row_shares(sensitive.weights.to(values.dtype), member)
    return stratum_means(values, shares, member)[:, sensitive.strata]


def _white(sensitive: SensitiveBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean (..., S, Q), whitening (..., S, Q, Q) and directions that count (..., S, Q)."""
    assert sensitive.values is not None
    values = sensitive.values.double()
    member = sensitive.membership(torch.float64)
    weights = member * row_shares(sensitive.weights.double().mean(0, keepdim=True), member).mT
    centre = weights.T @ values
    square = torch.einsum("ns,...nq,...nr->...sqr", weights, values, values)
    covariance = square - centre[..., :, None] * centre[..., None, :]
    variances, directions = torch.linalg.eigh(covariance)
    least = _MIN_VARIANCE * variances[..., -1:].clamp_min(_MIN_VARIANCE)
    counts = variances > least
    scale = torch.where(counts, variances.clamp_min(_MIN_VARIANCE**2) ** -0.5, 0.0)
    whitening = directions * scale[..., None, :]
    dtype = sensitive.values.dtype
    return centre.to(dtype), whitening.to(dtype), counts.to(dtype)
