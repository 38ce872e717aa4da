"""Names that come from data, made harmless in what they are written into."""

from __future__ import annotations

import re
import unicodedata
from html import escape

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# What a reader of Markdown (CommonMark, or GitHub's with its tables, links and formulas) may take
# for more than a character, wherever it stands; and what begins a list, a heading or a rule.
ANYWHERE = re.compile(
    r"([\\`*_\[\]#|~$]|(?:(?<=http)|(?<=https)|(?<=ftp)):|(?<=www)\.)", re.IGNORECASE
)
AT_THE_START = re.compile(r"^([-+=]|\d+(?=[.)]))")


def as_line(text: object) -> str:
    """Return text as one line of characters that can be printed.

    Control characters, and those that turn the direction of what follows, are replaced; so are
    halves of surrogate pairs, which no file of UTF-8 can hold.
    """
    line = " ".join(str(text).split())
    return "".join(REPLACEMENT if _is_control(c) else c for c in line)


def _is_control(character: str) -> bool:
    category = unicodedata.category(character)
    return (
        category in ("Cc", "Cs")
        or "\u202a" <= character <= "\u202e"
        or ("\u2066" <= character <= "\u2069")
    )


def as_markdown(text: object) -> str:
    """Return text as a line of Markdown in which nothing is markup, HTML or a link."""
    line = ANYWHERE.sub(r"\\\1", as_line(text))
    # After the backslashes: the entities' own "&" and "#" are none of the text's.
    return AT_THE_START.sub(_escape_start, escape(line, quote=False))


def _escape_start(match: re.Match[str]) -> str:
    return match[0] + "\\" if match[0][0].isdigit() else "\\" + match[0]
