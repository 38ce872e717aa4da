"""One training over several processes that each hold a shard of the rows: what they agree on.

Every process draws batches of its own rows. Counts of levels and groups are summed, and gradients
averaged, over all, so that every process takes the same steps from the same start.

Averaging of gradients: Li et al., *PyTorch Distributed: Experiences on Accelerating Data Parallel
Training*, arXiv 2006.15704.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fairmi._data.fit_input import Earlier, FitInput

if TYPE_CHECKING:  # loaded where there are several processes: trees ask for these too
    from torch import Tensor, nn


_T = TypeVar("_T")


class Reducer:
    """What a training asks of the processes it runs in; of one process, nothing is done."""

    n_shards = 1
    rank = 0

    def total(self, values: _T) -> _T:
        """Return the sum over processes of a number, an array or a tensor."""
        return values

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over processes."""
        return self.total(values) / self.n_shards if self.n_shards > 1 else values

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their means over processes."""

    def of_first(self, call: Callable[[], _T]) -> _T:
        """Return what `call` returns in the first process, where alone it runs."""
        return call()

    def agreed(self, call: Callable[[], _T]) -> _T:
        """Return what `call` returns in this process; raise in all where it raises in one."""
        return call()

    def any(self, answer: bool) -> bool:
        """Whether the answer is yes in any process."""
        return answer


class ProcessGroup(Reducer):
    """The processes of torch.distributed's default group."""

    def __init__(self) -> None:
        import torch
        from torch import distributed

        self.torch, self.distributed = torch, distributed
        self.n_shards, self.rank = distributed.get_world_size(), distributed.get_rank()
        backend = distributed.get_backend()
        # NCCL moves what lies on a GPU alone.
        self.device = torch.device("cuda" if backend == "nccl" else "cpu")

    def total(self, values: Any) -> Any:
        """Return the sum over processes of a number, an array or a tensor."""
        if not isinstance(values, self.torch.Tensor):
            summed = self.total(self.torch.as_tensor(np.asarray(values))).numpy()
            return summed if isinstance(values, np.ndarray) else type(values)(summed)
        summed = values.detach().to(self.device, copy=True).contiguous()
        self.distributed.all_reduce(summed)
        return summed.to(values.device)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their means over processes, all in one message."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        means = self.mean(self.torch.cat([gradient.flatten() for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, means.split(sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def of_first(self, call: Callable[[], _T]) -> _T:
        """Return what `call` returns in the first process, where alone it runs."""
        shared = [self.agreed(call if self.rank == 0 else lambda: None)]
        self.distributed.broadcast_object_list(shared, src=0, device=self.device)
        return shared[0]  # type: ignore[return-value]

    def agreed(self, call: Callable[[], _T]) -> _T:
        """Return what `call` returns in this process; raise in all where it raises in one."""
        result, own = None, None
        try:
            result = call()
        except Exception as error:
            own = error
        errors: list[str | None] = [None] * self.n_shards
        self.distributed.all_gather_object(errors, None if own is None else f"{own}")
        if own is not None:
            raise own
        first = next((rank for rank, text in enumerate(errors) if text is not None), None)
        if first is not None:
            raise ValueError(f"The process of rank {first} can't take part: {errors[first]}")
        return result  # type: ignore[return-value]

    def any(self, answer: bool) -> bool:
        """Whether the answer is yes in any process."""
        return bool(self.total(int(answer)))


_ALONE = Reducer()
_active: ContextVar[Reducer] = ContextVar("fairmi_reducer", default=_ALONE)


def active_reducer() -> Reducer:
    """Return that of the `data_parallel` context, or the one that does nothing."""
    return _active.get()


def check_alone(what: str) -> None:
    """Raise ValueError inside of `data_parallel`, of `what` several processes can't train."""
    if active_reducer().n_shards > 1:
        raise ValueError(
            f"{what} trains on the rows of one process; call it outside of data_parallel(), which "
            "is for fit and fit_path of MIDebiasedClassifier and MIDebiasedRegressor."
        )


def check_shared(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError of a parameter's value that can't be trained by several processes."""
    for name, can_be, instead in (
        ("encoder", lambda value: value is None, "encoder=None"),
        ("class_weight", lambda value: not isinstance(value, str), "a dict of weights"),
        ("prior_correction", lambda value: not value, "False"),
        ("warm_start", lambda value: not value, "False"),
        ("teacher", lambda value: isinstance(value, str | None), '"auto"'),
    ):
        value = parameters.get(name)
        if not can_be(value):
            raise ValueError(
                f"{name}={value!r} can't be trained by several processes; give {instead}, or fit "
                "outside of data_parallel()."
            )


@contextmanager
def data_parallel() -> Iterator[None]:
    """Let `fit` and `fit_path` of `MIDebiasedClassifier` train on the rows of all processes.

    So do those of `MIDebiasedRegressor`.

    Each process of torch.distributed's default group gives its own rows to the same `fit`. The
    first one's rows set the encoding of X, the classes and the groups, as the first part of a
    stream does, so let each have a random share of all rows. `batch_size` is that of all processes
    together. Every process ends with the same model.

    Raises
    ------
    RuntimeError
        If torch.distributed has no process group.

    Examples
    --------
    Under ``torchrun --nproc-per-node 2 script.py``, or in the function that Ray Train or Spark's
    TorchDistributor runs:

    >>> import torch.distributed as distributed
    >>> from fairmi import MIDebiasedClassifier, data_parallel
    >>> def train(X, y, groups):
    ...     distributed.init_process_group("gloo")
    ...     part = slice(distributed.get_rank(), None, distributed.get_world_size())
    ...     model = MIDebiasedClassifier(lam=4.0, batch_size=8192, learning_rate=0.03)
    ...     with data_parallel():
    ...         return model.fit(X[part], y[part], sensitive_features=groups[part])
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        raise RuntimeError(
            "data_parallel() needs a process group; call torch.distributed.init_process_group() "
            "first, in processes that torchrun or the like has started."
        )
    token = _active.set(ProcessGroup())
    try:
        yield
    finally:
        _active.reset(token)


def read_shard(
    reducer: Reducer, read_first: Callable[[], FitInput], read_more: Callable[[Earlier], FitInput]
) -> FitInput:
    """Return the checked rows of this process, which all processes read alike.

    The first process reads its rows by `read_first`, and the others read theirs as later rows of
    the same by `read_more`. An error in one is raised in all.
    """
    own: list[FitInput] = []

    def first() -> Earlier:
        rows = read_first()
        own.append(rows)
        return rows.header, rows.classes, rows.plan

    earlier = reducer.of_first(first)
    reducer.agreed(lambda: own.extend([] if own else [read_more(earlier)]))
    return own[0]
