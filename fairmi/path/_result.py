"""What a path gives: the values of λ and their models, shown as a table."""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

import numpy as np

_HEADERS = ("λ", "task loss", "penalty", "epochs", "stopped", "warnings")


class FairnessPath(NamedTuple):
    """The values of λ of a path, and the fitted classifier of each: a pair that unpacks.

    Task loss and penalty are the last ones of training, in nats, which is no evidence of what is
    left: measure that on rows that were held out.

    Attributes
    ----------
    lams : ndarray of shape (n_lams,)
        The values of λ.
    models : list of classifiers
        The fitted classifier of each.
    """

    lams: np.ndarray
    models: list[Any]

    def __repr__(self) -> str:
        rows = [_HEADERS, *map(_cells, self.models)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(n) for cell, n in zip(row, widths, strict=True)) for row in rows
        ]
        return "\n".join([f"{self._title()}:", *(line.rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        head = "".join(f"<th>{escape(name)}</th>" for name in _HEADERS)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(model)) + "</tr>"
            for model in self.models
        )
        return (
            f"<table><caption>{escape(self._title())}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _title(self) -> str:
        return f"{len(self.models)} fits of {type(self.models[0]).__name__}"


# A pickle names the public place of a class, which stays where its file moves.
FairnessPath.__module__ = "fairmi.path"


def _cells(model: Any) -> tuple[str, ...]:
    """Return what a row of the table says of a model."""
    last = model.history_[-1] if model.history_ else {}
    figures = [last.get(name, np.nan) for name in ("task_loss", "penalty")]
    return (
        f"{model.lam:.3g}",
        *("-" if np.isnan(value) else f"{value:.4f}" for value in figures),
        str(model.n_iter_),
        model.stopped_ or "-",
        ", ".join(dict.fromkeys(kind for kind, _ in model.warnings_)) or "-",
    )
