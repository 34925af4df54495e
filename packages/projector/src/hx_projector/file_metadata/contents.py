"""What hx writes into a model and takes out of it: metadata, numbers of weights, text that names a machine."""

import base64
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import onnx
import onnx_ir as ir

from hx_graph import all_graphs, all_nodes, output_of, tensors_in
from hx_sidecar_schema import EMBEDDED, ModuleContext, RecoveredNode, Sidecar, embedded, graph_digest, namespaces

INTEGERS = 64
"""A constant with at most so many integers keeps them: axes, shapes, paddings."""

AnyRecord = TypeVar("AnyRecord", Sidecar, ModuleContext)


def embed(model: ir.Model, sidecar: Sidecar) -> None:
    """Write a sidecar into the metadata of its model, in place.

    Every node gets the module, its tag and how that is known, for people and for tools that read node metadata, and its call's path as
    `namespace`, by which Model Explorer (model-explorer-onnx 0.4) groups nodes; the exporter's own is not of every node. The model gets the whole sidecar, so that the file can be read alone. ONNX Runtime ignores metadata.
    """
    nodes = {node.key: node for node in sidecar.nodes}
    paths = namespaces(sidecar)
    for path, node in all_nodes(model):
        row = nodes[path, output_of(node)]
        call = sidecar.calls[row.owner]
        node.metadata_props.update(
            {
                "pkg.hx.module": sidecar.module_of(call).fqn,
                "pkg.hx.call": str(call.index),
                "pkg.hx.tag": sidecar.display_tag(row.owner),
                "pkg.hx.evidence": row.evidence,
                "pkg.hx.confidence": row.confidence,
                "namespace": paths[row.owner],
            }
        )
    model.metadata_props[EMBEDDED] = embedded(sidecar)


def strip_metadata(model: ir.Model) -> None:
    """Remove what the exporter wrote into nodes and values, in place: kilobytes a node, with lines of the source."""
    for holder in metadata_holders(model):
        for key in list(holder.metadata_props):
            if key.startswith("pkg.torch.") or key == "namespace":
                del holder.metadata_props[key]
        if isinstance(holder, ir.Node):
            holder.doc_string = None


@contextmanager
def restored_metadata(model: ir.Model) -> Generator[None]:
    """Give a model back the metadata and documentation that it has now, on exit."""
    before = [(holder, dict(holder.metadata_props), holder.doc_string) for holder in metadata_holders(model)]
    try:
        yield
    finally:
        for holder, metadata, text in before:
            holder.metadata_props.clear()
            holder.metadata_props.update(metadata)
            holder.doc_string = text


def metadata_holders(model: ir.Model) -> Iterator[ir.Model | ir.Graph | ir.Function | ir.Node | ir.Value]:
    """Yield all that can have metadata and documentation: a model, its graphs, nodes and values."""
    yield model
    for graph in all_graphs(model):
        yield graph
        yield from graph.inputs
        if isinstance(graph, ir.Graph):
            yield from graph.initializers.values()
        for node in graph:
            yield node
            yield from node.outputs


def redact_text(model: ir.Model, replace: Callable[[str], str]) -> None:
    """Replace metadata and documentation of a model, of its graphs, nodes and values, in place. Names stay."""
    for holder in metadata_holders(model):
        for key, text in list(holder.metadata_props.items()):
            holder.metadata_props[key] = replace(text)
        if holder.doc_string:
            holder.doc_string = replace(holder.doc_string)


def redact_numbers(model: ir.Model) -> None:
    """Take the numbers of weights out of a model, in place.

    Initializers become inputs without a value, as in an extracted model without weights. Of tensors in attributes, those of
    more than one floating-point number or more than `INTEGERS` elements become zeros. The model's topology is another
    one then, and it does not run; nodes and edges are the same.
    """
    for value in list(model.graph.initializers.values()):
        value.const_value = None
        model.graph.initializers.pop(str(value.name))
        if not value.is_graph_input():
            model.graph.inputs.append(value)
    for slot in list(tensors_in(model)):
        slot.put(_zeros(slot.tensor))


def redact_record(record: AnyRecord, model: ir.Model | None = None) -> AnyRecord:
    """Return a sidecar or context without numbers of tensors: values of inputs, of constants in recovered nodes, fingerprints.

    A sidecar is to belong to the model without its numbers, where one is given.
    """
    recovered = [row.model_copy(update={"proto": _without_numbers_proto(row)}) for row in record.recovered]
    if isinstance(record, ModuleContext):
        examples = {name: row.model_copy(update={"data": None}) for name, row in record.examples.items()}
        return record.model_copy(update={"recovered": recovered, "examples": examples, "observation": None})
    inputs = [
        row.model_copy(update={"example": row.example and row.example.model_copy(update={"data": None})})
        for row in record.model.inputs
    ]
    digest = record.model.graph_digest if model is None else graph_digest(model)
    info = record.model.model_copy(update={"inputs": inputs, "graph_digest": digest})
    return record.model_copy(update={"recovered": recovered, "model": info})


def _without_numbers_proto(row: RecoveredNode) -> str:
    # Its inputs are in another graph: as a node of none it could not be read without complaints.
    proto = onnx.NodeProto.FromString(base64.b64decode(row.proto))
    for attribute in proto.attribute:
        for tensor in (*((attribute.t,) if attribute.HasField("t") else ()), *attribute.tensors):
            tensor.CopyFrom(ir.to_proto(_zeros(ir.from_proto(tensor))))
    return base64.b64encode(proto.SerializeToString()).decode()


def _zeros(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """Return zeros where a tensor may be a weight, else the tensor."""
    few = 1 if tensor.dtype.is_floating_point() else INTEGERS
    if tensor.dtype == ir.DataType.STRING or tensor.size <= few:
        return tensor
    array = np.zeros(tensor.shape.numpy(), tensor.dtype.numpy())
    return ir.Tensor(array, dtype=tensor.dtype, name=tensor.name)
