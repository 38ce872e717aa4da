"""
Several sensitive attributes
============================

Two columns are one attribute, whose groups are the combinations. Or give each column a λ of its
own, by name.
"""

import matplotlib.pyplot as plt
import numpy as np
from fairlearn.metrics import MetricFrame, selection_rate

from fairmi import MIDebiasedClassifier
from fairmi.datasets import load_adult

train, test = load_adult(subset="train"), load_adult(subset="test")
X, y = train.data[:8000], train.target[:8000]
sensitive, sensitive_test = (part.sensitive_features[["sex", "race"]] for part in (train, test))
white, white_test = (
    np.where(part["race"] == "White", "White", "other") for part in (sensitive, sensitive_test)
)
sensitive, sensitive_test = sensitive.assign(race=white), sensitive_test.assign(race=white_test)
C = sensitive[:8000]

settings = {"max_iter": 8, "random_state": 0}
models = {
    "no penalty": MIDebiasedClassifier(lam=0, **settings),
    "combinations, λ = 8": MIDebiasedClassifier(lam=8, **settings),
    "sex 8, race 2": MIDebiasedClassifier(lam={"sex": 8, "race": 2}, **settings),
}

# %%
# The share of positive predictions in each combination of groups.
shares = {}
for name, model in models.items():
    model.fit(X, y, sensitive_features=C)
    frame = MetricFrame(
        metrics=selection_rate,
        y_true=test.target == ">50K",
        y_pred=model.predict(test.data) == ">50K",
        sensitive_features=sensitive_test,
    )
    shares[name] = frame.by_group
    accuracy = model.score(test.data, test.target)
    print(f"{name}: accuracy {accuracy:.3f}, largest difference {frame.difference():.3f}")

# %%
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
places = np.arange(len(shares["no penalty"]))
for step, (name, share) in enumerate(shares.items()):
    ax.bar(places + 0.27 * (step - 1), share, width=0.25, label=name)
ax.set_xticks(places, [f"{sex}\n{race}" for sex, race in shares["no penalty"].index])
ax.set(ylabel="share of positive predictions", ylim=(0, 0.4))
ax.legend(loc="upper center", ncols=3)
plt.show()
