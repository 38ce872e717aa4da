"""All that a user gives to a fit -> one checked record, before anything is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd

from fairmi._data.columns import kept_columns, sensitive_columns_of, take_columns
from fairmi._data.groups import sensitive_frame
from fairmi._data.kinds import notes_of_columns
from fairmi._data.labels import (
    check_classes,
    check_labels,
    check_numbers,
    check_stream_classes,
    check_weights,
    class_weights,
)
from fairmi._data.probabilities import names_probabilities
from fairmi._data.sensitive import SensitivePlan, SensitiveRows, check_same_groups, plan_sensitive
from fairmi._data.tables import (
    Header,
    as_array_rows,
    check_array_rows,
    check_finite_rows,
    check_indexes,
    check_table,
    n_rows,
)
from fairmi._sklearn_compat import safe_indexing
from fairmi.exceptions import Note, SensitiveFeaturesError, SmallGroupWarning


@dataclass(frozen=True)
class RowOptions:
    """What an estimator's parameters say of how the rows of a fit are read.

    `name` is what messages call the estimator, `separate` whether each sensitive column is an
    attribute with a λ of its own, `own_rows` whether an encoder of the user's reads rows of any
    shape, and `reads_probabilities` whether groups may be known by probability alone. The other
    fields are parameters of their names.
    """

    name: str
    constraint: str
    sensitive_columns: Any
    drop_sensitive: bool
    missing_sensitive: str
    sensitive_kinds: Any = None
    weighted: str = "both"
    class_weight: Any = None
    separate: bool = False
    own_rows: bool = False
    reads_probabilities: bool = False

    @classmethod
    def of(
        cls, parameters: Mapping[str, Any], name: str, *, reads_probabilities: bool = False
    ) -> Self:
        """Return the options in an estimator's parameters."""
        read = {"name", "separate", "own_rows", "reads_probabilities"}
        own = [field.name for field in fields(cls) if field.name not in read]
        return cls(
            name=name,
            separate=isinstance(parameters["lam"], dict),
            own_rows=parameters.get("encoder") is not None,
            reads_probabilities=reads_probabilities,
            **{field: parameters[field] for field in own if field in parameters},
        )


Earlier = tuple[Header, np.ndarray, SensitivePlan]
"""Columns, classes and plan of the rows as which later ones are read."""


@dataclass(frozen=True)
class FitInput:
    """The n rows of a fit that count, checked.

    `features` is what the encoder reads, `codes` (n,) the position of each label in `classes`, or
    numbers where there are none, `task_weights` and `penalty_weights` (n,) the weights in either
    term, `sensitive` the sensitive features as `plan` reads them, `positions` (n,) says which of
    the rows given these are, `header` has the columns of X, of which the encoder reads those at
    the positions `kept`, and `notes` what its user should be warned of.
    """

    features: Any
    codes: np.ndarray
    classes: np.ndarray
    task_weights: np.ndarray
    penalty_weights: np.ndarray
    sensitive: SensitiveRows
    plan: SensitivePlan
    positions: np.ndarray
    header: Header
    kept: list[int]
    notes: list[Note]


@dataclass(frozen=True)
class _Rows:
    """Checked rows, n of each; `argument` is what an error calls `sensitive`."""

    features: Any
    y: np.ndarray
    weights: np.ndarray  # in the task and in the penalty, (n, 2)
    sensitive: pd.DataFrame
    argument: str
    positions: np.ndarray
    header: Header
    kept: list[int]
    notes: list[Note]

    def with_weight(self) -> _Rows:
        """Return the rows whose weights are not both 0."""
        counts = (self.weights != 0).any(axis=1)
        if counts.all():
            return self
        rows = np.flatnonzero(counts)
        return replace(
            self,
            features=safe_indexing(self.features, rows),
            y=self.y[rows],
            weights=self.weights[rows],
            sensitive=self.sensitive.iloc[rows].reset_index(drop=True),
            positions=self.positions[rows],
        )

    def with_class_weight(self, class_weight: Any, classes: np.ndarray) -> _Rows:
        """Return the rows, each weighed in the task by its class too."""
        if class_weight is None:
            return self
        codes = np.searchsorted(classes, self.y)
        weights = self.weights.copy()
        weights[:, 0] *= class_weights(class_weight, classes, codes, weights[:, 0])[codes]
        return replace(self, weights=weights)


