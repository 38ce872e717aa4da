"""MIDebiasedClassifier: networks on a table, in one training or part by part."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from fairmi._base import (
    Callbacks,
    check_callbacks,
    check_lam,
    check_path_lams,
    check_started,
    measures_information,
    notes_of_stop,
)
from fairmi._data.fit_input import FitInput, read_fit_input, read_stream_input
from fairmi._data.labels import prior_offsets
from fairmi._data.random_state import seed_of
from fairmi._network_base import (
    NetworkClassifier,
    check_layer_sizes,
    diagnosed_rows,
    few_threads,
    own_randomness,
)
from fairmi._sklearn_compat import HasMethods, Interval, StrOptions
from fairmi.core.task import log_odds
from fairmi.exceptions import warn_of
from fairmi.networks.config import NetworkConfig, network_config
from fairmi.preprocessing import TableEncoder
from fairmi.preprocessing.encoded_rows import EncodedRows

if TYPE_CHECKING:  # what trains loads torch, which a server that only predicts does without
    import torch

    from fairmi.networks.own_encoder import Trunk
    from fairmi.networks.rows import TrainingRows
    from fairmi.networks.trainer import TrainedNetworks, Trainer

_AUTO = StrOptions({"auto"})


class MIDebiasedClassifier(NetworkClassifier):
    """Classifier on a representation that keeps what predicts y and drops what tells the group.

    An encoder maps X to a representation Z of few units, each rounded to few levels; a head
    predicts y from Z; a critic estimates the mutual information I(Z; C) of Z and the sensitive
    features C, which encoder and head minimise with weight `lam`:

        task loss (nats)  +  lam * I(Z; C) (nats)

    Predictions are made from the very Z that `transform` returns, so that no prediction can tell
    more of C than Z does. Sensitive features are needed at fit alone.

    Parameters
    ----------
    lam : float or dict, default=1.0
        Weight λ >= 0 of the penalty. 0 trains without it; from about 8 on, little of C is left.
        Several sensitive features are penalised jointly, as their intersections; a dict of λ by
        name of column penalises each by itself.
    constraint : {"demographic_parity", "equalized_odds", "equal_opportunity"}, \
