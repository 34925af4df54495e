"""The PyTorch module that a model is compared with, and inputs of one run, as it and as the ONNX model take them."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hx._models import given_inputs
from hx._tensors import to_numpy
from hx._verify.arguments import as_example, from_names
from hx_sidecar_schema import HxError, Sidecar, TensorInfo, simple_name
from hx_tracer import ExampleInputs, LoadedModel, as_tensor, example_inputs, float_dtype, forward_signature, tensors_in

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class ModuleInputs:
    """The same tensors twice: as arguments of the module, and as arrays under the names of the ONNX model's inputs."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arrays: Arrays


def recorded_inputs(loaded: LoadedModel, sidecar: Sidecar, arrays: Arrays) -> ModuleInputs:
    """Bring arrays under ONNX names to the module's arguments, beside what else the export was given.

    They are nested as in the module's own example, else as the names of the root's ports say. What the ONNX model has no
    input for, as exporters drop what nothing uses, is the example's own, else zero. HX407 if the module takes another number
    of tensors, under other names; HX128 if it was given what no file holds.
    """
    module, call = loaded.module, sidecar.calls[0]
    own_dtype, halves = float_dtype(module), (torch.float16, torch.bfloat16)
    tensors = {name: as_tensor(array) for name, array in arrays.items()}
    # a converter may have halved the model's own inputs
    tensors = {name: tensor.to(own_dtype) if tensor.dtype in halves else tensor for name, tensor in tensors.items()}
    paths = {port.value: port.name for port in call.inputs}
    named = {paths.get(name, name): tensor for name, tensor in tensors.items()}
    example = loaded.example
    if example is None and _takes(module, named):
        return ModuleInputs(*from_names(module, sidecar, tensors), arrays)
    if not isinstance(example, ExampleInputs):
        example = example_inputs(module, example=example)
    found = as_example(module, call, example, named)
    if found is None and _takes(module, named):
        found = from_names(module, sidecar, tensors)
    if found is None:
        raise HxError(
            f"{type(module).__name__} takes {len(tensors_in((example.args, example.kwargs)))} tensors, "
            f"the ONNX model {list(arrays)!r}.",
            code="HX407",
            hint="Compare with the model that the ONNX file was exported from.",
        )
    return ModuleInputs(*found, arrays)


def _takes(module: torch.nn.Module, tensors: Iterable[str]) -> bool:
    """Say whether `forward` takes arguments of these names."""
    signature = forward_signature(module)
    known = {} if signature is None else signature.parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    return takes_any or {name.partition(".")[0] for name in tensors} <= known.keys()


def fitting_inputs(loaded: LoadedModel, inputs: Any, wanted: Sequence[TensorInfo]) -> ModuleInputs:
    """Bring inputs that the user gives, as the argument `args` of `hx.export`, to both models.

    HX109 or HX110 if the module does not take them or the file cannot be read, HX409 if the ONNX model does not take them.
    """
    given = given_inputs(loaded, inputs)
    arrays = _named(given.args, given.kwargs, wanted)
    reason = ""
    if arrays is None:
        names = [*(f"args.{index}" for index in range(len(given.args))), *given.kwargs]
        reason = f"they are {names!r}, the ONNX model takes {[info.name for info in wanted]!r}"
    else:
        for info in wanted:
            shape = list(arrays[info.name].shape)
            pairs = zip(info.shape, shape, strict=False)
            if len(shape) != len(info.shape) or any(isinstance(d, int) and d != n for d, n in pairs):
                reason = f"{info.name!r} has the shape {shape}, the ONNX model takes {info.shape}"
    if arrays is None or reason:
        what = f"Inputs file {str(inputs)!r} does" if isinstance(inputs, str | Path) else "The inputs do"
        raise HxError(
            f"{what} not fit the ONNX model: {reason}.",
            code="HX409",
            hint="Give exactly the inputs that the model was exported with; export it with dynamic axes to free their sizes.",
            argument="inputs",
        )
    return ModuleInputs(given.args, given.kwargs, arrays)


def _named(args: tuple[Any, ...], kwargs: Mapping[str, Any], wanted: Sequence[TensorInfo]) -> Arrays | None:
    """Return the tensors that the ONNX model takes by its names; None where their names or number are others."""
    names = [info.name for info in wanted]
    if not args and all(isinstance(value, torch.Tensor) for value in kwargs.values()):
        return {name: to_numpy(kwargs[name]) for name in names} if kwargs.keys() >= set(names) else None
    tensors = tensors_in((args, dict(kwargs)))
    if len(tensors) != len(names):
        return None
    return {name: to_numpy(tensor) for name, tensor in zip(names, tensors, strict=True)}


def part_of(loaded: LoadedModel, sidecar: Sidecar) -> LoadedModel:
    """Return the module that a part was cut out of: by its name in the given model, or what is given itself.

    HX407 if neither is of the part's class, HX128 if the part has inputs that its module does not take.
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
            return loaded if module is loaded.module else LoadedModel(module, loaded.name)
    raise HxError(
        f"{type(loaded.module).__name__} is not, and has not as {root.fqn!r}, the {simple_name(root.class_name)} "
        "that the part was cut out of.",
        code="HX407",
        hint="Compare with the model that the part was exported with, or with the module itself.",
        argument="against",
    )
