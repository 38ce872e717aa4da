"""An audit in short: what its figures come to, in words for those who decide, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fairmi.audit.measures import (
    BESIDE_SCORE,
    FOUND,
    HOLDS,
    NOT_MEASURED,
    NOTHING,
    UNCLEAR,
    Curve,
    Figure,
    criterion_of,
    name_of,
    worst,
)
from fairmi.metrics.certificate import percent as percent_of

FOUR_FIFTHS = 0.8
SMALL = 0.05  # a difference that is called parity where a part is compared with the whole
PARTS = "within parts"
PROBABLE = "probable groups"
CALIBRATION = "calibration"
LEAKAGE = "leakage"
CERTIFICATE = "certificate"
BASELINE = "against the baseline"

ADVICE = {  # on what to do about a finding that is no difference between groups
    PARTS: (
        "let someone who knows the use of the model say of the worst parts of the rows whether "
        "what they have in common is a legitimate ground to treat groups differently there."
    ),
    CALIBRATION: "recalibrate the scores before anyone reads one as a probability.",
    PROBABLE: (
        "the difference is there whatever the groups are: decide whether the use of the model "
        "allows it."
    ),
    LEAKAGE: (
        "treat what leaks as data on the group. Don't hand it to anyone who may not know that, "
        "and don't build on it what must not depend on it."
    ),
}
SPELT_OUT = {  # what a verdict is on, which the topic alone leaves open
    CALIBRATION: "error",
    LEAKAGE: "leak",
}


@dataclass(frozen=True)
class Finding:
    """What the figures of one topic come to, for one sensitive feature.

    Its verdict is the worst of theirs, so that the two can't contradict each other.
    """

    topic: str
    attribute: str
    verdict: str
    text: str
    figures: tuple[Figure, ...]

    @property
    def words(self) -> str:
        """The verdict, spelt out."""
        return spelt_out(self.topic, self.verdict)


def spelt_out(topic: str, verdict: str) -> str:
    """Return a verdict on a topic as words that need no context."""
    noun = SPELT_OUT.get(topic, "difference")
    return {
        FOUND: f"{noun} found",
        NOTHING: f"no {noun} found",
        UNCLEAR: f"{noun} unclear",
        HOLDS: "bound holds",
    }.get(verdict, verdict)


@dataclass(frozen=True, repr=False)
class Figures:
    """All that an audit measured, by section and sensitive feature; `Audit` says what is in it."""

    about: dict[str, Any]
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]

    @property
    def attributes(self) -> list[str]:
        """The sensitive features, and their intersection where there are several."""
        return list(dict.fromkeys(f.attribute for f in self.figures if f.attribute))

    @property
    def of_numbers(self) -> bool:
        """Whether a regressor was audited."""
        return bool(self.about.get("task") == "regression")

    def section(self, name: str, attribute: str | None = None) -> list[Figure]:
        """Return the figures of one section, of one sensitive feature if that is given."""
        return [
            figure
            for figure in self.figures
            if figure.section == name and attribute in (None, figure.attribute)
        ]

    def rate_of(self, section: str, figure: Figure, group: str, rate: str = "") -> str:
        """Return a group's rate behind a comparison: the one compared, or another of its part.

        As a report shows it; "" where it was not measured.
        """
        for f in self.section(section, figure.attribute):
            same = (f.group, f.subject, f.part) == (group, figure.subject, figure.part)
            if same and f.measure == (rate or figure.rate):
                return number(f.value)
        return ""


def findings_of(audit: Figures) -> list[Finding]:
    """Return the findings, those of each sensitive feature in turn."""
    findings: list[Finding] = []
    for attribute in audit.attributes:
        disparities = audit.section("disparity", attribute)
        for figure in disparities:
            criterion, _, kind = figure.measure.rpartition("_")
            if kind == "difference":
                ratios = [f for f in disparities if f.measure == f"{criterion}_ratio"]
                topic, text = _difference(audit, criterion, figure, ratios)
                figures = (figure, *ratios)
                findings.append(Finding(topic, attribute, figure.verdict, text, figures))
        for topic, (sections, say) in TOPICS.items():
            of_topic = [f for section in sections for f in audit.section(section, attribute)]
            if of_topic and topic == BASELINE:
                of_topic = audit.section("change", "") + of_topic
            text = say(audit, of_topic) if of_topic else ""
            if text:
                verdict = worst(of_topic)
                findings.append(Finding(topic, attribute, verdict, text, tuple(of_topic)))
    return findings


def next_steps(audit: Figures) -> list[str]:
    """Return what the findings ask for, one thing to do each."""
    findings = findings_of(audit)
    asked: dict[tuple[str, str], list[str]] = {}  # topics that ask for the same
    for topic in dict.fromkeys(finding.topic for finding in findings):
        figure = next(f.figures[0] for f in findings if f.topic == topic)
        advice = ADVICE.get(topic, "")
        if figure.section == "disparity":
            advice = criterion_of(figure.measure.removesuffix("_difference")).advice
        elif topic == CALIBRATION and audit.of_numbers:
            advice = "recalibrate the predictions before anyone compares one with an amount."
        by = [f.attribute for f in findings if (f.topic, f.verdict) == (topic, FOUND)]
        if advice and by:
            asked.setdefault((advice, listed(by)), []).append(topic)
    steps = [
        f"{capital(listed(topics))} by {by}: {advice}" for (advice, by), topics in asked.items()
    ]
    undecided = [f for f in findings if f.verdict in (UNCLEAR, NOT_MEASURED)]
    vague = [f.attribute for f in undecided if f.topic == PROBABLE]
    if vague:
        steps.append(
            f"The probabilities of {listed(vague)} fit truths with and without a difference: more "
            "rows would not decide; sharper probabilities, or the groups of some rows, would."
        )
    few = [f"{f.topic} by {f.attribute}" for f in undecided if f.topic != PROBABLE]
    if few:
        steps.append(f"Gather more rows: these are too few to decide on {listed(few)}.")
    if not steps:
        steps.append("Nothing that was looked at asks for a change.")
    return [*steps, "Audit again, on new rows, when the model or those it decides about change."]


def overall_sentence(audit: Figures) -> str:
    """Say how often the model is right, or where labels are not known whom it selects."""
    figures = {f.measure: f for f in audit.section("overall") if not f.subject}
    if audit.of_numbers:
        shown = ("rmse", "explained") if "explained" in figures else ("mean_prediction",)
        words = " and ".join(f"{name_of(m)} {with_interval(figures[m])}" for m in shown)
        return f"The model has {words}."
    for measure in ("accuracy", "selection_rate"):
        if measure in figures:
            return f"The model's {name_of(measure)} is {with_interval(figures[measure])}."
    return ""


def _difference(
    audit: Figures, criterion: str, figure: Figure, ratios: list[Figure]
) -> tuple[str, str]:
    """Say by a criterion which groups differ most, and by how much: its topic, and a text."""
    topic = criterion_of(criterion).topic
    if figure.verdict == NOT_MEASURED:
        return topic, "No two groups have rows to compare."
    if criterion in ("ks", "wasserstein"):
        text = f"{name_of(figure.measure)} of {figure.most} and {figure.least}: "
        text += f"{with_chance(figure)}."
        return topic, text + (_beside_ks(audit, figure) if criterion == "ks" else "")
    most, least = (audit.rate_of("group", figure, g) for g in (figure.most, figure.least))
    rates = capital(name_of(figure.rate)) + (f" of {figure.subject}" if figure.subject else "")
    if most and least:
        rates += f": {most} in {figure.most}, {least} in {figure.least}"
    text = f"{rates}: a difference of {with_chance(figure)}."
    for ratio in ratios:
        if audit.of_numbers:
            text += f" The smaller is {with_interval(ratio)} of the larger."
        benefit = audit.about.get("favourable") and criterion == "demographic_parity"
        if benefit and ratio.high < FOUR_FIFTHS:
            text += (
                f" The smaller share is {with_interval(ratio)} of the larger; guidelines for "
                "hiring in the US (29 CFR 1607.4 D) take less than 0.8 for a sign of adverse "
                "impact."
            )
    return topic, text


def _beside_ks(audit: Figures, figure: Figure) -> str:
    """Say what a probe of the predictions recovers, which KS alone may hide."""
    text = " KS alone misleads: it looks at one threshold at a time."
    for f in audit.section("leakage", figure.attribute):
        if f.subject == "predictions" and not f.given and f.measure not in BESIDE_SCORE:
            score = f"{name_of(f.measure)} {with_interval(f)}"
            text += f" A fresh probe of the predictions has {score}."
    return text


def _probable(audit: Figures, figures: list[Figure]) -> str:
    """Say of groups known by probabilities which differ most, and between what it can lie."""
    verdict = worst(figures)
    weighted = [f for f in figures if f.measure.startswith("weighted") and f.verdict == verdict]
    most = max(weighted, key=lambda f: f.value)
    at = figures.index(most)
    return (
        f"{capital(name_of(most.rate))} of {most.most} above {most.least}, weighted by "
        f"probabilities: {with_interval(most)}. For any truth that fits them it is between "
        f"{number(figures[at + 1].low)} and {number(figures[at + 2].high)}."
    )


def _parts(audit: Figures, figures: list[Figure]) -> str:
    """Say in which part of the rows groups are surely furthest apart, and what they have there.

    Of classes beside parity over all rows, which may hide it.
    """
    differ = [f for f in figures if f.verdict == FOUND]
    parts = list(dict.fromkeys((f.part, f.subject) for f in figures))
    if not differ:
        return f"In none of {len(parts)} parts of the rows do the groups surely differ."
    n_differ = len({(f.part, f.subject) for f in differ})
    figure = differ[0] if audit.of_numbers else figures[0]
    ends = []
    for group in (figure.most, figure.least):
        rate = audit.rate_of("conditional group", figure, group)
        if audit.of_numbers:
            y = audit.rate_of("conditional group", figure, group, "mean_y")
            ends.append(f"{rate} for {group}" + (f" (their y is {y})" if y else ""))
        else:
            y = audit.rate_of("conditional group", figure, group, "base_rate")
            known = f" (their label is positive at {y})" if y else ""
            ends.append(f"{group} are selected at {rate}{known}")
    where = f"the {figure.n:,} rows with {figure.part}, "
    count = f"The groups differ in {n_differ} of {len(parts)} parts."
    if audit.of_numbers:
        return (
            f"Among {where}predictions are {' and '.join(ends)} on average: "
            f"{name_of(figure.measure)} {with_interval(figure)}. {count}"
        )
    start = "Among"
    for whole in audit.section("disparity", figure.attribute):
        if whole.measure == "demographic_parity_difference":
            parity = whole.verdict == NOTHING or whole.value < SMALL
            start = "Parity overall at" if parity else "Over all rows the difference is"
            start += f" {number(whole.value)}, but among"
    apart = f"a difference of {with_interval(figure)}"
    return f"{start} {where}{' and '.join(ends)}: {apart}. {count}"


def _calibration(audit: Figures, figures: list[Figure]) -> str:
    what = "Predictions" if audit.of_numbers else "Scores"
    verdict = worst(figures)
    if verdict == UNCLEAR:
        return f"{what} may be off in some group: their mean is, their error is within chance."
    if verdict != FOUND:
        return f"A {what.lower()[:-1]} means the same in every group, as far as these rows tell."
    excess = {f.group: f for f in figures if f.measure.endswith("_excess")}
    off = []
    for f in figures:
        if f.measure.endswith("calibration_error") and f.verdict == FOUND:
            way = ", promising more than came true" if excess[f.group].low > 0 else ""
            way = ", promising less than came true" if excess[f.group].high < 0 else way
            off.append(f"of {f.group} by {number(f.value)} on average{way}")
    return f"{what} are off: those {'; '.join(off)}. Chance explains less."


def _leakage(audit: Figures, figures: list[Figure]) -> str:
    """Say what a probe recovers, and where it recovers nothing, what information there is."""
    nats = [f for f in figures if f.section == "information"]
    by = {(f.subject, f.given, f.measure): f for f in figures}
    scores = [f for f in figures if f not in nats and f.measure not in BESIDE_SCORE]
    subjects = list(dict.fromkeys(f.subject for f in scores))
    attribute, verdict = figures[0].attribute, worst(figures)
    if not scores:
        return ""
    if verdict != FOUND:
        text = (
            f"No test says that its {listed(subjects, 'or')} tell {attribute}, which is no proof."
        )
        if verdict == UNCLEAR:
            text += " A probe's score, or what is told in nats, is beyond chance, though."
        return text
    sentences = []
    for subject in subjects:
        leaks, informative = (
            [f for f in of if f.subject == subject and f.verdict == FOUND] for of in (scores, nats)
        )
        if leaks:
            score = leaks[0]
            p, rounded = (
                by.get((subject, score.given, measure)) for measure in ("p_value", "rounded_score")
            )
            sentences.append(
                f"From its {subject} a fresh probe tells {attribute}{known_words(score)}: "
                f"{name_of(score.measure)} {with_interval(score)}, p-value {p_text(p)}."
            )
            if rounded:
                coarse = number(rounded.value)
                sentences.append(f"That is in the last digits; rounded to six it is {coarse}.")
        elif informative:
            sentences.append(
                f"Its {subject} tell {with_interval(informative[0])} nats of {attribute}"
                f"{known_words(informative[0])}, though no test says so."
            )
    return " ".join(sentences)


def _certificate(audit: Figures, figures: list[Figure]) -> str:
    bounds = [
        f
        for f in figures
        if f.verdict == HOLDS and (audit.of_numbers or f.subject != "predictions")
    ]
    if not bounds:
        return ""
    if audit.of_numbers:
        ks, means = (
            number(min(f.value for f in bounds if f.measure == measure))
            for measure in ("ks_bound", "mean_difference_bound")
        )
        text = (
            f"The groups' predictions have a KS distance of at most {ks}; means and "
            "Wasserstein-1, while predictions stay in their range here, differ by at most "
            f"{means}."
        )
    else:
        differences: dict[tuple[str, str], list[str]] = {}
        for f in bounds:
            what = f.measure.removesuffix("_bound").replace("_", " ")
            of = differences.setdefault((f.against, f.subject), [])
            of.append(f"{what} difference above {number(f.value)}")
        text = " ".join(
            f"No {against} on its {subject}, by anyone, has a {' or an '.join(of)}."
            for (against, subject), of in differences.items()
        )
    return (
        f"At {percent_of(audit.about['confidence'])} confidence each, if these are rows that took "
        f"no part in training: {text}"
    )


def _changes(audit: Figures, figures: list[Figure]) -> str:
    text = "; ".join(
        f"{name_of(f.measure)} is {f.verdict} by {number(abs(f.value))} "
        f"({interval(f, signed=True)})"
        for f in figures
        if f.verdict in ("higher", "lower")
    )
    return f"Than the baseline's, {text}." if text else "No change is beyond chance."


# From which sections a finding is made that is no difference between groups, and what says it.
TOPICS: dict[str, tuple[tuple[str, ...], Callable[[Figures, list[Figure]], str]]] = {
    PROBABLE: (("probable",), _probable),
    PARTS: (("conditional",), _parts),
    CALIBRATION: (("calibration",), _calibration),
    LEAKAGE: (("leakage", "information"), _leakage),
    CERTIFICATE: (("certificate",), _certificate),
    BASELINE: (("change",), _changes),
}


def number(value: float, *, signed: bool = False) -> str:
    """Return a number for a table; "" for none."""
    if math.isnan(value):
        return ""
    form = ",.0f" if 1000 <= abs(value) < math.inf else ".3f"
    if 0 < abs(value) < 0.0005:  # units of y may be small
        form = ".1g"
    text = format(value, ("+" if signed else "") + form)
    return "0.000" if text in ("-0.000", "+0.000") else text


def interval(figure: Figure, *, signed: bool = False) -> str:
    """Return the figure's interval for a table; "" for none."""
    if math.isnan(figure.low) and math.isnan(figure.high):
        return ""
    return f"{number(figure.low, signed=signed)} to {number(figure.high, signed=signed)}"


def with_interval(figure: Figure) -> str:
    """Return a figure and its interval for a sentence."""
    ends = interval(figure)
    return (number(figure.value) or "none") + (f" ({ends})" if ends else "")


def with_chance(figure: Figure) -> str:
    """Return a figure, its interval and what chance explains, for a sentence."""
    chance = number(figure.by_chance)
    explained = f"; chance explains {chance}" if chance else ""
    return f"{number(figure.value)} ({interval(figure)}{explained})"


def p_text(figure: Figure | None) -> str:
    """Return a p-value for a table."""
    return number(figure.value) if figure and figure.value >= 0.001 else "<0.001"


def known_words(figure: Figure) -> str:
    """Say what is known to whoever tells the group, after its name; "" for nothing."""
    return "" if not figure.given else " given y" if figure.given == "y" else " given the label"


def capital(text: str) -> str:
    """Return a text that begins with a capital; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def listed(names: list[str], word: str = "and") -> str:
    """Return names as a list in a sentence."""
    return ", ".join(names[:-1]) + (f" {word} " if names[1:] else "") + names[-1]
