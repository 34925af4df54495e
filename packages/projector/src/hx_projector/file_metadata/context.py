"""A `ModuleContext` by what a file says: for a file that was made elsewhere, or added to the context of a PyTorch run."""

from collections import Counter
from collections.abc import Container, Mapping

import onnx_ir as ir

from hx_graph import nodes_in, output_of, reads
from hx_projector._claims import Claim
from hx_projector._graph_index import grouped, preorder
from hx_projector.file_metadata.claims import file_claims, is_parameter, parent_name, weight_names
from hx_projector.file_metadata.modules import MODULE_LIST, calls_of, indistinct_modules, modules_of, with_ancestors
from hx_sidecar_schema import CONTAINERS, Initializer, ModuleCall, ModuleContext, Provenance, node_name


def read_context(model: ir.Model) -> ModuleContext:
    """Return what a file says of its modules, without the module at hand.

    Names of classes are known where the exporter wrote them; else the attribute's name stands in. Nothing is known of
    `forward`: calls have no ports. A file that names no module has the root alone, of which no node is known.
    """
    weights = weight_names(model.graph)
    claims = file_claims(model.graph)
    module_of_weight = {name: parent_name(name) for name in weights if is_parameter(name)}
    named = [*(claim.fqn for claim in claims.values()), *module_of_weight.values()]
    fqns = with_ancestors(named)
    classes = {fqn: name for claim in claims.values() for fqn, name in claim.classes.items()}
    modules = modules_of(fqns, classes, module_of_weight, set(named), model.graph.name or "model")
    ran = {fqn for claim in claims.values() for fqn in (claim.fqn, *claim.others, *claim.classes)}
    # Modules around those that say what ran around them, and do not name these.
    passed_by = set(with_ancestors(claim.fqn for claim in claims.values() if claim.classes)[1:]) - ran
    counts = Counter({m.fqn: 1 for m in modules if m.class_name != MODULE_LIST and m.fqn not in passed_by})
    for claim in claims.values():
        counts[claim.fqn] = max(counts[claim.fqn], (claim.index or 0) + 1)
    indistinct = indistinct_modules(model.graph, claims, module_of_weight, fqns)
    rows, calls = calls_of(fqns, counts, indistinct)
    return ModuleContext(
        generator=Provenance(strategy="project", exporter=_producer(model)),
        modules=modules,
        calls=calls,
        origins={
            output: [rows[claim.fqn, claim.index or 0], *(rows[other, 0] for other in claim.others)]
            for output, claim in claims.items()
        },
        initializers=_initializers(model, module_of_weight),
        unsure_calls=[row for (fqn, _), row in rows.items() if fqn in indistinct],
        unsure_nodes=[output for output, claim in claims.items() if not claim.is_certain],
    )


def with_file_claims(model: ir.Model, context: ModuleContext) -> ModuleContext:
    """Return the context of a PyTorch run, with what a file says of the same modules as the exporter's record.

    What does not tell calls apart counts for modules that were called once.
    """
    rows = {(context.modules[call.module].fqn, call.index): row for row, call in enumerate(context.calls)}
    called = Counter(fqn for fqn, _ in rows)
    names = {alias: module.fqn for module in context.modules for alias in (module.fqn, *module.aliases)}
    parameters = {f"{m.fqn}.{n}" if m.fqn else n for m in context.modules for n in m.direct_parameters}
    origins: dict[str, list[int]] = {}
    unsure: list[str] = []
    for output, claim in file_claims(model.graph).items():
        fqns = [names.get(fqn, fqn) for fqn in (claim.fqn, *claim.others)]
        found = [row for fqn in fqns if (row := rows.get((fqn, claim.index or 0))) is not None]
        once = claim.index is not None or all(called[fqn] == 1 for fqn in fqns)
        if len(found) == len(fqns) and once:
            origins[output] = found
            unsure += [] if claim.is_certain else [output]
    update = {"origins": origins, "unsure_nodes": unsure, "initializers": _initializers(model, parameters)}
    generator = context.generator.model_copy(update={"strategy": "project", "exporter": _producer(model)})
    return context.model_copy(update={"generator": generator, **update})


def with_unseen_calls(
    graph: ir.Graph, context: ModuleContext, claims: Mapping[str, Claim]
) -> tuple[ModuleContext, Mapping[str, Claim]]:
    """Return the context of a PyTorch run and claims, with a call of each module that only nodes of bodies or their weights name.

    The run did not go into their branch. Such a call stands in its parent, behind what that called in the run, and has no
    ports. The nodes that name it are its own.
    """
    inner = {node_name(path, output_of(node)): node for path, node in nodes_in(graph) if path}
    named = {key: claim.fqn for key, claim in file_claims(graph).items() if key in inner} if inner else {}
    weights = {name for node in inner.values() for name in reads(node) if is_parameter(name)}
    module_rows = {name: row for row, m in enumerate(context.modules) for name in (m.fqn, *m.aliases)}
    call_of = {call.module: row for row, call in reversed(list(enumerate(context.calls)))}
    """First calls by modules."""
    calls = list(context.calls)
    callers: dict[int, int] = {}
    """Of modules without a call, those that called them."""
    for fqn in (*named.values(), *map(parent_name, sorted(weights))):
        module = module_rows.get(fqn, 0)
        while module not in call_of and module not in callers:
            caller = context.modules[module].parent or 0
            while caller not in call_of and context.modules[caller].class_name in CONTAINERS:
                caller = context.modules[caller].parent or 0
            callers[module] = caller
            module = caller
    if not callers:
        return context, claims
    call_of |= {module: len(calls) + number for number, module in enumerate(callers)}
    calls += [ModuleCall(module=row, index=0, parent=call_of[callers[row]], in_body=True) for row in callers]
    children = grouped((call.parent, row) for row, call in enumerate(calls))
    order = list(preorder(0, lambda row: children.get(row, ())))
    rows: dict[int | None, int] = {before: row for row, before in enumerate(order)}
    origins = {key: [rows[row] for row in found] for key, found in context.origins.items()}
    origins |= {key: [rows[call_of[row]]] for key, fqn in named.items() if (row := module_rows.get(fqn)) in callers}
    calls = [
        calls[row].model_copy(
            update={"parent": rows.get(calls[row].parent), "merged": [rows[one] for one in calls[row].merged]}
        )
        for row in order
    ]
    moved = {key: Claim(rows[claim.owner], claim.confidence) for key, claim in claims.items()}
    return context.model_copy(update={"calls": calls, "origins": origins}), moved


def _initializers(model: ir.Model, parameters: Container[str]) -> list[Initializer]:
    names = model.graph.initializers
    return [Initializer(name=name, parameter=name if name in parameters else None) for name in names]


def _producer(model: ir.Model) -> str:
    return " ".join(part for part in (model.producer_name, model.producer_version) if part)
