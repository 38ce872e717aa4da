"""Fairness metrics as scorers of scikit-learn: fairlearn's, and ours of numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import Any

import fairlearn.metrics
import numpy as np
import pandas as pd
import sklearn.metrics
from fairlearn.metrics import MetricFrame
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils.metadata_routing import MetadataRequest

from fairmi._data.groups import PROBABILITIES
from fairmi._data.tables import named_columns, sensitive_columns_of
from fairmi._data.values import check_indexes, plain_series
from fairmi._sklearn_compat import StrOptions, validate_params
from fairmi._typing import ColumnLike, Kinds, SensitiveLike, TableLike
from fairmi.core.membership import Membership
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics._rows import comparable_groups, probable_members, row_weights
from fairmi.metrics.disparities import (
    Pairs,
    ks_pairs,
    largest_pair,
    mean_pairs,
    pairs_within,
    wasserstein_pairs,
    y_strata,
)

__all__ = ["FairnessScorer", "make_fairness_scorer"]

HIGHER_IS_BETTER = {"difference": False, "ratio": True, "group_min": True, "group_max": False}
AGGREGATES = tuple(HIGHER_IS_BETTER)
RESPONSES = ("predict", "predict_proba", "decision_function")


@validate_params(
    {
        "metric": [str, callable],
        "aggregate": [StrOptions(set(AGGREGATES)), None],
        "greater_is_better": ["boolean", None],
        "response_method": [StrOptions(set(RESPONSES))],
        "sensitive_columns": ["array-like", str, Integral, None],
        "sensitive_kinds": [StrOptions({PROBABILITIES}), dict, None],
    },
    prefer_skip_nested_validation=True,
)
def make_fairness_scorer(
    metric: str | Callable[..., float],
    *,
    aggregate: str | None = None,
    greater_is_better: bool | None = None,
    response_method: str = "predict",
    pos_label: Hashable | None = None,
    sensitive_columns: str | int | Sequence[str | int] | None = None,
    sensitive_kinds: Kinds | None = None,
) -> FairnessScorer:
    """Make a scorer of a fairness metric, for GridSearchCV, cross_validate and their kin.

    The sensitive features reach the scorer in one of two ways. With metadata routing switched on
    the scorer asks for them by itself, so that ``search.fit(X, y, sensitive_features=s)`` is all
    there is to write. With `sensitive_columns` they are taken from X, and nothing is routed.

    Parameters
    ----------
    metric : str or callable
        A metric of whole samples, ``metric(y_true, y_pred, *, sensitive_features)``, such as
        fairlearn's ``"demographic_parity_difference"``; or, where `aggregate` is given, a metric
        of one group, ``metric(y_true, y_pred)``, such as ``"accuracy_score"``. A name is one of
        the four below, or is looked up in `fairlearn.metrics`, then in `sklearn.metrics`.

        Of numbers that a regressor predicts, and of scores (`response_method`), between the two
        groups that differ most: ``"ks_difference"``, of distribution functions;
        ``"mean_difference"`` and ``"wasserstein"`` (the Wasserstein-1 distance), in units of y;
        ``"conditional_ks"``, the mean of the first within four quantile bins of y, or within each
        value of a y that has no more.
    aggregate : {"difference", "ratio", "group_min", "group_max"}, default=None
        How the values of the groups become one: an aggregate of `fairlearn.metrics.MetricFrame`.
    greater_is_better : bool, default=None
        Whether a higher value of the metric is better. If False, the score is the negated metric,
        so that a search still looks for the highest. By default: False for differences and group
        maxima, True for ratios and group minima.
    response_method : {"predict", "predict_proba", "decision_function"}, default="predict"
        The method of the estimator whose output is the metric's `y_pred`.
    pos_label : label, default=None
        The class that the metric is of, in the form that the estimator was fitted on. By default
        the second of ``estimator.classes_``; of more than two, see Notes.
    sensitive_columns : str, int or list of these, default=None
        Columns of X that serve as sensitive features: names, or positions.
    sensitive_kinds : "probabilities" or dict, default=None
        "probabilities" where `sensitive_features` holds how likely each row is in each group, a
        column for each; a dict by feature under a header of two levels, as in the estimators. A
        row then weighs in each group by its probability, which is right on average where
        predictions tell nothing of the group beyond what its probabilities were made of (Chen et
        al., FAT* 2019, doi:10.1145/3287560.3287594).

    Returns
    -------
    FairnessScorer
        Called as ``scorer(estimator, X, y, sensitive_features=s)``, returns a float.

    Raises
    ------
    ValueError
        If `metric` is unknown, or `greater_is_better` can't be told from its name; when called,
        if `pos_label` is not a class, or of no use to the metric.

    Notes
    -----
    Labels reach the metric as their positions in ``estimator.classes_``, so that the second of
    two classes is the positive one, whatever its label, unless `pos_label` says which it is. With
    more than two classes, a metric of one class (demographic parity, equalized odds, equal
    opportunity and the rates they are made of) is taken for each class against the rest, and the
    worst counts; with `pos_label`, for that class alone. Of a regressor numbers reach the metric
    as they are.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairmi.metrics.scorers import make_fairness_scorer
    >>> X, y = make_classification(random_state=0)
    >>> group = X[:, 0] > 0
    >>> scorer = make_fairness_scorer("demographic_parity_difference")
    >>> scorer
    make_fairness_scorer('demographic_parity_difference')
    >>> model = LogisticRegression().fit(X, y)
    >>> round(scorer(model, X, y, sensitive_features=group), 4)
    -0.0202

    What a regressor predicts, by groups:

    >>> from sklearn.linear_model import LinearRegression
    >>> scorer = make_fairness_scorer("ks_difference")
    >>> model = LinearRegression().fit(X, 2.0 * y)
    >>> round(scorer(model, X, y, sensitive_features=group), 4)
    -0.1657
    """
    if isinstance(metric, str):
        function, name = _metric_named(metric), metric
    else:
        function = metric
        name = getattr(getattr(metric, "func", metric), "__name__", type(metric).__name__)
    parameters = inspect.signature(function).parameters
    if "sensitive_features" in parameters and aggregate is not None:
        raise ValueError(
            f"aggregate={aggregate!r} is of no use to {name!r}, which compares groups by itself; "
            "leave it out."
        )
    if "sensitive_features" not in parameters and aggregate is None:
        raise ValueError(
            f"metric {name!r} takes no sensitive_features; give aggregate, one of {AGGREGATES}, "
            "to compare its values over groups."
        )
    usual = _usual_direction(name, aggregate)
    if greater_is_better is None and usual is None:
        raise ValueError(
            f"greater_is_better can't be told from the name {name!r}; give True or False."
        )
    if sensitive_kinds is not None and "sample_weight" not in parameters:
        raise ValueError(
            f"metric {name!r} takes no sample_weight, by which rows weigh in each group; leave "
            "sensitive_kinds out, or take another metric."
        )
    columns = None if sensitive_columns is None else tuple(named_columns(sensitive_columns))
    return FairnessScorer(
        metric=function,
        name=name,
        aggregate=aggregate,
        greater_is_better=bool(usual if greater_is_better is None else greater_is_better),
        response_method=response_method,
        pos_label=pos_label,
        sensitive_columns=columns,
        sensitive_kinds=sensitive_kinds,
    )


@dataclass(frozen=True, repr=False)
class FairnessScorer:
    """A scorer ``(estimator, X, y) -> float``; made by `make_fairness_scorer`."""

    metric: Callable[..., float]
    name: str
    aggregate: str | None
    greater_is_better: bool
    response_method: str
    pos_label: Hashable | None
    sensitive_columns: tuple[str | int, ...] | None
    sensitive_kinds: Kinds | None = None
    requests: dict[str, bool | str | None] = field(default_factory=dict, compare=False)

    def __call__(
        self,
        estimator: BaseEstimator,
        X: TableLike,
        y_true: ColumnLike,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> float:
        """Return the metric of what the estimator says of X, negated if lower is better."""
        check_indexes(
            X=X,
            y_true=y_true,
            sensitive_features=sensitive_features,
            sample_weight=sample_weight,
        )
        if self.sensitive_columns is not None:
            sensitive_features = sensitive_columns_of(X, self.sensitive_columns)
        if sensitive_features is None:
            raise SensitiveFeaturesError(
                f"sensitive_features did not reach {self!r}. Give sensitive_columns, where "
                "they are columns of X; or call sklearn.set_config(enable_metadata_routing=True) "
                "first and pass sensitive_features to fit of the search (in cross_validate: in "
                "params). Without metadata routing scikit-learn passes no metadata to scorers."
            )
        y_pred = getattr(estimator, self.response_method)(X)
        return self._value_of(y_true, y_pred, estimator, sensitive_features, sample_weight)

    # Of scikit-learn's scorers TunedThresholdClassifierCV reads three more attributes.
    _sign = 1

    @property
    def _kwargs(self) -> dict[str, Hashable]:
        return {} if self.pos_label is None else {"pos_label": self.pos_label}

    def _score_func(
        self,
        y_true: ColumnLike,
        y_pred: ColumnLike,
        *,
        sensitive_features: SensitiveLike | None = None,
        sample_weight: ColumnLike | None = None,
        pos_label: Hashable | None = None,
    ) -> float:
        """Return the score of labels, as TunedThresholdClassifierCV asks for them."""
        if sensitive_features is None or self.response_method != "predict":
            raise SensitiveFeaturesError(
                f"{self!r} can be tuned for a threshold where it scores labels and "
                "sensitive_features are routed: call "
                "sklearn.set_config(enable_metadata_routing=True), pass sensitive_features to "
                "fit, and leave out sensitive_columns and response_method. FairThresholdClassifier"
                " finds the best decisions under a bound by itself."
            )
        return self._value_of(y_true, y_pred, None, sensitive_features, sample_weight)

    def _value_of(
        self,
        labels: ColumnLike,
        answers: ColumnLike,
        estimator: BaseEstimator,
        sensitive_features: SensitiveLike,
        sample_weight: ColumnLike | None,
    ) -> float:
        y_true, y_pred = _values("y_true", labels), _values(self.response_method, answers)
        one_each = y_true.ndim == 1 and (y_pred.ndim == 1 or self.response_method != "predict")
        if len(y_true) != len(y_pred) or not one_each:
            raise ValueError(
                f"y_true has shape {y_true.shape}, and {self.response_method} gave "
                f"{y_pred.shape}; give one label or number for each row of X."
            )
        weight = row_weights(sample_weight, len(y_true))
        if self.sensitive_kinds is None:
            codes = comparable_groups(sensitive_features, len(y_true)).codes
        else:  # a row stands in each group that it may be in, weighted by how likely that is
            members, _ = probable_members(sensitive_features, self.sensitive_kinds, len(y_true))
            weight = members.shares if weight is None else weight[members.rows] * members.shares
            y_true, y_pred, codes = y_true[members.rows], y_pred[members.rows], members.groups
        if weight is not None:  # a group without weight has no value, and is none to compare
            weighs = np.bincount(codes, weight) > 0
            if weighs.sum() < 2:
                raise SensitiveFeaturesError(
                    "sample_weight is positive in one group alone; at least two are needed to "
                    "compare."
                )
            rows = weighs[codes]
            y_true, y_pred, codes, weight = y_true[rows], y_pred[rows], codes[rows], weight[rows]
        one_class: list[int] = []
        if predicts_numbers(estimator):
            true, predicted = (y.astype(np.float64) for y in (y_true, y_pred))
        elif self.response_method == "predict":
            true, predicted, classes = label_codes(estimator, y_true, y_pred)
            one_class = self._rated_classes(classes)
        else:
            true, _, classes = label_codes(estimator, y_true)
            one_class, predicted = self._rated_classes(classes), y_pred
            if len(classes) == 2 and y_pred.ndim == 1:  # one number tells the scores of both
                predicted = np.column_stack([-y_pred, y_pred])
        values = [] if one_class else [self._value(true, predicted, codes, weight)]
        for k in one_class:
            of_class = predicted[:, k] if predicted.ndim == 2 else (predicted == k).astype(int)
            values.append(self._value((true == k).astype(int), of_class, codes, weight))
        value = min(values) if self.greater_is_better else max(values)
        return float(value if self.greater_is_better else -value)

    def _rated_classes(self, classes: np.ndarray) -> list[int]:
        """Return the classes that the metric is taken for against the rest; [] for all at once."""
        of_one = self.name.startswith(ONE_CLASS)
        if self.pos_label is not None and (of_one or len(classes) == 2):
            return [positive_code(classes, self.pos_label)]
        if self.pos_label is not None:
            raise ValueError(
                f"pos_label={self.pos_label!r} is of no use to {self.name!r} with {len(classes)} "
                "classes, which it takes all at once; leave it out."
            )
        if len(classes) == 2:
            return [1]
        return list(range(len(classes))) if of_one else []

    def _value(
        self, true: np.ndarray, predicted: np.ndarray, group: np.ndarray, weight: np.ndarray | None
    ) -> float:
        weights = {} if weight is None else {"sample_weight": weight}
        if self.aggregate is None:
            return self.metric(true, predicted, sensitive_features=group, **weights)
        frame = MetricFrame(
            metrics=self.metric,
            y_true=true,
            y_pred=predicted,
            sensitive_features=group,
            sample_params=weights,
        )
        return getattr(frame, self.aggregate)()

    def get_metadata_routing(self) -> MetadataRequest:
        """Tell scikit-learn which metadata the scorer asks for."""
        request = MetadataRequest(owner=self)
        wanted = self.sensitive_columns is None
        for param, alias in {"sensitive_features": wanted, **self.requests}.items():
            request.score.add_request(param=param, alias=alias)
        return request

    def _get_metadata_request(self) -> MetadataRequest:
        """Return the same where scikit-learn 1.6 tunes a threshold."""
        return self.get_metadata_routing()

    def set_score_request(self, **requests: bool | str | None) -> FairnessScorer:
        """Change what is asked for: `sensitive_features` or `sample_weight`, True or an alias."""
        unknown = set(requests) - {"sensitive_features", "sample_weight"}
        if unknown:
            raise TypeError(
                f"{sorted(unknown)} can't be requested; a fairness scorer takes "
                "'sensitive_features' and 'sample_weight'."
            )
        self.requests.update(requests)
        return self

    def _accept_sample_weight(self) -> bool:
        """Asked by scikit-learn's multimetric scoring where routing is off."""
        return True

    def __repr__(self) -> str:
        options: dict[str, object] = {
            "aggregate": self.aggregate,
            "sensitive_columns": self.sensitive_columns and list(self.sensitive_columns),
            "sensitive_kinds": self.sensitive_kinds,
        }
        if self.greater_is_better != _usual_direction(self.name, self.aggregate):
            options["greater_is_better"] = self.greater_is_better
        if self.response_method != RESPONSES[0]:
            options["response_method"] = self.response_method
        options["pos_label"] = self.pos_label
        text = "".join(f", {key}={value!r}" for key, value in options.items() if value is not None)
        return f"make_fairness_scorer({self.name!r}{text})"


