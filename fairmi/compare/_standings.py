"""Who is most accurate at equal unfairness, what is level with it, and what to take."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairmi.compare._measures import Reading, reading_of
from fairmi.compare._run import CHOSEN

OURS, PEER, PEER_WITH_GROUP = "fairmi", "peer", "peer that reads the group"
# Standard errors that a difference must have to be called one.
_ERRORS = 2.0

Mixture = dict[int, float]
"""Positions of rows of the table, and the share of each in a mixture of them."""


def best_within(points: pd.DataFrame, at: float) -> Mixture | None:
    """The mixture of a method's settings that scores highest at that unfairness or less.

    `points` are rows of the table, whose index is their position in it. Between two neighbouring
    settings a mixture is drawn at random. None where the method's line ends above `at`.
    """
    reading = reading_of(points)
    x, scores = reading.unfairness, points[reading.score]
    within = points[points[x] <= at]
    able: list[Mixture] = [{within[reading.score].idxmax(): 1.0}] if len(within) else []
    line = points[points["setting"] != CHOSEN].sort_values(x)
    if len(line) and line[x].iloc[0] <= at <= line[x].iloc[-1]:
        position = np.interp(at, line[x], np.arange(len(line)))
        low = int(position)
        able.append({line.index[low]: 1 - (position - low)})
        if position > low:
            able[-1][line.index[low + 1]] = position - low
    return max(able, key=lambda mixture: _mean(scores, mixture), default=None)


def score_within(points: pd.DataFrame, at: float) -> float | None:
    """Score of a method at that unfairness or less, or None where its line ends above it."""
    mixture = best_within(points, at)
    return None if mixture is None else _mean(points[reading_of(points).score], mixture)


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
                entry = (_mean(points[reading.score], mixture), str(name), mixture)
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


def _mean(values: pd.Series, mixture: Mixture) -> float:
    return float(sum(share * values[k] for k, share in mixture.items()))


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
