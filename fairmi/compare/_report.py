"""The table as text, and its files."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fairmi.compare._picture import draw_frontier

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "roc_auc": "ROC AUC",
    "demographic_parity_difference": "DP difference",
    "equalized_odds_difference": "EO difference",
}
_FOOTNOTE = (
    "probe AUC: gradient boosting learns the sensitive value from the representation; on unseen "
    "rows, 0.5 means that nothing is left of it.\n"
    "Adversarial: of its candidates those that no other betters on a held-out fifth of the "
    "training rows; not fitted again.\n"
    "ThresholdOptimizer and CorrelationRemover read the sensitive feature at prediction too."
)
_PACKAGES = ("fairmi", "fairlearn", "scikit-learn", "torch", "numpy", "pandas")
_SETTING = {
    "adult": "Adult: official training and test part, sex sensitive and among the features; "
    "intervals (95 %) by bootstrap over the test rows.",
    "german": "German credit: cross-validation, age over 25 years sensitive; "
    "intervals (95 %) of the mean over folds.",
}


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison.

    Attributes
    ----------
    dataset : str
        The name of the data set.
    table : DataFrame
        A row for each method and setting: `method`, `setting`, each metric with the ends of its
        95 % interval (`_low`, `_high`), `probe_auc`, `fit_seconds`, and the fit's `notes`.
    fast : bool
        Whether it was run on the small setting.
    """

    dataset: str
    table: pd.DataFrame
    fast: bool = False

    def __str__(self) -> str:
        text = _as_text(self.table)
        return "\n".join([self.header, "", text, "", _FOOTNOTE, *_notes(self.table)])

    @property
    def header(self) -> str:
        """What was run, and on what."""
        packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        lines = [
            _SETTING[self.dataset],
            f"{_processor()}, Python {platform.python_version()}, {packages}; one thread a fit.",
        ]
        if self.fast:
            lines.append("Small setting: to see that it runs, not to read figures from.")
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Draw the frontier, accuracy over unfairness, and return matplotlib's Figure."""
        return draw_frontier(self.table, title=self.dataset.title())

    def save(self, folder: str | Path) -> list[Path]:
        """Write the table as CSV and the picture as PNG to `folder`; return their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        table, picture = (folder / f"compare_{self.dataset}.{kind}" for kind in ("csv", "png"))
        self.table.to_csv(table, index=False)
        self.plot().savefig(picture, dpi=160)
        return [table, picture]


def _as_text(table: pd.DataFrame) -> str:
    shown = table[["method", "setting"]].copy()
    shown["method"] = shown["method"].where(shown["method"] != shown["method"].shift(), "")
    for name, head in _HEADS.items():
        columns = table[[name, f"{name}_low", f"{name}_high"]].to_numpy()
        shown[head] = [_interval(*values) for values in columns]
    shown["probe AUC"] = [_or_dash(value, ".3f") for value in table["probe_auc"]]
    shown["fit, s"] = [f"{value:.1f}" for value in table["fit_seconds"]]
    widths = [max(len(head), shown[head].str.len().max()) for head in shown]
    left = [head in ("method", "setting") for head in shown]
    lines = [shown.columns, *shown.itertuples(index=False)]
    return "\n".join(
        "  ".join(
            str(text).ljust(w) if is_left else str(text).rjust(w)
            for text, w, is_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def _interval(value: float, low: float, high: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f} [{low:.3f}, {high:.3f}]"


def _or_dash(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form)


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
