"""Example inputs as records."""

from __future__ import annotations

import torch
from onnx_ir.tensor_adapters import TorchTensor

import hx_graph
from hx_sidecar_schema import Example


def example_record(tensor: torch.Tensor) -> Example:
    """Return the record of a model input: up to 64 KiB its bytes, beyond that the range of its values."""
    return hx_graph.example_record(TorchTensor(tensor).numpy())
