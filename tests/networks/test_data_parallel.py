"""One training over two real processes, each with half of the rows."""

from __future__ import annotations

import os
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import parity_difference
from torch import nn

from fairmi import (
    MIBackpropClassifier,
    MIBoostingClassifier,
    MIDebiasedClassifier,
    MIDebiasedClassifierCV,
    data_parallel,
)
from fairmi.networks import reducer
from fairmi.networks.config import network_config
from fairmi.networks.reducer import Reducer

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 8_000
SETTINGS = {"lam": 4.0, "max_iter": 6, "random_state": 0}


def table(n=N, seed=0):
    random = np.random.default_rng(seed)
    s = random.integers(2, size=n)
    frame = pd.DataFrame(random.normal(size=(n, 3)), columns=list("abc"))
    frame["d"] = s + 0.5 * random.normal(size=n)
    frame["job"] = np.array(["clerk", "nurse", "smith"])[random.integers(3, size=n)]
    y = (frame["a"] + 1.5 * s - 0.75 + 0.5 * random.normal(size=n) > 0).to_numpy()
    return frame, y, np.array(["f", "m"])[s]


WORKER = """
import sys, warnings
import joblib, numpy as np
from torch import distributed
from fairmi import MIDebiasedClassifier, data_parallel
folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2
)
warnings.simplefilter("ignore")
X, y, s, jobs = joblib.load(folder + "/data")
part = slice(rank, None, 2)
with data_parallel():
    for name, (parameters, groups) in jobs.items():
        given = {"sensitive_features": (s if groups is None else groups)[part]}
        try:
            model = MIDebiasedClassifier(**parameters).fit(X.iloc[part], y[part], **given)
        except ValueError as error:
            model = str(error)
        joblib.dump(model, f"{folder}/{name} {rank}")
    lams = [0.0, 4.0]
    path = MIDebiasedClassifier(max_iter=1, random_state=0).fit_path(
        X.iloc[part], y[part], lams=lams, sensitive_features=s[part])
    joblib.dump(path, f"{folder}/path {rank}")
distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What both processes came to, by the name of the fit."""
    folder = tmp_path_factory.mktemp("processes")
    X, y, s = table()
    odd = s.copy()
    odd[1] = "x"  # a row of the second process
    jobs = {
        "fit": (SETTINGS, None),
        "another penalty": ({**SETTINGS, "penalty": "mine", "max_iter": 1}, None),
        "no seed": ({"max_iter": 1}, None),
        "a group that the first lacks": (SETTINGS, odd),
        "balanced": ({**SETTINGS, "class_weight": "balanced"}, None),
    }
    joblib.dump((X, y, s, jobs), folder / "data")
    command = [sys.executable, "-c", WORKER, str(folder)]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for worker in workers:
        _, told = worker.communicate(timeout=300)
        assert worker.returncode == 0, told
    return {
        name: [joblib.load(folder / f"{name} {rank}") for rank in range(2)]
        for name in [*jobs, "path"]
    }


