"""MIBoostingRegressor: trees that predict a number and tell little of the sensitive features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from fairmi._base import RepresentationRegressor
from fairmi._boosting_base import BoostingEstimator
from fairmi._data.fit_input import FitInput
from fairmi._diagnosis import note_of_nothing_explained, note_of_one_value
from fairmi._sklearn_compat import POSITIVE, TWO_OR_MORE, parameter, with_parameters
from fairmi._typing import TableLike
from fairmi.boosting.base import TreeRows
from fairmi.boosting.training import is_table
from fairmi.core.channel import Channel
from fairmi.core.membership import Comparison, Membership, quantile_bins
from fairmi.core.task import Quantity
from fairmi.exceptions import Note

_TINY = 1e-9


@with_parameters
class MIBoostingRegressor(RepresentationRegressor, BoostingEstimator):
    """Boosted trees that predict a number and tell little of the sensitive features.

    A base, boosting without a penalty, gives each row a score F on the scale of the link; further
    trees then lower

        share of the base's explained loss that is given up  +  lam * I(Z; C) (nats)

    where the representation Z is tanh((F - mean) / (1.2 deviations)), rounded to few levels. The
    share makes one λ mean the same on every table. It is measured against what the base predicts,
    the expectation of y as the base knows it, so that these rounds do not learn the noise of y.
    Predictions are made from the very Z that `transform` returns, so that no prediction can tell
    more of C than Z does. Sensitive features are needed at fit alone.

    Demographic parity makes the distribution of predictions alike in all groups. It does not make
    errors alike: where groups differ in y, it raises the difference among rows of the same y. For
    those take `constraint="conditional"`.

    Parameters
    ----------
    lam : float or dict, default=1.0
        Weight λ >= 0 of the penalty. 0 is the base, as it is; from about 16 on, little of C is
        left. Several sensitive features are penalised jointly, as their intersections; a dict of λ
        by name of column penalises each by itself.
    loss : {"squared_error", "absolute_error", "quantile", "poisson", "gamma", "tweedie"}, \
default="squared_error"
        The loss, with the meaning of `HistGradientBoostingRegressor`. The last three have a log
        link: "poisson" for counts, "gamma" for positive amounts, "tweedie" for amounts with zeros.
        For rates give y / exposure, and the exposure as `sample_weight`.
    quantile : float, default=0.5
        The quantile between 0 and 1 that `loss="quantile"` predicts.
    power : float, default=1.5
        The power of the variance of `loss="tweedie"`, from 1 to 2.
    constraint : {"demographic_parity", "conditional"}, default="demographic_parity"
        What is penalised: I(Z; C), or I(Z; C | y) within quantile bins of y.
    n_y_bins : int or "auto", default="auto"
        Bins of y of `constraint="conditional"`. "auto" gives 4.
    penalty : str or object, default="donsker_varadhan"
        As in `MIBoostingClassifier`.
    sensitive_columns, drop_sensitive, missing_sensitive, sensitive_kinds
        As in `MIBoostingClassifier`.
    n_sensitive_bins : int, default=8
        Quantile bins of a continuous sensitive feature, which are its groups in the penalty; few
        hide what is left within them. Several continuous ones that are penalised jointly have a
        critic in torch.
    group_weight, weighted
        As in `MIBoostingClassifier`; "auto" balances groups for `constraint="conditional"`.
    base : regressor, default=None
        What the trees debias. None trains boosting without a penalty, of as many rounds as are
        best on held-out rows. A regressor is fitted, or taken as it is inside a
        `sklearn.frozen.FrozenEstimator`; it gets X without the columns that are dropped. For a log
        link it must predict positive numbers.
    n_levels : int, default=17
        Levels of the table by which the penalty counts.
    n_predictions : int or None, default=33
        Values that Z, and with it a prediction, can take; each level predicts the mean of its
        rows. Fewer make a tighter certificate and coarser predictions. None rounds nothing. At
        λ = 0 nothing is rounded.
    learning_rate, max_iter, max_leaf_nodes, min_samples_leaf, l2_regularization, max_features, \
max_bins
        As in `MIBoostingClassifier`.
    n_encodings : int, default=1
        As there. Two gain nothing on the tables that were measured, and take longer.
    callbacks, verbose, random_state
        As in `MIBoostingClassifier`.

    Attributes
    ----------
    n_features_in_, feature_names_in_, sensitive_values_, sensitive_kinds_, n_iter_, stopped_, \
