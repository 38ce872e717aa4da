"""`python -m fairmi audit`: of a saved model on a table of rows, or of files of predictions."""

from __future__ import annotations

import argparse
import sys
from glob import glob
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from fairmi._data.options import add_jobs, confidence, new_file, seed
from fairmi._typing import Predictor
from fairmi.audit.report import Audit
from fairmi.audit.run import audit
from fairmi.audit.saved import load_model

OUTPUTS = {
    "html": "the report as a page",
    "json": "all figures",
    "csv": "all figures as a table",
    "card": "a model card (Markdown)",
}


def add_audit_command(
    subparsers: argparse._SubParsersAction,
) -> argparse.ArgumentParser:
    """Add `audit` to the subparsers of a command line; its `run` takes the parsed arguments."""
    parser = subparsers.add_parser(
        "audit",
        help="measure how fair a saved model is on a table of rows",
        description=(
            "Measure how fair a saved model is on rows that it was not trained on, and print it. "
            "A .skops file is loaded if all types in it are known; a pickle runs the code that is "
            "in it, and is loaded only with --trust-pickle."
        ),
    )
    parser.add_argument("--model", type=Path, help=".skops file, or a pickle")
    parser.add_argument(
        "--prediction",
        metavar="COLUMN",
        help="column of the predictions, in place of a model: then the data may be larger than "
        "memory, and are counted where they lie",
    )
    parser.add_argument("--score", metavar="COLUMN", help="column of the scores, with it")
    parser.add_argument(
        "--trust-pickle",
        action="store_true",
        help="load models from pickle or joblib files too, which runs the code that is in them",
    )
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        help="CSV or Parquet file of rows; with --prediction a folder of Parquet files, or a "
        "pattern such as 'day_*.parquet', too",
    )
    parser.add_argument("--target", help="column of the labels; left out where nobody knows them")
    parser.add_argument(
        "--sensitive", required=True, nargs="+", metavar="COLUMN", help="sensitive columns"
    )
    parser.add_argument("--positive", metavar="LABEL", help="the label whose rates matter")
    parser.add_argument(
        "--favourable", action="store_true", help="say that people hope for the positive label"
    )
    parser.add_argument(
        "--conditions", nargs="*", metavar="COLUMN", help="compare groups within these (all)"
    )
    parser.add_argument(
        "--bins",
        nargs="+",
        default=[],
        metavar="N",
        help="groups that a sensitive quantity is cut into (4): a number for all; age=5; or the "
        "ends between them, age=30,45,60",
    )
    parser.add_argument("--clusters", metavar="COLUMN", help="whose rows belong together")
    parser.add_argument("--baseline", type=Path, help="a saved model to compare with")
    for form, words in OUTPUTS.items():
        parser.add_argument(
            f"--{form}", type=new_file, metavar="FILE", help=f"write {words} to this file"
        )
    parser.add_argument(
        "--confidence", type=confidence, default=0.95, help="of the intervals (0.95)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of draws and probes (0)")
    add_jobs(parser)
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="show progress even where it does not go to a terminal",
    )
    parser.set_defaults(run=run_audit)
    return parser


def run_audit(arguments: argparse.Namespace) -> str:
    """Audit as the arguments say, write the files asked for, and return the report as text.

    Raises
    ------
    SystemExit
        If a file, or a column of the data, isn't there, or a file to write is one to read, or is
        to be written twice.
    """
    _check_files(arguments)
    _check_asked(arguments)
    report = _report_of_model(arguments) if arguments.model else _report_of_table(arguments)
    for form in OUTPUTS:
        path = getattr(arguments, form)
        if path:
            getattr(report, f"to_{form}")(path)
    return repr(report)


def _check_asked(arguments: argparse.Namespace) -> None:
    """Refuse two models or none, and what a table that is counted can't have."""
    if (arguments.model is None) == (arguments.prediction is None):
        raise SystemExit(
            "give one of --model, a saved model, and --prediction, a column of --data."
        )
    extra = ("score",) if arguments.model else ("clusters", "baseline")
    for option in extra:
        if getattr(arguments, option) is not None:
            other = "--prediction" if arguments.model else "--model"
            raise SystemExit(f"--{option} goes with {other}; leave it out.")


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "favourable": arguments.favourable,
        "bins": _bins(arguments.bins),
        "confidence": arguments.confidence,
        "n_jobs": arguments.n_jobs,
        "random_state": arguments.seed,
        "verbose": arguments.verbose or sys.stderr.isatty(),
    }


def _report_of_table(arguments: argparse.Namespace) -> Audit:
    """Audit predictions in files that are counted on disk."""
    table = _scan(arguments.data)
    positive, column = arguments.positive, arguments.prediction
    rows = nw.from_native(table).lazy()
    if positive is not None and column in rows.collect_schema():
        labels = rows.select(column).unique().head(1000)
        positive = _label(positive, labels.collect("pandas").to_native()[column])
    try:
        return audit(
            table=table,
            y=arguments.target,
            y_pred=column,
            y_score=arguments.score,
            sensitive_features=arguments.sensitive,
            conditions=arguments.conditions,
            pos_label=positive,
            **_options(arguments),
        )
    except ValueError as error:
        raise SystemExit(f"--data {arguments.data}: {_line(error)}") from error


