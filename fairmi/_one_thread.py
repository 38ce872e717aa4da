"""Torch on one thread while something runs; torch loads when it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
