"""
A penalty of your own
=====================

A penalty is an object with a method `value`, which says how much Z tells of the sensitive features
of a batch. Here it is the squared difference of the group means of Z from the mean of all rows.
It has nothing to train.
"""

import matplotlib.pyplot as plt
import numpy as np

from fairmi import MIDebiasedClassifier, fairness_path
from fairmi.datasets import load_german
from fairmi.dependence import Penalty


class MeanDifference(Penalty):
    """The squared distance of each group's mean of Z from the mean of all rows."""

    is_information = False  # the value is not in nats

    def value(self, critic, z, sensitive, generator):
        """Return one value for each of M models, (M,), at their Z (M, B, D)."""
        group = sensitive.columns(z.dtype)  # (B, G): 1 where a row is of a group
        weights = sensitive.weights.to(z.dtype).expand(z.shape[:2])[..., None]  # (M, B, 1)
        sums = (weights * group).transpose(1, 2) @ z  # (M, G, D)
        sizes = (weights * group).sum(1)  # (M, G)
        means = sums / sizes.clamp_min(1e-9)[..., None]
        whole = sums.sum(1, keepdim=True) / sizes.sum(1)[:, None, None]
        distances = (means - whole).square().sum(2)
        return (distances * sizes).sum(1) / sizes.sum(1)


# %%
X, y = load_german(return_X_y=True)
over_25 = X["age"] > 25
lams, models = fairness_path(
    X,
    y,
    sensitive_features=over_25,
    estimator=MIDebiasedClassifier(penalty=MeanDifference(), random_state=0),
    lams=[0, 4, 32],
)

# %%
# The score of a row is a function of its Z. The two groups come nearer as λ grows.
figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True, layout="constrained")
for ax, lam, model in zip(axes, lams, models, strict=True):
    z = model.transform(X)[:, 0]
    for group, name in ((over_25, "over 25"), (~over_25, "25 or younger")):
        levels, counts = np.unique(z[group], return_counts=True)
        ax.plot(levels, counts.cumsum() / counts.sum(), drawstyle="steps-post", label=name)
    ax.set(title=f"λ = {lam:g}", xlabel="Z")
axes[0].set_ylabel("share of rows at or below")
axes[0].legend()
plt.show()
