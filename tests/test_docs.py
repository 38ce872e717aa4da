"""Every block of code in the README and in docs/ runs, page by page, as a reader would type it."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
import types
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
import sklearn

import fairmi
from fairmi.__main__ import make_parser

ROOT = Path(fairmi.__file__).parent.parent
GENERATED = ("_build", "api", "gallery")
PAGES = [
    page
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
    if page.exists() and page.relative_to(ROOT).parts[1:2] not in [(name,) for name in GENERATED]
]
# A comment before a block (slow, not run: reason, output), its language, and its text.
BLOCK = re.compile(r"(?:^<!-- ([^\n]*?) -->\n+)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the comment that stands before it."""

    comment: str
    language: str
    text: str
    line: int


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of some languages, in order."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(m[1] or "", m[2], m[3], text.count("\n", 0, m.start(3)) + 1)
        for m in BLOCK.finditer(text)
    ]
    return [block for block in found if block.language in languages]


def runs(page: Path) -> list[Block]:
    """Python blocks, each followed by the output that the page shows of it, if any."""
    return [
        block
        for block in blocks(page, "python", "text")
        if block.language == "python" or block.comment == "output"
    ]


def fast_part(page: Path) -> list[Block]:
    """What comes before the first slow block; the rest may need what that one made."""
    found = runs(page)
    slow = [i for i, block in enumerate(found) if block.comment == "slow"]
    return found[: slow[0]] if slow else found


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run(page: Path, parts: list[Block], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Run blocks one after another in one namespace, in an empty folder."""
    pytest.importorskip("matplotlib").use("Agg")
    module = types.ModuleType("page_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(folder)
    printed = io.StringIO()
    with sklearn.config_context(), contextlib.redirect_stdout(printed):
        for block in parts:
            if block.language == "text":
                assert_alike(printed.getvalue(), block.text)
                continue
            code = compile("\n" * block.line + block.text, str(page), "exec")
            if not block.comment.startswith("not run"):
                printed.seek(0)
                printed.truncate()
                exec(code, module.__dict__)


def assert_alike(printed: str, shown: str) -> None:
    """Compare words and counts exactly, fractions to what another processor's rounding may do."""
    assert NUMBER.sub("#", " ".join(printed.split())) == NUMBER.sub("#", " ".join(shown.split()))
    for now, then in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        assert now == then or (
            "." in then and float(now) == pytest.approx(float(then), abs=0.003, rel=0.01)
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "part"),
    [
        pytest.param(page, part, id=f"{name_of(page)}-{part.__name__}")
        for page in PAGES
        for part in (fast_part, runs)
        if part(page) and (part is fast_part or runs(page) != fast_part(page))
    ],
)
def test_python_of_a_page_runs(page, part, monkeypatch, tmp_path):
    run(page, part(page), monkeypatch, tmp_path)


def shell_commands(page: Path) -> list[list[str]]:
    """The words of each command in the page's shell blocks."""
    lines = "\n".join(block.text for block in blocks(page, "bash", "console")).splitlines()
    return [shlex.split(command, comments=True) for line in lines for command in line.split("&&")]


CALLS = [
    (page, words[i:])
    for page in PAGES
    for words in shell_commands(page)
    for i, word in enumerate(words[:3])
    if word.rpartition("/")[2] == "fairmi" and (i == 0 or words[i - 1] == "-m")
]


@pytest.mark.parametrize(
    ("page", "words"), CALLS, ids=lambda v: name_of(v) if isinstance(v, Path) else " ".join(v)
)
def test_command_of_a_page_is_one(page, words):
    assert make_parser().parse_args(words[1:]).run


def source_of(path: Path) -> Path:
    """The file that a page of the gallery is made of, before the site is built; else the path."""
    if path.parent != ROOT / "docs" / "gallery":
        return path
    name = "GALLERY_HEADER.rst" if path.stem == "index" else f"{path.stem}.py"
    return ROOT / "examples" / name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scripts_and_pages_that_a_page_names_are_there(page):
    text = page.read_text(encoding="utf-8")
    for script in re.findall(r"\b((?:benchmarks|examples)/\w+\.py)\b", text):
        assert (ROOT / script).exists() or script == "examples/plot_NAME.py", script
    for path in re.findall(r"`((?:fairmi|tests)/[\w/.]*)`", text):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", text):
        assert source_of((page.parent / link).resolve()).exists(), link


def test_every_page_of_the_site_is_in_a_table_of_contents():
    listed = {
        (page.parent / re.sub(".*<(.+)>", r"\1", name.strip())).with_suffix(".md").resolve()
        for page in PAGES
        for block in re.findall(r"```{toctree}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
        for name in block.splitlines()
        if name and not name.startswith(":")
    }
    pages = {page for page in PAGES if page.parent != ROOT and page != ROOT / "docs" / "index.md"}
    assert sorted(pages - listed) == []


def test_there_are_pages_and_commands():
    """So that a change of the patterns above can't pass by finding nothing."""
    assert len(PAGES) >= 15
    assert sum(len(runs(page)) for page in PAGES) >= 20
    assert len(CALLS) >= 2


ROOMS = (
    "fairmi",
    "fairmi.audit",
    "fairmi.datasets",
    "fairmi.dependence",
    "fairmi.export",
    "fairmi.inspection",
    "fairmi.metrics",
    "fairmi.model_selection",
    "fairmi.path",
    "fairmi.plot",
    "fairmi.preprocessing",
)


@pytest.mark.slow_cases("fairmi.dependence")
@pytest.mark.parametrize("room", ROOMS)
def test_api_reference_has_every_public_name(room):
    reference = (ROOT / "docs" / "api" / "index.rst").read_text(encoding="utf-8")
    listed = {name.rpartition(".")[2] for name in re.findall(r"^ +([\w.]+)$", reference, re.M)}
    names = {name for name in import_module(room).__all__ if not name.startswith("__")}
    assert names - {"PENALTIES"} <= listed
