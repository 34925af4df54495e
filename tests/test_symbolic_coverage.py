"""How much of a graph the symbolic strategy attributes, on the families of modules that it is meant for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_hard_modules import rand
from torch import nn
from truth import examine

Case = tuple[nn.Module, dict[str, torch.Tensor]]
CASES: list[tuple[Callable[[], Case], float]] = []


def case(least: float) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Add a case that must be covered by at least so many percent."""

    def add(make: Callable[[], Case]) -> Callable[[], Case]:
        CASES.append((make, least))
        return make

    return add


def conv(channels_in: int, channels: int, size: int = 3, *, groups: int = 1, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.SiLU(),
    )


@case(69)
def mlp() -> Case:
    layers = [nn.Linear(8, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)]
    return nn.Sequential(*layers), {"input": rand(2, 8)}


@case(50)
def cnn() -> Case:
    features = [conv(3, 8), nn.MaxPool2d(2), conv(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    return nn.Sequential(*features), {"input": rand(2, 3, 16, 16)}


class Attention(nn.Module):
    def __init__(self, width: int = 16, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))


@case(93)
def attention() -> Case:
    return Attention(), {"x": rand(2, 5, 16)}


class Block(nn.Module):
    def __init__(self, width: int = 16):
        super().__init__()
        self.before, self.attention, self.between = nn.LayerNorm(width), Attention(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

    def forward(self, x):
        x = x + self.attention(self.before(x))
        return x + self.mlp(self.between(x))


@case(94)
def transformer_block() -> Case:
    return Block(), {"x": rand(2, 5, 16)}


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token, self.positions = nn.Parameter(rand(1, 1, 16)), nn.Parameter(rand(1, 17, 16))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


@case(96)
def vit() -> Case:
    return ViT(), {"image": rand(2, 3, 16, 16)}


class Residual(nn.Module):
    def __init__(self, channels: int = 8):
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)

    def forward(self, x):
        return torch.relu(x + self.second(self.first(x)))


@case(97)
def residual_cnn() -> Case:
    layers = [conv(3, 8), Residual(), Residual(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    return nn.Sequential(*layers), {"input": rand(2, 3, 16, 16)}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(32, 16, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x, _ = self.lstm(x)
        x, last = self.gru(x)
        return self.head(x[:, -1] + last[0])


@case(91)
def recurrent() -> Case:
    return Recurrent(), {"x": rand(2, 5, 8)}


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(4 + 4 * i), nn.ReLU(), nn.Conv2d(4 + 4 * i, 4, 3, padding=1)) for i in range(3)
        )

    def forward(self, x):
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)


@case(97)
def densenet() -> Case:
    return nn.Sequential(nn.Conv2d(3, 4, 3), Dense(), nn.AvgPool2d(2)), {"input": rand(2, 3, 16, 16)}


class Inverted(nn.Module):
    def __init__(self, squeeze: bool):
        super().__init__()
        self.expand, self.depthwise, self.project = conv(8, 16, 1), conv(16, 16, groups=16), conv(16, 8, 1)
        self.squeeze = nn.Sequential(nn.Conv2d(16, 4, 1), nn.SiLU(), nn.Conv2d(4, 16, 1)) if squeeze else None

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        if self.squeeze is not None:
            y = y * torch.sigmoid(self.squeeze(y.mean((2, 3), keepdim=True)))
        return x + self.project(y)


@case(100)
def mobilenet_block() -> Case:
    return Inverted(squeeze=False), {"x": rand(2, 8, 8, 8)}


@case(88)
def efficientnet_block() -> Case:
    return Inverted(squeeze=True), {"x": rand(2, 8, 8, 8)}


@pytest.mark.parametrize(("make", "least"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_symbolic_tracing_covers_what_it_is_meant_for(make: Callable[[], Case], least: float) -> None:
    torch.manual_seed(0)
    module, example = make()
    verdict = examine(module.eval(), example, dynamic=False, strategy="fx_graph")
    assert verdict.problems == []
    assert verdict.covered_percent >= least
    assert verdict.extracted == verdict.statuses["extractable"] > 0
