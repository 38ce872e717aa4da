"""
What is left: leakage by fresh probes
=====================================

The critic that was trained against an encoder is no witness: what it can't see may still be there.
`leakage_report` trains fresh classifiers, called probes, to recover the sensitive feature from the
representation Z. An AUC of 0.5 is what guessing gives.
"""

import matplotlib.pyplot as plt

from fairmi import MIDebiasedClassifier
from fairmi.datasets import load_adult
from fairmi.metrics import certify, leakage_report
from fairmi.plot import LeakageDisplay

train, test = load_adult(subset="train"), load_adult(subset="test")
X, y = train.data[:8000], train.target[:8000]
sex = train.sensitive_features["sex"][:8000]
X_test, sex_test = test.data[:4000], test.sensitive_features["sex"][:4000]

plain = MIDebiasedClassifier(lam=0, max_iter=8, random_state=0).fit(X, y, sensitive_features=sex)
fair = MIDebiasedClassifier(lam=8, max_iter=8, random_state=0).fit(X, y, sensitive_features=sex)
print(leakage_report(fair.transform(X_test), sex_test, random_state=0))

# %%
# Both models in one picture: what the critic claims, and what fresh probes find.
LeakageDisplay.from_estimator([plain, fair], X_test, sensitive_features=sex_test, random_state=0)
plt.show()

# %%
# A probe shows what *it* finds. A certificate bounds what *anyone* could find: no classifier that
# sees Z alone has a larger demographic parity difference, at the stated confidence. It needs rows
# that nothing was learned from, and a Z of few values.
print(certify(fair.transform(X_test), sex_test))
