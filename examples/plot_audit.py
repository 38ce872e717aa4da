"""
Audit any classifier
====================

`audit` measures a fitted classifier on rows that it was not trained on: rates by group with
intervals, differences between groups, calibration, and what scores and predictions tell of the
sensitive feature. The classifier need not be ours. Here it is scikit-learn's gradient boosting.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.ensemble import HistGradientBoostingClassifier

from fairmi.audit import audit
from fairmi.datasets import load_adult
from fairmi.plot import GroupMetricsDisplay

train, test = load_adult(subset="train"), load_adult(subset="test")
numbers = train.data.select_dtypes("number").columns
model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
model.fit(train.data[numbers], train.target)

X, y = test.data[numbers][:4000], test.target[:4000]
sex = test.sensitive_features["sex"][:4000]
report = audit(model, X, y, sensitive_features=sex, n_boot=200, random_state=0)
print(report)

# %%
# The rates of each group, with their intervals.
GroupMetricsDisplay.from_estimator(model, X, y, sensitive_features=sex)
plt.show()

# %%
# The same figures as a table, as JSON, or as one page without any outside file, to send to someone
# who does not use Python.
frame = report.to_frame()
with tempfile.TemporaryDirectory() as folder:
    page = Path(folder) / "audit.html"
    report.to_html(page)
    print(f"a page of {page.stat().st_size // 1024} kB")
frame.head(12)
