"""The interface of a dependence measure that can serve as the penalty of a training."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import BaseEstimator
from torch import Generator, Tensor, nn

from fairmi._sklearn_compat import DocLinkMixin
from fairmi.dependence.sensitive_batch import SensitiveBatch


class Penalty(DocLinkMixin, BaseEstimator):
    """How much Z tells of C, for M models at once; parameters are those of `__init__`.

    A penalty with a critic makes the critic's networks, its loss, and the value that the encoder
    minimises. One without a critic has `value` alone.
    """

    # What scikit-learn is to let each parameter be: checked before a fit.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    # Whether the value is a mutual information, in nats.
    is_information = True
    # Whether, where C is discrete, the penalty is the Donsker-Varadhan bound of its critic, which
    # may then be read at the levels of Z, and a table of these stand in for it. So is a class
    # derived from one that is, unless it has a value or a loss of its own.
    reads_levels = False
    # Rows that `value` may be given at once outside a training step; None for any number. A cost
    # that grows with the square of the rows needs a bound.
    max_rows: int | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Let a class with a value of its own be read at levels only where it says so."""
        super().__init_subclass__(**kwargs)
        if not vars(cls).keys().isdisjoint({"value", "critic_loss"}):
            cls.reads_levels = vars(cls).get("reads_levels", False)

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained critics for Z of `n_components` units; by default, none."""
        return nn.Identity()

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return what a critic minimises, (M,); by default, the value negated."""
        return -self.value(critic, z, sensitive, generator)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return what the encoder minimises, (M,), at Z (M, B, D) of a batch."""
        raise NotImplementedError
