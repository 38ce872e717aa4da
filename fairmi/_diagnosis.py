"""What a fit tells: its epochs, in a bar and to callbacks; where it ended early or trivially."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from fairmi.core.information import information_of_labels
from fairmi.core.task import Classes
from fairmi.exceptions import CollapseWarning, ConvergenceWarning, Note, StoppedFitError

_FEW_STEPS = 200
# Penalties that estimate I(Z; C), by name: the measures themselves load torch, which trees do
# without.
_INFORMATION = frozenset(
    ("donsker_varadhan", "mine", "nwj", "infonce", "smile", "club", "barber_agakov")
)
_REASONS = {
    "diverged": "a loss became non-finite; lower learning_rate, or check X for extreme values",
    "interrupted": "the fit was interrupted",
}
# A critic that claims less than a quarter of what a fresh probe finds, where that is not little.
_MUCH = 0.05
_CLAIMED_SHARE = 0.25
_MAX_ROWS, _MIN_ROWS = 5_000, 200  # of a probe
# Distinct values of Z that a table tells apart.
_MAX_CELLS = 256
# Units of Z times groups up to which trees are grown.
_MAX_BOOSTED = 256

Callbacks = Sequence[Callable[[dict[str, float]], bool | None]] | None


class Progress:
    """Called with the record of each epoch or round; a bar that is shown where asked."""

    def __init__(
        self, callbacks: Callbacks, *, show: bool, total: int, unit: str, desc: str
    ) -> None:
        self.callbacks = list(callbacks or ())
        self.bar = tqdm(total=total, unit=unit, desc=desc, disable=not show)

    def __call__(self, record: Mapping[str, float], **figures: str) -> bool:
        """Show a record and tell the callbacks; say whether one of them ends the fit."""
        if not self.bar.disable:
            losses = {"task": record["task_loss"], "MI": record["penalty"]}
            shown = {name: f"{value:.4f}" for name, value in losses.items()}
            self.bar.set_postfix(**shown, **figures)
        self.bar.update()
        answers = [callback(dict(record)) for callback in self.callbacks]
        return any(answers)

    def close(self) -> None:
        """Close the bar."""
        self.bar.close()


def notes_of_stop(stopped: str | None, n_epochs: int) -> list[Note]:
    """Return what to say where a training ended before its time: what state was kept."""
    if stopped not in _REASONS:
        return []
    message = (
        f"Training stopped after {n_epochs} whole epochs, whose state was kept: "
        f"{_REASONS[stopped]}."
    )
    return [(ConvergenceWarning, message)]


def check_started(stopped: str | None, n_epochs: int) -> None:
    """Raise StoppedFitError where a fit diverged before it had a state to keep.

    One that diverged later keeps its last good state, with a warning. Both are so whoever calls: a
    search scores that state, which is what its refit would keep too.
    """
    if stopped == "diverged" and not n_epochs:
        raise StoppedFitError(f"Nothing was learned in the first epoch: {_REASONS[stopped]}.")


def notes_of_collapse(
    task: Classes,
    scores: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    lam: float | dict[Hashable, float],
    *,
    penalty: object,
    attributes: Iterable[tuple[float, np.ndarray, np.ndarray, np.ndarray]],
    n_steps: int | None = None,
) -> list[Note]:
    """Say that a fit ended in a trivial solution, and what to change, if it did.

    That is one class for all rows; or, of a λ so large that a constant has a lower loss than y
    itself, a model that is no better than a constant. `scores` (n, K) and codes `y` (n,) are those
    of rows of the fit. `attributes` has of each that is compared over all rows its λ, and of its
    memberships (m,) codes of y, groups and weights; `n_steps` were taken, where so few may be the
    cause.
    """
    if not weights.any():
        return []
    cost_of_y = 0.0  # λ I(y; C) in nats
    if isinstance(penalty, str) and penalty in _INFORMATION:
        cost_of_y = sum(of_one * information_of_labels(*rows) for of_one, *rows in attributes)
    ceiling = task.ceiling(scores, y, weights, cost_of_y)
    if task.is_collapsed(scores, y, weights):
        message = "The fit collapsed: every training row is predicted to be of one class."
        return [(CollapseWarning, f"{message} {_against_one_class(lam, ceiling, n_steps)}")]
    if ceiling is not None:
        message = "The fitted model tells little of y: its loss is about that of a constant."
        return [(CollapseWarning, f"{message} {_against_ceiling(lam, ceiling)}")]
    return []


def note_of_one_value(lam: float | dict[Hashable, float]) -> Note:
    """Say that a regressor predicts one value for all rows."""
    message = "The fit collapsed: one value is predicted for every training row"
    return CollapseWarning, f"{message}; lower lam={lam!r}."


def note_of_nothing_explained(what: str, loss: str) -> Note:
    """Say that a regressor, or its base, explains nothing, and what may help."""
    other = "" if loss == "absolute_error" else ', as loss="absolute_error"'
    message = (
        f"{what} explains nothing of y, so that all predictions are about one value. If "
        "few values of y are far from all others, take a loss that they don't rule"
        f"{other}; else X tells nothing of y."
    )
    return CollapseWarning, message


def _against_one_class(
    lam: float | dict[Hashable, float], ceiling: float | None, n_steps: int | None
) -> str:
    if ceiling is not None:
        return _against_ceiling(lam, ceiling)
    short = n_steps is not None and n_steps < _FEW_STEPS
    penalised = any(lam.values()) if isinstance(lam, dict) else lam > 0
    fixes = [f"lower lam={lam!r}"] if penalised else []
    if short:
        fixes.append(f"raise max_iter: {n_steps} steps are few")
    if fixes:
        return f"If this is not what you want, {', or '.join(fixes)}."
    return "X tells little of y; if a class is rare, class_weight='balanced' has it predicted."


def _against_ceiling(lam: float | dict[Hashable, float], ceiling: float) -> str:
    if isinstance(lam, dict):
        return (
            f"At lam={lam!r} the sum of λ I(Y; C) is {1 / ceiling:.3g} times H(Y), so that even a "
            f"perfect prediction of y has a higher loss than a constant; multiply all λ by less "
            f"than {ceiling:.2g}."
        )
    return (
        f"lam={lam!r} is above H(Y) / I(Y; C) = {lam * ceiling:.3g}, from where on a constant has "
        f"a lower loss than even a perfect prediction of y; set lam below {lam * ceiling:.3g}."
    )


def notes_of_blind_critics(
    z: np.ndarray,
    groups: Sequence[np.ndarray | None],
    counted: Sequence[np.ndarray],
    claims: Sequence[float | None],
) -> list[Note]:
    """Say of each sensitive attribute whose critic is blind that a fresh probe finds it in Z.

    `groups` has the codes (n_rows,) of each attribute, None where it has values; `counted` the
    rows that count in its penalty; `claims` what each critic says is left, in nats, None where it
    is not penalised.
    """
    notes: list[Note] = []
    for codes, rows, claimed in zip(groups, counted, claims, strict=True):
        if codes is not None and claimed is not None and rows.sum() >= _MIN_ROWS:
            recovered = _probed(z[rows], codes[rows])
            if recovered > _MUCH and claimed < _CLAIMED_SHARE * recovered:
                message = (
                    f"The penalty did little: the trained critic claims {max(claimed, 0):.3f} "
                    "nats of the sensitive feature are left in Z, but a fresh probe finds "
                    f"{recovered:.3f}."
                )
                notes.append((CollapseWarning, message))
    return notes


def _probed(z: np.ndarray, groups: np.ndarray) -> float:
    """Return the nats of the groups that a fresh probe finds in Z on held-out rows.

    Where Z has few values the probe is a table of these, else gradient boosting, and a linear one
    where many groups and units make boosting take longer than a fit should.
    """
    rows = np.random.default_rng(0).permutation(len(z))[:_MAX_ROWS]
    fit, held_out = rows[::2], rows[1::2]
    held_out = held_out[np.isin(groups[held_out], groups[fit])]
    shares = np.bincount(groups[fit], minlength=groups.max() + 1) / len(fit)
    values, cells = np.unique(z, axis=0, return_inverse=True)
    if len(values) <= _MAX_CELLS:
        counts = np.zeros((len(values), len(shares)))
        np.add.at(counts, (cells.ravel()[fit], groups[fit]), 1)
        prior = len(shares)  # rows' worth of it, one for each group
        smooth = (counts + prior * shares) / (counts.sum(1, keepdims=True) + prior)
        predicted = smooth[cells.ravel()[held_out], groups[held_out]]
    else:
        if z.shape[1] * len(shares) > _MAX_BOOSTED:
            probe = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-2))
        else:
            settings = {"max_iter": 30, "early_stopping": False, "random_state": 0}
            probe = HistGradientBoostingClassifier(**settings)
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a probe
            shares_of = probe.fit(z[fit], groups[fit]).predict_proba(z[held_out])
        column = np.searchsorted(probe.classes_, groups[held_out])
        predicted = shares_of[np.arange(len(held_out)), column]
    return float(np.log(predicted / shares[groups[held_out]]).mean())
