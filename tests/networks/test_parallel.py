"""A search gives the same results on every backend."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from fairmi import MIDebiasedClassifier

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 150
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 4))
S = (X[:, 0] > 0).astype(int)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


class Quiet(MIDebiasedClassifier):
    """Short trainings may collapse; a worker process does not know of pytest's filters."""

    def fit(self, X, y, *, sensitive_features=None):
        with warnings.catch_warnings(action="ignore"):
            return super().fit(X, y, sensitive_features=sensitive_features)


def search(n_jobs=2):
    model = Quiet(max_iter=4, random_state=0)
    grid = {"lam": [0.0, 2.0, 8.0], "n_levels": [5, 17]}
    found = GridSearchCV(model, grid, cv=3, scoring="neg_log_loss", n_jobs=n_jobs)
    found.fit(X, Y, sensitive_features=S)
    return found.cv_results_["split0_test_score"], found.decision_function(X)


@pytest.fixture(scope="module")
def alone():
    return search(n_jobs=None)


def check(alone, result):
    for expected, value in zip(alone, result, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_results_are_those_of_one_process(alone, backend):
    with joblib.parallel_config(backend=backend):
        check(alone, search())


@pytest.mark.slow
def test_results_are_those_of_one_process_on_a_dask_cluster(alone):
    distributed = pytest.importorskip("distributed")
    with (
        warnings.catch_warnings(action="ignore"),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask", wait_for_workers_timeout=120),
    ):
        assert len(client.scheduler_info()["workers"]) == 2
        check(alone, search())


@pytest.mark.slow
def test_results_are_those_of_one_process_on_ray(alone):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    with warnings.catch_warnings(action="ignore"):
        # Where workers find this file.
        here = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=here)
        try:
            register_ray()
            with joblib.parallel_config(backend="ray"):
                check(alone, search())
        finally:
            ray.shutdown()


def threads_of_a_fit(seed):
    """The threads that torch uses inside a fit, and of the process, while fits run beside it."""
    inside = []
    model = Quiet(
        max_iter=3,
        random_state=seed,
        callbacks=[lambda _: inside.append(torch.get_num_threads())],
    )
    model.fit(X, Y, sensitive_features=S)
    return set(inside), os.getpid()


@pytest.mark.slow
def test_fits_beside_one_another_use_one_thread_each():
    results = joblib.Parallel(n_jobs=2, backend="loky")(
        joblib.delayed(threads_of_a_fit)(seed) for seed in range(4)
    )
    assert all(threads == {1} for threads, _ in results)


@pytest.mark.slow
def test_threads_are_left_as_they_were_where_fits_overlap():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        results = joblib.Parallel(n_jobs=4, backend="threading")(
            joblib.delayed(threads_of_a_fit)(seed) for seed in range(12)
        )
        assert all(threads == {1} for threads, _ in results)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


FORKED = """
import os, sys, time, warnings
import numpy as np, torch
from fairmi import MIDebiasedClassifier
warnings.simplefilter("ignore")
assert torch.get_num_threads() == 2
random = np.random.default_rng(0)
X, s = random.normal(size=(20_000, 10)), random.integers(2, size=20_000)
model = MIDebiasedClassifier(max_iter=1, random_state=0).fit(X, s, sensitive_features=X[:, 0] > 0)
expected = model.predict(X)
child = os.fork()
if not child:
    same = (model.predict(X) == expected).all()
    model.fit(X[:500], s[:500], sensitive_features=X[:500, 0] > 0)
    os._exit(0 if same else 3)
for _ in range(600):
    if os.waitpid(child, os.WNOHANG)[0]:
        print("ended")
        break
    time.sleep(0.1)
else:
    os.kill(child, 9)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_predicts_and_fits_where_torch_has_two_threads():
    """A pool of threads made before the fork would be waited for without end."""
    result = subprocess.run(
        [sys.executable, "-c", FORKED],
        env=os.environ | {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "ended\n", result.stderr
