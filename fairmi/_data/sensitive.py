"""How sensitive features were read at fit, to read these rows and later ones alike."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.groups import (
    MAX_CATEGORIES,
    codes_among,
    column_kinds,
    group_rows,
    missing_rows,
    names_probabilities,
    quantities,
    sorted_places,
)
from fairmi._data.probabilities import FeatureColumns, learn_groups, shares_of_groups
from fairmi.core.membership import Membership
from fairmi.exceptions import ColumnWarning, Note, SensitiveFeaturesError, SmallGroupWarning

_MISSING = "missing"


@dataclass(frozen=True)
class AttributePlan:
    """How the columns of one attribute were read at fit, to read later rows alike.

    `continuous` (n_columns,) says which are quantities; `labels` are the groups that the others
    make together. `mean` and `spread` standardise the quantities. Where there are groups beside
    them, all are values to the penalty: each group is an indicator. Of probabilities `features`
    has the fields of each FeatureColumns, and `possible` the combinations that occur.
    """

    continuous: np.ndarray
    labels: tuple[Any, ...]
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    spread: np.ndarray = field(default_factory=lambda: np.zeros(0))
    missing: str = "error"
    features: tuple[tuple[Any, ...], ...] = ()
    possible: tuple[int, ...] = ()

    @property
    def n_groups(self) -> int:
        """Groups G, or 0 where there are quantities, beside which groups are columns too."""
        return 0 if self.continuous.any() else len(self.labels)

    def rows(self, frame: pd.DataFrame, *, argument: str, hides: bool = False) -> Membership:
        """Return the rows of `frame`, whose groups must be among those of fit.

        `hides` says whether rows of other groups are hidden from the penalty, or refused.
        """
        if self.features:
            features = [FeatureColumns(*feature) for feature in self.features]
            shares = shares_of_groups(frame, features, missing=self.missing, argument=argument)
            if np.delete(shares, self.possible, axis=1).any():
                raise SensitiveFeaturesError(
                    f"{argument} has rows in combinations of groups that the first fit did not "
                    "see; leave these rows out."
                )
            return Membership.of_probabilities(shares[:, list(self.possible)])
        frame, known = _without_missing(frame, self.continuous, self.missing, argument)
        frame = frame[known]
        codes = np.zeros(len(frame), dtype=np.int64)
        if self.labels:
            names = frame.loc[:, ~self.continuous]
            codes = codes_among(names, self.labels, argument=argument, hides=hides)
            frame, known[known] = frame[codes >= 0], codes >= 0
            codes = codes[codes >= 0]
        if not self.continuous.any():
            groups = np.zeros(len(known), dtype=np.int64)
            groups[known] = codes
            return Membership.of_codes(groups, self.n_groups, known)
        read = quantities(frame.loc[:, self.continuous], argument=argument)
        values = np.zeros((len(known), len(self.mean) + len(self.labels)))
        values[known, : len(self.mean)] = (read - self.mean) / self.spread
        if self.labels:
            values[np.flatnonzero(known), len(self.mean) + codes] = 1
        return Membership.of_values(values, known)


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

    def rows(
        self, frame: pd.DataFrame, *, argument: str, hides: bool = False
    ) -> tuple[Membership, ...]:
        """Return the rows of `frame` by attribute, read as `AttributePlan.rows` does."""
        if frame.shape[1] != len(self.names):
            raise SensitiveFeaturesError(
                f"{argument} has {frame.shape[1]} columns, {len(self.names)} expected."
            )
        columns = [[j] for j in range(len(self.names))] if self.separate else [slice(None)]
        return tuple(
            plan.rows(frame.iloc[:, part], argument=argument, hides=hides)
            for plan, part in zip(self.plans, columns, strict=True)
        )

    def weigh(self, lam: float | dict[Hashable, float]) -> tuple[float, tuple[float, ...]]:
        """Return λ, the largest where there are several, and the share of it of each attribute.

        SensitiveFeaturesError is raised where `lam` does not name the columns, and them alone, or
        is a dict now and was none at the first fit, or the other way round.
        """
        if isinstance(lam, Mapping) != self.separate:
            raise SensitiveFeaturesError(
                f"lam={lam!r}: a dict in one call and a number in another can't go on from each "
                "other; give the same kind in each."
            )
        if not isinstance(lam, Mapping):
            return float(lam), (1.0,)
        known = ", ".join(map(repr, self.names))
        extra = [name for name in lam if name not in self.names]
        if extra:
            raise SensitiveFeaturesError(
                f"lam has a weight for {extra[0]!r}, which is not among the sensitive features; "
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

    def check_same_groups(self, values: object) -> None:
        """Raise SensitiveFeaturesError where other groups are named than a stream began with."""
        for name, groups in _named_groups(values, self.names, separate=self.separate).items():
            before = self.plans[self.names.index(name) if self.separate else 0].labels
            if groups != before:
                raise SensitiveFeaturesError(
                    f"sensitive_values={values!r} are not the groups of the first call to "
                    f"partial_fit, {list(before)!r}; leave them out."
                )

    def to_plain(self) -> dict[str, Any]:
        """Return what a plan holds, to save it."""
        return {**vars(self), "plans": [dict(vars(plan)) for plan in self.plans]}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> SensitivePlan:
        """Return a plan that was saved."""
        plans = tuple(AttributePlan(**part) for part in plain["plans"])
        return cls(tuple(plain["names"]), plans, plain["separate"])


def plan_sensitive(
    frame: pd.DataFrame,
    weights: np.ndarray,
    *,
    missing: str,
    argument: str,
    kinds: Any = None,
    separate: bool = False,
    values: object = None,
) -> tuple[SensitivePlan, list[Note]]:
    """Learn how to read the sensitive features of a fit, and what to warn of.

    `weights` (n_rows,) are those of the rows in the penalty. A missing value is an "error", a
    group of its own ("category"), or hides its row from the penalty ("mask"); an error names
    `argument`. `kinds` are those of `column_kinds`, or which columns are probabilities. Where
    `separate`, each column is an attribute with its own penalty. `values` are all groups, where
    they are known beforehand; a dict by column where `separate`.
    """
    names = tuple(frame.columns)
    if not names:
        raise SensitiveFeaturesError(f"{argument} has no column; give at least one.")
    if names_probabilities(kinds):
        if separate or values is not None:
            raise SensitiveFeaturesError(
                "sensitive_kinds calls columns probabilities, and these are read together, in a "
                "fit of all rows: give lam as a number, and no sensitive_values."
            )
        if missing == "category":
            raise SensitiveFeaturesError(
                f'missing_sensitive="category" has no meaning for probabilities of groups in '
                f'{argument}; set it to "mask" or "error".'
            )
        features, possible, labels, _ = learn_groups(frame, kinds, argument, missing)
        plan = AttributePlan(
            np.zeros(frame.shape[1], dtype=bool),
            labels,
            missing=missing,
            features=tuple(tuple(feature) for feature in features),
            possible=tuple(possible),
        )
        return SensitivePlan(names, (plan,), False), []
    groups_by_name: dict[Any, tuple[Any, ...]] = {}
    if values is not None:
        groups_by_name = _named_groups(values, names, separate=separate)
        if kinds is None:
            kinds = dict.fromkeys(groups_by_name if separate else names, "categorical")
    notes: list[Note] = []
    continuous = column_kinds(frame, kinds, argument=argument, notes=notes)
    named = names if kinds is not None and not isinstance(kinds, Mapping) else kinds or ()
    for j in [j for j in np.flatnonzero(continuous) if names[j] not in named]:
        numbers = pd.to_numeric(frame.iloc[:, j].dropna())
        if pd.api.types.is_integer_dtype(numbers):
            text = (
                f"{argument}: {names[j]!r} has {numbers.nunique()} distinct whole numbers, more "
                f"than {MAX_CATEGORIES}, and is taken for a quantity. If they are codes of "
                f'groups, give sensitive_kinds={{{names[j]!r}: "categorical"}}; if not, '
                '"continuous" says so.'
            )
            notes.append((ColumnWarning, text))
    parts = [[j] for j in range(len(names))] if separate else [list(range(len(names)))]
    plans = []
    for part in parts:
        groups = groups_by_name.get(names[part[0]] if separate else None, ())
        columns = frame.iloc[:, part]
        plans.append(_plan(columns, continuous[part], weights, missing, argument, groups, notes))
    return SensitivePlan(names, tuple(plans), separate), notes


def check_certain(attributes: Sequence[Membership], reader: str) -> None:
    """Raise SensitiveFeaturesError where rows are in several groups by probability."""
    if not all(members.is_certain for members in attributes):
        raise SensitiveFeaturesError(
            f"sensitive_kinds calls columns probabilities, and {reader} needs the group of each "
            "row: MIDebiasedClassifier, MIBoostingClassifier with its default penalty and "
            "FairReweighing take probabilities; the likeliest group in place of them would not be "
            "what they say."
        )


def _plan(
    frame: pd.DataFrame,
    continuous: np.ndarray,
    weights: np.ndarray,
    missing: str,
    argument: str,
    labels: tuple[Any, ...],
    notes: list[Note],
) -> AttributePlan:
    """Learn how one attribute is read; `labels` are its groups, if its user named them."""
    frame, known = _without_missing(frame, continuous, missing, argument)
    present, weights = frame[known], weights[known]
    if not continuous.all() and not labels:
        groups = group_rows(present.loc[:, ~continuous], argument=argument)
        shared = np.flatnonzero(groups.counts > 1)
        n_alone = len(groups) - len(shared)
        if n_alone and len(shared) < 2:
            raise SensitiveFeaturesError(
                f"{argument} has {len(shared)} groups of two rows or more, and {n_alone} of one "
                "row each; at least two groups are needed to compare. Merge some."
            )
        if n_alone:  # of which the note names no value: a model keeps it
            rows = "1 row is" if n_alone == 1 else f"{n_alone} rows are each"
            text = (
                f"{argument}: {rows} the only one of its group, of which nothing can be learned; "
                "such rows train the task alone. Merge these groups with others to compare them."
            )
            notes.append((SmallGroupWarning, text))
        labels = tuple(groups.labels[k] for k in shared)
    values = quantities(present.loc[:, continuous], argument=argument)
    mean = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    if (spread == 0).any():
        raise SensitiveFeaturesError(
            f"{argument} has one value alone in a continuous column; drop it, or give groups."
        )
    # In float32, so that the order in which rows are summed leaves no trace.
    mean, spread = (part.astype(np.float32).astype(np.float64) for part in (mean, spread))
    return AttributePlan(continuous, labels, mean, spread, missing)


def _without_missing(
    frame: pd.DataFrame, continuous: np.ndarray, missing: str, argument: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the columns and which rows are known; "category" fills gaps by a group."""
    if missing == "category":
        frame = frame.copy()
        for name in frame.columns[~continuous]:
            column = frame[name].astype(object)
            frame[name] = column.where(column.notna(), _MISSING)
    known = ~frame.isna().to_numpy().any(axis=1)
    if missing != "mask" and not known.all():
        raise SensitiveFeaturesError(
            f"{argument} has a missing value (NaN or None) in {missing_rows(frame)}; drop "
            'these rows, or set missing_sensitive to "mask" (they train the task alone) or, for '
            'groups, to "category".'
        )
    return frame, known


