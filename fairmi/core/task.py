"""The task: what y is, its scores, its loss with derivatives, and when a fit of it is trivial.

Shapes by name: n rows; K scores of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit, log_softmax, logsumexp, softmax

from fairmi.core.channel import Channel

# Share of the entropy of y that scores take away where they are of use.
_OF_USE = 0.05
# Log odds up to which a class is not rare, 12 rows in 100; and from which on it is wholly so, 2.
_USUAL, _RARE = 2.0, 4.0


class Task(Protocol):
    """What boosting asks of y. `target` (n, K) is y as scores predict it, or its expectation."""

    @property
    def n_scores(self) -> int:
        """Scores K of a row."""
        ...

    def target(self, y: np.ndarray) -> np.ndarray:
        """Return y (n,) in the form of `mean`, (n, K)."""
        ...

    def start(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the scores (K,) of the best constant."""
        ...

    def mean(self, scores: np.ndarray) -> np.ndarray:
        """Return the expectation of y that scores stand for, (n, K)."""
        ...

    def derivatives(
        self, scores: np.ndarray, target: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient and hessian of the weighted loss in the scores, (n, K) each."""
        ...

    def loss(self, scores: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
        """Return the weighted mean loss."""
        ...

    def fold_order(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an order (n,) of which every F-th row is a fold like all."""
        ...


@dataclass(frozen=True)
class Classes:
    """y is one of `n_classes` classes; its loss is the log loss in nats.

    Two classes have one score, the log odds of the second (K = 1); more have a score each. The
    loss is linear in the target, so that probabilities of the classes may take the place of y:
    the gradient is then the expected one.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.core.task import Classes
    >>> task = Classes(2)
    >>> y, weights = np.array([0, 1, 1, 1]), np.ones(4)
    >>> task.start(y, weights).round(4)
    array([1.0986])
    >>> scores = np.zeros((4, 1))
    >>> round(task.loss(scores, task.target(y), weights), 4)
    0.6931
    """

    n_classes: int

    @property
    def n_scores(self) -> int:
        """Scores K of a row."""
        return 1 if self.n_classes == 2 else self.n_classes

    def target(self, y: np.ndarray) -> np.ndarray:
        """Return codes y (n,) as probabilities of the scored classes, (n, K)."""
        if self.n_classes == 2:
            return y[:, None].astype(np.float64)
        return np.eye(self.n_classes)[y]

    def start(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the scores (K,) of the classes' shares among codes y (n,)."""
        shares = np.bincount(y, weights=weights, minlength=self.n_classes) / weights.sum()
        log_shares = np.log(np.clip(shares, 1e-15, None))
        if self.n_classes == 2:
            return log_shares[1:] - log_shares[:1]
        return log_shares - log_shares.mean()

    def mean(self, scores: np.ndarray) -> np.ndarray:
        """Return probabilities, (n, K)."""
        return expit(scores) if scores.shape[1] == 1 else softmax(scores, axis=1)

    def derivatives(
        self, scores: np.ndarray, target: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient and hessian of the weighted log loss in the scores, (n, K) each."""
        p = self.mean(scores)
        return (p - target) * weights[:, None], p * (1 - p) * weights[:, None]

    def loss(self, scores: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
        """Return the weighted mean log loss in nats."""
        told = (target * scores).sum(1)
        if scores.shape[1] == 1:
            return float(np.average(np.logaddexp(0, scores[:, 0]) - told, weights=weights))
        return float(np.average(logsumexp(scores, axis=1) - told, weights=weights))

    def fold_order(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an order (n,) of which every F-th row is a fold with its share of every class."""
        order = rng.permutation(len(y))
        return order[np.argsort(y[order], kind="stable")]

    def answers(self, scores: np.ndarray) -> np.ndarray:
        """Return the code of the likeliest class, (n,)."""
        return (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)

    def channel(self, n_levels: int, y: np.ndarray, weights: np.ndarray) -> Channel:
        """Return the channel of scores for codes y (n,); K > 1 scores have K units."""
        if self.n_classes > 2:
            return Channel(n_levels, kind="softmax")
        return channel_at(log_odds(y, weights), n_levels)

    def tells_little(self, scores: np.ndarray, y: np.ndarray, weights: np.ndarray) -> bool:
        """Whether scores have about the loss of a constant, or a higher one."""
        logs = log_softmax(_of_classes(scores).astype(np.float64), axis=1)
        loss = -np.average(logs[np.arange(len(y)), y], weights=weights)
        return bool(loss > (1 - _OF_USE) * self.entropy(y, weights))

    def is_collapsed(self, scores: np.ndarray, y: np.ndarray, weights: np.ndarray) -> bool:
        """Whether all rows are predicted to be of one class, and not because it is the likelier.

        Scores that tell y better than its shares do may well stay on one side for all rows, where
        the other class is rare.
        """
        predicted = _of_classes(scores).argmax(axis=1)
        one_class = bool((predicted == predicted[0]).all())
        return one_class and self.tells_little(scores, y, weights)

    def ceiling(
        self, scores: np.ndarray, y: np.ndarray, weights: np.ndarray, cost_of_y: float
    ) -> float | None:
        """Return the share of λ up to which y itself is better than a constant, if λ is too large.

        A perfect prediction of y has the loss `cost_of_y`, λ I(Y; C) summed over attributes, and
        a constant has H(Y). The share is H(Y) / cost_of_y. It is None where that is 1 or more,
        and where the model tells y all the same, by what in y does not hang on C.
        """
        entropy = self.entropy(y, weights)
        if cost_of_y <= entropy or not self.tells_little(scores, y, weights):
            return None
        return entropy / cost_of_y

    def entropy(self, y: np.ndarray, weights: np.ndarray) -> float:
        """Return H(Y) in nats of codes y (n,)."""
        counts = np.bincount(y, weights)
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * np.log(shares)).sum())


def log_odds(codes: np.ndarray, weights: np.ndarray) -> float:
    """Return the log odds of code 1 among rows (n,), 0 where not both codes have weight."""
    share = float(np.average(codes == 1, weights=weights)) if weights.any() else 0.0
    return float(np.log(share) - np.log1p(-share)) if 0 < share < 1 else 0.0


def rarity(odds: float) -> float:
    """Return 0 for classes that are both usual, rising to 1 for one that is very rare."""
    return min(max((abs(odds) - _USUAL) / (_RARE - _USUAL), 0.0), 1.0)


def beyond_usual(odds: float) -> float:
    """Return by how much log odds are beyond the usual ones, with their sign."""
    return float(np.sign(odds) * max(abs(odds) - _USUAL, 0.0))


def telling_share(odds: float) -> float:
    """Return the share of rows that tell as much as rows of usual classes: few if one is rare."""
    return float(min(expit(-abs(odds)) / expit(-_USUAL), 1.0))


def channel_at(odds: float, n_levels: int) -> Channel:
    """Return the channel of log odds, where those of the second of two classes are `odds`.

    Its centre is even odds unless one class is rare. Then nearly all scores would share the lowest
    level, and rows that tell much would be tied: the rarer it is, the more the levels are centred
    at these odds, and spread from twice them to even odds.
    """
    rare, beyond = rarity(odds), beyond_usual(odds)
    centre = beyond + rare * (odds - beyond)
    return Channel(n_levels, centre, 2.0 + rare * (max(abs(odds), 2.0) - 2.0))


def _of_classes(scores: np.ndarray) -> np.ndarray:
    return np.hstack([np.zeros_like(scores), scores]) if scores.shape[1] == 1 else scores
