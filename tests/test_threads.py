"""Few rows get one thread, so that processes beside one another do not wait for threads."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from fairmi import MIDebiasedClassifier
from fairmi._sklearn_compat import effective_n_threads
from fairmi._threads import ROWS_OF_A_THREAD, threads_for
from fairmi.dependence import NWJ
from fairmi.inspection import gap_importance
from fairmi.metrics import leakage_score


class Recorder(LogisticRegression):
    """It notes the threads that trees would get where it learns and predicts."""

    seen: ClassVar[list[int]] = []  # clones share it

    def fit(self, X, y, sample_weight=None):
        self.seen.append(effective_n_threads())
        return super().fit(X, y, sample_weight)

    def predict_proba(self, X):
        self.seen.append(effective_n_threads())
        return super().predict_proba(X)


@pytest.fixture
def two_threads():
    with threadpool_limits(2):
        if effective_n_threads() < 2:
            pytest.skip("needs two cores")
        yield


@pytest.mark.usefixtures("two_threads")
def test_threads_grow_with_rows_up_to_those_there_are():
    assert threads_for(1) == threads_for(2 * ROWS_OF_A_THREAD - 1) == 1
    assert threads_for(2 * ROWS_OF_A_THREAD) == 2
    assert threads_for(10**9) == effective_n_threads()


@pytest.mark.usefixtures("two_threads")
def test_a_probe_of_few_rows_runs_on_one_thread_and_leaves_the_others_alone():
    random = np.random.default_rng(0)
    Recorder.seen.clear()
    leakage_score(random.normal(size=(200, 2)), random.integers(2, size=200), probe=Recorder())
    assert len(Recorder.seen) == 10
    assert set(Recorder.seen) == {1}
    model = Recorder().fit(random.normal(size=(200, 2)), np.arange(200) % 2)
    Recorder.seen.clear()
    X, s = random.normal(size=(200, 2)), random.integers(2, size=200)
    gap_importance(model, X, s, probe=Recorder(), n_repeats=1)
    assert set(Recorder.seen) == {1}
    assert effective_n_threads() == 2


def test_a_critic_trains_on_one_thread(monkeypatch):
    before, seen = torch.get_num_threads(), []
    loss = NWJ.critic_loss

    def noted(*arguments):
        seen.append(torch.get_num_threads())
        return loss(*arguments)

    monkeypatch.setattr(NWJ, "critic_loss", noted)
    torch.set_num_threads(2)
    try:
        X = np.random.default_rng(0).normal(size=(200, 2))
        model = MIDebiasedClassifier(penalty="nwj", max_iter=1, random_state=0)
        model.fit(X, X[:, 0] > 0, sensitive_features=X[:, 1])
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
