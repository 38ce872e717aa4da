"""What networks share: inference, diagnosis, one training of every λ, and streams."""

from __future__ import annotations

import copyreg
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import field
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fairmi._base import PathEstimator, RepresentationEstimator
from fairmi._data.fit_input import Earlier, FitInput
from fairmi._data.saved_format import check_networks
from fairmi._data.tables import ArrayRows, Table, as_array_rows, check_array_rows
from fairmi._diagnosis import check_started, notes_of_blind_critics, notes_of_stop
from fairmi._sklearn_compat import (
    ABOVE_0,
    AUTO,
    NOT_NEGATIVE,
    POSITIVE,
    TWO_OR_MORE,
    Interval,
    parameter,
    seed_of,
    with_parameters,
)
from fairmi._typing import ColumnLike, GroupNames, SensitiveLike, TableLike, UserRows
from fairmi.core.task import Classes, NetworkTask, log_odds
from fairmi.exceptions import Note, warn_of
from fairmi.networks.config import check_same_networks, layer_sizes, network_config
from fairmi.networks.inference import NumpyNetworks, represent
from fairmi.networks.reducer import active_reducer, check_alone, check_shared, read_shard
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.table_encoder import encode_rows

if TYPE_CHECKING:  # they load torch, which a server that only predicts does without
    import torch
    from torch import nn

    from fairmi.networks.model import Trunk
    from fairmi.networks.rows import TrainingRows
    from fairmi.networks.trainer import Trainer


