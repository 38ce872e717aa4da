"""What an audit measures: the table of measures, their words, and the figures they give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

Cells = Callable[[np.ndarray, np.ndarray, int], np.ndarray]

FOUND = "found"
UNCLEAR = "unclear"
NOTHING = "none found"
NOT_MEASURED = "not measured"
HOLDS = "holds"


@dataclass(frozen=True)
class Figure:
    """One number of an audit.

    Attributes
    ----------
    section : str
        "overall", "group", "disparity" (between groups), "conditional" (between groups within a
        part of the rows), "conditional group", "baseline group", "baseline", "change" (against
        the baseline), "calibration", "leakage", "information" or "certificate".
    measure : str
        What was measured, such as "demographic_parity_difference".
    value : float
        The number.
    low, high : float
        Ends of its confidence interval; NaN where there is none.
    by_chance : float
        What a fair model shows on this sample by chance alone: the quantile, at the audit's
        confidence, of the value under fairness (the lower one for ratios). NaN where not computed.
    n : int
        Rows that the number was computed from.
    attribute : str
        The sensitive feature, or several joined by " & "; "" for all rows.
    group : str
        The group, where the number is of one.
    subject : str
        The class that a rate is of (more than two classes), or what was examined: "predictions",
        "scores" or "representation".
    verdict : str
        What the figure comes to: "found", "unclear", "none found" or "not measured"; of a change
        "higher", "lower" or "no change found"; "" where a figure decides nothing.
    rate, most, least : str
        Of a difference or ratio between groups: the rate that it is of, and the groups in which
        that is largest and smallest.
    part : str
        The part of the rows that groups are compared in, such as "married = yes"; "" for all.
    given : str
        "label" where the label is known to whoever tells the group.
    against : str
        Whom a certificate bounds: "classifier", or "threshold" of scores.
    """

    section: str
    measure: str
    value: float
    low: float = math.nan
    high: float = math.nan
    by_chance: float = math.nan
    n: int = 0
    attribute: str = ""
    group: str = ""
    subject: str = ""
    verdict: str = ""
    rate: str = ""
    most: str = ""
    least: str = ""
    part: str = ""
    given: str = ""
    against: str = ""


@dataclass(frozen=True)
class ReliabilityBin:
    """A point of a curve, with the interval of its height.

    Of reliability: rows whose scores (or predicted numbers) fall in one bin, the mean of these,
    and the share that came true (or the mean of y). Of a distribution: a value, and the share of
    rows that are predicted that or less.
    """

    score: float
    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Curve:
    """A curve of one group, for a picture; `section` is that of the figures that it belongs to."""

    attribute: str
    group: str
    bins: tuple[ReliabilityBin, ...]
    section: str = "calibration"


@dataclass(frozen=True)
class Measure:
    """A rate: a share of some rows among others, told by their label and their prediction.

    A row of `RATES` is all that a rate needs: sizes, intervals, what chance explains, tables,
    pictures and words follow from it. `top` and `bottom` take codes of labels and of predictions,
    (n_cells,), and the code of the class that the rate is of, and tell which cells are counted,
    among which; what is counted is always among the latter. `criteria` are the comparisons of
    groups that it takes part in, by default one of its own name; one that several rates share
    takes the largest of their differences. `needs_label` says that it is nothing where labels are
    unknown, `by_class` that there is one for each class, of more than two.
    """

    name: str
    meaning: str
    top: Cells
    bottom: Cells
    criteria: tuple[str, ...] = ()
    needs_label: bool = True
    by_class: bool = True


RATES: tuple[Measure, ...] = (
    Measure(
        "accuracy",
        "Share of rows whose prediction is right.",
        top=lambda label, predicted, k: label == predicted,
        bottom=lambda label, predicted, k: label >= 0,
        by_class=False,
    ),
    Measure(
        "selection_rate",
        "Share of rows that get the positive prediction.",
        top=lambda label, predicted, k: predicted == k,
        bottom=lambda label, predicted, k: label >= 0,
        criteria=("demographic_parity",),
        needs_label=False,
    ),
    Measure(
        "true_positive_rate",
        "Of the rows whose label is positive, the share predicted positive.",
        top=lambda label, predicted, k: predicted == k,
        bottom=lambda label, predicted, k: label == k,
        criteria=("equalized_odds", "equal_opportunity"),
    ),
    Measure(
        "false_positive_rate",
        "Of the rows whose label is not positive, the share predicted positive all the same.",
        top=lambda label, predicted, k: predicted == k,
        bottom=lambda label, predicted, k: label != k,
        criteria=("equalized_odds",),
    ),
)


@dataclass(frozen=True)
class Moment:
    """A figure of predicted numbers: the mean over rows of what `of_row` gives of y and ŷ.

    A row of `MOMENTS` is all that it needs: intervals, what chance explains, how groups are
    compared, tables, pictures and words follow from it. `is_root` says that the figure is the
    square root of the mean, `is_positive` that no row has a negative number, so that intervals are
    those of logarithms; `loss` is the one that predictions must have been fitted by, where not all
    will do.
    """

    name: str
    meaning: str
    of_row: Callable[[np.ndarray, np.ndarray], np.ndarray]
    is_root: bool = False
    is_positive: bool = True
    needs_label: bool = True
    loss: str = ""


MOMENTS: tuple[Moment, ...] = (
    Moment(
        "mean_prediction",
        "Mean of the predictions, in units of y.",
        of_row=lambda y, predicted: predicted,
        is_positive=False,
        needs_label=False,
    ),
    Moment(
        "bias",
        "Mean of prediction less y. Above 0: the model promises more than came true.",
        of_row=lambda y, predicted: predicted - y,
        is_positive=False,
    ),
    Moment(
        "rmse",
        "Root of the mean squared error, in units of y.",
        of_row=lambda y, predicted: (predicted - y) ** 2,
        is_root=True,
    ),
    Moment(
        "mae",
        "Mean absolute error, in units of y.",
        of_row=lambda y, predicted: np.abs(predicted - y),
    ),
    Moment(
        "poisson_deviance",
        "Mean Poisson deviance.",
        of_row=lambda y, predicted: 2 * (xlogy(y, y / predicted) - y + predicted),
        loss="poisson",
    ),
    Moment(
        "gamma_deviance",
        "Mean gamma deviance.",
        of_row=lambda y, predicted: 2 * (np.log(predicted / y) + y / predicted - 1),
        loss="gamma",
    ),
)
LOG_LOSSES = ("poisson", "gamma")  # fitted on a log link, where groups are compared by ratios too


@dataclass(frozen=True)
class Criterion:
    """How groups are compared by rates: the words, and whether there is a ratio too.

    `advice` says what to do about a difference that was found.
    """

    topic: str
    difference: str
    ratio: str
    advice: str


ASK_FOR_PARITY = (
    "decide whether the use of the model asks for equal shares. If it does, train it under a "
    "constraint or a penalty for demographic parity and audit again; if not, write down what "
    "justifies the difference."
)
WHY_LARGER = (
    "find out why errors are larger in one group: fewer rows, noisier or larger y, or features "
    "that say less there."
)
CRITERIA: dict[str, Criterion] = {
    "demographic_parity": Criterion(
        "parity",
        "Largest less smallest selection rate, over all rows or within a part of them. 0: all "
        "groups get the positive prediction equally often.",
        "Smallest over largest selection rate. 1: equal; some rules ask for 0.8 or more.",
        ASK_FOR_PARITY,
    ),
    "equalized_odds": Criterion(
        "odds",
        "The larger of the differences in true and in false positive rate. 0: errors are equally "
        "common in all groups.",
        "The smaller of the ratios of true and of false positive rates. 1: equal.",
        "find out in which group errors are more common and why (few rows, labels that are wrong, "
        "features that say less there) before the model decides about people.",
    ),
    "equal_opportunity": Criterion(
        "opportunity",
        "Largest less smallest true positive rate. 0: rows whose label is positive are found "
        "equally often in all groups.",
        "Smallest over largest true positive rate. 1: equal.",
        "find out why the model misses more of those who deserve the prediction in one group than "
        "in another.",
    ),
    "accuracy": Criterion(
        "accuracy",
        "Largest less smallest accuracy.",
        "",
        "find out why the model is wrong more often in one group: fewer rows, noisier labels, or "
        "features that say less there.",
    ),
    "ks": Criterion(
        "distribution",
        "Largest distance between the distribution functions of the predictions (Kolmogorov and "
        "Smirnov): no threshold on them selects two groups at rates further apart. 0: alike.",
        "",
        ASK_FOR_PARITY,
    ),
    "wasserstein": Criterion(
        "distance",
        "Area between the distribution functions of the predictions (Wasserstein-1), in units of "
        "y: how far predictions would have to be moved, on average, to be distributed alike.",
        "",
        "",
    ),
    "mean_prediction": Criterion(
        "mean",
        "Largest less smallest mean prediction, in units of y.",
        "Smallest over largest mean prediction. 1: equal.",
        ASK_FOR_PARITY,
    ),
    "bias": Criterion(
        "bias",
        "Largest less smallest mean of prediction less y: who is promised more, beside what came "
        "true, than others.",
        "",
        "find out in which group predictions are too high or too low, and why: few rows, labels "
        "that are wrong, or a correction that was made on purpose.",
    ),
    "rmse": Criterion(
        "error",
        "Largest less smallest root of the mean squared error, in units of y.",
        "",
        WHY_LARGER,
    ),
    "mae": Criterion(
        "absolute error",
        "Largest less smallest mean absolute error, in units of y.",
        "",
        WHY_LARGER,
    ),
}


def criterion_of(name: str) -> Criterion:
    """Return the words of a criterion; those of a rate that has none of its own are made."""
    words = name.replace("_", " ")
    return CRITERIA.get(name) or Criterion(
        words,
        f"Largest less smallest {words}.",
        f"Smallest over largest {words}. 1: equal.",
        f"find out why {words} differs between groups.",
    )


def cells_of_rates(
    names: Sequence[str], label: np.ndarray, predicted: np.ndarray, unknown: int = -1
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return which cells each rate of class 1 counts, and among which: by name, their positions.

    `label` and `predicted` (n_cells,) say what a cell holds; a label of `unknown` is none.
    """
    cells = {}
    for rate in (next(rate for rate in RATES if rate.name == name) for name in names):
        among = rate.bottom(label, predicted, 1)
        among = among & (label != unknown) if rate.needs_label else among
        counted = among & rate.top(label, predicted, 1)
        cells[rate.name] = (
            tuple(np.flatnonzero(counted).tolist()),
            tuple(np.flatnonzero(among).tolist()),
        )
    return cells


