"""A search that is killed goes on from the folds that were finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from fairmi import MIDebiasedClassifier, MIDebiasedClassifierCV

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 300
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 4))
S = (X[:, 0] > 0).astype(int)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
LOG = "FAIRMI_TEST_LOG"
EPOCHS, FOLDS = 3, 4


def note(record):
    """Write down that an epoch ran, in the file that the environment names."""
    if LOG in os.environ:
        with open(os.environ[LOG], "a") as log:
            log.write(f"{os.getpid()}\n")


def own_difference(y_true, y_pred, *, sensitive_features):
    return abs(y_pred[sensitive_features == 0].mean() - y_pred[sensitive_features == 1].mean())


def search(memory, callback=note, y=Y, **parameters):
    estimator = parameters.pop("estimator", None)
    if estimator is None:
        estimator = MIDebiasedClassifier(
            max_iter=EPOCHS, callbacks=[callback], random_state=parameters.pop("random_state", 0)
        )
    settings = {"lams": [0.0, 2.0], "cv": FOLDS, "bound": 1.0, **parameters}
    found = MIDebiasedClassifierCV(estimator, memory=memory, **settings)
    return found.fit(X, y, sensitive_features=S)


@pytest.fixture
def epochs(tmp_path, monkeypatch):
    """The number of epochs that ran so far."""
    log = tmp_path / "log"
    monkeypatch.setenv(LOG, str(log))
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def check_same(found, expected):
    pd.testing.assert_frame_equal(found.frontier_, expected.frontier_)
    np.testing.assert_array_equal(found.decision_function(X), expected.decision_function(X))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["str", "path", "Memory"])
def test_a_second_search_trains_nothing(tmp_path, epochs, kind):
    place = tmp_path / "kept"
    memory = {"str": str(place), "path": place, "Memory": joblib.Memory(place, verbose=0)}[kind]
    first = search(memory)
    check_same(search(memory, bound=0.9), first)
    assert epochs() == (FOLDS + 1) * EPOCHS


OTHERS = {
    "label": {"y": np.where(np.arange(N) == 7, 1 - Y, Y)},
    "λ": {"lams": [0.0, 3.0]},
    "random state": {"random_state": 1},
    "parameter": {
        "estimator": MIDebiasedClassifier(
            max_iter=EPOCHS, callbacks=[note], n_levels=5, random_state=0
        )
    },
    "scoring": {"scoring": "balanced_accuracy"},
}


@pytest.mark.slow
def test_nothing_is_taken_from_a_search_that_differs(tmp_path, epochs):
    search(tmp_path / "kept")
    for name, other in OTHERS.items():
        before = epochs()
        search(tmp_path / "kept", **other)
        assert epochs() == before + (FOLDS + 1) * EPOCHS, name


def test_folds_are_told_apart_by_their_rows(tmp_path, epochs):
    search(tmp_path / "kept")
    before = epochs()
    search(tmp_path / "kept", metric=own_difference)  # which no fold hangs on
    assert epochs() == before
    search(tmp_path / "kept", cv=FOLDS + 1)
    assert epochs() == before + (FOLDS + 1) * EPOCHS  # the refit is the same


@pytest.mark.parametrize(
    "random_state", [None, np.random.RandomState(0)], ids=["None", "instance"]
)
def test_what_can_not_be_repeated_is_not_kept(tmp_path, random_state):
    with pytest.raises(ValueError, match=r"memory=.*random_state=.*set it to an int"):
        search(tmp_path, random_state=random_state)


def test_what_has_no_hash_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"memory=.*has none.*lambda.*memory=None"):
        search(tmp_path, callback=lambda record: None)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_memory

def note_and_kill(record):
    test_memory.note(record)
    ran = len(open(os.environ["FAIRMI_TEST_LOG"]).read().splitlines())
    if ran >= int(os.environ.get("FAIRMI_TEST_KILL", sys.maxsize)):
        os.kill(os.getpid(), signal.SIGKILL)

n_jobs = int(sys.argv[3])
found = test_memory.search(sys.argv[2], note_and_kill, n_jobs=n_jobs)
found.frontier_.to_csv(sys.argv[2] + "/frontier.csv", index=False)
"""


def run(folder, log, n_jobs, kill_after=None):
    """Run a search in a process, which it or its worker kills in an epoch if told to."""
    environment = os.environ | {LOG: str(log)}
    if kill_after is not None:
        environment["FAIRMI_TEST_KILL"] = str(kill_after)
    command = [sys.executable, "-W", "ignore", "-c", KILLED]
    command += [str(Path(__file__).parent), str(folder), str(n_jobs)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_killed_search_goes_on_where_it_was(tmp_path, n_jobs):
    """The process of one job is killed itself; of two, one of its workers."""
    log, folder = tmp_path / "log", tmp_path / "kept"
    folder.mkdir()
    n_jobs_done = 2
    killed = run(folder, log, n_jobs, kill_after=n_jobs_done * EPOCHS + 2)
    assert killed.returncode == (-signal.SIGKILL if n_jobs == 1 else 1), killed.stderr
    assert not (folder / "frontier.csv").exists()
    first = log.read_text().splitlines()
    again = run(folder, log, n_jobs)
    assert again.returncode == 0, again.stderr
    # A worker beside the killed one may end its jobs after the process that asked for them.
    trained = sum(pid not in first for pid in log.read_text().splitlines()) / EPOCHS
    lost = FOLDS + 1 - n_jobs_done
    # Of two workers one has finished a job for certain; how far the other came is a race.
    assert trained == lost if n_jobs == 1 else 1 <= trained <= lost + 1, trained
    with warnings.catch_warnings(action="ignore"):
        expected = search(None, n_jobs=None)
    found = pd.read_csv(folder / "frontier.csv")
    pd.testing.assert_frame_equal(found, expected.frontier_, check_dtype=False)
