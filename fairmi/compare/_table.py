"""From outcomes to the rows of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fairmi.compare._measures import METRICS, fold_interval, percentile_interval
from fairmi.compare._methods import Method
from fairmi.compare._run import FoldOutcome, Result, Setting, unbettered

CHOSEN = "chosen in the folds"


def split_rows(
    method: Method, settings: Sequence[Setting], outcomes: Sequence[Result]
) -> list[dict[str, Any]]:
    """Rows of a method measured once on test rows, with intervals over their bootstrap draws."""
    kept = list(range(len(settings)))
    if method.screened:
        kept = unbettered([o.validation for o in outcomes if o.validation is not None])
    return [
        _row(
            method,
            _words(settings[k]),
            {name: draws[0] for name, draws in outcomes[k].metrics.items()},
            {name: percentile_interval(draws[1:]) for name, draws in outcomes[k].metrics.items()},
            [outcomes[k]],
        )
        for k in kept
    ]


def fold_rows(
    method: Method, settings: Sequence[Setting], folds: Sequence[FoldOutcome], test_share: float
) -> list[dict[str, Any]]:
    """Rows of a method measured on every fold, with intervals of the mean over folds."""
    lines = []
    if not method.screened or len(settings) == 1:
        for k, setting in enumerate(settings):
            lines.append((_words(setting), [fold.outcomes[k] for fold in folds]))
    if len(settings) > 1:
        lines.append((CHOSEN, [fold.outcomes[fold.chosen] for fold in folds]))
    rows = []
    for words, outcomes in lines:
        values = {name: np.array([o.metrics[name][0] for o in outcomes]) for name in METRICS}
        means = {name: value.mean() for name, value in values.items()}
        intervals = {name: fold_interval(value, test_share) for name, value in values.items()}
        rows.append(_row(method, words, means, intervals, outcomes))
    return rows


def _row(
    method: Method,
    setting: str,
    values: dict[str, float],
    intervals: dict[str, tuple[float, float]],
    outcomes: Sequence[Result],
) -> dict[str, Any]:
    row: dict[str, Any] = {"method": method.name, "setting": setting}
    row["reads_group"] = method.reads_group
    for name in METRICS:
        row[name] = float(values[name])
        row[f"{name}_low"], row[f"{name}_high"] = (np.clip(v, 0, 1) for v in intervals[name])
    row["probe_auc"] = float(np.mean([outcome.probe_auc for outcome in outcomes]))
    row["fit_seconds"] = float(np.mean([outcome.fit_seconds for outcome in outcomes]))
    row["notes"] = "; ".join(sorted({note for outcome in outcomes for note in outcome.notes}))
    return row


def _words(setting: Setting) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in setting.items())
