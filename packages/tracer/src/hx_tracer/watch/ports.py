"""Port names of the tensors that a call takes and returns."""

import dataclasses
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import Any

import torch

from hx_tracer._torch_internals import declared_signature, leaves_with_path, pytree, uncompiled_forward

Path = tuple[str, ...]


def input_ports(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, torch.Tensor]]:
    """Return the tensors among a call's arguments, in the order of the signature, with their port names.

    A name is the parameter's, then the keys that lead to the tensor: `hidden_states`, `position_embeddings.0`, `args.0`
    for what `*args` takes; what `**kwargs` takes has its own keyword as name.
    """
    return [(path, leaf) for path, leaf in _arguments(module, args, kwargs) if isinstance(leaf, torch.Tensor)]


def input_constants(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments that are no tensors, by names like those of ports; defaults are left out.

    Values that JSON has are as they were when the call began; of any other, and of numbers that are not finite, `{"type": NAME}`.
    """
    signature = forward_signature(module)
    defaults = {} if signature is None else {p.name: p.default for p in signature.parameters.values()}
    found: dict[str, Any] = {}
    for path, leaf in _arguments(module, args, kwargs):
        default = defaults.get(path, inspect.Parameter.empty)
        if not isinstance(leaf, torch.Tensor) and not (leaf is default or (type(leaf) in _PLAIN and leaf == default)):
            plain = leaf is None or (type(leaf) in _PLAIN and leaf not in (math.inf, -math.inf) and leaf == leaf)
            found[path] = copy(leaf) if plain else {"type": type(leaf).__qualname__}
    return found


_PLAIN = (bool, int, float, str, list, tuple, dict)
"""Types that JSON has; containers are leaves where they are empty."""


def _arguments(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    signature = forward_signature(module)
    arguments: Mapping[str, Any]
    try:
        if signature is None:
            raise TypeError
        arguments = signature.bind(*args, **kwargs).arguments
    except TypeError:  # a wrong call raises in forward() itself, with a better message
        arguments = {"args": args, **kwargs}
    else:
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD and parameter.name in arguments:
                arguments = {k: v for k, v in arguments.items() if k != parameter.name} | arguments[parameter.name]
    return ((".".join((name, *path)), leaf) for name, value in arguments.items() for path, leaf in _leaves(value))


def output_ports(result: Any, input_names: Iterable[str]) -> list[tuple[str, torch.Tensor]]:
    """Return the tensors of a call's result with their port names.

    `output` for a tensor, `output.0` in a tuple, the key in a dict or dataclass. A name that an input port or an output
    before it has becomes `NAME.output`, an empty one `output`.
    """
    taken = set(input_names)
    keyed = isinstance(result, Mapping) or dataclasses.is_dataclass(result)
    prefix: Path = () if keyed else ("output",)
    ports: list[tuple[str, torch.Tensor]] = []
    for path, leaf in _leaves(result):
        if isinstance(leaf, torch.Tensor):
            name = ".".join((*prefix, *path)) or "output"
            while name in taken:  # keys may be 1 and "1"
                name = f"{name}.output"
            taken.add(name)
            ports.append((name, leaf))
    return ports


def forward_signature(module: torch.nn.Module) -> inspect.Signature | None:
    """Return the signature of `forward` without `self`; None where Python has none."""
    forward = uncompiled_forward(module) or module.forward
    inner = getattr(forward, "__self__", module)
    if inner is not module and isinstance(inner, torch.nn.Module):  # what torch.compile(module) returns calls a module
        return forward_signature(inner)
    try:
        return declared_signature(module) or inspect.signature(forward)
    except (TypeError, ValueError):
        return None


def _leaves(value: Any) -> Iterator[tuple[Path, Any]]:
    """Yield what is no container, and containers that are empty, with the keys that lead there."""
    children: list[tuple[str, Any]] = []
    if isinstance(value, torch.Tensor):
        if value.is_nested:  # it has no shape, and stands for no value of a graph
            return
    elif isinstance(value, Mapping):
        children = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, (list, tuple)):
        children = [(str(index), child) for index, child in enumerate(value)]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        children = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif type(value) in pytree.SUPPORTED_NODES:
        children = [(".".join(path), leaf) for path, leaf in leaves_with_path(value)]
    if not children:
        yield (), value
    for key, child in children:
        for path, leaf in _leaves(child):
            yield (key, *path), leaf
