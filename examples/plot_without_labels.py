"""
Audit before the labels are known
=================================

Decisions are made today, and who was right shows in years. `audit` without `y` measures all that
needs no label: who is selected, overall and among people alike in a column, and what a probe
recovers of the group. Later, with labels, errors join in. Here both are made of the same decisions
on Adult, whose labels are known.
"""

import matplotlib.pyplot as plt
from sklearn.ensemble import HistGradientBoostingClassifier

from fairmi.audit import audit
from fairmi.datasets import load_adult

train, test = load_adult(subset="train"), load_adult(subset="test")
numbers = train.data.select_dtypes("number").columns
model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
model.fit(train.data[numbers], train.target)

rows = slice(4000)
answers, sex = model.predict(test.data[numbers][rows]), test.sensitive_features["sex"][rows]
asked = {
    "y_pred": answers,
    "sensitive_features": sex,
    "conditions": test.data[["marital_status"]][rows],
    "n_boot": 200,
    "random_state": 0,
}
today = audit(**asked)
print("\n".join(today.notes))

# %%
# Today: whom the model selects, with intervals, among all and within marital status.
frame = today.to_frame()
rates = frame[(frame["measure"] == "selection_rate") & frame["section"].str.contains("group")]
rates[["group", "part", "value", "low", "high", "n"]].round(3).head(8)

# %%
# With labels: what is found of the differences over all rows, today and later.
later = audit(y=test.target[rows], **asked).to_frame()
names = later.loc[later["section"] == "disparity", "measure"]
differences = later[names.str.endswith("difference").reindex(later.index, fill_value=False)]
largest = differences.groupby("measure")["value"].max()
known = largest.index.isin(frame["measure"])
axes = plt.subplots(layout="constrained")[1]
axes.barh(largest.index, largest, color=["#0072b2" if today else "#999999" for today in known])
axes.set(xlabel="difference of women and men", title="blue: known before any label")
plt.show()
