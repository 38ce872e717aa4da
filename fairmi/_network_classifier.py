"""MIDebiasedClassifier: networks on a table, in one training or part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fairmi._base import RepresentationClassifier
from fairmi._data.fit_input import FitInput
from fairmi._data.sensitive import check_certain
from fairmi._diagnosis import notes_of_collapse
from fairmi._network_base import DebiasedNetworks, NetworkEstimator
from fairmi._sklearn_compat import AUTO, HasMethods, parameter, safe_indexing, with_parameters
from fairmi._typing import ColumnLike, GroupNames, SensitiveLike, TableLike
from fairmi.boosting.base import boosted_targets, fitted_base, scores_of_base, setting_of
from fairmi.core.information import prior_offsets
from fairmi.core.task import Classes
from fairmi.exceptions import Note
from fairmi.preprocessing import TableEncoder

if TYPE_CHECKING:  # it loads torch, which a server that only predicts does without
    from fairmi.networks.rows import TrainingRows


class NetworkClassifier(RepresentationClassifier, NetworkEstimator):
    """Networks whose scores are those of classes."""

    def _trivial(self, scores: np.ndarray, batch: TrainingRows, n_steps: int) -> list[Note]:
        lam, factors = self._sensitive_plan.weigh(self.lam)
        return notes_of_collapse(
            Classes(len(self.classes_)),
            scores,
            batch.y.cpu().numpy(),
            batch.task_weights[0].cpu().numpy(),
            self.lam,
            penalty=getattr(self, "penalty", None),
            attributes=[
                (
                    lam * factor,
                    (batch.y if of.rows is None else batch.y[of.rows]).cpu().numpy(),
                    of.groups.cpu().numpy(),
                    of.weights[0].cpu().numpy(),
                )
                for factor, of in zip(factors, batch.sensitive, strict=True)
                if of.groups is not None and of.n_strata == 1
            ],
            n_steps=n_steps,
        )


@with_parameters
class MIDebiasedClassifier(NetworkClassifier, DebiasedNetworks):
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
    sensitive_kinds : dict, sequence or "probabilities", default=None
        What the sensitive features are, "categorical" or "continuous", by name of column or in
        order. None, and columns that a dict does not name, go by a rule: numbers of more than 20
        distinct values are continuous, and floats of more than two that are too rare for groups.
        "probabilities" says that the columns are the groups of one feature, and hold how likely
        each row is in each; of several features, or beside known groups, as in
        `MIBoostingClassifier`. Each row then counts in each group by its probability.
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
    teacher : "auto", classifier or None, default=None
        What says how likely each class is in the rows of the fit, which the networks then learn in
        place of y, without y's noise [5]_; try "auto" on tables of a few thousand rows. None
        learns y. "auto" is boosting, by trees that did not see the row; it is y on 20,000 distinct
        rows or more, in tables of more than a million values and sparse ones, where boosting tells
        nothing, and where an `encoder` of your own, a `prior_correction`, `partial_fit` or several
        processes train the networks. A classifier with `predict_proba` is fitted to five parts in
        turn, or taken as it is inside a `sklearn.frozen.FrozenEstimator`.
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
    n_levels : int, None or "auto", default="auto"
        Values that each unit can take; fewer make a tighter certificate and coarser scores. None
        opens the channel: units of any value from -1 to 1 hold what few levels can't, without a
        certificate. The critic's claim tells even less there. "auto" gives 17, and None for an
        `encoder` of your own and three classes or more.
    n_estimators : int, default=1
        Networks that train side by side from different starts. Z is then the mean of their
        scores. A few make fairer predictions at the same accuracy, above all on small tables, but
        the mean, which no critic sees and which has many values, tells more of C than the Z of
        one network: keep to 1 for a fair representation, fair scores or a certificate.
    n_critic_steps : int, default=3
        Steps of the critic for each step of the encoder.
    max_iter : int or "auto", default="auto"
        Epochs. "auto" gives 15, as many more as make 200 steps on a small table, or as few as make
        15,000 on one of more than 256,000 rows. For an `encoder` of your own the steps are 80 for
        each class, and 400, at least.
    batch_size : int or "auto", default="auto"
        Rows of a step. "auto" gives 256, and 128 for an `encoder` of your own.
    learning_rate : float or "auto", default="auto"
        Largest step of the optimiser. "auto" gives 0.01, and 0.002 for an `encoder` of your own.
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
    .. [5] G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
       arXiv 1503.02531.

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

    prior_correction: bool = parameter("boolean", default=False)
    teacher: Any = parameter(None, AUTO, HasMethods(["fit", "predict_proba"]), default=None)

    def partial_fit(
        self,
        X: TableLike,
        y: ColumnLike | None = None,
        classes: ArrayLike | None = None,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
        sensitive_values: GroupNames | None = None,
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
        self._check_teacher("partial_fit", refused=True)
        rows = (X, y, sensitive_features, sample_weight)
        inputs = self._train_part(rows, classes=classes, sensitive_values=sensitive_values)
        return self._warn(inputs)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._check_teacher("an encoder of your own", refused=self.encoder is not None)
        self._check_teacher("prior_correction=True", refused=self.prior_correction)

    def _check_teacher(self, by: str, *, refused: bool) -> None:
        """Raise ValueError of a teacher of the user's where networks learn y."""
        if refused and self.teacher is not None and not isinstance(self.teacher, str):
            raise ValueError(
                f"teacher={self.teacher!r} is not read by {by}, which learns y; give "
                'teacher="auto" or None.'
            )

    def _task(self, rows: FitInput, *, goes_on: bool) -> Classes:
        return Classes(len(rows.classes))

    def _beside_y(
        self, inputs: FitInput, encoder: TableEncoder | None, rows: FitInput, seed: int | None
    ) -> dict[str, np.ndarray | None]:
        if self.prior_correction:
            check_certain(rows.members, "prior_correction=True")
            of_rows = (rows.codes, rows.members, rows.task_weights)
            return {"offsets": prior_offsets(*of_rows, len(inputs.classes))}
        if self.teacher is None or self.encoder is not None or seed is None:
            return {}
        return {"targets": self._taught(inputs, encoder, rows, seed)}

    def _taught(
        self, inputs: FitInput, encoder: TableEncoder | None, rows: FitInput, seed: int
    ) -> np.ndarray | None:
        """Return what the teacher says of encoded rows, (n, K), None where y says as much."""
        n_classes = len(inputs.classes)
        if not isinstance(self.teacher, str):
            distinct = np.searchsorted(inputs.positions, rows.positions)
            X, y = safe_indexing(inputs.features, distinct), rows.classes[rows.codes]
            with setting_of(self.teacher):
                _, scores = fitted_base(
                    self.teacher, X, y, rows.task_weights, seed, scores_of_base, name="teacher"
                )
            return Classes(n_classes).mean(scores)
        if encoder is None or rows.layout is None:
            return None
        x, n_categories = encoder.codes(rows.features)
        return boosted_targets(x, n_categories, rows.codes, n_classes, rows.task_weights, seed)


# Saved models name the public place of a class, which stays where its file moves.
MIDebiasedClassifier.__module__ = "fairmi"
