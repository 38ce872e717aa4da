"""What the estimators share: a fit, predictions from Z, what is stored, the saved format."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted

from fairmi._data.fit_input import Earlier, FitInput, RowOptions, read_fit_input
from fairmi._data.saved_format import check_header, of_this_format, with_format
from fairmi._data.sensitive import SensitivePlan, check_lam
from fairmi._data.tables import Header, check_table, without_dropped
from fairmi._diagnosis import Callbacks, Progress
from fairmi._sklearn_compat import (
    AUTO,
    COLUMNS,
    CONSTRAINTS,
    MISSING,
    NOT_NEGATIVE,
    TWO_OR_MORE,
    DocLinkMixin,
    HasMethods,
    Interval,
    StrOptions,
    parameter,
    with_parameters,
)
from fairmi._typing import (
    ColumnLike,
    Columns,
    Kinds,
    RandomState,
    SensitiveLike,
    TableLike,
    UserRows,
)
from fairmi.core.task import Quantity
from fairmi.exceptions import Note, warn_again, warn_of

if TYPE_CHECKING:  # it loads torch, which a server that only predicts does without
    from fairmi.dependence import Penalty

_PLAN = "_sensitive_plan"


class TableEstimator(DocLinkMixin, BaseEstimator):
    """The columns of X that a fit saw, what it stores, and the saved format."""

    __metadata_request__fit: ClassVar = {"sensitive_features": True}

    # What y is: "classes", "numbers", or "nothing"; whether groups may be known by probability
    # alone, and whether a fit has epochs or rounds.
    _reads: ClassVar[str] = "classes"
    _reads_probabilities: ClassVar[bool] = False
    _has_history: ClassVar[bool] = True

    sensitive_columns: Columns | None
    drop_sensitive: bool
    n_features_in_: int
    feature_names_in_: np.ndarray
    n_iter_: int
    stopped_: str | None
    warnings_: list[tuple[str, str]]

    def _checked_features(self, X: TableLike) -> Any:
        """Return the columns that the model reads of a table."""
        header, columns = self._header(), self._kept
        if len(columns) < header.n_features:
            X = without_dropped(X, columns, header.n_features, header.names)
            header = header.of_columns(columns)
        return check_table(header.name, X, header)[0]

    def _header(self) -> Header:
        """Return the columns of X that the fit saw."""
        names, shape = (getattr(self, name, None) for name in ("feature_names_in_", "item_shape_"))
        return Header(type(self).__name__, self.n_features_in_, names, shape)

    def _parameters(self) -> dict[str, Any]:
        """Return all parameters, also where the `__init__` of a subclass takes fewer."""
        return {of.name: getattr(self, of.name) for of in fields(self) if of.init}

    def _row_options(self) -> RowOptions:
        """Return what the parameters say of how rows are read."""
        return RowOptions.of(
            self._parameters(),
            type(self).__name__,
            reads=self._reads,
            reads_probabilities=self._reads_probabilities,
        )

    def _store(
        self, inputs: FitInput, learned: dict[str, Any], notes: Sequence[Note] = ()
    ) -> Self:
        """Become the model that was learned, in place of any before."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        known = {
            "sensitive_values_": inputs.plan.labels,
            "sensitive_kinds_": inputs.plan.kinds,
            _PLAN: inputs.plan,
            "_kept": inputs.kept,
            "warnings_": [(kind.__name__, text) for kind, text in (*inputs.notes, *notes)],
        }
        if len(inputs.classes):
            known["classes_"] = inputs.classes
        for name, value in (inputs.header.attributes | known | learned).items():
            setattr(self, name, value)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return plain data alone, and the user's own parameters."""
        state = dict(super().__getstate__())
        if _PLAN in state:
            state[_PLAN] = state[_PLAN].to_plain()
        return with_format(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data.

        Raises
        ------
        ValueError
            If it was saved in another format, or something in it doesn't fit.
        """
        state = of_this_format(state, type(self))
        check_header(state if self._has_history else {"history_": [], "stopped_": None, **state})
        state.pop("training_fingerprint_", None)  # of 0.2: it gave training rows away
        if _PLAN in state:
            state[_PLAN] = SensitivePlan.from_plain(state[_PLAN])
        super().__setstate__(state)
        self._restore()

    def _restore(self) -> None:
        """Check what else was loaded, and make of plain data what it stands for."""


@with_parameters
class RepresentationEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, TableEstimator):
    """A fit under a penalty, and Z of a fitted model.

    A subclass trains (`_train`), predicts, and maps a checked table to Z (`_represent`).
    """

    lam: float | dict[Hashable, float] = parameter(NOT_NEGATIVE, dict, default=1.0)
    constraint: str = "demographic_parity"
    sensitive_columns: Columns | None = parameter(None, *COLUMNS, default=None)
    drop_sensitive: bool = parameter("boolean", default=False)
    missing_sensitive: str = parameter(MISSING, default="error")
    sensitive_kinds: Kinds | None = parameter(
        None, dict, "array-like", StrOptions({"probabilities"}), default=None
    )
    group_weight: str | None = parameter(None, StrOptions({"auto", "balanced"}), default="auto")
    weighted: str = parameter(StrOptions({"both", "task", "penalty"}), default="both")
    callbacks: Callbacks = parameter(None, list, tuple, default=None)
    verbose: bool | int = parameter("verbose", default=False)
    random_state: RandomState = parameter("random_state", default=None)

    def fit(
        self,
        X: TableLike,
        y: ColumnLike | None = None,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> Self:
        """Train on X, y and the sensitive features; a second fit starts anew.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_features)
            Numeric, boolean, categorical and text columns, missing values included. Networks with
            an `encoder` of your own also read an array, a memory-mapped file or a
            `fairmi.datasets.LazyArray` of shape (n_rows, ...) as it is, a batch at a time: bytes
            (uint8) as floats from 0 to 1, floats as float32, other integers as int64.
        y : array-like of shape (n_rows,)
            Two or more classes, any labels; of a regressor finite numbers, for "poisson" and
            "tweedie" none below 0, for "gamma" all above 0. `MIDebiasedTransformer` learns without
            it: where y is known other estimators serve better, and in a Pipeline, which calls
            `fit_transform`, it passes by.
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
            If a loss of networks became non-finite before the first whole epoch; if the fit was
            interrupted, once the state so far is the model.

        Warns
        -----
        ConvergenceWarning
            If a loss became non-finite or the fit was interrupted; the last good state is kept.
        SmallGroupWarning
            If a row is the only one of its group; it trains the task alone.
        CollapseWarning
            If one class or value alone is predicted, or Z is the same for all rows; if the base of
            trees explains nothing of y; if λ is so large that a constant prediction has a lower
            loss than y itself, and the fitted model is no better than one; or if Z of networks
            tells much that the critic doesn't see.
        """
        self._check_parameters()
        goes_on = getattr(self, "warm_start", False) and hasattr(self, "parameters_")
        earlier = (self._header(), getattr(self, "classes_", None), None) if goes_on else None
        inputs = self._read((X, y, sensitive_features, sample_weight), earlier)
        warn_of(inputs.notes, stacklevel=2)
        self._train(inputs, [self], goes_on=goes_on)
        return self._warn(inputs)

    def transform(self, X: TableLike) -> np.ndarray:
        """Return Z, (n_rows, n_components) float64, from which predictions are made.

        A row has the same Z alone and among others. Columns that the fit dropped may be there or
        not; nothing in them is read.
        """
        return self._representation(X)

    def _representation(self, X: TableLike) -> np.ndarray:
        """Return Z as an array: what `transform` returns is of the kind that `set_output` asks."""
        check_is_fitted(self, "sensitive_kinds_")
        return self._represent(self._checked_features(X))

    def _represent(self, X: Any) -> np.ndarray:
        raise NotImplementedError

    def _scores(self, Z: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _check_parameters(self) -> None:
        self._validate_params()
        for callback in self.callbacks or ():
            if not callable(callback):
                raise ValueError(f"callbacks holds {callback!r}, which can't be called; drop it.")
        check_lam(self.lam)

    def _progress(self, total: int, unit: str, description: str = "fairmi") -> Progress:
        show = bool(self.verbose)
        return Progress(self.callbacks, show=show, total=total, unit=unit, desc=description)

    def _read(self, rows: UserRows, earlier: Earlier | None = None, **of_part: Any) -> FitInput:
        """Read and check what a user gave to a fit, as rows of an earlier one if any."""
        inputs = read_fit_input(self._row_options(), *rows, earlier=earlier, **of_part)
        self._check_y(inputs.codes, first=earlier is None or earlier[2] is None)
        return inputs

    def _check_y(self, y: np.ndarray, *, first: bool) -> None:
        """Raise ValueError where y, of `first` rows or later ones of a stream, can't be used."""

    def _train(self, inputs: FitInput, models: Sequence[Self], *, goes_on: bool = False) -> None:
        """Let each of `models` become that of its λ, in one training."""
        raise NotImplementedError

    def _warn(self, inputs: FitInput) -> Self:
        """Warn, at the line that called `fit`, of the training; of the rows it was before.

        An interrupt goes on once the state so far is the model, so that it ends a search or a
        program as any other does.
        """
        of_training = self.warnings_[len(inputs.notes) :]
        if self.stopped_ == "interrupted":
            raise KeyboardInterrupt(of_training[0][1])
        warn_again(of_training, stacklevel=3)
        return self

    def __sklearn_tags__(self) -> Any:
        """Take missing values, categories and sparse tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        return tags


@with_parameters
class PathEstimator(RepresentationEstimator):
    """What trains the models of many λ at once."""

    _reads_probabilities: ClassVar = True

    # The least and the greatest λ of a default path, beside 0: below the one nothing changes, and
    # at the other little of C is left in Z (on Adult and on German alike).
    lam_range: ClassVar[tuple[float, float]] = (0.25, 16.0)

    penalty: str | Penalty = parameter(
        str, HasMethods(["critic", "critic_loss", "value"]), default="donsker_varadhan"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not (isinstance(self.penalty, str) and self.penalty == "donsker_varadhan"):
            from fairmi.dependence import penalty_of  # loads torch

            penalty_of(self.penalty)

    def fit_path(
        self,
        X: TableLike,
        y: ColumnLike | None = None,
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
            One for each of `lams`; what each would have warned of is in `warnings_`. Trees are
            those that a fit at that λ gives, all on one base.

        Raises
        ------
        SensitiveFeaturesError, ValueError
            As `fit`; also if `lam` is a dict.
        """
        self._check_parameters()
        if isinstance(self.lam, dict):
            raise ValueError(
                f"lam={self.lam!r} has a λ for each sensitive feature, and a path has one for "
                "all; set lam to a number, or fit one dict at a time."
            )
        try:
            values = tuple(float(value) for value in lams)
        except (TypeError, ValueError):
            values = ()
        if not values or not all(0 <= value < np.inf for value in values):
            raise ValueError(f"lams={lams!r} must hold finite values of λ >= 0.")
        models = [clone(self).set_params(lam=lam) for lam in values]
        self._train(self._read((X, y, sensitive_features, sample_weight)), models)
        return models


