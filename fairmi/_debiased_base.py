"""What debiased networks of classes and of numbers share: one training of every λ, streams."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import field
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fairmi._base import PathEstimator, UserRows, with_parameters
from fairmi._data.fit_input import Earlier, FitInput, read_fit_input
from fairmi._diagnosis import check_started, notes_of_stop
from fairmi._network_base import NetworkEstimator, diagnosed_rows, few_threads, own_randomness
from fairmi._sklearn_compat import Interval, StrOptions, seed_of
from fairmi.core.task import NetworkTask
from fairmi.exceptions import warn_of
from fairmi.networks.config import network_config
from fairmi.networks.reducer import active_reducer, check_alone, learned_of, read_shard
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_rows import EncodedRows

if TYPE_CHECKING:  # what trains loads torch, which a server that only predicts does without
    from fairmi.networks.rows import TrainingRows
    from fairmi.networks.trainer import Trainer

_AUTO = StrOptions({"auto"})
_POSITIVE = Interval(Integral, 1, None, closed="left")


@with_parameters
class DebiasedNetworks(PathEstimator, NetworkEstimator):
    """Networks under a penalty, for many λ in one training or part by part.

    A subclass reads its rows, and says what its task is, what is compared, and what a trivial
    model is.
    """

    __metadata_request__partial_fit: ClassVar = {"sensitive_features": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEstimator._parameter_constraints,
        **PathEstimator._parameter_constraints,
        "n_components": [_AUTO, _POSITIVE],
        "n_levels": [None, _AUTO, Interval(Integral, 2, None, closed="left")],
        "n_estimators": [_POSITIVE],
        "batch_size": [_AUTO, _POSITIVE],
        "learning_rate": [_AUTO, Interval(Real, 0, None, closed="neither")],
        "weight_decay": [_AUTO, Interval(Real, 0, None, closed="left")],
        "dropout": [_AUTO, Interval(Real, 0, 1, closed="left")],
        "warm_start": ["boolean"],
    }

    n_components: int | str = "auto"
    n_levels: int | str | None = "auto"
    n_estimators: int = 1
    batch_size: int | str = "auto"
    learning_rate: float | str = "auto"
    weight_decay: float | str = "auto"
    dropout: float | str = "auto"
    warm_start: bool = False

    sensitive_counts_: np.ndarray = field(init=False)
    t_: int = field(init=False)
    # What a stream goes on from, as plain data: see `fairmi.networks.stream_state`.
    _stream: dict[str, Any] | None = field(init=False, default=None)

    def _read_part(self, rows: UserRows, earlier: Earlier | None, **known: object) -> FitInput:
        """Read and check what a user gave to `partial_fit`, as earlier rows were read."""
        return read_fit_input(self._row_options(), *rows, earlier=earlier, in_parts=True, **known)

    @abstractmethod
    def _task(self, inputs: FitInput, rows: EncodedRows, *, goes_on: bool) -> NetworkTask:
        """Return the task of encoded rows, or of those before where a fit goes on."""

    @abstractmethod
    def _learned_rows(
        self, task: NetworkTask, rows: EncodedRows
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Return y as networks learn it (n,), the labels of its strata (n,), and their number."""

    def _log_odds(self, inputs: FitInput) -> float:
        """Return the log odds of the second class, where there are two."""
        return 0.0

    def _targets(
        self, inputs: FitInput, encoder: TableEncoder | None, rows: EncodedRows, seed: int
    ) -> np.ndarray | None:
        """Return what all rows of a fit learn in place of y, (n, K), if it is not y."""
        return None

    def _offsets(self, inputs: FitInput, rows: EncodedRows) -> np.ndarray | None:
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

    def _check_parameters(self) -> None:
        from fairmi.dependence import penalty_of

        super()._check_parameters()
        penalty_of(self.penalty)

    def _goes_on(self) -> bool:
        return self.warm_start and hasattr(self, "parameters_")

    def _read(self, rows: UserRows, *, goes_on: bool = False) -> FitInput:
        reducer = active_reducer()
        reader = partial(super()._read, rows, goes_on=goes_on)
        if reducer.n_shards == 1:
            return reader()
        reducer.agreed(self._check_shard)
        return read_shard(reducer, reader, partial(self._read_part, rows))

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
        inputs: FitInput,
        lams: Sequence[float],
        factors: Sequence[float],
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
        from fairmi.networks.rows import training_rows
        from fairmi.networks.trainer import Trainer

        reducer = active_reducer()  # shards differ, and settings must not
        encoder, rows = self._encoded(inputs, goes_on=goes_on)
        task = reducer.of_first(lambda: self._task(inputs, rows, goes_on=goes_on))
        targets = None if in_parts else self._targets(inputs, encoder, rows, seed)
        device = device_of(self.device)
        trunk = self._trunk(rows, device, goes_on=goes_on)
        config = network_config(
            self.get_params(deep=False),
            task=task,
            lams=tuple(lam * task.explained for lam in lams),
            factors=tuple(factors),
            n_rows=None if in_parts else reducer.total(len(rows.codes)),
            n_inputs=rows.n_inputs if trunk is None else trunk.n_outputs,
            own_encoder=trunk is not None,
            log_odds=reducer.of_first(lambda: self._log_odds(inputs)),
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
            inputs.plan.n_groups,
            constraint=self.constraint,
            group_weight=self.group_weight,
            labels=labels,
            n_labels=n_labels,
            device=device,
            offsets=self._offsets(inputs, rows),
            targets=targets,
            earlier_counts=self.sensitive_counts_ if in_parts and goes_on else None,
            totals=rows.totals + before if in_parts else reducer.total(rows.totals),
        )
        trainer = Trainer(data, config, self.parameters_ if goes_on else None, trunk)
        learned = {"encoder_": encoder, "architecture_": config.architecture}
        return trainer, learned | self._of_task(task)

    def _train(
        self,
        inputs: FitInput,
        models: Sequence[Self],
        lams: Sequence[float],
        factors: Sequence[float],
        *,
        goes_on: bool = False,
    ) -> None:
        from fairmi.networks.model import device_of

        seed = active_reducer().of_first(lambda: seed_of(self.random_state))
        with few_threads(self.encoder):
            with own_randomness(self.encoder, seed, device_of(self.device)):
                trainer, learned = self._prepared(inputs, lams, factors, seed, goes_on=goes_on)
                with closing(self._progress(trainer.config.max_iter)) as progress:
                    trainer.train(progress)
            if models[0] is self:  # a path has other models
                course, members = trainer.course, trainer.config.models_of(0)
                check_started(course.stopped(members), len(course.history(members)))
            for place, model in enumerate(models):
                model._take(inputs, dict(learned), trainer, place)

    def _take(
        self, inputs: FitInput, learned: dict[str, Any], trainer: Trainer, place: int
    ) -> None:
        """Become the model of one λ of a training."""
        rows, config, models = trainer.rows, trainer.config, trainer.config.models_of(place)
        history, stopped = trainer.course.history(models), trainer.course.stopped(models)
        learned |= {
            "parameters_": trainer.networks.arrays(models),
            "sensitive_counts_": rows.counts,
            "history_": history,
            "n_iter_": len(history),
            "t_": len(history) * trainer.n_batches,
            "stopped_": stopped,
        }
        if trainer.trunk is not None:
            learned["trunk_"] = trainer.trunk.finished()
        self._stream = None
        self._store(inputs, learned, notes_of_stop(stopped, len(history)))
        self._complete(rows)
        batch = diagnosed_rows(rows)
        lams = self._lams_in_nats([config.lams[place] * factor for factor in config.factors])
        self._note(self._diagnosed(batch, trainer.claims(batch, place), self.t_, lams))
        reducer = trainer.reducer
        if reducer.n_shards > 1:
            # Parameters are equal; times and warnings are those of the first.
            for name, value in reducer.of_first(lambda: learned_of(self)).items():
                setattr(self, name, value)

    def _train_part(self, rows: UserRows, **known: object) -> FitInput:
        """Train on the rows of one part of a stream, and become what was learned."""
        from fairmi.networks.model import device_of
        from fairmi.networks.stream_state import go_on_from, stream_state

        self._check_parameters()
        check_alone("partial_fit")
        first = not hasattr(self, "parameters_")
        classes = getattr(self, "classes_", None)
        earlier = None if first else (self._header(), classes, self._sensitive_plan)
        inputs = self._read_part(rows, earlier, **known)
        warn_of(inputs.notes, stacklevel=3)
        step, epoch = (0, 0) if first else (self.t_, self.n_iter_)
        seed = seed_of(self.random_state)
        device = device_of(self.device)
        with few_threads(self.encoder), own_randomness(self.encoder, seed + step, device):
            lam, factors = inputs.plan.weigh(self.lam)
            trainer, learned = self._prepared(
                inputs, (lam,), factors, seed, goes_on=not first, in_parts=True
            )
            if self._stream is not None:
                go_on_from(trainer, self._stream)
            record = trainer.feed(step, epoch + 1)
        if trainer.trunk is not None:
            learned["trunk_"] = trainer.trunk.finished()
        if record is None:
            learned |= self._unfed(trainer)
            self._store(inputs, learned, notes_of_stop("diverged", learned["n_iter_"]))
            return inputs
        learned |= {
            "parameters_": trainer.networks.arrays(slice(None)),
            "sensitive_counts_": trainer.rows.counts,
            "history_": [*getattr(self, "history_", ()), record.mean(slice(None))],
            "n_iter_": record.epoch,
            "t_": trainer.step_count,
            "stopped_": None,
        }
        self._store(inputs, learned, [])
        self._stream = stream_state(trainer) | {"totals": trainer.rows.totals}
        return inputs

    def _unfed(self, trainer: Trainer) -> dict[str, Any]:
        """Return what stays of a part of a stream on which the networks diverged."""
        names = ("parameters_", "sensitive_counts_", "history_", "n_iter_", "t_")
        state = {name: getattr(self, name) for name in names if hasattr(self, name)}
        if not state:
            start = type(trainer)(trainer.rows, trainer.config).networks.arrays(slice(None))
            counts = np.zeros_like(trainer.rows.counts)
            state = dict(zip(names, (start, counts, [], 0, 0), strict=True))
        return state | {"stopped_": "diverged"}


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
