"""Tables of truth.py: how often a certificate holds, how tight it is, and those of our models.

Limits are read at ranks rounded up to 0.001, and kept, which saves most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import beta, norm

from fairmi.datasets import load_adult
from fairmi.metrics import Certificate, certify
from fairmi.metrics._limits import DifferenceLimit

LAM = 8.0
TITLES = {"MIDebiasedClassifier": "networks", "MIBoostingClassifier": "trees"}


class Row(NamedTuple):
    """One figure: of `repetitions` runs of `case` at `rows` rows, `measure` was `value`."""

    table: str
    case: str
    rows: int
    repetitions: int
    measure: str
    value: float


Draw = Callable[[np.random.Generator], Certificate]
N_A, N_B = 542, 1_086  # a tenth of Adult's test part, by sex


@dataclass(frozen=True)
class Case:
    """How to draw a sample and certify it, the distance that is bounded, and the rows."""

    name: str
    truth: float
    n_rows: int
    draw: Draw


def discrete(name: str, shares: np.ndarray, sizes: list[int], each: int = 1) -> Case:
    """Return Z of values with `shares` (n_groups, n_values); each row `each` times, a cluster."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    truth = max(np.abs(p - q).sum() / 2 for p, q in combinations(shares, 2))

    def draw(rng: np.random.Generator) -> Certificate:
        Z = np.concatenate(
            [rng.choice(len(p), n, p=p) for p, n in zip(shares, sizes, strict=True)]
        )
        if each == 1:
            return certify(Z, group)
        owner = np.repeat(np.arange(len(Z)), each)
        return certify(Z[owner], group[owner], clusters=owner, random_state=0)

    return Case(name, float(truth), len(group) * each, draw)


def tilted(n_values: int, shift: float) -> np.ndarray:
    """Return equal shares, and shares whose total variation distance from them is `shift`."""
    p = np.full(n_values, 1 / n_values)
    return np.array([p, p + np.where(np.arange(n_values) % 2, 1, -1) * 2 * shift / n_values])


def scores(shift: float) -> Case:
    """Return normal scores, one group's shifted, certified for all thresholds."""
    group = np.repeat([0, 1], [N_A, N_B])

    def draw(rng: np.random.Generator) -> Certificate:
        return certify(rng.normal(shift * group), group, against="thresholds")

    truth = float(2 * norm.cdf(shift / 2) - 1)
    return Case(f"normal scores, any threshold, distance {truth:.3f}", truth, N_A + N_B, draw)


def odds() -> Case:
    """Return decisions that differ between groups at both values of y."""
    rate = np.array([[0.1, 0.12], [0.6, 0.65]])  # by y and group

    def draw(rng: np.random.Generator) -> Certificate:
        y, group = rng.random(3_000) < 0.3, rng.integers(2, size=3_000)
        Z = rng.random(3_000) < rate[y.astype(int), group]
        return certify(Z, group, y=y, constraint="equalized_odds")

    return Case("equalized odds, distance 0.05", 0.05, 3_000, draw)


def best_of(n_models: int, n_candidates: int) -> Case:
    """Return the least bound of models that are as good as each other."""
    group = np.repeat([0, 1], 200)

    def draw(rng: np.random.Generator) -> Certificate:
        found = [
            certify(rng.random(400) < 0.4 + 0.2 * group, group, n_candidates=n_candidates)
            for _ in range(n_models)
        ]
        return min(found, key=lambda certificate: certificate.bound)

    name = f"best of {n_models}, n_candidates={n_candidates}, distance 0.2"
    return Case(name, 0.2, 400, draw)


CASES = (
    *(
        discrete(f"{k} values, distance {shift}", tilted(k, shift), [N_A, N_B])
        for k, shift in ((2, 0.0), (2, 0.04), (22, 0.0), (22, 0.02), (22, 0.05), (200, 0.05))
    ),
    discrete("rare, .03 and .02", np.array([[0.97, 0.03], [0.98, 0.02]]), [500, 500]),
    discrete("4 groups alike, 9 values", np.full((4, 9), 1 / 9), [500] * 4),
    discrete("6 groups, 10 values", np.repeat(tilted(10, 0.1), 3, axis=0), [500] * 6),
    discrete("400 persons of 10 rows", tilted(4, 0.1), [200, 200], each=10),
    scores(0.0),
    scores(0.05),
    odds(),
    best_of(14, 1),
    best_of(14, 14),
)


