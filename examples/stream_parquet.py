"""Train on a Parquet file by row groups, never holding more than one of them in memory.

Needs pyarrow: pip install pyarrow.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fairlearn.metrics import demographic_parity_difference

from fairmi import MIDebiasedClassifier
from fairmi.datasets import load_adult

CLASSES = ["<=50K", ">50K"]
ROWS_OF_A_GROUP = 4_096
PASSES = 6


def write_table(path: Path) -> None:
    """Write Adult's training part, in random order, as a file of several row groups."""
    train = load_adult(subset="train")
    order = np.random.default_rng(0).permutation(len(train.data))
    table = train.data.assign(income=train.target).iloc[order]
    pq.write_table(
        pa.Table.from_pandas(table, preserve_index=False), path, row_group_size=ROWS_OF_A_GROUP
    )


def main() -> None:
    """Stream the file, and print how the model does on rows that it never saw."""
    test = load_adult(subset="test")
    model = MIDebiasedClassifier(lam=8.0, sensitive_columns="sex", random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adult.parquet"
        write_table(path)
        file = pq.ParquetFile(path)
        for number in range(1, PASSES + 1):
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group).to_pandas()
                model.partial_fit(rows.drop(columns="income"), rows["income"], classes=CLASSES)
            predicted = model.predict(test.data)
            unfair = demographic_parity_difference(
                test.target == ">50K",
                predicted == ">50K",
                sensitive_features=test.sensitive_features["sex"],
            )
            accuracy = model.score(test.data, test.target)
            print(f"pass {number}: accuracy {accuracy:.4f}, DP difference {unfair:.3f}")


if __name__ == "__main__":
    main()