def figures_of_groups() -> list[str]:
    """Return the names of a group's figures, in the order of tables and pictures."""
    return [rate.name for rate in RATES] + [moment.name for moment in MOMENTS]


def rates_of_criteria(*, labelled: bool = True) -> dict[str, tuple[str, ...]]:
    """Return what each criterion compares: the names of its rates, in the order of `RATES`."""
    compared: dict[str, tuple[str, ...]] = {}
    for rate in RATES:
        if labelled or not rate.needs_label:
            for criterion in rate.criteria or (rate.name,):
                compared[criterion] = (*compared.get(criterion, ()), rate.name)
    order = [*CRITERIA, *compared]
    return dict(sorted(compared.items(), key=lambda item: order.index(item[0])))


# Figures of leakage that stand beside the score of the best probe.
BESIDE_SCORE = ("balanced_accuracy", "p_value", "rounded_score")

NAMES = {
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "mean ROC AUC over groups",
    "p_value": "p-value of independence",
    "rounded_score": "score of values rounded to six digits",
    "mutual_information": "mutual information, nats",
    "expected_calibration_error": "expected calibration error",
    "mean_score_excess": "mean score less outcome",
    "mean_excess": "mean prediction less y",
    "ks_difference": "KS distance",
    "wasserstein_difference": "Wasserstein-1 distance",
    "rmse": "RMSE",
    "mae": "MAE",
    "rmse_difference": "RMSE difference",
    "mae_difference": "MAE difference",
    "explained": "share explained",
    "selection_rate_gap": "of the gap in selection rate",
    "true_positive_rate_gap": "of the gap in true positive rate",
    "false_positive_rate_gap": "of the gap in false positive rate",
    "mean_prediction_gap": "of the gap in means",
    "probe_auc_gap": "of a probe's AUC",
    "accuracy_gap": "of accuracy (a regressor's mean squared error, less)",
    "r2": "R²",
    "r2_of_spread": "R² of its spread",
    "r2_of_skewness": "R² of its skewness",
    "calibration_error": "calibration error",
    "ks_bound": "bound on KS",
    "mean_difference_bound": "bound on means and Wasserstein-1, in units of y",
    "demographic_parity_bound": "bound on demographic parity",
    "equalized_odds_bound": "bound on equalized odds",
}

