"""
Compare with other methods on Adult
===================================

What `fairmi compare adult` does, through the Python API and in its small form: fit each method at
each of its settings on Adult's training part, measure it on the test part, and draw the frontier.
"""

import matplotlib.pyplot as plt

from fairmi.compare import METHODS, compare
from fairmi.plot import FairnessFrontierDisplay

# %%
# METHODS is a plain tuple: any selection of it, or a Method of your own beside it, will do.
wanted = {"Logistic regression", "GridSearch", "fairmi, trees", "fairmi, network"}
methods = [method for method in METHODS if method.name in wanted]

# %%
# With `fast=True` a method has one or two settings and 8,000 rows to train: to see that it runs,
# not to read figures from.
comparison = compare("adult", methods=methods, fast=True, n_jobs=1)
columns = ["method", "setting", "accuracy", "demographic_parity_difference", "fit_seconds"]
comparison.table[[name for name in columns if name in comparison.table]].round(3)

# %%
# Accuracy against unfairness; `comparison.plot()` is the picture that the command saves.
table = comparison.table
FairnessFrontierDisplay(
    table["demographic_parity_difference"],
    table["accuracy"],
    labels=list(table["method"] + " " + table["setting"].astype(str)),
).plot()
plt.show()

# %%
# The most accurate of those whose groups get positive predictions at nearly the same rate.
fair = table[table["demographic_parity_difference"] <= 0.05]
best = fair.loc[fair["accuracy"].idxmax()]
print(f"most accurate within 0.05: {best['method']} {best['setting']}, {best['accuracy']:.3f}")
