"""
Images, and a network of your own
=================================

In the training images the colour of a digit tells which digit it is; later it doesn't. A network
that is trained on them reads the colour and never learns the shapes. Here a small convolutional
network is the encoder of a classifier that is kept from reading the colour.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from torch import nn

from fairmi import MIDebiasedClassifier
from fairmi.datasets import make_biased_digits

digits = load_digits()
train, test = slice(0, 1300), slice(1300, None)
X, y, colour = make_biased_digits(
    digits.images[train], digits.target[train], variance=0.02, random_state=0
)
X_test, y_test, colour_test = make_biased_digits(
    digits.images[test], digits.target[test], variance=0.02, bias=0, random_state=1
)

# %%
# The sensitive features are the brightest values of the three channels, in 8 bins.
colour.head(3)

# %%
figure, axes = plt.subplots(2, 10, figsize=(8, 1.8), layout="constrained")
for row, images, labels in zip(axes, (X, X_test), (y, y_test), strict=True):
    for digit, ax in enumerate(row):
        ax.imshow(images[labels == digit][0])
        ax.axis("off")
figure.suptitle("training above, test below")


# %%
# The encoder is any torch module that gives one vector of features for each row. It gets the rows
# as they lie in X, bytes as numbers from 0 to 1; here it brings the channels first.
class Network(nn.Module):
    """Two convolutions, and 64 features."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.ReLU(),
        )

    def forward(self, x):
        """Give features, (rows, units)."""
        return self.layers(x.permute(0, 3, 1, 2))


# %%
# Four ways to train it: as it is; under the penalty, a λ for each channel of the colour, on a Z of
# 64 units of any value; with the scores corrected by what the colour tells of the digit; and both.
settings = {
    "plain": {"lam": 0},
    "penalty": {"lam": 0.5},
    "prior correction": {"lam": 0, "prior_correction": True},
    "both": {"lam": 0.1, "prior_correction": True},
}
accuracy = {}
for name, setting in settings.items():
    lam = setting.pop("lam")
    model = MIDebiasedClassifier(
        encoder=Network,
        lam={"red": lam, "green": lam, "blue": lam},
        n_levels=None,
        max_iter=40,
        batch_size=64,
        random_state=0,
        **setting,
    )
    model.fit(X, y, sensitive_features=colour)
    accuracy[name] = model.score(X_test, y_test)
    print(f"{name:16} {accuracy[name]:.3f}")

# %%
figure, ax = plt.subplots(figsize=(5, 2.2), layout="constrained")
ax.barh(list(accuracy), list(accuracy.values()))
ax.set(xlim=(0, 1), xlabel="accuracy on digits of random colours")
ax.invert_yaxis()
plt.show()
