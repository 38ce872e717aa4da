r"""Rows in parts: one pass of partial_fit over a Parquet file, and one fit over several processes.

Run: OMP_NUM_THREADS=1 python benchmarks/stream.py --output benchmarks/results/stream.csv
     OMP_NUM_THREADS=1 python benchmarks/stream.py --fit-alone --output stream_fit.csv
     OMP_NUM_THREADS=1 python benchmarks/stream.py --processes 2 --rows 40000 --batch-size 2048 \
         --output benchmarks/results/data_parallel.csv

Every size runs in a process of its own. Time is that of the processor, reading of the file
included; memory is the growth of the peak over that after the first parts. Of several processes
the time is that of the busiest one: what a machine for each would take, but for its network.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from shared import measured, memory_mb, parser, print_machine, write
from speed import long_table
from torch import distributed

from fairmi import MIDebiasedClassifier, data_parallel

COLUMNS, PART, HELD_OUT, WARM_UP = 20, 50_000, 50_000, 2
SIZES = (100_000, 1_000_000, 10_000_000)
MAX_ROWS_OF_FIT = 100_000
# Larger batches take longer steps: as the square root, for Adam.
RATE, ROWS_OF_RATE, EPOCHS = 0.01, 256, 10


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


def learned(path: Path, batch_size: int, way: str) -> dict[str, float]:
    """Return what one pass of partial_fit over a file, or a fit of all of it, came to."""
    warnings.simplefilter("ignore")  # of short trainings
    few = part(500, 0)
    X = few.drop(columns=["y", "group"])
    MIDebiasedClassifier(max_iter=1).fit(X, few["y"], sensitive_features=few["group"])
    model = MIDebiasedClassifier(lam=4.0, batch_size=batch_size, random_state=0)
    rows, before, start = 0, memory_mb("VmHWM"), time.process_time()
    tables = parts(path) if way == "streamed" else [pd.concat(parts(path), ignore_index=True)]
    for number, table in enumerate(tables):
        X, rows = table.drop(columns=["y", "group"]), rows + len(table)
        if way == "streamed":
            model.partial_fit(X, table["y"], classes=[0, 1], sensitive_features=table["group"])
            before = memory_mb("VmHWM") if number + 1 == WARM_UP else before
        else:
            model.fit(X, table["y"], sensitive_features=table["group"])
    seconds = time.process_time() - start
    grown = memory_mb("VmHWM") - before
    fresh = part(HELD_OUT, 0)
    predicted = model.predict(fresh.drop(columns=["y", "group"]))
    return {"s": seconds, "rows / s": rows / seconds, "growth MB": grown} | measured(
        fresh["y"].to_numpy(), predicted, fresh["group"]
    )


def sweep(options: argparse.Namespace) -> pd.DataFrame:
    """Measure each size: a stream, and `fit` on few rows; or `fit` alone, on all."""
    found = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            write_file(path, rows)
            few = rows <= MAX_ROWS_OF_FIT
            for way in ["fitted"] if options.fit_alone else ["streamed", "fitted"][: 1 + few]:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    row = pool.apply(learned, (path, options.batch_size, way))
                about = {"way": way, "rows": rows, "batch_size": options.batch_size}
                found.append(about | row)
                print(found[-1], flush=True)
    frame = pd.DataFrame(found)
    stream = frame[frame.way == ("fitted" if options.fit_alone else "streamed")]
    if len(stream) > 1:
        first, last = stream.iloc[0], stream.iloc[-1]
        power = np.log(last["s"] / first["s"]) / np.log(last["rows"] / first["rows"])
        print(f"time grows with the power {power:.2f} of the rows")
    return frame


def worker(rank: int, n_processes: int, folder: str, rows: int, batch_size: int, seeds: int):
    """Fit one model for each seed on a share of the rows; return figures on fresh ones."""
    warnings.simplefilter("ignore")
    if n_processes > 1:
        place = f"file://{folder}/group"
        distributed.init_process_group(
            "gloo", init_method=place, rank=rank, world_size=n_processes
        )
    found = []
    for seed in range(seeds):
        X, y, group = long_table(rows + HELD_OUT, seed)
        share, fresh = slice(rank, rows, n_processes), slice(rows, None)
        model = MIDebiasedClassifier(
            lam=4.0,
            max_iter=EPOCHS,
            batch_size=batch_size,
            learning_rate=RATE * (batch_size / ROWS_OF_RATE) ** 0.5,
            random_state=seed,
        )
        start = time.process_time()
        with data_parallel() if n_processes > 1 else nullcontext():
            model.fit(X[share], y[share], sensitive_features=group[share])
        row = {"seed": seed, "s": time.process_time() - start}
        found.append(row | measured(y[fresh], model.predict(X[fresh]), group[fresh]))
    if n_processes > 1:
        distributed.destroy_process_group()
    return pd.DataFrame(found)


def beside_one_process(options: argparse.Namespace) -> pd.DataFrame:
    """Return figures of one process and of several, and print the difference with its error."""
    frames = []
    spawn = multiprocessing.get_context("spawn")
    for n in (1, options.processes):
        with tempfile.TemporaryDirectory() as folder, spawn.Pool(n) as pool:
            setting = (folder, options.rows[0], options.batch_size, options.seeds)
            shares = pool.starmap(worker, [(rank, n, *setting) for rank in range(n)], chunksize=1)
        busiest = np.max([share["s"] for share in shares], axis=0)
        frames.append(shares[0].assign(s=busiest, processes=n))
    one, several = frames
    for name in ("accuracy", "dp", "s"):
        difference = several[name] - one[name]
        error = difference.std(ddof=1) / len(difference) ** 0.5
        print(f"{name}: {difference.mean():+.4f}, standard error {error:.4f}")
    return pd.concat(frames).assign(rows=options.rows[0], batch_size=options.batch_size)


def main() -> None:
    """Print and save the rows."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, nargs="+", default=SIZES)
    made.add_argument("--batch-size", type=int, default=1024)
    made.add_argument("--fit-alone", action="store_true", help="measure fit alone, on all rows")
    made.add_argument("--processes", type=int, help="one fit over so many, beside one process")
    made.add_argument("--seeds", type=int, default=5, help="of the fit over several processes")
    options = made.parse_args()
    print_machine()
    frame = beside_one_process(options) if options.processes else sweep(options)
    print(frame.round(4).to_string(index=False))
    write(frame, options.output)


if __name__ == "__main__":
    main()
