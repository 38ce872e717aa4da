from __future__ import annotations

import argparse
import json

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression

from fairmi.audit import audit
from fairmi.audit.command import add_audit_command
from fairmi.audit.report import write_whole

pytestmark = pytest.mark.usefixtures("no_probes")


@pytest.fixture
def files(tmp_path):
    X, y = make_classification(800, 4, flip_y=0.2, random_state=0)
    table = pd.DataFrame(X, columns=list("abcd"))
    model = LogisticRegression().fit(table, y)
    joblib.dump(model, tmp_path / "model.joblib")
    joblib.dump(LogisticRegression(C=1e-3).fit(table, y), tmp_path / "baseline.joblib")
    table = table.assign(income=y, sex=["f", "m"] * 400)
    table.to_csv(tmp_path / "rows.csv", index=False)
    table.to_parquet(tmp_path / "rows.parquet")
    return tmp_path


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_audit_command(parser.add_subparsers(required=True))
    options = parser.parse_args(["audit", *map(str, arguments)])
    return options.run(options)


def common(files, data="rows.csv"):
    model = ["--trust-pickle", "--model", files / "model.joblib"]
    return [*model, "--data", files / data, "--target", "income"]


@pytest.mark.parametrize("data", ["rows.csv", "rows.parquet"])
def test_prints_and_writes_the_report(files, data):
    outputs = ["--html", files / "a.html", "--json", files / "a.json"]
    outputs += ["--csv", files / "a.csv", "--card", files / "a.md", "--n-jobs", "1"]
    text = run(*common(files, data), "--sensitive", "sex", *outputs)
    assert "Rates by group: sex" in text
    assert "<h1>Fairness audit</h1>" in (files / "a.html").read_text()
    found = json.loads((files / "a.json").read_text())
    assert found["about"]["sensitive features"] == ["sex"]
    assert found["about"]["features"] == 4
    assert len(pd.read_csv(files / "a.csv")) == len(found["figures"])
    assert (files / "a.md").read_text().startswith("---\n")


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_predictions_in_files_are_counted_on_disk(files, engine, monkeypatch):
    """A folder, a pattern and one file give the figures of the rows in memory."""
    table = pd.read_parquet(files / "rows.parquet")
    table = table.assign(p=(table.a > 0).astype(int), score=1 / (1 + np.exp(-table.a)))
    folder = files / "days"
    folder.mkdir()
    for day, rows in enumerate((table[:500], table[500:])):
        rows.to_parquet(folder / f"day_{day}.parquet")
    table.to_csv(files / "all.csv", index=False)
    if engine == "polars":
        monkeypatch.setattr("fairmi.audit.command.find_spec", lambda name: name == engine)
    asked = ["--prediction", "p", "--target", "income", "--sensitive", "sex", "--positive", "1"]
    asked += ["--score", "score", "--json", files / "a.json", "--data"]
    given = {"y_score": table.score, "pos_label": 1, "random_state": 0}
    known = audit(y=table.income, y_pred=table.p, sensitive_features=table.sex, **given)
    values = [f.value for f in known.figures]
    for data in (folder, folder / "day_*.parquet", files / "all.csv"):
        run(*asked, data)
        report = json.loads((files / "a.json").read_text())
        assert report["about"]["rows"] == 800
        if data != files / "all.csv":
            assert [f["value"] for f in report["figures"]] == values
    rows = pd.concat([table.assign(sex=1)] * 30 + [table[:1]])
    rows.to_csv(files / "late.csv", index=False)
    for wrong, text in (
        (["--data", files / "late.csv"], "--data .*late.csv: "),
        (["--data", files / "none.parquet"], "no pattern of their names"),
        (["--data", folder, "--clusters", "sex"], "--clusters goes with --model"),
        (["--data", folder, "--model", "m"], "give one of --model"),
        (["--data", folder, "--conditions", "town"], "conditions names 'town'"),
    ):
        with pytest.raises(ValueError, match=text):
            run(*asked[:-3], *wrong)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "income", "--positive", "0"], "positive label 0"),
        (["--positive", "0", "--favourable"], "labels not known; positive label 0"),
        (["--target", "income", "--clusters", "person"], "on 800 rows in 200 clusters"),
        (["--target", "income", "--baseline", "baseline.joblib"], "Against the baseline: sex"),
        (["--target", "income", "--sensitive", "d", "--bins", "d=0,"], "d up to 0"),
        (["--model", "numbers.joblib", "--target", "c", "--conditions", "income"], "KS distance"),
        (["--model", "model.skops", "--target", "income"], "Rates by group: sex"),
    ],
)
def test_options_reach_the_audit(files, options, said, monkeypatch):
    monkeypatch.chdir(files)
    skops.io.dump(joblib.load("model.joblib"), "model.skops")
    table = pd.read_csv("rows.csv").assign(person=[k // 4 for k in range(800)])
    table.to_csv("rows.csv", index=False)
    joblib.dump(LinearRegression().fit(table[["a", "b"]], table["c"]), "numbers.joblib")
    plain = [*common(files)[:-2], "--sensitive", "sex", "--conditions", "--n-jobs", "1"]
    assert said in run(*plain, *options)


def test_conditions_are_columns_of_the_data(files):
    text = run(*common(files), "--sensitive", "sex", "--conditions", "c")
    within = text.split("Differences within parts of the rows")[1].split("\n\n")[0]
    assert within.count("\nc ") == 4
    assert "\na " not in within


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--target", "wage"], "has no column 'wage'"),
        (["--sensitive", "age"], "has no column 'age'"),
        (["--conditions", "age"], "has no column 'age'"),
        (["--clusters", "age"], "has no column 'age'"),
        (["--positive", "yes"], r"--positive yes is not a label of the data; it has \[0, 1\]"),
        (["--model", "nowhere.joblib"], "nowhere.joblib is not a file"),
        (["--data", "nowhere.csv"], "nowhere.csv is not a file; give a CSV"),
        (["--data", "bad.csv"], "bad.csv can't be read as CSV: "),
        (["--data", "bad.parquet"], "bad.parquet can't be read as Parquet: "),
        (["--data", "less.csv"], r"fitted on: \['b', 'd'\]"),
        (["--sensitive", "sex", "income"], "--target income is in --sensitive too"),
        (["--clusters", "income"], "--target income is in --clusters too"),
        (["--bins", "a=x"], "--bins a=x is no number of groups"),
    ],
)
def test_says_what_is_wrong(files, change, message, monkeypatch):
    monkeypatch.chdir(files)
    pd.read_csv("rows.csv").drop(columns=["b", "d"]).to_csv("less.csv")
    for name in ("bad.csv", "bad.parquet"):
        (files / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=message):
        run(*common(files), "--sensitive", "sex", *change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--html", "rows.csv"], "--html .*rows.csv would overwrite --data "),
        (["--json", "model.joblib"], "--json .*model.joblib would overwrite --model "),
        (["--card", "linked.csv"], "--card .*linked.csv would overwrite --data "),
        (["--csv", "hard.csv"], "--csv .*hard.csv would overwrite --data "),
        (["--csv", "./sub/../rows.csv"], "would overwrite --data "),
        (["--baseline", "baseline.joblib", "--json", "baseline.joblib"], "overwrite --baseline "),
        (["--json", "new", "--csv", "./new"], "--csv .*new would overwrite --json .*new; name"),
    ],
)
def test_no_input_is_written_over(files, options, message, monkeypatch):
    """By its own name, another, or a link; refused before anything is read."""
    (files / "sub").mkdir()
    (files / "linked.csv").symlink_to(files / "rows.csv")
    (files / "hard.csv").hardlink_to(files / "rows.csv")
    before = {path: path.read_bytes() for path in files.iterdir() if path.is_file()}
    monkeypatch.setattr("fairmi.audit.command.read_table", lambda *_: pytest.fail("it was read"))
    monkeypatch.chdir(files)
    with pytest.raises(ValueError, match=message):
        run(*common(files), "--sensitive", "sex", *options)
    assert {path: path.read_bytes() for path in files.iterdir() if path.is_file()} == before


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "real.md").write_text("old")
    (tmp_path / "real.md").chmod(0o640)
    (tmp_path / "link.md").symlink_to("real.md")
    write_whole(tmp_path / "link.md", "new \ud83d")
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "real.md").read_text() == "new \\ud83d"
    assert (tmp_path / "real.md").stat().st_mode & 0o777 == 0o640

    def full(handle):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "real.md", "newer")
    assert (tmp_path / "real.md").read_text() == "new \\ud83d"
    assert {path.name for path in tmp_path.iterdir()} == {"real.md", "link.md"}
    monkeypatch.undo()
    write_whole("/dev/null", "gone")


def test_shows_progress_in_a_terminal_or_where_it_is_asked_for(files, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(
        "fairmi.audit.command.audit", lambda *_, verbose, **__: shown.append(verbose)
    )
    for asked, terminal in ((False, False), (True, False), (False, True)):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        run(*common(files), "--sensitive", "sex", *["--verbose"] * asked)
    assert shown == [False, True, True]
