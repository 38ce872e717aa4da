"""How many threads a piece of work gets: on a busy machine, threads wait for one another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from fairmi._sklearn_compat import effective_n_threads

ROWS_OF_A_THREAD = 25_000  # below, two threads were no faster than one on an idle machine


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: more cost more than they give on products of this size.

    It also makes a fit the same on machines of any number of cores, keeps parallel searches from
    using more threads than there are cores, and leaves no pool of threads that a forked process
    would wait for in vain.
    """
    import torch  # a server that only predicts does without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(n_rows: int) -> int:
    """Return the threads for trees of some rows, at most those that scikit-learn would take.

    Where another process has the cores, threads wait for one that does not run. Two processes
    with two threads each took up to a hundred times as long for 2,000 rows as with one each.
    """
    return min(effective_n_threads(), max(1, n_rows // ROWS_OF_A_THREAD))


@contextmanager
def one_thread_if_few(n_rows: int) -> Iterator[None]:
    """Run scikit-learn's and numpy's code on one thread where rows are few, else as it would."""
    if threads_for(n_rows) > 1:
        yield
        return
    with _libraries(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> ThreadpoolController:
    """Return the loaded libraries that have threads: looked for again where modules came since.

    To look takes as long as a small fit.
    """
    return ThreadpoolController()
