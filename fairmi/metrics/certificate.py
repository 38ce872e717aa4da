"""How far groups can differ under any classifier on Z: a bound from a finite sample."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from math import prod
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from fairmi._data.groups import sensitive_frame
from fairmi._data.values import check_indexes
from fairmi._sklearn_compat import Interval, StrOptions, validate_params
from fairmi._typing import ColumnLike, RandomState, SensitiveLike, TableLike
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics._limits import Comparison, compare_groups, largest_limit
from fairmi.metrics._representation import read_representation
from fairmi.metrics._rows import (
    cluster_codes,
    comparable_groups,
    one_row_each,
    strata_of,
    warn_of_repeated_rows,
)

MAX_INTERSECTIONS = 100_000
MAX_NAMED = 3  # of what has no row
METHODS = {
    "classifiers": "total variation, exact binomial",
    "thresholds": "Kolmogorov-Smirnov, exact binomial",
}


@dataclass(frozen=True)
class Certificate:
    """An upper bound on how far groups differ under any classifier on Z, or any threshold.

    Attributes
    ----------
    bound : float
        With probability `confidence` over the sample, no classifier on Z, by anyone (or no
        threshold on it), has a demographic parity or equalized odds difference above it. 1.0
        where the sample can't rule anything out.
    distance : float
        The distance in the sample, of the pair of groups with the largest bound. It
        overestimates on average; it is no bound by itself.
    pair : tuple of two labels
        That pair of groups.
    given : object
        The value of y in which that pair was compared; None for demographic parity.
    confidence : float
        The probability, over samples, that `bound` holds for all pairs of groups (and values of
        y) at once.
    n_values : int
        Distinct values (rows) of Z in the sample.
    labels : tuple
        The groups.
    group_sizes : tuple of int
        Rows of each group that were counted: one of each cluster.
    constraint : {"demographic_parity", "equalized_odds"}
        The difference that is bounded.
    against : {"classifiers", "thresholds"}
        For whom the bound holds.
    n_candidates : int
        Among how many models this one was chosen by its certificate.
    method : str
        Name of the theorem used.
    missing : tuple of str
        What must be there and has no row, such as a declared category, a group at some y, or an
        intersection. Nothing can be said of it, so that `bound` is 1.
    """

    bound: float
    distance: float
    pair: tuple[Hashable, Hashable]
    given: Hashable
    confidence: float
    n_values: int
    labels: tuple[Any, ...]
    group_sizes: tuple[int, ...]
    constraint: str
    against: str
    n_candidates: int
    method: str
    missing: tuple[str, ...] = ()

    @property
    def informative(self) -> bool:
        """Whether the bound rules anything out."""
        return self.bound < 1.0

    def __repr__(self) -> str:
        a, b = self.pair
        label = "" if self.given is None else f", given={self.given!r}"
        return (
            f"Certificate(bound={self.bound:.4f}, distance={self.distance:.4f}, pair=({a!r}, "
            f"{b!r}){label}, confidence={self.confidence:g}, constraint={self.constraint!r}, "
            f"against={self.against!r})"
        )

    def _repr_html_(self) -> str:
        """Return figures and sentence for a notebook."""
        a, b = map(str, self.pair)
        cells = {
            "bound": f"{self.bound:.4f}" if self.informative else "none",
            "distance in the sample": f"{self.distance:.4f}",
            "widest pair": f"{a}, {b}" + ("" if self.given is None else f" at y = {self.given}"),
            "confidence": percent(self.confidence),
            "difference": self.constraint.replace("_", " "),
            "against any": self.against.removesuffix("s"),
            "rows of the groups": ", ".join(
                f"{label}: {n}" for label, n in zip(self.labels, self.group_sizes, strict=True)
            ),
        }
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"
            for name, text in cells.items()
        )
        return f"<table><tbody>{rows}</tbody></table><p>{escape(str(self))}</p>"

    def __str__(self) -> str:
        a, b = self.pair
        odds = self.constraint == "equalized_odds"
        label = f" at y = {self.given!r}" if odds else ""
        if self.missing:
            more = f" and {len(self.missing) - MAX_NAMED} more" * (len(self.missing) > MAX_NAMED)
            return (
                f"No certificate: {', '.join(self.missing[:MAX_NAMED])}{more}. Give rows of it, "
                "or leave it out of what is declared and compared."
            )
        n_rows = sum(self.group_sizes)
        if not self.informative:
            return (
                f"No certificate: Z has {self.n_values} values in {n_rows} rows, too many for "
                "this sample. Use a representation of fewer values, or more rows."
            )
        who = "classifier" if self.against == "classifiers" else "threshold"
        within = " among rows of the same y" if odds else ""
        chosen = f"best of {self.n_candidates} candidates; " if self.n_candidates > 1 else ""
        return (
            f"At {percent(self.confidence)} confidence, if these {n_rows} rows took no part in "
            f"training, no {who} on this Z differs between groups{within} by more than "
            f"{self.bound:.4f} in its rate of any decision ({chosen}widest pair {a!r}, {b!r}"
            f"{label}; {self.n_values} values; {self.method})."
        )


def percent(confidence: float) -> str:
    """Return a confidence as text; one below 1 is never "100 %"."""
    text = f"{100 * confidence:.6g}"
    return "more than 99.9999 %" if text == "100" else f"{text} %"


@validate_params(
    {
        "constraint": [StrOptions({"demographic_parity", "equalized_odds"})],
        "against": [StrOptions(set(METHODS))],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def certify(
    Z: TableLike,
    sensitive_features: SensitiveLike,
    *,
    y: ColumnLike | None = None,
    constraint: str = "demographic_parity",
    against: str = "classifiers",
    clusters: ColumnLike | None = None,
    confidence: float = 0.95,
    n_candidates: int = 1,
    random_state: RandomState = None,
) -> Certificate:
    """Bound how far groups differ under any classifier that anyone trains on Z.

    The demographic parity difference of groups a and b is at most the total variation distance
    between the distributions of Z in the two groups, TV = max over sets A of P(A | a) - P(A | b),
    and some classifier attains it. Within the rows of each y, the same bounds the equalized odds
    difference; over half-lines A alone, any threshold on a score.

    Parameters
    ----------
    Z : array-like of shape (n_rows, n_columns) or (n_rows,)
        A representation, scores or predictions, on rows that **nothing was learned from**: not
        the encoder, nor its rounding, nor the merging of its values. What counts are the
        distinct values of whole rows, exactly as they are given: type and bits (0.0 and -0.0
        are two values, and so are 1 and True, or two nanoseconds).
    sensitive_features : array-like of shape (n_rows,) or (n_rows, n_features)
        Categories; of several columns, the intersections are the groups. All intersections, and
        all categories that a pandas Categorical or a polars Enum declares, must have rows.
    y : array-like of shape (n_rows,), default=None
        Labels, for equalized odds.
    constraint : {"demographic_parity", "equalized_odds"}, default="demographic_parity"
        The difference to bound. For equal opportunity give the rows of the positive class alone.
    against : {"classifiers", "thresholds"}, default="classifiers"
        "classifiers": any function of Z, which takes a Z of few values. "thresholds": all
        decisions "score above t", for every t, one column of Z at a time; Z may be the
        continuous scores of any model.
    clusters : array-like of shape (n_rows,), default=None
        Labels of rows that belong together, such as one person's. One row of each cluster,
        drawn at random, is counted.
    confidence : float, default=0.95
        Probability that the bound holds, for all pairs of groups and values of y at once.
    n_candidates : int, default=1
        Among how many models this one is chosen by its certificate: the error is divided by it,
        so that the best of that many bounds holds too.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of rows where there are clusters; None is a fixed one.

    Returns
    -------
    Certificate
        With `bound`, from 0 to 1; 1 where a group, an intersection or a declared category has no
        row (of some y), or where y has one value alone: see `missing`.

    Raises
    ------
    SensitiveFeaturesError
        If `sensitive_features` has a missing value, another length, one group alone, or a column
        of quantities, such as an age in years.
    ValueError
        If Z, y or `clusters` can't be used, Z holds values that can't be told apart exactly or
        (against thresholds) have no order, pandas arguments differ in their indexes, or y is
        missing for equalized odds, or given without.

    Warns
    -----
    UserWarning
        If rows look as if they were given several times over, and `clusters` is None.

    Notes
    -----
    *Assumption*: given its group (and y), each row is an independent draw from that group's
    population; with clusters, each cluster is, and the bound speaks of a random row of a random
    cluster. Nothing is assumed of the distributions, or of the number of values. The bound
    speaks of the population the rows come from, and of classifiers that see Z alone.

    *Theorem*. Let TV be the largest distance over pairs of groups (and values of y), attained by
    the pair a, b and the set A. They aren't known, but they are fixed, so that neither sets nor
    pairs nor thresholds cost any confidence. The counts of A in the two groups are independent
    binomials whose parameters differ by TV. Samples of such counts are ordered by Newcombe's
    approximate upper limit for a difference of proportions [1]_, and U(r) is Buehler's exact
    limit [2]_, [3]_ for rank r: the largest t for which some p - q = t has
    P(rank <= r) > 1 - confidence. U doesn't fall in r. Let R be the largest rank of any set in
    the sample, so R is at least the rank of A; then TV > U(R) implies TV > U(rank of A), which
    has probability at most 1 - confidence. U is computed exactly (binomial masses, every p
    covered by intervals on which the probability is bounded) and rounded up. The bound is the
    largest of all pairs.

    The order by rank makes the bound adapt to the rates: rare decisions, and thresholds in the
    tails, get smaller margins. It is usually well below those of McDiarmid (for all classifiers)
    and of Dvoretzky, Kiefer and Wolfowitz (for thresholds). That Z of few values can be certified
    was shown in [4]_.

    *No weights*: with weights the counts are no binomials, and nothing exact can be said. To
    certify for a population that weights w describe, keep each row with probability w / max(w),
    independently; the rows that are left are draws from it. Probabilities of groups are refused
    for the same reason: `fairmi.audit.probable_disparities` bounds differences under these.

    References
    ----------
    .. [1] R. G. Newcombe, "Interval estimation for the difference between independent
       proportions: comparison of eleven methods", Statistics in Medicine 17 (1998),
       doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
    .. [2] R. J. Buehler, "Confidence intervals for the product of two binomial parameters",
       JASA 52 (1957), doi:10.1080/01621459.1957.10501404.
    .. [3] C. J. Lloyd, P. Kabaila, "On the optimality and limitations of Buehler bounds",
       Australian & New Zealand Journal of Statistics 45 (2003), doi:10.1111/1467-842X.00272.
    .. [4] N. Jovanović, M. Balunović, D. I. Dimitrov, M. Vechev, "FARE: Provably Fair
       Representation Learning with Practical Certificates", ICML 2023, arXiv:2210.07213.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.metrics import certify
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(2, size=4000)
    >>> Z = rng.binomial(3, 0.5 + 0.01 * group)
    >>> certificate = certify(Z, group)
    >>> round(certificate.distance, 3), round(certificate.bound, 3)
    (0.031, 0.054)
    >>> score = rng.normal(0.02 * group)
    >>> round(certify(score, group, against="thresholds").bound, 3)
    0.045
    """
    check_indexes(Z=Z, sensitive_features=sensitive_features, y=y, clusters=clusters)
    if (y is None) == (constraint == "equalized_odds"):
        raise ValueError(
            f"constraint={constraint!r} {'needs y' if y is None else 'has no use for y'}; give y "
            'together with constraint="equalized_odds".'
        )
    Z = read_representation(Z, allow_missing=against == "classifiers")
    groups = comparable_groups(sensitive_features, len(Z), table="Z")
    strata = strata_of(y, len(Z))
    owners = cluster_codes(clusters, len(Z))
    counted = np.full(len(Z), owners is None)
    if owners is None:
        warn_of_repeated_rows(Z, groups.codes, stacklevel=4)
    else:  # without a seed the same data still get the same answer
        seed = check_random_state(0 if random_state is None else random_state).randint(2**31 - 1)
        counted[one_row_each(owners, np.random.default_rng(seed))] = True
    columns = [Z.codes]
    if against == "thresholds":
        columns = [column.ranks(Z.argument) for column in Z.columns]
    comparisons: list[Comparison] = []
    missing = _labels_without_rows(y, strata)
    all_groups = _group_labels(sensitive_features)
    for value, rows in strata:
        chosen = rows[counted[rows]]
        present = {groups.labels[k] for k in np.flatnonzero(np.bincount(groups.codes[chosen]))}
        at = "" if y is None else f" at y = {value!r}"
        missing += [f"group {g!r} has no row{at}" for g in all_groups if g not in present]
        for codes in columns:
            comparisons += compare_groups(
                codes[chosen],
                groups.codes[chosen],
                len(groups),
                stratum=value,
                thresholds=against == "thresholds",
                error=(1 - confidence) / n_candidates,
            )
    if missing:  # what such a group gets of any decision is not known at all
        bound = 1.0
        widest = max(comparisons, key=lambda pair: pair.distance, default=None)
    else:
        bound, widest = largest_limit(comparisons)
    a, b = (0, 1) if widest is None else widest.pair
    return Certificate(
        bound=bound,
        distance=np.nan if widest is None else widest.distance,
        pair=(groups.labels[a], groups.labels[b]),
        given=strata[0][0] if widest is None else widest.stratum,
        confidence=confidence,
        n_values=int(np.count_nonzero(np.bincount(Z.codes[counted]))),
        labels=groups.labels,
        group_sizes=tuple(np.bincount(groups.codes[counted], minlength=len(groups)).tolist()),
        constraint=constraint,
        against=against,
        n_candidates=n_candidates,
        method=METHODS[against],
        missing=tuple(missing),
    )


def _labels_without_rows(
    y: ColumnLike | None, strata: list[tuple[Hashable, np.ndarray]]
) -> list[str]:
    """Say which labels there must be, but have no row: declared ones, or a second one."""
    if y is None:
        return []
    present = [value for value, _ in strata]
    missing = [value for value in _possible_values(y)[0] if value not in present]
    if missing:
        return [f"no row has y = {value!r}" for value in missing]
    return [f"all rows have y = {present[0]!r}"] if len(present) == 1 else []


def _group_labels(sensitive_features: SensitiveLike) -> Sequence[Hashable]:
    """Return the groups that there must be: declared categories, and all intersections."""
    by_column = _possible_values(sensitive_features)
    if prod(map(len, by_column)) > MAX_INTERSECTIONS:
        raise SensitiveFeaturesError(
            f"sensitive_features has {prod(map(len, by_column))} intersections, too many to "
            "certify; give one column that names the groups to compare."
        )
    return by_column[0] if len(by_column) == 1 else list(product(*by_column))


def _possible_values(columns: SensitiveLike) -> list[list[Hashable]]:
    """Return what each column's type declares as its categories, else the values that occur.

    A polars Categorical declares nothing: its categories are those of all columns of the process.
    """
    return [
        column.cat.categories.tolist()
        if isinstance(column.dtype, pd.CategoricalDtype)
        else list(dict.fromkeys(column.to_numpy(dtype=object).tolist()))
        for _, column in sensitive_frame(columns).items()
    ]