MEANINGS = {
    "base_rate": "Share of rows whose label is positive.",
    "explained": (
        "Share of the mean squared error (on a log link, of the deviance) of predicting the mean "
        "that the model is rid of: R², or D². 1: all of it."
    ),
    "calibration_error": (
        "How far predictions are, on average over ten bins, from the mean of y there, in units "
        "of y."
    ),
    "r2": "Share of the variance of the sensitive feature that the best probe predicts. 0: none.",
    "ks_bound": (
        "No threshold on these values (or none on anything computed from them) selects two groups "
        "at rates that are further apart, at the confidence of this audit, if these rows took no "
        "part in training."
    ),
    "mean_difference_bound": (
        "The same in units of y: the bound times the largest less the smallest prediction here. "
        "Neither means nor Wasserstein-1 can differ by more while predictions stay in that range."
    ),
    "expected_calibration_error": (
        "How far scores are, on average over ten bins, from the share of rows that came true. 0: "
        "a score of 0.7 comes true in 7 of 10 rows."
    ),
    "mean_excess": "Above 0: predictions promise more than came true; below 0: less.",
    "mean_score_excess": (
        "Above 0: the scores promise more than came true; below 0: they promise less."
    ),
    "roc_auc": (
        "How well the best probe tells the groups apart. 0.5: a coin toss; 1: it always can."
    ),
    "roc_auc_ovr": (
        "How well the best probe tells each group from the rest, on average over groups. 0.5: a "
        "coin toss; 1: it always can."
    ),
    "p_value": (
        "How likely such signs of a leak are where there is none. Up to 0.01 is taken for a leak."
    ),
    "balanced_accuracy": "Mean share of each group's rows that the best probe recognises.",
    "rounded_score": (
        "The score where the values are rounded to six digits. It stands here where the last "
        "digits alone tell: sums of floats leave traces there, which no threshold would use."
    ),
    "mutual_information": "How much is told of the sensitive feature. 0: nothing.",
    "demographic_parity_bound": (
        "No classifier that sees only these values, whoever trains it (or no threshold on them), "
        "has a larger demographic parity difference, at the confidence of this audit, if these "
        "rows took no part in training."
    ),
    "equalized_odds_bound": (
        "The same for the equalized odds difference: among rows of the same label."
    ),
}


