"""What the network classifiers share: inference, and what a fit came to, in words."""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from fairmi._base import (
    RepresentationClassifier,
    RepresentationEstimator,
    with_parameters,
)
from fairmi._data.fit_input import FitInput
from fairmi._data.saved_format import check_networks
from fairmi._data.tables import ArrayRows, Table, as_array_rows, check_array_rows
from fairmi._diagnosis import notes_of_blind_critics, notes_of_collapse
from fairmi._progress import Progress
from fairmi._sklearn_compat import Interval, StrOptions
from fairmi._threads import one_thread
from fairmi._typing import TableLike
from fairmi.core.information import information_of_labels
from fairmi.core.task import Classes
from fairmi.exceptions import Note
from fairmi.networks.inference import NumpyNetworks, represent, represent_items
from fairmi.networks.reducer import active_reducer
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_rows import EncodedRows, encode_rows

if TYPE_CHECKING:  # they load torch, which a server that only predicts does without
    import torch
    from torch import nn

    from fairmi.networks.own_encoder import Trunk
    from fairmi.networks.rows import TrainingRows


# Rows that a fit is diagnosed by.
_MAX_ROWS = 5_000


def few_threads(encoder: object) -> AbstractContextManager[None]:
    """Train on one thread, but for an encoder of the user's own.

    That one takes as many threads as torch is set to: its products may be large.
    """
    return one_thread() if encoder is None else nullcontext()


def own_randomness(
    encoder: object, seed: int, device: torch.device
) -> AbstractContextManager[None]:
    """Seed what an encoder of the user's draws from torch, and put the global state back."""
    if encoder is None:
        return nullcontext()
    from fairmi.networks.own_encoder import own_draws

    return own_draws(seed, device)


@with_parameters
class NetworkEstimator(RepresentationEstimator):
    """An estimator whose state is an encoding of columns, and networks."""

    # What to do where the critic sees little of what is left.
    _against_blindness: ClassVar[str] = (
        "A channel of few n_levels bounds what Z can hide; more n_critic_steps or a higher lam "
        "may help too."
    )

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **RepresentationEstimator._parameter_constraints,
        "encoder": [None, callable],
        "hidden_layer_sizes": ["array-like", Integral],
        "n_critic_steps": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "device": [str],
    }

    encoder: nn.Module | Callable[[], nn.Module] | None = None
    hidden_layer_sizes: int | Sequence[int] = (128,)
    n_critic_steps: int = 3
    max_iter: int | str = "auto"
    device: str = "auto"

    encoder_: TableEncoder | None = field(init=False)
    trunk_: nn.Module = field(init=False)
    item_shape_: tuple[int, ...] = field(init=False)
    architecture_: dict[str, Any] = field(init=False)
    parameters_: dict[str, np.ndarray] = field(init=False)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_layer_sizes(self.hidden_layer_sizes)

    def _progress(self, n_epochs: int) -> Progress:
        show = bool(self.verbose)
        return Progress(self.callbacks, show=show, total=n_epochs, unit="epoch", desc="fairmi")

    def _networks(self) -> NumpyNetworks:
        return NumpyNetworks(self.architecture_, self.parameters_)

    def _features(self) -> Callable[[Any], np.ndarray] | None:
        """Return what maps rows to the features of the user's encoder, None without one."""
        if not hasattr(self, "trunk_"):
            return None
        from fairmi.networks.own_encoder import fitted_trunk

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
        if self.encoder_ is None:
            return represent_items(self._networks(), X, self._features())
        return represent(self._networks(), self.encoder_, X, self._features())

    def _encoded(
        self, inputs: FitInput, *, goes_on: bool = False
    ) -> tuple[TableEncoder | None, EncodedRows]:
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

    def _trunk(self, rows: EncodedRows, device: torch.device, *, goes_on: bool) -> Trunk | None:
        """Return the trunk of a fit, None without an encoder of the user's."""
        if goes_on and (self.encoder is not None) != hasattr(self, "trunk_"):
            raise ValueError(
                f"This fit goes on from one whose encoder was "
                f"{'your own' if hasattr(self, 'trunk_') else None}, but encoder={self.encoder!r} "
                "now; set it back, or fit anew with warm_start=False."
            )
        if self.encoder is None:
            return None
        from fairmi.networks.own_encoder import CHECKED_ROWS, trunk_of
        from fairmi.networks.rows import first_rows

        sample = first_rows(rows, CHECKED_ROWS)
        return trunk_of(self.trunk_ if goes_on else self.encoder, sample, device)

    def _scores(self, Z: np.ndarray) -> np.ndarray:
        return self._networks().scores_of(Z)

    def _trivial(
        self, scores: np.ndarray, batch: TrainingRows, n_steps: int, lams: Sequence[float]
    ) -> list[Note]:
        """Say that a fit ended in a trivial solution, and what to change, if it did.

        `scores` (B, K) are those of the rows of a batch; else as `_diagnosed`.
        """
        raise NotImplementedError

    def _diagnosed(
        self,
        batch: TrainingRows,
        claims: Sequence[float | None],
        n_steps: int,
        lams: Sequence[float] = (),
    ) -> list[Note]:
        """Say what is wrong with the fitted model, as some rows of the fit show it.

        `n_steps` it took. `lams` has λ of each sensitive attribute whose penalty is I(Z; C) in
        nats, where they are so.
        """
        networks = self._networks()
        x, features = batch.dense.cpu().numpy(), self._features()
        z = networks.represent(x if features is None else features(x), x)
        notes = self._trivial(networks.mean_scores(z), batch, n_steps, lams)
        if self.constraint != "demographic_parity" or not claims:
            return notes
        groups = [
            None if s.groups is None or s.rows is not None else s.groups.cpu().numpy()
            for s in batch.sensitive
        ]
        counted = [(s.weights[0] > 0).cpu().numpy() for s in batch.sensitive]
        blind = notes_of_blind_critics(z[0], groups, counted, claims)
        return notes + [(kind, f"{message} {self._against_blindness}") for kind, message in blind]

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


