"""What measures is below, what shows above: files of the audit import in one direction."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fairmi.audit

FOLDER = Path(fairmi.audit.__file__).parent
FILES = sorted(path for path in FOLDER.rglob("*.py") if path.name != "__init__.py")


def name_of(path):
    return ".".join(("fairmi.audit", *path.relative_to(FOLDER).with_suffix("").parts))


def imported(path):
    """Full names of the audit's files that a file imports, inside functions too."""
    known = {name_of(other) for other in FILES}
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & known


GRAPH = {name_of(path): imported(path) for path in FILES}


MEASURING = {
    "measures",
    "counts",
    "intervals",
    "predictions",
    "comparisons",
    "parts",
    "calibration",
    "leakage",
}
SHOWING = {"findings", "tables", "pictures", "report"}


def test_no_file_imports_itself_by_way_of_others():
    order = list(TopologicalSorter(GRAPH).static_order())
    assert order.index("fairmi.audit.measures") < order.index("fairmi.audit.report")
    assert len(order) == len(FILES)


@pytest.mark.parametrize("name", sorted(MEASURING))
def test_what_measures_shows_nothing(name):
    assert {n.split(".")[2] for n in GRAPH[f"fairmi.audit.{name}"]} <= MEASURING


@pytest.mark.parametrize("name", sorted(SHOWING))
def test_what_shows_knows_the_table_of_measures_alone(name):
    assert {n.split(".")[2] for n in GRAPH[f"fairmi.audit.{name}"]} <= SHOWING | {"measures"}


def test_measures_know_nothing():
    assert GRAPH["fairmi.audit.measures"] == set()
