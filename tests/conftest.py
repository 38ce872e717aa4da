"""What the tests of all folders share."""

from __future__ import annotations

import os
from pathlib import Path

# Before numpy and torch load, and in each worker: two workers with a thread for each core wait for
# one another, and a run took six times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

# What took more than about a second, by `pytest --durations=150`: tests, and cases of which others
# like them are quick.
SLOW = set((Path(__file__).parent / "slow.txt").read_text().splitlines())


def pytest_collection_modifyitems(items):
    """Mark what is slow, for `pytest -m "not slow"`."""
    for item in items:
        if {item.nodeid, item.nodeid.split("[")[0]} & SLOW:
            item.add_marker(pytest.mark.slow)


def parity_difference(predicted, s):
    """The largest difference between groups in the share of predictions that are 1 or True."""
    predicted, s = np.asarray(predicted), np.asarray(s)
    rates = [predicted[s == group].mean() for group in np.unique(s)]
    return max(rates) - min(rates)


def shifted_groups(seed, n_rows):
    """A feature that shows the group and the label both, and one that shows the label alone."""
    random = np.random.default_rng(seed)
    s = random.integers(2, size=n_rows)
    x = random.normal(size=(n_rows, 4))
    x[:, 0] += 1.5 * s
    y = (x[:, 0] + x[:, 1] + 0.5 * random.normal(size=n_rows) > 0.75).astype(int)
    return x, y, s
