"""The audit that a user gets, and every form that it can be shown in."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
import textwrap
import zlib
from dataclasses import asdict
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from fairmi.audit import findings as words
from fairmi.audit.findings import Figures, findings_of, next_steps, number, overall_sentence
from fairmi.audit.measures import FOUND, HOLDS, NOTHING, UNCLEAR, Figure, meaning_of, name_of
from fairmi.audit.pictures import MAX_LINES, MIN_IN_BIN, picture_of
from fairmi.audit.tables import Cell, Table, tables_of

TEXT_COLUMNS = ["section", "attribute", "group", "subject", "part", "given", "against", "rate"]
TEXT_COLUMNS += ["most", "least", "measure", "verdict"]
NUMBER_COLUMNS = ["value", "low", "high", "by_chance", "n"]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
TO_BE_STATED = "(to be stated)"
WIDTH = 99  # of the text
MAX_CELL = 34

LIMITS = (
    (
        "The figures are of these rows. They carry over to others only if those come from the "
        "same population, and if neither the model nor the choice of it has seen these rows."
    ),
    (
        "Labels are taken as true. If they carry a bias of their own, so does every figure that "
        "compares predictions with them."
    ),
    (
        "Demographic parity, equalized odds and calibration can't in general all hold at once. "
        "Which of them matters is a decision about the use of the model, not a result of an audit."
    ),
    "Groups other than those of the sensitive features given were not looked at.",
    "A probe that tells nothing is no proof that nothing is there; only a certificate is one.",
)
METHODS = (
    "Rates have Wilson's intervals; differences and ratios have Newcombe's, jointly for all pairs "
    "of groups; changes have intervals from {:,} bootstrap draws."
)
NUMBER_METHODS = (
    "Means and errors have Student's intervals, differences have the groups' limits squared and "
    "added, jointly for all pairs; KS and Wasserstein-1, chance and changes rest on {:,} draws."
)
# How a verdict looks: a class of the style sheet, and a sign for those who see no colours.
LOOKS = {
    FOUND: ("found", "▲"),
    UNCLEAR: ("unclear", "◆"),
    NOTHING: ("nothing", "○"),
    HOLDS: ("other", "■"),
}
OTHER_LOOK = ("other", "-")


class Audit(Figures):
    """What `audit` found. It prints as a table, and shows as a page in a notebook.

    Attributes
    ----------
    about : dict of str to object
        What was audited, on what, and how: model, rows, labels, confidence, versions.
    figures : tuple of Figure
        All numbers.
    curves : tuple of Curve
        Reliability of scores by group.
    notes : tuple of str
        What could not be measured or relied on, and why, in plain words.
    """

    def to_frame(self) -> pd.DataFrame:
        """Return all figures as a DataFrame, a row for each; columns as in `Figure`."""
        rows = [asdict(figure) for figure in self.figures]
        return pd.DataFrame(rows, columns=TEXT_COLUMNS + NUMBER_COLUMNS)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, lists, strings and numbers; None for NaN and infinity."""
        return _plain(asdict(self))

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` to a file of JSON."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(path, text + "\n")

    def to_csv(self, path: str | Path) -> None:
        """Write `to_frame` to a file of CSV that no spreadsheet takes for formulas.

        Text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break gets an apostrophe
        before it [1]_. Numbers stay as they are.

        References
        ----------
        .. [1] OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
        """
        write_whole(path, harmless(self.to_frame()).to_csv(index=False, lineterminator="\n"))

    def to_html(self, path: str | Path) -> None:
        """Write a self-contained page, with pictures, that states what the figures mean.

        It has no script and asks for nothing from the network; it follows the reader's choice of
        light or dark, and opens all its sections on paper.
        """
        write_whole(path, filled("page.html", self))

    def to_card(self, path: str | Path) -> None:
        """Write a model card in Markdown with a YAML head, as the Hugging Face Hub takes it [1]_.

        It has the data and the groups, the figures with their intervals, what they mean and what
        they don't show. What only the model's makers know is left for them to fill in, marked
        "(to be stated)".

        References
        ----------
        .. [1] M. Mitchell et al., Model Cards for Model Reporting, FAT* 2019, arXiv:1810.03993.
        """
        write_whole(path, filled("card.md", self))

    def _repr_html_(self) -> str:
        return filled("report.html", self)

    def __repr__(self) -> str:
        return as_text(self)


def as_text(audit: Figures) -> str:
    """Return the whole audit as text, lines of at most `WIDTH` where names are not too long."""
    head = _heading(audit.about)
    overall = [f for f in audit.section("overall") if not f.subject]
    head.append(", ".join(f"{name_of(f.measure)} {words.with_interval(f)}" for f in overall))
    short = [f"{f.topic} by {f.attribute}: {f.words}. {f.text}" for f in findings_of(audit)]
    todo = [f"- {step}" for step in next_steps(audit)]
    blocks = [
        "\n".join(line for text in head for line in textwrap.wrap(text, WIDTH)),
        "\n".join(["In short", "--------", *map(_wrapped, short)]),
        "\n".join(["What to do next", "---------------", *map(_wrapped, todo)]),
        *map(_text_table, tables_of(audit)),
    ]
    blocks += ["\n".join(textwrap.wrap(f"Note: {note}", WIDTH)) for note in audit.notes]
    return "\n\n".join(blocks)


def _heading(about: dict[str, Any]) -> list[str]:
    """Say of what an audit is, on what, and against what."""
    labels = ", ".join(f"{label} {n:,}" for label, n in about["labels"].items())
    clusters = f" in {about['clusters']:,} clusters" if about["clusters"] else ""
    known = about.get("y") or (f"labels {labels}" if labels else "labels not known")
    positive = about["positive label"]
    named = f"; positive label {positive}" if positive else ""
    heading = [
        f"Audit of {about['model']}",
        f"on {about['rows']:,} rows{clusters}; {known}{named}",
    ]
    return [*heading, f"against {about['baseline']}"] if about["baseline"] else heading


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False))


def _text_table(table: Table) -> str:
    """Lay out a table in columns; the interval of a figure stands under it."""
    rows = [[(name, "") for name in table.header]]
    rows += [[_text_cell(cell) for cell in row] for row in table.rows]
    columns = range(len(table.header))
    widths = [max(len(line) for row in rows for line in row[j]) for j in columns]
    lines = [
        "  ".join(
            row[j][k].ljust(width) if j < table.n_headers else row[j][k].rjust(width)
            for j, width in enumerate(widths)
        ).rstrip()
        for row in rows
        for k in (0, 1)
        if k == 0 or any(row[j][1] for j in columns)
    ]
    return "\n".join([table.full_title, "-" * len(table.full_title), *lines])


def _text_cell(cell: Cell) -> tuple[str, str]:
    if isinstance(cell, Figure):
        return number(cell.value) or "none", words.interval(cell)
    return (cell if len(cell) <= MAX_CELL else f"{cell[: MAX_CELL - 1]}…"), ""


def filled(template: str, audit: Figures) -> str:
    """Return a template with what it shows of an audit: of a page, a piece of one, or a card."""
    about = audit.about
    form = "md" if template.endswith(".md") else "html"
    checksum = zlib.crc32(repr((about, audit.figures)).encode("utf-8", "replace"))
    shown = {
        "audit": audit,
        "about": about,
        "id": f"audit-{checksum:08x}",
        "style": Markup(_environment("md").get_template("style.css").render()),
        "head": Markup(_card_head(audit)),
        "heading": _heading(about),
        "overall": overall_sentence(audit),
        "findings": findings_of(audit),
        "steps": next_steps(audit),
        "tables": tables_of(audit),
        "overviews": {name: picture_of(audit, "overview", name) for name in audit.attributes},
        "theirs": {(f.attribute, f.measure): f.verdict for f in audit.section("baseline")},
        "measures": dict.fromkeys(f.measure for f in audit.figures),
        "versions": ", ".join(f"{name} {release}" for name, release in about["versions"].items()),
        "limits": LIMITS,
        "methods": (NUMBER_METHODS if audit.of_numbers else METHODS).format(about["draws"]),
        "confidence": f"{100 * about['confidence']:g} %",
        "max_lines": MAX_LINES,
        "min_in_bin": MIN_IN_BIN,
    }
    return _environment(form).get_template(template).render(shown)


def _card_head(audit: Figures) -> str:
    """Return the YAML head, with what the Hub shows beside a model."""
    kind, score = "classification", "accuracy"
    if audit.of_numbers:
        kind, score = "regression", "rmse"
    shown = [f for f in audit.section("overall") if f.measure == score]
    shown += [f for f in audit.section("disparity") if f.measure.endswith("_difference")]
    task = {"type": f"tabular-{kind}"}
    result = {
        "task": task,
        "dataset": {"type": TO_BE_STATED, "name": TO_BE_STATED},
        "metrics": [
            {
                "type": f.measure,
                "name": name_of(f.measure) + (f", {f.attribute}" if f.attribute else ""),
                "value": round(f.value, 4),
            }
            for f in shown
            if math.isfinite(f.value)
        ],
    }
    head = {
        "library_name": "scikit-learn",
        "pipeline_tag": task["type"],
        "tags": [task["type"], "fairness"],
        "metrics": [score],
        "model-index": [{"name": audit.about["model"], "results": [result]}],
    }
    return str(yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=math.inf))


@lru_cache
def _environment(form: str) -> Environment:
    """Return jinja2's environment for "html", or for "md", in which nothing needs a filter.

    Everything that a template shows is escaped, unless it is Markup: by jinja2 in HTML, by
    `as_markdown` in Markdown.
    """
    environment = Environment(
        loader=PackageLoader("fairmi.audit"),
        autoescape=form == "html",
        finalize=as_line if form == "html" else as_markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        number=number,
        name_of=name_of,
        meaning_of=meaning_of,
        picture_of=picture_of,
        counted=lambda sizes: [f"{name}: {n:,}" for name, n in sizes.items()],
        interval=words.interval,
        with_interval=words.with_interval,
        spelt_out=words.spelt_out,
        kind_of=lambda verdict: LOOKS.get(verdict, OTHER_LOOK)[0],
        sign_of=lambda verdict: LOOKS.get(verdict, OTHER_LOOK)[1],
    )
    return environment


REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# What a reader of Markdown (CommonMark, or GitHub's with its tables, links and formulas) may take
# for more than a character, wherever it stands; and what begins a list or a rule.
ANYWHERE = re.compile(
    r"([\\`*_\[\]#|~$]|(?:(?<=http)|(?<=https)|(?<=ftp)):|(?<=www)\.)", re.IGNORECASE
)
AT_THE_START = re.compile(r"^( ?)(?=[-+](?:\s|$)|[-=][-=\s]*$)|^( ?\d+)(?=[.)](?:\s|$))")
# Control characters, those that turn the direction of what follows, and halves of surrogate pairs,
# which no file of UTF-8 can hold.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def as_line(text: object) -> Any:
    """Return text as one line of characters that can be printed; Markup as it is."""
    if isinstance(text, Markup):
        return text
    # The spaces around a text are the template's.
    return CONTROLS.sub(REPLACEMENT, re.sub(r"\s+", " ", str(text)))


def as_markdown(text: object) -> str:
    """Return text as a line of Markdown in which nothing is markup, HTML or a link."""
    if isinstance(text, Markup):
        return str(text)
    line = ANYWHERE.sub(r"\\\1", as_line(text))
    # After the backslashes: the entities' own "&" and "#" are none of the text's.
    return AT_THE_START.sub(r"\1\2\\", escape(line, quote=False))


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with an apostrophe before text, names too, that begins like a formula."""
    safe = frame.copy()
    for j, dtype in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype):
            safe.isetitem(j, frame.iloc[:, j].map(_harmless))
    return safe.rename(columns=_harmless)


def _harmless(cell: object) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _plain(value: object) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def write_whole(path: str | Path, text: str) -> None:
    """Write a file of UTF-8 so that it is never there in part: whoever reads it, or if disk ends.

    The text goes to a file beside it, which then takes its name; what a symbolic link points to
    is replaced, not the link. Halves of surrogate pairs, which no UTF-8 has, are written as JSON
    spells them.
    """
    target = Path(path).resolve()
    data = text.encode("utf-8", errors="backslashreplace")
    if target.exists() and not target.is_file():  # a pipe or a device
        target.write_bytes(data)
        return
    draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, draft)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
