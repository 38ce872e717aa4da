"""All that a user gives to a fit -> one checked record, before anything is learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.array_rows import as_array_rows, check_array_rows, check_finite_rows
from fairmi._data.columns import kept_columns, sensitive_columns_of, take_columns
from fairmi._data.forms import without_infinite
from fairmi._data.groups import sensitive_frame
from fairmi._data.labels import (
    check_classes,
    check_labels,
    check_stream_classes,
    check_weights,
    class_weights,
    filled_labels,
)
from fairmi._data.named_groups import check_same_groups
from fairmi._data.odd_columns import warn_of_odd_columns
from fairmi._data.probabilities import names_probabilities
from fairmi._data.sensitive import SensitivePlan, SensitiveRows, plan_sensitive
from fairmi._data.tables import check_indexes, check_table, is_frame, n_rows
from fairmi._sklearn_compat import safe_indexing
from fairmi.exceptions import SensitiveFeaturesError, keeping_warnings

_HEADER = ("n_features_in_", "feature_names_in_")


@dataclass(frozen=True)
class FitInput:
    """The n rows of a fit that count, checked.

    `features` is what the encoder reads, `codes` (n,) the position of each label in `classes`,
    `task_weights` and `penalty_weights` (n,) the weights in either term, `sensitive` the sensitive
    features as `plan` reads them, `positions` (n,) says which of the rows
    given these are, `header` has the attributes that scikit-learn gives a fitted estimator for
    the columns of X, of which the encoder reads those at the positions `kept`, and `told` what was
    warned of. Where X is no table, `features` are rows of any shape, which the header has as
    `item_shape_`.
    """

    features: Any
    codes: np.ndarray
    classes: np.ndarray
    task_weights: np.ndarray
    penalty_weights: np.ndarray
    sensitive: SensitiveRows
    plan: SensitivePlan
    positions: np.ndarray
    header: dict[str, Any]
    kept: list[int]
    told: list[tuple[str, str]]


@dataclass(frozen=True)
class _Rows:
    """Checked rows, n of each; `argument` is what an error calls `sensitive`."""

    features: Any
    y: np.ndarray
    weights: np.ndarray  # in the task and in the penalty, (n, 2)
    sensitive: pd.DataFrame
    argument: str
    positions: np.ndarray
    header: dict[str, Any]
    kept: list[int]

    def with_weight(self) -> _Rows:
        """Return the rows whose weights are not both 0."""
        return self._only((self.weights != 0).any(axis=1))

    def of_classes(self, classes: np.ndarray) -> _Rows:
        """Return the rows of these classes."""
        known = set(classes.tolist())
        found = np.array([label in known for label in self.y.tolist()], dtype=bool)
        if not found.any():
            raise ValueError(f"y has none of classes={classes.tolist()!r}; leave this part out.")
        return self._only(found)

    def with_class_weight(self, class_weight: Any, classes: np.ndarray) -> _Rows:
        """Return the rows, each weighed in the task by its class too."""
        if class_weight is None:
            return self
        codes = np.searchsorted(classes, self.y)
        weights = self.weights.copy()
        weights[:, 0] *= class_weights(class_weight, classes, codes, weights[:, 0])[codes]
        return replace(self, weights=weights)

    def _only(self, counts: Any) -> _Rows:
        if counts.all():
            return self
        rows = np.flatnonzero(counts)
        return _Rows(
            safe_indexing(self.features, rows),
            self.y[rows],
            self.weights[rows],
            self.sensitive.iloc[rows].reset_index(drop=True),
            self.argument,
            self.positions[rows],
            self.header,
            self.kept,
        )


def read_fit_input(
    estimator: Any,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    *,
    earlier_classes: np.ndarray | None = None,
) -> FitInput:
    """Read and check what a user gave to `fit`; the estimator is left as it is.

    Parameters
    ----------
    estimator : classifier
        Its parameters say how sensitive features are found and read.
    X, y, sensitive_features, sample_weight
        As `fit` takes them.
    earlier_classes : ndarray or None
        Those of the fit that this one goes on from, if it does; its columns must be those of X.

    Raises
    ------
    ValueError, TypeError, SensitiveFeaturesError
        If anything is malformed; the message names argument, value and fix.
    """
    with keeping_warnings() as told:
        reset = earlier_classes is None
        rows = _rows(estimator, X, y, sensitive_features, sample_weight, reset=reset)
        classes = np.unique(rows.y)
        check_classes(classes, estimator.constraint, earlier_classes)
        rows = rows.with_class_weight(estimator.class_weight, classes)
        return _input(rows, classes, _plan(estimator, rows), told)


def read_stream_input(
    estimator: Any,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    *,
    classes: Any,
    earlier: tuple[np.ndarray, SensitivePlan] | None,
    sensitive_values: Any = None,
    masks: bool = False,
) -> FitInput:
    """Read and check what a user gave to `partial_fit`; the estimator is left as it is.

    `earlier` are classes and plan of the first call; None in that call, which needs `classes`.
    `sensitive_values` are all groups, and `masks` says whether odd values are missing or their
    rows left out, rather than an error. Raises as `read_fit_input` does.
    """
    with keeping_warnings() as told:
        given = _read_part(
            estimator,
            without_infinite(X) if masks and _own_rows(estimator, X) is None else X,
            y,
            sensitive_features,
            sample_weight,
            classes=classes,
            earlier=earlier,
            sensitive_values=sensitive_values,
            masks=masks,
        )
    return replace(given, told=told)


def _read_part(
    estimator: Any,
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: Any,
    *,
    classes: Any,
    earlier: tuple[np.ndarray, SensitivePlan] | None,
    sensitive_values: Any,
    masks: bool,
) -> FitInput:
    first = earlier is None
    rows = _rows(
        estimator, X, y, sensitive_features, sample_weight, reset=first, without_label=masks
    )
    before = None if earlier is None else earlier[0]
    if isinstance(estimator.class_weight, str):
        raise ValueError(
            f'class_weight="{estimator.class_weight}" needs all rows at once; for partial_fit '
            "give a dict of weights, one for each class."
        )
    known = check_stream_classes(classes, rows.y[:0] if masks else rows.y, before)
    if masks:
        rows = rows.of_classes(known)
    rows = rows.with_class_weight(estimator.class_weight, known)
    if earlier is not None:
        if sensitive_values is not None:
            check_same_groups(sensitive_values, earlier[1].groups)
        return _input(rows, known, earlier[1], [], masks=masks)
    check_classes(known, estimator.constraint, None)
    plan = _plan(estimator, rows, values=sensitive_values, masks=masks)
    return _input(rows, known, plan, [], masks=masks)


def _rows(
    estimator: Any,
    X: Any,
    y: Any,
    sensitive: Any,
    weights: Any,
    *,
    reset: bool,
    without_label: bool = False,
) -> _Rows:
    """Return checked rows; `without_label` leaves out those whose label is missing."""
    check_indexes(X=X, y=y, sensitive_features=sensitive, sample_weight=weights)
    X, header, is_table = _checked_features(estimator, X, reset=reset)
    labelled = None
    if without_label:
        y, labelled = filled_labels(y)
    y = check_labels(estimator, X, y)
    weights = check_weights(weights, X)
    if not is_table and estimator.sensitive_columns is not None:
        raise SensitiveFeaturesError(
            f"sensitive_columns={estimator.sensitive_columns!r} are columns of a table, but X is "
            "an array that encoder reads as it is; give sensitive_features beside it, or X as a "
            "DataFrame."
        )
    kept, frame, argument = _split_off_sensitive(
        X,
        sensitive,
        estimator.sensitive_columns,
        drop=estimator.drop_sensitive,
    )
    features = X if len(kept) == X.shape[1] else take_columns(X, kept)
    if reset and is_frame(features):  # columns of arrays and sparse tables are numbers
        warn_of_odd_columns(features)
    weighted = estimator.weighted
    ones = np.ones_like(weights)
    both = [ones if weighted == other else weights for other in ("penalty", "task")]
    rows = _Rows(
        features=features,
        y=y,
        weights=np.column_stack(both),
        sensitive=frame,
        argument=argument,
        positions=np.arange(len(y)),
        header=header,
        kept=kept,
    )
    return rows.with_weight() if labelled is None else rows._only(labelled).with_weight()


def _checked_features(estimator: Any, X: Any, *, reset: bool) -> tuple[Any, dict[str, Any], bool]:
    """Return X, what a fitted estimator keeps of its form, and whether it is a table."""
    rows = _own_rows(estimator, X)
    if rows is not None and (reset or hasattr(estimator, "item_shape_")):
        check_array_rows(rows, None if reset else estimator.item_shape_)
        check_finite_rows(rows)
        shape = tuple(int(n) for n in rows.shape[1:])
        return rows, {"n_features_in_": shape[0], "item_shape_": shape}, False
    # What scikit-learn learns of X is kept on a fresh estimator until the fit has succeeded.
    reader = type(estimator)(**estimator.get_params(deep=False)) if reset else estimator
    X = check_table(reader, X, reset=reset)
    return X, {k: v for k, v in vars(reader).items() if k in _HEADER}, True


def _own_rows(estimator: Any, X: Any) -> Any:
    """Return X as rows for an encoder of the user's own, None where it is a table."""
    return None if getattr(estimator, "encoder", None) is None else as_array_rows(X)


