"""Fit the whole frontier of Adult in one call, and move along it without training again.

Needs matplotlib: pip install "fairmi[plot]".
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from fairlearn.metrics import demographic_parity_difference

from fairmi import MIDebiasedClassifierCV
from fairmi.datasets import load_adult
from fairmi.plot import FairnessFrontierDisplay


def main(folder: Path) -> None:
    """Fit ten λ in five folds, and use the best one under each of two bounds."""
    train, test = load_adult(subset="train"), load_adult(subset="test")
    model = MIDebiasedClassifierCV(bound=0.05, n_jobs=2, random_state=0)
    model.fit(train.data, train.target, sensitive_features=train.sensitive_features["sex"])
    print(model.frontier_.round(4).to_string(index=False))

    for bound in (0.05, 0.1):
        model.set_operating_point(bound)
        rich = model.predict(test.data) == ">50K"
        gap = demographic_parity_difference(
            test.target == ">50K", rich, sensitive_features=test.sensitive_features["sex"]
        )
        score = model.score(test.data, test.target)
        print(f"bound {bound}: λ = {model.lam_:.2f}, test accuracy {score:.4f}, DP {gap:.4f}")

    FairnessFrontierDisplay.from_estimator(model)
    plt.savefig(folder / "fairness_path.png", dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
