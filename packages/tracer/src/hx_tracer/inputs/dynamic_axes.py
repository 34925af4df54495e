"""Which axes are dynamic, under which names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.export import Dim
from torch.utils import _pytree as pytree

from hx_sidecar_schema import HxError
from hx_tracer.models.records import forward_signature

Axes = dict[int, str]


def free_axes(kwargs: Mapping[str, Any]) -> dict[str, Axes]:
    """Name axis 0 of every input `batch` and axis 1 of every rank-2 input `sequence`, where they are shared.

    An axis of another size than the first such axis gets a name of its own, after its input.

    Args:
        kwargs: Example inputs by argument name; tensors may be nested.

    Returns:
        Axes and symbols by input path (`name`, `name.0`).
    """
    axes: dict[str, Axes] = {}
    first: dict[str, int] = {}
    for path, tensor in input_paths(kwargs):
        wanted = {0: "batch"} if tensor.ndim else {}
        if tensor.ndim == 2:
            wanted[1] = "sequence"
        for axis, symbol in wanted.items():
            size = tensor.shape[axis]
            shared = first.setdefault(symbol, size) == size
            axes.setdefault(path, {})[axis] = symbol if shared else f"{_identifier(path)}_{symbol}"
    return axes


def parse_axis(text: str, kwargs: Mapping[str, Any]) -> tuple[str, int, str]:
    """Parse `NAME:AXIS=SYMBOL`.

    Raises:
        HxError: HX112 if it is not of that form, or names an input or axis that does not exist.
    """
    match = re.fullmatch(r"([\w.]+):(\d+)=([A-Za-z]\w*)", text)
    tensors = dict(input_paths(kwargs))
    if match is None:
        raise HxError(
            f"Dynamic shape {text!r} is not NAME:AXIS=SYMBOL.",
            code="HX112",
            hint="Write it like --dynamic-shape input_ids:1=sequence.",
        )
    name, axis, symbol = match[1], int(match[2]), match[3]
    if name not in tensors or axis >= tensors[name].ndim:
        shapes = ", ".join(f"{path}{list(tensor.shape)}" for path, tensor in tensors.items())
        raise HxError(
            f"Dynamic shape {text!r} names no axis of the inputs, which are {shapes}.",
            code="HX112",
            hint="Name an input and one of its axes, counted from 0.",
        )
    return name, axis, symbol


def dynamic_shapes(kwargs: Mapping[str, Any], axes: Mapping[str, Axes]) -> dict[str, Any] | None:
    """Return the `dynamic_shapes` argument of `torch.onnx.export` for these axes; None where all are static."""
    if not axes:
        return None
    dims = {symbol: Dim(symbol) for named in axes.values() for symbol in named.values()}
    paths = {id(tensor): path for path, tensor in input_paths(kwargs)}

    def shape(value: Any) -> Any:
        named = axes.get(paths.get(id(value), ""), {})
        return {axis: dims[symbol] for axis, symbol in named.items()} or None

    return {name: pytree.tree_map(shape, value) for name, value in kwargs.items()}


def axes_of_shapes(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], shapes: Any
) -> dict[str, Axes]:
    """Return the axes that a `dynamic_shapes` argument asks to be dynamic, by the paths of `argument_paths`.

    An axis has the name that it is given; where it is given none (`Dim.AUTO`, `Dim.DYNAMIC`), its input's and its
    number. Parts of `shapes` that fit no argument are left out: torch.export refuses them.

    Args:
        module: Its `forward` says which argument a position is.
        args: Positional example inputs.
        kwargs: Example inputs by name.
        shapes: As `torch.onnx.export` takes it: by argument name, or in the order of the signature.
    """
    names = positional_names(module, len(args))
    values = dict(zip(names, args, strict=True)) | dict(kwargs)
    given: dict[str, Any] = {}
    if isinstance(shapes, Mapping):
        given = dict(shapes)
    else:
        signature = forward_signature(module)
        order = list(values) if signature is None else list(signature.bind(*args, **kwargs).arguments)
        given = dict(zip(order, shapes, strict=False))
    for name, shape in list(given.items()):  # of `*args` and `**kwargs`
        if name not in values and isinstance(shape, (list, tuple)):
            given |= {f"{name}.{index}": inner for index, inner in enumerate(shape)}
        elif name not in values and isinstance(shape, Mapping):
            given |= shape
    axes: dict[str, Axes] = {}
    for name, value in values.items():
        for path, shape in _shapes_of_tensors(name, value, given.get(name)):
            dims = shape.items() if isinstance(shape, Mapping) else enumerate(shape)
            named = {axis: _symbol(path, axis, dim) for axis, dim in dims if _is_dynamic(dim)}
            if named:
                axes[path] = named
    return axes


def _shapes_of_tensors(path: str, value: Any, shape: Any) -> Iterator[tuple[str, Any]]:
    if shape is None:
        return
    if isinstance(value, torch.Tensor):
        yield path, shape
        return
    children, inner = _children(value), _children(shape)
    by_key = isinstance(value, Mapping) and isinstance(
        shape, Mapping
    )  # else a flat form of what torch has registered
    for (key, child), found in zip(
        children.items(), list(inner.values()) + [None] * len(children), strict=False
    ):
        yield from _shapes_of_tensors(f"{path}.{key}", child, inner.get(key) if by_key else found)


def _children(value: Any) -> dict[str, Any]:
    """Return what a container holds, by key; nothing where torch takes the value for a leaf."""
    found, _ = pytree.tree_flatten_with_path(value, is_leaf=lambda one: one is not value)
    return {_key(path[0]): child for path, child in found if path}


def _is_dynamic(dim: Any) -> bool:
    return dim is not None and not isinstance(dim, int) and dim != Dim.STATIC


def _symbol(path: str, axis: int, dim: Any) -> str:
    return dim if isinstance(dim, str) else getattr(dim, "__name__", f"{_identifier(path)}_{axis}")


def input_paths(kwargs: Mapping[str, Any]) -> Sequence[tuple[str, torch.Tensor]]:
    """Return every tensor of the inputs with its path: the argument's name, then the keys that lead to it."""
    return [
        (".".join((name, *map(_key, path))), leaf)
        for name, value in kwargs.items()
        for path, leaf in pytree.tree_flatten_with_path(value)[0]
        if isinstance(leaf, torch.Tensor)
    ]


def argument_paths(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Sequence[tuple[str, torch.Tensor]]:
    """Return every tensor among a module's arguments with its path, positional ones first: the graph's inputs."""
    return input_paths(dict(zip(positional_names(module, len(args)), args, strict=True)) | dict(kwargs))


def positional_names(module: torch.nn.Module, count: int) -> list[str]:
    """Return the names of the first arguments by position: those of parameters, `args.0` for what `*args` takes."""
    signature = forward_signature(module)
    parameters = [] if signature is None else list(signature.parameters.values())
    fixed = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
    return [*fixed[:count], *(f"{rest}.{index}" for index in range(count - len(fixed)))]


def _key(step: Any) -> str:
    return str(getattr(step, "key", getattr(step, "idx", getattr(step, "name", step))))


def _identifier(path: str) -> str:
    return re.sub(r"\W", "_", path)
