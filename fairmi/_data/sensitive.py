"""Sensitive features as a frame -> what each penalty reads: codes of groups, or values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.groups import group_rows, missing_rows
from fairmi._data.kinds import MixedColumns, column_kinds, notes_of_codes, quantities
from fairmi._data.probabilities import (
    FeatureColumns,
    check_weight_of_groups,
    combined_labels,
    combined_shares,
    members_of,
    names_probabilities,
    probability_columns,
)
from fairmi.core.membership import Membership
from fairmi.exceptions import Note, SensitiveFeaturesError, SmallGroupWarning

_MISSING = "missing"


@dataclass(frozen=True)
class SensitiveRows:
    """The rows of each attribute that has a penalty of its own."""

    attributes: tuple[Membership, ...]

    @property
    def columns(self) -> np.ndarray:
        """All that tells rows apart, (n, n_columns) float64."""
        return np.column_stack([members.columns for members in self.attributes])

    def take(self, index: np.ndarray) -> SensitiveRows:
        """Return the rows of `index`."""
        return SensitiveRows(tuple(attribute.take(index) for attribute in self.attributes))


@dataclass(frozen=True)
class AttributePlan(MixedColumns):
    """How the columns of one attribute were read at fit, to read later rows alike.

    `mean` and `spread` standardise the quantities. Where there are groups beside them, all are
    values to the penalty: each group is an indicator.
    """

    mean: np.ndarray
    spread: np.ndarray
    missing: str
    # Of probabilities: the features as tuples of FeatureColumns, and which combinations occur.
    features: tuple[tuple[Any, ...], ...] = ()
    possible: tuple[int, ...] = ()

    def rows(self, frame: pd.DataFrame, *, argument: str, hides: bool = False) -> Membership:
        """Return the rows of `frame`, whose groups must be among those of fit.

        `hides` says whether rows of other groups are hidden from the penalty, or refused.
        """
        if self.features:
            features = [FeatureColumns(*feature) for feature in self.features]
            return members_of(
                frame, features, list(self.possible), missing=self.missing, argument=argument
            )
        n_rows = len(frame)
        frame = _filled(frame, self.continuous, self.missing)
        known = _known(frame, self.missing, argument)
        if hides:
            known[np.flatnonzero(known)[self._unknown(frame[known], argument)]] = False
        codes, quantity = self.read(frame[known], argument=argument)
        if quantity is None:
            assert codes is not None
            groups = np.zeros(n_rows, dtype=np.int64)
            groups[known] = codes
            return Membership.of_codes(groups, self.n_groups, known)
        read = self.joined((quantity - self.mean) / self.spread, codes)
        values = np.zeros((n_rows, read.shape[1]))
        values[known] = read
        return Membership.of_values(values, known)

    def _unknown(self, frame: pd.DataFrame, argument: str) -> np.ndarray:
        """Return which rows are of a group that is not among the labels, (n,) bool."""
        if not self.labels:
            return np.zeros(len(frame), dtype=bool)
        groups = group_rows(frame.loc[:, ~self.continuous], argument=argument, at_least=0)
        labels = set(self.labels)
        unknown = np.array([label not in labels for label in groups.labels], dtype=bool)
        return unknown[groups.codes]


@dataclass(frozen=True)
class SensitivePlan:
    """How sensitive features were read at fit: together, or each column by a plan of its own."""

    names: tuple[Any, ...]
    plans: tuple[AttributePlan, ...]
    separate: bool

    @property
    def n_groups(self) -> tuple[int, ...]:
        """Groups of each attribute, 0 where its penalty reads values."""
        return tuple(plan.n_groups for plan in self.plans)

    @property
    def kinds(self) -> dict[Any, str]:
        """What each column is, "categorical" or "continuous"; of probabilities, each feature."""
        features = [FeatureColumns(*f) for plan in self.plans for f in plan.features]
        if features:
            return {feature.name: feature.kind for feature in features}
        continuous = np.concatenate([plan.continuous for plan in self.plans])
        pairs = zip(self.names, continuous, strict=True)
        return {name: "continuous" if is_it else "categorical" for name, is_it in pairs}

    @property
    def labels(self) -> list[Any]:
        """The groups; where attributes are separate, a list for each."""
        lists = [list(plan.labels) for plan in self.plans]
        return lists if self.separate else lists[0]

    @property
    def groups(self) -> dict[Any, tuple[Any, ...]]:
        """The groups by column where attributes are separate, else of key None."""
        names = self.names if self.separate else (None,)
        return {name: plan.labels for name, plan in zip(names, self.plans, strict=True)}

    def rows(
        self, frame: pd.DataFrame, *, n_rows: int, argument: str, hides: bool = False
    ) -> SensitiveRows:
        """Return the rows of `frame`, read as `AttributePlan.rows` does."""
        _check_shape(frame, len(self.names), n_rows, argument)
        parts = _attributes(frame, separate=self.separate)
        pairs = zip(self.plans, parts, strict=True)
        return SensitiveRows(
            tuple(plan.rows(part, argument=argument, hides=hides) for plan, part in pairs)
        )

    def weigh(self, lam: Any) -> tuple[float, tuple[float, ...]]:
        """Return λ, the largest where there are several, and the share of it of each attribute.

        Raises
        ------
        SensitiveFeaturesError
            If `lam` does not name the columns, and them alone, or is a dict now and was none at
            the first fit, or the other way round.
        """
        if isinstance(lam, Mapping) != self.separate:
            raise SensitiveFeaturesError(
                f"lam={lam!r}: a dict in one call and a number in another can't go on from each "
                "other; give the same kind in each."
            )
        if not isinstance(lam, Mapping):
            return float(lam), (1.0,)
        known = ", ".join(map(repr, self.names))
        odd = [name for name in lam if name not in self.names]
        if odd:
            raise SensitiveFeaturesError(
                f"lam has a weight for {odd[0]!r}, which is not among the sensitive features; "
                f"name each of {known}."
            )
        unnamed = [name for name in self.names if name not in lam]
        if unnamed:
            raise SensitiveFeaturesError(
                f"lam has no weight for the sensitive feature {unnamed[0]!r}; name each of "
                f"{known}, with 0 for no penalty."
            )
        largest = float(max(lam.values()))
        return largest, tuple(float(lam[name]) / (largest or 1.0) for name in self.names)


def plan_to_plain(plan: SensitivePlan) -> dict[str, Any]:
    """Return what a plan holds, to save it."""
    return {**vars(plan), "plans": [dict(vars(part)) for part in plan.plans]}


def plan_from_plain(plain: Mapping[str, Any]) -> SensitivePlan:
    """Return a plan that was saved."""
    plans = tuple(AttributePlan(**part) for part in plain["plans"])
    return SensitivePlan(tuple(plain["names"]), plans, plain["separate"])


def plan_sensitive(
    frame: pd.DataFrame,
    weights: np.ndarray,
    *,
    missing: str,
    argument: str,
    kinds: Any = None,
    separate: bool = False,
    values: Any = None,
) -> tuple[SensitivePlan, list[Note]]:
    """Learn how to read the sensitive features of a fit, and what to warn of.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_sensitive)
    weights : ndarray of shape (n_rows,)
        Weights of the rows in the penalty.
    missing : {"error", "category", "mask"}
        A missing value is an error, a group of its own, or hides its row from the penalty.
    argument : str
        What an error names.
    kinds : dict, sequence, "probabilities" or None
        As in `column_kinds`; or which columns are probabilities, as in `probability_columns`.
    separate : bool
        Whether each column is an attribute with its own penalty.
    values : sequence, dict of sequences or None
        All groups, where they are known beforehand; a dict by column where `separate`.

    Raises
    ------
    SensitiveFeaturesError
        If a feature is missing where it must not be, is infinite, has fewer than two groups of
        two rows or more, or can't be of the kind asked for.
    """
    _check_shape(frame, frame.shape[1], len(weights), argument)
    if names_probabilities(kinds):
        if separate or values is not None:
            raise SensitiveFeaturesError(
                "sensitive_kinds calls columns probabilities, and these are read together, in a "
                "fit of all rows: give lam as a number, and no sensitive_values."
            )
        plan = _probability_plan(frame, kinds, missing, argument)
        return SensitivePlan(tuple(frame.columns), (plan,), False), []
    groups_by_name: dict[Any, tuple[Any, ...]] = {}
    if values is not None:
        groups_by_name = named_groups(values, list(frame.columns), separate=separate)
        if kinds is None:
            kinds = dict.fromkeys(groups_by_name if separate else frame.columns, "categorical")
    notes: list[Note] = []
    continuous = column_kinds(frame, kinds, argument=argument, notes=notes)
    named = frame.columns if kinds is not None and not isinstance(kinds, Mapping) else kinds or ()
    unnamed = [j for j in np.flatnonzero(continuous) if frame.columns[j] not in named]
    for j in unnamed:
        notes += notes_of_codes(frame.iloc[:, j], argument)
    parts = zip(
        _attributes(frame, separate=separate),
        continuous[:, None] if separate else [continuous],
        strict=True,
    )
    plans = [
        _plan(
            part,
            is_it,
            weights,
            missing,
            argument,
            groups_by_name.get(part.columns[0] if separate else None, ()),
            notes,
        )
        for part, is_it in parts
    ]
    return SensitivePlan(tuple(frame.columns), tuple(plans), separate), notes


def _probability_plan(
    frame: pd.DataFrame, kinds: Any, missing: str, argument: str
) -> AttributePlan:
    if missing == "category":
        raise SensitiveFeaturesError(
            f'missing_sensitive="category" has no meaning for probabilities of groups in '
            f'{argument}; set it to "mask" or "error".'
        )
    features = probability_columns(frame, kinds, argument)
    shares = combined_shares(frame, features, missing=missing, argument=argument)
    possible, labels = combined_labels(features, shares)
    check_weight_of_groups(shares[:, possible], labels, argument)
    return AttributePlan(
        np.zeros(frame.shape[1], dtype=bool),
        labels,
        np.zeros(0),
        np.zeros(0),
        missing,
        tuple(tuple(feature) for feature in features),
        tuple(possible),
    )


def check_certain(rows: SensitiveRows, reader: str) -> None:
    """Raise SensitiveFeaturesError where rows are in several groups by probability."""
    if not all(members.is_certain for members in rows.attributes):
        raise SensitiveFeaturesError(
            f"sensitive_kinds calls columns probabilities, and {reader} needs the group of each "
            "row: MIBoostingClassifier with its default penalty and FairReweighing take "
            "probabilities; the likeliest group in place of them would not be what they say."
        )


def _attributes(frame: pd.DataFrame, *, separate: bool) -> list[pd.DataFrame]:
    return [frame.iloc[:, [j]] for j in range(frame.shape[1])] if separate else [frame]


def _plan(
    frame: pd.DataFrame,
    continuous: np.ndarray,
    weights: np.ndarray,
    missing: str,
    argument: str,
    named: tuple[Any, ...],
    notes: list[Note],
) -> AttributePlan:
    frame = _filled(frame, continuous, missing)
    known = _known(frame, missing, argument)
    present, weights = frame[known], weights[known]
    labels: tuple[Any, ...] = named
    if not continuous.all() and not named:
        labels = _shared_groups(present.loc[:, ~continuous], argument, notes)
    part = quantities(present.loc[:, continuous], argument=argument)
    mean = np.average(part, axis=0, weights=weights)
    spread = np.sqrt(np.average((part - mean) ** 2, axis=0, weights=weights))
    if (spread == 0).any():
        raise SensitiveFeaturesError(
            f"{argument} has one value alone in a continuous column; drop it, or give groups."
        )
    # In float32, so that the order in which rows are summed leaves no trace.
    return AttributePlan(continuous, labels, _single(mean), _single(spread), missing)


def _check_shape(frame: pd.DataFrame, n_columns: int, n_rows: int, argument: str) -> None:
    if len(frame) != n_rows:
        raise SensitiveFeaturesError(
            f"{argument} has {len(frame)} rows, but X has {n_rows}; "
            "give one row for each row of X."
        )
    if frame.shape[1] != n_columns or not n_columns:
        raise SensitiveFeaturesError(
            f"{argument} has {frame.shape[1]} columns, {n_columns or 'at least 1'} expected."
        )


def _filled(frame: pd.DataFrame, continuous: np.ndarray, missing: str) -> pd.DataFrame:
    if missing != "category":
        return frame
    frame = frame.copy()
    for name in frame.columns[~continuous]:
        column = frame[name].astype(object)
        frame[name] = column.where(column.notna(), _MISSING)
    return frame


def _known(frame: pd.DataFrame, missing: str, argument: str) -> np.ndarray:
    known = ~frame.isna().to_numpy().any(axis=1)
    if missing != "mask" and not known.all():
        raise SensitiveFeaturesError(
            f"{argument} has a missing value (NaN or None) in {missing_rows(frame)}; drop "
            'these rows, or set missing_sensitive to "mask" (they train the task alone) or, for '
            'groups, to "category".'
        )
    return known


def _shared_groups(frame: pd.DataFrame, argument: str, notes: list[Note]) -> tuple[Any, ...]:
    """Return the groups of two rows or more; of others there is a note, which names no value."""
    groups = group_rows(frame, argument=argument)
    shared = np.flatnonzero(groups.counts > 1)
    n_alone = len(groups) - len(shared)
    if n_alone and len(shared) < 2:
        raise SensitiveFeaturesError(
            f"{argument} has {len(shared)} groups of two rows or more, and {n_alone} of one row "
            f"each; at least two groups are needed to compare. Merge some."
        )
    if n_alone:
        rows = "1 row is" if n_alone == 1 else f"{n_alone} rows are each"
        text = (
            f"{argument}: {rows} the only one of its group, of which nothing can be learned; such "
            "rows train the task alone. Merge these groups with others to compare them."
        )
        notes.append((SmallGroupWarning, text))
    return tuple(groups.labels[k] for k in shared)


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)


def named_groups(values: Any, names: list[Any], *, separate: bool) -> dict[Any, tuple[Any, ...]]:
    """Return the groups that a user named, by column where `separate`, else of key None."""
    if isinstance(values, Mapping) != separate:
        wanted = "a dict, a list of groups for each column" if separate else "a list of groups"
        raise SensitiveFeaturesError(f"sensitive_values={values!r} must be {wanted}.")
    lists = dict(values) if separate else {None: values}
    odd = [name for name in lists if name is not None and name not in names]
    if odd:
        raise SensitiveFeaturesError(
            f"sensitive_values names {odd[0]!r}, which is not among the sensitive features; "
            f"these are {', '.join(map(repr, names))}."
        )
    return {name: _sorted_groups(groups) for name, groups in lists.items()}


def check_same_groups(values: Any, known: Mapping[Any, tuple[Any, ...]]) -> None:
    """Raise SensitiveFeaturesError where a user names other groups than a stream began with.

    `known` are these: by column, or of key None where all columns are one attribute.
    """
    named = named_groups(values, [n for n in known if n is not None], separate=None not in known)
    for name, groups in named.items():
        if groups != known[name]:
            raise SensitiveFeaturesError(
                f"sensitive_values={values!r} are not the groups of the first call to "
                f"partial_fit, {list(known[name])!r}; leave them out."
            )


def _sorted_groups(values: Any) -> tuple[Any, ...]:
    is_list = hasattr(values, "__iter__") and not isinstance(values, str | bytes)
    labels = [v.item() if isinstance(v, np.generic) else v for v in values] if is_list else []
    if len(set(labels)) < 2:
        raise SensitiveFeaturesError(
            f"sensitive_values={values!r} must hold two groups at least, as in ['f', 'm']."
        )
    try:
        return tuple(sorted(set(labels)))
    except TypeError:
        return tuple(sorted(set(labels), key=str))
