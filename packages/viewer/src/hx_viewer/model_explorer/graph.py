"""The graphs of a model as a `GraphCollection` of Model Explorer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hx_graph import CallTree
from hx_sidecar_schema import Node, visible
from hx_viewer._graphs import GraphView, NodeView, Read, ValueType
from hx_viewer._view import View
from hx_viewer.model_explorer.groups import groups_of
from hx_viewer.model_explorer.ids import GraphIds

Json = dict[str, Any]
TEXT_LENGTH = 1000
"""Of an attribute: the pane that shows them is narrow."""


def collection(view: View, ids: Mapping[str, GraphIds]) -> Json:
    """Return all graphs: nodes grouped by the call that owns them, with bodies and functions as graphs of their own."""
    graphs: list[Json] = []
    for path, graph in view.graphs.items():
        graphs.append({"id": ids[path].graph, "nodes": _GraphWriter(view, graph, ids).nodes()})
    graphs[0]["groupNodeAttributes"] = groups_of(view)
    return {"label": visible(view.sidecar.model.file), "graphs": graphs}


class _GraphWriter:
    """Writes the nodes of one graph."""

    def __init__(self, view: View, graph: GraphView, ids: Mapping[str, GraphIds]) -> None:
        self.view, self.graph, self.all_ids, self.ids = view, graph, ids, ids[graph.path]
        self.weights = {row.name: row for row in view.sidecar.initializers} if not graph.path else {}
        self.readers: defaultdict[str, set[int]] = defaultdict(set)
        for node in graph.nodes:
            for read in (*node.reads, *node.captures):
                if read is not None and read.node is None and read.graph == graph.path:
                    self.readers[read.value].add(view.sidecar.nodes[node.row].owner)
        self.tree = CallTree(view.sidecar.calls)
        self.described: dict[tuple[str, str], list[Json]] = {}

    def nodes(self) -> list[Json]:
        """Return inputs, weights and what is captured, then nodes, then outputs, then what stands for numbers of no node."""
        nodes = [self._end(end, name) for end, name in self.ids.ends.items()]
        nodes += [self._node(node) for node in self.graph.nodes]
        nodes += [self._output(*output) for output in zip(self.ids.outputs, self.graph.outputs, strict=True)]
        return nodes + [self._elsewhere(row, name) for row, name in self.ids.elsewhere.items()]

    def _node(self, node: NodeView) -> Json:
        row = self.view.sidecar.nodes[node.row]
        reads = [(place, read) for place, read in enumerate((*node.reads, *node.captures)) if read is not None]
        label = f"{node.domain}::{row.op_type}" if node.domain not in ("", "ai.onnx") else row.op_type
        shown: Json = {
            "id": self.ids.nodes[node.row],
            "label": visible(label),
            "namespace": self.view.namespaces[row.owner],
            "attrs": _attributes({**self._facts(row), **node.attributes}),
            "incomingEdges": [self._edge(read, place) for place, read in reads],
            "inputsMetadata": [self._metadata(place, read.graph, read.value) for place, read in reads],
            "outputsMetadata": [
                self._metadata(place, self.graph.path, name) for place, name in enumerate(node.outputs) if name
            ],
        }
        if node.graphs:
            shown["subgraphIds"] = [self.all_ids[path].graph for path in node.graphs]
        return shown

    def _facts(self, row: Node) -> dict[str, str]:
        sidecar = self.view.sidecar
        facts = {"name": row.name, "owner known by": row.known_by}
        if row.originals:
            facts["stands for"] = ", ".join(row.originals)
        if row.covers:
            facts["of the calls"] = ", ".join(sidecar.tag(sidecar.calls[call]) for call in row.covers)
        return facts

    def _end(self, end: tuple[str, str], name: str) -> Json:
        """Return what stands for a value that no node of the graph makes."""
        path, value = end
        shown: Json = {"id": name, "namespace": "", "outputsMetadata": [self._metadata(0, path, value)]}
        if path != self.graph.path:
            return {**shown, "label": "Captured", "attrs": _attributes({"from": path or "the main graph"})}
        if value in self.graph.inputs:
            return {**shown, "label": visible(value) or "Input"}
        readers = self.readers[value]
        shown["namespace"] = self.view.namespaces[self.tree.common(readers) if readers else 0]
        row = self.weights.get(value)
        facts = {} if row is None else {"parameter": row.parameter or "", "transform": row.transform or ""}
        return {**shown, "label": "Weight", "attrs": _attributes({"name": value, **facts})}

    def _output(self, name: str, read: Read) -> Json:
        metadata = [self._metadata(0, read.graph, read.value)]
        edges = [self._edge(read, 0)]
        return {
            "id": name,
            "label": visible(read.value) or "Output",
            "namespace": "",
            "incomingEdges": edges,
            "inputsMetadata": metadata,
        }

    def _elsewhere(self, row: int, name: str) -> Json:
        text = "numbers of this call that are of none of its nodes, such as the time of what a runtime made of several"
        return {
            "id": name,
            "label": f"elsewhere in {self.view.namespaces[row].rpartition('/')[2] or 'the model'}",
            "namespace": self.view.namespaces[row],
            "attrs": _attributes({"is": text}),
        }

    def _edge(self, read: Read, place: int) -> Json:
        source = None if read.node is None else self.ids.nodes.get(read.node)
        return {
            "sourceNodeId": source or self.ids.ends[read.graph, read.value],
            "sourceNodeOutputId": str(read.output if source else 0),
            "targetNodeInputId": str(place),
        }

    def _metadata(self, place: int, path: str, value: str) -> Json:
        said = self.described.get((path, value))
        if said is None:
            kind = self.view.graphs[path].types.get(value, ValueType("UNDEFINED", None))
            said = _attributes({"tensor_name": value, "tensor_shape": str(kind)})
            self.described[path, value] = said
        return {"id": str(place), "attrs": said}


def _attributes(facts: Mapping[str, str]) -> list[Json]:
    """Return key and value of all that is said, as text that can be seen; what is empty is left out."""
    return [{"key": visible(key), "value": visible(text, TEXT_LENGTH)} for key, text in facts.items() if text]
