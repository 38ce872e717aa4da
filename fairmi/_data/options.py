"""Arguments of the command line -> checked values, before anything that takes time is loaded."""

from __future__ import annotations

import argparse
from pathlib import Path


def jobs(text: str) -> int:
    """Return a number of processes: 1, 2, ..., or -1 for one on each core."""
    if _is_integer(text) and (int(text) > 0 or int(text) == -1):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of processes: 1, 2, ... or -1")


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
    if _is_integer(text) and 0 <= int(text) < 2**32:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {2**32 - 1}")


def confidence(text: str) -> float:
    """Return a level of confidence between 0 and 1."""
    try:
        level = float(text)
    except ValueError:
        level = 0.0
    if 0 < level < 1:
        return level
    raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1, as 0.95 is")


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


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True
