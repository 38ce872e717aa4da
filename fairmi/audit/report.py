"""The audit that a user gets: the records, and every form that they can be shown in."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fairmi.audit.records import AuditRecord
from fairmi.audit.render.card import as_card
from fairmi.audit.render.data import as_dict, as_frame, harmless
from fairmi.audit.render.page import fragment, whole_page
from fairmi.audit.render.text import as_text


@dataclass(frozen=True, repr=False)
class Audit(AuditRecord):
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
        return as_frame(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, lists, strings and numbers; None for NaN and infinity."""
        return as_dict(self)

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
        """Write a self-contained page, with pictures, that states what the figures mean."""
        write_whole(path, whole_page(self))

    def to_card(self, path: str | Path) -> None:
        """Write a model card in Markdown with a YAML head, as the Hugging Face Hub takes it [1]_.

        It has the data and the groups, the figures with their intervals, what they mean and what
        they don't show. What only the model's makers know is left for them to fill in, marked
        "(to be stated)".

        References
        ----------
        .. [1] M. Mitchell et al., Model Cards for Model Reporting, FAT* 2019, arXiv:1810.03993.
        """
        write_whole(path, as_card(self))

    def _repr_html_(self) -> str:
        return fragment(self)

    def __repr__(self) -> str:
        return as_text(self)


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
        draft.write_bytes(data)
        if target.exists():
            shutil.copymode(target, draft)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
