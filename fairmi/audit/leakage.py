"""What representation, scores and predictions tell of the sensitive features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import csr_array, issparse

from fairmi._data.groups import Groups
from fairmi._data.values import is_frame
from fairmi.audit.comparisons import attribute_name
from fairmi.audit.measures import BESIDE_SCORE, FOUND, HOLDS, NOTHING, UNCLEAR, Figure, agreed
from fairmi.audit.predictions import Forecasts, Predictions, recoded
from fairmi.metrics._cross_fit import Sample
from fairmi.metrics._representation import Representation, read_representation
from fairmi.metrics._rows import repeated_values
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
) -> tuple[list[Task], list[str]]:
    """Return what is to be measured of all that leaves the model, and notes on what is not.

    Each task trains its own probes, so that they may run side by side. Every probe is trained on
    all rows and on the rows of each label: what is independent of the group may tell it together
    with the label, which the model's users get to know. Intersections of several features have a
    certificate only: a probe that can't tell any of the features has little chance with all of
    them, and most intersections are small. Where the feature is a quantity, (n_rows,), probes
    predict its value, not the bin.
    """
    name, n_rows = attribute_name(groups), predictions.n_rows
    rows = draw_rows(n_rows, predictions.clusters, MAX_CERTIFIED, seed)
    rows = rows if predictions.sample is None else predictions.sample
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
    certified = {"clusters": some.clusters, "confidence": confidence, "random_state": seed}
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
        spread = np.ptp(predictions.predicted) if isinstance(predictions, Forecasts) else None
        labels = some.true if is_linear and predictions.labelled else None
        tasks.append(partial(_certificates, Z, labels, spread, features, certified, where))
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
    """Return whether all rows can be probed, the rows of each label that can, and notes.

    Groups that have too few rows of a label for the folds have no part in it.
    """
    name, clusters = attribute_name(groups), predictions.clusters
    if len(groups.names) > 1:
        return False, [], []
    everyone = np.arange(len(codes))
    if len(np.unique(codes)) < 2 or not _can_be_dealt(codes, clusters, everyone):
        unit = "rows" if clusters is None else "clusters"
        note = f"A group by {name} has fewer than {FOLDS} {unit}: no probe was trained."
        return False, [], [note]
    if not predictions.labelled:
        return True, [], []
    strata, stratum = [], predictions.strata
    n_strata = int(stratum.max()) + 1
    for k in range(n_strata):
        rows = np.flatnonzero(stratum == k)
        enough = _owners(codes[rows], None if clusters is None else clusters[rows]) >= FOLDS
        rows = rows[enough[codes[rows]]]
        if enough.sum() > 1 and _can_be_dealt(codes, clusters, rows):
            strata.append(rows)
    if len(strata) == n_strata:
        return True, strata, []
    note = (
        f"Not every label has {FOLDS} rows of two groups by {name}: within the others no "
        "probe was trained."
    )
    return True, strata, [note]


def _can_be_dealt(codes: np.ndarray, clusters: np.ndarray | None, rows: np.ndarray) -> bool:
    """Whether each group has rows for each fold, no cluster split."""
    groups = recoded(codes[rows])
    clusters = None if clusters is None else clusters[rows]
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
    low, high = leak.interval
    where = replace(where, n=leak.n_rows, verdict=verdict)
    score = replace(where, measure=leak.metric, value=leak.score, low=low, high=high)
    beside = [replace(where, measure=name, value=getattr(leak, name)) for name in BESIDE_SCORE]
    return [
        replace(score, by_chance=leak.null_quantile),
        *(f for f in beside if f.measure != "rounded_score" or not np.isnan(f.value)),
    ]


def _information_figure(nats: MutualInformationReport, where: Figure) -> Figure:
    low, high = nats.interval
    verdict = agreed(low > 0, nats.score > nats.null_bound)
    where = replace(where, section="information", measure="mutual_information", verdict=verdict)
    where = replace(where, value=nats.score, low=low, high=high, by_chance=nats.null_bound)
    return replace(where, n=nats.n_rows)


def _features(groups: Groups) -> pd.DataFrame:
    """Return a column of categories for each feature: intersections without a row count too."""
    labels = groups.labels if len(groups.names) > 1 else [(label,) for label in groups.labels]
    columns = {}
    for j in range(len(groups.names)):
        names = [label[j] for label in labels]
        names = [str(name) if isinstance(name, pd.Interval) else name for name in names]
        columns[j] = pd.Categorical(names).take(groups.codes)
    return pd.DataFrame(columns)


def _certificates(
    Z: Representation,
    label: np.ndarray | None,
    spread: float | None,
    features: pd.DataFrame,
    options: dict[str, Any],
    where: Figure,
) -> list[Figure]:
    """Return the bounds on what is computed from Z, and for scores on thresholds of them.

    Of numbers, which are `spread` apart at most, on KS, and on means and Wasserstein-1: the
    difference of two distribution functions is at most the bound, between the smallest and the
    largest value, and 0 beyond: its area, and that of its sign, are at most the product.
    """
    of_thresholds = "scores" if spread is None else "predictions"
    whom = ["classifiers"] + ["thresholds"] * (where.subject == of_thresholds)
    constraints = ["demographic_parity"] + ["equalized_odds"] * (label is not None)
    figures = []
    for against, constraint in product(whom, constraints):
        y = label if constraint == "equalized_odds" else None
        with _quietly():
            certificate = certify(
                Z, features, y=y, constraint=constraint, against=against, **options
            )
        bound = certificate.bound
        of_bound = replace(
            where,
            section="certificate",
            measure=f"{constraint}_bound" if spread is None else "ks_bound",
            value=bound,
            n=sum(certificate.group_sizes),
            against=against.removesuffix("s"),
            verdict=HOLDS if bound < 1 else "",
        )
        figures.append(of_bound)
        if spread is not None:
            of_means = replace(of_bound, measure="mean_difference_bound")
            figures.append(replace(of_means, value=float(bound * spread)))
    return figures


def repeated_note(X: Any, clusters: np.ndarray | None, codes: np.ndarray) -> str:
    """Say that many rows of X equal another and share its group; "" if not, or with clusters."""
    if X is None or clusters is not None:
        return ""
    value = np.unique(_row_hashes(X), return_inverse=True)[1].reshape(-1)
    one_column = len(X.shape) == 1 or X.shape[1] == 1 if hasattr(X, "shape") else False
    return repeated_values(value, codes, one_column=one_column)


def _row_hashes(X: Any) -> np.ndarray:
    """Return a 64-bit hash of each row of a table in any form, (n_rows,)."""
    if issparse(X):  # equal rows have equal sums, in the order of their columns
        rows = csr_array(X, copy=True)
        rows.sum_duplicates()
        return rows @ np.random.default_rng(0).normal(size=rows.shape[1])
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True).to_pandas()
    else:
        array = np.asarray(X)
        frame = pd.DataFrame(array.reshape(len(array), -1))
    try:
        return pd.util.hash_pandas_object(frame, index=False).to_numpy()
    except TypeError:  # values without a hash, such as lists, by their text
        return pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy()
