"""An audit as a self-contained page: words, tables and pictures, no script, no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from typing import Any

from fairmi.audit.counts import RATES
from fairmi.audit.pictures import Dot, Line, dot_panels, reliability_picture
from fairmi.audit.records import Audit, Figure
from fairmi.audit.tables import Cell, Table, tables_of
from fairmi.audit.words import LIMITS, MEANINGS, interval, name_of, number

MOST_ROWS = 40  # of a picture; larger tables go without one
MOST_LINES = 5
OF_PICTURE = (
    f"The picture has the largest groups, at most {MOST_LINES}, and bins of 10 rows or more."
)

STYLE = """
.fairmi-audit { color: #222; background: #fff; font: 16px/1.5 system-ui, sans-serif;
  max-width: 960px; margin: 0 auto; padding: 24px; }
.fairmi-audit h1 { font-size: 1.7em; margin: 0 0 .3em; }
.fairmi-audit h2 { font-size: 1.3em; margin: 2em 0 .4em; border-top: 2px solid #222;
  padding-top: .5em; }
.fairmi-audit h3 { font-size: 1.05em; margin: 1.6em 0 .3em; }
.fairmi-audit p { margin: .3em 0 .8em; max-width: 46em; }
.fairmi-audit .wide { overflow-x: auto; margin: .6em 0; }
.fairmi-audit table { border-collapse: collapse; font-size: .9em; background: none;
  font-variant-numeric: tabular-nums; }
.fairmi-audit th, .fairmi-audit td { padding: .25em .9em .25em 0; text-align: right;
  vertical-align: top; background: none; }
