"""Where the classifier was in 0.1: a model saved there is told that it can't be loaded."""

from __future__ import annotations

from typing import NoReturn


def __getattr__(name: str) -> NoReturn:
    if name != "MIDebiasedClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise ValueError(
        "This MIDebiasedClassifier was saved by fairmi 0.1, in a format that this version can't "
        "read; fit it anew and save it. Models saved from 0.2 on stay loadable."
    )
