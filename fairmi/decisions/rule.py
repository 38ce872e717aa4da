"""The best decisions under a bound on unfairness: few multipliers over probabilities of rows.

With P(y | x) and P(cell | x), a cell being a group, or a group within a class, the most accurate
decisions whose rates differ by at most `bound` between the groups have the form

    the y that maximises  P(y | x) - sum over cells m of  multiplier[m, y] * P(m | x) / P(m)

where the multipliers of a stratum sum to 0 [1]_ [2]_ [3]_. They minimise the dual, a convex
function of as many variables as there are multipliers, whatever the number of rows:

    E max over y (...)  +  bound / 2 * sum |multiplier|

.. [1] A. Menon, R. Williamson, "The Cost of Fairness in Binary Classification", FAT* 2018.
.. [2] W. Chen, Y. Klochkov, Y. Liu, "Post-hoc Bias Scoring is Optimal for Fair Classification",
   ICLR 2024, arXiv 2310.05725.
.. [3] R. Xian, H. Zhao, "A Unified Post-Processing Framework for Group Fairness in
   Classification", 2024, arXiv 2405.04025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import linprog, minimize
from scipy.sparse import csr_array

from fairmi.exceptions import CollapseWarning, InfeasibleBoundWarning, Note, SmallGroupWarning

# Of the smoothed maximum and absolute value; each start is the minimum at the one before.
_TEMPERATURES = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
_MAX_TIGHTER = 6  # solutions at a tighter bound, where the rule itself is not within it yet
_MAX_SHIFTS = 8  # moves of the model's rates onto the true ones
_MAX_COLUMNS = 400  # rules that the linear programme of a mixture may ask for
_BETWEEN = 20  # single rules that are looked at between two of a mixture
_PRICE = 10.0  # of a difference beyond the bound, in accuracy
_SMALLEST_BOUND = 0.01  # below which a group's error is not held against the bound


@dataclass(frozen=True)
class Cells:
    """The cells whose rates are compared: those of a stratum with one another.

    Of each (n_cells,) `groups` has the code of the group, `strata` that of the class, -1 where a
    cell is a whole group, and `shares` P(cell), as a share of all rows whose group is known.
    """

    groups: np.ndarray
    strata: np.ndarray
    shares: np.ndarray

    def densities(self, probabilities: np.ndarray, membership: np.ndarray) -> np.ndarray:
        """Return P(cell | x) / P(cell), (n, n_cells).

        A row whose group is unknown, NaN in `membership` (n, n_groups), gets the same in all
        cells of a stratum, so that multipliers, which sum to 0 there, leave it as it is.
        """
        within = np.ones((len(probabilities), 1)) if self.strata[0] < 0 else probabilities
        in_stratum = within[:, self.strata]
        densities = in_stratum * membership[:, self.groups] / self.shares
        unknown = np.isnan(membership[:, 0])
        sums = np.array([self.shares[self.strata == t].sum() for t in self.strata])
        densities[unknown] = in_stratum[unknown] / sums
        return densities

    def spreads(self, rates: np.ndarray) -> np.ndarray:
        """Return largest less smallest rate in each stratum, (n_strata, n_outputs)."""
        return np.array([np.ptp(rates[self.strata == t], axis=0) for t in np.unique(self.strata)])

    def centred(self, multipliers: np.ndarray) -> np.ndarray:
        """Return multipliers less their mean in each stratum."""
        centred = multipliers.copy()
        for t in np.unique(self.strata):
            centred[self.strata == t] -= multipliers[self.strata == t].mean(axis=0)
        return centred


@dataclass(frozen=True)
class ScoredRows:
    """n rows with what a model says of them and what they are.

    `probabilities` (n, n_classes) are P(y | x), `densities` (n, n_cells) P(cell | x) / P(cell) as
    the model has it, and `weights` (n,) sum to 1. `members` (n_cells, n) has the weights of the
    rows that are in each cell, which sum to 1 too.
    """

    probabilities: np.ndarray
    weights: np.ndarray
    densities: np.ndarray
    members: csr_array
    cells: Cells

    @classmethod
    def of(
        cls,
        probabilities: np.ndarray,
        membership: np.ndarray,
        codes: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray,
        constraint: str,
    ) -> ScoredRows:
        """Return rows of groups `codes` (n,), -1 where unknown, and classes `y` (n,).

        Their cells are those of a constraint that have rows.
        """
        known, n_classes = (codes >= 0) & (weights > 0), probabilities.shape[1]
        joint = np.zeros((n_classes, membership.shape[1]))
        np.add.at(joint, (y[known], codes[known]), weights[known])
        joint /= joint.sum()
        if constraint == "demographic_parity":
            sums, strata = joint.sum(axis=0, keepdims=True), np.array([-1])
        else:
            strata = np.arange(n_classes) if constraint == "equalized_odds" else np.array([1])
            sums = joint[strata]
        stratum, group = np.nonzero(sums)
        cells = Cells(group, strata[stratum], sums[stratum, group])
        within = (cells.strata[:, None] < 0) | (cells.strata[:, None] == y)
        inside = (within & (cells.groups[:, None] == codes)) * weights
        members = csr_array(inside / inside.sum(axis=1, keepdims=True))
        densities = cells.densities(probabilities, membership)
        return cls(probabilities, weights / weights.sum(), densities, members, cells)

    @property
    def n_outputs(self) -> int:
        """Classes whose rates are bounded: of two, one says all."""
        return 1 if self.probabilities.shape[1] == 2 else self.probabilities.shape[1]

    def decided(self, multipliers: np.ndarray) -> np.ndarray:
        """Return the class that the rule of multipliers gives each row, (n,)."""
        return margins(self.probabilities, self.densities, multipliers).argmax(axis=1)

    def accuracy(self, decided: np.ndarray) -> float:
        """Return how often decisions are right, as the model expects it."""
        return float(self.weights @ self.probabilities[np.arange(len(decided)), decided])

    def outputs(self, decided: np.ndarray) -> np.ndarray:
        """Return indicators of the bounded classes, (n, n_outputs) float64."""
        first = self.probabilities.shape[1] - self.n_outputs
        return (decided[:, None] == np.arange(first, first + self.n_outputs)).astype(np.float64)

    def true_rates(self, outputs: np.ndarray) -> np.ndarray:
        """Return the rates of the rows that are in each cell, (n_cells, n_outputs)."""
        return self.members @ outputs

    def model_rates(self, outputs: np.ndarray) -> np.ndarray:
        """Return the rates that the model's own cells would have."""
        return self.densities.T @ (self.weights[:, None] * outputs)

    def coarseness(self) -> float:
        """Return by how much one row can move a difference of rates."""
        return float(self.members.max(axis=1).toarray().max())


