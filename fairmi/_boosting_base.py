"""What the estimators of trees share: one training of every λ, the scores of a fitted model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from fairmi._base import (
    RepresentationEstimator,
    check_callbacks,
    check_lam,
    check_path_lams,
    notes_of_stop,
)
from fairmi._data.fit_input import FitInput
from fairmi._data.saved_format import check_trees
from fairmi._data.sensitive import check_certain
from fairmi._sklearn_compat import HasMethods, Interval, StrOptions, seed_of
from fairmi._threads import threads_for
from fairmi._typing import ColumnLike, RandomState, SensitiveLike, TableLike
from fairmi.boosting.base import fitted_base, setting_of
from fairmi.boosting.penalties import READ_OFF_A_TABLE, check_penalty, penalties_of
from fairmi.boosting.rounds import RoundReporter, TreePenalty
from fairmi.boosting.training import (
    TrainedTrees,
    TreeRows,
    boosting_config,
    train_trees,
    tree_rows,
)
from fairmi.boosting.trees import Trees
from fairmi.core.channel import Channel
from fairmi.core.membership import Comparison, check_group_weight
from fairmi.core.task import Task
from fairmi.exceptions import Note, warn_of
from fairmi.networks.reducer import check_alone
from fairmi.preprocessing.encoded_columns import column_codes, learn_columns

_AUTO = StrOptions({"auto"})
_POSITIVE = Interval(Integral, 1, None, closed="left")


class BoostingEstimator(RepresentationEstimator):
    """Trees on a table, on top of a base of their own or of the user.

    A subclass reads its input, says what its task is, which rows are compared, what scores a base
    of the user gives, and what a trained model holds beside its trees.
    """

    # Where the sensitive feature tells much of y, trees need more than networks.
    lam_range: ClassVar = (0.25, 64.0)
    _reads_probabilities: ClassVar = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "lam": [Interval(Real, 0, None, closed="left"), dict],
        "penalty": [str, HasMethods(["critic", "critic_loss", "value"])],
        "sensitive_columns": [None, str, Integral, "array-like"],
        "drop_sensitive": ["boolean"],
        "missing_sensitive": [StrOptions({"error", "category", "mask"})],
        "sensitive_kinds": [None, dict, "array-like", StrOptions({"probabilities"})],
        "group_weight": [None, StrOptions({"auto", "balanced"})],
        "weighted": [StrOptions({"both", "task", "penalty"})],
        "n_levels": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [_AUTO, _POSITIVE],
        "max_leaf_nodes": [Interval(Integral, 2, None, closed="left")],
        "min_samples_leaf": [_AUTO, _POSITIVE],
        "l2_regularization": [Interval(Real, 0, None, closed="left")],
        "max_features": [Interval(Real, 0, 1, closed="right")],
        "max_bins": [Interval(Integral, 2, 255, closed="both")],
        "n_encodings": [_POSITIVE],
        "callbacks": [None, list, tuple],
        "verbose": ["verbose"],
        "base": [None, HasMethods(["fit", "predict"])],
        "random_state": ["random_state"],
    }

    penalty: Any
    group_weight: str | None
    base: BaseEstimator | None
    max_bins: int
    n_encodings: int
    verbose: bool | int
    random_state: RandomState
    trees_: dict[str, np.ndarray]
    columns_: dict[str, Any]
    channel_: dict[str, Any]
    base_: BaseEstimator
    n_iter_: int

    @abstractmethod
    def _read(
        self,
        X: TableLike,
        y: ColumnLike,
        sensitive_features: SensitiveLike,
        sample_weight: ColumnLike | None,
    ) -> FitInput:
        """Read and check what a user gave to `fit`."""

    @abstractmethod
    def _task(self, given: FitInput) -> Task:
        """Return the task of checked rows."""

    @abstractmethod
    def _base_scores(self, base: BaseEstimator, X: TableLike) -> np.ndarray:
        """Return the scores (n, K) that a fitted base of the user gives to rows."""

    @abstractmethod
    def _compared(self, rows: TreeRows) -> list[Comparison]:
        """Return the rows of each sensitive attribute as the constraint compares them."""

    @abstractmethod
    def _completed(
        self,
        rows: TreeRows,
        compared: Sequence[Comparison],
        trained: TrainedTrees,
        lam: float,
        factors: Sequence[float],
    ) -> tuple[dict[str, Any], list[Note]]:
        """Return what a model holds beside its trees, and what to warn of."""

    def _check_parameters(self) -> None:
        check_alone(type(self).__name__)
        self._validate_params()
        check_callbacks(self.callbacks)
        check_lam(self.lam)
        check_penalty(self.penalty)

    def _checked(
        self,
        X: TableLike,
        y: ColumnLike,
        sensitive_features: SensitiveLike,
        sample_weight: ColumnLike | None,
    ) -> FitInput:
        """Return the checked rows of a fit whose parameters are checked."""
        self._check_parameters()
        return self._read(X, y, sensitive_features, sample_weight)

    def fit(
        self,
        X: TableLike,
        y: ColumnLike,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> Self:
        """Train on X, y and the sensitive features; a second fit starts anew.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_features)
            Numeric, boolean, categorical and text columns, missing values included.
        y : array-like of shape (n_rows,)
            Two or more classes, any labels; of a regressor finite numbers, for "poisson" and
            "tweedie" none below 0, for "gamma" all above 0.
        sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or \