class DecidingClassifier(ClassifierMixin, TableEstimator):
    """A classifier whose answer is the class of the largest score."""

    classes_: np.ndarray

    def predict(self, X: TableLike) -> np.ndarray:
        """Return the class of each row, (n_rows,)."""
        scores = self.decision_function(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]

    def decision_function(self, X: TableLike) -> np.ndarray:
        """Return the scores of rows: (n_rows,) for two classes, else one for each class."""
        raise NotImplementedError


@with_parameters
class RepresentationClassifier(DecidingClassifier, RepresentationEstimator):
    """Predictions from the very Z that `transform` returns, once a subclass has learned.

    A subclass has of a fitted model the method `_scores` (Z -> scores) too.
    """

    constraint: str = parameter(CONSTRAINTS, default="demographic_parity")
    class_weight: Mapping[Hashable, float] | str | None = parameter(
        None, dict, StrOptions({"balanced"}), default=None
    )

    def predict_proba(self, X: TableLike) -> np.ndarray:
        """Return the probability of each class, (n_rows, n_classes)."""
        return softmax(self._class_scores(X), axis=1)

    def predict_log_proba(self, X: TableLike) -> np.ndarray:
        """Return the logarithm of the probability of each class, (n_rows, n_classes)."""
        return log_softmax(self._class_scores(X), axis=1)

    def _class_scores(self, X: TableLike) -> np.ndarray:
        scores = self.decision_function(X)
        return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores

    def decision_function(self, X: TableLike) -> np.ndarray:
        """Return the scores of Z: log odds (n_rows,) for two classes, else one for each class."""
        scores = self._scores(self._representation(X))
        return scores[:, 0] if scores.shape[1] == 1 else scores


