"""Weights of rows under which the label and the sensitive features are independent."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from scipy.optimize import nnls
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from fairmi._data.columns import sensitive_columns_of
from fairmi._data.groups import sensitive_frame
from fairmi._data.labels import check_labels, check_weights
from fairmi._data.sensitive import plan_sensitive
from fairmi._data.values import check_indexes
from fairmi._typing import ColumnLike, Columns, Kinds, SensitiveLike, TableLike
from fairmi.core.membership import Membership
from fairmi.exceptions import Note, SensitiveFeaturesError, SmallGroupWarning, warn_of


class FairReweighing(BaseEstimator):
    """Weights by group and label, for any classifier of any library that takes `sample_weight`.

    A row of group c and label y weighs P(c) P(y) / P(c, y) [1]_: rows of combinations that are
    rarer than chance would have them count more, the others less. Under these weights label and
    group are independent, each label keeps its weight, and so does each group. It is fast, and
    exact in training data; a classifier that tells the group from X may still use it, so measure
    what it does.

    Parameters
    ----------
    missing_sensitive : {"error", "category", "mask"}, default="error"
        A missing value of the sensitive features is an error, a group of its own, or leaves the
        row at weight 1.
    sensitive_kinds : dict, sequence, "probabilities" or None, default=None
        Kinds of the sensitive features, as in :class:`MIBoostingClassifier`. All must be groups,
        or probabilities of groups.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_rows,)
        Weights of the rows of `fit`, times the `sample_weight` that it was given.
    cell_weights_ : ndarray of shape (n_groups, n_classes)
        Weight of each combination; 0 where no row has it.
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
    Where rows have probabilities of groups, a row weighs the sum of its groups' weights by these,
    and the weights are those under which the expected counts are independent: the solution of one
    linear system for each label, of as many equations as there are groups; by least squares where
    a weight would be negative, which only approaches independence.

    References
    ----------
    .. [1] F. Kamiran, T. Calders, Data preprocessing techniques for classification without
       discrimination, Knowledge and Information Systems 33 (2012),
       doi 10.1007/s10115-011-0463-8.

    Examples
    --------
    >>> from fairmi import FairReweighing
    >>> y, group = [1, 1, 1, 0, 1, 0, 0, 0], list("aaaabbbb")
    >>> reweighing = FairReweighing().fit(None, y, sensitive_features=group)
    >>> reweighing.sample_weight_.round(2).tolist()
    [0.67, 0.67, 0.67, 2.0, 2.0, 0.67, 0.67, 0.67]
    """

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    def __init__(
        self, *, missing_sensitive: str = "error", sensitive_kinds: Kinds | None = None
    ) -> None:
        self.missing_sensitive = missing_sensitive
        self.sensitive_kinds = sensitive_kinds

    def fit(
        self,
        X: TableLike,
        y: ColumnLike,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> Self:
        """Count, and find the weight of each group and label.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_rows, n_features) or None
            Not looked at, but for its index and number of rows.
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
            If lengths or indexes differ, or y is missing or no class.
        SensitiveFeaturesError
            If the sensitive features are missing, malformed, hold one group, or are continuous.
        """
        if self.missing_sensitive not in ("error", "category", "mask"):
            raise ValueError(
                f"missing_sensitive={self.missing_sensitive!r}; give 'error', 'category' or "
                "'mask'."
            )
        if sensitive_features is None:
            raise SensitiveFeaturesError(
                "No sensitive features: give fit(X, y, sensitive_features=...)."
            )
        rows = y if X is None else X
        check_indexes(X=X, y=y, sensitive_features=sensitive_features, sample_weight=sample_weight)
        labels = check_labels(type(self).__name__, rows, y)
        given = check_weights(sample_weight, rows)
        frame = sensitive_frame(sensitive_features)
        self._plan, notes = plan_sensitive(
            frame,
            given,
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
        members = self._plan.rows(
            frame, n_rows=len(labels), argument="sensitive_features", hides=bool(notes)
        )[0]
        self.cell_weights_ = _cell_weights(members, codes, len(self.classes_), given)
        warn_of(notes + self._notes_of_empty_cells(), stacklevel=2)
        self.sample_weight_ = given * _row_weights(self.cell_weights_, members, codes)
        return self

    def weights(
        self, X: TableLike, y: ColumnLike, sensitive_features: SensitiveLike
    ) -> np.ndarray:
        """Return the weights of other rows, (n_rows,), by the counts of `fit`.

        Raises
        ------
        ValueError
            If a label was not among those of `fit`.
        SensitiveFeaturesError
            If a group was not.
        """
        check_is_fitted(self, "cell_weights_")
        check_indexes(X=X, y=y, sensitive_features=sensitive_features)
        labels = check_labels(type(self).__name__, y if X is None else X, y)
        unknown = np.setdiff1d(labels, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has the label {unknown.tolist()[0]!r}, which fit did not see; it saw "
                f"{self.classes_.tolist()}."
            )
        frame = sensitive_frame(sensitive_features)
        rows = self._plan.rows(frame, n_rows=len(labels), argument="sensitive_features")
        codes = np.searchsorted(self.classes_, labels)
        return _row_weights(self.cell_weights_, rows[0], codes)

    def _notes_of_empty_cells(self) -> list[Note]:
        empty = np.argwhere(self.cell_weights_ == 0)
        if not len(empty):
            return []
        group, label = self.sensitive_values_[empty[0][0]], self.classes_.tolist()[empty[0][1]]
        text = (
            f"The group {group!r} has no row of the label {label!r}: no weights make label and "
            "group independent there; join the group to another."
        )
        return [(SmallGroupWarning, text)]


class FairReweighingClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Any classifier that takes `sample_weight`, fitted with the weights of `FairReweighing`.

    Parameters
    ----------
    estimator : classifier
        Of scikit-learn's kind, or a Pipeline whose last step is one that takes `sample_weight`.
    sensitive_columns : str, int, list of these or None, default=None
        Columns of X that are the sensitive features, where none are given to `fit`.
    missing_sensitive : {"error", "category", "mask"}, default="error"
        As in :class:`FairReweighing`.
    sensitive_kinds : dict, sequence, "probabilities" or None, default=None
        As in :class:`FairReweighing`.

    Attributes
    ----------
    estimator_ : classifier
        The fitted one.
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

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        sensitive_columns: Columns | None = None,
        missing_sensitive: str = "error",
        sensitive_kinds: Kinds | None = None,
    ) -> None:
        self.estimator = estimator
        self.sensitive_columns = sensitive_columns
        self.missing_sensitive = missing_sensitive
        self.sensitive_kinds = sensitive_kinds

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
            sensitive_features = sensitive_columns_of(X, self.sensitive_columns)
            check_indexes(X=X, y=y, sample_weight=sample_weight)
            sensitive_features = sensitive_features.reset_index(drop=True)
            indexed: Any = None
        else:
            indexed = X
        reweighing = FairReweighing(
            missing_sensitive=self.missing_sensitive, sensitive_kinds=self.sensitive_kinds
        ).fit(indexed, y, sensitive_features=sensitive_features, sample_weight=sample_weight)
        step = "" if last is None else f"{self.estimator.steps[-1][0]}__"
        weights = {f"{step}sample_weight": reweighing.sample_weight_}
        self.estimator_ = clone(self.estimator).fit(X, y, **weights)
        self.sample_weight_ = reweighing.sample_weight_
        self.classes_ = reweighing.classes_
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


def _cell_weights(
    members: Membership, codes: np.ndarray, n_classes: int, weights: np.ndarray
) -> np.ndarray:
    """Return the weights (n_groups, n_classes) that make expected counts independent."""
    shape = (members.n_groups, n_classes)
    of_members = members.shares * weights[members.rows]
    counts = np.bincount(
        members.groups * n_classes + codes[members.rows], of_members, int(np.prod(shape))
    ).reshape(shape)
    wanted = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    if (members.shares == 1).all():
        return np.divide(wanted, counts, out=np.zeros(shape), where=counts > 0)
    shares = np.zeros((members.n_rows, members.n_groups))
    shares[members.rows, members.groups] = members.shares
    found = np.zeros(shape)
    for k in range(n_classes):
        rows = codes == k
        together = (shares[rows] * weights[rows, None]).T @ shares[rows]
        found[:, k] = nnls(together, wanted[:, k])[0]
    return found


def _row_weights(cells: np.ndarray, members: Membership, codes: np.ndarray) -> np.ndarray:
    """Return the weight of each row, 1 where its group is not known."""
    of_members = members.shares * cells[members.groups, codes[members.rows]]
    weights = np.bincount(members.rows, of_members, members.n_rows)
    return np.where(members.known, weights, 1.0)
