"""MIBoostingClassifier: trees on a table, on top of a base of their own or of the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from fairmi._base import RepresentationClassifier
from fairmi._boosting_base import BoostingEstimator
from fairmi._data.fit_input import FitInput
from fairmi._diagnosis import notes_of_collapse
from fairmi._sklearn_compat import with_parameters
from fairmi._typing import TableLike
from fairmi.boosting.base import TreeRows, scores_of_base
from fairmi.core.channel import Channel
from fairmi.core.membership import Comparison
from fairmi.core.task import Classes
from fairmi.exceptions import Note


@with_parameters
class MIBoostingClassifier(RepresentationClassifier, BoostingEstimator):
    """Boosted trees whose scores predict y and tell little of the sensitive features.

    A base, boosting without a penalty, gives each row a score; further trees then lower

        task loss (nats)  +  lam * I(Z; C) (nats)

    where the representation Z is the score, squashed to [-1, 1] and rounded to few levels; for
    more than two classes it is each class's probability, and has as many units. Each of these
    trees fits the functional gradient of that loss. Over groups, the mutual information is
    that of a table of (level, group) over all rows, so no critic has to be trained. The task loss
    is measured against what the base predicts, the expectation of y as it knows it, so that these
    rounds do not learn the noise of y where the base stopped early. Predictions
    are made from the very Z that `transform` returns, so that no prediction can tell more of C
    than Z does. Sensitive features are needed at fit alone.

    Parameters
    ----------
    lam : float or dict, default=1.0
        Weight λ >= 0 of the penalty. 0 is the base, as it is, with Z not rounded; from about 8 on,
        little of C is left.
        Several sensitive features are penalised jointly, as their intersections; a dict of λ by
        name of column penalises each by itself.
    constraint : {"demographic_parity", "equalized_odds", "equal_opportunity"}, \
