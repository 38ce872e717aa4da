"""docs/inputs.md: by kind of input, what is taken and as what, or refused with which sentence.

FAIRMI_WRITE_DOCS=1 pytest tests/_data/test_inputs_table.py writes the table anew.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import warnings
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from fairlearn.adversarial import AdversarialFairnessClassifier
from fairlearn.reductions import DemographicParity, ExponentiatedGradient
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from fairmi import MIDebiasedClassifier
from fairmi._data.fit_input import read_fit_input
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_columns import NumericColumn

PAGE = Path(__file__).parents[2] / "docs" / "inputs.md"
START, END = "<!-- made by tests/_data/test_inputs_table.py -->", "<!-- end -->"
N = 120
NUMBERS = np.round(np.random.default_rng(0).normal(size=N), 2)
Y = (NUMBERS > 0).astype(int)
S = np.array(list("ab") * (N // 2))
JOBS = np.array(["clerk", "nurse"])[np.arange(N) % 2]
DAYS = pd.Series(pd.date_range("2024-01-01", periods=N))
FRAME = pd.DataFrame({"pay": NUMBERS, "job": JOBS})


def objects(values):
    return pd.DataFrame({"a": pd.Series(list(values), dtype=object)})


TABLES = {
    "pandas frame": FRAME,
    "polars frame": pl.DataFrame(FRAME),
    "polars lazy frame": pl.LazyFrame(FRAME),
    "Arrow table": pa.Table.from_pandas(FRAME),
    "numpy array of numbers": np.column_stack([NUMBERS, NUMBERS]),
    "numpy array of objects, text among them": FRAME.to_numpy(dtype=object),
    "list of rows": FRAME.to_numpy(dtype=object).tolist(),
    "rows of different lengths": [[1], [1, 2]] * (N // 2),
    "masked array": np.ma.MaskedArray(NUMBERS[:, None], mask=NUMBERS[:, None] > 1),
    "torch tensor, with a gradient or without": torch.tensor(NUMBERS[:, None], requires_grad=True),
    "scipy sparse array": csr_array(NUMBERS[:, None]),
    "dict of columns": {"pay": NUMBERS},
    "column of booleans": objects(NUMBERS > 0),
    "column of booleans with a gap": objects([None, *(NUMBERS[1:] > 0)]),
    "column of numbers as objects": objects(NUMBERS),
    "column of Decimal": objects(Decimal(str(v)) for v in NUMBERS),
    "column of text": objects(JOBS),
    "column of categories, numbers among them": pd.DataFrame({"a": pd.Categorical(Y)}),
    "column of text and numbers": objects(["x", 1] * (N // 2)),
    "column of numbers but one word": objects(["?", *map(str, range(19))] * (N // 20)),
    "column of names, a value for each row": objects(f"n{k}" for k in range(N)),
    "column of 110 categories": objects([f"n{k % 110}" for k in range(N)] * 2)[:N],
    "column without a value": objects([None] * N),
    "column of dates": pd.DataFrame({"a": DAYS}),
    "column of Python dates": objects(dt.date(2024, 1, 1) + dt.timedelta(k) for k in range(N)),
    "column of times with a zone": pd.DataFrame({"a": DAYS.dt.tz_localize("Asia/Tokyo")}),
    "column of periods": pd.DataFrame({"a": pd.period_range("2024", periods=N, freq="D")}),
    "column of durations": pd.DataFrame({"a": pd.to_timedelta(np.arange(N), unit="h")}),
    "column of times of day": objects(dt.time(k % 24) for k in range(N)),
    "column with an infinite value": pd.DataFrame({"a": [np.inf, *NUMBERS[1:]]}),
    "column of lists": objects([[1]] * N),
    "column of complex numbers": pd.DataFrame({"a": NUMBERS + 1j}),
}
SENSITIVE = {
    "array or list": S.tolist(),
    "several columns": pd.DataFrame({"sex": S, "owner": Y}),
    "dict of columns": {"sex": S, "owner": Y},
    "Arrow table": pa.table({"sex": S}),
    "booleans": Y > 0,
    "numbers of at most 20 values": np.arange(N) % 20,
    "whole numbers of more than 20 values": np.arange(N) % 30,
    "measured numbers": NUMBERS,
    "a name of a column": "sex",
    "a missing value": [None, *S[1:]],
    "one value": ["a"] * N,
    "a group of one row": ["c", *S[1:]],
}


def kind_of(column):
    if isinstance(column, NumericColumn):
        return "date" if column.is_date else "numbers"
    return f"{len(column.categories)} categories"


def answer(table, sensitive):
    """What comes of a table: what its columns are read as, and warnings, or the error."""
    with warnings.catch_warnings(record=True, action="always") as caught:
        try:
            model = MIDebiasedClassifier()
            given = read_fit_input(model._row_options(), table, Y, sensitive, None)
            encoder = TableEncoder().fit(given.features, given.codes)
        except (ValueError, TypeError) as error:
            return "refused: " + " ".join(str(error).split())
    taken = "scaled numbers"
    if encoder.columns_ is not None:
        parts = [c for c in encoder.columns_ if ": " not in c.name]
        taken = ", ".join(dict.fromkeys(kind_of(column) for column in parts))
        taken += " and parts of the calendar" * (len(parts) < len(encoder.columns_))
    if sensitive is not S:
        taken = ", ".join(dict.fromkeys(given.plan.kinds.values()))
    texts = [text for _, text in given.notes] + [str(warning.message) for warning in caught]
    told = " ".join(f"Warning: {text}" for text in texts)
    return f"taken: {taken}. {told}".strip()


# Of the peers' columns, which are compared with these versions alone.
MEASURED = {"fairlearn": "0.15.0", "scikit-learn": "1.9.1", "pandas": "3.1.1"}
PEERS = {
    "ExponentiatedGradient": lambda: ExponentiatedGradient(
        LogisticRegression(), DemographicParity(), max_iter=2
    ),
    "AdversarialFairnessClassifier": lambda: AdversarialFairnessClassifier(
        backend="torch",
        predictor_model=[],
        adversary_model=[8, "leaky_relu"],
        epochs=1,
        batch_size=N,
        random_state=0,
    ),
}


def answer_of_peer(make, table, sensitive):
    """Whether a classifier of fairlearn is fitted to a table, or the kind of error that it raises.

    The text of an error is its packages', and changes with their versions.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            make().fit(table, Y, sensitive_features=sensitive)
        except Exception as error:  # of any kind: these are not ours
            return f"`{type(error).__name__}`"
    return "taken"


