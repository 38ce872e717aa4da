"""A saved model that was edited gives an error or a prediction: no crash, and no walk without end.

As a program, `python test_saved_by_hand.py EDITS SEED`, it edits files and says how often each
outcome came.
"""

from __future__ import annotations

import copy
import io
import json
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.sparse import csr_array

from fairmi import (
    FairThresholdClassifier,
    MIBackpropClassifier,
    MIBoostingClassifier,
    MIBoostingRegressor,
    MIDebiasedClassifier,
)
from fairmi.audit.saved import load_model

N = 150
RANDOM = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "pay": RANDOM.normal(size=N),
        "job": RANDOM.choice(["clerk", "nurse", "smith"], N),
        "since": pd.date_range("2020-01-01", periods=N),
        "kept": RANDOM.choice([1.0, 2.0, np.nan], N),
    }
)
Y = (TABLE["pay"] + (TABLE["job"] == "nurse") > 0).to_numpy().astype(int)
S = np.arange(N) % 2
SPARSE = csr_array(np.where(RANDOM.random((N, 4)) < 0.5, 0, RANDOM.normal(size=(N, 4))))

MODELS = {
    "trees": (MIBoostingClassifier(max_iter=3, lam=0.1, random_state=0), TABLE, Y),
    "three classes": (MIBoostingClassifier(max_iter=2, random_state=0), TABLE, np.arange(N) % 3),
    "regressor": (MIBoostingRegressor(max_iter=2, random_state=0), TABLE, TABLE["pay"]),
    "decisions": (FairThresholdClassifier(bound=0.3, random_state=0), TABLE, Y),
    "networks": (MIDebiasedClassifier(max_iter=1, n_estimators=2, random_state=0), TABLE, Y),
    "sparse": (MIDebiasedClassifier(max_iter=1, n_levels=None, random_state=0), SPARSE, Y),
    "published": (
        MIBackpropClassifier(hidden_layer_sizes=(4,), n_critic_steps=1, max_iter=1),
        TABLE,
        Y,
    ),
}


def fitted(name):
    model, table, y = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(table, y, sensitive_features=S), table


def altered(model, *path, value):
    """A copy of a model's state with one thing in it changed."""
    state = copy.deepcopy(model.__getstate__())
    part = state
    for key in path[:-1]:
        part = part.__getstate__() if hasattr(part, "get_params") else part
        part = part[key]
    if isinstance(part, np.ndarray):
        part[path[-1]] = value
    else:
        part[path[-1]] = value(part[path[-1]]) if callable(value) else value
    return state


def node(field, value, first=True):
    def change(nodes):
        nodes = nodes.copy()
        nodes[field][np.flatnonzero(nodes["is_leaf"] == 0)[0] if first else slice(None)] = value
        return nodes

    return change


def with_column(j, **fields):
    """Change column j of an encoder."""
    return lambda columns: [c | fields if k == j else c for k, c in enumerate(columns)]


