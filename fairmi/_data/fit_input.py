"""All that a user gives to a fit, y and weights too -> one record, before anything is learned."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import assert_all_finite, column_or_1d

from fairmi._data.groups import names_probabilities, sensitive_frame
from fairmi._data.sensitive import SensitivePlan, plan_sensitive
from fairmi._data.tables import (
    Header,
    Table,
    as_array_rows,
    check_array_rows,
    check_finite_rows,
    check_table,
    column_positions,
    notes_of_columns,
    sensitive_columns_of,
    take_columns,
)
from fairmi._data.values import check_indexes, n_rows, named, plain, plain_series
from fairmi._sklearn_compat import check_sample_weight, safe_indexing
from fairmi.core.membership import Membership
from fairmi.exceptions import Note, SensitiveFeaturesError, SmallGroupWarning

_SAFE = (1e-30, 1e30)  # of the largest weight; float32 holds what lies between


@dataclass(frozen=True)
class RowOptions:
    """What an estimator's parameters say of how the rows of a fit are read.

    `name` is what messages call the estimator, `reads` what y is to it, `separate` whether each
    sensitive column is an attribute with a λ of its own, `own_rows` whether an encoder of the
    user's reads rows of any shape, and `reads_probabilities` whether groups may be known by
    probability alone. The other fields are parameters of their names.
    """

    name: str
    sensitive_columns: Any
    drop_sensitive: bool
    missing_sensitive: str
    constraint: str = "demographic_parity"
    sensitive_kinds: Any = None
    weighted: str = "both"
    class_weight: Any = None
    reads: Literal["classes", "numbers", "nothing"] = "classes"
    separate: bool = False
    own_rows: bool = False
    reads_probabilities: bool = False

    @classmethod
    def of(cls, parameters: Mapping[str, Any], name: str, **known: Any) -> Self:
        """Return the options in an estimator's parameters, with others that are known."""
        own = {
            field.name: parameters[field.name] for field in fields(cls) if field.name in parameters
        }
        return cls(
            name=name,
            separate=isinstance(parameters.get("lam"), dict),
            own_rows=parameters.get("encoder") is not None,
            **own,
            **known,
        )


Earlier = tuple[Header, np.ndarray | None, SensitivePlan | None]
"""Columns, classes if any, and plan if it stays, of the rows as which later ones are read."""


@dataclass(frozen=True)
class FitInput:
    """The n rows of a fit that count, checked, and encoded by `preprocessing.encode_rows`.

    `features` is what the encoder reads, `codes` (n,) the position of each label in `classes`, or
    numbers where there are none, `task_weights` and `penalty_weights` (n,) the weights in either
    term, `members` who is in which group, by attribute, as `plan` reads it, `positions` (n,) says
    which of the rows given these are, `header` has the columns of X, of which the encoder reads
    those at the positions `kept`, and `notes` what its user should be warned of.

    Of encoded rows `features` are the bin positions of a table (n, n_columns), which `layout`
    spreads out; without a layout the rows of a sparse table, or what reads rows of any shape.
    """

    features: Any
    codes: np.ndarray
    classes: np.ndarray
    task_weights: np.ndarray
    penalty_weights: np.ndarray
    members: tuple[Membership, ...]
    plan: SensitivePlan
    positions: np.ndarray
    header: Header
    kept: list[int]
    notes: list[Note]
    layout: Any = None

    @property
    def n_inputs(self) -> int:
        """Columns that networks read of encoded rows."""
        return int(self.features.shape[1] if self.layout is None else self.layout.width)

    @property
    def totals(self) -> np.ndarray:
        """Rows, and their summed weights in task and penalty, (3,)."""
        return np.array([len(self.codes), self.task_weights.sum(), self.penalty_weights.sum()])


