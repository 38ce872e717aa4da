"""
Decisions under a bound
=======================

`FairThresholdClassifier` gives the most accurate decisions of a classifier whose rates differ by
at most a bound between groups. All bounds share one training. The decisions are fair, the scores
are not: the second picture shows what is left in them.
"""

import matplotlib.pyplot as plt
import numpy as np
from fairlearn.metrics import demographic_parity_difference

from fairmi import FairThresholdClassifier
from fairmi.datasets import load_adult

X, y = load_adult(subset="test", return_X_y=True)
X, X_new, y, y_new = X[:10000], X[10000:], y[:10000], y[10000:]

# %%
# One fit, of boosting and of the rule for the first bound.
model = FairThresholdClassifier(bound=0.02, sensitive_columns="sex", random_state=0).fit(X, y)
print(model.multipliers_)

# %%
# Rules of other bounds, measured on new rows.
bounds = [0.0, 0.01, 0.02, 0.05, 0.1, 0.15]
accuracy, difference = [], []
for bound in bounds:
    rich = model.with_bound(bound).predict(X_new) == ">50K"
    accuracy.append((rich == (y_new == ">50K")).mean())
    difference.append(demographic_parity_difference(rich, rich, sensitive_features=X_new["sex"]))
    print(f"bound {bound}: accuracy {accuracy[-1]:.3f}, difference {difference[-1]:.3f}")

# %%
# Accuracy by bound, and the probabilities behind the decisions, which still tell women from men.
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(difference, accuracy, marker="o")
left.set(xlabel="demographic parity difference on new rows", ylabel="accuracy", xlim=(0, None))
score = model.estimator_.predict_proba(X_new)[:, 1]
for sex in ("Female", "Male"):
    of_sex = np.sort(score[X_new["sex"] == sex])
    right.plot(of_sex, np.linspace(0, 1, len(of_sex)), label=sex)
right.set(xlabel="P(income above 50K)", ylabel="share of rows below")
right.legend()
plt.show()
