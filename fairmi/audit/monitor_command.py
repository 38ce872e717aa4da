"""`fairmi monitor`: count a file of new predictions, and exit with 1 where there is an alarm."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from fairmi._data.options import confidence, new_file
from fairmi.audit.command import _table
from fairmi.audit.monitor import FairnessMonitor
from fairmi.audit.periods import RATES
from fairmi.audit.report import write_whole


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
    parser.add_argument("--data", required=True, type=Path, help="CSV or Parquet file of new rows")
    parser.add_argument(
        "--state", required=True, type=new_file, metavar="FILE", help="JSON file of the counts"
    )
    parser.add_argument(
        "--prediction", default="y_pred", metavar="COLUMN", help="predicted classes (y_pred)"
    )
    parser.add_argument("--target", metavar="COLUMN", help="labels; empty where not there yet")
    parser.add_argument(
        "--sensitive", required=True, nargs="+", metavar="COLUMN", help="sensitive columns"
    )
    parser.add_argument(
        "--labels-only",
        action="store_true",
        help="the rows were counted before, without a label, and have one now",
    )
    parser.add_argument("--time", help="of the predictions, as ISO text (today)")
    parser.add_argument("--positive", metavar="LABEL", help="the prediction that matters (1)")
    parser.add_argument(
        "--tolerance", type=float, metavar="D", help="largest difference that is no alarm (0.1)"
    )
    parser.add_argument(
        "--measures", nargs="+", choices=list(RATES), help="rates to watch (all but accuracy)"
    )
    parser.add_argument("--confidence", type=confidence, help="of alarm and intervals (0.95)")
    parser.add_argument("--intersections", action="store_true", help="watch combinations too")
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
    table = _read_table(arguments.data)
    target = [arguments.target] if arguments.target else []
    for column in (arguments.prediction, *target, *arguments.sensitive):
        if column not in table:
            raise ValueError(f"{arguments.data} has no column {column!r}; it has {list(table)}.")
    if arguments.labels_only and not target:
        raise ValueError("--labels-only needs --target, the column of the labels.")
    state = _read_state(arguments.state)
    kind = "labels" if arguments.labels_only else "rows"
    digest = f"{kind} {hashlib.sha256(arguments.data.read_bytes()).hexdigest()}"
    files: list[str] = state.pop("files", [])
    if digest in files:
        raise ValueError(f"{arguments.data} was counted in {arguments.state} before.")
    predicted = table[arguments.prediction]
    options = _options(arguments, predicted)
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


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return _table(path)
    except SystemExit as error:  # whose status would be that of an alarm
        raise ValueError(str(error)) from error


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


def _options(arguments: argparse.Namespace, predicted: Any) -> dict[str, Any]:
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
