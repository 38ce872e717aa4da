"""MIBackpropClassifier: the authors' procedure behind scikit-learn's interface."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.random import RandomState
from numpy.typing import ArrayLike

from fairmi._base import Callbacks, check_callbacks, check_lam, check_started, notes_of_stop
from fairmi._data.fit_input import FitInput, read_fit_input
from fairmi._network_base import (
    NetworkClassifier,
    check_layer_sizes,
    diagnosed_rows,
    few_threads,
    own_randomness,
)
from fairmi._sklearn_compat import Interval, StrOptions, seed_of
from fairmi._typing import Columns, Kinds, SensitiveLike, TableLike
from fairmi.exceptions import warn_of
from fairmi.networks.config import check_size, layer_sizes, n_batches
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_rows import EncodedRows

if TYPE_CHECKING:  # what trains loads torch, which a server that only predicts does without
    import torch
    from torch.nn import Module

    from fairmi.networks.backprop import Backprop, BackpropConfig
    from fairmi.networks.loop import Outcome
    from fairmi.networks.own_encoder import Trunk

# Of a fit where `max_iter` is "auto".
_DEFAULT_STEPS = 3_000


class MIBackpropClassifier(NetworkClassifier):
    """The procedure of the paper as published, on a table or on images, to compare with.

    What it reaches hangs on λ and on when it stops: coloured digits it debiases in part at λ = 2,
    and what it has reached it can lose again with more steps; see `keep_best`. Its Z are 64 units
    of any value, and what its critic claims is no evidence: on tables a fresh probe finds most of
    the sensitive feature in Z. There, use `MIDebiasedClassifier` or `MIBoostingClassifier`.

    Parameters
    ----------
    lam : float, default=1.0
        Weight λ >= 0. Here it multiplies the rate of the optimiser of the penalty, so that its
        scale is not that of the other classifiers. Try 1 to 3.
    constraint : {"demographic_parity", "equalized_odds", "equal_opportunity"}, \
default="demographic_parity"
        What is penalised, as in `MIDebiasedClassifier`.
    sensitive_columns, drop_sensitive, missing_sensitive, sensitive_kinds, group_weight, \
