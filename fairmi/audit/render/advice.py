"""What to do about the findings of an audit, in words for those who decide."""

from __future__ import annotations

from fairmi.audit.records import AuditRecord
from fairmi.audit.render.summary import PARTS, statements
from fairmi.audit.render.verdicts import FOUND, NOT_MEASURED, UNCLEAR, conditional_verdict

ADVICE = {  # by the topic of a finding, what to do about it
    "parity": (
        "decide whether the use of the model asks for equal shares. If it does, train it under a "
        "constraint or a penalty for demographic parity and audit again; if not, write down what "
        "justifies the difference."
    ),
    PARTS: (
        "let someone who knows the use of the model say of the worst parts of the rows whether "
        "what they have in common is a legitimate ground to treat groups differently there."
    ),
    "odds": (
        "find out in which group errors are more common and why (few rows, labels that are wrong, "
        "features that say less there) before the model decides about people."
    ),
    "calibration": "recalibrate the scores before anyone reads one as a probability.",
    "leakage": (
        "treat what leaks as data on the group. Don't hand it to anyone who may not know that, "
        "and don't build on it what must not depend on it."
    ),
}


def next_steps(audit: AuditRecord) -> list[str]:
    """Return what the findings ask for, one thing to do each."""
    found = statements(audit)
    steps = []
    for topic, advice in ADVICE.items():
        of = [s.attribute for s in found if (s.topic, s.verdict) == (topic, FOUND)]
        if topic == PARTS:
            of = [attribute for attribute in of if _differs_in_parts(audit, attribute)]
        if of:
            steps.append(f"{topic.capitalize()} by {_listed(of)}: {advice}")
    undecided = [s for s in found if s.verdict in (UNCLEAR, NOT_MEASURED)]
    if undecided:
        of = [f"{s.topic} by {s.attribute}" for s in undecided]
        steps.append(f"Gather more rows: these are too few to decide on {_listed(of)}.")
    if not steps:
        steps.append("Nothing that was looked at asks for a change.")
    return [*steps, "Audit again, on new rows, when the model or those it decides about change."]


def _differs_in_parts(audit: AuditRecord, attribute: str) -> bool:
    """Whether groups differ within a part that is no label's."""
    figures = audit.section("conditional", attribute)
    parts = [f for f in figures if not f.condition.startswith("label = ")]
    return any(conditional_verdict(f) == FOUND for f in parts)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1] if names else ""
