"""
Watch a model in use
====================

A model is trained on Adult's training rows and asked about the test rows in forty batches, as if
they came week by week. From week 20 on somebody selects at a score of 0.15 in place of 0.5, which
widens the gap between men and women. `FairnessMonitor` looks every week, with intervals that hold
at all looks at once.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from fairmi.audit import FairnessMonitor
from fairmi.datasets import load_adult

train, test = load_adult(subset="train"), load_adult(subset="test")
columns = ["age", "education_num", "hours_per_week", "marital_status", "capital_gain"]
model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
model.fit(train.data[columns], train.target)

# The model was never fair: what is watched is that it gets no worse than it was accepted.
monitor = FairnessMonitor(tolerance={"selection_rate": 0.2}, pos_label=True)
weeks = np.array_split(np.random.default_rng(0).permutation(len(test.data)), 40)
for week, rows in enumerate(weeks):
    score = model.predict_proba(test.data[columns].iloc[rows])[:, 1]
    selected = score > (0.5 if week < 20 else 0.15)
    sex, rich = test.sensitive_features["sex"].iloc[rows], test.target.iloc[rows] == ">50K"
    monitor.update(selected, sex, rich, time=week)
print(monitor)

# %%
# The points are single weeks, the line is the difference over all weeks until then.
monitor.plot("selection_rate")
plt.show()

# %%
# What has changed, and since when.
monitor.drift()
