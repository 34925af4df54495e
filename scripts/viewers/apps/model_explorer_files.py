"""Model Explorer's own classes take what `hx view` writes, and its ONNX adapter finds the same groups in what `--embed` writes.

Reads `{"folders": {FOLDER: MODEL or null}}` from the first argument; prints what it found.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dacite
from model_explorer import graph_builder, node_data_builder
from model_explorer_onnx.main import ONNXAdapter

BRANCH = re.compile(r"\.(then|else)_branch$")
AROUND = re.compile(r"^.*/If <.*>/(then|else)_branch|/If <[^/]*>$")
IN_BRANCH = re.compile(r"^.*/(then|else)_branch/")
"""Where the adapter puts an If and its branches, and how it calls values there: all is in one graph."""


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
    """Return how many values are in the same group in both; fail if one is not, or an operator is missing where the adapter shows any."""
    main_graph = ONNXAdapter().convert(model, {})["graphs"][0]
    theirs = {
        IN_BRANCH.sub("", value).removesuffix("_if_"): AROUND.sub("", node.namespace.removeprefix(main_graph.id)).strip(
            "/"
        )
        for node, value in values([main_graph], "__tensor_tag")
        if node.label not in ("Input", "(Phi)") and not (node.label == "Initializer" and AROUND.search(node.namespace))
    }
    ours = {
        value: node.namespace for node, value in values(collection.graphs, "tensor_name") if node.label != "Captured"
    }
    both = ours.keys() & theirs.keys()
    other = {value: (ours[value], theirs[value]) for value in both if ours[value] != theirs[value]}
    assert not other, other
    main_and_branches = [collection.graphs[0], *(graph for graph in collection.graphs if BRANCH.search(graph.id))]
    operators = {
        value
        for node, value in values(main_and_branches, "tensor_name")
        if any(one.key == "owner known by" for one in node.attrs)
    }
    assert operators <= theirs.keys(), operators - theirs.keys()
    return len(both)


def values(graphs: list[Any], key: str) -> Iterator[tuple[Any, str]]:
    """Yield the nodes of graphs with the names of what they make, which are in an attribute."""
    for graph in graphs:
        for node in graph.nodes:
            for item in node.outputsMetadata:
                yield node, next(one.value for one in item.attrs if one.key == key)


if __name__ == "__main__":
    main()
