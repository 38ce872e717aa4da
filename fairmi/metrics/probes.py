"""Fresh models that try to recover the sensitive attribute: the panel, its folds, and a fit.

Two probes get what hides in Z in place of it: its digits, and waves over its columns.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import has_fit_parameter

from fairmi._threads import one_thread_if_few
from fairmi._typing import Predictor
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics._rows import is_continuous

NEIGHBOURS = 25
MIN_TO_HOLD_BACK = 20  # rows of each group from which a part is held back for early stopping

Split = tuple[np.ndarray, np.ndarray]  # rows to train on, rows to predict
Probe: TypeAlias = str | BaseEstimator  # a name of the panel, or an estimator of the user's

PANEL = {  # the most rows that each is trained on, for its speed
    "linear": 100_000,
    "boosting": 20_000,
    "neighbours": 5_000,
    "network": 10_000,
    "digits": 20_000,
    "waves": 20_000,
    "values": 100_000,
}


def build_probe(
    probe: Probe, continuous: bool, seed: int, n_rows: int, hold_back: bool
) -> BaseEstimator:
    """Return a model to fit to `n_rows` rows.

    `hold_back` says whether each group has rows enough for a part to be held back, by which
    training is stopped early.
    """
    if not isinstance(probe, str):
        return clone(probe)
    linear = Ridge() if continuous else LogisticRegression()
    if probe == "linear":
        return make_pipeline(StandardScaler(), linear)
    if probe == "values":
        indicators = OneHotEncoder(min_frequency=3, handle_unknown="infrequent_if_exist")
        return make_pipeline(indicators, linear)
    if probe == "neighbours":
        neighbours = KNeighborsRegressor if continuous else KNeighborsClassifier
        nearest = neighbours(n_neighbors=min(NEIGHBOURS, n_rows), algorithm="brute")
        return make_pipeline(StandardScaler(), nearest)
    if probe == "network":
        network = (MLPRegressor if continuous else MLPClassifier)(
            hidden_layer_sizes=(64,),
            learning_rate_init=3e-3,
            max_iter=40,
            early_stopping=hold_back,
            n_iter_no_change=5,
            random_state=seed,
        )
        return make_pipeline(StandardScaler(), network)
    learning_rate = 0.1 if probe == "boosting" else 0.2
    boosting = (HistGradientBoostingRegressor if continuous else HistGradientBoostingClassifier)(
        learning_rate=learning_rate,
        max_iter=round((10 if hold_back else 3) / learning_rate),
        early_stopping=hold_back,
        random_state=seed,
    )
    if probe == "boosting":
        return boosting
    chosen = DigitSelector(continuous) if probe == "digits" else WaveSelector(continuous, seed)
    return make_pipeline(chosen, boosting)


def probe_name(probe: Probe) -> str:
    """Return the name of a probe, of the user's own that of its class."""
    return probe if isinstance(probe, str) else type(probe).__name__


def most_rows(probe: Probe) -> int:
    """Return how many rows a probe is trained on at most."""
    return PANEL[probe] if isinstance(probe, str) else sys.maxsize


def choose_probes(probe: Probe, target: np.ndarray) -> list[Probe]:
    """Return the names of the panel, or one probe, after a check that it can predict a target."""
    if isinstance(probe, str):
        return list(PANEL) if probe == "panel" else [probe]
    kind, model = "categorical", "classifier with predict_proba"
    if is_continuous(target):
        kind, model = "continuous", "regressor"
    if isinstance(probe, type) or hasattr(probe, "predict_proba") == is_continuous(target):
        raise ValueError(
            f"probe {probe!r} can't predict a {kind} target; give an object of a scikit-learn "
            f"{model}."
        )
    return [probe]