@dataclass(frozen=True)
class Decision:
    """A rule, or a mixture of several, with what it reaches on the rows that it was learned from.

    `multipliers` is (n_rules, n_cells, n_outputs), and `shares` (n_rules,) says how often each is
    drawn. `accuracy` is as the model expects it, the mean of P(decided class | x); `unfairness` is
    the largest difference of rates between true groups.
    """

    multipliers: np.ndarray
    shares: np.ndarray
    accuracy: float
    unfairness: float


def margins(
    probabilities: np.ndarray, densities: np.ndarray, multipliers: np.ndarray
) -> np.ndarray:
    """Return what each class has after the multipliers, (n, n_classes): the largest is decided."""
    cost = densities @ multipliers
    if cost.shape[1] < probabilities.shape[1]:
        cost = np.column_stack([np.zeros(len(cost)), cost])
    return probabilities - cost


def best_decision(rows: ScoredRows, bound: float, *, randomized: bool = False) -> Decision:
    """Return the most accurate rule within a bound on the differences of rates between groups.

    The rates are those of the true groups and classes of the rows; one that exceeds the bound by
    what a single row moves counts as within. Where no rule is within the bound, the closest one is
    returned. With `randomized` several rules may be mixed.
    """
    pool, n_classes = _Pool(rows), rows.probabilities.shape[1]
    pool.add(np.zeros((rows.densities.shape[1], rows.n_outputs)))
    if pool.unfairness[0] <= bound:
        return pool.single(0)
    limit = bound + rows.coarseness()
    target, start = bound, pool.multipliers[0]
    # The model's cells may hold other shares of the rows than the true ones do.
    shift = np.tile((rows.densities.T @ rows.weights - 1)[:, None] / n_classes, start.shape[1])
    if randomized or rows.cells.strata[0] >= 0:
        # Given y, the multipliers of the dual leave whole groups undecided between two classes, so
        # that a mixture is best there; single rules lie between those that it is made of.
        for multipliers in _minimise_dual(rows, bound, start, shift):
            pool.add(multipliers)
        mixture = _mixture(pool, bound)
        if randomized:
            return mixture
        for one, other in combinations([*mixture.multipliers, start], 2):
            for share in np.linspace(0, 1, _BETWEEN + 2)[1:-1]:
                pool.add((1 - share) * one + share * other)
        return pool.single(pool.best(limit))
    for _ in range(_MAX_TIGHTER):
        start, shift = _solve_shifted(pool, target, start, shift)
        excess = pool.unfairness[-1] - limit
        if excess <= 0 or target == 0:
            break
        target = max(0.0, target - 1.2 * excess)
    return pool.single(pool.best(limit))


