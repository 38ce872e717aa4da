"""Choose among the candidates of a search by score and unfairness together."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from fairmi._sklearn_compat import Interval, StrOptions, validate_params
from fairmi.exceptions import InfeasibleBoundWarning

__all__ = ["BestUnderBound", "best_under_bound"]

RULES = ("mean", "one_standard_error")


@validate_params(
    {
        "unfairness": [str],
        "bound": [Interval(Real, 0, None, closed="left")],
        "maximize": [str],
        "rule": [StrOptions(set(RULES))],
    },
    prefer_skip_nested_validation=True,
)
def best_under_bound(
    unfairness: str, bound: float, *, maximize: str, rule: str = "mean"
) -> BestUnderBound:
    """Make a `refit` for GridSearchCV: the best score among candidates that are fair enough.

    Parameters
    ----------
    unfairness : str
        The key in `scoring` of the scorer of unfairness, of which less is better: a difference, or
        another measure that is 0 for a fair model. Whether the scorer negates it, as
        `fairmi.metrics.make_fairness_scorer` does, makes no difference.
    bound : float
        The greatest unfairness allowed, 0 or more.
    maximize : str
        The key in `scoring` of the score to maximise within the bound.
    rule : {"mean", "one_standard_error"}, default="mean"
        What the bound is held against: the mean of the unfairness over splits, or the mean plus
        one standard error, which asks for a margin where the splits disagree.

    Returns
    -------
    BestUnderBound
        Called by the search with `cv_results_`, returns the index of the candidate. Ties go to
        the fairer one. If no candidate is within the bound it warns with
        `fairmi.InfeasibleBoundWarning` and returns the one that comes closest.

    Raises
    ------
    ValueError
        If `bound` or `rule` is out of range; when called, if `scoring` lacks one of the two keys
        or no candidate has both figures.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.model_selection import best_under_bound
    >>> refit = best_under_bound("dp", 0.05, maximize="accuracy")
    >>> cv_results = {
    ...     "mean_test_accuracy": np.array([0.90, 0.85, 0.80]),
    ...     "mean_test_dp": np.array([-0.20, -0.04, -0.01]),
    ... }
    >>> refit(cv_results)
    1
    """
    if unfairness.endswith(("_ratio", "_group_min")):
        raise ValueError(
            f"unfairness={unfairness!r} looks like a measure that is higher for fairer models; "
            "give one that is lower, such as a difference."
        )
    return BestUnderBound(unfairness, float(bound), maximize, rule)


@dataclass(frozen=True, eq=False)
class BestUnderBound:
    """A `refit` callable ``cv_results_ -> index``; made by `best_under_bound`."""

    unfairness: str
    bound: float
    maximize: str
    rule: str

    def __call__(self, cv_results: Mapping[str, Any]) -> int:
        """Return the index of the best candidate within the bound, else of the closest one."""
        score = _mean(cv_results, self.maximize)
        unfair = np.abs(_mean(cv_results, self.unfairness))
        if self.rule == "one_standard_error":
            unfair = unfair + _standard_error(cv_results, self.unfairness)
        try:
            best = best_within(unfair, score, self.bound)
        except ValueError as error:
            raise ValueError(
                f"No candidate has both a {self.maximize!r} and a {self.unfairness!r} that are "
                "numbers; see the warnings of the failed fits or scorers, or search with "
                'error_score="raise".'
            ) from error
        if unfair[best] > self.bound:
            self._warn(cv_results, best, unfair[best], score[best])
        return best

    def __eq__(self, other: object) -> bool:
        """Whether it is the same choice, or the key of the score that it maximises.

        A search looks up the scorer of its `score` by ``scorer_[refit]``: that score is its own.
        """
        if isinstance(other, str):
            return other == self.maximize
        return isinstance(other, BestUnderBound) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.maximize)

    def _warn(
        self, cv_results: Mapping[str, Any], index: int, unfair: float, score: float
    ) -> None:
        params = cv_results.get("params")
        candidate = f"candidate {index}" + (f", {params[index]}" if params is not None else "")
        margin = " plus one standard error" if self.rule == "one_standard_error" else ""
        warnings.warn(
            f"No candidate has a mean {self.unfairness}{margin} within {self.bound:g}. Chosen "
            f"instead is the closest, {candidate}: {unfair:.4g}, at {self.maximize} {score:.4g}. "
            "Search further towards fairness, or raise the bound.",
            InfeasibleBoundWarning,
            stacklevel=2,
        )


def _mean(cv_results: Mapping[str, Any], name: str) -> np.ndarray:
    key = f"mean_test_{name}"
    if key not in cv_results:
        present = sorted(k.removeprefix("mean_test_") for k in cv_results if "mean_test_" in k)
        raise ValueError(
            f"cv_results_ has no {key!r}; the search scored {present}. Name both measures in its "
            f"scoring, for example scoring={{{name!r}: ..., ...}}."
        )
    return np.asarray(cv_results[key], dtype=float)


def _standard_error(cv_results: Mapping[str, Any], name: str) -> np.ndarray:
    pattern = re.compile(rf"split\d+_test_{re.escape(name)}")
    splits = np.array([cv_results[key] for key in cv_results if pattern.fullmatch(key)], float)
    if len(splits) < 2:
        raise ValueError(
            f'rule="one_standard_error" needs {name!r} on two splits or more, got {len(splits)}; '
            'search with cv=2 or more, or use rule="mean".'
        )
    return splits.std(axis=0, ddof=1) / np.sqrt(len(splits))


def best_within(unfairness: np.ndarray, score: np.ndarray, bound: float) -> int:
    """Return the index of the best score within the bound; of the closest where none is.

    Ties go to the fairer one, and of two that are as close to the better one.

    Raises
    ------
    ValueError
        If no candidate has two numbers.
    """
    usable = np.isfinite(score) & np.isfinite(unfairness)
    if not usable.any():
        raise ValueError("No candidate has both a score and an unfairness that are numbers.")
    within = usable & (unfairness <= bound)
    if within.any():
        return int(np.lexsort((unfairness, -score, ~within))[0])
    return int(np.lexsort((-score, unfairness, ~usable))[0])
