"""Draw the pictures of README, guide and experiments from measured figures.

    python docs/pictures.py

The figures are in benchmarks/results, which the commands beside each picture's name below measure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fairmi.compare import NUMBER_METHODS
from fairmi.compare._picture import draw_frontier

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
NAMES = {
    "decisions": "fairmi, decisions",
    "trees": "fairmi, trees",
    "thresholds": "Boosting, a threshold for each group",
    "reduction": "ExponentiatedGradient, boosting",
}

NAMES_OF_NUMBERS = {
    "trees": "fairmi, trees",
    "trees, 17 values": "fairmi, trees, 17 values",
    "barycentre, group at prediction": "Barycentre, our base",
    "plain boosting": "Gradient boosting",
    "CorrelationRemover and linear": "CorrelationRemover, linear model",
}


def means_of(rows: pd.DataFrame, repeat: str, title: str) -> Figure:
    """Draw each method's line through the means over its seeds or splits."""
    rows = rows.rename(columns={"dp": "demographic_parity_difference"})
    columns = ["accuracy", "demographic_parity_difference"]
    means = rows.groupby(["method", "setting"], as_index=False)[columns].mean()
    knob = np.where(means["method"] == NAMES["decisions"], "≤ ", "lam=")
    means["setting"] = knob + means["setting"].map("{:g}".format)
    counts = sorted(set(rows.groupby("method")[repeat].nunique()))
    n = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return draw_frontier(means.assign(reads_group=False), title=f"{title}, mean of {n} {repeat}s")


def frontier() -> Figure:
    """Adult's test part: benchmarks/frontier.py, and decisions.py --official --splits 3."""
    decisions = pd.read_csv(RESULTS / "decisions.csv").rename(columns={"split": "seed"})
    decisions = decisions.replace({"method": NAMES})
    networks = pd.read_csv(RESULTS / "frontier.csv")
    rows = pd.concat([decisions, networks[~networks["method"].isin(decisions["method"])]])
    return means_of(rows[rows["setting"] <= 24], "seed", "Adult, test part")


def decisions() -> Figure:
    """Five splits of Adult's training part: benchmarks/decisions.py."""
    rows = pd.read_csv(RESULTS / "decisions_splits.csv").replace({"method": NAMES})
    return means_of(rows, "split", "Adult, training part")


def regression(name: str, score: str) -> Figure:
    """Wages or visits, three splits: benchmarks/regression.py."""
    rows = pd.read_csv(RESULTS / f"{name}.csv").replace({"method": NAMES_OF_NUMBERS})
    columns = ["score", "ks", "probe_auc"]
    means = rows.groupby(["method", "setting"], as_index=False, sort=False)[columns].mean()
    means = means.rename(columns={"score": score, "ks": "ks_difference"})
    means["setting"] = "lam=" + means["setting"].map("{:g}".format)
    reads = {method.name: method.reads_group for method in NUMBER_METHODS}
    means["reads_group"] = means["method"].map(reads)
    return draw_frontier(means, title=f"{name.title()}, mean of {rows['split'].nunique()} splits")


def penalties() -> Figure:
    """Every penalty on Adult, by what a probe recovers of sex: benchmarks/penalties.py."""
    rows = pd.read_csv(RESULTS / "penalties.csv")
    means = (
        rows[rows["data"] == "Adult, sex"].groupby("penalty", sort=False).mean(numeric_only=True)
    )
    means = means.sort_values("leakage", ascending=False)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(means.index, means["leakage"] - 0.5, left=0.5, color="#0072b2")
    for place, row in enumerate(means.itertuples()):
        axes.text(row.leakage + 0.003, place, f"accuracy {row.accuracy:.3f}", va="center")
    axes.set(xlabel="probe AUC of Z (0.5: nothing left of sex)", xlim=(0.5, 0.77))
    axes.set_title("Adult, λ of each penalty chosen on validation rows", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def leaks() -> Figure:
    """How often planted leaks are flagged: benchmarks/truth.py."""
    rows = pd.read_csv(RESULTS / "truth.csv")
    leaks = rows[(rows["table"] == "planted leaks") & (rows["measure"] == "score")]
    table = leaks.pivot_table(index="case", columns="rows", values="value").dropna(how="all")
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for n_rows, marker in zip(table, ("o", "s", "^", "D", "P"), strict=False):
        axes.plot(table[n_rows], table.index, marker, label=f"{n_rows:,} rows", linestyle="none")
    axes.axvline(0.5, color="black", linewidth=0.8)
    axes.set(xlabel="leakage score (0.5: nothing found)", xlim=(0.48, 1.02))
    axes.set_title("Leaks hidden in eight columns of noise", loc="left")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.25)
    return figure