def split_rows(
    target: np.ndarray,
    cv: int,
    seed: int,
    clusters: np.ndarray | None = None,
    labels: Sequence[Hashable] | None = None,
) -> list[np.ndarray]:
    """Return the rows of each fold, each group spread evenly over the folds, no cluster split.

    An error names a group by its label, without `labels` by its code.
    """
    rows = np.arange(len(target))
    owners = rows if clusters is None else clusters
    n_owners = len(np.unique(owners))
    unit = "rows" if clusters is None else "clusters"
    if n_owners < cv:
        raise ValueError(
            f"there are {n_owners} {unit}, fewer than cv={cv} folds; take fewer folds."
        )
    if is_continuous(target):
        splits = KFold(cv, shuffle=True, random_state=seed).split(np.arange(n_owners))
        codes = np.unique(owners, return_inverse=True)[1].reshape(-1)
        return [np.flatnonzero(np.isin(codes, chosen)) for _, chosen in splits]
    pairs = np.unique(np.column_stack([target, owners]), axis=0)
    counts = np.bincount(pairs[:, 0])
    if counts.min() < cv:
        rarest = int(counts.argmin())
        group = rarest if labels is None else labels[rarest]
        raise SensitiveFeaturesError(
            f"group {group!r} has {counts.min()} {unit}, fewer than cv={cv} folds; drop "
            "the group, merge it with another, or take fewer folds."
        )
    if clusters is None:
        stratified = StratifiedKFold(cv, shuffle=True, random_state=seed)
        return [test for _, test in stratified.split(rows, target)]
    by_cluster = StratifiedGroupKFold(cv, shuffle=True, random_state=seed)
    folds = [test for _, test in by_cluster.split(rows, target, clusters)]
    if any(len(np.unique(target[fold])) < len(counts) for fold in folds):
        raise SensitiveFeaturesError(
            f"the clusters can't be dealt out so that each of cv={cv} folds has all groups; merge "
            "small groups, or take fewer folds."
        )
    return folds


# A user's set_config(transform_output=...) is not for the pipelines of probes.
@config_context(transform_output="default")
def fit_predict(
    probe: Probe,
    Z: np.ndarray,
    target: np.ndarray,
    split: Split,
    sample_weight: np.ndarray | None,
    seed: int,
) -> np.ndarray:
    """Return the predictions of a fresh probe for the rows of a split that it isn't trained on.

    Shape (n_predicted, n_outputs): the probability of each group (of the second group alone
    where there are two), or the predicted number.
    """
    train, test = split
    rng = np.random.default_rng(seed)
    continuous = is_continuous(target)
    weight_name = _weight_argument(build_probe(probe, continuous, seed, len(train), False))
    weights: dict[str, np.ndarray] = {}
    if sample_weight is None or weight_name is not None:
        train = _at_most(train, most_rows(probe), target, rng)
        if sample_weight is not None:
            weights = {str(weight_name): sample_weight[train]}
    else:  # a model that takes no weights learns from rows drawn by weight
        share = sample_weight[train] / sample_weight[train].sum()
        train = rng.choice(train, min(len(train), most_rows(probe)), p=share)
    smallest = len(train) if continuous else np.unique(target[train], return_counts=True)[1].min()
    model = build_probe(probe, continuous, seed, len(train), bool(smallest >= MIN_TO_HOLD_BACK))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an early stop is meant
        with one_thread_if_few(len(train)):
            model.fit(Z[train], target[train], **weights)
    with one_thread_if_few(len(test)):
        if continuous:
            return np.asarray(model.predict(Z[test]), dtype=np.float64).reshape(-1, 1)
        probability = np.zeros((len(test), int(target.max()) + 1))
        probability[:, model.classes_] = model.predict_proba(Z[test])
    return probability[:, 1:] if probability.shape[1] == 2 else probability


