"""
A pipeline in GridSearchCV
==========================

The sensitive features travel through pipelines and searches by scikit-learn's metadata routing.
`best_under_bound` then picks the most accurate candidate among those that are fair enough.
"""

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
from fairmi.plot import FairnessFrontierDisplay

train, test = load_adult(subset="train"), load_adult(subset="test")
X, y = train.data[:4000], train.target[:4000]
sex = train.sensitive_features["sex"][:4000]


def capital(X: pd.DataFrame) -> pd.DataFrame:
    """Add what someone gained or lost in all."""
    return X.assign(capital=X["capital_gain"] - X["capital_loss"])


# %%
# With routing on, `fit` of the search passes the sensitive features to the classifier and to the
# scorer. No `set_fit_request` is needed: fairmi's classifiers ask for them.
sklearn.set_config(enable_metadata_routing=True)
search = GridSearchCV(
    make_pipeline(FunctionTransformer(capital), MIDebiasedClassifier(max_iter=6, random_state=0)),
    {"midebiasedclassifier__lam": [0, 2, 8], "midebiasedclassifier__n_levels": [9, 17]},
    scoring={
        "accuracy": "accuracy",
        "unfairness": make_fairness_scorer("demographic_parity_difference"),
    },
    refit=best_under_bound("unfairness", 0.06, maximize="accuracy"),
    cv=2,
)
search.fit(X, y, sensitive_features=sex)
print("chosen:", search.best_params_)
print(f"accuracy on the test part: {search.best_estimator_.score(test.data, test.target):.3f}")

# %%
# The scorer negates a difference, since scikit-learn maximises scores. The picture and
# `best_under_bound` take it with either sign.
FairnessFrontierDisplay.from_estimator(search, score="accuracy", unfairness="unfairness")
plt.show()

# %%
# Leave the setting as it was for what runs after this.
sklearn.set_config(enable_metadata_routing=False)
