"""A model as an HTML page: what the page holds as data, and the page around it."""

from __future__ import annotations

import json
import math
import shlex
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from typing import Any

from hx_sidecar_schema import Initializer, ModuleCall, Port, Sidecar, simple_name, visible
from hx_viewer._beside import notes_beside, rows_by_name, totals_beside
from hx_viewer._column import Column
from hx_viewer._graphs import Read, ValueType
from hx_viewer._view import View

Json = dict[str, Any]
PAGE_NODES = 50_000
"""A page of more nodes shows modules only: its file would be larger than a browser likes to read."""


def html_page(view: View) -> str:
    """Return a model as one HTML page with nothing outside it: the tree of calls with all numbers, and what is known of each.

    Nothing that a name contains can run: names are data, which the page shows as text, and its policy allows its own script alone.
    """
    layout = _file("vendored/dagre.min.js").partition("\n//# sourceMappingURL=")[0]
    parts = {
        "page.css": _file("page.css"),
        "layout.js": f"{_file('vendored/dagre.min.js.LEGAL.txt')}{layout}",
        "page.js": "\n".join(['"use strict";', *map(_file, ("graph.js", "flame.js", "page.js"))]),
    }
    page = _file("page.html")
    for name, text in parts.items():
        digest = b64encode(sha256(text.encode()).digest()).decode()
        page = page.replace(f"/*{name}*/", text).replace(f"HASH-{name}", f"sha256-{digest}")
    data = json.dumps(page_data(view), separators=(",", ":"), allow_nan=False)
    return page.replace("/*data*/", data.replace("<", "\\u003c"))  # no tag can begin in the text of a script


def _file(name: str) -> str:
    return files("hx_viewer.page").joinpath(name).read_text(encoding="utf-8")


def page_data(view: View) -> Json:
    """Return what the page shows. Calls are numbered as in the whole tree, nodes as in the sidecar."""
    sidecar, summary = view.sidecar, view.sidecar.summary
    tree = view.hierarchy.tree(everything=True).calls
    rows = rows_by_name(sidecar)
    order = [rows[entry.fqn, entry.call] for entry in tree]
    places = {row: place for place, row in enumerate(order)}
    columns = _columns(view)
    whole = len(sidecar.nodes) <= PAGE_NODES
    notes = [] if whole else [f"The model has {len(sidecar.nodes):,} nodes: this page shows its modules only."]
    notes += dict.fromkeys(note for column in columns for note in column.notes)
    others: Mapping[str, Mapping[int, float]] = {}
    if view.against is not None:
        others = totals_beside(_columns(view.against), rows_by_name(view.against.sidecar), rows)
        notes += notes_beside(view, view.against)
    facts = [f"{len(sidecar.nodes):,} nodes", f"{sidecar.calls_made:,} calls", sidecar.generator.exporter]
    facts += [f"{summary.exact_percent:g} % known exactly", f"{summary.covered_percent:g} % covered"]
    calls = _calls(view, order, places)
    for call, entry in zip(calls, tree, strict=True):
        call["parent"] = entry.parent
        if entry.status == "not_called" and entry.parent is not None:  # it hangs below the module that holds it
            call["name"] = call["name"].removeprefix(f"{calls[entry.parent]['fqn']}.")
    return {
        "model": visible(sidecar.model.file),
        "facts": [visible(fact) for fact in facts if fact],
        "notes": [visible(note, None) for note in notes],
        "against": view.against and _name_beside(view, view.against),
        "columns": [_column(column, others.get(column.name), order, places, whole) for column in columns],
        "calls": calls,
        "graphs": [visible(path) for path in view.graphs] if whole else [],
        **(_graphs(view, places) if whole else {"types": [], "inputs": [], "outputs": [], "nodes": []}),
    }


def _name_beside(view: View, against: View) -> str:
    same = against.hierarchy is view.hierarchy
    return "other records of it" if same else visible(against.sidecar.model.file)


def _columns(view: View) -> list[Column]:
    """Return the numbers that every model has, and those that are given."""
    rows = rows_by_name(view.sidecar)
    weights = {rows[entry.fqn, entry.call]: entry.weights for entry in view.hierarchy.tree(everything=True).calls}
    return [*_counts(view.sidecar), Column("weights", "parameters", "", total=weights), *view.columns]


def _counts(sidecar: Sidecar) -> list[Column]:
    """Return how many nodes calls have, and of how many of these the owner is known exactly."""
    exact = {row: 1.0 for row, node in enumerate(sidecar.nodes) if node.confidence == "high"}
    counted = Column.of_nodes(sidecar, "nodes", "nodes", "", dict.fromkeys(range(len(sidecar.nodes)), 1.0))
    known = Column.of_nodes(sidecar, "exact", "exact", "%", exact).total
    shares = {row: 100 * known.get(row, 0) / number for row, number in counted.total.items()}
    return [replace(counted, nodes={}), Column("exact", "exact %", "%", adds_up=False, total=shares)]


def _column(
    column: Column, other: Mapping[int, float] | None, order: list[int], places: Mapping[int, int], whole: bool
) -> Json:
    scale = "rest" if column.unit == "%" else "log" if column.of_outputs else "share"
    return {
        "name": column.name,
        "title": column.title.removesuffix(f", {column.unit}"),
        "unit": column.unit,
        "scale": scale,
        "total": [_number(column.total.get(row)) for row in order],
        "own": [_number(column.own.get(row)) for row in order] if column.own else None,
        "other": None if other is None else [_number(other.get(row)) for row in order],
        "nodes": {str(row): _number(number) for row, number in column.nodes.items()} if whole else {},
        "remarks": {str(places[row]): visible(text, None) for row, text in column.remarks.items()},
    }