def _at_most(
    rows: np.ndarray, most: int, target: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return a random part of the rows where there are more than `most`, no group left out."""
    if len(rows) <= most:
        return rows
    rows = rng.permutation(rows)
    if is_continuous(target):
        return rows[:most]
    first = np.unique(target[rows], return_index=True)[1]
    return np.concatenate([rows[first], np.delete(rows, first)[: most - len(first)]])


def _weight_argument(model: Predictor) -> str | None:
    name, last = "", model
    if isinstance(model, Pipeline):
        name, last = f"{model.steps[-1][0]}__", model.steps[-1][1]
    return f"{name}sample_weight" if has_fit_parameter(last, "sample_weight") else None


MAX_DIGITS = 16  # digits of each base handed to the probe: those that tell the most in training
MAX_PLACES = 15
WHOLE_BITS = 20  # lowest binary digits of whole numbers


class DigitSelector(TransformerMixin, BaseEstimator):
    """Digits of Z's columns, of which those most dependent on the target are kept.

    Decimal digits, of the fraction and of whole numbers; and binary ones: the lowest of whole
    numbers, the mantissa's of others. Dependence is the between-digit sum of squares of the
    (one-hot) target, which is Pearson's chi-squared where the target is a category, over its
    expectation under independence. A `continuous` target is a number, and not a code.
    """

    def __init__(self, continuous: bool = False) -> None:
        self.continuous = continuous

    def fit(self, Z: np.ndarray, c: np.ndarray) -> DigitSelector:
        """Choose the digits."""
        target = _columns_of(c, self.continuous)
        candidates = [(j, k) for j in range(Z.shape[1]) for k in places(Z[:, j])]
        strength = [_dependence(digits(Z[:, j], k), target) for j, k in candidates]
        self.chosen_ = _strongest(candidates, np.array(strength))
        self.whole_ = [is_whole(column) for column in Z.T]
        binary = [(bits(column, whole)) for column, whole in zip(Z.T, self.whole_, strict=True)]
        candidates = [(j, k) for j, part in enumerate(binary) for k in range(part.shape[1])]
        strengths = [_bit_dependence(part, target) for part in binary]
        self.chosen_bits_ = _strongest(candidates, np.concatenate(strengths))
        return self

    def transform(self, Z: np.ndarray) -> np.ndarray:
        """Return the chosen digits, shape (n_rows, at most 32)."""
        decimal = [digits(Z[:, j], k) for j, k in self.chosen_]
        binary = {j: bits(Z[:, j], self.whole_[j]) for j in {j for j, _ in self.chosen_bits_}}
        bit = [binary[j][:, k] for j, k in self.chosen_bits_]
        return np.column_stack([np.zeros(len(Z)), *decimal, *bit]).astype(np.float64)


def _columns_of(c: np.ndarray, continuous: bool) -> np.ndarray:
    """Return a target, one-hot where it is of codes, as columns of mean 0 and variance 1."""
    target = c[:, None].astype(np.float64) if continuous else np.eye(c.max() + 1)[c]
    target = target[:, target.std(axis=0) > 0]
    return (target - target.mean(axis=0)) / target.std(axis=0)


def _strongest(candidates: list[tuple[int, int]], strength: np.ndarray) -> list[tuple[int, int]]:
    return [candidates[i] for i in np.argsort(-strength, kind="stable")[:MAX_DIGITS]]


def is_whole(column: np.ndarray) -> bool:
    """Whether a column holds whole numbers that are exact."""
    return bool((np.rint(column) == column).all() and np.abs(column).max() <= 2**53)


def places(column: np.ndarray) -> range:
    """Return the decimal places of a column that its precision resolves and that vary.

    Place 1 is of the tenths, 0 of the units, -1 of the tens.
    """
    size = np.abs(column)
    if is_whole(column):
        return range(-min(len(str(int(size.max()))) - 1, MAX_PLACES), 1)
    precision = float(np.spacing(column.dtype.type(np.median(size))))
    return range(min(int(np.floor(-np.log10(precision))), MAX_PLACES) + 1)


def digits(column: np.ndarray, place: int) -> np.ndarray:
    """Return the digit (0 to 9) at a decimal place, the value rounded to a place after the dot."""
    values = column.astype(np.float64)
    if place > 0:
        return (np.rint(values * 10.0**place) % 10).astype(np.int64)
    return (np.floor(values / 10.0**-place) % 10).astype(np.int64)


def bits(column: np.ndarray, whole: bool) -> np.ndarray:
    """Return binary digits, (n_rows, n_bits), lowest first; the mantissa's if not `whole`."""
    if whole:
        return (column.astype(np.int64)[:, None] >> np.arange(WHOLE_BITS)) & 1
    single = column.dtype == np.float32
    raw = np.ascontiguousarray(column).view(np.uint32 if single else np.uint64)
    return ((raw[:, None] >> np.arange(23 if single else 52, dtype=raw.dtype)) & 1).astype(np.int8)


def _dependence(digit: np.ndarray, target: np.ndarray) -> float:
    count = np.bincount(digit, minlength=10)
    sums = np.array([np.bincount(digit, column, minlength=10) for column in target.T])
    return float((sums**2 / np.maximum(count, 1)).sum() / max((count > 0).sum() - 1, 1))


def _bit_dependence(binary: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the same of each of several binary digits, (n_bits,); 0 for one that is constant."""
    share = binary.mean(axis=0)
    sums = ((target.T @ binary) ** 2).sum(axis=0)
    return sums / np.maximum(len(binary) * share * (1 - share), 1e-9)


MAX_WAVES = 8  # waves handed to the probe
MAX_LINES = 120  # columns, and sums and differences of two, that are searched
WAVE_BINS = 2**14  # of a line's range; stripes must be a few bins wide
MIN_CYCLES = 6  # over the range; slower waves are seen by the other probes

Line = tuple[int, int, int]  # columns i and j, and the sign of j: Z[:, i] + sign * Z[:, j]


class WaveSelector(TransformerMixin, BaseEstimator):
    """Sines and cosines of columns of Z, and of sums and differences of two, that tell the most.

    The frequency of each line is the peak of the periodogram of the (one-hot) target over it, by
    a fast Fourier transform of the binned rows. `seed` is of the choice of lines, where there are
    too many.
    """

    def __init__(self, continuous: bool = False, seed: int = 0) -> None:
        self.continuous = continuous
        self.seed = seed

    def fit(self, Z: np.ndarray, c: np.ndarray) -> WaveSelector:
        """Choose the lines and their frequencies."""
        target = _columns_of(c, self.continuous)
        peaks = [(*_peak(_along(Z, line), target), line) for line in self._lines(Z.shape[1])]
        peaks.sort(key=lambda peak: -peak[0])
        self.waves_ = [(line, frequency) for power, frequency, line in peaks if power > 0]
        self.waves_ = self.waves_[:MAX_WAVES]
        return self

    def _lines(self, n_columns: int) -> list[Line]:
        pairs = [(i, j, sign) for i, j in combinations(range(n_columns), 2) for sign in (-1, 1)]
        lines = [(j, j, 0) for j in range(n_columns)] + pairs
        if len(lines) <= MAX_LINES:
            return lines
        chosen = np.random.default_rng(self.seed).permutation(len(lines))[:MAX_LINES]
        return [lines[k] for k in np.sort(chosen)]

    def transform(self, Z: np.ndarray) -> np.ndarray:
        """Return sines and cosines, shape (n_rows, at most 16)."""
        if not self.waves_:
            return np.zeros((len(Z), 1))
        turns = [2 * np.pi * (_along(Z, line) * f % 1.0) for line, f in self.waves_]
        return np.column_stack([wave(turn) for turn in turns for wave in (np.sin, np.cos)])


def _along(Z: np.ndarray, line: Line) -> np.ndarray:
    i, j, sign = line
    values = Z[:, i].astype(np.float64)
    return values + sign * Z[:, j] if sign else values


def _peak(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the largest power of the periodogram, and its frequency in cycles per unit."""
    low, high = values.min(), values.max()
    width = (high - low) / (WAVE_BINS - 1)
    if not np.isfinite(width) or width <= 0:
        return 0.0, 0.0
    bin_of = np.rint((values - low) / width).astype(np.int64)
    power = np.zeros(WAVE_BINS + 1)
    for column in target.T:  # twice the bins, for a grid of frequencies twice as fine
        power += np.abs(np.fft.rfft(np.bincount(bin_of, column, minlength=2 * WAVE_BINS))) ** 2
    power[: 2 * MIN_CYCLES] = 0.0
    peak = int(np.argmax(power))
    return float(power[peak]), float(peak / (2 * WAVE_BINS * width))