@with_parameters
class NetworkEstimator(RepresentationEstimator):
    """An estimator whose state is an encoding of columns, and networks."""

    # What to do where the critic sees little of what is left.
    _against_blindness: ClassVar[str] = (
        "A channel of few n_levels bounds what Z can hide; more n_critic_steps or a higher lam "
        "may help too."
    )

    encoder: nn.Module | Callable[[], nn.Module] | None = parameter(None, callable, default=None)
    hidden_layer_sizes: int | Sequence[int] = parameter("array-like", Integral, default=(128,))
    n_critic_steps: int = parameter(POSITIVE, default=3)
    max_iter: int | str = parameter(AUTO, POSITIVE, default="auto")
    device: str = parameter(str, default="auto")

    encoder_: TableEncoder | None = field(init=False)
    trunk_: nn.Module = field(init=False)
    item_shape_: tuple[int, ...] = field(init=False)
    architecture_: dict[str, Any] = field(init=False)
    parameters_: dict[str, np.ndarray] = field(init=False)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        layer_sizes(self.hidden_layer_sizes)

    def _networks(self) -> NumpyNetworks:
        return NumpyNetworks(self.architecture_, self.parameters_)

    def _features(self) -> Callable[[Any], np.ndarray] | None:
        """Return what maps rows to the features of the user's encoder, None without one."""
        if not hasattr(self, "trunk_"):
            return None
        from fairmi.networks.model import fitted_trunk

        return fitted_trunk(self.trunk_, self.architecture_["n_inputs"], self.device).features

    def _checked_features(self, X: TableLike) -> Table | ArrayRows:
        """Return the rows, or the columns of a table, that the encoder reads."""
        if not hasattr(self, "item_shape_"):
            return super()._checked_features(X)
        rows = as_array_rows(X)
        if rows is None:
            raise ValueError(
                f"X is a {type(X).__name__}, but at fit it was an array of rows of shape "
                f"{self.item_shape_}; give an array of numbers."
            )
        check_array_rows(rows, self.item_shape_)
        return rows

    def _represent(self, X: Table | ArrayRows) -> np.ndarray:
        return represent(self._networks(), self.encoder_, X, self._features())

    def _encoded(
        self, inputs: FitInput, *, goes_on: bool = False
    ) -> tuple[TableEncoder | None, FitInput]:
        """Return the encoding of a table, as it was or learned now, and the encoded rows.

        Rows of any shape have none and stay as they are.
        """
        if inputs.header.item_shape is not None:
            from fairmi.networks.model import device_of
            from fairmi.networks.rows import item_rows

            return None, item_rows(inputs, device_of(self.device))
        encoder = self.encoder_ if goes_on else None
        if encoder is None:  # learned once for all processes
            encoder = active_reducer().of_first(lambda: self._table_encoder(inputs))
        return encoder, encode_rows(inputs, encoder)

    def _table_encoder(self, inputs: FitInput) -> TableEncoder:
        """Return an encoding of a table, learned from these rows."""
        return TableEncoder().fit(inputs.features, inputs.codes, inputs.task_weights)

    def _trunk(self, rows: FitInput, device: torch.device, *, goes_on: bool) -> Trunk | None:
        """Return the trunk of a fit, None without an encoder of the user's."""
        if goes_on and (self.encoder is not None) != hasattr(self, "trunk_"):
            raise ValueError(
                f"This fit goes on from one whose encoder was "
                f"{'your own' if hasattr(self, 'trunk_') else None}, but encoder={self.encoder!r} "
                "now; set it back, or fit anew with warm_start=False."
            )
        if self.encoder is None:
            return None
        from fairmi.networks.model import CHECKED_ROWS, trunk_of
        from fairmi.networks.rows import first_rows

        sample = first_rows(rows, CHECKED_ROWS)
        return trunk_of(self.trunk_ if goes_on else self.encoder, sample, device)

    def _scores(self, Z: np.ndarray) -> np.ndarray:
        return self._networks().scores_of(Z)

    def _trivial(self, scores: np.ndarray, batch: TrainingRows, n_steps: int) -> list[Note]:
        """Say that a fit of `n_steps` ended in a trivial solution, and what to change, if it did.

        `scores` (B, K) are those of the rows of a batch.
        """
        raise NotImplementedError

    def _diagnose(self, batch: TrainingRows, claims: Sequence[float | None], n_steps: int) -> None:
        """Keep what to warn of in the fitted model, as some rows of the fit show it."""
        networks = self._networks()
        x, features = batch.dense.cpu().numpy(), self._features()
        z = networks.represent(x if features is None else features(x), x)
        notes = self._trivial(networks.mean_scores(z), batch, n_steps)
        if self.constraint == "demographic_parity" and claims:
            groups = [
                None if s.groups is None or s.rows is not None else s.groups.cpu().numpy()
                for s in batch.sensitive
            ]
            counted = [(s.weights[0] > 0).cpu().numpy() for s in batch.sensitive]
            blind = notes_of_blind_critics(z[0], groups, counted, claims)
            notes += [(kind, f"{message} {self._against_blindness}") for kind, message in blind]
        self.warnings_ += [(kind.__name__, message) for kind, message in notes]

    def __getstate__(self) -> dict[str, Any]:
        """Return plain data alone, which a module is not: skops asks here, pickle below."""
        if self.encoder is not None:
            raise TypeError(
                f"skops saves no torch module, and this {type(self).__name__} has an encoder of "
                "your own; save it by pickle or joblib, or pass on trunk_.state_dict() and "
                "parameters_."
            )
        return super().__getstate__()

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Return what pickle saves: the user's module too, and its trained copy."""
        return copyreg.__newobj__, (type(self),), super().__getstate__()  # type: ignore[attr-defined]

    def _restore(self) -> None:
        if hasattr(self, "architecture_") or hasattr(self, "parameters_"):
            check_networks(vars(self), self._n_encoded(), self._n_scores())

    def _n_scores(self) -> int | None:
        """Return the scores of a saved model's head; None for those of its classes."""
        return None

    def _n_encoded(self) -> int | None:
        """Return the columns that the encoder gives to the networks; None of a module of yours."""
        encoder = vars(self).get("encoder_")
        if encoder is None and hasattr(self, "item_shape_"):
            return None
        if not isinstance(encoder, TableEncoder) or encoder.n_columns != len(self._kept):
            raise ValueError("The saved model is damaged: encoder_ doesn't read its columns.")
        return None if hasattr(self, "trunk_") else encoder.n_encoded

    @property
    def _n_features_out(self) -> int:
        several = self.architecture_["n_models"] > 1
        return int(self.architecture_["n_outputs" if several else "n_components"])


