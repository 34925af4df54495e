"""What Model Explorer says of a group of nodes, which is a module call."""

from __future__ import annotations

from collections.abc import Iterable

from hx_sidecar_schema import ModuleCall, Port, visible
from hx_viewer._column import Column
from hx_viewer._graphs import ValueType
from hx_viewer._view import View

NAMES = 20
"""A list of names shows so many at most."""


def groups_of(view: View) -> dict[str, dict[str, str]]:
    """Return what is said of each call, by its namespace; of the model under the empty one, which is the root's."""
    sidecar = view.sidecar
    nodes = [len(owned) for owned in view.hierarchy.owned]
    groups: dict[str, dict[str, str]] = {}
    for row, call in enumerate(sidecar.calls):
        held = sum(nodes[row : sidecar.subtree_end[row]])
        if held or call.status != "not_called":
            facts = _model_facts(view) if row == 0 else {}
            facts |= {**_call_facts(view, call), "nodes": f"{held}, {nodes[row]} its own"} | _numbers(view, row)
            groups[view.namespaces[row]] = {key: visible(text, None) for key, text in facts.items() if text}
    return groups


def _model_facts(view: View) -> dict[str, str]:
    sidecar = view.sidecar
    notes = [note for column in view.columns for note in column.notes]
    return {
        "file": sidecar.model.file,
        "written by": sidecar.generator.exporter,
        "known exactly": f"{sidecar.summary.exact_percent:g} % of the nodes",
        "covered": f"{sidecar.summary.covered_percent:g} % of the nodes",
        "notes": " ".join(dict.fromkeys(notes)),
    }


def _call_facts(view: View, call: ModuleCall) -> dict[str, str]:
    module = view.sidecar.module_of(call)
    name = module.fqn if not call.index else f"{module.fqn}@{call.index}"
    return {
        "module": visible(name),
        "class": visible(module.class_name),
        "tag": visible(view.sidecar.tag(call)),
        "status": f"{call.status}: {call.reason}" if call.reason else call.status,
        "inputs": _listed(_port(port) for port in call.inputs),
        "outputs": _listed(_port(port) for port in call.outputs),
        "parameters": _listed(map(visible, module.direct_parameters)),
        "also named": _listed(map(visible, module.aliases)),
    }


def _port(port: Port) -> str:
    kind = ValueType(port.dtype, port.shape)
    remark = " (unused)" if port.unused else " (implicit)" if port.implicit else ""
    return f"{visible(port.name)} {kind}{remark}"


def _listed(texts: Iterable[str]) -> str:
    shown = list(texts)
    left = len(shown) - NAMES
    return ", ".join(shown[:NAMES]) + (f" and {left} more" if left > 0 else "")


def _numbers(view: View, row: int) -> dict[str, str]:
    return {column.title: text for column in view.columns if (text := _number(column, row))}


def _number(column: Column, row: int) -> str:
    total = column.total.get(row)
    if total is None:
        return ""
    digits = 3 if column.of_outputs else 15  # what adds up is exact
    own = f", {column.own[row]:,.{digits}g} its own" if row in column.own else ""
    remark = column.remarks.get(row)
    return f"{total:,.{digits}g}{own}" + (f" ({remark})" if remark else "")
