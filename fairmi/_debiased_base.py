"""What debiased networks of classes and of numbers share: one training of every λ, streams."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.random import RandomState
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from fairmi._base import (
    Callbacks,
    check_callbacks,
    check_lam,
    check_path_lams,
    check_started,
    notes_of_stop,
)
from fairmi._data.fit_input import Earlier, FitInput
from fairmi._data.tables import Header
from fairmi._network_base import (
    NetworkEstimator,
    check_layer_sizes,
    diagnosed_rows,
    few_threads,
    own_randomness,
)
from fairmi._sklearn_compat import HasMethods, Interval, StrOptions, seed_of
from fairmi._typing import ColumnLike, SensitiveLike, TableLike
from fairmi.core.task import NetworkTask
from fairmi.exceptions import warn_of
from fairmi.networks.config import network_config
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_rows import EncodedRows

if TYPE_CHECKING:  # what trains loads torch, which a server that only predicts does without
    from fairmi.dependence import Penalty
    from fairmi.networks.rows import TrainingRows
    from fairmi.networks.trainer import Trainer

_AUTO = StrOptions({"auto"})
_POSITIVE = Interval(Integral, 1, None, closed="left")


class UserRows(NamedTuple):
    """What a user gives to a fit, as it is."""

    X: TableLike
    y: ColumnLike | None
    sensitive_features: SensitiveLike | None
    sample_weight: ColumnLike | None


class DebiasedNetworks(NetworkEstimator):
    """Networks under a penalty, for many λ in one training or part by part.

    A subclass reads its rows, and says what its task is, what is compared, and what a trivial
    model is.
    """

    # What a stream goes on from, as plain data: see `fairmi.networks.stream_state`.
    _stream: dict[str, Any] | None = None

    __metadata_request__partial_fit: ClassVar = {"sensitive_features": True}

    _reads_probabilities: ClassVar = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEstimator._parameter_constraints,
        "lam": [Interval(Real, 0, None, closed="left"), dict],
        "penalty": [str, HasMethods(["critic", "critic_loss", "value"])],
        "group_weight": [None, StrOptions({"auto", "balanced"})],
        "n_components": [_AUTO, _POSITIVE],
        "n_levels": [None, _AUTO, Interval(Integral, 2, None, closed="left")],
        "n_estimators": [_POSITIVE],
        "batch_size": [_AUTO, _POSITIVE],
        "learning_rate": [_AUTO, Interval(Real, 0, None, closed="neither")],
        "weight_decay": [_AUTO, Interval(Real, 0, None, closed="left")],
        "dropout": [_AUTO, Interval(Real, 0, 1, closed="left")],
        "warm_start": ["boolean"],
    }

    penalty: str | Penalty
    group_weight: str | None
    hidden_layer_sizes: int | Sequence[int]
    callbacks: Callbacks
    verbose: bool | int
    random_state: int | RandomState | None
    sensitive_counts_: np.ndarray
    n_iter_: int
    t_: int

    @abstractmethod
    def _read_rows(self, rows: UserRows, earlier: Header | None = None) -> FitInput:
        """Read and check what a user gave to `fit`, with the columns of an earlier one if any."""

    @abstractmethod
    def _read_part(
        self,
        rows: UserRows,
        earlier: Earlier | None,
        **known: object,
    ) -> FitInput:
        """Read and check what a user gave to `partial_fit`, as earlier rows were read."""

    @abstractmethod
    def _task(self, given: FitInput, rows: EncodedRows, *, goes_on: bool) -> NetworkTask:
        """Return the task of encoded rows, or of those before where a fit goes on."""

    @abstractmethod
    def _learned_rows(
        self, task: NetworkTask, rows: EncodedRows
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Return y as networks learn it (n,), the labels of its strata (n,), and their number."""

    def _log_odds(self, given: FitInput) -> float:
        """Return the log odds of the second class, where there are two."""
        return 0.0

    def _targets(
        self, given: FitInput, encoder: TableEncoder | None, rows: EncodedRows, seed: int
    ) -> np.ndarray | None:
        """Return what all rows of a fit learn in place of y, (n, K), if it is not y."""
        return None

    def _offsets(self, given: FitInput, rows: EncodedRows) -> np.ndarray | None:
        """Return what is added to the scores in training, (n, K)."""
        return None

    def _of_task(self, task: NetworkTask) -> dict[str, Any]:
        """Return what a model learns of its task, by name of attribute."""
        return {}

    def _complete(self, rows: TrainingRows) -> None:
        """Do what is left, once networks are trained on all rows of a fit."""

    def _lams_in_nats(self, lams: Sequence[float]) -> list[float]:
        """Return λ of each attribute where penalty and task loss are both in nats, else none."""
        return []

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
            Numeric, boolean, categorical and text columns, missing values included. With an
            `encoder` of your own an array, a memory-mapped file or a
            `fairmi.datasets.LazyArray` of shape (n_rows, ...) is read as it is, a batch at a time:
            bytes (uint8) as floats from 0 to 1, floats as float32, other integers as int64.
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
        StoppedFitError, KeyboardInterrupt
            If a loss became non-finite before the first whole epoch; if the fit was interrupted,
            once the state so far is the model.

        Warns
        -----
        ConvergenceWarning
            If a loss became non-finite or the fit was interrupted; the last good state is kept.
        SmallGroupWarning
            If a row is the only one of its group; it trains the task alone.
        CollapseWarning
            If one class or value alone is predicted; if λ is so large that a constant prediction
            has a lower loss than y itself, and the fitted model is no better than one; or if Z
            tells much that the critic doesn't see.
        """
        return self._warn(self._train(UserRows(X, y, sensitive_features, sample_weight)))

    def fit_path(
        self,
        X: TableLike,
        y: ColumnLike,
        *,
        lams: Sequence[float],
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> list[Self]:
        """Return fitted copies at many λ, all from one training; this estimator stays as it is.

        See `fairmi.path.fairness_path`, which calls it and gives the warnings of the models.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : as in `fit`
        lams : sequence of float
            Values of λ >= 0, in place of `lam`.

        Returns
        -------
        list of estimators
            One for each of `lams`; what each would have warned of is in `warnings_`.

        Raises
        ------
        SensitiveFeaturesError, ValueError
            As `fit`; also if `lam` is a dict.
        """
        return self._train_path(UserRows(X, y, sensitive_features, sample_weight), lams)

    def finish(self) -> Self:
        """End a stream: drop critic and optimisers, which make a saved model three times as large.

        Returns
        -------
        self
            The estimator. A further `partial_fit` starts with fresh ones.
        """
        check_is_fitted(self, "parameters_")
        self._stream = None
        return self

    def _train(self, rows: UserRows) -> FitInput:
        """Train on all rows of a fit, and become what was learned."""
        self._check_parameters()
        goes_on = self.warm_start and hasattr(self, "parameters_")
        with few_threads(self.encoder):
            given, encoder = self._read(rows, goes_on=goes_on)
            warn_of(given.notes, stacklevel=3)
            lam, factors = given.plan.weigh(self.lam)
            trainer, learned = self._trained(given, encoder, (lam,), factors, goes_on=goes_on)
            check_started(trainer.stopped(0), len(trainer.history(0)))
            self._take(given, learned, trainer, 0)
        return given

    def _train_path(self, rows: UserRows, lams: Sequence[float]) -> list[Self]:
        self._check_parameters()
        values = check_path_lams(self.lam, lams)
        with few_threads(self.encoder):
            given, encoder = self._read(rows)
            trainer, learned = self._trained(given, encoder, values, (1.0,))
            models = [clone(self).set_params(lam=lam) for lam in values]
            return [m._take(given, dict(learned), trainer, k) for k, m in enumerate(models)]

    def _check_parameters(self) -> None:
        from fairmi.dependence import penalty_of

        self._validate_params()
        check_layer_sizes(self.hidden_layer_sizes)
        check_callbacks(self.callbacks)
        check_lam(self.lam)
        penalty_of(self.penalty)

    def _read(
        self, rows: UserRows, *, goes_on: bool = False
    ) -> tuple[FitInput, TableEncoder | None]:
        """Return the rows of a fit, and an encoder of them if one is known."""
        from fairmi.networks.reducer import active_reducer, read_shard

        reducer = active_reducer()
        if reducer.n_shards == 1:
            earlier = self._header() if goes_on else None
            return self._read_rows(rows, earlier), self.encoder_ if goes_on else None

        def first() -> tuple[FitInput, TableEncoder]:
            given = self._read_rows(rows)
            return given, self._table_encoder(given)

        reducer.agreed(self._check_shard)
        return read_shard(reducer, first, lambda earlier: self._read_part(rows, earlier))

    def _check_shard(self) -> None:
        """Raise ValueError of a setting that can't be trained by several processes."""
        class_weight = getattr(self, "class_weight", None)
        for name, refused, instead in (
            ("encoder", self.encoder is not None, "encoder=None"),
            ("class_weight", isinstance(class_weight, str), "a dict of weights"),
            ("prior_correction", getattr(self, "prior_correction", False), "False"),
            ("warm_start", self.warm_start, "False"),
            ("teacher", not isinstance(getattr(self, "teacher", None), str | None), '"auto"'),
        ):
            if refused:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} can't be trained by several processes; "
                    f"give {instead}, or fit outside of data_parallel()."
                )

    def _prepared(
        self,
        given: FitInput,
        encoder: TableEncoder | None,
        lams: tuple[float, ...],
        factors: tuple[float, ...],
        seed: int,
        *,
        goes_on: bool,
        in_parts: bool = False,
    ) -> tuple[Trainer, dict[str, Any]]:
        """Return a trainer of the models of each λ, and what all learn, by attribute.

        It goes on from the weights of the fit before, or starts anew. Rows that come `in_parts`
        weigh and count together with those before.
        """
        from fairmi.dependence import penalty_of
        from fairmi.networks.model import device_of
        from fairmi.networks.reducer import active_reducer
        from fairmi.networks.rows import training_rows
        from fairmi.networks.trainer import Trainer

        reducer = active_reducer()  # shards differ, and settings must not
        encoder, rows = self._encoded(given, encoder)
        task = reducer.of_first(lambda: self._task(given, rows, goes_on=goes_on))
        targets = None if in_parts else self._targets(given, encoder, rows, seed)
        device = device_of(self.device)
        trunk = self._trunk(rows, device, goes_on=goes_on)
        config = network_config(
            self.get_params(deep=False),
            task=task,
            lams=tuple(lam * task.explained for lam in lams),
            factors=factors,
            n_rows=None if in_parts else reducer.total(len(rows.codes)),
            n_inputs=rows.n_inputs if trunk is None else trunk.n_outputs,
            own_encoder=trunk is not None,
            log_odds=reducer.of_first(lambda: self._log_odds(given)),
            penalty=penalty_of(self.penalty),
            device=device,
            seed=seed,
        )
        if goes_on:
            _check_architecture(config.architecture, self.architecture_)
        before = 0 if self._stream is None else self._stream["totals"]
        y, labels, n_labels = self._learned_rows(task, rows)
        data = training_rows(
            rows,
            y,
            given.plan.n_groups,
            constraint=self.constraint,
            group_weight=self.group_weight,
            labels=labels,
            n_labels=n_labels,
            device=device,
            offsets=self._offsets(given, rows),
            targets=targets,
            earlier_counts=self.sensitive_counts_ if in_parts and goes_on else None,
            totals=rows.totals + before if in_parts else reducer.total(rows.totals),
        )
        trainer = Trainer(data, config, self.parameters_ if goes_on else None, trunk)
        learned = {"encoder_": encoder, "architecture_": config.architecture}
        return trainer, learned | self._of_task(task)

    def _trained(
        self,
        given: FitInput,
        encoder: TableEncoder | None,
        lams: tuple[float, ...],
        factors: tuple[float, ...],
        *,
        goes_on: bool = False,
    ) -> tuple[Trainer, dict[str, Any]]:
        """Train the models of each λ; return them, and what all have learned, by attribute."""
        from fairmi.networks.loop import Reporter
        from fairmi.networks.model import device_of
        from fairmi.networks.reducer import active_reducer

        seed = active_reducer().of_first(lambda: seed_of(self.random_state))
        with own_randomness(self.encoder, seed, device_of(self.device)):
            trainer, learned = self._prepared(given, encoder, lams, factors, seed, goes_on=goes_on)
            with Reporter(
                list(self.callbacks or ()),
                show=bool(self.verbose),
                n_epochs=trainer.config.max_iter,
                n_rows=trainer.rows.n_rows,
                models=trainer.config.asked,
            ) as report:
                trainer.train(lambda record: trainer.reducer.any(report(record)))
        return trainer, learned

    def _take(
        self, given: FitInput, learned: dict[str, Any], trainer: Trainer, place: int
    ) -> Self:
        """Become the model of one λ of a training."""
        rows, config, history = trainer.rows, trainer.config, trainer.history(place)
        stopped = trainer.stopped(place)
        learned |= {
            "parameters_": trainer.parameters(place),
            "sensitive_counts_": rows.counts,
            "history_": history,
            "n_iter_": len(history),
            "t_": len(history) * trainer.n_batches,
            "stopped_": stopped,
        }
        if trainer.trunk is not None:
            learned["trunk_"] = trainer.trunk.finished()
        self._stream = None
        self._store(given, learned, notes_of_stop(stopped, len(history)))
        self._complete(rows)
        batch = diagnosed_rows(rows)
        lams = self._lams_in_nats([config.lams[place] * factor for factor in config.factors])
        self._note(self._diagnosed(batch, trainer.claims(batch, place), self.t_, lams))
        reducer = trainer.reducer
        if reducer.n_shards > 1:
            from fairmi.networks.reducer import learned_of

            # Parameters are equal; times and warnings are those of the first.
            for name, value in reducer.of_first(lambda: learned_of(self)).items():
                setattr(self, name, value)
        return self

    def _train_part(self, rows: UserRows, **known: object) -> FitInput:
        """Train on the rows of one part of a stream, and become what was learned."""
        from fairmi.networks.loop import epoch_dict
        from fairmi.networks.model import device_of
        from fairmi.networks.reducer import check_alone
        from fairmi.networks.stream_state import go_on_from, stream_state

        self._check_parameters()
        check_alone("partial_fit")
        first = not hasattr(self, "parameters_")
        classes = getattr(self, "classes_", np.zeros(0))
        earlier = None if first else (self._header(), classes, self._sensitive_plan)
        given = self._read_part(rows, earlier, **known)
        warn_of(given.notes, stacklevel=3)
        step, epoch = (0, 0) if first else (self.t_, self.n_iter_)
        seed = seed_of(self.random_state)
        device = device_of(self.device)
        with few_threads(self.encoder), own_randomness(self.encoder, seed + step, device):
            lam, factors = given.plan.weigh(self.lam)
            trainer, learned = self._prepared(
                given,
                None if first else self.encoder_,
                (lam,),
                factors,
                seed,
                goes_on=not first,
                in_parts=True,
            )
            if self._stream is not None:
                go_on_from(trainer, self._stream)
            record = trainer.feed(step, epoch + 1)
        if trainer.trunk is not None:
            learned["trunk_"] = trainer.trunk.finished()
        if record is None:
            learned |= self._unfed(trainer)
            self._store(given, learned, notes_of_stop("diverged", learned["n_iter_"]))
            return given
        learned |= {
            "parameters_": trainer.networks.arrays(slice(None)),
            "sensitive_counts_": trainer.rows.counts,
            "history_": [*getattr(self, "history_", ()), epoch_dict(record, slice(None))],
            "n_iter_": record.epoch,
            "t_": trainer.step_count,
            "stopped_": None,
        }
        self._store(given, learned, [])
        self._stream = stream_state(trainer) | {"totals": trainer.rows.totals}
        return given

    def _unfed(self, trainer: Trainer) -> dict[str, Any]:
        """Return what is kept of a part of a stream on which the networks diverged."""
        names = ("parameters_", "sensitive_counts_", "history_", "n_iter_", "t_")
        kept = {name: getattr(self, name) for name in names if hasattr(self, name)}
        if not kept:
            start = type(trainer)(trainer.rows, trainer.config).networks.arrays(slice(None))
            counts = np.zeros_like(trainer.rows.counts)
            kept = dict(zip(names, (start, counts, [], 0, 0), strict=True))
        return kept | {"stopped_": "diverged"}


def _check_architecture(wanted: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Raise ValueError where a fit that goes on would need other networks than there are."""
    for name, value in wanted.items():
        if name != "dropout" and value != fitted[name]:
            parameter = "n_estimators" if name == "n_models" else name
            raise ValueError(
                f"This fit goes on from networks of {parameter}={fitted[name]!r}, but the "
                f"parameters now ask for {value!r}; set them back, or fit anew with "
                "warm_start=False."
            )
