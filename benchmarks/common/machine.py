"""On what machine and with what versions figures were taken, on screen and in a CSV file."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

PACKAGES = ("torch", "scikit-learn", "fairlearn", "numpy", "pandas")


def machine() -> str:
    """Return processor, cores, threads of a process, and Python."""
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    parts = (
        f"{platform.machine()} ({_processor()})",
        f"{os.cpu_count()} cores",
        f"OMP_NUM_THREADS {threads}",
        f"Python {platform.python_version()}",
    )
    return ", ".join(parts)


def versions() -> str:
    """Return the versions of the packages that figures hang on."""
    return ", ".join(f"{package} {version(package)}" for package in PACKAGES)


def print_machine() -> None:
    """Say what the figures that follow are taken on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{machine()}, load {load:.1f}; {versions()}", flush=True)


def parser(doc: str | None, *, output: bool = True) -> argparse.ArgumentParser:
    """Return a parser described by the first line of a script's docstring, with --output."""
    made = argparse.ArgumentParser(description=(doc or " ").splitlines()[0])
    if output:
        made.add_argument("--output", type=Path, help="write the rows to this CSV file")
    return made


def write(rows: pd.DataFrame, path: Path | None) -> None:
    """Write rows with machine and versions to a CSV file, where a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        stated = rows.round(5).assign(machine=machine(), versions=versions())
        stated.to_csv(path, index=False)


def seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def processor_seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of the processor that a call took here, and what it returned.

    What others do on the machine is left out of them, and so are processes that the call starts.
    """
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
