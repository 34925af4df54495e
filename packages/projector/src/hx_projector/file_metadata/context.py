"""A context for a file made elsewhere: the modules that its nodes and weights name, and their calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import onnx_ir as ir

from hx_graph import output_of, reads
from hx_projector.file_metadata.read import Written, written_on
from hx_sidecar_schema import (
    Example,
    HxError,
    Initializer,
    Module,
    ModuleCall,
    ModuleContext,
    Provenance,
    build_tags,
    simple_name,
)

_LIST = "torch.nn.modules.container.ModuleList"
_SEVERAL = "It ran several times, and the file does not say which node belongs to which run."

CallKey = tuple[str, int]


def read_context(model: ir.Model) -> ModuleContext:
    """Return what a file says of its modules, without the module at hand.

    Names of classes are known where the exporter wrote them; else the attribute's name stands in. Nothing is known of
    `forward`: `project` gives calls the values that cross their boundaries as ports.

    Raises:
        HxError: HX126 if neither nodes nor weights name any module.
    """
    nodes = list(model.graph)
    weights = list(model.graph.initializers)
    said = written_on(nodes, weights)
    owners = {name: name.rpartition(".")[0] for name in weights if _is_parameter(name)}
    classes: dict[str, str] = {}
    for row in said.values():
        classes.update(row.classes or {})
    fqns = _with_ancestors([*(row.fqn for row in said.values()), *owners.values()])
    if len(fqns) < 2:
        raise HxError(
            "Neither the nodes nor the weights of the model name any module.",
            code="HX126",
            hint="Give the PyTorch model: its values are compared with the graph's.",
            argument="against",
        )
    called = {row.fqn for row in said.values()} | set(owners.values())
    children: dict[str, list[str]] = {}
    for fqn in fqns[1:]:
        children.setdefault(fqn.rpartition(".")[0], []).append(fqn)
    for fqn in fqns:
        classes.setdefault(fqn, _class_of(fqn, children.get(fqn, []), called, model))
    rows = {fqn: row for row, fqn in enumerate(fqns)}
    own: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for name, owner in owners.items():
        own.setdefault(owner, []).append(name.rpartition(".")[2])
        parts = name.split(".")
        for depth in range(len(parts)):
            below.setdefault(".".join(parts[:depth]), []).append(".".join(parts[depth:]))
    names = [classes[fqn] for fqn in fqns]
    modules = [
        Module(
            fqn=fqn,
            class_name=name,
            tag=tag,
            tagged=True,
            parent=rows[fqn.rpartition(".")[0]] if fqn else None,
            parameters=below.get(fqn, []),
            direct_parameters=own.get(fqn, []),
            children={
                child.rpartition(".")[2]: simple_name(classes[child]) for child in children.get(fqn, [])
            },
        )
        for fqn, name, tag in zip(fqns, names, build_tags(fqns, names), strict=True)
    ]
    counts = Counter({fqn: 1 for fqn in fqns if classes[fqn] != _LIST})
    for row in said.values():
        counts[row.fqn] = max(counts[row.fqn], (row.index or 0) + 1)
    several = _run_several_times(nodes, said, owners, fqns)
    keys, calls = _calls(fqns, counts, several)
    return ModuleContext(
        generator=Provenance(strategy="project", exporter=_producer(model)),
        modules=modules,
        calls=calls,
        origins={output: [keys[row.fqn, row.index or 0]] for output, row in said.items()},
        initializers=[Initializer(name=name, parameter=name if name in owners else None) for name in weights],
        unsure_calls=[row for (fqn, _), row in keys.items() if fqn in several],
        examples=example_of(model.graph),
    )


def with_words(model: ir.Model, context: ModuleContext) -> ModuleContext:
    """Return the context of a run in PyTorch with what a file says of the same modules.

    Words that do not tell calls apart count for modules that were called once.
    """
    rows = {(context.modules[call.module].fqn, call.index): row for row, call in enumerate(context.calls)}
    called = Counter(fqn for fqn, _ in rows)
    names = {alias: module.fqn for module in context.modules for alias in (module.fqn, *module.aliases)}
    parameters = {f"{m.fqn}.{n}" if m.fqn else n for m in context.modules for n in m.direct_parameters}
    origins: dict[str, list[int]] = {}
    for output, row in written_on(model.graph, model.graph.initializers).items():
        fqn = names.get(row.fqn)
        if fqn is not None and called[fqn] and (row.index is not None or called[fqn] == 1):
            call = rows.get((fqn, row.index or 0))
            if call is not None:
                origins[output] = [call]
    initializers = [
        Initializer(name=name, parameter=name if name in parameters else None)
        for name in model.graph.initializers
    ]
    generator = context.generator.model_copy(update={"strategy": "project", "exporter": _producer(model)})
    return context.model_copy(
        update={"generator": generator, "origins": origins, "initializers": initializers}
    )


def example_of(graph: ir.Graph) -> dict[str, Example]:
    """Return ranges to draw inputs from, where nothing better is recorded: small numbers that index any table.

    Each symbol stands for a size of its own.
    """
    sizes: dict[str, int] = {}
    examples: dict[str, Example] = {}
    for value in graph.inputs:
        if value.shape is None or value.dtype is None or value.is_initializer():
            continue
        shape = [
            dim if isinstance(dim, int) else sizes.setdefault(str(dim.value), 2 + 3 * len(sizes))
            for dim in value.shape
        ]
        examples[str(value.name)] = Example(
            shape=shape, low=-1.0 if value.dtype.is_floating_point() else 0.0, high=1.0
        )
    return examples


def _producer(model: ir.Model) -> str:
    return " ".join(part for part in (model.producer_name, model.producer_version) if part)


def _is_parameter(name: str) -> bool:
    """Weights that exporters make themselves are named `onnx::MatMul_12`, `val_3`."""
    return "." in name and "::" not in name and not name.startswith("/")


def _with_ancestors(fqns: list[str]) -> list[str]:
    """Return the names with those above them, the root first, parents before children, in order of appearance."""
    below: dict[str, list[str]] = {}
    seen = {""}
    for fqn in fqns:
        parts = fqn.split(".") if fqn else []
        for depth in range(len(parts)):
            name = ".".join(parts[: depth + 1])
            if name not in seen:
                seen.add(name)
                below.setdefault(".".join(parts[:depth]), []).append(name)
    ordered: list[str] = []
    pending = [""]
    while pending:
        name = pending.pop()
        ordered.append(name)
        pending += reversed(below.get(name, []))
    return ordered


def _class_of(fqn: str, children: list[str], called: set[str], model: ir.Model) -> str:
    if not fqn:
        return model.graph.name or "model"
    if children and fqn not in called and all(child.rpartition(".")[2].isdigit() for child in children):
        return _LIST
    parts = fqn.split(".")
    return next((part for part in reversed(parts) if not part.isdigit()), parts[-1])


def _run_several_times(
    nodes: list[ir.Node], said: Mapping[str, Written], owners: Mapping[str, str], fqns: list[str]
) -> set[str]:
    """Return modules whose runs the file does not tell apart: each reads a weight of its own more than once.

    And those above them, up to the first below which a module reads its weights once.
    """
    uses: Counter[str] = Counter()
    for node in nodes:
        row = said.get(output_of(node))
        if row is not None and row.index is None:
            uses.update(name for name in set(reads(node)) if owners.get(name) == row.fqn)
    most: dict[str, int] = {}
    for name, count in uses.items():
        most[owners[name]] = max(most.get(owners[name], 0), count)
    least = dict(most)
    """Of a module and those below it."""
    for fqn in reversed(fqns):
        above = fqn.rpartition(".")[0]
        if fqn and fqn in least:
            least[above] = min(least[fqn], least.get(above, least[fqn]))
    return {fqn for fqn in fqns if fqn and least.get(fqn, 0) > 1}


def _calls(
    fqns: list[str], counts: Mapping[str, int], several: set[str]
) -> tuple[dict[CallKey, int], list[ModuleCall]]:
    """Return calls in pre-order, and their rows. A later call of a child lies in a later call of its parent."""
    modules = {fqn: row for row, fqn in enumerate(fqns)}
    children: dict[str, list[str]] = {}
    for fqn in fqns:
        if fqn and fqn in counts:
            above = fqn.rpartition(".")[0]
            while above not in counts:
                above = above.rpartition(".")[0]
            children.setdefault(above, []).append(fqn)
    rows: dict[CallKey, int] = {}
    calls: list[ModuleCall] = []
    pending: list[tuple[CallKey, int | None]] = [(("", 0), None)]
    while pending:
        key, parent = pending.pop()
        rows[key] = len(calls)
        fqn, index = key
        calls.append(
            ModuleCall(
                module=modules[fqn],
                index=index,
                parent=parent,
                status="fused" if fqn in several else "extractable",
                reason=_SEVERAL if fqn in several else "",
            )
        )
        below = [
            (child, number)
            for child in children.get(fqn, [])
            for number in range(counts[child])
            if number * counts[fqn] // counts[child] == index
        ]
        pending += [(other, rows[key]) for other in reversed(below)]
    return rows, calls
