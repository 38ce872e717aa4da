"""
Debias a model that you have
============================

`MIBoostingClassifier` adds trees to a classifier that is already fitted. They correct its scores,
so that these tell less of the sensitive feature, and leave the classifier itself as it is. At
prediction the sensitive feature is not needed.
"""

import matplotlib.pyplot as plt
from fairlearn.metrics import demographic_parity_difference
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairmi import MIBoostingClassifier, fairness_path
from fairmi.datasets import load_adult

train, test = load_adult(subset="train"), load_adult(subset="test")
sex, sex_test = (part.sensitive_features["sex"] for part in (train, test))

# %%
# The model that you have: here logistic regression, on the first 10,000 rows.
numbers = make_column_selector(dtype_include="number")
others = make_column_selector(dtype_exclude="number")
yours = make_pipeline(
    make_column_transformer(
        (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), others)
    ),
    LogisticRegression(max_iter=1000),
).fit(train.data[:10000], train.target[:10000])

# %%
# `FrozenEstimator` says that it must not be fitted again. The trees learn on other rows than it
# did, so that they see it as it is on new rows. One call trains the models of several λ.
X, y, s = train.data[10000:20000], train.target[10000:20000], sex[10000:20000]
lams, models = fairness_path(
    X,
    y,
    sensitive_features=s,
    estimator=MIBoostingClassifier(base=FrozenEstimator(yours), random_state=0),
    lams=[0.5, 1, 2, 4, 8],
)


# %%
# Accuracy and the demographic parity difference on the test part, before and after.
def measure(model):
    """Return unfairness and accuracy on the test part."""
    rich = model.predict(test.data) == ">50K"
    unfair = demographic_parity_difference(rich, rich, sensitive_features=sex_test)
    return unfair, (rich == (test.target == ">50K")).mean()


before, after = measure(yours), [measure(model) for model in models]
for lam, (unfair, accuracy) in zip(["yours", *lams], [before, *after], strict=True):
    print(f"λ = {lam}: accuracy {accuracy:.3f}, difference {unfair:.3f}")

# %%
figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
ax.plot(*zip(*after, strict=True), marker="o", label="with trees on top, by λ")
ax.plot(*before, marker="s", linestyle="", label="the model as it was")
for lam, (unfair, accuracy) in zip(lams, after, strict=True):
    ax.annotate(f"{lam:g}", (unfair, accuracy), xytext=(5, -11), textcoords="offset points")
ax.set(xlabel="demographic parity difference", ylabel="accuracy", xlim=(0, None))
ax.legend()
plt.show()
