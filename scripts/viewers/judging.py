"""What `hx view` wrote of a model, beside what the sidecar and the profile say of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import hx
from hx_sidecar_schema import namespaces, visible

TEXT_LENGTH = 1000
"""Of an attribute in Model Explorer's files."""


class Judged(NamedTuple):
    """What was looked at in the files of one model, and was right."""

    nodes: int
    """Operators, each in the group of the call that owns it."""
    graphs: int
    groups: int
    """Calls that have nodes of their own."""
    timed: int
    """Calls with time, each of them the sum of what is below its group."""
    mapped: int
    """Nodes in `mapping.json`, each in one entry."""


def judge(hierarchy: hx.Hierarchy, folder: Path, profile: hx.Profile | None, original: Path | None = None) -> Judged:
    """Compare the files in a folder with the hierarchy, and fail where they say anything else.

    Args:
        hierarchy: Of the model that the files are of.
        folder: Of the files.
        profile: What `time.json` was made of; None where there is none.
        original: Of a relinked model the folder of files of the one that it was made of.
    """
    files = {path.name: json.loads(path.read_text()) for path in folder.iterdir()}
    graphs = files["graph.json"]["graphs"]
    paths = namespaces(hierarchy.sidecar)
    once([graph["id"] for graph in graphs])
    once([node["id"] for graph in graphs for node in graph["nodes"]])
    owned = owners(hierarchy, graphs, paths)
    times = {} if profile is None else add_up(hierarchy, graphs, files["time.json"], profile, paths)
    mapped = 0
    if hierarchy.sidecar.is_relinked and original is not None:
        before = json.loads((original / "graph.json").read_text())["graphs"]
        mapped = entries(files["mapping.json"]["mappingEntries"], before[0], graphs[0])
    return Judged(sum(owned.values()), len(graphs), len(owned), len(times), mapped)


def once(names: list[str]) -> None:
    """Fail if a name is there twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    assert not twice, twice


def owners(hierarchy: hx.Hierarchy, graphs: list[Any], paths: list[str]) -> Counter[str]:
    """Return how many operators each group has; fail if one is not in the group of its owner, whose group is in that of its caller."""
    sidecar = hierarchy.sidecar
    once(paths)
    for row, call in enumerate(sidecar.calls):
        if call.parent is not None:
            around = paths[call.parent]
            assert paths[row].rpartition("/")[0] == around, (paths[row], around)
    by_output = {(node.graph, visible(node.output, TEXT_LENGTH)): node for node in sidecar.nodes if node.output}
    suffix = f" of {sidecar.model.file}" if sidecar.is_relinked else ""
    of_graph = {visible(node.graph + suffix): node.graph for node in sidecar.nodes}
    found: Counter[str] = Counter()
    for place, graph in enumerate(graphs):
        path = "" if place == 0 else of_graph.get(graph["id"], "")
        for shown in graph["nodes"]:
            values = [entry["value"] for out in shown.get("outputsMetadata", ()) for entry in out["attrs"][:1]]
            said = {entry["key"] for entry in shown.get("attrs", ())}
            if "owner known by" in said:
                node = next(by_output[path, value] for value in values if (path, value) in by_output)
                assert shown["namespace"] == paths[node.owner], (shown["id"], shown["namespace"], paths[node.owner])
                found[shown["namespace"]] += 1
    assert sum(found.values()) == len(sidecar.nodes), "every node once"
    return found


def add_up(
    hierarchy: hx.Hierarchy, graphs: list[Any], data: Any, profile: hx.Profile, paths: list[str]
) -> dict[str, float]:
    """Return the time of each call that has any; fail if it is not what the nodes below its group add up to."""
    below: defaultdict[str, float] = defaultdict(float)
    for graph in graphs:
        results = data.get(graph["id"], {"results": {}})["results"]
        for node in graph["nodes"]:
            if node["id"] in results:
                segments = node["namespace"].split("/") if node["namespace"] else []
                for depth in range(len(segments) + 1):
                    below["/".join(segments[:depth])] += results[node["id"]]["value"]
    sidecar = hierarchy.sidecar
    rows = {(sidecar.module_of(call).fqn, call.index): row for row, call in enumerate(sidecar.calls)}
    times = {paths[rows[call.fqn, call.call]]: call.typical_us for call in profile.calls if call.kernels}
    other = {path: (time, below[path]) for path, time in times.items() if abs(time - below[path]) > 1e-6}
    assert not other, other
    return times


def entries(mapping: list[Any], left: Any, right: Any) -> int:
    """Return how many nodes are mapped; fail if one is in two entries, or in none of the two graphs."""
    for side, graph in (("leftNodeIds", left), ("rightNodeIds", right)):
        names = [name for entry in mapping for name in entry[side]]
        once(names)
        unknown = set(names) - {node["id"] for node in graph["nodes"]}
        assert not unknown, (side, unknown)
    return sum(len(entry["leftNodeIds"]) + len(entry["rightNodeIds"]) for entry in mapping)
