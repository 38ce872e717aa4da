"""Pictures of numbers already computed, told apart by colour-blind eyes and in grey."""

from __future__ import annotations

from fairmi.plot.displays import (
    GapImportanceDisplay,
    GroupMetricsDisplay,
    LeakageDisplay,
    TrainingDisplay,
)
from fairmi.plot.frontier import FairnessFrontierDisplay

__all__ = [
    "FairnessFrontierDisplay",
    "GapImportanceDisplay",
    "GroupMetricsDisplay",
    "LeakageDisplay",
    "TrainingDisplay",
]
