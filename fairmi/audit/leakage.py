"""What representation, scores and predictions tell of the sensitive features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.groups import Groups
from fairmi.audit.comparisons import attribute_name
from fairmi.audit.measures import FOUND, HOLDS, NOTHING, UNCLEAR, Figure, agreed
from fairmi.audit.predictions import Forecasts, Predictions, recoded
from fairmi.metrics._cross_fit import Sample
from fairmi.metrics._representation import Representation, read_representation
from fairmi.metrics.certificate import certify
from fairmi.metrics.information import MutualInformationReport, information_of
from fairmi.metrics.leakage import SIGNIFICANCE, LeakageReport, leakage_of
from fairmi.metrics.probes import split_rows

FOLDS = 5  # of cross-fitting: a probe needs a row of each group in each
FOLDS_OF_SAMPLE = 2  # where rows are so many that probes see a sample: half the fits of three
MAX_PROBED = 10_000  # rows: of more, probes and tests take a random sample
MAX_CERTIFIED = 100_000  # and certificates another, whose exact limits would take minutes

Task = Callable[[], list[Figure]]


def leakage_tasks(
    predictions: Predictions | Forecasts,
    groups: Groups,
    confidence: float,
    seed: int,
    quantity: np.ndarray | None = None,
    sample: np.ndarray | None = None,
) -> tuple[list[Task], list[str]]:
    """Return what is to be measured of all that leaves the model, and notes on what is not.

    Each task trains its own probes, so that they may run side by side. Every probe is trained on
    all rows and on the rows of each label: what is independent of the group may tell it together
    with the label, which the model's users get to know. Intersections of several features have a
    certificate only: a probe that can't tell any of the features has little chance with all of
    them, and most intersections are small. Where the feature is a quantity, (n_rows,), probes
    predict its value, not the bin. `sample` are random rows of what was counted as a table.
    """
    name, n_rows = attribute_name(groups), predictions.n_rows
    rows = draw_rows(n_rows, predictions.clusters, MAX_CERTIFIED, seed)
    rows = rows if sample is None else sample
    some, codes = replace(predictions.rows(rows), counts=None), groups.codes[rows]
    drawn = _probed_rows(some, codes, seed)
    is_sample = n_rows > MAX_PROBED
    seen = some.rows(drawn)
    of_probes: np.ndarray = recoded(codes[drawn]) if is_sample else codes
    probed, strata, notes = _probed(seen, of_probes, groups)
    if is_sample and probed:
        sizes = np.bincount(of_probes)
        notes.append(_note_of_sample(name, sizes, len(rows), n_rows, seed))
    features = _features(groups).iloc[rows]
    kind, is_linear = "categorical", isinstance(predictions, Predictions)
    if quantity is not None:
        of_probes, kind = quantity[rows][drawn], "continuous"
    cv = min(FOLDS, FOLDS_OF_SAMPLE) if is_sample else FOLDS
    options: dict[str, Any] = {"kind": kind, "cv": cv, "random_state": seed}
    tasks: list[Task] = []
    for subject, values in predictions.subjects.items():
        where = Figure("leakage", "", np.nan, attribute=name, subject=subject)
        Z = read_representation(values[rows], argument=subject)
        # A linear probe finds all that predicted classes tell, boosting what one number does.
        probe = "panel"
        if subject == "predictions":
            probe = "linear" if is_linear else "boosting"
        if probed:
            who = (of_probes, seen.clusters, None)
            tasks.append(partial(_probe_figures, Z.rows(drawn), *who, probe, options, where))
        if strata:
            of = np.concatenate(strata)
            known = replace(where, given="label" if is_linear else "y")
            owners = None if seen.clusters is None else seen.clusters[of]
            who = (of_probes[of], owners, seen.strata[of])
            tasks.append(partial(_probe_figures, Z.rows(drawn[of]), *who, probe, options, known))
        rest = (features, some.clusters, confidence, seed, where)
        if isinstance(predictions, Forecasts):
            tasks.append(partial(_number_certificates, Z, np.ptp(predictions.predicted), *rest))
        else:
            labels = some.true if predictions.labelled else None
            tasks.append(partial(_certificates, Z, labels, *rest))
    return tasks, notes


def draw_rows(n_rows: int, clusters: np.ndarray | None, at_most: int, seed: int) -> np.ndarray:
    """Return about so many random rows, of whole clusters where there are some; all if few."""
    if n_rows <= at_most:
        return np.arange(n_rows)
    rng = np.random.default_rng(seed)
    if clusters is None:
        return np.sort(rng.choice(n_rows, at_most, replace=False))
    sizes = np.bincount(clusters)
    order = rng.permutation(len(sizes))
    n_clusters = max(2, int(np.searchsorted(np.cumsum(sizes[order]), at_most, "right")))
    return np.flatnonzero(np.isin(clusters, order[:n_clusters]))


def _probed_rows(predictions: Predictions | Forecasts, codes: np.ndarray, seed: int) -> np.ndarray:
    """Return the rows that probes are to see, in order: all, or of many a random sample.

    Groups of which the sample has too few rows for the folds have no part in it.
    """
    drawn = draw_rows(len(codes), predictions.clusters, MAX_PROBED, seed)
    if len(codes) <= MAX_PROBED:
        return drawn
    clusters = None if predictions.clusters is None else predictions.clusters[drawn]
    return drawn[(_owners(codes[drawn], clusters) >= FOLDS)[codes[drawn]]]


def _note_of_sample(name: str, sizes: np.ndarray, n_certified: int, n_rows: int, seed: int) -> str:
    """Say how many of the rows were probed and certified, and how far off an AUC may be."""
    n, fewest = int(sizes.sum()), int(sizes.min())
    # Mann and Whitney's error of the AUC of independent scores, widened as leakage_report does.
    error = 1.96 * np.sqrt(2 * (n + 1) / (12 * fewest * (n - fewest)))
    rest = "All other figures are of all rows."
    if n_certified < n_rows:
        rest = (
            f"Certificates are of {n_certified:,} rows, drawn alike, and hold for all. "
            "Everything else is of all rows."
        )
    return (
        f"What is told of {name} was examined on {n:,} of {n_rows:,} rows, drawn at random (seed "
        f"{seed}): probes, information and their tests are of these, and so are their intervals "
        f"and what chance explains; an AUC near 0.5 is known to about ±{error:.3f}. {rest}"
    )


def _probed(
    predictions: Predictions | Forecasts, codes: np.ndarray, groups: Groups
) -> tuple[bool, list[np.ndarray], list[str]]:
    """Return whether all rows can be probed, the rows of each label that can, and notes."""
    notes: list[str] = []
    name = attribute_name(groups)
    probed = len(groups.names) == 1
    if probed and (len(np.unique(codes)) < 2 or not _can_be_dealt(codes, predictions.clusters)):
        probed = False
        unit = "rows" if predictions.clusters is None else "clusters"
        notes.append(f"A group by {name} has fewer than {FOLDS} {unit}: no probe was trained.")
    if not probed or not predictions.labelled:
        return probed, [], notes
    strata = _rows_by_label(predictions, codes)
    if len(strata) < int(predictions.strata.max()) + 1:
        notes.append(
            f"Not every label has {FOLDS} rows of two groups by {name}: within the others no "
            "probe was trained."
        )
    return probed, strata, notes


def _can_be_dealt(groups: np.ndarray, clusters: np.ndarray | None) -> bool:
    """Whether each group has rows for each fold, no cluster split."""
    if _owners(groups, clusters).min() < FOLDS:
        return False
    try:
        split_rows(groups, FOLDS, 0, clusters)
    except ValueError:
        return False
    return True


def _owners(groups: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """Return the number of rows, or of clusters, of each group."""
    if clusters is None:
        return np.bincount(groups)
    return np.bincount(np.unique(np.column_stack([groups, clusters]), axis=0)[:, 0])


def _rows_by_label(predictions: Predictions | Forecasts, groups: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each label, without groups that are too few there for the folds."""
    strata = []
    stratum = predictions.strata
    for k in range(int(stratum.max()) + 1):
        rows = np.flatnonzero(stratum == k)
        clusters = None if predictions.clusters is None else predictions.clusters[rows]
        enough = _owners(groups[rows], clusters) >= FOLDS
        rows = rows[enough[groups[rows]]]
        clusters = None if predictions.clusters is None else predictions.clusters[rows]
        if enough.sum() > 1 and _can_be_dealt(recoded(groups[rows]), clusters):
            strata.append(rows)
    return strata


