"""Writing stages: models that share one data file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import onnx_ir as ir

from hx_graph import INLINE_BYTES, DataFile, all_graphs, has_data
from hx_sidecar_schema import Sidecar
from hx_surgery.stages.records import STAGES_FILE, Stages
from hx_surgery.stages.split import StageModel

_INLINE_SHARED_BYTES = 128
"""Weights that several stages hold are in the data file once, from this size on."""


def write_stages(folder: Path, stages: Sequence[StageModel], record: Stages, whole: Sidecar) -> None:
    """Write the models of stages, their sidecars and data file, `stages.json`, and the sidecar of the whole model.

    The models refer to the data file from now on, each weight to one place, however many stages read it.
    """
    if record.data is not None:
        with (folder / record.data).open("wb") as file:
            held = Counter(name for stage in stages for name in stage.model.graph.initializers)
            shared = {name for name, amount in held.items() if amount > 1}
            data = DataFile(file, record.data)
            for stage in stages:
                _take_weights(stage.model, data, shared)
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
    return any(tensor is not None and has_data(tensor) for tensor in weights)


def _graphs(model: ir.Model) -> list[ir.Graph]:
    return [graph for graph in all_graphs(model) if isinstance(graph, ir.Graph)]


def _take_weights(model: ir.Model, data: DataFile, shared: Collection[str]) -> None:
    """Write the weights of a model, bodies included, and let it refer to them."""
    for graph in _graphs(model):
        for value in graph.initializers.values():
            tensor = value.const_value
            inline = _INLINE_SHARED_BYTES if value.name in shared else INLINE_BYTES
            if tensor is not None and has_data(tensor, inline):
                value.const_value = data.put(tensor)
            elif isinstance(tensor, ir.ExternalTensor):
                value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=str(value.name))