def read_fit_input(
    options: RowOptions,
    X: object,
    y: object,
    sensitive_features: object,
    sample_weight: object,
    *,
    earlier: Earlier | None = None,
    in_parts: bool = False,
    classes: object = None,
    sensitive_values: object = None,
) -> FitInput:
    """Read and check what a user gave to `fit` or `partial_fit`.

    `earlier` is that of the fit that this one goes on from, or of the first part of a stream, and
    `in_parts` says whether the rows are a part of one. The first needs all `classes`, and may name
    all groups, `sensitive_values`.
    """
    header, known, plan = earlier or (None, None, None)
    check_indexes(X=X, y=y, sensitive_features=sensitive_features, sample_weight=sample_weight)
    table, new_header = _checked_features(options, X, header)
    labels = _read_y(options, table, y, first=plan is None)
    weights = check_weights(sample_weight, table)
    kept, frame, argument = _split_off_sensitive(options, table, new_header, sensitive_features)
    features = table if len(kept) == table.shape[1] else take_columns(table, kept)
    notes: list[Note] = []
    if header is None and isinstance(features, pd.DataFrame):  # else columns are numbers
        notes = notes_of_columns(features)
    task = weights if options.weighted != "penalty" else np.ones_like(weights)
    penalty = weights if options.weighted != "task" else np.ones_like(weights)
    rows = np.flatnonzero((task != 0) | (penalty != 0))
    if len(rows) < len(labels):
        features, frame = safe_indexing(features, rows), frame.iloc[rows].reset_index(drop=True)
        labels, task, penalty = labels[rows], task[rows], penalty[rows]
    codes, all_classes = labels, np.zeros(0)
    if options.reads == "classes":
        all_classes = _classes_of(options, labels, known, classes, in_parts=in_parts)
        codes = np.searchsorted(all_classes, labels)
    if options.class_weight is not None:
        task = task * class_weights(options.class_weight, all_classes, codes, task)[codes]
    hides = False
    if plan is None:
        kinds = options.sensitive_kinds
        if names_probabilities(kinds) and not options.reads_probabilities:
            raise SensitiveFeaturesError(
                f"sensitive_kinds={kinds!r}: {options.name} needs the group of each row; "
                "MIDebiasedClassifier, MIBoostingClassifier with its default penalty and "
                "FairReweighing take probabilities."
            )
        plan, of_plan = plan_sensitive(
            frame,
            penalty,
            missing=options.missing_sensitive,
            argument=argument,
            kinds=kinds,
            separate=options.separate,
            values=sensitive_values,
        )
        notes += of_plan
        # Groups that a plan of these rows doesn't know are those of one row.
        hides = any(kind is SmallGroupWarning for kind, _ in of_plan)
    elif sensitive_values is not None:
        plan.check_same_groups(sensitive_values)
    return FitInput(
        features=features,
        codes=codes,
        classes=all_classes,
        task_weights=task,
        penalty_weights=penalty,
        members=plan.rows(frame, argument=argument, hides=hides),
        plan=plan,
        positions=rows,
        header=new_header,
        kept=kept,
        notes=notes,
    )


def _read_y(options: RowOptions, table: Table, y: object, *, first: bool) -> np.ndarray:
    """Return y as labels or finite numbers, (n_rows,), zeros where it is not read."""
    name = options.name
    if options.reads == "classes":
        return check_labels(name, table, y)
    if options.reads == "nothing":
        if n_rows(table) < 2 and first:
            raise ValueError(f"X has n_samples={n_rows(table)}; {name} needs two rows at least.")
        return np.zeros(n_rows(table))
    numbers = _check_column(name, table, y)
    if numbers.dtype.kind not in "iuf":
        try:
            if any(isinstance(value, str | bool | np.bool_) for value in numbers):
                raise TypeError
            numbers = np.array([float(value) for value in numbers])
        except (TypeError, ValueError):
            raise ValueError(
                f"y holds {numbers[0]!r}, which is no number, and {name} predicts numbers; for "
                f"classes take {_other_of(name, 'Classifier')}."
            ) from None
    numbers = numbers.astype(np.float64)
    assert_all_finite(numbers, input_name="y")
    if (numbers == numbers[0]).all() and first:
        raise ValueError(
            f"y has the one value {numbers[0]:g} in all of n_samples={len(numbers)} rows; a "
            "regressor needs at least two values."
        )
    return numbers


