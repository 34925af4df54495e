"""The arguments of a recorded call: its tensors from arrays, everything else as the export was given it."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from hx_sidecar_schema import HxError, ModuleCall, Port, Sidecar
from hx_tracer import Arguments, ExampleInputs, argument_leaves, as_tensor, forward_signature, nested, with_leaves


def as_example(
    module: torch.nn.Module, call: ModuleCall, example: ExampleInputs, tensors: Mapping[str, torch.Tensor]
) -> Arguments | None:
    """Return arguments that are nested like an example, with these tensors and the constants of the call.

    Args:
        module: What is called.
        call: As it was recorded.
        example: Says the nesting, and what is not recorded.
        tensors: By the names of ports, or in the order of the example's.

    Returns:
        None where neither names nor number are those of the example.
    """
    leaves = argument_leaves(module, example.args, example.kwargs)
    own = {path: leaf for path, leaf in leaves if isinstance(leaf, torch.Tensor)}
    if not tensors.keys() <= own.keys():
        if len(tensors) != len(own):
            return None
        tensors = dict(zip(own, tensors.values(), strict=True))
    for path, tensor in tensors.items():
        own[path] = torch.view_as_complex(tensor.contiguous()) if own[path].is_complex() else tensor
    recorded = call.constants or {}
    constants = {path: value for path, value in recorded.items() if not isinstance(value, dict) or not value}
    new = (own.get(path, constants.get(path, leaf)) for path, leaf in leaves)
    args, kwargs = with_leaves(example.args, example.kwargs, new)
    if call.constants is not None:  # defaults are not recorded
        plain = (bool, int, float, str, type(None))
        kwargs = {name: value for name, value in kwargs.items() if name in recorded or not isinstance(value, plain)}
        given = dict(leaves)
        kwargs |= {name: value for name, value in constants.items() if "." not in name and name not in given}
    return args, kwargs


def from_names(module: torch.nn.Module, sidecar: Sidecar, tensors: Mapping[str, torch.Tensor]) -> Arguments:
    """Return the arguments of a model's call as the names of its ports and constants say.

    `hx_tracer.nested` makes containers of them. What the graph does not use is zero.

    Args:
        module: What is called.
        sidecar: Of the model.
        tensors: By the names of the model's inputs.

    Raises:
        HxError: HX128 if the module was given what no file holds.
    """
    call = sidecar.calls[0]
    values: dict[str, Any] = {}
    for port in call.inputs:
        tensor = tensors.get(port.value or "")  # several ports may be one value
        values[port.name] = _zeros(port, sidecar, tensors) if tensor is None else tensor
    for path, value in (call.constants or {}).items():
        if isinstance(value, dict) and value:
            raise HxError(
                f"{sidecar.modules[0].tag!r} was given {path!r}, a {value.get('type')}, which no file holds.",
                code="HX128",
                hint="Compare with a factory that returns (module, inputs), or compare the whole model.",
            )
        values[path] = value
    arguments = nested(values)
    signature = forward_signature(module)
    if signature is None:
        return (), arguments
    bound = inspect.BoundArguments(signature, {n: arguments.pop(n) for n in signature.parameters if n in arguments})  # pyright: ignore[reportArgumentType] typeshed wants an OrderedDict
    if any(p.kind is p.VAR_POSITIONAL and p.name in bound.arguments for p in signature.parameters.values()):
        bound.apply_defaults()  # else it would go by name where a parameter before it is missing
    return bound.args, {**bound.kwargs, **arguments}


def _zeros(port: Port, sidecar: Sidecar, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    sizes: dict[int | str, int] = {}
    for info in sidecar.model.inputs:
        sizes |= dict(zip(info.shape, tensors[info.name].shape, strict=False))
    shape = [dim if isinstance(dim, int) else sizes.get(dim, 1) for dim in port.shape]
    return as_tensor(np.zeros(shape, ir.DataType[port.dtype].numpy()))