def check_same(first, second):
    assert first.parameters_.keys() == second.parameters_.keys()
    for name, value in first.parameters_.items():
        np.testing.assert_array_equal(value, second.parameters_[name])
    assert first.history_ == second.history_
    assert first.warnings_ == second.warnings_
    assert first.sensitive_values_ == second.sensitive_values_ == ["f", "m"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fit", "another penalty", "no seed"])
def test_both_end_with_the_same_model(results, name):
    check_same(*results[name])
    X, _, _ = table(seed=1)
    np.testing.assert_array_equal(*(model.decision_function(X) for model in results[name]))


@pytest.mark.slow
def test_both_end_with_the_same_path(results):
    for first, second in zip(*results["path"], strict=True):
        check_same(first, second)


@pytest.mark.slow
def test_the_model_lies_on_the_frontier_of_one_process(results):
    """On fresh rows, at the same batch size; docs/scaling.md has five seeds."""
    X, y, s = table(seed=1)
    alone = MIDebiasedClassifier(**SETTINGS).fit(*table()[:2], sensitive_features=table()[2])
    together = results["fit"][0]
    np.testing.assert_allclose(together.sensitive_counts_, alone.sensitive_counts_)
    assert together.t_ == alone.t_
    gaps = [parity_difference(model.predict(X), s) for model in (together, alone)]
    accuracies = [(model.predict(X) == y).mean() for model in (together, alone)]
    values = np.array(accuracies) - 0.35 * np.array(gaps)
    # Measured: .734 of two processes, .734 to .737 of four seeds of one, .702 without a penalty,
    # where the gap is .33 to .34; with it .18, and .04 to .09.
    assert abs(values[0] - values[1]) < 0.015
    assert gaps[0] < 0.26  # measured 0.183


@pytest.mark.slow
def test_what_one_can_not_read_is_told_by_both(results):
    first, second = results["a group that the first lacks"]
    assert "'x'" in second
    assert first == f"The process of rank 1 can't take part: {second}"


@pytest.mark.slow
def test_a_setting_that_needs_all_rows_is_refused_by_both(results):
    for told in results["balanced"]:
        assert "class_weight='balanced' can't be trained by several processes" in told


def test_it_needs_a_process_group():
    with pytest.raises(RuntimeError, match="init_process_group"), data_parallel():
        pass


OTHERS = [MIBoostingClassifier(), MIBackpropClassifier(), MIDebiasedClassifierCV()]


@pytest.fixture
def _two_shards():
    class Two(Reducer):
        n_shards = 2

    token = reducer._active.set(Two())
    yield
    reducer._active.reset(token)


@pytest.mark.usefixtures("_two_shards")
@pytest.mark.parametrize("model", OTHERS, ids=lambda m: type(m).__name__)
def test_other_classifiers_refuse_to_train_on_a_shard(model):
    X, y, s = table(100)
    with pytest.raises(ValueError, match=r"one process.*outside of data_parallel\(\)"):
        model.fit(X, y, sensitive_features=s)


@pytest.mark.usefixtures("_two_shards")
def test_a_part_of_a_stream_is_refused():
    X, y, s = table(100)
    with pytest.raises(ValueError, match=r"partial_fit trains on the rows of one process"):
        MIDebiasedClassifier().partial_fit(X, y, classes=[False, True], sensitive_features=s)


@pytest.mark.usefixtures("_two_shards")
@pytest.mark.parametrize(
    "parameters",
    [{"encoder": nn.Flatten()}, {"warm_start": True}, {"prior_correction": True}],
    ids=str,
)
def test_settings_of_one_process_are_refused(parameters):
    X, y, s = table(100)
    (name,) = parameters
    with pytest.raises(ValueError, match=f"{name}=.* can't be trained by several processes"):
        MIDebiasedClassifier(**parameters).fit(X, y, sensitive_features=s)


def test_settings_that_hang_on_the_classes_are_those_of_the_first(monkeypatch):
    """As in a process of another rank, which is told what the first one found."""

    class Told(Reducer):
        def of_first(self, call):
            found = call()
            return -5.0 if isinstance(found, float) else found

    asked = []

    def config(*arguments, **settings):
        asked.append(settings["log_odds"])
        return network_config(*arguments, **settings)

    monkeypatch.setattr("fairmi._network_base.network_config", config)
    monkeypatch.setattr("fairmi._network_base.active_reducer", Told)
    X, y, s = table(400)
    MIDebiasedClassifier(max_iter=1, random_state=0).fit(X, y, sensitive_features=s)
    assert asked == [-5.0]


def test_one_process_does_nothing():
    alone, values = Reducer(), torch.ones(3)
    assert alone.total(values) is values
    assert alone.mean(values) is values
    assert alone.of_first(lambda: 3) == alone.agreed(lambda: 3) == 3
    assert alone.any(True)
    assert not alone.any(False)
