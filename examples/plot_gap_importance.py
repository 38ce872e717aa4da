"""
Which columns carry the gap
===========================

On Adult men are selected more often than women, also by a model that never reads the column sex.
What does it read instead? `gap_importance` permutes columns, one by one or as sets, and measures
how much of the gap goes, and of what a probe recovers of sex from the scores. It says what *this
model* reads; it is no causal statement about people.
"""

import matplotlib.pyplot as plt

from fairmi import MIBoostingClassifier
from fairmi.datasets import load_adult
from fairmi.inspection import gap_importance
from fairmi.plot import GapImportanceDisplay

train, test = load_adult(subset="train"), load_adult(subset="test")
X, y = train.data.drop(columns="sex")[:8000], train.target[:8000]
sex = train.sensitive_features["sex"][:8000]
X_test, y_test = test.data.drop(columns="sex")[:3000], test.target[:3000]
sex_test = test.sensitive_features["sex"][:3000]

sets = {
    "relationship, marital status": ["relationship", "marital_status"],
    "relationship": ["relationship"],
    "marital status": ["marital_status"],
    "hours a week": ["hours_per_week"],
    "occupation": ["occupation"],
    "education": ["education", "education_num"],
    "age": ["age"],
}
importances = {}
for name, lam in {"plain": 0, "debiased": 2}.items():
    model = MIBoostingClassifier(lam=lam, random_state=0).fit(X, y, sensitive_features=sex)
    importances[name] = gap_importance(
        model, X_test, sex_test, y_test, columns=sets, n_repeats=2, random_state=0
    )
importances["plain"].to_frame().query("measure == 'selection_rate'").round(3)

# %%
# Relationship and marital status carry half of the gap of the plain model, and more together than
# each alone, since either tells much of what the other does. In the debiased model columns make up
# for one another: where relationship alone is permuted, the gap grows.
GapImportanceDisplay(importances).plot("selection_rate")
plt.show()

# %%
# What a probe recovers of sex from the scores.
GapImportanceDisplay(importances).plot("probe_auc")
plt.show()
