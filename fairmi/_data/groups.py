"""sensitive_features in any form -> group codes and labels: the one definition of 'group'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.tables import is_dict, plain, to_pandas
from fairmi.exceptions import SensitiveFeaturesError


@dataclass(frozen=True)
class Groups:
    """The groups of a sample: `labels[codes[i]]` is the group of row i.

    A label is the value itself for one sensitive feature, and a tuple of values, one for each
    feature, where several are given (an intersection). `names` has a name for each feature.
    """

    codes: np.ndarray
    labels: tuple[Any, ...]
    names: tuple[str, ...]

    @property
    def counts(self) -> np.ndarray:
        """Rows in each group."""
        return np.bincount(self.codes, minlength=len(self.labels))

    def __len__(self) -> int:
        return len(self.labels)


def group_rows(
    sensitive_features: Any,
    *,
    n_rows: int | None = None,
    argument: str = "sensitive_features",
    at_least: int = 2,
) -> Groups:
    """Return the groups that the rows of `sensitive_features` fall in.

    Only combinations that occur make a group. Labels are sorted by value where values can be
    compared, else by their text.

    Raises
    ------
    SensitiveFeaturesError
        If a value is missing, the length differs from `n_rows`, or fewer than `at_least` groups
        are present.
    """
    frame = sensitive_frame(sensitive_features, argument=argument)
    if n_rows is not None and len(frame) != n_rows:
        raise SensitiveFeaturesError(
            f"{argument} has {len(frame)} rows, but X has {n_rows}; "
            "give one row for each row of X."
        )
    if not frame.shape[1]:
        raise SensitiveFeaturesError(f"{argument} has no column; give at least one.")
    incomplete = frame.isna()
    if incomplete.to_numpy().any():
        raise SensitiveFeaturesError(
            f"{argument} has a missing value (NaN or None) in {missing_rows(frame)}; "
            "drop these rows or give the missing values a label of their own."
        )
    codes, labels = _codes_and_labels(frame, argument)
    if len(labels) < at_least:
        seen = f"the single value {labels[0]!r}" if labels else "no rows"
        raise SensitiveFeaturesError(
            f"{argument} has {seen}; at least two groups are needed to compare."
        )
    return Groups(codes, labels, tuple(str(name) for name in frame.columns))


def sensitive_frame(values: Any, *, argument: str = "sensitive_features") -> pd.DataFrame:
    """Return `values` as a DataFrame, a column for each sensitive feature, index dropped.

    A dict of columns is a table.
    """
    try:
        values = to_pandas(plain(values, argument=argument))
    except TypeError as error:
        raise SensitiveFeaturesError(str(error)) from error
    if is_dict(values):
        values = _table_of_dict(values, argument)
    if isinstance(values, pd.Series | pd.DataFrame):
        frame = values.to_frame() if isinstance(values, pd.Series) else values
        return frame.rename(columns=_unnamed).reset_index(drop=True)
    return _frame_of_array(values, argument).rename(columns=_unnamed)


def missing_rows(frame: pd.DataFrame) -> str:
    """Say in how many rows a value is missing, and in which columns where there are several."""
    missing = frame.isna().to_numpy()
    text = f"{int(missing.any(axis=1).sum())} rows"
    if frame.shape[1] > 1:
        text += f" of {', '.join(repr(name) for name in frame.columns[missing.any(axis=0)])}"
    return text


def codes_among(frame: pd.DataFrame, labels: Sequence[Any], *, argument: str) -> np.ndarray:
    """Return the position of each row's group among `labels`, (n,).

    Raises
    ------
    SensitiveFeaturesError
        If a group is not among them.
    """
    groups = group_rows(frame, argument=argument, at_least=0)
    position = {label: code for code, label in enumerate(labels)}
    unseen = [label for label in groups.labels if label not in position]
    if unseen:
        raise SensitiveFeaturesError(
            f"{argument} has groups that the first fit did not see: "
            f"{', '.join(map(repr, unseen[:5]))}; known are {', '.join(map(repr, position))}. "
            "Leave these rows out, or fit with some of them."
        )
    return np.array([position[label] for label in groups.labels], dtype=np.int64)[groups.codes]


def _table_of_dict(values: Mapping[Any, Any], argument: str) -> pd.DataFrame:
    columns = {name: sensitive_frame(column, argument=argument) for name, column in values.items()}
    sizes = {name: column.shape for name, column in columns.items()}
    if len(set(sizes.values())) > 1 or any(width != 1 for _, width in sizes.values()):
        raise SensitiveFeaturesError(
            f"{argument} is a dict whose columns have the shapes {sizes}; give one value for each "
            "row in each."
        )
    return pd.DataFrame({name: column.iloc[:, 0] for name, column in columns.items()})


def _frame_of_array(values: Any, argument: str) -> pd.DataFrame:
    if hasattr(values, "toarray"):
        values = values.toarray()
    try:
        array = np.asarray(values)
        if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
            array = np.asarray(values, dtype=object)
    except ValueError as error:
        raise SensitiveFeaturesError(f"{argument} can't be made an array: {error}") from error
    if array.ndim not in (1, 2) or array.dtype.kind == "c":
        raise SensitiveFeaturesError(
            f"{argument} must be a 1-d or 2-d array, a Series or a DataFrame of real or text "
            f"values, got {array.ndim} dimensions of dtype {array.dtype}."
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    columns = array[:, None] if array.ndim == 1 else array
    return pd.DataFrame({f"sensitive_{j}": columns[:, j] for j in range(columns.shape[1])})


def _unnamed(name: Any) -> str:
    if name is None:
        return "sensitive_0"
    return f"sensitive_{name}" if isinstance(name, int) else str(name)


def _codes_and_labels(frame: pd.DataFrame, argument: str) -> tuple[np.ndarray, tuple[Any, ...]]:
    columns = [_factorize(frame.iloc[:, j], argument) for j in range(frame.shape[1])]
    if len(columns) == 1:
        return columns[0]
    shape = tuple(max(len(labels), 1) for _, labels in columns)
    joint = np.ravel_multi_index([codes for codes, _ in columns], shape)
    present, codes = np.unique(joint, return_inverse=True)
    parts = np.unravel_index(present, shape)
    labels = tuple(
        tuple(columns[j][1][part[k]] for j, part in enumerate(parts)) for k in range(len(present))
    )
    return codes.astype(np.int64), labels


def _factorize(column: pd.Series, argument: str) -> tuple[np.ndarray, tuple[Any, ...]]:
    try:
        codes, values = pd.factorize(column.to_numpy(dtype=object), use_na_sentinel=True)
    except TypeError as error:
        raise SensitiveFeaturesError(
            f"{argument} holds values that can't be told apart ({error}); give text, numbers or "
            "categories."
        ) from error
    labels = [value.item() if isinstance(value, np.generic) else value for value in values]
    try:
        order = sorted(range(len(labels)), key=lambda k: labels[k])
    except TypeError:
        order = sorted(range(len(labels)), key=lambda k: str(labels[k]))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], tuple(labels[k] for k in order)
