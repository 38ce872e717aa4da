"""MIBackpropClassifier: the authors' procedure behind scikit-learn's interface."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

from fairmi._data.fit_input import FitInput
from fairmi._diagnosis import check_started, notes_of_stop
from fairmi._network_classifier import NetworkClassifier
from fairmi._sklearn_compat import (
    ABOVE_0,
    NOT_NEGATIVE,
    POSITIVE,
    StrOptions,
    parameter,
    seed_of,
    with_parameters,
)
from fairmi.networks.config import check_size, layer_sizes
from fairmi.networks.reducer import check_alone

if TYPE_CHECKING:  # what trains loads torch, which a server that only predicts does without
    import torch

    from fairmi.networks.backprop import Backprop

# Of a fit where `max_iter` is "auto".
_DEFAULT_STEPS = 3_000


@with_parameters
class MIBackpropClassifier(NetworkClassifier):
    """The procedure of the paper as published, on a table or on images, to compare with.

    What it reaches hangs on λ and on when it stops: coloured digits it debiases in part at λ = 2,
    and what it has reached it can lose again with more steps; see `keep_best`. On Adult it takes
    λ = 10 and 3,000 steps until a fresh probe finds as little as networks at λ = 0 leave. Its Z
    are 64 units of any value, and what its critic claims is no evidence. On tables, use
    `MIDebiasedClassifier` or `MIBoostingClassifier`, which leave less at more accuracy.

    Parameters
    ----------
    lam : float, default=1.0
        Weight λ >= 0. Here it multiplies the rate of the optimiser of the penalty, so that its
        scale is not that of the other classifiers. Try 2 on images, 10 on tables.
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

    lam: float = parameter(NOT_NEGATIVE, default=1.0)
    group_weight: str | None = parameter(None, StrOptions({"balanced"}), default=None)
    hidden_layer_sizes: int | Sequence[int] = parameter("array-like", Integral, default=(512,))
    n_critic_steps: int = parameter(POSITIVE, default=40)
    batch_size: int = parameter(POSITIVE, default=128)
    learning_rate: float = parameter(ABOVE_0, default=1e-4)
    keep_best: Callable[[MIBackpropClassifier], float] | None = parameter(
        None, callable, default=None
    )

    def _check_parameters(self) -> None:
        check_alone("MIBackpropClassifier")
        super()._check_parameters()

    def _prepared(
        self, inputs: FitInput, seed: int, device: torch.device
    ) -> tuple[Backprop, dict[str, Any]]:
        """Return what trains the networks, and what is learned beside them, by attribute."""
        from fairmi.networks.backprop import Backprop, backprop_architecture
        from fairmi.networks.rows import training_rows

        encoder, encoded = self._encoded(inputs)
        trunk = self._trunk(encoded, device, goes_on=False)
        n_classes = len(inputs.classes)
        architecture = backprop_architecture(
            encoded.n_inputs if trunk is None else trunk.n_outputs,
            1 if n_classes == 2 else n_classes,
            layer_sizes(self.hidden_layer_sizes) if trunk is None else (),
        )
        check_size(architecture, 1)
        rows = training_rows(
            encoded,
            inputs.plan.n_groups,
            y=encoded.codes,
            constraint=self.constraint,
            group_weight=self.group_weight,
            labels=encoded.codes,
            n_labels=n_classes,
            device=device,
            totals=encoded.totals,
        )
        training = Backprop(
            rows,
            architecture,
            trunk,
            lam=float(self.lam),
            n_critic_steps=int(self.n_critic_steps),
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            seed=seed,
        )
        return training, {"encoder_": encoder, "architecture_": architecture}

    def _train(self, inputs: FitInput, models: Sequence[Self], *, goes_on: bool = False) -> None:
        from fairmi.networks.model import device_of, training_setting
        from fairmi.networks.trainer import run_epochs

        device, seed = device_of(self.device), seed_of(self.random_state)
        with training_setting(self.encoder is not None, seed, device):
            training, learned = self._prepared(inputs, seed, device)
            n_epochs = self.max_iter
            if isinstance(n_epochs, str):
                n_epochs = math.ceil(_DEFAULT_STEPS / training.n_batches)

            def score(rate: Callable[[MIBackpropClassifier], float]) -> float:
                training.networks.eval()
                model = type(self)(**self.get_params(deep=False))
                model._store(inputs, learned | _weights(training))
                number = float(rate(model))
                training.networks.train()
                return number

            rated = None if self.keep_best is None else partial(score, self.keep_best)
            with closing(self._progress(n_epochs, "epoch")) as progress:
                course = run_epochs(training, n_epochs, progress, score=rated)
            (last,), stopped = course.last, course.stopped(slice(None))
            history = course.history(slice(None))
            check_started(stopped, len(history))
            ended: dict[str, Any] = {
                "history_": history,
                "n_iter_": len(history),
                "best_epoch_": 0 if last is None else last.epoch,
                "stopped_": stopped,
            }
            stop = notes_of_stop(stopped, len(history))
            self._store(inputs, learned | _weights(training) | ended, stop)
            claims: Sequence[float | None] = ()
            if last is not None:
                claims = last.penalty if self.lam else (None,)
            n_steps = len(history) * training.n_batches
            self._diagnose(training.rows.first(), claims, n_steps)


def _weights(training: Backprop) -> dict[str, Any]:
    """Return the weights of the networks as they are, by name of attribute."""
    weights: dict[str, Any] = {"parameters_": training.networks.arrays(slice(None))}
    if training.trunk is not None:
        weights["trunk_"] = copy.deepcopy(training.trunk).finished()
    return weights


# Saved models name the public place of a class, which stays where its file moves.
MIBackpropClassifier.__module__ = "fairmi"
