"""y and sample_weight in any form -> checked arrays, and what groups tell of y."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import assert_all_finite, column_or_1d

from fairmi._data.tables import Table
from fairmi._data.values import n_rows, named, plain, plain_series
from fairmi._sklearn_compat import check_sample_weight
from fairmi.core.membership import Membership
from fairmi.exceptions import SensitiveFeaturesError

_SAFE = (1e-30, 1e30)  # of the largest weight; float32 holds what lies between


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


def check_numbers(name: str, X: Table, y: object, *, may_be_constant: bool = False) -> np.ndarray:
    """Return y as a 1-d float64 array of finite numbers, as long as X."""
    numbers = _check_column(name, X, y)
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
    if (numbers == numbers[0]).all() and not may_be_constant:
        raise ValueError(
            f"y has the one value {numbers[0]:g} in all of n_samples={len(numbers)} rows; a "
            "regressor needs at least two values."
        )
    return numbers


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


def check_classes(classes: np.ndarray, constraint: str, earlier: np.ndarray | None) -> None:
    """Raise ValueError where a fit can't have these classes, or not after those of an earlier."""
    n = len(classes)
    if n < 2:
        raise ValueError(
            f"y has 1 class, {classes.tolist()[0]!r}; a classifier needs at least two classes."
        )
    if earlier is not None and not np.array_equal(classes, earlier):
        raise ValueError(
            f"warm_start=True goes on from a fit of classes {earlier.tolist()}, but y has "
            f"{classes.tolist()}; give the same classes, or set warm_start=False."
        )
    if constraint == "equal_opportunity" and n > 2:
        raise ValueError(
            f'constraint="equal_opportunity" needs two classes, but y has {n}; use '
            '"equalized_odds".'
        )


def check_stream_classes(classes: object, y: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Return the classes of a stream, sorted; `known` are those of its first call, if it was."""
    if known is None:
        if classes is None:
            raise ValueError(
                "classes is None in the first call to partial_fit; give all classes that the "
                "stream will bring, as in classes=[0, 1]."
            )
        known = _distinct(classes)
    elif classes is not None:
        others = _distinct(classes)
        if not np.array_equal(others, known):
            raise ValueError(
                f"classes={others.tolist()!r} is not what the first call to partial_fit had: "
                f"{known.tolist()!r}; leave it out."
            )
    members = set(known.tolist())
    unseen = [label for label in np.unique(y).tolist() if label not in members]
    if unseen:
        raise ValueError(
            f"y has classes {unseen!r} that are not among classes={known.tolist()!r} of the "
            "first call to partial_fit; name them there."
        )
    return known


def _distinct(classes: object) -> np.ndarray:
    with named("classes"):
        values = column_or_1d(plain_series(classes))
        if values.dtype.kind == "f":
            assert_all_finite(values, input_name="classes")
        elif pd.isna(values).any():
            raise ValueError("classes holds a missing value; leave it out.")
        check_classification_targets(values)
        return np.unique(values)


# Rows' worth of the shares over all that each group's shares are drawn to.
_PRIOR_ROWS = 1.0


def prior_offsets(
    codes: np.ndarray,
    attributes: Sequence[Membership],
    weights: np.ndarray,
    n_classes: int,
) -> np.ndarray:
    """Return log p(y | c) - log p(y) of each row, to be added to its scores in training.

    What is then learned has no need to tell what c tells of y: its scores are those of a
    population in which y and c are independent.

    Source: Hong and Yang, *Unbiased Classification through Bias-Contrastive and Bias-Balanced
    Learning*, NeurIPS 2021.

    `codes` (n_rows,) are classes; of several attributes c is their intersection. Returned are
    (n_rows, n_classes), or (n_rows, 1) for the log odds of two classes: 0 where a group is not
    known.
    """
    if not all(members.n_groups for members in attributes):
        raise SensitiveFeaturesError(
            "prior_correction=True counts the classes of each group, but the sensitive features "
            "are continuous; give groups, such as bins, or set it to False."
        )
    known = np.all([members.known for members in attributes], axis=0)
    groups = [members.codes for members in attributes]
    _, cells = np.unique(np.column_stack(groups), axis=0, return_inverse=True)
    cells = cells.ravel()
    counts = np.zeros((cells.max() + 1, n_classes))
    np.add.at(counts, (cells[known], codes[known]), weights[known])
    shares = np.bincount(codes, weights, minlength=n_classes) / weights.sum()
    shares = np.maximum(shares, np.finfo(np.float64).tiny)
    sums = counts.sum(axis=1, keepdims=True)
    offsets = np.log((counts + _PRIOR_ROWS * shares) / (sums + _PRIOR_ROWS) / shares)
    offsets = offsets[cells] * known[:, None]
    return offsets[:, 1:] - offsets[:, :1] if n_classes == 2 else offsets
