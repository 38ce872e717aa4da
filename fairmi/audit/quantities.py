"""Predicted numbers by group: means, errors, and how far their distributions are apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import kstwobign, t

from fairmi._data.groups import Groups
from fairmi.audit.comparisons import MIN_ROWS, GroupFigures, change_figure
from fairmi.audit.counts import ENTRIES_AT_ONCE, effective_sizes, resampled
from fairmi.audit.intervals import joint_tail, max_disparity, square_and_add
from fairmi.audit.measures import (
    LOG_LOSSES,
    MOMENTS,
    NOT_MEASURED,
    Curve,
    Figure,
    Moment,
    ReliabilityBin,
    agreed,
)
from fairmi.audit.predictions import Forecasts
from fairmi.core.membership import Membership
from fairmi.metrics.disparities import ks_pairs, wasserstein_pairs

MAX_VALUES = 100_000  # distinct predictions up to which distances are exact
MAX_LEVELS = 512  # of the table that draws are made from
CURVE_POINTS = 40
DISTANCES = ("ks", "wasserstein")


class GroupMoments(GroupFigures):
    """The figures of predicted numbers in each group, and how sure they are.

    `values` (n_groups, n_moments) is NaN for a group without rows; `worth` (n_groups,) says how
    many independent rows those of a group are worth. `used` are the groups of rows enough to be
    compared; all that have rows, where fewer than two have. `moments` are by default all that
    these predictions can have.
    """

    answers: Forecasts

    def __init__(
        self,
        forecasts: Forecasts,
        groups: Groups | None = None,
        moments: Sequence[Moment] | None = None,
    ) -> None:
        super().__init__(groups, len(forecasts.true))
        moments = moments or [
            moment
            for moment in MOMENTS
            if (forecasts.labelled or not moment.needs_label)
            and moment.loss in ("", forecasts.loss)
        ]
        self.answers, self.moments = forecasts, moments
        self.measures, self.subjects = [m.name for m in moments], [""] * len(moments)
        codes, n_groups = self.codes, len(self.names)
        in_group = np.bincount(codes, minlength=n_groups)
        self.worth = effective_sizes(codes, n_groups, forecasts.clusters)
        enough = self.worth >= MIN_ROWS
        self.used = np.flatnonzero(enough if enough.sum() > 1 else in_group)
        units, cell, owner = in_group, None, None
        if forecasts.clusters is not None:
            pairs, cell = np.unique(forecasts.clusters * n_groups + codes, return_inverse=True)
            owner = pairs % n_groups
            units = np.bincount(owner, minlength=n_groups)
        shape = (n_groups, len(moments))
        self.rows = np.broadcast_to(in_group[:, None], shape)
        self.means, self.errors, self.alike = np.empty(shape), np.empty(shape), np.empty(shape)
        self.overall = np.empty(len(moments))
        # Of what is skewed the error is itself uncertain, the more the longer the tail is.
        self.freedom = np.repeat(np.maximum(self.worth - 1, 1)[:, None], len(moments), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            n, correction = in_group / 1.0, np.sqrt(units / (units - 1.0))
            for j, moment in enumerate(moments):
                of_row = moment.of_row(forecasts.true, forecasts.predicted)
                self.means[:, j] = np.bincount(codes, of_row, n_groups) / n
                rest = of_row - self.means[codes, j]
                total = squares = np.bincount(codes, rest**2, n_groups)
                if cell is not None and owner is not None:
                    sums = np.bincount(cell.reshape(-1), rest)
                    total = np.bincount(owner, sums**2, n_groups)
                self.errors[:, j] = np.sqrt(total) / n * correction
                if moment.is_positive:
                    fourth = np.bincount(codes, rest**4, n_groups) / n
                    tail = np.where(squares > 0, fourth / (squares / n) ** 2, 1.0) - 1
                    uncertain = self.worth / np.maximum(tail, 1e-9)
                    self.freedom[:, j] = np.clip(uncertain, 3, np.maximum(self.freedom[:, j], 3))
                # What it would be were all groups distributed as all rows together.
                clustering = np.sqrt(np.where(squares > 0, total / squares, 1.0))
                self.overall[j] = of_row.mean()
                self.alike[:, j] = of_row.std() / np.sqrt(n) * clustering
        self.values = np.column_stack(
            [_root(self.means[:, j], moment) for j, moment in enumerate(moments)]
        )

    def limits(self, tail: float) -> tuple[np.ndarray, np.ndarray]:
        """Return both limits of each figure, (n_groups, n_moments), `tail` beyond each.

        Of means of what is never negative they are those of the logarithm, as these are skewed,
        with as many degrees of freedom as the fourth moment leaves (half of Satterthwaite's, since
        few rows show a long tail too short).
        """
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            margin = t.isf(tail, self.freedom) * self.errors
            ratio = np.exp(margin / self.means)
            positive = np.array([moment.is_positive for moment in self.moments])
            low = np.where(positive, self.means / ratio, self.means - margin)
            high = np.where(positive, self.means * ratio, self.means + margin)
        none = positive & (self.means == 0)  # no error in any row
        low, high = np.where(none, 0.0, low), np.where(none, 0.0, high)
        pairs = [
            (_root(low[:, j], moment), _root(high[:, j], moment))
            for j, moment in enumerate(self.moments)
        ]
        return np.column_stack([p[0] for p in pairs]), np.column_stack([p[1] for p in pairs])

    def counted(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Count all rows."""
        return [("", self.worth, self.rows[:, 0])]

    def figures(self, section: str, confidence: float, part: str = "") -> list[Figure]:
        """Return the figures of each group; of all rows, the share of loss that is explained too.

        Its interval is that of the ratio of two means, linearised.
        """
        figures = super().figures(section, confidence, part)
        y, loss = self.answers.true, self.answers.loss
        if self.groups is not None or not self.answers.labelled:
            return figures
        of_row = self.moments[
            self.measures.index(f"{loss}_deviance" if loss in LOG_LOSSES else "rmse")
        ].of_row
        of_model = of_row(y, self.answers.predicted)
        of_mean = of_row(y, np.full(len(y), y.mean()))
        if not of_mean.any():
            return figures
        value = float(1 - of_model.mean() / of_mean.mean())
        share = Moment("explained", "", lambda y, predicted: of_model - (1 - value) * of_mean)
        error = GroupMoments(self.answers, None, [share]).errors[0, 0] / of_mean.mean()
        margin = float(t.isf((1 - confidence) / 2, max(self.worth[0] - 1, 1)) * error)
        ends = (value, value - margin, min(value + margin, 1.0))
        return [*figures, Figure(section, "explained", *ends, n=len(y))]

    @cached_property
    def apart(self) -> Distributions:
        """The distributions of predictions in the groups that are compared."""
        return Distributions(self.answers.predicted, self.places, self.worth[self.used])

    @property
    def places(self) -> np.ndarray:
        """The place of each row's group among those that are compared, (n_rows,); -1 for none."""
        place = np.full(len(self.names), -1)
        place[self.used] = np.arange(len(self.used))
        return place[self.codes]

    def differences(self) -> np.ndarray:
        """Return the largest distances, then the largest difference of each figure."""
        return np.array(
            [*self.apart.distances.max(axis=1), *np.ptp(self.values[self.used], axis=0)]
        )

    def disparities(
        self, section: str, *, confidence: float, n_boot: int, rng: np.random.Generator
    ) -> list[Figure]:
        """Return how far distributions, means and errors are apart, of the furthest pair."""
        used, n = self.used, int(self.rows[self.used, 0].sum())
        where: dict[str, Any] = {"attribute": self.attribute, "n": n}
        if len(used) < 2:
            return [
                Figure(section, f"{name}_difference", np.nan, verdict=NOT_MEASURED, **where)
                for name in (*DISTANCES, *self.measures)
            ]

        def disparity(
            measure: str, rate: str, ends: tuple[Any, Any, Any], chance: float, a: int, b: int
        ) -> Figure:
            value, low, high = map(float, ends)
            verdict = agreed(low > 0, value > chance)
            if measure.endswith("_ratio"):
                verdict = agreed(high < 1, value < chance)
            if np.isnan(low):  # a group of one row, or one cluster, has no error of its own
                verdict = NOT_MEASURED
            words = {"most": self.names[a], "least": self.names[b], "verdict": verdict, **where}
            return Figure(section, measure, value, low, high, float(chance), rate=rate, **words)

        figures = []
        draws = (drawn.T for drawn in self.apart.margins(n_boot, rng))
        for name, value, errors, by_chance in zip(
            DISTANCES, self.apart.distances, *draws, strict=True
        ):
            margin = np.quantile(errors, confidence) * self.apart.scales
            low, high = max((value - margin).max(), 0.0), (value + margin).max()
            ends = (value.max(), low, min(high, 1.0) if name == "ks" else high)
            pair = used[list(self.apart.pairs[int(value.argmax())])]
            a, b = pair if self.means[pair[0], 0] >= self.means[pair[1], 0] else pair[::-1]
            chance = np.quantile(by_chance, confidence)
            measure = f"{name}_difference"
            figures.append(disparity(measure, "mean_prediction", ends, chance, a, b))
        for j, name in enumerate(self.measures):
            has_ratio = name == "mean_prediction" and self.answers.loss in LOG_LOSSES
            for ratio in (False, True)[: 1 + has_ratio]:
                ends, chance = self._disparity(j, confidence, n_boot, rng, ratio=ratio)
                measure = f"{name}_{'ratio' if ratio else 'difference'}"
                a, b = (used[of(self.values[used, j])] for of in (np.argmax, np.argmin))
                figures.append(disparity(measure, name, ends, chance, a, b))
        return figures

    def _disparity(
        self, j: int, confidence: float, n_boot: int, rng: np.random.Generator, *, ratio: bool
    ) -> tuple[tuple[float, float, float], float]:
        """Return the largest difference of a figure with its interval, and what chance gives.

        Limits of all pairs at once, by squaring and adding those of the groups; by chance is what
        normal draws give were all groups alike. A ratio is the difference of logarithms.
        """
        used = self.used
        tail = joint_tail(len(used), 1 - confidence)
        value, low, high = (limit[used, j] for limit in (self.values, *self.limits(tail)))
        errors = self.alike[used, j]
        drawn = rng.normal(self.overall[j], errors, size=(n_boot, len(errors)))
        if self.moments[j].is_positive or ratio:
            drawn = np.maximum(drawn, 1e-12 * abs(self.overall[j]))
        drawn = _root(drawn, self.moments[j])
        if ratio:
            low = np.maximum(low, 1e-12 * value)
            value, low, high, drawn = np.log(value), np.log(low), np.log(high), np.log(drawn)
        chance = float(np.quantile(max_disparity(drawn[..., None]), confidence))
        lower, upper = square_and_add(value, low, high)
        ends = (np.ptp(value), max(lower.max(), 0.0), max(upper.max(), 0.0))
        if ratio:
            return (np.exp(-ends[0]), np.exp(-ends[2]), np.exp(-ends[1])), float(np.exp(-chance))
        return ends, chance

    def curves(self, confidence: float) -> list[Curve]:
        """Return the distribution function of each group, within Kolmogorov's band."""
        curves = []
        for g, name in enumerate(self.names):
            values = np.sort(self.answers.predicted[self.codes == g])
            at = np.unique(np.quantile(values, np.linspace(0, 1, CURVE_POINTS), method="lower"))
            share = np.searchsorted(values, at, side="right") / len(values)
            half = kstwobign.isf(1 - confidence) / np.sqrt(max(self.worth[g], 1))
            ends = (at, share, np.maximum(share - half, 0), np.minimum(share + half, 1))
            points = tuple(
                ReliabilityBin(x, p, low, high, len(values))
                for x, p, low, high in np.column_stack(ends).tolist()
            )
            curves.append(Curve(self.attribute, name, points, "disparity"))
        return curves

    def changes(
        self, before: GroupMoments, *, confidence: float, n_boot: int, rng: np.random.Generator
    ) -> list[Figure]:
        """Return the same changes from a baseline as of rates, on the same draws of rows."""
        if self.groups is not None and len(self.used) < 2:
            return []
        now, then = _drawn((self, before), n_boot, rng)
        n_rows = len(self.codes)
        if self.groups is None:
            values = self.values[0] - before.values[0]
            draws = (now[1] - then[1])[:, 0]
            return [
                change_figure(name, values[j], draws[:, j], confidence, n_rows, "")
                for j, name in enumerate(self.measures)
            ]
        values = self.differences() - before.differences()
        draws = np.subtract(
            *(np.hstack([apart[:, :2], np.ptp(drawn, axis=1)]) for apart, drawn in (now, then))
        )
        # Where neither model has a difference, areas are those of the errors alone, and so is
        # their change: by so much it may be off, which draws around an area can't show.
        off = float(np.quantile(np.abs(now[0][:, 2] - then[0][:, 2]), confidence))
        return [
            change_figure(
                f"{name}_difference",
                values[j],
                draws[:, j],
                confidence,
                n_rows,
                self.attribute,
                margin=off * (name == "wasserstein"),
            )
            for j, name in enumerate((*DISTANCES, *self.measures))
        ]


