"""MIDebiasedClassifier: validate, encode, build, train, store."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.random import RandomState
from numpy.typing import ArrayLike

from fairmi._build import (
    build,
    default_run,
    device_of,
    one_thread,
    penalty_for,
    training_data,
)
from fairmi._classes import check_classes, check_stream_classes
from fairmi._compat import HasMethods, Interval, StrOptions
from fairmi._design import Design
from fairmi._diagnosis import warn_of_blind_critics, warn_of_one_class, warn_of_stop
from fairmi._encoding import TableEncoder
from fairmi._inputs import (
    Given,
    all_or_nothing,
    check_architecture,
    check_callbacks,
    check_indexes,
    check_labels,
    check_lam,
    check_layer_sizes,
    check_table,
    named,
)
from fairmi._loop import Control, Outcome, Run, finite_models, is_finite, train
from fairmi._model import FittedModel
from fairmi._progress import Reporter, epoch_dict
from fairmi._sample import Sample
from fairmi._seed import seed_of
from fairmi._sensitive import SensitivePlan, plan_sensitive
from fairmi._sensitive_columns import split_off_sensitive
from fairmi._training import DefaultRun
from fairmi._types import TrainingData
from fairmi._weights import check_weights


class MIDebiasedClassifier(FittedModel):
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
    schedule : {"default", "paper"}, default="default"
        "paper" is the procedure of the authors of [1]_ with 64 deterministic units, to compare
        with: its critic sees little of what its Z tells. It ignores `n_components`, `n_levels`,
        `dropout` and `weight_decay`.
    sensitive_columns : str, int or list of these, default=None
        Columns of X, by name or place, that are the sensitive features; then `fit` needs no
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
    group_weight : {"balanced"}, default=None
        "balanced" weighs rows in the penalty so that all groups, within each class for equalized
        odds, have the same weight, however few their rows. It needs a categorical feature.
    weighted : {"both", "task", "penalty"}, default="both"
        What `sample_weight` weighs: the task loss, the penalty, or both.
    hidden_layer_sizes : sequence of int, default=(128,)
        Units of the encoder's hidden layers.
    n_components : int, default=None
        Units of Z. None gives one less than there are classes, at most 8: for two classes one
        unit is enough to hold all that a fair prediction needs.
    n_levels : int, default=17
        Values that each unit can take; fewer make a tighter certificate and coarser scores.
    n_estimators : int, default=1
        Networks that train side by side from different starts. Z is then the mean of their
        scores. A few make fairer predictions at the same accuracy, above all on small tables, but
        the mean, which no critic sees and which has many values, tells more of C than the Z of
        one network: keep to 1 for a fair representation, fair scores or a certificate.
    n_critic_steps : int, default=None
        Steps of the critic for each step of the encoder (the paper's K). None gives 3, and 20 for
        the paper's schedule.
    max_iter : int, default=None
        Epochs. None gives 15, or as many more as make 200 steps on a small table.
    batch_size : int, default=None
        Rows of a step. None gives 256, and 128 for the paper's schedule.
    learning_rate : float, default=None
        Largest step of the optimiser; None gives 0.01, and 1e-4 for the paper's schedule.
    weight_decay : float, default=None
        Decoupled weight decay (AdamW) of the layer that reads X. None gives 0.3 up to 1,000
        distinct rows, 0.6 from 30,000 on, and between them a value by the logarithm of their
        number.
    dropout : float, default=None
        Share of hidden units dropped in a training step. None gives 0.5 up to 1,000 distinct
        rows, 0.2 from 30,000 on, and between them a value by the logarithm of their number.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the rows, keep the state that is best on them
        by task loss plus `lam` times the penalty, and stop after `n_iter_no_change` epochs without
        a better one. The first 80 % of `max_iter` do not count: the penalty is not yet in force.
    validation_fraction : float, default=0.1
        Share of rows held out by `early_stopping`.
    n_iter_no_change : int, default=5
        Epochs to wait for a better state where there are validation rows.
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
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X has names that are all strings.
    sensitive_values_ : list
        The groups; a tuple for each where there are several features. Empty where continuous.
        Where `lam` is a dict, a list of groups for each feature.
    sensitive_kinds_ : dict
        What each sensitive feature was taken for, "categorical" or "continuous".
    n_iter_ : int
        Epochs run.
    history_ : list of dict
        For each epoch `epoch`, `task_loss` and `penalty` (nats, training batches), the same with
        `val_` before the name where there are validation rows, and `seconds`.
        The penalty is the trained critic's own claim, which is no evidence of what is left:
        measure that with `fairmi.metrics.leakage_score`.
    encoder_ : TableEncoder
        What turns X into columns of numbers.
    t_ : int
        Steps taken.
    sensitive_counts_ : ndarray of shape (n_strata, n_groups)
        Summed weights of the groups in the penalty, within each class for equalized odds.
    sensitive_plan_ : SensitivePlan
        How the sensitive features were read: which are continuous, which groups there are.
    architecture_ : dict
        Sizes of encoder, channel and head.
    parameters_ : dict of ndarray
        Weights of encoder and head.

    Notes
    -----
    On 5,000 distinct rows or more, `fit` by the default schedule trains companions at 0, a quarter
    and half of λ, which share the encoder's hidden layers with the model and are then thrown away:
    under a large λ alone these layers lose what the task needs.

    References
    ----------
    .. [1] R. Ragonesi, R. Volpi, J. Cavazza, V. Murino, "Learning Unbiased Representations via
       Mutual Information Backpropagation", CVPR Workshops 2021, arXiv 2003.06430.
    .. [2] M. Belghazi et al., "MINE: Mutual Information Neural Estimation", ICML 2018,
       arXiv 1801.04062.
    .. [3] R. Caruana, "Multitask Learning", 1997, doi 10.1023/A:1007379606734.

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

    __metadata_request__fit: ClassVar = {"sensitive_features": True}
    __metadata_request__partial_fit: ClassVar = {"sensitive_features": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "lam": [Interval(Real, 0, None, closed="left"), dict],
        "constraint": [StrOptions({"demographic_parity", "equalized_odds", "equal_opportunity"})],
        "penalty": [str, HasMethods(["critic", "critic_loss", "value"])],
        "schedule": [StrOptions({"default", "paper"})],
        "sensitive_columns": [None, str, Integral, "array-like"],
        "drop_sensitive": ["boolean"],
        "missing_sensitive": [StrOptions({"error", "category", "mask"})],
        "sensitive_kinds": [None, dict, "array-like"],
        "group_weight": [None, StrOptions({"balanced"})],
        "weighted": [StrOptions({"both", "task", "penalty"})],
        "hidden_layer_sizes": ["array-like"],
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "n_levels": [Interval(Integral, 2, None, closed="left")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "n_critic_steps": [None, Interval(Integral, 1, None, closed="left")],
        "max_iter": [None, Interval(Integral, 1, None, closed="left")],
        "batch_size": [None, Interval(Integral, 1, None, closed="left")],
        "learning_rate": [None, Interval(Real, 0, None, closed="neither")],
        "weight_decay": [None, Interval(Real, 0, None, closed="left")],
        "dropout": [None, Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
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
        schedule: str = "default",
        sensitive_columns: Any = None,
        drop_sensitive: bool = False,
        missing_sensitive: str = "error",
        sensitive_kinds: Any = None,
        group_weight: str | None = None,
        weighted: str = "both",
        hidden_layer_sizes: Sequence[int] = (128,),
        n_components: int | None = None,
        n_levels: int = 17,
        n_estimators: int = 1,
        n_critic_steps: int | None = None,
        max_iter: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        dropout: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        callbacks: Sequence[Callable[[dict[str, float]], bool | None]] | None = None,
        device: str = "auto",
        verbose: bool | int = False,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.lam = lam
        self.constraint = constraint
        self.penalty = penalty
        self.schedule = schedule
        self.sensitive_columns = sensitive_columns
        self.drop_sensitive = drop_sensitive
        self.missing_sensitive = missing_sensitive
        self.sensitive_kinds = sensitive_kinds
        self.group_weight = group_weight
        self.weighted = weighted
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
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
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
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sensitive_features_val: Any = None,
    ) -> Self:
        """Train on X, y and the sensitive features; a second fit starts anew.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_features)
            Numeric, boolean, categorical and text columns, missing values included.
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
        X_val, y_val, sensitive_features_val : as X, y and sensitive_features, default=None
            Validation rows. With them, or with `early_stopping`, the state that is best on them
            is kept, by task loss plus `lam` times the penalty.

        Returns
        -------
        MIDebiasedClassifier
            The fitted estimator.

        Raises
        ------
        SensitiveFeaturesError
            If neither `sensitive_features` nor `sensitive_columns` is given, both are, or a
            sensitive feature is missing in a row, has one value, or a group of one row.
        ValueError
            If X, y, weights or a parameter can't be used; the message names it and the mend.

        Warns
        -----
        ConvergenceWarning
            If a loss became non-finite or the fit was interrupted; the best state is kept.
        CollapseWarning
            If one class alone is predicted, or Z tells much that the critic doesn't see.
        """
        self._check_parameters()
        check_indexes(X_val=X_val, y_val=y_val, sensitive_features_val=sensitive_features_val)
        if X_val is None and not (y_val is None and sensitive_features_val is None):
            raise ValueError("y_val and sensitive_features_val need X_val; give it, or none.")
        with all_or_nothing(self):
            earlier = getattr(self, "parameters_", None) if self.warm_start else None
            sample = self._prepare(X, y, sensitive_features, sample_weight, earlier)
            validation = None
            if X_val is not None:
                validation = self._validation(X_val, y_val, sensitive_features_val)
            trained = self._train(None, sample, validation, earlier)
            self._adopt(trained, 0)
        self._warn(trained, 0)
        return self

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train once on the next rows of data that need never be in memory at once.

        The first call learns the encoding of X and the groups from its rows, so let it hold some
        thousands in which each group is found. Critic and optimisers go on from call to call in
        one process; a pickled model goes on with fresh ones. It takes some 500 steps until the
        penalty is in full force. Callbacks and the progress bar are those of `fit` alone.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight : as in `fit`
        classes : array-like of shape (n_classes,), default=None
            All classes; needed in the first call.

        Returns
        -------
        MIDebiasedClassifier
            The estimator.

        Raises
        ------
        ValueError
            As `fit`; also for a missing `classes`, a class that is not among them, a group that
            the first call did not hold, and `schedule="paper"`, which has no streaming form.
        """
        self._check_parameters()
        if self.schedule == "paper":
            raise ValueError('schedule="paper" can\'t stream; use fit, or schedule="default".')
        with all_or_nothing(self):
            first = not hasattr(self, "parameters_")
            given = self._check(X, y, sensitive_features, sample_weight, reset=first).counted()
            known = check_stream_classes(classes, given.y, None if first else self.classes_)
            if first:
                check_classes(known, self.constraint, None)
                self._learn_encoding(given, known, anew=True)
                self._stream: DefaultRun | None = None
                self.t_, self.n_iter_ = 0, 0
                self.history_: list[dict[str, float]] = []
            sample = self._encode(given)
            design = self._design(sample, None, None, seed_of(self.random_state))
            if not first:
                check_architecture(design.architecture, self.architecture_)
            self._feed(design, sample, None if first else self.parameters_)
        return self

    def _check_parameters(self) -> None:
        self._validate_params()
        check_layer_sizes(self.hidden_layer_sizes)
        check_callbacks(self.callbacks)
        check_lam(self.lam)
        penalty_for(self.penalty, self.schedule)

    def _check(self, X: Any, y: Any, sensitive: Any, weights: Any, *, reset: bool) -> Given:
        check_indexes(X=X, y=y, sensitive_features=sensitive, sample_weight=weights)
        X = check_table(self, X, reset=reset)
        y = check_labels(self, X, y)
        weights = check_weights(weights, X)
        features, frame, argument = self._split_off(X, sensitive)
        in_task = np.ones_like(weights) if self.weighted == "penalty" else weights
        in_penalty = np.ones_like(weights) if self.weighted == "task" else weights
        return Given(features, y, in_task, frame, argument, in_penalty)

    def _prepare(self, X: Any, y: Any, sensitive: Any, weights: Any, earlier: Any) -> Sample:
        given = self._check(X, y, sensitive, weights, reset=earlier is None).counted()
        classes = np.unique(given.y)
        check_classes(classes, self.constraint, None if earlier is None else self.classes_)
        self._learn_encoding(given, classes, anew=earlier is None)
        return self._encode(given)

    def _plan(self, given: Given) -> SensitivePlan:
        return plan_sensitive(
            given.sensitive,
            given.penalty_weights,
            missing=self.missing_sensitive,
            argument=given.argument,
            kinds=self.sensitive_kinds,
            separate=isinstance(self.lam, dict),
        )

    def _learn_encoding(self, given: Given, classes: np.ndarray, *, anew: bool) -> None:
        plan = self._plan(given)
        if anew:
            codes = np.searchsorted(classes, given.y)
            self.encoder_ = TableEncoder().fit(given.features, codes, given.weights)
        self.classes_, self.sensitive_plan_ = classes, plan
        self.sensitive_values_, self.sensitive_kinds_ = plan.labels, plan.kinds
        n_strata = len(classes) if self.constraint == "equalized_odds" else 1
        self.sensitive_counts_ = np.zeros((n_strata, sum(plan.n_groups)))

    def _encode(self, given: Given) -> Sample:
        x = self.encoder_.places(given.features)
        codes = np.searchsorted(self.classes_, given.y)
        rows = self.sensitive_plan_.rows(
            given.sensitive, n_rows=len(codes), argument=given.argument
        )
        sample = Sample(
            x, codes, rows, given.weights, given.penalty_weights, self.encoder_.layout_
        )
        return sample.merged()

    def _validation(self, X: Any, y: Any, given: Any) -> Sample:
        X = check_table(self, X, reset=False, argument="X_val")
        y = check_labels(self, X, y, argument="y_val", table="X_val")
        unseen = np.setdiff1d(y, self.classes_)
        if len(unseen):
            raise ValueError(f"y_val has classes that y does not have: {list(unseen)}.")
        features, frame, argument = self._split_off(X, given, "sensitive_features_val")
        ones = np.ones(len(y))
        with named("X_val"):
            return self._encode(Given(features, y, ones, frame, argument, ones))

    def _split_off(
        self, X: Any, given: Any, argument: str = "sensitive_features"
    ) -> tuple[Any, pd.DataFrame, str]:
        return split_off_sensitive(
            X, given, self.sensitive_columns, drop=self.drop_sensitive, argument=argument
        )

    def _design(
        self, sample: Sample, lams: Sequence[float] | None, n_rows: int | None, seed: int
    ) -> Design:
        lam, factors = self.sensitive_plan_.weigh(self.lam)
        return Design(
            schedule=self.schedule,
            constraint=self.constraint,
            n_classes=len(self.classes_),
            n_inputs=sample.n_inputs,
            hidden_layer_sizes=tuple(int(size) for size in self.hidden_layer_sizes),
            n_components=self.n_components,
            n_levels=self.n_levels,
            dropout=self.dropout,
            lams=(lam,) if lams is None else tuple(map(float, lams)),
            factors=factors,
            group_weight=self.group_weight,
            n_starts=int(self.n_estimators),
            max_iter=self.max_iter,
            n_rows=n_rows,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            n_critic_steps=self.n_critic_steps,
            device=device_of(self.device),
            seed=seed,
            penalty=penalty_for(self.penalty, self.schedule),
        )

    def _fit_path(
        self,
        lams: Sequence[float],
        X: Any,
        y: Any,
        sensitive_features: Any,
        sample_weight: Any,
    ) -> tuple[list[Self], Trained]:
        """Return a fitted copy of this estimator at each λ, all from one training."""
        self._check_parameters()
        with all_or_nothing(self):
            sample = self._prepare(X, y, sensitive_features, sample_weight, None)
            trained = self._train(lams, sample, None, None)
            models = [copy.copy(self).set_params(lam=float(lam)) for lam in lams]
            for place, model in enumerate(models):
                model._adopt(trained, place)
        return models, trained

    def _train(
        self,
        lams: Sequence[float] | None,
        sample: Sample,
        held_out: Sample | None,
        earlier: dict[str, np.ndarray] | None,
    ) -> Trained:
        seed = seed_of(self.random_state)
        if held_out is None and self.early_stopping:
            sample, held_out = sample.split(self.validation_fraction, seed)
        design = self._design(sample, lams, len(sample.codes), seed)
        if earlier is not None:
            check_architecture(design.architecture, self.architecture_)
        n_groups = self.sensitive_plan_.n_groups
        data = training_data(sample, n_groups, design, self.sensitive_counts_)
        validation = None if held_out is None else training_data(held_out, n_groups, design)
        with one_thread():
            run = build(design, data, earlier)
            n_epochs = run.settings.n_epochs
            patience = self.n_iter_no_change if validation is not None else None
            show = bool(self.verbose)
            callbacks = list(self.callbacks or ())
            with Reporter(
                callbacks, show=show, n_epochs=n_epochs, n_rows=data.n_rows, models=design.asked
            ) as report:
                outcome = train(run, Control(report, design.asked, validation, patience))
        return Trained(design, data, run, outcome)

    def _adopt(self, trained: Trained, place: int) -> None:
        """Take over what was trained at the λ of `place` among those asked for."""
        models = trained.design.models_of(place)
        self._stream = None
        self._store(trained.design, trained.run.networks, models)
        self.history_ = trained.history(models)
        self.n_iter_ = len(self.history_)
        self.t_ = self.n_iter_ * trained.design.n_batches

    def _warn(self, trained: Trained, place: int) -> None:
        models = trained.design.models_of(place)
        warn_of_stop(next(filter(None, trained.outcome.stopped[models]), None), self.n_iter_)
        self._diagnose(trained, models.start)

    def _feed(self, design: Design, sample: Sample, earlier: dict[str, np.ndarray] | None) -> None:
        counts = self.sensitive_counts_.copy()
        data = training_data(sample, self.sensitive_plan_.n_groups, design, counts)
        with one_thread():
            run: DefaultRun | None = getattr(self, "_stream", None)
            if run is None:
                run = default_run(design, data, earlier)
            before = copy.deepcopy(run.networks.state_dict())
            record = run.feed(data, design.settings, self.t_, self.n_iter_ + 1)
        losses = [is_finite(record, k) for k in range(design.n_starts)]
        if all(losses) and all(finite_models(run.networks)):
            self._stream = run
            self.t_, self.n_iter_ = run.step_count, record.epoch
            self.sensitive_counts_ = counts
            self.history_ = [*self.history_, epoch_dict(record, slice(None))]
        else:
            run.networks.load_state_dict(before)
            self._stream = None
            warn_of_stop("diverged", self.n_iter_)
        self._store(design, run.networks, slice(None))

    def _diagnose(self, trained: Trained, model: int) -> None:
        data, kept = trained.data, trained.outcome.kept[model]
        rows = data.rows(torch.arange(min(data.n_rows, 5_000), device=data.y.device))
        networks = self._networks()
        with torch.no_grad():
            z = networks.represent(rows.x.cpu().double())
            scores = networks.head(z).mean(0).numpy()
        predicted = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(axis=1)
        warn_of_one_class(predicted, len(self.classes_), self.lam)
        if self.constraint == "demographic_parity" and kept is not None:
            warn_of_blind_critics(z[0].numpy(), rows, trained.run.claims(rows, kept, model))


@dataclass(frozen=True)
class Trained:
    """What one training made: models for each λ of its design."""

    design: Design
    data: TrainingData
    run: Run
    outcome: Outcome

    def history(self, models: slice) -> list[dict[str, float]]:
        """Return the epochs of some models, up to where one of them diverged if one did."""
        members = range(*models.indices(len(self.outcome.stopped)))
        return [
            epoch_dict(record, models)
            for record in self.outcome.history
            if all(is_finite(record, member) for member in members)
        ]