(n_rows, n_sensitive), default=None
            Groups, or continuous values: numbers of more than 20 distinct values, or floats of
            more than two that are too rare for groups (one row, or fewer than 5 on average).
            Several categorical columns make a group of each combination. May be None only where
            `sensitive_columns` names columns of X.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights in the task loss and in the expectations of the penalty, or in what `weighted`
            says; a weight of 2 is a row given twice, and of 0 a row left out.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        SensitiveFeaturesError
            If neither `sensitive_features` nor `sensitive_columns` is given, both are, or a
            sensitive feature is missing in a row, or has fewer than two groups of two rows.
        ValueError
            If X, y, weights or a parameter can't be used; the message names it and the fix.
        KeyboardInterrupt
            If the fit was interrupted, once the trees so far are the model.

        Warns
        -----
        ConvergenceWarning
            If a loss became non-finite or the rounds were interrupted; the trees so far are kept.
        SmallGroupWarning
            If a row is the only one of its group; it trains the task alone.
        CollapseWarning
            If one class alone, or one value, is predicted; if the base explains nothing of y; or
            if λ is so large that a constant has a lower loss than y itself, and the fitted model
            is no better than one.
        """
        given = self._checked(X, y, sensitive_features, sample_weight)
        warn_of(given.notes, stacklevel=2)
        lam, factors = given.plan.weigh(self.lam)
        (learned,) = self._learned(given, (lam,), factors)
        return self._take(given, learned)._warn(given)

    def fit_path(
        self,
        X: TableLike,
        y: ColumnLike,
        *,
        lams: Sequence[float],
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> list[Self]:
        """Return fitted copies at many λ, all on one base; this estimator stays as it is.

        See `fairmi.path.fairness_path`, which calls it and gives the warnings of the models.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : as in `fit`
        lams : sequence of float
            Values of λ >= 0, in place of `lam`.

        Returns
        -------
        list of estimators of this class
            One for each of `lams`, as a fit at that λ gives it; what each would have warned of is
            in `warnings_`.

        Raises
        ------
        SensitiveFeaturesError, ValueError
            As `fit`; also if `lam` is a dict.
        """
        self._check_parameters()
        values = check_path_lams(self.lam, lams)
        given = self._read(X, y, sensitive_features, sample_weight)
        learned = self._learned(given, values, (1.0,))
        models = [clone(self).set_params(lam=lam) for lam in values]
        return [model._take(given, of) for model, of in zip(models, learned, strict=True)]

    def _learned(
        self, given: FitInput, lams: Sequence[float], factors: Sequence[float]
    ) -> Iterator[dict[str, Any]]:
        """Yield what each λ of one training learns, by name of attribute."""
        check_group_weight(self.group_weight, given.plan.n_groups)
        seed = seed_of(self.random_state)
        n_encodings = self.n_encodings if self.base is None else 1
        columns, x = learn_columns(given.features, self.max_bins, n_encodings, seed)
        task, base, base_scores = self._task(given), None, None
        if self.base is not None:
            y = given.classes[given.codes] if len(given.classes) else given.codes
            with setting_of(self.base):
                base, base_scores = fitted_base(
                    self.base, given.features, y, given.task_weights, seed, self._base_scores
                )
        rows = tree_rows(given, task, x, columns, base_scores, self.max_bins, seed)
        config = boosting_config(
            self.get_params(deep=False),
            n_rows=len(rows.y),
            n_threads=threads_for(len(rows.y)),
            seed=seed,
        )
        compared = self._compared(rows)
        if not (isinstance(self.penalty, str) and self.penalty == READ_OFF_A_TABLE):
            check_certain(given.members, f"penalty={self.penalty!r}")

        def penalties_at(lam: float, channel: Channel) -> list[TreePenalty]:
            each = [lam * factor for factor in factors]
            return penalties_of(compared, each, self.penalty, channel, seed)

        with ExitStack() as stack:
            n_rounds = config.rounds.max_iter
            reports = [stack.enter_context(self._reporter(n_rounds)) for _ in lams]
            models = train_trees(rows, lams, penalties_at, config, reports)
            for lam, trained, report in zip(lams, models, reports, strict=True):
                more, notes = self._completed(rows, compared, trained, lam, factors)
                yield {
                    "base_": base,
                    "columns_": columns,
                    "trees_": trained.trees.arrays(),
                    "channel_": trained.channel.spec,
                    "history_": report.history,
                    "n_iter_": trained.n_rounds,
                    "stopped_": trained.stopped,
                    "notes": notes,
                    **more,
                }

    def _reporter(self, n_rounds: int) -> RoundReporter:
        callbacks = list(self.callbacks or ())
        show = bool(self.verbose)
        return RoundReporter(callbacks, show=show, n_rounds=n_rounds, lam=self.lam)

    def _take(self, given: FitInput, learned: dict[str, Any]) -> Self:
        """Become the model of one λ of a training."""
        notes = learned.pop("notes")
        stop = notes_of_stop(learned["stopped_"], learned["n_iter_"])
        return self._store(given, learned, stop + notes)

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

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data, whose trees go to compiled code.

        Raises
        ------
        ValueError
            If it was saved in another format, or something in it doesn't fit.
        """
        super().__setstate__(state)
        if "trees_" in state:
            check_trees(vars(self))
