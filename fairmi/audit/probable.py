"""Differences between groups of which only probabilities are known: weighted, and at the most."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.utils import check_random_state

from fairmi._data.groups import PROBABILITIES, sensitive_frame
from fairmi._data.probabilities import probable_groups
from fairmi._data.values import check_indexes
from fairmi._typing import ColumnLike, Kinds, RandomState, SensitiveLike
from fairmi.audit.comparisons import class_name
from fairmi.audit.measures import FOUND, NOTHING, UNCLEAR, Figure, cells_of_rates
from fairmi.audit.periods import UNKNOWN, positive_codes
from fairmi.audit.predictions import Predictions
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics._rows import cluster_codes

__all__ = ["ProbableDisparities", "ProbableDisparity", "probable_disparities"]

MIN_ROWS = 100  # of a bin
N_BINS = 64
# Cells are label * 2 + prediction. The cells that a rate counts, and those that it leaves out of
# its rows, by name.
RATES = {
    name: (counted, tuple(sorted(set(among) - set(counted))))
    for name, (counted, among) in cells_of_rates(
        ("selection_rate", "true_positive_rate", "false_positive_rate"),
        np.arange(4) // 2,
        np.arange(4) % 2,
    ).items()
}


@dataclass(frozen=True)
class ProbableDisparity:
    """The difference of a rate between two groups.

    Attributes
    ----------
    measure : str
        "selection_rate", "true_positive_rate" or "false_positive_rate".
    above, below : object
        The group whose weighted rate is higher, and the other.
    weighted : float
        Difference of the rates weighted by the probabilities.
    low, high : float
        Its interval.
    at_least, at_most : float
        What the difference can be for any truth that fits the probabilities, estimated.
    lowest, highest : float
        The same with the error of the sample: where the truth lies with confidence.
    """

    measure: str
    above: Any
    below: Any
    weighted: float
    low: float
    high: float
    at_least: float
    at_most: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class ProbableDisparities:
    """What :func:`probable_disparities` returns.

    Attributes
    ----------
    disparities : tuple of ProbableDisparity
    n_bins : int
        Bins of the probabilities that the bounds were taken in.
    """

    disparities: tuple[ProbableDisparity, ...]
    n_bins: int

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each difference, with the attributes of ProbableDisparity."""
        names = [field.name for field in fields(ProbableDisparity)]
        return pd.DataFrame(
            [[getattr(d, name) for name in names] for d in self.disparities], columns=names
        )

    def __repr__(self) -> str:
        return self.to_frame().to_string(index=False, float_format="{:.3f}".format)


def probable_disparities(
    y_pred: ColumnLike,
    probabilities: SensitiveLike,
    y_true: ColumnLike | None = None,
    *,
    pos_label: Hashable = 1,
    clusters: ColumnLike | None = None,
    confidence: float = 0.95,
    n_boot: int = 200,
    random_state: RandomState = None,
) -> ProbableDisparities:
    """Compare groups that are known by probabilities: weighted, and at least and at most.

    The weighted figure takes each row into each group by its probability. It is right where the
    prediction is independent of the group *given what the probabilities were made of* [1]_, which
    no data without the groups can show. So beside it stands what the difference can be at least
    and at most for any truth that fits the probabilities [2]_.

    Parameters
    ----------
    y_pred : array-like of shape (n_rows,)
        Predicted classes.
    probabilities : array-like or DataFrame of shape (n_rows, n_groups)
        How likely each row is in each group: of one feature, or of several under a header of two
        levels (feature, group), which are then independent given the probabilities. Rows sum to 1
        within 0.005. They must be right on average: of rows with 0.3, three in ten are in it.
    y_true : array-like of shape (n_rows,), default=None
        Labels, for true and false positive rates.
    pos_label : label, default=1
        The prediction whose rate matters.
    clusters : array-like of shape (n_rows,), default=None
        Labels of rows that belong together, which the bootstrap draws together.
    confidence : float, default=0.95
        Of each interval.
    n_boot : int, default=200
        Draws of the bootstrap.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws.

    Returns
    -------
    ProbableDisparities
        For each rate and pair of groups.

    Raises
    ------
    ValueError
        If lengths or indexes differ, or `pos_label` is none of several classes.
    SensitiveFeaturesError
        If rows don't sum to 1, hold a missing value, or a group has fewer than two rows by its
        probabilities.

    Notes
    -----
    Rows are put into bins of alike probabilities, of 100 rows or more. In a bin of mean
    probability p of a group, and share m of a cell (such as predicted 1), the share of rows that
    are in both is at least max(0, p + m - 1) and at most min(p, m), and any value between fits.
    Extremes of both groups, and of counted and other cells, go together; for two groups the
    bounds are sharp given the bins, for more those of true and false positive rates may be wider
    than need be. Bins only widen them.

    The bootstrap draws rows or clusters by Poisson weights. The ends of `lowest` and `highest`
    are corrected for its bias, as the least of two estimates is too low on average.

    References
    ----------
    .. [1] J. Chen, N. Kallus, X. Mao, G. Svacha, M. Udell, Fairness under unawareness: assessing
       disparity when protected class is unobserved, FAT* 2019.
    .. [2] N. Kallus, X. Mao, A. Zhou, Assessing algorithmic fairness with unobserved protected
       class using data combination, Management Science 68 (2022), doi 10.1287/mnsc.2020.3850.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.audit import probable_disparities
    >>> rng = np.random.default_rng(0)
    >>> p = rng.choice([0.1, 0.9], size=5000)
    >>> group = rng.random(5000) < p  # not known in practice
    >>> y_pred = rng.random(5000) < np.where(group, 0.6, 0.4)
    >>> table = {"a": 1 - p, "b": p}
    >>> (found,) = probable_disparities(y_pred, table, random_state=0).disparities
    >>> found.above, *(round(x, 2) for x in (found.weighted, found.at_least, found.at_most))
    ('b', 0.14, -0.03, 0.37)
    """
    check_indexes(y_pred=y_pred, probabilities=probabilities, y_true=y_true, clusters=clusters)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r} is not between 0 and 1, as 0.95 is.")
    if n_boot < 50:
        raise ValueError(f"n_boot={n_boot!r} is too few draws; give 50 or more.")
    frame = sensitive_frame(probabilities, argument="probabilities")
    shares, labels = probable_groups(frame, PROBABILITIES, "probabilities")
    predicted = positive_codes(y_pred, len(frame), "y_pred", pos_label)
    true = np.zeros(len(frame), dtype=np.int64)
    if y_true is not None:
        true = positive_codes(y_true, len(frame), "y_true", pos_label)
    if UNKNOWN in predicted or UNKNOWN in true:
        raise ValueError("y_pred or y_true has missing values; leave these rows out.")
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    owners = cluster_codes(clusters, len(shares))
    measures = list(RATES) if y_true is not None else ["selection_rate"]
    sums, draws = _sums(shares, 2 * true + predicted, owners, n_boot, rng)
    disparities = _disparities(labels, sums, draws, measures, norm.isf((1 - confidence) / 2))
    return ProbableDisparities(tuple(sorted(disparities, key=lambda d: d.measure)), sums.shape[1])


