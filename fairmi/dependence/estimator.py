"""A bound on I(Z; C) alone, as an estimator: Z and C in any form -> a trained critic -> nats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Generator, Tensor, nn

from fairmi._data.groups import sensitive_frame
from fairmi._data.kinds import mixed_columns
from fairmi._data.random_state import seed_of
from fairmi._threads import one_thread
from fairmi.dependence.densities import conditional_critic
from fairmi.dependence.layers import PairCritic, SmoothMLP
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.exceptions import SensitiveFeaturesError

_N_RAMPS = 8
_END = 3.0
_KNOTS = np.concatenate([[-_END], ndtri(np.arange(1, _N_RAMPS) / _N_RAMPS), [_END]])


class NormalScores:
    """Columns made standard normal by their ranks, which leaves the information as it is."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.tables = [_table(column) for column in matrix.T]

    def transform(self, matrix: np.ndarray) -> np.ndarray:
        """Return the scores of rows; those between two rows of fit lie between their scores."""
        scores = np.empty(matrix.shape, dtype=np.float32)
        for j, table in enumerate(self.tables):
            scores[:, j] = np.interp(matrix[:, j], *table)
        return scores


def features(scores: np.ndarray) -> np.ndarray:
    """Return normal scores (n, D), their squares, and a ramp between each two knots, float32.

    Squares make the log density ratio of normals, and of what has a common scale, a linear one;
    ramps let a smooth network see edges.
    """
    squares = (scores**2 - 1) / 1.5
    ramps = np.clip((scores[..., None] - _KNOTS[:-1]) / np.diff(_KNOTS), 0, 1) - 0.5
    parts = [scores, squares, ramps.reshape(len(scores), scores.shape[1] * _N_RAMPS)]
    return np.hstack(parts).astype(np.float32)


