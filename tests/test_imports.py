from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fairmi

PACKAGE = Path(fairmi.__file__).parent

# A file imports only from lower layers; the files of a folder may also import one another.
LAYERS = {
    "_errors": 0,
    "_columns": 0,
    "_layout": 1,
    "_types": 2,
    "_compat": 0,
    "boosting": 1,
    "_seed": 0,
    "datasets": 0,
    "_networks": 2,
    "_rows": 2,
    "_groups": 3,
    "_diagnosis": 3,
    "_progress": 3,
    "dependence": 4,
    "_encoding": 4,
    "_inputs": 4,
    "_sensitive": 4,
    "metrics": 4,
    "_weights": 5,
    "_classes": 5,
    "_sensitive_columns": 5,
    "_schedule": 0,
    "_loop": 3,
    "_training": 5,
    "_sample": 5,
    "model_selection": 5,
    "audit": 5,
    "_paper": 6,
    "plot": 6,
    "_design": 7,
    "_build": 8,
    "_model": 9,
    "_classifier": 10,
    "path": 11,
    "compare": 12,
    "__main__": 13,
    "__init__": 14,
}
TRAINING_BRANCH = {
    "_columns",
    "_layout",
    "_networks",
    "boosting",
    "dependence",
    "_rows",
    "_seed",
    "_diagnosis",
    "_progress",
    "_encoding",
    "_schedule",
    "_loop",
    "_training",
    "_paper",
    "_sample",
    "_design",
    "_build",
    "_model",
    "_classifier",
    "path",
}
AUDIT_BRANCH = {"metrics", "audit", "plot"}
WITHOUT_TORCH = ["fairmi", "fairmi.metrics", "fairmi.audit", "fairmi.datasets"]


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
def test_imports_point_to_lower_layers(path):
    part = part_of(path)
    assert part in LAYERS, f"{part} is in no layer: add it to the table above and to the design"
    upward = {other for other in imported_parts(path) if LAYERS[other] >= LAYERS[part]}
    assert not upward, f"{path.name} (layer {LAYERS[part]}) imports from {sorted(upward)}"


@pytest.mark.parametrize("part", sorted(AUDIT_BRANCH & {part_of(path) for path in FILES}))
def test_audit_branch_shares_no_code_with_training(part):
    assert not reachable(part) & TRAINING_BRANCH


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_helpers_of_sklearn_come_through_compat(path):
    private = [
        name
        for name in imported_modules(path)
        if name.startswith("sklearn.") and any(part[0] == "_" for part in name.split("."))
    ]
    assert not private or path.name == "_compat.py"


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_loads_no_torch(module):
    path = PACKAGE.parent / module.replace(".", "/")
    if not (path.is_dir() or path.with_suffix(".py").exists()):
        pytest.skip(f"{module} is not written yet")
    code = f"import sys, {module}; assert 'torch' not in sys.modules; print('ran')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout == "ran\n", result.stderr


def test_public_names_are_listed_and_unknown_ones_refused():
    assert set(fairmi.__all__) <= set(dir(fairmi))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = fairmi.nothing