def _values(name: str, values: ColumnLike) -> np.ndarray:
    """Return labels, numbers or scores of rows, none of them missing; one column is 1-d."""
    array = np.asarray(plain_series(values))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    missing = int(np.count_nonzero(pd.isna(array).reshape(len(array), -1).any(axis=1)))
    if missing:
        raise ValueError(
            f"{name} has a missing value in {missing} rows, which no metric can compare; drop "
            "these rows or fill them in."
        )
    return array


class Predictions:
    """Predictions (n_rows,) in the shape of an estimator, for a scorer: labels, or `numbers`.

    The labels are among `classes`, or else those that occur.
    """

    def __init__(
        self, predicted: Any, *, classes: np.ndarray | None = None, numbers: bool = False
    ) -> None:
        self.predicted = np.asarray(predicted)
        self._estimator_type = "regressor" if numbers else "classifier"
        if classes is not None:
            self.classes_ = classes

    def predict(self, X: TableLike) -> np.ndarray:
        """Return the predictions."""
        return self.predicted


def predicts_numbers(estimator: BaseEstimator) -> bool:
    """Whether it is a regressor, by scikit-learn's tags or, where it has none, by its type."""
    if hasattr(estimator, "__sklearn_tags__"):
        return is_regressor(estimator)
    return getattr(estimator, "_estimator_type", None) == "regressor"


