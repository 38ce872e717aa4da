"""Where classifiers were until 0.1: a model saved there is told that it can't be loaded."""

from __future__ import annotations

from typing import Any, NoReturn


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ValueError(_told(name))


def _told(name: Any) -> str:
    return (
        f"This {name} was saved by fairmi 0.1, in a format that this version can't read; fit it "
        "anew and save it. Models saved from 0.2 on stay loadable."
    )