def _classes_of(
    options: RowOptions,
    labels: np.ndarray,
    known: np.ndarray | None,
    all_named: object,
    *,
    in_parts: bool,
) -> np.ndarray:
    """Return the classes of labels, or of the stream that they are a part of, sorted.

    `known` are those of the fit before, or of a stream's first call.
    """
    classes = np.unique(labels)
    if in_parts:
        if isinstance(options.class_weight, str):
            raise ValueError(
                f'class_weight="{options.class_weight}" needs all rows at once; for partial_fit '
                "give a dict of weights, one for each class."
            )
        classes = _classes_of_stream(all_named, classes, known)
    n = len(classes)
    if n < 2:
        raise ValueError(
            f"y has 1 class, {classes.tolist()[0]!r}; a classifier needs at least two classes."
        )
    if known is not None and not in_parts and not np.array_equal(classes, known):
        raise ValueError(
            f"warm_start=True goes on from a fit of classes {known.tolist()}, but y has "
            f"{classes.tolist()}; give the same classes, or set warm_start=False."
        )
    if options.constraint == "equal_opportunity" and n > 2:
        raise ValueError(
            f'constraint="equal_opportunity" needs two classes, but y has {n}; use '
            '"equalized_odds".'
        )
    return classes


def _classes_of_stream(
    all_named: object, of_part: np.ndarray, known: np.ndarray | None
) -> np.ndarray:
    """Return the classes of a stream: `known` of its first call, or `all_named` in it."""
    if known is None and all_named is None:
        raise ValueError(
            "classes is None in the first call to partial_fit; give all classes that the "
            "stream will bring, as in classes=[0, 1]."
        )
    classes = known
    if all_named is not None:
        with named("classes"):
            values = column_or_1d(plain_series(all_named))
            if values.dtype.kind == "f":
                assert_all_finite(values, input_name="classes")
            elif pd.isna(values).any():
                raise ValueError("classes holds a missing value; leave it out.")
            check_classification_targets(values)
            classes = np.unique(values)
        if known is not None and not np.array_equal(classes, known):
            raise ValueError(
                f"classes={classes.tolist()!r} is not what the first call to partial_fit had: "
                f"{known.tolist()!r}; leave it out."
            )
    assert classes is not None
    members = set(classes.tolist())
    unseen = [label for label in of_part.tolist() if label not in members]
    if unseen:
        raise ValueError(
            f"y has classes {unseen!r} that are not among classes={classes.tolist()!r} of the "
            "first call to partial_fit; name them there."
        )
    return classes


def _checked_features(
    options: RowOptions, X: object, header: Header | None
) -> tuple[Table, Header]:
    rows = as_array_rows(X) if options.own_rows else None
    if rows is not None and (header is None or header.item_shape is not None):
        check_array_rows(rows, None if header is None else header.item_shape)
        check_finite_rows(rows)
        shape = tuple(int(n) for n in rows.shape[1:])
        return rows, Header(options.name, shape[0], item_shape=shape)
    return check_table(options.name, X, header)


def _split_off_sensitive(
    options: RowOptions, X: Table, header: Header, sensitive_features: Any
) -> tuple[list[int], pd.DataFrame, str]:
    """Return which columns the encoder reads, the sensitive features, and their name."""
    columns, every = options.sensitive_columns, list(range(X.shape[1]))
    if columns is not None:
        if header.item_shape is not None:
            raise SensitiveFeaturesError(
                f"sensitive_columns={columns!r} are columns of a table, but X is an array that "
                "encoder reads as it is; give sensitive_features beside it, or X as a DataFrame."
            )
        if sensitive_features is not None:
            raise SensitiveFeaturesError(
                f"sensitive_features is given, and sensitive_columns={columns!r} too; give one "
                "of them."
            )
        sensitive = sensitive_columns_of(X, columns)
        kept = every
        if options.drop_sensitive:
            positions = column_positions(X, columns)
            kept = [j for j in every if j not in positions]
        if not kept:
            raise ValueError(
                f"drop_sensitive=True leaves no column of X: sensitive_columns={columns!r} are "
                "all that it has; give more columns, or drop_sensitive=False."
            )
        return kept, sensitive, f"sensitive_columns={columns!r}"
    if sensitive_features is None:
        raise SensitiveFeaturesError(
            "No sensitive features: give fit(X, y, sensitive_features=...), or name columns "
            "of X in sensitive_columns. To train without the penalty give them and set lam=0."
        )
    if options.drop_sensitive:
        raise SensitiveFeaturesError(
            "drop_sensitive=True has no columns to drop: sensitive_columns is None. Name "
            "them there, or drop them from X yourself."
        )
    is_list = isinstance(sensitive_features, list | tuple) and len(sensitive_features) < X.shape[0]
    names = sensitive_features if is_list else [sensitive_features]
    if names and all(isinstance(name, str) for name in names):
        raise SensitiveFeaturesError(
            f"sensitive_features={sensitive_features!r} is a name, not a value for each row of X; "
            f"name columns of X in the constructor: sensitive_columns={sensitive_features!r}."
        )
    frame = sensitive_frame(sensitive_features, n_rows=X.shape[0])
    return every, frame, "sensitive_features"