def _table(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, counts = np.unique(column, return_counts=True)
    ranks = np.cumsum(counts) - counts / 2
    scores = ndtri(ranks / len(column))
    spread = np.sqrt(np.average(scores**2, weights=counts))
    return values, scores / (spread or 1.0)


@dataclass(frozen=True)
class Observations:
    """Z (n, D) and codes of groups (n,), or values (n, Q) of C, as a critic reads them."""

    z: np.ndarray
    groups: np.ndarray | None
    values: np.ndarray | None


class Reader:
    """How Z and C were read at fit, to read later rows alike.

    `plain_c` asks for normal scores alone of continuous C, else features.
    """

    def __init__(self, Z: Any, C: Any, *, plain_c: bool) -> None:
        self.plain_c = plain_c
        matrix = matrix_of(Z)
        frame = _frame(C, len(matrix))
        self.n_columns = frame.shape[1]
        self.columns = mixed_columns(frame, argument="C")
        _, values = self.columns.read(frame, argument="C")
        self.of_z = NormalScores(matrix)
        self.of_c = None if values is None else NormalScores(values)

    @property
    def n_groups(self) -> int:
        """Groups, or 0 where the critic reads values."""
        return self.columns.n_groups

    def read(self, Z: Any, C: Any) -> Observations:
        """Return rows as the critic reads them; groups must be among those of fit."""
        matrix = matrix_of(Z)
        if matrix.shape[1] != len(self.of_z.tables):
            raise ValueError(
                f"Z has {matrix.shape[1]} columns, but had {len(self.of_z.tables)} in fit; give "
                "the same columns."
            )
        frame = _frame(C, len(matrix))
        if frame.shape[1] != self.n_columns:
            raise SensitiveFeaturesError(
                f"C has {frame.shape[1]} columns, but had {self.n_columns} in fit; give the same "
                "columns."
            )
        z = features(self.of_z.transform(matrix))
        codes, values = self.columns.read(frame, argument="C")
        if values is None or self.of_c is None:
            return Observations(z, codes, None)
        scores = self.of_c.transform(values)
        scores = scores if self.plain_c else features(scores)
        return Observations(z, None, self.columns.joined(scores, codes))


def matrix_of(Z: Any) -> np.ndarray:
    """Return Z as a float64 matrix; one dimension is one column."""
    if getattr(Z, "ndim", None) == 1 or (isinstance(Z, list) and Z and np.ndim(Z[0]) == 0):
        Z = np.asarray(Z)[:, None]
    return check_array(Z, dtype=np.float64, input_name="Z", ensure_min_samples=2)


def _frame(C: Any, n_rows: int) -> Any:
    frame = sensitive_frame(C, argument="C")
    if len(frame) != n_rows:
        raise SensitiveFeaturesError(
            f"C has {len(frame)} rows, but Z has {n_rows}; give one row for each row of Z."
        )
    if not frame.shape[1]:
        raise SensitiveFeaturesError("C has no column; give at least one.")
    missing = frame.isna().to_numpy().any(axis=1)
    if missing.any():
        raise SensitiveFeaturesError(
            f"C has a missing value (NaN or None) in {int(missing.sum())} rows; drop these rows."
        )
    return frame


_LEARNING_RATE = 5e-3
_WEIGHT_DECAY = 1.0
_BATCH = 256
# Steps by rows, within limits.
_ROWS_PER_STEP = 8
_MIN_STEPS, _MAX_STEPS = 400, 4000
_HELD_OUT = 0.2
_CHECKS, _PATIENCE = 25, 10
# Rows of which all pairs are scored at once, in an estimate and to compare states of a critic.
_BLOCK, _HELD_BLOCK = 2048, 512


OfRows = Callable[[nn.Module, Tensor, SensitiveBatch, Generator], Tensor]


class Bound(Protocol):
    """What is read of a bound here; see `Penalty`."""

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return what a critic minimises, (M,)."""
        ...

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats, (M,)."""
        ...


@dataclass(frozen=True)
class Samples:
    """M samples of N rows: `z` (M, N, D), and C with a leading axis M."""

    z: Tensor
    sensitive: SensitiveBatch

    @classmethod
    def stack(cls, parts: list[Observations], n_groups: int) -> Self:
        """Return samples of one size together; `n_groups` is 0 where C has values."""
        z = torch.as_tensor(np.stack([part.z for part in parts]))
        if n_groups:
            codes = np.stack([part.groups for part in parts if part.groups is not None])
            return cls(z, SensitiveBatch.of_groups(torch.as_tensor(codes), n_groups=n_groups))
        values = np.stack([part.values for part in parts if part.values is not None])
        return cls(z, SensitiveBatch.of_values(torch.as_tensor(values)))

    @property
    def n_rows(self) -> int:
        """Rows N of each sample."""
        return int(self.z.shape[1])

    def rows(self, index: Tensor) -> tuple[Tensor, SensitiveBatch]:
        """Return Z and C of the rows of `index`, the same in each sample."""
        return self.z[:, index], self.sensitive.take(index)


def train(bound: Bound, critic: nn.Module, samples: Samples, generator: Generator) -> None:
    """Train critics in place; each ends in the state that was best on held-out rows."""
    order = torch.randperm(samples.n_rows, generator=generator)
    n_held = round(_HELD_OUT * samples.n_rows)
    held, used = order[:n_held], order[n_held:]
    n_steps = round(min(max(samples.n_rows / _ROWS_PER_STEP, _MIN_STEPS), _MAX_STEPS))
    optimizer = torch.optim.AdamW(critic.parameters(), weight_decay=_WEIGHT_DECAY, fused=True)
    best, of_loss = _Best(critic, samples.z.shape[0]), bound.critic_loss
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * _share_of_rate(step / n_steps)
        size = min(_BATCH, len(used))
        index = used[torch.randint(len(used), (size,), generator=generator)]
        z, sensitive = samples.rows(index)
        loss = bound.critic_loss(critic, z, sensitive, generator)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        if (step + 1) % (n_steps // _CHECKS) == 0:
            best.see(_mean_over_blocks(of_loss, critic, samples, held, _HELD_BLOCK, generator))
            if best.waited >= _PATIENCE:
                break
    best.restore()


def read(bound: Bound, critic: nn.Module, samples: Samples) -> Tensor:
    """Return the bound on all rows, (M,): a mean over blocks, which bound the memory."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(samples.n_rows, generator=generator)
    return _mean_over_blocks(bound.value, critic, samples, order, _BLOCK, generator)


class _Best:
    """The state of each of M critics that had the least loss so far."""

    def __init__(self, critic: nn.Module, n_models: int) -> None:
        self.critic = critic
        self.loss = torch.full((n_models,), torch.inf)
        self.state = [p.detach().clone() for p in critic.parameters()]
        self.waited = 0

    def see(self, loss: Tensor) -> None:
        """Keep the present state of critics whose loss (M,) is less than any before."""
        better = loss < self.loss
        self.loss = torch.where(better, loss, self.loss)
        self.waited = 0 if better.any() else self.waited + 1
        for kept, parameter in zip(self.state, self.critic.parameters(), strict=True):
            kept[better] = parameter.detach()[better]

    def restore(self) -> None:
        """Give the critics the states kept."""
        with torch.no_grad():
            for kept, parameter in zip(self.state, self.critic.parameters(), strict=True):
                parameter.copy_(kept)


def _mean_over_blocks(
    of_rows: OfRows,
    critic: nn.Module,
    samples: Samples,
    order: Tensor,
    size: int,
    generator: Generator,
) -> Tensor:
    total = torch.zeros(samples.z.shape[0])
    with torch.no_grad():
        for index in torch.tensor_split(order, -(-len(order) // size)):
            z, sensitive = samples.rows(index)
            found = of_rows(critic, z, sensitive, generator)
            total += found * len(index) / len(order)
    return total


def _share_of_rate(done: float) -> float:
    """Return the share of the full learning rate: a short rise, then half a cosine to 0."""
    return min(1.0, done / 0.1 + 0.02) * 0.5 * (1 + math.cos(math.pi * done))


# Enough for a held-out part and something to learn from.
_MIN_ROWS = 20


class CriticBound(Penalty):
    """A bound on I(Z; C) by a trained critic: a penalty, and alone an estimator.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.

    Attributes
    ----------
    critic_ : Module
        The trained critic, after `fit`.
    n_features_in_ : int
        Columns of Z.
    """

    # Whether the critic is a density of C, and not a score of pairs, that reads any features.
    models_c = False

    def __init__(self, hidden_layer_sizes: Sequence[int] = (64, 64)) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained critics for Z of `n_components` units."""
        return self._smooth_critic(n_models, n_components, sensitive, generator)

    def fit(self, Z: Any, C: Any, *, random_state: Any = None) -> Self:
        """Train a critic on rows of Z and C.

        A fifth part of the rows is held out to choose the step at which the critic was best.

        Parameters
        ----------
        Z : array-like of shape (n_rows, n_columns) or (n_rows,)
            Numbers. Columns are made normal by their ranks, which leaves the information as it is.
        C : array-like of shape (n_rows,) or (n_rows, n_features)
            Groups of any labels (of several columns, intersections), or quantities; which of the
            two is decided as in `MIDebiasedClassifier`: numbers of more than 20 distinct values,
            or of few rows for each, are quantities. Where both kinds are there, groups become
            indicators.
        random_state : int, RandomState instance or None, default=None
            Seed of the critic's start, its batches and the held-out rows.

        Raises
        ------
        SensitiveFeaturesError
            If C has a missing or infinite value, another length than Z, or one value alone.
        ValueError
            If Z has a missing or infinite value, or has fewer than 20 rows.
        """
        from fairmi.dependence.estimator import Reader

        reader = Reader(Z, C, plain_c=self.models_c)
        samples = Samples.stack([reader.read(Z, C)], reader.n_groups)
        if samples.n_rows < _MIN_ROWS:
            raise ValueError(
                f"Z has {samples.n_rows} rows; give at least {_MIN_ROWS} to train a critic on."
            )
        self.critic_ = self.trained_critic(samples, seed_of(random_state))
        self.n_features_in_ = len(reader.of_z.tables)
        self.reader_ = reader
        return self

    def estimate(self, Z: Any, C: Any) -> float:
        """Return the bound in nats on rows of Z and C.

        On the rows of `fit` it is too high, by what the critic learned of them by heart; other
        rows give an honest figure.

        Parameters
        ----------
        Z, C
            As in `fit`, with the same columns, and groups that `fit` saw.

        Returns
        -------
        float
            It can be a little below 0 where Z tells nothing of C.

        Raises
        ------
        NotFittedError
            Before `fit`.
        SensitiveFeaturesError, ValueError
            As in `fit`.
        """
        check_is_fitted(self, "critic_")
        samples = Samples.stack([self.reader_.read(Z, C)], self.reader_.n_groups)
        return float(read(self, self.critic_, samples))

    def trained_critic(self, samples: Samples, seed: int) -> nn.Module:
        """Return critics of M samples, trained at once."""
        generator = torch.Generator().manual_seed(seed)
        n_models, _, n_components = samples.z.shape
        critic = self._smooth_critic(n_models, n_components, samples.sensitive, generator)
        with one_thread():
            train(self, critic, samples, generator)
        return critic

    def _smooth_critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        n_strata = sensitive.n_strata if sensitive.n_strata > 1 else 0
        hidden = tuple(self.hidden_layer_sizes)
        if self.models_c:
            return conditional_critic(n_models, n_components, sensitive, hidden, generator)
        if sensitive.log_prior is not None:
            sizes = (n_components + n_strata, *hidden, sensitive.log_prior.shape[-1])
            return SmoothMLP(n_models, sizes, generator)
        assert sensitive.values is not None
        n_c = sensitive.values.shape[-1] + n_strata
        return PairCritic(n_models, n_components + n_strata, n_c, hidden, generator)
