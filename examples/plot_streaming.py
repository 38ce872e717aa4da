"""
Data that do not fit in memory
==============================

`partial_fit` trains on one part of the data at a time. Here the parts are the row groups of a
Parquet file, which pyarrow reads one by one.
"""

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
# Pass over the file a few times. No more than one row group is in memory.
model = MIDebiasedClassifier(lam=8.0, sensitive_columns="sex", random_state=0)
file = pq.ParquetFile(path)
accuracies, differences = [], []
for _ in range(4):
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group).to_pandas()
        model.partial_fit(rows.drop(columns="income"), rows["income"], classes=["<=50K", ">50K"])
    rich = model.predict(test.data) == ">50K"
    accuracies.append(np.mean(rich == (test.target == ">50K")))
    differences.append(
        demographic_parity_difference(
            test.target == ">50K", rich, sensitive_features=test.sensitive_features["sex"]
        )
    )
file.close()
folder.cleanup()

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
passes = range(1, len(accuracies) + 1)
left.plot(passes, accuracies, marker="o")
left.set(xlabel="passes", ylabel="accuracy", xticks=passes)
right.plot(passes, differences, marker="o")
right.set(xlabel="passes", ylabel="demographic parity difference", xticks=passes, ylim=(0, None))
plt.show()
