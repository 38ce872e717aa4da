"""Jobs of a search that are kept in a directory as each ends, and not done twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib
from joblib import Memory
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_memory

from fairmi._typing import SensitiveLike
from fairmi.path._path import last_step

_PACKAGES = ("fairmi", "numpy", "scikit-learn", "torch")


class KeptJobs:
    """Runs jobs, and keeps what each returned under all that its result hangs on.

    Parameters
    ----------
    memory : None, str, path or object with the interface of joblib.Memory
        None keeps nothing.
    estimator : classifier
    given : object
        Data and settings that the jobs have in common; hashed once.

    Raises
    ------
    ValueError
        If another fit would give other results, or something has no hash.
    """

    def __init__(
        self, memory: str | Path | Memory, estimator: BaseEstimator, given: SensitiveLike
    ) -> None:
        self.run: Callable[..., Any] = run
        self.key: str | None = None
        if memory is None:
            return
        estimator = last_step(estimator)
        if not isinstance(estimator.random_state, Integral):
            raise ValueError(
                f"memory={memory!r} keeps finished folds, which only a fit that can be repeated "
                f"may take up again, but the estimator has random_state="
                f"{estimator.random_state!r}; set it to an int."
            )
        encoder = getattr(estimator, "encoder", None)
        if hasattr(encoder, "state_dict") and not isinstance(encoder, type):
            raise ValueError(
                f"memory={memory!r} needs to tell by a hash whether a fold is the same, and the "
                "torch module encoder has none; give its class, or a function of a module that "
                "makes it, or set memory=None."
            )
        if isinstance(memory, os.PathLike):
            memory = os.fspath(memory)
        self.run = check_memory(memory).cache(run, ignore=["job", "arguments"])
        try:
            self.key = joblib.hash((given, [version(name) for name in _PACKAGES]))
        except Exception as error:  # whatever pickling an object of the user's raises
            raise ValueError(
                f"memory={memory!r} needs to tell by a hash whether a fold is the same, and an "
                f"argument has none ({error}). A lambda has none: give a function of a module; "
                "or set memory=None."
            ) from error

    def delayed(
        self, job: Callable[..., Any], name: str, *arguments: Any, part: Any = None
    ) -> Any:
        """Return a job for joblib.Parallel; `part` tells jobs of one name apart."""
        key = None if self.key is None else (self.key, name, joblib.hash(part))
        return joblib.delayed(self.run)(key, job, arguments)


def run(key: object, job: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do a job; `key` is what its result is kept under."""
    return job(*arguments)
