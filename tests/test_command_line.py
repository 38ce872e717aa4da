from __future__ import annotations

import tomllib
from pathlib import Path
from unittest.mock import Mock

import pytest
from conftest import printed_by
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
    help_text = printed_by(code)
    assert "compare" in help_text
    assert "audit" in help_text
    assert help_text.splitlines()[-1] == "[]"


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


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("bad\n value"), 2, "bad value"),
        (OSError("bad value"), 2, "bad value"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_ends_a_command_is_one_line(error, status, said, monkeypatch, capsys):
    monkeypatch.setattr("fairmi.compare.compare", Mock(side_effect=error))
    with pytest.raises(SystemExit) as stop:
        main(["compare", "german"])
    assert stop.value.code == status
    assert capsys.readouterr().err == f"fairmi compare: {said}\n"


def test_public_names_are_there_after_a_bare_import_and_unknown_ones_refused():
    code = "import fairmi; print(fairmi.metrics.certify.__name__, fairmi.audit.audit.__name__)"
    assert printed_by(code) == "certify audit\n"
    assert set(fairmi.__all__) <= set(dir(fairmi))
    for name in dir(fairmi):
        assert name == "__version__" or not name.startswith("_")
        assert getattr(fairmi, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = fairmi.nothing


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
def test_version_has_one_home(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"fairmi {fairmi.__version__}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "fairmi/__init__.py"
    assert f"## [{fairmi.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {fairmi.__version__}\n" in (ROOT / "CITATION.cff").read_text()
