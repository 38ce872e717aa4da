"""Pictures of numbers already computed, told apart by colour-blind eyes and in grey."""

from __future__ import annotations

from fairmi.plot.frontier import FairnessFrontierDisplay
from fairmi.plot.groups import GroupMetricsDisplay
from fairmi.plot.history import TrainingDisplay
from fairmi.plot.importance import GapImportanceDisplay
from fairmi.plot.leakage import LeakageDisplay

__all__ = [
    "FairnessFrontierDisplay",
    "GapImportanceDisplay",
    "GroupMetricsDisplay",
    "LeakageDisplay",
    "TrainingDisplay",
]
