"""Draw docs/_static/frontier.png, the first picture of the README, from measured figures.

Run: python benchmarks/frontier.py --output benchmarks/results/frontier.csv  (which measures)
     python benchmarks/frontier.py --methods trees thresholds reduction_boosting
         --output benchmarks/results/trees_reduction.csv                    (in one run, for trees)
     python docs/frontier_picture.py                                         (which draws)
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

HERE = Path(__file__).parent
# Name in the table, name in the picture, colour (told apart by colour-blind eyes), marker.
LINES = (
    ("fairmi, trees", "fairmi, trees", "#D55E00", "D"),
    (
        "Boosting, a threshold for each group",
        "gradient boosting, a threshold for each group",
        "#009E73",
        "P",
    ),
    ("fairmi, 4 networks", "fairmi, 4 networks", "#CC79A7", "o"),
    ("fairmi", "fairmi, 1 network", "#E69F00", "s"),
    (
        "ExponentiatedGradient, boosting",
        "ExponentiatedGradient, gradient boosting",
        "#0072B2",
        "^",
    ),
    ("ExponentiatedGradient", "ExponentiatedGradient, logistic regression", "#56B4E9", "v"),
)
# For methods that the table has beside these.
SPARE = (("#000000", "X"), ("#888888", "*"))


def main() -> None:
    """Draw each method's line through the means over its seeds that no other of them betters."""
    results = HERE.parent / "benchmarks" / "results"
    trees = pd.read_csv(results / "trees_reduction.csv")
    networks = pd.read_csv(results / "frontier.csv")
    rows = pd.concat([trees, networks[~networks["method"].isin(trees["method"])]])
    rows = rows[rows["setting"] <= 24]
    means = rows.groupby(["method", "setting"], as_index=False)[["accuracy", "dp"]].mean()
    of_methods = rows.groupby("method")["seed"].nunique()
    n_seeds = " to ".join(str(n) for n in sorted({of_methods.min(), of_methods.max()}))
    others = sorted(set(means["method"]) - {line[0] for line in LINES})
    lines = [*LINES, *((name, name, *look) for name, look in zip(others, SPARE, strict=False))]
    mpl.rcParams.update({"font.size": 10, "svg.fonttype": "none"})
    figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for method, label, colour, marker in lines:
        line = means[means["method"] == method].sort_values("dp")
        line = line[line["accuracy"] >= line["accuracy"].cummax()]
        ax.plot(line["dp"], line["accuracy"], marker=marker, ms=5, color=colour, label=label)
    ax.set(
        xlabel="demographic parity difference (0 is fair)",
        ylabel="accuracy",
        title=f"Adult, test part, mean of {n_seeds} seeds",
        xlim=(0, None),
    )
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right")
    path = HERE / "_static" / "frontier.png"
    figure.savefig(path, dpi=150, metadata={"Software": None})
    print(f"saved {path}")


if __name__ == "__main__":
    main()
