"""A model that was cut out of another, beside the module that it was cut out of."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import onnx_ir as ir

from hx._verify.inputs import Arrays, ModuleInputs
from hx_sidecar_schema import HxError, Sidecar, simple_name
from hx_tracer import LoadedModel, as_tensor


def part_of(loaded: LoadedModel, sidecar: Sidecar) -> LoadedModel:
    """Return the module that a part was cut out of: by its name in the given model, or what is given itself.

    Raises:
        HxError: HX407 if neither is of the part's class, HX128 if the part has inputs that its module does not take.
    """
    root = sidecar.modules[0]
    if implicit := [port.name for port in sidecar.calls[0].inputs if port.implicit and not port.unused]:
        raise HxError(
            f"{root.tag!r} reads {', '.join(map(repr, implicit))} past the arguments of forward(): PyTorch cannot be given that.",
            code="HX128",
            hint="Compare the whole model, or a part around this one.",
        )
    named = dict(loaded.module.named_modules(remove_duplicate=False))
    for module in (named.get(root.fqn), loaded.module):
        if module is not None and type(module).__name__ == simple_name(root.class_name):
            return LoadedModel(module, loaded.name)
    raise HxError(
        f"{type(loaded.module).__name__} is not, and has not as {root.fqn!r}, the {simple_name(root.class_name)} "
        "that the part was cut out of.",
        code="HX407",
        hint="Compare with the model that the part was exported with, or with the module itself.",
        argument="against",
    )


def part_inputs(loaded: LoadedModel, sidecar: Sidecar, arrays: Arrays) -> ModuleInputs:
    """Bring arrays under port names to the arguments of a module.

    `states.0.key` is the entry `key` of the first element of the argument `states`: numbers are positions in a tuple, else
    it is a dict. What the graph does not use is zero.
    """
    sizes: dict[int | str, int] = {}
    for info in sidecar.model.inputs:
        sizes |= dict(zip(info.shape, arrays[info.name].shape, strict=True))
    nested: dict[str, Any] = {}
    for port in sidecar.calls[0].inputs:
        array = arrays.get(port.value or "")  # several ports may be one value
        if array is None:
            shape = [dim if isinstance(dim, int) else sizes.get(dim, 1) for dim in port.shape]
            array = np.zeros(shape, ir.DataType[port.dtype].numpy())
        *outer, last = port.name.split(".")
        place = nested
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = as_tensor(array)
    arguments = {name: _container(value) for name, value in nested.items()}
    signature = inspect.signature(loaded.module.forward)
    bound = inspect.BoundArguments(signature, {n: arguments.pop(n) for n in signature.parameters if n in arguments})  # pyright: ignore[reportArgumentType] typeshed wants an OrderedDict
    return ModuleInputs(bound.args, {**bound.kwargs, **arguments}, arrays)


def _container(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    built = {key: _container(inner) for key, inner in value.items()}
    return tuple(built.values()) if all(key.isdigit() for key in built) else built