class NetworkClassifier(RepresentationClassifier, NetworkEstimator):
    """Networks whose scores are those of classes."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEstimator._parameter_constraints,
        **RepresentationClassifier._parameter_constraints,
    }

    def _trivial(
        self, scores: np.ndarray, batch: TrainingRows, n_steps: int, lams: Sequence[float]
    ) -> list[Note]:
        return notes_of_collapse(
            Classes(len(self.classes_)),
            scores,
            batch.y.cpu().numpy(),
            batch.task_weights[0].cpu().numpy(),
            self.lam,
            cost_of_y=_cost_of_y(batch, lams),
            n_steps=n_steps,
        )


def _cost_of_y(batch: TrainingRows, lams: Sequence[float]) -> float:
    """Return λ I(y; C) in nats, summed over the groups that are penalised over all rows."""
    return sum(
        lam
        * information_of_labels(
            (batch.y if of.rows is None else batch.y[of.rows]).cpu().numpy(),
            of.groups.cpu().numpy(),
            of.weights[0].cpu().numpy(),
        )
        for lam, of in zip(lams, batch.sensitive, strict=bool(lams))
        if of.groups is not None and of.n_strata == 1
    )


def diagnosed_rows(rows: TrainingRows) -> TrainingRows:
    """Return the rows that a fit is diagnosed by."""
    return rows.first(min(_MAX_ROWS, getattr(rows.x, "max_rows", _MAX_ROWS)))


def check_layer_sizes(sizes: ArrayLike) -> None:
    """Raise ValueError where a hidden layer's size is not a positive integer."""
    # As networks read them: a number is one layer, and so is an object that is no sequence.
    for size in sizes if isinstance(sizes, list | tuple) else np.atleast_1d(sizes):
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"hidden_layer_sizes={sizes!r} holds {size!r}; give positive integers: (128,)."
            )
