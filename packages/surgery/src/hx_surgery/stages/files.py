"""Writing stages: models that share one data file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

from hx_graph import all_graphs
from hx_sidecar_schema import Sidecar
from hx_surgery.stages.records import STAGES_FILE, Stages
from hx_surgery.stages.split import StageModel

_INLINE_BYTES = 256
"""Weights up to this size stay in the models, as in those that onnx-ir writes: what ONNX Runtime reads for shapes is there."""
_INLINE_SHARED_BYTES = 128
"""Of those that several stages hold: in the data file they are there once."""
_ALIGNED = 16
"""Bytes; of every tensor's place in the data file."""


def write_stages(folder: Path, stages: Sequence[StageModel], record: Stages, whole: Sidecar) -> None:
    """Write the models of stages, their sidecars and data file, `stages.json`, and the sidecar of the whole model.

    The models refer to the data file from now on, each weight to one place, however many stages read it.
    """
    if record.data is not None:
        with (folder / record.data).open("wb") as file:
            held = Counter(name for stage in stages for name in stage.model.graph.initializers)
            shared = _DataFile(record.data, file, {name for name, amount in held.items() if amount > 1})
            for stage in stages:
                shared.take_weights(stage.model)
    for stage, row in zip(stages, record.stages, strict=True):
        path = folder / row.file
        ir.save(stage.model, path)
        sidecar = stage.sidecar.with_file_digest(path)
        path.with_name(f"{path.stem}_hierarchy.json").write_bytes(sidecar.to_json())
    (folder / record.sidecar).write_bytes(whole.to_json())
    text = record.model_dump_json(indent=1)
    (folder / STAGES_FILE).write_text(text + "\n", encoding="utf-8")


def has_large_weights(model: ir.Model) -> bool:
    """Say whether a model's stages need a data file."""
    weights = (value.const_value for graph in _graphs(model) for value in graph.initializers.values())
    return any(_is_larger(tensor, _INLINE_BYTES) for tensor in weights)


def _graphs(model: ir.Model) -> list[ir.Graph]:
    return [graph for graph in all_graphs(model) if isinstance(graph, ir.Graph)]


def _is_larger(tensor: ir.TensorProtocol | None, size_bytes: int) -> bool:
    return tensor is not None and tensor.dtype != ir.DataType.STRING and tensor.nbytes > size_bytes


class _DataFile:
    """A file that tensors are written to, each once."""

    def __init__(self, name: str, file: BinaryIO, shared: Collection[str]) -> None:
        self._name, self._file, self._shared = name, file, shared
        self._places: dict[object, int] = {}
        self._kept: list[ir.TensorProtocol] = []  # an id is that of a tensor that lives

    def take_weights(self, model: ir.Model) -> None:
        """Write the weights of a model, bodies included, and let it refer to them."""
        for graph in _graphs(model):
            for value in graph.initializers.values():
                tensor = value.const_value
                inline = _INLINE_SHARED_BYTES if value.name in self._shared else _INLINE_BYTES
                if tensor is not None and _is_larger(tensor, inline):
                    offset = self._offset(tensor)
                    shape = ir.Shape(tensor.shape.numpy())
                    value.const_value = ir.ExternalTensor(
                        self._name, offset, tensor.nbytes, tensor.dtype, shape=shape, name=str(value.name)
                    )
                elif isinstance(tensor, ir.ExternalTensor):
                    value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=str(value.name))

    def _offset(self, tensor: ir.TensorProtocol) -> int:
        place = (tensor.path, tensor.offset, tensor.length) if isinstance(tensor, ir.ExternalTensor) else id(tensor)
        if place not in self._places:
            self._file.write(b"\0" * (-self._file.tell() % _ALIGNED))
            self._places[place] = self._file.tell()
            self._file.write(tensor.tobytes())
            self._kept.append(tensor)
        return self._places[place]
