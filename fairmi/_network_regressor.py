"""MIDebiasedRegressor: networks that predict a number, in one training or part by part."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from fairmi._base import RepresentationRegressor
from fairmi._data.fit_input import FitInput
from fairmi._data.saved_format import check_units
from fairmi._diagnosis import note_of_nothing_explained, note_of_one_value
from fairmi._network_base import DebiasedNetworks
from fairmi._sklearn_compat import with_parameters
from fairmi._typing import TableLike
from fairmi.core.membership import quantile_bins, quantile_ends
from fairmi.core.task import Scaled
from fairmi.exceptions import Note
from fairmi.preprocessing import TableEncoder

if TYPE_CHECKING:  # what trains loads torch, which a server that only predicts does without
    from fairmi.networks.rows import TrainingRows

# Quantile bins of y that the knots of a column are learned from, as a classifier's are from y.
_BINS_OF_KNOTS = 8
# Of the linear model that says how much of y there is to explain.
_MAX_LINEAR_ROWS, _MIN_LINEAR_ROWS = 20_000, 20
_RIDGES = (1.0, 30.0, 1000.0)
_SHRINKAGES = (0.25, 0.5, 0.75, 1.0)
_LEAST_EXPLAINED = 0.01
# Share of rows that are few, and of the squared error that they must not have.
_FEW, _RULES = 0.005, 0.9
_ROWS_AT_ONCE = 16_384


@with_parameters
class MIDebiasedRegressor(RepresentationRegressor, DebiasedNetworks):
    """Networks that predict a number and tell little of the sensitive features.

    An encoder maps X to a representation Z of few units, each rounded to few levels; a head
    predicts y from Z; encoder and head minimise

        share of the explained loss that is given up  +  lam * I(Z; C) (nats)

    as `MIBoostingRegressor` does, so that one λ means about the same on every table. Networks
    train without a base that would say what there is to explain: a linear model of the encoded
    columns says it, on rows that it did not see. Of an `encoder` of your own that reads arrays it
    is the whole loss of the best constant.

    Predictions are made from the very Z that `transform` returns, so that no prediction can tell
    more of C than Z does. Sensitive features are needed at fit alone. On tables of numbers and
    categories `MIBoostingRegressor` is mostly the better; networks are for images and other
    arrays, for streams, and for several sensitive features with a λ each.

    Parameters
    ----------
    lam : float or dict, default=1.0
        Weight λ >= 0 of the penalty. 0 trains without it. A dict has one for each sensitive
        feature, by name of column; otherwise several are penalised jointly.
    loss : {"squared_error", "absolute_error", "quantile", "poisson", "gamma", "tweedie"}, \
default="squared_error"
        As in `MIBoostingRegressor`; the last three have a log link. y is scaled inside.
    quantile, power, constraint, n_y_bins
        As in `MIBoostingRegressor`. The first part of a stream sets the bins of y.
    penalty, sensitive_columns, drop_sensitive, missing_sensitive, sensitive_kinds
        As in `MIDebiasedClassifier`.
    group_weight, weighted
        As in `MIDebiasedClassifier`; "auto" balances groups for `constraint="conditional"`.
    encoder, hidden_layer_sizes
        As in `MIDebiasedClassifier`.
    n_components : int or "auto", default="auto"
        Units of Z; "auto" gives one, and 64 of an open channel.
    n_levels : int, None or "auto", default="auto"
        Values that each unit can take, and with one unit a prediction; "auto" gives 33. None opens
        the channel.
    n_estimators, n_critic_steps, max_iter, batch_size, learning_rate, weight_decay, dropout, \
warm_start, callbacks, device, verbose, random_state
        As in `MIDebiasedClassifier`.

    Attributes
    ----------
    n_features_in_, feature_names_in_, sensitive_values_, sensitive_kinds_, n_iter_, stopped_, \
