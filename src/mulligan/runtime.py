"""Devices, precision and ranks: the only module, with the loop, that knows them.

Ranks come from torchrun's environment. Networks stay unwrapped and gradients are averaged by hand, one flat
all-reduce an update: several backwards and double backwards an update break DistributedDataParallel silently.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mulligan.errors import Mistake


@dataclass(frozen=True)
class Runtime:
    """Where and how tensors are computed."""

    device: torch.device
    bf16: bool
    rank: int = 0
    world: int = 1

    @classmethod
    def start(cls, device: str = "auto", precision: str = "auto") -> Runtime:
        """Choose the device and precision, and join the other ranks if torchrun started this process.

        Raises:
            ValueError: the device is not there.
        """
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
        if world > 1 and not dist.is_initialized():
            backend = "nccl" if chosen.type == "cuda" else "gloo"
            dist.init_process_group(backend, timeout=timedelta(minutes=10))
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        keep_freed_memory()
        return cls(chosen, in_force(precision, chosen) == "bf16", rank, world)

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def average(self, gradients: list[Tensor]) -> None:
        """Replace each gradient by its mean over ranks, in one flat all-reduce."""
        if self.world == 1 or not gradients:
            return
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        parts = torch.split(flat, [g.numel() for g in gradients])
        torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])

    def broadcast(self, module: nn.Module) -> None:
        """Give every rank the parameters and buffers of rank 0."""
        if self.world > 1:
            for tensor in [*module.parameters(), *module.buffers()]:
                dist.broadcast(tensor.detach(), 0)

    def agree(self, value: int) -> int:
        """Rank 0's value, on every rank: decisions taken from a clock must be one rank's.

        Rank 0 itself may go on before the others have heard it; see `meet`.
        """
        if self.world == 1:
            return value
        shared = torch.tensor(value, device=self.device)
        dist.broadcast(shared, 0)
        return int(shared)

    def least(self, value: float) -> float:
        """The smallest of all ranks' values."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MIN)
        return float(shared)

    def describe(self) -> str:
        """The machine in words, for config.json."""
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        else:
            name = f"{self.device.type}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
        return f"{name}, {'bf16' if self.bf16 else 'fp32'}" + (f", {self.world} ranks" if self.world > 1 else "")


def meet() -> None:
    """Wait until every rank is here: what one is to read the other has written, or has not removed yet."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def seed(number: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and of one device.

    torch.manual_seed would visit every kind of device there is: 0.4 ms, a tenth of a small round.
    """
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was told: a clock that is read before knows nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def keep_freed_memory() -> None:
    """Have the C library keep the memory that tensors free, instead of giving it back to the system each time.

    Every activation of a round is allocated anew, and fresh memory must be faulted in page by page: in a new process
    an element-wise operation on 25 MB took three times as long. benchmarks/loop_speed.py says what it is worth in a
    whole round. Only glibc can be told; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3  # from glibc's malloc.h
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, (1 << 31) - 1)


def most_memory(device: torch.device) -> float:
    """Bytes that this process has held at most; of the device, where that has a memory of its own."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else 1024 * peak)


def _device(name: str, local_rank: int) -> torch.device:
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(d for d in ("cuda", "mps", "cpu") if there[d])
    if not there[name]:
        have = ", ".join(d for d, ok in there.items() if ok)
        raise Mistake(f"--device {name}: torch sees no such device here; try --device {have}")
    return torch.device(name, local_rank) if name == "cuda" else torch.device(name)


def in_force(precision: str, device: torch.device) -> str:
    """ "bf16" or "fp32": what a precision that was asked for, or left to the machine, comes to."""
    return precision if precision != "auto" else "bf16" if _multiplies_bf16(device) else "fp32"


def _multiplies_bf16(device: torch.device) -> bool:
    """Whether bf16 is multiplied in hardware; emulated it is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