def _scan(path: Path) -> Any:
    """Return the rows of a file, a folder of Parquet files or a pattern of names, unread.

    By DuckDB where it is installed, else by polars.
    """
    files = sorted(path.rglob("*.parquet") if path.is_dir() else map(Path, glob(str(path))))
    if not files:
        raise SystemExit(
            f"--data {path} is no file, no folder of Parquet files, and no pattern of their names."
        )
    names = [str(file) for file in files]
    kind = "parquet" if files[0].suffix in (".parquet", ".pq") else "csv"
    try:
        if find_spec("duckdb"):
            return getattr(import_module("duckdb").connect(), f"read_{kind}")(names)
        if find_spec("polars"):
            return getattr(import_module("polars"), f"scan_{kind}")(names)
    except Exception as error:  # each package has errors of its own
        raise SystemExit(f"--data {path} can't be read as {kind}: {_line(error)}") from error
    raise SystemExit("--prediction counts files by DuckDB or polars: pip install duckdb.")


def _report_of_model(arguments: argparse.Namespace) -> Audit:
    table = _table(arguments.data)
    clusters = [arguments.clusters] if arguments.clusters else []
    target = [] if arguments.target is None else [arguments.target]
    named = (*target, *arguments.sensitive, *clusters, *(arguments.conditions or ()))
    for column in named:
        if column not in table:
            raise SystemExit(f"{arguments.data} has no column {column!r}; it has {list(table)}.")
    for option, columns in (("--sensitive", arguments.sensitive), ("--clusters", clusters)):
        if target and target[0] in columns:
            raise SystemExit(f"--target {arguments.target} is in {option} too; name another.")
    trust = arguments.trust_pickle
    model = load_model(arguments.model, trust_pickle=trust)
    baseline = arguments.baseline and load_model(arguments.baseline, trust_pickle=trust)
    return audit(
        model,
        _features(model, table, [*target, *clusters]),
        table[target[0]] if target else None,
        sensitive_features=table[arguments.sensitive],
        pos_label=_label(
            arguments.positive, table[target[0]] if target else getattr(model, "classes_", ())
        ),
        baseline=baseline,
        conditions="auto" if arguments.conditions is None else table[arguments.conditions],
        clusters=table[clusters[0]] if clusters else None,
        **_options(arguments),
    )


def _check_files(arguments: argparse.Namespace) -> None:
    """Refuse to write one file twice, or over one that is read, by whatever name."""
    named = [(form, getattr(arguments, form)) for form in ("model", "data", "baseline", *OUTPUTS)]
    files = [(f"--{form}", path) for form, path in named if path is not None]
    for (option, path), (other, earlier) in ((b, a) for a, b in combinations(files, 2)):
        if option[2:] in OUTPUTS and _same_file(path, earlier):
            raise SystemExit(
                f"{option} {path} would overwrite {other} {earlier}; name another file."
            )


def _same_file(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)  # so are two hard links of a file
    return one.resolve() == other.resolve()


def _bins(texts: list[str]) -> int | dict[str, int | list[float]]:
    """Return the bins of sensitive quantities: one number for all, or by column."""
    try:
        if len(texts) == 1 and "=" not in texts[0]:
            return int(texts[0])
        by_column: dict[str, int | list[float]] = {}
        for text in texts:
            name, _, ends = text.rpartition("=")
            if not name:
                raise ValueError
            is_number = "," not in ends and "." not in ends
            by_column[name] = (
                int(ends) if is_number else [float(end) for end in ends.split(",") if end]
            )
        return by_column or 4
    except ValueError:
        raise SystemExit(
            f"--bins {' '.join(texts)} is no number of groups, such as 4, age=5 or age=30,45,60."
        ) from None


def _label(text: str | None, labels: Any) -> Any:
    """Return the label that is written like this, which may be a number; None for None."""
    if text is None:
        return None
    known = pd.Series(labels).dropna().unique().tolist()
    for label in known:
        if str(label) == text:
            return label
    raise SystemExit(f"--positive {text} is not a label of the data; it has {known[:20]}.")


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise SystemExit(f"--data {path} is not a file.")
    parquet = path.suffix in (".parquet", ".pq")
    try:
        return pd.read_parquet(path) if parquet else pd.read_csv(path)
    except (ValueError, OSError) as error:
        form = "Parquet" if parquet else "CSV"
        raise SystemExit(f"--data {path} can't be read as {form}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _features(model: Predictor, table: pd.DataFrame, others: list[str]) -> pd.DataFrame:
    """Take the columns that the model was fitted on, by name; else all but target and clusters."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return table.drop(columns=others)
    missing = [name for name in names if name not in table]
    if missing:
        raise SystemExit(f"The data lack columns that the model was fitted on: {missing}.")
    return table[list(names)]
