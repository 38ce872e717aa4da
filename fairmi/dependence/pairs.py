"""Scores of the pairs of P(Z,C) and of P(Z)P(C), their means, and densities as critics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.layers import PairCritic, SmoothMLP
from fairmi.dependence.sensitive_batch import SensitiveBatch, StratumWeights, tiny

# A log weight of what is not there: it need only be finite, and vanish beside all others.
ABSENT = -1e9


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over all rows, (M,), of values (M, B); 0 where all weights are 0."""
    return (values * weights).sum(1) / weights.sum(1).clamp_min(tiny(weights))


@dataclass(frozen=True)
class Scores:
    """Scores of a batch's pairs; a row's K marginal pairs are its z with other values of C.

    `joint` (M, B); `marginal` (M, B, K) with `log_shares`, of shape that expands to it, the log
    probabilities of the K given z; how `rows` weigh in the joint and `pairs` in the marginal. The
    marginal is taken within strata.
    """

    joint: Tensor
    marginal: Tensor
    log_shares: Tensor
    rows: StratumWeights
    pairs: StratumWeights

    @cached_property
    def has_pairs(self) -> Tensor:
        """1 for a stratum that has a marginal pair, else 0, (M or 1, S)."""
        return (self.pairs.totals > 0).to(self.rows.weights.dtype)

    @cached_property
    def shares(self) -> Tensor:
        """Each stratum's share of the rows, (M or 1, S); 0 for one without a pair."""
        return self.rows.of_strata * self.has_pairs

    def log_row_means(self) -> Tensor:
        """Return log E over C of exp T(z, C) at the z of each row, (M, B)."""
        return torch.logsumexp(self.marginal + self.log_shares, dim=2)

    def row_means(self, values: Tensor) -> Tensor:
        """Return the mean over C, (M, B), of values (M, B, K) of the marginal pairs."""
        return (values * self.log_shares.exp()).sum(2)


def score(
    critic: nn.Module,
    z: Tensor,
    sensitive: SensitiveBatch,
    generator: Generator,
    *,
    own: bool = False,
) -> Scores:
    """Score a batch.

    Over discrete C the marginal pairs are those with every group, so that the marginal is exact.
    Over continuous C a `PairCritic` scores each z with the c of every other row of its stratum
    (and with its `own`, where asked); another critic, which maps [z, c] to one output, with the c
    of one row drawn by re-pairing.
    """
    z, strata = sensitive.with_stratum(z), sensitive.strata
    if sensitive.groups is not None and sensitive.log_prior is not None:
        scores, rows = critic(z), sensitive.within(sensitive.weights.dtype)
        joint = scores.gather(2, sensitive.groups.expand(len(scores), -1)[..., None])[..., 0]
        return Scores(joint, scores, sensitive.log_prior[strata], rows, rows)
    assert sensitive.values is not None
    values = sensitive.values.expand(z.shape[0], -1, -1)
    if isinstance(critic, PairCritic):
        return _all_pairs(critic(z, sensitive.with_stratum(values)), sensitive, own=own)
    other = shuffle_within(strata, generator)
    joint = critic(torch.cat([z, values], dim=2))[..., 0]
    marginal = critic(torch.cat([z, values[:, other]], dim=2))
    n_strata, weights = sensitive.n_strata, sensitive.weights
    return repaired(joint, marginal[..., 0], strata, n_strata, weights, other)


def repaired(
    joint: Tensor,
    marginal: Tensor,
    strata: Tensor,
    n_strata: int,
    weights: Tensor,
    other: Tensor,
) -> Scores:
    """Return scores (M, B) of the rows, and of each with the c of row `other` of its stratum.

    A pair has the product of its rows' weights (M or 1, B).
    """
    certain = torch.zeros(1, 1, 1, dtype=joint.dtype, device=joint.device)
    rows, pairs = (
        StratumWeights(each, strata, n_strata) for each in (weights, weights * weights[:, other])
    )
    return Scores(joint, marginal[..., None], certain, rows, pairs)


