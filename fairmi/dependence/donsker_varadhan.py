"""The Donsker-Varadhan bound on I(Z; C), exact over a discrete C, sampled over a continuous one.

    I(Z; C) >= E over P(Z,C) [T]  -  log E over P(Z)P(C) [exp T]

Source: Donsker and Varadhan, doi 10.1002/cpa.3160360204; as a loss for networks, Belghazi et al.,
*MINE: Mutual Information Neural Estimation*, arXiv 1801.04062.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from fairmi._networks import StackedMLP
from fairmi._types import Batch, TrainingData

# A stratum that has no row in a batch: its term is multiplied by a weight of 0, so it need only
# be finite.
_ABSENT = -1e9


@dataclass(frozen=True)
class DonskerVaradhan:
    """I(Z; C) by the Donsker-Varadhan bound; within strata, I(Z; C | stratum).

    The critic sees Z and, where there are several, the stratum. Over discrete C it has an output
    for each group, so that one pass over Z gives the joint and the exact marginal. Over
    continuous C it sees C too, and the marginal is sampled by re-pairing rows of a stratum.
    """

    hidden_layer_sizes: Sequence[int] = (64, 64)

    def critic(
        self, n_models: int, n_components: int, data: TrainingData, generator: Generator
    ) -> nn.Module:
        """Return M untrained critics for Z of `n_components` units."""
        n_in = n_components + (data.n_strata if data.n_strata > 1 else 0)
        n_out = 1
        if data.log_prior is not None:
            n_out = data.log_prior.shape[1]
        elif data.values is not None:
            n_in += data.values.shape[1]
        sizes = (n_in, *self.hidden_layer_sizes, n_out)
        return StackedMLP(n_models, sizes, generator, negative_slope=0.01)

    def value(
        self, critic: nn.Module, z: Tensor, batch: Batch, data: TrainingData, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        if data.n_strata > 1:
            onehot = nn.functional.one_hot(batch.strata, data.n_strata).to(z.dtype)
            z = torch.cat([z, onehot.expand(z.shape[0], -1, -1)], dim=2)
        if batch.groups is not None and data.log_prior is not None:
            return exact_bound(
                critic(z), batch.groups, data.log_prior, batch.strata, batch.penalty_weights
            )
        assert batch.values is not None
        values = batch.values.expand(z.shape[0], -1, -1)
        other = shuffle_within(batch.strata, generator)
        joint = critic(torch.cat([z, values], dim=2))[..., 0]
        marginal = critic(torch.cat([z, values[:, other]], dim=2))[..., 0]
        return sampled_bound(joint, marginal, batch.strata, data.n_strata, batch.penalty_weights)


def exact_bound(
    scores: Tensor,
    groups: Tensor,
    log_prior: Tensor,
    strata: Tensor,
    weights: Tensor,
) -> Tensor:
    """Return the bound in nats for each model, with the marginal over C summed exactly.

    Parameters
    ----------
    scores : Tensor of shape (M, B, G)
        The critic's T(z, c), an output for each group.
    groups : Tensor of shape (B,), int64
        The group of each row.
    log_prior : Tensor of shape (S, G)
        Log share of each group within each stratum.
    strata : Tensor of shape (B,), int64
        The stratum of each row; the bound is the mean over strata of the bound within each.
    weights : Tensor of shape (M, B) or (1, B)
        Weights of the rows, in the joint and in the marginal.

    Returns
    -------
    Tensor of shape (M,)
    """
    index = groups[None, :, None].expand(scores.shape[0], -1, 1)
    joint = scores.gather(2, index)[..., 0]
    marginal = torch.logsumexp(scores + log_prior[strata], dim=2)
    return _bound(joint, marginal, strata, log_prior.shape[0], weights)


def sampled_bound(
    joint: Tensor,
    marginal: Tensor,
    strata: Tensor,
    n_strata: int,
    weights: Tensor,
) -> Tensor:
    """Return the bound in nats for each model from scores of true and of re-paired rows.

    Parameters
    ----------
    joint : Tensor of shape (M, B)
        T(z, c) of the rows as they are.
    marginal : Tensor of shape (M, B)
        T(z, c') where c' is that of another row of the same stratum.
    strata, weights
        As in `exact_bound`.
    """
    return _bound(joint, marginal, strata, n_strata, weights)


def shuffle_within(strata: Tensor, generator: Generator) -> Tensor:
    """Return a random permutation of the rows, (B,), that keeps each row's stratum."""
    noise = torch.rand(strata.shape, generator=generator, device=strata.device)
    order = torch.argsort(strata + noise)
    permutation = torch.empty_like(order)
    permutation[torch.argsort(strata, stable=True)] = order
    return permutation


def _bound(
    joint: Tensor, log_marginal: Tensor, strata: Tensor, n_strata: int, weights: Tensor
) -> Tensor:
    log_weights = torch.log(weights).clamp_min(_ABSENT)
    total = weights.sum(1).clamp_min(torch.finfo(weights.dtype).tiny)
    if n_strata == 1:
        log_mean = torch.logsumexp(log_marginal + log_weights, dim=1) - torch.log(total)
        # A batch of weight 0 has the value 0, and no gradient.
        return ((joint * weights).sum(1) - weights.sum(1) * log_mean) / total
    member = strata[:, None] == torch.arange(n_strata, device=strata.device)
    stratum_weights = (weights[..., None] * member).sum(1)
    outside = torch.where(member, 0.0, _ABSENT)
    log_sums = torch.logsumexp((log_marginal + log_weights)[..., None] + outside, dim=1)
    log_means = log_sums - torch.log(stratum_weights.clamp_min(torch.finfo(weights.dtype).tiny))
    return ((joint * weights).sum(1) - (stratum_weights * log_means).sum(1)) / total
