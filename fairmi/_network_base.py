"""What the network classifiers share: inference, and what a fit came to, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from fairmi._base import RepresentationClassifier, Told, told_of_trivial
from fairmi._data.collapse import FittedRows, PenalisedGroups
from fairmi._layers import one_thread
from fairmi.networks.inference import represent, scores_of
from fairmi.networks.model import Networks, inference_networks
from fairmi.networks.rows import Batch, TrainingRows
from fairmi.preprocessing import TableEncoder

# A critic that claims less than a quarter of what a fresh probe finds, where that is not little.
_FOUND = 0.05
_CLAIMED_SHARE = 0.25
_MAX_ROWS, _MIN_ROWS = 5_000, 200
# Distinct values of Z that a table tells apart.
_MAX_CELLS = 256


def told_of_blind_critics(
    z: np.ndarray,
    groups: Sequence[np.ndarray | None],
    counted: Sequence[np.ndarray],
    claims: Sequence[float | None],
) -> Told:
    """Say of each sensitive attribute whose critic is blind that a fresh probe finds it in Z.

    Parameters
    ----------
    z : ndarray of shape (n_rows, n_components)
    groups : sequence of ndarray of shape (n_rows,) or None
        Codes of each attribute, None where it has values.
    counted : sequence of ndarray of shape (n_rows,), bool
        The rows that count in its penalty.
    claims : sequence of float or None
        What each critic says is left, in nats; None where it is not penalised.
    """
    told: Told = []
    for codes, rows, claimed in zip(groups, counted, claims, strict=True):
        if codes is not None and claimed is not None and rows.sum() >= _MIN_ROWS:
            found = _probed(z[rows], codes[rows])
            if found > _FOUND and claimed < _CLAIMED_SHARE * found:
                told.append(("CollapseWarning", _blind(claimed, found)))
    return told


def _probed(z: np.ndarray, groups: np.ndarray) -> float:
    """Return the nats of the groups that a fresh probe finds in Z on held-out rows.

    Where Z has few values the probe is a table of these, else gradient boosting.
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
        probe = HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=0)
        with threadpool_limits(1):
            told = probe.fit(z[fit], groups[fit]).predict_proba(z[held_out])
        column = np.searchsorted(probe.classes_, groups[held_out])
        predicted = told[np.arange(len(held_out)), column]
    return float(np.log(predicted / shares[groups[held_out]]).mean())


def _blind(claimed: float, found: float) -> str:
    return (
        f"The penalty did little: the trained critic claims {max(claimed, 0):.3f} nats of the "
        f"sensitive feature are left in Z, but a fresh probe finds {found:.3f}."
    )


class NetworkClassifier(RepresentationClassifier):
    """A classifier whose state is an encoding of columns, and networks."""

    # What to do where the critic sees little of what is left.
    _against_blindness: ClassVar[str] = (
        "A channel of few n_levels bounds what Z can hide; more n_critic_steps or a higher lam "
        "may help too."
    )

    constraint: str
    encoder_: TableEncoder
    architecture_: dict[str, Any]
    parameters_: dict[str, np.ndarray]

    def _networks(self) -> Networks:
        return inference_networks(self.architecture_, self.parameters_)

    @one_thread()
    def _represent(self, X: Any) -> np.ndarray:
        return represent(self._networks(), self.encoder_, X)

    @one_thread()
    def _scores(self, Z: np.ndarray) -> np.ndarray:
        return scores_of(self._networks(), Z)

    def _diagnosed(
        self,
        batch: Batch,
        claims: Sequence[float | None],
        n_steps: int,
        lams: Sequence[float] = (),
    ) -> Told:
        """Say what is wrong with the fitted model, as some rows of the fit show it.

        `n_steps` it took. `lams` has λ of each sensitive attribute whose penalty is I(Z; C) in
        nats, where they are so.
        """
        networks = self._networks()
        with torch.no_grad():
            z = networks.represent(batch.x.cpu().double())
            scores = networks.head(z).mean(0).numpy()
        weights = batch.task_weights[0].cpu().numpy()
        fitted = FittedRows(scores, batch.y.cpu().numpy(), weights)
        told = told_of_trivial(fitted, self.lam, _penalised(batch, lams), n_steps)
        if self.constraint != "demographic_parity" or not claims:
            return told
        groups = [None if s.groups is None else s.groups.cpu().numpy() for s in batch.sensitive]
        counted = [(s.weights[0] > 0).cpu().numpy() for s in batch.sensitive]
        blind = told_of_blind_critics(z[0].numpy(), groups, counted, claims)
        return told + [(kind, f"{message} {self._against_blindness}") for kind, message in blind]

    @property
    def _n_features_out(self) -> int:
        several = self.architecture_["n_models"] > 1
        return int(self.architecture_["n_outputs" if several else "n_components"])


def _penalised(batch: Batch, lams: Sequence[float]) -> list[PenalisedGroups]:
    return [
        PenalisedGroups(lam, of.groups.cpu().numpy(), of.weights[0].cpu().numpy())
        for lam, of in zip(lams, batch.sensitive, strict=bool(lams))
        if of.groups is not None and of.n_strata == 1
    ]


def diagnosed_rows(rows: TrainingRows) -> Batch:
    """Return the rows that a fit is diagnosed by."""
    return rows.batch(torch.arange(min(rows.n_rows, _MAX_ROWS), device=rows.y.device))


def check_layer_sizes(sizes: Any) -> None:
    """Raise ValueError where a hidden layer's size is not a positive integer."""
    for size in sizes if isinstance(sizes, Iterable) else [sizes]:
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"hidden_layer_sizes={sizes!r} holds {size!r}; give positive integers: (128,)."
            )