def read_fit_input(
    options: RowOptions,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    *,
    earlier: tuple[Header, np.ndarray] | None = None,
) -> FitInput:
    """Read and check what a user gave to `fit`.

    Parameters
    ----------
    options : RowOptions
    X, y, sensitive_features, sample_weight
        As `fit` takes them.
    earlier : (Header, ndarray) or None
        Columns and classes of the fit that this one goes on from, if it does.

    Raises
    ------
    ValueError, TypeError, SensitiveFeaturesError
        If anything is malformed; the message names argument, value and fix.
    """
    header, known = (None, None) if earlier is None else earlier
    rows = _rows(options, X, y, sensitive_features, sample_weight, header)
    classes = np.unique(rows.y)
    check_classes(classes, options.constraint, known)
    rows = rows.with_class_weight(options.class_weight, classes)
    return _input(rows, classes, *_plan(options, rows))


def read_quantity_input(
    options: RowOptions,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    *,
    earlier: tuple[Header, SensitivePlan | None] | None = None,
    sensitive_values: Any = None,
) -> FitInput:
    """Read and check what a user gave to `fit` or `partial_fit` of a regressor.

    `earlier` are the columns of the fit that this one goes on from, and its plan where this is a
    later part of a stream. `sensitive_values` are all groups. Raises as `read_fit_input` does.
    """
    header, plan = (None, None) if earlier is None else earlier
    check = check_numbers if plan is None else partial(check_numbers, may_be_constant=True)
    rows = _rows(options, X, y, sensitive_features, sample_weight, header, check_y=check)
    if plan is None:
        return _input(rows, np.zeros(0), *_plan(options, rows, values=sensitive_values))
    if sensitive_values is not None:
        check_same_groups(sensitive_values, plan.groups)
    return _input(rows, np.zeros(0), plan, [])


def read_stream_input(
    options: RowOptions,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    *,
    classes: Any,
    earlier: Earlier | None,
    sensitive_values: Any = None,
) -> FitInput:
    """Read and check what a user gave to `partial_fit`.

    `earlier` are columns, classes and plan of the first call; None in that call, which needs
    `classes`. `sensitive_values` are all groups. Raises as `read_fit_input` does.
    """
    header, before, plan = (None, None, None) if earlier is None else earlier
    rows = _rows(options, X, y, sensitive_features, sample_weight, header)
    if isinstance(options.class_weight, str):
        raise ValueError(
            f'class_weight="{options.class_weight}" needs all rows at once; for partial_fit '
            "give a dict of weights, one for each class."
        )
    known = check_stream_classes(classes, rows.y, before)
    rows = rows.with_class_weight(options.class_weight, known)
    if plan is not None:
        if sensitive_values is not None:
            check_same_groups(sensitive_values, plan.groups)
        return _input(rows, known, plan, [])
    check_classes(known, options.constraint, None)
    return _input(rows, known, *_plan(options, rows, values=sensitive_values))


def _rows(
    options: RowOptions,
    X: Any,
    y: Any,
    sensitive: Any,
    weights: Any,
    header: Header | None,
    *,
    check_y: Callable[[str, Any, Any], np.ndarray] = check_labels,
) -> _Rows:
    """Return checked rows; `header` has the columns that X must have, None where it may be any."""
    check_indexes(X=X, y=y, sensitive_features=sensitive, sample_weight=weights)
    X, found = _checked_features(options, X, header)
    y = check_y(options.name, X, y)
    weights = check_weights(weights, X)
    if found.item_shape is not None and options.sensitive_columns is not None:
        raise SensitiveFeaturesError(
            f"sensitive_columns={options.sensitive_columns!r} are columns of a table, but X is "
            "an array that encoder reads as it is; give sensitive_features beside it, or X as a "
            "DataFrame."
        )
    kept, frame, argument = _split_off_sensitive(
        X, sensitive, options.sensitive_columns, drop=options.drop_sensitive
    )
    features = X if len(kept) == X.shape[1] else take_columns(X, kept)
    # Columns of arrays and sparse tables are numbers.
    notes = (
        notes_of_columns(features) if header is None and isinstance(features, pd.DataFrame) else []
    )
    ones = np.ones_like(weights)
    both = [ones if options.weighted == other else weights for other in ("penalty", "task")]
    return _Rows(
        features=features,
        y=y,
        weights=np.column_stack(both),
        sensitive=frame,
        argument=argument,
        positions=np.arange(len(y)),
        header=found,
        kept=kept,
        notes=notes,
    ).with_weight()


