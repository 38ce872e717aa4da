"""The Donsker-Varadhan bound on I(Z; C), exact over a discrete C, sampled over a continuous one.

    I(Z; C) >= E over P(Z,C) [T]  -  log E over P(Z)P(C) [exp T]

Source: Donsker and Varadhan, doi 10.1002/cpa.3160360204; as a loss for networks, Belghazi et al.,
*MINE: Mutual Information Neural Estimation*, arXiv 1801.04062.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence._bound import CriticBound
from fairmi.dependence._pair_means import difference
from fairmi.dependence._pair_scores import Scores, score
from fairmi.dependence.counted_bound import exact_bound
from fairmi.dependence.layers import StackedMLP
from fairmi.dependence.sensitive_batch import SensitiveBatch


class DonskerVaradhan(CriticBound):
    """I(Z; C) by the Donsker-Varadhan bound; within strata, I(Z; C | stratum).

    The critic sees Z and, where there are several, the stratum. Over discrete C it has an output
    for each group, so that one pass over Z gives the joint and the exact marginal. Over
    continuous C it sees C too, and the marginal is sampled by re-pairing rows of a stratum; alone,
    as an estimator, it scores all pairs of rows.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.dependence import DonskerVaradhan
    >>> rng = np.random.default_rng(0)
    >>> C = rng.integers(2, size=2000)
    >>> Z = np.where(rng.random(2000) < 0.9, C, 1 - C)  # 0.368 nats
    >>> DonskerVaradhan().fit(Z, C, random_state=0).estimate(Z, C) > 0.33
    True
    """

    reads_levels = True

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained critics for Z of `n_components` units."""
        n_in = n_components + (sensitive.n_strata if sensitive.n_strata > 1 else 0)
        n_out = 1
        if sensitive.log_prior is not None:
            n_out = sensitive.log_prior.shape[-1]
        elif sensitive.values is not None:
            n_in += sensitive.values.shape[1]
        sizes = (n_in, *self.hidden_layer_sizes, n_out)
        return StackedMLP(n_models, sizes, generator, negative_slope=0.01)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        if sensitive.groups is None or sensitive.groups.dim() > 1 or sensitive.log_prior is None:
            return value_of_scores(score(critic, z, sensitive, generator))
        scores = critic(sensitive.with_stratum(z))
        weights = sensitive.weights
        return exact_bound(
            scores, sensitive.groups, sensitive.log_prior, sensitive.strata, weights
        )


def value_of_scores(scores: Scores) -> Tensor:
    """Return the bound in nats for each model, (M,)."""
    return difference(scores)


def sampled_bound(
    joint: Tensor,
    marginal: Tensor,
    strata: Tensor,
    n_strata: int,
    weights: Tensor,
    other: Tensor,
) -> Tensor:
    """Return the bound in nats for each model from scores of true and of re-paired rows.

    Parameters
    ----------
    joint : Tensor of shape (M, B)
        T(z, c) of the rows as they are.
    marginal : Tensor of shape (M, B)
        T(z, c') where c' is that of row `other` of the same stratum.
    strata : Tensor of shape (B,), int64
        The stratum of each row; the bound is the mean over strata of the bound within each.
    n_strata : int
    weights : Tensor of shape (M, B) or (1, B)
        Weights of the rows in the joint.
    other : Tensor of shape (B,), int64
        The row that each row's c' is taken from. A pair has the product of its rows' weights.
    """
    pairs = weights * weights[:, other]
    certain = torch.zeros(1, 1, 1, dtype=joint.dtype, device=joint.device)
    return difference(
        Scores(joint, marginal[..., None], certain, weights, pairs, strata, n_strata)
    )