def _named_groups(
    values: Any, names: Sequence[Any], *, separate: bool
) -> dict[Any, tuple[Any, ...]]:
    """Return the groups that a user named, by column where `separate`, else of key None."""
    if isinstance(values, Mapping) != separate:
        wanted = "a dict, a list of groups for each column" if separate else "a list of groups"
        raise SensitiveFeaturesError(f"sensitive_values={values!r} must be {wanted}.")
    lists = dict(values) if separate else {None: values}
    extra = [name for name in lists if name is not None and name not in names]
    if extra:
        raise SensitiveFeaturesError(
            f"sensitive_values names {extra[0]!r}, which is not among the sensitive features; "
            f"these are {', '.join(map(repr, names))}."
        )
    by_name = {}
    for name, groups in lists.items():
        is_list = hasattr(groups, "__iter__") and not isinstance(groups, str | bytes)
        every = groups if is_list else ()
        distinct = {v.item() if isinstance(v, np.generic) else v for v in every}
        if len(distinct) < 2:
            raise SensitiveFeaturesError(
                f"sensitive_values={groups!r} must hold two groups at least, as in ['f', 'm']."
            )
        labels = list(distinct)
        by_name[name] = tuple(labels[k] for k in sorted_places(labels))
    return by_name


def check_lam(lam: object) -> None:
    """Raise ValueError where λ is a truth value, or a dict of it is no dict of numbers >= 0."""
    if isinstance(lam, bool | np.bool_):
        raise ValueError(f"lam={lam!r} is a truth value; give a number >= 0, 0 for no penalty.")
    if lam == {}:
        raise ValueError("lam={} names no sensitive feature; give a number, or λ for each.")
    for name, value in lam.items() if isinstance(lam, dict) else ():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not 0 <= float(value) < np.inf:
            raise ValueError(f"lam has {value!r} for {name!r}; give a finite number >= 0.")
