"""The bar of a fit, and who is told of its epochs or rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tqdm.auto import tqdm

Callbacks = Sequence[Callable[[dict[str, float]], bool | None]] | None


class Progress:
    """Called with the record of each epoch or round; a bar that is shown where asked."""

    def __init__(
        self, callbacks: Callbacks, *, show: bool, total: int, unit: str, desc: str
    ) -> None:
        self.callbacks = list(callbacks or ())
        self.bar = tqdm(total=total, unit=unit, desc=desc, disable=not show)

    def __call__(self, record: Mapping[str, float], **figures: str) -> bool:
        """Show a record and tell the callbacks; say whether one of them ends the fit."""
        if not self.bar.disable:
            losses = {"task": record["task_loss"], "MI": record["penalty"]}
            shown = {name: f"{value:.4f}" for name, value in losses.items()}
            self.bar.set_postfix(**shown, **figures)
        self.bar.update()
        answers = [callback(dict(record)) for callback in self.callbacks]
        return any(answers)

    def close(self) -> None:
        """Close the bar."""
        self.bar.close()
