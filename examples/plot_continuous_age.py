"""
A continuous attribute: age in years
====================================

Numbers of many distinct values are taken as they are, without bins. `sensitive_kinds` says that
age is a quantity, since whole numbers might be codes of groups. What is left of them is the R²
of a fresh probe, where 0 is what guessing the mean gives.
"""

import matplotlib.pyplot as plt
import pandas as pd

from fairmi import MIDebiasedClassifier, fairness_path
from fairmi.datasets import load_adult
from fairmi.metrics import leakage_score

train, test = load_adult(subset="train"), load_adult(subset="test")
X, y, age = train.data[:6000], train.target[:6000], train.data["age"][:6000]
X_test, y_test = test.data[:4000], test.target[:4000]

lams, models = fairness_path(
    X,
    y,
    sensitive_features=age,
    estimator=MIDebiasedClassifier(
        penalty="hgr", sensitive_kinds=["continuous"], max_iter=8, random_state=0
    ),
    lams=[0, 1, 4],
)
print(models[-1].sensitive_kinds_)
left = [leakage_score(m.transform(X_test), X_test["age"], random_state=0) for m in models]
for lam, model, r2 in zip(lams, models, left, strict=True):
    print(f"λ = {lam:g}: accuracy {model.score(X_test, y_test):.3f}, R² of a probe {r2:.3f}")

# %%
# The share of positive predictions by age, before and after.
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ages = pd.cut(X_test["age"], [16, 25, 35, 45, 55, 65, 91])
for model in (models[0], models[-1]):
    rich = pd.Series(model.predict(X_test) == ">50K", index=X_test.index)
    shares = rich.groupby(ages, observed=True).mean()
    ax.plot(shares.index.astype(str), shares, marker="o", label=f"λ = {model.lam:g}")
ax.set(xlabel="age", ylabel="share of positive predictions", ylim=(0, None))
ax.legend()
plt.show()
