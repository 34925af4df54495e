"""What is validated, and how it is named in messages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import onnx_ir as ir

from hx_graph import CallTree, all_nodes, output_of, values_in
from hx_sidecar_schema import Module, Sidecar


class Subject:
    """A model and its sidecar, with look-ups that every check may use, whatever is wrong with the rows.

    Args:
        model: Read from the file; not changed.
        sidecar: Parsed; its rows may contradict one another and the model.
    """

    def __init__(self, model: ir.Model, sidecar: Sidecar) -> None:
        self.model = model
        self.sidecar = sidecar
        self.nodes = [(path, output_of(node), node) for path, node in all_nodes(model)]
        """Graph path, first output, node; in the order that rows have."""

    @property
    def is_part(self) -> bool:
        """Whether the model was cut out of another one: modules around it, and those not called, have no rows.

        A file of format 1.0 does not say so. There a root that is not the model's tells, or a summary without
        categories where the root's own call was cut out.
        """
        sidecar = self.sidecar
        if sidecar.cut_from is not None:
            return True
        inner = any(module.fqn for module in sidecar.modules[:1]) or any(
            call.index for call in sidecar.calls[:1]
        )
        return inner or bool(sidecar.nodes and not sidecar.summary.category_statistics)

    @cached_property
    def found(self) -> dict[tuple[str, str], ir.Node]:
        """Nodes by their identity."""
        return {(path, output): node for path, output, node in self.nodes}

    @cached_property
    def values(self) -> dict[str, list[ir.Value]]:
        """All values that have a name, of the main graph and its bodies: inputs, weights, what nodes make."""
        values: dict[str, list[ir.Value]] = {}
        for value in values_in(self.model.graph):
            if value.name:
                values.setdefault(value.name, []).append(value)
        return values

    @cached_property
    def tree(self) -> CallTree:
        """The calls; only where they are in pre-order."""
        return CallTree(self.sidecar.calls)

    @cached_property
    def module_rows(self) -> dict[str, int]:
        """Modules by all their names."""
        rows: dict[str, int] = {}
        for row, module in enumerate(self.sidecar.modules):
            for name in (module.fqn, *module.aliases):
                rows.setdefault(name, row)
        return rows

    def call_name(self, row: int) -> str:
        """Return how people call a call, also where its row is broken."""
        call = self.sidecar.calls[row]
        if not 0 <= call.module < len(self.sidecar.modules):
            return f"call {row}"
        name = module_name(self.sidecar.modules[call.module])
        return f"{name}@{call.index}" if call.index else name

    def owner_name(self, row: int) -> str:
        """Return the name of a call, or the number where there is no such row."""
        return self.call_name(row) if 0 <= row < len(self.sidecar.calls) else f"call {row}"


def module_name(module: Module) -> str:
    """Return a module's fqn; of the root, which has none, its tag."""
    return module.fqn or module.tag


def node_name(graph: str, output: str) -> str:
    """Return a node's identity as `operation_hierarchy` has it."""
    return f"{graph}:{output}" if graph else output


def named(words: Iterable[object]) -> str:
    """Return values for a message: all of few, the first of many."""
    rest = [repr(word) for word in words]
    more = f" and {len(rest) - 4} more" if len(rest) > 4 else ""
    return ", ".join(rest[:4]) + more
