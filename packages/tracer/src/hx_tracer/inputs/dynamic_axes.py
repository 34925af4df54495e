"""Which axes are dynamic, under which names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export import Dim
from torch.utils import _pytree as pytree

from hx_sidecar_schema import HxError

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


def input_paths(kwargs: Mapping[str, Any]) -> Sequence[tuple[str, torch.Tensor]]:
    """Return every tensor of the inputs with its path."""
    paths: list[tuple[str, torch.Tensor]] = []
    for name, value in kwargs.items():
        leaves, _ = pytree.tree_flatten_with_path(value)
        for path, leaf in leaves:
            if isinstance(leaf, torch.Tensor):
                keys = [str(getattr(k, "key", getattr(k, "idx", k))) for k in path]
                paths.append((".".join((name, *keys)), leaf))
    return paths


def _identifier(path: str) -> str:
    return re.sub(r"\W", "_", path)
