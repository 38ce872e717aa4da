"""An audit as a model card: Markdown with a YAML head, as the Hugging Face Hub takes it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from html import escape

from fairmi.audit.records import AuditRecord, Figure
from fairmi.audit.render.advice import next_steps
from fairmi.audit.render.figure_tables import Cell, Table, tables_of
from fairmi.audit.render.summary import accuracy_sentence, statements
from fairmi.audit.render.words import LIMITS, MEANINGS, interval, name_of, number

TO_BE_STATED = "(to be stated)"


def as_card(audit: AuditRecord) -> str:
    """Return the card."""
    about = audit.about
    short = [
        f"**{s.topic.capitalize()} by {_text(s.attribute)}: {s.verdict}.** {_text(s.text)}"
        for s in statements(audit)
    ]
    meanings = dict.fromkeys(f.measure for f in audit.figures if f.measure in MEANINGS)
    parts = [
        _head(audit),
        "# Model card",
        f"Model: `{about['model']}`",
        "## Intended use",
        f"{TO_BE_STATED}: what the model decides, for whom, and what it must not be used for.",
        "## Training data",
        f"{TO_BE_STATED}: where they come from, whom they leave out, how labels were made.",
        "## Evaluation data",
        _data(audit),
        "## In short",
        _text(accuracy_sentence(audit)),
        _list(short),
        "## What to do next",
        _list(map(_text, next_steps(audit))),
        *(
            f"## {_text(table.title)}\n\n{_text(table.introduction)}\n\n{_table(table)}"
            for table in tables_of(audit)
        ),
        "## What the measures mean",
        _list(f"**{_text(name_of(m))}**: {_text(MEANINGS[m])}" for m in meanings),
        "## Limits",
        _list(map(_text, [*audit.notes, *LIMITS])),
        "## How this was made",
        f"On {about['date']}, with "
        + ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        + f"; intervals of {100 * about['confidence']:g} % confidence.",
    ]
    return "\n\n".join(parts) + "\n"


def _head(audit: AuditRecord) -> str:
    """Return the YAML head; strings are those of JSON, which YAML reads alike."""
    metrics = [
        *(f for f in audit.section("overall") if f.measure == "accuracy"),
        *(f for f in audit.section("disparity") if f.measure.endswith("_difference")),
    ]
    lines = [
        "---",
        "library_name: scikit-learn",
        "pipeline_tag: tabular-classification",
        "tags: [tabular-classification, fairness]",
        "metrics: [accuracy]",
        "model-index:",
        f"- name: {json.dumps(audit.about['model'])}",
        "  results:",
        "  - task: {type: tabular-classification}",
        f"    dataset: {{type: {json.dumps(TO_BE_STATED)}, name: {json.dumps(TO_BE_STATED)}}}",
        "    metrics:",
    ]
    for figure in metrics:
        if math.isfinite(figure.value):
            name = name_of(figure.measure) + (f", {figure.attribute}" if figure.attribute else "")
            lines += [
                f"    - type: {figure.measure}",
                f"      name: {json.dumps(name, ensure_ascii=False)}",
                f"      value: {round(figure.value, 4)}",
            ]
    return "\n".join([*lines, "---"])


def _data(audit: AuditRecord) -> str:
    about = audit.about
    labels = ", ".join(f"{_text(label)}: {n:,}" for label, n in about["labels"].items())
    lines = [f"{about['rows']:,} rows that the model was not trained on. Labels: {labels}."]
    if about["positive label"]:
        lines[0] += f" Positive label: {_text(about['positive label'])}."
    for attribute, sizes in about["groups"].items():
        groups = ", ".join(f"{_text(group)}: {n:,}" for group, n in sizes.items())
        lines.append(f"Groups by {_text(attribute)}: {groups}.")
    return "\n\n".join(lines)


def _table(table: Table) -> str:
    sides = [":--" if j < table.n_headers else "--:" for j in range(len(table.header))]
    rows = [table.header, sides, *([_cell(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(cell: Cell) -> str:
    if not isinstance(cell, Figure):
        return _text(cell)
    ends = interval(cell)
    return (number(cell.value) or "none") + (f" ({ends})" if ends else "")


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _text(text: str) -> str:
    """Return text in which nothing is taken for Markdown or HTML."""
    text = escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text)