warnings_, history_, base_, columns_, trees_, channel_
        As in `MIBoostingClassifier`; the task loss of `history_` is the share that is given up.
    values_ : ndarray of shape (n_predictions,)
        What each level of Z predicts, in units of y; empty where nothing is rounded.
    balance_ : float
        What predictions are multiplied by (log link), or what is added (squared error), so that
        they keep the mean of y over the training rows.

    See Also
    --------
    fairmi.MIBoostingClassifier : The same for classes.
    fairmi.path.fairness_path : The models of many λ, on one base.

    References
    ----------
    .. [1] R. Ragonesi, R. Volpi, J. Cavazza, V. Murino, "Learning Unbiased Representations via
       Mutual Information Backpropagation", CVPR Workshops 2021, arXiv 2003.06430.
    .. [2] J. Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", Annals of
       Statistics 2001, doi 10.1214/aos/1013203451.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import ks_2samp
    >>> from fairmi import MIBoostingRegressor
    >>> random = np.random.default_rng(0)
    >>> group = random.integers(2, size=2000)
    >>> X = random.normal(size=(2000, 3)) + np.outer(group, [1, 0, 0])
    >>> y = X.sum(axis=1) + random.normal(size=2000)
    >>> plain, fair = MIBoostingRegressor(random_state=0).fit_path(
    ...     X, y, lams=[0.0, 16.0], sensitive_features=group
    ... )
    >>> def difference(model):
    ...     predicted = model.predict(X)
    ...     return ks_2samp(predicted[group == 0], predicted[group == 1]).statistic
    >>> bool(difference(plain) > 0.3), bool(difference(fair) < 0.1)
    (True, True)
    """

    n_sensitive_bins: int = parameter(TWO_OR_MORE, default=8)
    n_predictions: int | None = parameter(None, TWO_OR_MORE, default=33)
    n_encodings: int = parameter(POSITIVE, default=1)

    def predict(self, X: TableLike) -> np.ndarray:
        """Return a prediction for each row, (n_rows,), in units of y."""
        z = self._representation(X)
        if self._is_base():
            checked = self._checked_features(X)
            if self.base_ is not None:
                return np.asarray(self.base_.predict(checked), dtype=np.float64).ravel()
            return self._quantity().mean(self._raw_scores(checked))[:, 0]
        channel = self._channel()
        if len(self.values_):
            return self.values_[np.rint(channel.position(z[:, 0])).astype(np.int64)]
        task = self._quantity()
        return _moved(task, task.mean(channel.unsquash(z))[:, 0], self.balance_)

    def _task(self, inputs: FitInput) -> Quantity:
        return self._quantity()

    def _base_scores(self, base: BaseEstimator, X: TableLike) -> np.ndarray:
        predicted = np.asarray(base.predict(X), dtype=np.float64).reshape(-1, 1)
        if not self._quantity().has_log_link:
            return predicted
        return np.log(np.maximum(predicted, _TINY))

    def _labels(self, rows: TreeRows) -> tuple[np.ndarray, int]:
        if self.constraint == "conditional":
            return quantile_bins(rows.y, rows.weights, self._bins_of_y())
        return np.zeros(len(rows.y), dtype=np.int64), 1

    def _groups(self, members: Membership, weights: np.ndarray) -> Membership:
        """Return the quantile bins of one continuous feature as groups; others as they are."""
        if members.values is None or members.values.shape[1] > 1 or not is_table(self.penalty):
            return members
        known = members.known
        codes = np.zeros(len(known), dtype=np.int64)
        of_known = (members.values[known, 0], weights[known], self.n_sensitive_bins)
        codes[known], n_bins = quantile_bins(*of_known)
        return Membership.of_codes(codes, n_bins, known)

    def _completed(
        self,
        rows: TreeRows,
        attributes: Sequence[tuple[float, Comparison]],
        channel: Channel,
        scores: np.ndarray,
        base_scores: np.ndarray,
    ) -> tuple[dict[str, Any], list[Note]]:
        task, y, weights = self._quantity(), rows.y, rows.weights
        learned: dict[str, Any] = {"values_": np.zeros(0), "balance_": float(task.has_log_link)}
        predicted = task.mean(scores)[:, 0]
        if channel.n_levels is not None:
            channel = channel.with_levels(self.n_predictions)
            learned["channel_"] = channel.spec
            z = channel.round(channel.squash(scores))
            if self.n_predictions is not None:
                learned["values_"], predicted = _means_of_levels(channel, z, predicted, weights)
            of_y, of_predictions = (
                float(np.average(of, weights=weights)) for of in (y, predicted)
            )
            if task.has_log_link:
                learned["balance_"] = of_y / of_predictions
            elif task.name == "squared_error":
                learned["balance_"] = of_y - of_predictions
            learned["values_"] = _moved(task, learned["values_"], learned["balance_"])
        notes = (
            [note_of_one_value(self.lam)]
            if any(lam for lam, _ in attributes) and np.ptp(predicted) == 0
            else []
        )
        if task.is_flat(base_scores, y, weights):
            notes = [note_of_nothing_explained("The base", self.loss)]
        return learned, notes


def _means_of_levels(
    channel: Any, z: np.ndarray, predicted: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean prediction of each level of Z (n, 1), and that of each row's level."""
    level = np.rint(channel.position(z[:, 0])).astype(np.int64)
    counts = np.bincount(level, weights, channel.n_levels)
    sums = np.bincount(level, weights * predicted, channel.n_levels)
    present = np.flatnonzero(counts)
    # A level without rows predicts what lies between those beside it.
    values = np.interp(np.arange(channel.n_levels), present, sums[present] / counts[present])
    return values, values[level]


def _moved(task: Quantity, values: np.ndarray, balance: float) -> np.ndarray:
    """Return predictions that keep the mean of y."""
    return values * balance if task.has_log_link else values + balance


# Saved models name the public place of a class, which stays where its file moves.
MIBoostingRegressor.__module__ = "fairmi"
