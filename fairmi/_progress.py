"""A progress bar over epochs, with task loss, MI and speed."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tqdm.auto import tqdm

from fairmi._types import EpochRecord


class Reporter:
    """Called after each epoch; a context that closes its bar, and shows none unless asked."""

    def __init__(self, *, show: bool, n_epochs: int, n_rows: int) -> None:
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
        """Show an epoch; never stop the training."""
        if not self.bar.disable:
            self.bar.set_postfix(
                task=f"{sum(record.task_loss) / len(record.task_loss):.4f}",
                MI=f"{sum(record.penalty) / len(record.penalty):.4f}",
                rows_per_s=f"{self.n_rows / max(record.seconds, 1e-9):,.0f}",
            )
        self.bar.update()
        return False
