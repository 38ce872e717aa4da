"""An audit in short: what its figures come to, in words for those who decide, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable
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

    def rate_of(self, section: str, figure: Figure, group: str, rate: str = "") -> Figure | None:
        """Return a group's rate behind a comparison: the one compared, or another of its part."""
        return next(
            (
                f
                for f in self.section(section, figure.attribute)
                if (f.group, f.subject, f.part) == (group, figure.subject, figure.part)
                and f.measure == (rate or figure.rate)
            ),
            None,
        )


def findings_of(audit: Figures) -> list[Finding]:
    """Return the findings, those of each sensitive feature in turn."""
    findings: list[Finding] = []
    for attribute in audit.attributes:
        findings += [
            _difference(audit, figure)
            for figure in audit.section("disparity", attribute)
            if figure.measure.endswith("_difference")
        ]
        for make in (_probable, _parts, _calibration, _leakage, _certificate, _changes):
            finding = make(audit, attribute)
            findings += [finding] if finding else []
    return findings


def next_steps(audit: Figures) -> list[str]:
    """Return what the findings ask for, one thing to do each."""
    findings = findings_of(audit)
    asked: dict[tuple[str, str], list[str]] = {}  # topics that ask for the same
    for topic in dict.fromkeys(finding.topic for finding in findings):
        advice = ADVICE.get(topic) or _advice_on(topic, findings)
        if topic == CALIBRATION and audit.of_numbers:
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


def _advice_on(topic: str, findings: Iterable[Finding]) -> str:
    """Return what to do about a difference: by the criterion that its figures are of."""
    figure = next(f.figures[0] for f in findings if f.topic == topic)
    is_criterion = figure.section == "disparity"
    return criterion_of(figure.measure.removesuffix("_difference")).advice if is_criterion else ""


def overall_sentence(audit: Figures) -> str:
    """Say how often the model is right, or where labels are not known whom it selects."""
    figures = {f.measure: f for f in audit.section("overall") if not f.subject}
    if audit.of_numbers:
        shown = ("rmse", "explained") if "explained" in figures else ("mean_prediction",)
        words = " and ".join(f"{name_of(m)} {with_interval(figures[m])}" for m in shown)
        return f"The model has {words}."
    if "accuracy" in figures:
        return f"The model's accuracy is {with_interval(figures['accuracy'])}."
    if "selection_rate" in figures:
        return f"The model's selection rate is {with_interval(figures['selection_rate'])}."
    return ""


def _difference(audit: Figures, figure: Figure) -> Finding:
    """Say by a criterion which groups differ most, and by how much."""
    criterion = figure.measure.removesuffix("_difference")
    topic = criterion_of(criterion).topic
    ratios = [
        f
        for f in audit.section("disparity", figure.attribute)
        if f.measure == f"{criterion}_ratio"
    ]
    if figure.verdict == NOT_MEASURED:
        text = "No two groups have rows to compare."
        return Finding(topic, figure.attribute, figure.verdict, text, (figure, *ratios))
    if criterion in ("ks", "wasserstein"):
        text = f"{name_of(figure.measure)} of {figure.most} and {figure.least}: "
        text += f"{with_chance(figure)}.{_beside_ks(audit, figure) if criterion == 'ks' else ''}"
        return Finding(topic, figure.attribute, figure.verdict, text, (figure,))
    most = audit.rate_of("group", figure, figure.most)
    least = audit.rate_of("group", figure, figure.least)
    rates = capital(name_of(figure.rate)) + (f" of {figure.subject}" if figure.subject else "")
    if most and least:
        rates += (
            f": {number(most.value)} in {figure.most}, {number(least.value)} in {figure.least}"
        )
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
    return Finding(topic, figure.attribute, figure.verdict, text, (figure, *ratios))


def _probable(audit: Figures, attribute: str) -> Finding | None:
    """Say of groups known by probabilities which differ most, and between what it can lie."""
    figures = audit.section("probable", attribute)
    if not figures:
        return None
    verdict = worst([f.verdict for f in figures])
    weighted = [f for f in figures if f.measure.startswith("weighted") and f.verdict == verdict]
    most = max(weighted, key=lambda f: f.value)
    at = figures.index(most)
    text = (
        f"{capital(name_of(most.rate))} of {most.most} above {most.least}, weighted by "
        f"probabilities: {with_interval(most)}. For any truth that fits them it is between "
        f"{number(figures[at + 1].low)} and {number(figures[at + 2].high)}."
    )
    return Finding(PROBABLE, attribute, verdict, text, tuple(figures))


