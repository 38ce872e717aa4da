"""What columns hold: groups or quantities, and what may not be meant so."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.groups import codes_among, group_rows
from fairmi._data.probabilities import sums_to_one
from fairmi._data.tables import read_columns
from fairmi._data.values import NUMBER_KINDS
from fairmi.exceptions import ColumnWarning, Note, SensitiveFeaturesError, warn_of

# Numbers are categories where they have at most this many distinct values; floats, only where each
# is held by two rows or more and by this many on average. Two values always are.
MAX_CATEGORIES = 20
MIN_ROWS_PER_CATEGORY = 5


@dataclass(frozen=True)
class MixedColumns:
    """Columns of which some hold groups and some quantities, and how rows of them are read.

    `continuous` (n_columns,) says which are quantities; `labels` are the groups that the others
    make together.
    """

    continuous: np.ndarray
    labels: tuple[Any, ...]

    @property
    def n_groups(self) -> int:
        """Groups G, or 0 where there are quantities, beside which groups are columns too."""
        return 0 if self.continuous.any() else len(self.labels)

    def read(
        self, frame: pd.DataFrame, *, argument: str
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return codes of groups (n,) and quantities (n, Q), None where no column has them.

        Raises
        ------
        SensitiveFeaturesError
            If a group is not among `labels`, or a quantity is missing or infinite.
        """
        codes = values = None
        if self.labels:
            categorical = frame.loc[:, ~self.continuous]
            codes = codes_among(categorical, self.labels, argument=argument)
        if self.continuous.any():
            values = quantities(frame.loc[:, self.continuous], argument=argument)
        return codes, values

    def joined(self, values: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
        """Return values (n, Q) with an indicator of each group behind them, if there are some."""
        if codes is None:
            return values
        return np.hstack([values, np.eye(len(self.labels), dtype=values.dtype)[codes]])


def mixed_columns(frame: pd.DataFrame, *, argument: str = "sensitive_features") -> MixedColumns:
    """Learn how to read columns without a missing value, each of the kind that the rule gives.

    Raises
    ------
    SensitiveFeaturesError
        If there is a single group, and no quantity.
    """
    continuous = column_kinds(frame, argument=argument)
    if continuous.all():
        return MixedColumns(continuous, ())
    at_least = 1 if continuous.any() else 2
    groups = group_rows(frame.loc[:, ~continuous], argument=argument, at_least=at_least)
    return MixedColumns(continuous, groups.labels)


def column_kinds(
    frame: pd.DataFrame,
    kinds: Any = None,
    *,
    argument: str = "sensitive_features",
    notes: list[Note] | None = None,
) -> np.ndarray:
    """Return whether each column is continuous: as `kinds` says, else by `is_continuous`.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_sensitive)
    kinds : dict, sequence or None
        "categorical" or "continuous" by name of column, those not named by the rule, or one of
        these words for each column in order.
    argument : str
        What an error names.
    notes : list of Note, default=None
        Takes what there is to warn of, which is warned of without it.

    Raises
    ------
    SensitiveFeaturesError
        If `kinds` names no column, holds another word, or calls text continuous.
    """
    names = list(frame.columns)
    if isinstance(kinds, str) or (kinds is not None and not hasattr(kinds, "__len__")):
        raise SensitiveFeaturesError(
            f"sensitive_kinds={kinds!r} must be a dict by column or a sequence, a word for each "
            "column."
        )
    if kinds is None or not isinstance(kinds, Mapping):
        if kinds is not None and len(kinds) != len(names):
            raise SensitiveFeaturesError(
                f"sensitive_kinds has {len(kinds)} entries, but {argument} has {len(names)} "
                "columns; give one for each."
            )
        kinds = {} if kinds is None else dict(zip(names, kinds, strict=True))
    odd = [name for name in kinds if name not in names]
    if odd:
        raise SensitiveFeaturesError(
            f"sensitive_kinds names {odd[0]!r}, which {argument} does not have; its columns are "
            f"{', '.join(map(repr, names))}."
        )
    pairs = ((frame.iloc[:, j], kinds.get(name)) for j, name in enumerate(names))
    continuous = np.array([_is_of_kind(*pair, argument) for pair in pairs], dtype=bool)
    unnamed = frame.loc[:, continuous & ~np.isin(names, list(kinds))]
    found = _notes_of_probabilities(unnamed, argument)
    if notes is None:
        warn_of(found, stacklevel=2)
    else:
        notes += found
    return continuous


def _notes_of_probabilities(quantities: pd.DataFrame, argument: str) -> list[Note]:
    if not sums_to_one(quantities):
        return []
    shown = ", ".join(map(repr, quantities.columns[:5]))
    text = (
        f"{argument}: the columns {shown} sum to 1 in every row, and are read as quantities. "
        "If they are probabilities of groups, MIBoostingClassifier and FairReweighing read "
        "them as such with sensitive_kinds='probabilities'; figures need the group of each row."
    )
    return [(ColumnWarning, text)]


def is_continuous(column: pd.Series) -> bool:
    """Whether a column holds numbers that are quantities, not codes of groups.

    Numbers (not booleans) are quantities where they have more than 20 distinct values. Floats are
    too where they have more than two, of which one is held by a single row or which fewer than 5
    rows hold on average.
    """
    if not _holds_numbers(column):
        return False
    if column.dtype == object:
        column = pd.to_numeric(column.dropna())
    counts = column.value_counts()
    if len(counts) <= 2:
        return False
    if len(counts) > MAX_CATEGORIES:
        return True
    rare = counts.min() < 2 or counts.mean() < MIN_ROWS_PER_CATEGORY
    return bool(pd.api.types.is_float_dtype(column) and rare)


def quantities(frame: pd.DataFrame, *, argument: str) -> np.ndarray:
    """Return continuous columns as float64, (n, Q).

    Raises
    ------
    SensitiveFeaturesError
        If a value is no number, missing or infinite.
    """
    try:
        values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise SensitiveFeaturesError(
            f'{argument} holds values that are no numbers; give kind="categorical" ({error}).'
        ) from error
    unusable = ~np.isfinite(values).all(axis=1)
    if unusable.any():
        raise SensitiveFeaturesError(
            f"{argument} has a missing or infinite value in {int(unusable.sum())} rows; drop "
            "these rows."
        )
    return values


def _is_of_kind(column: pd.Series, kind: Any, argument: str) -> bool:
    if kind is None:
        return is_continuous(column)
    if not isinstance(kind, str) or kind not in ("categorical", "continuous"):
        raise SensitiveFeaturesError(
            f'sensitive_kinds has {kind!r} for {column.name!r}; give "categorical" or '
            '"continuous".'
        )
    if kind == "continuous" and not _holds_numbers(column):
        raise SensitiveFeaturesError(
            f"sensitive_kinds calls {column.name!r} continuous, but {argument} has values there "
            f'that are no numbers (dtype {column.dtype}); give "categorical", or numbers.'
        )
    return kind == "continuous"


def _holds_numbers(column: pd.Series) -> bool:
    """Whether the values of a column are numbers, truths not among them."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return False
    if column.dtype != object:
        return bool(pd.api.types.is_any_real_numeric_dtype(column))
    kind = pd.api.types.infer_dtype(column, skipna=True)
    return kind in NUMBER_KINDS - {"boolean"}


# A column names its rows where most values are held by one row each.
_MIN_NAMED_ROWS = 100
_NAMES_SHARE = 0.9
# Text is a number column in disguise where this share of its distinct values are numbers.
_NUMBERS_SHARE = 0.9
_MIN_NUMBERS = 10
_MAX_PARSED = 1_000


def notes_of_columns(X: Any) -> list[Note]:
    """Return what to warn of: columns that name rows, or hold numbers as text."""
    notes: list[Note] = []
    for name, read in read_columns(X):
        if read.values.dtype == object:
            notes += [(ColumnWarning, text) for text in _odd(name, read.values, read.is_category)]
    return notes


def _odd(name: str, values: np.ndarray, is_category: bool) -> Iterator[str]:
    present = values[~pd.isna(values)]
    distinct = pd.unique(present)
    if len(present) >= _MIN_NAMED_ROWS and len(distinct) > _NAMES_SHARE * len(present):
        yield (
            f"Column {name!r} of X has {len(distinct)} distinct values in {len(present)} "
            "rows: it names rows, and tells nothing of others. Drop it, or make features of it."
        )
    elif not is_category:  # whose type says what its user means
        yield from _told_of_numbers(name, present, distinct[:_MAX_PARSED])


def warn_of_unseen(names: list[str]) -> None:
    """Warn of columns of categories, if any, none of which fit saw."""
    if names:
        shown = ", ".join(map(repr, names))
        warnings.warn(
            f"No value of {'column' if len(names) == 1 else 'columns'} {shown} of X was seen at "
            "fit, so that all are read as missing: predictions may be far off. Give the values "
            "the spelling and type that they had.",
            ColumnWarning,
            stacklevel=2,
        )


def notes_of_codes(column: pd.Series, argument: str) -> list[Note]:
    """Return what to warn of whole numbers taken for a quantity, which may be codes of groups."""
    numbers = pd.to_numeric(column.dropna())
    if not pd.api.types.is_integer_dtype(numbers):
        return []
    name = column.name
    text = (
        f"{argument}: {name!r} has {numbers.nunique()} distinct whole numbers, more than "
        f"{MAX_CATEGORIES}, and is taken for a quantity. If they are codes of groups, give "
        f'sensitive_kinds={{{name!r}: "categorical"}}; if not, "continuous" says so.'
    )
    return [(ColumnWarning, text)]


def _told_of_numbers(name: str, present: np.ndarray, distinct: np.ndarray) -> Iterator[str]:
    if not all(isinstance(value, str) for value in distinct):
        return
    words = [value for value in distinct if not _is_number(value)]
    n_numbers = len(distinct) - len(words)
    if n_numbers < _MIN_NUMBERS or n_numbers < _NUMBERS_SHARE * len(distinct):
        return
    why = "numbers as text"
    if words:
        counts = pd.Series(present)[np.isin(present, words)].value_counts()
        # A model keeps this sentence, so that it names no value of one row.
        such = f"{counts.index[0]!r} and the like" if counts.iloc[0] > 1 else "what is no number"
        why = f"numbers as text, because of {such} in {counts.sum()} rows"
    yield (
        f"Column {name!r} of X holds {why}: each is a category. For numbers give "
        f"pandas.to_numeric(X[{name!r}], errors='coerce'); for codes, a categorical column."
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