def _root(means: np.ndarray, moment: Moment) -> np.ndarray:
    return np.sqrt(means) if moment.is_root else means


class Distributions:
    """The distribution of predictions in each group: distances, their intervals, and chance.

    `codes` (n_rows,) are negative for no group; `worth` (n_groups,) says how many independent rows
    those of each group are worth. `distances` (2, n_pairs) are KS and Wasserstein-1 of `pairs`.
    """

    def __init__(self, predicted: np.ndarray, codes: np.ndarray, worth: np.ndarray) -> None:
        inside = codes >= 0
        self.levels, level = _levels(predicted[inside], MAX_VALUES)
        shape = (len(worth), len(self.levels))
        at = np.ravel_multi_index((codes[inside], level), shape)
        self.counts = np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape)
        self.sizes = np.maximum(np.round(worth).astype(int), 1)
        self.pairs = list(combinations(range(len(worth)), 2))
        self.scales = np.array(
            [np.sqrt(1 / self.sizes[a] + 1 / self.sizes[b]) for a, b in self.pairs]
        )
        members = Membership.of_codes(codes[inside], len(worth))
        first = np.triu_indices(len(worth), 1)
        self.distances = np.array(
            [of(self.levels[level], members)[first] for of in (ks_pairs, wasserstein_pairs)]
        )

    def band(self, confidence: float, n_pairs: int) -> np.ndarray:
        """Return how far a distance between distribution functions may be off, (n_pairs,).

        Kolmogorov's quantile, by Bonferroni's inequality for `n_pairs` comparisons at once. Where
        values are few, or groups unlike, less is enough.
        """
        return np.asarray(kstwobign.isf((1 - confidence) / n_pairs) * self.scales)

    def distance_above(self, band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the most area between distribution functions within a band."""
        cdf = np.cumsum(self.counts, axis=1) / self.counts.sum(axis=1, keepdims=True)
        steps, low, high = np.diff(self.levels), [], []
        for (a, b), width in zip(self.pairs, band, strict=True):
            apart = np.abs(cdf[a] - cdf[b])[:-1]
            low.append(np.maximum(apart - width, 0) @ steps)
            high.append(np.minimum(apart + width, 1) @ steps)
        return np.array(low), np.array(high)

    def margins(self, n_boot: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return draws of how far distances are off, and of distances by chance, (n_boot, 2) each.

        The distance of two functions that are estimated is off by at most that of their errors,
        whose distribution is drawn from each group's own rows. These draws are in units of
        sqrt(1 / n_a + 1 / n_b), and of each the largest of all pairs counts. By chance: where all
        groups are distributed as all rows together.
        """
        counts, levels = _merged(self.counts, self.levels)
        shares = counts / counts.sum(axis=1, keepdims=True)
        alike = np.broadcast_to(counts.sum(axis=0) / counts.sum(), shares.shape)
        block = max(1, ENTRIES_AT_ONCE // shares.size)
        off, chance = [], []
        for start in range(0, n_boot, block):
            size = min(block, n_boot - start)
            errors = self._drawn(shares, size, rng) - np.cumsum(shares, axis=1)
            off.append(_largest(errors, levels, self.scales))
            chance.append(_largest(self._drawn(alike, size, rng), levels))
        return np.concatenate(off), np.concatenate(chance)

    def _drawn(self, shares: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        drawn = [
            np.cumsum(rng.multinomial(n, share, size=size), axis=1) / n
            for n, share in zip(self.sizes, shares, strict=True)
        ]
        return np.stack(drawn, axis=1)


def _levels(values: np.ndarray, at_most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values in order, or means of as many alike ones, and each row's."""
    levels, level = np.unique(values, return_inverse=True)
    level = level.reshape(-1)
    if len(levels) > at_most:
        place = np.arange(len(levels)) * at_most // len(levels)
        level = place[level]
        levels = np.bincount(level, values, at_most) / np.bincount(level, minlength=at_most)
    return levels, level


def _merged(counts: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a table of at most MAX_LEVELS columns, about as many rows in each."""
    if len(levels) <= MAX_LEVELS:
        return counts, levels
    total = counts.sum(axis=0)
    place = (np.cumsum(total) - total) * MAX_LEVELS // total.sum()
    start = np.flatnonzero(np.diff(place, prepend=-1))
    merged = np.add.reduceat(counts, start, axis=1)
    return merged, np.add.reduceat(levels * total, start) / np.add.reduceat(total, start)


def _largest(cdf: np.ndarray, levels: np.ndarray, scales: np.ndarray | None = None) -> np.ndarray:
    """Return the largest KS and Wasserstein-1 over pairs of groups, (n_draws, 2).

    Of functions of shape (n_draws, groups, levels), in units of `scales` (n_pairs,).
    """
    largest, steps = np.zeros((len(cdf), 2)), np.diff(levels)
    for k, (a, b) in enumerate(combinations(range(cdf.shape[1]), 2)):
        apart = np.abs(cdf[:, a] - cdf[:, b])
        scale = 1.0 if scales is None else scales[k]
        pair = np.column_stack([apart.max(axis=-1), apart[:, :-1] @ steps])
        largest = np.maximum(largest, pair / scale)
    return largest


def _drawn(
    rated: Sequence[GroupMoments], n_boot: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each model its figures on the same resampled rows, or clusters.

    The largest distances, and the area of the errors, (n_boot, 3); and the moments of each group
    that is compared (n_boot, n_groups, n_moments).
    """
    codes, n_groups, moments = rated[0].places, len(rated[0].used), rated[0].moments
    rows = np.flatnonzero(codes >= 0)
    models = [one.answers for one in rated]
    clusters = models[0].clusters
    units = (np.arange(len(codes)) if clusters is None else clusters)[rows]
    n_units = len(codes) if clusters is None else int(clusters.max()) + 1

    def by_unit(bin_of: np.ndarray, n_bins: int, values: np.ndarray) -> csr_array:
        return csr_array((values, (bin_of, units)), (n_bins, n_units))

    tables = []
    for model in models:
        levels, level = _levels(model.predicted[rows], MAX_LEVELS)
        shape = (n_groups, len(levels))
        at = np.ravel_multi_index((codes[rows], level), shape)
        counts = by_unit(at, n_groups * len(levels), np.ones(len(rows)))
        sums = [
            by_unit(codes[rows], n_groups, m.of_row(model.true, model.predicted)[rows])
            for m in moments
        ]
        plain = np.cumsum(counts.sum(axis=1).reshape(shape), axis=1)
        plain = plain / np.maximum(plain[:, -1:], 1e-300)
        tables.append((levels, shape, counts, sums, plain))
    drawn: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in models]
    for times in resampled(n_units, n_boot, rng):
        for (levels, shape, of_levels, sums, plain), into in zip(tables, drawn, strict=True):
            counts = (of_levels @ times).T.reshape(times.shape[1], *shape)
            n = np.maximum(counts.sum(axis=-1), 1e-300)
            cdf = np.cumsum(counts, axis=-1) / n[..., None]
            values = [
                _root((of_units @ times).T / n, moment)
                for moment, of_units in zip(moments, sums, strict=True)
            ]
            errors = cdf - plain
            distances = np.hstack([_largest(cdf, levels), _largest(errors, levels)[:, 1:]])
            into.append((distances, np.stack(values, axis=-1)))
    return [
        (np.concatenate([d for d, _ in of]), np.concatenate([v for _, v in of])) for of in drawn
    ]
