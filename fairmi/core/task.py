"""The task: what y is, its scores, its loss with derivatives, and when a fit of it is trivial.

Shapes by name: n rows; K scores of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, logsumexp, softmax

from fairmi.core.channel import Channel

# Share of the entropy of y that scores take away where they are of use.
_OF_USE = 0.05
# Log odds up to which a class is not rare, 12 rows in 100; and from which on it is wholly so, 2.
_USUAL, _RARE = 2.0, 4.0


@dataclass(frozen=True)
class Objective:
    """What the rounds under the penalty minimise beside it: a task loss against a fixed target.

    The target is what the base predicts, the expectation of y as it knows it, in place of y. Where
    a loss is linear in y the gradient is the same in expectation, without y's noise, which rounds
    would learn where the base stopped early. At the base's own scores it is 0.

    Attributes
    ----------
    loss : callable
        Scores (n, K) -> the loss.
    derivatives : callable
        Scores (n, K) -> its gradient and hessian in them, (n, K) each, n times those of the mean.
    """

    loss: Callable[[np.ndarray], float]
    derivatives: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(
        cls, task: Task, target: np.ndarray, weights: np.ndarray, share: float = 1.0
    ) -> Objective:
        """Return the loss of a task against a target (n, K), multiplied by `share`."""
        scaled = weights if share == 1.0 else weights * share
        return cls(
            lambda scores: share * task.loss(scores, target, weights),
            lambda scores: task.derivatives(scores, target, scaled),
        )


def fold_order(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order (n,) of which every F-th row is a fold: each has its share of every y."""
    order = rng.permutation(len(y))
    return order[np.argsort(y[order], kind="stable")]


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
    refits_leaves: ClassVar[bool] = False
    explained: ClassVar[float] = 1.0  # λ is in nats
    units: ClassVar[dict[str, Any]] = {}  # that a fitted model keeps: none

    @property
    def n_scores(self) -> int:
        """Scores K of a row."""
        return 1 if self.n_classes == 2 else self.n_classes

    def read(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Return y (n,) as networks learn it, and the labels of strata (n,), with their number."""
        return y, y, self.n_classes

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
        linear = (target * scores).sum(1)
        if scores.shape[1] == 1:
            return float(np.average(np.logaddexp(0, scores[:, 0]) - linear, weights=weights))
        return float(np.average(logsumexp(scores, axis=1) - linear, weights=weights))

    def answers(self, scores: np.ndarray) -> np.ndarray:
        """Return the code of the likeliest class, (n,)."""
        return (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)

    def most_folds(self, y: np.ndarray) -> int:
        """Return how many folds can have a row of each class."""
        return int(np.bincount(y, minlength=self.n_classes).min())

    def channels(
        self, n_levels: int, y: np.ndarray, weights: np.ndarray
    ) -> Callable[[np.ndarray], Channel]:
        """Return what maps any scores to one channel, by codes y (n,); K > 1 have K units."""
        channel = Channel(n_levels, kind="softmax")
        if self.n_classes == 2:
            channel = channel_at(log_odds(y, weights), n_levels)
        return lambda scores: channel

    def beside_base(
        self, base_scores: np.ndarray, y: np.ndarray, weights: np.ndarray
    ) -> Objective:
        """Return the log loss against the probabilities of a base."""
        return Objective.of(self, self.mean(base_scores), weights)

    def tells_little(self, scores: np.ndarray, y: np.ndarray, weights: np.ndarray) -> bool:
        """Whether scores have about the loss of a constant, or a higher one."""
        with np.errstate(invalid="ignore"):  # a module of the user's may give NaN
            loss = self.loss(scores.astype(np.float64), self.target(y), weights)
        return loss > (1 - _OF_USE) * self.entropy(y, weights)

    def is_collapsed(self, scores: np.ndarray, y: np.ndarray, weights: np.ndarray) -> bool:
        """Whether all rows are predicted to be of one class, and not because it is the likelier.

        Scores that tell y better than its shares do may well stay on one side for all rows, where
        the other class is rare.
        """
        predicted = self.answers(scores)
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


# Scale of the unit of Z in deviations of the score, and the least of these as share of the first.
_SPREAD, _LEAST_SPREAD = 1.2, 0.01
# Share of the loss of a constant that counts as explained at least.
_LEAST_EXPLAINED = 0.01
# Share of it below which nothing is explained.
_NOTHING = 1e-3
_N_KNOTS = 101  # of the distribution of residuals
# Of the space in which a contrastive objective compares rows.
_CONTRASTED_UNITS = 64


@dataclass(frozen=True)
class Quantity:
    """y is a number, and its loss one of scikit-learn's, whose score is on the scale of the link.

    Parameters
    ----------
    name : {"squared_error", "absolute_error", "quantile", "poisson", "gamma", "tweedie"}
    quantile : float, default=0.5
        Of the pinball loss, if it is that.
    power : float, default=1.5
        Of the Tweedie deviance, if it is that.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.core.task import Quantity
    >>> task, y = Quantity("poisson"), np.array([0.0, 1.0, 5.0])
    >>> task.mean(np.tile(task.start(y, np.ones(3)), (3, 1))).ravel().round(6)
    array([2., 2., 2.])
    """

    name: str = "squared_error"
    quantile: float = 0.5
    power: float = 1.5

    n_scores: ClassVar[int] = 1

    @cached_property
    def sklearn_loss(self) -> Any:
        """The loss object of scikit-learn."""
        from fairmi._sklearn_compat import regression_loss

        return regression_loss(self.name, quantile=self.quantile, power=self.power)

    @property
    def refits_leaves(self) -> bool:
        """Whether the loss has no second derivative: medians and other quantiles."""
        return self.name in ("absolute_error", "quantile")

    @property
    def has_log_link(self) -> bool:
        """Whether a score is the logarithm of a prediction."""
        return self.name in ("poisson", "gamma", "tweedie")

    def target(self, y: np.ndarray) -> np.ndarray:
        """Return y (n,) as one column, (n, 1)."""
        return y[:, None].astype(np.float64)

    def start(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the score (1,) of the best constant."""
        return np.array([float(self.sklearn_loss.fit_intercept_only(y, sample_weight=weights))])

    def mean(self, scores: np.ndarray) -> np.ndarray:
        """Return predictions, (n, 1)."""
        return np.exp(scores) if self.has_log_link else scores

    def derivatives(
        self, scores: np.ndarray, target: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient and hessian of the weighted loss in the scores, (n, 1) each."""
        gradient, hessian = self.sklearn_loss.gradient_hessian(
            y_true=np.ascontiguousarray(target[:, 0]),
            raw_prediction=np.ascontiguousarray(scores[:, 0]),
            sample_weight=weights,
        )
        return gradient[:, None], hessian[:, None]

    def loss(self, scores: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
        """Return the weighted mean loss, up to what no score changes."""
        of_rows = self.sklearn_loss.loss(
            y_true=np.ascontiguousarray(target[:, 0]),
            raw_prediction=np.ascontiguousarray(scores[:, 0]),
        )
        return float(np.average(of_rows, weights=weights))

    def explained(
        self, scores: np.ndarray, y: np.ndarray, weights: np.ndarray
    ) -> tuple[float, float]:
        """Return by how much scores lower the loss of a constant, and that loss at its full.

        The second is the loss of the best constant less that of a perfect prediction.
        """
        target = self.target(y)
        constant = np.tile(self.start(y, weights), (len(y), 1))
        of_constant = self.loss(constant, target, weights)
        optimal = np.average(
            np.broadcast_to(self.sklearn_loss.constant_to_optimal_zero(y_true=y), y.shape),
            weights=weights,
        )
        return of_constant - self.loss(scores, target, weights), of_constant + float(optimal)

    def is_flat(self, scores: np.ndarray, y: np.ndarray, weights: np.ndarray) -> bool:
        """Whether scores explain nothing of y."""
        explained, of_constant = self.explained(scores, y, weights)
        return explained <= _NOTHING * of_constant

    def most_folds(self, y: np.ndarray) -> int:
        """Return the number of rows."""
        return len(y)

    def channels(
        self, n_levels: int, y: np.ndarray, weights: np.ndarray
    ) -> Callable[[np.ndarray], Channel]:
        """Return what maps scores to the channel at their mean, as wide as they spread."""
        least: list[float] = []

        def channel(scores: np.ndarray) -> Channel:
            centre = float(np.average(scores[:, 0], weights=weights))
            spread = float(np.sqrt(np.average((scores[:, 0] - centre) ** 2, weights=weights)))
            if not least:
                least.append(_LEAST_SPREAD * spread)
            return Channel(n_levels, centre, _SPREAD * max(spread, least[0]) or 1.0)

        return channel

    def beside_base(
        self, base_scores: np.ndarray, y: np.ndarray, weights: np.ndarray
    ) -> Objective:
        """Return the share of the base's explained loss that is given up: one λ for every table.

        Of a loss that is linear in y the base's prediction takes its place. That of a quantile is
        not; there y is a prediction and a residual of the base, drawn from all of them.
        """
        explained, of_constant = self.explained(base_scores, y, weights)
        share = 1 / max(explained, _LEAST_EXPLAINED * of_constant, np.finfo(np.float64).tiny)
        if not self.refits_leaves:
            return Objective.of(self, self.mean(base_scores), weights, share)
        tau = 0.5 if self.name == "absolute_error" else self.quantile
        factor = 2.0 if self.name == "absolute_error" else 1.0  # |u| is twice its pinball loss
        return _of_shifts(base_scores, y, weights, tau, factor * share)


@dataclass(frozen=True)
class Scaled:
    """A quantity in units of its own, in which the best constant is a score of 0.

    So scores of every table have about the same size. Losses are shares of that constant's.

    Attributes
    ----------
    quantity : Quantity
    centre, scale : float
        y = `centre` + `scale` * (y in these units); on a log link the centre is 0.
    of_constant : float
        Loss of the constant, less that of a perfect prediction.
    optimal : float
        What a perfect prediction adds to its loss to be 0.
    explained : float
        Share of the constant's loss that X is taken to explain: what λ is measured in.
    ends : tuple of float
        The largest y of each stratum of a constraint but the last.
    """

    quantity: Quantity
    centre: float
    scale: float
    of_constant: float
    optimal: float
    explained: float = 1.0
    ends: tuple[float, ...] = ()
    n_scores: ClassVar[int] = 1

    @classmethod
    def of(cls, quantity: Quantity, y: np.ndarray, weights: np.ndarray) -> Scaled:
        """Return the units in which values (n,) of these weights have a spread of about 1."""
        (start,) = quantity.start(y, weights)
        centre, scale = (0.0, float(np.exp(start))) if quantity.has_log_link else (start, 1.0)
        if quantity.name == "squared_error":
            scale = float(np.sqrt(np.average((y - centre) ** 2, weights=weights)))
        elif quantity.refits_leaves:  # few values far from all others must not set the unit
            low, high = np.quantile(y, [0.1, 0.9])
            scale = float(high - low) / 2 or float(np.average(np.abs(y - centre), weights=weights))
        scaled = (y - centre) / scale
        none = np.zeros((len(y), 1))
        _, of_constant = quantity.explained(none, scaled, weights)
        loss = quantity.loss(none, quantity.target(scaled), weights)
        return cls(quantity, float(centre), scale, of_constant, of_constant - loss)

    @property
    def units(self) -> dict[str, Any]:
        """What a fitted model keeps of them: all but the quantity, which its parameters say."""
        return {name: value for name, value in vars(self).items() if name != "quantity"}

    def read(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Return y (n,) in these units, and the bins of strata (n,), with their number."""
        return self.scaled(y), np.searchsorted(self.ends, y), len(self.ends) + 1

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Return values (n,) in these units."""
        return (y - self.centre) / self.scale

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """Return predictions (n,) in units of y, of scores (n, 1)."""
        return self.quantity.mean(scores)[:, 0] * self.scale + self.centre

    def share_explained(self, scores: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
        """Return the share of the constant's loss that scores (n, 1) take away from y (n,)."""
        none, target = np.zeros_like(scores), self.quantity.target(self.scaled(y))
        gain = self.quantity.loss(none, target, weights) - self.quantity.loss(
            scores, target, weights
        )
        return float(gain / self.of_constant)


@dataclass(frozen=True)
class Nothing:
    """There is no y: Z is to tell the columns of X back, or rows from one another.

    A loss is a share of that of the best constant: squared errors of numbers in units of their
    spread, the log loss of categories by their entropy, the mean over columns.

    Attributes
    ----------
    objective : {"reconstruction", "contrastive"}
    dither : bool
        Whether noise moves units before they are rounded, at inference too.
    n_conditions : int
        Columns of the sensitive features, which the decoder is given beside Z.
    centre, scale : ndarray of shape (N,)
        Of numbers in these units.
    numbers : ndarray of shape (P, N) or None
        Encoded rows (n, P) times these are N numbers in these units. None: each value is one.
    mean : ndarray of shape (P,)
        What was taken off indicators.
    categories : tuple of ndarray
        The indicators, by position, of each column of categories.
    gaps : ndarray of shape (n_gaps,)
        Those of missing numbers.
    source : ndarray of shape (P,)
        The column of X that each encoded one comes from.
    """

    objective: str
    dither: bool
    n_conditions: int
    centre: np.ndarray
    scale: np.ndarray
    numbers: np.ndarray | None = None
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    categories: tuple[np.ndarray, ...] = ()
    gaps: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    source: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    explained: ClassVar[float] = 1.0  # λ is a share of the constant's loss for each nat

    @property
    def units(self) -> dict[str, Any]:
        """What a fitted model keeps."""
        return {"centre": self.centre, "scale": self.scale}

    def read(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Return y (n,), which nothing reads, and the one stratum of all rows."""
        return y, np.zeros(len(y), np.int64), 1

    @property
    def n_scores(self) -> int:
        """Scores K of a row: numbers, categories, gaps; or units that tell rows apart."""
        if self.objective == "contrastive":
            return _CONTRASTED_UNITS
        return len(self.centre) + sum(map(len, self.categories)) + len(self.gaps)


Task = Classes | Quantity
NetworkTask = Classes | Scaled | Nothing
"""What networks learn."""


def _of_shifts(
    base_scores: np.ndarray, y: np.ndarray, weights: np.ndarray, tau: float, share: float
) -> Objective:
    """Return the expected pinball loss of shifts d of a base's scores, less that of no shift.

    With G the distribution of the residuals, piecewise linear and moved so that G(0) = tau, its
    derivative in d is G(d) - tau.
    """
    residuals = y - base_scores[:, 0]
    order = np.argsort(residuals, kind="stable")
    ranks = np.cumsum(weights[order]) / weights.sum()
    levels = np.linspace(0, 1, _N_KNOTS)
    knots = np.interp(levels, ranks, residuals[order])
    knots = knots - np.interp(tau, levels, knots)
    knots, first = np.unique(knots, return_index=True)
    # Where all residuals are alike there is one knot, and G jumps there.
    levels = levels[first] if len(knots) > 1 else np.array([tau])
    steps = np.diff(knots) * ((levels[1:] + levels[:-1]) / 2 - tau)
    losses = np.concatenate([[0.0], np.cumsum(steps)])
    losses -= losses.min()
    middle = np.subtract(*np.interp([0.75, 0.25], levels, knots)) or 1.0
    density = np.diff(levels) / np.diff(knots) if len(knots) > 1 else np.zeros(1)
    scaled = weights * share

    def loss(scores: np.ndarray) -> float:
        d = (scores - base_scores)[:, 0]
        inside = np.clip(d, knots[0], knots[-1])
        k = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, len(density) - 1)
        t = inside - knots[k]
        of_rows = losses[k] + (levels[k] - tau) * t + density[k] * t**2 / 2
        of_rows += (1 - tau) * np.maximum(d - inside, 0) + tau * np.maximum(inside - d, 0)
        return share * float(np.average(of_rows, weights=weights))

    def derivatives(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = scores - base_scores
        slope = np.interp(d, knots, levels, left=0.0, right=1.0) - tau
        return slope * scaled[:, None], np.full_like(d, 0.5 / middle) * scaled[:, None]

    return Objective(loss, derivatives)


def log_odds(codes: np.ndarray, weights: np.ndarray) -> float:
    """Return the log odds of code 1 among rows (n,), 0 where not both codes have weight."""
    share = float(np.average(codes == 1, weights=weights)) if weights.any() else 0.0
    return float(np.log(share) - np.log1p(-share)) if 0 < share < 1 else 0.0


def rarity(odds: float) -> float:
    """Return 0 for classes that are both usual, rising to 1 for one that is very rare."""
    return min(max((abs(odds) - _USUAL) / (_RARE - _USUAL), 0.0), 1.0)


def telling_share(odds: float) -> float:
    """Return the share of rows that tell as much as rows of usual classes: few if one is rare."""
    return float(min(expit(-abs(odds)) / expit(-_USUAL), 1.0))


def channel_at(odds: float, n_levels: int) -> Channel:
    """Return the channel of log odds, where those of the second of two classes are `odds`.

    Its centre is even odds unless one class is rare. Then nearly all scores would share the lowest
    level, and rows that tell much would be tied: the rarer it is, the more the levels are centred
    at these odds, and spread from twice them to even odds.
    """
    rare, beyond = rarity(odds), float(np.sign(odds) * max(abs(odds) - _USUAL, 0.0))
    centre = beyond + rare * (odds - beyond)
    return Channel(n_levels, centre, 2.0 + rare * (max(abs(odds), 2.0) - 2.0))
