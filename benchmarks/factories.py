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


def gru() -> Case:
    return Recurrent(nn.GRU), {"x": torch.randn(2, 12, 8)}


def lstm() -> Case:
    return Recurrent(nn.LSTM), {"x": torch.randn(2, 12, 8)}


def mlp() -> Case:
    layers = [nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4)]
    return nn.Sequential(*layers), (torch.randn(2, 16),)


def cnn() -> Case:
    return Convolutional(), {"image": torch.randn(2, 3, 32, 32)}
