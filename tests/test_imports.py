from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import printed_by

import fairmi

PACKAGE = Path(fairmi.__file__).parent

# A file imports only from lower layers; the files of a folder may also import one another.
LAYERS = {
    "exceptions": 0,
    "_typing": 0,
    "_sklearn_compat": 0,
    "datasets": 0,
    "core": 1,
    "_threads": 1,
    "_data": 2,
    "preprocessing": 3,
    "dependence": 3,
    "metrics": 3,
    "model_selection": 3,
    "networks": 4,
    "boosting": 4,
    "audit": 4,
    "inspection": 3.5,
    "_base": 4,
    "_diagnosis": 3,
    "export": 6,
    "plot": 5,
    "_network_base": 5,
    "decisions": 5,
    "_row_weights": 4,
    "_reweighing": 5,
    "_boosting_base": 5,
    "_boosting_regressor": 6,
    "_boosting_classifier": 6,
    "_fair_threshold": 6,
    "_network_classifier": 6,
    "_network_regressor": 7,
    "_network_transformer": 7,
    "_backprop_classifier": 7,
    "path": 8,
    "compare": 9,
    "__init__": 10,
    "__main__": 11,
}
SHARED = {"exceptions", "_typing", "_sklearn_compat", "datasets", "core", "_threads"}
AUDIT_BRANCH = {"metrics", "audit", "inspection", "plot"}
WITHOUT_TORCH = [
    "fairmi",
    "fairmi.core.task",
    "fairmi.core.information",
    "fairmi._data.fit_input",
    "fairmi.preprocessing",
    "fairmi._network_classifier",
    "fairmi._network_transformer",
    "fairmi._boosting_classifier",
    "fairmi._boosting_regressor",
    "fairmi._fair_threshold",
    "fairmi._backprop_classifier",
    "fairmi._reweighing",
    "fairmi.path",
    "fairmi.metrics",
    "fairmi.audit",
    "fairmi.inspection",
    "fairmi.datasets",
    "fairmi.export",
]


def part_of(path: Path) -> str:
    """The entry of the layer table that a file falls under: its folder's name or its own."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_modules(path: Path) -> list[str]:
    """Full names of what a file imports, at any depth of it; `from a import b` is a.b."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def imported_parts(path: Path) -> set[str]:
    """The entries of the layer table that a file imports from; a bare `fairmi` is __init__."""
    parts = set()
    for name in imported_modules(path):
        first, *rest = name.split(".")
        if first == "fairmi":
            parts.add(rest[0] if rest and rest[0] in LAYERS else "__init__")
    return parts - {part_of(path)} if path.parent != PACKAGE else parts


def reachable(part: str) -> set[str]:
    """All that loads with an entry of the layer table."""
    seen: set[str] = set()
    waiting = {part}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        waiting |= {p for file in FILES if part_of(file) == current for p in imported_parts(file)}
        waiting -= seen
    return seen


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_to_lower_layers_and_private_ones_to_compat(path):
    part = part_of(path)
    assert part in LAYERS, f"{part} is in no layer: add it to the table above and to the design"
    upward = {other for other in imported_parts(path) if LAYERS[other] >= LAYERS[part]}
    assert not upward, f"{path.name} (layer {LAYERS[part]}) imports from {sorted(upward)}"
    private = [
        name
        for name in imported_modules(path)
        if name.startswith("sklearn.") and any(part[0] == "_" for part in name.split("."))
    ]
    assert not private or path.name == "_sklearn_compat.py"
    if part == "core":
        roots = {name.split(".")[0] for name in imported_modules(path)}
        assert not roots & {"pandas", "narwhals", "torch"}


@pytest.mark.parametrize("part", sorted(AUDIT_BRANCH & {part_of(path) for path in FILES}))
def test_audit_branch_shares_no_code_with_training(part):
    assert reachable(part) <= SHARED | AUDIT_BRANCH | {"_data", "model_selection"}


def test_these_load_no_torch():
    """In one process, in order: the first that loads it is named."""
    code = "import sys, importlib\n" + "\n".join(
        f"importlib.import_module({module!r}); assert 'torch' not in sys.modules, {module!r}"
        for module in WITHOUT_TORCH
    )
    assert printed_by(f"{code}\nprint('ran')") == "ran\n"


@pytest.mark.slow
def test_penalties_load_no_reader_of_tables():
    """Nor narwhals by these (scikit-learn may load it): a penalty is written against arrays."""
    readers = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in FILES
        if "import narwhals" in path.read_text() or part_of(path) == "preprocessing"
    ]
    assert len(readers) > 3
    code = (
        "import sys, fairmi.dependence;"
        f"assert not set({readers}) & set(sys.modules), set(sys.modules); print('ran')"
    )
    assert printed_by(code) == "ran\n"


def test_folders_make_no_circle():
    """Neither do the files of a folder among themselves."""
    edges = {
        path: {name for name in imported_modules(path) if name.startswith("fairmi.")}
        for path in FILES
        if path.name != "__init__.py"
    }
    module_of = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in edges
    }
    graph = {
        path: {
            module_of[m]
            for name in names
            for m in (name, name.rpartition(".")[0])
            if m in module_of
        }
        - {path}
        for path, names in edges.items()
    }
    TopologicalSorter(graph).prepare()


def test_what_measures_in_the_audit_knows_nothing_of_what_shows():
    showing = {"findings", "tables", "pictures", "report"}
    measuring = {"measures", "counts", "intervals", "predictions", "comparisons", "parts"}
    measuring |= {"model", "quantities", "calibration", "leakage"}
    for name in measuring | showing:
        names = imported_modules(PACKAGE / "audit" / f"{name}.py")
        others = {n.split(".")[2] for n in names if n.startswith("fairmi.audit.")}
        assert others <= (showing | {"measures"} if name in showing else measuring), name
        assert name != "measures" or not others
