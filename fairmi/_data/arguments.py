"""An argument that a method does not take -> an error that says what to do instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")


def explains_arguments(
    method: Callable[Concatenate[_S, _P], _R],
) -> Callable[Concatenate[_S, _P], _R]:
    """Let a method say of an unknown keyword, under the public name of its class, what to do."""
    known = set(inspect.signature(method).parameters)

    @wraps(method)
    def explained(self: _S, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        unknown = [name for name in kwargs if name not in known]
        if unknown:
            name = f"{type(self).__name__}.{method.__name__}()"
            raise TypeError(f"{name} takes no {unknown[0]}: {_fix(self, unknown[0])}")
        return method(self, *args, **kwargs)

    return explained


def _fix(estimator: Any, name: str) -> str:
    if name.startswith("sensitive"):
        return "sensitive features are needed at fit alone; leave them out."
    close = get_close_matches(name, estimator.get_params(deep=False), n=1)
    if close:
        return f"did you mean the parameter {close[0]}, given to {type(estimator).__name__}()?"
    return f"leave it out; parameters are given to {type(estimator).__name__}()."