def name_of(measure: str) -> str:
    """Return what a report calls a measure."""
    return NAMES.get(measure, measure.replace("_", " "))


def meaning_of(measure: str) -> str:
    """Return what a measure means, in a sentence or two; "" for none that is known."""
    of_rates = {rate.name: rate.meaning for rate in RATES}
    of_rates |= {moment.name: moment.meaning for moment in MOMENTS}
    if measure in of_rates:
        return of_rates[measure]
    for kind in ("difference", "ratio"):
        criterion = measure.removesuffix(f"_{kind}")
        if criterion != measure:
            return str(getattr(criterion_of(criterion), kind))
    return MEANINGS.get(measure, "")


def agreed(one: bool, other: bool) -> str:
    """Return the verdict of two signs: found if both say so, unclear if one does."""
    if one and other:
        return FOUND
    return UNCLEAR if one or other else NOTHING


def direction(low: float, high: float) -> str:
    """Return which way a figure changed, if its interval leaves out 0."""
    if low > 0:
        return "higher"
    return "lower" if high < 0 else "no change found"


def worst(figures: Sequence[Figure]) -> str:
    """Return the verdict on several figures: that of the worst; of changes whether one is."""
    verdicts = {figure.verdict for figure in figures}
    if verdicts & {"higher", "lower"}:
        return "changed"
    order = (FOUND, UNCLEAR, NOTHING, HOLDS, "no change found")
    return next((verdict for verdict in order if verdict in verdicts), NOT_MEASURED)