def _checked_features(options: RowOptions, X: Any, header: Header | None) -> tuple[Any, Header]:
    rows = as_array_rows(X) if options.own_rows else None
    if rows is not None and (header is None or header.item_shape is not None):
        check_array_rows(rows, None if header is None else header.item_shape)
        check_finite_rows(rows)
        shape = tuple(int(n) for n in rows.shape[1:])
        return rows, Header(options.name, shape[0], item_shape=shape)
    return check_table(options.name, X, header)


def _plan(
    options: RowOptions, rows: _Rows, *, values: Any = None
) -> tuple[SensitivePlan, list[Note]]:
    kinds = options.sensitive_kinds
    if names_probabilities(kinds) and not options.reads_probabilities:
        raise SensitiveFeaturesError(
            f"sensitive_kinds={kinds!r}: {options.name} needs the group of each row, "
            "since its critic is trained on groups; MIBoostingClassifier with its default penalty "
            "and FairReweighing take probabilities."
        )
    return plan_sensitive(
        rows.sensitive,
        rows.weights[:, 1],
        missing=options.missing_sensitive,
        argument=rows.argument,
        kinds=kinds,
        separate=options.separate,
        values=values,
    )


def _input(rows: _Rows, classes: np.ndarray, plan: SensitivePlan, notes: list[Note]) -> FitInput:
    task_weights, penalty_weights = np.ascontiguousarray(rows.weights.T)
    # Of a fit whose plan is its own, groups that the plan doesn't know are those of one row.
    hides = any(kind is SmallGroupWarning for kind, _ in notes)
    return FitInput(
        features=rows.features,
        codes=np.searchsorted(classes, rows.y) if len(classes) else rows.y,
        classes=classes,
        task_weights=task_weights,
        penalty_weights=penalty_weights,
        sensitive=plan.rows(
            rows.sensitive, n_rows=len(rows.y), argument=rows.argument, hides=hides
        ),
        plan=plan,
        positions=rows.positions,
        header=rows.header,
        kept=rows.kept,
        notes=rows.notes + notes,
    )


def _split_off_sensitive(
    X: Any, sensitive_features: Any, columns: Any, *, drop: bool
) -> tuple[list[int], pd.DataFrame, str]:
    """Return which columns the encoder reads, the sensitive features, and what errors call these.

    Parameters
    ----------
    X : DataFrame, ndarray or csr_array of shape (n_rows, n_features)
    sensitive_features : array-like or None
        Sensitive features beside X.
    columns : str, int, list of these or None
        Columns of X that are the sensitive features.
    drop : bool
        Whether to keep these out of the encoder.

    Raises
    ------
    SensitiveFeaturesError
        If both or neither are there, or `drop` has no columns.
    """
    if columns is not None:
        if sensitive_features is not None:
            raise SensitiveFeaturesError(
                f"sensitive_features is given, and sensitive_columns={columns!r} too; give one "
                "of them."
            )
        sensitive = sensitive_columns_of(X, columns)
        kept = kept_columns(X, columns) if drop else list(range(X.shape[1]))
        return kept, sensitive, f"sensitive_columns={columns!r}"
    if sensitive_features is None:
        raise SensitiveFeaturesError(
            "No sensitive features: give fit(X, y, sensitive_features=...), or name columns "
            "of X in sensitive_columns. To train without the penalty give them and set lam=0."
        )
    if drop:
        raise SensitiveFeaturesError(
            "drop_sensitive=True has no columns to drop: sensitive_columns is None. Name "
            "them there, or drop them from X yourself."
        )
    _refuse_names(X, sensitive_features)
    return list(range(X.shape[1])), sensitive_frame(sensitive_features), "sensitive_features"


def _refuse_names(X: Any, sensitive_features: Any) -> None:
    """Raise SensitiveFeaturesError where names of columns are given in place of their values."""
    is_list = isinstance(sensitive_features, list | tuple) and len(sensitive_features) < n_rows(X)
    names = sensitive_features if is_list else [sensitive_features]
    if names and all(isinstance(name, str) for name in names):
        raise SensitiveFeaturesError(
            f"sensitive_features={sensitive_features!r} is a name, not a value for each row of X; "
            f"name columns of X in the constructor: sensitive_columns={sensitive_features!r}."
        )
