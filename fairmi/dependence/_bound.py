"""What the bounds on mutual information share: parameters, critics, and use as an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Generator, nn

from fairmi._data.random_state import seed_of
from fairmi._threads import one_thread
from fairmi.dependence._ascent import Samples, read, train
from fairmi.dependence._conditional_density import conditional_critic
from fairmi.dependence._critics import PairCritic, SmoothMLP
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch

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
        from fairmi.dependence._observations import Reader

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
