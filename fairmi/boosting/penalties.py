"""The penalties of a training: one for each sensitive attribute, at its λ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fairmi.boosting.training import TreePenalty
from fairmi.core.channel import Channel
from fairmi.core.information import SMOOTHING, information
from fairmi.core.membership import Comparison

READ_OFF_A_TABLE = "donsker_varadhan"


class GroupTable:
    """The penalty over groups: the sum over units of I(unit; C | stratum).

    The optimal critic of each unit's levels, over all rows, takes the place of one that is
    trained.
    """

    def __init__(
        self, compared: Comparison, channel: Channel, lam: float, smoothing: float = SMOOTHING
    ) -> None:
        self.compared, self.channel = compared, channel
        self.lam, self.smoothing = lam, smoothing

    @property
    def weights(self) -> np.ndarray:
        """Weights of the rows, (n,), of mean 1."""
        return self.compared.row_weights

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value at Z (n, K) in nats, and n times its derivative in Z, (n, K)."""
        n_levels = self.channel.n_levels
        assert n_levels is not None
        position = self.channel.position(z)
        parts = [
            information(position[:, k], self.compared, n_levels, self.smoothing)
            for k in range(z.shape[1])
        ]
        slopes = np.stack([slope for _, slope in parts], axis=1)
        return sum(value for value, _ in parts), slopes * self.channel.steps_per_unit


def check_penalty(penalty: Any) -> None:
    """Raise ValueError where a penalty is no name that is known, or no such object."""
    if not isinstance(penalty, str) or penalty != READ_OFF_A_TABLE:
        from fairmi.dependence import penalty_of  # loads torch

        penalty_of(penalty)


def penalties_of(
    compared: Sequence[Comparison],
    lams: Sequence[float],
    penalty: Any,
    channel: Channel,
    seed: int,
) -> list[TreePenalty]:
    """Return a penalty for each sensitive attribute; of λ = 0, only one that needs no critic.

    `compared` has the rows of each, and `lams` its λ. The default `penalty` is read off a table
    where there are groups.
    """
    penalties: list[TreePenalty] = []
    for rows, lam in zip(compared, lams, strict=True):
        if rows.members.n_groups and isinstance(penalty, str) and penalty == READ_OFF_A_TABLE:
            penalties.append(GroupTable(rows, channel.refined(), lam))
        elif lam:
            # These load torch, which a table doesn't need.
            from fairmi.boosting.critic import TrainedCritic
            from fairmi.dependence import penalty_of
            from fairmi.dependence.sensitive_batch import sensitive_batch

            batch = sensitive_batch(rows)
            penalties.append(TrainedCritic(penalty_of(penalty), batch, channel, lam, seed))
    return penalties