def row(name, table, sensitive, peers_table):
    beside = [answer_of_peer(make, peers_table, sensitive) for make in PEERS.values()]
    return f"| {' | '.join([name, answer(table, sensitive), *beside])} |"


def lines():
    head = " | ".join(PEERS)
    yield f"| X | what comes of it | {head} |"
    yield "|---|---|---|---|"
    yield from (row(name, table, S, table) for name, table in TABLES.items())
    yield ""
    yield f"| sensitive features | what comes of them | {head} |"
    yield "|---|---|---|---|"
    yield from (row(name, FRAME, values, NUMBERS[:, None]) for name, values in SENSITIVE.items())


@pytest.mark.slow
def test_the_table_is_what_comes_of_each_input():
    made = "\n".join([START, *lines(), END])
    page = PAGE.read_text()
    if os.environ.get("FAIRMI_WRITE_DOCS"):
        PAGE.write_text(re.sub(f"{START}.*{END}", lambda _: made, page, flags=re.DOTALL))
    shown = PAGE.read_text().partition(START)[2].partition(END)[0].strip().splitlines()
    made = made.splitlines()[1:-1]
    if [version(name) for name in MEASURED] != list(MEASURED.values()):
        shown, made = ([line.split(" | ")[:2] for line in part] for part in (shown, made))
    assert shown == made


def test_the_page_names_the_versions_of_the_peers():
    named = ", ".join(f"{name} {number}" for name, number in MEASURED.items())
    assert f"({named})" in " ".join(PAGE.read_text().split())
