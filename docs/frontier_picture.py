"""Draw docs/_static/frontier.png, the first picture of the README, from measured figures.

Run: python benchmarks/frontier.py --output benchmarks/results/frontier.csv  (which measures)
     python benchmarks/decisions.py --official --splits 3
         --methods decisions trees thresholds reduction
         --output benchmarks/results/decisions.csv      (in one run, for decisions and trees)
     python docs/frontier_picture.py                    (which draws)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fairmi.compare._picture import draw_frontier

HERE = Path(__file__).parent
NAMES = {
    "decisions": "fairmi, decisions",
    "trees": "fairmi, trees",
    "thresholds": "Boosting, a threshold for each group",
    "reduction": "ExponentiatedGradient, boosting",
}


def main() -> None:
    """Draw each method's line through the means over its seeds that no other of them betters."""
    results = HERE.parent / "benchmarks" / "results"
    decisions = pd.read_csv(results / "decisions.csv").rename(columns={"split": "seed"})
    decisions = decisions.replace({"method": NAMES})
    networks = pd.read_csv(results / "frontier.csv")
    rows = pd.concat([decisions, networks[~networks["method"].isin(decisions["method"])]])
    rows = rows[rows["setting"] <= 24].replace({"method": {"fairmi": "fairmi, network"}})
    rows = rows.rename(columns={"dp": "demographic_parity_difference"})
    columns = ["accuracy", "demographic_parity_difference"]
    means = rows.groupby(["method", "setting"], as_index=False)[columns].mean()
    knob = np.where(means["method"] == NAMES["decisions"], "≤ ", "lam=")
    means["setting"] = knob + means["setting"].map("{:g}".format)
    n_seeds = sorted(set(rows.groupby("method")["seed"].nunique()))
    seeds = " to ".join(map(str, dict.fromkeys((n_seeds[0], n_seeds[-1]))))
    figure = draw_frontier(
        means.assign(reads_group=False), title=f"Adult, test part, mean of {seeds} seeds"
    )
    path = HERE / "_static" / "frontier.png"
    figure.savefig(path, dpi=150, metadata={"Software": None})
    print(f"saved {path}")


if __name__ == "__main__":
    main()