def representation() -> Figure:
    """What is learned of y and of the group from Z: benchmarks/representation.py."""
    rows = pd.read_csv(RESULTS / "representation.csv")
    lines = {
        "X": ("X", "*", "#000000"),
        "CorrelationRemover": ("CorrelationRemover", "x", "#000000"),
        "repair": ("repair of single columns", "P", "#56b4e9"),
        "LFR": ("LFR (with y)", "v", "#56b4e9"),
        "fair PCA": ("fair PCA", "s", "#0072b2"),
        "sliced": ("sliced transport", "D", "#009e73"),
        "MIDebiasedTransformer": ("MIDebiasedTransformer", "o", "#d55e00"),
        "MIBoostingClassifier": ("trees of ours (with y)", "o", "#777777"),
    }
    titles = {
        "adult sex": "Adult: sex",
        "german age": "German: age",
        "credit SEX": "Card holders: sex",
        "credit AGE": "Card holders: age",
    }
    figure = Figure(figsize=(8, 6), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True).flat
    for axes, (dataset, title) in zip(panels, titles.items(), strict=True):
        of_table = rows[rows["dataset"] == dataset]
        means = of_table.groupby("method", sort=False)[["accuracy", "auc"]].mean()
        for start, (name, marker, colour) in lines.items():
            points = means[means.index.str.startswith(start)]
            axes.plot(points["auc"], points["accuracy"], marker, color=colour, label=name, ls="-")
        axes.set_title(title, loc="left")
        axes.set(xlim=(0.48, 1.02))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("AUC of a probe for the group (0.5: nothing left)", fontsize="medium")
    figure.supylabel("accuracy of boosting that learns y", fontsize="medium")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize="small")
    return figure


def digits() -> Figure:
    """Accuracy in random colours, a panel for each setting: benchmarks/digits.py."""
    rows = pd.read_csv(RESULTS / "digits.csv").query("chosen")
    names = list(rows.groupby("method")["accuracy"].mean().sort_values().index)
    panels = [*rows.groupby(["rows", "epochs", "variance"])]
    panels = [(key, part) for key, part in panels if part["method"].nunique() > 1]
    figure = Figure(figsize=(3.2 * len(panels) + 1.5, 3.4), layout="constrained")
    row_of_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, ((n_rows, epochs, variance), part) in zip(row_of_axes, panels, strict=True):
        of = part.groupby("method")["accuracy"].agg(["mean", "min", "max"])
        spread = [of["mean"] - of["min"], of["max"] - of["mean"]]
        axes.barh(of.index.map(names.index), of["mean"], xerr=spread, color="#0072b2")
        axes.set_yticks(range(len(names)), names)
        axes.set_title(f"{n_rows:,} digits, {epochs} epochs,\nvariance {variance:g}")
        axes.set(xlim=(0, 1), xlabel="accuracy, mean and range of seeds")
        axes.grid(axis="x", alpha=0.25)
    row_of_axes[0].invert_yaxis()
    return figure


def published() -> Figure:
    """Accuracy and nats of the published procedure over steps: benchmarks/published.py."""
    rows = pd.read_csv(RESULTS / "published.csv").query("side == 14 and variance == 0.02")
    lams = sorted(rows["lam"].unique())
    figure = Figure(figsize=(2.4 * len(lams) + 1, 5), layout="constrained")
    axes = figure.subplots(2, len(lams), sharex=True, sharey="row", squeeze=False)
    lines = {
        "as in training": (0, "#0072b2", "held-out, coloured as in training"),
        "random": (0, "#d55e00", "test, random colours"),
        "claim": (1, "#0072b2", "the critic's claim"),
        "probe": (1, "#d55e00", "a fresh probe's finding"),
    }
    for place, lam in enumerate(lams):
        for seed, run in rows[rows["lam"] == lam].groupby("seed"):
            for name, (line, colour, label) in lines.items():
                label = "_" if seed else label
                axes[line, place].plot(run["step"], run[name], color=colour, label=label)
        axes[0, place].set(title=f"λ = {lam:g}", ylim=(0, 1))
        axes[1, place].set(xlabel="steps", ylim=(0, None))
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("nats of colour in Z")
    for line in axes:
        line[-1].legend(fontsize=7)
    return figure


def equal_steps() -> Figure:
    """The published procedure beside other training, 1,359 steps: published.py, digits.py."""
    published = pd.read_csv(RESULTS / "published.csv").query("side == 28 and variance == 0.02")
    published = published[(published["step"] == 1359) & (published["lam"] == 2)]
    others = pd.read_csv(RESULTS / "digits_published.csv")
    others = others[(others["lam"] == 0.3) | (others["lam"] == 0)]
    bars = {
        "as published": published["random"],
        "the same, averaged over epochs": published["averaged"],
        **{name: part["accuracy"] for name, part in others.groupby("method", sort=False)},
    }
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for place, values in enumerate(bars.values()):
        axes.barh(place, values.mean(), color="#d55e00" if place < 2 else "#0072b2")
        axes.plot(values, [place] * len(values), "k.")
    axes.set_yticks(range(len(bars)), bars)
    axes.set(xlim=(0, 1), xlabel="accuracy in random colours; a point is a seed")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "frontier": frontier,
    "decisions": decisions,
    "wages": lambda: regression("wages", "r2"),
    "visits": lambda: regression("visits", "d2"),
    "penalties": penalties,
    "leaks": leaks,
    "representation": representation,
    "digits": digits,
    "published": published,
    "equal_steps": equal_steps,
}


def main() -> None:
    """Draw all of them."""
    for name, draw in PICTURES.items():
        path = HERE / "_static" / f"{name}.png"
        draw().savefig(path, dpi=150 if name == "frontier" else 110, metadata={"Software": None})
        print(f"saved {path.name}")


if __name__ == "__main__":
    main()