def _plan(
    estimator: Any, rows: _Rows, *, values: Any = None, masks: bool = False
) -> SensitivePlan:
    kinds = estimator.sensitive_kinds
    if names_probabilities(kinds) and not getattr(estimator, "_reads_probabilities", False):
        raise SensitiveFeaturesError(
            f"sensitive_kinds={kinds!r}: {type(estimator).__name__} needs the group of each row, "
            "since its critic is trained on groups; MIBoostingClassifier with its default penalty "
            "and FairReweighing take probabilities."
        )
    return plan_sensitive(
        rows.sensitive,
        rows.weights[:, 1],
        missing=estimator.missing_sensitive,
        argument=rows.argument,
        kinds=kinds,
        separate=isinstance(estimator.lam, dict),
        values=values,
        masks=masks,
    )


def _input(
    rows: _Rows,
    classes: np.ndarray,
    plan: SensitivePlan,
    told: list[tuple[str, str]],
    *,
    masks: bool = False,
) -> FitInput:
    task_weights, penalty_weights = np.ascontiguousarray(rows.weights.T)
    return FitInput(
        features=rows.features,
        codes=np.searchsorted(classes, rows.y),
        classes=classes,
        task_weights=task_weights,
        penalty_weights=penalty_weights,
        sensitive=plan.rows(
            rows.sensitive, n_rows=len(rows.y), argument=rows.argument, masks=masks
        ),
        plan=plan,
        positions=rows.positions,
        header=rows.header,
        kept=rows.kept,
        told=told,
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
