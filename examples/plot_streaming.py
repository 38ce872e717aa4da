"""
Data that do not fit in memory
==============================

`partial_fit` trains on one part of the data at a time. Here the parts are the row groups of a
Parquet file, which pyarrow reads one by one.
"""

import copy
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fairlearn.metrics import demographic_parity_difference

from fairmi import MIDebiasedClassifier
from fairmi.datasets import load_adult

# %%
# Write Adult's training part, in random order, as a file of several row groups. The order matters:
# the first part sets the encoding of the columns and the groups.
train, test = load_adult(subset="train"), load_adult(subset="test")
order = np.random.default_rng(0).permutation(len(train.data))
table = train.data.assign(income=train.target).iloc[order]
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "adult.parquet"
pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, row_group_size=8192)


# %%
# Pass over the file, with one row group held out, and no more than one in memory. A pass is worth
# its accuracy less the demographic parity difference there. Stop where two passes in a row brought
# nothing, and keep the best model. `finish` drops what only further parts would need.
def figures(model, table):
    """Return accuracy and the demographic parity difference on a table with its labels."""
    rich, truth = model.predict(table.drop(columns="income")) == ">50K", table["income"] == ">50K"
    unfair = demographic_parity_difference(truth, rich, sensitive_features=table["sex"])
    return (rich == truth).mean(), unfair


model = MIDebiasedClassifier(lam=8.0, sensitive_columns="sex", random_state=0)
file = pq.ParquetFile(path)
*groups, last = range(file.num_row_groups)
held_out = file.read_row_group(last).to_pandas()
course, best, best_value = [], model, -np.inf
while len(course) < 8:
    for group in groups:
        rows = file.read_row_group(group).to_pandas()
        model.partial_fit(rows.drop(columns="income"), rows["income"], classes=["<=50K", ">50K"])
    course.append(figures(model, held_out))
    values = [accuracy - unfair for accuracy, unfair in course]
    if values[-1] > best_value:
        best, best_value = copy.deepcopy(model), values[-1]
    if max(values[-2:]) < best_value:
        break
best.finish()
file.close()
folder.cleanup()
accuracy, unfair = figures(best, test.data.assign(income=test.target))
print(f"on the test part: accuracy {accuracy:.3f}, difference {unfair:.3f}")

# %%
# The course on the held-out rows.
figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
passes = range(1, len(course) + 1)
names = ("accuracy", "demographic parity difference")
for ax, name, line in zip(axes, names, zip(*course, strict=True), strict=True):
    ax.plot(passes, line, marker="o")
    ax.set(xlabel="passes", ylabel=name, xticks=passes)
plt.show()
