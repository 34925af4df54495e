"""Which axes of the inputs are dynamic, under which symbols."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.export import Dim

from hx_tracer._torch_internals import leaves_with_path, pytree
from hx_tracer.inputs.arguments import identifier, named_arguments
from hx_tracer.watch.ports import forward_signature

Axes = dict[int, str]
"""Symbols of the dynamic axes of one input, by axis."""


def free_axes(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, Axes]:
    """Return axis 0 of every input as `batch` and axis 1 of every input of rank 2 as `sequence`, by input path.

    An axis of another size than the first one of that symbol gets a symbol of its own, after its input. `argument_paths`
    has the tensors.
    """
    axes: dict[str, Axes] = {}
    first: dict[str, int] = {}
    for path, tensor in tensors:
        for axis, symbol in enumerate(("batch", "sequence") if tensor.ndim == 2 else ("batch",)[: tensor.ndim]):
            size = tensor.shape[axis]
            shared = first.setdefault(symbol, size) == size
            axes.setdefault(path, {})[axis] = symbol if shared else f"{identifier(path)}_{symbol}"
    return axes


def dynamic_shapes(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], axes: Mapping[str, Axes]
) -> dict[str, Any] | None:
    """Return the `dynamic_shapes` argument of `torch.onnx.export` for these axes; None where all are static.

    What `*args` takes is a tuple under its name. torch 2.13 takes a container of a type that somebody registered in its
    flat form.
    """
    if not axes:
        return None
    dims = {symbol: Dim(symbol) for named in axes.values() for symbol in named.values()}

    def shape(path: str, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return {axis: dims[symbol] for axis, symbol in axes.get(path, {}).items()} or None
        shapes = [shape(f"{path}.{key}", child) for key, child in _children(value).items()]
        spec = pytree.tree_structure(value, is_leaf=lambda one: one is not value)
        if spec.type in pytree.BUILTIN_TYPES:  # of a named tuple that is `namedtuple`
            return pytree.tree_unflatten(shapes, spec)
        return None if spec.is_leaf() else shapes

    shapes: dict[str, Any] = {}
    for name, value in named_arguments(module, args, kwargs).items():
        variadic, _, position = name.partition(".")  # `*args`
        shapes[variadic] = (*shapes.get(variadic, ()), shape(name, value)) if position else shape(name, value)
    return shapes


def axes_of_shapes(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], shapes: Any
) -> dict[str, Axes]:
    """Return the axes that a `dynamic_shapes` argument asks to be dynamic, by the paths of `argument_paths`.

    The symbol is the name of the `Dim`, or the string; for `Dim.AUTO` and `Dim.DYNAMIC`, path and axis. Parts of
    `shapes`, by argument name or in the order of the signature, that fit no argument are left out: torch.export refuses
    them.
    """
    values = named_arguments(module, args, kwargs)
    if not isinstance(shapes, Mapping):
        signature = forward_signature(module)
        order = values if signature is None else signature.bind(*args, **kwargs).arguments
        shapes = zip(order, shapes, strict=False)
    given: dict[str, Any] = dict(shapes)
    for name, shape in list(given.items()):  # of `*args` and `**kwargs`
        if name not in values and isinstance(shape, (list, tuple)):
            given |= {f"{name}.{index}": inner for index, inner in enumerate(shape)}
        elif name not in values and isinstance(shape, Mapping):
            given |= shape
    axes: dict[str, Axes] = {}
    for name, value in values.items():
        for path, shape in _specs_of_tensors(name, value, given.get(name)):
            dims = shape.items() if isinstance(shape, Mapping) else enumerate(shape)
            static = (None, Dim.STATIC)
            named = {axis: _symbol(path, axis, d) for axis, d in dims if not isinstance(d, int) and d not in static}
            if named:
                axes[path] = named
    return axes


def _specs_of_tensors(path: str, value: Any, shape: Any) -> Iterator[tuple[str, Any]]:
    if shape is None:
        return
    if isinstance(value, torch.Tensor):
        yield path, shape
        return
    children, inner = _children(value), _children(shape)
    if not (isinstance(value, Mapping) and isinstance(shape, Mapping)):  # a flat form of what torch has registered
        inner = dict(zip(children, inner.values(), strict=False))
    for key, child in children.items():
        yield from _specs_of_tensors(f"{path}.{key}", child, inner.get(key))


def _children(value: Any) -> dict[str, Any]:
    """Return what a container holds, by key; nothing where torch takes the value for a leaf."""
    return {path[0]: child for path, child in leaves_with_path(value, lambda one: one is not value) if path}


def _symbol(path: str, axis: int, dim: Any) -> str:
    return dim if isinstance(dim, str) else getattr(dim, "__name__", f"{identifier(path)}_{axis}")
