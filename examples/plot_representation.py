"""
A representation without y
==========================

A team hands on features for models that nobody knows yet. They should serve any of these, and tell
little of the group. ``MIDebiasedTransformer`` learns such features without y. What counts is what
a fresh model learns from them: of y, and of the group.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from fairlearn.preprocessing import CorrelationRemover
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from fairmi import MIDebiasedTransformer
from fairmi.datasets import load_adult
from fairmi.preprocessing import TableEncoder

X, y = load_adult(subset="train", return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, train_size=8000, test_size=6000, random_state=0)
sex, sex_new = X["sex"], X_new["sex"]


# %%
# The two questions, each to boosting that sees the features for the first time.
def learned(Z, Z_new):
    """Return the accuracy for y, and the AUC for the group."""
    boosting = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    accuracy = boosting.fit(Z, y).score(Z_new, y_new)
    of_group = boosting.fit(Z, sex).predict_proba(Z_new)[:, 1]
    return {"accuracy": accuracy, "AUC of sex": roc_auc_score(sex_new, of_group)}


# %%
# X itself, and fairlearn's CorrelationRemover, which takes away what is linear: trees find the
# group all the same. (It takes columns of numbers, and the group as one of them.)
encoder = TableEncoder().fit(X)
both = [
    np.column_stack([encoder.transform(rows), group == "Male"])
    for rows, group in ((X, sex), (X_new, sex_new))
]
remover = CorrelationRemover(sensitive_feature_ids=[both[0].shape[1] - 1]).fit(both[0])
rows = {
    "X": learned(*both),
    "CorrelationRemover": learned(*map(remover.transform, both)),
}

# %%
# Our transformer, three λ from one training.
step = MIDebiasedTransformer(random_state=0)
models = step.fit_path(X, sensitive_features=sex, lams=[0.1, 0.4, 2.0])
for model in models:
    rows[f"λ = {model.lam:g}"] = learned(model.transform(X), model.transform(X_new))
table = pd.DataFrame(rows).T
table.round(3)

# %%
# Farther left, less of the group is left; higher up, more of what the label needs.
places = {"X": (-8, 5), "CorrelationRemover": (-8, -14), "λ = 0.1": (8, 2), "λ = 0.4": (8, -9)}
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ours = table.index.str.startswith("λ")
ax.plot(table["AUC of sex"][ours], table["accuracy"][ours], "o-", color="#d55e00")
ax.plot(table["AUC of sex"][~ours], table["accuracy"][~ours], "s", color="#0072b2")
for name, (accuracy, auc) in table.iterrows():
    place = places.get(name, (8, -12))
    side = "left" if place[0] > 0 else "right"
    ax.annotate(name, (auc, accuracy), place, textcoords="offset points", ha=side)
ax.set(xlim=(0.5, 1.02), xlabel="AUC of a fresh probe for sex", ylabel="accuracy for income")
ax.margins(y=0.25)
ax.grid(alpha=0.25)

# %%
# What Z still knows, told back as columns of X.
models[-1].inverse_transform(models[-1].transform(X_new))[X.columns[:6]].head(3)
