"""An audit in short: what was found, in words for those who decide, and what to do next."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fairmi.audit.records import AuditRecord, Figure
from fairmi.audit.render.figure_tables import extreme_groups, leaks_of
from fairmi.audit.render.verdicts import (
    FOUND,
    NOT_MEASURED,
    UNCLEAR,
    calibration_verdict,
    change_verdict,
    conditional_verdict,
    disparity_verdict,
    leakage_verdict,
    worst,
)
from fairmi.audit.render.words import interval, name_of, number, p_text, percent
from fairmi.metrics.certificate import percent as percent_of

FOUR_FIFTHS = 0.8
SMALL = 0.05  # a difference that is called parity where a part is compared with the whole
PARTS = "within parts"
PARITY = "demographic_parity_difference"
ODDS = "equalized_odds_difference"


@dataclass(frozen=True)
class Statement:
    """One finding: on what topic, for which sensitive feature, the verdict, and a sentence."""

    topic: str
    attribute: str
    verdict: str
    text: str


def statements(audit: AuditRecord) -> list[Statement]:
    """Return the findings, those of each sensitive feature in turn.

    The verdicts are those of the tables, so that the two can't contradict each other.
    """
    found = []
    for attribute in audit.attributes:
        made = (
            _parity(audit, attribute),
            _parts(audit, attribute),
            _odds(audit, attribute),
            _calibration(audit, attribute),
            _leakage(audit, attribute),
            _certificate(audit, attribute),
            _change(audit, attribute),
        )
        found += [statement for statement in made if statement is not None]
    return found


def accuracy_sentence(audit: AuditRecord) -> str:
    """Say how often the model is right."""
    (figure,) = [f for f in audit.section("overall") if f.measure == "accuracy"]
    return (
        f"The model is right on {percent(figure.value)} of the rows ({percent(figure.low)} to "
        f"{percent(figure.high)})."
    )


def _parity(audit: AuditRecord, attribute: str) -> Statement | None:
    figures = {f.measure: f for f in audit.section("disparity", attribute)}
    if PARITY not in figures:
        return None
    figure = figures[PARITY]
    often, seldom = _widest(audit, attribute)
    what = f"class {often.subject}" if often.subject else "a positive prediction"
    text = (
        f"Of {often.group}, {percent(often.value)} get {what}, of {seldom.group} "
        f"{percent(seldom.value)}: a difference of {_with_chance(figure)}"
    )
    ratio = figures.get("demographic_parity_ratio")
    if ratio is not None and ratio.value < FOUR_FIFTHS and not often.subject:
        text += (
            f" The smaller share is {number(ratio.value)} of the larger; guidelines for hiring in "
            "the US (29 CFR 1607.4 D) take less than 0.8 for a sign of adverse impact."
        )
    return Statement("parity", attribute, disparity_verdict(figure), text)


def _widest(audit: AuditRecord, attribute: str) -> tuple[Figure, Figure]:
    """Return the largest and smallest selection rate, of the class in which they differ most."""
    rates = [f for f in audit.section("group", attribute) if f.measure == "selection_rate"]
    pairs = []
    for subject in dict.fromkeys(f.subject for f in rates):
        of_class = [f for f in rates if f.subject == subject and not math.isnan(f.value)]
        pairs.append((max(of_class, key=lambda f: f.value), min(of_class, key=lambda f: f.value)))
    return max(pairs, key=lambda pair: pair[0].value - pair[1].value)


def _parts(audit: AuditRecord, attribute: str) -> Statement | None:
    """Say what parity over all rows is made of, by the part in which it holds least."""
    figures = audit.section("conditional", attribute)
    if not figures:
        return None
    figure = next((f for f in figures if not f.condition.startswith("label = ")), figures[0])
    figure = figure if conditional_verdict(figure) == FOUND else figures[0]
    verdict = worst([conditional_verdict(f) for f in figures])
    n_found = sum(conditional_verdict(f) == FOUND for f in figures)
    if verdict != FOUND:
        text = f"In none of {len(figures)} parts of the rows do the groups surely differ."
        return Statement(PARTS, attribute, verdict, text)
    whole = next((f for f in audit.section("disparity", attribute) if f.measure == PARITY), None)
    often, seldom = extreme_groups(audit, figure)
    start = "Among"
    if whole is not None:
        start = f"Over all rows the difference is {number(whole.value)}, but among"
        if disparity_verdict(whole) != FOUND or whole.value < SMALL:
            start = f"Parity overall at {number(whole.value)}, but among"
    text = (
        f"{start} the {figure.n:,} rows with {figure.condition}, {often.group} are selected at "
        f"{number(often.value)}{_base(audit, often)} and {seldom.group} at "
        f"{number(seldom.value)}{_base(audit, seldom)}: a difference of {number(figure.value)} "
        f"({interval(figure)}). The groups differ in {n_found} of {len(figures)} parts."
    )
    return Statement(PARTS, attribute, verdict, text)


def _base(audit: AuditRecord, rate: Figure) -> str:
    """Say how often the label is positive in the group, within the part; "" within a label."""
    if rate.condition.startswith("label = "):
        return ""
    share = next(
        f.value
        for f in audit.section("conditional group", rate.attribute)
        if f.measure == "base_rate"
        and (f.condition, f.subject, f.group) == (rate.condition, rate.subject, rate.group)
    )
    return f" (their label is positive at {number(share)})"


def _odds(audit: AuditRecord, attribute: str) -> Statement | None:
    figure = next((f for f in audit.section("disparity", attribute) if f.measure == ODDS), None)
    if figure is None:
        return None
    if math.isnan(figure.value):
        text = "No two groups have rows of the same label to compare."
        return Statement("odds", attribute, NOT_MEASURED, text)
    text = (
        "Among people of the same label, the share that gets the same prediction differs between "
        f"groups by up to {_with_chance(figure)}"
    )
    return Statement("odds", attribute, disparity_verdict(figure), text)


def _with_chance(figure: Figure) -> str:
    chance = (
        "" if math.isnan(figure.by_chance) else f"; chance explains {number(figure.by_chance)}"
    )
    return f"{number(figure.value)} ({interval(figure)}{chance})."


def _calibration(audit: AuditRecord, attribute: str) -> Statement | None:
    figures = audit.section("calibration", attribute)
    if not figures:
        return None
    by = {(f.group, f.measure): f for f in figures}
    verdicts, off = [], []
    for group in dict.fromkeys(f.group for f in figures):
        error, excess = by[group, "expected_calibration_error"], by[group, "mean_score_excess"]
        verdicts.append(calibration_verdict(error, excess))
        if verdicts[-1] == FOUND:
            off.append(f"of {group} by {number(error.value)} on average{_way(excess)}")
    verdict = worst(verdicts)
    text = {
        FOUND: f"Scores are off: those {'; '.join(off)}. Chance explains less.",
        UNCLEAR: "Scores may be off in some group: their mean is, their error is within chance.",
    }.get(verdict, "A score means the same in every group, as far as these rows tell.")
    return Statement("calibration", attribute, verdict, text)


def _way(excess: Figure) -> str:
    if excess.low > 0:
        return ", promising more than came true"
    return ", promising less than came true" if excess.high < 0 else ""


def _leakage(audit: AuditRecord, attribute: str) -> Statement | None:
    leaks = leaks_of(audit, attribute)
    if not leaks:
        return None
    verdict = worst([leakage_verdict(score, p) for score, _, p in leaks])
    sentences = []
    for subject in dict.fromkeys(score.subject for score, _, _ in leaks):
        of_subject = [leak for leak in leaks if leak[0].subject == subject]
        flagged = [leak for leak in of_subject if leakage_verdict(leak[0], leak[2]) == FOUND]
        if not flagged:
            continue
        score, _, p = flagged[0]
        part = f" {score.condition}" if score.condition else ""
        sentences.append(
            f"From its {subject} a fresh probe tells {attribute}{part}: {name_of(score.measure)} "
            f"{number(score.value)} ({interval(score)}; p-value {p_text(p.value)})."
        )
    if verdict != FOUND:
        names = " or ".join(dict.fromkeys(score.subject for score, _, _ in leaks))
        sentences = [
            f"No test finds that its {names} tell {attribute}; that is no proof that they don't."
        ]
        if verdict == UNCLEAR:
            sentences.append("A probe's score is beyond chance, though.")
    return Statement("leakage", attribute, verdict, " ".join(sentences))


def _certificate(audit: AuditRecord, attribute: str) -> Statement | None:
    bounds = [f for f in audit.section("certificate", attribute) if f.value < 1]
    bounds = [f for f in bounds if f.subject != "predictions"]
    if not bounds:
        return None
    found: dict[tuple[str, str], list[str]] = {}
    for f in bounds:
        what = f.measure.removesuffix("_bound").replace("_", " ")
        whom = (f.condition, f.subject)
        found.setdefault(whom, []).append(f"{what} difference above {number(f.value)}")
    text = " ".join(
        f"No {whom.removeprefix('any ')} on its {subject}, by anyone, has a "
        f"{' or an '.join(differences)}."
        for (whom, subject), differences in found.items()
    )
    start = (
        f"At {percent_of(audit.about['confidence'])} confidence each, if these are rows that took "
        "no part in training: "
    )
    return Statement("certificate", attribute, "given", start + text)


def _change(audit: AuditRecord, attribute: str) -> Statement | None:
    figures = {f.measure: f for f in audit.section("change", attribute)}
    overall = [f for f in audit.section("change", "") if f.measure == "accuracy"]
    if PARITY not in figures or not overall:
        return None
    figure = figures[PARITY]
    before = next(f for f in audit.section("baseline", attribute) if f.measure == PARITY)
    text = (
        f"The demographic parity difference is {number(before.value + figure.value)}, the "
        f"baseline's {number(before.value)}: a change of {number(figure.value, signed=True)} "
        f"({interval(figure, signed=True)}). Accuracy changes by "
        f"{number(overall[0].value, signed=True)} ({interval(overall[0], signed=True)})."
    )
    return Statement("against the baseline", attribute, change_verdict(figure), text)
