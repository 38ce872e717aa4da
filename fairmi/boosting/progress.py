"""What is told of each round: a progress bar, the user's callbacks, a record for history_."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tqdm.auto import tqdm

from fairmi.boosting.rounds import Round


class RoundReporter:
    """Called with each round; a context that closes its bar, and shows none unless asked."""

    def __init__(
        self,
        callbacks: Sequence[Callable[[dict[str, float]], bool | None]],
        *,
        show: bool,
        n_rounds: int,
    ) -> None:
        self.callbacks = callbacks
        self.history: list[dict[str, float]] = []
        self.bar = tqdm(total=n_rounds, unit="round", desc="fairmi", disable=not show)
        self.before: float | None = None

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

    def __call__(self, done: Round) -> bool:
        """Show a round and tell the callbacks; stop where one of them returns True."""
        now = time.perf_counter()
        record = {
            "epoch": done.number,
            "task_loss": done.task_loss,
            "penalty": done.penalty,
            "seconds": 0.0 if self.before is None else now - self.before,
        }
        self.before = now
        self.history.append(record)
        if not self.bar.disable:
            self.bar.set_postfix(task=f"{done.task_loss:.4f}", MI=f"{done.penalty:.4f}")
        self.bar.update()
        answers = [callback(dict(record)) for callback in self.callbacks]
        return any(answers)
