"""All figures of an audit, attribute by attribute; what trains probes runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from fairmi._data.groups import Groups
from fairmi.audit.figures.calibration import calibration_figures
from fairmi.audit.figures.conditional import conditional_figures
from fairmi.audit.figures.conditions import Condition
from fairmi.audit.figures.disparities import (
    change_figures,
    disparity_figures,
    overall_change_figures,
)
from fairmi.audit.figures.leakage import Task, leakage_tasks
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.figures.rates import group_figures, overall_figures
from fairmi.audit.records import Curve, Figure


@dataclass(frozen=True)
class Settings:
    """How figures are made: confidence of intervals, draws of the bootstrap, seed, processes."""

    confidence: float
    n_boot: int
    seed: int
    n_jobs: int | None
    verbose: bool


@dataclass
class Measured:
    """What was found so far."""

    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def measure(
    predictions: Predictions,
    baseline: Predictions | None,
    attributes: Sequence[Groups],
    conditions: Sequence[Condition],
    settings: Settings,
) -> Measured:
    """Measure everything for each attribute; show progress where the settings ask for it."""
    rng = np.random.default_rng(settings.seed)
    draws: dict[str, Any] = {"n_boot": settings.n_boot, "rng": rng}
    draws["confidence"] = settings.confidence
    found = Measured(overall_figures(predictions, settings.confidence))
    if baseline is not None:
        found.figures += overall_change_figures(predictions, baseline, **draws)
    tasks: list[Task] = []
    for groups in attributes:
        planned, notes = leakage_tasks(predictions, groups, settings.confidence, settings.seed)
        tasks += planned
        found.notes += notes
    bar = tqdm(
        total=len(attributes) + len(tasks), desc="audit", disable=not settings.verbose, leave=False
    )
    with bar:
        for groups in attributes:
            _compare_groups(found, predictions, baseline, groups, conditions, draws)
            bar.update()
        for figures in Parallel(n_jobs=settings.n_jobs, return_as="generator")(
            delayed(task)() for task in tasks
        ):
            found.figures += figures
            bar.update()
    return found


def _compare_groups(
    found: Measured,
    predictions: Predictions,
    baseline: Predictions | None,
    groups: Groups,
    conditions: Sequence[Condition],
    draws: dict[str, Any],
) -> None:
    """Add rates, disparities and calibration; within parts of the rows not of intersections."""
    found.figures += group_figures(predictions, groups, draws["confidence"])
    found.figures += disparity_figures(predictions, groups, **draws)
    if len(groups.names) == 1:
        found.figures += conditional_figures(predictions, groups, conditions, draws["confidence"])
    if baseline is not None:
        found.figures += change_figures(predictions, baseline, groups, **draws)
    figures, curves = calibration_figures(predictions, groups, **draws)
    found.figures += figures
    found.curves += curves
