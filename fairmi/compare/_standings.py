"""Who is most accurate at equal unfairness, what is level with it, and what to take."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairmi.compare._run import CHOSEN

LEVELS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.15)
OURS, PEER, PEER_WITH_GROUP = "fairmi", "peer", "peer that reads the group"
MAJORITY = "Majority class"
# Standard errors that a difference must have to be called one.
_ERRORS = 2.0
_X, _Y = "demographic_parity_difference", "accuracy"

Mixture = dict[int, float]
"""Positions of rows of the table, and the share of each in a mixture of them."""


def best_within(points: pd.DataFrame, at: float) -> Mixture | None:
    """The most accurate mixture of a method's settings at that unfairness or less.

    `points` are rows of the table, whose index is their position in it. Between two neighbouring
    settings a mixture is drawn at random. None where the method's line ends above `at`.
    """
    within = points[points[_X] <= at]
    found: list[Mixture] = [{within[_Y].idxmax(): 1.0}] if len(within) else []
    line = points[points["setting"] != CHOSEN].sort_values(_X)
    if len(line) and line[_X].iloc[0] <= at <= line[_X].iloc[-1]:
        position = np.interp(at, line[_X], np.arange(len(line)))
        low = int(position)
        found.append({line.index[low]: 1 - (position - low)})
        if position > low:
            found[-1][line.index[low + 1]] = position - low
    return max(found, key=lambda mixture: _mean(points[_Y], mixture), default=None)


def accuracy_within(points: pd.DataFrame, at: float) -> float | None:
    """Accuracy of a method at that unfairness or less, or None where its line ends above it."""
    mixture = best_within(points, at)
    return None if mixture is None else _mean(points[_Y], mixture)


def standings(table: pd.DataFrame) -> pd.DataFrame:
    """The best of fairmi, and of the peers that do and don't read the group, at each level.

    Columns `at`, `kind`, `method`, `accuracy`, `mixture`: the highest accuracy at a demographic
    parity difference of at most `at`, the best first; a kind that has no point there has no row.
    """
    table = table.reset_index(drop=True)
    rows = []
    for at in LEVELS:
        best: dict[str, tuple[float, str, Mixture]] = {}
        for name, points in table[table["method"] != MAJORITY].groupby("method", sort=False):
            kind = _kind(str(name), bool(points["reads_group"].iloc[0]))
            mixture = best_within(points, at)
            if mixture is not None:
                entry = (_mean(points[_Y], mixture), str(name), mixture)
                best[kind] = max(best.get(kind, entry), entry, key=lambda e: e[0])
        ranked = sorted(best.items(), key=lambda entry: -entry[1][0])
        rows += [(at, kind, name, value, mixture) for kind, (value, name, mixture) in ranked]
    return pd.DataFrame(rows, columns=["at", "kind", "method", "accuracy", "mixture"])


def standings_text(table: pd.DataFrame, draws: np.ndarray | None = None) -> list[str]:
    """The standings as lines of text, and one sentence on each kind of winner, and on ties."""
    ranked = standings(table)
    if OURS not in set(ranked["kind"]) or ranked["kind"].nunique() == 1:
        return []
    lines = ["Best accuracy at a DP difference of at most (read off each method's line):", ""]
    for at, of_level in ranked.groupby("at"):
        for k, row in enumerate(of_level.itertuples()):
            needs = "reads the group at prediction" if row.kind == PEER_WITH_GROUP else ""
            head = f"{at:.2f}" if k == 0 else ""
            lines.append(f"{head:6}{row.accuracy:.4f}  {row.method:38}{needs}".rstrip())
    return [*lines, "", *_sentences(ranked, draws)]


def advice(table: pd.DataFrame, draws: np.ndarray, bound: float) -> str:
    """What to take under a bound, and what that rests on, in one sentence or two.

    Of the settings within the bound those are level whose accuracy is within two standard errors
    of the best one's, paired by bootstrap draws. Of these the simplest is taken: one that needs no
    group at prediction, then one that draws no labels at random, then the fastest fit.
    """
    table = table.reset_index(drop=True)
    able = table[(table["method"] != MAJORITY) & (table["setting"] != CHOSEN)]
    within = able[able[_X] <= bound]
    if able.empty:
        return f"Nothing but {MAJORITY.lower()} was compared."
    if within.empty:
        least = able.loc[able[_X].idxmin()]
        return (
            f"Nothing is within a DP difference of {bound:g}; the least unfair is "
            f"{_named(least)}, accuracy {least[_Y]:.4f}, DP difference {_interval(least)}."
        )
    best = within[_Y].idxmax()
    level = within[
        [
            within.at[best, _Y] - within.at[k, _Y] <= _ERRORS * _error(draws, {best: 1}, {k: 1})
            for k in within.index
        ]
    ]
    taken = level.sort_values(["reads_group", "draws", "fit_seconds"], kind="stable").iloc[0]
    ranked = level.sort_values(_Y, ascending=False)["method"].unique()
    others = [name for name in ranked if name != taken["method"]]
    said = (
        f"Under a DP difference of {bound:g} take {_named(taken)}: accuracy {taken[_Y]:.4f}, DP "
        f"difference {_interval(taken)}."
    )
    if others:
        more = f" and {len(others) - 4} more" if len(others) > 4 else ""
        said += (
            f" Level with it within error: {'; '.join(others[:4])}{more}. It is the simplest of "
            "them: what needs no group at prediction, draws no labels and is fitted fastest."
        )
    else:
        said += " No other method is level with it within error."
    if taken[f"{_X}_high"] > bound:
        said += f" On so many rows a difference above {bound:g} is not excluded."
    majority = table.loc[table["method"] == MAJORITY, _Y]
    if len(majority) and taken[_Y] <= majority.iloc[0]:
        said += " To predict the commoner label for all is as accurate."
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
        apart = ours["accuracy"].iloc[0] - rival["accuracy"]
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
    """Standard error of the difference in accuracy of two mixtures, paired by bootstrap draws."""
    if draws is None:
        return 0.0
    first, second = (sum(share * draws[k, 1:] for k, share in m.items()) for m in (one, other))
    return float(np.std(first - second, ddof=1))


def _mean(values: pd.Series, mixture: Mixture) -> float:
    return float(sum(share * values[k] for k, share in mixture.items()))


def _named(row: pd.Series) -> str:
    return f"{row['method']} ({row['setting']})" if row["setting"] else str(row["method"])


def _interval(row: pd.Series) -> str:
    return f"{row[_X]:.3f} ({row[f'{_X}_low']:.3f} to {row[f'{_X}_high']:.3f})"


def _kind(name: str, reads_group: bool) -> str:
    if name.partition(", ")[0] == "fairmi":
        return OURS
    return PEER_WITH_GROUP if reads_group else PEER
