"""Bounds on I(Z; C) by a trained critic, in nats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from fairmi._sklearn_compat import ABOVE_0, parameter, with_parameters
from fairmi.dependence.counts import exact_bound
from fairmi.dependence.layers import PairCritic, SmoothMLP, StackedMLP
from fairmi.dependence.pairs import (
    ConditionalNormal,
    difference,
    joint_mean,
    log_means,
    log_ratios,
    marginal_log_ratios,
    mean,
    means,
    score,
)
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch


@with_parameters
class CriticBound(Penalty):
    """A bound on I(Z; C) by a trained critic."""

    hidden_layer_sizes: Sequence[int] = parameter("array-like", default=(64, 64), kw_only=False)

    # Whether the critic is a density of C, and not a score of pairs, that reads any features.
    models_c = False

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained critics for Z of `n_components` units."""
        n_strata = sensitive.n_strata if sensitive.n_strata > 1 else 0
        n_in, hidden = n_components + n_strata, tuple(self.hidden_layer_sizes)
        if sensitive.log_prior is not None:
            return SmoothMLP(n_models, (n_in, *hidden, sensitive.n_columns), generator)
        if self.models_c:
            return ConditionalNormal(n_models, n_in, sensitive, hidden, generator)
        return PairCritic(n_models, n_in, sensitive.n_columns + n_strata, hidden, generator)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the Donsker-Varadhan bound in nats for each model, (M,), at Z (M, B, D)."""
        return difference(score(critic, z, sensitive, generator))


class DonskerVaradhan(CriticBound):
    """I(Z; C) by the Donsker-Varadhan bound; within strata, I(Z; C | stratum).

        I(Z; C) >= E over P(Z,C) [T]  -  log E over P(Z)P(C) [exp T]

    Source: Donsker and Varadhan, doi 10.1002/cpa.3160360204; as a loss for networks, Belghazi et
    al., *MINE: Mutual Information Neural Estimation*, arXiv 1801.04062.

    The critic sees Z and, where there are several, the stratum. Over discrete C it has an output
    for each group, so that one pass over Z gives the joint and the exact marginal. Over
    continuous C it sees C too, and the marginal is sampled by re-pairing rows of a stratum.
    """

    reads_levels = True

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained critics for Z of `n_components` units."""
        n_in = n_components + (sensitive.n_strata if sensitive.n_strata > 1 else 0)
        sizes = (n_in, *self.hidden_layer_sizes, sensitive.n_columns)
        if sensitive.log_prior is None:
            sizes = (n_in + sensitive.n_columns, *self.hidden_layer_sizes, 1)
        return StackedMLP(n_models, sizes, generator, negative_slope=0.01)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        if sensitive.groups is None or sensitive.log_prior is None:
            return super().value(critic, z, sensitive, generator)
        scores = critic(sensitive.with_stratum(z))
        weights = sensitive.weights
        return exact_bound(
            scores, sensitive.groups, sensitive.log_prior, sensitive.strata, weights
        )


# Weight of a batch in the moving average, once as many batches have been seen.
_RATE = 0.01


class MINE(CriticBound):
    """I(Z; C) by the Donsker-Varadhan bound with MINE's corrected gradient of the critic.

    For comparison: no figure recommends it (docs/penalties.md).

    The gradient of log E exp T on a batch divides by the batch's own mean of exp T, which biases
    it. MINE divides by a moving average over batches instead.

    Source: Belghazi et al., *MINE: Mutual Information Neural Estimation*, arXiv 1801.04062, 3.2.

    The critic keeps the moving average, in logarithms and for each stratum, as `log_average`.
    """

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return a loss (M,) whose gradient is the corrected one; without gradients, -`value`.

        Its number is -E T + mean of exp T over the moving average + log of the average - 1, which
        is at least -`value`.
        """
        scores = score(critic, z, sensitive, generator)
        if not torch.is_grad_enabled():
            return -difference(scores)
        log_mean = log_means(scores)
        log_average = _moved(critic, log_mean.detach(), scores.shares > 0)
        tangent = torch.exp(log_mean - log_average) + log_average - 1
        return (scores.shares * tangent).sum(1) - joint_mean(scores)

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained critics, each with its average."""
        critic = super().critic(n_models, n_components, sensitive, generator)
        start = torch.zeros(n_models, sensitive.n_strata, device=generator.device)
        critic.register_buffer("log_average", start)
        critic.register_buffer("n_averaged", start.clone())
        return critic


def _moved(critic: nn.Module, log_mean: Tensor, present: Tensor) -> Tensor:
    """Take a batch's log means (M, S) into the average, where the stratum is present."""
    average, count = critic.log_average, critic.n_averaged
    assert isinstance(average, Tensor)
    assert isinstance(count, Tensor)
    count += present
    rate = (1 / count.clamp_min(1)).clamp_min(_RATE)
    # The first batch replaces the start, whose weight is then 0.
    moved = torch.logaddexp(torch.log1p(-rate) + average, torch.log(rate) + log_mean)
    average.copy_(torch.where(present, moved, average))
    return average.clone()


# From here on exp is replaced by its tangent. The bound still holds, since all it needs of a
# function is to be at least the identity where DV has the identity; and nothing overflows.
_STEEPEST = 10.0


