"""Plain PyTorch models for the benchmarks: functions that return a module and its example inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Case = tuple[nn.Module, dict[str, Any] | tuple[Any, ...]]


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.recurrent = kind(8, 16, batch_first=True, num_layers=2, bidirectional=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.recurrent(x)
        return self.head(outputs[:, -1])


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(inplace=True),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.features(image)).flatten(1))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.first_norm(self.first(x)).relu()
        return (x + self.second_norm(self.second(inner))).relu()


class ResidualNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.blocks = nn.Sequential(*(Residual(8) for _ in range(3)))
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(image)).mean((2, 3)))


class Block(nn.Module):
    """A transformer block that calls its normalisation twice, and one projection for values and results."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.norm(x)
        scores = self.query(inner) @ self.key(inner).transpose(-1, -2) / x.shape[-1] ** 0.5
        x = x + self.mix(scores.softmax(-1) @ self.mix(inner))
        return x + self.feed(self.norm(x))


class Repeated(nn.Module):
    """One block, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.block = Block(16)
        self.head = nn.Linear(16, 50)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        for _ in range(3):
            x = self.block(x)
        return self.head(x)


def gru() -> Case:
    return Recurrent(nn.GRU), {"x": torch.randn(2, 12, 8)}


def lstm() -> Case:
    return Recurrent(nn.LSTM), {"x": torch.randn(2, 12, 8)}


def mlp() -> Case:
    layers = [nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4)]
    return nn.Sequential(*layers), (torch.randn(2, 16),)


def cnn() -> Case:
    return Convolutional(), {"image": torch.randn(2, 3, 32, 32)}


def residual() -> Case:
    return ResidualNet(), {"image": torch.randn(2, 3, 16, 16)}


def shared() -> Case:
    return Repeated(), {"ids": torch.randint(0, 50, (2, 12))}
