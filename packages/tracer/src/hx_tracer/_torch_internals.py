"""Every underscored name of torch that hx uses; a test holds that no other file uses one.

torch promises none of them, and as little of the plain names that Dynamo's objects have: `watch/dynamo_frames` alone
reads these. Each was seen on torch 2.13.0, the version that the tests run with; what it is for stands beside it. A new
version of torch that breaks hx most likely breaks it here.
"""
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false, reportUnusedImport=false

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch._ops import HigherOrderOperator as HigherOrderOperator
from torch._subclasses.functional_tensor import FunctionalTensor as FunctionalTensor
from torch.fx.experimental import proxy_tensor
from torch.onnx._internal.exporter import _dynamic_shapes
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode, _disable_current_modes

# HigherOrderOperator: torch.cond and other operators with bodies. FunctionalTensor: what the decomposition of a program
# computes with. pytree: flattens containers as torch.export does. TorchDispatchMode: sees every ATen operation of a thread.

_UNTYPED: Any = torch._C
without_modes = _disable_current_modes
"""Takes the dispatch modes of this thread away while a block runs."""
without_torch_function = torch._C.DisableTorchFunction
"""Keeps `TorchFunctionMode`s from seeing what runs in a block."""
is_functorch_wrapped: Callable[[torch.Tensor], bool] = _UNTYPED._functorch.is_functorch_wrapped_tensor
"""Says whether a function transform such as vmap runs on a tensor, which has no data of its own then."""
MODULE_CALL: tuple[type[torch.nn.Module], str] = (torch.nn.Module, "_call_impl")
"""Owner and name of the method below `__call__`: it runs hooks and `forward`. Replaced to watch calls."""
COMPILED_CALL = "_compiled_call_impl"
"""Attribute of a module with what `Module.compile` made; `__call__` runs it instead of `_call_impl`."""
DIMS_FROM_STRINGS: tuple[object, str] = (_dynamic_shapes, "convert_str_to_export_dim")
"""Owner and name of the function that reads strings in `dynamic_shapes`.

It takes any tuple without tensors for the axes of one, and makes a list of it. Replaced where there are no strings.
"""
JIT_CSE: tuple[object, str] = (torch._C, "_jit_pass_cse")
"""Owner and name of the function with which the TorchScript exporter eliminates common subexpressions."""
JIT_LOG: tuple[object, str] = (torch._C, "_jit_onnx_log")
"""Owner and name of the function through which the TorchScript exporter prints the whole graph where it fails.

It means to do so only when asked to, and always does. Replaced to keep stdout clean.
"""


def current_graph() -> torch.fx.Graph | None:
    """Return the graph of the `make_fx` trace that runs in this thread; None where none runs."""
    mode = proxy_tensor.get_proxy_mode()
    return None if mode is None else mode.tracer.graph


def fx_node_of(tensor: torch.Tensor) -> torch.fx.Node | None:
    """Return the FX node that a tensor stands for in the running trace; None where it stands for none.

    Unlike torch's own lookup this does not bring a deferred view up to date, which would add operations to the graph.
    """
    mode = proxy_tensor.get_proxy_mode()
    if mode is None:
        return None
    if isinstance(tensor, FunctionalTensor):
        functional: Any = torch
        tensor = functional._from_functional_tensor(tensor.elem)
    slot: Any = proxy_tensor.get_proxy_slot(tensor, mode.tracer, None)
    return None if slot is None else slot.proxy.node


def last_node(graph: torch.fx.Graph) -> torch.fx.Node:
    """Return the last node of a graph, or the sentinel before its first one where it is empty."""
    return graph._root._prev


def nodes_after(graph: torch.fx.Graph, node: torch.fx.Node | None) -> Iterator[torch.fx.Node]:
    """Yield the nodes that follow one of a graph, all of them for None; not a copy: what is appended comes too."""
    current = (node or graph._root)._next
    while current is not graph._root:
        yield current
        current = current._next


def synchronize(tensor: FunctionalTensor) -> None:
    """Bring a view up to date with a tensor that was changed in place; the operations go into the running trace."""
    sync: Any = torch._sync
    sync(tensor)


def times_changed(tensor: FunctionalTensor) -> int:
    """Return how often the memory of a tensor was changed in place while a program is made functional."""
    functional: Any = torch
    return functional._functionalize_mutation_counter(tensor.elem)


def leaves_with_path(tree: Any, is_leaf: Callable[[Any], bool] = lambda _: False) -> list[tuple[tuple[str, ...], Any]]:
    """Return the leaves of a tree with the keys, indices or attributes that lead to each, as text.

    As `pytree.tree_flatten_with_path`, which (torch 2.13) refuses types that are registered without names for their
    children, as transformers 4.57 does its outputs: those go by their keys where they are mappings, else by position.
    """
    children, spec = pytree.tree_flatten(tree, is_leaf=lambda one: one is not tree)
    if spec.is_leaf() or is_leaf(tree):
        return [((), tree)]
    keyed = pytree.SUPPORTED_NODES[spec.type].flatten_with_keys_fn
    if keyed is not None:
        keys = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key, _ in keyed(tree)[0]]
    else:
        keys = [str(key) for key in (tree if isinstance(tree, Mapping) else range(len(children)))]
    return [
        ((key, *path), leaf)
        for key, child in zip(keys, children, strict=True)
        for path, leaf in leaves_with_path(child, is_leaf)
    ]


