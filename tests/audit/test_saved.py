from __future__ import annotations

import json
import pickle
import tracemalloc
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from fairmi import MIDebiasedClassifier
from fairmi.audit.saved import load_model

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 3))
Y = (X[:, 0] > 0).astype(int)


def skops_file(path, root):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("schema.json", json.dumps(root | {"protocol": 2, "_skops_version": "0.16"}))
    return path


def node(module, name, loader, content=None):
    made = {"__module__": module, "__class__": name, "__loader__": loader}
    return made if content is None else made | {"content": content}


def plain(value):
    return node("builtins", "str", "JsonNode", json.dumps(value)) | {"is_json": True}


def call(function, argument):
    """A partial that is called as soon as the file that holds it is loaded by skops."""
    arguments = node("builtins", "tuple", "TupleNode", [plain(argument)])
    parts = {"func": function, "args": arguments, "kwds": plain({}), "namespace": plain(None)}
    return node("fairmi.metrics.scorers", "FairnessScorer", "PartialNode", parts)


def through(module, name, *attributes):
    """The chain of attributes of a fairmi module that ends outside of fairmi."""
    found = node(module, name, "FunctionNode")
    for attribute in attributes:
        owner, last = found["__module__"], found["__class__"]
        found = node(owner, last, "MethodNode", {"func": attribute, "obj": found})
    return found


CRAFTED = {
    "chain": lambda: through("fairmi.metrics", "scorers", "inspect"),
    "function of a module": lambda: node("fairmi.metrics.scorers.inspect", "eval", "FunctionNode"),
    "labelled partial": lambda: call(node("fairmi.metrics", "scorers", "TypeNode"), "1"),
    "type in a module": lambda: node("fairmi.audit.saved", "joblib", "TypeNode"),
    "method": lambda: through("fairmi.path", "MIDebiasedClassifierCV", "fit"),
    "another's class": lambda: node("fairmi.path._search", "Parallel", "ObjectNode", plain({})),
    "submodule": lambda: node("fairmi.audit", "run", "TypeNode"),
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_skops_file_that_names_what_is_no_saved_class_is_refused_by_name(tmp_path, kind):
    path = skops_file(tmp_path / "model.skops", CRAFTED[kind]())
    with pytest.raises(ValueError, match=r"does not trust: fairmi\..*Nothing was loaded"):
        load_model(path)


class _Bomb:
    def __reduce__(self):
        return (exec, ("raise KeyboardInterrupt",))


def test_a_pickle_is_loaded_only_where_it_is_trusted(tmp_path):
    for name in ("model.pkl", "model.skops", "model"):
        (tmp_path / name).write_bytes(pickle.dumps(_Bomb()))
        with pytest.raises(ValueError, match=r"is no saved|runs the code.*--trust-pickle"):
            load_model(tmp_path / name)
    joblib.dump(LogisticRegression().fit(X, Y), tmp_path / "model.joblib")
    assert isinstance(load_model(tmp_path / "model.joblib", trust_pickle=True), LogisticRegression)


@pytest.mark.parametrize("name", ["rows.csv", "rows.skops", "rows.pkl", "rows"])
@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"\x80\x04N.", b"PK\x03\x04"])
def test_a_file_that_is_no_model_gets_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="is no saved model: ") as caught:
        load_model(tmp_path / name, trust_pickle=True)
    assert "\n" not in str(caught.value)


def test_a_model_of_fairmi_is_trusted(tmp_path):
    model = MIDebiasedClassifier(max_iter=2, lam=0.1, penalty="hsic", random_state=0)
    model.fit(X, Y, sensitive_features=X[:, 1] > 0)
    skops.io.dump(model, tmp_path / "model.skops")
    back = load_model(tmp_path / "model.skops")
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("lies", [False, True])
def test_a_file_that_unpacks_to_more_than_the_memory_is_refused(tmp_path, monkeypatch, lies):
    """One that says so, and one whose header says that it unpacks to 100 bytes."""
    monkeypatch.setattr("fairmi.audit.saved._MAX_UNPACKED", 2**22)
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", b" " * 2**24)
    if lies:
        data, n = bytearray(path.read_bytes()), (2**24).to_bytes(4, "little")
        for place in (data.find(n), data.rfind(n)):
            data[place : place + 4] = (100).to_bytes(4, "little")
        path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"no saved model: .*(unpacks to more than 4 MB|CRC)"):
        load_model(path)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