default="demographic_parity"
        What is penalised: I(Z; C); I(Z; C | y); or I(Z; C) among the rows of the positive class
        `classes_[1]` alone.
    penalty : str or object, default="donsker_varadhan"
        What measures the dependence of Z and C: a name in `fairmi.dependence.PENALTIES`, or an
        object with the methods of `fairmi.dependence.Penalty`, a torch module among them. Each
        has a scale of λ of its own.
    sensitive_columns : str, int or list of these, default=None
        Columns of X, by name or position, that are the sensitive features; then `fit` needs no
        `sensitive_features`.
    drop_sensitive : bool, default=False
        Whether to keep `sensitive_columns` out of the encoder.
    missing_sensitive : {"error", "category", "mask"}, default="error"
        What a missing sensitive feature is: an error, a group of its own, or a row that trains
        the task alone.
    sensitive_kinds : dict or sequence of {"categorical", "continuous"}, default=None
        What the sensitive features are, by name of column or in order. None, and columns that a
        dict does not name, go by a rule: numbers of more than 20 distinct values are continuous,
        and floats of more than two that are too rare for groups.
    group_weight : {"auto", "balanced"} or None, default="auto"
        "balanced" weighs rows in the penalty so that all groups, of each class for
        `constraint="equalized_odds"`, have the same weight, however few their rows. It needs a
        categorical feature. None leaves rows their weights. "auto" balances for equalized odds.
    weighted : {"both", "task", "penalty"}, default="both"
        What `sample_weight` weighs: the task loss, the penalty, or both.
    class_weight : dict or "balanced", default=None
        Weights of the classes in the task loss: by class, 1 where it is not named, or "balanced",
        the same for all classes. A rare class is then predicted more often than it occurs.
    prior_correction : bool, default=False
        Whether to add log p(y | c) - log p(y), counted on the rows of the fit, to the scores while
        training, so that these need not tell what c alone tells of y [4]_. It is for training rows
        in which c tells y and later rows in which it doesn't; groups alone.
    encoder : torch.nn.Module or callable, default=None
        A module of your own in place of the hidden layers, or a callable that makes one under the
        fit's seed. It maps rows (B, ...) of X to features (B, H); a layer from these to Z, the
        channel, the head and the critics are fairmi's. A copy trains, from the module's weights,
        where `requires_grad` is set. See :doc:`/user_guide/images`.
    hidden_layer_sizes : int or sequence of int, default=(128,)
        Units of the encoder's hidden layers; a number is one layer. Not read where `encoder` is
        given.
    n_components : int or "auto", default="auto"
        Units of Z. "auto" gives one less than there are classes, at most 8: for two classes one
        unit is enough to hold all that a fair prediction needs. Of an open channel it gives 64.
    n_levels : int or None, default=17
        Values that each unit can take; fewer make a tighter certificate and coarser scores. None
        opens the channel: units of any value from -1 to 1 hold what few levels can't, without a
        certificate. The critic's claim tells even less there.
    n_estimators : int, default=1
        Networks that train side by side from different starts. Z is then the mean of their
        scores. A few make fairer predictions at the same accuracy, above all on small tables, but
        the mean, which no critic sees and which has many values, tells more of C than the Z of
        one network: keep to 1 for a fair representation, fair scores or a certificate.
    n_critic_steps : int, default=3
        Steps of the critic for each step of the encoder.
    max_iter : int or "auto", default="auto"
        Epochs. "auto" gives 15, as many more as make 200 steps on a small table, or as few as make
        15,000 on one of more than 256,000 rows.
    batch_size : int, default=256
        Rows of a step.
    learning_rate : float or "auto", default="auto"
        Largest step of the optimiser. "auto" gives 0.01, and 0.001 for an `encoder` of your own.
    weight_decay : float or "auto", default="auto"
        Decoupled weight decay (AdamW) of the layer that reads X, or of the matrices of `encoder`.
        "auto" gives 0.3 up to 1,000 distinct rows, 0.6 from 30,000 on, and between them a value by
        the logarithm of their number; 0.01 for `encoder`.
    dropout : float or "auto", default="auto"
        Share of hidden units dropped in a training step. "auto" gives 0.5 up to 1,000 distinct
        rows, 0.2 from 30,000 on, and between them a value by the logarithm of their number. Not
        read where `encoder` is given.
    warm_start : bool, default=False
        Whether a second `fit` goes on from the weights and the encoding of the first.
    callbacks : list of callable, default=None
        Called after each epoch with a record of `history_`; one that returns True ends the fit.
    device : str, default="auto"
        Where to train: "cpu", "cuda", ...; "auto" takes a GPU where there is one.
    verbose : bool or int, default=False
        Whether to show a progress bar with task loss, MI and speed.
    random_state : int, RandomState instance or None, default=None
        An int makes the same fit each time on one machine. No global generator is read or set.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X has names that are all strings.
    sensitive_values_ : list
        The groups; a tuple for each where there are several features. Empty where continuous.
        Where `lam` is a dict, a list of groups for each feature.
    sensitive_kinds_ : dict
        What each sensitive feature was taken for, "categorical" or "continuous".
    n_iter_ : int
        Epochs run.
    stopped_ : str or None
        Why the fit ended before its last epoch, if it did: "callback", "interrupted", "diverged".
    warnings_ : list of (str, str)
        What the fit warned of: the name of the category, and the message.
    history_ : list of dict
        For each epoch `epoch`, `task_loss` and `penalty` (nats, training batches), and `seconds`.
        The penalty is the trained critic's own claim, which is no evidence of what is left:
        measure that with `fairmi.metrics.leakage_score`.
    encoder_ : TableEncoder or None
        What turns a table into columns of numbers; None where `encoder` reads X as it is.
    trunk_ : torch.nn.Module
        The trained copy of `encoder`, on the CPU, where one was given.
    item_shape_ : tuple of int
        Shape of a row, where `encoder` reads X as it is.
    t_ : int
        Steps taken.
    sensitive_counts_ : ndarray of shape (n_strata, n_groups)
        Summed weights of the groups in the penalty, within each class for equalized odds.
    architecture_ : dict
        Sizes of encoder, channel and head.
    parameters_ : dict of ndarray
        Weights of encoder and head.

    Notes
    -----
    On 5,000 distinct rows or more, `fit` trains auxiliary models at 0, a quarter and half of λ,
    which share the encoder's hidden layers with the model and are then thrown away: under a large
    λ alone these layers lose what the task needs.

    See Also
    --------
    fairmi.path.fairness_path : The models of many λ in one training.
    fairmi.MIDebiasedClassifierCV : λ chosen under a bound on unfairness.
    fairmi.MIBackpropClassifier : The procedure of [1]_ as published.

    References
    ----------
    .. [1] R. Ragonesi, R. Volpi, J. Cavazza, V. Murino, "Learning Unbiased Representations via
       Mutual Information Backpropagation", CVPR Workshops 2021, arXiv 2003.06430.
    .. [2] M. Belghazi et al., "MINE: Mutual Information Neural Estimation", ICML 2018,
       arXiv 1801.04062.
    .. [3] R. Caruana, "Multitask Learning", 1997, doi 10.1023/A:1007379606734.
    .. [4] Y. Hong, E. Yang, "Unbiased Classification through Bias-Contrastive and Bias-Balanced
       Learning", NeurIPS 2021.

    Examples
    --------
    >>> from fairlearn.metrics import demographic_parity_difference
    >>> from fairmi import MIDebiasedClassifier
    >>> from fairmi.datasets import load_german
    >>> X, y = load_german(return_X_y=True)
    >>> over_25 = X["age"] > 25
    >>> model = MIDebiasedClassifier(lam=4.0, max_iter=20, random_state=0)
    >>> model = model.fit(X, y, sensitive_features=over_25)
    >>> model.transform(X).shape
    (1000, 1)
    >>> bool(demographic_parity_difference(
    ...     y == "good", model.predict(X) == "good", sensitive_features=over_25) < 0.1)
    True
    """

    # What a stream goes on from, as plain data: see `fairmi.networks.stream_state`.
    _stream: dict[str, Any] | None = None

    __metadata_request__partial_fit: ClassVar = {"sensitive_features": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "lam": [Interval(Real, 0, None, closed="left"), dict],
        "constraint": [StrOptions({"demographic_parity", "equalized_odds", "equal_opportunity"})],
        "penalty": [str, HasMethods(["critic", "critic_loss", "value"])],
        "sensitive_columns": [None, str, Integral, "array-like"],
        "drop_sensitive": ["boolean"],
        "missing_sensitive": [StrOptions({"error", "category", "mask"})],
        "sensitive_kinds": [None, dict, "array-like", StrOptions({"probabilities"})],
        "group_weight": [None, StrOptions({"auto", "balanced"})],
        "weighted": [StrOptions({"both", "task", "penalty"})],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "prior_correction": ["boolean"],
        "encoder": [None, callable],
        "hidden_layer_sizes": ["array-like", Integral],
        "n_components": [_AUTO, Interval(Integral, 1, None, closed="left")],
        "n_levels": [None, Interval(Integral, 2, None, closed="left")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "n_critic_steps": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [_AUTO, Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [_AUTO, Interval(Real, 0, None, closed="neither")],
        "weight_decay": [_AUTO, Interval(Real, 0, None, closed="left")],
        "dropout": [_AUTO, Interval(Real, 0, 1, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [None, list, tuple],
        "device": [str],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        lam: float | dict[Any, float] = 1.0,
        constraint: str = "demographic_parity",
        penalty: Any = "donsker_varadhan",
        sensitive_columns: Any = None,
        drop_sensitive: bool = False,
        missing_sensitive: str = "error",
        sensitive_kinds: Any = None,
        group_weight: str | None = "auto",
        weighted: str = "both",
        class_weight: Any = None,
        prior_correction: bool = False,
        encoder: Any = None,
        hidden_layer_sizes: int | Sequence[int] = (128,),
        n_components: int | str = "auto",
        n_levels: int | None = 17,
        n_estimators: int = 1,
        n_critic_steps: int = 3,
        max_iter: int | str = "auto",
        batch_size: int = 256,
        learning_rate: float | str = "auto",
        weight_decay: float | str = "auto",
        dropout: float | str = "auto",
        warm_start: bool = False,
        callbacks: Callbacks = None,
        device: str = "auto",
        verbose: bool | int = False,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.lam = lam
        self.constraint = constraint
        self.penalty = penalty
        self.sensitive_columns = sensitive_columns
        self.drop_sensitive = drop_sensitive
        self.missing_sensitive = missing_sensitive
        self.sensitive_kinds = sensitive_kinds
        self.group_weight = group_weight
        self.weighted = weighted
        self.class_weight = class_weight
        self.prior_correction = prior_correction
        self.encoder = encoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_components = n_components
        self.n_levels = n_levels
        self.n_estimators = n_estimators
        self.n_critic_steps = n_critic_steps
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
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
            Two or more classes, any labels.
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
        MIDebiasedClassifier
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
            If one class alone is predicted; if λ is so large that a constant prediction has a
            lower loss than y itself, and the fitted model is no better than one; or if Z tells
            much that the critic doesn't see.
        """
        self._check_parameters()
        goes_on = self.warm_start and hasattr(self, "parameters_")
        with few_threads(self.encoder):
            given, encoder = self._read(X, y, sensitive_features, sample_weight, goes_on=goes_on)
            warn_of(given.notes, stacklevel=2)
            lam, factors = given.plan.weigh(self.lam)
            encoder, rows = self._encoded(given, encoder)
            trained, data = self._trained(given, rows, (lam,), factors, goes_on=goes_on)
            check_started(trained.stopped(0), len(trained.history(0)))
            self._take(given, encoder, data, trained, 0)
        return self._warn(given)

    def fit_path(
        self,
        X: Any,
        y: ArrayLike,
        *,
        lams: Sequence[float],
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
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
        list of MIDebiasedClassifier
            One for each of `lams`; what each would have warned of is in `warnings_`.

        Raises
        ------
        SensitiveFeaturesError, ValueError
            As `fit`; also if `lam` is a dict.
        """
        self._check_parameters()
        values = check_path_lams(self.lam, lams)
        with few_threads(self.encoder):
            given, encoder = self._read(X, y, sensitive_features, sample_weight)
            encoder, rows = self._encoded(given, encoder)
            trained, data = self._trained(given, rows, values, (1.0,), goes_on=False)
            models = [clone(self).set_params(lam=lam) for lam in values]
            return [m._take(given, encoder, data, trained, k) for k, m in enumerate(models)]

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
        sensitive_values: Any = None,
    ) -> Self:
        """Train once on the next rows of data that need never be in memory at once.

        The first call learns the encoding of X from its rows, and the groups unless they are
        named, so let it hold some thousands of rows. Critic, optimisers and generator go on from
        call to call, and are part of a saved model, which goes on exactly as this one would, until
        `finish`. It takes some 500 steps until the penalty is in full force. Callbacks and the
        progress bar are those of `fit` alone. A call that fails or is interrupted leaves the
        estimator as it was.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : as in `fit`
        classes : array-like of shape (n_classes,), default=None
            All classes; needed in the first call.
        sensitive_values : list or dict of lists, default=None
            All groups, for the first call; those of a later part may be absent from it. A tuple
            for each where there are several features; where `lam` is a dict, a list for each.

        Returns
        -------
        MIDebiasedClassifier
            The estimator.

        Raises
        ------
        ValueError
            As `fit`; also for a missing `classes`, a class that is not among them, and a group
            that is not among those named, or that the first call did not hold.
        """
        from fairmi.networks.reducer import check_alone

        self._check_parameters()
        check_alone("partial_fit")
        first = not hasattr(self, "parameters_")
        given = read_stream_input(
            self._row_options(),
            X,
            y,
            sensitive_features,
            sample_weight,
            classes=classes,
            earlier=None if first else (self._header(), self.classes_, self._sensitive_plan),
            sensitive_values=sensitive_values,
        )
        warn_of(given.notes, stacklevel=2)
        with few_threads(self.encoder):
            self._train_part(given, first=first)
        return self._warn(given)

    def _train_part(self, given: FitInput, *, first: bool) -> None:
        """Train on the rows of one part of a stream, and become what was learned."""
        from fairmi.networks.loop import epoch_dict
        from fairmi.networks.model import device_of
        from fairmi.networks.stream_state import stream_state

        lam, factors = given.plan.weigh(self.lam)
        encoder, rows = self._encoded(given, None if first else self.encoder_)
        counts = None if first else self.sensitive_counts_
        totals = rows.totals + (0 if self._stream is None else self._stream["totals"])
        step, epoch = (0, 0) if first else (self.t_, self.n_iter_)
        device, seed = device_of(self.device), seed_of(self.random_state)
        with own_randomness(self.encoder, seed + step, device):
            trunk = self._trunk(rows, device, goes_on=not first)
            config = self._config(given, rows, (lam,), factors, None, device, seed, trunk)
            data, counts = self._training_rows(given, rows, device, counts, totals)
            trainer = self._stream_trainer(data, config, trunk)
            record = trainer.feed(data, config, step, epoch + 1)
        learned: dict[str, Any] = {"encoder_": encoder, "architecture_": config.architecture}
        if trunk is not None:
            learned["trunk_"] = trunk.finished()
        if record is None:
            learned |= self._unfed(data, config, counts)
            self._store(given, learned, notes_of_stop("diverged", learned["n_iter_"]))
            return
        learned |= {
            "parameters_": trainer.networks.arrays(slice(None)),
            "sensitive_counts_": counts,
            "history_": [*getattr(self, "history_", ()), epoch_dict(record, slice(None))],
            "n_iter_": record.epoch,
            "t_": trainer.step_count,
            "stopped_": None,
        }
        self._store(given, learned, [])
        self._stream = stream_state(trainer) | {"totals": totals}

    def finish(self) -> Self:
        """End a stream: drop critic and optimisers, which make a saved model three times as large.

        Returns
        -------
        MIDebiasedClassifier
            The estimator. A further `partial_fit` starts with fresh ones.
        """
        check_is_fitted(self, "classes_")
        self._stream = None
        return self

    def _stream_trainer(
        self, data: TrainingRows, config: NetworkConfig, trunk: Trunk | None
    ) -> Trainer:
        """Return a trainer that goes on from the stream so far, or starts from the weights."""
        from fairmi.networks.stream_state import go_on_from
        from fairmi.networks.trainer import Trainer

        if not hasattr(self, "parameters_"):
            return Trainer(data, config, trunk=trunk)
        _check_architecture(config.architecture, self.architecture_)
        trainer = Trainer(data, config, self.parameters_, trunk)
        if self._stream is not None:
            go_on_from(trainer, self._stream)
        return trainer

    def _unfed(
        self, data: TrainingRows, config: NetworkConfig, counts: np.ndarray
    ) -> dict[str, Any]:
        """Return what is kept of a part of a stream on which the networks diverged."""
        from fairmi.networks.trainer import Trainer

        names = ("parameters_", "sensitive_counts_", "history_", "n_iter_", "t_")
        kept = {name: getattr(self, name) for name in names if hasattr(self, name)}
        if not kept:
            start = Trainer(data, config).networks.arrays(slice(None))
            kept = dict(zip(names, (start, np.zeros_like(counts), [], 0, 0), strict=True))
        return kept | {"stopped_": "diverged"}

    def _read(
        self,
        X: Any,
        y: Any,
        sensitive_features: Any,
        sample_weight: Any,
        *,
        goes_on: bool = False,
    ) -> tuple[FitInput, TableEncoder | None]:
        """Return the rows of a fit, and an encoder of them if one is known."""
        from fairmi.networks.reducer import active_reducer, read_shard

        given = (self._row_options(), X, y, sensitive_features, sample_weight)
        if active_reducer().n_shards > 1:
            return read_shard(self, *given, reducer=active_reducer())
        earlier = (self._header(), self.classes_) if goes_on else None
        return read_fit_input(*given, earlier=earlier), self.encoder_ if goes_on else None

    def _check_parameters(self) -> None:
        from fairmi.dependence.names import penalty_of

        self._validate_params()
        check_layer_sizes(self.hidden_layer_sizes)
        check_callbacks(self.callbacks)
        check_lam(self.lam)
        penalty_of(self.penalty)

    def _config(
        self,
        given: FitInput,
        rows: EncodedRows,
        lams: tuple[float, ...],
        factors: tuple[float, ...],
        n_rows: int | None,
        device: torch.device,
        seed: int,
        trunk: Trunk | None,
    ) -> NetworkConfig:
        from fairmi.dependence.names import penalty_of
        from fairmi.networks.reducer import active_reducer

        n_classes, odds = len(given.classes), 0.0
        if n_classes == 2:  # shards differ, and settings must not
            odds = active_reducer().of_first(lambda: log_odds(given.codes, given.task_weights))
        return network_config(
            self.get_params(deep=False),
            lams=lams,
            n_rows=n_rows,
            n_inputs=rows.n_inputs if trunk is None else trunk.n_outputs,
            n_classes=n_classes,
            own_encoder=trunk is not None,
            log_odds=odds,
            factors=factors,
            penalty=penalty_of(self.penalty),
            device=device,
            seed=seed,
        )

    def _training_rows(
        self,
        given: FitInput,
        rows: EncodedRows,
        device: torch.device,
        counts: np.ndarray | None = None,
        totals: np.ndarray | None = None,
    ) -> tuple[TrainingRows, np.ndarray]:
        from fairmi.networks.rows import training_rows

        return training_rows(
            rows,
            given.plan.n_groups,
            constraint=self.constraint,
            group_weight=self.group_weight,
            n_classes=len(given.classes),
            device=device,
            offsets=self._offsets(given, rows),
            earlier_counts=counts,
            totals=totals,
        )

    def _offsets(self, given: FitInput, rows: EncodedRows) -> np.ndarray | None:
        if not self.prior_correction:
            return None
        attributes, n_classes = rows.sensitive.attributes, len(given.classes)
        return prior_offsets(rows.codes, attributes, rows.task_weights, n_classes)

    def _trained(
        self,
        given: FitInput,
        rows: EncodedRows,
        lams: tuple[float, ...],
        factors: tuple[float, ...],
        *,
        goes_on: bool,
    ) -> tuple[TrainedNetworks, tuple[TrainingRows, np.ndarray]]:
        from fairmi.networks.loop import Reporter
        from fairmi.networks.model import device_of
        from fairmi.networks.reducer import active_reducer
        from fairmi.networks.trainer import train_networks

        reducer = active_reducer()
        device, seed = device_of(self.device), reducer.of_first(lambda: seed_of(self.random_state))
        with own_randomness(self.encoder, seed, device):
            trunk = self._trunk(rows, device, goes_on=goes_on)
            n_rows = reducer.total(len(rows.codes))
            config = self._config(given, rows, lams, factors, n_rows, device, seed, trunk)
            if goes_on:
                _check_architecture(config.architecture, self.architecture_)
            data, counts = self._training_rows(given, rows, device)
            with Reporter(
                list(self.callbacks or ()),
                show=bool(self.verbose),
                n_epochs=config.max_iter,
                n_rows=data.n_rows,
                models=config.asked,
            ) as report:
                start = self.parameters_ if goes_on else None
                trained = train_networks(
                    data, config, lambda record: reducer.any(report(record)), start, trunk
                )
                return trained, (data, counts)

    def _take(
        self,
        given: FitInput,
        encoder: TableEncoder | None,
        data: tuple[TrainingRows, np.ndarray],
        trained: TrainedNetworks,
        place: int,
    ) -> Self:
        """Become the model of one λ of a training."""
        rows, counts = data
        history, config = trained.history(place), trained.config
        stopped = trained.stopped(place)
        learned: dict[str, Any] = {
            "encoder_": encoder,
            "architecture_": config.architecture,
            "parameters_": trained.parameters(place),
            "sensitive_counts_": counts,
            "history_": history,
            "n_iter_": len(history),
            "t_": len(history) * trained.trainer.n_batches,
            "stopped_": stopped,
        }
        if trained.trunk is not None:
            learned["trunk_"] = trained.trunk.finished()
        self._stream = None
        self._store(given, learned, notes_of_stop(stopped, len(history)))
        batch = diagnosed_rows(rows)
        lams = [config.lams[place] * factor for factor in config.factors]
        lams = lams if measures_information(self.penalty) else []
        self._note(self._diagnosed(batch, trained.claims(batch, place), self.t_, lams))
        reducer = trained.trainer.reducer
        if reducer.n_shards > 1:
            from fairmi.networks.reducer import learned_of

            # Parameters are equal; times and warnings are those of the first.
            for name, value in reducer.of_first(lambda: learned_of(self)).items():
                setattr(self, name, value)
        return self


# Saved models name the public place of a class, which stays where its file moves.
MIDebiasedClassifier.__module__ = "fairmi"


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