class _Pool:
    """Rules with what each reaches: candidates of a choice, columns of a linear programme."""

    def __init__(self, rows: ScoredRows) -> None:
        self.rows = rows
        self.multipliers: list[np.ndarray] = []
        self.accuracy: list[float] = []
        self.rates: list[np.ndarray] = []
        self.unfairness: list[float] = []

    def add(self, multipliers: np.ndarray) -> np.ndarray:
        """Take up a rule, and return its outputs."""
        rows = self.rows
        decided = rows.decided(multipliers)
        outputs = rows.outputs(decided)
        rates = rows.true_rates(outputs)
        self.multipliers.append(multipliers)
        self.accuracy.append(rows.accuracy(decided))
        self.rates.append(rates)
        self.unfairness.append(float(rows.cells.spreads(rates).max()))
        return outputs

    def best(self, limit: float) -> int:
        """Return the most accurate rule within a limit, or else the least unfair one."""
        unfairness = np.array(self.unfairness)
        within = unfairness <= max(limit, unfairness.min())
        return int(np.where(within, self.accuracy, -np.inf).argmax())

    def single(self, index: int) -> Decision:
        """Return one rule."""
        return Decision(
            self.multipliers[index][None],
            np.ones(1),
            self.accuracy[index],
            self.unfairness[index],
        )


