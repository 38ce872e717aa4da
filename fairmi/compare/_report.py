"""The table as text, who is most accurate at equal unfairness, what to take, and the files."""

from __future__ import annotations

import platform
import textwrap
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fairmi.compare._measures import (
    CHOSEN,
    CLASSES,
    Mixture,
    Reading,
    best_within,
    mean_of,
    reading_of,
)
from fairmi.compare._picture import draw_frontier

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 99
OURS, PEER, PEER_WITH_GROUP = "fairmi", "peer", "peer that reads the group"
# Standard errors that a difference must have to be called one.
_ERRORS = 2.0
_REACH = "±: half the width of the 95 % interval; the CSV file has its ends. "
_NOTES_OF_LABELS = (
    (
        f"{_REACH}bal.: balanced accuracy. AUC: of ROC. probe: ROC AUC of gradient boosting that "
        "learns the group from the representation, on unseen rows; 0.5 means that nothing is left "
        "of it."
    ),
    "plain: standardised numbers and one-hot categories in place of fairmi's TableEncoder.",
    (
        "Thresholds and quantile transport learn their rule from scores "
        "of rows that the model did not learn (5 folds); their fit times are those of all of it. "
        "Fit times are seconds of the processor."
    ),
)
_NOTES_OF_NUMBERS = (
    (
        f"{_REACH}KS: the largest difference between the groups' distributions of predictions. "
        "W1: Wasserstein distance between them, and mean diff. that of their means, in units of "
        "y; of more than two groups the widest pair's. probe: ROC AUC of gradient boosting that "
        "learns the group from predictions, on unseen rows; KS alone misleads, and 0.5 means that "
        "nothing is left."
    ),
    (
        "The barycentre learns its rule from predictions of rows that the model did not learn "
        "(5 folds). Fit times are seconds of the processor, fairmi's and the barycentre's those "
        "of all settings, which train together."
    ),
)
_SPLIT_NOTE = (
    "Adversarial: of its candidates those that no other betters on a held-out fifth of the "
    "training rows; not fitted again."
)
_CHOSEN_NOTE = (
    "chosen in the folds: the setting that the other folds choose, the fairest within a "
    "standard error of the best within the bound."
)
_GERMAN_NOTE = (
    "So as to end within minutes, less is tried here than on Adult: 2 settings of 12 of "
    "Adversarial (but of 50 epochs in place of 10, which it needs on so few rows), 2 of 4 of "
    "ExponentiatedGradient, 3 of 8 of fairmi's trees, and one of quantile transport and of the "
    "four networks. Left out are ExponentiatedGradient over boosting (half a minute a fit), the "
    "single network and the published procedure. Fit times of fairmi's trees are those of all "
    "their settings, which train together."
)
_PACKAGES = ("fairmi", "fairlearn", "scikit-learn", "torch", "numpy", "pandas")
_ABOUT = {
    "adult": "Adult: official training and test part, sex sensitive.",
    "german": "German credit: 5 folds, 4 times, age over 25 years sensitive.",
    "wages": (
        "Log wages of 1988: each half learned from the other, 3 times; who is African American is "
        "sensitive."
    ),
    "visits": (
        "Visits to a doctor: each half of the persons learned from the other, 3 times; sex "
        "sensitive."
    ),
}


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison.

    Attributes
    ----------
    dataset : str
        "adult", "german", "wages", "visits", or what a table of one's own is.
    table : DataFrame
        A row for each method and setting: `method`, `setting`, each metric with the ends of its
        95 % interval (`_low`, `_high`), `probe_auc`, `fit_seconds`, the fit's `notes`,
        `reads_group`, whether the method is given the group at prediction, and `draws`, whether
        its labels are drawn at random.
    score_draws : ndarray of shape (n_rows_of_table, 1 + n_draws), default=None
        Accuracy, R² or D² in the sample and in bootstrap draws of the rows, the same draws for all
        methods: what the error of a difference comes from.
    sensitive : str
        The columns that tell the sensitive feature by themselves.
    fast : bool
        Whether it was run on the small setting.
    without_sensitive : bool
        Whether the sensitive columns were kept out of the features.
    bound : float, default=None
        The bound under which a setting was chosen in folds; None where there were none.
    notes : tuple of str
        What was left out, and why.
    """

    dataset: str
    table: pd.DataFrame
    score_draws: np.ndarray | None = None
    sensitive: str = ""
    fast: bool = False
    without_sensitive: bool = False
    bound: float | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        texts = [*standings_text(self.table, self.score_draws), "", *self._footnotes(), ""]
        if self.bound is not None and self.score_draws is not None:
            texts.append(advice(self.table, self.score_draws, self.bound))
        wrapped = [line for text in texts for line in _wrap(text)]
        return "\n".join([self.header, "", _as_text(self.table), "", *wrapped]).rstrip()

    @property
    def header(self) -> str:
        """What was run, and on what."""
        packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        own = f"{self.dataset}: 5 folds; each row is predicted by models that did not see it."
        features = (
            f"Every method sees {self.sensitive} among the features; with --without-sensitive "
            "none does."
        )
        if not self.sensitive:
            features = "The sensitive features are no columns of the table."
        elif self.without_sensitive:
            features = f"No method sees {self.sensitive} among its features."
        lines = [
            _ABOUT.get(self.dataset, own) + " Intervals (95 %) by bootstrap.",
            features,
            f"{_processor()}, Python {platform.python_version()}, {packages}; one thread a fit.",
        ]
        if self.fast:
            lines.append("Small setting: to see that it runs, not to read figures from.")
        return "\n".join(line for text in lines for line in _wrap(text))

    def _footnotes(self) -> list[str]:
        adversarial = self.table["method"].str.startswith("Adversarial").any()
        of_data = [_SPLIT_NOTE] if self.bound is None and adversarial else []
        if self.bound is not None:
            of_data.append(_CHOSEN_NOTE)
        if self.dataset == "german" and not self.fast:
            of_data.append(_GERMAN_NOTE)
        own = _NOTES_OF_LABELS if reading_of(self.table) is CLASSES else _NOTES_OF_NUMBERS
        noted = self.table[self.table["notes"] != ""].itertuples()
        warned = [f"{row.method} {row.setting}: {row.notes}" for row in noted]
        return [*own, *of_data, *self.notes, *warned]

    def plot(self) -> Figure:
        """Draw the frontier, score over unfairness, and return matplotlib's Figure."""
        title = self.dataset.title() if self.dataset in _ABOUT else self.dataset
        if self.without_sensitive:
            title += f" without {self.sensitive}"
        if self.fast:
            title += ", small setting: to see that it runs, not to read figures from"
        return draw_frontier(self.table, title=title)

    def save(self, folder: str | Path) -> list[Path]:
        """Write the table as CSV and the picture as PNG to `folder`; return their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"compare_{self.dataset}" if self.dataset in _ABOUT else "compare"
        name += "_without_sensitive" * self.without_sensitive
        table, picture = (folder / f"{name}.{kind}" for kind in ("csv", "png"))
        self.table.to_csv(table, index=False)
        self.plot().savefig(picture, dpi=160)
        return [table, picture]


def _as_text(table: pd.DataFrame) -> str:
    reading = reading_of(table)
    heads = ("", *reading.heads.values(), "probe", "fit, s")
    lines: list[tuple[str, ...]] = [heads]
    for name, rows in table.groupby("method", sort=False):
        short = str(name).replace(", plain encoding", ", plain")
        if rows["setting"].iloc[0]:
            lines.append((short,))
        for _, row in rows.iterrows():
            label = f"  {row['setting']}" if row["setting"] else short
            lines.append((label, *_cells(row, reading)))
    # A name that stands alone on its line may be longer than the first column.
    widths = [max(len(line[k]) for line in lines if len(line) > 1) for k in range(len(heads))]
    return "\n".join(
        "  ".join(
            text.ljust(w) if k == 0 else text.rjust(w)
            for k, (text, w) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        for line in lines
    )


def _cells(row: pd.Series, reading: Reading) -> tuple[str, ...]:
    figures = []
    for name in reading.heads:
        if name in ("balanced_accuracy", "roc_auc", "mean_difference"):
            figures.append(_short(row[name], ".3f"))
        else:
            reach = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
            figures.append(f"{_short(row[name], '.4f')} ±{_short(reach, '.3f')}")
    return (*figures, _short(row["probe_auc"], ".3f"), f"{row['fit_seconds']:.1f}")


def _short(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form).removeprefix("0")


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, drop_whitespace=True) if len(text) > _WIDTH else [text]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def standings(table: pd.DataFrame) -> pd.DataFrame:
    """The best of fairmi, and of the peers that do and don't read the group, at each level.

    Columns `at`, `kind`, `method`, `score`, `mixture`: the highest score at an unfairness of at
    most `at`, the best first; a kind that has no point there has no row.
    """
    table, reading = table.reset_index(drop=True), reading_of(table)
    rows = []
    for at in reading.levels:
        best: dict[str, tuple[float, str, Mixture]] = {}
        able = table[table["method"] != reading.constant]
        for name, points in able.groupby("method", sort=False):
            kind = _kind(str(name), bool(points["reads_group"].iloc[0]))
            mixture = best_within(points, at)
            if mixture is not None:
                entry = (mean_of(points[reading.score], mixture), str(name), mixture)
                best[kind] = max(best.get(kind, entry), entry, key=lambda e: e[0])
        ranked = sorted(best.items(), key=lambda entry: -entry[1][0])
        rows += [(at, kind, name, value, mixture) for kind, (value, name, mixture) in ranked]
    return pd.DataFrame(rows, columns=["at", "kind", "method", "score", "mixture"])


def standings_text(table: pd.DataFrame, draws: np.ndarray | None = None) -> list[str]:
    """The standings as lines of text, and one sentence on each kind of winner, and on ties."""
    ranked = standings(table)
    if OURS not in set(ranked["kind"]) or ranked["kind"].nunique() == 1:
        return []
    words = reading_of(table)
    what = f"Best {words.score_words} at a {words.unfairness_words} of at most"
    lines = [f"{what} (read off each method's line):", ""]
    for at, of_level in ranked.groupby("at"):
        for k, row in enumerate(of_level.itertuples()):
            needs = "reads the group at prediction" if row.kind == PEER_WITH_GROUP else ""
            head = f"{at:.2f}" if k == 0 else ""
            lines.append(f"{head:6}{row.score:.4f}  {row.method:38}{needs}".rstrip())
    return [*lines, "", *_sentences(ranked, draws)]


def advice(table: pd.DataFrame, draws: np.ndarray, bound: float) -> str:
    """What to take under a bound, and what that rests on, in one sentence or two.

    Of the settings within the bound those are level whose score is within two standard errors of
    the best one's, paired by bootstrap draws. Of these the simplest is taken: one that needs no
    group at prediction, then one that draws no labels at random, then the fastest fit.
    """
    table, reading = table.reset_index(drop=True), reading_of(table)
    x, y = reading.unfairness, reading.score
    able = table[(table["method"] != reading.constant) & (table["setting"] != CHOSEN)]
    within = able[able[x] <= bound]
    if able.empty:
        return f"Nothing but {reading.constant.lower()} was compared."
    if within.empty:
        least = able.loc[able[x].idxmin()]
        return (
            f"Nothing is within a {reading.unfairness_words} of {bound:g}; the least unfair is "
            f"{_named(least)}: {_figures(least, reading)}."
        )
    best = within[y].idxmax()
    level = within[
        [
            within.at[best, y] - within.at[k, y] <= _ERRORS * _error(draws, {best: 1}, {k: 1})
            for k in within.index
        ]
    ]
    # A method's settings take about the same time: of them the score decides, not the clock.
    seconds = level.groupby("method")["fit_seconds"].transform("median")
    by = ["reads_group", "draws", "seconds", "less"]
    ranks = level.assign(seconds=seconds, less=-level[y]).sort_values(by, kind="stable")
    taken = level.loc[ranks.index[0]]
    ranked = level.sort_values(y, ascending=False)["method"].unique()
    others = [name for name in ranked if name != taken["method"]]
    said = (
        f"Under a {reading.unfairness_words} of {bound:g} take {_named(taken)}: "
        f"{_figures(taken, reading)}."
    )
    if others:
        more = f" and {len(others) - 4} more" if len(others) > 4 else ""
        said += (
            f" Level with it within error: {'; '.join(others[:4])}{more}. It is the simplest of "
            "them: what needs no group at prediction, draws nothing and is fitted fastest."
        )
    else:
        said += " No other method is level with it within error."
    if taken[f"{x}_high"] > bound:
        said += f" On so many rows a difference above {bound:g} is not excluded."
    constant = table.loc[table["method"] == reading.constant, y]
    if len(constant) and taken[y] <= constant.iloc[0]:
        said += f" {reading.constant} does as well."
    return said


def _sentences(ranked: pd.DataFrame, draws: np.ndarray | None) -> list[str]:
    said: dict[str, list[str]] = {kind: [] for kind in (PEER_WITH_GROUP, PEER, OURS, "level")}
    for at, of_level in ranked.groupby("at"):
        first, ours = of_level.iloc[0], of_level[of_level["kind"] == OURS]
        others = of_level[of_level["kind"] != OURS]
        if ours.empty:
            said[first["kind"]].append(f"{at:.2f} ({first['method']}, alone)")
            continue
        rival = others.iloc[0] if len(others) else None
        if rival is None:
            said[OURS].append(f"{at:.2f}")
            continue
        apart = ours["score"].iloc[0] - rival["score"]
        error = _error(draws, ours["mixture"].iloc[0], rival["mixture"])
        if abs(apart) <= _ERRORS * error or f"{abs(apart):.4f}" == "0.0000":
            said["level"].append(f"{at:.2f} ({rival['method']}, {apart:+.4f})")
        elif apart > 0:
            said[OURS].append(f"{at:.2f}")
        else:
            said[rival["kind"]].append(f"{at:.2f} ({rival['method']}, by {-apart:.4f})")
    words = {
        PEER_WITH_GROUP: "A peer that reads the group at prediction wins at {}.",
        PEER: "A peer that does not read the group at prediction wins at {}.",
        OURS: "fairmi, which does not read it, wins at {}.",
        "level": "fairmi and the best peer are level within two standard errors at {}.",
    }
    return [words[kind].format(", ".join(said[kind])) for kind in words if said[kind]]


def _error(draws: np.ndarray | None, one: Mixture, other: Mixture) -> float:
    """Standard error of the difference in score of two mixtures, paired by bootstrap draws."""
    if draws is None:
        return 0.0
    first, second = (sum(share * draws[k, 1:] for k, share in m.items()) for m in (one, other))
    return float(np.std(first - second, ddof=1))


def _named(row: pd.Series) -> str:
    return f"{row['method']} ({row['setting']})" if row["setting"] else str(row["method"])


def _figures(row: pd.Series, reading: Reading) -> str:
    x = reading.unfairness
    probe = "" if reading.score == "accuracy" else f", probe AUC {row['probe_auc']:.3f}"
    return (
        f"{reading.score_words} {row[reading.score]:.4f}, {reading.unfairness_words} {row[x]:.3f} "
        f"({row[f'{x}_low']:.3f} to {row[f'{x}_high']:.3f}){probe}"
    )


def _kind(name: str, reads_group: bool) -> str:
    if name.partition(", ")[0] == "fairmi":
        return OURS
    return PEER_WITH_GROUP if reads_group else PEER