warnings_, encoder_, trunk_, item_shape_, t_, sensitive_counts_, architecture_, parameters_
        As in `MIDebiasedClassifier`.
    history_ : list of dict
        As in `MIDebiasedClassifier`; the task loss is a share of that of the best constant.
    units_ : dict
        The units in which networks predict: `centre` and `scale` of y, the loss of the best
        constant in them, the share `explained` that λ is measured in, and the `ends` of bins of y.

    See Also
    --------
    fairmi.MIBoostingRegressor : Trees in place of networks.
    fairmi.MIDebiasedClassifier : The same for classes.
    fairmi.path.fairness_path : The models of many λ in one training.

    References
    ----------
    .. [1] R. Ragonesi, R. Volpi, J. Cavazza, V. Murino, "Learning Unbiased Representations via
       Mutual Information Backpropagation", CVPR Workshops 2021, arXiv 2003.06430.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import ks_2samp
    >>> from fairmi import MIDebiasedRegressor
    >>> random = np.random.default_rng(0)
    >>> group = random.integers(2, size=2000)
    >>> X = random.normal(size=(2000, 3)) + np.outer(group, [1, 0, 0])
    >>> y = X.sum(axis=1) + random.normal(size=2000)
    >>> plain, fair = MIDebiasedRegressor(random_state=0).fit_path(
    ...     X, y, lams=[0.0, 16.0], sensitive_features=group
    ... )
    >>> def difference(model):
    ...     predicted = model.predict(X)
    ...     return ks_2samp(predicted[group == 0], predicted[group == 1]).statistic
    >>> bool(difference(plain) > 0.3), bool(difference(fair) < 0.1)
    (True, True)
    """

    # As of trees: where the sensitive feature tells much of y, λ needs to be larger.
    lam_range: ClassVar = (0.25, 64.0)

    units_: dict[str, Any] = field(init=False)

    def predict(self, X: TableLike) -> np.ndarray:
        """Return a prediction for each row, (n_rows,), in units of y."""
        scores = self._scores(self._representation(X))
        return Scaled(self._quantity(), **self.units_).predictions(scores)

    def _table_encoder(self, inputs: FitInput) -> TableEncoder:
        weights = inputs.task_weights
        bins, _ = quantile_bins(inputs.codes, weights, _BINS_OF_KNOTS)
        return TableEncoder().fit(inputs.features, bins, weights)

    def _task(self, rows: FitInput, *, goes_on: bool) -> Scaled:
        if goes_on:
            return Scaled(self._quantity(), **self.units_)
        y, weights = rows.codes, rows.task_weights
        task, ends = Scaled.of(self._quantity(), y, weights), ()
        if self.constraint == "conditional":
            ends = tuple(quantile_ends(y, weights, self._bins_of_y()).tolist())
        return replace(task, explained=_linear_share(task, rows), ends=ends)

    def _complete(self, rows: TrainingRows) -> None:
        """Move the head so that predictions have the mean of y over the rows of the fit."""
        import torch

        quantity = self._quantity()
        if quantity.refits_leaves:
            return
        networks, features = self._networks(), self._features()
        parts = []
        for index in torch.arange(rows.n_rows, device=rows.y.device).split(_ROWS_AT_ONCE):
            x = rows.inputs(index).cpu().numpy()
            z = networks.represent(x if features is None else features(x))
            parts.append(networks.mean_scores(z))
        weights = rows.task_weights[0].cpu().double().numpy()
        of_y = np.average(rows.y.cpu().double().numpy(), weights=weights)
        of_predictions = np.average(quantity.mean(np.concatenate(parts))[:, 0], weights=weights)
        moved = np.log(of_y / of_predictions) if quantity.has_log_link else of_y - of_predictions
        self.parameters_["head.layers.0.bias"] += np.float32(moved)

    def _trivial(self, scores: np.ndarray, batch: TrainingRows, n_steps: int) -> list[Note]:
        y, weights = (of.cpu().double().numpy() for of in (batch.y, batch.task_weights[0]))
        if self._quantity().refits_leaves:  # a few values far from all others hide what is told
            y = np.clip(y, *np.quantile(y, [_FEW, 1 - _FEW]))
        penalised = any(self.lam.values()) if isinstance(self.lam, dict) else self.lam > 0
        if not weights.any():
            return []
        if penalised and np.ptp(scores) == 0:
            return [note_of_one_value(self.lam)]
        if self._quantity().is_flat(scores, y, weights) or self._is_ruled_by_few(y, weights):
            return [note_of_nothing_explained("The fitted model", self.loss)]
        return []

    def _is_ruled_by_few(self, y: np.ndarray, weights: np.ndarray) -> bool:
        """Whether few rows have nearly all of the squared error of the mean, 0 in these units."""
        errors = np.sort(weights * y**2)
        few = max(int(_FEW * len(errors)), 1)
        return self.loss == "squared_error" and errors[-few:].sum() > _RULES * errors.sum()

    def _restore(self) -> None:
        super()._restore()
        if hasattr(self, "parameters_"):
            check_units(vars(self))


# Saved models name the public place of a class, which stays where its file moves.
MIDebiasedRegressor.__module__ = "fairmi"


def _linear_share(task: Scaled, rows: FitInput) -> float:
    """Return the share of the best constant's loss that a linear model of the columns takes away.

    It is fitted to half of some rows, and read on the other half. Rows of any shape have no
    columns: there it is 1.
    """
    n = min(len(rows.codes), _MAX_LINEAR_ROWS)
    if n < _MIN_LINEAR_ROWS or not isinstance(rows.features, np.ndarray | csr_array):
        return 1.0
    x = rows.features[:n] if rows.layout is None else rows.layout.expand(rows.features[:n])
    y, weights, scaled = rows.codes[:n], rows.task_weights[:n], task.scaled(rows.codes[:n])
    shares = []
    for fit, new in ((slice(0, n, 2), slice(1, n, 2)), (slice(1, n, 2), slice(0, n, 2))):
        if not weights[fit].any() or not weights[new].any():
            return 1.0
        mean = np.average(scaled[fit], weights=weights[fit])
        best = 0.0
        for ridge in _RIDGES:
            model = Ridge(alpha=ridge).fit(x[fit], scaled[fit] - mean, sample_weight=weights[fit])
            # On a log link this is the first step from the best constant, whose score is 0.
            scores = np.clip(model.predict(x[new]), -3, 3)[:, None].astype(np.float64)
            gains = [task.share_explained(t * scores, y[new], weights[new]) for t in _SHRINKAGES]
            best = max(best, *gains)
        shares.append(best)
    return float(np.clip(np.mean(shares), _LEAST_EXPLAINED, 1.0))
