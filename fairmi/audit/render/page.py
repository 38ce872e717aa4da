"""An audit as a self-contained page: words, tables and pictures, no script, no network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from html import escape
from typing import Any

from fairmi.audit.records import AuditRecord, Figure
from fairmi.audit.render.advice import next_steps
from fairmi.audit.render.figure_tables import Cell, Table, tables_of
from fairmi.audit.render.panels import OF_RELIABILITY, picture_of
from fairmi.audit.render.style import STYLE
from fairmi.audit.render.summary import Statement, accuracy_sentence, statements
from fairmi.audit.render.verdicts import FOUND
from fairmi.audit.render.words import LIMITS, MEANINGS, interval, name_of, number


def whole_page(audit: AuditRecord) -> str:
    """Return the report as one HTML document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>Fairness audit</title>\n<style>body {{ margin: 0; }}</style>\n</head>\n<body>\n"
        f"<main>\n{fragment(audit)}\n</main>\n</body>\n</html>\n"
    )


def fragment(audit: AuditRecord) -> str:
    """Return the report as a piece of HTML, as a notebook shows it."""
    tables = tables_of(audit)
    parts = [
        f"<style>{STYLE}</style>",
        "<h1>Fairness audit</h1>",
        _about(audit.about),
        "<h2>In short</h2>",
        *_summary(audit),
        "<h3>What to do next</h3>",
        _list(map(escape, next_steps(audit))),
        *(f'<p class="note">{escape(note)}</p>' for note in audit.notes),
    ]
    for attribute in audit.attributes:
        parts.append(f"<h2>Groups by {escape(attribute)}</h2>")
        for table in tables:
            if table.attribute == attribute:
                parts += _section(audit, table)
    parts += ["<h2>What the measures mean</h2>", _meanings(audit)]
    parts += ["<h2>What this does not show</h2>", _list(map(escape, LIMITS))]
    parts.append(_method(audit.about))
    return "\n".join(['<div class="fairmi-audit">', *parts, "</div>"])


def _about(about: dict[str, Any]) -> str:
    labels = ", ".join(f"{label}: {n:,}" for label, n in about["labels"].items())
    features = "" if about["features"] is None else f", of {about['features']:,} features"
    rows = {
        "Model": about["model"],
        "Baseline": about["baseline"],
        "Rows": f"{about['rows']:,}{features}",
        "Clusters of rows": f"{about['clusters']:,}" if about["clusters"] else "",
        "Labels": labels,
        "Positive label": about["positive label"],
        "Sensitive features": ", ".join(about["sensitive features"]),
        "Date": about["date"],
    }
    return _definitions({name: text for name, text in rows.items() if text})


def _summary(audit: AuditRecord) -> list[str]:
    """Return how often the model is right, then the findings of each sensitive feature."""
    parts = [f"<p>{escape(accuracy_sentence(audit))}</p>"]
    found = statements(audit)
    for attribute in audit.attributes:
        of_attribute = [_statement(s) for s in found if s.attribute == attribute]
        parts += [f"<h3>By {escape(attribute)}</h3>", _list(of_attribute)]
    return parts


def _statement(statement: Statement) -> str:
    kind = "verdict found" if statement.verdict == FOUND else "verdict"
    verdict = f'<span class="{kind}">{escape(_spelt_out(statement))}</span>'
    return f"{escape(statement.topic.capitalize())}: {verdict}. {escape(statement.text)}"


def _spelt_out(statement: Statement) -> str:
    """Say what was found, which the topic alone leaves open."""
    noun = {"calibration": "error", "leakage": "leak"}.get(statement.topic, "difference")
    return {
        FOUND: f"{noun} found",
        "none found": f"no {noun} found",
        "unclear": f"{noun} unclear",
    }.get(statement.verdict, statement.verdict)


def _section(audit: AuditRecord, table: Table) -> list[str]:
    if table.section == "calibration":
        table = replace(table, introduction=f"{table.introduction} {OF_RELIABILITY}")
    title = table.title.removesuffix(f": {table.attribute}")
    picture = picture_of(audit, table.section, table.attribute)
    return [
        f"<h3>{escape(title)}</h3>",
        f"<p>{escape(table.introduction)}</p>",
        _wide(f'<div class="panels">{picture}</div>', f"Picture: {table.title}")
        if picture
        else "",
        _wide(_table(table), table.title),
    ]


def _wide(content: str, name: str) -> str:
    """Put content in a box that a phone scrolls sideways, by keys too."""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(name)}">{content}</div>'
    )


def _table(table: Table) -> str:
    """Lay out a table in which each cell has a row header and a column header."""
    sides = ["left" if j < table.n_headers else "right" for j in range(len(table.header))]
    head = "".join(
        f'<th scope="col" class="{side}">{escape(name)}</th>'
        for name, side in zip(table.header, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row" class="left">{_cell(cell)}</th>'
            if j < table.n_headers
            else f'<td class="right">{_cell(cell)}</td>'
            for j, cell in enumerate(row)
        )
        + "</tr>"
        for row in table.rows
    )
    return (
        f"<table><caption>{escape(table.title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(cell: Cell) -> str:
    if not isinstance(cell, Figure):
        return escape(cell)
    return f"{number(cell.value) or 'none'}<small>{interval(cell)}</small>"


def _meanings(audit: AuditRecord) -> str:
    measures = dict.fromkeys(f.measure for f in audit.figures)
    return _definitions({name_of(m): MEANINGS[m] for m in measures if m in MEANINGS})


def _method(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"<p>Intervals hold with {100 * about['confidence']:g} % confidence each, where the text "
        "above a table doesn't say that they hold together. Rates have Wilson's intervals; "
        "differences and ratios have Newcombe's, jointly for all pairs of groups; changes have "
        f"intervals from {about['draws']:,} bootstrap draws. Made with {escape(versions)}.</p>"
    )


def _definitions(rows: dict[str, str]) -> str:
    items = "".join(f"<dt>{escape(n)}</dt><dd>{escape(str(t))}</dd>" for n, t in rows.items())
    return f"<dl>{items}</dl>"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