def _solve_shifted(
    pool: _Pool, target: float, start: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the dual until the model's rates, moved by the shift, are those of the true groups.

    A model of the group is wrong where it matters: at the rows that a rule moves. So its rates are
    moved by what they differ from the true ones there, and the dual is solved again.
    """
    rows = pool.rows
    for step in range(_MAX_SHIFTS):
        solved = _minimise_dual(rows, target, start, shift)
        for multipliers in solved:
            outputs = pool.add(multipliers)
        start = solved[-1]
        moved = rows.model_rates(outputs) - rows.true_rates(outputs)
        change = np.abs(moved - shift).max()
        shift = moved if step == 0 else (moved + shift) / 2
        if change < max(0.05 * target, rows.coarseness()):
            break
    return start, shift


def _minimise_dual(
    rows: ScoredRows, bound: float, start: np.ndarray, shift: np.ndarray
) -> list[np.ndarray]:
    """Return the multipliers at the last temperatures, the lowest last.

    By L-BFGS in multipliers over the root of their cell's share, in which all directions curve
    alike. `shift` (n_cells, n_outputs) is what the model's rates are too high by.
    """
    cells, shape = rows.cells, start.shape
    scale = np.sqrt(cells.shares)[:, None]
    theta, solved = (start / scale).ravel(), []

    def dual(theta: np.ndarray, heat: float) -> tuple[float, np.ndarray]:
        multipliers = cells.centred(scale * theta.reshape(shape))
        exponents = margins(rows.probabilities, rows.densities, multipliers) / heat
        top = exponents.max(axis=1, keepdims=True)
        odds = np.exp(exponents - top)
        sums = odds.sum(axis=1, keepdims=True)
        softmax = odds[:, -shape[1] :] / sums
        size = np.sqrt(multipliers**2 + (heat * scale) ** 2)
        value = heat * rows.weights @ (top + np.log(sums))[:, 0]
        value += bound / 2 * size.sum() + (shift * multipliers).sum()
        slope = bound / 2 * multipliers / size + shift - rows.model_rates(softmax)
        return value, (scale * cells.centred(slope)).ravel()

    for heat in _TEMPERATURES:
        options = {"maxiter": 100, "ftol": 1e-12, "gtol": 1e-6}
        solution = minimize(dual, theta, (heat,), jac=True, method="L-BFGS-B", options=options)
        theta = solution.x
        solved.append(cells.centred(scale * theta.reshape(shape)))
    return solved[-3:]


def _mixture(pool: _Pool, bound: float) -> Decision:
    """Return the most accurate mixture within the bound.

    A linear programme over the shares of the rules; its dual has the multipliers of the rule that
    would help most, which is added until none helps (P. Gilmore and R. Gomory, 1961).
    """
    cells, rows = pool.rows.cells, pool.rows
    strata = np.unique(cells.strata)
    n_centres = len(strata) * rows.n_outputs
    centre_of = np.kron(cells.strata[:, None] == strata, np.eye(rows.n_outputs))
    for _ in range(_MAX_COLUMNS):
        accuracy, n_rules = np.array(pool.accuracy), len(pool.accuracy)
        rates = np.stack([rates.ravel() for rates in pool.rates], axis=1)
        beyond = -np.ones((len(rates), 1))
        programme = linprog(
            np.concatenate([-accuracy, np.zeros(n_centres), [_PRICE]]),
            A_ub=np.block([[rates, -centre_of, beyond], [-rates, centre_of, beyond]]),
            b_ub=np.full(2 * len(rates), bound / 2),
            A_eq=np.concatenate([np.ones(n_rules), np.zeros(n_centres + 1)])[None],
            b_eq=[1.0],
            bounds=[(0, None)] * n_rules + [(None, None)] * n_centres + [(0, None)],
        )
        upper, lower = programme.ineqlin.marginals.reshape(2, *pool.rates[0].shape)
        pool.add(lower - upper)
        prices = (lower - upper).ravel()
        gain = pool.accuracy[-1] - prices @ pool.rates[-1].ravel()
        if gain < (accuracy - prices @ rates)[programme.x[:n_rules] > 0].max() + 1e-7:
            break
    shares = programme.x[:n_rules]
    used = np.flatnonzero(shares > 1e-9)
    mixed = sum(shares[k] * pool.rates[k] for k in used)
    return Decision(
        np.stack([pool.multipliers[k] for k in used]),
        shares[used] / shares[used].sum(),
        float(shares @ accuracy),
        float(cells.spreads(mixed).max()),
    )


def notes_of_rule(
    rows: ScoredRows,
    decision: Decision,
    bound: float,
    *,
    randomized: bool,
    groups: Sequence[Any],
    classes: np.ndarray,
) -> list[Note]:
    """Return what to warn of in a rule: small groups, a bound that is missed, one class alone."""
    errors = _standard_errors(rows, decision)
    small = np.unique(rows.cells.groups[errors > max(bound, _SMALLEST_BOUND)])
    decided = np.unique([rows.decided(of) for of in decision.multipliers])
    notes: list[Note] = []
    if len(small):
        names = ", ".join(repr(groups[c]) for c in small[:5])
        message = (
            f"Groups too small for bound={bound:g}: {names}{', ...' * (len(small) > 5)}. The "
            f"rate of one has a standard error of {errors.max():.2g} on the rows of fit, so "
            "that on new rows the bound is not to be expected; merge groups, give more rows, "
            "or raise the bound."
        )
        notes.append((SmallGroupWarning, message))
    if decision.unfairness > bound + rows.coarseness() + 0.1 * errors.max():
        single, fix = ("", "R") if randomized else (" single", "Set randomized=True, or r")
        message = (
            f"No{single} rule was found within bound={bound:g}; the closest one, at "
            f"{decision.unfairness:.3g}, is used. {fix}aise the bound."
        )
        notes.append((InfeasibleBoundWarning, message))
    if len(decided) == 1:
        (label,) = classes[decided].tolist()
        message = (
            f"Every row is decided to be of class {label!r}; raise bound={bound:g}, or give "
            "an estimator whose probabilities tell more of y."
        )
        notes.append((CollapseWarning, message))
    return notes


def _standard_errors(rows: ScoredRows, decision: Decision) -> np.ndarray:
    """Return the standard error of the least certain rate of each cell, (n_cells,)."""
    outputs = sum(
        share * rows.outputs(rows.decided(multipliers))
        for share, multipliers in zip(decision.shares, decision.multipliers, strict=True)
    )
    rates = np.clip(rows.true_rates(outputs), 0, 1)  # sums of weights may be 1e-16 beyond
    size = 1 / (rows.members**2).sum(axis=1)
    return np.sqrt((rates * (1 - rates)).max(axis=1) / size)


def rules_to_plain(
    cells: Cells, decisions: Mapping[float, Decision]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return cells, and the rule of each bound, as plain data."""
    return dict(vars(cells)), [{"bound": bound, **vars(of)} for bound, of in decisions.items()]


def rules_from_plain(
    cells: Mapping[str, Any],
    decisions: Sequence[Mapping[str, Any]],
    *,
    n_groups: int,
    n_classes: int,
) -> tuple[Cells, dict[float, Decision]]:
    """Return what was saved by `rules_to_plain`, if it goes with so many groups and classes."""
    of_cells = Cells(**cells)
    rules = {}
    for saved in decisions:
        fields = dict(saved)
        bound = fields.pop("bound")
        rules[bound] = Decision(**fields)
    shape = (len(of_cells.groups), 1 if n_classes == 2 else n_classes)
    fits = all(of.multipliers.shape == (len(of.shares), *shape) for of in rules.values())
    in_range = (of_cells.groups >= 0) & (of_cells.groups < n_groups)
    in_range &= of_cells.strata < n_classes
    if not fits or not in_range.all() or not (of_cells.shares > 0).all():
        raise ValueError(
            "_decisions or _cells of this FairThresholdClassifier don't go with its groups and "
            "classes; fit it anew and save it."
        )
    return of_cells, rules
