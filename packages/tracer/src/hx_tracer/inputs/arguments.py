"""The tensors among a module's arguments: their paths, their records, the arguments with others in their places.

Order and nesting are those of `torch.export`, which flattens positional arguments, then the named ones in the order in
which they are given: the inputs of the graph.
"""

import inspect
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from onnx_ir.tensor_adapters import TorchTensor

import hx_graph
from hx_sidecar_schema import Example
from hx_tracer._torch_internals import leaves_with_path, pytree
from hx_tracer.watch.ports import forward_signature

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional ones, and those by name."""


def input_paths(kwargs: Mapping[str, Any]) -> list[tuple[str, torch.Tensor]]:
    """Return every tensor of inputs by name with its path: the name, then the keys that lead to it (`state.0.key`)."""
    return [(path, leaf) for path, leaf in _leaves(kwargs) if isinstance(leaf, torch.Tensor)]


def _leaves(kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((".".join((name, *path)), leaf) for name in kwargs for path, leaf in leaves_with_path(kwargs[name]))


def argument_paths(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, torch.Tensor]]:
    """Return every tensor among a module's arguments with its path; `positional_names` says how those of `args` begin."""
    return input_paths(named_arguments(module, args, kwargs))


def argument_leaves(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what is no container among a module's arguments, with paths as of `argument_paths`."""
    return list(_leaves(named_arguments(module, args, kwargs)))


def with_leaves(args: tuple[Any, ...], kwargs: Mapping[str, Any], leaves: Iterable[Any]) -> Arguments:
    """Return arguments that are nested like these, with other leaves, in the order of `argument_leaves`."""
    return pytree.tree_unflatten(leaves, pytree.tree_structure((args, dict(kwargs))))


def with_tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any], tensors: Iterable[Any]) -> Arguments:
    """Return arguments that have `tensors`, in order, in the places of their tensors."""
    given = iter(tensors)
    return pytree.tree_map_only(torch.Tensor, lambda _: next(given), (args, dict(kwargs)))


def named_arguments(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module's arguments by name, those of `args` under `positional_names`."""
    return dict(zip(positional_names(module, len(args)), args, strict=True)) | dict(kwargs)


def positional_names(module: torch.nn.Module, count: int) -> list[str]:
    """Return the names of the first `count` positional arguments: of parameters, `args.0` for what `*args` takes."""
    signature = forward_signature(module)
    parameters = [] if signature is None else list(signature.parameters.values())
    fixed = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
    return [*fixed[:count], *(f"{rest}.{index}" for index in range(count - len(fixed)))]


def named_parameters(module: torch.nn.Module) -> dict[str, inspect.Parameter]:
    """Return the parameters of `forward` by name, without `*args` and `**kwargs`; none where Python has no signature."""
    signature = forward_signature(module)
    parameters = [] if signature is None else signature.parameters.values()
    return {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def split_arguments(module: torch.nn.Module, values: Mapping[str, Any]) -> Arguments:
    """Return values by name as a call takes them: those that `forward` takes by position alone, and the others."""
    by_position = [p.name for p in named_parameters(module).values() if p.kind is p.POSITIONAL_ONLY]
    present = list(itertools.takewhile(values.__contains__, by_position))
    return tuple(values[name] for name in present), {name: values[name] for name in values if name not in present}


def required_names(module: torch.nn.Module) -> list[str]:
    """Return the names of the parameters of `forward` that have no default."""
    return [name for name, p in named_parameters(module).items() if p.default is p.empty]


def matching_paths(name: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that a name means: `past.0.key`, `past_0_key` as inputs of graphs are called, `past.*`."""
    return [path for path in paths if any(fnmatchcase(one, name) for one in (path, identifier(path)))]


def identifier(path: str) -> str:
    """Return a path as torch.export names the input."""
    return re.sub(r"\W", "_", path)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by path as containers of them, by the first keys of the paths.

    `states.0.key` is the entry `key` of the first element of `states`: numbers are positions in a tuple, else it is a dict.
    """
    groups: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        first, _, rest = path.partition(".")
        groups.setdefault(first, {})[rest] = value
    return {first: inner[""] if "" in inner else _container(nested(inner)) for first, inner in groups.items()}


def _container(built: dict[str, Any]) -> Any:
    positions = [str(index) for index in range(len(built))]
    return tuple(built[index] for index in positions) if built.keys() == set(positions) else built


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Return the tensors in a nesting of the containers that torch.export flattens, in order."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def example_record(tensor: torch.Tensor) -> Example:
    """Return the record of a model input: up to 64 KiB its bytes, beyond that the range of its values."""
    return hx_graph.example_record(TorchTensor(as_real(tensor)).numpy())


def as_real(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor as a graph holds it: of complex numbers, real and imaginary parts in a last axis of two."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
