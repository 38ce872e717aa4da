"""What a training step uses of each setting, by how far the training has come."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A training with a known end, of which the share `done`, from 0 to 1, is behind."""

    done: float

    @property
    def learning_rate(self) -> float:
        """Share of the full learning rate: a short rise, then half a cosine to 0."""
        return min(1.0, self.done / 0.03 + 0.02) * 0.5 * (1 + math.cos(math.pi * self.done))

    @property
    def penalty(self) -> float:
        """Share of the full penalty weight: it rises while the critic learns to see."""
        return min(1.0, self.done / 0.2)

    @property
    def table(self) -> float:
        """Share of the penalty that is read from the table of levels, not from the critic."""
        return 0.7 * min(1.0, max(0.0, (self.done - 0.6) / 0.2))

    @property
    def table_rows(self) -> float:
        """Rows that the table looks back on: few, when those before had much more noise."""
        return 51_200 - 43_520 * min(1.0, max(0.0, (self.done - 0.6) / 0.3))

    @property
    def noise_width(self) -> float:
        """Width of the channel's noise in grid steps: it narrows until Z is that of inference."""
        return min(1.0, max(0.0, (0.9 - self.done) / 0.6))


@dataclass(frozen=True)
class StreamSchedule:
    """A stream without a known end, after `step` steps."""

    step: int

    @property
    def learning_rate(self) -> float:
        """A short rise, then a fall with the square root of the steps."""
        return float(min(1.0, self.step / 50 + 0.02) / (1 + self.step / 200) ** 0.5)

    @property
    def penalty(self) -> float:
        """As in Schedule."""
        return min(1.0, self.step / 200)

    @property
    def table(self) -> float:
        """As in Schedule."""
        return 0.7 * min(1.0, max(0.0, (self.step - 300) / 200))

    @property
    def table_rows(self) -> float:
        """As in Schedule, but never few."""
        return 51_200.0

    @property
    def noise_width(self) -> float:
        """Narrowing for ever."""
        return 1 / (1 + self.step / 200)