class NWJ(CriticBound):
    """I(Z; C) by the bound of Nguyen, Wainwright and Jordan; within strata, given the stratum.

    For comparison: no figure recommends it (docs/penalties.md).

        I(Z; C) >= E over P(Z,C) [T]  -  E over P(Z)P(C) [exp T]  +  1

    It is linear in both expectations, so that a batch estimates it without bias, but it lies below
    the Donsker-Varadhan bound of the same critic. T here is theirs less 1, so that the best critic
    is that of all other bounds, the log density ratio.

    Source: Nguyen, Wainwright and Jordan, doi 10.1109/TIT.2010.2068870; as a loss for networks,
    Nowozin et al., *f-GAN*, arXiv 1606.00709.
    """

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        return difference(score(critic, z, sensitive, generator), _exp_less_one)


def _exp_less_one(x: Tensor) -> Tensor:
    beyond = (x - _STEEPEST).clamp_min(0)
    return torch.expm1(x.clamp_max(_STEEPEST)) + math.exp(_STEEPEST) * beyond


class InfoNCE(CriticBound):
    """I(Z; C) by the InfoNCE bound; within strata, given the stratum.

    For comparison: no figure recommends it (docs/penalties.md).

        I(Z; C) >= E over P(Z,C) [ T(z, c)  -  log E over P(C) [exp T(z, C)] ]

    Over discrete C the mean over P(C) is exact, and the bound is the same as that of Barber and
    Agakov with q(c | z) proportional to p(c) exp T. Over continuous C it is the mean over a batch
    of B rows, the row's own among them, and the bound can't exceed log B.

    Source: van den Oord, Li and Vinyals, *Representation Learning with Contrastive Predictive
    Coding*, arXiv 1807.03748; its bias and variance: Poole et al., arXiv 1905.06922.
    """

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        scores = score(critic, z, sensitive, generator, own=True)
        return mean(scores.joint - scores.log_row_means(), scores.rows.weights)


@with_parameters
class SMILE(CriticBound):
    """I(Z; C) by the smoothed estimator SMILE; within strata, given the stratum.

    For comparison: no figure recommends it (docs/penalties.md).

        E over P(Z,C) [T]  -  log E over P(Z)P(C) [clip(exp T, exp -tau, exp tau)]

    Clipping bounds the variance of the marginal term, which else grows as the exponential of the
    information, for some bias: it is no bound in the strict sense. Since a critic could raise it
    beyond all measure, the critic is trained by the Jensen-Shannon loss, whose best T is the log
    density ratio too.

    Source: Song and Ermon, *Understanding the Limitations of Variational Mutual Information
    Estimators*, arXiv 1910.06222.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.
    clip : float, default=5.0
        The tau at which log density ratios are clipped.
    """

    clip: float = parameter(ABOVE_0, default=5.0, kw_only=False)

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the Jensen-Shannon loss of telling pairs of the two distributions, (M,)."""
        scores = score(critic, z, sensitive, generator)
        of_marginal = scores.row_means(nn.functional.softplus(scores.marginal))
        joint = joint_mean(scores, nn.functional.softplus(-scores.joint))
        return joint + (scores.shares * means(of_marginal, scores)).sum(1)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the estimate in nats for each model, (M,), at Z (M, B, D) of a batch."""
        scores = score(critic, z, sensitive, generator)
        return difference(replace(scores, marginal=scores.marginal.clamp(-self.clip, self.clip)))


class CLUB(CriticBound):
    """An upper bound on I(Z; C), by a learned q(c | z); within strata, given the stratum.

    For comparison: no figure recommends it (docs/penalties.md).

        I(Z; C) <= E over P(Z,C) [log p(c | z)]  -  E over P(Z)P(C) [log p(c | z)]

    It is an upper bound at the true p(c | z), where it is I(Z; C) plus the divergence of P(Z)P(C)
    from P(Z,C): far above the information where that is large. A network q(c | z), trained by
    likelihood, is put in the place of p. Where that gives less than 0, which no information is,
    the value is 0: an encoder else gains by making q predict the wrong c, without end.

    Source: Cheng et al., *CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information*, arXiv
    2006.12013.

    Over continuous C, q is a normal whose mean and spread depend on z.
    """

    models_c = True

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the mean of -log q(c | z), (M,), up to a constant."""
        return -mean(log_ratios(critic, z, sensitive, generator), sensitive.weights)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        joint = log_ratios(critic, z, sensitive, generator)
        marginal = marginal_log_ratios(critic, z, sensitive, generator)
        return mean(joint - marginal, sensitive.weights).clamp_min(0)


class BarberAgakov(CriticBound):
    """I(Z; C) by the bound of Barber and Agakov; within strata, given the stratum.

        I(Z; C) >= H(C) + E over P(Z,C) [log q(c | z)]  =  E over P(Z,C) [log q(c | z) / p(c)]

    As a penalty it is the adversary that predicts C, trained by cross-entropy.

    Source: Barber and Agakov, *The IM Algorithm: A Variational Approach to Information
    Maximization*, NIPS 2003, https://papers.nips.cc/paper/2410.

    Over continuous C, q is a normal whose mean and spread depend on z, and p(c) is taken as a
    normal. It is a bound where C is normal, and no information where C has both kinds of columns.
    """

    models_c = True

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        ratios = log_ratios(critic, z, sensitive, generator)
        return mean(ratios, sensitive.weights)