TREES = [
    (("trees_", "nodes"), node("left", 2**31)),
    (("trees_", "nodes"), node("right", 0)),
    (("trees_", "nodes"), node("feature_idx", 2**40)),
    (("trees_", "nodes"), node("feature_idx", -1)),
    (("trees_", "nodes"), node("is_leaf", 7)),
    (("trees_", "nodes"), lambda nodes: nodes.astype(nodes.dtype.newbyteorder())),
    (("trees_", "nodes"), node("value", np.nan, first=False)),
    (("trees_", "nodes"), node("is_categorical", 1, first=False)),
    (("trees_", "nodes"), node("bitset_idx", 10**6, first=False)),
    (("trees_",), None),
    (("trees_", "first_node"), lambda starts: starts + 1),
    (("trees_", "first_node"), lambda starts: np.r_[0, 0, starts[2:]]),
    (("trees_", "first_split"), lambda starts: starts[:-1]),
    (("trees_", "left_categories"), lambda words: words[:, :4]),
    (("trees_", "left_categories"), lambda words: words.astype(np.uint64)),
    (("trees_", "start"), lambda start: start * np.nan),
    (("trees_", "n_categories"), lambda sizes: sizes * 100),
    (("columns_", "n_categories"), lambda sizes: sizes * 100),
    (("columns_", "categories"), lambda categories: [*categories[:-1], [1]]),
    (("columns_", "categories"), None),
    (("columns_", "names"), lambda names: names[:-1]),
    (("columns_", "dates"), [9]),
    (("columns_", "dates"), [1]),
    (("columns_", "encodings"), "x"),
    (("columns_", "encodings"), lambda of: [{9: of[0][1]}]),
    (("columns_", "encodings"), lambda of: [{1: of[0][1][:-1]}]),
    (("columns_", "categories"), lambda of: [of[0], of[1][[0, 0, 1]], *of[2:]]),
    (("channel_", "n_levels"), 0),
    (("channel_", "scale"), 0.0),
    (("channel_", "kind"), "x"),
    (("classes_",), lambda classes: classes[:1]),
    (("_kept",), [0, 99]),
    (("_kept",), [1, 0, 2, 3]),
    (("_kept",), 3),
    (("_kept",), []),
    (("warnings_",), None),
    (("_sensitive_plan", "plans"), []),
    (("_sensitive_plan", "separate"), 1),
    (("_sensitive_plan", "names"), ["a", "b"]),
    (("_sensitive_plan", "plans"), lambda plans: [plans[0] | {"missing": "x"}]),
    (("_sensitive_plan", "plans"), lambda plans: [plans[0] | {"labels": 3}]),
]
NETWORKS = [
    (("architecture_", "n_inputs"), 7),
    (("architecture_", "hidden_layer_sizes"), (2**40,)),
    (("architecture_", "hidden_layer_sizes"), 3),
    (("architecture_", "n_outputs"), 5),
    (("architecture_", "n_levels"), 1),
    (("parameters_", "head.layers.0.bias"), lambda bias: bias[..., None]),
    (("parameters_", "encoder.layers.0.weight"), lambda weight: weight.astype("S4")),
    (("parameters_",), lambda arrays: arrays | {"encoder.layers.9.weight": np.zeros(3)}),
    (("n_features_in_",), "four"),
    (("feature_names_in_",), lambda names: names[:-1]),
    (("feature_names_in_",), lambda names: np.arange(4).astype(object)),
]
ENCODER = [
    (("columns_",), {}),
    (("columns_",), with_column(0, knots=np.array([1.0, 0.0]))),
    (("columns_",), with_column(0, kind="date")),
    (("columns_",), with_column(0, name=1)),
    (("columns_",), with_column(0, has_missing=3)),
    (("columns_",), with_column(0, more=1)),
    (("columns_",), with_column(1, categories=np.zeros(0, dtype=object), rest=True)),
    (("columns_",), with_column(1, categories=np.array([[1], None], dtype=object))),
    (("dates_",), [3]),
    (("layout_", "source"), lambda source: source + 2**40),
    (("layout_", "slope"), lambda slope: slope[:-1]),
    (("layout_", "n_ramped"), 10**6),
]


@pytest.fixture(scope="module")
def models():
    return {name: fitted(name)[0] for name in ("trees", "networks")}


@pytest.mark.parametrize(
    ("of", "path", "value"),
    [
        (of, *case)
        for of, cases in (("trees", TREES), ("networks", NETWORKS), ("encoder", ENCODER))
        for case in cases
    ],
)
def test_what_does_not_fit_is_named(models, of, path, value):
    model = models["networks"].encoder_ if of == "encoder" else models[of]
    with pytest.raises(ValueError, match=f"damaged, or was made by hand: {path[0]}"):
        type(model)().__setstate__(altered(model, *path, value=value))


