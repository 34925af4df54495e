"""Another graph in the place of module calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from hx_extractor import Extraction, Hierarchy
from hx_graph import CallTree, all_nodes, bring_into_order, called_functions, output_of
from hx_sidecar_schema import EMBEDDED, HxError, Node, Replacement, Sidecar
from hx_surgery._edited import edited_sidecar
from hx_surgery.replacing.adapt import adapted, drop_unused_functions, merge_functions
from hx_surgery.replacing.call import REPLACEMENT, CallReplacement, Edit
from hx_surgery.replacing.fit import fit, parameters_of, with_constants
from hx_surgery.replacing.graft import Grafted


@dataclass(frozen=True)
class Part:
    """A model that shall stand in the place of calls."""

    model: ir.Model
    file: str
    """Its name, for messages and for the sidecar."""
    file_digest: str = ""
    sidecar: Sidecar | None = None


@dataclass(frozen=True)
class Replaced:
    """A model with a part in the place of calls."""

    model: ir.Model
    sidecar: Sidecar
    calls: dict[int, Grafted]
    """What became of each call, by its row."""


def replace(parent: Hierarchy, rows: Sequence[int], part: Part, *, file: str) -> Replaced:
    """Put a part in the place of calls; the parent is not changed.

    What the part computes as the call did stays as it is: nodes, weights and names. All else of the call goes,
    unless others read it.

    Args:
        parent: The model.
        rows: Of the calls.
        part: Its inputs and outputs are ports of each of them, by name.
        file: Name that the file of the result will have.

    Raises:
        HxError: HX205 if a call is not extractable, HX221 if one lies in another, HX220 if the part does not fit, HX201 or
            HX206 if a value that the part needs is not in the graph.
    """
    sidecar = parent.sidecar
    _check_calls(sidecar, rows)
    model = parent.model.clone()
    model.metadata_props.pop(EMBEDDED, None)  # it is of the model as it was
    known = {row.key: row for row in sidecar.nodes}
    owned = {node: known[path, output_of(node)] for path, node in all_nodes(model)}
    like, parameters = _cut_from(parent, rows, part), parameters_of(part.sidecar)
    given = adapted(part.model if like is None else with_constants(part.model, like), model, part.file)
    model.ir_version = max(model.ir_version, given.ir_version)
    functions = called_functions(model.graph, model.functions) | given.functions.keys()
    edit = Edit(model, given, owned, merge_functions(given, model), rows)
    edit.share(given.graph.initializers)
    around = CallTree(sidecar.calls).common(rows)
    for _, node in all_nodes(model):
        if node not in owned:  # of a function that the part brings
            owned[node] = Node(output="", op_type="", owner=around, evidence=REPLACEMENT, confidence="high")
    done: dict[int, Grafted] = {}
    for row in sorted(rows):  # one that was merged with one before it is what that is now
        now = sidecar.model_copy(update={"nodes": _rows(model, owned)})
        call = Hierarchy(None, now, model).extract(row)
        done[row] = CallReplacement(edit, now, row, call, fit(given, call, like, parameters)).run()
    drop_unused_functions(model, functions)
    bring_into_order(model)
    stands = Replacement(file=part.file, file_digest=part.file_digest)
    anew = {name for each in done.values() for name in each.changed}
    old = {row for row, made in enumerate(sidecar.recovered) if not anew.isdisjoint(made.outputs)}
    calls = [
        call.model_copy(
            update={"recovered": [each for each in call.recovered if each not in old]}
            | ({"replaced": stands} if row in done and done[row].changed else {})
        )
        for row, call in enumerate(sidecar.calls)
    ]
    now = sidecar.model_copy(update={"calls": calls})
    return Replaced(model, edited_sidecar(model, now, file=file, rows=owned, editor="The replacement"), done)


def _cut_from(parent: Hierarchy, rows: Sequence[int], part: Part) -> Extraction | None:
    """Return the call whose weights the part's inputs are named after: the one that it was cut from, else the first that has them."""
    named = {str(value.name) for value in part.model.graph.inputs if not value.is_initializer()}
    sidecar, cut = parent.sidecar, part.sidecar and part.sidecar.cut_from
    from_here = (
        row
        for row, call in enumerate(sidecar.calls)
        if cut and (sidecar.module_of(call).fqn, call.index) == (cut.fqn, cut.index)
    )
    for row in (*from_here, *rows):
        named -= {port.name for port in sidecar.calls[row].inputs}
        if not named:
            return None
        if sidecar.calls[row].status == "extractable":
            call = parent.extract(row)
            if named <= call.model.graph.initializers.keys():
                return call
    return None


def _check_calls(sidecar: Sidecar, rows: Sequence[int]) -> None:
    for row in rows:
        call = sidecar.calls[row]
        if call.status != "extractable":
            message = f"Call {sidecar.tag(call)!r} cannot be replaced, it is {call.status}: {call.reason}"
            raise HxError(message, code="HX205", hint="Replace the module around it.")
        inner = next((other for other in rows if row < other < sidecar.subtree_end[row]), None)
        if inner is not None:
            message = f"Call {sidecar.tag(sidecar.calls[inner])!r} lies in call {sidecar.tag(call)!r}."
            raise HxError(message, code="HX221", hint="Name calls that do not hold each other.")


def _rows(model: ir.Model, owned: Mapping[ir.Node, Node]) -> list[Node]:
    return [
        owned[node].model_copy(update={"graph": path, "output": output_of(node)}) for path, node in all_nodes(model)
    ]
