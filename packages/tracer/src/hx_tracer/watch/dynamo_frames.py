"""Module calls that Dynamo traces: in the bodies of `torch.cond`, `while_loop` and `scan`, and in strict capture.

Dynamo interprets bytecode: tensors are nodes of a graph of its own, modules are variables. `torch._dynamo.comptime` is
its hook: a function that it is given runs while Dynamo is at that line. Local variables of the frame are turned into
values of the shape of the real ones; each tensor is the fake one that Dynamo keeps for its node. Seen on torch 2.13.
"""

import dataclasses
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from hx_tracer._torch_internals import dynamo_translator, dynamo_variable, dynamo_variable_types


class DynamoListener(Protocol):
    """Is told of the module calls that Dynamo comes to. A context is a `torch._dynamo.comptime.ComptimeContext`."""

    dynamo_error: Exception | None
    """What a method raised. Dynamo, and with it the export, ends in this error; no method is called after it."""

    def enter_call(self, context: Any) -> None:
        """Take that a call begins; its frame has the variables `module`, `args` and `kwargs`."""
        ...

    def leave_call(self, context: Any) -> None:
        """Take that it ends; its frame has `module` and `result`."""
        ...


UNKNOWN = object()
"""Stands for an object that may hold tensors."""

dynamo_listener: ContextVar[DynamoListener | None] = ContextVar("dynamo_listener", default=None)


def enter_call(context: Any) -> None:
    """Tell the listener of this context, if any. Dynamo finds this function by its name: it may have no closure."""
    _tell("enter_call", context)


def leave_call(context: Any) -> None:
    """Tell the listener of this context, if any."""
    _tell("leave_call", context)


def _tell(method: str, context: Any) -> None:
    listener = dynamo_listener.get()
    if listener is None or listener.dynamo_error is not None:
        return
    try:
        getattr(listener, method)(context)
    except Exception as error:
        listener.dynamo_error = error
        raise


@dataclass
class FrameValues:
    """Python values of a frame that Dynamo interprets, and the FX nodes behind their tensors."""

    graph: torch.fx.Graph
    """Where Dynamo is putting nodes now."""
    attempt: object
    """Identifies one attempt of Dynamo: it starts over when it learns something late."""
    depth: int
    """Frames around the one that Dynamo is in."""
    in_body: bool
    """Whether Dynamo is in the body of a control-flow operator."""
    _translator: Any
    _nodes: dict[int, torch.fx.Node] = field(default_factory=dict[int, torch.fx.Node])

    def node_of(self, tensor: torch.Tensor) -> torch.fx.Node | None:
        """Return the FX node behind a tensor that `value` returned."""
        return self._nodes.get(id(tensor))

    def value(self, variable: Any) -> Any:
        """Return the value of a variable of Dynamo: tensors, containers of them, constants; UNKNOWN for all else."""
        types = dynamo_variable_types()
        variable = variable.realize()
        if variable.is_tensor():
            node = variable.as_proxy().node
            tensor: torch.Tensor = node.meta["example_value"]
            self._nodes[id(tensor)] = node
            return tensor
        if variable.is_python_constant():
            return variable.as_python_constant()
        if isinstance(variable, types.NamedTupleVariable):
            return variable.tuple_cls(*map(self.value, variable.items))
        if isinstance(variable, types.BaseListVariable):  # torch.Size among them, which takes no symbols
            return tuple(map(self.value, variable.items))
        if dataclasses.is_dataclass(kind := variable.python_type()):
            fields = (field.name for field in dataclasses.fields(kind))
            return {name: self.value(variable.var_getattr(self._translator, name)) for name in fields}
        if isinstance(variable, types.ConstDictVariable):
            return {key.vt.as_python_constant(): self.value(item) for key, item in variable.items.items()}
        return UNKNOWN


def frame_of(context: Any, *names: str) -> tuple[FrameValues, torch.nn.Module, list[Any]]:
    """Return the values of the frame of a `ComptimeContext`, its variable `module`, and others by name."""
    translator = dynamo_translator(context)
    module = dynamo_variable(context, "module")
    key = getattr(module, "module_key", None)
    found = module.value if key is None else translator.output.get_submodule(key)
    depth, outer = 0, translator
    while (outer := getattr(outer, "parent", None)) is not None:
        depth += 1
    output = translator.output
    values = FrameValues(output.current_tracer.graph, output, depth, not output.is_root_tracer(), translator)
    return values, found, [values.value(dynamo_variable(context, name)) for name in names]
