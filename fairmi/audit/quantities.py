"""Predicted numbers by group: means, errors, and how far their distributions are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import kstwobign, t

from fairmi._data.groups import Groups
from fairmi.audit.comparisons import MIN_ROWS, attribute_name, change_figure, group_names
from fairmi.audit.counts import ENTRIES_AT_ONCE, effective_sizes, resampled
from fairmi.audit.intervals import joint_tail, max_disparity, square_and_add
from fairmi.audit.measures import (
    FOUND,
    LOG_LOSSES,
    MOMENTS,
    NOT_MEASURED,
    NOTHING,
    Curve,
    Figure,
    Moment,
    ReliabilityBin,
    agreed,
    direction,
)
from fairmi.audit.parts import Condition, compared_parts, n_pairs_of
from fairmi.audit.predictions import Forecasts
from fairmi.core.membership import Membership
from fairmi.metrics.disparities import ks_pairs, wasserstein_pairs

MAX_VALUES = 100_000  # distinct predictions up to which distances are exact
MAX_LEVELS = 512  # of the table that draws are made from
CURVE_POINTS = 40
DISTANCES = ("ks", "wasserstein")


class GroupMoments:
    """The figures of predicted numbers in each group, and how sure they are.

    `values` (n_groups, n_moments) is NaN for a group without rows; `worth` (n_groups,) says how
    many independent rows those of a group are worth. `compared` are the groups of rows enough to
    be compared; all that have rows, where fewer than two have.
    """

    def __init__(
        self,
        forecasts: Forecasts,
        codes: np.ndarray,
        names: Sequence[str],
        moments: Sequence[Moment],
    ) -> None:
        self.names, self.moments, n_groups = list(names), moments, len(names)
        self.rows = np.bincount(codes, minlength=n_groups)
        self.worth = effective_sizes(codes, n_groups, forecasts.clusters)
        enough = self.worth >= MIN_ROWS
        self.compared = enough if enough.sum() > 1 else self.rows > 0
        units, cell, owner = self.rows, None, None
        if forecasts.clusters is not None:
            pairs, cell = np.unique(forecasts.clusters * n_groups + codes, return_inverse=True)
            owner = pairs % n_groups
            units = np.bincount(owner, minlength=n_groups)
        shape = (n_groups, len(moments))
        self.means, self.errors, self.alike = np.empty(shape), np.empty(shape), np.empty(shape)
        self.overall = np.empty(len(moments))
        # Of what is skewed the error is itself uncertain, the more the longer the tail is.
        self.freedom = np.repeat(np.maximum(self.worth - 1, 1)[:, None], len(moments), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            n, correction = self.rows / 1.0, np.sqrt(units / (units - 1.0))
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

    def figures(
        self, section: str, confidence: float, attribute: str = "", part: str = ""
    ) -> list[Figure]:
        """Return the figures of each group, each with an interval of its own."""
        low, high = self.limits((1 - confidence) / 2)
        return [
            Figure(
                section,
                moment.name,
                float(self.values[g, j]),
                float(low[g, j]),
                float(high[g, j]),
                n=int(self.rows[g]),
                attribute=attribute,
                group=group,
                part=part,
            )
            for g, group in enumerate(self.names)
            for j, moment in enumerate(self.moments)
        ]

    def disparity(
        self, j: int, confidence: float, n_boot: int, rng: np.random.Generator, *, ratio: bool
    ) -> tuple[tuple[float, float, float], float]:
        """Return the largest difference of a figure with its interval, and what chance gives.

        Limits of all pairs at once, by squaring and adding those of the groups; by chance is what
        normal draws give were all groups alike. A ratio is the difference of logarithms.
        """
        used = self.compared
        tail = joint_tail(int(used.sum()), 1 - confidence)
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


def _root(means: np.ndarray, moment: Moment) -> np.ndarray:
    return np.sqrt(means) if moment.is_root else means


def moments_of(forecasts: Forecasts) -> list[Moment]:
    """Return the figures that these predictions can have."""
    return [
        moment
        for moment in MOMENTS
        if (forecasts.labelled or not moment.needs_label) and moment.loss in ("", forecasts.loss)
    ]


class Distributions:
    """The distribution of predictions in each group: distances, their intervals, and chance.

    `codes` (n_rows,) are negative for no group; `worth` (n_groups,) says how many independent rows
    those of each group are worth.
    """

    def __init__(self, predicted: np.ndarray, codes: np.ndarray, worth: np.ndarray) -> None:
        inside = codes >= 0
        self.levels, level = _levels(predicted[inside], MAX_VALUES)
        self._predicted = self.levels[level]
        self._members = Membership.of_codes(codes[inside], len(worth))
        shape = (len(worth), len(self.levels))
        at = np.ravel_multi_index((codes[inside], level), shape)
        self.counts = np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape)
        self.sizes = np.maximum(np.round(worth).astype(int), 1)

    def distances(self) -> np.ndarray:
        """Return KS and Wasserstein-1 of each pair of groups, (2, n_pairs)."""
        first = np.triu_indices(len(self.counts), 1)
        pairs = (ks_pairs, wasserstein_pairs)
        return np.array([of(self._predicted, self._members)[first] for of in pairs])

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of groups, in the order of `distances`."""
        return list(combinations(range(len(self.counts)), 2))

    def band(self, confidence: float, n_pairs: int) -> np.ndarray:
        """Return how far a distance between distribution functions may be off, (n_pairs,).

        Kolmogorov's quantile, by Bonferroni's inequality for `n_pairs` comparisons at once. Where
        values are few, or groups unlike, less is enough.
        """
        return np.asarray(kstwobign.isf((1 - confidence) / n_pairs) * self._scales())

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
            off.append(_largest(errors, levels, self._scales()))
            chance.append(_largest(self._drawn(alike, size, rng), levels))
        return np.concatenate(off), np.concatenate(chance)

    def _scales(self) -> np.ndarray:
        return np.array([np.sqrt(1 / self.sizes[a] + 1 / self.sizes[b]) for a, b in self.pairs])

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


