"""Search λ on Adult in a pipeline, under a bound on unfairness, and show the frontier.

Needs matplotlib: pip install "fairmi[plot]".
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fairmi import MIDebiasedClassifier
from fairmi.datasets import load_adult
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import best_under_bound

BOUND = 0.05
DP = "demographic_parity_difference"


def capital(X: pd.DataFrame) -> pd.DataFrame:
    """Add what someone gained or lost in all."""
    return X.assign(capital=X["capital_gain"] - X["capital_loss"])


def main(folder: Path) -> None:
    """Search, print the best λ and its figures on the test part, save the picture."""
    train, test = load_adult(subset="train"), load_adult(subset="test")
    sklearn.set_config(enable_metadata_routing=True)  # the sensitive features go where they must
    pipeline = make_pipeline(FunctionTransformer(capital), MIDebiasedClassifier(random_state=0))
    search = GridSearchCV(
        pipeline,
        {"midebiasedclassifier__lam": [0, 1, 2, 4, 8]},
        scoring={"accuracy": "accuracy", DP: make_fairness_scorer(DP)},
        refit=best_under_bound(DP, BOUND, maximize="accuracy"),
        cv=3,
    )
    search.fit(train.data, train.target, sensitive_features=train.sensitive_features["sex"])

    found = pd.DataFrame(search.cv_results_)
    lams = found["param_midebiasedclassifier__lam"]
    accuracy, unfairness = found["mean_test_accuracy"], -found[f"mean_test_{DP}"]
    print(pd.DataFrame({"lam": lams, "accuracy": accuracy, DP: unfairness}).round(4).to_string())
    best = search.best_params_["midebiasedclassifier__lam"]
    print(f"best λ under a demographic parity difference of {BOUND}: {best}")
    print(f"accuracy on the test part: {search.best_estimator_.score(test.data, test.target):.4f}")

    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    ax.errorbar(
        unfairness, accuracy, yerr=found["std_test_accuracy"], xerr=found[f"std_test_{DP}"],
        marker="o", capsize=2,
    )  # fmt: skip
    for lam, x, y in zip(lams, unfairness, accuracy, strict=True):
        ax.annotate(f"λ = {lam}", (x, y), xytext=(6, -12), textcoords="offset points")
    ax.axvline(BOUND, color="grey", linestyle="--")
    ax.annotate("bound", (BOUND, ax.get_ylim()[0]), xytext=(4, 4), textcoords="offset points")
    ax.set(xlabel="demographic parity difference", ylabel="accuracy", title="Adult, 3 folds")
    figure.savefig(folder / "search_lambda.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