@contextmanager
def _quietly() -> Iterator[None]:
    """Say nothing of equal rows, which a note of the audit tells of."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".* rows equal another row", category=UserWarning
        )
        yield


def _probe_figures(
    Z: Representation,
    groups: np.ndarray,
    clusters: np.ndarray | None,
    label: np.ndarray | None,
    probe: str,
    options: dict[str, Any],
    where: Figure,
) -> list[Figure]:
    """Return what fresh probes recover, the test of independence, and the mutual information.

    Within each label, by probes that know it, where `label` is given. The probes are trained once
    for all. What chance gives of the information is bounded by theory, not by refits.
    """
    with _quietly():
        sample = Sample.make(Z, groups, clusters=clusters, **options)
    parts = [part for _, part in sample.strata(label)]
    leak = leakage_of(sample, parts, probe=probe)
    nats = information_of(sample, parts, estimator="boosting" if probe == "boosting" else "auto")
    return [*_leakage_figures(leak, where), _information_figure(nats, where)]


def _leakage_figures(leak: LeakageReport, where: Figure) -> list[Figure]:
    """Return the score and what stands beside it, with one verdict: that of the test.

    Where the score alone exceeds chance, it is unclear.
    """
    verdict = UNCLEAR if leak.score > leak.null_quantile else NOTHING
    if leak.p_value <= SIGNIFICANCE:
        verdict = FOUND
    where = replace(where, n=leak.n_rows, verdict=verdict)
    low, high = leak.interval
    figures = [
        replace(
            where,
            measure=leak.metric,
            value=leak.score,
            low=low,
            high=high,
            by_chance=leak.null_quantile,
        ),
        replace(where, measure="balanced_accuracy", value=leak.balanced_accuracy),
        replace(where, measure="p_value", value=leak.p_value),
    ]
    if not np.isnan(leak.rounded_score):
        figures.append(replace(where, measure="rounded_score", value=leak.rounded_score))
    return figures


def _information_figure(nats: MutualInformationReport, where: Figure) -> Figure:
    low, high = nats.interval
    return replace(
        where,
        section="information",
        measure="mutual_information",
        value=nats.score,
        low=low,
        high=high,
        by_chance=nats.null_bound,
        n=nats.n_rows,
        verdict=agreed(low > 0, nats.score > nats.null_bound),
    )


def _features(groups: Groups) -> pd.DataFrame:
    """Return a column of categories for each feature: intersections without a row count too."""
    labels = groups.labels if len(groups.names) > 1 else [(label,) for label in groups.labels]
    columns = (
        pd.Categorical([_category(label[j]) for label in labels]).take(groups.codes)
        for j in range(len(groups.names))
    )
    return pd.DataFrame(dict(enumerate(columns)))


def _category(label: Hashable) -> Any:
    return str(label) if isinstance(label, pd.Interval) else label


def _certificates(
    Z: Representation,
    label: np.ndarray | None,
    features: pd.DataFrame,
    clusters: np.ndarray | None,
    confidence: float,
    seed: int,
    where: Figure,
) -> list[Figure]:
    """Return the bounds on what is computed from Z, and for scores on thresholds of them."""
    figures = []
    whom = ("classifiers", "thresholds") if where.subject == "scores" else ("classifiers",)
    constraints = ["demographic_parity"] + ["equalized_odds"] * (label is not None)
    for against in whom:
        for constraint in constraints:
            bound, n = _bound(Z, label, features, clusters, confidence, seed, constraint, against)
            figures.append(_bound_figure(where, f"{constraint}_bound", bound, n, against))
    return figures


def _number_certificates(
    Z: Representation,
    spread: float,
    features: pd.DataFrame,
    clusters: np.ndarray | None,
    confidence: float,
    seed: int,
    where: Figure,
) -> list[Figure]:
    """Return the bounds on KS, and on means and Wasserstein-1 of numbers that spread so far.

    The difference of two distribution functions is at most the bound, between the smallest and
    the largest value, and 0 beyond: its area, and that of its sign, are at most the product.
    """
    figures = []
    whom = ("classifiers", "thresholds") if where.subject == "predictions" else ("classifiers",)
    for against in whom:
        bound, n = _bound(
            Z, None, features, clusters, confidence, seed, "demographic_parity", against
        )
        figures.append(_bound_figure(where, "ks_bound", bound, n, against))
        of_means = _bound_figure(where, "mean_difference_bound", bound, n, against)
        figures.append(replace(of_means, value=float(bound * spread)))
    return figures


def _bound(
    Z: Representation,
    label: np.ndarray | None,
    features: pd.DataFrame,
    clusters: np.ndarray | None,
    confidence: float,
    seed: int,
    constraint: str,
    against: str,
) -> tuple[float, int]:
    with _quietly():
        certificate = certify(
            Z,
            features,
            y=label if constraint == "equalized_odds" else None,
            constraint=constraint,
            against=against,
            clusters=clusters,
            confidence=confidence,
            random_state=seed,
        )
    return certificate.bound, sum(certificate.group_sizes)


def _bound_figure(where: Figure, measure: str, bound: float, n: int, against: str) -> Figure:
    return replace(
        where,
        section="certificate",
        measure=measure,
        value=bound,
        n=n,
        against=against.removesuffix("s"),
        verdict=HOLDS if bound < 1 else "",
    )