weighted, class_weight, encoder
        As in `MIDebiasedClassifier`.
    hidden_layer_sizes : int or sequence of int, default=(512,)
        Units of the encoder's hidden layers; not read where `encoder` is given.
    n_critic_steps : int, default=40
        Steps of the critic after each step of the encoder (K): 40 for digits in the published
        code, 20 for faces.
    max_iter : int or "auto", default="auto"
        Epochs; "auto" takes as many as make 3,000 steps, whatever the number of rows.
    batch_size : int, default=128
        Rows of a step.
    learning_rate : float, default=1e-4
        Rate of Adam.
    callbacks : list of callable, default=None
        Called after each epoch with a record of `history_`; one that returns True ends the fit.
    keep_best : callable, default=None
        Called after each epoch with the classifier as it would be if the fit ended there, and
        returns a number, such as its accuracy on held-out rows. The fit ends with the weights of
        the epoch whose number was the largest, and not of the last.
    device : str, default="auto"
        Where to train: "cpu", "cuda", ...; "auto" takes a GPU where there is one.
    verbose : bool or int, default=False
        Whether to show a progress bar.
    random_state : int, RandomState instance or None, default=None
        An int makes the same fit each time on one machine. No global generator is read or set.

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_, sensitive_values_, sensitive_kinds_, n_iter_, \
history_, stopped_, warnings_, encoder_, trunk_, item_shape_, architecture_, parameters_
        As in `MIDebiasedClassifier`.
    best_epoch_ : int
        The epoch whose weights these are, 0 where the first one diverged.

    See Also
    --------
    fairmi.MIDebiasedClassifier : Z passes a channel of few values, which bounds what it can tell.

    References
    ----------
    .. [1] R. Ragonesi, R. Volpi, J. Cavazza, V. Murino, "Learning Unbiased Representations via
       Mutual Information Backpropagation", CVPR Workshops 2021, arXiv 2003.06430.

    Examples
    --------
    >>> from fairmi import MIBackpropClassifier
    >>> from fairmi.datasets import load_german
    >>> X, y = load_german(return_X_y=True)
    >>> model = MIBackpropClassifier(n_critic_steps=2, max_iter=2, random_state=0)
    >>> model = model.fit(X, y, sensitive_features=X["age"] > 25)
    >>> model.transform(X).shape
    (1000, 64)
    """

    _against_blindness = (
        "MIDebiasedClassifier bounds what Z can hide; more n_critic_steps or a higher lam may "
        "help too."
    )

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkClassifier._parameter_constraints,
        "lam": [Interval(Real, 0, None, closed="left")],
        "constraint": [StrOptions({"demographic_parity", "equalized_odds", "equal_opportunity"})],
        "group_weight": [None, StrOptions({"balanced"})],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "keep_best": [None, callable],
    }

    def __init__(
        self,
        *,
        lam: float = 1.0,
        constraint: str = "demographic_parity",
        sensitive_columns: Columns | None = None,
        drop_sensitive: bool = False,
        missing_sensitive: str = "error",
        sensitive_kinds: Kinds | None = None,
        group_weight: str | None = None,
        weighted: str = "both",
        class_weight: str | Mapping[Hashable, float] | None = None,
        encoder: Callable[[], Module] | Module | None = None,
        hidden_layer_sizes: int | Sequence[int] = (512,),
        n_critic_steps: int = 40,
        max_iter: int | str = "auto",
        batch_size: int = 128,
        learning_rate: float = 1e-4,
        callbacks: Callbacks = None,
        keep_best: Callable[[MIBackpropClassifier], float] | None = None,
        device: str = "auto",
        verbose: bool | int = False,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.lam = lam
        self.constraint = constraint
        self.sensitive_columns = sensitive_columns
        self.drop_sensitive = drop_sensitive
        self.missing_sensitive = missing_sensitive
        self.sensitive_kinds = sensitive_kinds
        self.group_weight = group_weight
        self.weighted = weighted
        self.class_weight = class_weight
        self.encoder = encoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_critic_steps = n_critic_steps
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.callbacks = callbacks
        self.keep_best = keep_best
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self,
        X: TableLike,
        y: ArrayLike,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on X, y and the sensitive features; a second fit starts anew.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : as in `MIDebiasedClassifier.fit`

        Returns
        -------
        MIBackpropClassifier
            The fitted estimator.

        Raises
        ------
        SensitiveFeaturesError, ValueError, StoppedFitError, KeyboardInterrupt
            As `MIDebiasedClassifier.fit`.

        Warns
        -----
        CollapseWarning
            If one class alone is predicted, or Z tells much that the critic doesn't see.
        ConvergenceWarning
            If a loss became non-finite or the fit was interrupted; the last good state is kept.
        """
        from fairmi.networks.backprop import Backprop
        from fairmi.networks.model import device_of
        from fairmi.networks.reducer import check_alone
        from fairmi.networks.rows import training_rows

        self._validate_params()
        check_alone("MIBackpropClassifier")
        check_layer_sizes(self.hidden_layer_sizes)
        check_callbacks(self.callbacks)
        check_lam(self.lam)
        with few_threads(self.encoder):
            given = read_fit_input(self._row_options(), X, y, sensitive_features, sample_weight)
            warn_of(given.notes, stacklevel=2)
            encoder, encoded = self._encoded(given)
            device, seed = device_of(self.device), seed_of(self.random_state)
            with own_randomness(self.encoder, seed, device):
                trunk = self._trunk(encoded, device, goes_on=False)
                config = self._config(given, encoded, device, seed, trunk)
                check_size(config.architecture, 1)
                rows = training_rows(
                    encoded,
                    encoded.codes,
                    given.plan.n_groups,
                    constraint=self.constraint,
                    group_weight=self.group_weight,
                    labels=encoded.codes,
                    n_labels=len(given.classes),
                    device=device,
                    totals=encoded.totals,
                )
                training = Backprop(rows, config, trunk)
                outcome = self._trained(given, encoder, training)
            self._take(given, encoder, training, outcome)
        return self._warn(given)

    def _config(
        self,
        given: FitInput,
        encoded: EncodedRows,
        device: torch.device,
        seed: int,
        trunk: Trunk | None,
    ) -> BackpropConfig:
        from fairmi.networks.backprop import BackpropConfig

        n_classes = len(given.classes)
        hidden = layer_sizes(self.hidden_layer_sizes) if trunk is None else ()
        return BackpropConfig(
            n_inputs=encoded.n_inputs if trunk is None else trunk.n_outputs,
            n_outputs=1 if n_classes == 2 else n_classes,
            hidden_layer_sizes=hidden,
            lam=float(self.lam),
            n_critic_steps=int(self.n_critic_steps),
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            device=device,
            seed=seed,
        )

    def _trained(
        self, given: FitInput, encoder: TableEncoder | None, training: Backprop
    ) -> Outcome:
        from fairmi.networks.loop import Reporter, run_epochs

        n_rows, n_epochs = training.rows.n_rows, self.max_iter
        if isinstance(n_epochs, str):
            n_epochs = math.ceil(_DEFAULT_STEPS / n_batches(n_rows, self.batch_size))

        def score(rate: Callable[[MIBackpropClassifier], float]) -> float:
            training.networks.eval()
            model = type(self)(**self.get_params(deep=False))
            model._store(given, model._learned(encoder, training))
            number = float(rate(model))
            training.networks.train()
            return number

        with Reporter(
            list(self.callbacks or ()),
            show=bool(self.verbose),
            n_epochs=n_epochs,
            n_rows=n_rows,
            models=slice(None),
        ) as report:
            rated = None if self.keep_best is None else partial(score, self.keep_best)
            return run_epochs(training, n_epochs, report, score=rated)

    def _learned(self, encoder: TableEncoder | None, training: Backprop) -> dict[str, Any]:
        """Return what predicts, of the networks as they are."""
        learned: dict[str, Any] = {
            "encoder_": encoder,
            "architecture_": training.config.architecture,
            "parameters_": training.networks.arrays(slice(None)),
        }
        if training.trunk is not None:
            learned["trunk_"] = copy.deepcopy(training.trunk).finished()
        return learned

    def _take(
        self,
        given: FitInput,
        encoder: TableEncoder | None,
        training: Backprop,
        outcome: Outcome,
    ) -> Self:
        from fairmi.networks.loop import epoch_dict

        (stopped,), (kept,) = outcome.stopped, outcome.kept
        history = [epoch_dict(r, slice(None)) for r in outcome.history if r.is_finite(0)]
        ended: dict[str, Any] = {
            "history_": history,
            "n_iter_": len(history),
            "best_epoch_": 0 if kept is None else kept.epoch,
            "stopped_": stopped,
        }
        check_started(stopped, len(history))
        stop = notes_of_stop(stopped, len(history))
        self._store(given, self._learned(encoder, training) | ended, stop)
        claims: Sequence[float | None] = ()
        if kept is not None:
            claims = kept.penalty if self.lam else (None,)
        n_steps = len(history) * n_batches(training.rows.n_rows, training.config.batch_size)
        self._note(self._diagnosed(diagnosed_rows(training.rows), claims, n_steps))
        return self


# Saved models name the public place of a class, which stays where its file moves.
MIBackpropClassifier.__module__ = "fairmi"
