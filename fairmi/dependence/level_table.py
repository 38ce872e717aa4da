"""I(unit; C) of each unit of Z from running counts of its levels: what a smooth critic can't see.

A critic of few hidden units is smooth in Z, so an encoder learns to hide C in how neighbouring
levels alternate. A table of counts for each level has no such blind spot: its score
log p(c | level) - log p(c) is the optimal critic of the bound of Donsker and Varadhan for that
unit alone (doi 10.1002/cpa.3160360204). Dependence that only several units together show is left
to the critic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fairmi.dependence.sensitive_batch import SensitiveBatch

# Batches that the counts look back on at most, and rows' worth of prior that smooths each level.
_MOST_BATCHES = 200
_SMOOTHING = 100.0


class LevelTable:
    """Shares of (level, stratum, group) in the last batches, for M models and D units."""

    def __init__(
        self, n_models: int, n_components: int, n_levels: int, sensitive: SensitiveBatch
    ) -> None:
        if sensitive.log_prior is None:
            raise ValueError("a level table needs a discrete sensitive feature")
        self.prior = sensitive.log_prior.exp()
        self.shape = (n_models, n_components, n_levels, *self.prior.shape)
        self.shares = torch.zeros(self.shape, device=self.prior.device)
        self.n_batches = 0
        self.n_rows = 0.0  # that the shares look back on

    def count(self, low: Tensor, above: Tensor, sensitive: SensitiveBatch) -> Tensor:
        """Return the expected summed weights of a batch's rows, (M, D, L, S, G).

        Parameters
        ----------
        low : Tensor of shape (M, B, D), int64
            The lower of the two levels that a unit of a row may take.
        above : Tensor of shape (M, B, D)
            The chance that it takes the next one.
        """
        weights = sensitive.weights[..., None]
        counts = torch.zeros_like(self.shares).flatten(2)
        cells = self._cells(low, sensitive).transpose(1, 2)
        counts.scatter_add_(2, cells, ((1 - above) * weights).transpose(1, 2))
        counts.scatter_add_(2, cells + self.prior.numel(), (above * weights).transpose(1, 2))
        return counts.view(self.shape)

    def update(self, counts: Tensor, n_rows: int, window: float) -> None:
        """Take the counts of a batch of `n_rows` into the shares of the last `window` rows."""
        self.n_batches += 1
        n_batches = min(self.n_batches, _MOST_BATCHES, max(window / n_rows, 1.0))
        self.n_rows = n_batches * n_rows
        self.shares.lerp_(counts / n_rows, 1 / n_batches)

    def value(
        self, low: Tensor, position: Tensor, sensitive: SensitiveBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the sum over units of I(unit; C) in nats as the rows of a batch show it.

        Parameters
        ----------
        low : Tensor of shape (M, B, D), int64
        position : Tensor of shape (M, B, D)
            Where a unit lies on the grid, at `low` or up to a step above.
        sensitive : SensitiveBatch

        Returns
        -------
        value : Tensor of shape (M,)
        gradient : Tensor of shape (M, B, D)
            In `position`: the difference of the scores of the two levels.
        """
        counts = self.shares * self.n_rows
        of_level = counts.sum(-1, keepdim=True)
        shares = (counts + _SMOOTHING * self.prior) / (of_level + _SMOOTHING)
        scores = torch.log(shares / self.prior).flatten(2)
        cells = self._cells(low, sensitive).transpose(1, 2)
        at_low = scores.gather(2, cells).transpose(1, 2)
        slope = scores.gather(2, cells + self.prior.numel()).transpose(1, 2) - at_low
        weights = sensitive.weights
        total = weights.sum(1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        weights = (weights / total)[..., None]
        of_rows = at_low + slope * (position - low)
        return (of_rows * weights).sum((1, 2)), slope * weights

    def _cells(self, low: Tensor, sensitive: SensitiveBatch) -> Tensor:
        assert sensitive.groups is not None
        code = sensitive.strata * self.prior.shape[1] + sensitive.groups
        return low * self.prior.numel() + code[None, :, None]