def certificates(repetitions: int, jobs: int) -> Iterator[Row]:
    """Return how often the bound holds, and its mean beside the older ones' where they differ."""
    repetitions *= 10
    for case in CASES:
        found = Parallel(jobs)(delayed(_certificate)(case, seed) for seed in range(repetitions))
        bound, distance, older = np.array(found).T
        figures = {
            "bound holds": (bound >= case.truth).mean(),
            "mean bound": bound.mean(),
            "mean bound of McDiarmid, DKW for thresholds": older.mean(),
            "mean distance in the sample": distance.mean(),
        }
        if case.n_rows == N_A + N_B and "values" in case.name:
            fare = Parallel(jobs)(delayed(_fare)(case, seed) for seed in range(repetitions // 5))
            figures["mean bound of FARE"] = np.mean(fare)
        if np.isnan(older).any():
            del figures["mean bound of McDiarmid, DKW for thresholds"]
        for measure, value in figures.items():
            yield Row("certificates", case.name, case.n_rows, repetitions, measure, float(value))


_upper = cache(DifferenceLimit.upper)


def _rounded_upper(limit: DifferenceLimit, rank: float) -> float:
    return _upper(limit, float(np.ceil(rank * 1_000) / 1_000))


def _certificate(case: Case, seed: int) -> tuple[float, float, float]:
    with patch.object(DifferenceLimit, "upper", _rounded_upper):
        found = case.draw(np.random.default_rng(seed))
    if found.constraint == "equalized_odds":  # sizes are of all y
        return found.bound, found.distance, float("nan")
    n_a, n_b = (found.group_sizes[found.labels.index(label)] for label in found.pair)
    n_pairs = len(found.labels) * (len(found.labels) - 1) / 2
    error = (1 - found.confidence) / n_pairs / found.n_candidates
    older = np.sqrt((1 / n_a + 1 / n_b) * np.log(1 / error) / 2)
    if found.against == "thresholds":
        older = sum(np.sqrt(np.log(4 / error) / 2 / n) for n in (n_a, n_b))
    return found.bound, found.distance, found.distance + older


def _fare(case: Case, seed: int) -> float:
    rng = np.random.default_rng(seed)
    n_values, shift = int(case.name.split()[0]), case.truth
    p, q = tilted(n_values, shift)
    Z = np.concatenate([rng.choice(n_values, N_A, p=p), rng.choice(n_values, N_B, p=q)])
    return fare_bound(Z, np.repeat([0, 1], [N_A, N_B]), rng)


def fare_bound(Z: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> float:
    """Bound the same by the steps of arXiv 2210.07213, given the groups' shares for nothing.

    On half of the rows, Clopper and Pearson limits of each value's group shares bound what a
    best adversary has on it; on the other half, Hoeffding bounds the mean of that. The error is
    0.04 for the values and 0.01 for the mean.
    """
    order = rng.permutation(len(Z))
    first, second = order[: len(Z) // 2], order[len(Z) // 2 :]
    n_values, share = Z.max() + 1, group.mean()
    n = np.bincount(Z[first], minlength=n_values)
    ones = np.bincount(Z[first], group[first], minlength=n_values)
    error = 0.04 / n_values / 2
    most_ones = np.where(ones < n, beta.isf(error, ones + 1, np.maximum(n - ones, 1e-9)), 1.0)
    most_zeros = np.where(ones > 0, beta.isf(error, n - ones + 1, np.maximum(ones, 1e-9)), 1.0)
    worst = np.maximum(most_ones / share, most_zeros / (1 - share)) / 2
    seen = worst[Z[second]]
    slack = np.sqrt(np.log(1 / 0.01) * np.ptp(worst) ** 2 / (2 * len(second)))
    return float(min(2 * (seen.mean() + slack) - 1, 1.0))


def adult_certificates(repetitions: int, jobs: int) -> Iterator[Row]:
    """Return bounds on Z by sex and race, and on any threshold on scores by sex.

    Each model is certified alone; seeds are starting weights on one training part.
    """
    seeds = range(min(repetitions, 5))
    for estimator, title in TITLES.items():
        for sensitive in ("sex", "race"):
            of_seeds = seeds if sensitive == "sex" else seeds[:2]
            task = delayed(_certified)
            found = Parallel(jobs)(task(estimator, sensitive, seed) for seed in of_seeds)
            for against, name in (("classifiers", "Z"), ("thresholds", "any threshold on scores")):
                case = f"Adult, {title}, λ = {LAM:g}, {sensitive}, {name}"
                certificates = [part[against] for part in found if against in part]
                for measure, value in _figures(certificates):
                    rows = sum(certificates[0].group_sizes)
                    yield Row("certificates", case, rows, len(certificates), measure, value)


def _certified(estimator: str, sensitive: str, seed: int) -> dict[str, Certificate]:
    import fairmi

    train, test = load_adult(subset="train"), load_adult(subset="test")
    model: Any = getattr(fairmi, estimator)(lam=LAM, random_state=seed)
    model.fit(train.data, train.target, sensitive_features=train.data[sensitive])
    c = test.data[sensitive]
    found = {"classifiers": certify(model.transform(test.data), c)}
    if sensitive == "sex":
        scores = model.decision_function(test.data)
        found["thresholds"] = certify(scores, c, against="thresholds")
    return found


def _figures(certificates: list[Certificate]) -> Iterator[tuple[str, float]]:
    if not certificates:
        return
    bounds = [certificate.bound for certificate in certificates]
    yield "mean bound", float(np.mean(bounds))
    yield "largest bound", float(np.max(bounds))
    yield "mean distance in the sample", float(np.mean([c.distance for c in certificates]))
    older = [c.distance + _older_margin(c) for c in certificates]
    yield "mean bound of McDiarmid, DKW for thresholds", float(np.mean(older))


def _older_margin(certificate: Certificate) -> float:
    """What DKW, or McDiarmid by a union over pairs, adds to the distance of the widest pair."""
    sizes = dict(zip(certificate.labels, certificate.group_sizes, strict=True))
    error = 1 - certificate.confidence
    pair = [sizes[label] for label in certificate.pair]
    if certificate.against == "thresholds":
        return float(sum(np.sqrt(np.log(4 / error) / 2 / n) for n in pair))
    error /= len(list(combinations(sizes, 2)))
    return float(np.sqrt(sum(1 / n for n in pair) * np.log(1 / error) / 2))