def check_labels(name: str, X: Table, y: object) -> np.ndarray:
    """Return y as a 1-d array of classes without missing values, as long as X.

    `name` is the estimator's.
    """
    labels = _check_column(name, X, y)
    with named("y"):
        is_quantity = type_of_target(labels) == "continuous"
        if not is_quantity:
            check_classification_targets(labels)
    if is_quantity:
        raise ValueError(
            f"y: Unknown label type: continuous. It holds numbers such as {labels[0]:g}, and "
            f"{name} needs classes; give these, or take {_other_of(name, 'Regressor')}."
        )
    return labels


def _other_of(name: str, kind: str) -> str:
    """Return the regressor, or classifier, that is the counterpart of an estimator."""
    return f"{'MIDebiased' if name.startswith('MIDebiased') else 'MIBoosting'}{kind}"


def _check_column(name: str, X: Table, y: object) -> np.ndarray:
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    with named("y"):
        column = column_or_1d(plain_series(y), warn=True)
    if column.dtype.kind == "f":
        assert_all_finite(column, input_name="y")
    elif pd.isna(column).any():
        raise ValueError(
            f"Input y contains NaN in {int(pd.isna(column).sum())} rows; drop the rows without a "
            "label."
        )
    if len(column) != n_rows(X):
        raise ValueError(
            f"y has {len(column)} rows, but X has {n_rows(X)}; give one label for each row of X."
        )
    return np.asarray(column)


def check_weights(sample_weight: object, X: Table) -> np.ndarray:
    """Return a weight >= 0 for each row of X; all 1 where none are given.

    Weights so large or small that their sums leave the range of floats are scaled to at most 1;
    one that is then 0 is as far below the others as no number can tell.
    """
    with named("sample_weight"):
        weights = plain(sample_weight, argument="sample_weight")
        weights = check_sample_weight(weights, X, ensure_non_negative=True)
        # A single number for all rows, or an older scikit-learn, lets these pass.
        if weights.dtype.kind not in "biuf":
            raise ValueError(f"Sample weights of type {weights.dtype}; give real numbers >= 0.")
        assert_all_finite(weights, input_name="sample_weight")
        if not weights.any():
            raise ValueError(
                "Sample weights are all 0; they must contain at least one non-zero number."
            )
    largest = weights.max()
    if _SAFE[0] < largest < _SAFE[1]:
        return weights
    return np.asarray(weights / largest, dtype=np.float64)


def class_weights(
    class_weight: str | Mapping[Hashable, Any],
    classes: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Return the weight of each class, (n_classes,): as a dict says, or "balanced".

    Balanced classes have the same summed weight, that of all rows over their number.
    """
    if isinstance(class_weight, str):
        sums = np.bincount(codes, weights, minlength=len(classes))
        return sums.sum() / (len(classes) * np.where(sums > 0, sums, np.inf))
    known = classes.tolist()
    for label, weight in class_weight.items():
        if label not in known:
            raise ValueError(
                f"class_weight has a weight for {label!r}, which is no class; these are {known}."
            )
        if not isinstance(weight, Real) or not 0 < float(weight) < np.inf:
            raise ValueError(
                f"class_weight has {weight!r} for class {label!r}; give a positive number."
            )
    return np.array([float(class_weight.get(label, 1.0)) for label in known])