def _beside_ks(audit: Figures, figure: Figure) -> str:
    """Say what a probe of the predictions recovers, which KS alone may hide."""
    scores = [
        f
        for f in audit.section("leakage", figure.attribute)
        if f.subject == "predictions" and not f.given and f.measure not in BESIDE_SCORE
    ]
    text = " KS alone misleads: it looks at one threshold at a time."
    return text + "".join(
        f" A fresh probe of the predictions has {name_of(f.measure)} {with_interval(f)}."
        for f in scores
    )


def _parts(audit: Figures, attribute: str) -> Finding | None:
    """Say what parity over all rows is made of, by the part in which it holds least."""
    figures = audit.section("conditional", attribute)
    if not figures:
        return None
    verdict = worst([f.verdict for f in figures])
    n_parts = len({(f.part, f.subject) for f in figures})
    if verdict != FOUND:
        text = f"In none of {n_parts} parts of the rows do the groups surely differ."
        return Finding(PARTS, attribute, verdict, text, tuple(figures))
    if audit.of_numbers:
        return Finding(PARTS, attribute, verdict, _number_parts(audit, figures), tuple(figures))
    figure = figures[0]
    whole = next(
        (
            f
            for f in audit.section("disparity", attribute)
            if f.measure == "demographic_parity_difference"
        ),
        None,
    )
    start = "Among"
    if whole is not None:
        start = f"Over all rows the difference is {number(whole.value)}, but among"
        if whole.verdict == NOTHING or whole.value < SMALL:
            start = f"Parity overall at {number(whole.value)}, but among"
    often, seldom = (_selected(audit, figure, group) for group in (figure.most, figure.least))
    differ = sum(f.verdict == FOUND for f in figures)
    text = (
        f"{start} the {figure.n:,} rows with {figure.part}, {often} and {seldom}: a "
        f"difference of {with_interval(figure)}. "
        f"The groups differ in {differ} of {len(figures)} parts."
    )
    return Finding(PARTS, attribute, verdict, text, tuple(figures))


def _number_parts(audit: Figures, figures: list[Figure]) -> str:
    """Say in which part of the rows groups are surely furthest apart, by means or else by KS."""
    figure = next(f for f in figures if f.verdict == FOUND)
    parts = {f.part for f in figures}
    differ = {f.part for f in figures if f.verdict == FOUND}
    ends = []
    for group in (figure.most, figure.least):
        mean = audit.rate_of("conditional group", figure, group)
        y = audit.rate_of("conditional group", figure, group, "mean_y")
        text = f"{number(mean.value if mean else math.nan)} for {group}"
        ends.append(text + (f" (their y is {number(y.value)})" if y else ""))
    return (
        f"Among the {figure.n:,} rows with {figure.part}, predictions are {' and '.join(ends)} on "
        f"average: {name_of(figure.measure)} {with_interval(figure)}. The groups differ in "
        f"{len(differ)} of {len(parts)} parts."
    )


def _selected(audit: Figures, figure: Figure, group: str) -> str:
    """Say how often a group is selected in a part, and how often its label is positive there."""
    share = audit.rate_of("conditional group", figure, group)
    base = audit.rate_of("conditional group", figure, group, "base_rate")
    text = f"{group} are selected at {number(share.value if share else math.nan)}"
    return text + (f" (their label is positive at {number(base.value)})" if base else "")


def _calibration(audit: Figures, attribute: str) -> Finding | None:
    figures = audit.section("calibration", attribute)
    if not figures:
        return None
    excess = {f.group: f for f in figures if f.measure.endswith("_excess")}
    what = "Predictions" if audit.of_numbers else "Scores"
    off = [
        f"of {f.group} by {number(f.value)} on average{_way(excess[f.group])}"
        for f in figures
        if f.measure.endswith("calibration_error") and f.verdict == FOUND
    ]
    verdict = worst([f.verdict for f in figures])
    text = {
        FOUND: f"{what} are off: those {'; '.join(off)}. Chance explains less.",
        UNCLEAR: f"{what} may be off in some group: their mean is, their error is within chance.",
    }.get(
        verdict,
        f"A {what.lower()[:-1]} means the same in every group, as far as these rows tell.",
    )
    return Finding(CALIBRATION, attribute, verdict, text, tuple(figures))


def _way(excess: Figure) -> str:
    if excess.low > 0:
        return ", promising more than came true"
    return ", promising less than came true" if excess.high < 0 else ""


