"""Cross-sample dependence: whether Z of one row fits C of others of its group, and no others.

Each row's Z is paired with every row's C. Pairs of like C are the joint, pairs of unlike C the
product of marginals, and a critic tells them apart by the Jensen-Shannon bound.

Source: Zhu et al., *Learning Bias-Invariant Representation by Cross-Sample Mutual
Information Minimization*, ICCV 2021, arXiv 2108.05449. Deviations: C is given, so it is embedded,
where the source extracts it from the input by a second encoder; of its two estimators that of
content is used, as Z of few units has no local structure; a pair of values is alike by degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.hsic import gaussian_kernel
from fairmi.dependence.layers import StackedMLP
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch

_BANDWIDTH = 0.5


class CrossSample(Penalty):
    """The Jensen-Shannon bound that tells pairs of rows of like C from others, in [0, 2 log 2].

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64,)
        Hidden units of the networks that embed Z and C.
    n_embedded : int, default=32
        Units of the embeddings, whose inner product is the score of a pair.

    Examples
    --------
    >>> from fairmi.dependence import PENALTIES
    >>> PENALTIES["csad"]().n_embedded
    32
    """

    is_information = False
    max_rows = 1024

    def __init__(self, hidden_layer_sizes: Sequence[int] = (64,), n_embedded: int = 32) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_embedded = n_embedded

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
        columns = sensitive.columns(z.dtype)
        embedded = of_z(sensitive.with_stratum(z))
        scores = embedded @ of_c(columns).transpose(1, 2) / math.sqrt(self.n_embedded)
        if sensitive.groups is None:
            weights = sensitive.weights.to(z.dtype)
            alike = gaussian_kernel(columns[None], weights, _BANDWIDTH)
        else:
            alike = (columns @ columns.T)[None]
        member = sensitive.membership(z.dtype)
        return pair_bound(scores, alike, sensitive.weights.to(z.dtype), member)


def pair_bound(scores: Tensor, alike: Tensor, weights: Tensor, member: Tensor) -> Tensor:
    """Return the mean over strata of the Jensen-Shannon bound on pairs of rows.

    Each row's C is paired with Z of all rows of its stratum, those whose C is like it and those
    whose C is not, each kind with the same weight: so C alone tells no kind from the other.

    Parameters
    ----------
    scores : Tensor of shape (M, B, B)
        Of row i's Z with row j's C.
    alike : Tensor of shape (M or 1, B, B)
        1 where the two rows' C are alike, 0 where they are not.
    weights : Tensor of shape (M or 1, B)
    member : Tensor of shape (B, S)
        1 where a row is of a stratum.

    Returns
    -------
    Tensor of shape (M,)
    """
    pairs = weights[:, :, None] * (member @ member.T)
    losses = nn.functional.softplus(torch.stack([-scores, scores]))
    shares = torch.stack([pairs * alike, pairs * (1 - alike)])
    tiny = torch.finfo(scores.dtype).tiny
    totals = shares.sum(2)
    means = (losses * shares).sum(2) / totals.clamp_min(tiny)
    # A row whose C has no pair of one kind in the batch says nothing.
    told = (totals > 0).all(0) * weights
    bounds = (2 * math.log(2) - means.sum(0)) * told
    return bounds.sum(1) / told.sum(1).clamp_min(tiny)
