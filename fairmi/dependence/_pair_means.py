"""Means of a critic's scores over pairs of rows within strata, and what bounds make of them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fairmi.dependence._pair_scores import Scores
from fairmi.dependence.within import log_mean_exp, mean, row_shares, stratum_means, stratum_shares


def means(values: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
    """Return means over P(Z)P(C) within strata and the share of each stratum's rows, (M, S) both.

    `values` (M, B) are the rows' own means over C. A stratum without a pair has the share 0.
    """
    of_pairs = row_shares(scores.pair_weights, scores.member)
    return stratum_means(values[..., None], of_pairs, scores.member)[..., 0], _shares(scores)


def log_means(scores: Scores) -> tuple[Tensor, Tensor]:
    """Return log E over P(Z)P(C) of exp T within strata, and shares as `means` does."""
    log_mean = log_mean_exp(scores.log_row_means(), scores.pair_weights, scores.member)
    return log_mean, _shares(scores)


def joint_mean(scores: Scores, values: Tensor | None = None) -> Tensor:
    """Return the mean of T, or of values (M, B), over the rows of strata that have pairs, (M,).

    Rows of other strata count as 0.
    """
    values = scores.joint if values is None else values
    return mean(values * (scores.has_pairs @ scores.member.T), scores.weights)


def difference(scores: Scores, of_log_mean: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return the mean over strata, (M,), of E T less the log mean of exp T, or a function of it.

    Rows of weight 0 alone give 0, without a gradient.
    """
    log_mean, shares = log_means(scores)
    taken = log_mean if of_log_mean is None else of_log_mean(log_mean)
    return joint_mean(scores) - (shares * taken).sum(1)


def _shares(scores: Scores) -> Tensor:
    return stratum_shares(scores.weights, scores.member) * scores.has_pairs
