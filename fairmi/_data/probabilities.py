"""Columns of probabilities of groups -> how much each row is in each group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fairmi._data.groups import (
    PROBABILITIES,
    TOLERANCE,
    codes_among,
    group_rows,
    sorted_places,
)
from fairmi.exceptions import SensitiveFeaturesError


class FeatureColumns(NamedTuple):
    """The columns of one feature: `labels` are its groups, in their order.

    `positions` has the column of each group's probability, or the one column of its groups.
    """

    name: str
    kind: str
    labels: tuple[Any, ...]
    positions: tuple[int, ...]


def probable_groups(
    frame: pd.DataFrame, kinds: Any, argument: str = "sensitive_features"
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Return how much each row is in each group that some row may be in, (n, G), and their names.

    `frame` has the columns of one feature, named by its groups; or several under a header of two
    levels, (feature, group), among which a feature of one column may hold groups. `kinds` is
    `sensitive_kinds`.
    """
    _, possible, labels, shares = learn_groups(frame, kinds, argument)
    return shares[:, possible], labels


def learn_groups(
    frame: pd.DataFrame, kinds: Any, argument: str, missing: str = "error"
) -> tuple[list[FeatureColumns], list[int], tuple[Any, ...], np.ndarray]:
    """Return the features of a table, which combinations of their groups occur, and their labels.

    And the shares of each row in all combinations. A single one is refused, and one of fewer than
    two rows by expectation.
    """
    features = _probability_columns(frame, kinds, argument)
    shares = shares_of_groups(frame, features, missing=missing, argument=argument)
    possible = np.flatnonzero(shares.any(axis=0))
    sizes = [len(feature.labels) for feature in features]
    places = np.stack(np.unravel_index(possible, sizes), axis=1)
    labels = [tuple(f.labels[k] for f, k in zip(features, at, strict=True)) for at in places]
    if len(features) == 1:
        labels = [label for (label,) in labels]
    for label, rows in zip(labels, shares[:, possible].sum(axis=0), strict=True):
        if rows < 2:
            raise SensitiveFeaturesError(
                f"{argument} has {rows:.2g} rows of the group {label!r} by the sum of its "
                "probabilities; join it to another."
            )
    if len(labels) < 2:
        raise SensitiveFeaturesError(
            f"{argument} has the single group {labels[0]!r}; at least two are needed."
        )
    return features, possible.tolist(), tuple(labels), shares


def _probability_columns(frame: pd.DataFrame, kinds: Any, argument: str) -> list[FeatureColumns]:
    if frame.columns.nlevels == 1:
        if isinstance(kinds, Mapping):
            name = next(name for name, kind in kinds.items() if kind == PROBABILITIES)
            raise SensitiveFeaturesError(
                f"sensitive_kinds calls {name!r} probabilities, but {argument} has one column for "
                "each name; give its columns under a header of two levels, (feature, group), as "
                "pandas.concat({'race': table}, axis=1) makes it, or sensitive_kinds="
                "'probabilities' for a table of one feature."
            )
        return [_feature("group", frame, list(range(frame.shape[1])), argument)]
    features = []
    names = frame.columns.get_level_values(0)
    for name in dict.fromkeys(names):
        positions = [j for j, other in enumerate(names) if other == name]
        kind = PROBABILITIES if isinstance(kinds, str) else kinds.get(name)
        if kind == PROBABILITIES:
            features.append(_feature(str(name), frame, positions, argument))
        elif kind in (None, "categorical") and len(positions) == 1:
            column = frame.iloc[:, positions].dropna()
            labels = group_rows(column, argument=argument).labels
            features.append(FeatureColumns(str(name), "categorical", labels, tuple(positions)))
        else:
            raise SensitiveFeaturesError(
                f"{argument} has {len(positions)} columns of {name!r}, of kind {kind!r}, beside "
                "probabilities of groups; these go with columns of groups and with other "
                "probabilities alone."
            )
    return features


def _feature(
    name: str, frame: pd.DataFrame, positions: list[int], argument: str
) -> FeatureColumns:
    if len(positions) < 2:
        raise SensitiveFeaturesError(
            f"{argument} has one column of probabilities of {name!r}; give one for each group, "
            "which sum to 1 in every row."
        )
    labels = []
    columns: list[Any] = frame.columns[positions].tolist()
    for column in columns:  # a group's name, or its number where it has none
        label = column[-1] if isinstance(column, tuple) else column
        numbered = re.fullmatch(r"sensitive_(\d+)", str(label))
        labels.append(int(numbered[1]) if numbered else label)
    order = sorted_places(labels)
    ordered = tuple(labels[k] for k in order), tuple(positions[k] for k in order)
    return FeatureColumns(name, PROBABILITIES, *ordered)


def shares_of_groups(
    frame: pd.DataFrame, features: Sequence[FeatureColumns], *, missing: str, argument: str
) -> np.ndarray:
    """Return how much each row is in each combination of groups; 0 where a value is missing.

    Of several features it is the product: each feature is taken to be independent of the others
    given what its probabilities were made of.
    """
    joint = np.ones((len(frame), 1))
    for feature in features:
        shares = _shares(frame.iloc[:, list(feature.positions)], feature, missing, argument)
        joint = (joint[:, :, None] * shares[:, None, :]).reshape(len(frame), -1)
    return joint


def _shares(
    part: pd.DataFrame, feature: FeatureColumns, missing: str, argument: str
) -> np.ndarray:
    absent = part.isna().to_numpy().any(axis=1)
    if absent.any() and missing != "mask":
        raise SensitiveFeaturesError(
            f"{argument} has a missing value in {int(absent.sum())} rows of {feature.name!r}; "
            'drop these rows, or set missing_sensitive to "mask" (they train the task alone).'
        )
    shares = np.zeros((len(part), len(feature.labels)))
    if feature.kind != PROBABILITIES:
        codes = codes_among(part[~absent], feature.labels, argument=argument)
        shares[np.flatnonzero(~absent), codes] = 1
        return shares
    try:
        values = part[~absent].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SensitiveFeaturesError(
            f"{argument} holds values in columns of {feature.name!r} that are no probabilities "
            f"({error})."
        ) from error
    sums = values.sum(axis=1)
    wrong = ~(np.abs(sums - 1) <= TOLERANCE) | (values < 0).any(axis=1)
    if wrong.any():
        first = int(np.flatnonzero(~absent)[wrong][0])
        raise SensitiveFeaturesError(
            f"{argument}: the probabilities of {feature.name!r} in row {first} are "
            f"{values[wrong][0].tolist()}, and in {int(wrong.sum())} rows they are negative or "
            f"don't sum to 1 within {TOLERANCE}; divide each row by its sum, or give it no value "
            'and set missing_sensitive to "mask".'
        )
    shares[~absent] = values / sums[:, None]
    return shares
