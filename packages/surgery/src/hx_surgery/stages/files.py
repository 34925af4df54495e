"""Writing stages: models that share one data file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

from hx_graph import all_graphs
from hx_sidecar_schema import Sidecar
from hx_surgery.stages.records import STAGES_FILE, Stages
from hx_surgery.stages.split import StageModel

_INLINE_BYTES = 256
"""Weights up to this size stay in the models, as in those that onnx-ir writes: what ONNX Runtime reads for shapes is there."""
_ALIGNED = 16
"""Bytes; of every tensor's place in the data file."""


def write_stages(folder: Path, stages: Sequence[StageModel], record: Stages, whole: Sidecar) -> None:
    """Write the models of stages, their sidecars and data file, `stages.json`, and the sidecar of the whole model.

    The models refer to the data file from now on, each weight to one place, however many stages read it.
    """
    if record.data is not None:
        with (folder / record.data).open("wb") as file:
            shared = _DataFile(record.data, file)
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
    return any(_is_large(value.const_value) for graph in _graphs(model) for value in graph.initializers.values())


def _graphs(model: ir.Model) -> list[ir.Graph]:
    return [graph for graph in all_graphs(model) if isinstance(graph, ir.Graph)]


def _is_large(tensor: ir.TensorProtocol | None) -> bool:
    return tensor is not None and tensor.dtype != ir.DataType.STRING and tensor.nbytes > _INLINE_BYTES


class _DataFile:
    """A file that tensors are written to, each once."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name, self._file = name, file
        self._places: dict[object, int] = {}
        self._kept: list[ir.TensorProtocol] = []  # an id is that of a tensor that lives

    def take_weights(self, model: ir.Model) -> None:
        """Write the weights of a model, bodies included, and let it refer to them."""
        for graph in _graphs(model):
            for value in graph.initializers.values():
                tensor = value.const_value
                if tensor is not None and _is_large(tensor):
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
