"""One pass of partial_fit over a Parquet file, as long as asked, beside `fit` on the same rows.

Run: OMP_NUM_THREADS=1 python benchmarks/stream.py --output benchmarks/results/stream.csv
     OMP_NUM_THREADS=1 python benchmarks/stream.py --fit-alone --output stream_fit.csv

Every size runs in a process of its own. Time is that of the processor, reading of the file
included; memory is the growth of the peak over that after the first parts.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fairlearn.metrics import demographic_parity_difference

from common.machine import parser, print_machine, write
from fairmi import MIDebiasedClassifier

COLUMNS, PART, HELD_OUT, WARM_UP = 20, 50_000, 50_000, 2
SIZES = (100_000, 1_000_000, 10_000_000)
MAX_ROWS_OF_FIT = 100_000


def part(rows: int, seed: int) -> pd.DataFrame:
    """Return rows of 20 numbers, `y` and `group`."""
    random = np.random.default_rng(seed)
    group = random.random(rows) < 0.4
    X = random.standard_normal((rows, COLUMNS), dtype=np.float32)
    X[:, :3] += 0.7 * group[:, None]
    score = X[:, 0] + np.sin(2 * X[:, 1]) + 0.7 * X[:, 2] * X[:, 3] + 0.5 * X[:, 4]
    y = score + random.logistic(size=rows) > 0.3
    frame = pd.DataFrame(X, columns=[f"number {j}" for j in range(COLUMNS)])
    return frame.assign(y=y.astype(int), group=np.where(group, "b", "a"))


def write_file(path: Path, rows: int) -> None:
    """Write a Parquet file of so many rows, a row group at a time."""
    schema = pa.Table.from_pandas(part(2, 0), preserve_index=False).schema
    with pq.ParquetWriter(path, schema) as writer:
        for seed in range(1, rows // PART + 1):
            writer.write_table(pa.Table.from_pandas(part(PART, seed), schema, False))


def parts(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the row groups of a file."""
    file = pq.ParquetFile(path)
    for number in range(file.num_row_groups):
        yield file.read_row_group(number).to_pandas()


def peak_mb() -> float:
    """Return the peak of this process's memory in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def warm_up() -> None:
    """Load what a fit loads, and give no warnings of short trainings."""
    warnings.simplefilter("ignore")
    few = part(500, 0)
    X = few.drop(columns=["y", "group"])
    MIDebiasedClassifier(max_iter=1).fit(X, few["y"], sensitive_features=few["group"])


def streamed(path: Path, batch_size: int) -> dict[str, float]:
    """Return what one pass over a file came to."""
    warm_up()
    model = MIDebiasedClassifier(lam=4.0, batch_size=batch_size, random_state=0)
    rows, steady, start = 0, 0.0, time.process_time()
    for number, table in enumerate(parts(path)):
        X = table.drop(columns=["y", "group"])
        model.partial_fit(X, table["y"], classes=[0, 1], sensitive_features=table["group"])
        rows += len(table)
        if number + 1 == WARM_UP:
            steady = peak_mb()
    seconds = time.process_time() - start
    return {"s": seconds, "rows / s": rows / seconds, "growth MB": peak_mb() - steady} | figures(
        model
    )


def fitted(path: Path, batch_size: int) -> dict[str, float]:
    """Return what the default `fit` on all rows of a file came to."""
    warm_up()
    start, before = time.process_time(), peak_mb()
    table = pd.concat(parts(path), ignore_index=True)
    model = MIDebiasedClassifier(lam=4.0, batch_size=batch_size, random_state=0)
    X = table.drop(columns=["y", "group"])
    model.fit(X, table["y"], sensitive_features=table["group"])
    seconds = time.process_time() - start
    told = {"s": seconds, "rows / s": len(table) / seconds, "growth MB": peak_mb() - before}
    return told | figures(model)


def figures(model: MIDebiasedClassifier) -> dict[str, float]:
    """Return accuracy and the demographic parity difference on fresh rows."""
    fresh = part(HELD_OUT, 0)
    predicted = model.predict(fresh.drop(columns=["y", "group"]))
    gap = demographic_parity_difference(fresh["y"], predicted, sensitive_features=fresh["group"])
    return {"accuracy": float((predicted == fresh["y"]).mean()), "dp": gap}


def sweep(sizes: list[int], batch_size: int, *, fit_alone: bool) -> pd.DataFrame:
    """Measure each size: a stream, and `fit` on few rows; or `fit` alone, on all."""
    found = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            write_file(path, rows)
            ways = [fitted] if fit_alone else [streamed, fitted][: 1 + (rows <= MAX_ROWS_OF_FIT)]
            for way in ways:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    told = pool.apply(way, (path, batch_size))
                found.append({"way": way.__name__, "rows": rows, "batch_size": batch_size} | told)
                print(found[-1], flush=True)
    return pd.DataFrame(found)


def main() -> None:
    """Print and save the rows, and the power of the rows that time grows with."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, nargs="+", default=SIZES)
    made.add_argument("--batch-size", type=int, default=1024)
    made.add_argument("--fit-alone", action="store_true", help="measure fit alone, on all rows")
    options = made.parse_args()
    print_machine()
    frame = sweep(options.rows, options.batch_size, fit_alone=options.fit_alone)
    print(frame.round(4).to_string(index=False))
    stream = frame[frame.way == ("fitted" if options.fit_alone else "streamed")]
    if len(stream) > 1:
        first, last = stream.iloc[0], stream.iloc[-1]
        power = np.log(last["s"] / first["s"]) / np.log(last["rows"] / first["rows"])
        print(f"time grows with the power {power:.2f} of the rows")
    write(frame, options.output)


if __name__ == "__main__":
    main()
