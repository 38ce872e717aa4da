"""What a server pays: import, load, predict one row, then many, beside an earlier checkout.

Run: git worktree add ../before REVISION
     OMP_NUM_THREADS=1 python benchmarks/serving.py --before ../before \
         --output benchmarks/results/serving.csv
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from shared import parser, print_machine, write

from fairmi import MIBoostingClassifier, MIDebiasedClassifier
from fairmi.compare._rows import adult_rows

ROOT = Path(__file__).parents[1]
# Run in a process of its own, which has loaded nothing; processor time is counted from its start.
SERVER = """
import json, sys, time
from joblib import load
path, one, many = sys.argv[1:]
row = load(one)
start, loaded = time.process_time(), set(sys.modules)
import fairmi
model = load(path)
ready = time.process_time()
model.predict_proba(row)
first = time.process_time()
model.predict_proba(row)
second = time.process_time()
status = open("/proc/self/status").read().splitlines()
memory = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
X = load(many)
start_of_many = time.process_time()
chances = model.predict_proba(X)
end = time.process_time()
print(json.dumps({
    "import and load, s": ready - start,
    "first row, s": first - ready,
    "next row, s": second - first,
    "all rows, s": end - start_of_many,
    "modules": len(set(sys.modules) - loaded),
    "torch": "torch" in sys.modules,
    "MB at one row": memory,
    "mean chance": float(chances[:, 1].mean()),
}))
"""
MODELS = {
    "networks": MIDebiasedClassifier(lam=4.0, max_iter=2, random_state=0),
    "trees": MIBoostingClassifier(lam=4.0, max_iter=50, random_state=0),
}


def served(checkout: Path, model: Path) -> dict[str, float]:
    """Return what a fresh process of a checkout measured."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    tables = [str(model.parent / name) for name in ("one row", "rows")]
    command = [sys.executable, "-c", SERVER, str(model), *tables]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, cwd=checkout
    )
    answer: dict[str, float] = json.loads(result.stdout)
    return answer


def measure(
    checkouts: dict[str, Path], n_rows: int, repeats: int, few: int | None
) -> pd.DataFrame:
    """Return the medians over repeats, in which checkouts and models take turns."""
    train = adult_rows("train").first(few)
    found = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short trainings
        place = Path(folder)
        many = train.X.iloc[np.arange(n_rows) % len(train)].reset_index(drop=True)
        joblib.dump(many.iloc[[0]], place / "one row")
        joblib.dump(many, place / "rows")
        for name, model in MODELS.items():
            model.fit(train.X, train.y, sensitive_features=train.s)
            joblib.dump(model, place / name)
        for _ in range(repeats):
            for name in MODELS:
                for state, checkout in checkouts.items():
                    told = served(checkout, place / name)
                    found.append({"model": name, "state": state} | told)
    return pd.DataFrame(found).groupby(["model", "state"], sort=False).median().reset_index()


def main() -> None:
    """Print and save the table."""
    made = parser(__doc__)
    made.add_argument("--before", type=Path, help="a checkout of an earlier state")
    made.add_argument("--rows", type=int, default=130_000, help="to predict at once")
    made.add_argument("--repeats", type=int, default=5)
    made.add_argument("--few", type=int, help="rows of the fit, few: to see that it runs")
    options = made.parse_args()
    print_machine()
    checkouts = {"now": ROOT}
    if options.before is not None:
        checkouts["before"] = options.before.resolve()
    frame = measure(checkouts, options.rows, options.repeats, options.few)
    print(frame.round(3).to_string(index=False))
    write(frame, options.output)


if __name__ == "__main__":
    main()