def number_disparities(
    forecasts: Forecasts,
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
    section: str = "disparity",
) -> list[Figure]:
    """Return how far the groups' distributions, means and errors are apart, the furthest pair."""
    names = group_names(groups)
    moments = GroupMoments(forecasts, groups.codes, names, moments_of(forecasts))
    used = np.flatnonzero(moments.compared)
    where: dict[str, Any] = {
        "attribute": attribute_name(groups),
        "n": int(moments.rows[used].sum()),
    }
    if len(used) < 2:
        return [
            Figure(section, f"{name}_difference", np.nan, verdict=NOT_MEASURED, **where)
            for name in (*DISTANCES, *(m.name for m in moments.moments))
        ]
    position = np.full(len(groups), -1)
    position[used] = np.arange(len(used))
    apart = Distributions(forecasts.predicted, position[groups.codes], moments.worth[used])
    values = apart.distances()
    off, chance = (draws.T for draws in apart.margins(n_boot, rng))
    figures = []
    for name, value, errors, by_chance in zip(DISTANCES, values, off, chance, strict=True):
        margin = np.quantile(errors, confidence) * apart._scales()
        low, high = max((value - margin).max(), 0.0), (value + margin).max()
        a, b = (used[g] for g in apart.pairs[int(value.argmax())])
        most, least = (a, b) if moments.means[a, 0] >= moments.means[b, 0] else (b, a)
        figures.append(
            _disparity(
                section,
                f"{name}_difference",
                (value.max(), low, min(high, 1.0) if name == "ks" else high),
                np.quantile(by_chance, confidence),
                rate="mean_prediction",
                most=names[most],
                least=names[least],
                **where,
            )
        )
    for j, moment in enumerate(moments.moments):
        has_ratio = moment.name == "mean_prediction" and forecasts.loss in LOG_LOSSES
        for ratio in (False, True)[: 1 + has_ratio]:
            figure = _disparity(
                section,
                f"{moment.name}_{'ratio' if ratio else 'difference'}",
                *moments.disparity(j, confidence, n_boot, rng, ratio=ratio),
                rate=moment.name,
                most=names[used[np.argmax(moments.values[used, j])]],
                least=names[used[np.argmin(moments.values[used, j])]],
                **where,
            )
            figures.append(figure)
    return figures