default="demographic_parity"
        What is penalised: I(Z; C); I(Z; C | y); or I(Z; C) among the rows of the positive class
        `classes_[1]` alone.
    penalty : str or object, default="donsker_varadhan"
        What measures the dependence of Z and C: a name in `fairmi.dependence.PENALTIES`, or an
        object with the methods of `fairmi.dependence.Penalty`. Each has a scale of λ of its own.
        All but the default over groups have a critic, or none, in torch, and a round takes about
        ten times as long.
    sensitive_columns : str, int or list of these, default=None
        Columns of X, by name or position, that are the sensitive features; then `fit` needs no
        `sensitive_features`.
    drop_sensitive : bool, default=False
        Whether to keep `sensitive_columns` out of base and trees.
    missing_sensitive : {"error", "category", "mask"}, default="error"
        What a missing sensitive feature is: an error, a group of its own, or a row that trains
        the task alone.
    sensitive_kinds : dict, sequence or "probabilities", default=None
        What the sensitive features are, "categorical" or "continuous", by name of column or in
        order. None, and columns that a dict does not name, go by a rule: numbers of more than 20
        distinct values are continuous, and floats of more than two that are too rare for groups.
        "probabilities" says that the columns are the groups of one feature, and hold how likely
        each row is in each; of several features, or beside known groups, under a header of two
        levels (feature, group), as in ``{"race": "probabilities"}``. Their combinations have the
        product of the probabilities, which takes the features to be independent given what these
        were made of. Rows must sum to 1 within 0.005.
    group_weight : {"auto", "balanced"} or None, default="auto"
        "balanced" weighs rows in the penalty so that all groups, of each class for
        `constraint="equalized_odds"`, have the same weight, however few their rows. It needs a
        categorical feature. None leaves rows their weights. "auto" balances for equalized odds.
    weighted : {"both", "task", "penalty"}, default="both"
        What `sample_weight` weighs: the task loss, the penalty, or both.
    class_weight : dict or "balanced", default=None
        Weights of the classes in the task loss: by class, 1 where it is not named, or "balanced",
        the same for all classes. A rare class is then predicted more often than it occurs.
    base : classifier, default=None
        What the trees debias. None trains boosting without a penalty, of as many rounds as are
        best on held-out rows. A classifier with `predict_proba` or `decision_function` is fitted,
        or taken as it is inside a `sklearn.frozen.FrozenEstimator`; it gets X without the columns
        that are dropped. Frozen, it should not have learned the rows of `fit` by heart.
    n_levels : int, default=17
        Values that each unit can take; fewer make a tighter certificate and coarser scores. Where
        one of two classes is rare they are centred at its log odds.
    learning_rate : float, default=0.1
        Factor of a tree's values in the first round; it falls to 0.15 of it by half a cosine.
    max_iter : int or "auto", default="auto"
        Rounds under the penalty, a tree in each for each unit of Z. "auto" gives 100, and 300 on
        fewer than 10,000 distinct rows.
    max_leaf_nodes : int, default=8
        Leaves of a tree.
    min_samples_leaf : int or "auto", default="auto"
        Distinct rows in a leaf at least. "auto" gives 1 % of them, and 20 on small tables.
    l2_regularization : float, default=0.0
        Added to the sum of second derivatives of a leaf.
    max_features : float, default=1.0
        Share of the columns that a split may choose among.
    max_bins : int, default=255
        Bins of a column, 2 to 255. Of more categories the rarest share one.
    n_encodings : int, default=2
        Models whose mean is the base, where there are columns of more than two categories: these
        are read as such, as numbers in order of frequency, and in random orders. More take longer
        to fit and predict; numbers alone have one. Not of a given `base`.
    callbacks : list of callable, default=None
        Called before each round's trees with a record of `history_`; one that returns True ends
        the fit.
    verbose : bool or int, default=False
        Whether to show a progress bar with task loss and MI.
    random_state : int, RandomState instance or None, default=None
        An int makes the same fit each time, in any number of threads and any order of rows; of a
        `base` of yours only as far as its own fit does. No global generator is read or set.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X has names that are all strings.
    sensitive_values_ : list
        The groups; a tuple for each where there are several features. Empty where continuous.
        Where `lam` is a dict, a list of groups for each feature.
    sensitive_kinds_ : dict
        What each sensitive feature was taken for, "categorical" or "continuous".
    n_iter_ : int
        Rounds under the penalty.
    stopped_ : str or None
        Why the fit ended before its last round, if it did: "callback", "interrupted", "diverged".
    warnings_ : list of (str, str)
        What the fit warned of: the name of the category, and the message.
    history_ : list of dict
        For each round `epoch`, `task_loss` (against the base's predictions) and `penalty` (nats,
        training rows) before its trees, and `seconds`; empty at λ = 0. The penalty is measured
        where it was minimised, which is no evidence of what is left: measure that with
        `fairmi.metrics.leakage_score`.
    base_ : classifier or None
        The fitted base that was given.
    columns_ : dict
        Names and categories of the columns.
    trees_ : dict of ndarray
        The trees, those of the own base first.
    channel_ : dict
        Levels of Z, and the score at which it is 0.

    See Also
    --------
    fairmi.MIDebiasedClassifier : Networks in place of trees.
    fairmi.path.fairness_path : The models of many λ, on one base.

    References
    ----------
    .. [1] R. Ragonesi, R. Volpi, J. Cavazza, V. Murino, "Learning Unbiased Representations via
       Mutual Information Backpropagation", CVPR Workshops 2021, arXiv 2003.06430.
    .. [2] J. Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", Annals of
       Statistics 2001, doi 10.1214/aos/1013203451.

    Examples
    --------
    >>> from fairlearn.metrics import demographic_parity_difference
    >>> from fairmi import MIBoostingClassifier
    >>> from fairmi.datasets import load_adult
    >>> X, y = load_adult(subset="test", return_X_y=True)
    >>> model = MIBoostingClassifier(lam=8.0, sensitive_columns="sex", random_state=0)
    >>> model = model.fit(X[:8000], y[:8000])
    >>> model.transform(X).shape
    (16281, 1)
    >>> predicted = model.predict(X[8000:]) == ">50K"
    >>> bool(demographic_parity_difference(
    ...     predicted, predicted, sensitive_features=X["sex"][8000:]) < 0.05)
    True
    """

    def _check_parameters(self) -> None:
        super()._check_parameters()
        scores = ("predict_proba", "decision_function")
        if self.base is not None and not any(hasattr(self.base, name) for name in scores):
            raise ValueError(
                f"base={self.base!r} has neither predict_proba nor decision_function; give a "
                "classifier that has one of them, or None."
            )

    def _task(self, inputs: FitInput) -> Classes:
        return Classes(len(inputs.classes))

    def _base_scores(self, base: BaseEstimator, X: TableLike) -> np.ndarray:
        return scores_of_base(base, X)

    def _labels(self, rows: TreeRows) -> tuple[np.ndarray, int]:
        return rows.y, int(rows.y.max()) + 1

    def _completed(
        self,
        rows: TreeRows,
        attributes: Sequence[tuple[float, Comparison]],
        channel: Channel,
        scores: np.ndarray,
        base_scores: np.ndarray,
    ) -> tuple[dict[str, Any], list[Note]]:
        codes = rows.y
        return {}, notes_of_collapse(
            Classes(int(codes.max()) + 1),
            channel.unsquash(channel.round(channel.squash(scores))),
            codes,
            rows.weights,
            self.lam,
            penalty=self.penalty,
            attributes=[
                (lam, codes[c.members.rows], c.members.groups, c.weights)
                for lam, c in attributes
                if c.members.n_groups and c.n_strata == 1
            ],
        )

    def decision_function(self, X: TableLike) -> np.ndarray:
        """Return the scores of Z: log odds (n_rows,) for two classes, else one for each class."""
        if not self._is_base():
            return super().decision_function(X)
        # Not by way of Z, which would round floats.
        scores = self._raw_scores(self._checked_features(X))
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict_proba(self, X: TableLike) -> np.ndarray:
        """Return the probability of each class, (n_rows, n_classes)."""
        if self._is_base() and hasattr(self.base_, "predict_proba"):
            return np.asarray(self.base_.predict_proba(self._checked_features(X)))
        return super().predict_proba(X)

    def _scores(self, Z: np.ndarray) -> np.ndarray:
        return self._channel().unsquash(Z)


# Saved models name the public place of a class, which stays where its file moves.
MIBoostingClassifier.__module__ = "fairmi"
