"""An audit as text for a terminal."""

from __future__ import annotations

import textwrap

from fairmi.audit.records import Audit, Figure
from fairmi.audit.tables import Cell, Table, tables_of
from fairmi.audit.words import name_of, number

WIDTH = 99


def as_text(audit: Audit) -> str:
    """Return the whole audit as text, lines of at most `WIDTH` where names are not too long."""
    about = audit.about
    labels = ", ".join(f"{label} {n:,}" for label, n in about["labels"].items())
    positive = about["positive label"]
    head = [
        f"Audit of {about['model']}",
        f"on {about['rows']:,} rows; labels {labels}"
        + (f"; positive label {positive}" if positive else ""),
    ]
    if about["baseline"]:
        head.append(f"against {about['baseline']}")
    overall = [f for f in audit.section("overall") if not f.subject]
    head.append(", ".join(f"{name_of(f.measure)} {_cell(f)}" for f in overall))
    lines = [line for text in head for line in textwrap.wrap(text, WIDTH)]
    blocks = ["\n".join(lines), *map(_block, tables_of(audit))]
    blocks += ["\n".join(textwrap.wrap(f"Note: {note}", WIDTH)) for note in audit.notes]
    return "\n\n".join(blocks)


def _block(table: Table) -> str:
    texts = [list(table.header), *([_cell(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[j]) for row in texts) for j in range(len(table.header))]
    left = sum(1 for name in table.header if name in ("group", "class", "measure", "from"))
    lines = [
        "  ".join(
            cell.ljust(width) if j < left else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]
    return "\n".join([table.title, "-" * len(table.title), *lines])


def _cell(cell: Cell) -> str:
    """Return a figure with the larger half of its interval."""
    if not isinstance(cell, Figure):
        return cell
    half = max(cell.high - cell.value, cell.value - cell.low)
    return f"{number(cell.value)} ±{half:.3f}" if half == half else number(cell.value)
