"""What benchmarks share: the machine, the command line, the clock, and tables by name.

Card holders and census income are not in the repository: they are read from the folder that --data
or the environment variable FAIRMI_DATA names, which holds credit_default.csv.gz (I-C. Yeh, Default
of Credit Card Clients, UCI, doi 10.24432/C55S3H) and census_income_kdd.csv.gz (Census-Income KDD,
UCI, doi 10.24432/C5N30T).
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairmi.compare._measures import bootstrap_weights, weighted_metrics
from fairmi.compare._rows import LabelledRows, adult_rows, german_rows, table_rows

DATASETS = ("adult", "german", "credit", "census")
PACKAGES = ("torch", "scikit-learn", "fairlearn", "numpy", "pandas")


def machine() -> str:
    """Return processor, cores, threads of a process, and Python."""
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return (
        f"{platform.machine()} ({_processor()}), {os.cpu_count()} cores, "
        f"OMP_NUM_THREADS {threads}, Python {platform.python_version()}"
    )


def versions() -> str:
    """Return the versions of the packages that figures hang on."""
    return ", ".join(f"{package} {version(package)}" for package in PACKAGES)


def print_machine() -> None:
    """Say what the figures that follow are taken on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{machine()}, load {load:.1f}; {versions()}", flush=True)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser described by the first line of a script's docstring, with --output."""
    made = argparse.ArgumentParser(description=(doc or " ").splitlines()[0])
    made.add_argument("--output", type=Path, help="write the rows to this CSV file")
    return made


def write(rows: pd.DataFrame, path: Path | None) -> None:
    """Write rows to a CSV file, where a path is given.

    Those that don't say on what machine and by which versions they were measured say it then.
    """
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = rows.round(5)
        for name, value in {"machine": machine(), "versions": versions()}.items():
            rows[name] = rows[name].fillna(value) if name in rows else value
        rows.to_csv(path, index=False)


class Table:
    """Rows that are written as they come, beside those that the output file has already."""

    def __init__(self, path: Path | None, keys: Sequence[str]) -> None:
        self.path, self.keys = path, keys
        there = path is not None and path.exists()
        self.frame = pd.read_csv(path) if there else pd.DataFrame(columns=keys)

    def find(self, *values: Any) -> dict[str, Any] | None:
        """Return the row whose keys have these values, None where there is none."""
        same = self.frame[(self.frame[self.keys] == list(values)).all(axis=1)]
        return same.iloc[0].to_dict() if len(same) else None

    def add(self, row: dict[str, Any]) -> None:
        """Print a row, and write it in place of that of the same keys."""
        print(row, flush=True)
        both = pd.DataFrame([*self.frame.to_dict("records"), row])
        self.frame = both.drop_duplicates(self.keys, keep="last", ignore_index=True)
        write(self.frame, self.path)


def print_means(rows: pd.DataFrame, by: str | list[str], columns: list[str]) -> None:
    """Print the mean of each part of the rows, and its standard error."""
    parts = rows.groupby(by, sort=False)[columns]
    print(parts.agg(["mean", "sem"]).round(4).to_string(na_rep=""), flush=True)


def seconds_of(
    call: Callable[[], Any], clock: Callable[[], float] = time.process_time
) -> tuple[float, Any]:
    """Return the seconds of a call, and what it returned.

    Those of this process's processor, unless said otherwise: what others do on the machine is left
    out of them, and so are processes that the call starts.
    """
    start = clock()
    result = call()
    return clock() - start, result


def memory_mb(name: str) -> float:
    """Return a figure of this process's memory, in MB: VmRSS now, VmHWM at the peak (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def measured(y: np.ndarray, predicted: np.ndarray, s: Any) -> dict[str, float]:
    """Return accuracy, DP and EO difference of predictions 0 or 1."""
    codes = np.unique(np.asarray(s), return_inverse=True)[1]
    found = weighted_metrics(y, predicted.astype(int), None, codes, bootstrap_weights(len(y), 0))
    names = {
        "accuracy": "accuracy",
        "dp": "demographic_parity_difference",
        "eo": "equalized_odds_difference",
    }
    return {short: float(found[name][0]) for short, name in names.items()}


@dataclass(frozen=True)
class Parts:
    """Rows to learn from, and rows to measure on."""

    train: LabelledRows
    test: LabelledRows


def adult_parts(n_rows: int | None) -> Parts:
    """Return Adult's official parts, the first of few rows if so asked."""
    return Parts(adult_rows("train").first(n_rows), adult_rows("test"))


def add_data_options(made: argparse.ArgumentParser) -> None:
    """Let a script choose its table, how it is split, and how many rows it learns from."""
    made.add_argument("--dataset", choices=DATASETS, default="adult")
    made.add_argument("--data", type=Path, help="folder of the tables that are not packed")
    made.add_argument("--splits", type=int, default=3, help="random ones; Adult has its own")
    made.add_argument("--rows", type=int, help="learn from so few rows: to see that it runs")


def rows_named(name: str, data: Path | None = None) -> LabelledRows:
    """Return Adult's training part, German, card holders (who fails to pay?) or census income."""
    if name == "adult":
        return adult_rows("train")
    if name == "german":
        return german_rows()
    folder = data or os.environ.get("FAIRMI_DATA")
    if folder is None:
        raise SystemExit(f"{name} is not packed: name its folder by --data or FAIRMI_DATA.")
    if name == "credit":
        table = pd.read_csv(Path(folder) / "credit_default.csv.gz").drop(columns="ID")
        y = table.pop("default-payment-next-month")
        return table_rows(table, y, "SEX")[0]
    path = Path(folder) / "census_income_kdd.csv.gz"
    table = pd.read_csv(path, header=None, skipinitialspace=True, na_values="?")
    table.columns = ["sex" if k == 12 else f"column {k}" for k in table.columns]
    y = table.pop("column 41") == "50000+."
    return table_rows(table.drop(columns="column 24"), y, "sex")[0]  # 24: an interview's weight


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
