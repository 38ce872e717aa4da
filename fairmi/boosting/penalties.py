"""The penalties of a training: which rows they compare, within what strata, at what λ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairmi._data.collapse import PenalisedGroups
from fairmi._data.sensitive import AttributeRows
from fairmi.boosting.channel import ScoreChannel
from fairmi.boosting.levels import Attribute, GroupTable, attribute_of
from fairmi.boosting.rounds import TreePenalty

_READ_OFF_A_TABLE = "donsker_varadhan"


@dataclass(frozen=True)
class ComparedRows:
    """Which of n rows the penalties compare, and within what strata.

    Attributes
    ----------
    strata : ndarray of shape (n,), int64
    n_strata : int
    weights : ndarray of shape (n,)
        0 for a row that is not compared.
    balanced : bool
        Whether all groups of all strata weigh alike.
    """

    strata: np.ndarray
    n_strata: int
    weights: np.ndarray
    balanced: bool


def comparison_of(
    y: np.ndarray,
    n_classes: int,
    weights: np.ndarray,
    *,
    constraint: str,
    group_weight: str | None,
) -> ComparedRows:
    """Return what a constraint compares; codes `y` and weights in the penalty are (n,)."""
    balanced = group_weight == "balanced"
    if constraint == "equalized_odds":
        return ComparedRows(y, n_classes, weights, True)
    if constraint == "equal_opportunity":
        weights = weights * (y == 1)
    return ComparedRows(np.zeros_like(y), 1, weights, balanced)


def check_penalty(penalty: Any) -> None:
    """Raise ValueError where a penalty is no name that is known, or no such object."""
    if not isinstance(penalty, str) or penalty != _READ_OFF_A_TABLE:
        from fairmi.dependence.names import penalty_of  # loads torch

        penalty_of(penalty)


def check_group_weight(group_weight: str | None, n_groups: Sequence[int]) -> None:
    """Raise ValueError where groups are to be balanced and there are none."""
    if group_weight is not None and not any(n_groups):
        raise ValueError(
            f"group_weight={group_weight!r} needs groups, but the sensitive features are "
            "continuous, or are penalised together with a continuous one; set it to None, or give "
            "lam as a dict, a λ for each."
        )


def penalties_of(
    attributes: Sequence[AttributeRows],
    n_groups: Sequence[int],
    lams: Sequence[float],
    compared: ComparedRows,
    penalty: Any,
    channel: ScoreChannel,
    seed: int,
) -> list[TreePenalty]:
    """Return a penalty for each sensitive attribute; of λ = 0, only one that needs no critic.

    Parameters
    ----------
    attributes : sequence of AttributeRows
    n_groups : sequence of int
        Groups of each, 0 for one of values.
    lams : sequence of float
        λ of each.
    compared : ComparedRows
    penalty : str or object
        As in `MIBoostingClassifier`. The default is read off a table where there are groups.
    channel : ScoreChannel
    seed : int
    """
    found: list[TreePenalty] = []
    for attribute, n, lam in zip(attributes, n_groups, lams, strict=True):
        if n and isinstance(penalty, str) and penalty == _READ_OFF_A_TABLE:
            groups = _groups(attribute, n, compared)
            found.append(GroupTable(groups, channel.refined(), lam))
        elif lam:
            found.append(_critic(attribute, n, lam, compared, penalty, channel, seed))
    return found


def penalised_groups(
    attributes: Sequence[AttributeRows],
    n_groups: Sequence[int],
    lams: Sequence[float],
    compared: ComparedRows,
) -> list[PenalisedGroups]:
    """Return the attributes of groups that are penalised over all rows, with their λ."""
    if compared.n_strata > 1:
        return []
    return [
        PenalisedGroups(lam, attribute.groups, _groups(attribute, n, compared).weights)
        for attribute, n, lam in zip(attributes, n_groups, lams, strict=True)
        if n and attribute.groups is not None
    ]


def _groups(attribute: AttributeRows, n_groups: int, compared: ComparedRows) -> Attribute:
    assert attribute.groups is not None
    return attribute_of(
        attribute.groups,
        compared.strata,
        compared.weights * attribute.known,
        (compared.n_strata, n_groups),
        balanced=compared.balanced,
    )


def _critic(
    attribute: AttributeRows,
    n_groups: int,
    lam: float,
    compared: ComparedRows,
    penalty: Any,
    channel: ScoreChannel,
    seed: int,
) -> TreePenalty:
    # Loads torch, which a table doesn't need.
    from fairmi.boosting.critic import TrainedCritic, sensitive_batch
    from fairmi.dependence.names import penalty_of

    weights = compared.weights * attribute.known
    batch = sensitive_batch(attribute, n_groups, compared, weights)
    return TrainedCritic(penalty_of(penalty), batch, channel, lam, seed)