def label_codes(
    estimator: BaseEstimator, y_true: np.ndarray, y_pred: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes of `y_true` and `y_pred`, both of shape (n_rows,), and the classes.

    The classes are ``estimator.classes_``, with what else occurs merged in by value; without that
    attribute, all that occurs.
    """
    predictions = y_true if y_pred is None else y_pred
    seen = np.union1d(y_true, predictions)
    known = np.asarray(getattr(estimator, "classes_", seen))
    classes = known if np.isin(seen, known).all() else np.union1d(known, seen)
    order = np.argsort(classes)
    true, predicted = (
        order[np.searchsorted(classes, labels, sorter=order)] for labels in (y_true, predictions)
    )
    return true, predicted, classes


def positive_code(classes: np.ndarray, pos_label: Hashable) -> int:
    """Return the code of the class that rates are of."""
    for code, label in enumerate(classes.tolist()):
        if label == pos_label:
            return code
    raise ValueError(
        f"pos_label={pos_label!r} is not among the classes; give one of {classes.tolist()}."
    )


def _of_pairs(
    pairs: Pairs,
    within_y: bool,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    *,
    sensitive_features: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Return the figure of the two groups that differ most, or its mean over bins of y.

    `sensitive_features` (n_rows,) are codes of groups.
    """
    if within_y:
        pairs = partial(pairs_within, pairs, y_strata(y_true, sample_weight))
    members = Membership.of_codes(sensitive_features, int(sensitive_features.max()) + 1)
    return largest_pair(pairs(np.asarray(y_pred, dtype=np.float64), members, sample_weight))[0]


OF_NUMBERS = {
    "ks_difference": partial(_of_pairs, ks_pairs, False),
    "mean_difference": partial(_of_pairs, mean_pairs, False),
    "wasserstein": partial(_of_pairs, wasserstein_pairs, False),
    "conditional_ks": partial(_of_pairs, ks_pairs, True),
}
# Metrics of one class against the rest: with more classes, the worst class counts.
ONE_CLASS = (
    "demographic_parity",
    "equalized_odds",
    "equal_opportunity",
    "selection_rate",
    "true_positive_rate",
    "true_negative_rate",
    "false_positive_rate",
    "false_negative_rate",
    *OF_NUMBERS,
)


def _metric_named(name: str) -> Callable[..., float]:
    if name in OF_NUMBERS:
        return OF_NUMBERS[name]
    for module in (fairlearn.metrics, sklearn.metrics):
        if callable(getattr(module, name, None)):
            return getattr(module, name)
    known = sorted(key for key in fairlearn.metrics.__all__ if key.endswith(AGGREGATES))
    raise ValueError(
        f"metric {name!r} is in neither fairlearn.metrics nor sklearn.metrics; give a function, "
        f"or one of: {', '.join([*OF_NUMBERS, *known])}; or a metric "
        "of one group together with aggregate."
    )


def _usual_direction(name: str, aggregate: str | None) -> bool | None:
    """Whether greater is better, by the aggregate or else by the ending of the name."""
    if name in OF_NUMBERS:
        return False
    ending = aggregate or next((a for a in AGGREGATES if name.endswith(f"_{a}")), None)
    return None if ending is None else HIGHER_IS_BETTER[ending]