@with_parameters
class RepresentationRegressor(RegressorMixin, RepresentationEstimator):
    """What regressors share: a loss and its settings, and which y these can be fitted to."""

    _reads: ClassVar = "numbers"

    loss: str = parameter(
        StrOptions({"squared_error", "absolute_error", "quantile", "poisson", "gamma", "tweedie"}),
        default="squared_error",
    )
    quantile: float = parameter(Interval(Real, 0, 1, closed="neither"), default=0.5)
    power: float = parameter(Interval(Real, 1, 2, closed="both"), default=1.5)
    constraint: str = parameter(
        StrOptions({"demographic_parity", "conditional"}), default="demographic_parity"
    )
    n_y_bins: int | str = parameter(AUTO, TWO_OR_MORE, default="auto")

    def _quantity(self) -> Quantity:
        return Quantity(self.loss, float(self.quantile), float(self.power))

    def _bins_of_y(self) -> int:
        return 4 if self.n_y_bins == "auto" else int(self.n_y_bins)

    def _check_y(self, y: np.ndarray, *, first: bool) -> None:
        loss, n_bins = self._quantity().sklearn_loss, self._bins_of_y()
        if not loss.in_y_true_range(y):
            what = "of 0 or more" if loss.interval_y_true.low_inclusive else "above 0"
            raise ValueError(
                f"loss={self.loss!r} needs y {what}, but its smallest value is {y.min():g}; take "
                'loss="squared_error", or another y.'
            )
        if not first:
            return
        if self._quantity().has_log_link and not y.any():
            raise ValueError(f"loss={self.loss!r} has no score for a y that is 0 in all rows.")
        if self.constraint == "conditional" and len(y) < 2 * n_bins:
            raise ValueError(
                f"y has {len(y)} rows, too few for n_y_bins={n_bins}; lower it, or take "
                'constraint="demographic_parity".'
            )
