"""
Groups that are known by probabilities alone
============================================

The attribute isn't in the data; a model of surnames and postcodes gives a probability of it. Each
row can then count in each group by its probability. That is right where the prediction has nothing
to do with the group beyond what the probabilities were made of, and no data without the groups can
show whether that holds. `probable_disparities` has both: the weighted figure, and what the
difference can be at least and at most. Here the truth is known, as it is simulated.
"""

import matplotlib.pyplot as plt
import numpy as np

from fairmi.audit import probable_disparities

rng = np.random.default_rng(0)
p = rng.beta(0.4, 0.4, size=20_000)
group = rng.random(20_000) < p
# From left to right the group itself matters more, beyond p.
strengths = np.linspace(-0.2, 0.2, 9)
found, truth = [], []
for own in strengths:
    selected = rng.random(20_000) < 0.3 + 0.2 * p + own * group
    (disparity,) = probable_disparities(
        selected, {"a": 1 - p, "b": p}, n_boot=100, random_state=0
    ).disparities
    sign = 1 if disparity.above == "b" else -1
    figures = [sign * getattr(disparity, name) for name in ("weighted", "lowest", "highest")]
    found.append([figures[0], *sorted(figures[1:])])
    truth.append(selected[group].mean() - selected[~group].mean())
weighted, low, high = np.array(found).T

# %%
# The weighted figure is right in the middle alone. The bounds hold the truth everywhere.
ax = plt.subplots(layout="constrained")[1]
ax.fill_between(strengths, low, high, alpha=0.2, label="any truth that fits the probabilities")
ax.plot(strengths, truth, "o-", label="truth, which nobody knows")
ax.plot(strengths, weighted, "s--", label="weighted by probabilities")
ax.axhline(0, color="grey", lw=1)
ax.set(xlabel="what the group itself adds", ylabel="selection rate of b less that of a")
ax.legend(frameon=False, loc="upper left")
plt.show()
