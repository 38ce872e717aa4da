"""The audit that a user gets: the records, and every form that they can be shown in."""

from __future__ import annotations

import json
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
        Path(path).write_text(text + "\n", encoding="utf-8")

    def to_csv(self, path: str | Path) -> None:
        """Write `to_frame` to a file of CSV that no spreadsheet takes for formulas.

        Text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break gets an apostrophe
        before it [1]_. Numbers stay as they are.

        References
        ----------
        .. [1] OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
        """
        harmless(self.to_frame()).to_csv(path, index=False)

    def to_html(self, path: str | Path) -> None:
        """Write a self-contained page, with pictures, that states what the figures mean."""
        Path(path).write_text(whole_page(self), encoding="utf-8")

    def to_card(self, path: str | Path) -> None:
        """Write a model card in Markdown with a YAML head, as the Hugging Face Hub takes it [1]_.

        It has the data and the groups, the figures with their intervals, what they mean and what
        they don't show. What only the model's makers know is left for them to fill in, marked
        "(to be stated)".

        References
        ----------
        .. [1] M. Mitchell et al., Model Cards for Model Reporting, FAT* 2019, arXiv:1810.03993.
        """
        Path(path).write_text(as_card(self), encoding="utf-8")

    def _repr_html_(self) -> str:
        return fragment(self)

    def __repr__(self) -> str:
        return as_text(self)
