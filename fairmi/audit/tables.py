"""Figures laid out as tables, the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fairmi.audit.counts import RATES
from fairmi.audit.records import Audit, Figure
from fairmi.audit.words import INTRODUCTION, SECTIONS, interval, name_of, number

Cell = str | Figure  # a figure as a cell shows its value with its interval


@dataclass(frozen=True)
class Table:
    """A titled table of one section and attribute; `rows` are as wide as `header`."""

    section: str
    attribute: str
    title: str
    introduction: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def tables_of(audit: Audit) -> list[Table]:
    """Return the tables of an audit, attribute by attribute."""
    attributes = dict.fromkeys(f.attribute for f in audit.figures if f.attribute)
    found = []
    for attribute in attributes:
        for section, lay_out in LAYOUTS.items():
            figures = [
                f
                for f in audit.figures
                if f.attribute == attribute and f.section in (section, BESIDE.get(section))
            ]
            if not any(f.section == section for f in figures):
                continue
            header, rows = lay_out(audit, figures)
            title = f"{SECTIONS[section]}: {attribute}"
            found.append(
                Table(section, attribute, title, INTRODUCTION[section], header, tuple(rows))
            )
    return found


Laid = tuple[tuple[str, ...], list[tuple[Cell, ...]]]


def _groups(audit: Audit, figures: Sequence[Figure]) -> Laid:
    """Lay out a row for each group, and with more than two classes for each class in it."""
    cells = {(f.group, f.subject, f.measure): f for f in figures}
    keys = list(dict.fromkeys((f.group, f.subject) for f in figures))
    by_class = any(subject for _, subject in keys)
    header = ("group", *(("class",) if by_class else ()), "rows", *map(name_of, RATES))
    rows: list[tuple[Cell, ...]] = []
    for group, subject in keys:
        rates = [cells.get((group, subject, measure), "") for measure in RATES]
        size = f"{cells[group, '', 'accuracy'].n:,}" if not subject else ""
        rows.append((group, *((subject,) if by_class else ()), size, *rates))
    return header, rows


def _gaps(audit: Audit, figures: Sequence[Figure]) -> Laid:
    rows: list[tuple[Cell, ...]] = [
        (name_of(f.measure), number(f.value), interval(f), number(f.by_chance)) for f in figures
    ]
    return ("measure", "value", _confidence(audit), "by chance"), rows


def _changes(audit: Audit, figures: Sequence[Figure]) -> Laid:
    """Lay out accuracy, which is of all rows, then the differences between groups."""
    figures = [
        f for f in audit.figures if f.section in ("baseline", "change") and not f.attribute
    ] + list(figures)
    theirs = {f.measure: f.value for f in figures if f.section == "baseline"}
    rows: list[tuple[Cell, ...]] = [
        (
            name_of(f.measure),
            number(theirs[f.measure] + f.value),
            number(theirs[f.measure]),
            number(f.value, signed=True),
            interval(f, signed=True),
        )
        for f in figures
        if f.section == "change"
    ]
    return ("measure", "model", "baseline", "change", _confidence(audit)), rows


def _calibrations(audit: Audit, figures: Sequence[Figure]) -> Laid:
    by_measure = {(f.group, f.measure): f for f in figures}
    rows: list[tuple[Cell, ...]] = []
    for group in dict.fromkeys(f.group for f in figures):
        error = by_measure[group, "expected_calibration_error"]
        excess = by_measure[group, "mean_score_excess"]
        rows.append(
            (
                group,
                f"{error.n:,}",
                number(error.value),
                number(error.by_chance),
                number(excess.value, signed=True),
                interval(excess, signed=True),
            )
        )
    error_name, excess_name = map(name_of, ("expected_calibration_error", "mean_score_excess"))
    return ("group", "rows", error_name, "by chance", excess_name, _confidence(audit)), rows


def _leaks(audit: Audit, figures: Sequence[Figure]) -> Laid:
    """Lay out what was examined, the score of the best probe, and the test beside it."""
    by_measure = {(f.subject, f.measure): f for f in figures}
    rows: list[tuple[Cell, ...]] = []
    for subject, measure in by_measure:
        if measure in ("balanced_accuracy", "p_value"):
            continue
        score, accuracy, p_value = (
            by_measure[subject, name] for name in (measure, "balanced_accuracy", "p_value")
        )
        p_text = number(p_value.value) if p_value.value >= 0.001 else "<0.001"
        chance = number(score.by_chance)
        rows.append((subject, score, chance, number(accuracy.value), p_text))
    score_name = next(name_of(f.measure) for f in figures)
    return ("from", score_name, "by chance", "balanced accuracy", "p-value"), rows


def _informations(audit: Audit, figures: Sequence[Figure]) -> Laid:
    rows: list[tuple[Cell, ...]] = [(f.subject, f, number(f.by_chance)) for f in figures]
    return ("from", name_of("mutual_information"), "by chance"), rows


def _certificates(audit: Audit, figures: Sequence[Figure]) -> Laid:
    rows: list[tuple[Cell, ...]] = [
        (f.subject, number(f.value) if f.value < 1 else "none: too many values") for f in figures
    ]
    return ("from", name_of("demographic_parity_bound")), rows


def _confidence(audit: Audit) -> str:
    return f"{100 * audit.about['confidence']:g} % interval"


LAYOUTS: dict[str, Callable[[Audit, Sequence[Figure]], Laid]] = {
    "group": _groups,
    "gap": _gaps,
    "change": _changes,
    "calibration": _calibrations,
    "leakage": _leaks,
    "information": _informations,
    "certificate": _certificates,
}
BESIDE = {"change": "baseline"}  # sections that a table draws on besides its own
