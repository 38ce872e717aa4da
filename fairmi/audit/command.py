"""`fairmi audit`, of a saved model or of files of predictions, and `fairmi monitor`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from datetime import UTC, datetime
from glob import glob
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from fairmi._data.options import add_jobs, confidence, iso_time, new_file, read_table, seed
from fairmi.audit.monitor import FairnessMonitor
from fairmi.audit.periods import RATES
from fairmi.audit.report import Audit, write_whole
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
    add = parser.add_argument
    add("--model", type=Path, help=".skops file, or a pickle")
    add(
        "--prediction",
        metavar="COLUMN",
        help="column of the predictions, in place of a model: then the data may be larger than "
        "memory, and are counted where they lie",
    )
    add("--score", metavar="COLUMN", help="column of the scores, with it")
    add(
        "--trust-pickle",
        action="store_true",
        help="load models from pickle or joblib files too, which runs the code that is in them",
    )
    add(
        "--data",
        required=True,
        type=Path,
        help="CSV or Parquet file of rows; with --prediction a folder of Parquet files, or a "
        "pattern such as 'day_*.parquet', too",
    )
    add("--target", help="column of the labels; left out where nobody knows them")
    add("--sensitive", required=True, nargs="+", metavar="COLUMN", help="sensitive columns")
    add("--positive", metavar="LABEL", help="the label whose rates matter")
    add("--favourable", action="store_true", help="say that people hope for the positive label")
    add("--conditions", nargs="*", metavar="COLUMN", help="compare groups within these (all)")
    add(
        "--bins",
        nargs="+",
        default=[],
        metavar="N",
        help="groups that a sensitive quantity is cut into (4): a number for all; age=5; or the "
        "ends between them, age=30,45,60",
    )
    add("--clusters", metavar="COLUMN", help="whose rows belong together")
    add("--baseline", type=Path, help="a saved model to compare with")
    for form, words in OUTPUTS.items():
        add(f"--{form}", type=new_file, metavar="FILE", help=f"write {words} to this file")
    add("--confidence", type=confidence, default=0.95, help="of the intervals (0.95)")
    add("--seed", type=seed, default=0, help="of draws and probes (0)")
    add_jobs(parser)
    add(
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
    ValueError
        If a file, or a column of the data, isn't there, or a file to write is one to read, or is
        to be written twice.
    """
    _check_files(arguments)
    if (arguments.model is None) == (arguments.prediction is None):
        raise ValueError(
            "give one of --model, a saved model, and --prediction, a column of --data."
        )
    for option in ("score",) if arguments.model else ("clusters", "baseline"):
        if getattr(arguments, option) is not None:
            other = "--prediction" if arguments.model else "--model"
            raise ValueError(f"--{option} goes with {other}; leave it out.")
    options = {
        "favourable": arguments.favourable,
        "bins": _bins(arguments.bins),
        "confidence": arguments.confidence,
        "n_jobs": arguments.n_jobs,
        "random_state": arguments.seed,
        "verbose": arguments.verbose or sys.stderr.isatty(),
    }
    make = _report_of_model if arguments.model else _report_of_table
    report = make(arguments, options)
    for form in OUTPUTS:
        path = getattr(arguments, form)
        if path:
            getattr(report, f"to_{form}")(path)
    return repr(report)


def _report_of_table(arguments: argparse.Namespace, options: dict[str, Any]) -> Audit:
    """Audit predictions in files that are counted on disk."""
    table, engine_error = _scan(arguments.data)
    positive, column = arguments.positive, arguments.prediction
    rows = nw.from_native(table).lazy()
    try:
        if positive is not None and column in rows.collect_schema():
            labels = rows.select(column).unique().head(1000)
            positive = _label(positive, labels.collect("pandas").to_native()[column])
        return audit(
            table=table,
            y=arguments.target,
            y_pred=column,
            y_score=arguments.score,
            sensitive_features=arguments.sensitive,
            conditions=arguments.conditions,
            pos_label=positive,
            **options,
        )
    except (ValueError, engine_error) as error:  # a value far down the file may be another type
        raise ValueError(f"--data {arguments.data}: {error}") from error


