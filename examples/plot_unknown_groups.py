"""
Nobody noted the group
======================

In 95 of 100 training images the colour of a digit tells which digit it is; later it doesn't. Here
nobody wrote down the colour. But what a network learns first is what is easy, and colour is easier
than shape: so what a fit of few epochs says of an image serves as its sensitive feature.

This is an experiment, not a method to rely on: where the label is learned before the shortcut, it
takes the label away, and only rows from elsewhere can tell.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from torch import nn

from fairmi import MIDebiasedClassifier
from fairmi.datasets import make_biased_digits

digits = load_digits()
train, test = slice(0, 1300), slice(1300, None)
X, y, bins = make_biased_digits(
    digits.images[train], digits.target[train], variance=0.02, bias=0.95, random_state=0
)
X_test, y_test, _ = make_biased_digits(
    digits.images[test], digits.target[test], variance=0.02, bias=0, random_state=1
)

colour = bins // 4  # each channel in two: dark or bright


class Network(nn.Module):
    """Two convolutions, and 128 features."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(128),
            nn.ReLU(),
        )

    def forward(self, x):
        """Map a batch of images to features."""
        return self.layers(x.permute(0, 3, 1, 2))


# %%
# A fit of two epochs, without a penalty (what it is given as the sensitive feature plays no part).
# It has hardly learned a shape yet.
settings = {"encoder": Network, "n_levels": None, "batch_size": 128, "random_state": 0}
short = MIDebiasedClassifier(lam=0, max_iter=2, **settings).fit(X, y, sensitive_features=y)
early = short.predict(X)
print(f"right on {np.mean(early == y):.2f} of its own training images")

# %%
# Where it errs, it has gone by the colour: the label of each image, and what the fit says.
figure, axes = plt.subplots(1, 10, figsize=(8, 1.3), layout="constrained")
for row, ax in zip(np.flatnonzero(early != y), axes, strict=False):
    ax.imshow(X[row])
    ax.set_title(f"{y[row]}, said {early[row]}", fontsize=8)
    ax.axis("off")

# %%
# The same network in full: as it is, with what the short fit said as the sensitive feature, and
# with the colour, if it were known.
full = {"max_iter": 40, "constraint": "equalized_odds", **settings}
fits = {
    "plain": (0, False, colour),
    "what the short fit said": (0.3, True, early),
    "colour, were it known": (0.3, True, colour),
}
accuracy = {}
for name, (lam, corrected, feature) in fits.items():
    model = MIDebiasedClassifier(lam=lam, prior_correction=corrected, **full)
    accuracy[name] = model.fit(X, y, sensitive_features=feature).score(X_test, y_test)
    print(f"{name:30}{accuracy[name]:.3f}")

# %%
figure, ax = plt.subplots(figsize=(5, 2.2), layout="constrained")
ax.barh(list(accuracy), list(accuracy.values()))
ax.set(xlim=(0, 1), xlabel="accuracy on digits of random colours")
ax.invert_yaxis()
plt.show()
