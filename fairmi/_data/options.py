"""Arguments of the command line -> checked values, before anything that takes time is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def _checked(
    text: str, kind: Callable[[str], Any], is_right: Callable[[Any], bool], what: str
) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not is_right(value):
        raise argparse.ArgumentTypeError(f"{text!r} is {what}")
    return value


def jobs(text: str) -> int:
    """Return a number of processes: 1, 2, ..., or -1 for one on each core."""
    what = "no number of processes: 1, 2, ... or -1"
    return _checked(text, int, lambda n: n > 0 or n == -1, what)


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that train side by side."""
    parser.add_argument(
        "--jobs",
        "--n-jobs",
        dest="n_jobs",
        type=jobs,
        default=2,
        metavar="N",
        help="processes side by side, -1 for one on each core (2)",
    )


def seed(text: str) -> int:
    """Return a seed of random draws."""
    what = f"no whole number from 0 to {2**32 - 1}"
    return _checked(text, int, lambda n: 0 <= n < 2**32, what)


def confidence(text: str) -> float:
    """Return a level of confidence between 0 and 1."""
    return _checked(text, float, lambda level: 0 < level < 1, "not between 0 and 1, as 0.95 is")


def iso_time(text: str) -> str:
    """Return the text of a month, date or time, since other texts would not sort as times do."""
    what = "no ISO text of a month, date or time, as 2026-11, 2026-11-30 and 2026-11-30T06:00 are"
    whole = f"{text}-01" if len(text) == len("2026-11") else text
    _checked(whole, datetime.fromisoformat, lambda _: True, what)
    return text


def new_file(text: str) -> Path:
    """Return a file to write, whose folder is there."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} can't be written: no folder {path.parent}")
    return path


def new_folder(text: str) -> Path:
    """Return a folder to write to, which may not be there yet."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file; name a folder")
    return path


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a CSV or Parquet file; ValueError if it can't be, or lacks a column."""
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"{path} is not a file; give a CSV or Parquet file.")
    form = "Parquet" if path.suffix in (".parquet", ".pq") else "CSV"
    try:
        table = pd.read_parquet(path) if form == "Parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} can't be read as {form}: {error}") from error
    for column in columns:
        if column not in table:
            raise ValueError(f"{path} has no column {column!r}; it has {list(table)}.")
    return table