def _disparity(
    section: str, measure: str, ends: tuple[Any, Any, Any], chance: float, **words: Any
) -> Figure:
    value, low, high = map(float, ends)
    verdict = agreed(low > 0, value > chance)
    if measure.endswith("_ratio"):
        verdict = agreed(high < 1, value < chance)
    return Figure(section, measure, value, low, high, float(chance), verdict=verdict, **words)


def overall_numbers(forecasts: Forecasts, confidence: float, section: str) -> list[Figure]:
    """Return the figures of all rows, and the share of the loss that the model explains."""
    codes = np.zeros(len(forecasts.predicted), dtype=np.int64)
    moments = GroupMoments(forecasts, codes, [""], moments_of(forecasts))
    figures = moments.figures(section, confidence)
    if not forecasts.labelled:
        return figures
    name = f"{forecasts.loss}_deviance" if forecasts.loss in LOG_LOSSES else "rmse"
    loss = next(moment for moment in moments.moments if moment.name == name)
    y = forecasts.true
    of_model = loss.of_row(y, forecasts.predicted)
    of_mean = loss.of_row(y, np.full(len(y), y.mean()))
    if not of_mean.any():
        return figures
    value = 1 - of_model.mean() / of_mean.mean()
    # The ratio of two means, linearised.
    share = Moment("explained", "", lambda y, predicted: of_model - (1 - value) * of_mean)
    error = GroupMoments(forecasts, codes, [""], [share]).errors[0, 0] / of_mean.mean()
    margin = float(t.isf((1 - confidence) / 2, max(moments.worth[0] - 1, 1)) * error)
    ends = (float(value), float(value) - margin, min(float(value) + margin, 1.0))
    return [*figures, Figure(section, "explained", *ends, n=len(y))]


def number_parts(
    forecasts: Forecasts, groups: Groups, conditions: Sequence[Condition], confidence: float
) -> list[Figure]:
    """Return how far groups are apart within each part of the rows, the worst first.

    Means, KS and Wasserstein-1; the intervals of each hold for all parts and pairs of groups at
    once (Bonferroni). Worst is where the means' interval has the largest lower end.
    """
    names = np.array(group_names(groups), dtype=object)
    parts = compared_parts(groups, conditions, forecasts)
    of_parts = [
        _part_figures(
            forecasts.rows(part.rows),
            part.codes,
            names[part.groups].tolist(),
            confidence,
            n_pairs_of(parts),
            {"attribute": attribute_name(groups), "part": part.name},
        )
        for part in parts
    ]
    of_parts.sort(key=lambda figures: (-figures[0].low, -figures[0].value))
    n_measures = 1 + len(DISTANCES)
    first = [figure for figures in of_parts for figure in figures[:n_measures]]
    return first + [figure for figures in of_parts for figure in figures[n_measures:]]


def _part_figures(
    forecasts: Forecasts,
    codes: np.ndarray,
    names: Sequence[str],
    confidence: float,
    n_pairs: int,
    where: dict[str, Any],
) -> list[Figure]:
    """Return the distances of the groups in a part, then each group's mean prediction and y."""
    mean_y = Moment("mean_y", "", lambda y, predicted: y, is_positive=False)
    of = [MOMENTS[0]] + [mean_y] * forecasts.labelled
    moments = GroupMoments(forecasts, codes, names, of)
    low, high = (limit[:, 0] for limit in moments.limits((1 - confidence) / n_pairs / 2))
    value = moments.values[:, 0]
    lower, upper = square_and_add(value, low, high)
    apart = Distributions(forecasts.predicted, codes, moments.worth)
    ks, area = apart.distances()
    band = apart.band(confidence, n_pairs)
    area_low, area_high = apart.distance_above(band)
    ends = {
        "mean_prediction": (np.ptp(value), lower.max(), upper.max()),
        "ks": (ks.max(), (ks - band).max(), min((ks + band).max(), 1.0)),
        "wasserstein": (area.max(), area_low.max(), area_high.max()),
    }
    figures = [
        Figure(
            "conditional",
            f"{name}_difference",
            float(distance),
            max(float(least), 0.0),
            float(most),
            n=len(codes),
            verdict=FOUND if least > 0 else NOTHING,
            rate="mean_prediction",
            most=names[int(value.argmax())],
            least=names[int(value.argmin())],
            **where,
        )
        for name, (distance, least, most) in ends.items()
    ]
    return [*figures, *moments.figures("conditional group", confidence, **where)]


