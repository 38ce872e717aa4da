"""An audit as text for a terminal."""

from __future__ import annotations

import textwrap

from fairmi.audit.records import AuditRecord, Figure
from fairmi.audit.render.advice import next_steps
from fairmi.audit.render.figure_tables import Cell, Table, tables_of
from fairmi.audit.render.summary import statements
from fairmi.audit.render.words import name_of, number

WIDTH = 99
MAX_CELL = 34


def as_text(audit: AuditRecord) -> str:
    """Return the whole audit as text, lines of at most `WIDTH` where names are not too long."""
    about = audit.about
    labels = ", ".join(f"{label} {n:,}" for label, n in about["labels"].items())
    positive = about["positive label"]
    head = [
        f"Audit of {about['model']}",
        f"on {about['rows']:,} rows"
        + (f" in {about['clusters']:,} clusters" if about["clusters"] else "")
        + f"; labels {labels}"
        + (f"; positive label {positive}" if positive else ""),
    ]
    if about["baseline"]:
        head.append(f"against {about['baseline']}")
    overall = [f for f in audit.section("overall") if not f.subject]
    head.append(", ".join(f"{name_of(f.measure)} {_cell(f)}" for f in overall))
    lines = [line for text in head for line in textwrap.wrap(text, WIDTH)]
    short = [f"{s.topic} by {s.attribute}: {s.verdict}. {s.text}" for s in statements(audit)]
    todo = [f"- {step}" for step in next_steps(audit)]
    blocks = [
        "\n".join(lines),
        "\n".join(["In short", "--------", *map(_wrapped, short)]),
        "\n".join(["What to do next", "---------------", *map(_wrapped, todo)]),
        *map(_block, tables_of(audit)),
    ]
    blocks += ["\n".join(textwrap.wrap(f"Note: {note}", WIDTH)) for note in audit.notes]
    return "\n\n".join(blocks)


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False))


def _block(table: Table) -> str:
    texts = [list(table.header), *([_cell(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[j]) for row in texts) for j in range(len(table.header))]
    lines = [
        "  ".join(
            cell.ljust(width) if j < table.n_headers else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]
    return "\n".join([table.title, "-" * len(table.title), *lines])


def _cell(cell: Cell) -> str:
    """Return a figure with the larger half of its interval, or text cut to fit a table."""
    if not isinstance(cell, Figure):
        return cell if len(cell) <= MAX_CELL else f"{cell[: MAX_CELL - 1]}…"
    half = max(cell.high - cell.value, cell.value - cell.low)
    return f"{number(cell.value)} ±{half:.3f}" if half == half else number(cell.value)
