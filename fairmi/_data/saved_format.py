"""The format of saved models: plain data under a version of its own, which no move changes."""

from __future__ import annotations

from typing import Any

FORMAT = 2
_KEY = "_format"


def with_format(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state to save, with the version of the format in it."""
    return state | {_KEY: FORMAT}


def of_this_format(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a saved state without the version.

    Raises
    ------
    ValueError
        If it was saved in another format; `name` is that of the class.
    """
    saved = state.get(_KEY)
    if saved != FORMAT:
        older = saved is None or saved < FORMAT
        fix = "fit it anew and save it" if older else "upgrade fairmi"
        raise ValueError(
            f"This {name} was saved in format {saved or 1}, and this fairmi reads format "
            f"{FORMAT}; {fix}."
        )
    return {key: value for key, value in state.items() if key != _KEY}
