"""
The frontier: every λ in one training
=====================================

λ weighs fairness against accuracy, and no value of it is right for all data. So look at the whole
line. `MIDebiasedClassifierCV` trains all λ side by side, in each fold and on all rows, and uses
the most accurate one whose unfairness on held-out rows is within a bound.
"""

import matplotlib.pyplot as plt
from fairlearn.metrics import demographic_parity_difference

from fairmi import MIDebiasedClassifier, MIDebiasedClassifierCV
from fairmi.datasets import load_adult
from fairmi.plot import FairnessFrontierDisplay

# %%
# Adult asks whether someone earns more than $50,000 a year. We take 6,000 of its rows to train.
train, test = load_adult(subset="train"), load_adult(subset="test")
X, y = train.data[:6000], train.target[:6000]
sex = train.sensitive_features["sex"][:6000]

model = MIDebiasedClassifierCV(
    MIDebiasedClassifier(max_iter=8, random_state=0), lams=6, cv=3, bound=0.05
)
model.fit(X, y, sensitive_features=sex)
model.frontier_.round(3)

# %%
# The picture of the same table. Accuracy is a mean over folds; the demographic parity difference
# (between the groups' shares of positive predictions) is that of all held-out rows together.
FairnessFrontierDisplay.from_estimator(model)
plt.show()

# %%
# Another bound needs no training: the models of all λ are there.
for bound in (0.05, 0.08, 0.15):
    model.set_operating_point(bound)
    rich = model.predict(test.data) == ">50K"
    unfair = demographic_parity_difference(
        test.target == ">50K", rich, sensitive_features=test.sensitive_features["sex"]
    )
    accuracy = model.score(test.data, test.target)
    print(f"bound {bound}: λ = {model.lam_:.2f}, accuracy {accuracy:.3f}, DP {unfair:.3f}")
