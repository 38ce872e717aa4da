"""Figures below, renderers above: the files of the audit import one another in one direction."""

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


def test_no_file_imports_itself_by_way_of_others():
    order = list(TopologicalSorter(GRAPH).static_order())
    assert order.index("fairmi.audit.records") < order.index("fairmi.audit.report")
    assert len(order) == len(FILES)


@pytest.mark.parametrize("name", [name for name in GRAPH if ".figures." in name])
def test_figures_know_no_renderer(name):
    allowed = ("fairmi.audit.figures.", "fairmi.audit.records")
    assert all(other.startswith(allowed) for other in GRAPH[name])


@pytest.mark.parametrize("name", [name for name in GRAPH if ".render." in name])
def test_renderers_know_the_records_and_names_of_figures_alone(name):
    measured = {other for other in GRAPH[name] if ".figures." in other}
    assert measured <= {"fairmi.audit.figures.outcomes"}  # the names of rates
    assert not GRAPH[name] & {"fairmi.audit.run", "fairmi.audit.report", "fairmi.audit.command"}


def test_records_know_nothing():
    assert GRAPH["fairmi.audit.records"] == set()