def _all_pairs(scores: Tensor, sensitive: SensitiveBatch, *, own: bool) -> Scores:
    weights, strata, n_strata = sensitive.weights, sensitive.strata, sensitive.n_strata
    joint = scores.diagonal(dim1=1, dim2=2)
    log_weights = torch.log(weights).clamp_min(ABSENT)[:, None, :]
    apart = torch.zeros(strata.shape * 2, dtype=torch.bool, device=strata.device)
    if n_strata > 1:
        apart = strata[:, None] != strata
    if not own:
        apart = apart | torch.eye(len(strata), dtype=torch.bool, device=strata.device)
    log_shares = log_weights.masked_fill(apart, ABSENT)
    log_totals = torch.logsumexp(log_shares, dim=2, keepdim=True)
    rows, pairs = (
        StratumWeights(each, strata, n_strata)
        for each in (weights, weights * log_totals[..., 0].exp())
    )
    return Scores(joint, scores, log_shares - log_totals, rows, pairs)


def shuffle_within(strata: Tensor, generator: Generator) -> Tensor:
    """Return a random permutation of the rows, (B,), that keeps each row's stratum."""
    noise = torch.rand(strata.shape, generator=generator, device=strata.device)
    order = torch.argsort(strata + noise)
    permutation = torch.empty_like(order)
    permutation[torch.argsort(strata, stable=True)] = order
    return permutation


def means(values: Tensor, scores: Scores) -> Tensor:
    """Return means over P(Z)P(C) within strata, (M, S), of rows' own means over C (M, B)."""
    return scores.pairs.means(values[..., None])[..., 0]


def log_means(scores: Scores) -> Tensor:
    """Return log E over P(Z)P(C) of exp T within strata, (M, S).

    A stratum without weight has a number far below all others.
    """
    log_weights = torch.log(scores.pairs.weights).clamp_min(ABSENT)
    outside = torch.log(scores.pairs.member).clamp_min(ABSENT)
    log_sums = torch.logsumexp((scores.log_row_means() + log_weights)[..., None] + outside, dim=1)
    return log_sums - torch.log(scores.pairs.totals.clamp_min(tiny(scores.pairs.weights)))


def joint_mean(scores: Scores, values: Tensor | None = None) -> Tensor:
    """Return the mean of T, or of values (M, B), over the rows of strata that have pairs, (M,).

    Rows of other strata count as 0.
    """
    values = scores.joint if values is None else values
    return mean(values * (scores.has_pairs @ scores.rows.member.T), scores.rows.weights)


def difference(scores: Scores, of_log_mean: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return the mean over strata, (M,), of E T less the log mean of exp T, or a function of it.

    Rows of weight 0 alone give 0, without a gradient.
    """
    log_mean = log_means(scores)
    taken = log_mean if of_log_mean is None else of_log_mean(log_mean)
    return joint_mean(scores) - (scores.shares * taken).sum(1)


# Directions of C of less than this share of the largest variance don't count.
_MIN_VARIANCE = 1e-6
# The log of a spread stays within +- this.
_LOG_SPREAD = 4.0


class ConditionalNormal(nn.Module):
    """M networks z -> mean and log spread of C, in directions of C that are white in a stratum.

    As a critic it is a density q(c | z); over groups that is the softmax of scores.
    """

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
        values, dtype = sensitive.values.double(), sensitive.values.dtype
        rows = sensitive.within(torch.float64)
        weights = rows.member * rows.of_rows.mT
        centre = weights.T @ values
        square = torch.einsum("ns,nq,nr->sqr", weights, values, values)
        covariance = square - centre[:, :, None] * centre[:, None]
        variances, directions = torch.linalg.eigh(covariance)
        least = _MIN_VARIANCE * variances[..., -1:].clamp_min(_MIN_VARIANCE)
        counts = variances > least
        scale = torch.where(counts, variances.clamp_min(_MIN_VARIANCE**2) ** -0.5, 0.0)
        self.register_buffer("centre", centre.to(dtype))
        self.register_buffer("whitening", (directions * scale[:, None]).to(dtype))
        self.register_buffer("counts", counts.to(dtype))
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
        apart = sensitive.values - self.centre[strata]
        turned = torch.einsum("bq,bqr->br", apart, self.whitening[strata])
        return turned[None], self.counts[strata][None]


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
    rows = sensitive.within(white.dtype)
    first, second = (rows.means(part)[:, sensitive.strata] for part in (white, white**2))
    apart = second - 2 * first * centre + centre**2
    of_q = -apart * torch.exp(-2 * log_spread) / 2 - log_spread
    return ((of_q + second / 2) * counts).sum(2)
