"""Count what makes fairmi a scikit-learn estimator: checks, routes, bad input, round trips.

Counts are of tests that this command runs. Size and memory: `python benchmarks/streaming.py`.

Run: python benchmarks/first_class.py
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = {
    "scikit-learn's checks": ["test_sklearn_checks.py"],
    "metadata routing and searches": ["test_routing.py", "test_scorers.py", "test_parallel.py"],
    "bad input, answered by a named error": [
        "test_bad_input.py",
        "test_anything.py",
        "test_extremes.py",
    ],
    "equivalent input": ["test_properties.py", "test_relabelling.py", "test_encoding.py"],
    "round trips, bitwise": ["test_persistence.py"],
}


def run(files: list[str]) -> dict[str, int]:
    """Run test files; return how many tests passed, failed, were skipped, and drawn examples."""
    # In one process, which is where hypothesis keeps its counts.
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--hypothesis-show-statistics"]
    paths = [str(ROOT / "tests" / name) for name in files]
    done = subprocess.run(
        [*command, *paths], capture_output=True, text=True, cwd=ROOT, check=False
    )
    summary = done.stdout.strip().splitlines()[-1]
    counts = {
        word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", summary)
    }
    examples = sum(map(int, re.findall(r"- (\d+) passing", done.stdout)))
    return {key: counts.get(key, 0) for key in ("passed", "failed", "error", "skipped")} | {
        "drawn examples": examples
    }


def main() -> None:
    """Print the counts of each part, and end with 1 where a test failed."""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}; scikit-learn {version('scikit-learn')}, torch {version('torch')}")
    failed = 0
    for part, files in TABLE.items():
        counts = run(files)
        failed += counts["failed"] + counts["error"]
        print(f"{part}: " + ", ".join(f"{n} {what}" for what, n in counts.items()), flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
