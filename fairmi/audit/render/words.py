"""The plain words of a report: what each figure is called, means and does not mean."""

from __future__ import annotations

import math

from fairmi.audit.records import Figure

NAMES = {
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "mean ROC AUC over groups",
    "p_value": "p-value of independence",
    "mutual_information": "mutual information, nats",
    "expected_calibration_error": "expected calibration error",
    "mean_score_excess": "mean score less outcome",
    "demographic_parity_bound": "bound on demographic parity",
    "equalized_odds_bound": "bound on equalized odds",
}

MEANINGS = {
    "accuracy": "Share of rows whose prediction is right.",
    "selection_rate": "Share of rows that get the positive prediction.",
    "base_rate": "Share of rows whose label is positive.",
    "true_positive_rate": "Of the rows whose label is positive, the share predicted positive.",
    "false_positive_rate": (
        "Of the rows whose label is not positive, the share predicted positive all the same."
    ),
    "demographic_parity_difference": (
        "Largest less smallest selection rate, over all rows or within a part of them. 0: all "
        "groups get the positive prediction equally often."
    ),
    "demographic_parity_ratio": (
        "Smallest over largest selection rate. 1: equal; some rules ask for 0.8 or more."
    ),
    "equalized_odds_difference": (
        "The larger of the differences in true and in false positive rate. 0: errors are equally "
        "common in all groups."
    ),
    "equalized_odds_ratio": (
        "The smaller of the ratios of true and of false positive rates. 1: equal."
    ),
    "equal_opportunity_difference": (
        "Largest less smallest true positive rate. 0: rows whose label is positive are found "
        "equally often in all groups."
    ),
    "equal_opportunity_ratio": "Smallest over largest true positive rate. 1: equal.",
    "accuracy_difference": "Largest less smallest accuracy.",
    "expected_calibration_error": (
        "How far scores are, on average over ten bins, from the share of rows that came true. 0: "
        "a score of 0.7 comes true in 7 of 10 rows."
    ),
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

SECTIONS = {
    "group": "Rates by group",
    "disparity": "Differences between groups",
    "conditional": "Differences within parts of the rows",
    "change": "Against the baseline",
    "calibration": "Calibration by group",
    "leakage": "What a fresh probe recovers",
    "information": "Mutual information",
    "certificate": "Certificate",
}

INTRODUCTION = {
    "group": "How often the model is right, and whom it selects, in each group.",
    "disparity": (
        "The difference between the groups that are furthest apart. 'By chance' is the largest "
        "(of a ratio, the smallest) that a fair model is likely to show on as many rows. A "
        "difference is called found where the interval leaves out equality and the value is "
        "beyond chance; where one of the two is so alone, it is unclear. None found is no proof "
        "of fairness: the interval says what the data allow."
    ),
    "conditional": (
        "Groups are compared among rows that have the same label, or a column in common: what is "
        "equal over all rows can differ in each part. The worst come first. Intervals hold for "
        "all parts and pairs of groups at once (Newcombe's intervals, Bonferroni's correction); "
        "groups of fewer than 30 rows in a part are left out of it."
    ),
    "change": (
        "Model less baseline, both on the same rows. Chance does not explain a change whose "
        "interval leaves out 0."
    ),
    "calibration": (
        "Whether a score means the same in every group. 'By chance' is the largest error that "
        "calibrated scores are likely to show on as many rows; it and the intervals hold for all "
        "groups at once. An error is found where it is beyond chance, and unclear "
        "where the interval of the mean alone leaves out 0."
    ),
    "leakage": (
        "Probes trained from scratch for this audit try to tell the group from what the model "
        "gives away, and are scored on rows they were not trained on; the best of them counts. "
        "They do so on all rows and, given the label, on the rows of each label by themselves: "
        "with the label, more may be told. "
        "'By chance' is the largest score that they are likely to reach where there is nothing to "
        "find. A leak is found where a test says so (p-value up to 0.01), and unclear where the "
        "score alone is beyond chance. Intervals here are of 95 %."
    ),
    "information": (
        "How much is told of the group, in nats: by itself, and to someone who knows the label. "
        "Where values take few forms this is an estimate of all of it; else it is what probes "
        "find, so that there may be more. 'By chance' is the largest value that is likely to be "
        "found where there is nothing."
    ),
    "certificate": (
        "Bounds on what anyone can build from these values: any classifier, which only values "
        "that take few forms can have a bound for, and any threshold on the scores, which all "
        "scores can. Each holds at the confidence of this audit, if these rows took no part in "
        "training, nor in the choice of the model."
    ),
}

LIMITS = (
    (
        "The figures are of these rows. They carry over to others only if those come from the "
        "same population, and if neither the model nor the choice of it has seen these rows."
    ),
    (
        "Labels are taken as true. If they carry a bias of their own, so does every figure that "
        "compares predictions with them."
    ),
    (
        "Demographic parity, equalized odds and calibration can't in general all hold at once. "
        "Which of them matters is a decision about the use of the model, not a result of an audit."
    ),
    "Groups other than those of the sensitive features given were not looked at.",
    "A probe that finds nothing is no proof that nothing is there; only a certificate is one.",
)


def percent(share: float) -> str:
    """Return a share in percent; "no rows" for none."""
    return "no rows" if math.isnan(share) else f"{100 * share:.1f} %"


def p_text(value: float) -> str:
    """Return a p-value for a table."""
    return number(value) if value >= 0.001 else "<0.001"


def name_of(measure: str) -> str:
    """Return what a report calls a measure."""
    return NAMES.get(measure, measure.replace("_", " "))


def number(value: float, *, signed: bool = False) -> str:
    """Return a number for a table; "" for none."""
    if math.isnan(value):
        return ""
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return "0.000" if text in ("-0.000", "+0.000") else text


def interval(figure: Figure, *, signed: bool = False) -> str:
    """Return the figure's interval for a table; "" for none."""
    if math.isnan(figure.low) and math.isnan(figure.high):
        return ""
    return f"{number(figure.low, signed=signed)} to {number(figure.high, signed=signed)}"