def is_readable(value: Any) -> bool:
    """Return whether a value is a tensor that has its data in memory: strided, not quantised, not under a transform."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.device.type != "meta"
        and not is_functorch_wrapped(value)
    )


def storage_id(tensor: torch.Tensor) -> int:
    """Return a number that tensors share exactly if they share memory, while one of them lives."""
    return tensor.untyped_storage()._cdata


def changes_in_place(operation: Any) -> bool:
    """Return whether the schema of an ATen operation says that it writes into an argument; False for all else."""
    schema = getattr(operation, "_schema", None)
    return schema is not None and schema.is_mutable


def returns_view(operation: Any) -> bool:
    """Return whether an ATen operation returns a view of an argument, which costs nothing; False for all else."""
    schema = getattr(operation, "_schema", None)
    return schema is not None and any(
        one.alias_info is not None and not one.alias_info.is_write for one in schema.returns
    )


def is_repeatable(operation: Any) -> bool:
    """Return whether an operation is ATen's and draws no random numbers; False for those with a body, such as torch.cond."""
    return torch.Tag.nondeterministic_seeded not in getattr(operation, "tags", [torch.Tag.nondeterministic_seeded])


def version_of(tensor: torch.Tensor) -> int | None:
    """Return the number of changes of a tensor in place, as autograd counts them; None for inference tensors."""
    return None if tensor.is_inference() else tensor._version


def module_identity(module: torch.nn.Module) -> int:
    """Return a number that tells modules apart.

    Not `id(module)`: where a module has several names, torch.export calls proxies that share its dict of submodules.
    """
    children = module.__dict__.get("_modules")  # a ScriptModule has none in Python
    return id(module if children is None else children)


def uncompiled_forward(module: torch.nn.Module) -> Any:
    """Return the `forward` that was given to `torch.compile`, bound to the module; None where it was not compiled."""
    if "dynamo_ctx" in module.__dict__:  # what torch.compile(module) returns
        original: Any = module._orig_mod
        return original.__call__
    forward, found = getattr(module, "forward", None), None
    while (inner := getattr(forward, "_torchdynamo_orig_callable", None)) is not None:
        forward = found = inner.__get__(module) if isinstance(forward, types.MethodType) else inner
    return found


def declared_signature(module: torch.nn.Module) -> inspect.Signature | None:
    """Return how a program of `torch.export` or TorchScript takes its inputs; None for any other module.

    Python's signature of `forward` does not tell: a program of `torch.export` takes each input by position or by name, as
    it was captured.
    """
    schema: Any = getattr(module.forward, "schema", None) if isinstance(module, torch.jit.ScriptModule) else None
    if schema is not None:
        parameters = [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY if one.kwarg_only else inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=one.default_value if one.has_default_value() else inspect.Parameter.empty,
            )
            for one in schema.arguments[1:]
        ]
        return inspect.Signature(parameters)
    known: Any = (
        getattr(module.graph._codegen, "pytree_info", None) if isinstance(module, torch.fx.GraphModule) else None
    )
    if known is None or known.in_spec.type is not tuple or known.in_spec.num_children != 2:
        return None
    args, kwargs = known.in_spec.children()
    names = [*known.orig_args[: args.num_children], *kwargs.context]
    kinds = [inspect.Parameter.POSITIONAL_ONLY] * args.num_children
    kinds += [inspect.Parameter.KEYWORD_ONLY] * kwargs.num_children
    return inspect.Signature([inspect.Parameter(name, kind) for name, kind in zip(names, kinds, strict=True)])


def jit_scope_names() -> MutableMapping[torch.nn.Module, str] | None:
    """Return the names that TorchScript's tracer gives to scopes, by module; None where no trace runs."""
    trace: Any = torch.jit
    return trace._trace._trace_module_map


def comptime() -> Any:
    """Return Dynamo's hook that runs a function while Dynamo is at its line. Imports Dynamo: half a second."""
    from torch._dynamo.comptime import comptime

    return comptime


def dynamo_variable_types() -> Any:
    """Return the module with Dynamo's classes of variables."""
    from torch._dynamo import variables

    return variables


def dynamo_translator(context: Any) -> Any:
    """Return what interprets the bytecode of the frame of a `ComptimeContext`."""
    return context._i_will_not_complain_if_bc_breaks_InstructionTranslator()


def dynamo_variable(context: Any, name: str) -> Any:
    """Return what Dynamo knows of a local variable in the frame of a `ComptimeContext`."""
    return context.get_local(name)._i_will_not_complain_if_bc_breaks_VariableTracker().realize()
