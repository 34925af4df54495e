"""Model Explorer's own classes take what `hx view` writes, and its ONNX adapter finds the same groups in what `--embed` writes.

Reads `{"folders": {FOLDER: MODEL or null}}` from the first argument; prints what it found.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dacite
from model_explorer import graph_builder, node_data_builder
from model_explorer_onnx.main import ONNXAdapter


def main() -> None:
    """Load all files of each folder, and compare groups with those of the model."""
    found: dict[str, dict[str, int]] = {}
    for folder, model in json.loads(sys.argv[1])["folders"].items():
        collection = load(Path(folder))
        found[folder] = {
            "graphs": len(collection.graphs),
            "nodes": sum(len(graph.nodes) for graph in collection.graphs),
            "same": same_groups(collection, model) if model else 0,
        }
    print(json.dumps(found))


def load(folder: Path) -> Any:
    """Return the graphs, and fail if Model Explorer's classes do not take a file, or node data names what is not there."""
    strict = dacite.Config(strict=True)
    read = {path.name: json.loads(path.read_text()) for path in folder.iterdir()}
    collection = dacite.from_dict(graph_builder.GraphCollection, read.pop("graph.json"), strict)
    read.pop("mapping.json", None)
    ids = {graph.id: {node.id for node in graph.nodes} for graph in collection.graphs}
    for name, graphs in read.items():
        # Words for numbers: the page takes them, its class does not say so.
        loose = dacite.Config(strict=True, check_types=name != "confidence.json")
        for graph, data in graphs.items():
            assert dacite.from_dict(node_data_builder.GraphNodeData, data, loose).results.keys() <= ids[graph], name
    return collection


def same_groups(collection: Any, model: str) -> int:
    """Return how many values are in the same group in both, and fail if one is not."""

    def groups(graph: Any, name: str) -> dict[str, str]:
        return {
            next(one.value for one in item.attrs if one.key == name): node.namespace
            for node in graph.nodes
            for item in node.outputsMetadata
            if node.label != "Input"
        }

    main_graph = ONNXAdapter().convert(model, {})["graphs"][0]
    theirs = {
        value: path.removeprefix(main_graph.id).removeprefix("/")
        for value, path in groups(main_graph, "__tensor_tag").items()
        if "/If <" not in path  # the adapter puts branches into the graph
    }
    ours = groups(collection.graphs[0], "tensor_name")
    both = (
        ours.keys() & theirs.keys()
    )  # the adapter makes values for what bodies capture, and drops weights that nothing reads
    other = {value: (ours[value], theirs[value]) for value in both if ours[value] != theirs[value]}
    assert not other, other
    assert len(both) > 0.7 * len(ours), ours.keys() ^ theirs.keys()
    return len(both)


if __name__ == "__main__":
    main()
