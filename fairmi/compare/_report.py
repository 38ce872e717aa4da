"""The table as text, and its files."""

from __future__ import annotations

import platform
import textwrap
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fairmi.compare._picture import draw_frontier
from fairmi.compare._standings import standings_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 99
_FOOTNOTES = (
    (
        "±: half the width of the 95 % interval; the CSV file has its ends. bal.: balanced "
        "accuracy. AUC: of ROC. probe: ROC AUC of gradient boosting that learns the group from "
        "the representation, on unseen rows; 0.5 means that nothing is left of it."
    ),
    "plain: standardised numbers and one-hot categories in place of fairmi's TableEncoder.",
    (
        "Adversarial: of its candidates those that no other betters on a held-out fifth of the "
        "training rows; not fitted again."
    ),
    (
        "ThresholdOptimizer, quantile transport and predicted groups learn their rule from scores "
        "of rows that the model did not learn (5 folds); their fit times are those of all of it."
    ),
)
_FOLDS_NOTE = (
    "So as to end within minutes, less is tried here than on Adult: 2 settings of 12 of "
    "Adversarial, 2 of 4 of ExponentiatedGradient and of fairmi's four networks, 4 of 8 of its "
    "trees. Left out are ExponentiatedGradient over boosting (half a minute a fit), the single "
    "network, and what has settings on the plain encoding. Fit times of fairmi's trees and "
    "networks are those of all their settings, which train together."
)
_PACKAGES = ("fairmi", "fairlearn", "scikit-learn", "torch", "numpy", "pandas")
_SETTING = {
    "adult": "Adult: official training and test part, sex sensitive; intervals (95 %) by "
    "bootstrap over the test rows.",
    "german": "German credit: cross-validation, age over 25 years sensitive; intervals (95 %) of "
    "the mean over folds.",
}
_COLUMN = {"adult": "sex", "german": "age"}


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison.

    Attributes
    ----------
    dataset : str
        The name of the data set.
    table : DataFrame
        A row for each method and setting: `method`, `setting`, each metric with the ends of its
        95 % interval (`_low`, `_high`), `probe_auc`, `fit_seconds`, the fit's `notes`, and
        `reads_group`: whether the method is given the group at prediction.
    fast : bool
        Whether it was run on the small setting.
    without_sensitive : bool
        Whether the sensitive column was kept out of the features.
    """

    dataset: str
    table: pd.DataFrame
    fast: bool = False
    without_sensitive: bool = False

    def __str__(self) -> str:
        standings = standings_text(self.table)
        wrapped = [line for text in (*standings, "", *self._footnotes()) for line in _wrap(text)]
        return "\n".join([self.header, "", _as_text(self.table), "", *wrapped])

    @property
    def header(self) -> str:
        """What was run, and on what."""
        packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        lines = [
            _SETTING[self.dataset],
            self._features(),
            f"{_processor()}, Python {platform.python_version()}, {packages}; one thread a fit.",
        ]
        if self.fast:
            lines.append("Small setting: to see that it runs, not to read figures from.")
        return "\n".join(line for text in lines for line in _wrap(text))

    def _features(self) -> str:
        column = _COLUMN[self.dataset]
        if self.without_sensitive:
            return f"The column {column} is kept out of the features of all methods."
        return (
            f"The column {column} is among the features, so every method sees it there; with "
            "--without-sensitive none does."
        )

    def _footnotes(self) -> list[str]:
        in_folds = self.dataset == "german" and not self.fast
        return [*_FOOTNOTES, *([_FOLDS_NOTE] if in_folds else []), *_notes(self.table)]

    def plot(self) -> Figure:
        """Draw the frontier, accuracy over unfairness, and return matplotlib's Figure."""
        title = self.dataset.title()
        if self.without_sensitive:
            title += f" without {_COLUMN[self.dataset]}"
        if self.fast:
            title += ", small setting: to see that it runs, not to read figures from"
        return draw_frontier(self.table, title=title)

    def save(self, folder: str | Path) -> list[Path]:
        """Write the table as CSV and the picture as PNG to `folder`; return their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"compare_{self.dataset}" + "_without_sensitive" * self.without_sensitive
        table, picture = (folder / f"{name}.{kind}" for kind in ("csv", "png"))
        self.table.to_csv(table, index=False)
        self.plot().savefig(picture, dpi=160)
        return [table, picture]


def _as_text(table: pd.DataFrame) -> str:
    heads = ("", "accuracy", "bal.", "AUC", "DP diff.", "EO diff.", "probe", "fit, s")
    lines: list[tuple[str, ...]] = [heads]
    for name, rows in table.groupby("method", sort=False):
        short = str(name).replace(", plain encoding", ", plain")
        if rows["setting"].iloc[0]:
            lines.append((short,))
        for _, row in rows.iterrows():
            label = f"  {row['setting']}" if row["setting"] else short
            lines.append((label, *_cells(row)))
    widths = [max(len(line[k]) for line in lines if len(line) > k) for k in range(len(heads))]
    return "\n".join(
        "  ".join(
            text.ljust(w) if k == 0 else text.rjust(w)
            for k, (text, w) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        for line in lines
    )


def _cells(row: pd.Series) -> tuple[str, ...]:
    return (
        _with_reach(row, "accuracy"),
        _short(row["balanced_accuracy"], ".3f"),
        _short(row["roc_auc"], ".3f"),
        _with_reach(row, "demographic_parity_difference"),
        _with_reach(row, "equalized_odds_difference"),
        _short(row["probe_auc"], ".3f"),
        f"{row['fit_seconds']:.1f}",
    )


def _with_reach(row: pd.Series, name: str) -> str:
    reach = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return f"{_short(row[name], '.4f')} ±{_short(reach, '.3f')}"


def _short(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form).removeprefix("0")


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, drop_whitespace=True) if len(text) > _WIDTH else [text]


def _notes(table: pd.DataFrame) -> list[str]:
    noted = table[table["notes"] != ""]
    return [f"{row.method} {row.setting}: {row.notes}" for row in noted.itertuples()]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