def probable_figures(
    predictions: Predictions,
    frame: pd.DataFrame,
    kinds: Kinds | None,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[list[Figure], str, dict[str, int]]:
    """Return an audit's figures of groups that are known by probabilities.

    With them the name of what the groups are of, and the rows that are expected in each.
    """
    if len(frame) != predictions.n_rows:
        raise SensitiveFeaturesError(
            f"sensitive_features has {len(frame)} rows, but there are {predictions.n_rows} "
            "predictions."
        )
    shares, labels = probable_groups(frame, kinds)
    names = [
        " & ".join(map(str, label)) if isinstance(label, tuple) else str(label) for label in labels
    ]
    attribute = "group"
    if frame.columns.nlevels > 1:
        attribute = " & ".join(map(str, dict.fromkeys(frame.columns.get_level_values(0))))
    measures = list(RATES) if predictions.labelled else ["selection_rate"]
    sizes = {name: round(size) for name, size in zip(names, shares.sum(axis=0), strict=True)}
    z = norm.isf((1 - confidence) / 2)
    figures: list[Figure] = []
    for k in predictions.rated_classes:
        cells = 2 * (predictions.true == k) + (predictions.predicted == k)
        where = Figure("probable group", "", 0, n=len(shares), attribute=attribute)
        where = replace(where, subject=class_name(predictions, k))
        sums, draws = _sums(shares, cells, predictions.clusters, n_boot, rng)
        for g, name in enumerate(names):
            for measure in measures:
                rate = float(_rate(sums, measure, g)[0])
                half = z * float(_rate(draws, measure, g).std())
                ends = {"low": max(rate - half, 0.0), "high": min(rate + half, 1.0)}
                of_group = replace(where, group=name, n=sizes[name])
                figures.append(replace(of_group, measure=measure, value=rate, **ends))
        for d in _disparities(names, sums, draws, measures, z):
            # Found where it holds for any truth. Nothing only where the probabilities leave no
            # more open than chance does: what they can't tell is no sign that there is nothing.
            is_open = d.at_most - d.at_least > d.high - d.low
            verdict = UNCLEAR if is_open or d.low > 0 else NOTHING
            between = replace(
                where,
                section="probable",
                verdict=FOUND if d.lowest > 0 or d.highest < 0 else verdict,
                rate=d.measure,
                most=d.above,
                least=d.below,
            )
            for kind, value, low, high in (
                ("weighted", d.weighted, d.low, d.high),
                ("least", d.at_least, d.lowest, d.at_least),
                ("greatest", d.at_most, d.at_most, d.highest),
            ):
                measure = f"{kind}_{d.measure}_difference"
                figures.append(replace(between, measure=measure, value=value, low=low, high=high))
    return figures, attribute, sizes


def alike_rows(shares: np.ndarray) -> list[np.ndarray]:
    """Return the rows of bins of alike probabilities (n, G), made by halving at medians."""
    bins = [np.arange(len(shares))]
    whole: list[np.ndarray] = []
    while bins and len(bins) + len(whole) < N_BINS:
        bins.sort(key=len)
        rows = bins.pop()
        spread = np.ptp(shares[rows], axis=0)
        values = shares[rows, int(np.argmax(spread))]
        low = values <= np.median(values)
        if low.all():  # more than half hold the largest value
            low = values < values.max()
        if min(low.sum(), (~low).sum()) < MIN_ROWS:
            whole.append(rows)
        else:
            bins += [rows[low], rows[~low]]
    return whole + bins


def _terms(shares: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return what is summed of each row: cells (n, 4), then shares by cell (n, G * 4)."""
    indicator = np.eye(4)[cells]
    by_cell = (shares[:, :, None] * indicator[:, None, :]).reshape(len(shares), -1)
    return np.hstack([indicator, by_cell])


def _sums(
    shares: np.ndarray,
    cells: np.ndarray,
    owners: np.ndarray | None,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of `_terms` over bins of alike rows, (1, n_bins, 4 + 4 G).

    With them the same of drawn samples, (n_boot, n_bins, 4 + 4 G).
    """
    weights = None
    if owners is not None:
        weights = rng.poisson(1.0, (n_boot, int(owners.max()) + 1)).astype(np.float32)
    sums, draws = [], []
    for rows in alike_rows(shares):
        if owners is None or weights is None:
            drawn = rng.poisson(1.0, (n_boot, len(rows))).astype(np.float32)
        else:
            drawn = weights[:, owners[rows]]
        terms = _terms(shares[rows], cells[rows])
        sums.append(terms.sum(axis=0))
        draws.append(drawn @ terms)
    return np.stack(sums)[None], np.stack(draws, axis=1)


def _disparities(
    labels: Sequence[Any],
    sums: np.ndarray,
    draws: np.ndarray,
    measures: Sequence[str],
    z: float,
) -> list[ProbableDisparity]:
    """Return the difference of each pair of groups by each rate."""
    disparities = []
    for (a, b), measure in product(combinations(range(len(labels)), 2), measures):
        value = float((_rate(sums, measure, a) - _rate(sums, measure, b))[0])
        if value < 0:
            a, b, value = b, a, -value
        half = z * float((_rate(draws, measure, a) - _rate(draws, measure, b)).std())
        at_most = float(_highest(sums, measure, a, b)[0])
        at_least = -float(_highest(sums, measure, b, a)[0])
        drawn_most, drawn_least = _highest(draws, measure, a, b), -_highest(draws, measure, b, a)
        # Twice the estimate less the mean of the draws is without the bias that these show.
        highest = 2 * at_most - drawn_most.mean() + z * drawn_most.std()
        lowest = 2 * at_least - drawn_least.mean() - z * drawn_least.std()
        disparities.append(
            ProbableDisparity(
                measure,
                labels[a],
                labels[b],
                value,
                value - half,
                value + half,
                at_least,
                at_most,
                max(float(min(lowest, at_least)), -1.0),
                min(float(max(highest, at_most)), 1.0),
            )
        )
    return disparities


def _rate(sums: np.ndarray, measure: str, group: int) -> np.ndarray:
    """Return the weighted rate of a group, (n_draws,)."""
    counted, others = RATES[measure]
    cells = sums[:, :, 4 + 4 * group : 8 + 4 * group].sum(axis=1)
    top = cells[:, list(counted)].sum(axis=1)
    return np.asarray(top / (top + cells[:, list(others)].sum(axis=1)))


def _highest(sums: np.ndarray, measure: str, a: int, b: int) -> np.ndarray:
    """Return the largest difference of the rates of a and b that fits the probabilities."""
    counted, others = RATES[measure]
    n = np.maximum(sums[:, :, :4].sum(axis=2), 1e-300)
    of_counted = sums[:, :, list(counted)].sum(axis=2) / n
    of_others = sums[:, :, list(others)].sum(axis=2) / n

    def rate(top: np.ndarray, rest: np.ndarray) -> np.ndarray:
        top, rest = (n * top).sum(axis=1), (n * rest).sum(axis=1)
        return top / np.maximum(top + rest, 1e-300)

    def least(p: np.ndarray, share: np.ndarray) -> np.ndarray:
        return np.maximum(p + share - 1, 0)

    p, q = (sums[:, :, 4 + 4 * g : 8 + 4 * g].sum(axis=2) / n for g in (a, b))
    highest = rate(np.minimum(p, of_counted), least(p, of_others))
    return highest - rate(least(q, of_counted), np.minimum(q, of_others))
