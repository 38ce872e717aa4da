"""Figures laid out as tables, the same for a terminal, a page and a card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fairmi.audit.figures.outcomes import RATES
from fairmi.audit.records import AuditRecord, Figure
from fairmi.audit.render.verdicts import (
    calibration_verdict,
    change_verdict,
    conditional_verdict,
    disparity_verdict,
    information_verdict,
    leakage_verdict,
)
from fairmi.audit.render.words import INTRODUCTION, SECTIONS, interval, name_of, number, p_text

MAX_PARTS = 15  # parts of the rows shown, of those within which groups are compared

Cell = str | Figure  # a figure as a cell shows its value with its interval


@dataclass(frozen=True)
class Table:
    """A titled table of one section and attribute; `rows` are as wide as `header`.

    The first `n_headers` cells of a row say what the row is of, in words.
    """

    section: str
    attribute: str
    title: str
    introduction: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_headers: int = 1


Laid = tuple[tuple[str, ...], list[tuple[Cell, ...]], int]


def tables_of(audit: AuditRecord) -> list[Table]:
    """Return the tables of an audit, attribute by attribute."""
    found = []
    for attribute in audit.attributes:
        for section, lay_out in LAYOUTS.items():
            if not audit.section(section, attribute):
                continue
            header, rows, n_headers = lay_out(audit, attribute)
            title = f"{SECTIONS[section]}: {attribute}"
            words = (title, INTRODUCTION[section])
            found.append(Table(section, attribute, *words, header, tuple(rows), n_headers))
    return found


def _groups(audit: AuditRecord, attribute: str) -> Laid:
    """Lay out a row for each group, and with more than two classes for each class in it."""
    figures = audit.section("group", attribute)
    cells = {(f.group, f.subject, f.measure): f for f in figures}
    keys = list(dict.fromkeys((f.group, f.subject) for f in figures))
    by_class = any(subject for _, subject in keys)
    header = ("group", *(("class",) if by_class else ()), "rows", *map(name_of, RATES))
    rows: list[tuple[Cell, ...]] = []
    for group, subject in keys:
        rates = [cells.get((group, subject, measure), "") for measure in RATES]
        size = f"{cells[group, '', 'accuracy'].n:,}" if not subject else ""
        rows.append((group, *((subject,) if by_class else ()), size, *rates))
    return header, rows, 1 + by_class


def _disparities(audit: AuditRecord, attribute: str) -> Laid:
    rows: list[tuple[Cell, ...]] = [
        (
            name_of(f.measure),
            disparity_verdict(f),
            number(f.value),
            interval(f),
            number(f.by_chance),
        )
        for f in audit.section("disparity", attribute)
    ]
    return ("measure", "difference", "value", _confidence(audit), "by chance"), rows, 1


def _conditional(audit: AuditRecord, attribute: str) -> Laid:
    """Lay out the worst parts: the groups selected most and least often there."""
    rows: list[tuple[Cell, ...]] = []
    for figure in audit.section("conditional", attribute)[:MAX_PARTS]:
        part = figure.condition + (f", class {figure.subject}" if figure.subject else "")
        often, seldom = extreme_groups(audit, figure)
        rows.append(
            (
                part,
                conditional_verdict(figure),
                f"{figure.n:,}",
                _of_group(often),
                _of_group(seldom),
                number(figure.value),
                interval(figure),
            )
        )
    header = ("within", "difference", "rows", "selected most", "selected least", "apart by")
    return (*header, _confidence(audit)), rows, 1


def extreme_groups(audit: AuditRecord, figure: Figure) -> tuple[Figure, Figure]:
    """Return the selection rates of the groups that a disparity is between, the larger first."""
    section = "conditional group" if figure.condition else "group"
    rates = [
        f
        for f in audit.section(section, figure.attribute)
        if f.measure == "selection_rate"
        and (f.condition, f.subject) == (figure.condition, figure.subject)
    ]
    return max(rates, key=lambda f: f.value), min(rates, key=lambda f: f.value)


def _of_group(figure: Figure) -> str:
    return f"{figure.group}: {number(figure.value)}"


def _changes(audit: AuditRecord, attribute: str) -> Laid:
    """Lay out accuracy, which is of all rows, then the differences between groups."""
    before = audit.section("baseline", "") + audit.section("baseline", attribute)
    theirs = {f.measure: f.value for f in before}
    rows: list[tuple[Cell, ...]] = [
        (
            name_of(f.measure),
            change_verdict(f),
            number(theirs[f.measure] + f.value),
            number(theirs[f.measure]),
            number(f.value, signed=True),
            interval(f, signed=True),
        )
        for f in audit.section("change", "") + audit.section("change", attribute)
    ]
    header = ("measure", "finding", "model", "baseline", "change", _confidence(audit))
    return header, rows, 1


def _calibrations(audit: AuditRecord, attribute: str) -> Laid:
    figures = audit.section("calibration", attribute)
    by_measure = {(f.group, f.measure): f for f in figures}
    rows: list[tuple[Cell, ...]] = []
    for group in dict.fromkeys(f.group for f in figures):
        error = by_measure[group, "expected_calibration_error"]
        excess = by_measure[group, "mean_score_excess"]
        rows.append(
            (
                group,
                calibration_verdict(error, excess),
                f"{error.n:,}",
                number(error.value),
                number(error.by_chance),
                number(excess.value, signed=True),
                interval(excess, signed=True),
            )
        )
    names = [name_of(m) for m in ("expected_calibration_error", "mean_score_excess")]
    header = ("group", "error", "rows", names[0], "by chance", names[1], _confidence(audit))
    return header, rows, 1


def _leaks(audit: AuditRecord, attribute: str) -> Laid:
    """Lay out what was examined, the score of the best probe, and the test beside it."""
    rows: list[tuple[Cell, ...]] = []
    found = leaks_of(audit, attribute)
    for score, accuracy, p_value in found:
        rows.append(
            (
                score.subject,
                score.condition or "all",
                leakage_verdict(score, p_value),
                score,
                number(score.by_chance),
                number(accuracy.value),
                p_text(p_value.value),
            )
        )
    names = list(dict.fromkeys(name_of(score.measure) for score, _, _ in found))
    header = ("from", "rows of", "leak", " or ".join(names), "by chance", "balanced accuracy")
    return (*header, "p-value"), rows, 2


def leaks_of(audit: AuditRecord, attribute: str) -> list[tuple[Figure, Figure, Figure]]:
    """Return score, balanced accuracy and p-value of all that was probed."""
    figures = audit.section("leakage", attribute)
    by_measure = {(f.subject, f.condition, f.measure): f for f in figures}
    return [
        (
            figure,
            by_measure[figure.subject, figure.condition, "balanced_accuracy"],
            by_measure[figure.subject, figure.condition, "p_value"],
        )
        for figure in figures
        if figure.measure not in ("balanced_accuracy", "p_value")
    ]


def _informations(audit: AuditRecord, attribute: str) -> Laid:
    rows: list[tuple[Cell, ...]] = [
        (f.subject, f.condition or "by itself", information_verdict(f), f, number(f.by_chance))
        for f in audit.section("information", attribute)
    ]
    return ("from", "how", "information", name_of("mutual_information"), "by chance"), rows, 2


def _certificates(audit: AuditRecord, attribute: str) -> Laid:
    figures = audit.section("certificate", attribute)
    by = {(f.subject, f.condition, f.measure): f for f in figures}
    measures = ("demographic_parity_bound", "equalized_odds_bound")
    rows: list[tuple[Cell, ...]] = [
        (subject, whom, *(_bound(by[subject, whom, measure]) for measure in measures))
        for subject, whom in dict.fromkeys((f.subject, f.condition) for f in figures)
    ]
    return ("from", "of", *map(name_of, measures)), rows, 2


def _bound(figure: Figure) -> str:
    if figure.value < 1:
        return number(figure.value)
    return "none: too many values" if figure.condition == "any classifier" else "none"


def _confidence(audit: AuditRecord) -> str:
    return f"{100 * audit.about['confidence']:g} % interval"


LAYOUTS: dict[str, Callable[[AuditRecord, str], Laid]] = {
    "group": _groups,
    "disparity": _disparities,
    "conditional": _conditional,
    "change": _changes,
    "calibration": _calibrations,
    "leakage": _leaks,
    "information": _informations,
    "certificate": _certificates,
}