@with_parameters
class DebiasedNetworks(PathEstimator, NetworkEstimator):
    """Networks under a penalty, for many λ in one training or part by part.

    A subclass reads its rows, and says what its task is, what is compared, and what a trivial
    model is.
    """

    __metadata_request__partial_fit: ClassVar = {"sensitive_features": True}

    n_components: int | str = parameter(AUTO, POSITIVE, default="auto")
    n_levels: int | str | None = parameter(None, AUTO, TWO_OR_MORE, default="auto")
    n_estimators: int = parameter(POSITIVE, default=1)
    batch_size: int | str = parameter(AUTO, POSITIVE, default="auto")
    learning_rate: float | str = parameter(AUTO, ABOVE_0, default="auto")
    weight_decay: float | str = parameter(AUTO, NOT_NEGATIVE, default="auto")
    dropout: float | str = parameter(AUTO, Interval(Real, 0, 1, closed="left"), default="auto")
    warm_start: bool = parameter("boolean", default=False)

    sensitive_counts_: np.ndarray = field(init=False)
    t_: int = field(init=False)
    # What a stream goes on from, as plain data: see `stream_state` of the trainer.
    _stream: dict[str, Any] | None = field(init=False, default=None)

    @abstractmethod
    def _task(self, rows: FitInput, *, goes_on: bool) -> NetworkTask:
        """Return the task of encoded rows, or of those before where a fit goes on."""

    def _beside_y(
        self, inputs: FitInput, encoder: TableEncoder | None, rows: FitInput, seed: int | None
    ) -> dict[str, np.ndarray | None]:
        """Return `offsets` and `targets` of encoded rows, as in `training_rows`, if there are any.

        `seed` is None where the rows are not all rows of a fit.
        """
        return {}

    def _complete(self, rows: TrainingRows) -> None:
        """Do what is left, once networks are trained on all rows of a fit."""

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

    def _read(self, rows: UserRows, earlier: Earlier | None = None, **of_part: Any) -> FitInput:
        reducer, read = active_reducer(), partial(super()._read, rows)
        if reducer.n_shards == 1:
            return read(earlier, **of_part)
        reducer.agreed(lambda: check_shared(self._parameters()))
        return read_shard(reducer, partial(read, earlier), partial(read, in_parts=True))

    def _prepared(
        self,
        inputs: FitInput,
        models: Sequence[Self],
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
        task = reducer.of_first(lambda: self._task(rows, goes_on=goes_on))
        of_all = not in_parts and reducer.n_shards == 1
        odds = 0.0
        if isinstance(task, Classes) and task.n_classes == 2:
            odds = reducer.of_first(lambda: log_odds(inputs.codes, inputs.task_weights))
        beside_y = self._beside_y(inputs, encoder, rows, seed if of_all else None)
        device = device_of(self.device)
        trunk = self._trunk(rows, device, goes_on=goes_on)
        weighed = [inputs.plan.weigh(model.lam) for model in models]
        config = network_config(
            self._parameters(),
            task=task,
            lams=tuple(lam * task.explained for lam, _ in weighed),
            factors=weighed[0][1],
            n_rows=None if in_parts else reducer.total(len(rows.codes)),
            n_inputs=rows.n_inputs if trunk is None else trunk.n_outputs,
            own_encoder=trunk is not None,
            log_odds=odds,
            penalty=penalty_of(self.penalty),
            device=device,
            seed=seed,
        )
        if goes_on:
            check_same_networks(config.architecture, self.architecture_)
        before = 0 if self._stream is None else self._stream["totals"]
        y, labels, n_labels = task.read(rows.codes)
        data = training_rows(
            rows,
            inputs.plan.n_groups,
            **beside_y,
            y=y,
            labels=labels,
            n_labels=n_labels,
            constraint=self.constraint,
            group_weight=self.group_weight,
            device=device,
            earlier_counts=self.sensitive_counts_ if in_parts and goes_on else None,
            totals=rows.totals + before if in_parts else reducer.total(rows.totals),
        )
        trainer = Trainer(data, config, self.parameters_ if goes_on else None, trunk)
        learned = {"encoder_": encoder, "architecture_": config.architecture}
        return trainer, learned | ({"units_": task.units} if task.units else {})

    def _train(self, inputs: FitInput, models: Sequence[Self], *, goes_on: bool = False) -> None:
        from fairmi.networks.model import device_of, training_setting

        seed = active_reducer().of_first(lambda: seed_of(self.random_state))
        with training_setting(self.encoder is not None, seed, device_of(self.device)):
            trainer, learned = self._prepared(inputs, models, seed, goes_on=goes_on)
            with closing(self._progress(trainer.config.max_iter, "epoch")) as progress:
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
        rows, reducer, models = trainer.rows, trainer.reducer, trainer.config.models_of(place)
        history = trainer.course.history(models)
        learned |= {
            "parameters_": trainer.networks.arrays(models),
            "sensitive_counts_": rows.counts,
            "t_": len(history) * trainer.n_batches,
        }
        self._keep(inputs, learned, trainer, history, trainer.course.stopped(models))
        self._complete(rows)
        batch = rows.first()
        self._diagnose(batch, trainer.claims(batch, place), self.t_)
        if reducer.n_shards > 1:
            # Parameters are equal; times and warnings are those of the first.
            own = self._parameters()
            learned = {name: value for name, value in vars(self).items() if name not in own}
            for name, value in reducer.of_first(lambda: learned).items():
                setattr(self, name, value)

    def _keep(
        self,
        inputs: FitInput,
        learned: dict[str, Any],
        trainer: Trainer,
        history: list[dict[str, float]],
        stopped: str | None,
    ) -> None:
        """Store what was learned, which no stream goes on from yet."""
        learned |= {"history_": history, "n_iter_": len(history), "stopped_": stopped}
        if trainer.trunk is not None:
            learned["trunk_"] = trainer.trunk.finished()
        self._stream = None
        self._store(inputs, learned, notes_of_stop(stopped, len(history)))

    def partial_fit(
        self,
        X: TableLike,
        y: ColumnLike | None = None,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
        sensitive_values: GroupNames | None = None,
    ) -> Self:
        """Train once on the next rows of data that need never be in memory at once.

        As `MIDebiasedClassifier.partial_fit`. The first call also sets the units of y, or without
        y those of all columns, so let it hold some thousands of rows drawn at random.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : as in `fit`
        sensitive_values : list or dict of lists, default=None
            All groups, for the first call; those of a later part may be absent from it.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            As `fit`; also for a group that is not among those named, or that the first call did
            not hold.
        """
        rows = (X, y, sensitive_features, sample_weight)
        return self._warn(self._train_part(rows, sensitive_values=sensitive_values))

    def _train_part(self, rows: UserRows, **of_part: Any) -> FitInput:
        """Train on the rows of one part of a stream, and become what was learned."""
        from fairmi.networks.model import device_of, training_setting
        from fairmi.networks.trainer import go_on_from, stream_state

        self._check_parameters()
        check_alone("partial_fit")
        first = not hasattr(self, "parameters_")
        classes = getattr(self, "classes_", None)
        earlier = None if first else (self._header(), classes, self._sensitive_plan)
        inputs = self._read(rows, earlier, in_parts=True, **of_part)
        warn_of(inputs.notes, stacklevel=3)
        history, n_steps = ([], 0) if first else (self.history_, self.t_)
        seed, device = seed_of(self.random_state), device_of(self.device)
        with training_setting(self.encoder is not None, seed + n_steps, device):
            trainer, learned = self._prepared(
                inputs, [self], seed, goes_on=not first, in_parts=True
            )
            start, counts = trainer.networks.arrays(slice(None)), trainer.rows.counts
            if self._stream is not None:
                go_on_from(trainer, self._stream)
            record = trainer.feed(n_steps, len(history) + 1)
        if record is None:
            counts = np.zeros_like(counts) if first else self.sensitive_counts_
            learned |= {"parameters_": start, "sensitive_counts_": counts, "t_": n_steps}
            if trainer.trunk is not None:
                trainer.trunk.restore()
            self._keep(inputs, learned, trainer, history, "diverged")
            return inputs
        parameters, history = trainer.networks.arrays(slice(None)), [*history, record.mean()]
        n_steps = trainer.step_count
        learned |= {"parameters_": parameters, "sensitive_counts_": counts, "t_": n_steps}
        self._keep(inputs, learned, trainer, history, None)
        self._stream = stream_state(trainer) | {"totals": trainer.rows.totals}
        return inputs
