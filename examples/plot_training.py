"""
What a critic claims, and what a probe finds
============================================

In the published procedure Z can take any value. On a table its critic then claims that Z tells
almost nothing of the sensitive feature, while a fresh probe still recovers it.
`MIDebiasedClassifier` passes Z through a channel of few levels, so that the claim comes near to
the truth.
"""

import warnings

import matplotlib.pyplot as plt

from fairmi import CollapseWarning, MIBackpropClassifier, MIDebiasedClassifier
from fairmi.datasets import load_german
from fairmi.metrics import leakage_score
from fairmi.plot import TrainingDisplay

X, y = load_german(return_X_y=True)
over_25 = X["age"] > 25

published = MIBackpropClassifier(
    lam=10, n_critic_steps=5, max_iter=20, learning_rate=1e-3, random_state=0
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", CollapseWarning)  # the fit tells of it: see `warnings_`
    published.fit(X[:700], y[:700], sensitive_features=over_25[:700])
ours = MIDebiasedClassifier(lam=4, random_state=0)
ours.fit(X[:700], y[:700], sensitive_features=over_25[:700])

for name, model in {"as published": published, "through a channel": ours}.items():
    claim = model.history_[-1]["penalty"]
    auc = leakage_score(model.transform(X[700:]), over_25[700:], random_state=0)
    print(f"{name}: the critic claims {claim:.3f} nats, a fresh probe has an AUC of {auc:.2f}")

# %%
# The course of the training, from `history_`.
TrainingDisplay.from_estimator(ours)
plt.show()
