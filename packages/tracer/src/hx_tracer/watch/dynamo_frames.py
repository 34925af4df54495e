"""What Dynamo sees of a module call: in the bodies of `torch.cond`, `while_loop` and `scan`, and in strict capture.

Dynamo interprets bytecode: tensors are nodes of a graph of its own, modules are variables.
`comptime` is its public hook: the function it is given runs while Dynamo is at that line. The stand-ins returned here
have the shape of the real arguments; each tensor is the fake one that Dynamo keeps for its node.
"""

from __future__ import annotations

import dataclasses
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch


class BodyWatcher(Protocol):
    """Wants to know of the module calls that Dynamo comes to. A context is a `torch._dynamo.comptime.ComptimeContext`."""

    body_error: Exception | None
    """What went wrong when it was told; it is told no more then. Dynamo, and with it the export, ends in this error."""

    def enter_body(self, context: Any) -> None:
        """A call begins; its frame has `module`, `args` and `kwargs`."""
        ...

    def leave_body(self, context: Any) -> None:
        """It ends; its frame has `module` and `result` too."""
        ...


UNKNOWN = object()
"""Stands in for an object that may hold tensors."""

body_watcher: ContextVar[BodyWatcher | None] = ContextVar("body_watcher", default=None)


def enter_body(context: Any) -> None:
    """Tell the watcher, if there is one. Dynamo finds this function by its name, and it must have no closure."""
    _tell("enter_body", context)


def leave_body(context: Any) -> None:
    """Tell the watcher, if there is one."""
    _tell("leave_body", context)


def _tell(what: str, context: Any) -> None:
    watcher = body_watcher.get()
    if watcher is None or watcher.body_error is not None:
        return
    try:
        getattr(watcher, what)(context)
    except Exception as error:
        watcher.body_error = error
        raise


@dataclass
class BodyValues:
    """Python values of a frame that Dynamo interprets, and the FX nodes behind their tensors."""

    graph: torch.fx.Graph
    """Where Dynamo is putting nodes now."""
    trace: object
    """Identifies one attempt of Dynamo: it starts over when it learns something late."""
    depth: int
    """Frames around the one that Dynamo is in."""
    in_body: bool
    """Whether Dynamo is in the body of a control-flow operator."""
    _translator: Any
    _nodes: dict[int, torch.fx.Node] = field(default_factory=dict[int, torch.fx.Node])

    def node_of(self, tensor: torch.Tensor) -> torch.fx.Node | None:
        """Return the FX node of a stand-in."""
        return self._nodes.get(id(tensor))

    def value(self, variable: Any) -> Any:
        """Return a stand-in for a variable: tensors, containers of them, constants; UNKNOWN for all else."""
        from torch._dynamo import variables  # Dynamo, which is half a second to import, runs if this runs

        variable = variable.realize()
        if variable.is_tensor():
            node = variable.as_proxy().node
            tensor: torch.Tensor = node.meta["example_value"]
            self._nodes[id(tensor)] = node
            return tensor
        if variable.is_python_constant():
            return variable.as_python_constant()
        if isinstance(variable, variables.NamedTupleVariable):
            return variable.tuple_cls(*map(self.value, variable.items))
        if isinstance(variable, variables.BaseListVariable):  # torch.Size among them, which takes no symbols
            return tuple(map(self.value, variable.items))
        if dataclasses.is_dataclass(kind := variable.python_type()):
            fields = (field.name for field in dataclasses.fields(kind))
            return {name: self.value(variable.var_getattr(self._translator, name)) for name in fields}
        if isinstance(variable, variables.ConstDictVariable):
            return {key.vt.as_python_constant(): self.value(item) for key, item in variable.items.items()}
        return UNKNOWN


def frame_of(context: Any, *names: str) -> tuple[BodyValues, torch.nn.Module, list[Any]]:
    """Return the `module` and other local variables of the frame that Dynamo is in.

    Args:
        context: `torch._dynamo.comptime.ComptimeContext`.
        names: Of the other variables.
    """
    translator = context._i_will_not_complain_if_bc_breaks_InstructionTranslator()

    def variable(name: str) -> Any:
        return context.get_local(name)._i_will_not_complain_if_bc_breaks_VariableTracker().realize()

    module = variable("module")
    key = getattr(module, "module_key", None)
    found = module.value if key is None else translator.output.get_submodule(key)
    depth, outer = 0, translator
    while (outer := getattr(outer, "parent", None)) is not None:
        depth += 1
    output = translator.output
    values = BodyValues(output.current_tracer.graph, output, depth, not output.is_root_tracer(), translator)
    return values, found, [values.value(variable(name)) for name in names]
