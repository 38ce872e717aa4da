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
        """Map a batch of images to features."""
        return self.layers(x.permute(0, 3, 1, 2))


# %%
# Three ways to train it: as it is; with the scores corrected by what the colour alone tells of the
# digit; and with a penalty beside it, on what Z tells of the colour among images of one digit. Z
# has 64 units of any value, and each channel of the colour has a λ and a critic of its own.
settings = {
    "plain": (0, False),
    "prior correction": (0, True),
    "prior correction and penalty": (1, True),
}
accuracy = {}
for name, (lam, corrected) in settings.items():
    model = MIDebiasedClassifier(
        encoder=Network,
        lam={"red": lam, "green": lam, "blue": lam},
        constraint="equalized_odds",
        prior_correction=corrected,
        n_critic_steps=1,
        max_iter=20,
        batch_size=64,
        learning_rate=0.003,
        random_state=0,
    )
    model.fit(X, y, sensitive_features=colour)
    accuracy[name] = model.score(X_test, y_test)
    print(f"{name:30}{accuracy[name]:.3f}")

# %%
figure, ax = plt.subplots(figsize=(5, 2.2), layout="constrained")
ax.barh(list(accuracy), list(accuracy.values()))
ax.set(xlim=(0, 1), xlabel="accuracy on digits of random colours")
ax.invert_yaxis()
plt.show()
