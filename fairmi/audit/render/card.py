"""An audit as a model card: Markdown with a YAML head, as the Hugging Face Hub takes it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import yaml

from fairmi.audit.records import AuditRecord, Figure
from fairmi.audit.render.advice import next_steps
from fairmi.audit.render.escaping import as_markdown as md
from fairmi.audit.render.figure_tables import Cell, Table, tables_of
from fairmi.audit.render.summary import accuracy_sentence, statements
from fairmi.audit.render.words import LIMITS, MEANINGS, interval, name_of, number

TO_BE_STATED = "(to be stated)"


def as_card(audit: AuditRecord) -> str:
    """Return the card."""
    about = audit.about
    short = [
        f"**{s.topic.capitalize()} by {md(s.attribute)}: {s.verdict}.** {md(s.text)}"
        for s in statements(audit)
    ]
    meanings = dict.fromkeys(f.measure for f in audit.figures if f.measure in MEANINGS)
    parts = [
        _head(audit),
        "# Model card",
        f"Model: {md(about['model'])}",
        "## Intended use",
        f"{TO_BE_STATED}: what the model decides, for whom, and what it must not be used for.",
        "## Training data",
        f"{TO_BE_STATED}: where they come from, whom they leave out, how labels were made.",
        "## Evaluation data",
        _data(audit),
        "## In short",
        md(accuracy_sentence(audit)),
        _list(short),
        "## What to do next",
        _list(map(md, next_steps(audit))),
        *(
            f"## {md(table.title)}\n\n{md(table.introduction)}\n\n{_table(table)}"
            for table in tables_of(audit)
        ),
        "## What the measures mean",
        _list(f"**{md(name_of(m))}**: {md(MEANINGS[m])}" for m in meanings),
        "## Limits",
        _list(map(md, [*audit.notes, *LIMITS])),
        "## How this was made",
        f"On {about['date']}, with "
        + ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        + f"; intervals of {100 * about['confidence']:g} % confidence.",
    ]
    return "\n\n".join(parts) + "\n"


def _head(audit: AuditRecord) -> str:
    """Return the YAML head, with what the Hub shows beside a model."""
    metrics = [
        *(f for f in audit.section("overall") if f.measure == "accuracy"),
        *(f for f in audit.section("disparity") if f.measure.endswith("_difference")),
    ]
    task = {"type": "tabular-classification"}
    result = {
        "task": task,
        "dataset": {"type": TO_BE_STATED, "name": TO_BE_STATED},
        "metrics": [
            {
                "type": f.measure,
                "name": name_of(f.measure) + (f", {f.attribute}" if f.attribute else ""),
                "value": round(f.value, 4),
            }
            for f in metrics
            if math.isfinite(f.value)
        ],
    }
    head = {
        "library_name": "scikit-learn",
        "pipeline_tag": task["type"],
        "tags": [task["type"], "fairness"],
        "metrics": ["accuracy"],
        "model-index": [{"name": audit.about["model"], "results": [result]}],
    }
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=math.inf)
    return f"---\n{text}---"


def _data(audit: AuditRecord) -> str:
    about = audit.about
    labels = ", ".join(f"{md(label)}: {n:,}" for label, n in about["labels"].items())
    lines = [f"{about['rows']:,} rows that the model was not trained on. Labels: {labels}."]
    if about["positive label"]:
        lines[0] += f" Positive label: {md(about['positive label'])}."
    for attribute, sizes in about["groups"].items():
        groups = ", ".join(f"{md(group)}: {n:,}" for group, n in sizes.items())
        lines.append(f"Groups by {md(attribute)}: {groups}.")
    return "\n\n".join(lines)


def _table(table: Table) -> str:
    sides = [":--" if j < table.n_headers else "--:" for j in range(len(table.header))]
    rows = [table.header, sides, *([_cell(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(cell: Cell) -> str:
    if not isinstance(cell, Figure):
        return md(cell)
    ends = interval(cell)
    return (number(cell.value) or "none") + (f" ({ends})" if ends else "")


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