def _leakage(audit: Figures, attribute: str) -> Finding | None:
    """Say what a probe recovers, and where it recovers nothing, what information there is."""
    probed = audit.section("leakage", attribute)
    scores = [f for f in probed if f.measure not in BESIDE_SCORE]
    p_values = {(f.subject, f.given): f for f in probed if f.measure == "p_value"}
    rounded = {(f.subject, f.given): f for f in probed if f.measure == "rounded_score"}
    nats = audit.section("information", attribute)
    if not scores:
        return None
    verdict = worst([f.verdict for f in (*scores, *nats)])
    sentences = []
    for subject in dict.fromkeys(f.subject for f in scores):
        leaks = [f for f in scores if f.subject == subject and f.verdict == FOUND]
        informative = [f for f in nats if f.subject == subject and f.verdict == FOUND]
        if leaks:
            score = leaks[0]
            p = p_values[subject, score.given]
            sentences.append(
                f"From its {subject} a fresh probe tells {attribute}{known_words(score)}: "
                f"{name_of(score.measure)} {with_interval(score)}, p-value {p_text(p.value)}."
            )
            if (subject, score.given) in rounded:
                coarse = number(rounded[subject, score.given].value)
                sentences.append(f"That is in the last digits; rounded to six it is {coarse}.")
        elif informative:
            sentences.append(
                f"Its {subject} tell {with_interval(informative[0])} nats of {attribute}"
                f"{known_words(informative[0])}, though no test says so."
            )
    if verdict != FOUND:
        names = listed(list(dict.fromkeys(f.subject for f in scores)), "or")
        sentences = [f"No test says that its {names} tell {attribute}, which is no proof."]
        if verdict == UNCLEAR:
            sentences.append("A probe's score, or what is told in nats, is beyond chance, though.")
    return Finding(LEAKAGE, attribute, verdict, " ".join(sentences), (*probed, *nats))


def _certificate(audit: Figures, attribute: str) -> Finding | None:
    bounds = [
        f
        for f in audit.section("certificate", attribute)
        if f.verdict == HOLDS and (audit.of_numbers or f.subject != "predictions")
    ]
    if not bounds:
        return None
    text = ""
    differences: dict[tuple[str, str], list[str]] = {}
    for f in bounds:
        what = f.measure.removesuffix("_bound").replace("_", " ")
        whom = (f.against, f.subject)
        differences.setdefault(whom, []).append(f"{what} difference above {number(f.value)}")
    if audit.of_numbers:
        least = {
            m: min(f.value for f in bounds if f.measure == m) for m in (f.measure for f in bounds)
        }
        text = (
            f"The groups' predictions have a KS distance of at most {number(least['ks_bound'])}; "
            "means and Wasserstein-1, while predictions stay in their range here, differ by at "
            f"most {number(least['mean_difference_bound'])}."
        )
    text = text or " ".join(
        f"No {against} on its {subject}, by anyone, has a {' or an '.join(of)}."
        for (against, subject), of in differences.items()
    )
    start = (
        f"At {percent_of(audit.about['confidence'])} confidence each, if these are rows that took "
        "no part in training: "
    )
    return Finding(CERTIFICATE, attribute, HOLDS, start + text, tuple(bounds))


def _changes(audit: Figures, attribute: str) -> Finding | None:
    changes = audit.section("change", "") + audit.section("change", attribute)
    if not audit.section("change", attribute):
        return None
    moved = [f for f in changes if f.verdict in ("higher", "lower")]
    text = "; ".join(
        f"{name_of(f.measure)} is {f.verdict} by {number(abs(f.value))} "
        f"({interval(f, signed=True)})"
        for f in moved
    )
    text = f"Than the baseline's, {text}." if moved else "No change is beyond chance."
    verdict = "changed" if moved else "no change found"
    return Finding(BASELINE, attribute, verdict, text, tuple(changes))


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


def p_text(value: float) -> str:
    """Return a p-value for a table."""
    return number(value) if value >= 0.001 else "<0.001"


def known_words(figure: Figure) -> str:
    """Say what is known to whoever tells the group, after its name; "" for nothing."""
    return "" if not figure.given else " given y" if figure.given == "y" else " given the label"


def capital(text: str) -> str:
    """Return a text that begins with a capital; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def listed(names: list[str], word: str = "and") -> str:
    """Return names as a list in a sentence."""
    return ", ".join(names[:-1]) + (f" {word} " if names[1:] else "") + names[-1]
