"""The processes that train together, one for each GPU, as `torchrun` starts them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_PATIENCE = timedelta(hours=6)  # while the first process prepares patterns, the others wait


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Parameters
    ----------
    rank
        Its number; process 0 writes and prints.
    count
        How many there are.
    device
        What it computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes and prints."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """Rows of a batch of all processes that are this one's."""
        size = batch // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Let gradients be the means over all processes."""
        if self.count == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)

    def gather(self, rows: Tensor) -> Tensor:
        """Join the rows of all processes, in their order; with a gradient that `wrap` turns into the right one."""
        if self.count == 1:
            return rows
        joined: Tensor = _Gather.apply(rows, self)  # type: ignore[no-untyped-call]
        return joined

    def mean(self, values: Tensor) -> Tensor:
        """Mean over all processes."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values / self.count

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0) if self.count > 1 else flag

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let process 0 do something, such as making a file, and the others do it once that is done."""
        if self.count > 1 and not self.leads:
            dist.barrier()
        yield
        if self.count > 1 and self.leads:
            dist.barrier()


def alone() -> Processes:
    """One process, on the GPU if there is one."""
    return Processes(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def join_processes() -> Iterator[Processes]:
    """Join the other processes if `torchrun` started several; with NCCL on GPUs, with Gloo on CPUs."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield alone()
        return
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    # Gradients of a convolution of one pixel have other strides than its weights; there is nothing to copy.
    warnings.filterwarnings("ignore", "Grad strides do not match")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), count, device)
        dist.barrier()  # a process that leaves while others still talk to it can make them abort
    finally:
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """All rows forward; backward, this process's own, times the number of processes.

    Every process computes the same loss of all rows. Its own rows' gradient is therefore whole, and
    `DistributedDataParallel`, which takes the mean over the processes, would divide it by their number.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        pieces = [torch.empty_like(rows) for _ in range(processes.count)]
        dist.all_gather(pieces, rows.contiguous())
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        processes = ctx.processes
        return processes.count * gradient[processes.rows(len(gradient))], None
