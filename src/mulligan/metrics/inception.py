"""Inception-v3 as the original FID uses it, built to read the weights that the user names.

The architecture of Szegedy et al. 2015 (https://arxiv.org/abs/1512.00567) with what sets TensorFlow's
2015-12-05 graph
apart: 1,008 classes, averages that leave the padding out, and a maximum instead of the average in the last
    block. The file is `pt_inception-2015-12-05-6726825d.pth`, the usual translation of that graph.
    Unverified: it could not be had when this was written, so no number made with it was compared with a
    published one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.errors import Mistake

SHA1 = "bd836944fd6db519dfd8d924aa457f5b3c8357ff"  # of that file, as those who fetch it check it
NAME = "pt_inception-2015-12-05-6726825d.pth"


class Conv(nn.Module):
    """Convolution, BatchNorm, ReLU; size is one number, or (down, across)."""

    def __init__(self, n_in: int, n_out: int, size: int | tuple[int, int] = 1, stride: int = 1, pad: bool = True):
        super().__init__()
        size = (size, size) if isinstance(size, int) else size
        padding = (size[0] // 2, size[1] // 2) if pad and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(n_in, n_out, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(n_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side. Each is a chain of named convolutions; a last entry of two is a fork, both kept.

    Args:
        branches: per branch, the convolutions in order.
        pool: what the branch called `branch_pool` (or none) sees: avg, max, or down for a maximum of stride
            2.
    """

    def __init__(self, branches: list[list[tuple[str, Conv]]], pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.branches = [[name for name, _ in branch] for branch in branches]
        for branch in branches:
            for name, conv in branch:
                self.add_module(name, conv)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [self._branch(names, x) for names in self.branches]
        if self.pool == "down":
            outputs.append(F.max_pool2d(x, 3, 2))
        return torch.cat(outputs, 1)

    def _branch(self, names: list[str], x: Tensor) -> Tensor:
        if names[0] == "branch_pool" and self.pool == "max":
            x = F.max_pool2d(x, 3, 1, 1)
        elif names[0] == "branch_pool":
            x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        fork = [name for name in names if name[-1] in "ab"]
        for name in names[: len(names) - len(fork)]:
            x = self.get_submodule(name)(x)
        return torch.cat([self.get_submodule(name)(x) for name in fork], 1) if fork else x


def _chain(name: str, n_in: int, *convs: tuple[int, int | tuple[int, int]] | tuple[int, int, int]) -> list[Any]:
    """name_1, name_2 ... of (channels out, size[, stride])."""
    made = []
    for i, (n_out, *shape) in enumerate(convs, 1):
        made.append((f"{name}_{i}", Conv(n_in, n_out, *shape)))
        n_in = n_out
    return made


def _mixed_5(n_in: int, pooled: int) -> Mixed:
    return Mixed([
        [("branch1x1", Conv(n_in, 64))],
        _chain("branch5x5", n_in, (48, 1), (64, 5)),
        _chain("branch3x3dbl", n_in, (64, 1), (96, 3), (96, 3)),
        [("branch_pool", Conv(n_in, pooled))],
    ], "avg")  # fmt: skip


def _mixed_6a() -> Mixed:
    return Mixed([
        [("branch3x3", Conv(288, 384, 3, 2))],
        _chain("branch3x3dbl", 288, (64, 1), (96, 3), (96, 3, 2)),
    ], "down")  # fmt: skip


def _mixed_6(n: int) -> Mixed:
    row, column = (1, 7), (7, 1)
    return Mixed([
        [("branch1x1", Conv(768, 192))],
        _chain("branch7x7", 768, (n, 1), (n, row), (192, column)),
        _chain("branch7x7dbl", 768, (n, 1), (n, column), (n, row), (n, column), (192, row)),
        [("branch_pool", Conv(768, 192))],
    ], "avg")  # fmt: skip


def _mixed_7a() -> Mixed:
    return Mixed([
        _chain("branch3x3", 768, (192, 1), (320, 3, 2)),
        _chain("branch7x7x3", 768, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
    ], "down")  # fmt: skip


def _mixed_7(n_in: int, pool: str) -> Mixed:
    def fork(name: str) -> list[tuple[str, Conv]]:
        return [(f"{name}a", Conv(384, 384, (1, 3))), (f"{name}b", Conv(384, 384, (3, 1)))]

    return Mixed([
        [("branch1x1", Conv(n_in, 320))],
        [*_chain("branch3x3", n_in, (384, 1)), *fork("branch3x3_2")],
        [*_chain("branch3x3dbl", n_in, (448, 1), (384, 3)), *fork("branch3x3dbl_3")],
        [("branch_pool", Conv(n_in, 192))],
    ], pool)  # fmt: skip


class Inception(nn.Module):
    """The 2,048 features under the 1,008 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, pad=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _mixed_5(192, 32), _mixed_5(256, 64), _mixed_5(288, 64)
        self.Mixed_6a = _mixed_6a()
        self.Mixed_6b, self.Mixed_6c = _mixed_6(128), _mixed_6(160)
        self.Mixed_6d, self.Mixed_6e = _mixed_6(160), _mixed_6(192)
        self.Mixed_7a = _mixed_7a()
        self.Mixed_7b, self.Mixed_7c = _mixed_7(1280, "avg"), _mixed_7(2048, "max")
        self.fc = nn.Linear(2048, 1008)  # not used by a Fréchet distance; it is in the file

    def features(self, x: Tensor) -> Tensor:
        """Pooled features (N, 2048) of x (N, 3, 299, 299) in [-1, 1]."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((2, 3))


def load_inception(file: Path) -> tuple[Inception, bool]:
    """The network in eval mode with the weights of `file`, and whether it is the original file, bit for bit.

    Raises:
        ValueError: there is no such file, it cannot be read, or it holds another network.
    """
    if not file.is_file():
        raise Mistake(f"there is no Inception file {str(file)!r}; name the path of {NAME}")
    try:
        state = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # what is not a file of weights fails in any way, IndexError included
        raise Mistake(f"{file} is not a file of weights; name the path of {NAME}") from error
    net = Inception()
    _check(file, state, net)
    net.load_state_dict(state, strict=False)  # older files lack num_batches_tracked, all else was checked
    original = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest() == SHA1
    return net.eval().requires_grad_(False), original


def _check(file: Path, state: Any, net: Inception) -> None:
    """Raise ValueError unless `state` has the keys and shapes of `net`."""
    counter = "num_batches_tracked"
    wanted = {k: v.shape for k, v in net.state_dict().items() if not k.endswith(counter)}
    has = state if isinstance(state, dict) else {}
    shapes = {k: getattr(v, "shape", None) for k, v in has.items() if not str(k).endswith(counter)}
    wrong = sorted(k for k in wanted.keys() | shapes.keys() if wanted.get(k) != shapes.get(k))
    if wrong:
        raise Mistake(
            f"{file} is not the Inception of FID: {len(wrong)} of its tensors differ, {wrong[0]} first; "
            f"name the path of {NAME}"
        )
