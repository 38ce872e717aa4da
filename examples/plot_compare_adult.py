"""
Compare fairmi with its peers on Adult
======================================

What `python -m fairmi compare adult --output out` does, through the Python API: fit each method at
each of its settings on Adult's training part, measure accuracy, unfairness and leakage on its test
part, and draw the frontier.

Run it with `python examples/plot_compare_adult.py`, or with `--fast` behind it for a quick look.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fairmi.compare import METHODS, compare


def main(*, fast: bool) -> None:
    # METHODS is a plain tuple: any selection of it, or a Method of your own beside it, will do.
    unneeded = {"Majority class", "Adversarial, plain encoding"}
    methods = [method for method in METHODS if method.name not in unneeded]

    comparison = compare("adult", methods=methods, fast=fast)
    print(comparison)

    # The table is a DataFrame: here, the most accurate of the models that select nearly evenly.
    table = comparison.table
    fair = table[table["demographic_parity_difference"] <= 0.03]
    best = fair.loc[fair["accuracy"].idxmax()]
    print(
        f"\nMost accurate within 0.03: {best['method']} {best['setting']}, {best['accuracy']:.4f}"
    )

    figure = comparison.plot()
    path = Path("plot_compare_adult.png")
    figure.savefig(path, dpi=160)
    print(f"saved {path}")


if __name__ == "__main__":
    main(fast="--fast" in sys.argv[1:])