def test_an_encoder_of_other_columns_is_refused(models):
    whole = models["networks"]
    other = type(whole.encoder_)().fit(TABLE[["pay"]], Y)
    with pytest.raises(ValueError, match="damaged: encoder_"):
        type(whole)().__setstate__(whole.__getstate__() | {"encoder_": other})


def test_a_state_takes_no_methods_place(models):
    model = models["trees"]
    with pytest.raises(ValueError, match="predict is that of a method"):
        type(model)().__setstate__(model.__getstate__() | {"predict": len})


# Random edits of a file

EXTREME = [0, -1, 1, 7, 255, 2**31, 2**32 - 1, -(2**31), 2**40, 2**62, 1e300, -1e300, 0.5]
ODD = [*EXTREME, float("nan"), float("inf"), None, True, "x", "", [], {}]


def edited(data, random):
    """The bytes of a .skops file with one to three random changes inside."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    for _ in range(random.integers(1, 4)):
        name = random.choice(sorted(parts))
        change = edited_schema if name == "schema.json" else edited_array
        parts[name] = change(parts[name], random)
    if random.random() < 0.1:  # two arrays in each other's place
        first, second = random.choice(sorted(set(parts) - {"schema.json"}), 2)
        parts[first], parts[second] = parts[second], parts[first]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, part in parts.items():
            file.writestr(name, part)
    return made.getvalue()


def edited_schema(part, random):
    schema = json.loads(part)
    leaves = [leaf for leaf in dicts_in(schema) if isinstance(leaf.get("content"), str)]
    leaf = leaves[random.integers(len(leaves))]
    leaf["content"] = json.dumps(ODD[random.integers(len(ODD))])
    lists = [d["content"] for d in dicts_in(schema) if isinstance(d.get("content"), list)]
    full = [of for of in lists if of]
    if full and random.random() < 0.3:
        of = full[random.integers(len(full))]
        if random.random() < 0.5:
            del of[random.integers(len(of))]
        else:
            of.append(of[0])
    return json.dumps(schema).encode()


def dicts_in(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from dicts_in(inner)


def edited_array(part, random):
    if random.random() < 0.3:  # any byte, that of the header too
        changed = bytearray(part)
        changed[random.integers(len(changed))] = random.integers(256)
        return bytes(changed)
    try:
        array = np.load(io.BytesIO(part))
    except Exception:  # an edit of before broke it
        return part
    array = array.reshape(-1) if random.random() < 0.1 else array.copy()
    if array.size and array.ndim:
        field = array[random.choice(array.dtype.names)] if array.dtype.names else array
        with np.errstate(all="ignore"):
            value = np.array([EXTREME[random.integers(len(EXTREME))]])
            field.flat[random.integers(field.size)] = value.astype(field.dtype)[0]
        if random.random() < 0.1:
            array = array[:-1]
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


def outcomes(n_edits, seed):
    """How often an edited file gave an error, and a prediction; one that hangs is killed."""
    random, found = np.random.default_rng(seed), Counter()
    saved = {}
    for name in MODELS:
        model, table = fitted(name)
        saved[name] = (skops.io.dumps(model), table[:20])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        for _ in range(n_edits):
            data, table = saved[random.choice(sorted(saved))]
            path.write_bytes(edited(data, random))
            signal.setitimer(signal.ITIMER_VIRTUAL, 20)  # seconds of computing, not of waiting
            try:
                load_model(path).predict(table)
                found["prediction"] += 1
            except Exception as error:
                found[type(error).__name__] += 1
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return found


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a clock that ends a process")
@pytest.mark.parametrize(
    "n_edits", [60, pytest.param(2000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_random_edits_of_a_file_give_an_error_or_a_prediction(n_edits):
    command = [sys.executable, "-W", "ignore", __file__, str(n_edits), str(n_edits)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert sum(found.values()) == n_edits
    assert found["ValueError"] > n_edits / 10
    assert found["prediction"] > n_edits / 10


if __name__ == "__main__":
    sys.stdout.write(json.dumps(outcomes(*map(int, sys.argv[1:]))))