def distribution_curves(forecasts: Forecasts, groups: Groups, confidence: float) -> list[Curve]:
    """Return the distribution function of each group's predictions, within Kolmogorov's band."""
    curves = []
    worth = effective_sizes(groups.codes, len(groups), forecasts.clusters)
    for g, name in enumerate(group_names(groups)):
        values = np.sort(forecasts.predicted[groups.codes == g])
        at = np.unique(np.quantile(values, np.linspace(0, 1, CURVE_POINTS), method="lower"))
        share = np.searchsorted(values, at, side="right") / len(values)
        half = kstwobign.isf(1 - confidence) / np.sqrt(max(worth[g], 1))
        points = tuple(
            ReliabilityBin(float(x), float(p), max(float(p - half), 0), min(float(p + half), 1),
                           len(values))
            for x, p in zip(at, share, strict=True)
        )  # fmt: skip
        curves.append(Curve(attribute_name(groups), name, points, "disparity"))
    return curves


def number_changes(
    forecasts: Forecasts,
    baseline: Forecasts,
    groups: Groups,
    ours: Sequence[Figure],
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the baseline's figures and differences between groups, and the changes from them.

    `ours` are the model's differences. Both models are rated on the same draws of rows, or of
    clusters, so that what they have in common drops out.
    """
    options: dict[str, Any] = {"confidence": confidence, "n_boot": n_boot, "rng": rng}
    name, moments = attribute_name(groups), moments_of(forecasts)
    rated = GroupMoments(baseline, groups.codes, group_names(groups), moments)
    figures = rated.figures("baseline group", confidence, attribute=name)
    theirs = number_disparities(baseline, groups, section="baseline", **options)
    used = np.flatnonzero(rated.compared)
    if len(used) > 1:
        position = np.full(len(groups), -1)
        position[used] = np.arange(len(used))
        models = (forecasts, baseline)
        drawn = _drawn(models, position[groups.codes], len(used), moments, n_boot, rng)
        draws = [np.hstack([apart[:, :2], np.ptp(values, axis=1)]) for apart, values in drawn]
        now, before = ({f.measure: f.value for f in of} for of in (ours, theirs))
        measures = [f"{m}_difference" for m in (*DISTANCES, *(m.name for m in moments))]
        figures += [
            change_figure(m, now[m] - before[m], draw, confidence, len(groups.codes), name)
            for m, draw in zip(measures, (draws[0] - draws[1]).T, strict=True)
        ]
        # Where neither model has a difference, areas are those of the errors alone, and so is
        # their change: by so much it may be off, which draws around an area can't show.
        at = next(k for k, f in enumerate(figures) if f.measure == "wasserstein_difference")
        margin = float(np.quantile(np.abs(drawn[0][0][:, 2] - drawn[1][0][:, 2]), confidence))
        low = min(figures[at].low, figures[at].value - margin)
        high = max(figures[at].high, figures[at].value + margin)
        figures[at] = replace(figures[at], low=low, high=high, verdict=direction(low, high))
    return figures + theirs


def overall_number_changes(
    forecasts: Forecasts,
    baseline: Forecasts,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the baseline's figures over all rows, and the changes from them, paired."""
    moments, n = moments_of(forecasts), len(forecasts.predicted)
    codes, models = np.zeros(n, dtype=np.int64), (forecasts, baseline)
    now, before = (GroupMoments(one, codes, [""], moments).values[0] for one in models)
    drawn = [values[:, 0] for _, values in _drawn(models, codes, 1, moments, n_boot, rng)]
    return overall_numbers(baseline, confidence, "baseline") + [
        change_figure(moment.name, float(change), draws, confidence, n, "")
        for moment, change, draws in zip(
            moments, now - before, (drawn[0] - drawn[1]).T, strict=True
        )
    ]


def _drawn(
    models: Sequence[Forecasts],
    codes: np.ndarray,
    n_groups: int,
    moments: Sequence[Moment],
    n_boot: int,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each model its figures on the same resampled rows, or clusters.

    The largest distances, and the area of the errors, (n_boot, 3); and the moments of each group
    (n_boot, n_groups, n_moments). `codes` are the rows' groups, -1 for none.
    """
    rows = np.flatnonzero(codes >= 0)
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
