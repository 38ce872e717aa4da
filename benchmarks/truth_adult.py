"""Certificates of fairmi's models on Adult's test part at λ = 8, beside older bounds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from truth_rows import Row

from fairmi.datasets import load_adult
from fairmi.metrics import Certificate, certify

LAM = 8.0
TITLES = {"MIDebiasedClassifier": "networks", "MIBoostingClassifier": "trees"}


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