def _scan(path: Path) -> tuple[Any, type[Exception]]:
    """Return the rows of a file, a folder of Parquet files or a pattern of names, unread.

    And the class of errors of reading them. By DuckDB where it is installed, else by polars.
    """
    files = sorted(path.rglob("*.parquet") if path.is_dir() else map(Path, glob(str(path))))
    if not files:
        raise ValueError(
            f"--data {path} is no file, no folder of Parquet files, and no pattern of their names."
        )
    names = [str(file) for file in files]
    kind = "parquet" if files[0].suffix in (".parquet", ".pq") else "csv"
    try:
        if find_spec("duckdb"):
            duckdb = import_module("duckdb")
            return getattr(duckdb.connect(), f"read_{kind}")(names), duckdb.Error
        if find_spec("polars"):
            polars = import_module("polars")
            return getattr(polars, f"scan_{kind}")(names), polars.exceptions.PolarsError
    except Exception as error:  # each package has errors of its own
        raise ValueError(f"--data {path} can't be read as {kind}: {error}") from error
    raise ValueError("--prediction counts files by DuckDB or polars: pip install duckdb.")


def _report_of_model(arguments: argparse.Namespace, options: dict[str, Any]) -> Audit:
    target, clusters = (
        [] if name is None else [name] for name in (arguments.target, arguments.clusters)
    )
    sensitive, conditions = arguments.sensitive, arguments.conditions
    table = read_table(arguments.data, [*target, *sensitive, *clusters, *(conditions or ())])
    for option, columns in (("--sensitive", sensitive), ("--clusters", clusters)):
        if target and target[0] in columns:
            raise ValueError(f"--target {target[0]} is in {option} too; name another.")
    trust = arguments.trust_pickle
    model = load_model(arguments.model, trust_pickle=trust)
    baseline = arguments.baseline and load_model(arguments.baseline, trust_pickle=trust)
    # By name the columns that the model was fitted on; else all but target and clusters.
    names = list(getattr(model, "feature_names_in_", table.columns.drop([*target, *clusters])))
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"The data lack columns that the model was fitted on: {missing}.")
    y = table[target[0]] if target else None
    return audit(
        model,
        table[names],
        y,
        sensitive_features=table[sensitive],
        pos_label=_label(arguments.positive, getattr(model, "classes_", ()) if y is None else y),
        baseline=baseline,
        conditions="auto" if conditions is None else table[conditions],
        clusters=table[clusters[0]] if clusters else None,
        **options,
    )


