"""Predictions of networks in numpy: those of torch, and without torch in the process."""

from __future__ import annotations

import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from scipy.sparse import csr_array
from torch import Generator

from fairmi import (
    MIBackpropClassifier,
    MIBoostingClassifier,
    MIDebiasedClassifier,
    MIDebiasedClassifierCV,
)
from fairmi.networks.inference import NumpyNetworks
from fairmi.networks.model import Networks

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

DEFAULT = {
    "n_models": 1,
    "n_inputs": 30,
    "hidden_layer_sizes": (128,),
    "n_components": 1,
    "n_levels": 17,
    "n_outputs": 1,
    "dropout": 0.2,
}
ARCHITECTURES = {
    "default": {},
    "several networks": {"n_models": 3},
    "classes": {"n_components": 4, "n_outputs": 5, "n_levels": 9},
    "several networks of classes": {"n_models": 2, "n_components": 4, "n_outputs": 5},
    "two levels, two layers": {"n_levels": 2, "hidden_layer_sizes": (16, 8)},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "open channel": {"n_levels": None, "n_components": 64},
    "open channel, bounded": {"n_levels": None, "n_components": 8, "squashed": True},
}
OPEN = [name for name in ARCHITECTURES if name.startswith("open")]


def both(architecture):
    """The same weights in torch and in numpy, and rows for them."""
    architecture = DEFAULT | architecture
    networks = Networks(**architecture, generator=Generator().manual_seed(0))
    with torch.no_grad():  # wide enough that the ends of the channel are reached too
        for parameter in networks.encoder.parameters():
            parameter *= 3
    parameters = networks.arrays(slice(None))
    x = np.random.default_rng(0).normal(size=(6_000, 30)).astype(np.float32)
    return networks.double().eval(), NumpyNetworks(architecture, parameters), x


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_answers_are_those_of_torch(name):
    """The same levels; torch adds the rounding to the unit, which may move its last bit."""
    by_torch, by_numpy, x = both(ARCHITECTURES[name])
    with torch.no_grad():
        expected = by_torch.represent(torch.as_tensor(x).double())
        scores = by_torch.head(expected).mean(0).numpy()
    z = expected[0].numpy() if by_torch.n_models == 1 else scores
    found = by_numpy.represent(x)
    n_levels = by_numpy.n_levels
    if n_levels is not None:
        half = (n_levels - 1) / 2
        levels = (expected.numpy() + 1) * half
        np.testing.assert_array_equal((found + 1) * half, levels.round())
        assert len(np.unique(found)) == n_levels
    # Measured: 4e-15 at most where the channel is open, 1e-15 else.
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(by_numpy.representation(x), z, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(by_numpy.scores_of(z), scores, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if n not in OPEN])
def test_a_row_has_the_same_answers_alone_and_in_any_company(name):
    _, networks, x = both(ARCHITECTURES[name])
    z = networks.representation(x)
    scores = networks.scores_of(z)
    for rows in (slice(7, 8), slice(100, 103), slice(5_000, 5_017), slice(3, 6_000, 7)):
        alone = networks.representation(x[rows])
        np.testing.assert_array_equal(alone, z[rows])
        np.testing.assert_array_equal(networks.scores_of(alone), scores[rows])


@pytest.mark.parametrize("name", OPEN)
def test_scores_of_an_open_channel_hang_on_z_alone(name):
    _, networks, x = both(ARCHITECTURES[name])
    z = networks.representation(x)
    np.testing.assert_array_equal(networks.scores_of(z[5:8]), networks.scores_of(z)[5:8])


RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.normal(size=(200, 3)), columns=list("abc")).assign(
    job=np.array(["clerk", "nurse", "smith"])[RANDOM.integers(3, size=200)]
)
Y = (FRAME["b"] + RANDOM.normal(size=200) > 0).to_numpy()
S = (FRAME["a"] > 0).to_numpy()
QUICK = {"max_iter": 2, "random_state": 0}
SERVED = {
    "networks": (MIDebiasedClassifier(**QUICK), FRAME),
    "several networks": (MIDebiasedClassifier(n_estimators=2, **QUICK), FRAME),
    "another penalty": (MIDebiasedClassifier(penalty="hsic", lam=0.1, **QUICK), FRAME),
    "a dropped column": (
        MIDebiasedClassifier(sensitive_columns="job", drop_sensitive=True, **QUICK),
        FRAME,
    ),
    "open channel": (MIDebiasedClassifier(n_levels=None, **QUICK), FRAME),
    "sparse": (MIDebiasedClassifier(**QUICK), csr_array(FRAME[["a", "b", "c"]].to_numpy())),
    "trees": (MIBoostingClassifier(lam=0.1, **QUICK), FRAME),
    "published procedure": (MIBackpropClassifier(n_critic_steps=2, **QUICK), FRAME),
    "search": (
        MIDebiasedClassifierCV(MIDebiasedClassifier(**QUICK), lams=[0, 0.1], cv=2, bound=1.0),
        FRAME,
    ),
}
SERVER = """
import sys, joblib
import fairmi
path, kind = sys.argv[1:]
if kind == "skops":
    class NotInstalled:  # where torch is, skops itself loads it
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "torch":
                raise ModuleNotFoundError(name)
    sys.meta_path.insert(0, NotInstalled())
    import skops.io
    from fairmi.audit.saved import SKOPS_TRUSTED_TYPES
for name, row in joblib.load(path + "/rows").items():
    file = path + "/" + name
    if kind == "skops":
        model = skops.io.load(file + ".skops", trusted=list(SKOPS_TRUSTED_TYPES))
    else:
        model = joblib.load(file)
    answers = [model.predict(row), model.predict_proba(row), model.transform(row)]
    joblib.dump(answers, file + " answers")
    assert "torch" not in sys.modules, name
"""


@pytest.fixture(scope="module")
def served():
    """Fitted models, each with one row."""
    found = {}
    for name, (model, table) in SERVED.items():
        named = {} if model.get_params().get("sensitive_columns") else {"sensitive_features": S}
        model.fit(table, Y, **named)
        found[name] = model, table[[3]] if name == "sparse" else table.iloc[[3]]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pickle", "skops"])
def test_a_server_needs_no_torch(tmp_path, served, kind):
    for name, (model, _) in served.items():
        joblib.dump(model, tmp_path / name)
        skops.io.dump(model, tmp_path / f"{name}.skops")
    joblib.dump({name: row for name, (_, row) in served.items()}, tmp_path / "rows")
    command = [sys.executable, "-c", SERVER, tmp_path, kind]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    for name, (model, row) in served.items():
        expected = [model.predict(row), model.predict_proba(row), model.transform(row)]
        for found, answer in zip(joblib.load(tmp_path / f"{name} answers"), expected, strict=True):
            np.testing.assert_array_equal(found, answer)
