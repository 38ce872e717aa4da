"""What the tests of all folders share."""

from __future__ import annotations

import os
import subprocess
import sys
from fnmatch import fnmatchcase

# Before numpy and torch load, and in each worker: two workers with a thread for each core wait for
# one another, and a run took six times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("same examples each run", derandomize=True)
settings.load_profile("same examples each run")


@pytest.hookimpl(tryfirst=True)  # before -k and -m leave tests out
def pytest_collection_modifyitems(config, items):
    """Mark the cases that `slow_cases` names; a pattern that fits no case is an error."""
    unused = {}
    for item in items:
        case = item.callspec.id if hasattr(item, "callspec") else ""
        for mark in item.iter_markers("slow_cases"):
            fits = {pattern for pattern in mark.args if fnmatchcase(case, pattern)}
            test = item.nodeid.partition("[")[0]
            unused[test] = unused.get(test, set(mark.args)) - fits
            if fits:
                item.add_marker(pytest.mark.slow)
    wrong = {test: patterns for test, patterns in unused.items() if patterns}
    if wrong and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"slow_cases has patterns that fit no case: {wrong}")


def printed_by(code):
    """What a fresh process prints that runs some code."""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def rows_of_numbers(seed, n):
    """X, the mean of y, groups, a generator: one column tells y and group, another y alone."""
    random = np.random.default_rng(seed)
    group = random.integers(2, size=n)
    x = random.normal(size=(n, 3))
    x[:, 0] += group
    return x, x[:, 0] + x[:, 1], group, random


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


def groups_told_apart_by_class(seed, n_rows):
    """A feature that shows the group among positives alone, and one among negatives alone."""
    random = np.random.default_rng(seed)
    s, y = random.integers(2, size=(2, n_rows))
    x = random.normal(size=(n_rows, 2))
    x[:, 0] += 2 * s * (y == 1)
    x[:, 1] -= 2 * s * (y == 0)
    return x, y, s


@pytest.fixture
def no_probes(monkeypatch):
    """Audits train no probes, which take a second: no group has rows for so many folds."""
    monkeypatch.setattr("fairmi.audit.leakage.FOLDS", 10**9)