def _check_files(arguments: argparse.Namespace) -> None:
    """Refuse to write one file twice, or over one that is read, by whatever name."""
    named = [(form, getattr(arguments, form)) for form in ("model", "data", "baseline", *OUTPUTS)]
    files = [(f"--{form}", path) for form, path in named if path is not None]
    for (option, path), (other, earlier) in ((b, a) for a, b in combinations(files, 2)):
        if option[2:] in OUTPUTS and _same_file(path, earlier):
            raise ValueError(
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
        raise ValueError(
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
    raise ValueError(f"--positive {text} is not a label of the data; it has {known[:20]}.")


def add_monitor_command(
    subparsers: argparse._SubParsersAction,
) -> argparse.ArgumentParser:
    """Add `monitor` to the subparsers of a command line; its `run` takes the parsed arguments."""
    parser = subparsers.add_parser(
        "monitor",
        help="count new predictions of a model in use, and tell when groups differ too much",
        description=(
            "Add a file of new predictions to the counts in the state, which is made if it is not "
            "there, and print the differences between groups with intervals that hold however "
            "often one looks. The status is 1 where a difference is, or was, above the tolerance "
            "with confidence, else 0; 2 where something is wrong with arguments or files."
        ),
    )
    add = parser.add_argument
    add("--data", required=True, type=Path, help="CSV or Parquet file of new rows")
    add("--state", required=True, type=new_file, metavar="FILE", help="JSON file of the counts")
    add("--prediction", default="y_pred", metavar="COLUMN", help="predicted classes (y_pred)")
    add("--target", metavar="COLUMN", help="labels; empty where not there yet")
    add("--sensitive", required=True, nargs="+", metavar="COLUMN", help="sensitive columns")
    add(
        "--labels-only",
        action="store_true",
        help="the rows were counted before, without a label, and have one now",
    )
    add("--time", type=iso_time, help="of the predictions, as ISO text (today)")
    add("--positive", metavar="LABEL", help="the prediction that matters (1)")
    add("--tolerance", type=float, metavar="D", help="largest difference that is no alarm (0.1)")
    add("--measures", nargs="+", choices=list(RATES), help="rates to watch (all but accuracy)")
    add("--confidence", type=confidence, help="of alarm and intervals (0.95)")
    add("--intersections", action="store_true", help="watch combinations too")
    parser.set_defaults(run=run_monitor)
    return parser


def run_monitor(arguments: argparse.Namespace) -> str:
    """Count the rows, move the new state over the old one, and return the report as text.

    Raises
    ------
    SystemExit
        With 1 where there is an alarm, after the report is printed.
    ValueError
        If a file or a column of it isn't there, the file was counted before, or an option
        contradicts the state.
    """
    target = [arguments.target] if arguments.target else []
    columns = [arguments.prediction, *target, *arguments.sensitive]
    table = read_table(arguments.data, columns)
    if arguments.labels_only and not target:
        raise ValueError("--labels-only needs --target, the column of the labels.")
    state = _read_state(arguments.state)
    kind = "labels" if arguments.labels_only else "rows"
    digest = f"{kind} {hashlib.sha256(arguments.data.read_bytes()).hexdigest()}"
    files: list[str] = state.pop("files", [])
    if digest in files:
        raise ValueError(f"{arguments.data} was counted in {arguments.state} before.")
    predicted = table[arguments.prediction]
    options = _monitor_options(arguments, predicted)
    monitor = FairnessMonitor.from_state(state) if state else FairnessMonitor(**options)
    for name, value in options.items():
        if value != getattr(monitor, name):
            raise ValueError(
                f"{arguments.state} was begun with {name}={getattr(monitor, name)!r}, not "
                f"{value!r}; leave the option out, or begin another state."
            )
    labels = table[target[0]] if target else None
    sensitive = table[arguments.sensitive]
    if arguments.labels_only and labels is not None:
        there = labels.notna()
        monitor.add_labels(labels[there], predicted[there], sensitive[there], arguments.time)
    else:
        time = arguments.time or datetime.now(UTC).date()
        monitor.update(predicted, sensitive, labels, time)
    state = {**monitor.state, "files": [*files, digest]}
    write_whole(arguments.state, json.dumps(state))
    if monitor.alarm:
        sys.stdout.write(f"{monitor}\n")
        raise SystemExit(1)
    return repr(monitor)


def _positive(text: str, predicted: pd.Series) -> Any:
    """Return the class that is written like this; a batch need not hold it."""
    known = {str(label): label for label in predicted.dropna().unique().tolist()}
    if text in known or any(isinstance(label, str) for label in known.values()):
        return known.get(text, text)
    try:
        return {"True": True, "False": False}[text] if text in ("True", "False") else float(text)
    except ValueError:
        raise ValueError(f"--positive {text}: the data has {list(known)[:20]}.") from None


def _read_state(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"--state {path} is not JSON: {error}.") from error
    if not isinstance(state, dict):
        raise ValueError(f"--state {path} is no state of a monitor.")
    return state


def _monitor_options(arguments: argparse.Namespace, predicted: Any) -> dict[str, Any]:
    """Return the parameters of a monitor that the command line names."""
    options: dict[str, Any] = {}
    tolerance = 0.1 if arguments.tolerance is None else arguments.tolerance
    if arguments.tolerance is not None or arguments.measures:
        measures = arguments.measures or list(RATES)[:3]
        options["tolerance"] = dict.fromkeys(measures, tolerance)
    if arguments.positive is not None:
        options["pos_label"] = _positive(arguments.positive, predicted)
    if arguments.confidence is not None:
        options["confidence"] = arguments.confidence
    if arguments.intersections:
        options["intersections"] = True
    return options
