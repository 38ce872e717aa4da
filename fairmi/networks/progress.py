"""What is told after each epoch: a progress bar, the user's callbacks, a record for history_."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from types import TracebackType
from typing import Self

from tqdm.auto import tqdm

from fairmi.networks.loop import EpochRecord


class Reporter:
    """Called after each epoch; a context that closes its bar, and shows none unless asked.

    It tells the means over `models`.
    """

    def __init__(
        self,
        callbacks: Sequence[Callable[[dict[str, float]], bool | None]],
        *,
        show: bool,
        n_epochs: int,
        n_rows: int,
        models: slice,
    ) -> None:
        self.callbacks, self.models = callbacks, models
        self.n_rows = n_rows
        self.bar = tqdm(total=n_epochs, unit="epoch", desc="fairmi", disable=not show)

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self.bar.close()

    def __call__(self, record: EpochRecord) -> bool:
        """Show an epoch and tell the callbacks; stop where one of them returns True."""
        if not self.bar.disable:
            self.bar.set_postfix(
                task=f"{fmean(record.task_loss[self.models]):.4f}",
                MI=f"{fmean(record.penalty[self.models]):.4f}",
                rows_per_s=f"{self.n_rows / max(record.seconds, 1e-9):,.0f}",
            )
        self.bar.update()
        told = epoch_dict(record, self.models)
        answers = [callback(dict(told)) for callback in self.callbacks]
        return any(answers)


def epoch_dict(record: EpochRecord, models: slice) -> dict[str, float]:
    """Return an epoch's record by names, the mean over models."""
    return {
        "epoch": record.epoch,
        "task_loss": fmean(record.task_loss[models]),
        "penalty": fmean(record.penalty[models]),
        "seconds": record.seconds,
    }
