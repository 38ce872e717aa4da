"""Debias models that already exist: boosting in a pipeline, and a logistic regression, on Adult.

The trees that `MIBoostingClassifier` grows are added to the scores of a fitted model, its base.
The debiased model needs no sensitive feature at prediction.
"""

from __future__ import annotations

from typing import Any

from fairlearn.metrics import demographic_parity_difference
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from fairmi import MIBoostingClassifier
from fairmi.datasets import load_adult

NUMBERS = make_column_selector(dtype_include="number")
CATEGORIES = make_column_selector(dtype_include="category")


def models() -> dict[str, Any]:
    """What somebody might have in use."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    indicators = OneHotEncoder(handle_unknown="ignore", min_frequency=20)
    return {
        "boosting": make_pipeline(
            make_column_transformer((codes, CATEGORIES), remainder="passthrough"),
            HistGradientBoostingClassifier(max_iter=200, learning_rate=0.06, random_state=0),
        ),
        "logistic regression": make_pipeline(
            make_column_transformer((StandardScaler(), NUMBERS), (indicators, CATEGORIES)),
            LogisticRegression(max_iter=1000),
        ),
    }


def main() -> None:
    """Print accuracy and demographic parity difference of each, before and after."""
    train, test = load_adult(subset="train"), load_adult(subset="test")
    sex, sex_test = (part.sensitive_features["sex"] for part in (train, test))
    for name, model in models().items():
        model.fit(train.data, train.target)
        debiased = MIBoostingClassifier(lam=4.0, base=FrozenEstimator(model), random_state=0)
        debiased.fit(train.data, train.target, sensitive_features=sex)
        for what, fitted in (("as it was", model), ("debiased", debiased)):
            predicted = fitted.predict(test.data)
            rich = predicted == ">50K"
            dp = demographic_parity_difference(rich, rich, sensitive_features=sex_test)
            accuracy = accuracy_score(test.target, predicted)
            print(f"{name}, {what}: accuracy {accuracy:.4f}, DP difference {dp:.4f}")


if __name__ == "__main__":
    main()
