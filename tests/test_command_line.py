from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sklearn.base import clone

import fairmi
from fairmi import MIBackpropClassifier, MIDebiasedClassifier, MIDebiasedClassifierCV
from fairmi.__main__ import main, make_parser
from fairmi.dependence import HSIC
from fairmi.preprocessing import TableEncoder

ROOT = Path(fairmi.__file__).parent.parent


def test_help_loads_neither_scikit_learn_nor_torch_nor_pandas():
    """So that it comes at once: scikit-learn alone takes a second or more to load."""
    code = (
        "import sys\nfrom fairmi.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'sklearn', 'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "compare" in result.stdout
    assert "audit" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"fairmi {fairmi.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["compare"],
        ["compare", "moon"],
        ["compare", "adult", "--jobs", "0"],
        ["compare", "adult", "--n-jobs", "two"],
        ["compare", "adult", "--output", __file__],
        ["audit", "--nothing"],
        ["audit", "--confidence", "95"],
        ["audit", "--confidence", "high"],
        ["audit", "--seed", "-1"],
        ["audit", "--jobs", "-2"],
        ["audit", "--html", "no/such/folder/page.html"],
        ["audit", "--card", str(ROOT)],
    ],
)
def test_wrong_arguments_get_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--help" in said


def test_jobs_are_known_by_both_names():
    for name in ("--jobs", "--n-jobs"):
        assert make_parser().parse_args(["compare", "adult", name, "3"]).n_jobs == 3
        assert make_parser().parse_args(["compare", "adult", name, "-1"]).n_jobs == -1


@pytest.mark.parametrize("error", [ValueError("bad\n value"), OSError("bad value")])
def test_what_a_command_refuses_is_one_line(error, monkeypatch, capsys):
    def compare(*arguments, **options):
        raise error

    monkeypatch.setattr("fairmi.compare.compare", compare)
    with pytest.raises(SystemExit) as stop:
        main(["compare", "german"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "fairmi compare: bad value\n"


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def compare(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("fairmi.compare.compare", compare)
    with pytest.raises(SystemExit) as stop:
        main(["compare", "german"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "fairmi compare: interrupted\n"


def test_rooms_are_there_after_a_bare_import():
    code = "import fairmi; print(fairmi.metrics.certify.__name__, fairmi.audit.audit.__name__)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "certify audit\n"


def test_dir_shows_public_names_alone():
    assert all(not name.startswith("_") or name == "__version__" for name in dir(fairmi))
    for name in dir(fairmi):
        assert getattr(fairmi, name) is not None


@pytest.mark.parametrize(
    ("estimator", "page"),
    [
        (MIDebiasedClassifier(), "fairmi.MIDebiasedClassifier"),
        (MIBackpropClassifier(), "fairmi.MIBackpropClassifier"),
        (MIDebiasedClassifierCV(), "fairmi.MIDebiasedClassifierCV"),
        (TableEncoder(), "fairmi.preprocessing.TableEncoder"),
        (HSIC(), "fairmi.dependence.HSIC"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_picture_of_an_estimator_links_to_our_page_of_it(estimator, page):
    assert f"https://fairmi.github.io/fairmi/api/{page}.html" in clone(estimator)._repr_html_()


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not run from a clone")
def test_version_has_one_home():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "fairmi/__init__.py"
    assert f"## [{fairmi.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {fairmi.__version__}\n" in (ROOT / "CITATION.cff").read_text()
