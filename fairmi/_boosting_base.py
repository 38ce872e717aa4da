"""What the estimators of trees share: one training of every λ, the scores of a fitted model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator

from fairmi._base import PathEstimator
from fairmi._data.fit_input import FitInput
from fairmi._data.saved_format import check_trees
from fairmi._data.sensitive import check_certain
from fairmi._diagnosis import notes_of_stop
from fairmi._sklearn_compat import (
    ABOVE_0,
    AUTO,
    NOT_NEGATIVE,
    POSITIVE,
    TWO_OR_MORE,
    HasMethods,
    Interval,
    parameter,
    seed_of,
    with_parameters,
)
from fairmi._threads import threads_for
from fairmi._typing import TableLike
from fairmi.boosting.base import TreeRows, averaged, fitted_base, setting_of
from fairmi.boosting.training import (
    Record,
    boosting_config,
    debias,
    is_table,
    penalties_of,
    tree_rows,
)
from fairmi.boosting.trees import Trees, trees_of
from fairmi.core.channel import Channel
from fairmi.core.membership import Comparison, Membership, check_group_weight, compare
from fairmi.core.task import Task
from fairmi.exceptions import Note
from fairmi.networks.reducer import check_alone
from fairmi.preprocessing.encoded_columns import column_codes, learn_columns


@with_parameters
class BoostingEstimator(PathEstimator):
    """Trees on a table, on top of a base of their own or of the user.

    A subclass reads its input, says what its task is, which rows are compared, what scores a base
    of the user gives, and what a trained model holds beside its trees.
    """

    # Where the sensitive feature tells much of y, trees need more than networks.
    lam_range: ClassVar = (0.25, 64.0)

    base: BaseEstimator | None = parameter(None, HasMethods(["fit", "predict"]), default=None)
    n_levels: int = parameter(TWO_OR_MORE, default=17)
    learning_rate: float = parameter(ABOVE_0, default=0.1)
    max_iter: int | str = parameter(AUTO, POSITIVE, default="auto")
    max_leaf_nodes: int = parameter(TWO_OR_MORE, default=8)
    min_samples_leaf: int | str = parameter(AUTO, POSITIVE, default="auto")
    l2_regularization: float = parameter(NOT_NEGATIVE, default=0.0)
    max_features: float = parameter(Interval(Real, 0, 1, closed="right"), default=1.0)
    max_bins: int = parameter(Interval(Integral, 2, 255, closed="both"), default=255)
    n_encodings: int = parameter(POSITIVE, default=2)

    trees_: dict[str, np.ndarray] = field(init=False)
    columns_: dict[str, Any] = field(init=False)
    channel_: dict[str, Any] = field(init=False)
    base_: BaseEstimator = field(init=False)

    @abstractmethod
    def _task(self, inputs: FitInput) -> Task:
        """Return the task of checked rows."""

    @abstractmethod
    def _base_scores(self, base: BaseEstimator, X: TableLike) -> np.ndarray:
        """Return the scores (n, K) that a fitted base of the user gives to rows."""

    @abstractmethod
    def _labels(self, rows: TreeRows) -> tuple[np.ndarray, int]:
        """Return the labels (n,) within which groups may be compared, and their number."""

    def _groups(self, members: Membership, weights: np.ndarray) -> Membership:
        """Return a sensitive attribute as the penalty reads it."""
        return members

    @abstractmethod
    def _completed(
        self,
        rows: TreeRows,
        attributes: Sequence[tuple[float, Comparison]],
        channel: Channel,
        scores: np.ndarray,
        base_scores: np.ndarray,
    ) -> tuple[dict[str, Any], list[Note]]:
        """Return what a model holds beside its trees, and what to warn of.

        `attributes` are λ and what is compared of each; `scores` (n, K) are those of the rows of
        the fit, before the channel.
        """

    def _check_parameters(self) -> None:
        check_alone(type(self).__name__)
        super()._check_parameters()

    def _tree_rows(
        self, inputs: FitInput, seed: int
    ) -> tuple[TreeRows, dict[str, Any], BaseEstimator | None]:
        """Return the rows of a fit as trees read them, their columns, and a fitted base if any."""
        n_encodings = self.n_encodings if self.base is None else 1
        columns, x = learn_columns(inputs.features, self.max_bins, n_encodings, seed)
        task, base, base_scores = self._task(inputs), None, None
        if self.base is not None:
            y = inputs.classes[inputs.codes] if len(inputs.classes) else inputs.codes
            with setting_of(self.base):
                base, base_scores = fitted_base(
                    self.base, inputs.features, y, inputs.task_weights, seed, self._base_scores
                )
        rows = tree_rows(inputs, task, x, columns, base_scores, self.max_bins, seed)
        return rows, columns, base

    def _train(self, inputs: FitInput, models: Sequence[Self], *, goes_on: bool = False) -> None:
        weighed = [inputs.plan.weigh(model.lam) for model in models]
        check_group_weight(self.group_weight, inputs.plan.n_groups)
        seed = seed_of(self.random_state)
        rows, columns, base = self._tree_rows(inputs, seed)
        of_base, config = boosting_config(
            self._parameters(), n_rows=len(rows.y), n_threads=threads_for(len(rows.y))
        )
        labels, n_labels = self._labels(rows)
        compared = [
            compare(
                self._groups(members, rows.penalty_weights),
                rows.penalty_weights,
                constraint=self.constraint,
                labels=labels,
                n_labels=n_labels,
                group_weight=self.group_weight,
            ).scaled()
            for members in rows.members
        ]
        if not is_table(self.penalty):
            check_certain(inputs.members, f"penalty={self.penalty!r}")
        if rows.base_scores is None:
            base_trees, base_scores = averaged(rows, of_base, [seed, 0])
        else:
            base_scores = rows.base_scores
            base_trees = trees_of([], np.zeros(base_scores.shape[1]), rows.binned.n_categories)
        channel_of = rows.task.channels(int(self.n_levels), rows.y, rows.weights)
        objective = rows.task.beside_base(base_scores, rows.y, rows.weights)
        for model, (lam, factors) in zip(models, weighed, strict=True):
            lams = [lam * factor for factor in factors]
            channel, trees, scores = channel_of(base_scores), base_trees, base_scores
            history: list[Record] = []
            stopped, n_rounds = None, 0
            if lam == 0:  # the base, unrounded
                channel = channel.with_levels(None)
            else:
                penalties = penalties_of(compared, lams, self.penalty, channel, seed)
                with closing(self._progress(config.max_iter, "round", f"λ = {model.lam}")) as seen:
                    grown, scores, history, stopped = debias(
                        rows.binned.columns(rows.encodings[0]),
                        objective,
                        penalties,
                        channel_of,
                        base_scores,
                        config,
                        np.random.default_rng([seed, 1]),
                        seen,
                    )
                channel, trees, n_rounds = channel_of(scores), trees.then(grown), grown.n_rounds
            learned = {
                "base_": base,
                "columns_": columns,
                "trees_": trees.arrays(),
                "channel_": channel.spec,
                "history_": history,
                "n_iter_": n_rounds,
                "stopped_": stopped,
            }
            attributes = list(zip(lams, compared, strict=True))
            more, notes = model._completed(rows, attributes, channel, scores, base_scores)
            stop = notes_of_stop(stopped, n_rounds)
            model._store(inputs, learned | more, stop + notes)

    def _is_base(self) -> bool:
        """Whether nothing was taken away from the base: at λ = 0."""
        return hasattr(self, "channel_") and self.channel_["n_levels"] is None and not self.n_iter_

    def _represent(self, X: TableLike) -> np.ndarray:
        channel = self._channel()
        return channel.round(channel.squash(self._raw_scores(X)))

    def _raw_scores(self, X: TableLike) -> np.ndarray:
        """Return the scores (n, K) of base and trees for a checked table."""
        scores = Trees(**self.trees_).scores(column_codes(X, self.columns_))
        if self.base_ is None:
            return scores
        with setting_of(self.base_):
            return scores + self._base_scores(self.base_, X)

    def _channel(self) -> Channel:
        return Channel.from_spec(self.channel_, self._n_features_out)

    @property
    def _n_features_out(self) -> int:
        return len(self.trees_["start"])

    def _restore(self) -> None:
        if hasattr(self, "trees_"):  # they go to compiled code
            check_trees(vars(self))