.fairmi-audit th { border-bottom: 1px solid #777; font-weight: 600; }
.fairmi-audit td { border-bottom: 1px solid #ddd; }
.fairmi-audit .left { text-align: left; }
.fairmi-audit small { color: #555; display: block; white-space: nowrap; }
.fairmi-audit dl { display: grid; grid-template-columns: max-content 1fr; gap: .15em 1.2em;
  margin: .5em 0; }
.fairmi-audit dt { font-weight: 600; }
.fairmi-audit dd { margin: 0; overflow-wrap: anywhere; }
.fairmi-audit .note { border-left: 4px solid #E69F00; padding-left: .8em; }
@media (max-width: 600px) { .fairmi-audit dl { grid-template-columns: 1fr; } }
"""


def whole_page(audit: Audit) -> str:
    """Return the report as one HTML document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>Fairness audit</title>\n</head>\n<body>\n{fragment(audit)}\n</body>\n</html>\n"
    )


def fragment(audit: Audit) -> str:
    """Return the report as a piece of HTML, as a notebook shows it."""
    tables = tables_of(audit)
    parts = [
        f"<style>{STYLE}</style>",
        "<h1>Fairness audit</h1>",
        _about(audit.about),
        "<h2>In short</h2>",
        *(f"<p>{sentence}</p>" for sentence in _summary(audit)),
        *(f'<p class="note">{escape(note)}</p>' for note in audit.notes),
    ]
    for attribute in dict.fromkeys(table.attribute for table in tables):
        parts.append(f"<h2>Groups by {escape(attribute)}</h2>")
        for table in tables:
            if table.attribute == attribute:
                parts += _section(audit, table)
    parts += ["<h2>What the measures mean</h2>", _meanings(audit)]
    parts += ["<h2>What this does not show</h2>", _list(LIMITS), _method(audit.about)]
    return "\n".join(['<div class="fairmi-audit">', *parts, "</div>"])


def _about(about: dict[str, Any]) -> str:
    labels = ", ".join(f"{label}: {n:,}" for label, n in about["labels"].items())
    rows = {
        "Model": about["model"],
        "Baseline": about["baseline"],
        "Rows": f"{about['rows']:,}, of {about['features']:,} features",
        "Labels": labels,
        "Positive label": about["positive label"],
        "Sensitive features": ", ".join(about["sensitive features"]),
        "Date": about["date"],
    }
    return _definitions({name: text for name, text in rows.items() if text})


def _summary(audit: Audit) -> list[str]:
    """Return a sentence on the whole, and one for each attribute and kind of finding."""
    overall = [f for f in audit.section("overall") if f.measure == "accuracy"]
    sentences = [f"The model is right on {_of_hundred(f)} of the rows." for f in overall]
    sentences += [
        _gap_sentence(f)
        for f in audit.section("gap")
        if f.measure == "demographic_parity_difference"
    ]
    sentences += [
        f"From its {escape(f.subject)} a fresh probe tells {escape(f.attribute)} with "
        f"{name_of(f.measure)} {number(f.value)} ({interval(f)}), {_against_chance(f)}."
        for f in audit.section("leakage")
        if not math.isnan(f.by_chance)
    ]
    sentences += [
        f"No classifier built on its {escape(f.subject)} alone, by anyone, gives a positive "
        f"prediction more often in one group by {escape(f.attribute)} than in another by more "
        f"than {number(f.value)}."
        for f in audit.section("certificate")
        if f.value < 1 and f.subject != "predictions"
    ]
    return sentences


def _of_hundred(figure: Figure) -> str:
    return f"{100 * figure.value:.1f} % ({100 * figure.low:.1f} to {100 * figure.high:.1f} %)"


def _gap_sentence(figure: Figure) -> str:
    return (
        f"Between groups by {escape(figure.attribute)}, the share that gets a positive prediction "
        f"differs by up to {number(figure.value)} ({interval(figure)}), {_against_chance(figure)}."
    )


def _against_chance(figure: Figure) -> str:
    if math.isnan(figure.by_chance):
        return "with no figure for chance to compare with"
    if figure.value <= figure.by_chance:
        return f"no more than chance explains (up to {number(figure.by_chance)})"
    return f"more than chance explains (up to {number(figure.by_chance)})"


def _section(audit: Audit, table: Table) -> list[str]:
    figures = [f for f in audit.section(table.section) if f.attribute == table.attribute]
    if table.section == "calibration":
        picture = _reliability(audit, table.attribute)
        table = replace(table, introduction=f"{table.introduction} {OF_PICTURE}")
    else:
        picture = PICTURES.get(table.section, _no_picture)(figures)
    title = table.title.removesuffix(f": {table.attribute}")
    return [
        f"<h3>{escape(title)}</h3>",
        f"<p>{escape(table.introduction)}</p>",
        f'<div class="wide">{picture}</div>' if picture else "",
        f'<div class="wide">{_table(table)}</div>',
    ]


def _rates_picture(figures: Sequence[Figure]) -> str:
    by_class = sorted({f.subject for f in figures if f.subject})
    panels = {
        name_of(measure): [
            Dot(f"{f.group}, {f.subject}" if f.subject else f.group, f.value, f.low, f.high)
            for f in figures
            if f.measure == measure
        ]
        for measure in (RATES[1:] if by_class else RATES)
    }
    description = "Rates by group, with intervals; the numbers are in the table below."
    return _drawn(panels, description)


def _gaps_picture(figures: Sequence[Figure]) -> str:
    dots = [
        Dot(name_of(f.measure), f.value, f.low, f.high, (0.0, f.by_chance))
        for f in figures
        if f.measure.endswith("_difference")
    ]
    title = "difference (grey: what chance explains)"
    return _drawn({title: dots}, "Differences between groups, with intervals.")


def _changes_picture(figures: Sequence[Figure]) -> str:
    dots = [Dot(name_of(f.measure), f.value, f.low, f.high, (0.0, 0.0)) for f in figures]
    return _drawn({"model less baseline": dots}, "Changes from the baseline, with intervals.")


def _leaks_picture(figures: Sequence[Figure]) -> str:
    figures = [f for f in figures if not math.isnan(f.by_chance)]
    nothing = 0.5 if figures[0].measure.startswith("roc_auc") else 0.0
    dots = [Dot(f.subject, f.value, f.low, f.high, (nothing, f.by_chance)) for f in figures]
    title = f"{name_of(figures[0].measure)} (grey: what chance explains)"
    return _drawn({title: dots}, "What is recovered of the sensitive feature, with intervals.")


def _drawn(panels: dict[str, list[Dot]], description: str) -> str:
    rows = len(next(iter(panels.values())))
    return dot_panels(panels, description) if 0 < rows <= MOST_ROWS else ""


def _no_picture(figures: Sequence[Figure]) -> str:
    return ""


PICTURES: dict[str, Callable[[Sequence[Figure]], str]] = {
    "group": _rates_picture,
    "gap": _gaps_picture,
    "change": _changes_picture,
    "leakage": _leaks_picture,
    "information": _leaks_picture,
}


def _reliability(audit: Audit, attribute: str) -> str:
    """Draw the largest groups, and of them the bins that enough rows fall in."""
    curves = [curve for curve in audit.curves if curve.attribute == attribute]
    largest = sorted(curves, key=lambda curve: -sum(b.n for b in curve.bins))[:MOST_LINES]
    lines = [
        Line(curve.group, [(b.score, b.share, b.low, b.high) for b in curve.bins if b.n >= 10])
        for curve in curves
        if curve in largest
    ]
    description = "Share that came true over score, with intervals, a line for each group."
    return reliability_picture([line for line in lines if line.points], description)


def _table(table: Table) -> str:
    left = sum(1 for name in table.header if name in ("group", "class", "measure", "from"))
    sides = ["left" if j < left else "right" for j in range(len(table.header))]
    head = "".join(
        f'<th scope="col" class="{side}">{escape(name)}</th>'
        for name, side in zip(table.header, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{side}">{_cell(cell)}</td>' for cell, side in zip(row, sides, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(cell: Cell) -> str:
    if not isinstance(cell, Figure):
        return escape(cell)
    return f"{number(cell.value) or 'none'}<small>{interval(cell)}</small>"


def _meanings(audit: Audit) -> str:
    measures = dict.fromkeys(f.measure for f in audit.figures)
    return _definitions({name_of(m): MEANINGS[m] for m in measures if m in MEANINGS})


def _method(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"<p>Intervals hold with {100 * about['confidence']:g} % confidence each. Rates have "
        f"Wilson's intervals; differences and ratios have intervals from {about['draws']:,} "
        f"bootstrap draws, jointly for all pairs of groups. Made with {escape(versions)}.</p>"
    )


def _definitions(rows: dict[str, str]) -> str:
    items = "".join(f"<dt>{escape(n)}</dt><dd>{escape(str(t))}</dd>" for n, t in rows.items())
    return f"<dl>{items}</dl>"


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
