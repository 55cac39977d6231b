"""The two convolutional networks that nearly all published ESRGAN-type weights are for, by their usual key names.

`Compact` is SRVGGNetCompact and `RRDB` RRDBNet of Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833). Both take and give
[n, 3, H, W] float in 0..1.
"""

import math
import re

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2  # of the leaky ReLUs in RRDB
DAMPING = 0.2  # of its residuals


class Compact(nn.Module):
    """A chain of convolutions at the small size, one pixel shuffle, added to the enlarged input."""

    def __init__(self, features: int, num_convs: int, scale: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(num_convs):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, 3 * scale * scale, 3, padding=1))
        self.body = nn.ModuleList(layers)
        self.scale = scale
        self.reach_px = num_convs + 2

    def forward(self, picture: Tensor) -> Tensor:
        held = picture
        for layer in self.body:
            held = layer(held)
        enlarged = functional.interpolate(picture, scale_factor=self.scale, mode="nearest")
        return functional.pixel_shuffle(held, self.scale) + enlarged


class Dense(nn.Module):
    """Five convolutions, each of which sees all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Conv2d(features + i * growth, growth, 3, padding=1) for i in range(4)
        )
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        seen = picture
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, functional.leaky_relu(conv(seen), SLOPE)], dim=1)
        changed: Tensor = self.conv5(seen)
        return picture + DAMPING * changed


class Residual(nn.Module):
    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (Dense(features, growth) for _ in range(3))

    def forward(self, picture: Tensor) -> Tensor:
        changed: Tensor = self.rdb3(self.rdb2(self.rdb1(picture)))
        return picture + DAMPING * changed


class RRDB(nn.Module):
    """Residual blocks at the small size, then two doublings; below scale 4 the input is folded into channels first."""

    def __init__(self, features: int, growth: int, num_blocks: int, scale: int) -> None:
        super().__init__()
        self.scale, self.fold = scale, 4 // scale
        self.conv_first = nn.Conv2d(3 * self.fold**2, features, 3, padding=1)
        self.body = nn.Sequential(*(Residual(features, growth) for _ in range(num_blocks)))
        self.conv_body, self.conv_up1, self.conv_up2, self.conv_hr = (
            nn.Conv2d(features, features, 3, padding=1) for _ in range(4)
        )
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)
        self.reach_px = 32  # what lies further away changes a pixel by less than a level

    def forward(self, picture: Tensor) -> Tensor:
        first = self.conv_first(functional.pixel_unshuffle(picture, self.fold))
        held = first + self.conv_body(self.body(first))
        for conv in (self.conv_up1, self.conv_up2):
            held = functional.leaky_relu(conv(functional.interpolate(held, scale_factor=2, mode="nearest")), SLOPE)
        enlarged: Tensor = self.conv_last(functional.leaky_relu(self.conv_hr(held), SLOPE))
        return enlarged


def network_of(weights: dict[str, Tensor]) -> Compact | RRDB | None:
    """The network that the weights are for, filled with them; None for weights of another kind."""
    if "conv_first.weight" in weights and "body.0.rdb1.conv1.weight" in weights:
        first = weights["conv_first.weight"]
        blocks = {match[1] for key in weights if (match := re.match(r"body\.(\d+)\.", key))}
        growth = weights["body.0.rdb1.conv1.weight"].shape[0]
        network: Compact | RRDB = RRDB(first.shape[0], growth, len(blocks), 4 // math.isqrt(first.shape[1] // 3))
    elif "body.0.weight" in weights and "body.1.weight" in weights:
        last = max(int(key.split(".")[1]) for key in weights)
        features = weights["body.0.weight"].shape[0]
        network = Compact(features, (last - 2) // 2, math.isqrt(weights[f"body.{last}.weight"].shape[0] // 3))
    else:
        return None
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)
