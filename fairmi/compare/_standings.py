"""Who is most accurate at equal unfairness: fairmi, or a peer, and what that peer needs."""

from __future__ import annotations

import numpy as np
import pandas as pd

LEVELS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.15)
OURS, PEER, PEER_WITH_GROUP = "fairmi", "peer", "peer that reads the group"
_X, _Y = "demographic_parity_difference", "accuracy"


def standings(table: pd.DataFrame) -> pd.DataFrame:
    """The best of fairmi, and of the peers that do and don't read the group, at each level.

    Columns `at`, `kind`, `method`, `accuracy`: the highest accuracy at a demographic parity
    difference of at most `at`, the best first; a kind that has no point there has no row.
    """
    rows = []
    for at in LEVELS:
        best: dict[str, tuple[float, str]] = {}
        for name, points in table.groupby("method", sort=False):
            kind = _kind(str(name), bool(points["reads_group"].iloc[0]))
            accuracy = accuracy_within(points, at)
            if accuracy is not None and name != "Majority class":
                best[kind] = max(best.get(kind, (0.0, "")), (accuracy, str(name)))
        ranked = sorted(best.items(), key=lambda entry: -entry[1][0])
        rows += [(at, kind, name, accuracy) for kind, (accuracy, name) in ranked]
    return pd.DataFrame(rows, columns=["at", "kind", "method", "accuracy"])


def accuracy_within(points: pd.DataFrame, at: float) -> float | None:
    """Accuracy of a method at that unfairness or less, or None where its line ends above it.

    Between two neighbouring settings it is that of their mixture, drawn at random.
    """
    within = list(points.loc[points[_X] <= at, _Y])
    line = points[~points["setting"].str.startswith("chosen")].sort_values(_X)
    if len(line) and line[_X].iloc[0] <= at <= line[_X].iloc[-1]:
        within.append(np.interp(at, line[_X], line[_Y]))
    return float(max(within)) if within else None


def standings_text(table: pd.DataFrame) -> list[str]:
    """The standings as lines of text, and one sentence on each kind of winner."""
    found = standings(table)
    if OURS not in set(found["kind"]) or found["kind"].nunique() == 1:
        return []
    lines = ["Best accuracy at a DP difference of at most (read off each method's line):", ""]
    for at, of_level in found.groupby("at"):
        for k, row in enumerate(of_level.itertuples()):
            needs = "reads the group at prediction" if row.kind == PEER_WITH_GROUP else ""
            head = f"{at:.2f}" if k == 0 else ""
            lines.append(f"{head:6}{row.accuracy:.4f}  {row.method:38}{needs}".rstrip())
    return [*lines, "", *_sentences(found)]


def _sentences(found: pd.DataFrame) -> list[str]:
    won: dict[str, list[str]] = {kind: [] for kind in (OURS, PEER, PEER_WITH_GROUP)}
    for at, of_level in found.groupby("at"):
        first = of_level.iloc[0]
        said = f"{at:.2f}"
        if first["kind"] != OURS:
            ours = of_level.loc[of_level["kind"] == OURS, "accuracy"]
            ahead = f"by {first['accuracy'] - ours.iloc[0]:.4f}" if len(ours) else "alone"
            said += f" ({first['method']}, {ahead})"
        won[first["kind"]].append(said)
    words = {
        PEER_WITH_GROUP: "A peer that reads the group at prediction wins at {}.",
        PEER: "A peer that does not read the group at prediction wins at {}.",
        OURS: "fairmi, which does not read it, wins at {}.",
    }
    return [words[kind].format(", ".join(won[kind])) for kind in words if won[kind]]


def _kind(name: str, reads_group: bool) -> str:
    if name.partition(", ")[0] == "fairmi":
        return OURS
    return PEER_WITH_GROUP if reads_group else PEER