def _number(number: float | None) -> float | str | None:
    """Return a number as JSON has it, which knows none that is infinite."""
    if number is None:
        return None
    if not math.isfinite(number):
        return json.dumps(number)  # as JavaScript reads it: Infinity
    return int(number) if number == int(number) else number


def _calls(view: View, order: list[int], places: Mapping[int, int]) -> list[Json]:
    sidecar = view.sidecar
    readers, classes = _readers(sidecar), {simple_name(module.class_name) for module in sidecar.modules}
    weights = {row.parameter: row for row in sidecar.initializers if row.parameter}
    outputs = {info.name for info in sidecar.model.outputs}
    calls: list[Json] = []
    for row in order:
        call, module = sidecar.calls[row], sidecar.module_of(sidecar.calls[row])
        prefix = f"{module.fqn}." if module.fqn else ""
        calls.append(
            {
                "name": visible(view.namespaces[row].rpartition("/")[2] or simple_name(module.class_name) or "model"),
                "fqn": visible(module.fqn),
                "tag": visible(sidecar.tag(call)),
                "class": visible(module.class_name),
                "status": call.status,
                "reason": visible(call.reason, None),
                "inputs": [_port(port) for port in call.inputs],
                "outputs": [_port(port) for port in call.outputs],
                "parameters": [_parameter(name, weights.get(prefix + name)) for name in module.direct_parameters],
                "readers": sorted(places[reader] for reader in readers[row]),
                "results": [visible(port.value) for port in call.outputs if port.value in outputs and port.value],
                "command": extract_command(sidecar, call, classes) if call.status == "extractable" else "",
            }
        )
    return calls


def _readers(sidecar: Sidecar) -> list[set[int]]:
    """Return for each call those that read what it, or a call below it, made, and are not below it themselves."""
    readers: list[set[int]] = [set() for _ in sidecar.calls]
    for node in sidecar.nodes:
        for reader in node.consumers:
            row: int | None = node.owner
            while row is not None and not row <= reader < sidecar.subtree_end[row]:
                readers[row].add(reader)
                row = sidecar.calls[row].parent
    return readers


def _port(port: Port) -> list[str]:
    remark = "unused" if port.unused else "implicit" if port.implicit else ""
    kind = str(ValueType(port.dtype, port.shape))
    return [visible(port.name), kind, visible(port.value or port.initializer or ""), remark]


def _parameter(name: str, weight: Initializer | None) -> list[str]:
    if weight is None:
        return [visible(name), "", ""]
    size = "" if weight.elements is None else f"{weight.elements:,}"
    return [visible(name), size, " ".join(filter(None, (visible(weight.name), weight.transform)))]


def extract_command(sidecar: Sidecar, call: ModuleCall, classes: Iterable[str]) -> str:
    """Return the command that cuts a call out, quoted for a shell; empty where no pattern names it alone.

    Args:
        sidecar: Of the model.
        call: One that is extractable.
        classes: Names of all classes in the model: one that is an fqn too names more than that module.
    """
    module = sidecar.module_of(call)
    clear = [text for text in (module.fqn, module.tag) if text and "@" not in text and "*" not in text]
    named = next((text for text in clear if text == module.tag or (text not in classes and text[0] != "/")), "")
    if not named or "..." in named:
        return ""
    file = sidecar.model.file
    pattern = f"{named}@{call.index}" if call.index else named
    option = [f"--module={pattern}"] if pattern.startswith("-") else ["--module", pattern]
    words = ["hx", "extract", f"./{file}" if file.startswith("-") else file, *option]
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Return a word as a shell reads it; characters that cannot be seen are escaped as bash and zsh know it."""
    if visible(word, None) == word:
        return shlex.quote(word)
    seen = (c if visible(c) == c else f"\\U{ord(c):08x}" for c in word.replace("\\", "\\\\").replace("'", "\\'"))
    return f"$'{''.join(seen)}'"


def _graphs(view: View, places: Mapping[int, int]) -> Json:
    """Return the graphs with all nodes; what is read is named, with the number of its graph where that is another."""
    nodes: list[Json] = [{}] * len(view.sidecar.nodes)
    graphs = {path: number for number, path in enumerate(view.graphs)}

    def read_from(path: str, read: Read | None) -> str | list[Any] | None:
        if read is None:
            return None
        return visible(read.value) if read.graph == path else [graphs[read.graph], visible(read.value)]

    for path, graph in view.graphs.items():
        for node in graph.nodes:
            row = view.sidecar.nodes[node.row]
            nodes[node.row] = {
                "call": places[row.owner],
                "graph": graphs[path],
                "op": visible(row.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{row.op_type}"),
                "name": visible(row.name),
                "reads": [read_from(path, read) for read in (*node.reads, *node.captures)],
                "captured": len(node.captures),
                "outputs": [visible(name) for name in node.outputs],
                "known": row.known_by,
                "attributes": {visible(name): visible(text) for name, text in node.attributes.items()},
                "graphs": [graphs[inside] for inside in node.graphs],
                "originals": [visible(name) for name in row.originals],
            }
    return {
        "types": [{visible(name): str(kind) for name, kind in graph.types.items()} for graph in view.graphs.values()],
        "inputs": [[visible(name) for name in graph.inputs] for graph in view.graphs.values()],
        "outputs": [[read_from(path, read) for read in graph.outputs] for path, graph in view.graphs.items()],
        "nodes": nodes,
    }
