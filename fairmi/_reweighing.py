"""Weights of rows under which a classifier learns little of the sensitive features from y."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from fairmi._data.fit_input import check_labels, check_weights
from fairmi._data.groups import sensitive_frame
from fairmi._data.sensitive import plan_sensitive
from fairmi._data.tables import sensitive_columns_of
from fairmi._data.values import check_indexes
from fairmi._row_weights import (
    cell_weights,
    features_of,
    learn_coefficients,
    log_weights,
    row_weights,
)
from fairmi._sklearn_compat import (
    MISSING,
    NOT_NEGATIVE,
    StrOptions,
    parameter,
    safe_indexing,
    with_parameters,
)
from fairmi._typing import ColumnLike, Columns, Kinds, RandomState, SensitiveLike, TableLike
from fairmi.core.membership import Membership
from fairmi.exceptions import Note, SensitiveFeaturesError, SmallGroupWarning, warn_of
from fairmi.preprocessing import TableEncoder

_MOST_ROWS = 10_000


@with_parameters
class FairReweighing(BaseEstimator):
    """Weights of rows, for any classifier of any library that takes `sample_weight`.

    "cells": a row of group c and label y weighs P(c) P(y) / P(c, y) [1]_: rows of combinations
    that are rarer than chance would have them count more, the others less. Under these weights
    label and group are independent, each label keeps its weight, and so does each group. It is
    fast, and exact in training data; a classifier that tells the group from X may still use it,
    so measure what it does.

    "adversarial": weights are a function of the row, trained so that a critic can't tell the group
    from the scores of a model that the weighted rows teach [2]_, with λ as a dial. It takes
    seconds, and goes further than "cells" at a price in accuracy.

    Parameters
    ----------
    method : {"cells", "adversarial"}, default="cells"
        How rows are weighed.
    lam : float, default=1.0
        λ >= 0 of "adversarial": nats of the task's loss that are given up for a nat of
        information on the group in the scores. 0 gives each row the weight 1.
    missing_sensitive : {"error", "category", "mask"}, default="error"
        A missing value of the sensitive features is an error, a group of its own, or leaves the
        row without a group: of weight 1 in "cells", of no interest to the critic else.
    sensitive_kinds : dict, sequence, "probabilities" or None, default=None
        Kinds of the sensitive features, as in :class:`MIBoostingClassifier`. All must be groups,
        or probabilities of groups.
    random_state : int, RandomState or None, default=None
        Draws the rows that "adversarial" learns from where there are more than 10,000.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_rows,)
        Weights of the rows of `fit`, times the `sample_weight` that it was given.
    cell_weights_ : ndarray of shape (n_groups, n_classes)
        Of "cells": weight of each combination; 0 where no row has it.
    coef_ : ndarray of shape (n_classes, n_groups + n_columns)
        Of "adversarial": what the log of a row's weight is made of, for each label, from groups
        and the columns of `encoder_`.
    encoder_ : TableEncoder
        Of "adversarial": from X to these columns.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    sensitive_values_ : list
        The groups; of several sensitive features, their combinations.

    Warns
    -----
    SmallGroupWarning
        If a group has no row of some label: then no weights make the two independent.

    Notes
    -----
    Where rows have probabilities of groups, "cells" weighs a row by the sum of its groups' weights
    by these, and the weights are those under which the expected counts are independent: the
    solution of one linear system for each label, of as many equations as there are groups; by
    least squares where a weight would be negative, which only approaches independence.

    "adversarial" deviates from its source, where networks for label, group and weight read X side
    by side, and rows count by which the label is told well and the group badly. Here log weights
    are linear in columns of X, label and group; the model is a logistic regression, or one for
    each label, trained to the end, whose change with the weights is known in closed form; the
    critic is the best one of its scores in 17 levels; and the model's loss on all rows, each of
    weight 1, holds the weights to the task. Weights differ by a factor of 20 from 1 at most,
    before they are scaled to mean 1.

    References
    ----------
    .. [1] F. Kamiran, T. Calders, Data preprocessing techniques for classification without
       discrimination, Knowledge and Information Systems 33 (2012),
       doi 10.1007/s10115-011-0463-8.
    .. [2] A. Petrović, M. Nikolić, S. Radovanović, B. Delibašić, M. Jovanović, FAIR: Fair
       adversarial instance re-weighting, Neurocomputing (2022), arXiv 2011.07495.

    Examples
    --------
    >>> from fairmi import FairReweighing
    >>> y, group = [1, 1, 1, 0, 1, 0, 0, 0], list("aaaabbbb")
    >>> reweighing = FairReweighing().fit(None, y, sensitive_features=group)
    >>> reweighing.sample_weight_.round(2).tolist()
    [0.67, 0.67, 0.67, 2.0, 2.0, 0.67, 0.67, 0.67]
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    method: str = parameter(StrOptions({"cells", "adversarial"}), default="cells")
    lam: float = parameter(NOT_NEGATIVE, default=1.0)
    missing_sensitive: str = parameter(MISSING, default="error")
    sensitive_kinds: Kinds | None = None
    random_state: RandomState = parameter("random_state", default=None)

    def fit(
        self,
        X: TableLike,
        y: ColumnLike,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> Self:
        """Learn what a row weighs.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_rows, n_features) or None
            Of "cells" not looked at, but for its index and number of rows.
        y : array-like of shape (n_rows,)
            Labels.
        sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, k)
            Groups; of several columns, their combinations.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights with which rows are counted.

        Returns
        -------
        FairReweighing
            Itself.

        Raises
        ------
        ValueError
            If a parameter is none of its values, X is None where rows are read, lengths or indexes
            differ, or y is missing or no class.
        SensitiveFeaturesError
            If the sensitive features are missing, malformed, hold one group (where the weight is
            not 0), or are continuous.
        """
        labels, frame = self._read(X, y, sensitive_features, sample_weight)
        all_weights = check_weights(sample_weight, y if X is None else X)
        index = np.flatnonzero(all_weights)  # rows without weight are absent
        weights, labels = all_weights[index], labels[index]
        frame = frame.iloc[index].reset_index(drop=True)
        self._plan, notes = plan_sensitive(
            frame,
            weights,
            missing=self.missing_sensitive,
            argument="sensitive_features",
            kinds=self.sensitive_kinds,
        )
        if not self._plan.n_groups[0]:
            raise SensitiveFeaturesError(
                f"sensitive_features: {self._plan.kinds} has a quantity, and weights are for "
                "groups; cut it into bins, as pandas.qcut does."
            )
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.sensitive_values_ = self._plan.labels
        (members,) = self._plan.rows(frame, argument="sensitive_features", hides=bool(notes))
        cells = cell_weights(members, codes, len(self.classes_), weights)
        if self.method == "cells":
            self.cell_weights_ = cells
        else:
            X = safe_indexing(*indexable(X), index)
            self._learn_from_rows(X, codes, members, weights)
        warn_of(notes + self._notes_of_empty_cells(cells), stacklevel=2)
        self.sample_weight_ = np.zeros(len(all_weights))
        self.sample_weight_[index] = weights * self._weights(X, codes, members)
        return self

    def weights(
        self, X: TableLike, y: ColumnLike, sensitive_features: SensitiveLike
    ) -> np.ndarray:
        """Return the weights of other rows, (n_rows,), by what `fit` learned.

        Raises
        ------
        ValueError
            If a label was not among those of `fit`.
        SensitiveFeaturesError
            If a group was not.
        """
        check_is_fitted(self, "classes_")
        labels, frame = self._read(X, y, sensitive_features)
        unknown = np.setdiff1d(labels, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has the label {unknown.tolist()[0]!r}, which fit did not see; it saw "
                f"{self.classes_.tolist()}."
            )
        (members,) = self._plan.rows(frame, argument="sensitive_features")
        return self._weights(X, np.searchsorted(self.classes_, labels), members)

    def _read(
        self, X: Any, y: Any, sensitive_features: Any, sample_weight: Any = None
    ) -> tuple[np.ndarray, pd.DataFrame]:
        """Return labels (n,) and sensitive features, checked as the parameters are."""
        self._validate_params()
        if X is None and self.method == "adversarial":
            raise ValueError(
                'X=None: the weights of method="adversarial" are a function of the row; give X, '
                'or method="cells".'
            )
        if sensitive_features is None:
            raise SensitiveFeaturesError(
                "No sensitive features: give fit(X, y, sensitive_features=...)."
            )
        check_indexes(X=X, y=y, sensitive_features=sensitive_features, sample_weight=sample_weight)
        labels = check_labels(type(self).__name__, y if X is None else X, y)
        return labels, sensitive_frame(sensitive_features, n_rows=len(labels))

    def _learn_from_rows(
        self, X: TableLike, codes: np.ndarray, members: Membership, weights: np.ndarray
    ) -> None:
        self.encoder_ = TableEncoder().fit(X, self.classes_[codes], weights)
        columns = _dense(self.encoder_.transform(X))
        index = np.arange(len(weights))
        if len(index) > _MOST_ROWS:
            generator = check_random_state(self.random_state)
            index = np.sort(generator.choice(index, _MOST_ROWS, replace=False))
        self.coef_ = learn_coefficients(
            columns[index],
            codes[index],
            len(self.classes_),
            members.take(index),
            weights[index],
            self.lam,
        )
        self._log_scale = 0.0
        self._log_scale = -np.log(np.average(self._weights(X, codes, members), weights=weights))

    def _weights(self, X: TableLike, codes: np.ndarray, members: Membership) -> np.ndarray:
        if self.method == "cells":
            return row_weights(self.cell_weights_, members, codes)
        features = features_of(_dense(self.encoder_.transform(X)), members)
        return np.exp(log_weights(self.coef_, features, codes)[0] + self._log_scale)

    def _notes_of_empty_cells(self, cells: np.ndarray) -> list[Note]:
        empty = np.argwhere(cells == 0)
        if not len(empty):
            return []
        group, label = self.sensitive_values_[empty[0][0]], self.classes_.tolist()[empty[0][1]]
        text = (
            f"The group {group!r} has no row of the label {label!r}: no weights make label and "
            "group independent there; join the group to another."
        )
        return [(SmallGroupWarning, text)]


@with_parameters
class FairReweighingClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Any classifier that takes `sample_weight`, fitted with the weights of `FairReweighing`.

    Parameters
    ----------
    estimator : classifier
        Of scikit-learn's kind, or a Pipeline whose last step is one that takes `sample_weight`.
    method : {"cells", "adversarial"}, default="cells"
        As in :class:`FairReweighing`, and so are `lam`, `missing_sensitive`, `sensitive_kinds` and
        `random_state`.
    lam : float, default=1.0
        λ >= 0 of "adversarial".
    sensitive_columns : str, int, list of these or None, default=None
        Columns of X that are the sensitive features, where none are given to `fit`.
    missing_sensitive : {"error", "category", "mask"}, default="error"
        What a missing value is.
    sensitive_kinds : dict, sequence, "probabilities" or None, default=None
        Kinds of the sensitive features.
    random_state : int, RandomState or None, default=None
        Draws the rows that "adversarial" learns from.

    Attributes
    ----------
    estimator_ : classifier
        The fitted one.
    reweighing_ : FairReweighing
        What gave the weights.
    sample_weight_ : ndarray of shape (n_rows,)
        What it was fitted with.
    classes_ : ndarray of shape (n_classes,)
        The labels.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairmi import FairReweighingClassifier
    >>> rng = np.random.default_rng(0)
    >>> group = rng.integers(2, size=2000)
    >>> X = np.column_stack([group, rng.normal(size=2000)])
    >>> y = (X.sum(axis=1) + rng.normal(size=2000) > 0.5).astype(int)
    >>> fair = FairReweighingClassifier(LogisticRegression())
    >>> answers = [
    ...     model.predict(X)
    ...     for model in (
    ...         LogisticRegression().fit(X, y),
    ...         fair.fit(X, y, sensitive_features=group),
    ...     )
    ... ]
    >>> [round(float(a[group == 1].mean() - a[group == 0].mean()), 1) for a in answers]
    [0.4, 0.1]
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    estimator: BaseEstimator = field(kw_only=False)
    method: str = "cells"
    lam: float = 1.0
    sensitive_columns: Columns | None = None
    missing_sensitive: str = "error"
    sensitive_kinds: Kinds | None = None
    random_state: RandomState = None

    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> Self:
        """Weigh the rows and fit the classifier with these weights.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_rows, n_features)
            What the classifier reads.
        y : array-like of shape (n_rows,)
            Labels.
        sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, k)
            Groups, unless `sensitive_columns` names columns of X.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights that these are multiplied with.

        Returns
        -------
        FairReweighingClassifier
            Itself.

        Raises
        ------
        TypeError
            If the classifier's `fit` takes no `sample_weight`.
        ValueError, SensitiveFeaturesError
            As :meth:`FairReweighing.fit` does, and if both or neither of `sensitive_features` and
            `sensitive_columns` are given.
        """
        if (sensitive_features is None) == (self.sensitive_columns is None):
            number = "neither" if sensitive_features is None else "both"
            raise SensitiveFeaturesError(
                f"{number} of fit(sensitive_features=...) and sensitive_columns="
                f"{self.sensitive_columns!r} are given; give one of them."
            )
        last = self.estimator.steps[-1][1] if isinstance(self.estimator, Pipeline) else None
        if not has_fit_parameter(self.estimator if last is None else last, "sample_weight"):
            raise TypeError(
                f"estimator={self.estimator!r}: its fit takes no sample_weight; give a classifier "
                "that does."
            )
        if sensitive_features is None:
            columns = sensitive_columns_of(X, self.sensitive_columns)
            # Without the index of X: that is compared with those of y and the weights.
            sensitive_features = {name: column.to_numpy() for name, column in columns.items()}
        self.reweighing_ = FairReweighing(
            method=self.method,
            lam=self.lam,
            missing_sensitive=self.missing_sensitive,
            sensitive_kinds=self.sensitive_kinds,
            random_state=self.random_state,
        ).fit(X, y, sensitive_features=sensitive_features, sample_weight=sample_weight)
        step = "" if last is None else f"{self.estimator.steps[-1][0]}__"
        self.sample_weight_ = self.reweighing_.sample_weight_
        weights = {f"{step}sample_weight": self.sample_weight_}
        self.estimator_ = clone(self.estimator).fit(X, y, **weights)
        self.classes_ = self.reweighing_.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def predict(self, X: TableLike) -> np.ndarray:
        """Return the class of each row, (n_rows,)."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict(X))

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X: TableLike) -> np.ndarray:
        """Return the probability of each class, (n_rows, n_classes)."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(X))

    @available_if(lambda self: hasattr(self.estimator, "decision_function"))
    def decision_function(self, X: TableLike) -> np.ndarray:
        """Return the classifier's scores."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.decision_function(X))


def _dense(columns: Any) -> np.ndarray:
    """Return encoded columns, (n, p) float64."""
    return np.asarray(columns.toarray() if issparse(columns) else columns, dtype=np.float64)
